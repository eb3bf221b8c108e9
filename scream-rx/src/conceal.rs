//! Hides a gap: what is missing is filled with the last pitch period, or where there is none with a mirror image of the
//! last milliseconds, and fades to silence; what returns is faded in over it. So nothing ever starts, stops or jumps with an
//! edge. Works on frames before the resampler, so the timeline goes on while nothing comes. Pure.

use core::f32::consts::PI;

/// Fades to and from silence, and from what was made up to what is real. Unit: milliseconds.
const FADE_MS: u32 = 5;
/// The same where a tone was made up: the slower, the less its phase is heard to jump. Unit: milliseconds.
const TONE_FADE_MS: u32 = 10;
/// What is made up holds its level this long, then fades until so long after the last real frame. Unit: milliseconds.
const HOLD_MS: u32 = 10;
const TAIL_MS: u32 = 20;
/// Pitch periods that are looked for (50 to 400 Hz). Unit: tenths of a millisecond.
const SHORTEST_LAG: u32 = 25;
const LONGEST_LAG: u32 = 200;
/// How much of the past is compared. Unit: tenths of a millisecond.
const TEMPLATE: u32 = 100;
/// How alike two pieces must be to be taken for periods of one tone.
const ALIKE: f32 = 0.85;
/// The search runs at about this rate. Unit: hertz.
const SEARCH_HZ: u32 = 12_000;
/// Where a period follows the last one, the difference to what came before is let out within this time, and its
/// steady part sooner. Unit: tenths of a millisecond.
const SEAM: u32 = 25;
const STEADY: u32 = 10;

/// How the gap is being filled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filling {
    /// The last `lag` frames again and again.
    Periods { lag: usize },
    /// The last frames mirrored.
    Mirrored,
    /// Nothing.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Real sound passes.
    Real,
    /// The `at`-th frame after the last real one is next.
    Missing { filling: Filling, at: usize },
    /// Real sound came back `back` frames ago and fades in over what is made up.
    Returning { filling: Filling, at: usize, back: usize },
}

/// Passes real frames through, makes up missing ones.
#[derive(Clone, Debug)]
pub struct Concealer {
    channels: usize,
    rate_hz: u32,
    /// The last frames that went out, as a circle of interleaved frames.
    history: Vec<f32>,
    /// Frames in `history`, and frames ever written to it.
    capacity: usize,
    written: u64,
    /// `written` when the gap began: where the past ends that fillings are made from.
    gap_at: u64,
    /// The past in mono at the search rate.
    search: Vec<f32>,
    phase: Phase,
}

impl Concealer {
    /// For frames of `channels` samples at `rate_hz`. Begins in silence, so that the first sound is faded in.
    pub fn new(channels: usize, rate_hz: u32) -> Concealer {
        let channels = channels.max(1);
        // The longest period and its template, and what is written until what was made up is silent.
        let capacity = tenths(rate_hz, LONGEST_LAG + TEMPLATE) + frames(rate_hz, TAIL_MS + TONE_FADE_MS) + 64;
        Concealer {
            channels,
            rate_hz,
            history: vec![0.0; capacity * channels],
            capacity,
            written: 0,
            gap_at: 0,
            search: vec![0.0; capacity / search_step(rate_hz) + 1],
            phase: Phase::Missing { filling: Filling::Silence, at: 0 },
        }
    }

    /// Whether nothing is heard any more.
    pub fn is_silent(&self) -> bool {
        match self.phase {
            Phase::Missing { filling, at } => at >= self.tail(filling),
            _ => false,
        }
    }

