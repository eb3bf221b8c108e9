//! The cursor of [`Producer`]: what it is, and what of it viewers have not been told.

use super::super::cursor::ShapeKind;
use super::super::wire::layouts::MAX_CURSOR_HEADER_BYTES;
use super::super::wire::{MAX_SHAPE_BYTES, cursor_flags};
use super::memory::SHAPE_BUFFERS;
use super::{Producer, Tampering};
use crate::lgmp::host::{Block, HostError};
use crate::lgmp::host_queue::Posted;
use crate::time::HostTime;

/// A cursor shape to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeSpec {
    /// How it is drawn.
    pub kind: ShapeKind,
    /// Columns.
    pub width: u32,
    /// Rows stored: twice what is seen for a monochrome shape.
    pub stored_rows: u32,
    /// Bytes from row to row.
    pub pitch_bytes: u32,
    /// The point that points.
    pub hotspot: (i8, i8),
    /// Its bytes, at most 1 MiB.
    pub pixels: Vec<u8>,
}

/// What the cursor is, and what of it viewers have not been told.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) position: Option<(i16, i16)>,
    pub(super) visible: bool,
    pub(super) shape: Option<ShapeSpec>,
    pub(super) position_due: bool,
    pub(super) shape_due: bool,
}

impl Producer {
    /// Moves, shows or hides the cursor.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn set_cursor(&mut self, x: i16, y: i16, visible: bool, now: HostTime) -> Result<(), HostError> {
        self.cursor.position = Some((x, y));
        self.cursor.visible = visible;
        self.cursor.position_due = true;
        self.send_cursor(now)
    }

    /// Gives the cursor another shape.
    ///
    /// # Errors
    /// [`HostError::NoRoom`] for more than 1 MiB; [`HostError::Access`].
    pub fn set_shape(&mut self, shape: ShapeSpec, now: HostTime) -> Result<(), HostError> {
        let need = shape.pixels.len() as u64;
        if need > u64::from(MAX_SHAPE_BYTES) {
            return Err(HostError::NoRoom { need, free: u64::from(MAX_SHAPE_BYTES) });
        }
        self.cursor.shape = Some(shape);
        self.cursor.shape_due = true;
        self.send_cursor(now)
    }

    /// Posts what is due: a shape in one message with the position, else the position alone. What finds no room stays
    /// due.
    pub(super) fn send_cursor(&mut self, now: HostTime) -> Result<(), HostError> {
        if self.cursor.shape_due {
            self.send_shape(now)?;
        }
        if self.cursor.position_due {
            let block = self.plan.positions.get(self.next_position).copied();
            if self.send(block, cursor_flags::POSITION, &[], now)? {
                self.next_position = (self.next_position + 1) % self.plan.positions.len().max(1);
                self.cursor.position_due = false;
            }
        }
        Ok(())
    }

    fn send_shape(&mut self, now: HostTime) -> Result<(), HostError> {
        let Some(shape) = self.cursor.shape.take() else { return Ok(()) };
        let block = self.plan.shapes.get(self.next_shape).copied();
        let mut flags = cursor_flags::SHAPE;
        if self.cursor.position_due {
            flags |= cursor_flags::POSITION;
        }
        let header = Some(&shape);
        let sent = self.send_with(block, flags, header, &shape.pixels, now)?;
        self.cursor.shape = Some(shape);
        if sent {
            self.next_shape = (self.next_shape + 1) % SHAPE_BUFFERS;
            self.cursor.shape_due = false;
            self.cursor.position_due = false;
        }
        Ok(())
    }

    fn send(&mut self, block: Option<Block>, flags: u32, pixels: &[u8], now: HostTime) -> Result<bool, HostError> {
        self.send_with(block, flags, None, pixels, now)
    }

    fn send_with(
        &mut self,
        block: Option<Block>,
        flags: u32,
        shape: Option<&ShapeSpec>,
        pixels: &[u8],
        now: HostTime,
    ) -> Result<bool, HostError> {
        let Some(block) = block else { return Ok(false) };
        let l = &self.wire.cursor;
        let mut header = [0u8; MAX_CURSOR_HEADER_BYTES];
        let header = header.get_mut(..l.size).unwrap_or_default();
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = header.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        let (x, y) = self.cursor.position.unwrap_or((0, 0));
        put(l.x, &x.to_le_bytes());
        put(l.y, &y.to_le_bytes());
        if let Some(shape) = shape {
            put(l.kind, &shape.kind.number().to_le_bytes());
            put(l.hotspot_x, &shape.hotspot.0.to_le_bytes());
            put(l.hotspot_y, &shape.hotspot.1.to_le_bytes());
            put(l.width, &shape.width.to_le_bytes());
            put(l.height, &shape.stored_rows.to_le_bytes());
            put(l.pitch, &shape.pitch_bytes.to_le_bytes());
        }
        Tampering::spoil(self.tampering.cursor_header.iter().map(|(field, value)| (field.at(l), *value)), header);
        let at = u64::from(block.offset);
        let region = self.host.region();
        region.span(at, header.len() as u64)?.copy_from(header)?;
        region.span(at + header.len() as u64, pixels.len() as u64)?.copy_from(pixels)?;
        // Said in every message: versions that have no bit for that ignore it.
        let visible = if self.cursor.visible { cursor_flags::VISIBLE } else { 0 } | cursor_flags::VISIBLE_VALID;
        let udata = u64::from(flags | visible);
        let posted = self.post(self.queues.pointer, udata, self.tampering.pointer_block.unwrap_or(block), now)?;
        self.counters.cursor_messages += u64::from(posted == Posted::Sent);
        // Without listeners nothing is due: a newcomer gets everything again.
        Ok(matches!(posted, Posted::Sent | Posted::NobodyListens))
    }
}
