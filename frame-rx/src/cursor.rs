//! The guest's pointer: its shape in the one form the screen draws, and where it is. The guest's three kinds come down
//! to two: colours laid over the picture, and masks that replace or invert it. Pure.

use crate::picture::Size;

/// How a shape's pixels meet the picture under them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorKind {
    /// Blue, green, red already multiplied by the fourth byte, the opacity; laid over the picture.
    Blend,
    /// Fourth byte 0: the pixel is replaced by blue, green, red. Otherwise: the picture's bits are flipped where the
    /// shape's are set, so white inverts and black leaves alone.
    Mask,
}

/// The most pixels a shape may have. Source: KVMFR carries shapes of at most 1 MiB, 512 x 512 pixels of 4 bytes.
pub const MAX_SHAPE_PIXELS: u32 = 512 * 512;

/// A pointer's shape: rows from top to bottom without gaps, four bytes a pixel in the order blue, green, red, opacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How it meets the picture.
    pub kind: CursorKind,
    /// Width and height in pixels of the guest's desktop.
    pub size: Size,
    /// Four bytes a pixel.
    pub bgra: Vec<u8>,
}

/// Why bytes do not make a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No pixel, or more than a shape may have.
    #[error("a pointer of {0} pixels is not drawn")]
    Size(Size),
    /// Rows are shorter than the width, or the bytes end early.
    #[error("a pointer of {size} pixels needs more than {bytes} bytes with rows of {pitch_bytes}")]
    Short {
        /// The size claimed.
        size: Size,
        /// Bytes given.
        bytes: usize,
        /// Distance between rows in bytes.
        pitch_bytes: u32,
    },
}

impl Shape {
    /// A shape without pixels, with room for the largest, so that filling it later allocates nothing.
    pub fn with_room() -> Shape {
        Shape {
            kind: CursorKind::Blend,
            size: Size::default(),
            bgra: Vec::with_capacity(MAX_SHAPE_PIXELS as usize * 4),
        }
    }

    /// Takes over rows of four-byte pixels, `pitch_bytes` apart.
    ///
    /// # Errors
    /// [`ShapeError`]; the shape is then empty.
    pub fn set_colour(
        &mut self,
        kind: CursorKind,
        size: Size,
        pitch_bytes: u32,
        bytes: &[u8],
    ) -> Result<(), ShapeError> {
        self.start(kind, size)?;
        let row_bytes = size.width * 4;
        for y in 0..size.height {
            let row = row(bytes, y, pitch_bytes, row_bytes);
            self.bgra.extend_from_slice(row.ok_or_else(|| self.short(size, bytes, pitch_bytes))?);
        }
        self.size = size;
        Ok(())
    }

    /// Takes over a shape of one bit a pixel, leftmost in the highest bit: `size.height` rows of the AND mask, then as
    /// many of the XOR mask. AND keeps the picture, XOR flips it: 0 and 0 black, 0 and 1 white, 1 and 0 nothing, 1 and 1
    /// inverted.
    ///
    /// # Errors
    /// [`ShapeError`]; the shape is then empty.
    pub fn set_monochrome(&mut self, size: Size, pitch_bytes: u32, bytes: &[u8]) -> Result<(), ShapeError> {
        self.start(CursorKind::Mask, size)?;
        let row_bytes = size.width.div_ceil(8);
        for y in 0..size.height {
            let and = row(bytes, y, pitch_bytes, row_bytes).ok_or_else(|| self.short(size, bytes, pitch_bytes))?;
            let xor = row(bytes, y + size.height, pitch_bytes, row_bytes)
                .ok_or_else(|| self.short(size, bytes, pitch_bytes))?;
            for x in 0..size.width as usize {
                let bit = 0x80 >> (x % 8);
                let colour = if xor[x / 8] & bit != 0 { 0xFF } else { 0 };
                let keep = if and[x / 8] & bit != 0 { 0xFF } else { 0 };
                self.bgra.extend_from_slice(&[colour, colour, colour, keep]);
            }
        }
        self.size = size;
        Ok(())
    }

    fn start(&mut self, kind: CursorKind, size: Size) -> Result<(), ShapeError> {
        self.bgra.clear();
        self.kind = kind;
        self.size = Size::default();
        match size.width.checked_mul(size.height) {
            Some(pixels) if (1..=MAX_SHAPE_PIXELS).contains(&pixels) => Ok(()),
            _ => Err(ShapeError::Size(size)),
        }
    }

    fn short(&self, size: Size, bytes: &[u8], pitch_bytes: u32) -> ShapeError {
        ShapeError::Short { size, bytes: bytes.len(), pitch_bytes }
    }
}

fn row(bytes: &[u8], y: u32, pitch_bytes: u32, row_bytes: u32) -> Option<&[u8]> {
    if pitch_bytes < row_bytes {
        return None;
    }
    let from = y as usize * pitch_bytes as usize;
    bytes.get(from..from.checked_add(row_bytes as usize)?)
}

