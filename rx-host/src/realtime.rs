//! Asking for the rights that make sound and pictures punctual: thread priority, exact timers, memory that stays in RAM.
//!
//! All of it may be refused, and the program works all the same: each function says what was granted, and of what was
//! refused why, what it means and how to get it. A thread asks for itself, at its start. RTKit is not asked.

use core::fmt;
use core::num::NonZeroU64;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities, current_timer_slack, gettid, set_current_timer_slack};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Timer slack of threads that wait for a guest, in nanoseconds. With the default of 50 µs a sleep ends 64 to 80 µs late
/// in the median, with this 15 to 33 µs.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// Niceness that is tried where real-time scheduling is refused; what sound servers use by custom.
const FALLBACK_NICE: i32 = -11;

/// A right that was asked for, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It was given; what exactly.
    Yes(String),
    /// It was refused.
    No {
        /// What it was.
        what: &'static str,
        /// What the system said.
        why: String,
        /// What goes worse without it, and how to get it.
        consequence: String,
    },
}

impl Granted {
    /// Whether it was given.
    pub const fn is_yes(&self) -> bool {
        matches!(self, Granted::Yes(_))
    }
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Granted::Yes(what) => f.write_str(what),
            Granted::No { what, why, consequence } => write!(f, "no {what} ({why}): {consequence}"),
        }
    }
}

/// What one thread was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRights {
    /// The thread, as it is called in messages: `playout`.
    pub thread: &'static str,
    /// Its place in the queue for a processor.
    pub priority: Granted,
    /// How exactly its sleeps end.
    pub timers: Granted,
}

impl fmt::Display for ThreadRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} thread: {}; {}", self.thread, self.priority, self.timers)
    }
}

/// Asks for both rights of a real-time thread, for the calling thread: `priority` from 1 to 99 (sound servers' clients
/// use 10 to 60), and exact timers.
///
/// Never fails, never blocks, allocates. Call it once at the start of the thread.
pub fn ask_for_thread(thread: &'static str, priority: u8) -> ThreadRights {
    ThreadRights { thread, priority: ask_for_priority(priority), timers: ask_for_exact_timers() }
}

/// Asks for real-time scheduling (first in, first out) of the calling thread; else for a niceness below the usual.
pub fn ask_for_priority(priority: u8) -> Granted {
    let limit = getrlimit(Resource::Rtprio).current.unwrap_or(u64::MAX);
    let within = u8::try_from(limit).unwrap_or(u8::MAX).min(priority);
    let why = match set_fifo(priority) {
        Ok(()) => return Granted::Yes(format!("real-time priority {priority}")),
        Err(_) if within > 0 && within < priority && set_fifo(within).is_ok() => {
            return Granted::Yes(format!("real-time priority {within} (the limit)"));
        }
        Err(why) => why,
    };
    if setpriority_process(Some(gettid()), FALLBACK_NICE).is_ok() {
        return Granted::Yes(format!("niceness {FALLBACK_NICE} (real-time priority was refused: {why})"));
    }
    Granted::No {
        what: "real-time priority",
        why,
        consequence: "may stutter when the machine is busy; allow it with the line `@audio - rtprio 60` in \
                      /etc/security/limits.d/60-rx.conf and join the group audio"
            .into(),
    }
}

fn set_fifo(priority: u8) -> Result<(), String> {
    let value = ThreadPriorityValue::try_from(priority).map_err(|_| "priorities go from 1 to 99".to_owned())?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy).map_err(
        |e| match e {
            thread_priority::Error::OS(code) => std::io::Error::from_raw_os_error(code).to_string(),
            thread_priority::Error::PriorityNotInRange(_) => "priorities go from 1 to 99".into(),
            other => other.to_string(),
        },
    )
}

