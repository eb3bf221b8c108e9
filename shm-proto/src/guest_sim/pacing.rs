//! When a simulated driver publishes: pure arithmetic from the host's time to "so many chunks are due".
//!
//! The driver is woken by a periodic timer of the guest, takes the guest's elapsed time in whole milliseconds, and
//! publishes every chunk that is complete by then. Source: the wire reference of Scream 4.0, section 5.

use super::dice;
use crate::time::HostTime;
use core::time::Duration;

const NS_PER_S: u128 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// How the guest keeps time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacing {
    /// Distance of the guest's timer ticks: 10 ms, 15.625 ms or 1 ms on real ones. At least 100 µs.
    pub tick: Duration,
    /// How much faster the guest's clock runs than the host's. Unit: parts per million.
    pub drift_ppm: f64,
    /// Each tick is late by a random time up to this; at most a tick.
    pub lateness: Duration,
    /// Ticks that fall into the last `stall` of each `stall_every` all come at its end. Zero: never.
    pub stall: Duration,
    /// See [`Pacing::stall`].
    pub stall_every: Duration,
    /// Chooses the lateness of each tick.
    pub seed: u64,
}

impl Pacing {
    /// Ticks of 10 ms, no drift, no lateness, no stalls.
    pub const CALM: Pacing = Pacing {
        tick: Duration::from_millis(10),
        drift_ppm: 0.0,
        lateness: Duration::ZERO,
        stall: Duration::ZERO,
        stall_every: Duration::ZERO,
        seed: 0,
    };

    /// Ticks of 15.625 ms: a guest whose clock interrupt runs at its slowest.
    pub const SLOW_TICKS: Pacing = Pacing { tick: Duration::from_micros(15_625), ..Pacing::CALM };
}

/// Counts chunks against the clock.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    tick_ns: u64,
    /// Guest nanoseconds in a host second.
    guest_ns_per_s: u64,
    lateness_ns: u64,
    stall_ns: u64,
    stall_every_ns: u64,
    seed: u64,
    rate_hz: u64,
    chunk_frames: u64,
    /// The host's time when the clock started; stalls are counted from here.
    epoch: HostTime,
    /// The host's time when the sound last began to advance; `None` while it is paused.
    running_since: Option<HostTime>,
    /// Frames from before that.
    frames_before: u64,
    /// A stall that was asked for: nothing happens from the first to the second.
    stalled: Option<(HostTime, HostTime)>,
}

impl Pacer {
    /// A pacer that starts at `now`, for chunks of `chunk_frames` frames at `rate_hz`.
    pub fn new(pacing: &Pacing, rate_hz: u32, chunk_frames: u32, now: HostTime) -> Pacer {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let tick_ns = ns(pacing.tick).max(100_000);
        let stall_every_ns = ns(pacing.stall_every);
        let drift_ppm = if pacing.drift_ppm.is_finite() { pacing.drift_ppm.clamp(-100_000.0, 100_000.0) } else { 0.0 };
        Pacer {
            tick_ns,
            guest_ns_per_s: (1e9 + drift_ppm * 1e3).round() as u64,
            lateness_ns: ns(pacing.lateness).min(tick_ns),
            stall_ns: ns(pacing.stall).min(stall_every_ns),
            stall_every_ns,
            seed: pacing.seed,
            rate_hz: rate_hz.max(1).into(),
            chunk_frames: chunk_frames.max(1).into(),
            epoch: now,
            running_since: Some(now),
            frames_before: 0,
            stalled: None,
        }
    }

    /// Chunks that are complete at `now`, since the start.
    pub fn due(&self, now: HostTime) -> u64 {
        self.frames(now) / self.chunk_frames
    }

    /// When chunk number `number` (the first is 0) is published. `None` while the sound is paused.
    pub fn due_at(&self, number: u64) -> Option<HostTime> {
        let since = self.running_since?;
        let wanted = number.saturating_add(1).saturating_mul(self.chunk_frames);
        let missing = wanted.saturating_sub(self.frames_before);
        let missing_ms = missing.saturating_mul(1_000).div_ceil(self.rate_hz);
        // The tick that comes at or after this time; one before it may be late enough to see it.
        let tick = missing_ms.saturating_mul(NS_PER_MS).div_ceil(self.tick_ns);
        (tick.saturating_sub(2)..=tick)
            .map(|tick| self.tick_at(since, tick))
            .find(|at| self.frames_of_run(since, *at) >= missing)
    }

