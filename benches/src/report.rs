//! The results: as a table for people, as JSON for programs. Every figure has its unit in its name.

use crate::cases::ring_size::CellRow;
use crate::contest::{Outcome, Standing};
use crate::figure::{Better, Figure, HeatMap, Plot, Table};
use crate::place::Machine;
use crate::stats::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Changes when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 2;

/// More sentences than this are a wall that nobody reads.
const MAX_SENTENCES: usize = 3;

/// Everything one run found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the program.
    pub version: String,
    /// Decided orders and resamples: pass it to `--seed` to repeat them.
    pub seed: u64,
    /// Whether the run was a short one.
    pub quick: bool,
    /// What it ran on.
    pub machine: Machine,
    /// When it began, UTC, as `2026-11-21 15:00`.
    #[serde(default)]
    pub date: String,
    /// The machine's load when it began, over a minute. Unit: processes that ran or wanted to.
    #[serde(default)]
    pub load: f64,
    /// The command that repeats it.
    #[serde(default)]
    pub command: String,
    /// Time of contests that went by in the tool itself. Unit: %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_percent: Option<f64>,
    /// The user ended it before everything was measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// The cases, in the order they were run.
    pub cases: Vec<CaseReport>,
}

/// What one case found out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// That of its worst row.
    pub verdict: Option<Verdict>,
    /// Times beside a reference.
    pub ratios: Vec<RatioRow>,
    /// Exact counts.
    pub counts: Vec<CountRow>,
    /// Single figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    /// Combinations of slots, pictures and readers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellRow>,
    /// Rows for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// What is drawn as colours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<HeatMap>,
    /// What is drawn as lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<Plot>,
    /// Sentences that say what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// Why there is less than one would expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One candidate beside its reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RatioRow {
    /// The unit of work: what is copied, handed over, read.
    pub what: String,
    /// Who does it.
    pub candidate: String,
    /// Whom it is compared with.
    pub reference: String,
    /// Bytes moved per unit.
    pub bytes: u64,
    /// Median time of the candidate. Weather: do not compare it with another run's.
    pub own_ns_p50: f64,
    /// Median time of the reference in the same blocks.
    pub reference_ns_p50: f64,
    /// Median of the paired ratios.
    pub ratio: f64,
    /// Lower end of its 95 % interval.
    pub ratio_low: f64,
    /// Upper end of its 95 % interval.
    pub ratio_high: f64,
    /// Blocks measured.
    pub blocks: u32,
    /// Blocks that do not count, because the machine was busy with something else.
    pub void_blocks: u32,
    /// The largest ratio that is good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_max_ratio: Option<f64>,
    /// Whether it is.
    pub verdict: Verdict,
}

/// One exact count.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountRow {
    /// What was done.
    pub what: String,
    /// How often.
    pub events: u64,
    /// What was counted meanwhile.
    pub allocations: u64,
    /// The largest count that is good enough.
    pub goal_max_allocations: u64,
    /// Whether it is.
    pub verdict: Verdict,
}

impl Report {
    /// A report without cases, of a run that begins now, on this machine.
    pub fn begin(seed: u64, quick: bool, command: String) -> Report {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed,
            quick,
            machine: Machine::here(),
            date: crate::place::date(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            command,
            overhead_percent: None,
            is_partial: false,
            cases: Vec::new(),
        }
    }
}

impl CaseReport {
    /// A case without rows.
    pub fn new(name: &str) -> CaseReport {
        CaseReport { name: name.to_owned(), ..CaseReport::default() }
    }

    /// Adds a standing of a contest as a row.
    pub fn add(
        &mut self,
        what: &str,
        reference: &str,
        bytes: u64,
        outcome: &Outcome,
        standing: &Standing,
        goal: Option<f64>,
    ) {
        if !standing.ratio.median.is_finite() {
            return self.doubt(what, outcome.doubt().unwrap_or("not one block was measured"));
        }
        let verdict = goal.map_or(Verdict::None, |goal| outcome.verdict(standing, goal));
        self.ratios.push(RatioRow {
            what: what.to_owned(),
            candidate: standing.name.clone(),
            reference: reference.to_owned(),
            bytes,
            own_ns_p50: standing.own_ns,
            reference_ns_p50: standing.reference_ns,
            ratio: standing.ratio.median,
            ratio_low: standing.ratio.low,
            ratio_high: standing.ratio.high,
            blocks: outcome.blocks,
            void_blocks: outcome.void_blocks,
            goal_max_ratio: goal,
            verdict,
        });
        self.worsen(verdict);
    }

