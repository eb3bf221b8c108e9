//! Two clocks, learned from what is seen of them: the guest's, from the instants at which its sound became visible, and
//! the sink's, from what the sink says of its delay. Pure: the caller passes the time, in seconds since an instant that
//! both share.
//!
//! Arrivals err to one side: a chunk is never early, but late whenever somebody dawdled. So the guest's clock is the
//! *lower envelope* of its arrivals (the earliest of each second) and a straight line through it. The sink's delay errs to both
//! sides, so its clock is a delay-locked loop.

mod first;

use core::f64::consts::{PI, SQRT_2};
use first::First;
use std::collections::VecDeque;

/// Length of one bin of the envelope. Unit: seconds. Fifty chunks, or many more datagrams.
const BIN_S: f64 = 1.0;
/// The same while the clock is new. A guest with slow ticks is early twice a second. Unit: seconds.
const FIRST_BIN_S: f64 = 0.5;
/// The envelope's memory, in bins. Two minutes: long enough for a slope of some ppm, short enough for a warming quartz.
const MAX_BINS: usize = 120;
/// Bins before their slope is believed.
const MIN_BINS: usize = 4;
/// From the first arrival to one with which the clock is of use: two chunks, or the datagrams of two ticks. With more, a
/// sound would have had its time before it is begun. Unit: seconds.
const PRIMED_AFTER_S: f64 = 0.015;
/// Arrivals that must agree before the clock is set anew.
const MIN_AGREEING: u32 = 3;
/// After so long without an arrival a late one is the end of a pause, not of a stall. Unit: seconds.
const PAUSE_S: f64 = 0.5;
/// An arrival this late belongs to a guest that was away, if those after it are as late. Unit: seconds.
const LATE_S: f64 = 0.060;
/// An arrival this early cannot be: the guest skipped. Unit: seconds.
const EARLY_S: f64 = 0.005;
/// So does an arrival this late, if for so long no other was earlier: the guest dropped something. (A guest with slow
/// ticks is early twice a second.) Units: seconds.
const BEHIND_S: f64 = 0.005;
const BEHIND_FOR_S: f64 = 0.6;
/// So do so many in a row, if they are as late to within this: the guest dropped something. Unit: seconds.
const SAME_COUNT: u32 = 6;
const SAME_S: f64 = 0.002;
/// How long arrivals must agree on being late or early; a burst after a stall is over sooner. Unit: seconds.
const AGREE_S: f64 = 0.050;
/// How far three bins in a row may leave the line before only the newest are believed: this, or so many times what those
/// before them leave it by in the root of the mean square. Of slow ticks only two a second are early, and the earlier of
/// two late ones errs by a third of a millisecond. Units: seconds, times.
const BEND_S: f64 = 0.000_3;
const BEND_TIMES: f64 = 4.0;
/// How far three bins in a row may leave the line before only they are believed. Unit: seconds.
const BREAK_S: f64 = 0.003;
/// How far guests' clocks err, as a rule.
const USUAL_SLOPE: f64 = 300e-6;
/// The steepest line that is believed: a guest's clock is not 1 % off.
const MAX_SLOPE: f64 = 0.01;

/// The earliest arrival of one second: when, and how much later than the nominal rate promised.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    at_s: f64,
    excess_s: f64,
}

/// The guest's clock: which of its frames it plays at which instant.
#[derive(Clone, Debug)]
pub struct GuestClock {
    rate_hz: f64,
    envelope: VecDeque<Point>,
    /// The bin that is being filled, and when it began.
    bin: Option<(f64, Point)>,
    line: Line,
    /// Makes the line until the envelope can, and whether it did.
    first: First,
    has_first: bool,
    arrivals: u32,
    first_s: f64,
    last_s: f64,
    late: Run,
    behind: Run,
    same: Run,
    early: Run,
}

/// The excess over the nominal rate as a function of time.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    at_s: f64,
    excess_s: f64,
    slope: f64,
}

impl Line {
    fn excess_at(&self, at_s: f64) -> f64 {
        self.excess_s + self.slope * (at_s - self.at_s)
    }
}

/// Arrivals in a row that agree with each other, but not with the line.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    count: u32,
    since_s: f64,
    earliest: Option<Point>,
}

