//! The reader: the next chunk of the guest's sound, once, whole and in order, or the reason why there is none.
//!
//! It never waits, never allocates and reads no clock; each call looks once and returns. What the guest writes can make
//! it drop chunks, which it counts, and nothing else. Source: the wire reference of Scream 4.0, sections 2.4 to 2.9.

use super::layout::Layout;
use super::stream::{Step, Stream};
use super::wire::{Foreign, MAGIC, Snapshot};
use super::writer::StoreOrder;
use crate::guest::Corrupt;
use crate::raw::map::Region;
use crate::span::{AccessError, Purpose};
use crate::time::HostTime;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

/// A header counts only when two looks this far apart agree: guests on ARM64 store the magic before the format.
/// Source: reference, section 2.4.
pub const SETTLE_TIME: Duration = Duration::from_micros(100);

/// What one look at the region gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nothing to take, and why.
    Nothing(Waiting),
    /// A stream begins. Sequence numbers start at 0 again, and chunks of an earlier stream that were not taken are lost.
    Started(Layout),
    /// A chunk was copied into the buffer.
    Chunk(Chunk),
    /// A chunk was copied while the guest overwrote it or ended the stream; the buffer holds nothing of use. It counts
    /// as lost.
    Torn,
}

/// Why there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The magic is zero: no program of the guest plays, or the driver cannot map the device.
    NoStream,
    /// There is a header, but its index has not moved since we came: perhaps one that a dead guest left behind.
    Stale,
    /// Something changed less than [`SETTLE_TIME`] ago; look again.
    Settling,
    /// The stream goes on, but there is no new chunk.
    Standing,
    /// The region belongs to somebody else.
    Foreign(Foreign),
    /// The header makes no sense, and has not for at least [`SETTLE_TIME`].
    Corrupt(Corrupt),
}

/// A chunk that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes in the buffer.
    pub bytes: usize,
    /// Number of the chunk in its stream. Lost and skipped chunks have numbers too.
    pub sequence: u64,
    /// Chunks lost since the one taken before.
    pub lost_before: u64,
    /// Chunks of the same stream that are there already.
    pub waiting: u32,
}

/// What happened so far. In each stream, what was published since it started is what was taken, lost, skipped or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Chunks taken.
    pub chunks: u64,
    /// Chunks that were published and could not be taken, torn ones included.
    pub lost: u64,
    /// Chunks passed over because of [`Reader::skip_to_newest`].
    pub skipped: u64,
    /// Copies dropped because the guest wrote meanwhile.
    pub torn: u64,
    /// Times that the guest went round the ring while nobody looked, or caught up with a chunk that waited.
    pub laps: u64,
    /// Streams begun.
    pub streams: u64,
    /// Streams begun after another one: a new format, or an index that went backwards.
    pub restarts: u64,
    /// Headers that made no sense. One that stays counts once.
    pub corrupt: u64,
    /// Times that the region turned out to be somebody else's.
    pub foreign: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nobody looked yet.
    Unseen,
    /// The magic was zero.
    Absent,
    Foreign(Foreign),
    /// The header makes no sense since `since`. `fresh`: there was another one, or none, before.
    Doubtful {
        since: HostTime,
        fresh: bool,
        counted: Option<Corrupt>,
    },
    /// The header makes sense since `since`.
    Settling {
        since: HostTime,
        fresh: bool,
        first: Snapshot,
    },
    /// A whole header that was there when we came; its index has not moved.
    History(Stream),
    Live(Stream),
}

/// Reads the stream in a region. See the module.
#[derive(Debug)]
pub struct Reader {
    region: Region,
    order: StoreOrder,
    phase: Phase,
    /// The last index of the last header that made sense: its chunk is not new.
    known_index: Option<u16>,
    skip_to_newest: bool,
    lost_before: u64,
    counters: Counters,
}

impl Reader {
    /// A reader of `region`, which it never writes. What the region holds now is history: nothing of it is played.
    pub fn new(region: Region) -> Reader {
        Reader {
            region,
            order: StoreOrder::HERE,
            phase: Phase::Unseen,
            known_index: None,
            skip_to_newest: false,
            lost_before: 0,
            counters: Counters::default(),
        }
    }

