//! A frame as its header was read, once, and checked: everything a receiver needs to walk its rows without looking at
//! the guest's numbers again. Source: the wire reference, sections 3.3 to 3.8 and 4.1.

use super::damage::{Damage, Rect};
use super::hdr::HdrMetadata;
use super::pixel::PixelType;
use super::wire::{
    FrameLayout, MAX_DAMAGE_RECTS, MAX_DESKTOP_RATIO, MAX_PICTURE_SIDE, RECT_BYTES, SDR_WHITE_NITS, Snapshot,
    WRITE_POINTER_BYTES,
};
use crate::guest::{Corrupt, Guest};

/// Quarter turns clockwise that show the stored picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It is upright.
    #[default]
    None,
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

impl Rotation {
    /// From the number in a header; an unknown one is none.
    pub const fn from_number(number: u32) -> Rotation {
        match number {
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            3 => Rotation::ThreeQuarters,
            _ => Rotation::None,
        }
    }

    /// The number in a header.
    pub const fn number(self) -> u32 {
        match self {
            Rotation::None => 0,
            Rotation::Quarter => 1,
            Rotation::Half => 2,
            Rotation::ThreeQuarters => 3,
        }
    }
}

/// The flag bits of a frame that are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrameFlags(u32);

impl FrameFlags {
    /// The guest keeps its display on.
    pub const BLOCK_SCREENSAVER: u32 = 1;
    /// A window of the guest asks for attention, once.
    pub const REQUEST_ACTIVATION: u32 = 2;
    /// The memory is too small; the bottom is missing.
    pub const TRUNCATED: u32 = 4;
    /// High dynamic range.
    pub const HDR: u32 = 8;
    /// With the PQ transfer function.
    pub const HDR_PQ: u32 = 16;
    /// The header describes the display that the picture was made for.
    pub const HDR_METADATA: u32 = 32;
    const KNOWN: u32 = 63;

    /// Keeps what is known.
    pub const fn new(bits: u32) -> FrameFlags {
        FrameFlags(bits & Self::KNOWN)
    }

    /// Whether every bit of `bits` is set.
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// What the picture is made of; when it changes, textures and staging memory do too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureFormat {
    /// How a pixel lies in memory.
    pub pixel_type: PixelType,
    /// Columns of the stored picture.
    pub width: u32,
    /// Rows of the stored picture, those that did not fit included.
    pub height: u32,
    /// Bytes from row to row in the region.
    pub pitch_bytes: u32,
    /// How to show it upright.
    pub rotation: Rotation,
    /// Whether it is high dynamic range, and how.
    pub hdr: u32,
    /// How bright the white of the guest's SDR windows is. Unit: cd/m2.
    pub sdr_white_nits: u32,
}

/// A frame that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    serial: u32,
    format_ver: u32,
    format: PictureFormat,
    screen: (u32, u32),
    rows: u32,
    flags: FrameFlags,
    hdr: Option<HdrMetadata>,
    damage: Damage,
    pixels_at: u64,
}

/// Where a payload lies, checked: offset and length in bytes, inside a region of `region_bytes`.
#[derive(Clone, Copy, Debug)]
pub struct PayloadPlace {
    /// From the start of the region.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// The region's length.
    pub region_bytes: u64,
}