impl Run {
    /// Goes on if it `agrees`, else it is over.
    fn extend_if(&mut self, agrees: bool, p: Point, agree_s: f64) -> Option<Point> {
        if agrees {
            self.extend(p, agree_s)
        } else {
            *self = Run::default();
            None
        }
    }

    /// One more; the earliest of all if there were enough over `agree_s`.
    fn extend(&mut self, p: Point, agree_s: f64) -> Option<Point> {
        if self.count == 0 {
            self.since_s = p.at_s;
        }
        self.count += 1;
        let earliest = self.earliest.filter(|e| e.excess_s <= p.excess_s).unwrap_or(p);
        self.earliest = Some(earliest);
        (self.count >= MIN_AGREEING && p.at_s - self.since_s >= agree_s).then_some(earliest)
    }
}

/// What an arrival told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// How much later than the envelope it came; negative if it came earlier. Unit: seconds.
    pub late_s: f64,
    /// The guest was away, or skipped: what the clock said before no longer holds.
    pub restarted: bool,
}

impl GuestClock {
    /// A clock that has seen nothing yet, of a guest that claims `rate_hz` frames a second.
    pub fn new(rate_hz: u32) -> GuestClock {
        GuestClock {
            rate_hz: f64::from(rate_hz.max(1)),
            envelope: VecDeque::with_capacity(MAX_BINS),
            bin: None,
            line: Line::default(),
            first: First::default(),
            has_first: false,
            arrivals: 0,
            first_s: 0.0,
            last_s: 0.0,
            late: Run::default(),
            behind: Run::default(),
            same: Run::default(),
            early: Run::default(),
        }
    }

    /// All frames up to `end_frame` were seen for the first time at `at_s`.
    ///
    /// Real-time safe: no allocation; once a second a line through at most 120 points.
    pub fn observe(&mut self, at_s: f64, end_frame: u64) -> Arrival {
        let p = Point { at_s, excess_s: at_s - end_frame as f64 / self.rate_hz };
        self.arrivals = self.arrivals.saturating_add(1);
        let pause_s = at_s - core::mem::replace(&mut self.last_s, at_s);
        if self.arrivals == 1 {
            self.first_s = at_s;
            self.restart(p, 0.0);
            return Arrival { late_s: 0.0, restarted: true };
        }
        let late_s = p.excess_s - self.line.excess_at(at_s);
        let moved = self.late.extend_if(late_s > LATE_S, p, AGREE_S);
        let moved = moved.or(self.behind.extend_if(late_s > BEHIND_S, p, BEHIND_FOR_S));
        let moved = moved.or(self.all_alike(late_s, p));
        let moved = moved.or(self.early.extend_if(late_s < -EARLY_S, p, AGREE_S));
        let moved = moved.or((pause_s > PAUSE_S && late_s > LATE_S).then_some(p));
        if let Some(earliest) = moved {
            self.restart(earliest, self.line.slope);
            return Arrival { late_s: p.excess_s - earliest.excess_s, restarted: true };
        }
        if late_s <= LATE_S {
            self.fill_bin(p);
        }
        Arrival { late_s, restarted: false }
    }

    fn restart(&mut self, p: Point, slope: f64) {
        self.envelope.clear();
        self.bin = Some((p.at_s, p));
        (self.first, self.has_first) = (First::new(slope), false);
        self.line = Line { at_s: p.at_s, excess_s: p.excess_s, slope };
        (self.late, self.behind, self.early) = (Run::default(), Run::default(), Run::default());
        self.same = Run::default();
    }

    /// Whether several in a row were late by the same.
    fn all_alike(&mut self, late_s: f64, p: Point) -> Option<Point> {
        let late_s_of = |e: Point| e.excess_s - self.line.excess_at(e.at_s);
        let alike = self.same.earliest.is_none_or(|e| (late_s_of(e) - late_s).abs() < SAME_S);
        if late_s > BEHIND_S && !alike {
            self.same = Run::default();
        }
        let earliest = self.same.extend_if(late_s > BEHIND_S, p, AGREE_S);
        earliest.filter(|_| self.same.count >= SAME_COUNT)
    }

