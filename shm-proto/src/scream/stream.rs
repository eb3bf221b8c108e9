//! One live stream: from the index in the header to "these chunks are new, whole and not from an older stream".
//!
//! The header has no sequence number, so three questions are answered by evidence. How many chunks are new: the index's
//! distance, which must be possible in the time that passed. Whether the index went round or started again: going round
//! rewrites slot 0, a restart does not. Whether whole laps were missed: the clock says how many, and the newest slot of
//! the last look must have been overwritten. Source: the wire reference of Scream 4.0, sections 2.4 to 2.6.

use super::layout::{CHUNK_TIME, Layout};
use super::wire::Snapshot;
use crate::cycle;
use crate::raw::map::Region;
use crate::span::AccessError;
use crate::time::HostTime;

/// Chunks that the guest may be ahead of the clock: partial remainders, ticks, an index stored in a loop.
const AHEAD_CHUNKS: u64 = 4;

/// A few bytes of a slot, to see whether it was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample([u8; Sample::BYTES]);

impl Sample {
    const PROBES: usize = 16;
    const PROBE_BYTES: usize = 16;
    const BYTES: usize = Sample::PROBES * Sample::PROBE_BYTES;

    /// Probes spread over the whole slot; the same cost for every chunk length.
    fn take(layout: &Layout, region: &Region, slot: u16) -> Result<Sample, AccessError> {
        let span = layout.slot(region, slot)?;
        let stride = span.len() / Sample::PROBES as u64;
        let mut bytes = [0; Sample::BYTES];
        for (at, probe) in bytes.chunks_exact_mut(Sample::PROBE_BYTES).enumerate() {
            probe.copy_from_slice(&span.read_array::<{ Sample::PROBE_BYTES }>(at as u64 * stride)?);
        }
        Ok(Sample(bytes))
    }
}

/// What the index tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing new.
    Standing,
    /// `published` more chunks; the newest `usable` of them can be taken. If that is not all, none before them can.
    On { published: u64, usable: u32, lapped: bool },
    /// The index went backwards or further than time allows: another stream with the same header.
    Restarted,
}

/// A stream that has been seen to be whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) layout: Layout,
    pub(super) snapshot: Snapshot,
    /// The index seen last.
    pub(super) seen: u16,
    /// Chunks up to `seen` that were not taken yet. At most one less than there are slots.
    pub(super) waiting: u32,
    /// The sequence number of the next chunk that is published after `seen`.
    pub(super) published: u64,
    /// When the index was seen to change.
    changed_at: HostTime,
    /// When the index was looked at last.
    looked_at: HostTime,
    /// Slot 0 as it was when the index last passed it.
    slot_zero: Sample,
    /// How the chunk at `seen` began, once it was looked at.
    newest_head: Option<Head>,
}

/// The start of a chunk: compared again later, it tells whether its slot was overwritten. A writer writes it first.
type Head = [u8; 16];

impl Stream {
    /// A stream whose index is `seen`, with its newest chunk still to be taken or not.
    pub(super) fn new(
        layout: Layout,
        snapshot: Snapshot,
        seen: u16,
        newest_is_new: bool,
        now: HostTime,
        region: &Region,
    ) -> Result<Stream, AccessError> {
        let waiting = u32::from(newest_is_new);
        Ok(Stream {
            layout,
            snapshot,
            seen,
            waiting,
            published: waiting.into(),
            changed_at: now,
            looked_at: now,
            slot_zero: Sample::take(&layout, region, 0)?,
            newest_head: None,
        })
    }

    /// The index, if `snapshot` still shows this stream and a slot that exists.
    #[inline]
    pub(super) fn index_in(&self, snapshot: Snapshot) -> Option<u16> {
        let index = snapshot.write_idx().distrusted();
        (snapshot.same_stream(self.snapshot) && index < self.layout.slots()).then_some(index)
    }

    /// How long the index has not moved.
    pub(super) fn standing_for_ns(&self, now: HostTime) -> u64 {
        now.as_ns().saturating_sub(self.changed_at.as_ns())
    }

    /// Judges the index and remembers it.
    #[inline]
    pub(super) fn step(&mut self, index: u16, now: HostTime, region: &Region) -> Result<Step, AccessError> {
        let unseen_ns = now.as_ns().saturating_sub(self.looked_at.as_ns());
        self.looked_at = now;
        if index == self.seen && chunks_in(unseen_ns) < u64::from(self.layout.slots() / 2) {
            return Ok(Step::Standing);
        }
        let step = self.judge(index, chunks_in(unseen_ns), chunks_in(self.standing_for_ns(now)), region)?;
        match step {
            Step::Standing => {}
            Step::On { published, .. } => {
                if index < self.seen {
                    self.slot_zero = Sample::take(&self.layout, region, 0)?;
                }
                self.published = self.published.saturating_add(published);
                self.seen = index;
                self.newest_head = None;
                self.changed_at = now;
            }
            // The caller makes a new stream of it.
            Step::Restarted => {}
        }
        Ok(step)
    }

