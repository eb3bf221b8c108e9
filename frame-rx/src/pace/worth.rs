//! Whether holding drawings back is worth it, judged by what came of it. Waiting leaves a drawing no time to spare: where
//! drawings take most of a refresh, or come late again and again, each one that is late is a refresh without a new picture,
//! which drawing as pictures come had not missed. Then nothing is held for a while; and for longer each time that a try
//! fails. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// How long nothing is held after the first try that failed, and at most.
const FIRST_REST: Duration = Duration::from_secs(10);
const MOST_REST: Duration = Duration::from_secs(320);
/// A try that goes well for so many refreshes was none that fails: the next rest is a short one again.
const LASTS: u32 = 2048;
/// Each refresh that was missed counts as much as so many that were made...
const MISSED: u32 = 32;
/// ... and so many more of them than that end it: enough to learn by how long before a refresh a frame is needed.
const MOST_MISSED: u32 = 20;
/// A picture that was replaced while it waited counts as much as so many of them: nothing is to be learned from it.
const LOST: u32 = 4;
/// Drawings that take more than half of a refresh, less those that do not: so many end it. The first ones may have waited
/// for the frames before them, which were not held.
const MOST_DEAR: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Worth {
    /// Refreshes missed, each [`MISSED`], less those made.
    lost: u32,
    /// Refreshes made since the last rest.
    made: u32,
    /// Drawings that took more than half of a refresh, less those that did not.
    dear: u32,
    /// Nothing is held before.
    rests_until: Option<HostTime>,
    /// How long the next rest is.
    rest: Duration,
}

impl Default for Worth {
    fn default() -> Self {
        Worth { lost: 0, made: 0, dear: 0, rests_until: None, rest: FIRST_REST }
    }
}

impl Worth {
    /// Whether drawings may be held back at `now`.
    pub(super) fn is_tried(&self, now: HostTime) -> bool {
        self.rests_until.is_none_or(|until| now >= until)
    }

    /// A drawing that was held back took so long.
    pub(super) fn took(&mut self, took: Duration, period: Duration, now: HostTime) {
        self.dear = if took > period / 2 { self.dear + 1 } else { self.dear.saturating_sub(1) };
        if self.dear >= MOST_DEAR {
            self.end(now);
        }
    }

    /// A drawing that was held back made its refresh.
    pub(super) fn made(&mut self) {
        self.lost = self.lost.saturating_sub(1);
        self.made += 1;
        if self.made >= LASTS {
            (self.made, self.rest) = (0, FIRST_REST);
        }
    }

    /// It missed it.
    pub(super) fn missed(&mut self, now: HostTime) {
        self.add(MISSED, now);
    }

    /// A picture that was held back was never drawn.
    pub(super) fn lost(&mut self, now: HostTime) {
        self.add(MISSED * LOST, now);
    }

    fn add(&mut self, lost: u32, now: HostTime) {
        self.lost += lost;
        if self.lost > MISSED * MOST_MISSED {
            self.end(now);
        }
    }

    /// Nothing is won by waiting, or too much lost.
    pub(super) fn end(&mut self, now: HostTime) {
        (self.lost, self.made, self.dear) = (0, 0, 0);
        self.rests_until = Some(now + self.rest);
        self.rest = (self.rest * 2).min(MOST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_s(s: u64) -> HostTime {
        HostTime::from_ns((s + 1) * 1_000_000_000)
    }

    #[test]
    fn misses_while_the_lead_is_learned_and_one_of_forty_later_do_not_end_it() {
        let mut worth = Worth::default();
        (0..MOST_MISSED).for_each(|_| worth.missed(at_s(0)));
        for i in 0..4000 {
            if i % 40 == 39 {
                worth.missed(at_s(0))
            } else {
                worth.made()
            }
            assert!(worth.is_tried(at_s(0)), "{i}");
        }
    }

    #[test]
    fn one_miss_in_twenty_ends_it_and_each_rest_is_longer_until_a_try_lasts() {
        let mut worth = Worth::default();
        let (mut now_s, mut rests) = (0, Vec::new());
        for _ in 0..7 {
            while worth.is_tried(at_s(now_s)) {
                (0..19).for_each(|_| worth.made());
                worth.missed(at_s(now_s));
            }
            let rest = (1..).find(|s| worth.is_tried(at_s(now_s + s))).unwrap();
            now_s += rest;
            rests.push(rest);
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 320, 320]);
        (0..LASTS).for_each(|_| worth.made());
        worth.end(at_s(now_s));
        assert!(!worth.is_tried(at_s(now_s + 9)) && worth.is_tried(at_s(now_s + 10)));
    }

    #[test]
    fn drawings_that_take_more_than_half_of_a_refresh_end_it_and_some_among_others_do_not() {
        let (mut worth, period) = (Worth::default(), Duration::from_millis(16));
        let mut took = |ms: u64| {
            worth.took(Duration::from_millis(ms), period, at_s(0));
            worth.is_tried(at_s(0))
        };
        assert!((1..MOST_DEAR).all(|_| took(12)) && (0..100).all(|i| took(if i % 2 == 0 { 7 } else { 30 })));
        assert!((0..100).all(|_| took(8)), "half of it is not more");
        assert!((1..MOST_DEAR).all(|_| took(9)) && !took(9));
    }
}
