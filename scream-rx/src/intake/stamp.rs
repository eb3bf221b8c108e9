//! The kernel's receive stamp of a datagram, on our clock. The kernel stamps with the time of day, which people and time
//! services set; only its distance from the same clock's *now* is used, and only as far as it can be true. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// The two clocks, read at the same instant.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The monotonic one, which everything else uses.
    pub now: HostTime,
    /// The time of day, since 1970.
    pub day: Duration,
}

/// When a datagram came that was stamped `stamp` and read at `clocks`. `not_before`: the socket was empty then, so it
/// came later. A stamp that cannot be true (the time of day was set meanwhile), or none, gives the time of reading.
pub fn arrival(stamp: Option<Duration>, clocks: Clocks, not_before: HostTime) -> HostTime {
    let age = stamp.and_then(|stamp| clocks.day.checked_sub(stamp));
    match age.map(|age| clocks.now - age) {
        Some(at) if at >= not_before && at <= clocks.now => at,
        _ => clocks.now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> HostTime {
        HostTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_stamp_is_believed_only_where_it_can_be_true() {
        let day = Duration::from_secs(1_700_000_000);
        let clocks = Clocks { now: ms(5_000), day };
        let before = |ms: u64| Some(day - Duration::from_millis(ms));
        for (stamp, not_before, expected) in [
            (before(3), ms(4_900), ms(4_997)),
            (before(0), ms(4_900), ms(5_000)),
            // Older than the last time the socket was empty: the day's clock was set forward since.
            (before(200), ms(4_900), ms(5_000)),
            // From the future: it was set back.
            (Some(day + Duration::from_secs(3_600)), ms(4_900), ms(5_000)),
            (Some(Duration::ZERO), ms(4_900), ms(5_000)),
            (Some(Duration::MAX), ms(0), ms(5_000)),
            (None, ms(4_900), ms(5_000)),
        ] {
            assert_eq!(arrival(stamp, clocks, not_before), expected, "{stamp:?}");
        }
    }
}
