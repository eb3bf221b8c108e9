//! Counters, gauges and histograms that real-time threads write and one reporting thread reads: relaxed atomics in
//! statics or shared structs, no lock, no allocation.
//!
//! The histogram is our own: hdrhistogram's recorder needs a mutable histogram for each thread and a channel that grows,
//! while all that is asked here is a handful of percentiles. Buckets are fixed: 32 to each doubling, so a value is known
//! to 3.1 %, from 1 ns to 18 minutes in 9 KiB.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;

/// Keeps what it holds on cache lines of its own. Put what one thread writes into one `Padded`, so that two threads that
/// count never wait for each other's line.
pub use crossbeam_utils::CachePadded as Padded;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Adds one. Real-time safe.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. Real-time safe.
    pub fn add(&self, n: u64) {
        // Relaxed, here and below: each value stands for itself; nothing is handed over with it.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, or the last of its kind. The unit is in the name of whoever holds it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// A gauge at zero.
    pub const fn new() -> Gauge {
        Gauge(AtomicI64::new(0))
    }

    /// Sets it. Real-time safe.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Raises it to `value` if it is lower. Real-time safe.
    pub fn raise_to(&self, value: i64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bits of a value that are kept below its highest one: 32 buckets to each doubling.
const PRECISION_BITS: u32 = 5;
const PER_DOUBLING: u64 = 1 << PRECISION_BITS;
/// Values from 2^40 on (ns: 18 minutes) share the last bucket.
const RANGE_BITS: u32 = 40;
const BUCKETS: usize = bucket_of((1 << RANGE_BITS) - 1) + 1;

/// The bucket of a value. Below 64 each value has its own.
const fn bucket_of(value: u64) -> usize {
    let limit = (1 << RANGE_BITS) - 1;
    let value = if value > limit { limit } else { value };
    let shift = (u64::BITS - (value | PER_DOUBLING).leading_zeros()) - 1 - PRECISION_BITS;
    // Below 2^11: fits in any usize.
    (shift as u64 * PER_DOUBLING + (value >> shift)) as usize
}

/// The largest value that falls into a bucket.
const fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_DOUBLING {
        return bucket;
    }
    let shift = bucket / PER_DOUBLING - 1;
    let low = (bucket - shift * PER_DOUBLING) << shift;
    low + (1 << shift) - 1
}

/// How often which value was seen. Any number of threads record, any number read.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Histogram {
    /// An empty histogram: 9 KiB. In a `static`, or in a box made at open.
    pub const fn new() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }

    /// Records one value, by custom in nanoseconds. Real-time safe: three relaxed operations.
    pub fn record(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    /// Records a duration in nanoseconds. Real-time safe.
    pub fn record_duration(&self, d: Duration) {
        self.record(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was recorded so far. Allocates; for the reporting thread.
    pub fn read(&self) -> Recorded {
        Recorded {
            buckets: self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }

    /// The summary of all that was recorded so far.
    pub fn summary(&self) -> Summary {
        self.read().summary()
    }
}

/// A copy of a histogram's content.
#[derive(Clone, Debug)]
pub struct Recorded {
    buckets: Box<[u64]>,
    sum: u64,
    max: u64,
}

impl Recorded {
    /// What came since `earlier`, for a status line that tells about the last seconds. The maximum is known to the width
    /// of a bucket only, unless it is a new one.
    pub fn since(&self, earlier: &Recorded) -> Recorded {
        let buckets: Box<[u64]> =
            self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        let highest = buckets.iter().rposition(|n| *n > 0).map_or(0, top_of);
        let max = if self.max > earlier.max { self.max } else { highest.min(self.max) };
        Recorded { buckets, sum: self.sum.wrapping_sub(earlier.sum), max }
    }

    /// Its percentiles.
    pub fn summary(&self) -> Summary {
        let count: u64 = self.buckets.iter().sum();
        // The smallest value of which at least `permille` of all values are not larger.
        let at = |permille: u64| {
            let rank = (u128::from(count) * u128::from(permille)).div_ceil(1000).max(1);
            let mut seen = 0u128;
            let found = self.buckets.iter().position(|n| {
                seen += u128::from(*n);
                seen >= rank
            });
            found.map_or(0, |bucket| if bucket + 1 == BUCKETS { self.max } else { top_of(bucket).min(self.max) })
        };
        let mean = self.sum.checked_div(count).unwrap_or(0);
        Summary { count, mean, p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: self.max }
    }
}

/// Percentiles of a histogram, each at most 3.1 % above the true one and never above the maximum.
///
/// Units: those of the recorded values, by custom nanoseconds. All zero if nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// Their mean, exact.
    pub mean: u64,
    /// Half of the values are not larger.
    pub p50: u64,
    /// 90 % of the values are not larger.
    pub p90: u64,
    /// 99 % of the values are not larger.
    pub p99: u64,
    /// 99.9 % of the values are not larger.
    pub p999: u64,
    /// The largest value, exact.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static SHARED: Padded<Counter> = Padded::new(Counter::new());
    static TIMES: Histogram = Histogram::new();

    #[test]
    fn threads_lose_no_count() {
        std::thread::scope(|s| {
            for t in 0..4u64 {
                s.spawn(move || {
                    for i in 0..10_000 {
                        SHARED.inc();
                        TIMES.record(t * 10_000 + i);
                    }
                });
            }
        });
        assert_eq!(SHARED.get(), 40_000);
        let summary = TIMES.summary();
        assert_eq!((summary.count, summary.max, summary.mean), (40_000, 39_999, 19_999));
    }

    #[test]
    fn a_gauge_holds_the_last_value_or_the_peak() {
        let gauge = Gauge::new();
        gauge.set(-5);
        assert_eq!(gauge.get(), -5);
        gauge.raise_to(7);
        gauge.raise_to(3);
        assert_eq!(gauge.get(), 7);
    }

    #[test]
    fn an_empty_histogram_is_all_zero() {
        assert_eq!(Histogram::new().summary(), Summary::default());
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for bucket in 0..BUCKETS {
            let top = top_of(bucket);
            assert_eq!(bucket_of(top), bucket, "top {top}");
            assert_eq!(bucket_of(top + 1), (bucket + 1).min(BUCKETS - 1), "after {top}");
        }
        assert_eq!(top_of(BUCKETS - 1), (1 << RANGE_BITS) - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_value_out_of_range_is_told_by_the_maximum() {
        let h = Histogram::new();
        h.record_duration(Duration::MAX);
        assert_eq!(h.summary().max, u64::MAX);
        assert_eq!(h.summary().p50, u64::MAX);
    }

    #[test]
    fn the_last_interval_is_told_apart() {
        let h = Histogram::new();
        (0..100).for_each(|_| h.record(1_000_000));
        let then = h.read();
        (0..10).for_each(|_| h.record(1000));
        let last = h.read().since(&then).summary();
        assert_eq!((last.count, last.mean), (10, 1000));
        assert!((1000..=1032).contains(&last.max), "{last:?}");
        h.record(2_000_000);
        assert_eq!(h.read().since(&then).summary().max, 2_000_000);
    }

    proptest! {
        #[test]
        fn percentiles_are_at_most_a_bucket_too_high(mut values in prop::collection::vec(0u64..1 << 39, 1..300)) {
            let h = Histogram::new();
            values.iter().for_each(|v| h.record(*v));
            values.sort_unstable();
            let s = h.summary();
            for (permille, got) in [(500, s.p50), (900, s.p90), (990, s.p99), (999, s.p999)] {
                let rank = (values.len() * permille).div_ceil(1000).max(1);
                let exact = values[rank - 1];
                prop_assert!(got >= exact && got <= exact + exact / PER_DOUBLING, "{permille}: {got} for {exact}");
            }
            prop_assert_eq!(s.max, *values.last().unwrap());
            prop_assert_eq!(s.mean, values.iter().sum::<u64>() / values.len() as u64);
        }
    }
}
