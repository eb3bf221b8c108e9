//! When to open a GPU again that was lost (its driver reset it, it was unplugged, the display server let the window go): soon,
//! then less and less often, and not for ever. Pure: the caller passes the time.

use core::time::Duration;
use shm_proto::HostTime;

/// Before the first try: a driver that resets its GPU needs some time itself.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(5);
/// A GPU that was lost again and again for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A GPU that has worked for so long is as good as new.
const CALM: Duration = Duration::from_secs(10);

/// The tries so far.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    begun: Option<HostTime>,
    opened: Option<HostTime>,
    wait: Duration,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery { begun: None, opened: None, wait: FIRST }
    }
}

impl Recovery {
    /// It was lost, or could not be opened. When to try again; nothing to give it up.
    pub fn failed(&mut self, now: HostTime) -> Option<HostTime> {
        if self.opened.is_some_and(|at| now.since(at) >= CALM) {
            *self = Recovery::default();
        }
        self.opened = None;
        let begun = *self.begun.get_or_insert(now);
        if now.since(begun) >= PATIENCE {
            return None;
        }
        let at = now + self.wait;
        self.wait = (self.wait * 2).min(LONGEST);
        Some(at)
    }

    /// It was opened.
    pub fn opened(&mut self, now: HostTime) {
        self.opened = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> HostTime {
        HostTime::from_ns(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn tries_come_soon_at_first_and_end_after_a_minute() {
        let mut recovery = Recovery::default();
        let (mut now, mut tries) = (ms(0), Vec::new());
        while let Some(at) = recovery.failed(now) {
            tries.push(at.since(now).as_millis());
            now = at;
        }
        assert_eq!(tries[..7], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert!((60..=66).contains(&now.since(ms(0)).as_secs()), "given up after {:?}", now.since(ms(0)));
    }

    #[test]
    fn a_gpu_that_worked_for_a_while_is_as_good_as_new() {
        let mut recovery = Recovery::default();
        for hour in 0..100 {
            let now = ms(hour * 3_600_000);
            assert_eq!(recovery.failed(now), Some(now + FIRST));
            recovery.opened(now + FIRST);
        }
    }

    #[test]
    fn one_that_is_lost_whenever_it_was_opened_is_given_up_too() {
        let mut recovery = Recovery::default();
        let mut now = ms(0);
        let mut losses = 0;
        while let Some(at) = recovery.failed(now) {
            recovery.opened(at);
            now = at + Duration::from_millis(50);
            losses += 1;
        }
        assert!((10..30).contains(&losses), "{losses} losses in a minute");
    }
}
