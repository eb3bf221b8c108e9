//! What a list of measured blocks says: medians, paired ratios with an interval, and the verdict. Pure.

use crate::random::Random;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;
/// Share of void blocks from which on nothing is claimed.
pub const MAX_VOID_SHARE: f64 = 0.30;
/// Fewer valid blocks than this say nothing.
pub const MIN_BLOCKS: usize = 9;

/// The middle of `values`: the mean of the two middle ones if their number is even, NaN if there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    middle_of_sorted(&sorted)
}

fn middle_of_sorted(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted {
        [] => f64::NAN,
        _ if sorted.len() % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// A ratio with the interval in which it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the paired ratios.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Ratio {
    /// The ratio of `ours` to `reference`, which were measured in pairs: the median of the logarithms of the paired
    /// ratios, with a percentile bootstrap. Pairs with a figure that is not positive are left out; without any pair all
    /// three numbers are NaN.
    pub fn of_pairs(ours: &[f64], reference: &[f64], seed: u64) -> Ratio {
        let pairs = ours.iter().zip(reference).filter(|(a, b)| **a > 0.0 && **b > 0.0);
        let logs: Vec<f64> = pairs.map(|(a, b)| (a / b).ln()).collect();
        let mut random = Random::new(seed);
        let mut sample = vec![0.0; logs.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                sample.iter_mut().for_each(|value| *value = logs[random.below(logs.len())]);
                sample.sort_by(f64::total_cmp);
                middle_of_sorted(&sample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let (low, high) = (medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40]);
        Ratio { median: median(&logs).exp(), low: low.exp(), high: high.exp() }
    }

    /// What this says about a goal: the whole interval must lie on one side of it.
    pub fn verdict(&self, goal_max: f64) -> Verdict {
        if self.high <= goal_max {
            Verdict::Pass
        } else if self.low > goal_max {
            Verdict::Fail
        } else {
            Verdict::Inconclusive
        }
    }
}

/// Whether a goal is met. Ordered: a case is as good as its worst row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is no goal; the figure is for information.
    None,
    /// The goal is met, beyond the doubt of the interval.
    Pass,
    /// The interval holds the goal, or the machine was too noisy.
    Inconclusive,
    /// The goal is missed, beyond the doubt of the interval.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    /// A machine whose speed swings by a factor of ten between blocks, and noise of 10 % within.
    fn swinging(factor: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut random = Random::new(seed);
        let mut unit = || random.below(1000) as f64 / 1000.0;
        (0..41)
            .map(|_| {
                let weather = 1.0 + 9.0 * unit();
                (weather * factor * (0.95 + 0.1 * unit()), weather * (0.95 + 0.1 * unit()))
            })
            .unzip()
    }

    #[test]
    fn a_paired_ratio_survives_weather() {
        for seed in 0..20 {
            let (ours, reference) = swinging(0.8, seed);
            let ratio = Ratio::of_pairs(&ours, &reference, seed);
            assert!((0.76..0.84).contains(&ratio.median), "{ratio:?}");
            assert!(ratio.low <= ratio.median && ratio.median <= ratio.high, "{ratio:?}");
            assert!(ratio.high - ratio.low < 0.1, "{ratio:?}");
        }
    }

    #[test]
    fn a_goal_inside_the_interval_is_not_claimed() {
        let ratio = Ratio { median: 0.84, low: 0.82, high: 0.86 };
        assert_eq!(ratio.verdict(0.85), Verdict::Inconclusive);
        assert_eq!(ratio.verdict(0.86), Verdict::Pass);
        assert_eq!(ratio.verdict(0.81), Verdict::Fail);
        let nothing = Ratio::of_pairs(&[], &[], 1);
        assert!(nothing.median.is_nan());
        assert_eq!(nothing.verdict(1.0), Verdict::Inconclusive);
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        let hits = (0..200).filter(|seed| {
            let (ours, reference) = swinging(1.1, 1000 + seed);
            let ratio = Ratio::of_pairs(&ours, &reference, *seed);
            ratio.low <= 1.1 && 1.1 <= ratio.high
        });
        assert!(hits.count() >= 180, "the interval is too narrow");
    }
}