    fn fill_bin(&mut self, p: Point) {
        if self.envelope.len() < MIN_BINS
            && let Some(line) = self.first.add(p)
        {
            (self.line, self.has_first) = (line, true);
        }
        let length_s = if self.envelope.len() < 2 * MIN_BINS { FIRST_BIN_S } else { BIN_S };
        match &mut self.bin {
            Some((since_s, earliest)) if p.at_s - *since_s < length_s => {
                let above = |p: &Point| p.excess_s - self.line.excess_at(p.at_s);
                if above(&p) < above(earliest) {
                    *earliest = p;
                    if self.envelope.len() < MIN_BINS && !self.has_first && above(&p) < 0.0 {
                        // Without a slope of its own the line simply passes through the earliest arrival.
                        self.line = Line { at_s: p.at_s, excess_s: p.excess_s, ..self.line };
                    }
                }
            }
            bin => {
                let full = bin.replace((p.at_s, p));
                if let Some((_, point)) = full {
                    self.extend_envelope(point);
                }
            }
        }
    }

    fn extend_envelope(&mut self, point: Point) {
        if self.envelope.len() == MAX_BINS {
            self.envelope.pop_front();
        }
        self.envelope.push_back(point);
        let left = |p: &Point| p.excess_s - self.line.excess_at(p.at_s);
        let newest = self.envelope.iter().rev().take(3).map(left);
        let (low, high) = newest.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        let before = self.envelope.len().saturating_sub(3);
        let squares: f64 = self.envelope.iter().take(before).map(|p| left(p) * left(p)).sum();
        let bend_s = BEND_S.max(BEND_TIMES * (squares / before.max(1) as f64).sqrt());
        let left_by = low.max(-high);
        if self.envelope.len() > MIN_BINS {
            if left_by > BREAK_S {
                self.envelope.drain(..self.envelope.len() - 3);
            } else if left_by > bend_s {
                let keep = MIN_BINS;
                self.envelope.drain(..self.envelope.len() - keep);
            }
        }
        self.line = if self.envelope.len() < MIN_BINS && self.has_first {
            self.line
        } else if self.envelope.len() < MIN_BINS {
            // The lowest of the newest points; the slope is what was known before, or none.
            let slope = self.line.slope;
            let lowest = self.envelope.iter().rev().take(2).map(|p| p.excess_s + slope * (point.at_s - p.at_s));
            Line { at_s: point.at_s, excess_s: lowest.fold(point.excess_s, f64::min), slope }
        } else {
            self.fit(point.at_s)
        };
    }

    /// The straight line with the least squares, around `at_s`; its slope is believed only as far as points that lie so
    /// roughly on it can tell it.
    fn fit(&self, at_s: f64) -> Line {
        let n = self.envelope.len() as f64;
        let mean = |f: fn(&Point) -> f64| self.envelope.iter().map(f).sum::<f64>() / n;
        let (mean_s, mean_excess) = (mean(|p| p.at_s), mean(|p| p.excess_s));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for p in &self.envelope {
            let (x, y) = (p.at_s - mean_s, p.excess_s - mean_excess);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let rough_s2 = (yy - xy * xy / xx.max(f64::MIN_POSITIVE)).max(0.0) / (n - 2.0).max(1.0);
        let doubt_s2 = rough_s2 / (USUAL_SLOPE * USUAL_SLOPE);
        let slope = if xx > 0.0 { (xy / (xx + doubt_s2)).clamp(-MAX_SLOPE, MAX_SLOPE) } else { 0.0 };
        Line { at_s, excess_s: mean_excess + slope * (at_s - mean_s), slope }
    }

    /// Whether enough was seen to say anything.
    pub fn is_primed(&self) -> bool {
        self.arrivals > 1 && self.last_s - self.first_s >= PRIMED_AFTER_S
    }

    /// When the guest played (or will play) `frame`. Unit: seconds.
    pub fn time_of(&self, frame: f64) -> f64 {
        let Line { at_s, excess_s, slope } = self.line;
        (frame / self.rate_hz + excess_s - slope * at_s) / (1.0 - slope)
    }

    /// Which frame the guest plays at `at_s`.
    pub fn frame_at(&self, at_s: f64) -> f64 {
        (at_s - self.line.excess_at(at_s)) * self.rate_hz
    }

    /// How much faster than it claims the guest is, in parts per million; nothing until it is known.
    pub fn ppm(&self) -> Option<f64> {
        (self.envelope.len() >= MIN_BINS).then_some(-self.line.slope * 1e6)
    }
}

/// Bandwidth of the sink's clock in the end. Unit: hertz.
const TRACK_HZ: f64 = 0.05;
/// While it is new the bandwidth is this over its age, and this at most. Units: none, hertz.
const ACQUIRE: f64 = 0.3;
const ACQUIRE_HZ: f64 = 1.0;
/// Before this age its rate is taken as what the sink claims. Unit: seconds.
const RATE_AFTER_S: f64 = 2.0;
/// A sink that is off by more has jumped: it underflowed, was moved or suspended. Unit: seconds.
const JUMP_S: f64 = 0.020;
/// The largest error of a sink's rate that is believed.
const MAX_RATE_ERROR: f64 = 0.005_5;

/// The sink's clock: when which of the frames it was given is heard.
#[derive(Clone, Debug)]
pub struct SinkClock {
    nominal_s: f64,
    /// Seconds per frame, as learned.
    frame_s: f64,
    /// When the next frame will be heard, and for how long that has been followed.
    next: Option<(f64, f64)>,
}

impl SinkClock {
    /// A clock that has seen nothing yet, of a sink that claims `rate_hz` frames a second.
    pub fn new(rate_hz: u32) -> SinkClock {
        let nominal_s = 1.0 / f64::from(rate_hz.max(1));
        SinkClock { nominal_s, frame_s: nominal_s, next: None }
    }

