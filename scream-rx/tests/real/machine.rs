//! How well the machine itself keeps time while something is tested: for how long it held up threads that do nothing but
//! look at the clock. A virtual machine's host takes processors away for tens of milliseconds at times; no program plays
//! through that, and a simulated guest, whose thread is an ordinary one, is late whenever these are.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::thread::{CpuSet, sched_setaffinity};
use rx_host::clock;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(1);

/// One thread on each processor, which sleeps and looks at the clock, until [`Watch::end`] or the value goes.
pub struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Watch {
    pub fn start() -> Watch {
        let stop = Arc::<AtomicBool>::default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..processors).map(|n| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || watch(n, &stop))
        });
        Watch { threads: threads.collect(), stop }
    }

    /// The longest time by which a sleep was over later than it should have been.
    pub fn end(mut self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        core::mem::take(&mut self.threads).into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(processor: usize, stop: &AtomicBool) -> Duration {
    let mut set = CpuSet::new();
    set.set(processor);
    // Whoever may not run there sees how it is where it may.
    let _ = sched_setaffinity(None, &set);
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let due = clock::now() + LOOK;
        clock::sleep_until(due);
        longest = longest.max(clock::now().since(due));
    }
    longest
}
