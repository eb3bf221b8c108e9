//! Candidates beside a reference: each block measures every one of them once, in an order shuffled anew, so that what
//! one leaves in the caches favours nobody; the ratios are formed within the block.

use crate::noise::{self, Crew, Gauge, Void, Weather};
use crate::progress::Progress;
use crate::random::Random;
use crate::stats::{MAX_VOID_SHARE, MIN_BLOCKS, Ratio, Verdict, median};
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Blocks per contest.
    pub blocks: u32,
    /// Decides orders and resamples.
    pub seed: u64,
    /// Told how far it is; asked whether to go on.
    pub progress: Progress,
    /// Who works meanwhile.
    pub crew: Crew,
}

/// One way of doing the work. Each call gives the time for one unit of it, in nanoseconds, at this moment; how it gets
/// there (repeats, a median, preparations that do not count) is its own affair.
pub type Measure<'a> = Box<dyn FnMut() -> anyhow::Result<f64> + 'a>;

/// A named way of doing the work.
pub struct Candidate<'a> {
    name: String,
    measure: Measure<'a>,
}

impl std::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({})", self.name)
    }
}

impl<'a> Candidate<'a> {
    /// A candidate.
    pub fn new(name: impl Into<String>, measure: impl FnMut() -> anyhow::Result<f64> + 'a) -> Candidate<'a> {
        Candidate { name: name.into(), measure: Box::new(measure) }
    }
}

/// What became of a candidate.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its median time for a unit, in nanoseconds, over the blocks that count.
    pub own_ns: f64,
    /// That of the reference.
    pub reference_ns: f64,
    /// The paired ratio of the two.
    pub ratio: Ratio,
}

/// What became of a contest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Blocks measured.
    pub blocks: u32,
    /// Blocks that do not count.
    pub void_blocks: u32,
    /// Why most of these do not.
    pub void_mostly: Option<Void>,
    /// The candidates in their order, without the reference.
    pub standings: Vec<Standing>,
}

impl Outcome {
    /// The verdict on a standing: its ratio's, unless too little counts to say anything.
    pub fn verdict(&self, standing: &Standing, goal_max_ratio: f64) -> Verdict {
        let valid = self.blocks.saturating_sub(self.void_blocks) as usize;
        if self.is_too_noisy() || valid < MIN_BLOCKS {
            Verdict::Inconclusive
        } else {
            standing.ratio.verdict(goal_max_ratio)
        }
    }

    /// Why nothing is claimed, in words; nothing if something can be.
    pub fn doubt(&self) -> Option<&'static str> {
        self.void_mostly.filter(|_| self.is_too_noisy()).map(Void::words)
    }

    /// Whether so many blocks are void that nothing is claimed.
    pub fn is_too_noisy(&self) -> bool {
        f64::from(self.void_blocks) > MAX_VOID_SHARE * f64::from(self.blocks)
    }
}

/// Measures `candidates` against the first of them.
///
/// # Errors
/// The first error of a candidate.
pub fn hold(effort: &Effort, mut candidates: Vec<Candidate<'_>>) -> anyhow::Result<Outcome> {
    let mut random = Random::new(effort.seed);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let mut weather = Vec::new();
    let mut figures = vec![Vec::new(); candidates.len()];
    // The first round warms caches, page tables and branch predictors; it does not count.
    for candidate in &mut candidates {
        (candidate.measure)()?;
    }
    let (began, mut measuring) = (Instant::now(), Duration::ZERO);
    for block in 0..effort.blocks {
        if !effort.progress.step(u64::from(block), u64::from(effort.blocks)) {
            break;
        }
        random.shuffle(&mut order);
        let gauge = Gauge::begin(effort.crew);
        for place in &order {
            let start = Instant::now();
            figures[*place].push((candidates[*place].measure)()?);
            measuring += start.elapsed();
        }
        weather.push(gauge.end());
    }
    effort.progress.account(began.elapsed(), measuring);
    let names = candidates.into_iter().map(|candidate| candidate.name).collect();
    Ok(judge(effort, names, &figures, &weather))
}

/// The reason that voids most blocks.
fn most(void: &[Option<Void>]) -> Option<Void> {
    let count = |why: Void| void.iter().flatten().filter(|other| **other == why).count();
    void.iter().flatten().copied().max_by_key(|why| count(*why))
}

