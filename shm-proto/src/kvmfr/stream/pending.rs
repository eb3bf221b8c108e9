//! A frame between its announcement and its acknowledgement.

use super::super::frame::{Frame, PictureFormat};
use super::super::timing::{GuestTiming, TIMING_BYTES};
use super::Viewer;
use super::link::Link;
use crate::lgmp::Trouble;
use crate::lgmp::subscription::Message;
use crate::raw::map::Region;
use crate::span::{AccessError, Purpose};
use crate::time::HostTime;
use core::ops::Range;

/// What became of a frame that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The copy is whole.
    Accepted,
    /// The producer went on to the next frame while this one was copied: drop the copy.
    Torn,
    /// The session ended meanwhile: drop the copy.
    SessionLost,
}

/// The frame accepted last, for telling new from posted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    serial: u32,
    format_ver: u32,
    format: PictureFormat,
}

impl Shown {
    pub(super) fn of(frame: &Frame) -> Shown {
        Shown { serial: frame.serial(), format_ver: frame.format_ver(), format: frame.format() }
    }

    /// Whether `next` follows without a gap, so that its damage says what changed.
    pub(super) fn is_followed_by(&self, next: &Shown) -> bool {
        *next == Shown { serial: self.serial.wrapping_add(1), ..*self }
    }
}

/// A frame that waits to be copied. Whatever becomes of it, it is acknowledged when this ends.
#[derive(Debug)]
pub struct PendingFrame<'v> {
    viewer: &'v mut Viewer,
    message: Message,
    frame: Frame,
    now: HostTime,
    done: bool,
}

impl<'v> PendingFrame<'v> {
    pub(super) fn new(viewer: &'v mut Viewer, message: Message, frame: Frame, now: HostTime) -> Self {
        PendingFrame { viewer, message, frame, now, done: false }
    }

    /// The frame's header, checked.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// How many rows from the top are in memory by now, at most [`Frame::rows`]. Ask again until they are enough, with
    /// pauses of your own and an end: after 500 ms at most give the frame up. Real-time safe.
    pub fn ready_rows(&self) -> u32 {
        let frame = &self.frame;
        let word = self.viewer.region.whole().read_word::<u32>(frame.write_pointer_at());
        // Acquire: the rows below the write pointer were stored before it.
        let bytes = word.map_or(0, |w| w.load_acquire());
        (bytes / frame.pitch_bytes()).min(frame.rows())
    }

    /// Copies `rows` into `dst`, whose rows are `dst_pitch_bytes` apart and whose first row is the first of `rows`. With
    /// equal pitches it is one copy and what lies between the rows comes along; otherwise the gaps are left alone.
    /// Real-time safe.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if `rows` are not all in [`Frame::rows`], or `dst` or its pitch is too small;
    /// [`AccessError::Gone`].
    pub fn copy_rows(
        &self,
        rows: Range<u32>,
        dst: &mut [u8],
        dst_pitch_bytes: usize,
        purpose: Purpose,
    ) -> Result<(), AccessError> {
        copy_rows(&self.viewer.region, &self.frame, rows, dst, dst_pitch_bytes, purpose)
    }

    /// How long the guest's own stages took, once it has said so, which it does after its last row. Nothing if its version
    /// does not say, or says what cannot be. Ask when all rows are copied. Real-time safe.
    pub fn timing(&self) -> Option<GuestTiming> {
        let Link::Joined { wire, .. } = &self.viewer.link else { return None };
        let l = wire.frame.timing?;
        let header = self.message.payload(&self.viewer.region, u32::try_from(wire.frame.size).ok()?).ok()?;
        // Acquire: the durations were stored before the word that makes them valid.
        let word = |at: usize| header.read_word::<u32>(at as u64).map(|w| w.load_acquire());
        if word(l.valid).ok()? == 0 || word(l.serial).ok()? != self.frame.serial() {
            return None;
        }
        let durations = header.read_array::<TIMING_BYTES>(l.durations as u64).ok()?;
        // A producer that went on meanwhile is found out when the frame is finished.
        GuestTiming::check(&durations).ok()
    }

