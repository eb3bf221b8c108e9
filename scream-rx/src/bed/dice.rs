//! Random numbers of the shapes that scheduling and networks have. The same seed gives the same numbers.

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator for this seed.
    pub const fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in a share of `p` of the cases.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal: the sum of twelve uniform numbers, so that it is the same on every machine.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// Log-normal with this median.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_what_they_are_called() {
        let mut dice = Dice::new(1);
        let n = 100_000;
        let mut mean =
            |mut f: Box<dyn FnMut(&mut Dice) -> f64>| (0..n).map(|_| f(&mut dice)).sum::<f64>() / f64::from(n);
        assert!((mean(Box::new(Dice::uniform)) - 0.5).abs() < 0.005);
        assert!(mean(Box::new(Dice::normal)).abs() < 0.02);
        assert!((mean(Box::new(|d| d.normal().powi(2))) - 1.0).abs() < 0.02);
        assert!((mean(Box::new(|d| d.exponential(2.0))) - 2.0).abs() < 0.05);
        assert!((mean(Box::new(|d| f64::from(u8::from(d.log_normal(3.0, 1.0) < 3.0)))) - 0.5).abs() < 0.01);
        assert!((mean(Box::new(|d| f64::from(u8::from(d.chance(0.1))))) - 0.1).abs() < 0.01);
    }
}
