//! A viewer's session: attach, wait for the heartbeat, join, notice the end. No queue is touched in here.
//!
//! ```text
//! Absent --magic and version--> Attached --heartbeat moves--> Joined
//!   ^                             |                             |
//!   +--- magic, version or session id differ -------------------+
//! ```
//!
//! A joined session whose heartbeat stands for a second is [`Status::Frozen`]: nothing may be read or written, but if
//! the heartbeat goes on in the same session (the machine was paused), so does the viewer, under its old name.
//!
//! The end of a session is silent: nothing of it is written any more, for the memory may already belong to the next.

use super::Trouble;
use super::heartbeat::Heartbeat;
use super::probe;
use super::queue::QueueConfig;
use super::wire::{Layout, MAGIC, MAX_USER_DATA_BYTES};
use crate::guest::Guest;
use crate::raw::map::Region;
use crate::span::{AccessError, Purpose};
use crate::time::HostTime;

/// Where a viewer stands after [`Client::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No magic, or another version.
    Absent,
    /// Magic and version are there; the heartbeat was not yet seen to move.
    Waiting,
    /// The heartbeat has been standing for a second: the producer is not running. Also while joined.
    Frozen,
    /// Joined; the heartbeat moves.
    Joined,
}

/// What identifies a joined session: who we are and whom we joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The producer's number; neighbouring starts differ.
    pub id: u32,
    /// The name we drew; never 0.
    pub client_id: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Absent,
    Attached { session_id: u32, heartbeat: Heartbeat },
    Joined { session: Session, heartbeat: Heartbeat },
}

/// A viewer of one region. Makes no system call and allocates only at [`Client::new`].
#[derive(Debug)]
pub struct Client {
    region: Region,
    layout: &'static Layout,
    names: Names,
    phase: Phase,
    udata: Box<[u8]>,
    udata_len: usize,
}

impl Client {
    /// A viewer that has not looked yet. `seed` decides the names it draws: pass something from the system's random
    /// source, or a constant in a test.
    pub fn new(region: Region, layout: &'static Layout, seed: u64) -> Client {
        let udata = vec![0; MAX_USER_DATA_BYTES as usize].into_boxed_slice();
        Client { region, layout, names: Names(seed), phase: Phase::Absent, udata, udata_len: 0 }
    }

    /// Looks once. Real-time safe.
    ///
    /// # Errors
    /// [`Trouble::SessionEnded`] once when a joined session was replaced or wiped; the next call attaches anew.
    /// [`Trouble::Access`].
    pub fn poll(&mut self, now: HostTime) -> Result<Status, Trouble> {
        if !self.header_is_ours()? {
            return self.leave(Status::Absent);
        }
        let (timestamp, session_id) = (self.timestamp()?, self.session_word()?);
        match &mut self.phase {
            Phase::Joined { session, heartbeat } => {
                if session.id != session_id {
                    return self.leave(Status::Waiting);
                }
                heartbeat.observe(timestamp, now);
                Ok(if heartbeat.is_alive(now) { Status::Joined } else { Status::Frozen })
            }
            // A new start stores a timestamp too, so only a change inside one session counts.
            Phase::Attached { session_id: id, heartbeat } if *id == session_id => {
                if heartbeat.observe(timestamp, now) {
                    let heartbeat = *heartbeat;
                    let session = Session { id: session_id, client_id: self.draw_name()? };
                    // Drawing may write, and a new session may have begun meanwhile.
                    if self.session_word()? != session_id {
                        return self.leave(Status::Waiting);
                    }
                    self.phase = Phase::Joined { session, heartbeat };
                    return Ok(Status::Joined);
                }
                Ok(if heartbeat.is_alive(now) { Status::Waiting } else { Status::Frozen })
            }
            Phase::Attached { .. } | Phase::Absent => {
                self.phase = Phase::Attached { session_id, heartbeat: Heartbeat::new(timestamp, now) };
                Ok(Status::Waiting)
            }
        }
    }

    /// Forgets the session without a write. For a caller that found it corrupt.
    pub fn forget(&mut self) {
        self.phase = Phase::Absent;
    }

    /// The session, while joined.
    pub fn session(&self) -> Option<Session> {
        match self.phase {
            Phase::Joined { session, .. } => Some(session),
            _ => None,
        }
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The offsets in use.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Whether `session` is still the one in memory. Look before every write and before a result is published.
    ///
    /// # Errors
    /// [`Trouble::SessionEnded`] if not; [`Trouble::Access`].
    pub fn check_session(&self, session: Session) -> Result<(), Trouble> {
        if self.header_is_ours()? && self.session_word()? == session.id { Ok(()) } else { Err(Trouble::SessionEnded) }
    }

    /// The producer's milliseconds now; nothing but a number to hand back to it.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn timestamp(&self) -> Result<u64, AccessError> {
        let word = self.region.whole().read_word::<u64>(self.layout.header.timestamp)?.load_acquire();
        self.region.check_alive()?;
        Ok(word)
    }

