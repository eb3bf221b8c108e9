//! Two runs side by side: for each figure faster, slower, same or inconclusive; and budgets. Pure but for reading files.
//!
//! Exact figures are compared as they are. Measured ones only by their intervals, and only ratios to a reference of the
//! same run have any: two runs' bare times are weather, so they are not compared at all.

use crate::figure::Better;
use crate::report::{Report, SCHEMA, number};
use crate::stats::MAX_VOID_SHARE;
use rx_host::exit::{Explain, Failure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Intervals that overlap and are narrower than this share of the value say "same"; wider ones say nothing.
const NARROW: f64 = 0.10;
/// Longer files are no reports of ours. Unit: bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A figure as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparable {
    value: f64,
    /// Lower and upper end; nothing for exact figures.
    interval: Option<(f64, f64)>,
    unit: String,
    better: Better,
    /// Nothing can be said of it.
    disturbed: bool,
}

/// What the second run says about a figure of the first. Ordered: a comparison is as bad as its worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Better, beyond doubt.
    Faster,
    /// No difference.
    Same,
    /// The machine was busy, or the intervals are too wide to tell.
    Inconclusive,
    /// Worse, beyond doubt; or gone.
    Slower,
}

impl Change {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Change::Faster => "faster",
            Change::Same => "same",
            Change::Inconclusive => "inconclusive",
            Change::Slower => "SLOWER",
        }
    }
}

/// What a figure must not exceed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The figure's name, as `compare` shows it; `*` stands for anything.
    pub figure: String,
    /// The most that is allowed.
    pub max: f64,
    /// Its unit, so that a reader sees what is meant.
    pub unit: String,
    /// Why this much.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    budget: Vec<Budget>,
}

/// Reads a report.
///
/// # Errors
/// [`Failure`] with exit code 2: no file, not JSON, not a report, or another schema.
pub fn read(path: &Path) -> Result<Report, Failure> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let shown = path.display();
    let hint = "reports are written by `rx-bench run --json FILE`";
    let text = read_text(path, hint)?;
    let what = || format!("{shown} is not a report of rx-bench");
    let head: Head = serde_json::from_str(&text).or_environment(what(), hint)?;
    if head.schema != SCHEMA {
        let what = format!("{shown} has schema {}, this program knows schema {SCHEMA}", head.schema);
        return Err(Failure::environment(
            what,
            "measure again with this program, or compare with the one that wrote it",
        ));
    }
    serde_json::from_str(&text).or_environment(what(), hint)
}

/// Reads budgets.
///
/// # Errors
/// [`Failure`] with exit code 2.
pub fn read_budgets(path: &Path) -> Result<Vec<Budget>, Failure> {
    let hint = "a budget is a table [[budget]] with figure, max, unit and reason";
    let text = read_text(path, hint)?;
    let parsed: Budgets = toml::from_str(&text).or_environment(format!("{} is not a budget", path.display()), hint)?;
    Ok(parsed.budget)
}

fn read_text(path: &Path, hint: &str) -> Result<String, Failure> {
    let tried = format!("cannot read {}", path.display());
    let meta = std::fs::metadata(path).or_environment(&tried, hint)?;
    if !meta.is_file() || meta.len() > MAX_FILE_BYTES {
        return Err(Failure::environment(format!("{tried}: it is no file of a sensible length"), hint));
    }
    std::fs::read_to_string(path).or_environment(&tried, hint)
}

/// Every figure of a report that can be compared, by name.
pub fn comparables(report: &Report) -> BTreeMap<String, Comparable> {
    let mut all = BTreeMap::new();
    for case in &report.cases {
        let mut add = |id: String, value: f64, interval, unit: &str, better, disturbed| {
            let unit = unit.to_owned();
            all.insert(format!("{}/{id}", case.name), Comparable { value, interval, unit, better, disturbed });
        };
        for row in &case.ratios {
            let is_void = f64::from(row.void_blocks) > MAX_VOID_SHARE * f64::from(row.blocks);
            let id = format!("{}: {} to {}", row.what, row.candidate, row.reference);
            add(id, row.ratio, Some((row.ratio_low, row.ratio_high)), "times", Better::Lower, is_void);
        }
        for row in &case.counts {
            let per_event = row.allocations as f64 / row.events.max(1) as f64;
            add(format!("{}: allocations", row.what), per_event, None, "each", Better::Lower, false);
        }
        for figure in &case.figures {
            let interval = figure.low.zip(figure.high);
            if figure.exact || interval.is_some() {
                let interval = interval.filter(|_| !figure.exact);
                add(figure.id.clone(), figure.value, interval, &figure.unit, figure.better, figure.disturbed);
            }
        }
        for row in case.cells.iter().filter(|row| !row.live) {
            let (id, o) = (row.id(), &row.outcome);
            for (what, value, unit) in [
                ("stalled", o.stalled_percent(), "%"),
                ("unseen", o.unseen_percent(), "%"),
                ("torn", o.torn_percent(), "%"),
                ("wrong", o.frames_wrong as f64, "frames"),
                ("hand-over p99", o.handover_us_p99, "µs"),
                ("region", row.region_bytes as f64, "bytes"),
            ] {
                add(format!("{id}: {what}"), value, None, unit, Better::Lower, false);
            }
        }
    }
    all
}

