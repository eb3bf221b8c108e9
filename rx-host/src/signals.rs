//! Signals as values: SIGINT and SIGTERM ask for a stop, SIGHUP for a reload, or for a stop where there is nothing to read
//! again or the terminal is gone that the program was started on. No thread is needed to hear them.
//!
//! What a user meets: the first Ctrl-C (or SIGTERM) ends the program cleanly, so that grabbed devices are given back and
//! the guest's keys are let go. A further Ctrl-C, once that clean end is under way, exits at once with code 130; should
//! a clean end ever hang, the user gets the shell back. Not before: `timeout` and some shells send the same signal twice
//! within microseconds, and that must not skip the clean end. A repeated SIGTERM never cuts a clean end short (a service
//! manager has SIGKILL for that), and SIGQUIT (Ctrl-\) is left alone.

use crate::clock;
use crate::wait::{self, Bell};
use shm_proto::HostTime;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level::pipe};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Exit code of a second Ctrl-C: 128 + the number of SIGINT, as shells count it.
const EXIT_INTERRUPTED: i32 = 130;

/// Whether the program shall end. Cheap to clone; every thread has one. Once set it stays set.
#[derive(Clone, Debug)]
pub struct Stop(Arc<StopState>);

#[derive(Debug)]
struct StopState {
    asked: Arc<AtomicBool>,
    /// Somebody saw it, so the clean end is under way: from now on Ctrl-C exits at once.
    seen: Arc<AtomicBool>,
    latch: Bell,
}

impl Stop {
    /// A stop that no signal sets. For tests and for parts that end by themselves.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Stop> {
        Ok(Stop(Arc::new(StopState { asked: Arc::default(), seen: Arc::default(), latch: Bell::new()? })))
    }

    /// Whether the program shall end.
    ///
    /// Real-time safe: one load.
    pub fn is_requested(&self) -> bool {
        // Relaxed: nothing is handed over with the flag; threads are joined afterwards.
        let asked = self.0.asked.load(Ordering::Relaxed);
        if asked && !self.0.seen.load(Ordering::Relaxed) {
            self.0.seen.store(true, Ordering::Relaxed);
        }
        asked
    }

    /// Asks for the end, as Ctrl-C does; wakes all waits. For a window that was closed, `--seconds` that are over, or a
    /// thread that cannot go on.
    pub fn request(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.latch.ring();
    }

    /// Waits for `timeout` or until a stop is asked for, whichever is first. Whether the program shall end.
    ///
    /// Blocks. Real-time safe: one system call, no allocation.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.wait_until(clock::now() + timeout)
    }

    /// As [`Stop::wait`], until an instant.
    pub fn wait_until(&self, at: HostTime) -> bool {
        if !self.is_requested() {
            wait::until([self.as_fd()], at);
        }
        self.is_requested()
    }
}

/// Readable as soon as a stop is asked for, and ever after. For event loops; nobody reads it.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.latch.as_fd()
    }
}

/// Asks for a stop when it is dropped: a thread that holds one cannot end, or panic, unnoticed.
#[derive(Debug)]
pub struct StopOnDrop(pub Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Wakes whoever waits in [`Signals::wait`]: a thread tells the main thread that there is something to look at.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// Wakes the wait that is going on, or the next one. Several wakes may be told as one, and one wake twice.
    ///
    /// Never blocks: one system call.
    pub fn wake(&self) {
        self.0.ring();
    }
}

/// Why [`Signals::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The program shall end.
    Stop,
    /// SIGHUP came: read the settings again.
    Reload,
    /// A [`Waker`] was used.
    Wake,
    /// The time is over.
    Timeout,
}

/// The signals of the process, heard. Made once, in `main`, before threads are spawned.
#[derive(Debug)]
pub struct Signals {
    stop: Stop,
    reload: Arc<AtomicBool>,
    bell: Arc<Bell>,
    /// Started on a terminal and not to outlive it: a SIGHUP without it is its end.
    ends_with_terminal: bool,
}

