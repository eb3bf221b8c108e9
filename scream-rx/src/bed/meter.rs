//! What a recording is worth: distortion and level of a tone, glitches by class, and the guest's position in it. Works on
//! what a sound server recorded as well as on what came out of the bed. Pure.

use core::f64::consts::{PI, TAU};
use shm_proto::guest_sim::tone::{POSITION_SINE_HZ, TRIANGLE_PEAK, TRIANGLE_SECONDS, triangle_position};

/// Terms of the fit: sine and cosine, each times 1, t and t², so that a slowly moving phase is part of the tone.
const TERMS: usize = 6;

/// A tone as the best fit by least squares found it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Its amplitude in the middle of the piece, 1 at full scale.
    pub amplitude: f64,
    /// Its phase there. Unit: radians.
    pub phase: f64,
    /// The mean square of everything else.
    pub rest: f64,
}

/// Fits a tone of `cycles` a frame to `x`. Its phase and level may move slowly within the piece.
pub fn fit(x: &[f32], cycles: f64) -> Fit {
    let middle = x.len() as f64 / 2.0;
    let terms = |i: usize| -> [f64; TERMS] {
        let t = (i as f64 - middle) / middle.max(1.0);
        let (s, c) = (TAU * (cycles * (i as f64 - middle)).fract()).sin_cos();
        [s, c, t * s, t * c, t * t * s, t * t * c]
    };
    let mut matrix = [[0.0; TERMS + 1]; TERMS];
    for (i, v) in x.iter().enumerate() {
        let f = terms(i);
        for (row, a) in matrix.iter_mut().zip(f) {
            row.iter_mut().zip(f).for_each(|(m, b)| *m += a * b);
            row[TERMS] += a * f64::from(*v);
        }
    }
    let k = solve(matrix);
    let model = |i: usize| terms(i).iter().zip(&k).map(|(a, b)| a * b).sum::<f64>();
    let rest: f64 = x.iter().enumerate().map(|(i, v)| (f64::from(*v) - model(i)).powi(2)).sum();
    Fit { amplitude: k[0].hypot(k[1]), phase: k[1].atan2(k[0]), rest: rest / x.len().max(1) as f64 }
}

/// Gauss's elimination with the largest pivots; 0 for what cannot be told.
fn solve(mut m: [[f64; TERMS + 1]; TERMS]) -> [f64; TERMS] {
    for column in 0..TERMS {
        let best = (column..TERMS).max_by(|a, b| m[*a][column].abs().total_cmp(&m[*b][column].abs()));
        m.swap(column, best.unwrap_or(column));
        let pivot = m[column];
        if pivot[column].abs() < 1e-12 {
            continue;
        }
        for (i, row) in m.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = row[column] / pivot[column];
            let _ = i;
            row.iter_mut().zip(pivot).for_each(|(a, b)| *a -= factor * b);
        }
    }
    core::array::from_fn(|i| if m[i][i].abs() < 1e-12 { 0.0 } else { m[i][TERMS] / m[i][i] })
}

/// Everything that is not the tone, over pieces of a tenth of a second, relative to it. Unit: dB. What lies above 20 kHz
/// counts too.
pub fn distortion_db(x: &[f32], hz: f64, rate_hz: f64) -> f64 {
    let piece = (rate_hz / 10.0) as usize;
    let (mut rest, mut tone) = (0.0, 0.0);
    for x in x.chunks_exact(piece.max(1)) {
        let f = fit(x, hz / rate_hz);
        rest += f.rest;
        tone += f.amplitude * f.amplitude / 2.0;
    }
    10.0 * (rest / tone).log10()
}

/// The level of a tone, relative to full scale. Unit: dB.
pub fn level_db(x: &[f32], hz: f64, rate_hz: f64) -> f64 {
    20.0 * fit(x, hz / rate_hz).amplitude.log10()
}

/// Glitches by class. The first and last ten milliseconds of sound are not judged: it is faded in and out there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Glitches {
    /// Eight or more frames of exact zero in both channels.
    pub hard_gaps: usize,
    /// Times that the tone is weaker than 0.9 of its usual level for more than a millisecond.
    pub dips: usize,
    /// Times that its phase jumps by more than 0.02 rad beyond what its drift explains.
    pub splices: usize,
    /// Frames at which a predictor of the tone is off by more than -60 dB of full scale, in runs.
    pub clicks: usize,
    /// The worst of those residuals. Unit: dB of full scale.
    pub worst_click_db: f64,
    /// Times that the level between glitches is off by more than 0.05 dB.
    pub level_errors: usize,
}

