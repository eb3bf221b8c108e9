//! What the sound is: rate, sample width, channels, speaker mask. The check is the only way to a [`Format`], so whoever
//! holds one can divide and allocate by it.
//!
//! Source of the encodings: the wire reference of Scream 4.0, sections 2.3 and 4.

use crate::guest::{Corrupt, Guest};
use core::fmt;
use core::ops::RangeInclusive;

/// Rates that are accepted. Unit: Hz. The driver makes 44 100 to 192 000; a factor of two above it leaves room for
/// other writers, and 8 000 is the lowest rate in use anywhere. Beyond, a header is taken for damaged.
pub const RATE_HZ: RangeInclusive<u32> = 8_000..=384_000;
/// Channels that are accepted. Source: reference, section 4.2.
pub const CHANNELS: RangeInclusive<u8> = 1..=8;
/// Chunks in a second: the driver publishes fiftieths. Source: reference, section 2.3.
pub const CHUNKS_PER_SECOND: u32 = 50;
/// The longest chunk any accepted format has: a buffer of this size fits them all. Unit: bytes.
pub const MAX_CHUNK_BYTES: usize = 384_000 / 50 * 8 * 4;
/// Length of the header in front of each datagram of the UDP transport. Unit: bytes.
pub const UDP_HEADER_BYTES: usize = 5;

/// Width of a sample. Signed little-endian integers, 24 bit packed into three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleBits {
    /// 16 bit.
    Bits16,
    /// 24 bit in three bytes.
    Bits24,
    /// 32 bit, also the container of 24 bit.
    Bits32,
}

impl SampleBits {
    /// The three widths, narrow first.
    pub const ALL: [SampleBits; 3] = [SampleBits::Bits16, SampleBits::Bits24, SampleBits::Bits32];

    /// Bits of a sample, as on the wire.
    pub const fn bits(self) -> u8 {
        match self {
            SampleBits::Bits16 => 16,
            SampleBits::Bits24 => 24,
            SampleBits::Bits32 => 32,
        }
    }

    /// Bytes of a sample.
    pub const fn bytes(self) -> u32 {
        match self {
            SampleBits::Bits16 => 2,
            SampleBits::Bits24 => 3,
            SampleBits::Bits32 => 4,
        }
    }

    fn check(bits: Guest<u8>) -> Result<SampleBits, Corrupt> {
        let known = |bits: u8| SampleBits::ALL.into_iter().find(|width| width.bits() == bits);
        let bits = bits.check_that("sample_size", "16, 24 or 32", |bits| known(bits).is_some())?;
        Ok(known(bits).unwrap_or(SampleBits::Bits16))
    }
}

/// A sound format inside the limits above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    rate_hz: u32,
    bits: SampleBits,
    channels: u8,
    mask: u16,
}

impl Format {
    /// Checks the four numbers that a guest chose.
    ///
    /// # Errors
    /// [`Corrupt`] with the first field that is outside the limits. Any mask is accepted: section 4.3 of the reference
    /// gives a meaning to all of them.
    pub fn check(
        rate_hz: Guest<u32>,
        bits: Guest<u8>,
        channels: Guest<u8>,
        mask: Guest<u16>,
    ) -> Result<Format, Corrupt> {
        Ok(Format {
            bits: SampleBits::check(bits)?,
            channels: channels.check("channels", CHANNELS)?,
            rate_hz: rate_hz.check("sample_rate", RATE_HZ)?,
            mask: mask.distrusted(),
        })
    }

    /// The format with these numbers, for writers and simulated guests; the same check as for a guest's.
    ///
    /// # Errors
    /// As [`Format::check`].
    ///
    /// # Example
    /// ```
    /// use shm_proto::scream::Format;
    /// let format = Format::new(48_000, 16, 2, 0x003)?;
    /// assert_eq!((format.frame_bytes(), format.chunk_bytes(), format.rate_code()), (4, 3840, 0x01));
    /// assert!(Format::new(48_000, 17, 2, 0x003).is_err());
    /// # Ok::<(), shm_proto::Corrupt>(())
    /// ```
    pub fn new(rate_hz: u32, bits: u8, channels: u8, mask: u16) -> Result<Format, Corrupt> {
        Format::check(Guest::new(rate_hz), Guest::new(bits), Guest::new(channels), Guest::new(mask))
    }

    /// Stereo in 32 bits at a rate that is known when the program is built, which is when it is checked.
    pub const fn stereo<const HZ: u32>() -> Format {
        const { assert!(HZ >= *RATE_HZ.start() && HZ <= *RATE_HZ.end()) }
        Format { rate_hz: HZ, bits: SampleBits::Bits32, channels: 2, mask: 0x003 }
    }

    /// The format in the header of a UDP datagram. There the rate code is all there is, so odd rates come out floored.
    ///
    /// # Errors
    /// As [`Format::check`]; a rate code without a multiplier too.
    pub fn from_udp(header: [u8; UDP_HEADER_BYTES]) -> Result<Format, Corrupt> {
        let [code, bits, channels, low, high] = header;
        let code = Guest::new(code).check_that("sample_rate", "a code with a multiplier", |code| code & 0x7F != 0)?;
        Format::check(
            Guest::new(rate_of_code(code)),
            Guest::new(bits),
            Guest::new(channels),
            Guest::new(u16::from_le_bytes([low, high])),
        )
    }

    /// Frames per second.
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Width of a sample.
    pub const fn bits(&self) -> SampleBits {
        self.bits
    }

