//! The first two seconds of a guest's clock: a line through the earliest arrivals of tenths of a second, whose slope is
//! believed only as far as so short a look can tell it. A guest whose arrivals lie on no line, as with slow ticks, has none
//! yet. Pure.

use super::{Line, Point};

/// Length of a bin. Unit: seconds.
const BIN_S: f64 = 0.1;
/// The bins that are looked at, and the fewest that make a line.
const MOST: usize = 20;
const LEAST: usize = 4;
/// How far the earliest arrival of a bin errs (0.15 ms) over how far guests' clocks do (300 ppm), squared. Unit: square
/// seconds.
const DOUBT_S2: f64 = 0.25;
/// Arrivals that leave their line by more than this, in the root of the mean square, lie on none. Unit: seconds.
const ROUGH_S: f64 = 0.000_4;
/// A line steeper than this is no clock's, but a part of what slow ticks make.
const STEEPEST: f64 = 0.006;

/// What is known of the first moments.
#[derive(Clone, Debug, Default)]
pub(super) struct First {
    /// The slope that was known before.
    slope: f64,
    points: [Point; MOST],
    count: usize,
    /// The bin that is being filled, and when it began.
    bin: Option<(f64, Point)>,
}

impl First {
    /// Nothing seen yet; so far the slope was taken for `slope`.
    pub(super) fn new(slope: f64) -> First {
        First { slope, ..First::default() }
    }

    /// Something came: the line so far, if that closed a bin and there is one.
    pub(super) fn add(&mut self, p: Point) -> Option<Line> {
        let above = |p: Point| p.excess_s - self.slope * p.at_s;
        match &mut self.bin {
            Some((since_s, earliest)) if p.at_s - *since_s < BIN_S => {
                if above(p) < above(*earliest) {
                    *earliest = p;
                }
                None
            }
            bin => {
                let (_, full) = bin.replace((p.at_s, p))?;
                *self.points.get_mut(self.count)? = full;
                self.count += 1;
                self.line(p.at_s)
            }
        }
    }

    fn line(&self, at_s: f64) -> Option<Line> {
        let points = self.points.get(..self.count).filter(|points| points.len() >= LEAST)?;
        let n = points.len() as f64;
        let mean = |f: fn(&Point) -> f64| points.iter().map(f).sum::<f64>() / n;
        let (mean_s, mean_excess_s) = (mean(|p| p.at_s), mean(|p| p.excess_s));
        let from_mean = |p: &Point| (p.at_s - mean_s, p.excess_s - mean_excess_s - self.slope * (p.at_s - mean_s));
        let sum = |f: fn((f64, f64)) -> f64| points.iter().map(from_mean).map(f).sum::<f64>();
        let (xx, xy, yy) = (sum(|(x, _)| x * x), sum(|(x, y)| x * y), sum(|(_, y)| y * y));
        let rough = (yy - xy * xy / xx.max(f64::MIN_POSITIVE)) / n > ROUGH_S * ROUGH_S;
        if rough || xy.abs() > STEEPEST * xx || !(xx.is_finite() && yy.is_finite()) {
            return None;
        }
        let slope = (self.slope + xy / (xx + DOUBT_S2)).clamp(-super::MAX_SLOPE, super::MAX_SLOPE);
        Some(Line { at_s, excess_s: mean_excess_s + slope * (at_s - mean_s), slope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last line of a guest `ppm` slow, seen for so long in chunks of 20 ms, each late by what `late_s` says.
    fn seen(ppm: f64, seconds: f64, late_s: impl Fn(u32) -> f64) -> Option<Line> {
        let mut first = First::new(0.0);
        let chunks = (seconds * 50.0) as u32;
        let line = |k: u32| {
            let at_s = f64::from(k) * 0.020 * (1.0 + ppm * 1e-6) + late_s(k);
            first.add(Point { at_s, excess_s: at_s - f64::from(k) * 0.020 })
        };
        (0..chunks).filter_map(line).last()
    }

    #[test]
    fn a_slope_is_believed_the_more_the_longer_it_was_seen() {
        let slopes_ppm = [0.45, 1.0, 2.0].map(|s| seen(1000.0, s, |_| 0.0).unwrap().slope * 1e6);
        assert!(slopes_ppm[0] < 400.0 && slopes_ppm[1] > 600.0 && slopes_ppm[2] > 900.0, "{slopes_ppm:?}");
        let line = seen(1000.0, 1.0, |_| 0.0).unwrap();
        assert!((line.excess_at(1.0) - 0.001).abs() < 2e-4, "{line:?}");
    }

    #[test]
    fn jitter_makes_no_slope_and_slow_ticks_no_line() {
        let line = seen(0.0, 0.5, |k| f64::from(k * 7919 % 41) * 1e-5).unwrap();
        assert!(line.slope.abs() < 100e-6 && line.excess_at(0.5).abs() < 2e-4, "{line:?}");
        for seconds in [0.45, 0.7, 1.0, 2.0] {
            let line = seen(0.0, seconds, |k| f64::from(k % 25) * 0.000_625);
            assert!(line.is_none(), "{seconds} s: {line:?}");
        }
        assert!(seen(0.0, 0.35, |_| 0.0).is_none(), "too few");
    }

    #[test]
    fn nonsense_makes_no_line() {
        let mut first = First::new(0.0);
        for at_s in [0.0, 0.2, f64::INFINITY, 0.4, -1e9, f64::NAN, 1e300].into_iter().cycle().take(500) {
            let line = first.add(Point { at_s, excess_s: at_s });
            assert!(line.is_none_or(|l| l.slope.abs() <= super::super::MAX_SLOPE));
        }
    }
}
