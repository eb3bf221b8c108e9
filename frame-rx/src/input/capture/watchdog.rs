//! The dead man's switch: should the input's thread hang while it has the host's devices, or an X server's keyboard, nobody
//! could use keyboard and mouse any more. So another thread looks whether it still turns, and ends the process if it does
//! not: the kernel gives the devices back, the server the keyboard. The decision is pure; a process that is stopped as a
//! whole is beyond its reach.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use rustix::process::{Signal, getpid, kill_process};
use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use std::sync::{Arc, Weak};

/// How long the thread may not turn while it has something.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// The same while the thread has nothing.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// What the thread tells with each turn of its loop.
#[derive(Debug, Default)]
pub(super) struct Beat {
    turns: AtomicU64,
    held: AtomicUsize,
    has_keyboard: AtomicBool,
}

impl Beat {
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_held(&self, devices: usize) {
        self.held.store(devices, Ordering::Relaxed);
    }

    /// An X server's keyboard is the guest's alone, or not any more.
    pub(super) fn set_keyboard(&self, is_held: bool) {
        self.has_keyboard.store(is_held, Ordering::Relaxed);
    }

    fn holds(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0 || self.has_keyboard.load(Ordering::Relaxed)
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
    /// Blocks. Kills the process if the thread hangs with devices or a keyboard in its hands.
    pub fn run(mut self, stop: &Stop) {
        while let Some(beat) = self.beat.upgrade() {
            let (turns, holds) = (beat.turns.load(Ordering::Relaxed), beat.holds());
            drop(beat);
            if self.judge.is_dead(clock::now(), turns, holds) {
                rx_host::term::write_lines("frame-rx: the input hangs: ended, so that you have keyboard and mouse\n");
                let _ = kill_process(getpid(), Signal::KILL);
            }
            if stop.is_requested() {
                clock::sleep_until(clock::now() + LOOK / 10);
            } else {
                stop.wait(if holds { LOOK } else { IDLE_LOOK });
            }
        }
    }
}

/// Whether somebody who should turn does. A look counts for as long as there should be between two: what passed while the
/// whole process was stopped is nobody's silence.
#[derive(Debug, Default)]
struct Judge {
    turns: u64,
    looked: HostTime,
    silence: Duration,
}

impl Judge {
    fn is_dead(&mut self, now: HostTime, turns: u64, holds: bool) -> bool {
        let passed = now.since(core::mem::replace(&mut self.looked, now)).min(LOOK);
        let is_silent = core::mem::replace(&mut self.turns, turns) == turns && holds;
        self.silence = if is_silent { self.silence + passed } else { Duration::ZERO };
        self.silence >= SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the judge, who looks four times a second, finds dead: `turns` and `holds` at each millisecond.
    fn dies_at(ends_ms: u64, turns: impl Fn(u64) -> u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
        let mut judge = Judge::default();
        let start = HostTime::from_ns(1_000_000_000);
        (0..ends_ms).step_by(250).find(|ms| judge.is_dead(start + Duration::from_millis(*ms), turns(*ms), holds(*ms)))
    }

    #[test]
    fn a_thread_that_stops_turning_with_devices_in_its_hands_is_dead_after_two_seconds() {
        assert_eq!(dies_at(60_000, |ms| 1 + ms / 1900, |_| true), None, "it turns");
        assert_eq!(dies_at(60_000, |_| 7, |_| false), None, "it holds nothing");
        assert_eq!(dies_at(60_000, |ms| 1 + ms.min(5000), |_| true), Some(7000));
        assert_eq!(dies_at(60_000, |_| 7, |ms| ms >= 9000), Some(10_750), "counted from when it had them");
    }

    #[test]
    fn a_process_that_was_stopped_is_not_dead_when_it_goes_on() {
        let mut judge = Judge::default();
        let start = HostTime::from_ns(1_000_000_000);
        assert!(!judge.is_dead(start, 1, true));
        for n in 1..8 {
            assert!(!judge.is_dead(start + Duration::from_secs(3600 * n), 1, true), "{n}");
        }
        assert!(judge.is_dead(start + Duration::from_secs(3600 * 8), 1, true), "but it should turn by then");
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
