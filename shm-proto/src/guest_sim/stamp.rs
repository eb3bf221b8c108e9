//! Frame number and time, drawn into the picture: as a strip of bits at its top and at its bottom, for programs, and as
//! digits, for people. A receiver that reads the strip knows which frame it shows, how old it is and whether top and
//! bottom are of the same one.

use crate::kvmfr::PixelType;

/// Bits in a row of the strip.
pub const STRIP_COLUMNS: u32 = 32;
/// Rows of bits: marker and check, number, and two of time.
pub const STRIP_ROWS: u32 = 4;
/// The first sixteen bits of every strip.
const MARKER: u16 = 0xB1A6;
/// The largest side of one bit, pixels.
const MAX_CELL: u32 = 8;

/// What is drawn into a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The frame's number.
    pub frame: u32,
    /// When it was drawn, nanoseconds of the guest's clock.
    pub time_ns: u64,
}

/// Which of the two strips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first rows of the picture.
    Top,
    /// The last ones.
    Bottom,
}

impl Stamp {
    /// The rows of bits, most significant bit first.
    pub fn rows(self) -> [u32; STRIP_ROWS as usize] {
        let (high, low) = ((self.time_ns >> 32) as u32, self.time_ns as u32);
        let check = check(self.frame, self.time_ns);
        [u32::from(MARKER) << 16 | u32::from(check), self.frame, high, low]
    }

    /// The stamp in these rows of bits, if marker and check agree.
    pub fn from_rows([head, frame, high, low]: [u32; STRIP_ROWS as usize]) -> Option<Stamp> {
        let stamp = Stamp { frame, time_ns: u64::from(high) << 32 | u64::from(low) };
        (stamp.rows()[0] == head).then_some(stamp)
    }
}

/// A check sum of sixteen bits (Fletcher).
fn check(frame: u32, time_ns: u64) -> u16 {
    let (mut a, mut b) = (1u16, 7u16);
    for byte in frame.to_le_bytes().into_iter().chain(time_ns.to_le_bytes()) {
        a = (a + u16::from(byte)) % 255;
        b = (b + a) % 255;
    }
    b << 8 | a
}

/// Side of one bit in a picture of this size, pixels; nothing if the picture is too small for strips (below 32 by 12).
pub fn cell(width: u32, height: u32) -> Option<u32> {
    let cell = (width / STRIP_COLUMNS).min(height / 12).min(MAX_CELL);
    (cell > 0).then_some(cell)
}

/// First row of a strip.
pub fn strip_y(edge: Edge, height: u32, cell: u32) -> u32 {
    match edge {
        Edge::Top => 0,
        Edge::Bottom => height.saturating_sub(STRIP_ROWS * cell),
    }
}

/// Reads the stamp at one edge of a picture of `width` by `height`, whose rows are `pitch_bytes` apart. Nothing if there
/// is none: too small, torn within the strip, or not a test picture. Reads the middle of each bit, so it also works on a
/// picture that went through a lossless path as RGBA.
pub fn read_stamp(
    pixels: &[u8],
    pitch_bytes: usize,
    pixel_type: PixelType,
    (width, height): (u32, u32),
    edge: Edge,
) -> Option<Stamp> {
    let cell = cell(width, height)?;
    let mut rows = [0u32; STRIP_ROWS as usize];
    for (row, bits) in (0..).zip(&mut rows) {
        let y = strip_y(edge, height, cell) + row * cell + cell / 2;
        let line = pixels.get(y as usize * pitch_bytes..)?;
        for column in 0..STRIP_COLUMNS {
            let x = (column * cell + cell / 2) as usize;
            let at = x * pixel_type.bytes_per_pixel() as usize;
            *bits = *bits << 1 | u32::from(is_bright(line.get(at..)?, pixel_type)?);
        }
    }
    Stamp::from_rows(rows)
}

/// Whether the green of a pixel is more than half.
fn is_bright(pixel: &[u8], pixel_type: PixelType) -> Option<bool> {
    Some(match pixel_type {
        PixelType::Bgra | PixelType::Rgba | PixelType::Bgr32 | PixelType::Rgb24 => *pixel.get(1)? >= 128,
        PixelType::Rgba10 => u32::from_le_bytes(*pixel.first_chunk()?) >> 19 & 1 != 0,
        // Half floats of 0.5 and more have an exponent of 14 and more.
        PixelType::Rgba16F => *pixel.get(3)? >= 0x38,
    })
}

