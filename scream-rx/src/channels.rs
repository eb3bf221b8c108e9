//! Which speaker each of the guest's channels is, and how they reach the sink's channels. Speaker masks come from the
//! guest and need not make sense; every mask gives a layout. Source: the Scream wire reference, section 4.3. Pure.

use std::fmt;

/// The most channels a guest or a sink can have here. Source: the wire reference, section 4.2.
pub const MAX_CHANNELS: usize = 8;

/// A loudspeaker's place. The number is the bit in a Windows speaker mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the places")]
pub enum Speaker {
    FrontLeft = 0,
    FrontRight = 1,
    FrontCentre = 2,
    Lfe = 3,
    BackLeft = 4,
    BackRight = 5,
    FrontLeftOfCentre = 6,
    FrontRightOfCentre = 7,
    BackCentre = 8,
    SideLeft = 9,
    SideRight = 10,
    TopCentre = 11,
    TopFrontLeft = 12,
    TopFrontCentre = 13,
    TopFrontRight = 14,
    TopBackLeft = 15,
    /// A channel of the sink that is no loudspeaker we know. Nothing is sent there.
    Unknown = 31,
}

use Speaker::*;

/// All speakers a mask of 16 bits can name, in the order of their bits.
const MASK_ORDER: [Speaker; 16] = [
    FrontLeft,
    FrontRight,
    FrontCentre,
    Lfe,
    BackLeft,
    BackRight,
    FrontLeftOfCentre,
    FrontRightOfCentre,
    BackCentre,
    SideLeft,
    SideRight,
    TopCentre,
    TopFrontLeft,
    TopFrontCentre,
    TopFrontRight,
    TopBackLeft,
];

/// What is assumed for 1 to 8 channels without a usable mask. Source: the wire reference, section 4.3, rule 3.
const DEFAULT_MASKS: [u16; MAX_CHANNELS] = [0x004, 0x003, 0x00B, 0x033, 0x037, 0x03F, 0x13F, 0x63F];

/// Masks that are in use. Source: the wire reference, section 4.3.
const USUAL_MASKS: [u16; 9] = [0x004, 0x003, 0x00B, 0x033, 0x107, 0x03F, 0x60F, 0x0FF, 0x63F];

/// One to eight channels and the speaker of each, in the order in which samples follow one another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    speakers: [Speaker; MAX_CHANNELS],
    channels: u8,
}

/// Where a guest's layout comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskVerdict {
    /// The mask names as many speakers as there are channels, or the count alone says everything.
    AsWritten,
    /// The mask does not fit the channels; the usual layout for their number was taken. Worth telling the user once.
    Assumed,
}

impl Layout {
    /// The layout with these speakers, in this order.
    ///
    /// Nothing if there are none or more than [`MAX_CHANNELS`].
    pub fn new(speakers: &[Speaker]) -> Option<Layout> {
        let mut layout = Layout { speakers: [Unknown; MAX_CHANNELS], channels: u8::try_from(speakers.len()).ok()? };
        if speakers.is_empty() {
            return None;
        }
        layout.speakers.get_mut(..speakers.len())?.copy_from_slice(speakers);
        Some(layout)
    }

    /// Left and right.
    pub const STEREO: Layout =
        Layout { speakers: [FrontLeft, FrontRight, Unknown, Unknown, Unknown, Unknown, Unknown, Unknown], channels: 2 };

    /// The layout of a guest that writes `channels` channels and the speaker mask `mask`.
    ///
    /// Never fails: a count outside 1 to 8 is taken as the nearest there is.
    pub fn of_guest(channels: u8, mask: u16) -> (Layout, MaskVerdict) {
        let count = usize::from(channels).clamp(1, MAX_CHANNELS);
        let named = mask.count_ones() as usize;
        let lowest = lowest_bits(mask, count);
        match count {
            1 => (Layout::of_mask(0x004), MaskVerdict::AsWritten),
            _ if named == count => (Layout::of_mask(mask), MaskVerdict::AsWritten),
            2 => (Layout::STEREO, MaskVerdict::AsWritten),
            _ if named > count && USUAL_MASKS.contains(&lowest) => (Layout::of_mask(lowest), MaskVerdict::Assumed),
            _ => (Layout::usual(count), MaskVerdict::Assumed),
        }
    }

    /// What is assumed for so many channels when nothing else is known, in the order of a guest.
    ///
    /// Never fails: a count outside 1 to 8 is taken as the nearest there is.
    pub fn usual(channels: usize) -> Layout {
        Layout::of_mask(DEFAULT_MASKS[channels.clamp(1, MAX_CHANNELS) - 1])
    }

