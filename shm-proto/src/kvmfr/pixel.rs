//! The six ways a pixel can lie in memory. Source: the wire reference, section 3.5.

use crate::guest::{Corrupt, Guest};

/// How a pixel lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelType {
    /// Bytes B G R A, eight bits each.
    Bgra,
    /// Bytes R G B A, eight bits each.
    Rgba,
    /// A u32 with R in bits 0-9, G 10-19, B 20-29, A 30-31.
    Rgba10,
    /// Four IEEE half floats R G B A.
    Rgba16F,
    /// Bytes B G R, packed; the header describes a row as texels of 32 bits.
    Bgr32,
    /// Bytes R G B, packed.
    Rgb24,
}

impl PixelType {
    /// Every type, in the order of their numbers from 1 on.
    pub const ALL: [PixelType; 6] =
        [PixelType::Bgra, PixelType::Rgba, PixelType::Rgba10, PixelType::Rgba16F, PixelType::Bgr32, PixelType::Rgb24];

    /// From the number in a frame header.
    ///
    /// # Errors
    /// [`Corrupt`] for any other number.
    pub fn check(number: Guest<u32>) -> Result<PixelType, Corrupt> {
        let number = number.check("type", 1..=6)?;
        Ok(match number {
            1 => PixelType::Bgra,
            2 => PixelType::Rgba,
            3 => PixelType::Rgba10,
            4 => PixelType::Rgba16F,
            5 => PixelType::Bgr32,
            _ => PixelType::Rgb24,
        })
    }

    /// The number in a frame header.
    pub const fn number(self) -> u32 {
        match self {
            PixelType::Bgra => 1,
            PixelType::Rgba => 2,
            PixelType::Rgba10 => 3,
            PixelType::Rgba16F => 4,
            PixelType::Bgr32 => 5,
            PixelType::Rgb24 => 6,
        }
    }

    /// Bytes of one picture pixel.
    pub const fn bytes_per_pixel(self) -> u32 {
        match self {
            PixelType::Bgra | PixelType::Rgba | PixelType::Rgba10 => 4,
            PixelType::Rgba16F => 8,
            PixelType::Bgr32 | PixelType::Rgb24 => 3,
        }
    }
}

impl core::fmt::Display for PixelType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            PixelType::Bgra => "BGRA",
            PixelType::Rgba => "RGBA",
            PixelType::Rgba10 => "RGBA10",
            PixelType::Rgba16F => "RGBA16F",
            PixelType::Bgr32 => "BGR_32",
            PixelType::Rgb24 => "RGB_24",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways_and_no_others_exist() {
        for pixel in PixelType::ALL {
            assert_eq!(PixelType::check(Guest::new(pixel.number())), Ok(pixel));
        }
        for wrong in [0, 7, u32::MAX] {
            assert!(PixelType::check(Guest::new(wrong)).is_err());
        }
    }
}
