//! When the screen refreshes next: period and phase, from stamps of when frames were shown. Stamps are noisy, some are lost
//! and some are told twice; a screen without a beat of its own (variable refresh) is never known. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// Gaps between stamps that must agree before the period is believed.
const ENOUGH: usize = 6;
/// They agree within this part of the period.
const AGREE_PART: f64 = 16.0;
/// A period may differ from what the window system says by this part of it. A compositor without a screen, for one, has a
/// timer of whole milliseconds.
const NOMINAL_PART: f64 = 8.0;
/// Gaps of more refreshes say nothing about one while the period is not known.
const MOST_REFRESHES: f64 = 4.0;
/// So many stamps in a row that do not fit end the belief.
const MOST_STRAYS: u32 = 4;
/// After so long without a stamp nothing is known: the screen's clock is not ours.
const STALE: Duration = Duration::from_secs(1);
/// How far phase and period follow a stamp that is off.
const PHASE_PART: f64 = 4.0;
const PERIOD_PART: f64 = 32.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RefreshClock {
    /// What the window system says the period is. Unit: ns; zero if it says nothing.
    nominal_ns: f64,
    /// The newest stamp as it came.
    heard: Option<HostTime>,
    belief: Belief,
}

#[derive(Debug)]
enum Belief {
    /// Estimates of the period so far. Unit: ns.
    Searching { periods_ns: [f64; ENOUGH], count: usize },
    /// A refresh is at `at`, and others a multiple of the period from it.
    Locked { at: HostTime, period_ns: f64, strays: u32 },
}

impl Default for Belief {
    fn default() -> Self {
        Belief::Searching { periods_ns: [0.0; ENOUGH], count: 0 }
    }
}

impl RefreshClock {
    /// What the window system says the period is. Another one means another screen.
    pub(super) fn set_nominal(&mut self, period: Duration) {
        let period_ns = period.as_nanos() as f64;
        if (period_ns - self.nominal_ns).abs() > period_ns / 32.0 {
            *self = RefreshClock { nominal_ns: period_ns, ..RefreshClock::default() };
        }
    }

    /// A frame was shown at `at`, which was a refresh.
    pub(super) fn stamp(&mut self, at: HostTime) {
        let Some(before) = self.heard.replace(at) else { return };
        let gap_ns = at.signed_ns_since(before) as f64;
        if gap_ns < self.nominal_ns / 4.0 {
            // The same refresh once more, or an older one.
            self.heard = Some(before.max(at));
            return;
        }
        self.belief = match core::mem::take(&mut self.belief) {
            Belief::Searching { periods_ns, count } => self.search(gap_ns, at, periods_ns, count),
            Belief::Locked { at: known, period_ns, strays } => follow(at, known, period_ns, strays, gap_ns),
        };
    }

    fn search(&self, gap_ns: f64, at: HostTime, mut periods_ns: [f64; ENOUGH], count: usize) -> Belief {
        let refreshes = (gap_ns / self.nominal_ns).round();
        let period_ns = gap_ns / refreshes;
        let is_likely = (1.0..=MOST_REFRESHES).contains(&refreshes)
            && (period_ns - self.nominal_ns).abs() <= self.nominal_ns / NOMINAL_PART;
        let Some(place) = periods_ns.get_mut(count).filter(|_| is_likely) else { return Belief::default() };
        *place = period_ns;
        if count + 1 < ENOUGH {
            return Belief::Searching { periods_ns, count: count + 1 };
        }
        let mean_ns = periods_ns.iter().sum::<f64>() / ENOUGH as f64;
        let agree = periods_ns.iter().all(|p| (p - mean_ns).abs() <= mean_ns / AGREE_PART);
        if agree { Belief::Locked { at, period_ns: mean_ns, strays: 0 } } else { Belief::default() }
    }

    /// The period, while it and the phase are known at `now`.
    pub(super) fn period(&self, now: HostTime) -> Option<Duration> {
        let is_fresh = self.heard.is_some_and(|heard| now.since(heard) <= STALE);
        match self.belief {
            Belief::Locked { period_ns, .. } if is_fresh => Some(Duration::from_nanos(period_ns as u64)),
            _ => None,
        }
    }

    /// The first refresh at `at` or after it, as far as it is known at `now`.
    pub(super) fn refresh_from(&self, at: HostTime, now: HostTime) -> Option<HostTime> {
        self.period(now)?;
        let Belief::Locked { at: known, period_ns, .. } = self.belief else { return None };
        let refreshes = (at.signed_ns_since(known) as f64 / period_ns).ceil();
        let away = Duration::from_nanos((refreshes * period_ns).abs() as u64);
        Some(if refreshes < 0.0 { known - away } else { known + away })
    }
}