    /// Adds a count as a row.
    pub fn add_count(&mut self, what: &str, events: u64, allocations: u64) {
        let verdict = if allocations == 0 && events > 0 { Verdict::Pass } else { Verdict::Fail };
        self.counts.push(CountRow { what: what.to_owned(), events, allocations, goal_max_allocations: 0, verdict });
        self.worsen(verdict);
    }

    /// Adds a count of things that must not happen at all as a row.
    pub fn add_wrong(&mut self, what: &str, events: u64, wrong: u64) {
        self.figures.push(Figure::exact(what, wrong as f64, "in all", Better::Lower));
        self.worsen(if wrong == 0 && events > 0 { Verdict::Pass } else { Verdict::Fail });
    }

    /// A goal that no row stands for is kept, or not, or a busy machine left it open.
    pub fn add_goal(&mut self, is_kept: bool, is_disturbed: bool) {
        self.worsen(match (is_kept, is_disturbed) {
            (_, true) => Verdict::Inconclusive,
            (true, false) => Verdict::Pass,
            (false, false) => Verdict::Fail,
        });
    }

    /// Nothing can be said, for this reason.
    pub fn give_up(&mut self, note: impl Into<String>) {
        self.worsen(Verdict::Inconclusive);
        let note = note.into();
        self.note = Some(self.note.take().map_or(note.clone(), |before| format!("{before}; {note}")));
    }

    /// Nothing can be said of `what`, since `why`. Things of one reason are told together, each once.
    pub fn doubt(&mut self, what: &str, why: &str) {
        let begins = format!("inconclusive, {why}: ");
        let before = self.note.take().unwrap_or_default();
        let last = before.rsplit_once("; ").map_or(&before[..], |(_, last)| last);
        match last.strip_prefix(&begins) {
            Some(told) if told == what || told.ends_with(&format!(", {what}")) => self.note = Some(before),
            Some(_) => self.note = Some(format!("{before}, {what}")),
            None => {
                self.note = Some(before).filter(|before| !before.is_empty());
                self.give_up(format!("{begins}{what}"));
            }
        }
        self.worsen(Verdict::Inconclusive);
    }

    fn worsen(&mut self, verdict: Verdict) {
        self.verdict = Some(self.verdict.map_or(verdict, |worst| worst.max(verdict)));
    }

    /// The sentences of advice, where they are few enough to be read; a table of the case has them all.
    pub fn short_advice(&self) -> &[String] {
        if self.advice.len() <= MAX_SENTENCES { &self.advice } else { &[] }
    }

    /// The case as a table, a line for each row.
    pub fn table(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, words(self.verdict.unwrap_or(Verdict::None)));
        let rows: Vec<[String; 7]> = self.ratios.iter().map(RatioRow::cells).collect();
        if !rows.is_empty() {
            let head = ["", "candidate", "ratio", "95 %", "own", "reference", ""].map(str::to_owned);
            text.push_str(&columns(&[&[head], &rows[..]].concat()));
        }
        for row in &self.counts {
            let CountRow { what, events, allocations, .. } = row;
            let _ = writeln!(text, "  {what}: {allocations} allocations in {events}   {}", words(row.verdict));
        }
        for figure in self.figures.iter().filter(|figure| !figure.tabled) {
            let Figure { id, value, unit, .. } = figure;
            let busy = if figure.disturbed { "   inconclusive: busy machine" } else { "" };
            let interval = figure.low.zip(figure.high).map_or(String::new(), |(a, b)| format!(" ({a:.3}–{b:.3})"));
            let _ = writeln!(text, "  {id}: {}{interval} {unit}{busy}", number(*value));
        }
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            text.push_str(&table.text());
        }
        for sentence in self.short_advice() {
            let _ = writeln!(text, "  {sentence}");
        }
        if let Some(note) = &self.note {
            let _ = writeln!(text, "  {note}");
        }
        if let Some(row) = self.ratios.iter().max_by_key(|row| row.void_blocks) {
            let _ = writeln!(
                text,
                "  against {}; at most {} of {} blocks void",
                row.reference, row.void_blocks, row.blocks
            );
        }
        text
    }
}

impl RatioRow {
    fn cells(&self) -> [String; 7] {
        let goal = self.goal_max_ratio.map_or(String::new(), |goal| format!("{} (≤ {goal})", words(self.verdict)));
        [
            self.what.clone(),
            self.candidate.clone(),
            format!("{:.3}", self.ratio),
            format!("{:.3}–{:.3}", self.ratio_low, self.ratio_high),
            nanoseconds(self.own_ns_p50),
            nanoseconds(self.reference_ns_p50),
            goal,
        ]
    }
}

