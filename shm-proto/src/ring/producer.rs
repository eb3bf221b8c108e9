//! The writer's side: lays out the ring, publishes, beats. Every call is wait-free and none looks at a reader.

use super::geometry::Geometry;
use super::memory::Mapped;
use super::protocol::{self, Alter, Look, Word};
use super::{Durations, Kind, wire};
use crate::guest::Guest;
use crate::raw::map::Region;
use crate::span::{AccessError, Span};
use crate::time::HostTime;
use core::hash::{BuildHasher, Hasher};
use core::time::Duration;

/// How often the heartbeat word changes at most, however often [`Producer::heartbeat`] is called.
pub const HEARTBEAT_EVERY: Duration = Duration::from_millis(50);

/// The one writer of a ring. Two at once on one region are two liars: readers count and drop what they tear.
#[derive(Debug)]
pub struct Producer {
    region: Region,
    geometry: Geometry,
    generation: u64,
    published: u64,
    beats: u64,
    last_beat: Option<HostTime>,
}

/// A publication, or a whole ring, that could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The payload does not fit in a slot. Nothing was published; a smaller one, or a ring of larger slots, can be.
    #[error("a payload of {len_bytes} bytes does not fit in a slot of {room_bytes}")]
    TooLong {
        /// Length of the payload.
        len_bytes: u64,
        /// Room in a slot.
        room_bytes: u32,
    },
    /// The region cannot be written: too small for the geometry, mapped read-only, or its file shrank.
    #[error("the ring's region cannot be written")]
    Access(#[from] AccessError),
}

impl Producer {
    /// Lays out a ring at the start of `region` and begins a new generation: readers of an older one notice.
    ///
    /// Writes the header and one word per slot; no payload is touched.
    ///
    /// # Errors
    /// [`PublishError::Access`] if the region is smaller than [`Geometry::region_bytes`], read-only or gone.
    pub fn create(region: &Region, geometry: Geometry) -> Result<Producer, PublishError> {
        region.span(0, geometry.region_bytes())?;
        let memory = Mapped::new(region, geometry);
        let generation = next_generation(memory.load(memory.find(Word::Generation)?));
        protocol::restart(&memory, generation, || lay_out(region, &memory, geometry))?;
        region.check_alive()?;
        Ok(Producer { region: region.clone(), geometry, generation, published: 0, beats: 0, last_beat: None })
    }

    /// The ring's shape.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The number that stands for this writer's start.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Number of the last publication; 0 before the first.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Publishes what `fill` writes: it is given the room of one slot and returns how many bytes of it count.
    ///
    /// Returns the publication's number. Wait-free but for `fill`; no allocation, no system call.
    ///
    /// # Errors
    /// [`PublishError`], and whatever error `fill` returns; nothing is published then, and the next call uses the same
    /// slot.
    pub fn publish(
        &mut self,
        kind: Kind,
        durations: Durations,
        fill: impl FnOnce(Span<'_>) -> Result<u64, AccessError>,
    ) -> Result<u64, PublishError> {
        let number = self.published + 1;
        let memory = Mapped::new(&self.region, self.geometry);
        protocol::publish(&memory, self.geometry.slots(), number, |slot| {
            let len_bytes = fill(memory.payload(slot)?)?;
            let room_bytes = self.geometry.payload_bytes();
            let len = u32::try_from(len_bytes).ok().filter(|len| *len <= room_bytes);
            let len = len.ok_or(PublishError::TooLong { len_bytes, room_bytes })?;
            memory.store_header(slot, slot_header(kind, len, durations).encode())?;
            Ok::<_, PublishError>(())
        })?;
        self.published = number;
        Ok(number)
    }

    /// Publishes `payload`. As [`Producer::publish`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish_bytes(&mut self, kind: Kind, durations: Durations, payload: &[u8]) -> Result<u64, PublishError> {
        let len_bytes = payload.len() as u64;
        let room_bytes = self.geometry.payload_bytes();
        if len_bytes > u64::from(room_bytes) {
            return Err(PublishError::TooLong { len_bytes, room_bytes });
        }
        self.publish(kind, durations, |room| {
            room.sub(0, len_bytes)?.copy_from(payload)?;
            Ok(len_bytes)
        })
    }

    /// Tells readers that this writer lives though it has nothing to publish. Call it as often as convenient: the word
    /// changes once per [`HEARTBEAT_EVERY`].
    ///
    /// Wait-free; no system call.
    ///
    /// # Errors
    /// [`AccessError::Gone`] if the file shrank: make it anew.
    pub fn heartbeat(&mut self, now: HostTime) -> Result<(), AccessError> {
        if self.last_beat.is_none_or(|last| now.since(last) >= HEARTBEAT_EVERY) {
            self.last_beat = Some(now);
            self.beats = self.beats.wrapping_add(1);
            let word = self.region.whole().word::<u64>(u64::from(wire::HEARTBEAT.offset))?;
            word.store_release(self.beats.to_le());
        }
        self.region.check_alive()
    }
}

/// A random even number that is neither 0 nor `old`. Counting on from `old` would do for honest rings; a random one is
/// noticed even if the ring was wiped, or a liar was at work, between two looks of a reader.
fn next_generation(old: u64) -> u64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    [random & !1, 2, 4].into_iter().find(|next| *next != 0 && *next != old).unwrap_or(2)
}

fn lay_out(region: &Region, memory: &Mapped<'_>, geometry: Geometry) -> Result<(), AccessError> {
    let header = wire::Header {
        magic: Guest::new(wire::MAGIC),
        version: Guest::new(wire::VERSION),
        first_slot: Guest::new(geometry.first_slot()),
        slots: Guest::new(geometry.slots()),
        slot_bytes: Guest::new(geometry.slot_bytes()),
        payload_bytes: Guest::new(geometry.payload_bytes()),
    };
    let header = header.encode();
    region.span(0, header.len() as u64)?.copy_from(&header)?;
    region.whole().word::<u64>(u64::from(wire::HEARTBEAT.offset))?.store_release(0);
    memory.store(memory.place(Word::Published)?, 0);
    (0..geometry.slots()).try_for_each(|slot| {
        memory.store(memory.place(Word::Sequence(slot))?, 0);
        Ok(())
    })
}

fn slot_header(kind: Kind, len: u32, durations: Durations) -> wire::SlotHeader {
    let ns = |d: Duration| Guest::new(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).min(wire::MAX_DURATION_NS));
    wire::SlotHeader {
        kind: Guest::new(kind.to_wire()),
        len: Guest::new(len),
        since_capture_ns: ns(durations.since_capture),
        since_previous_ns: ns(durations.since_previous),
        covers_ns: ns(durations.covers),
    }
}
