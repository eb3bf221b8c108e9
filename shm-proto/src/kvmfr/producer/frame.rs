//! The frames of [`Producer`]: announce, write, publish, end, post again.

use super::super::damage::Rect;
use super::super::timing::TIMING_BYTES;
use super::picture_spec::{FrameNumbers, PictureSpec};
use super::{Begun, Producer, Tampering, Writing};
use crate::lgmp::host::{Block, HostError};
use crate::lgmp::host_queue::Posted;
use crate::span::AccessError;
use crate::time::HostTime;
use core::ops::Range;

impl Producer {
    /// Posts the last picture again, with its old serial number. Whether there was one and somebody to see it.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn repost(&mut self, now: HostTime) -> Result<bool, HostError> {
        if !self.whole || self.writing.is_some() {
            return Ok(false);
        }
        let sent = self.post(self.queues.frames, 0, self.block(), now)? == Posted::Sent;
        self.counters.replays += u64::from(sent);
        Ok(sent)
    }

    /// Announces the next frame. Its pixels may be written afterwards, at any speed.
    ///
    /// # Errors
    /// [`HostError::NoRoom`] if not one row fits; [`HostError::Access`].
    pub fn begin_frame(&mut self, spec: &PictureSpec, damage: &[Rect], now: HostTime) -> Result<Begun, HostError> {
        let rows = self.rows_that_fit(spec);
        if rows == 0 {
            return Err(HostError::NoRoom {
                need: u64::from(spec.pitch_bytes),
                free: u64::from(self.plan.capacity_bytes),
            });
        }
        if !self.is_watched()? {
            return Ok(Begun::NobodyWatches);
        }
        let full = self.unfinished()? >= self.wire.habits.frames_at_once;
        if full && !self.tampering.ignores_viewers {
            self.counters.stalls += u64::from(!self.stalled);
            self.stalled = true;
            return Ok(Begun::Full);
        }
        self.stalled = false;
        if self.spec != Some(*spec) {
            self.format_ver = self.format_ver.wrapping_add(1);
            self.spec = Some(*spec);
        }
        let slot = self.next_slot();
        let block = self.block_of(slot);
        let serial = self.serial.wrapping_add(1);
        let numbers = FrameNumbers { serial, format_ver: self.format_ver, rows, offset: self.plan.write_pointer };
        let mut header = spec.encode(self.wire, numbers, damage);
        let lies = self.tampering.frame_header.iter();
        Tampering::spoil(lies.filter_map(|(f, value)| Some((f.at(&self.wire.frame)?, *value))), header.bytes_mut());
        let header = header.bytes();
        // The write pointer first: whoever sees the new header waits for the new pixels.
        self.store_write_pointer(block, 0)?;
        self.host.region().span(u64::from(block.offset), header.len() as u64)?.copy_from(header)?;
        match self.post(self.queues.frames, 0, self.tampering.frame_block.unwrap_or(block), now)? {
            Posted::Sent => {}
            Posted::Full if self.tampering.ignores_viewers => {}
            Posted::NobodyListens => return Ok(Begun::NobodyWatches),
            Posted::Full => return Ok(Begun::Full),
            Posted::LockBusy => return Ok(Begun::LockBusy),
        }
        (self.slot, self.serial) = (slot, serial);
        self.writing = Some(Writing { spec: *spec, rows });
        self.whole = false;
        self.counters.frames += 1;
        Ok(Begun::Writing)
    }

    /// Writes whole rows, `bytes` being as long as they are with their padding. Rows that do not fit are cut off.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn write_rows(&self, rows: Range<u32>, bytes: &[u8]) -> Result<(), AccessError> {
        let Some(writing) = self.writing else { return Ok(()) };
        let pitch = u64::from(writing.spec.pitch_bytes);
        let (start, end) = (rows.start.min(writing.rows), rows.end.min(writing.rows));
        let len = (u64::from(end.saturating_sub(start)) * pitch).min(bytes.len() as u64);
        let at = self.pixels_at(self.slot) + u64::from(start) * pitch;
        let bytes = usize::try_from(len).ok().and_then(|n| bytes.get(..n)).unwrap_or_default();
        self.host.region().span(at, len)?.copy_from(bytes)
    }

    /// Tells viewers that the first `rows` are there.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn publish_rows(&self, rows: u32) -> Result<(), AccessError> {
        let Some(writing) = self.writing else { return Ok(()) };
        self.publish_bytes(writing.spec.pitch_bytes.saturating_mul(rows.min(writing.rows)))
    }

    /// Sets the write pointer to any number, for guests that lie.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn publish_bytes(&self, bytes: u32) -> Result<(), AccessError> {
        self.store_write_pointer(self.block(), bytes)
    }

    /// Ends the frame: all of it is there.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn end_frame(&mut self) -> Result<(), AccessError> {
        if let Some(writing) = self.writing {
            self.publish_rows(writing.rows)?;
            self.tell_timing()?;
            self.writing = None;
            self.whole = true;
        }
        Ok(())
    }

    fn tell_timing(&self) -> Result<(), AccessError> {
        let (Some(timing), Some(l)) = (self.timing, self.wire.frame.timing) else { return Ok(()) };
        let header = self.host.region().span(u64::from(self.block().offset), self.wire.frame.size as u64)?;
        header.sub(l.durations as u64, TIMING_BYTES as u64)?.copy_from(&timing.encode())?;
        header.word::<u32>(l.serial as u64)?.store_release(self.serial);
        // Releases the durations to the viewer that finds them valid.
        header.word::<u32>(l.valid as u64)?.store_release(1);
        Ok(())
    }

    /// Ends the frame without telling viewers that it is whole.
    pub fn abandon_frame(&mut self) {
        self.writing = None;
    }

    /// Rows of a picture that fit into a slot.
    pub fn rows_that_fit(&self, spec: &PictureSpec) -> u32 {
        (self.plan.capacity_bytes / spec.pitch_bytes.max(1)).min(spec.height)
    }

    fn block(&self) -> Block {
        self.block_of(self.slot)
    }

    fn store_write_pointer(&self, block: Block, bytes: u32) -> Result<(), AccessError> {
        let at = u64::from(block.offset) + u64::from(self.plan.write_pointer);
        // Releases the rows below it to the viewer that reads it.
        self.host.region().whole().word::<u32>(at)?.store_release(bytes);
        Ok(())
    }
}
