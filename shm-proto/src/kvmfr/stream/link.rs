//! How a viewer gets a session and loses it: one step per poll, and what follows from each trouble.

use super::super::session::{Header, SessionInfo};
use super::super::state::{State, Step};
use super::super::wire::{FRAME_QUEUE, Layout, POINTER_QUEUE};
use super::Viewer;
use crate::lgmp::probe::Finding;
use crate::lgmp::{Client, Status, Subscription, Trouble};
use crate::time::HostTime;
use core::time::Duration;

/// How long after a failed step the next try is made.
const RETRY: Duration = Duration::from_millis(5);
/// How long after a place was taken anew the next one is.
const RETAKE: Duration = Duration::from_millis(20);
/// How often a frame that was lost is asked for again, at most.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after a session that made no sense the next one is tried.
const RETRY_CORRUPT: Duration = Duration::from_millis(100);
/// From when on a held lock is reported.
const LOCK_HELD: Duration = Duration::from_millis(500);

/// How far the connection is.
#[derive(Debug)]
pub(super) enum Link {
    /// No version that is spoken.
    None,
    /// A session is being joined.
    Joining(Client),
    /// Subscribed; a place that was lost is empty until it is taken anew.
    Joined { client: Client, wire: &'static Layout, info: Box<SessionInfo>, frames: Place, pointer: Place },
}

/// A place in a queue, or the need for one.
pub(super) type Place = Option<Subscription>;

/// How a joined session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// We go: give the places back.
    Polite,
    /// Another session is there, or none, or nonsense: write nothing, look for a version anew.
    Over,
}

impl Viewer {
    /// One step of the connection.
    pub(super) fn step(&mut self, now: HostTime) -> Result<State, Trouble> {
        match &mut self.link {
            Link::None => {
                let found = self.prober.look(&self.region, now)?;
                let Some(table) = found.layout() else { return Ok(unspoken(found)) };
                self.seed = self.seed.wrapping_add(0x632B_E59B_D9B4_E019);
                self.link = Link::Joining(Client::new(self.region.clone(), table, self.seed));
                self.step(now)
            }
            Link::Joining(client) => {
                // Bytes of an earlier version may lie where we looked first; the one whose heart beats is joined.
                let found = self.prober.look(&self.region, now)?;
                if is_another(&found, client) {
                    self.link = Link::None;
                    return Ok(State::Starting(Step::Heartbeat));
                }
                match client.poll(now)? {
                    Status::Absent => {
                        self.link = Link::None;
                        Ok(State::NoProducer)
                    }
                    Status::Waiting => Ok(State::Starting(Step::Heartbeat)),
                    Status::Frozen => Ok(frozen(found)),
                    Status::Joined => self.join(),
                }
            }
            Link::Joined { client, frames, pointer, .. } => {
                if client.poll(now)? != Status::Joined {
                    let found = self.prober.look(&self.region, now)?;
                    if is_another(&found, client) && self.prober.is_alive(&found, now) {
                        return Err(Trouble::SessionEnded);
                    }
                    // The places are kept, untouched, for a machine that was only paused.
                    return Ok(frozen(found));
                }
                if self.state == State::Frozen {
                    // Nobody knows what was missed; on a screen that stands still nothing would ever come.
                    self.last = None;
                    self.frame_lost = true;
                }
                if let (Some(frames), true) = (&*frames, self.frame_lost && now >= self.ask_at) {
                    frames.ask_again(client)?;
                    self.frame_lost = false;
                    self.ask_at = now + ASK_AGAIN;
                }
                if now < self.retake_at {
                    return Ok(State::Live);
                }
                for (id, place) in [(POINTER_QUEUE, pointer), (FRAME_QUEUE, frames)] {
                    if place.is_none() {
                        *place = Some(Subscription::take(client, id)?);
                        self.counters.resubscribed += 1;
                        // Once at once, but a guest that takes every place away again is not followed at every poll.
                        self.retake_at = now + RETAKE;
                    }
                }
                Ok(State::Live)
            }
        }
    }

