//! Where a viewer stands, one plain sentence each, and what it counted.

use crate::guest::Corrupt;
use crate::lgmp::probe::{Foreign, release};
use core::fmt;

/// Where a viewer stands after [`Viewer::poll`](super::Viewer::poll). Its `Display` is one sentence for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The file shrank under the mapping: open it anew.
    Gone,
    /// Nothing was written here yet.
    NoProducer,
    /// The region belongs to another protocol.
    Foreign(Foreign),
    /// LGMP is there, but it does not carry KVMFR.
    NotKvmfr,
    /// A producer whose version is not spoken.
    OtherVersion {
        /// The LGMP version.
        lgmp: u32,
        /// The KVMFR version, if it is known.
        kvmfr: Option<u32>,
        /// Where its magic was, bytes from the start of the region.
        place: u64,
    },
    /// A producer was here; its heartbeat stands.
    Frozen,
    /// A producer is starting.
    Starting(Step),
    /// Every place for a viewer is taken.
    Full {
        /// How many there are.
        places: u32,
    },
    /// Somebody has been holding a lock for a while, probably a program that stopped.
    LockHeld,
    /// The session made no sense and was dropped; it is tried again.
    Corrupt(Corrupt),
    /// Frames and cursor arrive.
    Live,
}

/// What a starting producer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That its heartbeat moves.
    Heartbeat,
    /// That its user data is whole.
    UserData,
    /// That it makes its queues.
    Queues,
    /// That a lock is free.
    Lock,
}

impl State {
    /// Whether frames and cursor arrive.
    pub const fn is_live(&self) -> bool {
        matches!(self, State::Live)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Gone => f.write_str("the shared memory file was cut short; it must be opened again"),
            State::NoProducer => f.write_str("waiting for the host application in the guest to start"),
            State::Foreign(other) => write!(f, "this shared memory carries {other}, not a picture"),
            State::NotKvmfr => f.write_str("this shared memory carries LGMP queues, but no picture"),
            State::OtherVersion { lgmp, kvmfr, place } => {
                write!(f, "the guest speaks LGMP {lgmp} (found at {place})")?;
                if let Some(kvmfr) = kvmfr {
                    write!(f, " with KVMFR {kvmfr}")?;
                }
                match kvmfr.and_then(|kvmfr| release(*lgmp, kvmfr)) {
                    Some(release) => write!(f, ", that is {release}, which is not supported"),
                    None => f.write_str(", which is not supported"),
                }
            }
            State::Frozen => f.write_str("the host application in the guest is not running"),
            State::Starting(Step::Heartbeat) => f.write_str("waiting for a sign of life from the guest"),
            State::Starting(Step::UserData | Step::Queues | Step::Lock) => {
                f.write_str("the host application in the guest is starting")
            }
            State::Full { places } => write!(f, "all {places} places for viewers are taken"),
            State::LockHeld => f.write_str("a program stopped while it held a lock of the shared memory"),
            State::Corrupt(corrupt) => write!(f, "the guest wrote something that makes no sense: {corrupt}"),
            State::Live => f.write_str("connected"),
        }
    }
}

/// What a viewer counted since it was made. All grow only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions joined.
    pub sessions: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Frames that were taken whole.
    pub frames: u64,
    /// Frames acknowledged unread because a newer one was there.
    pub skipped: u64,
    /// Serial numbers that never arrived.
    pub missed: u64,
    /// Frames posted again by the producer.
    pub repeated: u64,
    /// Frames that changed while they were copied.
    pub torn: u64,
    /// Frames given up by the caller, usually because the pixels did not come.
    pub abandoned: u64,
    /// Frames and cursor messages that made no sense.
    pub corrupt: u64,
    /// Sessions dropped because their queues made no sense.
    pub corrupt_sessions: u64,
    /// Lock attempts that were put off.
    pub lock_busy: u64,
    /// Places taken anew within a session.
    pub resubscribed: u64,
    /// Messages that somebody else acknowledged in our name; counted when a place is given up.
    pub not_ours: u64,
    /// Cursor messages.
    pub cursor_messages: u64,
    /// Cursor shapes taken.
    pub cursor_shapes: u64,
    /// Cursor shapes that changed while they were copied.
    pub cursor_torn: u64,
}
