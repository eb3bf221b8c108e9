//! When to look for the next picture, estimated from the arrivals so far. Pure; the caller passes the time.
//!
//! A look every fraction of a millisecond finds a picture that fraction late, and waking up is the dearest thing a receiver
//! does. So pictures that come with a rhythm, which a guest's screen gives them, are waited for in two steps: sleep until
//! shortly before the next beat, then look again and again in a window around it (`window`), as wide as a fiftieth of the
//! beat pays for. Pictures without a rhythm may come after any time, but not sooner than the shortest distance lately; from
//! then on there are a few quick looks, and then one each millisecond. A guest that rests is looked at rarely, and more often
//! again once something stirs: its pointer, or the user's keys.
//!
//! Sound needs none of this: it waits in its ring in any case (see `scream-rx`, which follows the guest's sound clock).

mod rhythm;
mod window;

use crate::time::HostTime;
use core::time::Duration;
use rhythm::Rhythm;
use window::{Found, Window};

/// Without a rhythm the first look comes this long before a picture can come, give or take the same. Unit: ns.
const EARLY_NS: u64 = 300_000;
/// Distances of the looks once a picture is due and did not come. Unit: ns.
const RETRIES_NS: [u64; 6] = [60_000, 120_000, 250_000, 250_000, 250_000, 500_000];
/// Distance of looks while a picture is overdue, or nothing is known yet. Unit: ns.
const OVERDUE_NS: u64 = 1_000_000;
/// What a sleep may end late: a close look begins so much earlier. Unit: ns.
const LEAD_NS: u64 = 45_000;
/// The longest sleep before a picture that is expected later: it may come early.
const LONGEST_SLEEP: Duration = Duration::from_millis(5);
/// The shortest distance of arrivals is forgotten at this pace: each one moves it by so small a part.
const FORGET: u64 = 1024;

/// A guest from which nothing came for so long rests.
const REST: Duration = Duration::from_millis(100);
/// How often to look once nothing came for a while: after, and every. What a key press does should be seen soon.
const IDLE: [(Duration, Duration); 4] = [
    (REST, Duration::from_millis(2)),
    (Duration::from_secs(1), Duration::from_millis(4)),
    (Duration::from_secs(2), Duration::from_millis(8)),
    (Duration::from_secs(10), Duration::from_millis(10)),
];
/// The same after a picture that came alone out of a rest: a cursor that blinks, a clock. Whatever begins to move shows a
/// second picture within the first of these.
const IDLE_ALONE: [(Duration, Duration); 3] = [
    (Duration::from_millis(20), Duration::from_millis(2)),
    (Duration::from_millis(60), Duration::from_millis(4)),
    (Duration::from_millis(250), Duration::from_millis(8)),
];
/// How often to look at least while something stirs, and for how long that holds: a picture will come of it, or not.
const STIRRED: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));

/// What the estimate stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing came for long: looks are few.
    Idle,
    /// Too few arrivals, or none with a rhythm: only the shortest distance is known, if that.
    Learning,
    /// There is a rhythm, and looks are close around its beat.
    Tracking,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Look again at once: a picture is due within microseconds.
    Again,
    /// Sleep until then.
    At(HostTime),
}

/// The estimator. Tell it of each look ([`Cadence::published`], [`Cadence::nothing`]), then ask for the next one.
///
/// Real-time safe: no allocation, no lock, no system call, and a bounded number of steps in each call.
#[derive(Clone, Debug, Default)]
pub struct Cadence {
    rhythm: Rhythm,
    window: Window,
    /// Since when looks have been close.
    close_since: Option<HostTime>,
    last: Option<(u64, HostTime)>,
    shortest_ns: Option<u64>,
    /// Since when nothing came.
    quiet_since: Option<HostTime>,
    /// The last picture ended a rest, and none has followed it soon.
    is_alone: bool,
    /// When something stirred last.
    stirred: Option<HostTime>,
    /// Looks that found nothing since a picture was due.
    misses: usize,
    /// Spreads first looks and idle looks; a Weyl sequence, so that any few in a row cover the range evenly.
    spread: u64,
}

impl Cadence {
    /// An estimator that knows nothing yet. The same seed gives the same spread of looks.
    pub fn new(seed: u64) -> Cadence {
        Cadence { spread: seed, ..Cadence::default() }
    }

    /// Forgets all arrivals: another stream begins now. Until its first picture there are a thousand looks a second, and
    /// fewer when it does not come.
    pub fn reset(&mut self, now: HostTime) {
        *self = Cadence { spread: self.spread, quiet_since: Some(now), ..Cadence::default() };
    }

    /// Picture `number` was seen at `now` for the first time. Of several seen at once, the last is enough. Numbers grow;
    /// one that does not is ignored.
    pub fn published(&mut self, now: HostTime, number: u64) {
        let rested = self.quiet_since.is_none_or(|since| now.since(since) >= REST);
        self.quiet_since = Some(now);
        self.is_alone = rested;
        self.misses = 0;
        self.spread = self.spread.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let close_since = self.close_since.take();
        if let Some((before, at)) = self.last {
            let Some(steps) = number.checked_sub(before).filter(|steps| *steps > 0) else { return };
            // The end of a rest tells nothing about the distance of pictures.
            if !rested {
                let ns = u64::try_from(now.since(at).as_nanos()).unwrap_or(u64::MAX) / steps;
                let shortest = self.shortest_ns.unwrap_or(ns);
                self.shortest_ns = Some(if ns < shortest { ns } else { shortest + (ns - shortest) / FORGET });
            }
        }
        self.last = Some((number, now));
        let off_ns = self.rhythm.arrived(now);
        if !self.rhythm.is_known() {
            self.window = Window::default();
        }
        let Some(off_ns) = off_ns else { return };
        let spent_ns = close_since.map_or(0, |since| now.signed_ns_since(since));
        let found = match close_since {
            Some(_) => Found::Inside,
            None if off_ns <= self.window.middle_ns() => Found::Before,
            None => Found::Behind,
        };
        self.window.learn(found, off_ns, spent_ns, self.rhythm.period_ns(), self.rhythm.off_ns());
    }

