//! Delay error → resampling ratio: a proportional-integral controller that shifts gears, fast after a start and slow
//! once all is calm. Pure. The gears and limits come from simulations of ten designs; with them a calm guest wobbles by
//! a few parts per million, which is hundreds of times below what can be heard.

use core::f64::consts::{PI, SQRT_2};

/// One gear: natural frequency, how far the ratio may leave what was learned of the clocks, and how fast.
#[derive(Clone, Copy, Debug)]
struct Gear {
    /// In use until so long after the start. Unit: seconds.
    until_s: f64,
    natural_hz: f64,
    limit: f64,
    slew_per_s: f64,
}

const GEARS: [Gear; 5] = [
    Gear { until_s: 3.0, natural_hz: 0.25, limit: 1500e-6, slew_per_s: 3000e-6 },
    Gear { until_s: 10.0, natural_hz: 0.1, limit: 1500e-6, slew_per_s: 1000e-6 },
    Gear { until_s: 40.0, natural_hz: 0.03, limit: 500e-6, slew_per_s: 100e-6 },
    Gear { until_s: 120.0, natural_hz: 0.01, limit: 500e-6, slew_per_s: 100e-6 },
    Gear { until_s: f64::INFINITY, natural_hz: 0.005, limit: 500e-6, slew_per_s: 100e-6 },
];
/// The first of the gears that turn the ratio slowly.
const FIRST_SLOW: usize = 2;

/// An error this large for this long is a disturbance: back to the first slow gear.
const DISTURBED_S: f64 = 0.000_35;
const DISTURBED_FOR_S: f64 = 1.0;
/// An error this large, unfiltered, for this long is a large one: back to the very first.
const FAR_S: f64 = 0.002;
const FAR_FOR_S: f64 = 0.3;

/// When the quick gears have done their work: this little error, and a ratio this near to what was learned.
const SETTLED_S: f64 = 0.000_5;
const SETTLED_RATIO: f64 = 100e-6;

/// The most by which the wanted delay may change, in seconds each second.
pub const MAX_GROWTH: f64 = 200e-6;

/// How far two clocks may differ; and if the user asks for more.
const CLOCKS: f64 = 1500e-6;
const CLOCKS_WIDE: f64 = 5500e-6;

/// The controller. Its ratio is *consumption*: guest frames taken for each that the nominal rates promise.
#[derive(Clone, Debug)]
pub struct Drift {
    age_s: f64,
    disturbed_s: f64,
    far_s: f64,
    filtered_s: Option<f64>,
    integral: f64,
    deviation: f64,
    /// The largest difference of the clocks that is followed.
    clocks: f64,
}

impl Default for Drift {
    fn default() -> Self {
        Drift::new(false)
    }
}

impl Drift {
    /// A controller in its first gear that knows nothing of the rates. `wide`: it follows clocks that are 5000 ppm apart,
    /// not only 1500.
    pub const fn new(wide: bool) -> Drift {
        let clocks = if wide { CLOCKS_WIDE } else { CLOCKS };
        Drift { age_s: 0.0, disturbed_s: 0.0, far_s: 0.0, filtered_s: None, integral: 0.0, deviation: 0.0, clocks }
    }

    /// Starts over after the delay was set anew; what was learned about the rates is kept.
    pub fn restart(&mut self) {
        let Drift { integral, clocks, .. } = *self;
        *self = Drift { integral, deviation: integral, clocks, ..Drift::new(false) };
    }

    /// The delay was set right; everything else goes on.
    pub fn moved(&mut self) {
        (self.filtered_s, self.disturbed_s, self.far_s) = (Some(0.0), 0.0, 0.0);
    }

    /// The ratio for the next `elapsed_s`, if the delay is `error_s` too long (or, negative, too short), and shall grow by
    /// `growth` seconds each second.
    ///
    /// Units: seconds. Real-time safe.
    pub fn update(&mut self, error_s: f64, growth: f64, elapsed_s: f64) -> f64 {
        if !(error_s.is_finite() && growth.is_finite() && elapsed_s.is_finite() && elapsed_s > 0.0) {
            return 1.0 + self.deviation;
        }
        let gear = self.gear();
        let smoothing = 1.0 - (-2.0 * PI * 10.0 * gear.natural_hz * elapsed_s).exp();
        let before_s = self.filtered_s.unwrap_or(error_s);
        let filtered_s = before_s + smoothing * (error_s - before_s);
        self.filtered_s = Some(filtered_s);

        let omega = 2.0 * PI * gear.natural_hz;
        let proportional = SQRT_2 * omega * filtered_s;
        // Whoever follows clocks far apart must be able to catch up with them.
        let quick = gear.natural_hz >= GEARS[FIRST_SLOW - 1].natural_hz;
        let scale = if quick { self.clocks / CLOCKS } else { 1.0 };
        let limit = gear.limit * scale;
        let limited = proportional.clamp(-limit, limit) + self.integral;
        let step = gear.slew_per_s * scale * scale * elapsed_s;
        let slewed = limited.clamp(self.deviation - step, self.deviation + step);
        // Nothing is learned from an error that we cannot act on.
        if proportional.abs() <= limit && (slewed - limited).abs() <= limit {
            let integral = self.integral + omega * omega * filtered_s * elapsed_s;
            self.integral = integral.clamp(-self.clocks, self.clocks);
        }
        self.deviation = slewed;
        self.far_s = if error_s.abs() > FAR_S { self.far_s + elapsed_s } else { 0.0 };
        if self.far_s > FAR_FOR_S && self.age_s > GEARS[FIRST_SLOW - 1].until_s {
            (self.age_s, self.filtered_s) = (0.0, Some(error_s));
        }
        self.grow_older(filtered_s, elapsed_s);
        1.0 + self.deviation - growth.clamp(-MAX_GROWTH, MAX_GROWTH)
    }