/// One pixel of the picture (blue, green, red) under one pixel of a shape. What the shader does, in integers, so that
/// both give the same bits.
pub fn compose(kind: CursorKind, picture: [u8; 3], shape: [u8; 4]) -> [u8; 3] {
    let [b, g, r, opacity] = shape;
    let colour = [b, g, r];
    match kind {
        CursorKind::Mask if opacity == 0 => colour,
        CursorKind::Mask => core::array::from_fn(|i| picture[i] ^ colour[i]),
        CursorKind::Blend => core::array::from_fn(|i| {
            let under = (u32::from(picture[i]) * (255 - u32::from(opacity)) + 127) / 255;
            (u32::from(colour[i]) + under).min(255) as u8
        }),
    }
}

/// Where the pointer is and whether it shows. Packed into one word so that feed and screen share it without a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    /// Left edge of the shape on the guest's desktop, in its pixels; may be negative.
    pub x: i16,
    /// Top edge.
    pub y: i16,
    /// Whether the guest shows it.
    pub visible: bool,
}

impl Pointer {
    /// All of it in one word.
    pub fn pack(self) -> u64 {
        let half = |v: i16| u64::from(u16::from_ne_bytes(v.to_ne_bytes()));
        half(self.x) | half(self.y) << 16 | u64::from(self.visible) << 32
    }

    /// The way back.
    pub fn unpack(word: u64) -> Pointer {
        let half = |v: u64| i16::from_ne_bytes(u16::try_from(v & 0xFFFF).unwrap_or(0).to_ne_bytes());
        Pointer { x: half(word), y: half(word >> 16), visible: word >> 32 & 1 == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_pairs_of_mask_bits_do_what_the_table_says() {
        let mut shape = Shape::with_room();
        // AND 0011, XOR 0101, in the high bits; rows two bytes apart, the second byte is padding.
        shape.set_monochrome(Size::new(4, 1), 2, &[0b0011_0000, 0xEE, 0b0101_0000, 0xEE]).unwrap();
        let under = [10, 200, 77];
        let out: Vec<_> = shape.bgra.chunks(4).map(|p| compose(shape.kind, under, p.try_into().unwrap())).collect();
        assert_eq!(out, [[0, 0, 0], [255, 255, 255], under, [245, 55, 178]]);
    }

    #[test]
    fn a_masked_colour_replaces_or_flips() {
        assert_eq!(compose(CursorKind::Mask, [1, 2, 3], [9, 8, 7, 0]), [9, 8, 7]);
        assert_eq!(compose(CursorKind::Mask, [0xF0, 2, 3], [0x0F, 0, 0xFF, 0xFF]), [0xFF, 2, 0xFC]);
    }

    #[test]
    fn a_blended_colour_lets_the_picture_through_by_its_opacity() {
        assert_eq!(compose(CursorKind::Blend, [100, 100, 100], [5, 6, 7, 0]), [105, 106, 107]);
        assert_eq!(compose(CursorKind::Blend, [100, 100, 100], [5, 6, 7, 255]), [5, 6, 7]);
        assert_eq!(compose(CursorKind::Blend, [100, 0, 255], [64, 64, 64, 128]), [114, 64, 191]);
        assert_eq!(compose(CursorKind::Blend, [255; 3], [200, 200, 200, 10]), [255; 3]);
    }

    #[test]
    fn rows_come_without_their_padding() {
        let mut shape = Shape::with_room();
        let bytes: Vec<u8> = (0..40).collect();
        shape.set_colour(CursorKind::Blend, Size::new(2, 3), 12, &bytes).unwrap();
        let expected: Vec<u8> = (0..8).chain(12..20).chain(24..32).collect();
        assert_eq!((shape.size, shape.bgra), (Size::new(2, 3), expected));
    }

    #[test]
    fn bytes_that_make_no_shape_leave_it_empty() {
        let mut shape = Shape::with_room();
        let colour = CursorKind::Blend;
        let cases = [
            (Size::new(0, 3), 12, 40),
            (Size::new(3, 3), 8, 400),
            (Size::new(2, 4), 12, 40),
            (Size::new(513, 512), 4 * 513, 4 * 513 * 512),
            (Size::new(u32::MAX, u32::MAX), u32::MAX, 40),
        ];
        for (size, pitch, len) in cases {
            assert!(shape.set_colour(colour, size, pitch, &vec![1; len]).is_err(), "{size} {pitch} {len}");
            assert_eq!(shape.size, Size::default());
        }
        assert!(shape.set_monochrome(Size::new(9, 2), 2, &[0; 7]).is_err());
        assert!(shape.set_monochrome(Size::new(9, 2), 1, &[0; 8]).is_err());
        shape.set_monochrome(Size::new(9, 2), 2, &[0; 8]).unwrap();
    }

    #[test]
    fn the_largest_shape_needs_no_new_memory() {
        let mut shape = Shape::with_room();
        let room = shape.bgra.capacity();
        shape.set_monochrome(Size::new(512, 512), 64, &[0x55; 64 * 1024]).unwrap();
        assert_eq!(shape.bgra.capacity(), room);
    }

    #[test]
    fn a_pointer_survives_its_word() {
        for (x, y, visible) in [(0, 0, false), (-1, i16::MIN, true), (i16::MAX, -300, true), (5, 7, false)] {
            let p = Pointer { x, y, visible };
            assert_eq!(Pointer::unpack(p.pack()), p);
        }
    }
}