    fn judge(&self, index: u16, due_unseen: u64, due: u64, region: &Region) -> Result<Step, AccessError> {
        let slots = u64::from(self.layout.slots());
        let distance = u64::from(cycle::distance(self.seen.into(), index.into(), slots as u32));
        // Rounded to the nearest number of whole laps.
        let laps = (due_unseen.saturating_sub(distance) + slots / 2) / slots;
        if laps > 0 && self.was_overwritten(region)? {
            // Half a ring or more passed unseen: only the newest is certain to be of this lap.
            let published = distance.saturating_add(laps.saturating_mul(slots));
            return Ok(Step::On { published, usable: 1, lapped: true });
        }
        if distance == 0 {
            return Ok(Step::Standing);
        }
        if distance > due.saturating_add(AHEAD_CHUNKS) {
            return Ok(Step::Restarted);
        }
        let all = Step::On { published: distance, usable: distance as u32, lapped: false };
        if index > self.seen {
            return Ok(all);
        }
        let zero = Sample::take(&self.layout, region, 0)?;
        if zero != self.slot_zero {
            Ok(all)
        } else if distance <= due_unseen.saturating_add(AHEAD_CHUNKS) && self.newest_equals(&zero, region)? {
            // Silence, or a sound that repeats in each chunk: going round would look the same as starting again. The
            // newest chunk is the same sound either way.
            Ok(Step::On { published: distance, usable: 1, lapped: false })
        } else {
            Ok(Step::Restarted)
        }
    }

    /// Whether the chunk that was newest so far holds the same bytes as `sample`.
    fn newest_equals(&self, sample: &Sample, region: &Region) -> Result<bool, AccessError> {
        if self.seen >= self.layout.whole_slots() {
            return Ok(false);
        }
        Ok(Sample::take(&self.layout, region, self.seen)? == *sample)
    }

    /// Whether the newest chunk of the last look is something else by now. Silence over silence cannot be told: a no.
    fn was_overwritten(&self, region: &Region) -> Result<bool, AccessError> {
        match self.newest_head {
            Some(head) => Ok(self.head_of(self.seen, region)? != head),
            None => Ok(false),
        }
    }

    #[inline]
    fn head_of(&self, slot: u16, region: &Region) -> Result<Head, AccessError> {
        region.span(self.layout.slot_offset(slot), size_of::<Head>() as u64)?.read_array(0)
    }

    /// The slot of the oldest chunk that waits. Only meaningful while one waits.
    pub(super) fn oldest_slot(&self) -> u16 {
        let slots = u32::from(self.layout.slots());
        let behind = self.waiting.saturating_sub(1).min(slots - 1);
        // Below the number of slots, so it fits.
        cycle::back(self.seen.into(), behind, slots) as u16
    }

    /// The sequence number of the oldest chunk that waits.
    pub(super) fn oldest_sequence(&self) -> u64 {
        self.published.saturating_sub(self.waiting.into())
    }

    /// Whether the copy of `slot` that begins with `pcm` is whole: the stream is the same, the writer did not come
    /// near the slot, and (it might have gone round exactly) the slot still begins as the copy does.
    #[inline]
    pub(super) fn is_whole(
        &self,
        slot: u16,
        pcm: &[u8],
        after: Snapshot,
        region: &Region,
    ) -> Result<bool, AccessError> {
        let Some(index) = self.index_in(after) else { return Ok(false) };
        let slots = u32::from(self.layout.slots());
        if cycle::distance(slot.into(), index.into(), slots) >= slots - 1 {
            return Ok(false);
        }
        Ok(pcm.starts_with(&self.head_of(slot, region)?))
    }

    /// Notes that `slot`, which begins as `pcm` does, was taken.
    #[inline]
    pub(super) fn note_taken(&mut self, slot: u16, pcm: &[u8], region: &Region) -> Result<(), AccessError> {
        if slot == self.seen {
            self.newest_head = pcm.first_chunk().copied();
        } else if self.newest_head.is_none() && self.seen < self.layout.whole_slots() {
            self.newest_head = Some(self.head_of(self.seen, region)?);
        }
        Ok(())
    }
}

fn chunks_in(ns: u64) -> u64 {
    ns / CHUNK_TIME.as_nanos() as u64
}
