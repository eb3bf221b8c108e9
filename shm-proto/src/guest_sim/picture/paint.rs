//! How a simulated guest writes a frame: announced first, then row by row at its own speed, the write pointer behind.

use super::super::lies::How;
use super::super::pattern::{Motion, Pattern};
use super::super::stamp::Stamp;
use super::{BEAT, PictureGuest, Publish, later, period};
use crate::kvmfr::{Begun, GuestTiming};
use crate::lgmp::host::HostError;
use crate::time::HostTime;
use core::ops::Range;
use core::time::Duration;

/// How soon a guest that had to wait for viewers looks again.
const WAIT: Duration = Duration::from_micros(500);
/// Rows drawn at once.
const CHUNK_ROWS: u32 = 32;

/// A frame being written.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    stamp: Stamp,
    began: HostTime,
    bands: [Range<u32>; 3],
    done_rows: u32,
    total_rows: u32,
}

impl PictureGuest {
    pub(super) fn next_frame(&mut self, now: HostTime) -> Result<(), HostError> {
        if self.config.motion == Motion::Still && self.last.is_some() && self.how().is_none() {
            self.frame_due = now + BEAT;
            return Ok(());
        }
        let stamp = Stamp { frame: self.frame_no.wrapping_add(1), time_ns: now.as_ns() };
        let damage = match self.last {
            Some(last) => self.pattern.damage(last.frame, stamp),
            None => Vec::new(),
        };
        let slot = self.producer.next_slot();
        match self.producer.begin_frame(&self.config.spec, &damage, now)? {
            Begun::Writing => {}
            // Nobody watches: a stock producer stops capturing and looks again now and then.
            Begun::NobodyWatches => {
                self.frame_due = now + BEAT;
                return Ok(());
            }
            Begun::Full | Begun::LockBusy => {
                self.frame_due = now + WAIT;
                return Ok(());
            }
        }
        self.frame_no = stamp.frame;
        self.frame_due = match self.config.rate_hz {
            0 => now,
            rate => later(self.frame_due, period(rate), now),
        };
        let whole = self.slots_whole.get(slot).copied().unwrap_or(false);
        let mut bands = [const { 0..0 }; 3];
        if whole {
            bands.iter_mut().zip(self.pattern.moving_rows()).for_each(|(place, band)| *place = band);
        } else {
            bands[0] = 0..self.config.spec.height;
        }
        let total_rows = bands.iter().map(|b| b.end - b.start).sum();
        if let Some(place) = self.slots_whole.get_mut(slot) {
            *place = false;
        }
        self.writing = Some(Writing { stamp, began: now, bands, done_rows: 0, total_rows });
        if let Some(How::WritePointer(bytes)) = self.how() {
            self.producer.publish_bytes(bytes)?;
        }
        self.write_on(now)
    }

    /// Writes what has become due of the frame; ends it when all is written.
    pub(super) fn write_on(&mut self, now: HostTime) -> Result<(), HostError> {
        let Some(mut writing) = self.writing.take() else { return Ok(()) };
        let due_rows = match self.config.write_time.as_nanos() {
            0 => writing.total_rows,
            all => {
                let elapsed = now.since(writing.began).as_nanos().min(all);
                // At most `total_rows`.
                (elapsed * u128::from(writing.total_rows) / all) as u32
            }
        };
        while writing.done_rows < due_rows {
            let Some((rows, ends_band)) = next_rows(&writing, due_rows) else { break };
            let pitch = self.config.spec.pitch_bytes as usize;
            let bytes = self.chunk.get_mut(..rows.len() * pitch).unwrap_or_default();
            self.pattern.render_rows(writing.stamp, rows.clone(), bytes);
            self.producer.write_rows(rows.clone(), bytes)?;
            writing.done_rows += rows.end - rows.start;
            self.publish(&rows, ends_band)?;
            if self.how() == Some(How::RestartInFrame) && writing.done_rows * 2 >= writing.total_rows {
                self.lie = None;
                return self.begin_session(self.config.producer.magic, now);
            }
        }
        if writing.done_rows < writing.total_rows {
            self.writing = Some(writing);
            return Ok(());
        }
        if self.lies_about_write_pointer() {
            self.producer.abandon_frame();
        } else {
            // It has no other stages: nothing is captured, nothing is held back.
            let copy = now.since(writing.began);
            self.producer
                .set_timing(Some(self.config.timing.unwrap_or(GuestTiming { copy, ..GuestTiming::default() })));
            self.producer.end_frame()?;
            let slot = self.producer.slot();
            if let Some(place) = self.slots_whole.get_mut(slot) {
                *place = true;
            }
        }
        self.last = Some(writing.stamp);
        Ok(())
    }

    fn publish(&self, rows: &Range<u32>, ends_band: bool) -> Result<(), HostError> {
        const STEP: u32 = 1 << 20;
        if self.lies_about_write_pointer() {
            return Ok(());
        }
        let bytes = |rows: u32| rows.saturating_mul(self.config.spec.pitch_bytes);
        match self.config.publish {
            Publish::Steps if bytes(rows.start) / STEP != bytes(rows.end) / STEP => {
                self.producer.publish_bytes(bytes(rows.end) / STEP * STEP)?;
            }
            Publish::Bands if ends_band => self.producer.publish_rows(rows.end)?,
            Publish::Steps | Publish::Bands | Publish::AtEnd => {}
        }
        Ok(())
    }

    fn lies_about_write_pointer(&self) -> bool {
        matches!(self.how(), Some(How::FrozenWritePointer | How::WritePointer(_)))
    }
}

/// The next rows to write, within one band and one chunk, and whether they end the band.
fn next_rows(writing: &Writing, due_rows: u32) -> Option<(Range<u32>, bool)> {
    let mut skip = writing.done_rows;
    for band in &writing.bands {
        let len = band.end - band.start;
        if skip < len {
            let start = band.start + skip;
            let count = (len - skip).min(CHUNK_ROWS).min(due_rows - writing.done_rows);
            return Some((start..start + count, start + count == band.end));
        }
        skip -= len;
    }
    None
}

pub(super) fn chunk_for(pattern: &Pattern) -> Vec<u8> {
    vec![0; CHUNK_ROWS.min(pattern.spec().height) as usize * pattern.spec().pitch_bytes as usize]
}
