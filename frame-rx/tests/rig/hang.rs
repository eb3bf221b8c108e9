//! A thread that hangs, as if it stood behind an X server, a GPU or a disk that does: it alone is stopped.

use super::program::Program;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A thread that stands still. It goes on when this is dropped.
pub struct Hanging(pub Pid);

impl Hanging {
    /// Stops a thread of a child of this process, and it alone. Nothing, after saying so, where that is not allowed.
    pub fn stop(thread: Pid) -> Option<Hanging> {
        if let Err(error) = ptrace::seize(thread, ptrace::Options::empty()) {
            eprintln!("skipped: a thread cannot be stopped alone here: {error}");
            return None;
        }
        let hanging = Hanging(thread);
        ptrace::interrupt(thread).unwrap();
        let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(matches!(stopped, WaitStatus::PtraceEvent(..)), "{stopped:?}");
        Some(hanging)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None).is_err() {
            // Killed meanwhile: it is this thread's to bury, or its process would not end.
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
        }
    }
}

/// Stops the program's first thread, which draws, for as long as `act` takes.
pub fn while_it_draws_nothing<T>(program: &Program, act: impl FnOnce() -> T) -> Option<T> {
    // The thread has the process's number.
    let _hanging = Hanging::stop(Pid::from_raw(i32::try_from(program.id()).unwrap()))?;
    Some(act())
}
