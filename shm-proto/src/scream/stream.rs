//! One live stream: from the index in the header to "these chunks are new, whole and not from an older stream".
//!
//! The header has no sequence number, so three questions are answered by evidence. How many chunks are new: the index's
//! distance, which must be possible in the time that passed. Whether the index went round or started again: going round
//! rewrites slot 0, a restart does not. Whether whole laps were missed: the clock says how many, and the newest slot of
//! the last look must have been overwritten. Source: the wire reference of Scream 4.0, sections 2.4 to 2.6.

use super::layout::{CHUNK_TIME, Layout};
use super::wire::Snapshot;
use crate::raw::map::Region;
use crate::span::AccessError;
use crate::time::HostTime;

/// Chunks that the guest may be ahead of the clock: partial remainders, ticks, an index stored in a loop.
const AHEAD_CHUNKS: u64 = 4;

/// A reader that looks at least this often watches; one that does not cannot know whether the guest started again, and
/// even died over a chunk, while the index went round. Unit: chunks that were due since the look before.
const WATCHED_CHUNKS: u64 = 1;

/// How much of the next chunk is asked for while its header is still on its way: a whole chunk of 48 kHz stereo. With
/// 1 KiB the reader takes 1.2 of an unchecked one's time, with all of it 1.12. Unit: bytes.
const PREFETCH_BYTES: u64 = 4096;

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
        for (probe, at) in bytes.chunks_exact_mut(Sample::PROBE_BYTES).zip(1..) {
            // The last probe ends with the slot.
            let end = if at == Sample::PROBES as u64 { span.len() } else { at * stride };
            let start = end.saturating_sub(Sample::PROBE_BYTES as u64);
            probe.copy_from_slice(&span.read_array::<{ Sample::PROBE_BYTES }>(start)?);
        }
        Ok(Sample(bytes))
    }

    /// The last probe. A writer writes it last, so if it changed, the whole slot was written.
    fn end(&self) -> &[u8; Sample::PROBE_BYTES] {
        self.0.last_chunk().unwrap_or(&[0; Sample::PROBE_BYTES])
    }
}

/// What slot 0 tells about an index that seems to have gone round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// It was rewritten to its end: the index went round.
    Whole,
    /// It was written, but ends in the silence in which it ended before: very likely the index went round.
    Unclear,
    /// It was not rewritten, or the guest died over it: the index started again.
    None,
}

/// What the index tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing new.
    Standing,
    /// `published` more chunks; the newest `usable` of them can be taken. If that is not all, none before them can.
    On { published: u64, usable: u32, lapped: bool },
    /// The index went backwards or further than time allows: another stream with the same header.
    Restarted,
}

