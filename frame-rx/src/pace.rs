//! When to draw. A guest whose picture stands still causes no drawing at all; a pointer that moves a thousand times in
//! a second causes no more drawing than the screen can show, or twice that where the newest drawing is shown and drawing is
//! cheap; a hidden window causes none; and where drawings are shown in order, each is made as late as it can be (see [`Draw`]).
//! Pure: the caller passes the time.

mod late;
mod lead;
mod refresh;
mod supply;
mod worth;

pub use late::{Aim, Draw, Seen};

use core::time::Duration;
use late::Late;
use shm_proto::HostTime;

/// Why the window should be drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A new picture of the guest is there.
    Picture,
    /// The guest's pointer moved, changed or vanished.
    Pointer,
    /// The window itself: its size, its being uncovered, or the sentence in it. Never held back.
    Window,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing to draw until something happens.
    Idle,
    /// Something to draw, but not before this instant.
    At(HostTime),
    /// Draw.
    Now,
}

/// Whether anybody can see the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Visible,
    Hidden,
}

/// Collects causes and says when to draw.
#[derive(Debug)]
pub struct Pace {
    interval: Option<Duration>,
    sight: Sight,
    picture_waits: bool,
    pointer_waits: bool,
    window_waits: bool,
    earliest: HostTime,
    queue: Queue,
    /// What a drawing takes lately.
    cost: Option<Duration>,
    draw: Draw,
    late: Late,
}

/// What becomes of a drawing that comes before the one ahead of it was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// It waits.
    #[default]
    InOrder,
    /// It is shown in place of the other.
    Newest,
}

/// Where the newest drawing is shown, a second one in each refresh makes the picture fresher by a quarter of a refresh on
/// average; it is worth that if a drawing takes no more than this part of a refresh.
const CHEAP_PART: u32 = 16;

/// A picture may come so many quarters of a refresh early. A guest at the screen's own rate is never held back by jitter;
/// and after one drawing was late, the next ones are not late for ever, each by what the one before was.
const EARLY_QUARTERS: u32 = 3;

impl Pace {
    /// A visible window. `interval` is the least time between two drawings for the guest's sake (one refresh of the
    /// screen), or nothing to draw each time.
    pub fn new(interval: Option<Duration>) -> Self {
        Pace {
            interval,
            sight: Sight::Visible,
            picture_waits: false,
            pointer_waits: false,
            window_waits: false,
            earliest: HostTime::ZERO,
            queue: Queue::default(),
            cost: None,
            draw: Draw::AtOnce,
            late: Late::default(),
        }
    }

    /// When frames are drawn that are shown in order.
    pub fn set_draw(&mut self, draw: Draw) {
        self.draw = draw;
    }

    /// The window came to a screen with another refresh interval, or another queue.
    pub fn set_interval(&mut self, interval: Option<Duration>, queue: Queue) {
        (self.interval, self.queue) = (interval, queue);
        if let Some(interval) = interval {
            self.late.set_nominal(interval);
        }
    }

    /// The least time between two drawings for the guest's sake.
    fn least(&self) -> Option<Duration> {
        let interval = self.interval?;
        let is_cheap = self.cost.is_some_and(|cost| cost <= interval / CHEAP_PART);
        Some(if is_cheap && self.queue == Queue::Newest { interval / 2 } else { interval })
    }

    /// What waiting for the refresh says, where that is of use.
    fn held(&self, now: HostTime) -> Option<Plan> {
        let may_hold = self.draw == Draw::Late && self.queue == Queue::InOrder && self.interval.is_some();
        if may_hold { self.late.plan(now, self.picture_waits) } else { None }
    }

    /// A picture of the guest was complete at `at`, whether or not it is ever drawn. To be told in order.
    pub fn arrived(&mut self, at: HostTime) {
        self.late.arrived(at);
    }

    /// Remembers that there is something to draw.
    pub fn note(&mut self, cause: Cause) {
        match cause {
            Cause::Picture => self.picture_waits = true,
            Cause::Pointer => self.pointer_waits = true,
            Cause::Window => self.window_waits = true,
        }
    }

    /// Whether a new picture is all that there is to draw.
    pub fn awaits_picture_alone(&self) -> bool {
        self.picture_waits && !self.pointer_waits && !self.window_waits
    }

    /// The picture that was noted is not there: for its sake there is nothing to draw until the next one is noted.
    pub fn withdraw_picture(&mut self) {
        self.picture_waits = false;
    }

    /// The window was covered or minimised (`true`), or can be seen again, in which case it is drawn.
    pub fn set_hidden(&mut self, hidden: bool) {
        self.sight = if hidden { Sight::Hidden } else { Sight::Visible };
        if !hidden {
            self.note(Cause::Window);
        }
    }

    /// Whether nobody can see the window.
    pub fn is_hidden(&self) -> bool {
        self.sight == Sight::Hidden
    }

    /// What to do at `now`.
    pub fn plan(&self, now: HostTime) -> Plan {
        if self.is_hidden() {
            return Plan::Idle;
        }
        if self.window_waits {
            return Plan::Now;
        }
        if !self.picture_waits && !self.pointer_waits {
            return Plan::Idle;
        }
        if let Some(plan) = self.held(now) {
            return plan;
        }
        match self.least() {
            None => Plan::Now,
            Some(interval) => {
                let from = self.earliest - interval * EARLY_QUARTERS / 4;
                if now >= from { Plan::Now } else { Plan::At(from) }
            }
        }
    }

    /// The window was drawn, beginning at `start` and for so long, with everything that was noted before. The refresh that it
    /// was drawn for, if that is known.
    pub fn drawn(&mut self, start: HostTime, took: Duration) -> Option<Aim> {
        // A slow drawing counts at once, quick ones only bit by bit.
        self.cost = Some(self.cost.map_or(took, |before| took.max(before - before / 16)));
        let was_held = !self.window_waits && self.held(start) == Some(Plan::Now);
        (self.picture_waits, self.pointer_waits, self.window_waits) = (false, false, false);
        if let Some(interval) = self.least() {
            // From the planned instant, not from the real one: being early once does not make the rate higher.
            self.earliest = self.earliest.max(start) + interval;
        }
        self.late.drawn(start, took, was_held)
    }

    /// The window system told when a frame was shown. Whether that was later than what it was held back for.
    pub fn seen(&mut self, seen: &Seen) -> bool {
        self.late.seen(seen)
    }
}

#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod screen_tests;
#[cfg(test)]
mod tests;
