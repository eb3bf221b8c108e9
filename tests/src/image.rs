//! Pictures as tests compare them: rows of red, green, blue, from a PNG file or from a screen.

use std::path::Path;

/// A picture, without padding and without alpha.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Three bytes for each pixel: red, green, blue.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture {}x{}", self.width, self.height)
    }
}

impl Picture {
    /// The colour of one pixel, or nothing outside.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        self.rgb.get(at..at + 3)?.try_into().ok()
    }

    /// The part of `width` x `height` pixels whose upper left corner is (`x`, `y`).
    ///
    /// # Panics
    /// If it is not all inside.
    pub fn part(&self, x: u32, y: u32, width: u32, height: u32) -> Picture {
        assert!(x + width <= self.width && y + height <= self.height, "{width}x{height} at {x},{y} of {self:?}");
        let rows = (y..y + height).flat_map(|row| {
            let start = (row as usize * self.width as usize + x as usize) * 3;
            self.rgb[start..start + width as usize * 3].iter().copied()
        });
        Picture { width, height, rgb: rows.collect() }
    }

    /// How many pixels differ, and the first that does. Sizes must be equal.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn difference(&self, other: &Picture) -> Option<String> {
        assert_eq!((self.width, self.height), (other.width, other.height), "sizes differ");
        if self.rgb == other.rgb {
            return None;
        }
        let pairs = self.rgb.as_chunks::<3>().0.iter().zip(other.rgb.as_chunks::<3>().0);
        let wrong: Vec<_> = pairs.enumerate().filter(|(_, (a, b))| a != b).collect();
        let (at, (a, b)) = wrong.first()?;
        let (x, y) = (*at as u32 % self.width, *at as u32 / self.width);
        Some(format!("{} pixels differ, the first at {x},{y}: {a:?} and {b:?}", wrong.len()))
    }
}

/// Reads a PNG file of 8 bits, with or without alpha.
///
/// # Panics
/// If it is not one.
pub fn from_png(path: &Path) -> Picture {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a picture that fits in memory")];
    let info = reader.next_frame(&mut pixels).expect("a whole picture");
    assert_eq!(info.bit_depth, png::BitDepth::Eight);
    pixels.truncate(info.buffer_size());
    let rgb = match info.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Rgba => pixels.as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect(),
        other => panic!("a PNG with colours {other:?}"),
    };
    Picture { width: info.width, height: info.height, rgb }
}

/// Reads an X window dump of 32 bits for each pixel: the form in which Xvfb keeps its screen. Source: `X11/XWDFile.h`.
///
/// # Panics
/// If it is another kind of dump.
pub fn from_xwd(bytes: &[u8]) -> Picture {
    let word = |n: usize| -> usize {
        let four: [u8; 4] = bytes[n * 4..n * 4 + 4].try_into().expect("four bytes");
        u32::from_be_bytes(four) as usize
    };
    let (header, width, height, byte_order) = (word(0), word(4), word(5), word(7));
    let (bits, row_bytes, colours) = (word(11), word(12), word(19));
    assert_eq!((word(1), bits), (7, 32), "a dump of version 7 with 32 bits for each pixel");
    // The colour table has 12 bytes for each entry.
    let pixels = &bytes[header + colours * 12..];
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in pixels.chunks(row_bytes).take(height) {
        for p in row[..width * 4].as_chunks::<4>().0 {
            // Least byte first: blue, green, red, unused. Else the reverse.
            rgb.extend_from_slice(&if byte_order == 0 { [p[2], p[1], p[0]] } else { [p[1], p[2], p[3]] });
        }
    }
    Picture { width: width as u32, height: height as u32, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, rgb: &[u8]) -> Picture {
        Picture { width, height, rgb: rgb.to_vec() }
    }

    #[test]
    fn a_difference_names_the_first_pixel() {
        let a = picture(2, 2, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        let mut b = a.clone();
        assert_eq!(a.difference(&b), None);
        b.rgb[7] = 9;
        assert_eq!(a.difference(&b).unwrap(), "1 pixels differ, the first at 0,1: [3, 3, 3] and [3, 9, 3]");
        assert_eq!(a.part(1, 0, 1, 2).rgb, [2, 2, 2, 4, 4, 4]);
    }

    #[test]
    fn a_dump_is_read_whatever_its_padding() {
        // Header of 100 bytes, one colour of 12, then two rows of one pixel with four bytes of padding each.
        let mut dump = vec![0; 100 + 12 + 16];
        for (n, value) in [(0, 100u32), (1, 7), (4, 1), (5, 2), (7, 0), (11, 32), (12, 8), (19, 1)] {
            dump[n * 4..n * 4 + 4].copy_from_slice(&value.to_be_bytes());
        }
        dump[112..115].copy_from_slice(&[3, 2, 1]);
        dump[120..123].copy_from_slice(&[6, 5, 4]);
        assert_eq!(from_xwd(&dump), picture(1, 2, &[1, 2, 3, 4, 5, 6]));
    }
}
