//! Who reads, and how badly: a receiver's feed with its own waiting policy, disturbed in known ways.

use super::cell::{Cell, reader_begin};
use crate::protocol::Taken;
use crate::random::Random;
use crate::timeline::Clock;
use shm_proto::cadence::{Cadence, Look};
use shm_proto::raw::pause::pause;
use shm_proto::{HostTime, Region};
use std::cell::{Cell as Slot, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a disturbed reader stands still.
const STALL: Duration = Duration::from_millis(5);
/// A disturbed reader stands still once in this time, at random instants.
const STALL_EVERY: Duration = Duration::from_millis(100);
/// A wake-up is up to so much late in virtual time, evenly spread: what exact timers give. Source: performance
/// measurements of the project, 15 to 33 µs.
const WAKE_LATE_NS: usize = 40_000;
/// From one close look to the next in virtual time: some of the real ones, so that a sweep does not take hours.
const CLOSE_LOOK: Duration = Duration::from_micros(25);
/// What a reader that is paced by its screen shows in a second.
const SCREEN_HZ: u64 = 60;
/// How often a guest outruns that screen.
pub const FAST_GUEST_HZ: u32 = 144;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// A receiver that nothing disturbs.
    KeepsUp,
    /// One that is stopped for 5 ms ten times a second, wherever it is.
    Stalls,
    /// One that looks only when its 60 Hz screen wants a picture, on a guest of 144 Hz.
    SlowScreen,
    /// Two at once: one that nothing disturbs, and one that is stopped for 5 ms ten times a second.
    TwoReaders,
}

impl Behaviour {
    /// Every one.
    pub const ALL: [Behaviour; 4] =
        [Behaviour::KeepsUp, Behaviour::Stalls, Behaviour::SlowScreen, Behaviour::TwoReaders];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Behaviour::KeepsUp => "keeps-up",
            Behaviour::Stalls => "stalls-5ms",
            Behaviour::SlowScreen => "screen-60",
            Behaviour::TwoReaders => "two-readers",
        }
    }

    /// What it is, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Behaviour::KeepsUp => "a reader that keeps up",
            Behaviour::Stalls => "a reader that stands still for 5 ms ten times a second",
            Behaviour::SlowScreen => "a reader paced by a 60 Hz screen, on a guest of 144 Hz",
            Behaviour::TwoReaders => "two readers, one of which stands still for 5 ms ten times a second",
        }
    }

    /// The one of this name.
    pub fn find(name: &str) -> Option<Behaviour> {
        Behaviour::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }

    /// How many read.
    pub const fn readers(self) -> usize {
        if matches!(self, Behaviour::TwoReaders) { 2 } else { 1 }
    }

    const fn stalls(self, number: usize) -> bool {
        matches!((self, number), (Behaviour::Stalls, _) | (Behaviour::TwoReaders, 1))
    }
}

/// What a reader saw while it counted.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Frames it took, and when their last byte was copied.
    pub(super) accepted: Vec<(u64, HostTime)>,
    /// Copies it threw away.
    pub(super) torn: u64,
    /// Copies it took though they were of two frames.
    pub(super) wrong: u64,
}

/// A clock on which its owner is stopped now and then, and wakes a little late.
struct Disturbed<'c> {
    clock: &'c dyn Clock,
    random: RefCell<Random>,
    next_stall: Slot<Option<HostTime>>,
}

impl Disturbed<'_> {
    fn draw(&self, below: usize) -> Duration {
        Duration::from_nanos(self.random.borrow_mut().below(below) as u64)
    }

    /// Evenly spread between nothing and twice the mean.
    fn after(&self, at: HostTime) -> HostTime {
        at + STALL + self.draw(2 * STALL_EVERY.as_nanos() as usize)
    }
}

impl Clock for Disturbed<'_> {
    fn now(&self) -> HostTime {
        self.clock.now()
    }

    /// Whoever is stopped while it copies goes on afterwards: what it was doing takes so much longer.
    fn sleep_until(&self, at: HostTime) {
        let mut until = at;
        while let Some(stall) = self.next_stall.get().filter(|stall| *stall <= until) {
            until = until.max(stall) + STALL;
            self.next_stall.set(Some(self.after(stall)));
        }
        self.clock.sleep_until(until);
    }

    fn is_real(&self) -> bool {
        self.clock.is_real()
    }
}

/// A reader's life, until the guest's is over.
pub(super) fn follow(
    cell: &Cell,
    number: usize,
    region: &Region,
    clock: &dyn Clock,
    over: &AtomicBool,
) -> anyhow::Result<Seen> {
    let seed = cell.seed ^ (0xD1B5_4A32_D192_ED03 + number as u64);
    let disturbed = Disturbed { clock, random: RefCell::new(Random::new(seed)), next_stall: Slot::new(None) };
    if cell.behaviour.stalls(number) {
        disturbed.next_stall.set(Some(disturbed.after(clock.now())));
    }
    if !clock.is_real() {
        clock.sleep_until(reader_begin(number));
    }
    let mut reader = cell.protocol.reader(region, &cell.load, seed)?;
    let mut cadence = Cadence::new(seed);
    let mut seen = Seen::default();
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        let found = clock.now();
        match reader.take(&disturbed)? {
            Some(taken) => {
                looks += 1;
                cadence.published(found, looks);
                seen.note(taken, clock.now());
            }
            None => cadence.nothing(found),
        }
        let now = clock.now();
        let look = match cell.behaviour {
            Behaviour::SlowScreen => Look::At(next_refresh(now)),
            _ => cadence.next_look(now),
        };
        match look {
            Look::Again if clock.is_real() => pause(),
            Look::Again => disturbed.sleep_until(now + CLOSE_LOOK),
            Look::At(wake) => {
                let late = if clock.is_real() { Duration::ZERO } else { disturbed.draw(WAKE_LATE_NS) };
                disturbed.sleep_until(wake + late);
            }
        }
    }
    seen.torn = seen.torn.max(reader.torn());
    Ok(seen)
}

impl Seen {
    fn note(&mut self, taken: Taken, at: HostTime) {
        match taken {
            Taken { accepted: true, is_whole: true, number } => self.accepted.push((number, at)),
            Taken { accepted: true, is_whole: false, .. } => self.wrong += 1,
            Taken { accepted: false, .. } => self.torn += 1,
        }
    }
}

/// The screen's next refresh, at a phase of its own.
fn next_refresh(now: HostTime) -> HostTime {
    let period = 1_000_000_000 / SCREEN_HZ;
    HostTime::from_ns((now.as_ns() / period + 1) * period)
}
