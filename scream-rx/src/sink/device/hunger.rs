//! Whether a device runs empty so often that its pieces are too short for it: some cards take sound in far longer gulps than
//! they say, and some machines let a thread wait. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// So many times in a row is too often.
const MOST: f64 = 20.0;
/// Once in so long is borne: whoever was stopped, or lost its processor, for a moment.
const BORNE: Duration = Duration::from_secs(4);

/// How often a device ran empty lately.
#[derive(Debug)]
pub(super) struct Hunger {
    /// What had been counted at the last look.
    counted: u64,
    looked: HostTime,
    /// What was counted, less what is borne meanwhile.
    level: f64,
}

impl Hunger {
    /// Of a device that is opened at `now`, when `counted` stumbles of those before it had been counted.
    pub(super) fn new(now: HostTime, counted: u64) -> Hunger {
        Hunger { counted, looked: now, level: 0.0 }
    }

    /// Looks at `now`, when `counted` have been counted: whether it is too much.
    pub(super) fn is_too_much(&mut self, now: HostTime, counted: u64) -> bool {
        let new = counted.saturating_sub(core::mem::replace(&mut self.counted, counted));
        let since = now.since(core::mem::replace(&mut self.looked, now));
        self.level = (self.level - since.as_secs_f64() / BORNE.as_secs_f64()).max(0.0) + new as f64;
        self.level >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds of running empty every `every_ms` it is too much, if it is within an hour.
    fn too_much_after(every_ms: u64) -> Option<u64> {
        let at = |ms: u64| HostTime::from_ns(1_000_000 * (7 + ms));
        let mut hunger = Hunger::new(at(0), 5);
        let looks = (0..3_600_000).step_by(50);
        looks.into_iter().find(|ms| hunger.is_too_much(at(*ms), 5 + ms / every_ms)).map(|ms| ms / 1000)
    }

    #[test]
    fn a_device_that_runs_empty_on_and_on_is_found_out_and_one_that_is_held_up_now_and_then_is_not() {
        assert_eq!(too_much_after(20), Some(0));
        assert_eq!(too_much_after(1_000), Some(27));
        assert_eq!(too_much_after(5_000), None);
        assert_eq!(too_much_after(600_000), None);
    }

    #[test]
    fn a_few_at_once_are_borne() {
        let mut hunger = Hunger::new(HostTime::ZERO, 0);
        assert!(!hunger.is_too_much(HostTime::from_ns(1), 15));
        assert!(!hunger.is_too_much(HostTime::from_ns(60_000_000_000), 25));
        assert!(hunger.is_too_much(HostTime::from_ns(60_000_000_001), 36));
    }
}
