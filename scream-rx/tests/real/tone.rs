//! What a recording of a tone is worth: its frequency, its level, and its worst blemish.

use core::f64::consts::TAU;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// From first to last sound. Unit: seconds.
    pub seconds: f64,
    /// By the crossings of zero, in the longest piece without a blemish.
    pub hz: f64,
    /// Largest sample.
    pub peak: f32,
    /// The largest residual of a predictor of the tone, which vanishes while the tone is pure. Unit: dB of full scale.
    pub worst_db: f64,
    /// The share of the time in which the tone was pure.
    pub pure: f64,
}

/// Listens for a tone of `hz`. Nothing if there is none.
pub fn listen(x: &[f32], hz: f64, rate_hz: f64) -> Option<Heard> {
    let loud = |v: &f32| v.abs() > 0.02;
    let (first, last) = (x.iter().position(loud)?, x.iter().rposition(loud)?);
    let sound = &x[first..=last];
    let k = 2.0 * (TAU * hz / rate_hz).cos();
    let residual: Vec<f64> =
        sound.windows(3).map(|w| (f64::from(w[2]) - k * f64::from(w[1]) + f64::from(w[0])).abs()).collect();
    let worst = residual.iter().copied().fold(1e-9, f64::max);
    let pieces: Vec<&[f64]> = residual.chunks(480).collect();
    let pure = pieces.iter().filter(|p| p.iter().all(|r| *r < 0.002)).count() as f64 / pieces.len().max(1) as f64;
    let hz = frequency(sound, &pieces, rate_hz)?;
    Some(Heard {
        seconds: sound.len() as f64 / rate_hz,
        hz,
        peak: sound.iter().fold(0.0, |p, v| p.max(v.abs())),
        worst_db: 20.0 * worst.log10(),
        pure,
    })
}

fn frequency(sound: &[f32], pieces: &[&[f64]], rate_hz: f64) -> Option<f64> {
    let pure = |p: &&[f64]| p.iter().all(|r| *r < 0.002);
    let (mut longest, mut run) = (0..0, 0..0);
    for (i, piece) in pieces.iter().enumerate() {
        run = if pure(piece) { run.start..i + 1 } else { i + 1..i + 1 };
        if run.len() > longest.len() {
            longest = run.clone();
        }
    }
    let x = &sound[longest.start * 480..(longest.end * 480).min(sound.len())];
    let place = |i: usize| i as f64 - f64::from(x[i]) / f64::from(x[i] - x[i - 1]);
    let crossings: Vec<f64> = (1..x.len()).filter(|i| x[i - 1] < 0.0 && x[*i] >= 0.0).map(place).collect();
    let (a, b) = (crossings.first()?, crossings.last()?);
    (b > a).then(|| (crossings.len() - 1) as f64 / (b - a) * rate_hz)
}
