//! The guest's cursor: where it is, whether it is visible, what it looks like. Source: the wire reference, section 3.9.
//!
//! A shape may be overwritten by the guest while it is read, so it is copied once into memory of ours and the header is
//! looked at again afterwards.

use super::wire::{CursorLayout, MAX_CURSOR_SIDE, MAX_SHAPE_BYTES, Snapshot};
use crate::guest::{Corrupt, Guest};

/// How a cursor's shape is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShapeKind {
    /// BGRA, premultiplied: what is below shines through by 1 - alpha.
    Color,
    /// One bit per pixel, most significant first: first the AND mask, then, `height` rows later, the XOR mask.
    Monochrome,
    /// BGRA: alpha 0 replaces, alpha 255 inverts what is below by the colour.
    MaskedColor,
}

impl ShapeKind {
    /// From the number in a message.
    ///
    /// # Errors
    /// [`Corrupt`] for any other number.
    pub fn check(number: Guest<u32>) -> Result<ShapeKind, Corrupt> {
        Ok(match number.check("cursor type", 0..=2)? {
            0 => ShapeKind::Color,
            1 => ShapeKind::Monochrome,
            _ => ShapeKind::MaskedColor,
        })
    }

    /// The number in a message.
    pub const fn number(self) -> u32 {
        match self {
            ShapeKind::Color => 0,
            ShapeKind::Monochrome => 1,
            ShapeKind::MaskedColor => 2,
        }
    }

    /// Bytes of pixels in a row of `width`.
    pub const fn row_bytes(self, width: u32) -> u32 {
        match self {
            ShapeKind::Monochrome => width.div_ceil(8),
            ShapeKind::Color | ShapeKind::MaskedColor => width.saturating_mul(4),
        }
    }
}

/// A shape's header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorShape {
    kind: ShapeKind,
    width: u32,
    stored_rows: u32,
    pitch_bytes: u32,
    hotspot: (i32, i32),
}

impl CursorShape {
    /// Checks the header of a message that carries a shape; `payload_bytes` is the length of the whole message.
    ///
    /// # Errors
    /// [`Corrupt`] if there is no shape in it.
    pub fn check(bytes: &[u8], l: &CursorLayout, payload_bytes: u64) -> Result<CursorShape, Corrupt> {
        let s = Snapshot(bytes);
        let kind = ShapeKind::check(s.u32("cursor type", l.kind)?)?;
        let width = s.u32("cursor width", l.width)?.check("cursor width", 1..=MAX_CURSOR_SIDE)?;
        let rows = s.u32("cursor height", l.height)?;
        let stored_rows = match kind {
            ShapeKind::Monochrome => {
                let rows = rows.check("cursor height", 2..=2 * MAX_CURSOR_SIDE)?;
                Guest::new(rows).check_that("cursor height", "even, for it counts both masks", |r| r % 2 == 0)?
            }
            ShapeKind::Color | ShapeKind::MaskedColor => rows.check("cursor height", 1..=MAX_CURSOR_SIDE)?,
        };
        let pitch = s.u32("cursor pitch", l.pitch)?;
        let pitch_bytes = pitch.check("cursor pitch", kind.row_bytes(width)..=MAX_SHAPE_BYTES)?;
        let room = payload_bytes.saturating_sub(l.size as u64).min(u64::from(MAX_SHAPE_BYTES));
        Guest::new(u64::from(pitch_bytes) * u64::from(stored_rows)).check("cursor pitch x height", 1..=room)?;
        let large = width > 127 || stored_rows > 127;
        let hotspot = |raw: Guest<u8>| {
            let raw = raw.distrusted();
            // A producer squeezes 128 and more into a signed byte; a small shape has no such hotspot.
            if large { i32::from(raw) } else { i32::from(raw.cast_signed()) }
        };
        let hotspot = (hotspot(s.u8("hx", l.hotspot_x)?), hotspot(s.u8("hy", l.hotspot_y)?));
        Ok(CursorShape { kind, width, stored_rows, pitch_bytes, hotspot })
    }

    /// How it is drawn.
    pub const fn kind(&self) -> ShapeKind {
        self.kind
    }

    /// Columns.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows that are seen; a monochrome shape stores twice as many.
    pub const fn height(&self) -> u32 {
        match self.kind {
            ShapeKind::Monochrome => self.stored_rows / 2,
            ShapeKind::Color | ShapeKind::MaskedColor => self.stored_rows,
        }
    }