impl Frame {
    /// Checks a snapshot of the header of the payload at `place`. Rows that the payload cannot hold are cut off, as stock
    /// producers claim too many when the memory is short.
    ///
    /// # Errors
    /// [`Corrupt`] if there is no picture in it.
    pub fn check(bytes: &[u8], l: &FrameLayout, place: PayloadPlace) -> Result<Frame, Corrupt> {
        let snapshot = Snapshot(bytes);
        let get = |field, at| snapshot.u32(field, at);
        let pixel_type = PixelType::check(get("type", l.pixel_type)?)?;
        let pitch = get("pitch", l.pitch)?;
        let frame = (get("frameWidth", l.frame_width)?, get("frameHeight", l.frame_height)?);
        // A version without these fields, and a producer that leaves them unset, mean the picture's own size.
        let optional = |field, at: Option<usize>| at.map_or(Ok(Guest::new(0)), |at| get(field, at));
        let data = (optional("dataWidth", l.data_width)?, optional("dataHeight", l.data_height)?);
        let (width, height) = (side("frameWidth", frame.0)?, side("frameHeight", frame.1)?);
        let width = match pixel_type {
            // Here dataWidth counts texels of 32 bits, not picture pixels.
            PixelType::Bgr32 => width,
            _ => side_or("dataWidth", data.0, width)?.min(width),
        };
        let stored = side_or("dataHeight", data.1, height)?.min(height);
        let row_bytes = width * pixel_type.bytes_per_pixel();
        let pitch_bytes = pitch.check_that("pitch", "at least a row and at most 1 MiB", |p| {
            p >= row_bytes && u64::from(p) <= u64::from(MAX_PICTURE_SIDE) * 64
        })?;
        // A picture much larger than the memory would let the guest choose how much a receiver allocates.
        let claimed = Guest::new(u64::from(pitch_bytes) * u64::from(height));
        claimed.check("pitch x frameHeight", 1..=place.region_bytes.saturating_mul(8).min(u64::from(u32::MAX)))?;
        let header = u32::try_from(l.size).unwrap_or(u32::MAX);
        let offset = get("offset", l.offset)?
            .check_that("offset", "a multiple of 4 behind the header", |o| o.is_multiple_of(4) && o >= header)?;
        let first_pixel = u64::from(offset) + u64::from(WRITE_POINTER_BYTES);
        let room = place.len.saturating_sub(first_pixel) / u64::from(pitch_bytes);
        let rows = stored.min(u32::try_from(room).unwrap_or(u32::MAX));
        Guest::new(rows).check_that("offset", "such that one row fits behind it", |r| r > 0)?;
        let screen = (get("screenWidth", l.screen_width)?, get("screenHeight", l.screen_height)?);
        let screen = (side_or("screenWidth", screen.0, width)?, side_or("screenHeight", screen.1, height)?);
        let flags = FrameFlags::new(get("flags", l.flags)?.distrusted());
        Ok(Frame {
            serial: get("frameSerial", l.serial)?.distrusted(),
            format_ver: get("formatVer", l.format_ver)?.distrusted(),
            format: PictureFormat {
                pixel_type,
                width,
                height,
                pitch_bytes,
                rotation: Rotation::from_number(get("rotation", l.rotation)?.distrusted()),
                hdr: flags.bits() & (FrameFlags::HDR | FrameFlags::HDR_PQ),
                sdr_white_nits: match flags.has(FrameFlags::HDR) {
                    true => sdr_white(optional("sdrWhiteLevel", l.sdr_white_level)?),
                    false => SDR_WHITE_NITS,
                },
            },
            // A desktop that cannot be is no reason to lose the picture.
            screen: if is_desktop_of(screen, (width, height)) { screen } else { (width, height) },
            rows,
            flags,
            // A display that cannot be is no reason to lose the picture.
            hdr: l
                .hdr
                .filter(|_| flags.has(FrameFlags::HDR_METADATA))
                .and_then(|at| HdrMetadata::check(snapshot, at).ok()),
            damage: damage(snapshot, l, width, rows)?,
            pixels_at: place.offset + first_pixel,
        })
    }

    /// The frame's number: one more per new frame, wrapping.
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// Changes when the producer thinks the format changed. A hint; compare [`Frame::format`].
    pub const fn format_ver(&self) -> u32 {
        self.format_ver
    }

    /// What the picture is made of.
    pub const fn format(&self) -> PictureFormat {
        self.format
    }

    /// How a pixel lies in memory.
    pub const fn pixel_type(&self) -> PixelType {
        self.format.pixel_type
    }

    /// Columns of the stored picture.
    pub const fn width(&self) -> u32 {
        self.format.width
    }

    /// Rows of the picture, those that did not fit into the memory included.
    pub const fn height(&self) -> u32 {
        self.format.height
    }

