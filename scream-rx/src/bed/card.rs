//! The card: every scenario in one table, the same for each release, for people.

use super::run::{Outcome, run};
use super::scenario::{Scenario, scenarios};
use core::fmt::Write;

/// The head of the card.
const HEAD: &str = "| scenario | hours | delay p1 / p50 / p99 (ms) | off >10 s / >60 s (ms) | settles (s) | ratio sigma / \
                    wobble / most (ppm) | gaps (unprovoked) | steps / trims | target 60 s / most / end (ms) | back (ms) | \
                    |\n|---|---|---|---|---|---|---|---|---|---|---|\n";

/// Runs all scenarios for `hours` each, with this seed, and prints the card: a Markdown table. The second value: whether
/// every scenario kept its limits.
///
/// Blocks: an hour of one scenario takes a fraction of a second.
pub fn card(hours: f64, seed: u64) -> (String, bool) {
    let mut text = HEAD.to_owned();
    let mut all_kept = true;
    for s in scenarios() {
        let outcome = run(&s, hours * 3600.0, seed, None);
        all_kept &= s.limits.missed_by(&outcome).is_empty();
        text.push_str(&row(&s, &outcome));
    }
    (text, all_kept)
}

/// One row of the card.
pub fn row(s: &Scenario, o: &Outcome) -> String {
    let mut text = String::new();
    let missed = s.limits.missed_by(o);
    let verdict = if missed.is_empty() { "met".to_owned() } else { format!("**{}**", missed.join("; ")) };
    let [p1, p50, p99] = o.delay_ms;
    let [t60, most, end] = o.target_ms;
    let _ = writeln!(
        text,
        "| {} | {:.1} | {p1:.2} / {p50:.2} / {p99:.2} | {:.2} / {:.2} | {:.1} | {:.2} / {:.2} / {:.0} | {} ({}) | {} / {} | \
         {t60:.2} / {most:.2} / {end:.2} | {:.2} | {verdict} |",
        s.name,
        o.hours,
        o.off10_ms,
        o.off60_ms,
        o.settle_s,
        o.sigma_ppm,
        o.wobble_ppm,
        o.ratio_ppm,
        o.gaps,
        o.gaps_unprovoked,
        o.moves,
        o.trims,
        o.back_ms,
    );
    text
}
