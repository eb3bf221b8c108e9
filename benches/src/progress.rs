//! What a long run tells while it runs, and whether it shall go on: a line that is written over on a terminal, a line
//! every few seconds elsewhere; Ctrl-C ends the run with the results so far.

use rx_host::signals::Stop;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a terminal's line changes.
const ON_TERMINAL: Duration = Duration::from_millis(100);
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
    is_terminal: bool,
    is_open: bool,
    /// Time of contests, and what of it went by in what they measure.
    contests: Duration,
    measuring: Duration,
}

impl Progress {
    /// Tells on stderr, and ends when `stop` says so.
    pub fn new(stop: Stop) -> Progress {
        let is_terminal = rx_host::term::stderr_is_terminal();
        let (name, began, none) = (String::new(), Instant::now(), Duration::ZERO);
        let line = Line { name, began, shown: None, is_terminal, is_open: false, contests: none, measuring: none };
        Progress { stop: Some(stop), line: Some(Arc::new(Mutex::new(line))) }
    }

    /// Something new begins.
    pub fn begin(&self, name: &str) {
        self.with(|line| {
            line.close();
            (line.name, line.began, line.shown) = (name.to_owned(), Instant::now(), None);
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
        let now = Instant::now();
        let every = if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
        if now < self.shown.unwrap_or(self.began) + every {
            return;
        }
        self.shown = Some(now);
        let text = words(&self.name, done, of, now - self.began);
        let mut err = std::io::stderr().lock();
        // Whoever closed stderr does not want to know.
        let _ = if self.is_terminal { write!(err, "\r\x1b[K{text}") } else { writeln!(err, "{text}") };
        let _ = err.flush();
        self.is_open = self.is_terminal;
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
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
