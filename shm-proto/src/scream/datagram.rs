//! One datagram of the UDP transport: five bytes that name the format, then PCM. No sequence number, no time, no
//! checksum. Pure: bytes in, a checked datagram or the kind of its nonsense out.
//!
//! Source: the wire reference of Scream 4.0, sections 3.1, 3.4 and 3.6.

use super::format::{Format, SampleBits, UDP_HEADER_BYTES};
use crate::guest::Corrupt;

/// PCM in a datagram of the driver's. Other senders may put less into one. Unit: bytes. Source: reference, section 3.1.
pub const PAYLOAD_BYTES: usize = 1152;
/// A whole datagram of the driver's. Unit: bytes.
pub const DATAGRAM_BYTES: usize = UDP_HEADER_BYTES + PAYLOAD_BYTES;
/// A datagram of the variant with a program's name of 30 bytes in front. Unit: bytes. Source: reference, section 3.6.
pub const NAMED_DATAGRAM_BYTES: usize = 30 + DATAGRAM_BYTES;
/// The longest frame: eight channels of 32 bits. Unit: bytes.
const MAX_FRAME_BYTES: usize = 32;
/// Room for the frames of one datagram and what was carried over from the one before. Unit: bytes.
pub const JOINED_BYTES: usize = PAYLOAD_BYTES + MAX_FRAME_BYTES;
/// A 16-bit sample below this is quiet to the driver; a 32-bit one below so many times 65 536. Source: section 3.4.
const QUIET: i32 = 5;

/// A checked datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    format: Format,
    pcm: &'a [u8],
}

/// Why some bytes are no datagram of Scream's. Nothing is played of them; the next one may be fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Junk {
    /// No PCM behind the header, or not even a header.
    #[error("a datagram of {bytes} bytes holds no sound")]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// Longer than any that the driver sends.
    #[error("a datagram of {bytes} bytes is longer than Scream's")]
    TooLong {
        /// Its length, as far as it was received.
        bytes: usize,
    },
    /// As long as one with a program's name in front, which another sender makes.
    #[error("a datagram has a program's name in front of Scream's header")]
    Named,
    /// The header makes no sense.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl<'a> Datagram<'a> {
    /// Checks what came from the network. The PCM need not be whole frames: see [`Straddle`].
    ///
    /// # Errors
    /// [`Junk`].
    pub fn check(bytes: &'a [u8]) -> Result<Datagram<'a>, Junk> {
        if bytes.len() == NAMED_DATAGRAM_BYTES {
            return Err(Junk::Named);
        }
        if bytes.len() > DATAGRAM_BYTES {
            return Err(Junk::TooLong { bytes: bytes.len() });
        }
        match bytes.split_first_chunk::<UDP_HEADER_BYTES>() {
            Some((header, pcm)) if !pcm.is_empty() => Ok(Datagram { format: Format::from_udp(*header)?, pcm }),
            _ => Err(Junk::TooShort { bytes: bytes.len() }),
        }
    }

    /// What the sound is.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The PCM, as it was sent.
    pub const fn pcm(&self) -> &'a [u8] {
        self.pcm
    }

    /// Samples at the end of the PCM that the driver counts as quiet; all of them if it is quiet throughout. 24-bit
    /// samples are never quiet to it.
    pub fn quiet_samples_at_end(&self) -> usize {
        let width = self.format.bits().bytes() as usize;
        let samples = self.pcm.chunks_exact(width).rev();
        match self.format.bits() {
            SampleBits::Bits16 => samples.take_while(|s| is_quiet(&[0, 0, s[0], s[1]])).count(),
            SampleBits::Bits24 => 0,
            SampleBits::Bits32 => samples.take_while(|s| is_quiet(s)).count(),
        }
    }
}

fn is_quiet(sample: &[u8]) -> bool {
    let limit = i64::from(QUIET) << 16;
    sample.try_into().is_ok_and(|bytes| i64::from(i32::from_le_bytes(bytes)).abs() < limit)
}

/// The header that the driver puts before sound of `format`. The rate is floored as the driver does; one below 48 000
/// that is no multiple of 44 100 cannot be announced and comes out as nonsense.
pub const fn header_of(format: Format) -> [u8; UDP_HEADER_BYTES] {
    let [low, high] = format.mask().to_le_bytes();
    [format.rate_code(), format.bits().bits(), format.channels(), low, high]
}

/// Whether frames of `format` end where the driver's datagrams end. Not so with five and seven channels.
pub const fn ends_with_datagram(format: Format) -> bool {
    (PAYLOAD_BYTES as u32).is_multiple_of(format.frame_bytes())
}