    /// Channels, 1 to 8.
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// The speaker mask as announced: may be 0, and may have more or fewer bits than there are channels.
    pub const fn mask(&self) -> u16 {
        self.mask
    }

    /// Bytes of one frame: a sample of every channel.
    pub const fn frame_bytes(&self) -> u32 {
        self.bits.bytes() * self.channels as u32
    }

    /// Bytes of a chunk as the driver computes them: a fiftieth of a second, rounded down. Not a whole number of frames
    /// at some rates that are not multiples of 50 Hz; the driver then tears a frame, and readers refuse the stream.
    pub const fn chunk_bytes(&self) -> u32 {
        self.frame_bytes() * self.rate_hz / CHUNKS_PER_SECOND
    }

    /// Whole frames of a chunk.
    pub const fn chunk_frames(&self) -> u32 {
        self.chunk_bytes() / self.frame_bytes()
    }

    /// The rate as the driver writes it: exact for multiples of 44 100 and 48 000, floored for others; 0 below 48 000.
    pub const fn rate_code(&self) -> u8 {
        // The rate is at most 384 000, so both quotients are below 9.
        if self.rate_hz.is_multiple_of(44_100) {
            0x80 | (self.rate_hz / 44_100) as u8
        } else {
            (self.rate_hz / 48_000) as u8
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Format { rate_hz, bits, channels, mask } = self;
        let plural = if *channels == 1 { "" } else { "s" };
        write!(f, "{rate_hz} Hz, {} bit, {channels} channel{plural}, mask {mask:#05x}", bits.bits())
    }
}

/// The rate that a code announces; 0 if it has no multiplier. Unit: Hz; at most 127 times 48 000.
pub(super) const fn rate_of_code(code: u8) -> u32 {
    let base = if code & 0x80 != 0 { 44_100 } else { 48_000 };
    base * (code & 0x7F) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_code_of_the_reference_is_written_and_read() {
        for (rate, code) in
            [(44_100, 0x81), (88_200, 0x82), (176_400, 0x84), (48_000, 0x01), (96_000, 0x02), (192_000, 0x04)]
        {
            assert_eq!(Format::new(rate, 16, 2, 3).unwrap().rate_code(), code, "{rate}");
            assert_eq!(Format::from_udp([code, 16, 2, 3, 0]).unwrap().rate_hz(), rate, "{code:#x}");
        }
    }

    #[test]
    fn odd_rates_are_floored_as_the_driver_does() {
        for (rate, code) in [(64_000, 0x01), (46_000, 0x00), (50_000, 0x01), (143_950, 0x02), (132_300, 0x83)] {
            assert_eq!(Format::new(rate, 16, 2, 3).unwrap().rate_code(), code, "{rate}");
        }
    }

    #[test]
    fn sizes_follow_the_table_of_the_reference() {
        for (rate, bits, channels, chunk) in [
            (44_100, 16, 2, 3_528),
            (48_000, 16, 2, 3_840),
            (48_000, 24, 2, 5_760),
            (48_000, 32, 2, 7_680),
            (48_000, 16, 6, 11_520),
            (48_000, 16, 8, 15_360),
            (96_000, 32, 8, 61_440),
            (192_000, 32, 8, 122_880),
        ] {
            let format = Format::new(rate, bits, channels, 0).unwrap();
            assert_eq!(format.chunk_bytes(), chunk, "{format}");
            assert_eq!(format.chunk_frames() * CHUNKS_PER_SECOND, rate, "{format}");
        }
    }

    #[test]
    fn the_largest_format_fills_the_largest_chunk() {
        let format = Format::new(*RATE_HZ.end(), 32, 8, 0).unwrap();
        assert_eq!(format.chunk_bytes() as usize, MAX_CHUNK_BYTES);
    }

    #[test]
    fn numbers_outside_the_limits_are_named() {
        for (rate, bits, channels, field) in [
            (7_999, 16, 2, "sample_rate"),
            (384_001, 16, 2, "sample_rate"),
            (u32::MAX, 16, 2, "sample_rate"),
            (48_000, 0, 2, "sample_size"),
            (48_000, 8, 2, "sample_size"),
            (48_000, 20, 2, "sample_size"),
            (48_000, 255, 2, "sample_size"),
            (48_000, 16, 0, "channels"),
            (48_000, 16, 9, "channels"),
        ] {
            assert_eq!(Format::new(rate, bits, channels, 3).unwrap_err().field, field);
        }
        for code in [0x00, 0x80] {
            assert_eq!(Format::from_udp([code, 16, 2, 3, 0]).unwrap_err().field, "sample_rate");
        }
        // 127 times 48 000 is a code, but no rate that is accepted.
        assert_eq!(Format::from_udp([0x7F, 16, 2, 3, 0]).unwrap_err().value, 6_096_000);
    }

    #[test]
    fn the_mask_of_a_datagram_is_low_byte_first() {
        assert_eq!(Format::from_udp([1, 24, 8, 0x3F, 0x06]).unwrap().mask(), 0x63F);
    }

    #[test]
    fn a_format_reads_as_a_sentence() {
        assert_eq!(Format::new(48_000, 16, 1, 4).unwrap().to_string(), "48000 Hz, 16 bit, 1 channel, mask 0x004");
        assert_eq!(Format::new(96_000, 24, 8, 0x63F).unwrap().to_string(), "96000 Hz, 24 bit, 8 channels, mask 0x63f");
    }
}
