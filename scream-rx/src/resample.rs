//! One asynchronous resampler between the guest's rate and the sink's, and the exact place in the guest's sound of what
//! it gives next. The only file that names rubato.

use crate::channels::MAX_CHANNELS;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler as _, Resizable, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// The most frames made in one go.
pub const MAX_BLOCK: usize = 128;
/// Length of the filter in frames of the slower side. Flat to 20 kHz, −125 dB at worst, 0.67 ms at 48 kHz (see
/// `tests/bed/quality.rs`).
const SINC_FRAMES: usize = 64;
/// The same from below this rate to a higher one: with 64 frames it is -4.4 dB at 20 kHz, and -101 dB at 19 kHz folds back.
const SINC_FRAMES_TIGHT: usize = 112;
const TIGHT_BELOW_HZ: u32 = 46_000;
/// Filters between two frames of the slower side; between those a straight line. Its error is an eighth of the square of a
/// step: -123 dB at 19 kHz. (A cubic between 256 filters has none, and takes an eighth of the receiver's time more.)
const OVERSAMPLING: usize = 1024;
/// How far the ratio may leave the nominal one.
const MAX_RELATIVE: f64 = 1.02;
/// Rates that make sense on either side. Unit: hertz.
const RATES_HZ: core::ops::RangeInclusive<u32> = 8_000..=768_000;

/// A pair of rates that cannot be joined.
///
/// When: a sink or a guest names an absurd rate or channel count. Retrying does not help until it names another.
#[derive(Debug, thiserror::Error)]
#[error("cannot resample {channels} channels from {from_hz} Hz to {to_hz} Hz")]
pub struct CannotResample {
    from_hz: u32,
    to_hz: u32,
    channels: usize,
}

/// The resampler. Consumes interleaved frames of the guest, makes interleaved frames for the sink.
pub struct Resampler {
    /// Nothing if only the places matter.
    inner: Option<Async<f32>>,
    /// Samples are passed on as they are.
    straight: bool,
    /// Frames that are made next, and guest frames that were taken so far, without an `inner`.
    chunk: usize,
    taken: u64,
    channels: usize,
    /// Guest frames per sink frame: by the nominal rates, as of the last block, and as wanted for the next.
    nominal_step: f64,
    step: f64,
    next_step: f64,
    /// Guest frames advanced since the start; the sum of all steps.
    advanced: f64,
    /// Guest frames that the filter reaches beyond the one it makes.
    reach: f64,
    /// Filters between two guest frames.
    oversampling: usize,
}

impl Resampler {
    /// Allocates tables of some hundred kilobytes and computes them (about a millisecond): not for a real-time thread.
    ///
    /// # Errors
    /// [`CannotResample`] outside 8 kHz to 768 kHz, or with no or more than eight channels.
    pub fn new(from_hz: u32, to_hz: u32, channels: usize) -> Result<Resampler, CannotResample> {
        let mut resampler = Resampler::without_sound(from_hz, to_hz, channels)?;
        let filter = SincInterpolationParameters::new(resampler.reach as usize * 2, WindowFunction::Hann2)
            .oversampling_factor(resampler.oversampling)
            .interpolation(SincInterpolationType::Linear);
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let inner = Async::new_sinc(ratio, MAX_RELATIVE, &filter, MAX_BLOCK, channels, FixedAsync::Output);
        resampler.inner = Some(inner.map_err(|_| CannotResample { from_hz, to_hz, channels })?);
        Ok(resampler)
    }

