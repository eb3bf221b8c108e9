//! When to try again to open a device that could not be opened: soon at first, since its permissions are often set just
//! after it appears, then seldom. Pure: time comes as an argument.

use core::time::Duration;
use shm_proto::HostTime;

/// Between the first two attempts; it doubles up to the second.
const STEPS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How long it is tried often: as long as a slow machine's udev takes.
const OFTEN: Duration = Duration::from_secs(4);
/// Between attempts after that; a change of the permissions is told by the kernel anyway.
const SELDOM: Duration = Duration::from_secs(5);

/// Attempts to open one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    since: HostTime,
    at: HostTime,
    wait: Duration,
    is_told: bool,
}

impl Retry {
    /// The first attempt failed at `now`.
    pub fn new(now: HostTime) -> Retry {
        Retry { since: now, at: now + STEPS.0, wait: STEPS.0, is_told: false }
    }

    /// When the next attempt is due.
    pub fn due(&self) -> HostTime {
        self.at
    }

    /// Another attempt failed at `now`. Whether the user should be told: once, when it has been tried often in vain.
    pub fn failed(&mut self, now: HostTime) -> bool {
        self.wait = (self.wait * 2).min(STEPS.1);
        let is_often = now.since(self.since) < OFTEN;
        self.at = now + if is_often { self.wait } else { SELDOM };
        !is_often && !core::mem::replace(&mut self.is_told, true)
    }

    /// Something changed about the device: the next attempt is due at once.
    pub fn hurry(&mut self, now: HostTime) {
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_that_come_within_four_seconds_are_met_within_a_quarter_and_the_user_is_told_once() {
        let start = HostTime::from_ns(1_000_000_000_000);
        let mut retry = Retry::new(start);
        let (mut now, mut told, mut last, mut attempts) = (start, Vec::new(), start, 0);
        while now.since(start) < Duration::from_secs(60) {
            assert!(retry.due() > now, "it comes nearer");
            now = retry.due();
            attempts += 1;
            if now.since(start) < OFTEN {
                assert!(now.since(last) <= STEPS.1);
            }
            last = now;
            if retry.failed(now) {
                told.push(now.since(start));
            }
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0] >= OFTEN && told[0] < OFTEN + STEPS.1, "{told:?}");
        assert!(attempts < 50, "{attempts} attempts in a minute");
        retry.hurry(now);
        assert_eq!(retry.due(), now);
    }
}