/// What a look at the index came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The index is where it was.
    Standing,
    /// The index moved on. `overtaken`: past chunks that nobody took.
    On { overtaken: bool },
    /// Another stream with the same header.
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

    /// Asks for the chunk that is next to come while the header, whose loads were begun before, is on its way from the
    /// writer's cache: the two journeys then take the time of one. `rx-bench run reader` shows what it brings.
    #[inline]
    pub(super) fn bring_next(&self, region: &Region) {
        let turn = self.seen + 1;
        let slot = if turn < self.layout.slots() { turn } else { 0 };
        let bytes = u64::from(self.layout.chunk_bytes()).min(PREFETCH_BYTES);
        if let Ok(span) = region.span(self.layout.slot_offset(slot), bytes) {
            span.prefetch();
        }
    }

    /// How long the index has not moved.
    pub(super) fn standing_for_ns(&self, now: HostTime) -> u64 {
        now.as_ns().saturating_sub(self.changed_at.as_ns())
    }

    /// Judges the index and moves on with it. Gives the number of chunks that are lost by that, too.
    #[inline]
    pub(super) fn step(&mut self, index: u16, now: HostTime, region: &Region) -> Result<(Step, u64), AccessError> {
        let due_unseen = chunks_in(now.as_ns().saturating_sub(self.looked_at.as_ns()));
        self.looked_at = now;
        if index == self.seen && due_unseen <= WATCHED_CHUNKS {
            return Ok((Step::Standing, 0));
        }
        self.step_on(index, due_unseen, now, region)
    }

    fn step_on(
        &mut self,
        index: u16,
        due_unseen: u64,
        now: HostTime,
        region: &Region,
    ) -> Result<(Step, u64), AccessError> {
        let doubtful = if due_unseen > WATCHED_CHUNKS { self.give_up_doubtful() } else { 0 };
        let due = chunks_in(self.standing_for_ns(now));
        let verdict = self.judge(index, due_unseen, due, region)?;
        if index < self.seen || due_unseen > WATCHED_CHUNKS {
            self.slot_zero = Sample::take(&self.layout, region, 0)?;
        }
        let (published, usable, lapped) = match verdict {
            Verdict::Standing => return Ok((Step::Standing, doubtful)),
            // The caller makes a new stream of it.
            Verdict::Restarted => return Ok((Step::Restarted, doubtful)),
            Verdict::On { published, usable, lapped } => (published, usable, lapped),
        };
        let before = u64::from(self.waiting);
        let kept = if published > usable.into() { 0 } else { self.waiting };
        // The slot behind the newest may be half-written.
        let most = u32::from(self.layout.slots()) - 1;
        let wanted = kept.saturating_add(usable);
        self.waiting = wanted.min(most);
        self.published = self.published.saturating_add(published);
        self.seen = index;
        self.newest_head = None;
        self.changed_at = now;
        let lost = before.saturating_add(published).saturating_sub(self.waiting.into());
        Ok((Step::On { overtaken: lapped || wanted > most }, lost.saturating_add(doubtful)))
    }

    /// While nobody looked, the guest may have written on over chunks that wait, and have started again. Those in slots
    /// 1 to `seen` are in order whatever it did; the others are given up. How many those are.
    fn give_up_doubtful(&mut self) -> u64 {
        let certain = self.waiting.min(self.seen.into());
        let doubtful = self.waiting - certain;
        self.waiting = certain;
        doubtful.into()
    }

    fn judge(&self, index: u16, due_unseen: u64, due: u64, region: &Region) -> Result<Verdict, AccessError> {
        let slots = u64::from(self.layout.slots());
        let distance = u64::from(self.ahead(self.seen, index));
        // Rounded to the nearest number of whole laps.
        let laps = if due_unseen < slots / 2 { 0 } else { (due_unseen.saturating_sub(distance) + slots / 2) / slots };
        let lapped = laps > 0 && self.was_overwritten(region)?;
        if distance == 0 && !lapped {
            return Ok(Verdict::Standing);
        }
        if !lapped && distance > due.saturating_add(AHEAD_CHUNKS) {
            return Ok(Verdict::Restarted);
        }
        let published = if lapped { distance.saturating_add(laps.saturating_mul(slots)) } else { distance };
        let on = |usable: u64| Verdict::On { published, usable: usable as u32, lapped };
        // Whether slot 0 should have been rewritten: the index went round, or stands there after a lap.
        if index > self.seen && index != 0 {
            // Any chunk but the newest may be of an older lap.
            return Ok(on(if lapped { 1 } else { distance }));
        }
        let passage = self.passage(region)?;
        // Silence, or a sound that repeats in each chunk: going round looks the same as starting again, and the newest
        // chunk is the same sound either way.
        let in_time = distance <= due_unseen.saturating_add(AHEAD_CHUNKS);
        if passage == Passage::None && !(in_time && self.is_repeating(region)?) {
            return Ok(Verdict::Restarted);
        }
        Ok(if lapped || due_unseen > WATCHED_CHUNKS {
            // Whatever happened while nobody looked, the newest chunk is whole unless it is in slot 0.
            on(u64::from(index != 0))
        } else if passage == Passage::Whole && distance <= slots / 2 {
            on(distance)
        } else {
            on(1)
        })
    }

    /// What slot 0 tells.
    fn passage(&self, region: &Region) -> Result<Passage, AccessError> {
        let now = Sample::take(&self.layout, region, 0)?;
        Ok(if now.end() != self.slot_zero.end() {
            Passage::Whole
        } else if now != self.slot_zero && *now.end() == [0; Sample::PROBE_BYTES] {
            Passage::Unclear
        } else {
            Passage::None
        })
    }

    /// Whether the chunk that was newest so far is the same sound as the one that slot 0 held.
    fn is_repeating(&self, region: &Region) -> Result<bool, AccessError> {
        if self.seen >= self.layout.whole_slots() {
            return Ok(false);
        }
        Ok(Sample::take(&self.layout, region, self.seen)? == self.slot_zero)
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

    /// Steps from one slot to another; both were checked, so the division of [`crate::cycle`] is saved.
    #[inline]
    fn ahead(&self, from: u16, to: u16) -> u32 {
        let slots = if to >= from { 0 } else { u32::from(self.layout.slots()) };
        (slots + u32::from(to)).saturating_sub(from.into())
    }

    /// The slot of the oldest chunk that waits. Only meaningful while one waits.
    pub(super) fn oldest_slot(&self) -> u16 {
        let seen = u32::from(self.seen);
        let behind = self.waiting.saturating_sub(1);
        let turn = if behind > seen { u32::from(self.layout.slots()) } else { 0 };
        // At most one less wait than there are slots, so this is a slot, and fits.
        (seen + turn).saturating_sub(behind) as u16
    }

    /// The sequence number of the oldest chunk that waits.
    pub(super) fn oldest_sequence(&self) -> u64 {
        self.published.saturating_sub(self.waiting.into())
    }

    /// Whether `pcm`, the copy of `slot`, which `waiting` counts no more, is whole: the stream is the same, the writer did not
    /// come near the slot, and (it might have gone round exactly) the slot still begins and ends as the copy does. A writer
    /// that was in the slot meanwhile has changed its end, or is still there.
    #[inline]
    pub(super) fn is_whole(
        &self,
        slot: u16,
        pcm: &[u8],
        after: Snapshot,
        region: &Region,
    ) -> Result<bool, AccessError> {
        let Some(index) = self.index_in(after) else { return Ok(false) };
        // Not from the slot to the index: a writer that passed the slot before it was copied would seem to be just behind it.
        if self.waiting + self.ahead(self.seen, index) >= u32::from(self.layout.slots()) - 1 {
            return Ok(false);
        }
        let tail_at = self.layout.slot_offset(slot) + (pcm.len() as u64).saturating_sub(size_of::<Head>() as u64);
        let tail: Head = region.span(tail_at, size_of::<Head>() as u64)?.read_array(0)?;
        Ok(pcm.starts_with(&self.head_of(slot, region)?) && pcm.ends_with(&tail))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scream::wire::WireHeader;
    use crate::scream::{Format, StoreOrder, Writer};
    use crate::span::Purpose;

    const SLOTS: u16 = 6;

    /// A region with a ring of [`SLOTS`], in which chunks 1 to 10 were published, each full of its number.
    fn published() -> (Region, Writer) {
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        let region = Region::memfd("scream-stream", 1 << 20).unwrap();
        let mut writer = Writer::new(region.clone(), StoreOrder::HERE).unwrap();
        let header = WireHeader { max_chunks: SLOTS, ..Writer::header_for(format, 1 << 20).unwrap() };
        writer.open_as(header).unwrap();
        publish(&mut writer, 1..=10);
        (region, writer)
    }

    fn publish(writer: &mut Writer, numbers: impl IntoIterator<Item = u8>) {
        let bytes = writer.header().unwrap().chunk_size as usize;
        for number in numbers {
            writer.publish(&vec![number; bytes]).unwrap();
        }
    }

    /// A reader's stream, of which so many chunks wait.
    fn looked_at(region: &Region, waiting: u32) -> Stream {
        let snapshot = Snapshot::take(region).unwrap();
        let layout = Layout::check(&snapshot.decode(), region.len()).unwrap();
        let seen = snapshot.write_idx().distrusted();
        let stream = Stream::new(layout, snapshot, seen, true, HostTime::ZERO, region).unwrap();
        Stream { waiting, ..stream }
    }

    fn copy(stream: &Stream, slot: u16, region: &Region) -> Vec<u8> {
        let mut pcm = vec![0; stream.layout.chunk_bytes() as usize];
        stream.layout.slot(region, slot).unwrap().copy_to(&mut pcm, Purpose::Read).unwrap();
        pcm
    }

    #[test]
    fn a_copy_is_whole_only_if_the_writer_came_not_near_between_the_look_and_the_copy() {
        for waiting in 1..SLOTS {
            for more in 0..SLOTS {
                let (region, mut writer) = published();
                let mut stream = looked_at(&region, waiting.into());
                let slot = stream.oldest_slot();
                // The reader is held up here.
                publish(&mut writer, (11..).take(more.into()));
                let pcm = copy(&stream, slot, &region);
                let after = Snapshot::take(&region).unwrap();
                stream.waiting -= 1;
                let is_whole = stream.is_whole(slot, &pcm, after, &region).unwrap();
                // The slot behind the index may be being written.
                let is_near = waiting - 1 + more >= SLOTS - 1;
                assert_eq!(is_whole, !is_near, "{waiting} waited, {more} more came");
                assert!(!is_whole || pcm[0] == 11 - waiting as u8, "{waiting} waited, {more} more came");
            }
        }
    }

    #[test]
    fn a_copy_that_a_writer_on_its_next_round_crossed_is_not_whole() {
        let (region, mut writer) = published();
        let mut stream = looked_at(&region, 1);
        let slot = stream.oldest_slot();
        let old = copy(&stream, slot, &region);
        publish(&mut writer, (11..).take(SLOTS.into()));
        let new = copy(&stream, slot, &region);
        let after = Snapshot::take(&region).unwrap();
        assert_eq!(after.write_idx().distrusted(), stream.seen, "once round");
        stream.waiting -= 1;
        for (first, last, whole) in [(&old, &old, false), (&old, &new, false), (&new, &old, false), (&new, &new, true)]
        {
            let half = old.len() / 2;
            let pcm = [&first[..half], &last[half..]].concat();
            assert_eq!(stream.is_whole(slot, &pcm, after, &region).unwrap(), whole, "{} {}", first[0], last[0]);
        }
    }
}
