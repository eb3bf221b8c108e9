//! The dead man's switch: should the input's thread hang while it has the host's devices, nobody could use keyboard and
//! mouse any more. So another thread looks whether it still turns, and ends the process if it does not: the kernel gives
//! the devices back. The decision is pure; a process that is stopped as a whole is beyond its reach.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use rustix::process::{Signal, getpid, kill_process};
use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use std::sync::{Arc, Weak};

/// How long the thread may not turn while it has devices.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What the thread tells with each turn of its loop.
#[derive(Debug, Default)]
pub(super) struct Beat {
    turns: AtomicU64,
    held: AtomicUsize,
}

impl Beat {
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_held(&self, devices: usize) {
        self.held.store(devices, Ordering::Relaxed);
    }
}

/// Looks at the thread. [`Watchdog::run`] is its whole life.
#[derive(Debug)]
pub struct Watchdog {
    beat: Weak<Beat>,
    judge: Judge,
}

impl Watchdog {
    pub(super) fn new(beat: &Arc<Beat>) -> Watchdog {
        Watchdog { beat: Arc::downgrade(beat), judge: Judge::default() }
    }

    /// Watches until the input's thread has ended, which may be a moment after the stop that was asked for.
    ///
    /// Blocks. Kills the process if the thread hangs with devices in its hands.
    pub fn run(mut self, stop: &Stop) {
        while let Some(beat) = self.beat.upgrade() {
            let (turns, held) = (beat.turns.load(Ordering::Relaxed), beat.held.load(Ordering::Relaxed));
            drop(beat);
            if self.judge.is_dead(clock::now(), turns, held > 0) {
                rx_host::term::write_lines("frame-rx: the input hangs: ended, so that you have keyboard and mouse\n");
                let _ = kill_process(getpid(), Signal::KILL);
            }
            if stop.is_requested() {
                clock::sleep_until(clock::now() + LOOK / 10);
            } else {
                stop.wait(LOOK);
            }
        }
    }
}

/// Whether somebody who should turn does.
#[derive(Debug, Default)]
struct Judge {
    seen: Option<(u64, HostTime)>,
}

impl Judge {
    fn is_dead(&mut self, now: HostTime, turns: u64, holds: bool) -> bool {
        match self.seen {
            Some((seen, since)) if seen == turns && holds => now.since(since) >= SILENCE,
            _ => {
                self.seen = Some((turns, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stops_turning_with_devices_in_its_hands_is_dead_after_two_seconds() {
        let mut judge = Judge::default();
        let at = |ms| HostTime::from_ns(1_000_000_000) + Duration::from_millis(ms);
        for (ms, turns, holds, dead) in [
            (0, 1, true, false),
            (1900, 1, true, false),
            (2000, 2, true, false),
            (3999, 2, true, false),
            (4001, 2, true, true),
            // Without devices it may sleep as it likes, and the time counts from when it has them.
            (5000, 2, false, false),
            (9000, 2, false, false),
            (9500, 2, true, false),
            (11_001, 2, true, true),
        ] {
            assert_eq!(judge.is_dead(at(ms), turns, holds), dead, "{ms}");
        }
    }

    #[test]
    fn the_watch_ends_with_the_thread() {
        let stop = Stop::new().unwrap();
        let beat = Arc::new(Beat::default());
        let watchdog = Watchdog::new(&beat);
        beat.turn();
        drop(beat);
        watchdog.run(&stop);
    }
}