impl Comparable {
    /// What `self` says, seen from `before`.
    pub fn since(&self, before: &Comparable) -> Change {
        if self.disturbed || before.disturbed {
            return Change::Inconclusive;
        }
        let sign = match self.better {
            Better::Lower => 1.0,
            Better::Higher => -1.0,
            Better::Neither => return Change::Same,
        };
        match (before.interval, self.interval) {
            (Some((a, b)), Some((c, d))) => {
                // Better figures lie lower from here on.
                let turned = |(low, high): (f64, f64)| if sign > 0.0 { (low, high) } else { (-high, -low) };
                let ((a, b), (c, d)) = (turned((a, b)), turned((c, d)));
                let width = (b - a).max(d - c) / before.value.abs().max(f64::MIN_POSITIVE);
                if c > b {
                    Change::Slower
                } else if d < a {
                    Change::Faster
                } else if width <= NARROW {
                    Change::Same
                } else {
                    Change::Inconclusive
                }
            }
            _ => {
                let difference = sign * (self.value - before.value);
                let least = 1e-9 * before.value.abs().max(1e-9);
                if difference > least {
                    Change::Slower
                } else if difference < -least {
                    Change::Faster
                } else if difference.is_nan() {
                    Change::Inconclusive
                } else {
                    Change::Same
                }
            }
        }
    }
}

/// The comparison for people, and how bad it is. Figures that did not change are counted, not listed.
pub fn compare(before: &Report, after: &Report) -> (String, Change) {
    let (before, after) = (comparables(before), comparables(after));
    let (mut text, mut worst, mut counts) = (String::new(), Change::Faster, BTreeMap::<Change, usize>::new());
    for (id, old) in &before {
        let change = after.get(id).map_or(Change::Slower, |new| new.since(old));
        *counts.entry(change).or_default() += 1;
        worst = worst.max(change);
        if change == Change::Same {
            continue;
        }
        let unit = &old.unit;
        let _ = match after.get(id) {
            Some(new) => {
                writeln!(text, "{:<13}{id}: {} → {} {unit}", change.words(), shown(old), shown(new))
            }
            None => writeln!(text, "{:<13}{id}: {} {unit} → not measured any more", change.words(), shown(old)),
        };
    }
    let new = after.keys().filter(|id| !before.contains_key(*id)).count();
    let count = |change| counts.get(&change).copied().unwrap_or(0);
    let _ = writeln!(
        text,
        "{} figures: {} faster, {} the same, {} inconclusive, {} slower; {new} are new",
        before.len(),
        count(Change::Faster),
        count(Change::Same),
        count(Change::Inconclusive),
        count(Change::Slower)
    );
    (text, if before.is_empty() { Change::Inconclusive } else { worst })
}

fn shown(figure: &Comparable) -> String {
    let interval = figure.interval.map_or(String::new(), |(low, high)| format!(" ({low:.3}–{high:.3})"));
    format!("{}{interval}", number(figure.value))
}

/// Budgets against a report, for people, and how bad it is. A budget for which there is no figure is missed: a check that
/// checks nothing is none.
pub fn check_budgets(budgets: &[Budget], report: &Report) -> (String, Change) {
    let figures = comparables(report);
    let (mut text, mut worst, mut kept) = (String::new(), Change::Same, 0);
    for budget in budgets {
        let Budget { figure: pattern, max, unit, reason } = budget;
        let matching: Vec<_> = figures.iter().filter(|(id, f)| matches(pattern, id) && f.unit == *unit).collect();
        if matching.is_empty() {
            let _ = writeln!(text, "OVER BUDGET  {pattern}: no such figure in {unit} was measured");
            worst = worst.max(Change::Slower);
        }
        for (id, figure) in matching {
            let (low, high) = figure.interval.unwrap_or((figure.value, figure.value));
            let change = if figure.disturbed {
                Change::Inconclusive
            } else if high <= *max {
                Change::Same
            } else if low > *max {
                Change::Slower
            } else {
                Change::Inconclusive
            };
            kept += usize::from(change == Change::Same);
            worst = worst.max(change);
            let words = if change == Change::Slower { "OVER BUDGET" } else { change.words() };
            if change != Change::Same {
                let _ = writeln!(text, "{words:<13}{id}: {} {unit}, allowed are {max}: {reason}", shown(figure));
            }
        }
    }
    let _ = writeln!(text, "{kept} figures are within {} budgets", budgets.len());
    (text, worst)
}

