//! What happened, counted where it happens and read by the reporting thread. Relaxed atomics: no lock, no allocation.

use crate::target::Parts;
use core::sync::atomic::{AtomicU64, Ordering};
use rx_host::report::{Counter, Gauge};

/// All counters of the receiver. Each is written by one thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// What the intake thread counts.
    pub intake: IntakeCounters,
    /// What the engine counts.
    pub playout: PlayoutCounters,
    /// What the sink counts.
    pub sink: SinkCounters,
}

/// What was taken from the guest.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Chunks taken.
    pub chunks: Counter,
    /// Chunks that were published and could not be taken.
    pub chunks_lost: Counter,
    /// Chunks for which the ring had no room, because nothing was played.
    pub chunks_refused: Counter,
    /// Streams begun.
    pub streams: Counter,
    /// Headers that made no sense.
    pub headers_corrupt: Counter,
    /// Times the thread woke up.
    pub wake_ups: Counter,
    /// Those of them while sound came, while a guest was silent, and while there was none.
    pub playing: Pace,
    /// See `playing`.
    pub idle: Pace,
    /// See `playing`.
    pub detached: Pace,
    /// Datagrams taken.
    pub datagrams: Counter,
    /// Datagrams that were sent and did not come, as far as that can be known.
    pub datagrams_lost: Counter,
    /// Datagrams of other senders.
    pub datagrams_foreign: Counter,
    /// Times a sender sent nothing because it was silent.
    pub silences: Counter,
    /// Datagrams without sound.
    pub junk_short: Counter,
    /// Datagrams longer than Scream's.
    pub junk_long: Counter,
    /// Datagrams with a program's name in front.
    pub junk_named: Counter,
    /// Datagrams whose header makes no sense.
    pub junk_corrupt: Counter,
}

/// How often a thread woke up in which time.
#[derive(Debug, Default)]
pub struct Pace {
    /// Times it woke up.
    pub wake_ups: Counter,
    /// The time. Unit: microseconds.
    pub time_us: Counter,
}

impl Pace {
    /// Wake-ups a second; nothing if it was less than a second in all.
    pub fn per_s(&self) -> Option<f64> {
        let time_us = self.time_us.get();
        (time_us >= 1_000_000).then(|| self.wake_ups.get() as f64 * 1e6 / time_us as f64)
    }
}

/// How it was played.
#[derive(Debug, Default)]
pub struct PlayoutCounters {
    /// Gaps in the middle of the sound that were hidden.
    pub gaps: Counter,
    /// Guest frames made up in them.
    pub frames_made_up: Counter,
    /// Guest frames that came too late to be played.
    pub frames_late: Counter,
    /// Times the place in the sound was moved, because the delay was far off.
    pub moves: Counter,
    /// Times the place was moved within digital silence, where nobody hears it.
    pub trims: Counter,
    /// Times sound began after silence.
    pub starts: Counter,
    /// From the guest playing a frame to its being heard, once for each time the sink asks.
    pub delay: DelayHistogram,
    /// How much later than the earliest a chunk came, once for each.
    pub lateness: DelayHistogram,
    /// The delay aimed at. Unit: microseconds.
    pub target_us: Gauge,
    /// What it is made of.
    pub parts: PartGauges,
    /// The delay now; 0 while nothing plays. Unit: microseconds.
    pub delay_us: Gauge,
    /// By how much the guest's clock is faster than the sink's. Unit: parts per billion.
    pub drift_ppb: Gauge,
}

/// What the delay aimed at is made of, as [`Parts`]. Unit: microseconds.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the parts")]
pub struct PartGauges {
    pub piece_us: Gauge,
    pub lateness_us: Gauge,
    pub sink_us: Gauge,
    pub filter_us: Gauge,
    pub margin_us: Gauge,
}

impl PlayoutCounters {
    /// Tells the delay aimed at, whole and in parts. Real-time safe.
    pub fn aim(&self, parts: &Parts) {
        let us = |s: f64| (s * 1e6).round() as i64;
        let p = &self.parts;
        p.piece_us.set(us(parts.piece_s));
        p.lateness_us.set(us(parts.lateness_s));
        p.sink_us.set(us(parts.sink_s));
        p.filter_us.set(us(parts.filter_s));
        p.margin_us.set(us(parts.margin_s));
        self.target_us.set(us(parts.sum_s()));
    }
}

/// How the sink did.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Frames given to it.
    pub frames: Counter,
    /// Times it ran empty.
    pub underflows: Counter,
    /// Times it was moved to another device, or suspended.
    pub disturbances: Counter,
    /// Times it was opened again after it had gone.
    pub reopened: Counter,
    /// Wake-ups that came too late.
    pub late: Counter,
}

/// Width of a bin of delay. Unit: microseconds.
const BIN_US: u32 = 50;
const BINS: usize = 10_000;

/// How often which delay was seen, to 0.05 ms, up to half a second.
#[derive(Debug)]
pub struct DelayHistogram(Box<[AtomicU64]>);

impl Default for DelayHistogram {
    fn default() -> Self {
        DelayHistogram((0..BINS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl DelayHistogram {
    /// Records a delay in seconds. Real-time safe.
    pub fn record(&self, delay_s: f64) {
        let bin = ((delay_s * 1e6 / f64::from(BIN_US)).max(0.0) as usize).min(BINS - 1);
        if let Some(count) = self.0.get(bin) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its percentiles; nothing if nothing was recorded. For the reporting thread.
    pub fn spread(&self) -> Option<Spread> {
        let counts: Vec<u64> = self.0.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let at = |share: f64| {
            let mut left = (total as f64 * share).ceil().max(1.0) as u64;
            let bin = counts.iter().position(|n| {
                let found = *n >= left;
                left = left.saturating_sub(*n);
                found
            });
            // The middle of the bin.
            (bin.unwrap_or(0) as f64 + 0.5) * f64::from(BIN_US) / 1000.0
        };
        (total > 0).then(|| Spread {
            count: total,
            p1_ms: at(0.01),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        })
    }
}

/// Percentiles of the delay, to 0.05 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Values recorded.
    pub count: u64,
    /// One in a hundred is shorter.
    pub p1_ms: f64,
    /// Half are shorter.
    pub p50_ms: f64,
    /// One in a hundred is longer.
    pub p99_ms: f64,
    /// One in a thousand is longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_bin() {
        let h = DelayHistogram::default();
        assert_eq!(h.spread(), None);
        (0..1000).for_each(|i| h.record(0.040 + f64::from(i) * 1e-6));
        h.record(7.0);
        let s = h.spread().unwrap();
        assert_eq!(s.count, 1001);
        assert!((s.p1_ms - 40.01).abs() < 0.06 && (s.p50_ms - 40.5).abs() < 0.06 && (s.p99_ms - 40.99).abs() < 0.06);
        assert!(s.max_ms > 499.0, "what is too long is at the end");
    }

    #[test]
    fn a_year_of_datagrams_is_counted() {
        // 5333 a second, the most that a guest sends, are more than 32 bits hold after nine days.
        let year = 5_333 * 86_400 * 366_u64;
        let h = DelayHistogram::default();
        h.0[800].store(year, Ordering::Relaxed);
        h.record(0.050);
        let s = h.spread().unwrap();
        assert_eq!((s.count, s.p50_ms, s.max_ms), (year + 1, 40.025, 50.025));
    }

    #[test]
    fn strange_delays_are_counted_at_an_end() {
        let h = DelayHistogram::default();
        for delay_s in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            h.record(delay_s);
        }
        assert_eq!(h.spread().unwrap().count, 4);
    }
}