    /// One that keeps all places as they would be, but makes no sound: [`Resampler::process`] leaves `out` alone.
    ///
    /// # Errors
    /// As [`Resampler::new`].
    pub fn without_sound(from_hz: u32, to_hz: u32, channels: usize) -> Result<Resampler, CannotResample> {
        let cannot = || CannotResample { from_hz, to_hz, channels };
        if !RATES_HZ.contains(&from_hz) || !RATES_HZ.contains(&to_hz) || !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(cannot());
        }
        // Going down, the filter must be as much longer as its cut-off is lower, or treble would fold back. Going up from
        // 44.1 kHz there is little room between what is heard and what must not be.
        let tight = from_hz < TIGHT_BELOW_HZ && from_hz < to_hz;
        let base = if tight { SINC_FRAMES_TIGHT } else { SINC_FRAMES };
        let longer = (from_hz.div_ceil(to_hz) as usize).clamp(1, 16);
        let sinc_len = base * longer;
        let step = f64::from(from_hz) / f64::from(to_hz);
        let reach = sinc_len as f64 / 2.0;
        Ok(Resampler {
            inner: None,
            straight: false,
            chunk: MAX_BLOCK,
            taken: 0,
            channels,
            nominal_step: step,
            step,
            next_step: step,
            advanced: 0.0,
            reach,
            oversampling: OVERSAMPLING / (from_hz / to_hz).clamp(1, 16) as usize,
        })
    }

    /// From the next start on samples are passed on as they are, if both rates are the same. Otherwise nothing changes.
    pub fn set_straight(&mut self) {
        if self.nominal_step == 1.0 {
            (self.straight, self.reach) = (true, 0.0);
            self.reset();
        }
    }

    /// Forgets all sound and starts anew at guest frame 0, with the nominal ratio.
    ///
    /// Real-time safe.
    pub fn reset(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.reset();
        }
        self.taken = 0;
        (self.step, self.next_step, self.advanced) = (self.nominal_step, self.nominal_step, 0.0);
    }

    /// Which guest frame, counted from the start, lies in the middle of the filter for the next frame out. It begins
    /// before 0: the filter is empty at first.
    pub fn position(&self) -> f64 {
        // The sound lies ahead of the middle of the filter: the filters are counted from one, not from zero. Measured (the
        // test on a tone shows it).
        let offset = 1.0 / self.oversampling as f64;
        if self.straight { self.advanced } else { self.advanced + self.next_step - self.reach + offset }
    }

    /// How many guest frames the filter needs beyond the one it makes, and for how many a block of `frames` is ready at
    /// most. For deciding whether enough is there.
    pub fn look_ahead(&self, frames: usize) -> f64 {
        self.reach + 1.0 + frames as f64 * self.nominal_step * MAX_RELATIVE
    }

    /// The most guest frames one block can need.
    pub fn max_input(&self) -> usize {
        let most = (MAX_BLOCK as f64 * self.nominal_step * MAX_RELATIVE).ceil() as usize + self.reach as usize + 2;
        self.inner.as_ref().map_or(most, |inner| inner.input_frames_max())
    }

    /// How many guest frames are taken for each that the nominal rates promise, from the next block on. Kept within 2 %.
    ///
    /// Real-time safe.
    pub fn set_consumption(&mut self, ratio: f64) {
        if self.straight {
            return;
        }
        let ratio = ratio.clamp(1.0 / 1.019, 1.019);
        let set = self.inner.as_mut().map(|inner| inner.set_resample_ratio_relative(1.0 / ratio, true));
        if set.is_none_or(|set| set.is_ok()) {
            self.next_step = self.nominal_step * ratio;
        }
    }

    /// How many guest frames the next block of `frames` (1 to [`MAX_BLOCK`]) needs.
    ///
    /// Real-time safe.
    pub fn prepare(&mut self, frames: usize) -> usize {
        self.chunk = frames.clamp(1, MAX_BLOCK);
        if self.straight {
            return self.chunk;
        }
        match &mut self.inner {
            Some(inner) => {
                // Cannot fail: the size is within the limits it was made with.
                let _ = inner.set_chunk_size(self.chunk);
                inner.input_frames_next()
            }
            None => (self.end_of_block().ceil() as u64 + 1).saturating_sub(self.taken) as usize,
        }
    }

    /// How far the guest's sound is advanced when the next block is made.
    fn end_of_block(&self) -> f64 {
        // The step goes straight from the old to the new over the block, and is moved before each frame.
        let n = self.chunk as f64;
        self.advanced + n * self.step + (self.next_step - self.step) * (n + 1.0) / 2.0
    }

    /// Makes the block that [`Resampler::prepare`] was asked for. `input` holds as many guest frames as that said, `out`
    /// as many as were asked for. Whether it could; if the buffers are too short nothing happens.
    ///
    /// Real-time safe.
    pub fn process(&mut self, input: &[f32], out: &mut [f32]) -> bool {
        if self.straight {
            let samples = self.chunk * self.channels;
            let (Some(from), Some(to)) = (input.get(..samples), out.get_mut(..samples)) else { return false };
            to.copy_from_slice(from);
        } else if let Some(inner) = &mut self.inner {
            let (taken, made) = (inner.input_frames_next(), inner.output_frames_next());
            let (Ok(from), Ok(mut to)) = (
                InterleavedSlice::new(input, self.channels, taken),
                InterleavedSlice::new_mut(out, self.channels, made),
            ) else {
                return false;
            };
            if inner.process_into_buffer(&from, &mut to, None).is_err() {
                return false;
            }
        }
        self.taken += (input.len() / self.channels) as u64;
        self.advanced = self.end_of_block();
        self.step = self.next_step;
        true
    }
}