fn judge(effort: &Effort, names: Vec<String>, figures: &[Vec<f64>], weather: &[Weather]) -> Outcome {
    let void = noise::judge(weather);
    let counted: Vec<Vec<f64>> = figures
        .iter()
        .map(|figures| {
            figures.iter().zip(&void).filter(|(_, void)| void.is_none()).map(|(figure, _)| *figure).collect()
        })
        .collect();
    let reference = counted.first().cloned().unwrap_or_default();
    let standings = names.into_iter().zip(&counted).skip(1).map(|(name, own)| Standing {
        name,
        own_ns: median(own),
        reference_ns: median(&reference),
        ratio: Ratio::of_pairs(own, &reference, effort.seed),
    });
    let (blocks, void_blocks) = (weather.len() as u32, void.iter().flatten().count() as u32);
    Outcome { blocks, void_blocks, void_mostly: most(&void), standings: standings.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn effort() -> Effort {
        Effort { blocks: 20, seed: 3, progress: Progress::default(), crew: Crew::Alone }
    }

    #[test]
    fn every_candidate_is_measured_once_in_each_block_and_paired_there() {
        // The weather changes with every block; the candidates' ratio does not.
        let calls = Cell::new(0u32);
        let block = || {
            calls.set(calls.get() + 1);
            Ok(f64::from(1 + (calls.get() - 1) / 3))
        };
        let ours = Candidate::new("ours", || block().map(|weather| weather * 2.0));
        let other = Candidate::new("other", || block().map(|weather| weather * 0.5));
        let outcome = hold(&effort(), vec![Candidate::new("reference", block), ours, other]).unwrap();
        assert_eq!(calls.get(), 3 * 21);
        let ratios: Vec<_> = outcome.standings.iter().map(|s| (s.name.as_str(), s.ratio.median)).collect();
        assert!(matches!(ratios[..], [("ours", a), ("other", b)] if (a - 2.0).abs() < 1e-9 && (b - 0.5).abs() < 1e-9));
    }

    #[test]
    fn void_blocks_do_not_count_and_too_many_of_them_end_every_claim() {
        let calm = Weather { calibration_ns: 1.0, stolen_share: 0.0, taken_share: 0.0 };
        let storm = Weather { calibration_ns: 9.0, ..calm };
        for (storms, verdict) in [(0, Verdict::Pass), (6, Verdict::Pass), (7, Verdict::Inconclusive)] {
            let weather: Vec<_> = (0..20).map(|i| if i < storms { storm } else { calm }).collect();
            let ours = (0..20).map(|i| if i < storms { 99.0 } else { 2.0 }).collect();
            let figures = [vec![1.0; 20], ours];
            let outcome = judge(&effort(), vec!["reference".into(), "ours".into()], &figures, &weather);
            assert_eq!((outcome.void_blocks, outcome.standings[0].ratio.median), (storms, 2.0));
            assert_eq!(outcome.void_mostly, (storms > 0).then_some(Void::Slow));
            assert_eq!(outcome.verdict(&outcome.standings[0], 2.5), verdict, "{storms} storms");
        }
    }

    /// What others do to a measurement is no longer measured as ours: with four threads for each processor that want all of
    /// it, the blocks are void and nothing is claimed.
    #[test]
    fn on_a_machine_that_is_busy_with_others_blocks_are_void_and_nothing_is_claimed() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let over = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            for _ in 0..4 * crate::place::processors().len() {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            // Twenty milliseconds of work: longer than a turn on a processor that others want too.
            let work = || {
                let start = std::time::Instant::now();
                while start.elapsed().as_millis() < 20 {
                    std::hint::spin_loop();
                }
                Ok(1.0)
            };
            let outcome = hold(&effort(), vec![Candidate::new("reference", work), Candidate::new("ours", work)]);
            over.store(true, Ordering::Relaxed);
            outcome.unwrap()
        });
        assert!(outcome.void_blocks > 10, "{} of {} blocks are void", outcome.void_blocks, outcome.blocks);
        assert_eq!(outcome.verdict(&outcome.standings[0], 2.0), Verdict::Inconclusive);
    }

    #[test]
    fn a_candidate_that_fails_ends_the_contest() {
        let broken = Candidate::new("broken", || anyhow::bail!("out of order"));
        let e = hold(&effort(), vec![Candidate::new("reference", || Ok(1.0)), broken]).unwrap_err();
        assert_eq!(e.to_string(), "out of order");
    }
}
