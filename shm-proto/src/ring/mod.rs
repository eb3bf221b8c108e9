//! Our own lock-free broadcast ring: one writer, any number of readers, and neither side can stop the other.
//!
//! Scream's ring and LGMP are fixed by others. This third dialect is for Linux guests, tests and measurements. The
//! writer never waits and never looks at a reader: it goes round a ring of slots, and each slot says by its sequence
//! word which publication it holds and whether it is whole. Readers map the region read-only, so there is nothing they
//! could do to the writer or to each other. A reader that is too slow is *lapped*: it finds that out, counts what it
//! lost and goes on with what is still there.
//!
//! ```text
//! header   magic, version, geometry | generation     heartbeat     published
//! slot 0   sequence, kind, length, durations | payload ...
//! slot 1   sequence, kind, length, durations | payload ...
//! ```
//!
//! `RING.md` beside this crate's manifest is the specification for other writers; `wire` holds its offsets, `protocol`
//! its steps (the same code is model-checked), [`Producer`] and [`Consumer`] put them onto a [`Region`](crate::Region).
//!
//! ```
//! use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Producer};
//! use shm_proto::{HostTime, Region};
//!
//! let geometry = Geometry::new(4, 1024)?;
//! let region = Region::memfd("ring", geometry.region_bytes())?;
//! let mut producer = Producer::create(&region, geometry)?;
//! let mut consumer = Consumer::attach(&region)?;
//! consumer.poll(HostTime::ZERO);
//! producer.publish_bytes(Kind::Audio, Durations::default(), b"a block of sound")?;
//! let mut buffer = [0; 1024];
//! let taken = consumer.next(&mut buffer)?;
//! assert_eq!((taken.seq, &buffer[..taken.len]), (1, &b"a block of sound"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod consumer;
mod geometry;
#[cfg(all(test, loom))]
mod loom;
mod memory;
#[cfg(test)]
mod model;
mod producer;
mod protocol;
#[cfg(test)]
mod tests;
pub mod wire;

pub use consumer::{Consumer, Counters, Miss, Refusal, State, Taken};
pub use geometry::{Geometry, GeometryError};
pub use producer::{HEARTBEAT_EVERY, Producer, PublishError};

use core::time::Duration;

/// What a publication carries. The ring does not look into payloads; the kind says whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// Rows of a picture.
    VideoFrame = 1,
    /// Samples of sound.
    Audio = 2,
    /// Shape or place of the pointer.
    Cursor = 3,
    /// Anything that describes the others.
    Metadata = 4,
}

impl Kind {
    /// Every kind there is in version 1.
    pub const ALL: [Kind; 4] = [Kind::VideoFrame, Kind::Audio, Kind::Cursor, Kind::Metadata];

    /// The kind with this number on the wire.
    pub fn from_wire(number: u32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.to_wire() == number)
    }

    /// Its number on the wire.
    pub const fn to_wire(self) -> u32 {
        self as u32
    }
}

/// What the writer says about time. Only durations cross the boundary: the two clocks are never compared.
///
/// Units: nanoseconds on the wire, at most [`wire::MAX_DURATION_NS`] (one hour, which also stands for "longer").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// From the capture of the content to its publication.
    pub since_capture: Duration,
    /// From the publication before to this one, by the writer's clock. Zero for the first.
    pub since_previous: Duration,
    /// How long the content lasts: a block of sound its length, a frame the interval it was made for. Zero: unknown.
    pub covers: Duration,
}
