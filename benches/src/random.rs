//! Seeded numbers for shuffles and the bootstrap: a run can be repeated from the seed it printed. Not for secrets.

/// SplitMix64: a counter and a mixing function. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators" (2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The high half of the product is evenly spread below `n`.
        ((u128::from(self.draw()) * n as u128) >> 64) as usize
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_orders_and_every_order_comes() {
        let order = |seed| {
            let mut items = [0, 1, 2];
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(5), order(5));
        let orders: std::collections::BTreeSet<_> = (0..100).map(order).collect();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn numbers_below_a_limit_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [0; 7];
        (0..7000).for_each(|_| seen[random.below(7)] += 1);
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
