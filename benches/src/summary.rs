//! A report in short, as Markdown for a README: on what and how it was measured, the goals and whether they are met, and the
//! tables that their cases put forward. Pure.

use crate::figure::Table;
use crate::page::conditions;
use crate::report::{CaseReport, RatioRow, Report, words};
use crate::stats::Verdict;
use std::fmt::Write;

/// The report in short.
pub fn summary(report: &Report) -> String {
    let mut out = format!("{} Repeat it with `make bench`.\n\n", conditions(report));
    let mut goals = goals(report);
    for row in &mut goals.rows {
        row[0] = format!("`{}`", row[0]);
        row[4] = row[4].replace("not met", "**not met**");
    }
    if !goals.rows.is_empty() {
        out.push_str(goals.markdown().trim_start());
        out.push('\n');
    }
    for case in &report.cases {
        // A busy machine leaves some without a row.
        for table in case.tables.iter().filter(|table| table.is_headline && !table.rows.is_empty()) {
            let _ = writeln!(out, "`{}`: {}", case.name, table.markdown());
        }
        if let Some(note) = case.note.as_ref().filter(|_| case.tables.iter().any(|table| table.is_headline)) {
            let _ = writeln!(out, "`{}`: {note}\n", case.name);
        }
    }
    out
}

/// Every goal, what was found, and whether it is met.
pub fn goals(report: &Report) -> Table {
    let mut goals = Table::new("", &["case", "what", "beside", "found", "goal"]);
    for case in &report.cases {
        goals.rows.extend(case.ratios.iter().filter(|row| row.goal_max_ratio.is_some()).map(|row| ratio(case, row)));
        goals.rows.extend(counts(case));
    }
    goals
}

fn ratio(case: &CaseReport, row: &RatioRow) -> Vec<String> {
    let goal = row.goal_max_ratio.map_or(String::new(), |goal| format!("{goal}: {}", told(row.verdict)));
    vec![
        case.name.clone(),
        format!("{}, {}", row.what, row.candidate),
        row.reference.clone(),
        format!("{:.3} ({:.3}–{:.3})", row.ratio, row.ratio_low, row.ratio_high),
        goal,
    ]
}

/// Counts that must be 0, all in one row.
fn counts(case: &CaseReport) -> Option<Vec<String>> {
    let worst = case.counts.iter().map(|row| row.verdict).max()?;
    let most = case.counts.iter().map(|row| row.allocations).max()?;
    let what = format!("allocations in {} kinds of work", case.counts.len());
    Some(vec![case.name.clone(), what, "–".into(), most.to_string(), format!("0: {}", told(worst))])
}

fn told(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "met",
        Verdict::Fail => "not met",
        Verdict::None | Verdict::Inconclusive => words(verdict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::{Outcome, Standing};
    use crate::stats::Ratio;

    #[test]
    fn the_summary_has_the_goals_and_the_tables_that_are_put_forward_and_nothing_else() {
        let mut case = CaseReport::new("copy");
        let standing = |name: &str, median: f64| Standing {
            name: name.into(),
            own_ns: 1.0,
            reference_ns: 1.0,
            ratio: Ratio { median, low: median, high: median },
        };
        let outcome = Outcome { blocks: 20, void_blocks: 0, void_mostly: None, standings: Vec::new() };
        case.add("4K frame", "memcpy", 1, &outcome, &standing("chosen", 0.8), Some(0.85));
        case.add("4K frame", "memcpy", 1, &outcome, &standing("other", 9.0), None);
        case.add_count("chunks", 10, 0);
        case.tables.push(Table::new("Long", &["a"]));
        let short = Table { rows: vec![vec!["1".into()]], ..Table::new("Short", &["b"]) };
        case.tables.extend([short.headline(), Table::new("Empty", &["c"]).headline()]);
        let text = summary(&Report { cases: vec![case], ..Report::begin(1, false, "rx-bench run".into()) });
        for words in
            ["| `copy` | 4K frame, chosen | memcpy | 0.800 (0.800–0.800) | 0.85: met |", "| 0 | 0: met |", "Short"]
        {
            assert!(text.contains(words), "no {words} in {text}");
        }
        assert!(!text.contains("other") && !text.contains("Long") && !text.contains("Empty"), "{text}");
    }
}
