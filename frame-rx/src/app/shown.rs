//! When frames were shown, as the window system tells: which drawing was which frame, and what is made of it. A Wayland
//! compositor tells by `wp_presentation`, an X server by its Present extension; one that tells nothing leaves the pacer with
//! what it knew before.

use super::App;
use super::present::Present;
use crate::pace::{Aim, Seen};
use core::time::Duration;
use shm_proto::HostTime;
use std::collections::VecDeque;
use winit::window::Window;

/// Drawings that are remembered until it is told when they were shown.
const MOST_SENT: usize = 16;
/// Words of the window system that are heard in one turn.
const MOST_TOLD: usize = 64;
/// A time so far ahead is no time of ours.
const AHEAD: Duration = Duration::from_millis(200);
/// A frame that was taken up so long before it was drawn was not: the compositor tells of something else.
const BEFORE: Duration = Duration::from_millis(2);
/// It may tell so of single frames, when the window's content changed without a drawing of ours: so many more than those
/// that make sense are too many, each counted twice.
const MOST_BEFORE: u32 = 10;

/// Which frame was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one with this number.
    Number(u64),
    /// The one with this number was taken up by the compositor, to be shown at its next refresh.
    TakenUp(u64),
    /// The next one, in order.
    Next,
}

impl Which {
    /// By what, in a word or two, for reports.
    fn told_by(self) -> &'static str {
        match self {
            Which::Number(_) => "presentation-time",
            Which::TakenUp(_) => "frame callbacks",
            Which::Next => "Present",
        }
    }
}

/// What the window system told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) which: Which,
    /// When; nothing if it never was.
    pub(super) at: Option<HostTime>,
    /// From one refresh to the next, if it says so.
    pub(super) period: Option<Duration>,
}

/// A drawing that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    number: u64,
    start: HostTime,
    /// When the picture in it was found, if it was new.
    found: Option<HostTime>,
    aim: Option<Aim>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The number of the next drawing.
    number: u64,
    /// It is asked already when that one is shown.
    is_asked: bool,
    /// Frames that were taken up before they were drawn, counted twice, less those that were not.
    before: u32,
    /// What the compositor calls taking up is something else.
    distrusts: bool,
    sent: VecDeque<Sent>,
    present: Option<Present>,
    /// Pictures whose arrival was told.
    arrived: u64,
}

impl Shown {
    /// For this window.
    pub(super) fn open(window: &Window) -> Shown {
        Shown { present: Present::open(window), ..Shown::default() }
    }

    /// A drawing was handed over.
    fn hand_over(&mut self, start: HostTime, found: Option<HostTime>, aim: Option<Aim>) {
        if self.sent.len() >= MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { number: self.number, start, found, aim });
        self.number += 1;
        self.is_asked = false;
    }

    /// The oldest drawing, if it is this one.
    fn take_if(&mut self, is_it: impl FnOnce(&Sent) -> bool) -> Option<Sent> {
        if self.sent.front().is_some_and(is_it) { self.sent.pop_front() } else { None }
    }

    /// What `told` says by `now` of frames: when a picture was found that was shown, if one was, and what the pacer is told.
    fn match_up(&mut self, told: &Told, now: HostTime) -> Option<(Option<HostTime>, Seen)> {
        let at = told.at.filter(|at| *at <= now + AHEAD);
        let sent = match told.which {
            Which::TakenUp(_) if self.distrusts => return None,
            Which::Number(number) | Which::TakenUp(number) => {
                // Those before it will not be told of any more.
                while self.sent.front().is_some_and(|sent| sent.number < number) {
                    self.sent.pop_front();
                }
                self.take_if(|sent| sent.number == number)
            }
            // One that was shown before the drawing began is of a drawing that was forgotten.
            Which::Next => self.take_if(|sent| at.is_some_and(|at| at >= sent.start)),
        };
        if matches!(told.which, Which::TakenUp(_)) {
            let is_before = sent.zip(at).is_some_and(|(sent, at)| at + BEFORE < sent.start);
            self.before = if is_before { self.before + 2 } else { self.before.saturating_sub(1) };
            if self.before > MOST_BEFORE {
                tracing::debug!("when frames are shown is not known: the compositor tells of earlier ones");
                self.distrusts = true;
            }
            if is_before {
                return None;
            }
        }
        let (found, aim) = sent.map_or((None, None), |sent| (sent.found, sent.aim));
        Some((found, Seen { at: at?, aim, period: told.period }))
    }
}

impl App {
    /// Asks when the drawing that comes now will be shown.
    pub(super) fn ask_when_shown(&mut self) {
        if let Some(wayland) = self.wayland.as_mut().filter(|_| !self.shown.is_asked) {
            self.shown.is_asked = wayland.ask_when_shown(self.shown.number, !self.shown.distrusts);
        }
    }

