//! What is remembered of lateness: how often how much of it was seen in the last minutes, and the worst of each minute of
//! the last hour. Pure; the caller passes the time, in seconds.

/// Width of a bin of the histograms of lateness. Unit: seconds.
pub(super) const BIN_S: f64 = 0.000_25;
/// Bins; what is later than the last falls into it (100 ms).
pub(super) const BINS: usize = 400;
/// The memory: so many histograms, each of so long; the oldest is forgotten as a whole. Unit: seconds.
const BLOCKS: usize = 11;
const BLOCK_S: f64 = 30.0;

/// Lateness of the last minutes.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Counts by block and bin, and of all blocks.
    blocks: Box<[[u32; BINS]; BLOCKS]>,
    all: Box<[u32; BINS]>,
    /// The block that is being filled, and when it and all began.
    filling: usize,
    block_s: f64,
    since_s: Option<f64>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        let (blocks, all) = (Box::new([[0; BINS]; BLOCKS]), Box::new([0; BINS]));
        Memory { blocks, all, filling: 0, block_s: 0.0, since_s: None }
    }

    pub(super) fn add(&mut self, now_s: f64, late_s: f64) {
        if self.since_s.is_none() {
            (self.since_s, self.block_s) = (Some(now_s), now_s);
        }
        if now_s - self.block_s >= BLOCK_S {
            self.filling = (self.filling + 1) % BLOCKS;
            self.block_s = now_s;
            let oldest = &mut self.blocks[self.filling];
            self.all.iter_mut().zip(oldest.iter()).for_each(|(all, old)| *all = all.saturating_sub(*old));
            oldest.fill(0);
        }
        let bin = ((late_s / BIN_S).max(0.0) as usize).min(BINS - 1);
        for count in [&mut self.blocks[self.filling][bin], &mut self.all[bin]] {
            *count = count.saturating_add(1);
        }
    }

    /// For how long lateness has been watched. Unit: seconds.
    pub(super) fn age_s(&self, now_s: f64) -> f64 {
        self.since_s.map_or(0.0, |since_s| now_s - since_s)
    }

    /// The lateness that all but a share of `beyond` keep within. Unit: seconds.
    pub(super) fn quantile(&self, beyond: f64) -> f64 {
        let mut left = self.all.iter().map(|n| u64::from(*n)).sum::<u64>() as f64 * beyond;
        for (bin, count) in self.all.iter().enumerate().rev() {
            left -= f64::from(*count);
            if left < 0.0 {
                return (bin + 1) as f64 * BIN_S;
            }
        }
        0.0
    }

    pub(super) fn clear(&mut self) {
        self.blocks.iter_mut().for_each(|b| b.fill(0));
        self.all.fill(0);
        self.since_s = None;
    }
}

/// Minutes that are remembered.
const MINUTES: usize = 60;
const MINUTE_S: f64 = 60.0;
/// The most of them that may be left out.
pub(super) const MOST_BAD: usize = 7;

/// The worst lateness of each of the last sixty minutes. Minutes, not single latenesses: what comes in swarms is one
/// trouble, and a storm of a minute that never comes back is none.
#[derive(Clone, Debug)]
pub(super) struct Minutes {
    worst_s: [f64; MINUTES],
    filling: usize,
    since_s: Option<f64>,
}

impl Minutes {
    pub(super) const fn new() -> Minutes {
        Minutes { worst_s: [0.0; MINUTES], filling: 0, since_s: None }
    }

    pub(super) fn add(&mut self, now_s: f64, late_s: f64) {
        let since_s = *self.since_s.get_or_insert(now_s);
        let passed = ((now_s - since_s) / MINUTE_S).max(0.0) as usize;
        if passed > 0 {
            // After a pause the minutes without sound count too: nothing was late in them.
            self.since_s = Some(if passed > MINUTES { now_s } else { since_s + passed as f64 * MINUTE_S });
            for _ in 0..passed.min(MINUTES) {
                self.filling = (self.filling + 1) % MINUTES;
                self.worst_s[self.filling] = 0.0;
            }
        }
        let worst_s = &mut self.worst_s[self.filling];
        *worst_s = worst_s.max(late_s);
    }

    /// The lateness that all but the `bad` worst of these minutes kept within; `bad` is [`MOST_BAD`] at most. Unit: seconds.
    pub(super) fn all_but(&self, bad: usize) -> f64 {
        let mut worst_s = [0.0; MOST_BAD + 1];
        for minute_s in self.worst_s {
            let mut minute_s: f64 = minute_s;
            for place in &mut worst_s {
                if minute_s > *place {
                    core::mem::swap(place, &mut minute_s);
                }
            }
        }
        worst_s[bad.min(MOST_BAD)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_that_of_the_last_five_minutes() {
        let mut memory = Memory::new();
        for k in 0..60_000u32 {
            // The first ten minutes are bad, the second ten good.
            let late_s = if k < 30_000 { f64::from(k % 100) * 1e-3 } else { 0.001 };
            memory.add(f64::from(k) * 0.020, late_s);
            if k == 29_999 {
                assert!((memory.quantile(0.5) - 0.050).abs() < 0.001, "{}", memory.quantile(0.5));
            }
        }
        assert!(memory.quantile(0.001) < 0.001 + 2.0 * BIN_S, "what was bad is forgotten");
        assert!((memory.age_s(1200.0) - 1200.0).abs() < 1.0);
        memory.clear();
        assert_eq!((memory.quantile(0.5), memory.age_s(5.0)), (0.0, 0.0));
    }

    #[test]
    fn bad_minutes_are_left_out_and_forgotten_after_an_hour() {
        let mut minutes = Minutes::new();
        let mut hour = |from_s: f64, worst_s: fn(u32) -> f64| {
            for k in 0..3600u32 {
                minutes.add(from_s + f64::from(k), if k % 60 == 30 { worst_s(k / 60) } else { 0.001 });
            }
            [0, 1, 2, 7, 100].map(|bad| (minutes.all_but(bad) * 1e3).round())
        };
        // A storm of 20 ms in every minute, one of 50 ms beside it: nobody can leave out sixty minutes.
        assert_eq!(hour(0.0, |m| if m == 7 { 0.050 } else { 0.020 }), [50.0, 20.0, 20.0, 20.0, 20.0]);
        // Two bad minutes are no reason to hold more.
        assert_eq!(hour(3600.0, |m| if m == 3 || m == 40 { 0.020 } else { 0.002 }), [20.0, 20.0, 2.0, 2.0, 2.0]);
        assert_eq!(hour(7200.0, |_| 0.0), [1.0; 5]);
        minutes.add(1e9, 0.004);
        assert_eq!((minutes.all_but(0), minutes.all_but(1)), (0.004, 0.0), "a long pause is a good hour");
        minutes.add(0.0, 0.005);
        assert_eq!(minutes.all_but(0), 0.005, "time that goes back does no harm");
    }
}