/// A stamp `at`, so long after the one before, when a refresh was known.
fn follow(at: HostTime, known: HostTime, period_ns: f64, strays: u32, gap_ns: f64) -> Belief {
    if gap_ns > STALE.as_nanos() as f64 {
        // Over so long a time the period says nothing about the phase.
        return Belief::Locked { at, period_ns, strays: 0 };
    }
    let refreshes = (at.signed_ns_since(known) as f64 / period_ns).round();
    let off_ns = at.signed_ns_since(known) as f64 - refreshes * period_ns;
    if off_ns.abs() > period_ns / 4.0 {
        let strays = strays + 1;
        let apart = gap_ns / period_ns;
        if strays > 1 && (apart - apart.round()).abs() < 0.125 {
            // It fits the stray before it: the beat has moved.
            return Belief::Locked { at, period_ns, strays: 0 };
        }
        return if strays < MOST_STRAYS { Belief::Locked { at: known, period_ns, strays } } else { Belief::default() };
    }
    let moved_ns = refreshes * period_ns + off_ns / PHASE_PART;
    let known = HostTime::from_ns(known.as_ns().saturating_add_signed(moved_ns as i64));
    let period_ns = period_ns + off_ns / PERIOD_PART / refreshes.max(1.0);
    Belief::Locked { at: known, period_ns, strays: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_micros(16_000);
    const NOMINAL: Duration = Duration::from_nanos(16_666_667);

    fn at_us(us: i64) -> HostTime {
        HostTime::from_ns(((1_000_000 + us) * 1000) as u64)
    }

    fn clock(stamps_us: impl IntoIterator<Item = i64>) -> RefreshClock {
        let mut clock = RefreshClock::default();
        clock.set_nominal(NOMINAL);
        stamps_us.into_iter().for_each(|us| clock.stamp(at_us(us)));
        clock
    }

    #[test]
    fn nothing_is_known_before_some_stamps_agree() {
        let now = at_us(10 * 16_000);
        assert_eq!(clock([]).refresh_from(now, now), None);
        assert_eq!(clock((0..6).map(|i| i * 16_000)).refresh_from(now, now), None);
        let known = clock((0..7).map(|i| i * 16_000)).refresh_from(now - Duration::from_millis(1), now);
        assert_eq!(known, Some(now));
    }

    #[test]
    fn refreshes_long_before_and_after_the_stamps_are_counted_from_them() {
        let clock = clock((0..20).map(|i| i * 16_000));
        let now = at_us(20 * 16_000);
        for (asked, expected) in [(-16_001, -16_000), (-16_000, -16_000), (1, 16_000), (700_001, 704_000)] {
            assert_eq!(clock.refresh_from(at_us(asked), now), Some(at_us(expected)), "{asked}");
        }
    }

    #[test]
    fn stamps_that_come_twice_or_not_at_all_change_nothing() {
        let told = (0..200).filter(|i| i % 7 != 3 && i % 31 > 2).flat_map(|i| [i * 16_000, i * 16_000 + 20]);
        let (clock, now) = (clock(told), at_us(199 * 16_000));
        let off = clock.refresh_from(now, now).unwrap().since(now);
        assert!(off < Duration::from_micros(60) || off > PERIOD - Duration::from_micros(60), "{off:?}");
    }

    #[test]
    fn a_screen_without_a_beat_is_never_known() {
        let (mut us, mut clock) = (0, clock([]));
        for i in 0..500i64 {
            us += 12_000 + i * 7919 % 9000;
            clock.stamp(at_us(us));
            assert_eq!(clock.period(at_us(us)), None, "stamp {i}");
        }
    }

    #[test]
    fn after_a_pause_the_first_stamp_says_where_refreshes_are_and_until_then_nothing_does() {
        let mut clock = clock((0..100).map(|i| i * 16_000));
        let pause = at_us(99 * 16_000) + STALE;
        assert!(clock.refresh_from(pause, pause).is_some());
        let later = pause + Duration::from_micros(5);
        assert_eq!(clock.refresh_from(later, later), None);
        clock.stamp(later + Duration::from_millis(3));
        let known = clock.refresh_from(later + Duration::from_millis(4), later + Duration::from_millis(4));
        assert_eq!(known, Some(later + Duration::from_millis(3) + PERIOD));
    }

    #[test]
    fn a_screen_whose_beat_jumps_is_found_again() {
        let mut clock = clock((0..100).map(|i| i * 16_000));
        (100..102).for_each(|i| clock.stamp(at_us(i * 16_000 + 8_000)));
        let now = at_us(101 * 16_000 + 8_000);
        assert_eq!(clock.refresh_from(now + Duration::from_millis(1), now), Some(now + PERIOD));
    }

    #[test]
    fn another_screen_is_another_beat() {
        let mut clock = clock((0..100).map(|i| i * 16_000));
        let now = at_us(99 * 16_000);
        clock.set_nominal(NOMINAL + Duration::from_nanos(5));
        assert!(clock.period(now).is_some());
        clock.set_nominal(Duration::from_micros(6944));
        assert_eq!(clock.period(now), None);
    }

    proptest! {
        #[test]
        fn noise_is_smoothed(noise_us in prop::collection::vec(-300i64..300, 200), period_us in 15_500i64..17_500) {
            let clock = clock(noise_us.iter().enumerate().map(|(i, noise)| i as i64 * period_us + noise));
            let now = at_us(199 * period_us);
            let ahead = at_us(201 * period_us);
            let known = clock.refresh_from(ahead - Duration::from_micros(period_us as u64 / 2), now).unwrap();
            prop_assert!(known.signed_ns_since(ahead).abs() < 400_000, "{}", known.signed_ns_since(ahead));
        }

        #[test]
        fn no_stamps_make_it_panic_or_name_a_refresh_that_was(stamps in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut clock = RefreshClock::default();
            for (i, stamp) in stamps.into_iter().enumerate() {
                if i % 9 == 0 {
                    clock.set_nominal(Duration::from_nanos(stamp % 20_000_000));
                }
                clock.stamp(HostTime::from_ns(stamp));
                let now = HostTime::from_ns(stamp);
                if let Some(refresh) = clock.refresh_from(now, now) {
                    prop_assert!(refresh >= now - Duration::from_micros(1));
                }
            }
        }
    }
}
