//! Whether the producer lives: its timestamp must change. Pure; the two clocks are never compared, only "changed or not".

use crate::time::HostTime;
use core::time::Duration;

/// A timestamp that stood still for this long means that there is no producer. Source: LGMP, the alive rule. Producers
/// move it every 10 ms (version 6) or every 250 ms (10 and later).
pub const ALIVE_FOR: Duration = Duration::from_millis(1000);

/// The last timestamp seen and when it changed.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    last: u64,
    changed_at: HostTime,
}

impl Heartbeat {
    /// Starts watching; the first value proves nothing, a stopped producer leaves one too.
    pub const fn new(timestamp: u64, now: HostTime) -> Heartbeat {
        Heartbeat { last: timestamp, changed_at: now }
    }

    /// Takes note of the timestamp; whether it changed since the last time.
    pub fn observe(&mut self, timestamp: u64, now: HostTime) -> bool {
        let changed = timestamp != self.last;
        if changed {
            self.last = timestamp;
            self.changed_at = now;
        }
        changed
    }

    /// Whether the last change is recent enough. Observe first: a viewer that was itself stopped for a while must look
    /// before it judges.
    pub fn is_alive(&self, now: HostTime) -> bool {
        self.still_for(now) < ALIVE_FOR
    }

    /// How long the timestamp has been standing still.
    pub fn still_for(&self, now: HostTime) -> Duration {
        now.since(self.changed_at)
    }

    /// The last timestamp seen, producer's milliseconds.
    pub const fn timestamp(&self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_change_counts_not_the_value() {
        let ms = |n| HostTime::ZERO + Duration::from_millis(n);
        let mut h = Heartbeat::new(u64::MAX, ms(0));
        assert!(!h.observe(u64::MAX, ms(10)));
        assert!(h.observe(0, ms(20)), "a clock that starts anew has changed");
        assert!(h.is_alive(ms(1019)));
        assert!(!h.is_alive(ms(1020)));
    }

    #[test]
    fn a_viewer_that_slept_looks_before_it_judges() {
        let mut h = Heartbeat::new(1, HostTime::ZERO);
        let late = HostTime::ZERO + Duration::from_secs(60);
        assert!(h.observe(2, late) && h.is_alive(late));
    }
}
