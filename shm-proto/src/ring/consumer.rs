//! The reader's side: finds the ring, follows it, and hands out copies that are known to be whole. It never writes, so
//! the region can be mapped read-only, and it never waits: every call does a bounded amount of work whatever the writer
//! does.

use super::geometry::Geometry;
use super::memory::{HeaderWords, Mapped};
use super::protocol::{self, Got, Position};
use super::{Durations, Kind, wire};
use crate::guest::{Allowed, Corrupt, Guest};
use crate::raw::map::Region;
use crate::span::{AccessError, Purpose, Span};
use crate::time::HostTime;
use core::time::Duration;

/// A reader of a ring.
#[derive(Debug)]
pub struct Consumer {
    region: Region,
    phase: Phase,
    counters: Counters,
    pulse: Pulse,
    /// The generation whose header was refused last, so that it is counted once.
    refused: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    /// No ring was found yet, or its writer is laying it out.
    Searching,
    Following(Geometry, Position),
}

/// What changed last in the ring, and when we saw it.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    heartbeat: u64,
    published: u64,
    seen: HostTime,
}

/// What [`Consumer::poll`] found. One sentence each for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no ring here yet: the first 8 bytes are zero. Waiting helps.
    Absent,
    /// A writer is laying out the ring this very moment (or died while it did). Waiting helps.
    Starting,
    /// There is something, but not a ring we can read.
    Refused(Refusal),
    /// The ring can be read.
    Following {
        /// Stands for this start of the writer.
        generation: u64,
        /// How long the writer has neither published nor beaten.
        silent_for: Duration,
    },
    /// The file shrank under the mapping. Open it anew.
    Gone,
}

/// Why a region is not a ring that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something else lies here.
    #[error("the region starts with {magic:#018x}, which is not our ring")]
    ForeignMagic {
        /// The first 8 bytes as a little-endian number.
        magic: u64,
    },
    /// A ring, but in a layout we do not know.
    #[error("the ring has version {version}, known is {}", wire::VERSION)]
    Version {
        /// What the header says.
        version: u32,
    },
    /// Its header makes no sense.
    #[error("the ring's header is corrupt: {0}")]
    Corrupt(Corrupt),
}

/// A publication that was copied whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number; the writer counts from 1 in each generation.
    pub seq: u64,
    /// What it carries.
    pub kind: Kind,
    /// Bytes at the start of the buffer that were filled.
    pub len: usize,
    /// What the writer says about time.
    pub durations: Durations,
    /// Publications between the last one taken and this one: overwritten before they were read (by
    /// [`Consumer::next`]), or passed over (by [`Consumer::newest`]).
    pub lapped: u64,
}

/// Why a call took nothing. None of these ends the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// Nothing new. The usual answer.
    #[error("nothing new was published")]
    Nothing,
    /// The writer overtook us at every attempt: it is faster than a copy, or the ring has too few slots.
    #[error("the writer was faster than the copy")]
    Overrun,
    /// There is no ring, or the writer has started anew. [`Consumer::poll`] looks for it.
    #[error("there is no ring to read from")]
    NoRing,
    /// The publication makes no sense. It was counted and is passed over.
    #[error("a publication is corrupt: {0}")]
    Corrupt(Corrupt),
    /// The buffer is shorter than the payload; the publication can be taken again with a longer one.
    /// [`Geometry::payload_bytes`] is always enough.
    #[error("a payload of {len_bytes} bytes does not fit in a buffer of {buffer_bytes}")]
    BufferTooSmall {
        /// Length of the payload.
        len_bytes: u32,
        /// Length of the buffer.
        buffer_bytes: u64,
    },
    /// The file shrank under the mapping. Open it anew.
    #[error("the ring's file shrank")]
    Gone,
}

/// What a reader has seen since it was made. Numbers of a lying writer end at the largest `u64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Publications handed out.
    pub taken: u64,
    /// Publications not handed out though they existed: the sum of [`Taken::lapped`].
    pub lapped: u64,
    /// Copies thrown away because the writer was at work in the slot.
    pub torn: u64,
    /// Words, headers and publications that made no sense.
    pub corrupt: u64,
    /// Generations followed, without the first.
    pub restarts: u64,
}

/// One copy, before its numbers are checked.
enum Copied {
    Payload(Kind, usize, Durations),
    Corrupt(Corrupt),
    TooLong(u32),
}

impl Consumer {
    /// A reader of the ring that is, or will be, in `region`. Call [`Consumer::poll`] next.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if the region is too small to ever hold a ring.
    pub fn attach(region: &Region) -> Result<Consumer, AccessError> {
        region.span(0, u64::from(wire::HEADER_BYTES))?;
        let (counters, pulse) = (Counters::default(), Pulse::default());
        Ok(Consumer { region: region.clone(), phase: Phase::Searching, counters, pulse, refused: None })
    }

    /// Looks for the ring, for a new start of its writer, and for signs of life. Once per wait is enough.
    ///
    /// A ring that was found is followed from its newest publication on. Wait-free; no allocation, no system call.
    pub fn poll(&mut self, now: HostTime) -> State {
        self.poll_or_gone(now).unwrap_or(State::Gone)
    }