    /// What a device of so many channels expects when it tells no map: the order that ALSA has by convention.
    ///
    /// Never fails: a count outside 1 to 8 is taken as the nearest there is.
    pub fn alsa(channels: usize) -> Layout {
        const ORDER: [Speaker; MAX_CHANNELS] =
            [FrontLeft, FrontRight, BackLeft, BackRight, FrontCentre, Lfe, SideLeft, SideRight];
        match channels {
            0 | 1 => Layout::of_mask(0x004),
            3 => Layout::of_mask(0x00B),
            n => Layout::new(&ORDER[..n.min(MAX_CHANNELS)]).unwrap_or(Layout::STEREO),
        }
    }

    fn of_mask(mask: u16) -> Layout {
        let mut layout = Layout { speakers: [Unknown; MAX_CHANNELS], channels: 0 };
        for (bit, speaker) in MASK_ORDER.into_iter().enumerate() {
            let at = usize::from(layout.channels);
            if mask & (1 << bit) != 0 && at < MAX_CHANNELS {
                layout.speakers[at] = speaker;
                layout.channels += 1;
            }
        }
        layout
    }

    /// How many channels; 1 to 8.
    pub fn channels(&self) -> usize {
        usize::from(self.channels)
    }

    /// The speaker of each channel.
    pub fn speakers(&self) -> &[Speaker] {
        &self.speakers[..self.channels()]
    }

    fn position(&self, speaker: Speaker) -> Option<usize> {
        self.speakers().iter().position(|s| *s == speaker)
    }

    /// Five bits for each channel, for handing a layout to another thread in one word.
    pub(crate) fn pack(&self) -> u64 {
        let bits = self.speakers().iter().rev().fold(0, |all, s| all << 5 | u64::from(*s as u8));
        bits << 4 | u64::from(self.channels)
    }

    /// The reverse of [`Layout::pack`]; nothing for a word that it did not make.
    pub(crate) fn unpack(word: u64) -> Option<Layout> {
        let channels = (word & 15) as usize;
        let speaker = |i: usize| MASK_ORDER.get((word >> (4 + 5 * i) & 31) as usize).copied().unwrap_or(Unknown);
        let speakers: [Speaker; MAX_CHANNELS] = core::array::from_fn(speaker);
        Layout::new(speakers.get(..channels)?)
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.speakers()).finish()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.channels() {
            1 => f.write_str("mono"),
            2 if *self == Layout::STEREO => f.write_str("stereo"),
            n if self.position(Lfe).is_some() => write!(f, "{}.1 channels", n - 1),
            n => write!(f, "{n} channels"),
        }
    }
}

/// The `count` lowest set bits of `mask`.
fn lowest_bits(mask: u16, count: usize) -> u16 {
    let mut rest = mask;
    for _ in 0..count {
        rest &= rest.wrapping_sub(1);
    }
    mask & !rest
}

/// How much of each guest channel goes to each sink channel. Never louder than the guest: the loudest row sums to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// `gains[to][from]`.
    gains: [[f32; MAX_CHANNELS]; MAX_CHANNELS],
    from: usize,
    to: usize,
    /// Every sink channel is the guest channel of the same number.
    identity: bool,
}

/// Half the power, as an amplitude: what one channel gives when it is spread over two, or joins another.
const HALF_POWER: f32 = core::f32::consts::FRAC_1_SQRT_2;

impl Matrix {
    /// The way from a guest's layout to a sink's.
    pub fn new(guest: &Layout, sink: &Layout) -> Matrix {
        let mut gains = [[0.0; MAX_CHANNELS]; MAX_CHANNELS];
        let mut send = |from: usize, speaker: Speaker, gain: f32| match sink.position(speaker) {
            Some(to) => {
                gains[to][from] += gain;
                true
            }
            None => false,
        };
        for (from, speaker) in guest.speakers().iter().enumerate() {
            let _ = send(from, *speaker, 1.0) || fold(guest, *speaker, &mut |to, gain| send(from, to, gain));
        }
        // Rows that would exceed full scale pull everything down alike, so that the balance stays.
        let loudest = gains.iter().map(|row| row.iter().sum::<f32>()).fold(1.0, f32::max);
        gains.iter_mut().flatten().for_each(|g| *g /= loudest);
        let (from, to) = (guest.channels(), sink.channels());
        let unit = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let identity = from == to && (0..to).all(|i| (0..from).all(|j| gains[i][j] == unit(i, j)));
        Matrix { gains, from, to, identity }
    }

    /// Maps interleaved frames of the guest to interleaved frames of the sink; as many as both buffers hold. Returns how
    /// many.
    ///
    /// Real-time safe.
    pub fn apply(&self, guest: &[f32], sink: &mut [f32]) -> usize {
        let frames = (guest.len() / self.from).min(sink.len() / self.to);
        if self.identity {
            sink[..frames * self.to].copy_from_slice(&guest[..frames * self.from]);
            return frames;
        }
        for (from, to) in guest.chunks_exact(self.from).zip(sink.chunks_exact_mut(self.to)) {
            for (out, gains) in to.iter_mut().zip(&self.gains) {
                *out = from.iter().zip(gains).map(|(x, gain)| x * gain).sum();
            }
        }
        frames
    }
}

