//! What display a high-dynamic-range picture was made for. Source: the wire reference, section 3.7 (units), and CTA-861 for
//! what the numbers mean.

use super::wire::Snapshot;
use crate::guest::Corrupt;

/// Bytes of the block in a frame's header.
pub const HDR_BYTES: usize = 32;
/// A chromaticity of 1.0, in units of 0.00002.
const ONE: u32 = 50_000;
/// The brightest that PQ can say. Unit: cd/m2.
const MOST_NITS: u32 = 10_000;

/// The display, and the content's brightest light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HdrMetadata {
    /// x and y of its three primaries. Unit: 0.00002.
    pub primaries: [(u16, u16); 3],
    /// x and y of its white. Unit: 0.00002.
    pub white: (u16, u16),
    /// The brightest that it shows. Unit: cd/m2.
    pub max_nits: u32,
    /// The darkest. Unit: 0.0001 cd/m2.
    pub min_tenthousandth_nits: u32,
    /// The brightest pixel of the content; 0 if it is not known. Unit: cd/m2.
    pub content_max_nits: u32,
    /// The brightest mean of a frame of it; 0 if it is not known. Unit: cd/m2.
    pub content_mean_nits: u32,
}

impl HdrMetadata {
    /// Reads the block at `at` of a header's snapshot.
    ///
    /// # Errors
    /// [`Corrupt`] for numbers that no display has.
    pub(super) fn check(snapshot: Snapshot<'_>, at: usize) -> Result<HdrMetadata, Corrupt> {
        // Two chromaticities in each word, x in the lower half.
        let pair = |field, index: usize| {
            let word = snapshot
                .u32(field, at + 4 * index)?
                .check_that(field, "two numbers up to 50000", |w| w & 0xFFFF <= ONE && w >> 16 <= ONE)?;
            let [a, b, c, d] = word.to_le_bytes();
            Ok((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
        };
        let light = |field, index: usize, allowed| snapshot.u32(field, at + 4 * index)?.check(field, allowed);
        let primary = |index| pair("hdrDisplayPrimary", index);
        Ok(HdrMetadata {
            primaries: [primary(0)?, primary(1)?, primary(2)?],
            white: pair("hdrWhitePoint", 3)?,
            max_nits: light("hdrMaxDisplayLuminance", 4, 1..=MOST_NITS)?,
            min_tenthousandth_nits: light("hdrMinDisplayLuminance", 5, 0..=10_000 * MOST_NITS)?,
            content_max_nits: light("hdrMaxContentLightLevel", 6, 0..=MOST_NITS)?,
            content_mean_nits: light("hdrMaxFrameAverageLightLevel", 7, 0..=MOST_NITS)?,
        })
    }

    /// As a producer writes it. For guests of ours.
    pub fn encode(&self) -> [u8; HDR_BYTES] {
        let word = |(x, y): (u16, u16)| u32::from(x) | u32::from(y) << 16;
        let [red, green, blue] = self.primaries.map(word);
        let words = [
            red,
            green,
            blue,
            word(self.white),
            self.max_nits,
            self.min_tenthousandth_nits,
            self.content_max_nits,
            self.content_mean_nits,
        ];
        let mut bytes = [0; HDR_BYTES];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_comes_back_and_one_that_cannot_be_is_named() {
        let display = HdrMetadata {
            primaries: [(35_400, 14_600), (8_500, 39_850), (6_550, 2_300)],
            white: (15_635, 16_450),
            max_nits: 1000,
            min_tenthousandth_nits: 50,
            content_max_nits: 800,
            content_mean_nits: 400,
        };
        let bytes = display.encode();
        assert_eq!(HdrMetadata::check(Snapshot(&bytes), 0), Ok(display));
        for (word, value, field) in [
            (0, 50_001, "hdrDisplayPrimary"),
            (2, 50_001 << 16, "hdrDisplayPrimary"),
            (3, u32::MAX, "hdrWhitePoint"),
            (4, 0, "hdrMaxDisplayLuminance"),
            (4, 10_001, "hdrMaxDisplayLuminance"),
            (5, u32::MAX, "hdrMinDisplayLuminance"),
            (6, 10_001, "hdrMaxContentLightLevel"),
            (7, 10_001, "hdrMaxFrameAverageLightLevel"),
        ] {
            let mut bytes = bytes;
            bytes[4 * word..4 * word + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert_eq!(HdrMetadata::check(Snapshot(&bytes), 0).map_err(|c| c.field), Err(field));
        }
        assert!(HdrMetadata::check(Snapshot(&bytes), 1).is_err(), "past the end");
    }
}
