//! The status line on stderr: in place on a terminal, a line now and then elsewhere, and never more often than a person
//! can read, whatever the guest does.

use crate::term;
use shm_proto::HostTime;
use std::time::Duration;

/// Between two showings on a terminal: four a second is as fast as numbers can be read.
const IN_PLACE_EVERY: Duration = Duration::from_millis(250);

/// Between two lines where stderr is a file, a pipe or the journal, unless the caller says otherwise.
pub const LINES_EVERY: Duration = Duration::from_secs(10);

/// How the status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    InPlace,
    Lines { every: Duration },
    Silent,
}

/// One line about how it goes. Dropping it leaves the last one on the screen.
#[derive(Debug)]
pub struct StatusLine {
    app: &'static str,
    way: Way,
    last: Option<HostTime>,
    text: String,
}

impl StatusLine {
    /// A status line of `app` that suits stderr as it is. `every`: the time between two lines when it is no terminal.
    pub fn new(app: &'static str, every: Duration) -> StatusLine {
        let way = if term::stderr_is_terminal() { Way::InPlace } else { Way::Lines { every } };
        StatusLine::with_way(app, way)
    }

    /// A status line that shows nothing, for `--quiet`.
    pub fn silent(app: &'static str) -> StatusLine {
        StatusLine::with_way(app, Way::Silent)
    }

    fn with_way(app: &'static str, way: Way) -> StatusLine {
        StatusLine { app, way, last: None, text: String::new() }
    }

    /// Shows the status if it is time to; only then `text` is called. A line that says the same again is not repeated.
    ///
    /// Blocks as long as the terminal does. For the main thread.
    pub fn update(&mut self, now: HostTime, text: impl FnOnce() -> String) {
        if !self.is_due(now) {
            return;
        }
        let text = text();
        if text == self.text {
            return;
        }
        match self.way {
            Way::InPlace => term::show_status(&format!("{}: {text}", self.app)),
            Way::Lines { .. } => term::write_lines(&format!("{}: {}\n", self.app, term::printable(&text))),
            Way::Silent => {}
        }
        self.text = text;
    }

    /// Whether it is shown in place, on a terminal.
    pub fn is_in_place(&self) -> bool {
        self.way == Way::InPlace
    }

    /// Whether [`StatusLine::update`] would show something, and from now on: not before the next interval.
    fn is_due(&mut self, now: HostTime) -> bool {
        let every = match self.way {
            Way::Silent => return false,
            Way::InPlace => IN_PLACE_EVERY,
            Way::Lines { every } => every.max(IN_PLACE_EVERY),
        };
        let due = self.last.is_none_or(|last| now.since(last) >= every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.way == Way::InPlace {
            term::end_status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a status that is offered every millisecond for 60 s is asked for.
    fn shown_in_a_minute(way: Way) -> usize {
        let mut line = StatusLine::with_way("test", way);
        (0..60_000u64).filter(|ms| line.is_due(HostTime::from_ns(ms * 1_000_000))).count()
    }

    #[test]
    fn a_status_is_never_shown_more_often_than_it_can_be_read() {
        let lines = |secs| Way::Lines { every: Duration::from_secs(secs) };
        let cases = [(Way::InPlace, 240), (lines(10), 6), (lines(1), 60), (lines(0), 240), (Way::Silent, 0)];
        for (way, expected) in cases {
            assert_eq!(shown_in_a_minute(way), expected, "{way:?}");
        }
    }

    #[test]
    fn the_text_is_made_only_when_it_is_shown() {
        let mut line = StatusLine::silent("test");
        line.update(HostTime::ZERO, || unreachable!("nobody sees it"));
    }
}
