//! A report as one page that needs nothing else: tables, drawings inside, light or dark as the reader has it. And as
//! Markdown, for a repository. Pure.

use crate::chart::{self, escape};
use crate::figure::Table;
use crate::report::{CaseReport, RatioRow, Report, nanoseconds, number, words};
use crate::stats::Verdict;
use crate::summary::goals;
use std::fmt::Write;

const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1f24;--soft:#5b6370;--line:#d9dde3;--head:#f3f5f8;--good:#1a7f37;--bad:#b3261e;--open:#8a6100}
@media(prefers-color-scheme:dark){:root{--paper:#16181d;--ink:#e4e6ea;--soft:#9aa3b0;--line:#333943;--head:#1f232a;--good:#5cc777;--bad:#ff8a80;--open:#e3b341}}
body{margin:0 auto;max-width:74rem;padding:2rem 1.2rem;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{margin:2.4rem 0 .4rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
p.meta,figcaption{color:var(--soft)}p.meta{max-width:60rem;margin:.2rem 0 1rem}code{font:13px ui-monospace,monospace;background:var(--head);padding:.1em .35em;border-radius:4px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.3rem 0 1rem}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th{background:var(--head)}.w{text-align:left}
.pass{color:var(--good)}.fail{color:var(--bad);font-weight:600}.open{color:var(--open)}nav a{margin-right:1rem}nav a[class='']{color:inherit}
figure{margin:0;display:inline-block;vertical-align:top}figure svg{max-width:100%;height:auto}ul.advice li{margin:.35rem 0}";

/// The report as a page of HTML.
pub fn html(report: &Report) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    let title = format!("rx-bench, {}", report.date);
    let _ = write!(out, "<title>{}</title>\n<style>{STYLE}\n</style>\n</head>\n<body>\n", escape(&title));
    let _ = writeln!(out, "<h1>Measured by rx-bench</h1>\n<p class=\"meta\">{}</p>", escape(&conditions(report)));
    let _ = writeln!(out, "<p>Repeat it with <code>{}</code>.</p>\n<nav>", escape(&report.command));
    for case in &report.cases {
        let verdict = class(case.verdict.unwrap_or(Verdict::None));
        let _ = writeln!(out, "<a href=\"#{0}\" class=\"{verdict}\">{0}</a>", escape(&case.name));
    }
    out.push_str("</nav>\n");
    let goals = goals(report);
    if !goals.rows.is_empty() {
        html_table(&mut out, &goals);
    }
    for case in &report.cases {
        html_case(&mut out, case);
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// Machine, date and load in one sentence.
pub fn conditions(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{} UTC on {}, {} processors, Linux {}; load {} when it began; seed {}.",
        report.date, machine.processor, machine.processors, machine.kernel, report.load, report.seed
    );
    if let Some(percent) = report.overhead_percent {
        let _ = write!(text, " The tool itself took {percent:.2} % of the time of its contests.");
    }
    if report.quick {
        text.push_str(" A short run: intervals are wide.");
    }
    if report.is_partial {
        text.push_str(" It was ended before everything was measured.");
    }
    text
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::None => "",
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "open",
        Verdict::Fail => "fail",
    }
}

fn html_case(out: &mut String, case: &CaseReport) {
    let verdict = case.verdict.unwrap_or(Verdict::None);
    let _ = writeln!(
        out,
        "<h2 id=\"{0}\">{0} <small class=\"{1}\">{2}</small></h2>",
        escape(&case.name),
        class(verdict),
        words(verdict)
    );
    if let Some(note) = &case.note {
        let _ = writeln!(out, "<p class=\"open\">{}</p>", escape(note));
    }
    if !case.advice.is_empty() {
        let items: String = case.advice.iter().map(|a| format!("<li>{}</li>\n", escape(a))).collect();
        let open = if case.short_advice().is_empty() { "" } else { " open" };
        let _ =
            writeln!(out, "<details{open}><summary>In words</summary><ul class=\"advice\">\n{items}</ul></details>");
    }
    for table in tables(case) {
        html_table(out, &table);
    }
    let maps = case.maps.iter().map(chart::heat_map);
    for svg in maps.chain(case.plots.iter().map(chart::plot)) {
        let _ = writeln!(out, "<figure>{svg}</figure>");
    }
}

fn html_table(out: &mut String, table: &Table) {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter()
            .enumerate()
            .map(|(column, cell)| {
                let told = match cell.as_str() {
                    c if c.starts_with("pass") || c.contains(": met") => "pass",
                    c if c.starts_with("FAIL") || c.contains("not met") => "fail",
                    c if c.contains("inconclusive") => "open",
                    _ => "",
                };
                let side = if table.is_words(column) { "w" } else { "" };
                let class = format!("{side} {told}");
                let class = if class == " " { String::new() } else { format!(" class=\"{}\"", class.trim()) };
                format!("<{tag}{class}>{}</{tag}>", escape(cell))
            })
            .collect()
    };
    let rows: String = table.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    let (title, head) = (escape(&table.title), cells("th", &table.head));
    if !title.is_empty() {
        let _ = writeln!(out, "<h3>{title}</h3>");
    }
    let _ = writeln!(out, "<div class=\"wide\"><table>\n<tr>{head}</tr>\n{rows}</table></div>");
    if !table.legend.is_empty() {
        let _ = writeln!(out, "<p class=\"meta\">{}</p>", escape(&table.legend));
    }
}

/// Everything of a case that has rows, as tables.
fn tables(case: &CaseReport) -> Vec<Table> {
    let mut tables = Vec::new();
    if let Some(first) = case.ratios.first() {
        let head = ["", "who", "ratio", "95 %", "own", "reference", "void", ""];
        let mut table = Table::new(format!("Times as ratios to {}", first.reference), &head);
        table.rows = case.ratios.iter().map(ratio_cells).collect();
        tables.push(table);
    }
    if !case.counts.is_empty() {
        let mut table = Table::new("Counts", &["what", "events", "allocations", ""]);
        let cells = |row: &crate::report::CountRow| {
            vec![row.what.clone(), row.events.to_string(), row.allocations.to_string(), words(row.verdict).to_owned()]
        };
        table.rows = case.counts.iter().map(cells).collect();
        tables.push(table);
    }
    // A busy machine leaves some without a row.
    tables.extend(case.tables.iter().filter(|table| !table.rows.is_empty()).cloned());
    if case.figures.iter().any(|figure| !figure.tabled) {
        let mut table =
            Table::new("Figures (exact ones are the same on every machine)", &["what", "value", "unit", ""]);
        let cells = |f: &crate::figure::Figure| {
            let kind = if f.disturbed {
                "inconclusive"
            } else if f.exact {
                "exact"
            } else {
                "measured"
            };
            vec![f.id.clone(), number(f.value), f.unit.clone(), kind.to_owned()]
        };
        table.rows = case.figures.iter().filter(|figure| !figure.tabled).map(cells).collect();
        tables.push(table);
    }
    tables
}

fn ratio_cells(row: &RatioRow) -> Vec<String> {
    let goal = row.goal_max_ratio.map_or(String::new(), |goal| format!("{} (≤ {goal})", words(row.verdict)));
    vec![
        row.what.clone(),
        row.candidate.clone(),
        format!("{:.3}", row.ratio),
        format!("{:.3}–{:.3}", row.ratio_low, row.ratio_high),
        nanoseconds(row.own_ns_p50),
        nanoseconds(row.reference_ns_p50),
        format!("{} of {}", row.void_blocks, row.blocks),
        goal,
    ]
}

/// The report in Markdown, without drawings.
pub fn markdown(report: &Report) -> String {
    let mut out = format!("# Measured by rx-bench\n\n{}\n\n`{}`\n", conditions(report), report.command);
    for case in &report.cases {
        let verdict = words(case.verdict.unwrap_or(Verdict::None));
        let _ = write!(out, "\n## {}: {verdict}\n\n", case.name);
        if let Some(note) = &case.note {
            let _ = write!(out, "{note}\n\n");
        }
        for sentence in case.short_advice() {
            let _ = writeln!(out, "* {sentence}");
        }
        if !case.short_advice().is_empty() {
            out.push('\n');
        }
        for table in tables(case) {
            let _ = writeln!(out, "{}", table.markdown());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Better, Figure, HeatMap};

    fn report() -> Report {
        let mut case = CaseReport::new("wait<script>");
        case.figures.push(Figure::exact("delay", 1.5, "ms", Better::Lower));
        case.maps.push(HeatMap {
            title: "map".into(),
            x: vec!["2".into()],
            values: vec![vec![Some(1.0)]],
            ..HeatMap::default()
        });
        case.advice.push("give it 32 MiB & more".into());
        Report { cases: vec![case], ..Report::begin(1, true, "rx-bench run \"a\"".into()) }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_lets_no_text_become_markup() {
        let page = html(&report());
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
        for foreign in ["<script", "src=", "href=\"http", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("<svg ") && page.contains("wait&lt;script&gt;") && page.contains("32 MiB &amp; more"));
        assert!(page.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn markdown_has_a_heading_for_each_case_and_its_tables() {
        let text = markdown(&report());
        assert!(text.contains("## wait<script>: no goal") && text.contains("| delay | 1.500 | ms | exact |"), "{text}");
    }
}
