//! Whether the machine was fit to be measured on while one player played.

use super::guest;
use crate::place::{Pinned, processors};
use rx_host::{clock, realtime};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// A machine on which the guest itself is later than this, 99 times of 100 or ever, is not measured on. Source: the
/// project's notes on testing sound, section 3.4.
const FIT_P99: Duration = Duration::from_micros(500);
const FIT_MAX: Duration = Duration::from_millis(5);
/// Nor one on which receiver and server stand in the queue for a processor for more than this share of the time; a real-time
/// guest need not be late there. Source: ours, twice what was found at a load of five, of which nothing was heard. Unit: percent.
const FIT_WAITED_PERCENT: f64 = 1.0;
/// Time between two looks of a witness at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What the machine was like while one played.
#[derive(Clone, Copy, Debug)]
pub struct Fitness {
    /// How late the guest was: the 99th percentile, and the most.
    pub late: [Duration; 2],
    /// Receiver and server wanted to run while others did. Unit: percent of the time.
    pub waited_percent: f64,
    /// The longest time for which a processor was held from a thread that comes before receiver and server.
    pub held: Duration,
}

impl Fitness {
    /// Whether the guest wrote when it should.
    pub fn is_guest_punctual(&self) -> bool {
        self.late[0] <= FIT_P99 && self.late[1] <= FIT_MAX
    }

    /// Whether receiver and server ran when they wanted to.
    pub fn is_quiet(&self) -> bool {
        self.waited_percent <= FIT_WAITED_PERCENT
    }

    /// Whether every processor was there all the time. One that was not holds up whoever runs on it, the guest or not, and
    /// nobody stands in a queue meanwhile.
    pub fn is_whole(&self) -> bool {
        self.held <= FIT_MAX
    }

    /// Whether all of it is so.
    pub fn is_fit(&self) -> bool {
        self.is_guest_punctual() && self.is_quiet() && self.is_whole()
    }
}

/// A thread on each processor that sleeps and looks at the clock, as urgent as the guest. A virtual machine's host takes
/// processors away for tens of milliseconds at times. Ends when dropped.
pub struct Witnesses {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Witnesses {
    /// They begin; every one of them looks when this returns.
    pub fn start() -> Witnesses {
        let over = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let one = |processor| {
            let (over, tell) = (Arc::clone(&over), tell.clone());
            // Where there is no room for a thread, the guest's own will say so.
            std::thread::Builder::new().name("witness".into()).spawn(move || watch(processor, &over, &tell)).ok()
        };
        let threads: Vec<_> = processors().into_iter().filter_map(one).collect();
        let _ = told.iter().take(threads.len()).count();
        Witnesses { over, threads }
    }

    /// They end. The longest time by which a sleep was over too late.
    pub fn end(mut self) -> Duration {
        self.join()
    }

    fn join(&mut self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        self.join();
    }
}

fn watch(processor: usize, over: &AtomicBool, tell: &mpsc::Sender<()>) -> Duration {
    let _pinned = Pinned::to(processor);
    realtime::ask_for_thread("witness", guest::PRIORITY);
    let _ = tell.send(());
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let due = clock::now() + LOOK_EVERY;
        clock::sleep_until(due);
        longest = longest.max(clock::now().since(due));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_fit_only_if_nothing_was_held_up() {
        let ms = Duration::from_millis;
        let calm = Fitness { late: [ms(0), ms(1)], waited_percent: 0.5, held: ms(1) };
        assert!(calm.is_fit());
        for bad in [
            Fitness { late: [ms(1), ms(1)], ..calm },
            Fitness { late: [ms(0), ms(6)], ..calm },
            Fitness { waited_percent: 1.5, ..calm },
            Fitness { held: ms(20), ..calm },
        ] {
            assert!(!bad.is_fit(), "{bad:?}");
        }
    }

    /// A thread that comes before the witnesses keeps its processor for some time, as a host does.
    #[test]
    fn witnesses_see_that_a_processor_is_held() {
        const HELD: Duration = Duration::from_millis(30);
        let witnesses = Witnesses::start();
        let holder = std::thread::spawn(|| {
            let _pinned = processors().last().map(|last| Pinned::to(*last));
            let granted = realtime::ask_for_priority(guest::PRIORITY + 10);
            let until = clock::now() + HELD;
            while clock::now() < until {
                std::hint::spin_loop();
            }
            granted.to_string()
        });
        let granted = holder.join().unwrap();
        let seen = witnesses.end();
        if !granted.starts_with("real-time") {
            return println!("not held: {granted}");
        }
        assert!(seen >= HELD - 2 * LOOK_EVERY, "{seen:?}");
    }
}