    /// A snapshot of the user data, taken now; at most [`MAX_USER_DATA_BYTES`]. Two looks at the session around the
    /// copy make sure that it is of this session. Real-time safe.
    ///
    /// # Errors
    /// [`Trouble::SessionEnded`] if the session changed meanwhile, [`Trouble::Corrupt`] if the size cannot be.
    pub fn snapshot_user_data(&mut self) -> Result<&[u8], Trouble> {
        let session = self.session().ok_or(Trouble::SessionEnded)?;
        self.check_session(session)?;
        let header = &self.layout.header;
        let size = Guest::new(self.header_word(header.udata_size)?).check("udataSize", 0..=MAX_USER_DATA_BYTES)?;
        let room = self.region.len().saturating_sub(header.udata);
        let size = Guest::new(size).check_that("udataSize", "inside the region", |s| u64::from(s) <= room)?;
        let bytes = self.udata.get_mut(..size as usize).ok_or(Trouble::SessionEnded)?;
        self.region.span(header.udata, u64::from(size))?.copy_to(bytes, Purpose::Read)?;
        self.udata_len = size as usize;
        self.check_session(session)?;
        Ok(self.user_data())
    }

    /// The last snapshot.
    pub fn user_data(&self) -> &[u8] {
        self.udata.get(..self.udata_len).unwrap_or_default()
    }

    /// The queue with number `id`, found by number and never by place.
    ///
    /// # Errors
    /// [`Trouble::NoSuchQueue`] while the producer has not made it, [`Trouble::Corrupt`] if the table or the queue
    /// cannot be.
    pub fn find_queue(&self, id: u32) -> Result<QueueConfig, Trouble> {
        let header = &self.layout.header;
        let count = Guest::new(self.header_word(header.num_queues)?).check("numQueues", 0..=header.max_queues)?;
        for index in 0..count {
            let at = header.queues + u64::from(index) * self.layout.queue.size + self.layout.queue.queue_id;
            if self.header_word(at)? == id {
                let config = QueueConfig::read(&self.region, self.layout, index)?;
                // The number was read twice; act on the second reading alone.
                if config.id == id {
                    return Ok(config);
                }
            }
        }
        Err(Trouble::NoSuchQueue { id })
    }

    /// A name for a new session: the next number where the producer hands them out, else one of our own.
    fn draw_name(&mut self) -> Result<u32, AccessError> {
        let Some(at) = self.layout.header.next_client_id else { return Ok(self.names.draw()) };
        let next = self.region.whole().word::<u32>(at)?;
        let drawn = next.fetch_add(1).wrapping_add(1);
        // 0 is nobody's name.
        Ok(if drawn == 0 { next.fetch_add(1).wrapping_add(1) } else { drawn })
    }

    fn header_is_ours(&self) -> Result<bool, AccessError> {
        let header = &self.layout.header;
        let ours = self.header_word(header.magic)? == MAGIC
            && self.header_word(header.version)? == self.layout.version
            && !probe::is_overwritten(&self.region, header.magic, header.timestamp)?;
        self.region.check_alive()?;
        Ok(ours)
    }

    fn session_word(&self) -> Result<u32, AccessError> {
        self.header_word(self.layout.header.session_id)
    }

    fn header_word(&self, at: u64) -> Result<u32, AccessError> {
        Ok(self.region.whole().read_word::<u32>(at)?.load_acquire())
    }

    fn leave(&mut self, status: Status) -> Result<Status, Trouble> {
        let was_joined = matches!(self.phase, Phase::Joined { .. });
        self.phase = Phase::Absent;
        if was_joined { Err(Trouble::SessionEnded) } else { Ok(status) }
    }
}

/// Names for viewers: a sequence without zero, decided by its seed.
#[derive(Debug)]
struct Names(u64);

impl Names {
    fn draw(&mut self) -> u32 {
        loop {
            // SplitMix64: a counter and a mixing function, so no seed gives a constant sequence.
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let name = (z >> 32) as u32;
            if name != 0 {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_zero_and_follow_the_seed() {
        let draw = |seed| {
            let mut names = Names(seed);
            (0..1000).map(|_| names.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7)[0], draw(8)[0]);
        assert!(draw(0).iter().all(|n| *n != 0));
    }
}