    /// Interleaved frames that are really there; faded where they follow a gap.
    ///
    /// Real-time safe.
    pub fn real(&mut self, block: &mut [f32]) {
        if let Phase::Missing { filling, at } = self.phase {
            self.phase = Phase::Returning { filling, at, back: 0 };
        }
        let fade = self.fade();
        let mut faded = 0;
        for frame in block.chunks_exact_mut(self.channels) {
            let Phase::Returning { filling, at, back } = self.phase else { break };
            let gain = rising(back, fade);
            for (channel, x) in frame.iter_mut().enumerate() {
                *x = *x * gain + self.made_up(filling, at, channel) * (1.0 - gain);
            }
            let back = back + 1;
            self.phase = if back < fade { Phase::Returning { filling, at: at + 1, back } } else { Phase::Real };
            self.remember(frame);
            faded += frame.len();
        }
        self.remember(block.get(faded..).unwrap_or_default());
    }

    /// Over how many frames what is real comes back.
    fn fade(&self) -> usize {
        let made_of_tone = matches!(self.phase, Phase::Returning { filling: Filling::Periods { .. }, .. });
        frames(self.rate_hz, if made_of_tone { TONE_FADE_MS } else { FADE_MS })
    }

    /// As [`Concealer::real`] for `count` frames, where only the time matters.
    pub fn pass_real(&mut self, count: usize) {
        if let Phase::Missing { filling, at } = self.phase {
            self.phase = Phase::Returning { filling, at, back: 0 };
        }
        if let Phase::Returning { filling, at, back } = self.phase {
            let back = back + count;
            let going_on = back < self.fade();
            self.phase = if going_on { Phase::Returning { filling, at: at + count, back } } else { Phase::Real };
        }
    }

    /// As [`Concealer::missing`] for `count` frames, where only the time matters.
    pub fn pass_missing(&mut self, count: usize) {
        let (filling, at) = match self.phase {
            Phase::Missing { filling, at } => (filling, at),
            // As long as any: what a tone would be given.
            _ => (Filling::Periods { lag: 1 }, 0),
        };
        self.phase = Phase::Missing { filling, at: at.saturating_add(count) };
    }

    /// Interleaved frames that are not there: what to play in their place.
    ///
    /// Real-time safe: no allocation. The first call of a gap searches for a pitch, some ten thousand multiplications.
    pub fn missing(&mut self, block: &mut [f32]) {
        for frame in block.chunks_exact_mut(self.channels) {
            let (filling, at) = match self.phase {
                Phase::Missing { filling, at } => (filling, at),
                _ => self.begin_gap(),
            };
            for (channel, x) in frame.iter_mut().enumerate() {
                *x = self.made_up(filling, at, channel);
            }
            // What went out is the past of whatever comes next.
            self.remember(frame);
            self.phase = Phase::Missing { filling, at: at.saturating_add(1) };
        }
    }

    /// The next real frames do not follow the last ones: they are faded in over the end of those.
    pub fn splice(&mut self) {
        if !matches!(self.phase, Phase::Missing { .. }) {
            let (filling, at) = self.begin_gap();
            self.phase = Phase::Missing { filling, at };
        }
    }

    /// What would be made up from the `from`-th missing frame on, in mono; nothing is changed. Whether a gap has begun.
    ///
    /// Real-time safe.
    pub fn preview(&self, from: usize, out: &mut [f32]) -> bool {
        let Phase::Missing { filling, at } = self.phase else { return false };
        for (i, x) in out.iter_mut().enumerate() {
            *x = (0..self.channels).map(|channel| self.made_up(filling, at + from + i, channel)).sum();
        }
        true
    }

    fn begin_gap(&mut self) -> (Filling, usize) {
        self.gap_at = self.written;
        let filling = match self.find_period() {
            Some(lag) => Filling::Periods { lag },
            None => Filling::Mirrored,
        };
        (filling, 0)
    }

    /// The newest of what went out, as much as the past holds.
    fn remember(&mut self, frames: &[f32]) {
        let count = frames.len() / self.channels;
        let newest = count.min(self.capacity);
        self.written += (count - newest) as u64;
        let new = &frames[(count - newest) * self.channels..count * self.channels];
        let at = (self.written % self.capacity as u64) as usize;
        let (before, after) = new.split_at((self.capacity - at).min(newest) * self.channels);
        self.history[at * self.channels..][..before.len()].copy_from_slice(before);
        self.history[..after.len()].copy_from_slice(after);
        self.written += newest as u64;
    }

