//! Time as a value. The crate never reads a clock; callers pass a [`HostTime`], so a day can be tested in seconds.
//!
//! Only durations cross the boundary to the guest: a guest's clock is compared with itself alone.

use core::ops::{Add, Sub};
use core::time::Duration;

/// An instant on the host's monotonic clock.
///
/// Units: nanoseconds since an arbitrary instant that stays the same for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTime(u64);

impl HostTime {
    /// The arbitrary instant itself.
    pub const ZERO: HostTime = HostTime(0);

    /// The instant `ns` nanoseconds after [`HostTime::ZERO`].
    pub const fn from_ns(ns: u64) -> Self {
        HostTime(ns)
    }

    /// Nanoseconds since [`HostTime::ZERO`].
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: HostTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed distance from `other` to `self` in nanoseconds: positive if `self` is later.
    pub const fn signed_ns_since(self, other: HostTime) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }
}

impl Add<Duration> for HostTime {
    type Output = HostTime;
    fn add(self, rhs: Duration) -> HostTime {
        HostTime(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for HostTime {
    type Output = HostTime;
    fn sub(self, rhs: Duration) -> HostTime {
        HostTime(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_runs_backwards_has_no_length() {
        let (a, b) = (HostTime::from_ns(5), HostTime::from_ns(9));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(b.since(a), Duration::from_nanos(4));
        assert_eq!(a.signed_ns_since(b), -4);
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(HostTime::ZERO - Duration::from_secs(1), HostTime::ZERO);
        assert_eq!((HostTime::from_ns(u64::MAX) + Duration::MAX).as_ns(), u64::MAX);
    }
}