/// Looks for glitches in a recording of a tone of `hz` on the left.
pub fn glitches(left: &[f32], right: &[f32], hz: f64, rate_hz: f64) -> Glitches {
    let mut found = Glitches { worst_click_db: f64::NEG_INFINITY, ..Glitches::default() };
    let loud = |x: &f32| x.abs() > 0.01;
    let (Some(first), Some(last)) = (left.iter().position(loud), left.iter().rposition(loud)) else { return found };
    let edge = (rate_hz / 100.0) as usize;
    let inner = first + edge..last.saturating_sub(edge);
    let (Some(x), Some(y)) = (left.get(inner.clone()), right.get(inner)) else { return found };
    let mut zeros = 0;
    for (a, b) in x.iter().zip(y) {
        zeros = if *a == 0.0 && *b == 0.0 { zeros + 1 } else { 0 };
        found.hard_gaps += usize::from(zeros == 8);
    }
    // Clicks nearer than a millisecond are one.
    let k = 2.0 * (TAU * hz / rate_hz).cos();
    let (near, mut before) = ((rate_hz / 1000.0) as usize, None);
    for (i, w) in x.windows(3).enumerate() {
        let residual = (f64::from(w[2]) - k * f64::from(w[1]) + f64::from(w[0])).abs();
        found.worst_click_db = found.worst_click_db.max(20.0 * residual.max(1e-12).log10());
        if residual > 0.001 {
            found.clicks += usize::from(before.is_none_or(|b| i - b > near));
            before = Some(i);
        }
    }
    by_windows(x, hz, rate_hz, &mut found);
    found
}

/// Dips, splices and levels, from amplitude and phase in windows of five milliseconds.
fn by_windows(x: &[f32], hz: f64, rate_hz: f64, found: &mut Glitches) {
    let window = (rate_hz / 200.0) as usize;
    let fits: Vec<(f64, f64)> = x.chunks_exact(window).map(|w| phasor(w, hz / rate_hz)).collect();
    let mut levels: Vec<f64> = fits.iter().map(|f| f.0).collect();
    levels.sort_by(f64::total_cmp);
    let usual = levels.get(levels.len() / 2).copied().unwrap_or(0.0);
    let turn = |a: f64| a - TAU * (a / TAU).round();
    let steps: Vec<f64> =
        fits.windows(2).map(|w| turn(w[1].1 - w[0].1 - TAU * (hz / rate_hz * window as f64).fract())).collect();
    let mut in_dip = false;
    for (i, (level, _)) in fits.iter().enumerate() {
        let weak = *level < 0.9 * usual;
        found.dips += usize::from(weak && !in_dip);
        in_dip = weak;
        let around = fits.get(i.saturating_sub(3)..(i + 4).min(fits.len())).unwrap_or_default();
        let calm = around.iter().all(|(l, _)| (0.98 * usual..1.02 * usual).contains(l));
        found.level_errors += usize::from(calm && (20.0 * (level / usual).log10()).abs() > 0.05);
    }
    let mut in_splice = false;
    for (i, step) in steps.iter().enumerate() {
        // What drifts goes on drifting: the median of the neighbours is what the clocks explain.
        let mut around: Vec<f64> =
            steps.get(i.saturating_sub(10)..(i + 11).min(steps.len())).unwrap_or_default().to_vec();
        around.sort_by(f64::total_cmp);
        let jumps = turn(step - around[around.len() / 2]).abs() > 0.02;
        found.splices += usize::from(jumps && !in_splice);
        in_splice = jumps;
    }
}

/// Amplitude and phase at the start of a window, by least squares.
fn phasor(x: &[f32], cycles: f64) -> (f64, f64) {
    let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, v) in x.iter().enumerate() {
        let (s, c) = (TAU * (cycles * i as f64).fract()).sin_cos();
        (ss, cc, sc) = (ss + s * s, cc + c * c, sc + s * c);
        (xs, xc) = (xs + f64::from(*v) * s, xc + f64::from(*v) * c);
    }
    let det = ss * cc - sc * sc;
    let (a, b) = ((xs * cc - xc * sc) / det, (xc * ss - xs * sc) / det);
    (a.hypot(b), b.atan2(a))
}

/// Where in its four seconds the guest was at each five milliseconds of a recording of the position code (see
/// `Tone::PositionCoded`): the frame of the recording, and seconds. The triangle tells the period of the sine, and the
/// sine the rest, to some microseconds. Windows around the triangle's corners are left out.
pub fn positions(left: &[f32], right: &[f32], rate_hz: f64) -> Vec<(f64, f64)> {
    let (length, hop) = ((rate_hz / 50.0) as usize, (rate_hz / 200.0) as usize);
    let mut found = Vec::new();
    for start in (0..left.len().min(right.len()).saturating_sub(length)).step_by(hop.max(1)) {
        let middle = start as f64 + (length as f64 - 1.0) / 2.0;
        let (Some(x), Some(y)) = (left.get(start..start + length), right.get(start..start + length)) else { continue };
        let mean = y.iter().map(|v| f64::from(*v)).sum::<f64>() / length as f64;
        let slope = f64::from(y[length - 1]) - f64::from(y[0]);
        let expected = 4.0 * TRIANGLE_PEAK / TRIANGLE_SECONDS as f64 * length as f64 / rate_hz;
        if mean.abs() > 0.95 * TRIANGLE_PEAK || (slope.abs() / expected - 1.0).abs() > 0.1 {
            continue;
        }
        let coarse_s = triangle_position(mean, slope > 0.0, 48_000) / 48_000.0;
        let sine = demodulated(x, POSITION_SINE_HZ / rate_hz);
        let phase = sine.1 / TAU;
        let cycles = coarse_s * POSITION_SINE_HZ;
        let exact = (cycles - phase).round() + phase;
        found.push((middle, (exact / POSITION_SINE_HZ).rem_euclid(TRIANGLE_SECONDS as f64)));
    }
    found
}