    /// Rows that are really there, 1 to [`Frame::height`].
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether the bottom is missing, because the memory is too small.
    pub const fn is_truncated(&self) -> bool {
        self.rows < self.format.height || self.flags.has(FrameFlags::TRUNCATED)
    }

    /// Bytes of pixels in a row, without padding.
    pub const fn row_bytes(&self) -> u32 {
        self.format.width * self.format.pixel_type.bytes_per_pixel()
    }

    /// Bytes from row to row in the region, at least [`Frame::row_bytes`].
    pub const fn pitch_bytes(&self) -> u32 {
        self.format.pitch_bytes
    }

    /// The guest's desktop in its own pixels: where the cursor's coordinates live. The picture's size where the guest says
    /// none, or one that cannot be.
    pub const fn screen(&self) -> (u32, u32) {
        self.screen
    }

    /// How to show it upright.
    pub const fn rotation(&self) -> Rotation {
        self.format.rotation
    }

    /// The flags that are known.
    pub const fn flags(&self) -> FrameFlags {
        self.flags
    }

    /// What display the picture was made for, if the guest says so.
    pub const fn hdr(&self) -> Option<&HdrMetadata> {
        self.hdr.as_ref()
    }

    /// What changed since the frame taken before, in picture pixels.
    pub const fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Where the first pixel lies, from the start of the region.
    pub const fn pixels_at(&self) -> u64 {
        self.pixels_at
    }

    /// Where the write pointer lies, from the start of the region: a u32, bytes of pixels valid so far.
    pub const fn write_pointer_at(&self) -> u64 {
        self.pixels_at - WRITE_POINTER_BYTES as u64
    }

    pub(super) fn damage_all(&mut self) {
        self.damage = Damage::FULL;
    }
}

fn side(field: &'static str, value: Guest<u32>) -> Result<u32, Corrupt> {
    value.check(field, 1..=MAX_PICTURE_SIDE)
}

/// Whether a guest's desktop can be as large as `screen` where its picture is as large as `picture`: guests scale pictures
/// down by some factor, never by a hundred. Pictures may lie on their side.
fn is_desktop_of(screen: (u32, u32), picture: (u32, u32)) -> bool {
    // Both are at most 16384, so no product overflows.
    let near = |a: u32, b: u32| a <= b * MAX_DESKTOP_RATIO && b <= a * MAX_DESKTOP_RATIO;
    near(screen.0, picture.0) && near(screen.1, picture.1) || near(screen.0, picture.1) && near(screen.1, picture.0)
}

/// What the guest says SDR white is, if a display can be like that; else the usual.
fn sdr_white(nits: Guest<u32>) -> u32 {
    nits.check("sdrWhiteLevel", 10..=10_000).unwrap_or(SDR_WHITE_NITS)
}

/// As `side`, but 0 stands for `fallback`: some producers leave a field unset.
fn side_or(field: &'static str, value: Guest<u32>, fallback: u32) -> Result<u32, Corrupt> {
    if value.distrusted() == 0 { Ok(fallback) } else { side(field, value) }
}

fn damage(snapshot: Snapshot<'_>, l: &FrameLayout, width: u32, rows: u32) -> Result<Damage, Corrupt> {
    // A count that cannot be is no reason to lose the picture: everything changed.
    let Ok(count) = snapshot.u32("damageRectsCount", l.damage_count)?.check("damageRectsCount", 1..=MAX_DAMAGE_RECTS)
    else {
        return Ok(Damage::FULL);
    };
    let list = snapshot.bytes("damageRects", l.damage, count as usize * RECT_BYTES)?;
    let rect = |bytes: &[u8]| {
        let get = |at| Snapshot(bytes).u32("damageRects", at).map_or(0, Guest::distrusted);
        Rect { x: get(0), y: get(4), width: get(8), height: get(12) }
    };
    Ok(Damage::clip(list.chunks_exact(RECT_BYTES).map(rect), width, rows))
}