/// Whether `text` is `pattern`, in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;
    use crate::report::CaseReport;

    fn exact(value: f64, better: Better) -> Figure {
        Figure::exact("a", value, "ms", better)
    }

    fn measured(value: f64, low: f64, high: f64) -> Figure {
        Figure { low: Some(low), high: Some(high), exact: false, ..exact(value, Better::Lower) }
    }

    fn report(figures: Vec<Figure>) -> Report {
        let case = CaseReport { figures, ..CaseReport::new("wait") };
        Report { cases: vec![case], ..Report::begin(1, true, String::new()) }
    }

    #[test]
    fn exact_figures_differ_by_any_amount_and_measured_ones_beyond_their_intervals() {
        let busy = Figure { disturbed: true, ..measured(9.0, 8.9, 9.1) };
        for (before, after, expected) in [
            (exact(1.0, Better::Lower), exact(1.0, Better::Lower), Change::Same),
            (exact(1.0, Better::Lower), exact(1.000_001, Better::Lower), Change::Slower),
            (exact(1.0, Better::Lower), exact(0.9, Better::Lower), Change::Faster),
            (exact(1.0, Better::Higher), exact(0.9, Better::Higher), Change::Slower),
            (exact(1.0, Better::Neither), exact(5.0, Better::Neither), Change::Same),
            (exact(0.0, Better::Lower), exact(f64::NAN, Better::Lower), Change::Inconclusive),
            (measured(1.0, 0.98, 1.02), measured(1.05, 1.03, 1.07), Change::Slower),
            (measured(1.0, 0.98, 1.02), measured(0.9, 0.88, 0.92), Change::Faster),
            (measured(1.0, 0.98, 1.02), measured(1.01, 0.99, 1.03), Change::Same),
            (measured(1.0, 0.7, 1.4), measured(1.2, 0.9, 1.6), Change::Inconclusive),
            (measured(1.0, 0.98, 1.02), busy, Change::Inconclusive),
        ] {
            let (text, change) = compare(&report(vec![before.clone()]), &report(vec![after.clone()]));
            assert_eq!(change, expected, "{before:?} {after:?}: {text}");
        }
    }

    #[test]
    fn a_figure_that_is_gone_is_worse_and_a_bare_time_is_never_compared() {
        let (text, change) = compare(&report(vec![exact(1.0, Better::Lower)]), &report(vec![]));
        assert_eq!(change, Change::Slower);
        assert!(text.contains("not measured any more"), "{text}");
        let bare = |value| report(vec![Figure::measured("b", value, "ms", Better::Lower)]);
        assert_eq!(compare(&bare(1.0), &bare(9.0)).1, Change::Inconclusive, "nothing to compare is no pass");
    }

    #[test]
    fn budgets_hold_what_they_name() {
        let budget = |figure: &str, max| {
            vec![Budget { figure: figure.into(), max, unit: "ms".into(), reason: "because".into() }]
        };
        let report = report(vec![exact(2.0, Better::Lower)]);
        for (pattern, max, expected) in [
            ("wait/a", 2.0, Change::Same),
            ("wait/*", 1.9, Change::Slower),
            ("*/a", 2.0, Change::Same),
            ("copy/*", 9.0, Change::Slower),
        ] {
            let (text, change) = check_budgets(&budget(pattern, max), &report);
            assert_eq!(change, expected, "{pattern}: {text}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("*b", "ab", true),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn files_that_are_no_reports_end_with_code_2_and_say_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        for (text, expected) in [
            ("", "is not a report"),
            ("{}", "is not a report"),
            (r#"{"schema":1}"#, "has schema 1, this program knows schema 2"),
            (r#"{"schema":2}"#, "is not a report"),
        ] {
            std::fs::write(&path, text).unwrap();
            let e = read(&path).unwrap_err();
            assert_eq!(e.exit(), rx_host::exit::Exit::Environment);
            assert!(e.to_string().contains(expected), "{text}: {e}");
        }
        assert!(read(dir.path()).is_err() && read(&dir.path().join("none")).is_err());
        std::fs::write(&path, serde_json::to_string(&report(vec![])).unwrap()).unwrap();
        read(&path).unwrap();
        assert!(read_budgets(&path).is_err());
    }
}