/// A verdict as people read it.
pub fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::None => "no goal",
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "FAIL",
    }
}

/// A value with as many digits as mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// A time as people read it.
pub fn nanoseconds(ns: f64) -> String {
    match ns {
        ns if ns >= 1e6 => format!("{:.2} ms", ns / 1e6),
        ns if ns >= 1e4 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{ns:.1} ns"),
    }
}

/// Cells as wide as the widest of their column; the first two to the left, figures to the right.
fn columns(rows: &[[String; 7]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let is_left = column < 2 || column == 6;
            let cell = if is_left { format!("{cell}{padding}") } else { format!("{padding}{cell}") };
            let _ = write!(line, " {cell} ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Ratio;

    fn report() -> CaseReport {
        let ratio = Ratio { median: 0.8, low: 0.79, high: 0.81 };
        let standing = Standing { name: "ours".into(), own_ns: 1_200_000.0, reference_ns: 12_000.0, ratio };
        let outcome = Outcome { blocks: 20, void_blocks: 1, void_mostly: None, standings: vec![standing.clone()] };
        let mut case = CaseReport::new("copy");
        case.add("4K frame", "memcpy", 100, &outcome, &standing, Some(0.85));
        case.add("4K frame", "memcpy", 100, &outcome, &standing, None);
        case
    }

    #[test]
    fn a_case_is_as_good_as_its_worst_row() {
        let mut case = report();
        assert_eq!(case.verdict, Some(Verdict::Pass));
        case.add_count("chunks", 1000, 0);
        assert_eq!(case.verdict, Some(Verdict::Pass));
        case.give_up("one processor");
        assert_eq!(case.verdict, Some(Verdict::Inconclusive));
        case.add_count("frames", 1000, 1);
        assert_eq!(case.verdict, Some(Verdict::Fail));
    }

    #[test]
    fn a_contest_that_was_ended_before_its_first_block_has_no_row_and_proves_nothing() {
        let ratio = Ratio::of_pairs(&[], &[], 1);
        let standing = Standing { name: "ours".into(), own_ns: f64::NAN, reference_ns: f64::NAN, ratio };
        let outcome = Outcome { blocks: 0, void_blocks: 0, void_mostly: None, standings: vec![standing.clone()] };
        let mut case = CaseReport::new("copy");
        case.add("4K frame", "memcpy", 100, &outcome, &standing, Some(0.85));
        assert_eq!((case.ratios.len(), case.verdict), (0, Some(Verdict::Inconclusive)));
    }

    #[test]
    fn what_a_busy_machine_left_open_is_told_together_and_once() {
        let mut case = CaseReport { note: Some("on a GPU".into()), ..CaseReport::new("copy") };
        for (what, why) in
            [("a, b", "busy"), ("a, b", "busy"), ("c", "busy"), ("c", "busy"), ("d", "slow"), ("c", "busy")]
        {
            case.doubt(what, why);
        }
        let told = "on a GPU; inconclusive, busy: a, b, c; inconclusive, slow: d; inconclusive, busy: c";
        assert_eq!((case.note.as_deref(), case.verdict), (Some(told), Some(Verdict::Inconclusive)));
    }

    #[test]
    fn nothing_done_is_nothing_shown() {
        let mut case = CaseReport::new("alloc");
        case.add_count("frames", 0, 0);
        assert_eq!(case.verdict, Some(Verdict::Fail));
    }

    #[test]
    fn the_table_has_a_line_for_each_row() {
        let mut case = report();
        case.add_count("chunks", 1000, 0);
        let text = case.table();
        assert!(text.starts_with("copy: pass\n"), "{text}");
        assert!(text.contains("0.800  0.790–0.810  1.20 ms    12.0 µs  pass (≤ 0.85)\n"), "{text}");
        assert!(text.contains("chunks: 0 allocations in 1000   pass\n"), "{text}");
        assert!(text.contains("against memcpy; at most 1 of 20 blocks void\n"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn the_json_names_its_schema_and_its_units_and_comes_back() {
        let mut report = Report { cases: vec![report()], ..Report::begin(1, true, "rx-bench run".into()) };
        report.overhead_percent = Some(1.0);
        let text = serde_json::to_string(&report).unwrap();
        for words in ["\"schema\":2", "\"own_ns_p50\":1200000.0", "\"goal_max_ratio\":0.85", "\"verdict\":\"pass\""] {
            assert!(text.contains(words), "no {words} in {text}");
        }
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(back.cases[0].ratios[0].ratio, 0.8);
    }
}
