//! PCM bytes as the guest wrote them → `f32`. Signed, little-endian, interleaved; 24 bits are packed in three bytes.
//! Source: the Scream wire reference, sections 4.1 and 4.2. Pure; no sample value is special, so nothing is checked.

use shm_proto::scream::SampleBits;

/// Converts as many whole samples as both sides hold; returns how many. Full scale becomes −1.0 to just below 1.0.
///
/// Real-time safe: no allocation, no branch per sample.
pub fn to_f32(bits: SampleBits, pcm: &[u8], out: &mut [f32]) -> usize {
    match bits {
        SampleBits::Bits16 => each::<2>(pcm, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        // Moved to the top of a word, so that the sign needs no case of its own; the low byte stays 0.
        SampleBits::Bits24 => each::<3>(pcm, out, |[a, b, c]| word_to_f32(i32::from_le_bytes([0, a, b, c]))),
        SampleBits::Bits32 => each::<4>(pcm, out, |b| word_to_f32(i32::from_le_bytes(b))),
    }
}

/// A 32-bit sample; what lies below the 24 bits of an `f32` is rounded, which is 144 dB down.
fn word_to_f32(word: i32) -> f32 {
    word as f32 / 2_147_483_648.0
}

fn each<const N: usize>(pcm: &[u8], out: &mut [f32], sample: impl Fn([u8; N]) -> f32) -> usize {
    let (words, _) = pcm.as_chunks::<N>();
    for (to, from) in out.iter_mut().zip(words) {
        *to = sample(*from);
    }
    words.len().min(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_width_reaches_full_scale_and_keeps_its_sign() {
        let cases: [(SampleBits, &[u8], &[f32]); 3] = [
            (
                SampleBits::Bits16,
                &[0x00, 0x80, 0xFF, 0x7F, 0, 0, 1, 0],
                &[-1.0, 32_767.0 / 32_768.0, 0.0, 1.0 / 32_768.0],
            ),
            (
                SampleBits::Bits24,
                &[0x00, 0x00, 0x80, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0xFF, 0xFF, 0xFF],
                &[-1.0, 8_388_607.0 / 8_388_608.0, 0.0, -1.0 / 8_388_608.0],
            ),
            (SampleBits::Bits32, &[0, 0, 0, 0x80, 0, 0, 0, 0x40, 0, 1, 0, 0], &[-1.0, 0.5, 256.0 / 2_147_483_648.0]),
        ];
        for (bits, pcm, expected) in cases {
            let mut out = vec![9.0; expected.len()];
            assert_eq!(to_f32(bits, pcm, &mut out), expected.len(), "{bits:?}");
            assert_eq!(out, expected, "{bits:?}");
        }
    }

    #[test]
    fn a_cut_sample_is_left_out_and_a_short_buffer_is_not_overrun() {
        let mut out = [9.0; 2];
        assert_eq!(to_f32(SampleBits::Bits24, &[0; 5], &mut out), 1);
        assert_eq!(out, [0.0, 9.0]);
        assert_eq!(to_f32(SampleBits::Bits16, &[0; 64], &mut out), 2);
    }

    proptest! {
        #[test]
        fn the_same_value_is_the_same_in_every_width(value in i16::MIN..=i16::MAX) {
            let [low, high] = value.to_le_bytes();
            let mut out = [0.0; 3];
            to_f32(SampleBits::Bits16, &[low, high], &mut out[..1]);
            to_f32(SampleBits::Bits24, &[0, low, high], &mut out[1..2]);
            to_f32(SampleBits::Bits32, &[0, 0, low, high], &mut out[2..]);
            prop_assert_eq!(out[0], out[1]);
            prop_assert_eq!(out[1], out[2]);
            prop_assert_eq!((out[0] * 32_768.0) as i16, value);
        }
    }
}
