//! When to look for the next chunk: one wake-up when it is due, a few soon after, then one each millisecond while it is
//! overdue, and rarely when the guest is silent. Pure.
//!
//! Wake-ups are the dearest thing a receiver does. Whoever looks before a chunk is due looks in vain, but only that shows
//! when it really comes, and the guest's clock is the earliest arrivals: so a guest that is new or unpunctual is looked for
//! early each time, a punctual one now and then. The instant is shaken by a random amount: looks on a fixed grid would beat
//! against the guest's clock, and that beat would pass for a slow change of delay.

use crate::clock::GuestClock;
use core::time::Duration;
use shm_proto::HostTime;

/// An early look is this much before the chunk is due, give or take as much.
const EARLY_NS: u64 = 300_000;
/// A chunk that is there at such a look came nobody knows how much before it, and the clock would believe the look: the next is
/// this much earlier, then twice as much, up to the last; half as much again after each that is in vain.
const LEAD_NS: core::ops::RangeInclusive<u64> = EARLY_NS..=5_000_000;
/// Any other first look is up to this much after it.
const AFTER_NS: u64 = 200_000;
/// Of a punctual guest's chunks one of so many is looked for early, at random: whatever has a period of its own in the guest
/// shall not always meet the same look.
const EARLY_ONE_OF: u64 = 4;
/// A guest is punctual if no more than so many of its last 64 chunks were later than this, and if it has been for so long.
/// Units: none, seconds, seconds.
const MOST_LATE: u32 = 8;
const LATE_S: f64 = 0.001;
const KNOWN_AFTER_S: f64 = 120.0;
/// Looks while the chunk is due.
const DUE_EVERY: Duration = Duration::from_micros(250);
const DUE_FOR_S: f64 = 0.001;
/// For so long a chunk may be due at any time. Of a guest with slow ticks it may come 15 ms before or after the one that was
/// seen first promised, and whoever sleeps meanwhile takes what is seen for what is. Unit: seconds.
const NEW_FOR_S: f64 = 1.2;
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
    /// Since when its clock runs on, and which of the last 64 chunks were late: a bit for each.
    since: HostTime,
    late: u64,
    /// An early look is waited for, and by how much more such looks are early.
    early: bool,
    lead_ns: u64,
    dice: u64,
}

impl Rhythm {
    /// The rhythm of a stream of `rate_hz` that begins now, in pieces of `step` frames.
    pub fn new(rate_hz: u32, step: u32, now: HostTime) -> Rhythm {
        let step = u64::from(step.max(1));
        Rhythm {
            epoch: now,
            clock: GuestClock::new(rate_hz),
            next_end: step,
            step,
            last: now,
            since: now,
            late: u64::MAX,
            early: false,
            lead_ns: 0,
            dice: now.as_ns() | 1,
        }
    }

    /// All frames up to `end` were there at `now`.
    pub fn arrived(&mut self, now: HostTime, end: u64) {
        let arrival = self.clock.observe(now.signed_ns_since(self.epoch) as f64 * 1e-9, end);
        if arrival.restarted {
            self.since = now;
        }
        if core::mem::take(&mut self.early) {
            self.lead_ns = (2 * self.lead_ns).clamp(*LEAD_NS.start(), *LEAD_NS.end());
        }
        self.late = self.late << 1 | u64::from(arrival.late_s > LATE_S);
        self.next_end = end.saturating_add(self.step);
        self.last = now;
    }

    /// For how long nothing has come.
    pub fn quiet_for(&self, now: HostTime) -> Duration {
        now.since(self.last)
    }