    /// The sound stops advancing. What is missing to a whole chunk is kept.
    pub fn pause(&mut self, now: HostTime) {
        self.frames_before = self.frames(now);
        self.running_since = None;
    }

    /// The sound goes on.
    pub fn resume(&mut self, now: HostTime) {
        if self.running_since.is_none() {
            self.running_since = Some(now);
        }
    }

    /// Whether the sound is paused.
    pub fn is_paused(&self) -> bool {
        self.running_since.is_none()
    }

    /// Nothing happens until `length` from now; then everything at once.
    pub fn stall(&mut self, now: HostTime, length: Duration) {
        self.stalled = Some((now, now + length));
    }

    fn frames(&self, now: HostTime) -> u64 {
        let Some(since) = self.running_since else { return self.frames_before };
        let seen = match self.last_tick_before(since, now) {
            Some(at) => self.frames_of_run(since, at),
            None => 0,
        };
        self.frames_before + seen
    }

    /// Frames that the driver counts for a run when it looks at `at`: the guest's time in whole milliseconds.
    fn frames_of_run(&self, since: HostTime, at: HostTime) -> u64 {
        let elapsed_ms = self.guest_ns(at.as_ns().saturating_sub(since.as_ns())) / NS_PER_MS;
        elapsed_ms.saturating_mul(self.rate_hz) / 1_000
    }

    /// When the driver last looked, at or before `now`.
    fn last_tick_before(&self, since: HostTime, now: HostTime) -> Option<HostTime> {
        // Inside a stall, nothing happened since its start.
        let now = match self.stall_around(now) {
            Some((from, _)) => HostTime::from_ns(from.as_ns().checked_sub(1)?),
            None => now,
        };
        let newest = self.guest_ns(now.as_ns().checked_sub(since.as_ns())?) / self.tick_ns;
        (newest.saturating_sub(2)..=newest).rev().map(|tick| self.tick_at(since, tick)).find(|at| *at <= now)
    }

    /// When tick `tick` of a run really comes.
    fn tick_at(&self, since: HostTime, tick: u64) -> HostTime {
        let on_time = since.as_ns().saturating_add(self.host_ns(tick.saturating_mul(self.tick_ns)));
        let late = HostTime::from_ns(on_time.saturating_add(dice::roll_below(self.seed, tick, self.lateness_ns)));
        match self.stall_around(late) {
            Some((_, until)) => until,
            None => late,
        }
    }

    /// The stall that `at` falls into: from, and until but not including.
    fn stall_around(&self, at: HostTime) -> Option<(HostTime, HostTime)> {
        if let Some((from, until)) = self.stalled
            && (from..until).contains(&at)
        {
            return Some((from, until));
        }
        if self.stall_ns == 0 {
            return None;
        }
        let elapsed = at.as_ns().saturating_sub(self.epoch.as_ns());
        let until = (elapsed / self.stall_every_ns + 1).saturating_mul(self.stall_every_ns);
        let from = until - self.stall_ns;
        let host = |ns: u64| HostTime::from_ns(self.epoch.as_ns().saturating_add(ns));
        (elapsed >= from).then(|| (host(from), host(until)))
    }

    fn guest_ns(&self, host_ns: u64) -> u64 {
        (u128::from(host_ns) * u128::from(self.guest_ns_per_s) / NS_PER_S) as u64
    }

