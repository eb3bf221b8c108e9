//! When to look for the next chunk: one wake-up just before it is due, a few soon after, then one each millisecond while
//! it is overdue, and rarely when the guest is silent. Pure.
//!
//! Wake-ups are the dearest thing a receiver does. The instant is shaken by a random amount: looks on a fixed grid would
//! beat against the guest's clock, and that beat would pass for a slow change of delay.

use crate::clock::GuestClock;
use core::time::Duration;
use shm_proto::HostTime;

/// The first look is this much before the chunk is due, give or take as much.
const EARLY_NS: u64 = 300_000;
/// Looks while the chunk is due.
const DUE_EVERY: Duration = Duration::from_micros(250);
const DUE_FOR_S: f64 = 0.001;
/// Looks while it is overdue.
const OVERDUE_EVERY: Duration = Duration::from_millis(1);
const OVERDUE_FOR_S: f64 = 0.1;
/// Looks while the guest is silent: quiet for so long, in seconds, and how often then. The last is what a guest that
/// rests may cost: seven a second.
const SILENT_EVERY: [(f64, Duration); 3] =
    [(2.0, Duration::from_millis(10)), (10.0, Duration::from_millis(40)), (f64::MAX, Duration::from_millis(135))];

/// The rhythm of one stream.
#[derive(Debug)]
pub struct Rhythm {
    epoch: HostTime,
    clock: GuestClock,
    next_end: u64,
    step: u64,
    last: HostTime,
    dice: u64,
}

impl Rhythm {
    /// The rhythm of a stream of `rate_hz` that begins now, in pieces of `step` frames.
    pub fn new(rate_hz: u32, step: u32, now: HostTime) -> Rhythm {
        let step = u64::from(step.max(1));
        Rhythm { epoch: now, clock: GuestClock::new(rate_hz), next_end: step, step, last: now, dice: now.as_ns() | 1 }
    }

    /// All frames up to `end` were there at `now`.
    pub fn arrived(&mut self, now: HostTime, end: u64) {
        self.clock.observe(now.signed_ns_since(self.epoch) as f64 * 1e-9, end);
        self.next_end = end.saturating_add(self.step);
        self.last = now;
    }

    /// For how long nothing has come.
    pub fn quiet_for(&self, now: HostTime) -> Duration {
        now.since(self.last)
    }

    /// When to look again, if all that is there at `now` was taken.
    pub fn next_look(&mut self, now: HostTime) -> HostTime {
        let now_s = now.signed_ns_since(self.epoch) as f64 * 1e-9;
        let quiet_s = self.quiet_for(now).as_secs_f64();
        if quiet_s > OVERDUE_FOR_S + 0.1 {
            let every = SILENT_EVERY.iter().find(|(until_s, _)| quiet_s < *until_s).map_or(OVERDUE_EVERY, |(_, e)| *e);
            // Off any grid that the guest may wake up on.
            return now + every + Duration::from_nanos(self.roll(every.as_nanos() as u64 / 8));
        }
        if !self.clock.is_primed() {
            return now + OVERDUE_EVERY;
        }
        let left_s = self.clock.time_of(self.next_end as f64) - now_s;
        if left_s > EARLY_NS as f64 * 1e-9 {
            // Never further than the clock can be trusted.
            let left = Duration::from_secs_f64(left_s.min(0.1));
            let early = Duration::from_nanos(self.roll(2 * EARLY_NS));
            return (now + left - early).max(now + DUE_EVERY);
        }
        // Off the grid of whole milliseconds, which guests publish on.
        let overdue = OVERDUE_EVERY - Duration::from_nanos(self.roll(OVERDUE_EVERY.as_nanos() as u64 / 8));
        now + if left_s > -DUE_FOR_S { DUE_EVERY } else { overdue }
    }

    /// A number below `limit` that looks random.
    fn roll(&mut self, limit: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Looks of a rhythm for `seconds` at a guest that publishes chunk k at `at_ns(k)`: how many, and the mean time in
    /// nanoseconds by which a chunk was seen late.
    fn looks(seconds: u64, at_ns: impl Fn(u64) -> u64) -> (u64, u64) {
        let start = HostTime::from_ns(5 * MS);
        let mut rhythm = Rhythm::new(48_000, 960, start);
        let (mut now, mut looks, mut chunks, mut late_ns) = (start, 0, 0u64, 0);
        while now < start + Duration::from_secs(seconds) {
            looks += 1;
            while at_ns(chunks + 1) <= now.as_ns() {
                chunks += 1;
                late_ns += now.as_ns() - at_ns(chunks);
                rhythm.arrived(now, chunks * 960);
            }
            let next = rhythm.next_look(now);
            assert!(next > now);
            // Sleeping ends a little late.
            now = next + Duration::from_micros(40);
        }
        (looks / seconds, late_ns / chunks.max(1))
    }

    #[test]
    fn a_calm_guest_costs_few_wake_ups_and_is_seen_in_time() {
        let (per_second, late_ns) = looks(20, |k| 5 * MS + k * 20 * MS);
        assert!(per_second < 200, "{per_second}");
        assert!(late_ns < 300_000, "{late_ns}");
    }

    #[test]
    fn a_guest_with_slow_ticks_is_still_cheaper_than_a_grid() {
        let tick_ns = 15_625_000;
        let (per_second, late_ns) = looks(20, |k| 5 * MS + (k * 20 * MS).div_ceil(tick_ns) * tick_ns);
        assert!(per_second < 700, "{per_second}");
        assert!(late_ns < 700_000, "{late_ns}");
    }

    #[test]
    fn a_silent_guest_costs_little() {
        let stops = |k| if k < 10 { 5 * MS + k * 20 * MS } else { u64::MAX };
        let (ten, minute) = (looks(10, stops).0 * 10, looks(70, stops).0 * 70);
        assert!(ten / 10 < 70, "{ten} in the first ten seconds");
        assert!((minute - ten) / 60 < 10, "{} in the minute after", minute - ten);
    }
}
