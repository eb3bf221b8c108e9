//! How long until another attempt after a stream or the server was lost. Pure; the caller passes the time.

use core::time::Duration;
use shm_proto::HostTime;

/// The pause between two attempts: at first, and at most. An attempt costs less than a millisecond, and sound has to be back
/// within a second.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_millis(400);
/// Losses that follow each other within so long are one trouble: the pauses grow.
const CALM: Duration = Duration::from_secs(3);

/// The pauses so far.
#[derive(Debug)]
pub(super) struct Retry {
    lost: Option<HostTime>,
    pause: Duration,
}

impl Retry {
    pub(super) const fn new() -> Retry {
        Retry { lost: None, pause: Duration::ZERO }
    }

    /// How long to wait after a loss at `now`. `lives`: the server does, and may have another device at once.
    pub(super) fn after(&mut self, now: HostTime, lives: bool) -> Duration {
        let again = self.lost.replace(now).is_some_and(|lost| now.since(lost) < CALM);
        self.pause = match (again, lives) {
            (true, _) => (2 * self.pause).clamp(FIRST, LAST),
            (false, true) => Duration::ZERO,
            (false, false) => FIRST,
        };
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses (ms) after losses that come so soon (ms) after the end of the last pause.
    fn pauses(lives: bool, soon_ms: u64, losses: usize) -> Vec<u128> {
        let (mut retry, mut now) = (Retry::new(), HostTime::from_ns(1));
        let mut lose = |_| {
            let pause = retry.after(now, lives);
            now = now + pause + Duration::from_millis(soon_ms);
            pause.as_millis()
        };
        (0..losses).map(&mut lose).collect()
    }

    #[test]
    fn the_first_loss_is_mended_at_once_and_the_pauses_between_further_ones_grow() {
        assert_eq!(pauses(true, 5, 7), [0, 50, 100, 200, 400, 400, 400]);
        assert_eq!(pauses(true, 2000, 4), [0, 50, 100, 200]);
        assert_eq!(pauses(false, 5, 5), [50, 100, 200, 400, 400]);
    }

    #[test]
    fn after_a_calm_everything_is_as_at_first() {
        assert_eq!(pauses(true, 3500, 3), [0, 0, 0]);
        assert_eq!(pauses(false, 3500, 3), [50, 50, 50]);
    }
}