    fn poll_or_gone(&mut self, now: HostTime) -> Result<State, AccessError> {
        let words = HeaderWords(self.region.span(0, u64::from(wire::HEADER_BYTES))?);
        let header =
            || words.0.read_array::<{ wire::HEADER_SNAPSHOT_BYTES as usize }>(0).map(|b| wire::Header::decode(&b));
        let found = protocol::snapshot(&words, header)?;
        let state = match found {
            Some((generation, header)) if generation != 0 => self.follow(generation, &header, now)?,
            // Whatever is being written, its first 8 bytes say whether it is a ring.
            _ => check_magic(&header()?).err().unwrap_or(State::Starting),
        };
        self.region.check_alive()?;
        Ok(state)
    }

    fn follow(&mut self, generation: u64, header: &wire::Header, now: HostTime) -> Result<State, AccessError> {
        if !matches!(&self.phase, Phase::Following(_, at) if at.generation() == generation) {
            // The geometry is checked here and nowhere else: once per generation.
            let geometry = match check_header(header, self.region.len()) {
                Ok(geometry) => geometry,
                Err(state) => {
                    let is_news = self.refused.replace(generation) != Some(generation);
                    count(&mut self.counters.corrupt, u64::from(is_news));
                    return Ok(state);
                }
            };
            count(&mut self.counters.restarts, u64::from(matches!(self.phase, Phase::Following(..))));
            let memory = Mapped::new(&self.region, geometry);
            self.phase = Phase::Following(geometry, Position::before_newest(&memory, generation, geometry.slots())?);
            self.pulse.seen = now;
        }
        self.look_for_life(now)?;
        Ok(State::Following { generation, silent_for: now.since(self.pulse.seen) })
    }

    fn look_for_life(&mut self, now: HostTime) -> Result<(), AccessError> {
        let word =
            |field: wire::Field| Ok(self.region.whole().read_word::<u64>(u64::from(field.offset))?.load_acquire());
        let (heartbeat, published) = (word(wire::HEARTBEAT)?, word(wire::PUBLISHED)?);
        if (heartbeat, published) != (self.pulse.heartbeat, self.pulse.published) {
            self.pulse = Pulse { heartbeat, published, seen: now };
        }
        if let Phase::Following(geometry, at) = &mut self.phase
            && at.resynchronise(&Mapped::new(&self.region, *geometry))?.is_some()
        {
            count(&mut self.counters.corrupt, 1);
        }
        Ok(())
    }

    /// Copies the publication after the last one taken into `buf`; after a lap, one from the middle of
    /// those that are still there.
    ///
    /// Wait-free: at most four copies. No allocation, no lock, no system call.
    ///
    /// # Errors
    /// [`Miss`] says why there is nothing; `buf` may then hold anything.
    pub fn next(&mut self, buf: &mut [u8]) -> Result<Taken, Miss> {
        let Phase::Following(geometry, at) = &mut self.phase else { return Err(Miss::NoRing) };
        let memory = Mapped::new(&self.region, *geometry);
        let outcome = at.next(&memory, |slot| copy(&memory, *geometry, slot, buf));
        self.settle(outcome, buf.len())
    }

    /// Copies the newest publication into `buf`, if it was not taken yet. As [`Consumer::next`] otherwise.
    ///
    /// # Errors
    /// [`Miss`] says why there is nothing; `buf` may then hold anything.
    pub fn newest(&mut self, buf: &mut [u8]) -> Result<Taken, Miss> {
        let Phase::Following(geometry, at) = &mut self.phase else { return Err(Miss::NoRing) };
        let memory = Mapped::new(&self.region, *geometry);
        let outcome = at.newest(&memory, |slot| copy(&memory, *geometry, slot, buf));
        self.settle(outcome, buf.len())
    }

