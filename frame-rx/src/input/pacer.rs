//! How fast steps reach a sink, and that nothing stays pressed: coalesces motion without losing a count, keeps gaps
//! between keys, converts wheels with remainders, and releases again what it released. Pure.
//!
//! The queue keeps the order of motion and edges, so that a click lands where the pointer was. It is bounded: when it is
//! full everything is dropped, everything that the guest holds is released, and the caller is told.

mod again;

use self::again::{Again, Next};
use super::Code;
use super::CodeSet;
use super::frame::{Edge, Wheel};
use super::sink::{Caps, Move, Sent, Sink, SinkError, Step};
use super::stats::InputStats;
use core::time::Duration;
use shm_proto::HostTime;
use std::collections::VecDeque;
use std::sync::Arc;

/// Steps that may wait. A person who rolls over the keyboard makes tens.
pub const QUEUE: usize = 1024;
/// How long a remainder of a wheel counts.
const WHEEL_MEMORY: Duration = Duration::from_millis(500);
/// A wheel turns by this at most in one report. Unit: 1/120 detent.
const WHEEL_MAX: i32 = 120 * 64;

/// The queue was full: everything the guest held is being released, and what is down must be pressed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

#[derive(Clone, Copy, Debug)]
struct Item {
    at: HostTime,
    step: Step,
    /// A release of what should be up already.
    is_again: bool,
}

/// A wheel's motion that was not worth a unit yet.
#[derive(Clone, Copy, Debug, Default)]
struct Remainder {
    rest: i32,
    last: HostTime,
}

impl Remainder {
    /// Whole units in `turn` and what was left before; a change of direction or a pause forgets the rest.
    fn units(&mut self, now: HostTime, turn: i32, units_per_detent: i32) -> i32 {
        if turn == 0 {
            return 0;
        }
        if self.rest.signum() == -turn.signum() || now.since(self.last) > WHEEL_MEMORY {
            self.rest = 0;
        }
        self.last = now;
        let sum = self.rest + turn.clamp(-WHEEL_MAX, WHEEL_MAX);
        let step = 120 / units_per_detent.clamp(1, 120);
        self.rest = sum % step;
        sum / step
    }
}

/// See the module.
#[derive(Debug)]
pub struct Pacer {
    queue: VecDeque<Item>,
    /// Pressed in the guest, as far as the sink took it.
    told: CodeSet,
    /// What is released once more.
    again: Again,
    last_key: Option<HostTime>,
    last_motion: Option<HostTime>,
    /// Reports were added to the motion that waits.
    is_merged: bool,
    /// They were to what was sent last: more come than are sent.
    is_crowded: bool,
    vertical: Remainder,
    horizontal: Remainder,
    /// Stamps of what was sent by calls whose end was not told yet.
    sent: Vec<HostTime>,
    stats: Arc<InputStats>,
}

impl Pacer {
    /// Nothing waits.
    pub fn new(stats: Arc<InputStats>) -> Pacer {
        Pacer {
            queue: VecDeque::with_capacity(QUEUE + usize::from(super::codes::CODES)),
            told: CodeSet::EMPTY,
            again: Again::default(),
            last_key: None,
            last_motion: None,
            is_merged: false,
            is_crowded: false,
            vertical: Remainder::default(),
            horizontal: Remainder::default(),
            sent: Vec::with_capacity(QUEUE),
            stats,
        }
    }

    /// Whether something waits to be sent.
    pub fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What the guest may hold when everything that waits was sent, or a part of it.
    pub fn may_hold(&self) -> CodeSet {
        let presses = self.queue.iter().filter_map(|item| match item.step {
            Step::Edge(Edge { code, is_down: true }) => Some(code),
            _ => None,
        });
        self.told.union(&presses.collect())
    }

    /// The guest holds this: somebody who is gone pressed it.
    pub fn inherit(&mut self, held: CodeSet) {
        self.told = self.told.union(&held);
    }

    /// Whether motion waits, so that more of it would only be added to that.
    pub fn holds_motion(&self) -> bool {
        matches!(self.queue.back(), Some(Item { step: Step::Move(_), .. }))
    }

    /// When motion can be sent again that comes `gap` behind the last, while more of it comes than is sent: before that
    /// nobody need hear of it.
    pub fn next_motion(&self, gap: Duration) -> Option<HostTime> {
        Some(self.last_motion.filter(|_| self.is_crowded)? + gap)
    }

