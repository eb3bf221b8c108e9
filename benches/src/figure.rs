//! What a case may say besides ratios and counts: single figures that are compared between runs, tables, heat maps and
//! plots. Whoever prints, draws or compares them knows nothing of the case.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Characters of a line of running text.
const LINE: usize = 110;

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither: it describes.
    Neither,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name: the same in every run, unique within its case.
    pub id: String,
    /// Its unit, as people write it.
    pub unit: String,
    /// What was found.
    pub value: f64,
    /// Lower end of the 95 % interval, if it was measured and not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The same in every run on every machine: counted, or virtual time.
    pub exact: bool,
    /// Which way is better.
    pub better: Better,
    /// The machine was too busy while it was measured: it says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
    /// A table of its case shows it already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tabled: bool,
}

impl Figure {
    /// A figure that is the same in every run.
    pub fn exact(id: impl Into<String>, value: f64, unit: &str, better: Better) -> Figure {
        let (id, unit) = (id.into(), unit.to_owned());
        Figure { id, unit, value, low: None, high: None, exact: true, better, disturbed: false, tabled: false }
    }

    /// A figure that is the same in every run but for so much to either side: by what compilers and processors choose.
    pub fn about(id: impl Into<String>, value: f64, varies: f64, unit: &str, better: Better) -> Figure {
        let (low, high) = (Some(value - varies), Some(value + varies));
        Figure { low, high, exact: false, ..Figure::exact(id, value, unit, better) }
    }

    /// The same, and a table of its case shows it already.
    #[must_use]
    pub fn tabled(self) -> Figure {
        Figure { tabled: true, ..self }
    }

    /// A figure that was measured, without an interval: it is shown, and never compared with another run's.
    pub fn measured(id: impl Into<String>, value: f64, unit: &str, better: Better) -> Figure {
        Figure { exact: false, ..Figure::exact(id, value, unit, better) }
    }
}

/// Rows for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// The rows, as many cells as the head.
    pub rows: Vec<Vec<String>>,
    /// What the columns mean, where their names do not say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub legend: String,
    /// It stands for its case where there is little room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_headline: bool,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, head: &[&str]) -> Table {
        let head = head.iter().map(|h| (*h).to_owned()).collect();
        Table { title: title.into(), head, ..Table::default() }
    }

    /// The same, and its columns mean this.
    #[must_use]
    pub fn legend(self, legend: impl Into<String>) -> Table {
        Table { legend: legend.into(), ..self }
    }

    /// Whether a column holds words, which stand to the left; figures stand to the right.
    pub fn is_words(&self, column: usize) -> bool {
        let begins = |cell: &String| cell.chars().next();
        let mut firsts = self.rows.iter().filter_map(|row| row.get(column).and_then(begins));
        column == 0 || firsts.any(char::is_alphabetic)
    }

    /// The same, and it stands for its case where there is little room.
    #[must_use]
    pub fn headline(self) -> Table {
        Table { is_headline: true, ..self }
    }

    /// For a terminal: words to the left, figures to the right.
    pub fn text(&self) -> String {
        let all: Vec<&Vec<String>> = std::iter::once(&self.head).chain(&self.rows).collect();
        let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
        let columns: Vec<(usize, bool)> =
            (0..self.head.len()).map(|column| (width(column).unwrap_or(0), self.is_words(column))).collect();
        let mut text = format!("  {}\n", self.title);
        for row in all {
            let mut line = String::from("  ");
            for (cell, (width, is_words)) in row.iter().zip(&columns) {
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let _ = if *is_words { write!(line, "  {cell}{padding}") } else { write!(line, "  {padding}{cell}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for line in lines(&self.legend) {
            let _ = writeln!(text, "    {line}");
        }
        text
    }

    /// For Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = |column| if self.is_words(column) { "---" } else { "---:" }.to_owned();
        let rules: Vec<String> = (0..self.head.len()).map(rule).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let legend = if self.legend.is_empty() { String::new() } else { format!("\n{}\n", self.legend) };
        format!("{}\n\n{}{}{rows}{legend}", self.title, line(&self.head), line(&rules))
    }
}

/// The text in lines that a terminal has room for.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A colour for each pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeatMap {
    /// Names its file.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The unit of its values.
    pub unit: String,
    /// What lies along the bottom.
    pub x_title: String,
    /// Columns.
    pub x: Vec<String>,
    /// What lies along the side.
    pub y_title: String,
    /// Rows.
    pub y: Vec<String>,
    /// By row, then by column; nothing where there is no such pair.
    pub values: Vec<Vec<Option<f64>>>,
}

/// Lines or points over an axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Names its file.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The axis along the bottom, with its unit.
    pub x_title: String,
    /// The axis along the side, with its unit.
    pub y_title: String,
    /// Whether the side's axis is logarithmic.
    pub y_is_log: bool,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// One line of a plot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_straight_columns_on_a_terminal_and_bars_in_markdown() {
        let mut table = Table::new("Sizes", &["mode", "MiB", "why"]).legend("MiB: what to give the VM.");
        table.rows.push(["1280x720", "16", "small"].map(str::to_owned).to_vec());
        let text = "  Sizes\n    mode      MiB  why\n    1280x720   16  small\n    MiB: what to give the VM.\n";
        assert_eq!(table.text(), text);
        let rows = "| mode | MiB | why |\n| --- | ---: | --- |\n| 1280x720 | 16 | small |\n";
        assert_eq!(table.markdown(), format!("Sizes\n\n{rows}\nMiB: what to give the VM.\n"));
    }

    #[test]
    fn running_text_is_broken_between_words() {
        let broken = lines(&"word ".repeat(60));
        assert!(broken.len() == 3 && broken.iter().all(|line| line.len() <= LINE), "{broken:?}");
        assert_eq!((lines(""), lines("one")), (vec![], vec!["one".to_owned()]));
    }

    #[test]
    fn a_figure_says_in_its_json_only_what_there_is() {
        let json = serde_json::to_string(&Figure::exact("stalls", 1.5, "%", Better::Lower)).unwrap();
        assert_eq!(json, r#"{"id":"stalls","unit":"%","value":1.5,"exact":true,"better":"lower"}"#);
        let back: Figure = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Figure::exact("stalls", 1.5, "%", Better::Lower));
    }
}