    /// When to look again, if all that is there at `now` was taken.
    pub fn next_look(&mut self, now: HostTime) -> HostTime {
        let first = now == self.last;
        if core::mem::take(&mut self.early) {
            self.lead_ns = if self.lead_ns > *LEAD_NS.start() { self.lead_ns / 2 } else { 0 };
        }
        let now_s = now.signed_ns_since(self.epoch) as f64 * 1e-9;
        let quiet_s = self.quiet_for(now).as_secs_f64();
        if quiet_s > OVERDUE_FOR_S + 0.1 {
            let every = SILENT_EVERY.iter().find(|(until_s, _)| quiet_s < *until_s).map_or(OVERDUE_EVERY, |(_, e)| *e);
            // Off any grid that the guest may wake up on.
            return now + every + Duration::from_nanos(self.roll(every.as_nanos() as u64 / 8));
        }
        if now.since(self.since).as_secs_f64() < NEW_FOR_S {
            return now + DUE_EVERY / 2 + Duration::from_nanos(self.roll(DUE_EVERY.as_nanos() as u64));
        }
        if !self.clock.is_primed() {
            return now + OVERDUE_EVERY;
        }
        let left_s = self.clock.time_of(self.next_end as f64) - now_s;
        if left_s > EARLY_NS as f64 * 1e-9 {
            // Never further than the clock can be trusted.
            let left = Duration::from_secs_f64(left_s.min(0.1));
            if self.is_punctual(now) && self.roll(EARLY_ONE_OF) > 0 {
                return now + left + Duration::from_nanos(self.roll(AFTER_NS));
            }
            self.early = first;
            let lead_ns = if first { self.lead_ns } else { 0 };
            let early = Duration::from_nanos(self.roll(2 * EARLY_NS) + lead_ns);
            return (now + left.saturating_sub(early)).max(now + DUE_EVERY);
        }
        // Off the grid of whole milliseconds, which guests publish on.
        let overdue = OVERDUE_EVERY - Duration::from_nanos(self.roll(OVERDUE_EVERY.as_nanos() as u64 / 8));
        now + if left_s > -DUE_FOR_S { DUE_EVERY } else { overdue }
    }

    /// Whether the guest's clock is known and its chunks come when they are due.
    fn is_punctual(&self, now: HostTime) -> bool {
        self.late.count_ones() <= MOST_LATE && self.lead_ns == 0 && now.since(self.since).as_secs_f64() > KNOWN_AFTER_S
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

    /// The first moments, which are dear, are not counted. Unit: seconds.
    const BEGIN_S: u64 = 2;

    /// Looks of a rhythm for `seconds` at a guest that publishes chunk k at `at_ns(k)`: how many a second, and the mean time in
    /// nanoseconds by which a chunk was seen late.
    fn looks(seconds: u64, at_ns: impl Fn(u64) -> u64) -> (u64, u64) {
        let start = HostTime::from_ns(5 * MS);
        let mut rhythm = Rhythm::new(48_000, 960, start);
        let (mut now, mut looks, mut chunks, mut late_ns) = (start, 0, 0u64, 0);
        while now < start + Duration::from_secs(seconds) {
            looks += u64::from(now > start + Duration::from_secs(BEGIN_S));
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
        (looks / (seconds - BEGIN_S), late_ns / chunks.max(1))
    }

    #[test]
    fn a_calm_guest_costs_few_wake_ups_and_is_seen_in_time() {
        for (seconds, most) in [(20, 200), (600, 95)] {
            let (per_second, late_ns) = looks(seconds, |k| 5 * MS + k * 20 * MS);
            assert!(per_second < most, "{per_second} in {seconds} s");
            assert!(late_ns < 250_000, "{late_ns}");
        }
    }

    #[test]
    fn a_guest_whose_clock_turns_is_still_seen_in_time() {
        // 300 ppm slow for two minutes, then as much fast: each early look that finds a chunk there shows the clock by how much.
        let at_ns = |k: u64| {
            let (k, turn) = (k as f64, 6000.0);
            5 * MS + (k * 20e6 * (1.0 + 300e-6) - (k - turn).max(0.0) * 20e6 * 600e-6) as u64
        };
        let (before, all) = (looks(120, at_ns).1, looks(240, at_ns).1);
        assert!(before < 250_000 && 2 * all - before < 600_000, "{before} {all}");
    }

    #[test]
    fn a_guest_whose_clock_is_far_off_is_seen_in_time_from_the_start() {
        for ppm in [1500.0, 5000.0, -5000.0] {
            let (_, late_ns) = looks(20, |k| 5 * MS + (k as f64 * 20e6 / (1.0 + ppm * 1e-6)) as u64);
            assert!(late_ns < 300_000, "{ppm} ppm: {late_ns}");
        }
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
        let (ten, minute) = (looks(10, stops).0 * 8, looks(70, stops).0 * 68);
        assert!(ten / 10 < 70, "{ten} in the first ten seconds");
        assert!((minute - ten) / 60 < 10, "{} in the minute after", minute - ten);
    }
}
