//! Looking closely when a steady publisher is due. Pure; the caller passes the time.
//!
//! A look every fraction of a millisecond finds a publication that fraction late. A publisher with a rhythm allows more:
//! sleep until shortly before it is due, then look again and again for some tens of microseconds. Phase and period are
//! followed by a filter of two constants, so that neither jitter nor a clock that is a little off disturbs them. A
//! publisher without rhythm is left to [`crate::cadence`]; this never looks more often than it says for longer than a
//! hundredth of a period on either side.

use crate::time::HostTime;
use core::time::Duration;

/// What a sleep may come late: the close look begins so much earlier. Unit: ns.
const LEAD_NS: i64 = 50_000;
/// The narrowest close look on either side. Unit: ns.
const NARROWEST_NS: i64 = 20_000;
/// The widest, as a part of the period.
const WIDEST_PART: i64 = 100;
/// A publisher whose instants are off by more than this, on average, has no rhythm. Unit: ns.
const ROUGH_NS: i64 = 300_000;
/// Publications before the rhythm is trusted.
const LEARN: u32 = 8;
/// So many in a row that come out of rhythm end it.
const STRIKES: u32 = 3;
/// Rhythms that are followed: 25 to 1000 a second. Unit: ns.
const PERIODS_NS: core::ops::RangeInclusive<i64> = 1_000_000..=40_000_000;
/// The longest sleep before a publication that is expected later: it may come early. Unit: ns.
const LONGEST_SLEEP_NS: i64 = 5_000_000;

/// Follows a rhythm.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    /// When the last publication was due, as the filter has it.
    phase: Option<HostTime>,
    period_ns: i64,
    /// How far publications are off, on average. Unit: ns.
    off_ns: i64,
    learned: u32,
    strikes: u32,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Look again at once.
    Again,
    /// Sleep until then.
    At(HostTime),
    /// There is no rhythm: ask somebody else.
    Unknown,
}

impl Steady {
    /// Nothing known.
    pub fn new() -> Steady {
        Steady::default()
    }

    /// Forgets the rhythm: another stream begins.
    pub fn reset(&mut self) {
        *self = Steady::default();
    }

    /// A publication was found at `now`, `steps` after the one before. Real-time safe.
    pub fn arrived(&mut self, now: HostTime, steps: u64) {
        let steps = i64::try_from(steps.clamp(1, 1000)).unwrap_or(1);
        let Some(phase) = self.phase else {
            self.phase = Some(now);
            return;
        };
        let since = now.signed_ns_since(phase);
        if self.learned == 0 {
            (self.phase, self.period_ns, self.off_ns) = (Some(now), since / steps, ROUGH_NS);
            self.learned = u32::from(PERIODS_NS.contains(&self.period_ns));
            return;
        }
        let off = since.saturating_sub(self.period_ns.saturating_mul(steps));
        if off.abs() > self.period_ns / 4 {
            self.strikes += 1;
            if self.strikes >= STRIKES {
                *self = Steady { phase: Some(now), ..Steady::default() };
            } else {
                self.phase = Some(now);
            }
            return;
        }
        self.strikes = 0;
        let due = self.period_ns.saturating_mul(steps);
        self.phase = Some(phase + Duration::from_nanos(u64::try_from(due + off / 4).unwrap_or(0)));
        self.period_ns = (self.period_ns + off / (32 * steps)).clamp(*PERIODS_NS.start(), *PERIODS_NS.end());
        self.off_ns += (off.abs() - self.off_ns) / 8;
        self.learned = self.learned.saturating_add(1);
    }

