//! Makes and measures test tones: is this recording the sine that was sent, and does it have holes?

use std::f64::consts::TAU;
use std::path::Path;
use std::time::Duration;

/// Samples quieter than this are taken as silence. Unit: steps of 16 bits.
const SILENCE: u16 = 64;

/// A stereo sine, interleaved, at half of full scale.
pub fn sine(frequency_hz: f64, rate_hz: u32, length: Duration) -> Vec<i16> {
    let frames = (length.as_secs_f64() * f64::from(rate_hz)) as u32;
    (0..frames)
        .flat_map(|n| {
            let sample = ((TAU * frequency_hz * f64::from(n) / f64::from(rate_hz)).sin() * 16384.0) as i16;
            [sample, sample]
        })
        .collect()
}

/// What a WAV file holds.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Interleaved, in steps of 16 bits whatever the file's own are.
    pub samples: Vec<i16>,
    /// Samples that belong together.
    pub channels: usize,
    /// Frames a second.
    pub rate_hz: u32,
}

impl Recording {
    /// Reads a whole file.
    ///
    /// # Panics
    /// If it cannot be read to its end.
    pub fn read(path: &Path) -> Recording {
        let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let spec = reader.spec();
        let samples = match spec.sample_format {
            hound::SampleFormat::Float => {
                reader.samples::<f32>().map(|s| (s.expect("a whole file") * 32_767.0) as i16).collect()
            }
            hound::SampleFormat::Int => {
                let shift = spec.bits_per_sample - 16;
                reader.samples::<i32>().map(|s| (s.expect("a whole file") >> shift) as i16).collect()
            }
        };
        Recording { samples, channels: usize::from(spec.channels), rate_hz: spec.sample_rate }
    }

    /// Measures its first seconds.
    pub fn first(&self, seconds: usize) -> Tone {
        measure(&self.samples[..self.length(seconds)], self.channels, self.rate_hz)
    }

    /// Measures its last seconds.
    pub fn last(&self, seconds: usize) -> Tone {
        measure(&self.samples[self.samples.len() - self.length(seconds)..], self.channels, self.rate_hz)
    }

    fn length(&self, seconds: usize) -> usize {
        self.channels * self.rate_hz as usize * seconds
    }

    /// Measures all of it.
    pub fn tone(&self) -> Tone {
        measure(&self.samples, self.channels, self.rate_hz)
    }
}

/// What a recording holds between its first and its last sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// The strongest frequency.
    pub frequency_hz: f64,
    /// Length from the first to the last sound.
    pub length: Duration,
    /// Part of the power that is not the tone, from 0 (a pure sine) to 1 (no tone at all). Windows are judged one by
    /// one and this is the median, so single breaks do not count here but in `breaks`.
    pub impurity: f64,
    /// Windows of a hundredth of a second in which the wave does not continue the one before: a hole, a jump, a click.
    /// The first and the last do not count, so that a tone may be faded in and out.
    pub breaks: usize,
}

impl Tone {
    /// Whether this is a pure tone of `frequency_hz` for more than `seconds`, with no more than so many breaks.
    pub fn is_pure(&self, frequency_hz: f64, seconds: f64, breaks: usize) -> bool {
        let is_it = (self.frequency_hz - frequency_hz).abs() < 0.5 && self.impurity < 1e-4;
        is_it && self.breaks <= breaks && self.length.as_secs_f64() > seconds
    }

    /// Requires that it [is pure](Tone::is_pure).
    ///
    /// # Panics
    /// If it is not: with what was heard.
    #[track_caller]
    pub fn check(&self, frequency_hz: f64, seconds: f64, breaks: usize) {
        assert!(self.is_pure(frequency_hz, seconds, breaks), "{self:?}");
    }
}

