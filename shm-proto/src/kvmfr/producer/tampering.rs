//! What a producer can be told to write instead of the truth. Fields are named, not placed: where they lie depends on the
//! version.

use super::super::wire::{CursorLayout, FrameLayout};
use crate::lgmp::host::Block;

/// Words and payloads that replace honest ones, for guests that lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tampering {
    /// Words of every frame header.
    pub frame_header: &'static [(FrameField, u32)],
    /// Words of every cursor header.
    pub cursor_header: &'static [(CursorField, u32)],
    /// The payload every frame message names.
    pub frame_block: Option<Block>,
    /// The payload every cursor message names.
    pub pointer_block: Option<Block>,
    /// Writes the next frame though viewers still hold every slot.
    pub ignores_viewers: bool,
}

impl Tampering {
    pub(super) fn spoil(words: impl Iterator<Item = (usize, u32)>, header: &mut [u8]) {
        for (at, value) in words {
            if let Some(place) = header.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

/// A word of a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameField {
    /// Its pixel type.
    PixelType,
    /// Where the pixels lie.
    Offset,
    /// Rows of the picture.
    FrameHeight,
    /// Columns of the picture.
    FrameWidth,
    /// Rows stored.
    DataHeight,
    /// Columns stored.
    DataWidth,
    /// Columns of the guest's desktop.
    ScreenWidth,
    /// Bytes from row to row.
    Pitch,
    /// Pixels from row to row.
    Stride,
    /// How many rectangles changed.
    DamageCount,
    /// A word of the first rectangle.
    Damage(usize),
    /// Which way is up.
    Rotation,
    /// The flags.
    Flags,
    /// The format's number.
    FormatVer,
    /// The frame's number.
    Serial,
    /// How bright white is.
    SdrWhite,
}

impl FrameField {
    /// Where it lies; nothing if the version does not have it.
    pub fn at(self, l: &FrameLayout) -> Option<usize> {
        Some(match self {
            FrameField::PixelType => l.pixel_type,
            FrameField::Offset => l.offset,
            FrameField::FrameHeight => l.frame_height,
            FrameField::FrameWidth => l.frame_width,
            FrameField::DataHeight => l.data_height?,
            FrameField::DataWidth => l.data_width?,
            FrameField::ScreenWidth => l.screen_width,
            FrameField::Pitch => l.pitch,
            FrameField::Stride => l.stride,
            FrameField::DamageCount => l.damage_count,
            FrameField::Damage(word) => l.damage + 4 * word,
            FrameField::Rotation => l.rotation,
            FrameField::Flags => l.flags,
            FrameField::FormatVer => l.format_ver,
            FrameField::Serial => l.serial,
            FrameField::SdrWhite => l.sdr_white_level?,
        })
    }
}

/// A word of a cursor header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorField {
    /// Its kind.
    Kind,
    /// Columns.
    Width,
    /// Rows stored.
    Height,
    /// Bytes from row to row.
    Pitch,
    /// Both bytes of the hotspot, and the hole behind them.
    Hotspot,
}

impl CursorField {
    /// Where it lies.
    pub fn at(self, l: &CursorLayout) -> usize {
        match self {
            CursorField::Kind => l.kind,
            CursorField::Width => l.width,
            CursorField::Height => l.height,
            CursorField::Pitch => l.pitch,
            CursorField::Hotspot => l.hotspot_x,
        }
    }
}