    /// Ends the frame: looks whether the copy is whole, then acknowledges. Real-time safe.
    pub fn finish(mut self) -> Outcome {
        self.done = true;
        let whole = self.viewer.is_whole(&self.message, &self.frame);
        let acknowledged = self.viewer.acknowledge_frame();
        let outcome = match (whole, acknowledged) {
            (Ok(true), Ok(())) => Outcome::Accepted,
            (Ok(false), Ok(())) => Outcome::Torn,
            (Err(trouble), _) | (_, Err(trouble)) => {
                self.viewer.settle(Err(trouble), self.now);
                match trouble {
                    Trouble::SessionEnded | Trouble::Corrupt(_) | Trouble::Access(_) => Outcome::SessionLost,
                    _ => Outcome::Torn,
                }
            }
        };
        match outcome {
            Outcome::Accepted => self.viewer.accept(&self.frame),
            Outcome::Torn => {
                self.viewer.counters.torn += 1;
                self.viewer.lose_frame();
            }
            Outcome::SessionLost => self.viewer.last = None,
        }
        outcome
    }
}

impl Drop for PendingFrame<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.viewer.counters.abandoned += 1;
            self.viewer.lose_frame();
            if let Err(trouble) = self.viewer.acknowledge_frame() {
                self.viewer.settle(Err(trouble), self.now);
            }
        }
    }
}

impl Viewer {
    /// Whether the payload is still the frame that was announced.
    fn is_whole(&self, message: &Message, frame: &Frame) -> Result<bool, Trouble> {
        let Link::Joined { client, wire, frames: Some(place), .. } = &self.link else {
            return Err(Trouble::SessionEnded);
        };
        if !place.still_holds(client, message)? {
            return Ok(false);
        }
        // A producer that does not wait for us writes the next header before the next pixels.
        let again = message.payload(&self.region, wire.frame.size as u32)?;
        let load = |at: usize| again.read_word::<u32>(at as u64).map(|w| w.load_acquire());
        let same = load(wire.frame.serial)? == frame.serial() && load(wire.frame.format_ver)? == frame.format_ver();
        self.region.check_alive()?;
        Ok(same)
    }

    fn acknowledge_frame(&mut self) -> Result<(), Trouble> {
        match &mut self.link {
            Link::Joined { client, frames: Some(place), .. } => place.acknowledge(client),
            _ => Ok(()),
        }
    }

    /// What follows from a frame that was not accepted in a session that goes on.
    pub(super) fn lose_frame(&mut self) {
        self.last = None;
        self.frame_lost = true;
    }

    fn accept(&mut self, frame: &Frame) {
        let shown = Shown::of(frame);
        if let Some(last) = self.last {
            let gap = shown.serial.wrapping_sub(last.serial).wrapping_sub(1);
            // A number that went backwards, or by more than half the circle, says nothing about frames missed.
            self.counters.missed += if gap < 1 << 31 { u64::from(gap) } else { 0 };
        }
        self.counters.frames += 1;
        self.frame_lost = false;
        self.last = Some(shown);
    }
}
/// See [`PendingFrame::copy_rows`].
fn copy_rows(
    region: &Region,
    frame: &Frame,
    rows: Range<u32>,
    dst: &mut [u8],
    dst_pitch: usize,
    purpose: Purpose,
) -> Result<(), AccessError> {
    let (count, row_bytes, pitch) = (rows.len(), frame.row_bytes() as usize, frame.pitch_bytes() as usize);
    let outside =
        |len: usize| AccessError::OutOfBounds { offset: u64::from(rows.start), len: count as u64, limit: len as u64 };
    if rows.end > frame.rows() {
        return Err(outside(frame.rows() as usize));
    }
    if count == 0 {
        return Ok(());
    }
    let need = (count - 1).checked_mul(dst_pitch).and_then(|n| n.checked_add(row_bytes));
    let dst_len = dst.len();
    let dst = need.filter(|_| dst_pitch >= row_bytes).and_then(|need| dst.get_mut(..need)).ok_or(outside(dst_len))?;
    let first = frame.pixels_at() + u64::from(rows.start) * pitch as u64;
    if dst_pitch == pitch || count == 1 {
        return region.span(first, dst.len() as u64)?.copy_to(dst, purpose);
    }
    for (row, line) in dst.chunks_mut(dst_pitch).enumerate() {
        let line = line.get_mut(..row_bytes).unwrap_or_default();
        region.span(first + (row * pitch) as u64, line.len() as u64)?.copy_to(line, purpose)?;
    }
    Ok(())
}