    /// Rounded up, so that the guest's time at this instant is not before `guest_ns`.
    fn host_ns(&self, guest_ns: u64) -> u64 {
        (u128::from(guest_ns) * NS_PER_S).div_ceil(u128::from(self.guest_ns_per_s)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: HostTime = HostTime::from_ns(5_000_000_000);

    fn pacer(pacing: &Pacing) -> Pacer {
        Pacer::new(pacing, 48_000, 960, START)
    }

    fn gaps_us(pacer: &Pacer, chunks: core::ops::Range<u64>) -> Vec<u64> {
        let at: Vec<u64> = chunks.map(|number| pacer.due_at(number).unwrap().as_ns() / 1_000).collect();
        at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn ticks_of_10_ms_give_a_chunk_every_20_ms() {
        let pacer = pacer(&Pacing::CALM);
        assert_eq!(pacer.due_at(0), Some(START + Duration::from_millis(20)));
        assert!(gaps_us(&pacer, 0..1_000).iter().all(|gap| *gap == 20_000));
    }

    #[test]
    fn ticks_of_15_6_ms_alternate_between_one_and_two_ticks() {
        let gaps = gaps_us(&pacer(&Pacing::SLOW_TICKS), 0..101);
        assert!(gaps.iter().all(|gap| *gap == 15_625 || *gap == 31_250), "{gaps:?}");
        assert_eq!(gaps.iter().sum::<u64>(), 100 * 20_000);
    }

    #[test]
    fn what_is_due_and_when_it_is_due_agree() {
        let mut cases = vec![Pacing::CALM, Pacing::SLOW_TICKS];
        for drift_ppm in [-1_000.0, -300.0, 37.5, 500.0] {
            for tick_us in [1_000, 10_000, 15_625] {
                cases.push(Pacing {
                    tick: Duration::from_micros(tick_us),
                    drift_ppm,
                    lateness: Duration::from_millis(4),
                    stall: Duration::from_millis(40),
                    stall_every: Duration::from_millis(700),
                    seed: tick_us,
                });
            }
        }
        for pacing in cases {
            let pacer = pacer(&pacing);
            let mut last = START;
            for number in 0..500 {
                let at = pacer.due_at(number).unwrap();
                assert!(at >= last, "{pacing:?} {number}");
                assert!(pacer.due(at) > number, "{pacing:?} {number}");
                assert!(pacer.due(HostTime::from_ns(at.as_ns() - 1)) <= number, "{pacing:?} {number}");
                last = at;
            }
        }
    }

    #[test]
    fn a_fast_guest_publishes_more() {
        let pacer = pacer(&Pacing { drift_ppm: 500.0, ..Pacing::CALM });
        assert_eq!(pacer.due(START + Duration::from_secs(100_000)), 5_002_500);
    }

    #[test]
    fn a_stall_ends_in_a_burst() {
        let mut pacer = pacer(&Pacing::CALM);
        pacer.stall(START + Duration::from_millis(100), Duration::from_millis(120));
        assert_eq!(pacer.due(START + Duration::from_millis(99)), 4);
        assert_eq!(pacer.due(START + Duration::from_millis(219)), 4);
        assert_eq!(pacer.due(START + Duration::from_millis(220)), 11);
        assert_eq!(pacer.due_at(4), Some(START + Duration::from_millis(220)));
        assert_eq!(pacer.due_at(11), Some(START + Duration::from_millis(240)));
    }

    #[test]
    fn a_pause_keeps_the_part_of_a_chunk() {
        let mut pacer = pacer(&Pacing::CALM);
        pacer.pause(START + Duration::from_millis(30));
        assert_eq!((pacer.due(START + Duration::from_secs(9)), pacer.due_at(1)), (1, None));
        pacer.resume(START + Duration::from_secs(10));
        assert_eq!(pacer.due_at(1), Some(START + Duration::from_millis(10_010)));
    }

    #[test]
    fn extreme_settings_do_no_harm() {
        let pacing = Pacing {
            tick: Duration::ZERO,
            drift_ppm: f64::NAN,
            lateness: Duration::MAX,
            stall: Duration::MAX,
            stall_every: Duration::from_secs(1),
            seed: 0,
        };
        let pacer = Pacer::new(&pacing, 0, 0, HostTime::from_ns(u64::MAX - 5));
        pacer.due(HostTime::from_ns(u64::MAX));
        pacer.due_at(u64::MAX);
        pacer.due(HostTime::ZERO);
    }
}