    /// As [`Consumer::newest`], but the caller copies: `copy` is given the kind and the payload where it lies, and may run
    /// several times, up to four. What it copied is whole if, and only if, this returns [`Taken`].
    ///
    /// For copies straight to where the payload is needed, or in pieces. Real-time safe if `copy` is.
    ///
    /// # Errors
    /// [`Miss`]; an error of `copy` counts as [`Miss::Gone`].
    pub fn newest_with(
        &mut self,
        mut copy: impl FnMut(Kind, Span<'_>) -> Result<(), AccessError>,
    ) -> Result<Taken, Miss> {
        let Phase::Following(geometry, at) = &mut self.phase else { return Err(Miss::NoRing) };
        let memory = Mapped::new(&self.region, *geometry);
        let outcome = at.newest(&memory, |slot| {
            copy_slot(&memory, *geometry, slot, |kind, payload| copy(kind, payload).map(|()| true))
        });
        self.settle(outcome, usize::MAX)
    }

    /// The shape of the ring that is followed.
    pub fn geometry(&self) -> Option<Geometry> {
        match self.phase {
            Phase::Searching => None,
            Phase::Following(geometry, _) => Some(geometry),
        }
    }

    /// What was seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Turns what the protocol gave into what the caller gets, and counts it.
    fn settle(
        &mut self,
        outcome: Result<Result<Got<Copied>, protocol::Miss>, AccessError>,
        buffer_bytes: usize,
    ) -> Result<Taken, Miss> {
        let Phase::Following(_, at) = &mut self.phase else { return Err(Miss::NoRing) };
        count(&mut self.counters.torn, core::mem::take(&mut at.torn));
        let Got { number, lapped, value } = match outcome {
            Ok(Ok(got)) => got,
            Ok(Err(protocol::Miss::NotYet)) => return Err(Miss::Nothing),
            Ok(Err(protocol::Miss::Overrun)) => return Err(Miss::Overrun),
            Ok(Err(protocol::Miss::Restarted)) if self.region.is_gone() => return Err(Miss::Gone),
            Ok(Err(protocol::Miss::Restarted)) => return Err(Miss::NoRing),
            Ok(Err(protocol::Miss::Corrupt(corrupt))) => {
                count(&mut self.counters.corrupt, 1);
                return Err(Miss::Corrupt(corrupt));
            }
            // The geometry was checked against the mapped length, so that is the only reason left.
            Err(_) => return Err(Miss::Gone),
        };
        let taken = match value {
            Copied::TooLong(len_bytes) => {
                return Err(Miss::BufferTooSmall { len_bytes, buffer_bytes: buffer_bytes as u64 });
            }
            Copied::Corrupt(corrupt) => Err(Miss::Corrupt(corrupt)),
            Copied::Payload(kind, len, durations) => Ok(Taken { seq: number, kind, len, durations, lapped }),
        };
        at.accept(number);
        count(&mut self.counters.lapped, lapped);
        count(if taken.is_ok() { &mut self.counters.taken } else { &mut self.counters.corrupt }, 1);
        taken
    }
}

fn count(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n);
}

fn check_magic(header: &wire::Header) -> Result<(), State> {
    match header.magic.distrusted() {
        wire::MAGIC => Ok(()),
        0 => Err(State::Absent),
        magic => Err(State::Refused(Refusal::ForeignMagic { magic })),
    }
}

fn check_header(header: &wire::Header, region_bytes: u64) -> Result<Geometry, State> {
    check_magic(header)?;
    match header.version.distrusted() {
        wire::VERSION => {}
        version => return Err(State::Refused(Refusal::Version { version })),
    }
    Geometry::check(header, region_bytes).map_err(|corrupt| State::Refused(Refusal::Corrupt(corrupt)))
}

/// Copies a slot's header, and its payload into `buf`.
fn copy(memory: &Mapped<'_>, geometry: Geometry, slot: u32, buf: &mut [u8]) -> Result<Copied, AccessError> {
    copy_slot(memory, geometry, slot, |kind, payload| {
        let Some(dst) = usize::try_from(payload.len()).ok().and_then(|len| buf.get_mut(..len)) else {
            return Ok(false);
        };
        let purpose = if kind == Kind::VideoFrame { Purpose::HandOff } else { Purpose::Read };
        payload.copy_to(dst, purpose).map(|()| true)
    })
}

/// Copies a slot's header, and gives its payload to `take`, which says whether it had room. Torn numbers are possible
/// and harmless: they are checked against our own limits, and the protocol drops the result.
fn copy_slot(
    memory: &Mapped<'_>,
    geometry: Geometry,
    slot: u32,
    mut take: impl FnMut(Kind, Span<'_>) -> Result<bool, AccessError>,
) -> Result<Copied, AccessError> {
    let header = wire::SlotHeader::decode(memory.load_header(slot)?);
    let (kind, len, durations) = match check_slot(&header, geometry) {
        Ok(checked) => checked,
        Err(corrupt) => return Ok(Copied::Corrupt(corrupt)),
    };
    let has_room = take(kind, memory.payload(slot)?.sub(0, u64::from(len))?)?;
    Ok(if has_room { Copied::Payload(kind, len as usize, durations) } else { Copied::TooLong(len) })
}

fn check_slot(header: &wire::SlotHeader, geometry: Geometry) -> Result<(Kind, u32, Durations), Corrupt> {
    let kind = header.kind.distrusted();
    let (first, last) = (Kind::VideoFrame.to_wire(), Kind::Metadata.to_wire());
    let allowed = Allowed::Range(u64::from(first), u64::from(last));
    let kind = Kind::from_wire(kind).ok_or(Corrupt { field: "kind", value: u64::from(kind), allowed })?;
    let len = header.len.check("len", 0..=geometry.payload_bytes())?;
    let duration = |field, ns: Guest<u64>| ns.check(field, 0..=wire::MAX_DURATION_NS).map(Duration::from_nanos);
    let durations = Durations {
        since_capture: duration("since_capture_ns", header.since_capture_ns)?,
        since_previous: duration("since_previous_ns", header.since_previous_ns)?,
        covers: duration("covers_ns", header.covers_ns)?,
    };
    Ok((kind, len, durations))
}