/// Joins frames that straddle datagrams: with five and seven channels a datagram ends in the middle of a frame.
///
/// Where frames and datagrams end together, a rest is the end of something cut off, and dropped. Whoever joins such a
/// sender in the middle of its sound cannot know where a frame begins: the channels may then be rotated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Straddle {
    carried: [u8; MAX_FRAME_BYTES],
    used: usize,
    format: Option<Format>,
}

impl Straddle {
    /// Puts the whole frames that `datagram` completes into `out`, and keeps the rest. Gives how many bytes that are.
    /// Another format than before drops what was kept. Nothing is put into an `out` shorter than [`JOINED_BYTES`].
    ///
    /// Real-time safe: no allocation.
    pub fn join(&mut self, datagram: &Datagram<'_>, out: &mut [u8]) -> usize {
        if self.format != Some(datagram.format) {
            *self = Straddle { format: Some(datagram.format), ..Straddle::default() };
        }
        let frame_bytes = datagram.format.frame_bytes() as usize;
        let total = self.used + datagram.pcm.len();
        let whole = total - total % frame_bytes;
        let (Some(head), Some(body)) = (out.get_mut(..self.used), self.carried.get(..self.used)) else { return 0 };
        head.copy_from_slice(body);
        let Some(rest) = out.get_mut(self.used..total) else { return 0 };
        rest.copy_from_slice(datagram.pcm);
        self.used = 0;
        if !ends_with_datagram(datagram.format)
            && let (Some(rest), true) = (out.get(whole..total), total - whole < MAX_FRAME_BYTES)
            && let Some(carried) = self.carried.get_mut(..rest.len())
        {
            carried.copy_from_slice(rest);
            self.used = rest.len();
        }
        whole
    }

    /// So many datagrams of the driver's were lost: the next one begins elsewhere in its frame. What is missing of that
    /// frame is silence.
    pub fn lost(&mut self, datagrams: u64) {
        let Some(format) = self.format.filter(|f| !ends_with_datagram(*f)) else { return };
        let frame_bytes = u64::from(format.frame_bytes());
        let bytes = (self.used as u64 + datagrams % frame_bytes * PAYLOAD_BYTES as u64) % frame_bytes;
        self.carried = [0; MAX_FRAME_BYTES];
        self.used = usize::try_from(bytes).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(format: Format, pcm: &[u8]) -> Vec<u8> {
        [&header_of(format)[..], pcm].concat()
    }

    #[test]
    fn a_datagram_of_the_driver_is_taken_as_it_is() {
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        let bytes = made(format, &[7; PAYLOAD_BYTES]);
        assert_eq!((bytes.len(), &bytes[..5]), (1157, &[0x01, 16, 2, 3, 0][..]));
        let datagram = Datagram::check(&bytes).unwrap();
        assert_eq!((datagram.format(), datagram.pcm()), (format, &[7; PAYLOAD_BYTES][..]));
        // Other senders send less.
        assert_eq!(Datagram::check(&bytes[..6]).unwrap().pcm(), [7]);
    }

    #[test]
    fn each_kind_of_nonsense_has_its_name() {
        let good = made(Format::new(48_000, 16, 2, 3).unwrap(), &[0; PAYLOAD_BYTES]);
        for length in 0..=5 {
            assert_eq!(Datagram::check(&good[..length]), Err(Junk::TooShort { bytes: length }));
        }
        assert_eq!(Datagram::check(&[1; 1158]), Err(Junk::TooLong { bytes: 1158 }));
        assert_eq!(Datagram::check(&[1; 1187]), Err(Junk::Named));
        for (at, field) in [(0, "sample_rate"), (1, "sample_size"), (2, "channels")] {
            let mut bad = good.clone();
            bad[at] = 0;
            let Err(Junk::Corrupt(corrupt)) = Datagram::check(&bad) else { panic!("{field}") };
            assert_eq!(corrupt.field, field);
        }
    }

    #[test]
    fn quiet_is_what_the_driver_takes_for_quiet() {
        let quiet = |bits: u8, samples: &[i32]| {
            let format = Format::new(48_000, bits, 2, 3).unwrap();
            let width = usize::from(bits / 8);
            let pcm: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()[..width].to_vec()).collect();
            Datagram::check(&made(format, &pcm)).unwrap().quiet_samples_at_end()
        };
        assert_eq!(quiet(16, &[4, -4, 5, 4, -4, 0]), 3);
        assert_eq!(quiet(16, &[0, 0, 0, 0]), 4);
        assert_eq!(quiet(16, &[0, 0, 0, -5]), 0);
        assert_eq!(quiet(24, &[0, 0]), 0, "the driver never takes 24 bit for quiet");
        assert_eq!(quiet(32, &[0, 5 << 16, (5 << 16) - 1, i32::MIN]), 0);
        assert_eq!(quiet(32, &[5 << 16, (5 << 16) - 1, -(4 << 16)]), 2);
    }