/// The width of a glyph with the gap behind it, in dots.
pub const GLYPH_COLUMNS: u32 = 4;
/// The height of a glyph with the gap below it, in dots.
pub const GLYPH_ROWS: u32 = 6;
/// Characters in a line of text.
pub const TEXT_COLUMNS: u32 = 10;
/// Lines of text: number and time.
pub const TEXT_LINES: u32 = 2;

/// The two lines for people: `F00001234` and `T 0012.345` (seconds).
pub fn text(stamp: Stamp) -> [[u8; TEXT_COLUMNS as usize]; TEXT_LINES as usize] {
    let mut lines = [*b"F 00000000", *b"T 0000.000"];
    let mut number = stamp.frame % 100_000_000;
    for place in lines[0].iter_mut().skip(2).rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let mut ms = stamp.time_ns / 1_000_000 % 10_000_000;
    for place in lines[1].iter_mut().skip(2).rev().filter(|p| **p != b'.') {
        *place = b'0' + (ms % 10) as u8;
        ms /= 10;
    }
    lines
}

/// Whether the dot at column `x` and row `y` of a glyph is set; three columns and five rows of dots.
pub fn glyph_dot(glyph: u8, x: u32, y: u32) -> bool {
    // Five rows of three dots, top row first.
    let rows: [u8; 5] = match glyph {
        b'0' => [0b111, 0b101, 0b101, 0b101, 0b111],
        b'1' => [0b010, 0b110, 0b010, 0b010, 0b111],
        b'2' => [0b111, 0b001, 0b111, 0b100, 0b111],
        b'3' => [0b111, 0b001, 0b111, 0b001, 0b111],
        b'4' => [0b101, 0b101, 0b111, 0b001, 0b001],
        b'5' => [0b111, 0b100, 0b111, 0b001, 0b111],
        b'6' => [0b111, 0b100, 0b111, 0b101, 0b111],
        b'7' => [0b111, 0b001, 0b010, 0b010, 0b010],
        b'8' => [0b111, 0b101, 0b111, 0b101, 0b111],
        b'9' => [0b111, 0b101, 0b111, 0b001, 0b111],
        b'F' => [0b111, 0b100, 0b110, 0b100, 0b100],
        b'T' => [0b111, 0b010, 0b010, 0b010, 0b010],
        b'.' => [0b000, 0b000, 0b000, 0b000, 0b010],
        _ => [0; 5],
    };
    x < 3 && rows.get(y as usize).is_some_and(|row| row >> (2 - x) & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_bits_and_a_flipped_bit_is_noticed() {
        let stamp = Stamp { frame: 0xDEAD_BEEF, time_ns: u64::MAX - 12345 };
        assert_eq!(Stamp::from_rows(stamp.rows()), Some(stamp));
        for row in 0..4 {
            for bit in 0..32 {
                let mut rows = stamp.rows();
                rows[row] ^= 1 << bit;
                assert_eq!(Stamp::from_rows(rows), None, "row {row} bit {bit}");
            }
        }
    }

    #[test]
    fn people_read_number_and_seconds() {
        let lines = text(Stamp { frame: 1234, time_ns: 12_345_678_901 });
        assert_eq!(lines, [*b"F 00001234", *b"T 0012.345"]);
    }

    #[test]
    fn every_digit_looks_different() {
        let look = |g: u8| (0..15).map(|i| glyph_dot(g, i % 3, i / 3)).collect::<Vec<_>>();
        for a in b'0'..=b'9' {
            for b in b'0'..a {
                assert_ne!(look(a), look(b), "{} {}", a as char, b as char);
            }
        }
    }

    #[test]
    fn small_pictures_have_small_bits_and_tiny_ones_none() {
        assert_eq!(cell(1920, 1080), Some(8));
        assert_eq!(cell(64, 48), Some(2));
        assert_eq!(cell(32, 12), Some(1));
        assert_eq!(cell(31, 1000), None);
        assert_eq!(cell(1000, 11), None);
    }
}
