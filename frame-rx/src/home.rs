//! Which monitor a full-screen window belongs to, and what follows when that one is unplugged and comes back. Pure: the
//! caller looks at the monitors and passes the time.
//!
//! A window belongs to the monitor that the settings name, else to the one that it fills. When that one goes, the desktop
//! puts the window somewhere else, or nowhere; when it is back, so is the window.

use core::time::Duration;
use shm_proto::HostTime;

/// How long a window must stand on another monitor, or not be full screen, until that counts as what the user wants: while
/// a monitor goes, window and monitors change one after the other.
const SETTLES: Duration = Duration::from_secs(2);

/// What there is to see of the monitors.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The names of all.
    pub monitors: &'a [String],
    /// The one that the window is on, as far as the desktop says.
    pub on: Option<&'a str>,
    /// Whether the window is full screen.
    pub is_full: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// The window's monitor is gone.
    Lost {
        /// Which.
        monitor: String,
        /// Where the window is now, if it is anywhere.
        on: Option<String>,
    },
    /// It is back: full screen there again.
    Return {
        /// Which.
        monitor: String,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Home {
    monitor: Option<String>,
    place: Place,
    /// Since when the window is not as it belongs.
    differs: Option<HostTime>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    There,
    /// The monitor is gone; whether the window was seen full screen since.
    Away { was_full: bool },
}

impl Home {
    /// The window is made full screen on this monitor, or on the one where it is.
    pub fn enter(&mut self, monitor: Option<String>) {
        *self = Home { monitor, ..Home::default() };
    }

    /// The user ended full screen.
    pub fn leave(&mut self) {
        *self = Home::default();
    }

    /// Looks at the monitors.
    pub fn look(&mut self, seen: Seen<'_>, now: HostTime) -> Step {
        let is_there = |name: &str| seen.monitors.iter().any(|m| m == name);
        let on = seen.on.filter(|on| is_there(on));
        let Some(monitor) = &self.monitor else {
            self.monitor = on.filter(|_| seen.is_full).map(str::to_owned);
            return Step::Stay;
        };
        match self.place {
            Place::There if !is_there(monitor) => {
                let lost = Step::Lost { monitor: monitor.clone(), on: on.map(str::to_owned) };
                (self.place, self.differs) = (Place::Away { was_full: false }, None);
                lost
            }
            Place::There if seen.is_full && on == Some(monitor) => {
                self.differs = None;
                Step::Stay
            }
            Place::There => {
                if now.since(*self.differs.get_or_insert(now)) >= SETTLES {
                    self.enter(on.filter(|_| seen.is_full).map(str::to_owned));
                }
                Step::Stay
            }
            Place::Away { .. } if is_there(monitor) => {
                let back = Step::Return { monitor: monitor.clone() };
                self.place = Place::There;
                back
            }
            Place::Away { was_full } if was_full && !seen.is_full => {
                self.leave();
                Step::Stay
            }
            Place::Away { was_full } => {
                self.place = Place::Away { was_full: was_full || seen.is_full };
                Step::Stay
            }
        }
    }

    /// Whether the window's monitor is gone.
    pub fn is_away(&self) -> bool {
        matches!(self.place, Place::Away { .. })
    }

    /// When to look again though nothing happens.
    pub fn next(&self) -> Option<HostTime> {
        self.differs.map(|since| since + SETTLES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Desk {
        home: Home,
        monitors: Vec<String>,
        now: HostTime,
    }

    impl Desk {
        fn new(belongs: Option<&str>) -> Desk {
            let mut home = Home::default();
            home.enter(belongs.map(str::to_owned));
            Desk { home, monitors: vec!["A".into(), "B".into()], now: HostTime::ZERO }
        }

        fn look(&mut self, on: Option<&str>, is_full: bool) -> Step {
            self.now = self.now + Duration::from_millis(100);
            self.home.look(Seen { monitors: &self.monitors, on, is_full }, self.now)
        }

        fn settle(&mut self, on: Option<&str>, is_full: bool) {
            for _ in 0..25 {
                assert_eq!(self.look(on, is_full), Step::Stay);
            }
        }

        fn unplug(&mut self, name: &str) {
            self.monitors.retain(|m| m != name);
        }

        fn plug(&mut self, name: &str) {
            self.monitors.push(name.into());
        }
    }

    fn lost(monitor: &str, on: Option<&str>) -> Step {
        Step::Lost { monitor: monitor.into(), on: on.map(str::to_owned) }
    }

    fn back(monitor: &str) -> Step {
        Step::Return { monitor: monitor.into() }
    }

    #[test]
    fn a_window_goes_back_to_the_monitor_that_was_unplugged_whoever_named_it() {
        for belongs in [None, Some("B")] {
            for first_moves in [false, true] {
                for is_full_elsewhere in [true, false] {
                    let mut desk = Desk::new(belongs);
                    desk.settle(Some("B"), true);
                    if first_moves {
                        assert_eq!(desk.look(Some("A"), is_full_elsewhere), Step::Stay, "the desktop moves it first");
                    }
                    desk.unplug("B");
                    assert_eq!(desk.look(Some("A"), is_full_elsewhere), lost("B", Some("A")));
                    desk.settle(Some("A"), is_full_elsewhere);
                    desk.plug("B");
                    assert_eq!(desk.look(Some("A"), is_full_elsewhere), back("B"));
                    desk.settle(Some("B"), true);
                    desk.unplug("B");
                    assert_eq!(desk.look(Some("B"), true), lost("B", None), "it says so before it knows where it is");
                }
            }
        }
    }

    #[test]
    fn a_window_without_any_monitor_waits_for_its_own() {
        let mut desk = Desk::new(Some("B"));
        desk.settle(Some("B"), true);
        desk.monitors.clear();
        assert_eq!(desk.look(None, true), lost("B", None));
        desk.settle(None, true);
        desk.plug("A");
        desk.settle(Some("A"), true);
        desk.plug("B");
        assert_eq!(desk.look(Some("A"), true), back("B"));
    }

    #[test]
    fn what_the_user_does_counts_more_than_what_was() {
        // Moved by hand, it belongs where it is.
        let mut desk = Desk::new(Some("B"));
        desk.settle(Some("B"), true);
        desk.settle(Some("A"), true);
        desk.unplug("B");
        desk.settle(Some("A"), true);
        desk.unplug("A");
        assert_eq!(desk.look(None, true), lost("A", None));
        // Ended elsewhere, it stays a window.
        let mut desk = Desk::new(Some("B"));
        desk.settle(Some("B"), true);
        desk.unplug("B");
        desk.look(Some("A"), true);
        desk.look(Some("A"), true);
        desk.settle(Some("A"), false);
        desk.plug("B");
        desk.settle(Some("A"), false);
        // Never full screen, it belongs nowhere.
        let mut desk = Desk::new(None);
        desk.settle(Some("B"), false);
        desk.unplug("B");
        desk.settle(Some("A"), false);
    }

    #[test]
    fn a_window_at_home_is_not_looked_at_without_a_reason() {
        let mut desk = Desk::new(Some("B"));
        desk.settle(Some("B"), true);
        assert_eq!(desk.home.next(), None);
        desk.look(Some("A"), true);
        assert_eq!(desk.home.next(), Some(desk.now + SETTLES));
        desk.settle(Some("A"), true);
        assert_eq!(desk.home.next(), None);
    }
}
