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

/// How many reasons the user is told at most.
const REASONS: u8 = 3;

/// Attempts to open one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    since: HostTime,
    at: HostTime,
    wait: Duration,
    /// The reason that the user was told last, and how many may follow.
    told: String,
    reasons_left: u8,
}

impl Retry {
    /// The first attempt failed at `now`.
    pub fn new(now: HostTime) -> Retry {
        Retry { since: now, at: now + STEPS.0, wait: STEPS.0, told: String::new(), reasons_left: REASONS }
    }

    /// When the next attempt is due.
    pub fn due(&self) -> HostTime {
        self.at
    }

    /// Another attempt failed at `now`, because of `why`. Whether the user should be told: once, when it has been tried
    /// often in vain, and again if it is something else then.
    pub fn failed(&mut self, now: HostTime, why: &str) -> bool {
        self.wait = (self.wait * 2).min(STEPS.1);
        let is_often = now.since(self.since) < OFTEN;
        self.at = now + if is_often { self.wait } else { SELDOM };
        let is_news = !is_often && self.reasons_left > 0 && self.told != why;
        if is_news {
            self.reasons_left -= 1;
            why.clone_into(&mut self.told);
        }
        is_news
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
    fn permissions_that_come_within_four_seconds_are_met_within_a_quarter_and_the_user_is_told_each_reason_once() {
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
            if retry.failed(now, "not yours") {
                told.push(now.since(start));
            }
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0] >= OFTEN && told[0] < OFTEN + STEPS.1, "{told:?}");
        assert!(attempts < 50, "{attempts} attempts in a minute");
        retry.hurry(now);
        assert_eq!(retry.due(), now);
        let changing = ["late", "late", "not yours", "late", "not yours"];
        assert_eq!(changing.map(|why| retry.failed(now, why)), [true, false, true, false, false]);
    }
}