    /// It was handed over. `found`: when the new picture in it was found.
    pub(super) fn handed_over(&mut self, start: HostTime, took: Duration, found: Option<HostTime>) {
        let aim = self.pace.drawn(start, took);
        self.shown.hand_over(start, found, aim);
    }

    /// Hears of frames that were shown, and of pictures that came. Never blocks.
    pub(super) fn hear_of_frames(&mut self, now: HostTime) {
        for _ in 0..MOST_TOLD {
            let told = self.wayland.as_mut().and_then(super::wayland::Wayland::take_told);
            let Some(told) = told.or_else(|| self.shown.present.as_mut()?.take_told()) else { break };
            let Some((found, seen)) = self.shown.match_up(&told, now) else { continue };
            let is_late = self.pace.seen(&seen);
            if let Some(painter) = &mut self.painter {
                painter.seen(&seen, found, is_late, told.which.told_by());
            }
        }
        for at in self.link.feed.arrivals.since(&mut self.shown.arrived) {
            self.pace.arrived(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> HostTime {
        HostTime::from_ns(1_000_000 * ms)
    }

    /// Five drawings, ten milliseconds apart, each for the refresh five later, of pictures found five before.
    fn five() -> Shown {
        let mut shown = Shown::default();
        (1..=5).for_each(|i| {
            shown.hand_over(ms(i * 10), Some(ms(i * 10 - 5)), Some(Aim { at: ms(i * 10 + 5), is_held: true }))
        });
        shown
    }

    fn tell(shown: &mut Shown, which: Which, at: Option<u64>) -> Option<(Option<HostTime>, Option<HostTime>)> {
        let told = Told { which, at: at.map(ms), period: None };
        shown.match_up(&told, ms(100)).map(|(found, seen)| (found, seen.aim.map(|aim| aim.at)))
    }

    #[test]
    fn a_frame_is_found_by_its_number_and_those_before_it_are_forgotten() {
        let mut shown = five();
        assert_eq!(tell(&mut shown, Which::Number(2), Some(36)), Some((Some(ms(25)), Some(ms(35)))));
        assert_eq!(tell(&mut shown, Which::Number(1), Some(37)), Some((None, None)), "a stamp all the same");
        assert_eq!(tell(&mut shown, Which::Number(3), None), None, "it never was shown");
        assert_eq!(tell(&mut shown, Which::Number(4), Some(56)), Some((Some(ms(45)), Some(ms(55)))));
        assert!(shown.sent.is_empty());
    }

    #[test]
    fn frames_without_numbers_are_taken_in_order_and_never_before_they_were_drawn() {
        let mut shown = five();
        assert_eq!(tell(&mut shown, Which::Next, Some(9)), Some((None, None)));
        assert_eq!(tell(&mut shown, Which::Next, Some(16)), Some((Some(ms(5)), Some(ms(15)))));
        assert_eq!(tell(&mut shown, Which::Next, Some(26)), Some((Some(ms(15)), Some(ms(25)))));
    }

    #[test]
    fn a_compositor_that_takes_frames_up_before_they_are_drawn_is_not_believed_again() {
        let mut shown = five();
        assert_eq!(tell(&mut shown, Which::TakenUp(0), Some(9)), Some((Some(ms(5)), Some(ms(15)))), "a millisecond");
        assert_eq!(tell(&mut shown, Which::TakenUp(1), Some(17)), None);
        assert!(tell(&mut shown, Which::TakenUp(2), Some(36)).is_some(), "one does not count");
        for number in 5..10 {
            assert!(!shown.distrusts, "{number}");
            shown.hand_over(ms(90), None, None);
            assert_eq!(tell(&mut shown, Which::TakenUp(number), Some(80)), None);
        }
        assert_eq!((tell(&mut shown, Which::TakenUp(10), Some(96)), shown.distrusts), (None, true));
        assert!(tell(&mut shown, Which::Number(11), Some(96)).is_some());
    }

    #[test]
    fn a_time_far_ahead_is_not_believed() {
        assert_eq!(tell(&mut five(), Which::Number(0), Some(1000)), None);
    }

    #[test]
    fn a_window_system_that_never_tells_fills_no_memory() {
        let mut shown = Shown::default();
        (0..1000).for_each(|i| shown.hand_over(ms(i), None, None));
        assert_eq!((shown.sent.len(), shown.number), (MOST_SENT, 1000));
        assert_eq!(shown.sent.front().map(|sent| sent.number), Some(984));
    }
}