    /// The sample that went out `back` frames before the gap (1 is the last).
    fn past(&self, back: usize, channel: usize) -> f32 {
        let at = self.gap_at.wrapping_sub(back as u64) % self.capacity as u64;
        if back as u64 > self.gap_at { 0.0 } else { self.history[at as usize * self.channels + channel] }
    }

    /// After how many frames a filling is silent.
    fn tail(&self, filling: Filling) -> usize {
        match filling {
            Filling::Periods { .. } => frames(self.rate_hz, TAIL_MS),
            Filling::Mirrored => frames(self.rate_hz, FADE_MS),
            Filling::Silence => 0,
        }
    }

    fn made_up(&self, filling: Filling, at: usize, channel: usize) -> f32 {
        let tail = self.tail(filling);
        if at >= tail {
            return 0.0;
        }
        let x = match filling {
            Filling::Periods { lag } => {
                let hold = frames(self.rate_hz, HOLD_MS);
                let gain = 1.0 - rising(at.saturating_sub(hold), tail - hold);
                let within = at % lag;
                let seam = tenths(self.rate_hz, SEAM).min(lag);
                let off = |back: usize| self.past(back, channel) - self.past(back + lag, channel);
                (self.past(lag - within, channel) + self.mirrored(within, seam, off)) * gain
            }
            Filling::Mirrored => self.mirrored(at, tail, |back| self.past(back, channel)),
            Filling::Silence => 0.0,
        };
        // A mirror image of what was made up itself could grow with each gap, and no device plays more.
        x.clamp(-1.0, 1.0)
    }

    /// Goes on from a past (1 is the last frame) without a step or a kink, and fades: the past mirrored at its last value.
    /// What that value itself adds is gone soon, so that it does not thump.
    fn mirrored(&self, at: usize, tail: usize, past: impl Fn(usize) -> f32) -> f32 {
        if at >= tail {
            return 0.0;
        }
        let steady = tenths(self.rate_hz, STEADY).min(tail);
        2.0 * past(1) * (1.0 - rising(at, steady)) - past(at + 2) * (1.0 - rising(at, tail))
    }

    /// The length in frames of the pitch period that the sound had when the gap began, if it had one.
    fn find_period(&mut self) -> Option<usize> {
        let step = search_step(self.rate_hz);
        let wanted = tenths(self.rate_hz, LONGEST_LAG + TEMPLATE) / step;
        let known = usize::try_from(self.gap_at).unwrap_or(usize::MAX).min(self.capacity) / step;
        let (shortest, longest) = (tenths(self.rate_hz, SHORTEST_LAG) / step, tenths(self.rate_hz, LONGEST_LAG) / step);
        let template = tenths(self.rate_hz, TEMPLATE) / step;
        if known < wanted || wanted > self.search.len() {
            return None;
        }
        // search[i] is the mono sound i steps before the gap.
        for i in 0..wanted {
            self.search[i] = (1..=step).map(|k| self.past_mono(i * step + k)).sum();
        }
        let now = &self.search[..template];
        let energy = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>();
        let likeness = |lag: usize| {
            let then = &self.search[lag..lag + template];
            let product: f32 = now.iter().zip(then).map(|(a, b)| a * b).sum();
            product / (energy(now) * energy(then)).sqrt().max(f32::MIN_POSITIVE)
        };
        // A shorter period wins unless a longer one is clearly more alike: all multiples of a period are periods.
        let best = (shortest..=longest).map(&likeness).fold(0.0, f32::max);
        if best < ALIKE {
            return None;
        }
        let coarse = (shortest..=longest).find(|lag| likeness(*lag) > best - 0.003)?;
        let peak = (coarse..=(coarse + shortest).min(longest)).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)))?;
        Some(self.refine(peak * step, step))
    }

    /// The lag within `step` of `coarse` with the least difference over the last 2.5 ms.
    fn refine(&self, coarse: usize, step: usize) -> usize {
        let compare = tenths(self.rate_hz, SEAM);
        let longest = self.capacity - compare;
        let difference = |lag: usize| -> f32 {
            let d = |k: usize| self.past_mono(k) - self.past_mono(k + lag);
            (1..=compare).map(|k| d(k) * d(k)).sum()
        };
        let around = coarse.saturating_sub(step).max(1)..=(coarse + step).min(longest);
        around.min_by(|a, b| difference(*a).total_cmp(&difference(*b))).unwrap_or(coarse.max(1))
    }

    fn past_mono(&self, back: usize) -> f32 {
        (0..self.channels).map(|channel| self.past(back, channel)).sum()
    }
}