    /// The sink takes `frames` more and says that the first of them will be heard at `heard_s`. Returns when that is by
    /// all that is known, and whether the sink jumped.
    ///
    /// Real-time safe.
    pub fn advance(&mut self, heard_s: f64, frames: usize) -> (f64, bool) {
        let n = frames as f64;
        let (predicted_s, age_s, jumped) = match self.next {
            Some((next_s, age_s)) if (heard_s - next_s).abs() < JUMP_S => (next_s, age_s, false),
            known => {
                self.frame_s = self.nominal_s;
                (heard_s, 0.0, known.is_some())
            }
        };
        let error_s = heard_s - predicted_s;
        let bandwidth_hz = (ACQUIRE / age_s.max(1e-3)).clamp(TRACK_HZ, ACQUIRE_HZ);
        let omega = (2.0 * PI * bandwidth_hz * n * self.nominal_s).min(0.5);
        if n > 0.0 && age_s > RATE_AFTER_S {
            let frame_s = self.frame_s + omega * omega * error_s / n;
            let off = self.nominal_s * MAX_RATE_ERROR;
            self.frame_s = frame_s.clamp(self.nominal_s - off, self.nominal_s + off);
        }
        let next_s = predicted_s + SQRT_2 * omega * error_s + n * self.frame_s;
        self.next = Some((next_s, age_s + n * self.nominal_s));
        (predicted_s, jumped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHUNK: u64 = 960;

    /// Chunks of 20 ms from a guest `ppm` fast, each late by what `late_s` says; returns the clock and the last instant.
    fn guest(ppm: f64, chunks: u64, mut late_s: impl FnMut(u64) -> f64) -> (GuestClock, f64) {
        let mut clock = GuestClock::new(48_000);
        let mut at_s = 0.0;
        for k in 1..=chunks {
            at_s = 7.0 + k as f64 * 0.020 / (1.0 + ppm * 1e-6) + late_s(k);
            clock.observe(at_s, k * CHUNK);
        }
        (clock, at_s)
    }

    /// When the guest of [`guest`] really played a frame.
    fn truth(ppm: f64, frame: f64) -> f64 {
        7.0 + frame / 48_000.0 / (1.0 + ppm * 1e-6)
    }

    #[test]
    fn the_envelope_finds_rate_and_phase_through_one_sided_jitter() {
        for ppm in [0.0, 300.0, -300.0, 1000.0] {
            // Late by 0 to 4 ms in a pattern that is not periodic in a second.
            let (clock, _) = guest(ppm, 3000, |k| (k * 7919 % 41) as f64 * 1e-4);
            assert!((clock.ppm().unwrap() - ppm).abs() < 2.0, "{ppm}: {:?}", clock.ppm());
            let frame = 3000.0 * CHUNK as f64;
            assert!((clock.time_of(frame) - truth(ppm, frame)).abs() < 1e-4, "{ppm}");
            assert!((clock.frame_at(clock.time_of(frame)) - frame).abs() < 1e-3, "the two directions agree");
        }
    }

    #[test]
    fn a_stall_with_a_burst_after_it_does_not_move_the_clock() {
        for stall_s in [0.040, 0.120, 0.300] {
            // All chunks due in the stall come at its end.
            let (clock, _) = guest(50.0, 1000, |k| {
                let due_s = (k % 500) as f64 * 0.020;
                if due_s < stall_s { stall_s - due_s } else { 0.0 }
            });
            let frame = 1000.0 * CHUNK as f64;
            let off_s = clock.time_of(frame) - truth(50.0, frame);
            assert!(off_s.abs() < 5e-4, "{stall_s}: {off_s}");
        }
    }

    #[test]
    fn a_guest_that_was_paused_is_followed_at_once() {
        let (mut clock, at_s) = guest(200.0, 1000, |_| 0.0);
        let restarts: Vec<bool> =
            (1..=6).map(|k| clock.observe(at_s + 10.0 + k as f64 * 0.020, (1000 + k) * CHUNK).restarted).collect();
        assert_eq!(restarts, [true, false, false, false, false, false]);
        let frame = (1006 * CHUNK) as f64;
        assert!((clock.time_of(frame) - (at_s + 10.0 + 6.0 * 0.020)).abs() < 1e-4);
        assert!(clock.line.slope < -150e-6, "the rate is still known");
    }

    #[test]
    fn audio_the_guest_dropped_is_noticed_within_a_second() {
        // From the 1000th chunk on everything is 20 ms later: one chunk was never written.
        let (clock, at_s) = guest(0.0, 1050, |k| if k < 1000 { 0.0 } else { 0.020 });
        let off_s = clock.time_of((1050 * CHUNK) as f64) - at_s;
        assert!(off_s.abs() < 1e-4, "{off_s}");
        assert!(clock.ppm().is_none_or(|ppm| ppm.abs() < 5.0), "{:?}", clock.ppm());
    }

    #[test]
    fn a_change_of_rate_is_followed_without_a_long_error() {
        let mut clock = GuestClock::new(48_000);
        let mut at_s = 0.0;
        let mut worst_s: f64 = 0.0;
        for k in 1..=10_000u64 {
            at_s += 0.020 / (1.0 + if k < 6000 { 0.0 } else { 200e-6 });
            clock.observe(at_s, k * CHUNK);
            worst_s = worst_s.max((clock.time_of((k * CHUNK) as f64) - at_s).abs());
        }
        assert!(worst_s < 2e-3, "{worst_s}");
        assert!((clock.ppm().unwrap() - 200.0).abs() < 3.0);
    }

    #[test]
    fn a_sink_clock_settles_and_smooths() {
        let mut clock = SinkClock::new(48_000);
        let mut worst_s: f64 = 0.0;
        for k in 0..20_000u64 {
            let true_s = 3.0 + k as f64 * 240.0 / 48_000.0 * (1.0 + 80e-6);
            let noise_s = ((k * 7919 % 101) as f64 - 50.0) * 1e-5;
            let (heard_s, jumped) = clock.advance(true_s + noise_s, 240);
            assert!(!jumped);
            if k > 12_000 {
                worst_s = worst_s.max((heard_s - true_s).abs());
            }
        }
        assert!(worst_s < 5e-5, "{worst_s}");
    }

    #[test]
    fn a_sink_that_jumps_is_followed_at_once() {
        let mut clock = SinkClock::new(48_000);
        assert_eq!(clock.advance(1.0, 480), (1.0, false));
        assert_eq!(clock.advance(1.5, 480), (1.5, true));
        let (heard_s, jumped) = clock.advance(1.51, 480);
        assert!(!jumped && (heard_s - 1.51).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn no_order_of_arrivals_breaks_the_clock(steps in proptest::collection::vec((-1.0f64..2.0, 0u64..200_000), 1..400)) {
            let mut clock = GuestClock::new(48_000);
            let (mut at_s, mut frame) = (0.0, 0);
            for (ahead_s, frames) in steps {
                at_s += ahead_s;
                frame += frames;
                prop_assert!(clock.observe(at_s, frame).late_s.is_finite());
                prop_assert!(clock.time_of(frame as f64).is_finite() && clock.frame_at(at_s).is_finite());
                prop_assert!(clock.envelope.len() <= MAX_BINS && clock.envelope.capacity() <= 2 * MAX_BINS);
            }
        }
    }
}
