//! How much a server shall hold: as little as was asked for, until it runs empty again and again; less again after a calm. On a
//! machine that leaves this program no real-time rights a short buffer is worth nothing, and nobody can know that before.
//! Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// It grows when it ran empty so often within so long.
const TIMES: u32 = 2;
const WITHIN: Duration = Duration::from_secs(10);
/// One that ran empty so shortly after the last time did so for the same reason.
const SAME: Duration = Duration::from_millis(250);
/// It comes down a step after so long without running empty; twice as long after a step that was too much, and again, up to
/// the last.
const CALM: Duration = Duration::from_secs(180);
const LONGEST_CALM: Duration = Duration::from_secs(5760);
/// No sound server needs more.
pub(super) const MOST: Duration = Duration::from_millis(60);

/// The room on the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    usual: Duration,
    whole: Duration,
    times: u32,
    since: Option<HostTime>,
    last: Option<HostTime>,
    /// When it last changed, after how much calm it comes down, and whether it came down last.
    changed: Option<HostTime>,
    calm: Duration,
    came_down: bool,
}

impl Room {
    /// Room for `usual`.
    pub(super) fn new(usual: Duration) -> Room {
        let never = None;
        Room { usual, whole: usual, times: 0, since: never, last: never, changed: never, calm: CALM, came_down: false }
    }

    /// It ran empty. How much it shall hold from now on, if that is more than before.
    pub(super) fn ran_empty(&mut self, now: HostTime) -> Option<Duration> {
        let same = self.last.replace(now).is_some_and(|last| now.since(last) < SAME);
        if same {
            return None;
        }
        if self.since.is_none_or(|since| now.since(since) > WITHIN) {
            (self.times, self.since) = (0, Some(now));
        }
        self.times += 1;
        if self.times < TIMES || self.whole >= MOST {
            return None;
        }
        (self.times, self.since) = (0, None);
        if core::mem::take(&mut self.came_down) && self.changed.is_some_and(|at| now.since(at) < self.calm) {
            self.calm = (2 * self.calm).min(LONGEST_CALM);
        }
        self.changed = Some(now);
        self.whole = (self.whole * 3 / 2).min(MOST.max(self.usual));
        Some(self.whole)
    }

    /// It did not run empty lately. How much it shall hold from now on, if that is less than before.
    pub(super) fn went_well(&mut self, now: HostTime) -> Option<Duration> {
        let latest = self.last.max(self.changed)?;
        if self.whole <= self.usual || now.since(latest) < self.calm {
            return None;
        }
        (self.changed, self.came_down) = (Some(now), true);
        self.whole = (self.whole * 2 / 3).max(self.usual);
        Some(self.whole)
    }

    /// Nothing sounds, so nothing is heard of a change: back to what was asked for. How much that is, if it is a change.
    pub(super) fn settle(&mut self) -> Option<Duration> {
        let grown = self.whole != self.usual;
        *self = Room::new(self.usual);
        grown.then_some(self.usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(ms * 1_000_000)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn room_that_runs_empty_again_and_again_grows_to_a_limit_and_comes_back_in_silence() {
        let mut room = Room::new(ms(16));
        assert_eq!(room.ran_empty(at(0)), None, "once is no reason");
        assert_eq!(room.ran_empty(at(100)), None, "nor is the same once more");
        assert_eq!(room.ran_empty(at(20_000)), None, "nor is once in a while");
        assert_eq!(room.ran_empty(at(25_000)), Some(ms(24)));
        assert_eq!((room.ran_empty(at(26_000)), room.ran_empty(at(27_000))), (None, Some(ms(36))));
        let grown: Vec<_> = (28..90).filter_map(|s| room.ran_empty(at(s * 1000))).collect();
        assert_eq!(grown, [ms(54), ms(60)]);
        assert_eq!((room.settle(), room.whole, room.settle()), (Some(ms(16)), ms(16), None));
    }

    #[test]
    fn grown_room_comes_down_step_by_step_after_a_calm_and_later_after_a_step_too_far() {
        let mut room = Room::new(ms(16));
        let grow = |room: &mut Room, s: u64| (0..4).filter_map(|k| room.ran_empty(at((s + k) * 1000))).last();
        assert_eq!(grow(&mut room, 0), Some(ms(36)));
        let downs = |room: &mut Room, from: u64| -> Vec<(u64, Duration)> {
            (from..from + 800).filter_map(|s| room.went_well(at(s * 1000)).map(|d| (s - from, d))).collect()
        };
        assert_eq!(downs(&mut room, 3), [(180, ms(24)), (360, ms(16))]);
        // The last step was long ago; one that is not makes the next wait.
        assert_eq!(grow(&mut room, 1000), Some(ms(36)));
        assert_eq!(room.went_well(at(1_200_000)), Some(ms(24)));
        assert_eq!(grow(&mut room, 1210), Some(ms(54)));
        assert_eq!(downs(&mut room, 1213)[0], (360, ms(36)));
    }

    #[test]
    fn room_that_was_asked_to_be_larger_than_the_limit_stays_as_it_is() {
        let mut room = Room::new(ms(100));
        assert!((0..50).all(|s| room.ran_empty(at(s * 1000)).is_none()));
        assert_eq!(room.whole, ms(100));
    }
}
