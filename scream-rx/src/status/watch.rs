//! `status --watch`: the same again and again. On a terminal a few lines are drawn over in place, with plots of the delay
//! and of the clocks; the terminal keeps its modes, so there is nothing to restore, whatever ends the program. Elsewhere,
//! a line for each look.

use super::plot;
use super::show::{self, Report};
use super::socket;
use core::time::Duration;
use rx_host::exit::{self, StdoutError};
use rx_host::signals::Stop;
use rx_host::term;
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;

/// Between two looks, on a terminal and elsewhere.
const EVERY: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The widest plot, in characters: two minutes.
const MAX_WIDTH: usize = 120;
const HEIGHT: usize = 3;
/// The least range of a plot, so that a thousandth does not look like a cliff. Units: ms, ppm.
const LEAST_MS: f64 = 2.0;
const LEAST_PPM: f64 = 20.0;

/// What was seen so far.
#[derive(Debug, Default)]
struct History {
    delay_ms: VecDeque<Option<f64>>,
    drift_ppm: VecDeque<Option<f64>>,
}

impl History {
    fn add(&mut self, report: Option<&Report>) {
        let number = |name| report.and_then(|r| show::number(r, name));
        let playing = number("delay_now_ms").filter(|ms| *ms > 0.0);
        for (series, value) in [(&mut self.delay_ms, playing), (&mut self.drift_ppm, playing.and(number("drift_ppm")))]
        {
            series.push_back(value);
            if series.len() > 2 * MAX_WIDTH {
                series.pop_front();
            }
        }
    }

    fn draw(&mut self, columns: usize) -> String {
        let width = columns.saturating_sub(16).min(MAX_WIDTH);
        let mut text = String::new();
        for (name, series, least) in
            [("delay ms", &mut self.delay_ms, LEAST_MS), ("clocks ppm", &mut self.drift_ppm, LEAST_PPM)]
        {
            let values = &*series.make_contiguous();
            let (low, high) = plot::limits(values, least);
            for (i, line) in plot::braille(values, width, HEIGHT, low, high).iter().enumerate() {
                let label = match i {
                    0 => format!("{high:.1}"),
                    1 => name.to_owned(),
                    _ => format!("{low:.1}"),
                };
                let _ = writeln!(text, "{label:>12} ┤{line}");
            }
        }
        text
    }
}

/// Shows the instance `name` until a stop is asked for. One that ends is waited for.
///
/// Blocks.
///
/// # Errors
/// [`StdoutError`]: nobody reads any more.
pub fn run(folder: &Path, name: &str, stop: &Stop) -> Result<(), StdoutError> {
    let in_place = term::stdout_is_terminal();
    let mut history = History::default();
    let mut drawn_lines = 0;
    let mut told = None;
    loop {
        let asked = socket::ask(folder, name);
        let gone = match &asked {
            Err(e) if socket::is_late(e) => format!("{name} runs and does not answer; waiting for it"),
            _ => format!("{name}: not running; waiting for it"),
        };
        let report = asked.ok().and_then(|text| show::parse(&text).ok());
        history.add(report.as_ref());
        if in_place {
            let columns = term::stdout_columns();
            let mut text = report.as_ref().map_or_else(|| format!("{gone}\n"), show::people);
            text.push_str(&history.draw(columns));
            text.push_str("(Ctrl-C ends)\n");
            exit::print(over(&text, drawn_lines, columns))?;
            drawn_lines = text.lines().count();
        } else {
            match &report {
                Some(report) => exit::print(format!("{}\n", show::line(report)))?,
                None if told.as_ref() != Some(&gone) => exit::print(format!("{gone}\n"))?,
                None => {}
            }
        }
        told = report.is_none().then_some(gone);
        if stop.wait(if in_place { EVERY } else { LINE_EVERY }) {
            return Ok(());
        }
    }
}

/// `text` over the `before` lines above the cursor: up, then each line cut to the width and wiped behind its end.
fn over(text: &str, before: usize, columns: usize) -> String {
    let mut out = String::new();
    if before > 0 {
        let _ = write!(out, "\x1b[{before}A\r");
    }
    for line in text.lines() {
        let cut: String = line.chars().take(columns.saturating_sub(1)).collect();
        let _ = writeln!(out, "{cut}\x1b[K");
    }
    // What stood below it, if there were more lines.
    out.push_str("\x1b[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_over_and_never_wrap() {
        assert_eq!(over("ab\ncdef\n", 0, 4), "ab\x1b[K\ncde\x1b[K\n\x1b[J");
        assert!(over("a\n", 3, 80).starts_with("\x1b[3A\r"));
    }

    #[test]
    fn history_is_bounded_and_pauses_are_gaps() {
        let mut history = History::default();
        let report = show::parse(r#"{"app":"scream-rx","delay_now_ms":40.0,"drift_ppm":3.0}"#).unwrap();
        for _ in 0..10_000 {
            history.add(Some(&report));
            history.add(None);
        }
        assert_eq!(history.delay_ms.len(), 2 * MAX_WIDTH);
        assert_eq!(history.drift_ppm.iter().filter(|v| v.is_none()).count(), MAX_WIDTH);
        let drawn = history.draw(80);
        assert_eq!(drawn.lines().count(), 2 * HEIGHT);
        assert!(drawn.contains("delay ms") && drawn.lines().all(|l| l.chars().count() < 80), "{drawn}");
        assert!(history.draw(0).lines().count() == 2 * HEIGHT, "a terminal without width");
    }
}
