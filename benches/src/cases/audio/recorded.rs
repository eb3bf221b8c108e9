//! What was heard at a sound server's monitor: the delay of each instant, its spread and its slope, glitches, distortion.
//! The guest played a position code, so the recording says for itself when each part of it was played. Pure.

use scream_rx::bed::meter::{self, Glitches};
use shm_proto::guest_sim::tone::{POSITION_SINE_HZ, TRIANGLE_SECONDS};

/// What a recording is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// From the guest's sample to the monitor: 1st, 50th and 99th percentile. Unit: ms.
    pub delay_ms: [f64; 3],
    /// How fast that delay grows. Unit: parts per million.
    pub slope_ppm: f64,
    /// Everything but the tone. Unit: dB.
    pub distortion_db: f64,
    /// What broke the tone.
    pub glitches: Glitches,
    /// How much was judged. Unit: seconds.
    pub seconds: f64,
}

/// Judges interleaved 16-bit stereo. `first_s`: when the first frame was at the monitor, by the clock by which the guest
/// began at 0 and runs by `guest_ppm` fast; only what was recorded in `judged_s` of that clock is judged. Nothing if there is
/// hardly any sound.
pub fn judge(
    samples: &[i16],
    rate_hz: f64,
    first_s: f64,
    judged_s: core::ops::Range<f64>,
    guest_ppm: f64,
) -> Option<Heard> {
    let place = |at_s: f64| ((at_s - first_s).max(0.0) * rate_hz) as usize * 2;
    let skip = place(judged_s.start);
    let samples = samples.get(skip..place(judged_s.end).min(samples.len()))?;
    let begin_s = first_s + (skip / 2) as f64 / rate_hz;
    let channel = |n: usize| samples.iter().skip(n).step_by(2).map(|x| f32::from(*x) / 32_768.0).collect::<Vec<_>>();
    let (left, right) = (channel(0), channel(1));
    let fast = 1.0 + guest_ppm * 1e-6;
    let delays: Vec<(f64, f64)> = meter::positions(&left, &right, rate_hz)
        .into_iter()
        .map(|(frame, place_s)| {
            let heard_s = begin_s + frame / rate_hz;
            (heard_s, (heard_s - place_s / fast).rem_euclid(TRIANGLE_SECONDS as f64 / fast))
        })
        .collect();
    if delays.len() < 100 {
        return None;
    }
    let mut sorted: Vec<f64> = delays.iter().map(|d| d.1 * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Some(Heard {
        delay_ms: [at(0.01), at(0.5), at(0.99)],
        slope_ppm: slope(&delays) * 1e6,
        distortion_db: meter::distortion_db(&left, POSITION_SINE_HZ * fast, rate_hz),
        glitches: meter::glitches(&left, &right, POSITION_SINE_HZ, rate_hz),
        seconds: left.len() as f64 / rate_hz,
    })
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let across: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let along: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    across / along.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::guest_sim::tone::Tone;
    use shm_proto::scream::Format;

    /// A guest that is 100 ppm fast, heard 40 ms late (and later by `grows_ppm`) in a recording that began at 0.7 s.
    fn recording(seconds: f64, grows_ppm: f64) -> Vec<i16> {
        let format = Format::new(48_000, 32, 2, 3).unwrap();
        let frames = (seconds * 48_000.0) as u32;
        let sample = |n: u32, channel| {
            let heard_s = 0.7 + f64::from(n) / 48_000.0;
            let played = (heard_s - 0.040 - heard_s * grows_ppm * 1e-6) * 48_000.0 * (1.0 + 100e-6);
            // Between two frames of the guest: a straight line is near enough.
            let (whole, part) = (played.floor() as u64, played.fract());
            let [a, b] = [whole, whole + 1].map(|frame| Tone::PositionCoded.sample(frame, channel, &format));
            ((a + (b - a) * part) * 32_767.0).round() as i16
        };
        (0..frames).flat_map(|n| [sample(n, 0), sample(n, 1)]).collect()
    }

    #[test]
    fn the_delay_and_its_slope_are_found() {
        let heard = judge(&recording(6.0, 0.0), 48_000.0, 0.7, 1.0..6.4, 100.0).unwrap();
        assert!((heard.delay_ms[1] - 40.0).abs() < 0.05, "{heard:?}");
        assert!(heard.delay_ms[2] - heard.delay_ms[0] < 0.1 && heard.slope_ppm.abs() < 3.0, "{heard:?}");
        assert!(heard.distortion_db < -50.0 && heard.glitches.hard_gaps == 0, "{heard:?}");
        assert!((heard.seconds - 5.4).abs() < 0.01, "{heard:?}");
        let growing = judge(&recording(6.0, 500.0), 48_000.0, 0.7, 1.0..6.4, 100.0).unwrap();
        assert!((growing.slope_ppm - 500.0).abs() < 10.0, "{growing:?}");
    }

    #[test]
    fn silence_and_nothing_are_not_judged() {
        assert_eq!(judge(&[0; 400_000], 48_000.0, 0.0, 0.0..9.0, 0.0), None);
        assert_eq!(judge(&[], 48_000.0, 0.0, 1.0..2.0, 0.0), None);
    }
}
