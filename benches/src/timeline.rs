//! Time in which actors live: a guest, its readers. Virtual time lets exactly one of them run at a time, in the order of
//! the instants they wait for, so that the same seed gives the same interleaving on every machine; real time is the
//! host's clock. What an actor does is the same code in both.
//!
//! Virtual actors are threads that pass a baton: so a call of the real protocol code can be stopped in the middle of a
//! copy while another actor goes on, which is what tears a frame.

use crate::noise;
use rx_host::clock;
use shm_proto::HostTime;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where virtual time begins: not at zero, since producers never say 0.
pub const BEGIN: HostTime = HostTime::from_ns(1_000_000_000);

/// What an actor knows of time.
pub trait Clock {
    /// The actor's present.
    fn now(&self) -> HostTime;
    /// Waits until `at`; comes back at once if that is over.
    fn sleep_until(&self, at: HostTime);
    /// Whether bytes are really moved, or moving them only takes its time.
    fn is_real(&self) -> bool;

    /// Waits for so long.
    fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time);
    }
}

/// The host's own clock.
#[derive(Clone, Copy, Debug)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> HostTime {
        clock::now()
    }

    fn sleep_until(&self, at: HostTime) {
        clock::sleep_until(at);
    }

    fn is_real(&self) -> bool {
        true
    }
}

/// Who waits for what, and whose turn it is.
#[derive(Debug)]
struct State {
    /// By actor; nothing once it has ended.
    due: Vec<Option<HostTime>>,
    turn: usize,
}

/// A virtual time for some actors.
#[derive(Debug)]
struct Timeline {
    state: Mutex<State>,
    bells: Vec<Condvar>,
}

impl Timeline {
    fn new(actors: usize) -> Timeline {
        let state = State { due: vec![Some(BEGIN); actors], turn: 0 };
        Timeline { state: Mutex::new(state), bells: (0..actors).map(|_| Condvar::new()).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of an actor runs under the lock, so nothing can be half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `me` waits for `due`, or has ended. Gives the turn to who is due first; of equals, to the first in order.
    fn pass(&self, state: &mut State, me: usize, due: Option<HostTime>) {
        state.due[me] = due;
        let waiting = state.due.iter().enumerate().filter_map(|(actor, due)| due.map(|due| (due, actor)));
        if let Some((_, next)) = waiting.min() {
            state.turn = next;
            if next != me {
                self.bells[next].notify_one();
            }
        }
    }
}

/// An actor's hold on virtual time. Whoever has it runs alone between two sleeps.
#[derive(Debug)]
pub struct VirtualClock<'t> {
    timeline: &'t Timeline,
    me: usize,
    now: Cell<HostTime>,
}

impl VirtualClock<'_> {
    fn wait_for_turn(&self, mut state: MutexGuard<'_, State>) {
        while state.turn != self.me {
            state = self.timeline.bells[self.me].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Clock for VirtualClock<'_> {
    fn now(&self) -> HostTime {
        self.now.get()
    }

    fn sleep_until(&self, at: HostTime) {
        let at = at.max(self.now.get());
        let mut state = self.timeline.lock();
        self.timeline.pass(&mut state, self.me, Some(at));
        self.wait_for_turn(state);
        self.now.set(at);
    }

    fn is_real(&self) -> bool {
        false
    }
}

impl Drop for VirtualClock<'_> {
    fn drop(&mut self) {
        // However the actor ended, the others go on.
        let mut state = self.timeline.lock();
        self.timeline.pass(&mut state, self.me, None);
    }
}

/// What an actor does.
pub type Actor<'a, T> = Box<dyn FnOnce(&dyn Clock) -> T + Send + 'a>;

/// Runs all actors in one virtual time until the last has ended. Their results, in order.
pub fn play<'a, T: Send>(actors: Vec<Actor<'a, T>>) -> Vec<T> {
    let timeline = Timeline::new(actors.len());
    std::thread::scope(|scope| {
        let start = |(me, actor): (usize, Actor<'a, T>)| {
            let timeline = &timeline;
            scope.spawn(move || {
                let clock = VirtualClock { timeline, me, now: Cell::new(BEGIN) };
                clock.wait_for_turn(timeline.lock());
                actor(&clock)
            })
        };
        let running: Vec<_> = actors.into_iter().enumerate().map(start).collect();
        running.into_iter().map(joined).collect()
    })
}

/// Runs all actors at once by the host's clock, each pinned to one of `processors` in turn. Their results, in order; and
/// how long the one that was kept waiting most wanted to run while others did.
pub fn play_for_real<'a, T: Send>(actors: Vec<Actor<'a, T>>, processors: &[usize]) -> (Vec<T>, Duration) {
    let waited_ns = AtomicU64::new(0);
    let results = std::thread::scope(|scope| {
        let start = |(me, actor): (usize, Actor<'a, T>)| {
            let waited_ns = &waited_ns;
            let processor = (!processors.is_empty()).then(|| processors[me % processors.len()]);
            scope.spawn(move || {
                let _pinned = processor.map(crate::place::Pinned::to);
                // What a receiver asks for on its own threads; where it is refused, the figures show it.
                rx_host::realtime::ask_for_exact_timers();
                let result = actor(&RealClock);
                waited_ns.fetch_max(noise::waited_ns(), Ordering::Relaxed);
                result
            })
        };
        let running: Vec<_> = actors.into_iter().enumerate().map(start).collect();
        running.into_iter().map(joined).collect()
    });
    (results, Duration::from_nanos(waited_ns.into_inner()))
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Mutex<Vec<(usize, u64)>>;

    fn ticker(log: &Log, me: usize, every_ms: u64, times: u64) -> Actor<'_, u64> {
        Box::new(move |clock| {
            for n in 1..=times {
                clock.sleep_until(BEGIN + Duration::from_millis(n * every_ms));
                log.lock().unwrap().push((me, clock.now().since(BEGIN).as_millis() as u64));
            }
            times
        })
    }

    #[test]
    fn actors_act_in_the_order_of_time_and_equals_in_their_own() {
        for _ in 0..20 {
            let log = Log::default();
            let done = play(vec![ticker(&log, 0, 30, 2), ticker(&log, 1, 20, 3), ticker(&log, 2, 60, 1)]);
            assert_eq!(done, [2, 3, 1]);
            let expected = [(1, 20), (0, 30), (1, 40), (0, 60), (1, 60), (2, 60)];
            assert_eq!(*log.lock().unwrap(), expected);
        }
    }

    #[test]
    fn an_hour_passes_at_once_and_never_runs_backwards() {
        let sleeper: Actor<'_, ()> = Box::new(|clock| {
            clock.sleep(Duration::from_secs(3600));
            clock.sleep_until(BEGIN);
            assert_eq!(clock.now().since(BEGIN), Duration::from_secs(3600));
        });
        play(vec![sleeper]);
        assert!(play::<()>(vec![]).is_empty());
    }

    #[test]
    #[should_panic(expected = "an actor fell")]
    fn an_actor_that_panics_ends_the_play_and_not_in_a_wait_for_ever() {
        let log = Log::default();
        let falls: Actor<'_, u64> = Box::new(|clock| {
            clock.sleep(Duration::from_millis(25));
            panic!("an actor fell");
        });
        play(vec![ticker(&log, 0, 10, 5), falls]);
    }
}