impl Signals {
    /// Hears SIGINT, SIGTERM and SIGHUP from now on, for the rest of the process. SIGXFSZ ends it no more.
    ///
    /// A SIGHUP asks for a reload, but for the end once the terminal is gone that the program was started on. One that was
    /// started with SIGHUP ignored, as by `nohup`, stays.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn install() -> io::Result<Signals> {
        let mut signals = Signals::hear(&[SIGINT, SIGTERM])?;
        signals.ends_with_terminal = has_terminal() == Some(true) && !is_ignored(SIGHUP);
        flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        pipe::register(SIGHUP, signals.bell.ringer()?)?;
        Ok(signals)
    }

    /// As [`Signals::install`], for programs that have nothing to read again: SIGHUP asks for the end, since a terminal
    /// that is closed takes its programs with it. One that was started with SIGHUP ignored, as by `nohup`, stays.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn install_without_reload() -> io::Result<Signals> {
        let ending = if is_ignored(SIGHUP) { &[SIGINT, SIGTERM][..] } else { &[SIGINT, SIGTERM, SIGHUP] };
        Signals::hear(ending)
    }

    fn hear(ending: &[i32]) -> io::Result<Signals> {
        let stop = Stop::new()?;
        let bell = Arc::new(Bell::new()?);
        let signals = Signals { stop, reload: Arc::default(), bell, ends_with_terminal: false };
        let state = &signals.stop.0;
        // Actions run in the order they are registered: the exit looks at the flag before this very signal sets it.
        flag::register_conditional_shutdown(SIGINT, EXIT_INTERRUPTED, Arc::clone(&state.seen))?;
        for signal in ending {
            flag::register(*signal, Arc::clone(&state.asked))?;
            pipe::register(*signal, state.latch.ringer()?)?;
        }
        // Heard by nobody; but not fatal any more, so that a write past the limit on file sizes is an error like others.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(signals)
    }

    /// The stop that SIGINT and SIGTERM ask for.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// A way for threads to end a [`Signals::wait`].
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.bell))
    }

    /// Whether SIGHUP came since the last call, to ask for a reload. One that tells of a terminal that is gone asks for a
    /// stop instead.
    ///
    /// Reads from `/proc` if one came. For the main thread.
    pub fn take_reload(&self) -> bool {
        let came = self.reload.swap(false, Ordering::Relaxed);
        // The kernel takes the terminal away before it sends the signal.
        if came && self.ends_with_terminal && has_terminal() == Some(false) {
            self.stop.request();
            return false;
        }
        came
    }

    /// Forgets all rings so far, of a reload and of wakers. For loops that wait for the descriptor of this among others.
    pub fn clear(&self) {
        self.bell.clear();
    }

    /// Waits for `timeout` at most: the main thread's loop. A stop is told before a reload, a reload before a wake.
    ///
    /// Blocks.
    pub fn wait(&self, timeout: Duration) -> Woken {
        let deadline = clock::now() + timeout;
        if let Some(woken) = self.pending() {
            return woken;
        }
        let [_, rung] = wait::until([self.stop.as_fd(), self.bell.as_fd()], deadline);
        // A reload leaves the bell rung: should a waker have rung too, the next wait tells it.
        self.pending().unwrap_or_else(|| {
            if rung {
                self.bell.clear();
                Woken::Wake
            } else {
                Woken::Timeout
            }
        })
    }

    fn pending(&self) -> Option<Woken> {
        let reload = self.take_reload();
        if self.stop.is_requested() { Some(Woken::Stop) } else { reload.then_some(Woken::Reload) }
    }
}

/// Whether this process ignores `signal`, as whoever started it wanted. Source: proc(5), `SigIgn`, bit 0 for signal 1.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether this process has a controlling terminal, if that can be told. Source: proc_pid_stat(5), field 7; the name in
/// field 2 ends with the last parenthesis.
fn has_terminal() -> Option<bool> {
    let stat = std::fs::read("/proc/self/stat").ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let number: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?.parse().ok()?;
    Some(number != 0)
}

/// Readable after a reload was asked for or a [`Waker`] was used, until [`Signals::clear`].
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_stop_ends_the_waits_of_all_threads() {
        let stop = Stop::new().unwrap();
        let waiting: Vec<_> = (0..4).map(|_| (stop.clone(), LONG)).collect();
        thread::scope(|s| {
            let waits: Vec<_> = waiting.iter().map(|(stop, long)| s.spawn(|| stop.wait(*long))).collect();
            stop.request();
            assert!(waits.into_iter().all(|w| w.join().unwrap()));
        });
        assert!(stop.wait(LONG), "it stays set");
        assert!(stop.wait_until(HostTime::from_ns(u64::MAX)));
    }

    #[test]
    fn a_wait_without_a_stop_ends_in_time() {
        let stop = Stop::new().unwrap();
        assert!(!stop.wait(Duration::from_millis(1)));
        assert!(!stop.is_requested());
    }

    #[test]
    fn a_thread_that_panics_asks_for_a_stop() {
        let stop = Stop::new().unwrap();
        let guard = StopOnDrop(stop.clone());
        let thread = thread::spawn(move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new("as if it panicked"));
        });
        assert!(stop.wait(LONG));
        assert!(thread.join().is_err());
    }
}
