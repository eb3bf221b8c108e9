//! What a long run tells while it runs, and whether it shall go on: a bar on a terminal, a plain line every few seconds
//! elsewhere; Ctrl-C ends the run with the results so far. Nothing here runs by itself: the bar moves when a step is done, so
//! that it takes no time from what is being measured.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rx_host::signals::Stop;
use rx_host::term::write_lines;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a terminal's bar moves at most. Unit: times a second.
const BAR_HZ: u8 = 5;
/// What stands on a terminal.
const BAR: &str = "{msg} {bar:30} {pos} of {len}{left}";
/// How often a line is written where lines stay.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Passed to whatever takes long. Clones share one line.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    stop: Option<Stop>,
    line: Option<Arc<Mutex<Line>>>,
}

#[derive(Debug)]
struct Line {
    name: String,
    began: Instant,
    shown: Option<Instant>,
    bar: ProgressBar,
    /// Time of contests, and what of it went by in what they measure.
    contests: Duration,
    measuring: Duration,
}

impl Progress {
    /// Tells on stderr, and ends when `stop` says so.
    pub fn new(stop: Stop) -> Progress {
        let (name, began, none) = (String::new(), Instant::now(), Duration::ZERO);
        let line = Line { name, began, shown: None, bar: ProgressBar::hidden(), contests: none, measuring: none };
        Progress { stop: Some(stop), line: Some(Arc::new(Mutex::new(line))) }
    }

    /// Something new begins.
    pub fn begin(&self, name: &str) {
        self.with(|line| {
            line.close();
            (line.name, line.began, line.shown) = (name.to_owned(), Instant::now(), None);
            // Hidden where stderr is no terminal, or one that cannot go back in a line.
            let on = ProgressDrawTarget::stderr_with_hz(BAR_HZ);
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            let style = style.with_key("left", |state: &ProgressState, out: &mut dyn Write| {
                // Before the first step is done nobody knows.
                let left = (state.pos() > 0).then(|| format!(", {} s left", state.eta().as_secs()));
                let _ = out.write_str(&left.unwrap_or_default());
            });
            line.bar = ProgressBar::with_draw_target(None, on).with_style(style).with_message(name.to_owned());
        });
    }

    /// So many steps of it are done. Whether to go on.
    pub fn step(&self, done: u64, of: u64) -> bool {
        self.with(|line| line.tell(done, of));
        !self.is_stopped()
    }

    /// It is done: what is printed next has its own line.
    pub fn end(&self) {
        self.with(Line::close);
    }

    /// Whether the user wants an end.
    pub fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_requested)
    }

    /// A contest took `all` of the time, and what it measures `measuring` of it.
    pub fn account(&self, all: Duration, measuring: Duration) {
        self.with(|line| {
            line.contests += all;
            line.measuring += measuring;
        });
    }

    /// How much of the contests' time went by in the tool itself: gauging the weather, drawing lots, telling. Unit: %.
    /// Nothing if there was no contest.
    pub fn overhead_percent(&self) -> Option<f64> {
        let (all, measuring) = self.with(|line| (line.contests, line.measuring))?;
        (!all.is_zero()).then(|| 100.0 * (1.0 - measuring.as_secs_f64() / all.as_secs_f64()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Line) -> T) -> Option<T> {
        self.line.as_ref().map(|line| act(&mut line.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Line {
    fn tell(&mut self, done: u64, of: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_length(of);
            self.bar.set_position(done.min(of));
            return;
        }
        let now = Instant::now();
        if now < self.shown.unwrap_or(self.began) + ELSEWHERE {
            return;
        }
        self.shown = Some(now);
        write_lines(&format!("{}\n", words(&self.name, done, of, now - self.began)));
    }

    fn close(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The line: what, how far, and how long it will take at this pace.
fn words(name: &str, done: u64, of: u64, elapsed: Duration) -> String {
    let percent = 100 * done / of.max(1);
    let left = elapsed.as_secs_f64() * (of.saturating_sub(done)) as f64 / done.max(1) as f64;
    if done == 0 {
        format!("{name}: 0 of {of}")
    } else {
        format!("{name}: {done} of {of} ({percent} %), {left:.0} s left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_long() {
        assert_eq!(words("copy", 0, 61, Duration::ZERO), "copy: 0 of 61");
        assert_eq!(words("copy", 15, 60, Duration::from_secs(5)), "copy: 15 of 60 (25 %), 15 s left");
        assert_eq!(words("copy", 1, 0, Duration::from_secs(5)), "copy: 1 of 0 (100 %), 0 s left");
    }

    #[test]
    fn a_stop_ends_it_and_nothing_else_does() {
        assert!(Progress::default().step(1, 2));
        let stop = Stop::new().unwrap();
        let progress = Progress::new(stop.clone());
        assert!(progress.step(1, 2));
        stop.request();
        assert!(!progress.step(2, 2) && progress.is_stopped());
    }
}