    /// Bytes from row to row.
    pub const fn pitch_bytes(&self) -> u32 {
        self.pitch_bytes
    }

    /// The point that points, from the top left corner of the shape.
    pub const fn hotspot(&self) -> (i32, i32) {
        self.hotspot
    }

    /// Bytes of the shape, at most 1 MiB.
    pub const fn bytes(&self) -> u32 {
        self.pitch_bytes * self.stored_rows
    }

    /// The colour at a pixel as red, green, blue, alpha, and whether it inverts what is below; nothing outside.
    ///
    /// For monochrome shapes the colour is black or white and alpha says whether it covers.
    pub fn pixel(&self, pixels: &[u8], x: u32, y: u32) -> Option<ShapePixel> {
        if x >= self.width || y >= self.height() {
            return None;
        }
        let row = |row: u32| pixels.get(row as usize * self.pitch_bytes as usize..);
        match self.kind {
            ShapeKind::Monochrome => {
                let bit = |r: u32| Some(row(r)?.get(x as usize / 8)? >> (7 - x % 8) & 1 != 0);
                let (and, xor) = (bit(y)?, bit(y + self.height())?);
                let level = if xor { 255 } else { 0 };
                Some(ShapePixel { rgba: [level, level, level, if and { 0 } else { 255 }], inverts: and && xor })
            }
            ShapeKind::Color | ShapeKind::MaskedColor => {
                let [b, g, r, a] = *row(y)?.get(x as usize * 4..)?.first_chunk::<4>()?;
                let masked = self.kind == ShapeKind::MaskedColor;
                Some(ShapePixel { rgba: [r, g, b, if masked { 255 - a } else { a }], inverts: masked && a != 0 })
            }
        }
    }
}

/// See [`CursorShape::pixel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapePixel {
    /// Red, green, blue and how much it covers.
    pub rgba: [u8; 4],
    /// Whether it inverts what is below instead of covering it.
    pub inverts: bool,
}

/// The cursor as a receiver keeps it. Made once; taking messages into it allocates nothing.
#[derive(Debug)]
pub struct CursorState {
    pub(super) generation: u64,
    pub(super) visible: bool,
    pub(super) position: Option<(i32, i32)>,
    pub(super) shape: Option<CursorShape>,
    pub(super) shape_serial: u64,
    pub(super) pixels: Box<[u8]>,
}

impl Default for CursorState {
    fn default() -> Self {
        CursorState::new()
    }
}

impl CursorState {
    /// No cursor yet. Allocates room for the largest shape, 1 MiB.
    pub fn new() -> CursorState {
        CursorState {
            generation: 0,
            visible: false,
            position: None,
            shape: None,
            shape_serial: 0,
            pixels: vec![0; MAX_SHAPE_BYTES as usize].into_boxed_slice(),
        }
    }

    /// Whether the guest shows it, and there is something to show.
    pub fn is_visible(&self) -> bool {
        self.visible && self.position.is_some() && self.shape.is_some()
    }

    /// The top left corner of the shape in pixels of the guest's screen; may be negative.
    pub fn position(&self) -> Option<(i32, i32)> {
        self.position
    }

    /// The shape's header.
    pub fn shape(&self) -> Option<&CursorShape> {
        self.shape.as_ref()
    }

    /// The shape's bytes, [`CursorShape::bytes`] of them; empty without a shape.
    pub fn pixels(&self) -> &[u8] {
        self.shape.and_then(|s| self.pixels.get(..s.bytes() as usize)).unwrap_or_default()
    }

    /// Grows by one with every new shape.
    pub fn shape_serial(&self) -> u64 {
        self.shape_serial
    }

    /// Forgets the cursor of an earlier session. Whether there was something to forget.
    pub(super) fn clear(&mut self, generation: u64) -> bool {
        let had = self.visible || self.position.is_some() || self.shape.is_some();
        self.generation = generation;
        self.visible = false;
        self.position = None;
        self.shape = None;
        had
    }
}

/// The position of a cursor message.
///
/// # Errors
/// Never for a whole header.
pub(super) fn position(bytes: &[u8], l: &CursorLayout) -> Result<(i32, i32), Corrupt> {
    let s = Snapshot(bytes);
    Ok((i32::from(s.i16("x", l.x)?), i32::from(s.i16("y", l.y)?)))
}