    fn gear(&self) -> Gear {
        GEARS.into_iter().find(|g| self.age_s < g.until_s).unwrap_or(GEARS[GEARS.len() - 1])
    }

    fn grow_older(&mut self, filtered_s: f64, elapsed_s: f64) {
        // The later gears turn the ratio slowly: the quick ones stay in until there is little left to turn.
        let quick_s = GEARS[FIRST_SLOW - 1].until_s;
        let settled = filtered_s.abs() < SETTLED_S && (self.deviation - self.integral).abs() < SETTLED_RATIO;
        if settled || self.age_s + elapsed_s < quick_s || self.age_s >= quick_s {
            self.age_s += elapsed_s;
        }
        self.disturbed_s = if filtered_s.abs() > DISTURBED_S { self.disturbed_s + elapsed_s } else { 0.0 };
        if self.disturbed_s > DISTURBED_FOR_S && self.age_s > GEARS[FIRST_SLOW].until_s {
            self.age_s = quick_s;
        }
    }

    /// How far the ratio is from 1, in parts per million.
    pub fn ppm(&self) -> f64 {
        self.deviation * 1e6
    }

    /// By how much the guest's clock is faster than the sink's, as far as was learned, in parts per million.
    pub fn learned_ppm(&self) -> f64 {
        self.integral * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a delay with a clock difference through the controller; gives error in seconds and ratio, every 5 ms.
    fn run(ppm: f64, start_s: f64, seconds: f64, noise_s: f64) -> (Vec<(f64, f64)>, Drift) {
        let (mut drift, mut delay_s, dt) = (Drift::new(false), start_s, 0.005);
        let steps = (0..(seconds / dt) as u64).map(|k| {
            let noise = ((k * 7919 % 101) as f64 / 50.0 - 1.0) * noise_s;
            let ratio = drift.update(delay_s + noise, 0.0, dt);
            delay_s += (ppm * 1e-6 - (ratio - 1.0)) * dt;
            (delay_s, ratio)
        });
        (steps.collect(), drift)
    }

    fn largest(values: impl Iterator<Item = f64>) -> f64 {
        values.map(f64::abs).fold(0.0, f64::max)
    }

    #[test]
    fn any_difference_of_clocks_ends_at_the_wanted_delay() {
        for ppm in [0.0, 20.0, -300.0, 300.0, 500.0, -900.0] {
            let (steps, drift) = run(ppm, 0.0, 120.0, 0.0);
            let worst_s = largest(steps[60 * 200..].iter().map(|s| s.0));
            assert!(worst_s < 1e-4, "{ppm}: {worst_s}");
            assert!((drift.ppm() - ppm).abs() < 2.0, "{ppm}: {}", drift.ppm());
        }
    }

    #[test]
    fn an_error_of_twenty_milliseconds_is_gone_in_half_a_minute() {
        for start_s in [0.020, -0.020] {
            let (steps, _) = run(100.0, start_s, 60.0, 0.0);
            let late_s = largest(steps[30 * 200..].iter().map(|s| s.0));
            assert!(late_s < 1e-3, "{late_s}");
            let beyond_s = steps.iter().map(|s| -s.0 * start_s.signum()).fold(0.0, f64::max);
            assert!(beyond_s < 2e-3, "it swings back little: {beyond_s}");
        }
    }

    #[test]
    fn an_error_out_of_the_calm_is_worked_off_as_fast_as_one_at_the_start() {
        for (error_s, within_s) in [(0.005, 10.0), (-0.005, 10.0), (0.020, 30.0), (-0.020, 30.0)] {
            let (mut drift, mut delay_s, dt) = (Drift::new(false), 0.0, 0.005);
            // When it was off by a millisecond last.
            let mut settled_s: f64 = 0.0;
            for k in 0..60_000u64 {
                let now_s = k as f64 * dt - 200.0;
                if k == 40_000 {
                    delay_s += error_s;
                }
                delay_s += (100e-6 - (drift.update(delay_s, 0.0, dt) - 1.0)) * dt;
                if now_s > 0.0 && delay_s.abs() >= 1e-3 {
                    settled_s = now_s;
                }
            }
            println!("{:+} ms: within 1 ms after {settled_s:.1} s", error_s * 1e3);
            assert!(settled_s > 0.0 && settled_s <= within_s, "{error_s}: {settled_s}");
        }
    }

    #[test]
    fn noise_hardly_moves_the_ratio_once_it_has_settled() {
        let (steps, _) = run(100.0, 0.0, 300.0, 2e-4);
        let worst_ppm = largest(steps[30_000..].iter().map(|s| (s.1 - 1.0) * 1e6 - 100.0));
        assert!(worst_ppm < 1.0, "{worst_ppm} ppm");
    }

    #[test]
    fn limits_and_slew_hold_whatever_the_error() {
        let mut drift = Drift::new(true);
        let mut before = 1.0;
        for k in 0..100_000u64 {
            let error_s = [10.0, -10.0, f64::NAN, 0.0, f64::INFINITY, 1e-3][(k / 1000 % 6) as usize];
            let ratio = drift.update(error_s, 0.0, 0.005);
            assert!((ratio - 1.0).abs() <= 2.0 * CLOCKS_WIDE + 1e-12);
            let wide = CLOCKS_WIDE / CLOCKS;
            assert!((ratio - before).abs() <= 3000e-6 * wide * wide * 0.005 + 1e-12 || k == 0);
            before = ratio;
        }
    }

    #[test]
    fn a_restart_keeps_what_is_known_of_the_rates() {
        let (_, mut drift) = run(300.0, 0.0, 100.0, 0.0);
        drift.restart();
        assert!((drift.ppm() - 300.0).abs() < 5.0);
    }
}