fn frames(rate_hz: u32, ms: u32) -> usize {
    (rate_hz as usize * ms as usize).div_ceil(1000).max(1)
}

/// Frames that are one step of the search.
fn search_step(rate_hz: u32) -> usize {
    (rate_hz / SEARCH_HZ).max(1) as usize
}

fn tenths(rate_hz: u32, tenths_ms: u32) -> usize {
    (rate_hz as usize * tenths_ms as usize).div_ceil(10_000).max(1)
}

/// Half a cosine from 0 to 1 over `length` frames.
pub(crate) fn rising(at: usize, length: usize) -> f32 {
    if at >= length { 1.0 } else { 0.5 - 0.5 * (PI * (at as f32 + 0.5) / length as f32).cos() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE_HZ: u32 = 48_000;

    fn tone(hz: f32, from: usize, count: usize) -> Vec<f32> {
        let sample = |i: usize| 0.5 * (2.0 * PI * hz * (i as f32) / RATE_HZ as f32).sin();
        (from..from + count).flat_map(|i| [sample(i), 0.5 * sample(i)]).collect()
    }

    /// The largest step between neighbouring frames of a channel.
    fn largest_step(x: &[f32]) -> f32 {
        x.windows(3).map(|w| (w[2] - w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn sound_begins_with_a_fade_and_then_passes_untouched() {
        let mut c = Concealer::new(2, RATE_HZ);
        assert!(c.is_silent());
        let mut block = vec![1.0; 2 * 480];
        c.real(&mut block);
        assert!(block[0] < 1e-3 && block[1] == block[0]);
        assert!(block.windows(3).all(|w| w[2] >= w[0]));
        assert!(block[2 * 240..].iter().all(|x| *x == 1.0), "after 5 ms it is itself");
    }

    #[test]
    fn a_gap_in_a_tone_is_filled_with_the_tone() {
        // The period is found to a frame; the higher the tone, the more a part of a frame matters.
        for (hz, off) in [(60.0, 0.02), (97.3, 0.02), (220.0, 0.03), (440.0, 0.06), (997.0, 0.15)] {
            let mut c = Concealer::new(2, RATE_HZ);
            let mut out = tone(hz, 0, 4800);
            c.real(&mut out);
            let mut gap = vec![9.0; 2 * 480];
            c.missing(&mut gap);
            let expected = tone(hz, 4800, 480);
            let worst = gap.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < off, "{hz} Hz: {worst}");
            let mut back = tone(hz, 5280, 960);
            c.real(&mut back);
            out.extend(gap.iter().chain(&back));
            let steepest = largest_step(&tone(hz, 0, 4800));
            assert!(largest_step(&out[960..]) < 1.3 * steepest + 1e-3, "{hz} Hz: {} {steepest}", largest_step(&out));
        }
    }

    #[test]
    fn what_is_made_up_does_not_depend_on_the_pieces_that_came() {
        let sound = tone(220.0, 0, 9_600);
        let filling = |piece: usize| {
            let mut c = Concealer::new(2, RATE_HZ);
            sound.clone().chunks_mut(2 * piece).for_each(|block| c.real(block));
            let mut gap = vec![9.0; 2 * 960];
            c.missing(&mut gap);
            gap
        };
        let one_by_one = filling(1);
        assert!(one_by_one.iter().any(|x| x.abs() > 0.1));
        for piece in [7, 180, 480, 4_799, 9_600] {
            assert_eq!(filling(piece), one_by_one, "{piece}");
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_without_an_edge() {
        let mut c = Concealer::new(2, RATE_HZ);
        let mut out = tone(300.0, 0, 4801);
        c.real(&mut out);
        let mut gap = vec![9.0; 2 * 4800];
        c.missing(&mut gap);
        assert!(c.is_silent());
        assert!(gap[2 * 960..].iter().all(|x| *x == 0.0), "silent after 20 ms");
        out.extend(&gap);
        assert!(largest_step(&out[960..]) < 0.025);
        let mut back = tone(300.0, 9601, 4800);
        c.real(&mut back);
        assert!(!c.is_silent() && largest_step(&back) < 0.025 && back[0].abs() < 1e-3);
    }

    #[test]
    fn noise_is_not_repeated_but_faded() {
        let mut c = Concealer::new(1, RATE_HZ);
        let mut seed = 1u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut out: Vec<f32> = (0..4800).map(|_| noise()).collect();
        c.real(&mut out);
        let mut gap = vec![9.0; 480];
        c.missing(&mut gap);
        assert!(gap.iter().all(|x| x.abs() < 1.6), "it is hardly louder than it was");
        assert!(gap[240..].iter().all(|x| *x == 0.0), "silent after 5 ms");
    }

    #[test]
    fn a_splice_has_no_edge() {
        let mut c = Concealer::new(2, RATE_HZ);
        let mut out = tone(440.0, 0, 4800);
        c.real(&mut out);
        c.splice();
        // 37 frames are skipped: a third of a period.
        let mut after = tone(440.0, 4837, 4800);
        c.real(&mut after);
        out.extend(&after);
        let steepest = largest_step(&tone(440.0, 0, 4800));
        assert!(largest_step(&out[960..]) < 1.3 * steepest, "{} {steepest}", largest_step(&out[960..]));
    }

    #[test]
    fn a_splice_while_the_sound_returns_has_no_edge() {
        for back in [1, 100, 240, 400, 479] {
            let mut c = Concealer::new(2, RATE_HZ);
            let mut out = tone(440.0, 0, 4800);
            c.real(&mut out);
            let mut append = |c: &mut Concealer, real: Option<usize>, frames: usize| {
                let mut block = real.map_or(vec![9.0; 2 * frames], |from| tone(440.0, from, frames));
                if real.is_some() {
                    c.real(&mut block)
                } else {
                    c.missing(&mut block)
                }
                out.extend(block);
            };
            append(&mut c, None, 766);
            append(&mut c, Some(5566), back);
            c.splice();
            append(&mut c, None, 862);
            append(&mut c, Some(5566 + back), 4800);
            let steepest = largest_step(&tone(440.0, 0, 4800));
            let steps: Vec<f32> = out.windows(3).map(|w| (w[2] - w[0]).abs()).collect();
            let at = steps.iter().position(|s| *s > 1.4 * steepest);
            assert!(at.is_none(), "{back}: {} at {:?}", largest_step(&out[960..]), at.map(|i| i / 2));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_sequence_is_louder_than_full_scale(
            channels in 1usize..=8, rate in prop::sample::select(vec![8_000u32, 44_100, 48_000, 192_000]),
            steps in prop::collection::vec((0u8..3, 1usize..3000), 1..12),
        ) {
            let mut c = Concealer::new(channels, rate);
            let mut n = 0u32;
            for (what, count) in steps {
                let mut block: Vec<f32> = (0..count * channels).map(|_| { n = n.wrapping_mul(69_069).wrapping_add(1); (n >> 8) as f32 / (1 << 23) as f32 - 1.0 }).collect();
                match what {
                    0 => c.real(&mut block),
                    1 => c.missing(&mut block),
                    _ => c.splice(),
                }
                if what < 2 {
                    prop_assert!(block.iter().all(|x| x.is_finite() && x.abs() <= 1.000_001));
                }
            }
        }
    }
}