    /// Something happened at `now` that a picture often follows: the guest's pointer moved, or the user pressed a key. A guest
    /// that rests is looked at more often for a while.
    pub fn stirred(&mut self, now: HostTime) {
        self.stirred = Some(now);
    }

    /// A look at `now` found nothing new.
    pub fn nothing(&mut self, now: HostTime) {
        self.quiet_since.get_or_insert(now);
        // Close looks say nothing about those that follow.
        if self.close_since.is_none() && self.is_due(now) {
            self.misses = self.misses.saturating_add(1);
        }
    }

    /// When to look next: at once, or after `now` by at most the longest idle distance (and an eighth of it).
    pub fn next_look(&mut self, now: HostTime) -> Look {
        if let Some(every) = self.idle(now) {
            self.close_since = None;
            let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
            return Look::At(now + Duration::from_nanos(every.saturating_add(self.spread_below(every / 8))));
        }
        match self.window_around(now) {
            Some((begin, end)) if now >= begin && now < end => {
                self.close_since.get_or_insert(now);
                Look::Again
            }
            Some((begin, _)) => {
                self.end_close(now);
                Look::At(begin.min(now + self.until_next(now)))
            }
            None => {
                self.end_close(now);
                Look::At(now + self.until_next(now))
            }
        }
    }

    /// When the next picture is due, if that can be said.
    pub fn predicted(&self) -> Option<HostTime> {
        let (_, last) = self.last?;
        match self.rhythm.beat_after(last) {
            Some(beat) => Some(beat),
            None => self.shortest_ns.map(|ns| last + Duration::from_nanos(ns)),
        }
    }

    /// What the estimate stands on at `now`.
    pub fn state(&self, now: HostTime) -> State {
        if self.quiet_since.is_none() || self.idle(now).is_some() {
            State::Idle
        } else if self.rhythm.is_known() {
            State::Tracking
        } else {
            State::Learning
        }
    }

    /// How often to look, if nothing came for long.
    fn idle(&self, now: HostTime) -> Option<Duration> {
        let table = if self.is_alone { &IDLE_ALONE[..] } else { &IDLE[..] };
        let quiet = self.quiet_since.map_or(Duration::MAX, |since| now.since(since));
        let (_, every) = *table.iter().rev().find(|(after, _)| quiet >= *after)?;
        let stirs = self.stirred.is_some_and(|at| now.since(at) < STIRRED.1);
        Some(if stirs { every.min(STIRRED.0) } else { every })
    }

    /// The window that is open at `now`, or opens next; with what sleeps are late by before it.
    fn window_around(&self, now: HostTime) -> Option<(HostTime, HostTime)> {
        let (_, last) = self.last?;
        let (begin_ns, end_ns) = self.window.edges_ns();
        let next = self.rhythm.beat_after(last)?;
        // A window that is over makes room for the one that is not.
        let open = self.rhythm.beat_from(shifted(now, 1 - end_ns))?;
        let beat = next.max(open);
        let begin = shifted(beat, begin_ns) - Duration::from_nanos(LEAD_NS);
        Some((begin, shifted(beat, end_ns)))
    }

    /// A window closed and nothing came in it.
    fn end_close(&mut self, now: HostTime) {
        if let Some(since) = self.close_since.take() {
            self.window.missed(now.signed_ns_since(since), self.rhythm.period_ns());
            self.misses = 1;
        }
    }

    /// Whether a picture could be there by now.
    fn is_due(&self, now: HostTime) -> bool {
        self.misses > 0 || self.first_look().is_none_or(|first| now >= first)
    }

    /// The distance to the next look outside of windows.
    fn until_next(&self, now: HostTime) -> Duration {
        if self.misses == 0 {
            // With a rhythm the window says when; without one, the shortest distance.
            let first = self.first_look().filter(|first| *first > now);
            if self.rhythm.is_known() {
                return LONGEST_SLEEP;
            } else if let Some(first) = first {
                return first.since(now).min(LONGEST_SLEEP);
            }
        }
        let known = self.last.is_some();
        let ns = RETRIES_NS.get(self.misses.saturating_sub(1)).copied().filter(|_| known);
        // Off the grid of whole milliseconds that guests publish on.
        Duration::from_nanos(ns.unwrap_or(OVERDUE_NS - self.spread_below(OVERDUE_NS / 8)))
    }

    fn first_look(&self) -> Option<HostTime> {
        let early_ns = if self.rhythm.is_known() { LEAD_NS } else { self.spread_below(2 * EARLY_NS) };
        self.predicted().map(|due| due - Duration::from_nanos(early_ns))
    }

    fn spread_below(&self, below_ns: u64) -> u64 {
        // The upper half of the product is below `below_ns`.
        ((u128::from(self.spread) * u128::from(below_ns)) >> 64) as u64
    }
}

fn shifted(at: HostTime, ns: i64) -> HostTime {
    let by = Duration::from_nanos(ns.unsigned_abs());
    if ns < 0 { at - by } else { at + by }
}

#[cfg(test)]
mod tests;
