//! Numbers that look random and are not: the same seed and index give the same number on every machine. Not for secrets.

/// The number at `index` of the sequence that `seed` names. No state, so any of them can be had in any order.
pub const fn roll(seed: u64, index: u64) -> u64 {
    // The finaliser of SplitMix64: each bit of the input changes half of the output's.
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The same, from 0 up to but not including `below`. 0 if `below` is 0.
pub const fn roll_below(seed: u64, index: u64, below: u64) -> u64 {
    // The product's upper half is below `below`.
    ((roll(seed, index) as u128 * below as u128) >> 64) as u64
}

/// Fills `bytes` with the sequence that `seed` names.
pub fn fill(seed: u64, bytes: &mut [u8]) {
    for (word, index) in bytes.chunks_mut(8).zip(0..) {
        let number = roll(seed, index).to_le_bytes();
        word.copy_from_slice(&number[..word.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_are_spread_and_repeatable() {
        let mut faces = [0; 6];
        for index in 0..6_000 {
            faces[roll_below(7, index, 6) as usize] += 1;
        }
        assert!(faces.iter().all(|count| (850..1150).contains(count)), "{faces:?}");
        assert_eq!((roll(7, 3), roll_below(1, 2, 0)), (roll(7, 3), 0));
        assert_ne!(roll(7, 3), roll(8, 3));
    }

    #[test]
    fn filling_reaches_the_last_byte() {
        let (mut a, mut b) = ([0; 27], [0; 27]);
        fill(5, &mut a);
        fill(5, &mut b);
        assert_eq!(a, b);
        assert!(a[24..].iter().any(|byte| *byte != 0));
    }
}