/// Amplitude and phase in the middle of a window, under half a period of a raised cosine.
fn demodulated(x: &[f32], cycles: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (i, v) in x.iter().enumerate() {
        let hann = 0.5 - 0.5 * (TAU * (i as f64 + 0.5) / n).cos();
        let (s, c) = (TAU * cycles * (i as f64 - (n - 1.0) / 2.0)).sin_cos();
        re += f64::from(*v) * hann * s;
        im += f64::from(*v) * hann * c;
    }
    (re.hypot(im) * 4.0 / n, im.atan2(re).rem_euclid(2.0 * PI))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::guest_sim::tone::Tone;
    use shm_proto::scream::Format;

    const RATE_HZ: f64 = 48_000.0;

    fn coded(frames: core::ops::Range<u64>) -> (Vec<f32>, Vec<f32>) {
        let format = Format::new(48_000, 32, 2, 3).unwrap();
        let channel = |c| frames.clone().map(|f| Tone::PositionCoded.sample(f, c, &format) as f32).collect();
        (channel(0), channel(1))
    }

    fn hear(left: &[f32], right: &[f32]) -> Glitches {
        glitches(left, right, POSITION_SINE_HZ, RATE_HZ)
    }

    #[test]
    fn a_clean_recording_has_no_glitch_whatever_its_drift() {
        let (left, right) = coded(0..96_000);
        let g = hear(&left, &right);
        assert_eq!((g.hard_gaps, g.dips, g.splices, g.clicks, g.level_errors), (0, 0, 0, 0, 0), "{g:?}");
        let w = TAU * POSITION_SINE_HZ * (1.0 + 1500e-6) / RATE_HZ;
        let fast: Vec<f32> = (0..96_000).map(|i| (0.5 * (w * f64::from(i)).sin()) as f32).collect();
        let g = hear(&fast, &right);
        assert_eq!((g.dips, g.splices, g.clicks), (0, 0, 0), "{g:?}");
    }

    #[test]
    fn each_glitch_is_found_and_called_by_its_name() {
        let (left, right) = coded(0..96_000);
        let with = |change: fn(&mut Vec<f32>, &mut Vec<f32>)| {
            let (mut l, mut r) = (left.clone(), right.clone());
            change(&mut l, &mut r);
            hear(&l, &r)
        };
        let gap = with(|l, r| (l[40_000..40_020].fill(0.0), r[40_000..40_020].fill(0.0)).0);
        assert!(gap.hard_gaps == 1 && gap.clicks >= 1, "{gap:?}");
        let dropped = with(|l, r| (l.drain(40_000..40_004), r.drain(40_000..40_004)).0.for_each(drop));
        assert!(dropped.splices == 1 && dropped.clicks == 1 && dropped.worst_click_db > -45.0, "{dropped:?}");
        let dip = with(|l, _| {
            for (i, x) in l[40_000..42_400].iter_mut().enumerate() {
                *x *= 1.0 - 0.5 * (PI * i as f64 / 2400.0).sin().powi(2) as f32;
            }
        });
        assert!(dip.dips == 1 && dip.clicks == 0 && dip.hard_gaps == 0, "{dip:?}");
        let doubled = with(|l, r| (l.insert(50_000, l[49_999]), r.insert(50_000, r[49_999])).0);
        assert!(doubled.clicks == 1, "{doubled:?}");
        let level = with(|l, _| l[60_000..].iter_mut().for_each(|x| *x *= 1.01));
        assert!(level.level_errors > 0, "{level:?}");
    }

    #[test]
    fn distortion_is_measured_far_below_the_tone() {
        for below_db in [-60.0, -100.0, -130.0] {
            let overtone = 10f64.powf(below_db / 20.0);
            let w = TAU * 997.0 * (1.0 + 200e-6) / RATE_HZ;
            let x: Vec<f32> = (0..96_000)
                .map(|i| (0.5 * ((w * f64::from(i)).sin() + overtone * (3.0 * w * f64::from(i)).sin())) as f32)
                .collect();
            // The frequency is known to 10 ppm; the rest is tracked.
            let got = distortion_db(&x, 997.0 * (1.0 + 210e-6), RATE_HZ);
            assert!((got - below_db).abs() < 0.5, "{below_db}: {got}");
            assert!((level_db(&x[..4800], 997.0 * (1.0 + 200e-6), RATE_HZ) + 6.0206).abs() < 0.001);
        }
    }

    #[test]
    fn the_position_is_found_to_some_microseconds() {
        let (left, right) = coded(100_000..292_000);
        let found = positions(&left, &right, RATE_HZ);
        assert!(found.len() > 600, "{}", found.len());
        for (frame, at_s) in found {
            let expected_s = ((100_000.0 + frame) / RATE_HZ).rem_euclid(4.0);
            assert!((at_s - expected_s).abs() < 5e-6, "{frame}: {at_s} {expected_s}");
        }
    }
}
