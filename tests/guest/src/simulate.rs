//! Lets simulated programs act at their own times, one after the other on one thread, until the time is over.

use shm_proto::HostTime;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(20);

/// A program of the guest that writes into one region.
pub trait Simulator {
    /// One line: what it writes, and where.
    fn describe(&self) -> String;

    /// When it next wants to act. `None`: it has done everything.
    fn due(&self, now: HostTime) -> Option<HostTime>;

    /// Acts. Called at or after [`Simulator::due`].
    fn act(&mut self, now: HostTime) -> anyhow::Result<()>;

    /// Ends as the real program does when the guest shuts down.
    fn finish(&mut self, now: HostTime) -> anyhow::Result<()>;

    /// One line: what it has done so far.
    fn summary(&self) -> String;
}

/// The process's clock.
#[derive(Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that stands at zero now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time now.
    pub fn now(&self) -> HostTime {
        HostTime::ZERO + self.0.elapsed()
    }
}

/// Runs `simulators` until all have done everything, `length` is over (if there is one) or `stop` is set.
pub fn run(
    clock: &Clock,
    simulators: &mut [Box<dyn Simulator>],
    length: Option<Duration>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let end = length.map(|length| clock.now() + length);
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        if end.is_some_and(|end| now >= end) {
            break;
        }
        let dues = simulators.iter().enumerate().filter_map(|(n, s)| Some((s.due(now)?, n)));
        let Some((due, n)) = dues.min() else { break };
        if due <= now {
            simulators[n].act(now)?;
        } else {
            std::thread::sleep(due.since(now).min(NAP));
        }
    }
    for simulator in simulators {
        simulator.finish(clock.now())?;
    }
    Ok(())
}
