//! Keyboard and mouse: what router and pacer do with a mouse of 1 and 8 kHz (counts and delays in simulated time, which
//! are exact), what a report costs in time beside a queue that decides nothing, and in instructions.

use super::Task;
use super::engine;
use crate::contest::{Candidate, hold};
use crate::figure::{Better, Figure, Table};
use crate::report::CaseReport;
use crate::work::input::Mouse;
use frame_rx::input::{InputFrame, Motion};
use shm_proto::HostTime;
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

/// Mice: an office mouse, a gaming mouse, the fastest sold. Unit: reports in a second.
const RATES_HZ: [u32; 3] = [125, 1_000, 8_000];
/// Those that are timed.
const TIMED_HZ: [u32; 2] = [1_000, 8_000];
/// Simulated seconds of each.
const SECONDS: u32 = 10;
/// Reports of a sample, and samples of which the median counts.
const REPORTS: u32 = 2_000;
const SAMPLES: u32 = 5;
/// A mouse may cost this share of a core at the most. Unit: percent.
const GOAL_MAX_PERCENT: f64 = 1.0;

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("input");
    simulate(&mut report)?;
    if !task.is_exact {
        time(&mut report, task)?;
        engine::count(&mut report, task, |work| work.name.starts_with("mouse"))?;
    }
    Ok(report)
}

fn simulate(report: &mut CaseReport) -> anyhow::Result<()> {
    let mut table = Table::new(
        format!(
            "Simulated time, {SECONDS} s of each: what of a mouse reaches the guest, which takes one report a millisecond"
        ),
        &["mouse", "reports/s", "motions/s", "buttons", "added p50 µs", "added max µs"],
    );
    for rate_hz in RATES_HZ {
        let mut mouse = Mouse::new(rate_hz)?;
        (0..rate_hz * SECONDS).try_for_each(|_| mouse.report())?;
        let told = mouse.told()?;
        let per_s = |count: u64| count as f64 / f64::from(SECONDS);
        let [p50, max] = [told.added_ns.0, told.added_ns.1].map(|ns| ns as f64 / 1e3);
        table.rows.push(vec![
            format!("{rate_hz} Hz"),
            format!("{:.0}", per_s(told.reports)),
            format!("{:.1}", per_s(told.moves)),
            told.edges.to_string(),
            format!("{p50:.0}"),
            format!("{max:.0}"),
        ]);
        let lower = Better::Lower;
        report.figures.push(Figure::exact(
            format!("{rate_hz} Hz: motions to the guest"),
            per_s(told.moves),
            "1/s",
            lower,
        ));
        report.figures.push(Figure::exact(format!("{rate_hz} Hz: added max"), max, "µs", lower));
    }
    report.figures.iter_mut().for_each(|figure| figure.tabled = true);
    report.tables.push(table);
    Ok(())
}

/// Nanoseconds for one of `REPORTS`: the median of some samples.
fn sample(mut each: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(SAMPLES as usize);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        for _ in 0..REPORTS {
            each()?;
        }
        times.push(start.elapsed().as_nanos() as f64 / f64::from(REPORTS));
    }
    Ok(crate::stats::median(&times))
}

fn time(report: &mut CaseReport, task: &Task<'_>) -> anyhow::Result<()> {
    let frame = InputFrame::new(HostTime::ZERO).with_motion(Motion { dx: 3, dy: -2 });
    let mut queue = VecDeque::with_capacity(64);
    let bare = Candidate::new("queue", || {
        sample(|| {
            queue.push_back(black_box(frame));
            black_box(queue.pop_front());
            Ok(())
        })
    });
    let mut mice = TIMED_HZ.map(|rate_hz| (rate_hz, Mouse::new(rate_hz)));
    let mut candidates = vec![bare];
    for (rate_hz, mouse) in &mut mice {
        let mouse = mouse.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?;
        candidates.push(Candidate::new(format!("{rate_hz} Hz"), || sample(|| mouse.report())));
    }
    let outcome = hold(task.effort, candidates)?;
    let mut table = Table::new(
        "Measured: what a report costs the thread that passes it on, without its system calls",
        &["mouse", "ns a report", "reports/s at most", "% of a core at its rate"],
    );
    for (standing, rate_hz) in outcome.standings.iter().zip(TIMED_HZ) {
        report.add("a report", "a queue that decides nothing", 0, &outcome, standing, None);
        if !standing.own_ns.is_finite() {
            continue;
        }
        let percent = standing.own_ns * f64::from(rate_hz) * 1e-7;
        table.rows.push(vec![
            standing.name.clone(),
            format!("{:.0}", standing.own_ns),
            format!("{:.1} M", 1e3 / standing.own_ns),
            format!("{percent:.3}"),
        ]);
        let id = format!("{rate_hz} Hz: processor, measured");
        report.figures.push(Figure::measured(id, percent, "%", Better::Lower).tabled());
        let is_good = percent <= GOAL_MAX_PERCENT;
        report.add_goal(is_good, outcome.is_too_noisy());
    }
    report.tables.push(table);
    Ok(())
}