    #[test]
    fn frames_of_all_channel_counts_come_out_as_they_went_in() {
        for bits in [16, 24, 32] {
            for channels in 1..=8 {
                let format = Format::new(48_000, bits, channels, 0).unwrap();
                let sound: Vec<u8> = (0..PAYLOAD_BYTES * 40).map(|n| (n / 7 % 251) as u8).collect();
                let (mut straddle, mut joined, mut out) = (Straddle::default(), Vec::new(), [0; JOINED_BYTES]);
                for pcm in sound.chunks(PAYLOAD_BYTES) {
                    let bytes = made(format, pcm);
                    let datagram = Datagram::check(&bytes).unwrap();
                    let whole = straddle.join(&datagram, &mut out);
                    assert_eq!(whole % format.frame_bytes() as usize, 0);
                    joined.extend_from_slice(&out[..whole]);
                }
                assert!(sound.len() - joined.len() < format.frame_bytes() as usize, "{format}");
                assert_eq!(joined, sound[..joined.len()], "{format}");
            }
        }
    }

    #[test]
    fn a_loss_that_is_told_puts_straddling_channels_back() {
        for (channels, lost) in [(5, 1), (5, 3), (7, 1), (7, 10)] {
            let format = Format::new(48_000, 16, channels, 0).unwrap();
            let frame = usize::from(channels) * 2;
            // Each sample holds its channel's number.
            let sound: Vec<u8> =
                (0..PAYLOAD_BYTES * 40 / 2).flat_map(|n| [(n % usize::from(channels)) as u8, 0]).collect();
            let (mut straddle, mut out) = (Straddle::default(), [0; JOINED_BYTES]);
            for (n, pcm) in sound.chunks(PAYLOAD_BYTES).enumerate() {
                if (7..7 + lost).contains(&n) {
                    continue;
                }
                if n == 7 + lost {
                    straddle.lost(lost as u64);
                }
                let bytes = made(format, pcm);
                let whole = straddle.join(&Datagram::check(&bytes).unwrap(), &mut out);
                // The first frame after the loss lacks its beginning.
                let from = if n == 7 + lost { frame } else { 0 };
                for joined in out[from..whole].chunks(frame) {
                    assert!(joined.chunks(2).zip(0..).all(|(s, c)| s[0] == c), "{channels} channels, {n}: {joined:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_cut_off_does_not_shift_the_rest() {
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        let (mut straddle, mut out) = (Straddle::default(), [0; JOINED_BYTES]);
        let cut = made(format, &[9; 1151]);
        assert_eq!(straddle.join(&Datagram::check(&cut).unwrap(), &mut out), 1148);
        let whole = made(format, &[3; 1152]);
        assert_eq!(straddle.join(&Datagram::check(&whole).unwrap(), &mut out), 1152);
        assert_eq!(out[..1152], [3; 1152]);
    }

    proptest! {
        #[test]
        fn no_bytes_from_the_network_do_harm(
            datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1400), 0..20),
            lost in any::<u64>(),
            header in (0u8..8, prop_oneof![Just(16u8), Just(24), Just(32)], 1u8..=8),
        ) {
            let (mut straddle, mut out) = (Straddle::default(), [0; JOINED_BYTES]);
            for mut bytes in datagrams {
                // Half of them have a header that makes sense.
                if bytes.len() % 2 == 0 && bytes.len() > 5 {
                    (bytes[0], bytes[1], bytes[2]) = header;
                }
                if let Ok(datagram) = Datagram::check(&bytes) {
                    let whole = straddle.join(&datagram, &mut out);
                    prop_assert!(whole <= JOINED_BYTES && whole.is_multiple_of(datagram.format().frame_bytes() as usize));
                    prop_assert!(datagram.quiet_samples_at_end() <= datagram.pcm().len());
                    straddle.lost(lost);
                }
            }
        }

        #[test]
        fn any_format_that_can_be_announced_is_read_back(
            code in prop_oneof![1u8..=8, 0x81u8..=0x88], bits in prop_oneof![Just(16u8), Just(24), Just(32)],
            channels in 1u8..=8, mask in any::<u16>(),
        ) {
            let format = Format::from_udp([code, bits, channels, mask as u8, (mask >> 8) as u8]).unwrap();
            prop_assert_eq!(Format::from_udp(header_of(format)).unwrap(), format);
        }
    }
}
