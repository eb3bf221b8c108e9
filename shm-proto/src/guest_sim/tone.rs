//! What a simulated guest plays. Every sample follows from its position alone, so any chunk can be computed again later
//! and compared, and a recording can be mapped back to the instant at which the guest played it.

use crate::scream::{Format, SampleBits};
use core::f64::consts::TAU;

/// Frequency of the sine beside the position code. Unit: Hz. A prime, so no two periods of a second coincide.
pub const POSITION_SINE_HZ: f64 = 997.0;
/// Level of that sine. Unit: dB relative to full scale.
pub const POSITION_SINE_DBFS: f64 = -6.0;
/// Period of the triangle that codes the position. Unit: seconds.
pub const TRIANGLE_SECONDS: u64 = 4;
/// Peak of that triangle relative to full scale: at 48 kHz and 16 bit it climbs 0.6 steps per frame.
pub const TRIANGLE_PEAK: f64 = 28_800.0 / 32_768.0;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tone {
    /// Digital silence.
    Silence,
    /// One sine in all channels.
    Sine {
        /// Unit: Hz, exact to a thousandth.
        frequency_hz: f64,
        /// Peak relative to full scale. Unit: dB.
        level_dbfs: f64,
    },
    /// A single frame at `level_dbfs` in all channels every so often, silence in between.
    Impulses {
        /// Distance of two impulses. Unit: ms.
        every_ms: u32,
        /// Unit: dB relative to full scale.
        level_dbfs: f64,
    },
    /// First channel: a sine of 997 Hz at -6 dBFS; all others (and a single one): a triangle of 4 s, whose value tells
    /// the position. Together they give the delay of a recording to a fraction of a frame.
    PositionCoded,
    /// A sine of 300 + 100 k Hz in channel k, to see that no channel took another's place.
    ChannelIdentity {
        /// Peak relative to full scale. Unit: dB.
        level_dbfs: f64,
    },
    /// Not sound: each 32-bit word of a chunk is the chunk's number. For tests of torn copies.
    ChunkNumbers,
}

impl Tone {
    /// 440 Hz at -6 dBFS.
    pub const DEFAULT: Tone = Tone::Sine { frequency_hz: 440.0, level_dbfs: -6.0 };

    /// The sample of `channel` at frame `position`, from -1 to 1. [`Tone::ChunkNumbers`] is silent here.
    pub fn sample(&self, position: u64, channel: u8, format: &Format) -> f64 {
        let rate_hz = format.rate_hz();
        match *self {
            Tone::Silence | Tone::ChunkNumbers => 0.0,
            Tone::Sine { frequency_hz, level_dbfs } => sine(position, frequency_hz, rate_hz) * gain(level_dbfs),
            Tone::Impulses { every_ms, level_dbfs } => {
                let every = (u64::from(every_ms) * u64::from(rate_hz) / 1_000).max(1);
                if position.is_multiple_of(every) { gain(level_dbfs) } else { 0.0 }
            }
            Tone::PositionCoded if channel == 0 && format.channels() > 1 => {
                sine(position, POSITION_SINE_HZ, rate_hz) * gain(POSITION_SINE_DBFS)
            }
            Tone::PositionCoded => triangle(position, rate_hz),
            Tone::ChannelIdentity { level_dbfs } => {
                sine(position, 300.0 + 100.0 * f64::from(channel), rate_hz) * gain(level_dbfs)
            }
        }
    }

    /// Fills `pcm` with whole frames from frame `position` on, as the format wants them. `number` is the chunk's number.
    ///
    /// No allocation; a sine costs one `sin` per sample.
    pub fn render(&self, position: u64, number: u64, format: &Format, pcm: &mut [u8]) {
        if *self == Tone::ChunkNumbers {
            return fill_with_number(number, pcm);
        }
        let width = format.bits().bytes() as usize;
        let frames = pcm.chunks_exact_mut(format.frame_bytes() as usize);
        for (frame, at) in frames.zip(position..) {
            for (bytes, channel) in frame.chunks_exact_mut(width).zip(0..) {
                let sample = quantised(self.sample(at, channel, format), format.bits()).to_le_bytes();
                bytes.copy_from_slice(&sample[..width]);
            }
        }
    }
}

/// The word that [`Tone::ChunkNumbers`] puts into the chunk with this number.
pub const fn number_word(number: u64) -> u32 {
    number as u32
}