    /// The same, for a guest whose processor orders stores as `order` says; by default as this processor does. With
    /// [`StoreOrder::Arm64`] a chunk is taken only [`SETTLE_TIME`] after its index was seen.
    pub fn with_order(self, order: StoreOrder) -> Reader {
        Reader { order, ..self }
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The stream that is being read.
    pub fn layout(&self) -> Option<Layout> {
        match &self.phase {
            Phase::Live(stream) => Some(stream.layout),
            _ => None,
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Makes the next chunk the newest one there is: those before it are skipped. For a start without a backlog, and
    /// after a pause of the caller's.
    pub fn skip_to_newest(&mut self) {
        self.skip_to_newest = true;
    }

    /// Looks once. A chunk is copied to the start of `pcm`, which is otherwise left alone unless the chunk was torn.
    ///
    /// Real-time safe: no allocation, no lock, no system call; at most one chunk and a few hundred bytes are read.
    ///
    /// # Errors
    /// [`AccessError::Gone`] if the file shrank: open the region anew. [`AccessError::OutOfBounds`] if the region is too
    /// short for a header. [`AccessError::LengthMismatch`] if `pcm` is shorter than a chunk;
    /// [`MAX_CHUNK_BYTES`](super::MAX_CHUNK_BYTES) fit them all.
    #[inline]
    pub fn poll(&mut self, now: HostTime, pcm: &mut [u8]) -> Result<Poll, AccessError> {
        let snapshot = Snapshot::take(&self.region)?;
        if let Phase::Live(stream) = &self.phase {
            stream.bring_next(&self.region);
        }
        match &self.phase {
            Phase::Live(stream) | Phase::History(stream) => match stream.index_in(snapshot) {
                Some(index) => self.follow(index, now, pcm),
                None => self.leave(snapshot, now),
            },
            _ => self.approach(snapshot, now, pcm),
        }
    }

    /// The stream is not there any more.
    #[cold]
    fn leave(&mut self, snapshot: Snapshot, now: HostTime) -> Result<Poll, AccessError> {
        if let Phase::Live(stream) | Phase::History(stream) = self.phase {
            self.known_index = Some(stream.seen);
            self.lose(stream.waiting.into());
        }
        // Whatever comes next is a header written while we were here.
        self.phase = Phase::Absent;
        self.approach(snapshot, now, &mut [])
    }

    /// No stream so far: is there one now?
    #[cold]
    fn approach(&mut self, snapshot: Snapshot, now: HostTime, pcm: &mut [u8]) -> Result<Poll, AccessError> {
        let header = snapshot.decode();
        if header.magic.distrusted() != MAGIC {
            return self.not_scream(snapshot);
        }
        let checked = Layout::check(&header, self.region.len())
            .and_then(|layout| Ok((layout, layout.check_index(header.write_idx)?)));
        match checked {
            Ok((layout, index)) => self.settle(layout, index, snapshot, now, pcm),
            Err(corrupt) => Ok(Poll::Nothing(self.doubt(corrupt, now))),
        }
    }

    fn not_scream(&mut self, snapshot: Snapshot) -> Result<Poll, AccessError> {
        let Some(owner) = Foreign::find(&self.region, snapshot)? else {
            self.phase = Phase::Absent;
            return Ok(Poll::Nothing(Waiting::NoStream));
        };
        if !matches!(self.phase, Phase::Foreign(known) if known == owner) {
            self.counters.foreign += 1;
        }
        self.phase = Phase::Foreign(owner);
        Ok(Poll::Nothing(Waiting::Foreign(owner)))
    }

    fn doubt(&mut self, corrupt: Corrupt, now: HostTime) -> Waiting {
        let (since, fresh, counted) = match self.phase {
            Phase::Doubtful { since, fresh, counted } => (since, fresh, counted),
            Phase::Settling { fresh, .. } => (now, fresh, None),
            Phase::Unseen => (now, false, None),
            _ => (now, true, None),
        };
        let settled = now.since(since) >= SETTLE_TIME;
        if settled && counted != Some(corrupt) {
            self.counters.corrupt += 1;
        }
        let counted = if settled { Some(corrupt) } else { counted };
        self.phase = Phase::Doubtful { since, fresh, counted };
        if settled { Waiting::Corrupt(corrupt) } else { Waiting::Settling }
    }

    fn settle(
        &mut self,
        layout: Layout,
        index: u16,
        snapshot: Snapshot,
        now: HostTime,
        pcm: &mut [u8],
    ) -> Result<Poll, AccessError> {
        let fresh = match self.phase {
            Phase::Settling { since, fresh, first } if first.same_stream(snapshot) => {
                if now.since(since) < SETTLE_TIME {
                    return Ok(Poll::Nothing(Waiting::Settling));
                }
                return self.confirm(layout, index, snapshot, fresh, now, pcm);
            }
            Phase::Unseen => false,
            Phase::Doubtful { fresh, .. } => fresh,
            _ => true,
        };
        if !fresh {
            self.known_index = Some(index);
        }
        self.phase = Phase::Settling { since: now, fresh, first: snapshot };
        Ok(Poll::Nothing(Waiting::Settling))
    }

    fn confirm(
        &mut self,
        layout: Layout,
        index: u16,
        snapshot: Snapshot,
        fresh: bool,
        now: HostTime,
        pcm: &mut [u8],
    ) -> Result<Poll, AccessError> {
        if fresh {
            // Slot 0 is not written before slot 1, so index 0 says that there is nothing yet.
            let is_new = index != 0 && self.known_index != Some(index);
            let stream = Stream::new(layout, snapshot, index, is_new, now, &self.region)?;
            return Ok(self.start(stream));
        }
        let seen = self.known_index.filter(|known| *known < layout.slots()).unwrap_or(index);
        self.phase = Phase::History(Stream::new(layout, snapshot, seen, false, now, &self.region)?);
        self.follow(index, now, pcm)
    }

    fn start(&mut self, stream: Stream) -> Poll {
        self.counters.restarts += u64::from(self.counters.streams > 0);
        self.counters.streams += 1;
        self.lost_before = 0;
        self.phase = Phase::Live(stream);
        Poll::Started(stream.layout)
    }

    fn lose(&mut self, chunks: u64) {
        self.counters.lost = self.counters.lost.saturating_add(chunks);
        self.lost_before = self.lost_before.saturating_add(chunks);
    }

    /// The stream is still there and its index is `index`.
    #[inline]
    fn follow(&mut self, index: u16, now: HostTime, pcm: &mut [u8]) -> Result<Poll, AccessError> {
        let history = matches!(self.phase, Phase::History(_));
        let (Phase::Live(stream) | Phase::History(stream)) = &mut self.phase else {
            return Ok(Poll::Nothing(Waiting::NoStream));
        };
        let (step, lost) = stream.step(index, now, &self.region)?;
        let newest_is_new = stream.waiting > 0;
        // Of what was there when we came, nothing is lost.
        if lost > 0 && !history {
            self.lose(lost);
        }
        match step {
            Step::Standing if history => return Ok(Poll::Nothing(Waiting::Stale)),
            Step::Standing => {}
            Step::On { .. } if history => return self.begin_anew(index, newest_is_new, now),
            Step::On { overtaken } => self.counters.laps += u64::from(overtaken),
            Step::Restarted => return self.begin_anew(index, index != 0, now),
        }
        self.take(now, pcm)
    }

    /// Another stream with the same header, or the first movement of one that was there when we came.
    #[cold]
    fn begin_anew(&mut self, index: u16, newest_is_new: bool, now: HostTime) -> Result<Poll, AccessError> {
        let (Phase::Live(old) | Phase::History(old)) = self.phase else {
            return Ok(Poll::Nothing(Waiting::NoStream));
        };
        if matches!(self.phase, Phase::Live(_)) {
            self.lose(old.waiting.into());
        }
        let stream = Stream::new(old.layout, old.snapshot, index, newest_is_new, now, &self.region)?;
        Ok(self.start(stream))
    }

    /// Copies the oldest chunk that waits, and looks whether it stayed whole meanwhile.
    #[inline]
    fn take(&mut self, now: HostTime, pcm: &mut [u8]) -> Result<Poll, AccessError> {
        self.pass_over();
        let Phase::Live(stream) = &mut self.phase else { return Ok(Poll::Nothing(Waiting::NoStream)) };
        if stream.waiting == 0 {
            return Ok(Poll::Nothing(Waiting::Standing));
        }
        if self.order == StoreOrder::Arm64
            && stream.waiting == 1
            && stream.standing_for_ns(now) < SETTLE_TIME.as_nanos() as u64
        {
            return Ok(Poll::Nothing(Waiting::Settling));
        }
        let (slot, sequence) = (stream.oldest_slot(), stream.oldest_sequence());
        let span = stream.layout.slot(&self.region, slot)?;
        let bytes = stream.layout.chunk_bytes();
        let buffer = pcm.len() as u64;
        let Some(pcm) = usize::try_from(bytes).ok().and_then(|bytes| pcm.get_mut(..bytes)) else {
            return Err(AccessError::LengthMismatch { span: bytes.into(), buffer });
        };
        span.copy_to(pcm, Purpose::Read)?;
        // Orders the loads of the chunk before those of the second look at the header.
        fence(Ordering::Acquire);
        let after = Snapshot::take(&self.region)?;
        stream.waiting -= 1;
        if !stream.is_whole(slot, pcm, after, &self.region)? {
            self.counters.torn += 1;
            self.lose(1);
            return Ok(Poll::Torn);
        }
        stream.note_taken(slot, pcm, &self.region)?;
        let waiting = stream.waiting;
        self.counters.chunks += 1;
        let lost_before = core::mem::take(&mut self.lost_before);
        Ok(Poll::Chunk(Chunk { bytes: pcm.len(), sequence, lost_before, waiting }))
    }

    /// Leaves out what need not or cannot be taken: a backlog that the caller does not want, slots past the end.
    #[inline]
    fn pass_over(&mut self) {
        let Phase::Live(stream) = &mut self.phase else { return };
        if stream.waiting == 0 {
            return;
        }
        if self.skip_to_newest {
            self.counters.skipped = self.counters.skipped.saturating_add(u64::from(stream.waiting - 1));
            stream.waiting = 1;
            self.skip_to_newest = false;
        }
        let slot = stream.oldest_slot();
        if slot >= stream.layout.whole_slots() {
            let past_the_end = u32::from(stream.layout.slots() - slot).min(stream.waiting);
            stream.waiting -= past_the_end;
            self.lose(past_the_end.into());
        }
    }
}