    /// When to look for the next publication. Real-time safe.
    pub fn next_look(&self, now: HostTime) -> Look {
        let Some(phase) = self.phase.filter(|_| self.learned >= LEARN && self.off_ns <= ROUGH_NS) else {
            return Look::Unknown;
        };
        let wide = (2 * self.off_ns).clamp(NARROWEST_NS, (self.period_ns / WIDEST_PART).max(NARROWEST_NS));
        let to_due = self.period_ns - now.signed_ns_since(phase);
        let to_begin = to_due - wide - LEAD_NS;
        match to_begin {
            1.. => {
                let ns = to_begin.min(LONGEST_SLEEP_NS.max(0));
                Look::At(now + Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
            }
            _ if to_due + wide > 0 => Look::Again,
            _ => Look::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cadence::{Cadence, Profile};

    const START: HostTime = HostTime::from_ns(5_000_000_000);

    /// What a receiver got and paid.
    #[derive(Debug)]
    struct Bill {
        /// How long a publication lay there unseen. Unit: us.
        median_us: f64,
        p99_us: f64,
        /// Part of a processor: 3 us for each look, 8 us for each sleep. Unit: percent.
        cpu_percent: f64,
    }

    fn dice(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Publications of a rhythm, each off by up to `jitter_us` either way; sleeps come 15 to 60 us late.
    fn run(rate_hz: f64, jitter_us: f64, with_steady: bool) -> Bill {
        let mut seed = 7;
        let period_ns = 1e9 / rate_hz * 1.000_2;
        let at: Vec<f64> = (1..4000)
            .map(|n| n as f64 * period_ns + (dice(&mut seed) + dice(&mut seed) - 1.0) * jitter_us * 1e3)
            .collect();
        let (mut cadence, mut steady) = (Cadence::new(&Profile::VIDEO, 42), Steady::new());
        cadence.reset(START);
        let (mut now_ns, mut seen, mut cost_ns) = (0.0, 0, 0.0);
        let (mut unseen, mut close) = (Vec::new(), false);
        let time = |ns: f64| START + Duration::from_nanos(ns as u64);
        while seen < at.len() - 1 {
            let there = seen + at[seen..].iter().take_while(|t| **t <= now_ns).count();
            if there > seen {
                if seen > 200 {
                    unseen.push((now_ns - at[there - 1]) / 1e3);
                }
                cadence.published(time(now_ns), there as u64);
                steady.arrived(time(now_ns), (there - seen) as u64);
                seen = there;
                // The copy.
                now_ns += 400e3;
            } else if !close {
                // A close look says nothing about the next one's distance.
                cadence.nothing(time(now_ns));
            }
            now_ns += 3e3;
            cost_ns += 3e3;
            let now = time(now_ns);
            let look = if with_steady { steady.next_look(now) } else { Look::Unknown };
            close = look == Look::Again;
            let wake = match look {
                Look::Again => continue,
                Look::At(at) => at,
                Look::Unknown => cadence.next_wake(now),
            };
            cost_ns += 8e3;
            now_ns += wake.since(now).as_nanos() as f64 + 15e3 + 45e3 * dice(&mut seed);
        }
        unseen.sort_by(f64::total_cmp);
        let part = |p: f64| unseen[(unseen.len() as f64 * p) as usize];
        Bill { median_us: part(0.5), p99_us: part(0.99), cpu_percent: cost_ns / now_ns * 100.0 }
    }

    #[test]
    fn a_steady_guest_is_seen_twenty_times_sooner_than_by_a_millisecond_poll_for_three_percent() {
        for (rate, jitter) in [(60.0, 30.0), (60.0, 100.0), (144.0, 20.0), (144.0, 40.0), (240.0, 15.0)] {
            let bill = run(rate, jitter, true);
            // A poll every millisecond, whose sleeps are late as well, sees the median one after 0.52 ms.
            assert!(bill.median_us <= 520.0 / 20.0, "{rate} Hz, jitter {jitter} us: {bill:?}");
            assert!(bill.p99_us <= 520.0, "{rate} Hz, jitter {jitter} us: {bill:?}");
            assert!(bill.cpu_percent <= 3.0, "{rate} Hz, jitter {jitter} us: {bill:?}");
        }
    }

    #[test]
    fn a_guest_without_rhythm_costs_hardly_more_than_before() {
        for jitter in [1500.0, 4000.0] {
            let (with, without) = (run(60.0, jitter, true), run(60.0, jitter, false));
            assert!(with.cpu_percent <= without.cpu_percent * 1.2 + 0.1, "{jitter} us: {with:?} and {without:?}");
            assert!(with.p99_us <= without.p99_us * 1.5 + 100.0, "{jitter} us: {with:?} and {without:?}");
        }
    }

    #[test]
    fn a_rhythm_that_ends_is_given_up_and_another_one_is_learned() {
        let mut steady = Steady::new();
        let mut now = START;
        let mut beat = |steady: &mut Steady, us: u64, count: u32| {
            for _ in 0..count {
                now = now + Duration::from_micros(us);
                steady.arrived(now, 1);
            }
            steady.next_look(now + Duration::from_micros(100))
        };
        assert_eq!(beat(&mut steady, 16_667, 4), Look::Unknown);
        assert!(matches!(beat(&mut steady, 16_667, 40), Look::At(_)));
        assert_eq!(beat(&mut steady, 9_000, 5), Look::Unknown);
        assert!(matches!(beat(&mut steady, 9_000, 40), Look::At(_)));
        assert_eq!(beat(&mut steady, 500_000, 40), Look::Unknown, "a clock on a desktop has no rhythm to wait for");
        steady.reset();
        assert_eq!(beat(&mut steady, 16_667, 1), Look::Unknown);
    }

    #[test]
    fn what_does_not_come_is_not_looked_for_closely_for_long() {
        let mut steady = Steady::new();
        let mut now = START;
        for _ in 0..100 {
            now = now + Duration::from_millis(10);
            steady.arrived(now, 1);
        }
        let close = (0..100_000u64).filter(|us| steady.next_look(now + Duration::from_micros(*us)) == Look::Again);
        assert!((60..=250).contains(&close.count()));
    }
}