/// Measures the first channel of `samples`.
///
/// # Panics
/// If there is no sound at all.
pub fn measure(samples: &[i16], channels: usize, rate_hz: u32) -> Tone {
    let mono: Vec<f64> = samples.iter().step_by(channels).map(|s| f64::from(*s)).collect();
    let loud = |s: &f64| s.abs() > f64::from(SILENCE);
    let first = mono.iter().position(loud).expect("the recording is silent");
    let last = mono.iter().rposition(loud).expect("the recording is silent");
    let sound = &mono[first..=last];
    let rate = f64::from(rate_hz);
    let frequency_hz = frequency(sound, rate);
    let window = rate_hz as usize / 100;
    let windows: Vec<_> = sound.chunks_exact(window).map(|w| project(w, frequency_hz / rate)).collect();
    let mut impurities: Vec<f64> = windows.iter().map(|w| w.impurity).collect();
    impurities.sort_by(f64::total_cmp);
    let inner = windows.get(1..windows.len().saturating_sub(1)).unwrap_or_default();
    let step = TAU * (frequency_hz / rate * window as f64).fract();
    let continues = |pair: &[Projection]| {
        let turn = (pair[1].phase - pair[0].phase - step).rem_euclid(TAU);
        turn.min(TAU - turn) < 0.5 && pair.iter().all(|w| w.impurity < 0.1)
    };
    Tone {
        frequency_hz,
        length: Duration::from_secs_f64(sound.len() as f64 / rate),
        impurity: impurities.get(impurities.len() / 2).copied().unwrap_or(1.0),
        breaks: inner.windows(2).filter(|pair| !continues(pair)).count(),
    }
}

struct Projection {
    phase: f64,
    impurity: f64,
}

/// How much of `window` is a sine of `cycles` per sample, and at which phase it starts: the best fit by least squares,
/// since a window need not hold whole waves.
fn project(window: &[f64], cycles: f64) -> Projection {
    let (mut cc, mut cs, mut ss, mut xc, mut xs, mut power) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, x) in window.iter().enumerate() {
        let (sin, cos) = (TAU * cycles * n as f64).sin_cos();
        cc += cos * cos;
        cs += cos * sin;
        ss += sin * sin;
        xc += x * cos;
        xs += x * sin;
        power += x * x;
    }
    let determinant = cc * ss - cs * cs;
    if power == 0.0 || determinant.abs() < 1e-9 {
        return Projection { phase: 0.0, impurity: 1.0 };
    }
    let (a, b) = ((xc * ss - xs * cs) / determinant, (xs * cc - xc * cs) / determinant);
    Projection { phase: (-b).atan2(a), impurity: (1.0 - (a * xc + b * xs) / power).max(0.0) }
}

/// The median distance between rising zero crossings, as a frequency: holes do not move it.
fn frequency(sound: &[f64], rate: f64) -> f64 {
    let mut crossings = Vec::new();
    for (n, pair) in sound.windows(2).enumerate() {
        if pair[0] < 0.0 && pair[1] >= 0.0 {
            crossings.push(n as f64 + pair[0] / (pair[0] - pair[1]));
        }
    }
    let mut distances: Vec<f64> = crossings.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_by(f64::total_cmp);
    // The middle half, averaged: each distance is quantised by the samples' own rounding.
    let middle = &distances[distances.len() / 4..distances.len() - distances.len() / 4];
    if middle.is_empty() { 0.0 } else { rate * middle.len() as f64 / middle.iter().sum::<f64>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    fn two_seconds() -> Vec<i16> {
        sine(440.0, RATE, Duration::from_secs(2))
    }

    #[test]
    fn a_pure_tone_is_pure() {
        let tone = measure(&two_seconds(), 2, RATE);
        assert!((tone.frequency_hz - 440.0).abs() < 0.05 && tone.impurity < 1e-6 && tone.breaks == 0, "{tone:?}");
        assert!(tone.length > Duration::from_millis(1990), "{tone:?}");
    }

    #[test]
    fn a_lost_block_is_a_break() {
        let mut samples = two_seconds();
        // A third of a wave would go unnoticed if it were a whole one.
        samples.drain(48_000..48_000 + 2 * 70);
        let tone = measure(&samples, 2, RATE);
        assert!(tone.breaks >= 1 && (tone.frequency_hz - 440.0).abs() < 0.05, "{tone:?}");
    }

    #[test]
    fn a_hole_is_a_break() {
        let mut samples = two_seconds();
        samples[48_000..48_960].fill(0);
        assert!(measure(&samples, 2, RATE).breaks >= 1);
    }

    #[test]
    fn a_fade_at_the_start_is_no_break() {
        let mut samples = two_seconds();
        for (n, sample) in samples.iter_mut().take(480).enumerate() {
            *sample = (i32::from(*sample) * n as i32 / 480) as i16;
        }
        assert_eq!(measure(&samples, 2, RATE).breaks, 0);
    }

    #[test]
    fn noise_is_not_a_tone() {
        let mut state = 1u32;
        let noise: Vec<i16> = (0..RATE)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u16 as i16
            })
            .collect();
        assert!(measure(&noise, 2, RATE).impurity > 0.5);
    }
}
