//! The monotonic clock of the host, and sleeping until an instant on it.
//!
//! These are the only readings of a clock in this crate besides the calls that block. Policies never come here: they are
//! handed a [`HostTime`]. How late a sleep ends is decided by the thread's timer slack (see [`crate::realtime`]).

use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};
use shm_proto::HostTime;
use std::time::Duration;

/// Now, in nanoseconds of `CLOCK_MONOTONIC`, which does not run while the machine is suspended.
///
/// Cannot fail. Real-time safe: answered without entering the kernel on the usual machines.
pub fn now() -> HostTime {
    let t = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
    HostTime::from_ns(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// How far apart two readings may be that pass for one.
const ONE_INSTANT: Duration = Duration::from_micros(20);

/// Now on the monotonic clock, and the time of day since 1970 at the same instant: for stamps that the kernel makes by
/// the time of day. Should the thread lose the processor between the two readings, they are read again, a few times.
///
/// Cannot fail. Real-time safe, as [`now`].
pub fn now_and_day() -> (HostTime, Duration) {
    now_and(ClockId::Realtime)
}

/// Now on the monotonic clock, and at the same instant on the one that no time server corrects (`CLOCK_MONOTONIC_RAW`), which
/// some compositors tell by. As [`now_and_day`].
pub fn now_and_raw() -> (HostTime, Duration) {
    now_and(ClockId::MonotonicRaw)
}

fn now_and(other: ClockId) -> (HostTime, Duration) {
    let mut read = (now(), Duration::ZERO);
    for _ in 0..4 {
        let before = now();
        let t = clock_gettime(other);
        let after = now();
        let there = Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0));
        read = (before + after.since(before) / 2, there);
        if after.since(before) <= ONE_INSTANT {
            break;
        }
    }
    read
}

/// Sleeps until `at`; returns at once if that has passed. Whether `at` was reached: false means that a signal came.
///
/// A signal may be delivered to another thread, so this is for short sleeps of a known end (some milliseconds, between
/// two publications). For longer ones use [`crate::signals::Stop::wait_until`], which a stop always ends.
///
/// Blocks. Real-time safe: one system call, no allocation.
pub fn sleep_until(at: HostTime) -> bool {
    if now() >= at {
        return true;
    }
    clock_nanosleep_absolute(SleepClock::Monotonic, &timespec(Duration::from_nanos(at.as_ns()))).is_ok()
}

/// The kernel's form of a duration; the longest that fits if it is longer.
pub(crate) fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: d.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards() {
        let mut last = now();
        for _ in 0..10_000 {
            let t = now();
            assert!(t >= last);
            last = t;
        }
    }

    #[test]
    fn the_time_of_day_belongs_to_the_same_instant() {
        let (a, day_a) = now_and_day();
        let (b, day_b) = now_and_day();
        assert!(b >= a && day_a > Duration::from_secs(1_500_000_000));
        // Nobody sets the clock of a test machine by more than this in the middle of the test.
        let apart = b.since(a).abs_diff(day_b.saturating_sub(day_a));
        assert!(apart < Duration::from_millis(50), "{apart:?}");
    }

    #[test]
    fn a_sleep_never_ends_before_its_instant() {
        for us in [0, 50, 300, 2000] {
            let at = now() + Duration::from_micros(us);
            while !sleep_until(at) {}
            assert!(now() >= at, "{us} us");
        }
    }

    #[test]
    fn an_instant_in_the_past_is_no_sleep() {
        assert!(sleep_until(HostTime::ZERO));
    }

    #[test]
    fn an_endless_duration_still_has_a_timespec() {
        assert_eq!(timespec(Duration::MAX).tv_sec, i64::MAX);
        assert_eq!(timespec(Duration::from_millis(1500)).tv_nsec, 500_000_000);
    }
}