    /// The session is joined: look what it carries and take the places.
    fn join(&mut self) -> Result<State, Trouble> {
        let Link::Joining(client) = &mut self.link else { return Ok(self.state) };
        let (session, lgmp) = (client.session().ok_or(Trouble::SessionEnded)?, client.layout().version);
        // Queues first: a producer makes them after its user data, so what is read afterwards is not half-made.
        let queues = client.find_queue(POINTER_QUEUE).and_then(|_| client.find_queue(FRAME_QUEUE));
        let user_data = client.snapshot_user_data()?;
        let wire = match Header::look(user_data, lgmp) {
            Header::Spoken(wire) => wire,
            Header::Other(kvmfr) => {
                let place = client.layout().header.magic;
                return Ok(State::OtherVersion { lgmp, kvmfr: Some(kvmfr), place });
            }
            // A stock producer writes its user data after the magic.
            Header::NotKvmfr => {
                return Ok(if queues.is_ok() { State::NotKvmfr } else { State::Starting(Step::UserData) });
            }
        };
        queues?;
        let info = Box::new(SessionInfo::parse(user_data, wire)?);
        let pointer = Subscription::take(client, POINTER_QUEUE)?;
        let frames = match Subscription::take(client, FRAME_QUEUE) {
            Ok(frames) => frames,
            Err(trouble) => {
                // Do not leave half a viewer behind at every try.
                let _best_effort = pointer.unsubscribe(client);
                return Err(trouble);
            }
        };
        client.check_session(session)?;
        let Link::Joining(client) = core::mem::replace(&mut self.link, Link::None) else { return Ok(self.state) };
        self.link = Link::Joined { client, wire, info, frames: Some(frames), pointer: Some(pointer) };
        self.generation += 1;
        self.counters.sessions += 1;
        self.last = None;
        Ok(State::Live)
    }

    /// Turns the outcome of a step into a state, and cleans up behind a failed one.
    pub(super) fn settle(&mut self, step: Result<State, Trouble>, now: HostTime) {
        let (state, retry) = match step {
            Ok(state) => (state, if state.is_live() { Duration::ZERO } else { RETRY }),
            Err(trouble) => self.recover(trouble, now),
        };
        // Between two tries a heartbeat is waited for; what is wrong is still the same.
        let state = match (self.state, state) {
            (State::Corrupt(corrupt), State::Starting(Step::Heartbeat)) => State::Corrupt(corrupt),
            (_, state) => state,
        };
        if !matches!(state, State::Starting(Step::Lock) | State::LockHeld) {
            self.lock_busy_since = None;
        }
        self.state = state;
        self.retry_at = now + retry;
    }

    fn recover(&mut self, trouble: Trouble, now: HostTime) -> (State, Duration) {
        match trouble {
            Trouble::SessionEnded => {
                self.drop_link(End::Over);
                (State::Starting(Step::Heartbeat), Duration::ZERO)
            }
            Trouble::NoSuchQueue { .. } => (State::Starting(Step::Queues), RETRY),
            Trouble::QueueFull { places, .. } => (State::Full { places }, RETRY),
            Trouble::LockBusy { .. } => {
                self.counters.lock_busy += 1;
                let since = *self.lock_busy_since.get_or_insert(now);
                let held = now.since(since) >= LOCK_HELD;
                (if held { State::LockHeld } else { State::Starting(Step::Lock) }, RETRY)
            }
            Trouble::TimedOut { id } | Trouble::PlaceLost { id } => {
                self.forget_place(id);
                // The next poll takes a new one; the picture on the screen is still right.
                (State::Live, Duration::ZERO)
            }
            Trouble::Corrupt(corrupt) => {
                self.counters.corrupt_sessions += 1;
                self.last_corrupt = Some(corrupt);
                // Whatever spoiled it: places that are still ours are given back, or they would pile up.
                self.drop_link(End::Polite);
                (State::Corrupt(corrupt), RETRY_CORRUPT)
            }
            Trouble::Access(_) => {
                self.drop_link(End::Over);
                (State::Gone, RETRY)
            }
            // Faults of a sender; they end nothing.
            Trouble::MailboxFull { .. } | Trouble::MessageTooLong { .. } => (self.state, Duration::ZERO),
        }
    }

    fn forget_place(&mut self, id: u32) {
        if let Link::Joined { frames, pointer, .. } = &mut self.link {
            let place = if id == FRAME_QUEUE { frames } else { pointer };
            if let Some(lost) = place.take() {
                self.counters.not_ours += lost.not_ours();
            }
        }
    }

    /// Ends what was joined, or was to be.
    pub(super) fn drop_link(&mut self, end: End) {
        self.last = None;
        let Link::Joined { client, frames, pointer, .. } = core::mem::replace(&mut self.link, Link::None) else {
            return;
        };
        self.counters.sessions_ended += 1;
        for place in [frames, pointer].into_iter().flatten() {
            self.counters.not_ours += place.not_ours();
            if end == End::Polite {
                let _best_effort = place.unsubscribe(&client);
            }
        }
    }
}

/// The state for a region without a version that is spoken.
fn unspoken(found: Finding) -> State {
    match found {
        Finding::Other { lgmp, kvmfr, place } => State::OtherVersion { lgmp, kvmfr, place },
        Finding::Foreign(other) => State::Foreign(other),
        Finding::Nothing | Finding::Spoken { .. } => State::NoProducer,
    }
}

/// Whether a version that is spoken was found, and it is not the client's.
fn is_another(found: &Finding, client: &Client) -> bool {
    found.layout().is_some_and(|table| table.version != client.layout().version)
}

/// The state for a producer that stands still: unless another one moves at another place.
fn frozen(found: Finding) -> State {
    match found {
        Finding::Other { .. } => unspoken(found),
        _ => State::Frozen,
    }
}
