//! The frames of a stream that came and were not played yet, by the guest's numbers: one ring of samples, and which frames
//! lie in it. What was lost has numbers too, so there may be holes between them.

use super::{Content, MAX_ARRIVALS, QUIET};
use core::ops::Range;
use rtrb::Consumer;
use std::collections::VecDeque;

/// What came and was not played yet.
#[derive(Debug)]
pub(super) struct Held {
    data: Consumer<f32>,
    channels: usize,
    /// What lies in `data`, in the numbers of the guest; in order.
    segments: VecDeque<Range<u64>>,
    content: Content,
    /// Where digital silence came, if there are times alone.
    quiet: Range<u64>,
}

impl Held {
    /// Nothing yet; samples will come through `data`.
    pub(super) fn new(data: Consumer<f32>, channels: usize, content: Content) -> Held {
        Held { data, channels, segments: VecDeque::with_capacity(MAX_ARRIVALS), content, quiet: 0..0 }
    }

    /// These frames came, and their samples lie in the ring; whether they are digital silence.
    pub(super) fn note(&mut self, range: Range<u64>, quiet: bool) {
        if quiet && self.content == Content::Times {
            let begins = if self.quiet.end == range.start { self.quiet.start } else { range.start };
            self.quiet = begins..range.end;
        }
        match self.segments.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => {
                if self.segments.len() == MAX_ARRIVALS {
                    let oldest = self.segments.front().map_or(0, |s| s.end);
                    self.skip_before(oldest);
                }
                self.segments.push_back(range);
            }
        }
    }

    /// Throws away the frames before `frame`; returns how many.
    pub(super) fn skip_before(&mut self, frame: u64) -> u64 {
        let mut skipped = 0;
        while let Some(segment) = self.segments.front_mut() {
            let count = segment.end.min(frame).saturating_sub(segment.start);
            segment.start += count;
            skipped += count;
            let empty = segment.is_empty();
            let samples = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(self.channels);
            if let Ok(chunk) = self.data.read_chunk(samples) {
                chunk.commit_all();
            }
            if !empty {
                break;
            }
            self.segments.pop_front();
        }
        skipped
    }

    /// The first frame that is there.
    pub(super) fn first(&self) -> Option<u64> {
        self.segments.front().map(|s| s.start)
    }

    /// The frame behind the last one that is there.
    pub(super) fn end(&self) -> Option<u64> {
        self.segments.back().map(|s| s.end)
    }

    /// Whether nothing is there at all.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many of the next `most` frames from `next` on are alike, and whether they are there.
    pub(super) fn run(&self, next: i64, most: usize) -> (usize, bool) {
        match self.segments.front() {
            Some(s) => match u64::try_from(next) {
                Ok(next) if next >= s.start => (shorter(most, s.end - next), true),
                _ => (shorter(most, s.start.saturating_add_signed(next.saturating_neg())), false),
            },
            None => (most, false),
        }
    }

    /// Takes the first frames into `block`, as many as it holds. Whether they were there.
    pub(super) fn take(&mut self, block: &mut [f32]) -> bool {
        if self.content == Content::Sound && self.data.pop_entire_slice(block).is_err() {
            return false;
        }
        if let Some(s) = self.segments.front_mut() {
            s.start += (block.len() / self.channels) as u64;
        }
        true
    }

    /// How many frames of digital silence there are from `next` on, if that is the first that is there; `most` at most.
    pub(super) fn quiet_from(&mut self, next: u64, most: usize) -> usize {
        let Some(first) = self.segments.front().filter(|first| first.start == next) else { return 0 };
        let there = most.min(usize::try_from(first.end - first.start).unwrap_or(0));
        if self.content == Content::Times {
            let quiet = if self.is_quiet(next) { self.quiet.end - next } else { 0 };
            return there.min(usize::try_from(quiet).unwrap_or(0));
        }
        let loud = self.peek(there, |a, b| a.iter().chain(b).position(|x| x.abs() >= QUIET));
        loud.map_or(0, |loud| loud.map_or(there, |at| at / self.channels))
    }

    /// Shows `look` the samples of the first `frames` that are there, in two parts. Nothing if there are fewer.
    pub(super) fn peek<R>(&mut self, frames: usize, look: impl FnOnce(&[f32], &[f32]) -> R) -> Option<R> {
        let chunk = self.data.read_chunk(frames * self.channels).ok()?;
        let (a, b) = chunk.as_slices();
        Some(look(a, b))
    }

    /// Mixes the frames from `from` on to mono, as many as `out` holds. Whether all of them are there; without samples none is.
    pub(super) fn peek_mono(&mut self, from: u64, out: &mut [f32]) -> bool {
        let Some(first) = self.segments.front().filter(|s| s.start <= from && from + out.len() as u64 <= s.end) else {
            return false;
        };
        let (skip, channels) = ((from - first.start) as usize, self.channels);
        let mixed = self.peek(skip + out.len(), |a, b| {
            // Both parts hold whole frames: all that ever goes in and out does.
            let frames = a.chunks_exact(channels).chain(b.chunks_exact(channels)).skip(skip);
            out.iter_mut().zip(frames).for_each(|(x, frame)| *x = frame.iter().sum());
        });
        self.content == Content::Sound && mixed.is_some()
    }

    /// Whether `frame` is digital silence, if there are times alone.
    pub(super) fn is_quiet(&self, frame: u64) -> bool {
        self.quiet.contains(&frame)
    }

    #[cfg(test)]
    pub(super) fn segments(&self) -> &VecDeque<Range<u64>> {
        &self.segments
    }
}

/// At most `frames` of `left`, and one at least.
pub(super) fn shorter(left: usize, frames: u64) -> usize {
    left.min(usize::try_from(frames).unwrap_or(usize::MAX)).max(1)
}
