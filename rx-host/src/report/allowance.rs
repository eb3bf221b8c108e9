//! How many lines somebody who is not to be trusted can make a program say: some at once, then one now and then. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    most: u32,
    each: Duration,
    left: u32,
    /// Up to when what came back was counted.
    since: HostTime,
}

impl Allowance {
    /// `most` lines at once; one comes back in each `each`.
    pub fn new(most: u32, each: Duration) -> Allowance {
        Allowance { most, each, left: most, since: HostTime::ZERO }
    }

    /// Whether a line may be said at `now`; then it counts as said.
    pub fn take(&mut self, now: HostTime) -> bool {
        let back = now.since(self.since).as_nanos() / self.each.as_nanos().max(1);
        if back > 0 {
            self.left = self.left.saturating_add(u32::try_from(back).unwrap_or(u32::MAX)).min(self.most);
            self.since = now;
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_come_at_once_and_then_one_now_and_then() {
        let mut lines = Allowance::new(3, Duration::from_secs(5));
        let at = |ms: u64| HostTime::from_ns(1_000_000_000_000 + ms * 1_000_000);
        let said = |lines: &mut Allowance, ms: core::ops::Range<u64>| ms.filter(|ms| lines.take(at(*ms))).count();
        assert_eq!(said(&mut lines, 0..1000), 3);
        assert_eq!(said(&mut lines, 1000..61_000), 12);
        // After a rest there are as many as at first, and no more.
        assert_eq!(said(&mut lines, 600_000..601_000), 3);
        // A clock that goes back gives nothing.
        assert_eq!(said(&mut lines, 0..1000), 0);
    }
}
