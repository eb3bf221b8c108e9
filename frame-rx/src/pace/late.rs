//! Drawing late: just in time for a refresh, with the newest picture, where frames wait for the screen in order and each
//! refresh gets a new picture anyway. What is drawn as it comes waits for the screen instead, and so does all that comes
//! after it: a guest of 144 Hz on a screen of 60 is then seen two refreshes late. Pure.

use super::Plan;
use super::lead::Lead;
use super::refresh::RefreshClock;
use super::supply::Supply;
use super::worth::Worth;
use core::time::Duration;
use shm_proto::HostTime;

/// A screen has its own beat if it is not slower by more than this part of its period when drawings are held back.
const SLOWER_PART: u32 = 40;

/// When frames are drawn that are shown in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Draw {
    /// Just before the screen refreshes, as soon as it is known when that is, if each refresh gets a new picture.
    #[default]
    Late,
    /// As pictures come.
    AtOnce,
}

/// The refresh that a drawing is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// When it is.
    pub at: HostTime,
    /// The drawing was held back for it; else it is a guess.
    pub is_held: bool,
}

/// What the window system told of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was shown.
    pub at: HostTime,
    /// The refresh that it was drawn for, if that was known.
    pub aim: Option<Aim>,
    /// From one refresh to the next, if the window system knows.
    pub period: Option<Duration>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Late {
    clock: RefreshClock,
    lead: Lead,
    supply: Supply,
    worth: Worth,
    /// The screen's period as it was before anything was held, or is while nothing is.
    beat: Option<Duration>,
    /// The frame that was told of last was not held back.
    was_unheld: bool,
    /// Pictures that came since the newest drawing began.
    waiting: u32,
    /// Whether the window system itself tells the period with what it tells of frames.
    is_told: bool,
    /// The refresh that the newest drawing is for, or will probably be shown at.
    taken: Option<HostTime>,
    /// The newest refresh at which a frame was shown.
    shown: Option<HostTime>,
    /// Frames for refreshes up to this one come later than that, as is known by now.
    delayed: Option<HostTime>,
}

impl Late {
    /// What the monitor's mode says of its period.
    pub(super) fn set_nominal(&mut self, period: Duration) {
        if !self.is_told {
            self.clock.set_nominal(period);
        }
    }

    /// A picture came.
    pub(super) fn arrived(&mut self, now: HostTime) {
        self.waiting = self.waiting.saturating_add(1);
        self.supply.arrived(now, &self.clock, &self.lead);
    }

    /// What to do at `now`, if it is known that waiting is right: with a new picture, or with no more than a pointer that
    /// moved.
    pub(super) fn plan(&self, now: HostTime, is_picture: bool) -> Option<Plan> {
        if !self.worth.is_tried(now) {
            return None;
        }
        let is_steady = self.supply.is_steady();
        let is_held = match is_picture {
            // Nothing newer is to be expected, and nothing is in its way.
            true if !self.supply.is_ample() => is_steady && !self.is_free(now),
            true => is_steady,
            false => is_steady || !self.supply.flows(now, &self.clock),
        };
        let (refresh, before) = self.next(now).filter(|_| is_held)?;
        let start = refresh - before;
        Some(if now >= start { Plan::Now } else { Plan::At(start) })
    }

    /// Whether nothing was drawn yet for the refresh that comes.
    fn is_free(&self, now: HostTime) -> bool {
        let refresh = self.clock.refresh_from(now, now);
        self.taken.zip(refresh).is_none_or(|(taken, refresh)| taken < refresh)
    }

    /// The first refresh that a drawing begun at `now` or later can be for, and how long before it that begins.
    fn next(&self, now: HostTime) -> Option<(HostTime, Duration)> {
        let period = self.clock.period(now)?;
        let before = self.lead.before(period)?;
        // A little late is in time.
        let reached = now + before - self.lead.grace(period);
        let free = self.taken.map_or(reached, |taken| taken + period / 2);
        Some((self.clock.refresh_from(reached.max(free), now)?, before))
    }

    /// A drawing began at `start` and took so long. `was_held`: as [`Late::plan`] said. The refresh that it was for, if
    /// that is known.
    pub(super) fn drawn(&mut self, start: HostTime, took: Duration, was_held: bool) -> Option<Aim> {
        let (period, is_free) = (self.clock.period(start), self.taken.is_none_or(|taken| start >= taken));
        // What waits for the screen is not drawing, and cannot be told from it where nothing was held.
        if was_held {
            self.lead.took(took);
        } else if is_free {
            self.lead.took(period.map_or(took, |period| took.min(period / 4)));
        }
        if let Some(period) = period.filter(|_| self.supply.is_steady() && self.worth.is_tried(start)) {
            if was_held || is_free {
                self.worth.took(took, period, start);
            }
            // It waited until another one came, of a guest that has only one for each refresh.
            if self.waiting > 1 && !self.supply.is_ample() {
                self.worth.lost(start);
            }
        }
        self.waiting = 0;
        let aim = self.next(start).filter(|_| was_held).map(|(refresh, _)| refresh);
        let ready = start + took;
        // Behind the one before it, but there are never many.
        let queued = period.zip(self.taken).map(|(period, taken)| (taken + period / 2).min(ready + period));
        self.taken = aim.or_else(|| self.clock.refresh_from(queued.unwrap_or(ready).max(ready), start));
        self.taken.map(|at| Aim { at, is_held: was_held })
    }

    /// A frame was shown. Whether that was later than what it was held back for.
    pub(super) fn seen(&mut self, seen: &Seen) -> bool {
        if let Some(period) = seen.period {
            self.is_told = true;
            self.clock.set_nominal(period);
        }
        self.clock.stamp(seen.at);
        let before = self.shown.replace(seen.at);
        let Some((period, Aim { at: aim, is_held })) = self.clock.period(seen.at).zip(seen.aim) else { return false };
        let half = period / 2;
        self.watch_beat(period, is_held, before.map(|before| seen.at.since(before)), seen.at);
        if seen.at <= aim + half {
            match is_held {
                true if seen.at + half < aim => self.lead.was_early(period),
                true => {
                    self.lead.made(period);
                    self.worth.made();
                }
                false => {}
            }
            return false;
        }
        if self.delayed.is_none_or(|delayed| aim > delayed) {
            // If another frame was shown then, this one stood behind it, and had begun early enough.
            if is_held && before.is_none_or(|before| before + half < aim) {
                self.lead.missed(period);
                self.worth.missed(seen.at);
            }
            // Whatever was drawn since stands behind this one.
            self.delayed = self.taken;
            self.taken = self.taken.map(|taken| taken + period);
        }
        is_held
    }

    /// A screen that waits for frames refreshes later, and ever later, if they are held back for its refreshes: between them
    /// are no whole periods then, or the period grows.
    fn watch_beat(&mut self, period: Duration, is_held: bool, gap: Option<Duration>, now: HostTime) {
        if !is_held && self.beat.is_none_or(|_| self.was_unheld) {
            self.beat = Some(period);
        }
        let both_held = is_held && !self.was_unheld;
        self.was_unheld = !is_held;
        if is_held && self.beat.is_some_and(|beat| period > beat + beat / SLOWER_PART) {
            self.worth.end(now);
        }
        let periods = gap.filter(|_| both_held).map(|gap| gap.as_secs_f64() / period.as_secs_f64());
        if periods.is_some_and(|periods| periods < 4.0 && (0.2..0.8).contains(&periods.fract())) {
            self.worth.lost(now);
        }
    }
}