impl core::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Resampler").field("channels", &self.channels).field("step", &self.step).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::PI;

    /// Resamples `signal` (of the guest frame's number) and gives pairs of position and output.
    fn run(from_hz: u32, to_hz: u32, ratio: impl Fn(usize) -> f64, signal: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut r = Resampler::new(from_hz, to_hz, 1).unwrap();
        let mut taken = 0;
        let mut pairs = Vec::new();
        for block in 0..400 {
            r.set_consumption(ratio(block));
            let frames = [128, 64, 17, 1][block % 4];
            let need = r.prepare(frames);
            assert!(need <= r.max_input());
            let input: Vec<f32> = (taken..taken + need).map(|i| signal(i as f64) as f32).collect();
            taken += need;
            let before = r.position();
            let mut out = vec![0.0; frames];
            assert!(r.process(&input, &mut out));
            let step = (r.position() - before) / frames as f64;
            pairs.extend(out.iter().enumerate().map(|(i, x)| (before + i as f64 * step, f64::from(*x))));
            // What is ahead of the position has been taken, and not much more.
            let ahead = taken as f64 - r.position();
            assert!((0.0..r.look_ahead(1) + 2.0).contains(&ahead), "{ahead}");
        }
        pairs
    }

    #[test]
    fn the_position_is_where_the_sound_is() {
        for (from_hz, to_hz) in
            [(48_000, 48_000), (44_100, 48_000), (48_000, 44_100), (96_000, 48_000), (192_000, 44_100)]
        {
            // A ramp goes through a symmetric filter unchanged, so the output tells its place.
            let ramp = |i: f64| i * 1e-5;
            for (position, out) in run(from_hz, to_hz, |_| 1.0, ramp).into_iter().skip(2000) {
                assert!(
                    (out / 1e-5 - position).abs() < 0.02 + 3e-5 * position,
                    "{from_hz} -> {to_hz}: {position} {}",
                    out / 1e-5
                );
            }
        }
    }

    #[test]
    fn the_position_stays_true_while_the_ratio_moves() {
        let wobble = |block: usize| 1.0 + 1500e-6 * (block as f64 / 20.0).sin();
        for (position, out) in run(48_000, 48_000, wobble, |i| i * 1e-5).into_iter().skip(2000) {
            assert!((out / 1e-5 - position).abs() < 0.02 + 3e-5 * position, "{position} {}", out / 1e-5);
        }
    }

    #[test]
    fn a_tone_comes_out_clean_at_a_drifting_ratio() {
        let hz = 997.0;
        let worst = run(48_000, 48_000, |_| 1.0 + 200e-6, |i| 0.5 * (2.0 * PI * hz * i / 48_000.0).sin())
            .into_iter()
            .skip(4000)
            .map(|(p, out)| (out - 0.5 * (2.0 * PI * hz * p / 48_000.0).sin()).abs())
            .fold(0.0, f64::max);
        assert!(20.0 * worst.log10() < -90.0, "{} dB", 20.0 * worst.log10());
    }

    #[test]
    fn treble_does_not_fold_back_when_the_rate_is_cut_by_four() {
        // 30 kHz at 192 kHz lies above what 48 kHz can carry.
        let tone = |i: f64| (2.0 * PI * 30_000.0 * i / 192_000.0).sin();
        let worst =
            run(192_000, 48_000, |_| 1.0, tone).into_iter().skip(2000).map(|(_, x)| x.abs()).fold(0.0, f64::max);
        assert!(20.0 * worst.log10() < -80.0, "{} dB", 20.0 * worst.log10());
    }

    #[test]
    fn absurd_rates_are_refused() {
        for (from_hz, to_hz, channels) in
            [(0, 48_000, 2), (48_000, 0, 2), (u32::MAX, 48_000, 2), (48_000, 48_000, 0), (48_000, 48_000, 9)]
        {
            assert!(Resampler::new(from_hz, to_hz, channels).is_err());
        }
    }

    #[test]
    fn short_buffers_are_refused_without_a_change() {
        let mut r = Resampler::new(48_000, 48_000, 2).unwrap();
        let need = r.prepare(64);
        let before = r.position();
        assert!(!r.process(&vec![0.0; 2 * need - 1], &mut [0.0; 128]));
        assert!(!r.process(&vec![0.0; 2 * need], &mut [0.0; 127]));
        assert_eq!(r.position(), before);
    }
}
