//! Counters that wrap: how far one index is ahead of another in a ring of N slots. Pure arithmetic on checked numbers.

/// Steps forward from `from` to `to` in a ring of `slots`.
///
/// Both must be below `slots`; a caller gets there by a check. Returns 0 to `slots - 1`. Never divides by zero: a ring
/// without slots has no distance.
pub const fn distance(from: u32, to: u32, slots: u32) -> u32 {
    if slots == 0 {
        return 0;
    }
    let (from, to) = (from % slots, to % slots);
    if to >= from { to - from } else { slots - from + to }
}

/// The slot after `index`.
pub const fn next(index: u32, slots: u32) -> u32 {
    if slots == 0 || index >= slots - 1 { 0 } else { index + 1 }
}

/// The slot `steps` behind `index`.
pub const fn back(index: u32, steps: u32, slots: u32) -> u32 {
    if slots == 0 {
        return 0;
    }
    let (index, steps) = (index % slots, steps % slots);
    if index >= steps { index - steps } else { slots - (steps - index) }
}

/// Whether serial `a` is newer than `b` when serials wrap at 2^32: newer by less than half the circle.
pub const fn is_newer(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ring_without_slots_is_harmless() {
        assert_eq!((distance(3, 4, 0), next(3, 0), back(3, 1, 0)), (0, 0, 0));
    }

    #[test]
    fn serials_are_compared_across_the_wrap() {
        assert!(is_newer(2, u32::MAX));
        assert!(!is_newer(u32::MAX, 2));
        assert!(!is_newer(7, 7));
    }

    proptest! {
        #[test]
        fn walking_the_distance_arrives(slots in 1u32..5000, from in 0u32..5000, to in 0u32..5000) {
            let (from, to) = (from % slots, to % slots);
            let mut at = from;
            for _ in 0..distance(from, to, slots) { at = next(at, slots); }
            prop_assert_eq!(at, to);
            prop_assert_eq!(back(to, distance(from, to, slots), slots), from);
        }
    }
}
