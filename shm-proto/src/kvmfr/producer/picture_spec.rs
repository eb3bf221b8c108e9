//! A picture as a producer describes it: size, pixel type, pitch, and the header it puts in front. For guests of ours.

use super::super::damage::Rect;
use super::super::frame::{FrameFlags, Rotation};
use super::super::hdr::{HDR_BYTES, HdrMetadata};
use super::super::pixel::PixelType;
use super::super::wire::layouts::MAX_FRAME_HEADER_BYTES;
use super::super::wire::{Layout, MAX_DAMAGE_RECTS, RECT_BYTES};

/// What a producer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSpec {
    /// How a pixel lies in memory.
    pub pixel_type: PixelType,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from row to row.
    pub pitch_bytes: u32,
    /// The guest's desktop in its own pixels.
    pub screen: (u32, u32),
    /// How to show it upright.
    pub rotation: Rotation,
    /// Flags besides [`FrameFlags::TRUNCATED`], which is set as needed.
    pub flags: u32,
    /// How bright SDR white is, cd/m2, where the version says it; 0 is the usual.
    pub sdr_white: u32,
    /// What display it was made for, where the version says it; the flag is set as needed.
    pub hdr: Option<HdrMetadata>,
}

impl PictureSpec {
    /// A picture with the pitch a stock producer would use: rows padded to 64 pixels.
    pub fn new(pixel_type: PixelType, width: u32, height: u32) -> PictureSpec {
        let pitch_bytes = match pixel_type {
            PixelType::Bgr32 => width.saturating_mul(3).div_ceil(4).next_multiple_of(64).saturating_mul(4),
            _ => width.next_multiple_of(64).saturating_mul(pixel_type.bytes_per_pixel()),
        };
        let flags = if pixel_type == PixelType::Rgba16F { FrameFlags::HDR } else { 0 };
        PictureSpec {
            pixel_type,
            width,
            height,
            pitch_bytes,
            screen: (width, height),
            rotation: Rotation::None,
            flags,
            sdr_white: 0,
            hdr: None,
        }
    }

    /// Bytes of pixels in a row, without padding.
    pub fn row_bytes(&self) -> u32 {
        self.width.saturating_mul(self.pixel_type.bytes_per_pixel())
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pitch_bytes) * u64::from(self.height)
    }

    /// dataWidth, dataHeight and stride as a stock producer fills them, for `rows` stored rows.
    fn stored(&self, rows: u32) -> (u32, u32, u32) {
        match self.pixel_type {
            PixelType::Bgr32 => {
                let texels = self.width.saturating_mul(3).next_multiple_of(4);
                // In integers, so a row less than there are if the width is not a multiple of 4.
                let claimed = self.width.saturating_mul(self.height) / (texels / 3).max(1);
                (self.pitch_bytes / 4, claimed.min(rows), self.pitch_bytes / 4)
            }
            PixelType::Rgb24 => (self.width, rows, self.pitch_bytes / 3),
            PixelType::Rgba16F => (self.width, rows, self.pitch_bytes / 8),
            _ => (self.width, rows, self.pitch_bytes / 4),
        }
    }

    /// The header of a frame. `rows` of the picture are stored, pixels follow `offset` + 4 bytes behind the header's
    /// start. More rectangles than a header holds become everything.
    pub fn encode(&self, layout: &Layout, numbers: FrameNumbers, damage: &[Rect]) -> FrameHeader {
        let l = &layout.frame;
        let mut header = [0; MAX_FRAME_HEADER_BYTES];
        let mut put = |at: usize, value: u32| {
            if let Some(place) = header.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        let (data_width, data_height, stride) = self.stored(numbers.rows);
        let truncated = if numbers.rows < self.height { FrameFlags::TRUNCATED } else { 0 };
        let described = if self.hdr.and(l.hdr).is_some() { FrameFlags::HDR_METADATA } else { 0 };
        let count = u32::try_from(damage.len()).ok().filter(|n| *n <= MAX_DAMAGE_RECTS).unwrap_or(0);
        for (at, value) in [
            (l.format_ver, numbers.format_ver),
            (l.serial, numbers.serial),
            (l.pixel_type, self.pixel_type.number()),
            (l.screen_width, self.screen.0),
            (l.screen_height, self.screen.1),
            (l.frame_width, self.width),
            (l.frame_height, self.height),
            (l.rotation, self.rotation.number()),
            (l.stride, stride),
            (l.pitch, self.pitch_bytes),
            (l.offset, numbers.offset),
            (l.damage_count, count),
            (l.flags, self.flags | truncated | described),
        ] {
            put(at, value);
        }
        let optional = [(l.data_width, data_width), (l.data_height, data_height), (l.sdr_white_level, self.sdr_white)];
        for (at, value) in optional {
            if let Some(at) = at {
                put(at, value);
            }
        }
        if let (Some(hdr), Some(at)) = (self.hdr, l.hdr)
            && let Some(place) = header.get_mut(at..at + HDR_BYTES)
        {
            place.copy_from_slice(&hdr.encode());
        }
        let mut put = |at: usize, value: u32| {
            if let Some(place) = header.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        for (index, rect) in damage.iter().take(count as usize).enumerate() {
            let at = l.damage + index * RECT_BYTES;
            for (field, value) in [rect.x, rect.y, rect.width, rect.height].into_iter().enumerate() {
                put(at + 4 * field, value);
            }
        }
        FrameHeader { bytes: header, len: l.size }
    }
}

/// A frame's header as it goes into memory.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    bytes: [u8; MAX_FRAME_HEADER_BYTES],
    len: usize,
}

impl FrameHeader {
    /// As many bytes as the version has.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The same, for guests that lie.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

/// The numbers of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameNumbers {
    /// One more per new frame.
    pub serial: u32,
    /// One more per new format.
    pub format_ver: u32,
    /// Rows stored.
    pub rows: u32,
    /// From the header's start to the write pointer.
    pub offset: u32,
}
