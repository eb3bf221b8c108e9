//! LGMP: the queues under Looking Glass. One producer in the guest, up to 32 viewers on the host, no doorbell.
//!
//! A queue is a ring of small message descriptors. Each names a payload elsewhere in the region and carries one bit per
//! viewer that still has to read it. Every position, count, lock and bit lies in memory that the guest writes, so
//! nothing in here indexes, allocates, loops or waits by what it finds there.
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | the offsets, one table per protocol version |
//! | [`probe`] | which version is there, and where |
//! | [`heartbeat`] | whether the producer lives. Pure |
//! | [`queue`] | one queue's words, its ring, its lock |
//! | [`client`], [`subscription`], [`mailbox`] | the viewer's side |
//! | [`host`], [`host_queue`] | the producer's side, for guests of ours |

pub mod client;
pub mod heartbeat;
pub mod host;
pub mod host_queue;
pub mod mailbox;
pub mod probe;
pub mod queue;
pub mod subscription;
pub mod wire;

pub use client::{Client, Status};
pub use heartbeat::Heartbeat;
pub use host::{Host, HostError};
pub use subscription::{Message, Subscription};

use crate::guest::Corrupt;
use crate::span::AccessError;

/// Why a viewer's step did not work. None of them is fatal: the caller counts it and goes on as the variant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The producer started anew or is gone. Drop everything of the old session, without a write, and attach again.
    #[error("the producer's session ended")]
    SessionEnded,
    /// The producer has not made this queue (yet). Trying again helps.
    #[error("there is no queue {id} yet")]
    NoSuchQueue {
        /// The number asked for.
        id: u32,
    },
    /// Every place for a viewer is taken. Trying again helps once a stopped viewer's place is cleared.
    #[error("all {places} places of queue {id} are taken")]
    QueueFull {
        /// The queue's number.
        id: u32,
        /// How many there are.
        places: u32,
    },
    /// Somebody holds the lock; nothing was changed. Trying again helps, unless its holder stopped for ever.
    #[error("the lock of queue {id} is held")]
    LockBusy {
        /// The queue's number.
        id: u32,
    },
    /// We kept a message too long and the producer marked our place as bad. Subscribe again.
    #[error("the producer gave up on our place in queue {id}")]
    TimedOut {
        /// The queue's number.
        id: u32,
    },
    /// Our place is free or holds another viewer's name. Subscribe again; do not write to the old place.
    #[error("our place in queue {id} was taken away")]
    PlaceLost {
        /// The queue's number.
        id: u32,
    },
    /// All slots of the mailbox are in use. Trying again helps once the producer has read some.
    #[error("the mailbox of queue {id} is full")]
    MailboxFull {
        /// The queue's number.
        id: u32,
    },
    /// A message for the mailbox is longer than a slot. A fault of the caller.
    #[error("a mailbox message of {got} bytes is longer than {max}")]
    MessageTooLong {
        /// Length asked for.
        got: u64,
        /// Length of a slot.
        max: u64,
    },
    /// The guest wrote something that makes no sense.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The region could not be reached: it shrank, or it is mapped read-only.
    #[error(transparent)]
    Access(#[from] AccessError),
}
