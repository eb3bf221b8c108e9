//! When to draw. A guest whose picture stands still causes no drawing at all; a pointer that moves a thousand times in
//! a second causes no more drawing than the screen can show; a hidden window causes none. Pure: the caller passes the
//! time.

use core::time::Duration;
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
    guest_waits: bool,
    window_waits: bool,
    earliest: HostTime,
}

/// A picture may come so many quarters of a refresh early. A guest at the screen's own rate is never held back by jitter;
/// and after one drawing was late, the next ones are not late for ever, each by what the one before was.
const EARLY_QUARTERS: u32 = 3;

impl Pace {
    /// A visible window. `interval` is the least time between two drawings for the guest's sake (one refresh of the
    /// screen), or nothing to draw each time.
    pub fn new(interval: Option<Duration>) -> Self {
        Pace { interval, sight: Sight::Visible, guest_waits: false, window_waits: false, earliest: HostTime::ZERO }
    }

    /// The window came to a screen with another refresh interval.
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Remembers that there is something to draw.
    pub fn note(&mut self, cause: Cause) {
        match cause {
            Cause::Picture | Cause::Pointer => self.guest_waits = true,
            Cause::Window => self.window_waits = true,
        }
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
        if !self.guest_waits {
            return Plan::Idle;
        }
        match self.interval {
            None => Plan::Now,
            Some(interval) => {
                let from = self.earliest - interval * EARLY_QUARTERS / 4;
                if now >= from { Plan::Now } else { Plan::At(from) }
            }
        }
    }

    /// The window was drawn, beginning at `now`, with everything that was noted before.
    pub fn drawn(&mut self, now: HostTime) {
        self.guest_waits = false;
        self.window_waits = false;
        if let Some(interval) = self.interval {
            // From the planned instant, not from the real one: being early once does not make the rate higher.
            self.earliest = self.earliest.max(now) + interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REFRESH: Duration = Duration::from_micros(16_667);

    fn us(us: u64) -> HostTime {
        HostTime::from_ns(1_000_000_000 + us * 1000)
    }

    #[test]
    fn a_guest_that_stands_still_is_never_drawn_again() {
        let mut pace = Pace::new(Some(REFRESH));
        pace.note(Cause::Picture);
        assert_eq!(pace.plan(us(0)), Plan::Now);
        pace.drawn(us(0));
        for t in [1, 20_000, 1_000_000_000] {
            assert_eq!(pace.plan(us(t)), Plan::Idle);
        }
    }

    #[test]
    fn a_hidden_window_is_not_drawn_and_is_drawn_once_when_seen_again() {
        let mut pace = Pace::new(Some(REFRESH));
        pace.set_hidden(true);
        for cause in [Cause::Picture, Cause::Pointer, Cause::Window] {
            pace.note(cause);
            assert_eq!(pace.plan(us(0)), Plan::Idle, "{cause:?}");
        }
        pace.set_hidden(false);
        assert_eq!(pace.plan(us(5)), Plan::Now);
        pace.drawn(us(5));
        assert_eq!(pace.plan(us(6)), Plan::Idle);
    }

    #[test]
    fn a_fast_pointer_is_drawn_at_the_screens_rate() {
        let mut pace = Pace::new(Some(REFRESH));
        let mut drawings = 0;
        for ms in 0..1000 {
            pace.note(Cause::Pointer);
            if pace.plan(us(ms * 1000)) == Plan::Now {
                pace.drawn(us(ms * 1000));
                drawings += 1;
            }
        }
        assert!((55..=62).contains(&drawings), "{drawings} drawings in a second");
    }

    #[test]
    fn a_waiting_picture_names_the_instant_it_may_be_drawn() {
        let mut pace = Pace::new(Some(REFRESH));
        pace.note(Cause::Picture);
        pace.drawn(us(0));
        pace.note(Cause::Picture);
        let Plan::At(t) = pace.plan(us(1000)) else { panic!("should wait") };
        assert!(t > us(1000) && t <= us(16_667));
        assert_eq!(pace.plan(t), Plan::Now);
    }

    #[test]
    fn a_drawing_that_was_late_does_not_hold_back_those_after_it() {
        let mut pace = Pace::new(Some(REFRESH));
        let (mut held_us, mut drawings) = (Vec::new(), 0);
        for i in 0..60u64 {
            let due = i * 16_667;
            pace.note(Cause::Picture);
            // The tenth one finds a busy machine.
            let mut at = if i == 10 { due + 12_000 } else { due };
            if let Plan::At(later) = pace.plan(us(at)) {
                at += later.since(us(at)).as_micros() as u64;
            }
            held_us.push(at - due);
            pace.drawn(us(at));
            drawings += 1;
        }
        assert_eq!(drawings, 60);
        assert!(held_us.iter().enumerate().all(|(i, held)| i == 10 || *held == 0), "{held_us:?}");
    }

    #[test]
    fn the_window_itself_is_never_held_back() {
        let mut pace = Pace::new(Some(REFRESH));
        pace.note(Cause::Picture);
        pace.drawn(us(0));
        pace.note(Cause::Window);
        assert_eq!(pace.plan(us(1)), Plan::Now);
    }

    #[test]
    fn without_an_interval_every_picture_is_drawn_at_once() {
        let mut pace = Pace::new(None);
        for t in 0..100 {
            pace.note(Cause::Picture);
            assert_eq!(pace.plan(us(t)), Plan::Now);
            pace.drawn(us(t));
        }
    }

    proptest! {
        #[test]
        fn a_guest_at_the_screens_rate_with_jitter_is_drawn_every_time(
            jitter_us in prop::collection::vec(0u64..900, 60),
        ) {
            let mut pace = Pace::new(Some(REFRESH));
            for (i, jitter) in jitter_us.iter().enumerate() {
                let t = us(i as u64 * 16_667 + jitter);
                pace.note(Cause::Picture);
                prop_assert_eq!(pace.plan(t), Plan::Now);
                pace.drawn(t);
            }
        }

        #[test]
        fn no_rate_of_pictures_makes_more_drawings_than_refreshes(steps in prop::collection::vec(1u64..20_000, 1..400)) {
            let mut pace = Pace::new(Some(REFRESH));
            let (mut t, mut drawings) = (0, 0u64);
            for step in steps {
                t += step;
                pace.note(Cause::Picture);
                if pace.plan(us(t)) == Plan::Now {
                    pace.drawn(us(t));
                    drawings += 1;
                }
            }
            prop_assert!(drawings <= t / 16_667 + 2, "{} in {} us", drawings, t);
        }
    }
}