/// Asks for sleeps of the calling thread that end when they should.
pub fn ask_for_exact_timers() -> Granted {
    // The kernel takes the number and ignores it for some schedulers, so look at what became of it.
    match set_current_timer_slack(Some(TIMER_SLACK_NS)).and_then(|()| current_timer_slack()) {
        // A thread with real-time priority has no slack at all.
        Ok(slack_ns) if slack_ns <= TIMER_SLACK_NS.get() => Granted::Yes(format!("timer slack {slack_ns} ns")),
        Ok(slack_ns) => Granted::No {
            what: "exact timers",
            why: format!("the slack stays at {slack_ns} ns"),
            consequence: "waking up takes some 50 µs longer".into(),
        },
        Err(e) => Granted::No {
            what: "exact timers",
            why: e.to_string(),
            consequence: "waking up takes some 50 µs longer".into(),
        },
    }
}

/// Asks that memory of this process stays in RAM once it was used, now and later.
///
/// Only asked where no limit counts: under a limit the kernel would agree, and then refuse to map the next region.
pub fn ask_for_locked_memory() -> Granted {
    let refused = |why: String| Granted::No {
        what: "locked memory",
        why,
        consequence: "may stutter when memory is short; allow it with the line `@audio - memlock unlimited` in \
                      /etc/security/limits.d/60-rx.conf and join the group audio"
            .into(),
    };
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    if !unlimited && !has(CapabilitySet::IPC_LOCK) {
        let limit = getrlimit(Resource::Memlock).current.unwrap_or(0);
        return refused(format!("the limit is {}", crate::settings::units::ByteSize(limit)));
    }
    // On fault: pages are locked when they are first used, not fetched now; libraries stay as small as they are.
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => Granted::Yes("memory locked".into()),
        Err(e) => refused(e.to_string()),
    }
}

/// Whether this thread has a capability in effect.
fn has(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Whether real-time priority `priority` would be granted; for the doctor. An error names the limit.
pub(crate) fn priority_is_allowed(priority: u8) -> Result<(), u64> {
    let limit = getrlimit(Resource::Rtprio).current.unwrap_or(u64::MAX);
    if limit >= u64::from(priority) || has(CapabilitySet::SYS_NICE) { Ok(()) } else { Err(limit) }
}

/// Whether memory may be locked without a limit; for the doctor. An error names the limit in bytes.
pub(crate) fn locking_is_allowed() -> Result<(), u64> {
    match getrlimit(Resource::Memlock).current {
        Some(limit) if !has(CapabilitySet::IPC_LOCK) => Err(limit),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;
    use std::thread;
    use thread_priority::thread_schedule_policy;

    fn in_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
        thread::scope(|s| s.spawn(f).join().unwrap())
    }

    #[test]
    fn what_is_granted_is_what_the_kernel_does() {
        let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let (rights, policy, nice, slack) = in_a_thread(|| {
            let rights = ask_for_thread("test", 20);
            let nice = getpriority_process(Some(gettid())).unwrap();
            (rights, thread_schedule_policy().unwrap(), nice, current_timer_slack().unwrap())
        });
        match &rights.priority {
            Granted::Yes(what) if what.starts_with("real-time priority") => assert_eq!(policy, fifo, "{what}"),
            Granted::Yes(what) => assert_eq!(nice, FALLBACK_NICE, "{what}"),
            Granted::No { .. } => assert!(policy != fifo && nice >= 0, "{rights}"),
        }
        assert!(rights.timers.is_yes() && slack <= 1, "{rights}");
    }

    #[test]
    fn a_thread_without_real_time_priority_gets_exact_timers() {
        let (before, granted, after) = in_a_thread(|| {
            let before = current_timer_slack().unwrap();
            (before, ask_for_exact_timers(), current_timer_slack().unwrap())
        });
        assert_eq!((granted, after), (Granted::Yes("timer slack 1 ns".into()), 1), "before: {before}");
    }

    #[test]
    fn priorities_out_of_range_are_refused_in_words() {
        for priority in [0, 100, 255] {
            let granted = in_a_thread(|| ask_for_priority(priority));
            assert!(!granted.to_string().starts_with("real-time priority"), "{granted}");
        }
        assert_eq!(set_fifo(0).unwrap_err(), "priorities go from 1 to 99");
    }

    #[test]
    fn a_refusal_says_what_it_means() {
        let no = Granted::No { what: "wings", why: "gravity".into(), consequence: "walks".into() };
        assert_eq!(no.to_string(), "no wings (gravity): walks");
        assert!(!no.is_yes());
    }
}