    /// Whether the guest holds something, or something waits to be sent.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.told.is_empty()
    }

    /// Releases all once more that may have to be, after a short quiet. Whether there is any.
    pub fn release_once_more(&mut self) -> bool {
        self.again.once_more()
    }

    /// Whether the guest holds nothing, and was told so a second time: QEMU's PS/2 mouse keeps what did not fit into its
    /// queue, a release too, until something else comes.
    pub fn has_settled(&self) -> bool {
        !self.is_busy() && self.again.has_settled()
    }

    /// Whether the guest was told so a third time as well, a good while later: one that was held up had a full queue for longer.
    pub fn is_through(&self) -> bool {
        !self.is_busy() && self.again.is_through()
    }

    /// Takes a step for the guest, which happened at `at`.
    ///
    /// # Errors
    /// [`Overflow`]: the step and all that waited are dropped.
    pub fn push(&mut self, at: HostTime, step: Step) -> Result<(), Overflow> {
        if let (Step::Move(more), Some(Item { step: Step::Move(waiting), .. })) = (&step, self.queue.back_mut())
            && let Some(merged) = merge(waiting, more)
        {
            *waiting = merged;
            self.is_merged = true;
            self.stats.merged.inc();
            return Ok(());
        }
        if self.queue.len() >= QUEUE {
            self.stats.overflows.inc();
            self.neutral(at);
            return Err(Overflow);
        }
        if let Step::Edge(edge) = step {
            self.again.edge(edge.code);
        }
        self.queue.push_back(Item { at, step, is_again: false });
        Ok(())
    }

    /// Drops what waits and releases everything that the guest holds.
    pub fn neutral(&mut self, now: HostTime) {
        self.stats.dropped.add(self.queue.iter().filter(|i| !i.is_again).count() as u64);
        self.queue.clear();
        self.release(now, self.told, false);
    }

    /// A client before this program may have left `codes` pressed: they are released once it has been quiet for a while,
    /// since a keyboard that is told all of them at once may lose what is typed.
    pub fn suspect(&mut self, codes: CodeSet) {
        self.again.suspect(codes);
    }

    /// A sink is there: what is known of, modifiers and buttons are released before anything is sent.
    pub fn connected(&mut self, now: HostTime) {
        self.queue.clear();
        let all: CodeSet = Code::MODIFIERS.into_iter().chain(Code::BUTTONS).collect();
        self.release(now, self.told.union(&self.again.known()).union(&all), true);
    }

    /// The sink is gone. What the guest may hold stays known until the next is there.
    pub fn disconnected(&mut self) {
        self.stats.dropped.add(self.queue.iter().filter(|i| !i.is_again).count() as u64);
        self.queue.clear();
        (self.last_key, self.last_motion) = (None, None);
    }

    fn release(&mut self, now: HostTime, codes: CodeSet, is_again: bool) {
        let ups = codes.in_release_order().map(|code| Step::Edge(Edge { code, is_down: false }));
        self.queue.extend(ups.map(|step| Item { at: now, step, is_again }));
    }

    /// Sends what is due. Gives when to come back without any descriptor being ready.
    ///
    /// # Errors
    /// [`SinkError`] when the sink is gone.
    pub fn run(&mut self, now: HostTime, sink: &mut dyn Sink) -> Result<Option<HostTime>, SinkError> {
        loop {
            if self.queue.is_empty() && self.told.is_empty() {
                match self.again.next(now, sink.tells_stops(), &self.stats) {
                    Next::Release(code) => self.release(now, [code].into_iter().collect(), true),
                    Next::At(due) => return Ok(Some(due)),
                    Next::Nothing => {}
                }
            }
            let Some(item) = self.queue.front().copied() else { return Ok(None) };
            let caps = sink.caps();
            if let Some(wait) = self.wait(now, &item, &caps, sink.takes_motion()) {
                return Ok(wait);
            }
            let sent = match item.step {
                Step::Edge(_) => sink.send(&item.step, now)?,
                Step::Move(whole) => match self.converted(now, &whole, &caps) {
                    Some((step, rests)) => {
                        let sent = sink.send(&step, now)?;
                        if sent != Sent::Busy {
                            (self.vertical, self.horizontal) = rests;
                        }
                        sent
                    }
                    None => Sent::Unknown,
                },
            };
            if sent == Sent::Busy {
                return Ok(None);
            }
            self.queue.pop_front();
            self.note(now, &item, sent);
        }
    }

    /// Whether something was sent that [`Pacer::calls_ended`] was not called for.
    pub fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The calls that sent something are over now: how long that took since the stamps is counted.
    pub fn calls_ended(&mut self, now: HostTime) {
        for at in self.sent.drain(..) {
            self.stats.added.record_duration(now.since(at));
        }
    }

    /// Whether the first of the queue has to wait, and until when (nothing: for the sink).
    fn wait(&self, now: HostTime, item: &Item, caps: &Caps, takes_motion: bool) -> Option<Option<HostTime>> {
        match item.step {
            Step::Edge(edge) if edge.code.is_button() => None,
            Step::Edge(_) => {
                let due = self.last_key? + caps.key_gap;
                (now < due).then_some(Some(due))
            }
            // An edge behind it must not wait: motion goes first, whatever the window says.
            Step::Move(_) if self.queue.iter().any(|i| matches!(i.step, Step::Edge(_))) => None,
            Step::Move(_) if !takes_motion => Some(None),
            Step::Move(_) => {
                let due = self.last_motion? + caps.motion_gap;
                (now < due).then_some(Some(due))
            }
        }
    }

    /// The motion in the sink's units, without what it cannot carry, and the wheels' remainders after it.
    fn converted(&self, now: HostTime, whole: &Move, caps: &Caps) -> Option<(Step, (Remainder, Remainder))> {
        let (mut vertical, mut horizontal) = (self.vertical, self.horizontal);
        let wheel = Wheel {
            vertical: vertical.units(now, whole.wheel.vertical, caps.wheel_units),
            horizontal: horizontal.units(now, whole.wheel.horizontal, caps.wheel_units),
        };
        if wheel.horizontal != 0 && !caps.horizontal {
            self.stats.unknown.inc();
        }
        let converted = Move {
            motion: if caps.motion { whole.motion } else { Default::default() },
            position: whole.position.filter(|_| caps.position),
            wheel: Wheel { horizontal: if caps.horizontal { wheel.horizontal } else { 0 }, ..wheel },
        };
        let is_nothing = converted == Move::default() && (whole.wheel == Wheel::default());
        (!is_nothing).then_some((Step::Move(converted), (vertical, horizontal)))
    }

    fn note(&mut self, now: HostTime, item: &Item, sent: Sent) {
        // What is released once more was counted when it was pressed, if it was.
        if sent == Sent::Unknown && !item.is_again {
            self.stats.unknown.inc();
        }
        match item.step {
            Step::Edge(Edge { code, is_down }) => {
                self.again.sent(now);
                if !code.is_button() {
                    self.last_key = Some(now);
                }
                if is_down && sent == Sent::Taken {
                    self.told.insert(code);
                } else {
                    self.told.remove(code);
                }
                if !item.is_again && sent == Sent::Taken {
                    self.again.touch(code);
                }
                if !item.is_again {
                    self.stats.edges.inc();
                }
            }
            Step::Move(_) => {
                (self.last_motion, self.is_crowded) = (Some(now), core::mem::take(&mut self.is_merged));
                self.stats.moves.inc();
            }
        }
        if !item.is_again && self.sent.len() < QUEUE {
            self.sent.push(item.at);
        }
    }
}

/// Both moves as one; nothing if a sum does not fit or places and motion alternate.
fn merge(a: &Move, b: &Move) -> Option<Move> {
    let mut sum = *a;
    sum.motion.dx = a.motion.dx.checked_add(b.motion.dx)?;
    sum.motion.dy = a.motion.dy.checked_add(b.motion.dy)?;
    sum.wheel.vertical = a.wheel.vertical.checked_add(b.wheel.vertical).filter(|v| v.abs() <= WHEEL_MAX)?;
    sum.wheel.horizontal = a.wheel.horizontal.checked_add(b.wheel.horizontal).filter(|v| v.abs() <= WHEEL_MAX)?;
    sum.position = b.position.or(a.position);
    // A wheel that turned before the pointer went elsewhere turned at the old place.
    let wheel_first = a.wheel != Wheel::default() && (b.position.is_some() || b.motion != Default::default());
    (!wheel_first).then_some(sum)
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
pub(super) mod tests;