fn fill_with_number(number: u64, pcm: &mut [u8]) {
    let word = number_word(number).to_le_bytes();
    for bytes in pcm.chunks_mut(word.len()) {
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
}

/// Decibels relative to full scale as a factor.
pub fn gain(level_dbfs: f64) -> f64 {
    10f64.powf(level_dbfs / 20.0)
}

/// A sample from -1 to 1 as an integer of `bits`; the upper bytes of narrower ones repeat the sign.
pub fn quantised(sample: f64, bits: SampleBits) -> i32 {
    let full = f64::from(1u32 << (bits.bits() - 1));
    (sample * full).round().clamp(-full, full - 1.0) as i32
}

fn sine(position: u64, frequency_hz: f64, rate_hz: u32) -> f64 {
    // Whole thousandths of a hertz keep the phase exact however far the position is.
    let steps = u128::from(position) * (frequency_hz * 1_000.0).round().max(0.0) as u128;
    let turn = u128::from(rate_hz) * 1_000;
    ((steps % turn) as f64 / turn as f64 * TAU).sin()
}

fn triangle(position: u64, rate_hz: u32) -> f64 {
    let period = TRIANGLE_SECONDS * u64::from(rate_hz);
    let at = (position % period) as f64 / period as f64;
    let height = if at < 0.5 { 4.0 * at - 1.0 } else { 3.0 - 4.0 * at };
    height * TRIANGLE_PEAK
}

/// The frame within the triangle's period at which it has the value `sample`, on its way up or down.
pub fn triangle_position(sample: f64, rising: bool, rate_hz: u32) -> f64 {
    let height = (sample / TRIANGLE_PEAK).clamp(-1.0, 1.0);
    let at = if rising { (height + 1.0) / 4.0 } else { (3.0 - height) / 4.0 };
    at * (TRIANGLE_SECONDS * u64::from(rate_hz)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stereo() -> Format {
        Format::new(48_000, 16, 2, 3).unwrap()
    }

    #[test]
    fn a_sine_has_its_level_and_frequency_a_week_later_too() {
        let tone = Tone::DEFAULT;
        let week = 48_000 * 86_400 * 7;
        for start in [0, week] {
            let samples: Vec<f64> = (start..start + 48_000).map(|at| tone.sample(at, 0, &stereo())).collect();
            let peak = samples.iter().fold(0f64, |peak, sample| peak.max(sample.abs()));
            assert!((20.0 * peak.log10() + 6.0).abs() < 0.001, "{peak}");
            let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            assert!((439..=440).contains(&crossings), "{crossings}");
        }
    }

    #[test]
    fn samples_are_packed_as_the_format_says() {
        for (bits, quantum) in [(16, 1 << 15), (24, 1 << 23), (32, 1i64 << 31)] {
            let format = Format::new(48_000, bits, 3, 0).unwrap();
            let tone = Tone::Impulses { every_ms: 1, level_dbfs: -6.0206 };
            let mut pcm = vec![0xEE; 100 * format.frame_bytes() as usize];
            tone.render(0, 0, &format, &mut pcm);
            let width = format.bits().bytes() as usize;
            for (frame, bytes) in pcm.chunks_exact(3 * width).enumerate() {
                for sample in bytes.chunks_exact(width) {
                    let sign = if sample[width - 1] & 0x80 != 0 { 0xFF } else { 0 };
                    let mut wide = [sign; 8];
                    wide[..width].copy_from_slice(sample);
                    let expected = if frame % 48 == 0 { quantum / 2 } else { 0 };
                    assert!((i64::from_le_bytes(wide) - expected).abs() <= quantum >> 14, "{bits} bit, frame {frame}");
                }
            }
        }
    }

    #[test]
    fn full_scale_does_not_wrap() {
        for bits in SampleBits::ALL {
            let most = ((1i64 << (bits.bits() - 1)) - 1) as i32;
            assert_eq!((quantised(1.0, bits), quantised(-1.0, bits)), (most, -most - 1));
            assert_eq!(quantised(f64::NAN, bits), 0);
        }
    }

    #[test]
    fn the_triangle_tells_the_position() {
        let period = 4 * 48_000;
        for at in [0, 1, 1_000, 95_999, 96_001, 150_000, 191_999] {
            for lap in [0, 1, 1_000_000] {
                let value = Tone::PositionCoded.sample(at + lap * period, 1, &stereo());
                let found = triangle_position(value, at < 96_000, 48_000);
                assert!((found - at as f64).abs() < 0.01, "{at}: {found}");
            }
        }
        let slope = Tone::PositionCoded.sample(101, 1, &stereo()) - Tone::PositionCoded.sample(100, 1, &stereo());
        assert!((slope * 32_768.0 - 0.6).abs() < 1e-6, "{slope}");
    }

    #[test]
    fn each_channel_has_its_own_tone() {
        let format = Format::new(48_000, 32, 8, 0x63F).unwrap();
        let tone = Tone::ChannelIdentity { level_dbfs: 0.0 };
        for channel in 0..8 {
            let crossings = (1..48_000u64)
                .filter(|at| tone.sample(at - 1, channel, &format) < 0.0 && tone.sample(*at, channel, &format) >= 0.0)
                .count();
            let expected = 300 + 100 * usize::from(channel);
            assert!(crossings.abs_diff(expected) <= 1, "channel {channel}: {crossings}");
        }
    }

    #[test]
    fn chunk_numbers_fill_every_byte() {
        let format = Format::new(48_000, 24, 1, 4).unwrap();
        let mut pcm = vec![0; 2_882];
        Tone::ChunkNumbers.render(5, 0x0403_0201, &format, &mut pcm);
        assert!(pcm.iter().zip([1, 2, 3, 4].iter().cycle()).all(|(byte, expected)| byte == expected));
    }
}