/// Sends a speaker that the sink lacks to the nearest that it has; whether it found one.
fn fold(guest: &Layout, speaker: Speaker, send: &mut impl FnMut(Speaker, f32) -> bool) -> bool {
    // A full channel if the guest leaves the neighbour free, half its power if they have to share.
    let share = |neighbour: Speaker| if guest.position(neighbour).is_some() { HALF_POWER } else { 1.0 };
    let mut pair = |left: Speaker, right: Speaker, gain: f32| {
        let sent = send(left, gain);
        send(right, gain) || sent
    };
    let mono_guest = guest.channels() == 1;
    match speaker {
        FrontLeft | FrontRight => send(FrontCentre, HALF_POWER),
        FrontCentre => pair(FrontLeft, FrontRight, if mono_guest { 1.0 } else { HALF_POWER }),
        // Kept at half: a guest that is set to 2.1 has moved its bass there.
        Lfe => pair(FrontLeft, FrontRight, 0.5) || send(FrontCentre, 0.5),
        BackLeft => send(SideLeft, share(SideLeft)) || send(FrontLeft, HALF_POWER) || send(FrontCentre, 0.5),
        BackRight => send(SideRight, share(SideRight)) || send(FrontRight, HALF_POWER) || send(FrontCentre, 0.5),
        SideLeft => send(BackLeft, share(BackLeft)) || send(FrontLeft, HALF_POWER) || send(FrontCentre, 0.5),
        SideRight => send(BackRight, share(BackRight)) || send(FrontRight, HALF_POWER) || send(FrontCentre, 0.5),
        BackCentre => {
            pair(BackLeft, BackRight, HALF_POWER)
                || pair(SideLeft, SideRight, HALF_POWER)
                || pair(FrontLeft, FrontRight, 0.5)
                || send(FrontCentre, 0.5)
        }
        FrontLeftOfCentre | TopFrontLeft | TopBackLeft => send(FrontLeft, HALF_POWER) || send(FrontCentre, 0.5),
        FrontRightOfCentre | TopFrontRight => send(FrontRight, HALF_POWER) || send(FrontCentre, 0.5),
        TopCentre | TopFrontCentre => pair(FrontLeft, FrontRight, 0.5) || send(FrontCentre, 0.5),
        Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(mask: u16) -> Layout {
        Layout::of_mask(mask)
    }

    #[test]
    fn every_mask_rule_gives_its_layout() {
        use MaskVerdict::*;
        // (channels, mask, layout as a mask, verdict); the rules are those of the wire reference, section 4.3.
        let cases = [
            (2, 0x003, 0x003, AsWritten), // rule 1
            (6, 0x03F, 0x03F, AsWritten),
            (6, 0x60F, 0x60F, AsWritten),
            (8, 0x63F, 0x63F, AsWritten),
            (4, 0x107, 0x107, AsWritten),
            (2, 0x600, 0x600, AsWritten),
            (1, 0x003, 0x004, AsWritten), // rule 2
            (1, 0x001, 0x004, AsWritten),
            (1, 0x000, 0x004, AsWritten),
            (2, 0x000, 0x003, AsWritten),
            (2, 0xFFFF, 0x003, AsWritten),
            (3, 0x003, 0x00B, Assumed), // rule 3
            (4, 0x000, 0x033, Assumed),
            (5, 0x003, 0x037, Assumed),
            (6, 0x003, 0x03F, Assumed),
            (7, 0x003, 0x13F, Assumed),
            (8, 0x000, 0x63F, Assumed),
            (6, 0xFFFF, 0x03F, Assumed), // rule 4: the lowest six are a layout
            (8, 0xFFFF, 0x0FF, Assumed),
            (3, 0xFFFF, 0x00B, Assumed), // rule 4: the lowest three are none
            (4, 0xFFFF, 0x033, Assumed),
            (5, 0xFFFF, 0x037, Assumed),
            (7, 0xFFFF, 0x13F, Assumed),
        ];
        for (channels, mask, expected, verdict) in cases {
            let expected = (layout(expected), verdict);
            assert_eq!(Layout::of_guest(channels, mask), expected, "{channels} channels, mask {mask:#06x}");
        }
    }

    /// Where each guest channel lands: for every sink channel the gains of all guest channels.
    fn gains(guest: Layout, sink: Layout) -> Vec<Vec<f32>> {
        let matrix = Matrix::new(&guest, &sink);
        let (from, to) = (guest.channels(), sink.channels());
        let mut rows = vec![vec![0.0; from]; to];
        for i in 0..from {
            let mut input = vec![0.0; from];
            input[i] = 1.0;
            let mut output = vec![9.0; to];
            assert_eq!(matrix.apply(&input, &mut output), 1);
            output.iter().zip(&mut rows).for_each(|(x, row)| row[i] = *x);
        }
        rows
    }

    #[test]
    fn channels_follow_their_speakers_to_a_sink_with_another_order() {
        // Rule 5: what Windows calls FL FR FC LFE BL BR SL SR comes out as FL FR RL RR FC LFE SL SR.
        let rows = gains(layout(0x63F), Layout::alsa(8));
        let from: Vec<_> = rows.iter().map(|row| row.iter().position(|g| *g == 1.0).unwrap()).collect();
        assert_eq!(from, [0, 1, 4, 5, 2, 3, 6, 7]);
        assert!(rows.iter().all(|row| row.iter().sum::<f32>() == 1.0));
    }

    #[test]
    fn side_and_back_are_one_in_a_room_of_six() {
        // Rule 6, both ways.
        for (guest, sink) in [(0x60F, 0x03F), (0x03F, 0x60F)] {
            let rows = gains(layout(guest), layout(sink));
            for (i, row) in rows.iter().enumerate() {
                assert!(row.iter().enumerate().all(|(j, g)| *g == if i == j { 1.0 } else { 0.0 }), "{rows:?}");
            }
        }
    }

    #[test]
    fn folding_keeps_left_left_and_never_exceeds_full_scale() {
        let rows = gains(layout(0x03F), Layout::STEREO);
        let sum = 1.0 + 2.0 * HALF_POWER + 0.5;
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        // Front left, front right, centre, low, back left, back right.
        for (got, want) in rows[0].iter().zip([1.0, 0.0, HALF_POWER, 0.5, HALF_POWER, 0.0]) {
            assert!(close(*got, want / sum), "{rows:?}");
        }
        assert!(close(rows[1][1], 1.0 / sum) && rows[1][0] == 0.0 && rows[1][4] == 0.0);
    }

    #[test]
    fn mono_goes_to_both_sides_and_stereo_to_one() {
        assert_eq!(gains(layout(0x004), Layout::STEREO), [[1.0], [1.0]]);
        let rows = gains(Layout::STEREO, layout(0x004));
        assert!((rows[0][0] - 0.5).abs() < 1e-6 && rows[0][0] == rows[0][1], "{rows:?}");
        // A sink with a centre of its own gets mono there alone.
        assert_eq!(gains(layout(0x004), layout(0x03F))[2], [1.0]);
    }

    #[test]
    fn stereo_leaves_the_other_speakers_of_a_large_sink_silent() {
        let rows = gains(Layout::STEREO, layout(0x63F));
        assert_eq!(rows[..2], [[1.0, 0.0], [0.0, 1.0]]);
        assert!(rows[2..].iter().flatten().all(|g| *g == 0.0));
    }

    #[test]
    fn an_unknown_sink_channel_stays_silent() {
        let sink = Layout::new(&[FrontLeft, FrontRight, Unknown]).unwrap();
        assert_eq!(gains(layout(0x004), sink), [[1.0], [1.0], [0.0]]);
    }

    #[test]
    fn layouts_have_names() {
        let names = [(0x004, "mono"), (0x003, "stereo"), (0x60F, "5.1 channels"), (0x033, "4 channels")];
        for (mask, name) in names {
            assert_eq!(layout(mask).to_string(), name);
        }
    }

    proptest! {
        #[test]
        fn every_guest_reaches_every_sink_without_clipping(
            guest_channels in 0u8..=255, mask in 0u16..=0xFFFF, sink_channels in 1u8..=8, sink_mask in 0u16..=0xFFFF,
        ) {
            let (guest, _) = Layout::of_guest(guest_channels, mask);
            let (sink, _) = Layout::of_guest(sink_channels, sink_mask);
            let rows = gains(guest, sink);
            for row in &rows {
                prop_assert!(row.iter().all(|g| (0.0..=1.0).contains(g)));
                prop_assert!(row.iter().sum::<f32>() <= 1.0 + 1e-5);
            }
        }

        #[test]
        fn a_packed_layout_comes_back(channels in 1u8..=8, mask in 0u16..=0xFFFF) {
            let (layout, _) = Layout::of_guest(channels, mask);
            prop_assert_eq!(Layout::unpack(layout.pack()), Some(layout));
        }

        #[test]
        fn no_word_unpacks_to_nonsense(word: u64) {
            if let Some(layout) = Layout::unpack(word) {
                prop_assert!((1..=MAX_CHANNELS).contains(&layout.channels()));
            }
        }
    }
}
