//! The beat of a guest's screen: pictures come on it, or some beats later if nothing changed. Followed by a filter of two
//! constants, so that neither lateness nor a clock that is a little off disturbs it. Pure.

use crate::time::HostTime;
use core::time::Duration;

/// Rhythms that are followed: 20 to 1000 beats a second. Unit: ns.
const PERIODS_NS: core::ops::RangeInclusive<i64> = 1_000_000..=50_000_000;
/// Pictures before the rhythm is trusted.
const LEARN: u32 = 8;
/// A picture out of rhythm counts two, one in rhythm takes one away; so much ends the rhythm.
const STRIKES: u32 = 6;
/// A guest whose pictures are off by more than this part of the period, on average, has no rhythm: pictures at any instant
/// are off by a quarter of it.
const ROUGH_PART: i64 = 12;
/// After so many beats without a picture the next one tells nothing about their distance.
const LONG_BEATS: i64 = 8;

/// Follows a rhythm.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    /// When the last picture was due, as the filter has it.
    phase: Option<HostTime>,
    period_ns: i64,
    /// How far pictures are off, on average. Unit: ns.
    off_ns: i64,
    learned: u32,
    strikes: u32,
}

impl Rhythm {
    /// A picture was found at `now`. How far off the beat, if there is one and it belongs to it. Unit: ns.
    pub(super) fn arrived(&mut self, now: HostTime) -> Option<i64> {
        let Some(phase) = self.phase else {
            self.phase = Some(now);
            return None;
        };
        let since = now.signed_ns_since(phase);
        if self.learned == 0 {
            let is_possible = PERIODS_NS.contains(&since);
            *self = Rhythm { phase: Some(now), learned: u32::from(is_possible), ..Rhythm::default() };
            if is_possible {
                self.period_ns = since;
            }
            return None;
        }
        let beats = ((since + self.period_ns / 2) / self.period_ns).max(1);
        let off = since.saturating_sub(self.period_ns.saturating_mul(beats));
        if off.abs() > self.period_ns / 4 {
            self.strikes += 2;
            if self.strikes >= STRIKES {
                *self = Rhythm { phase: Some(now), ..Rhythm::default() };
            }
            return None;
        }
        self.strikes = self.strikes.saturating_sub(1);
        let due = self.period_ns.saturating_mul(beats);
        self.phase = Some(phase + Duration::from_nanos(u64::try_from(due + off / 4).unwrap_or(0)));
        if beats <= LONG_BEATS {
            let period = self.period_ns + off / (32 * beats);
            self.period_ns = period.clamp(*PERIODS_NS.start(), *PERIODS_NS.end());
        }
        // The mean at first, then a running one.
        self.off_ns += (off.abs() - self.off_ns) / i64::from(self.learned.min(8));
        self.learned = self.learned.saturating_add(1);
        self.is_known().then_some(off)
    }

    /// Whether there is one.
    pub(super) fn is_known(&self) -> bool {
        self.learned >= LEARN && self.off_ns <= self.period_ns / ROUGH_PART
    }

    /// From beat to beat. Unit: ns.
    pub(super) fn period_ns(&self) -> i64 {
        self.period_ns
    }

    /// How far pictures are off the beat, on average. Unit: ns.
    pub(super) fn off_ns(&self) -> i64 {
        self.off_ns
    }

    /// The first beat at or after `at`, if there is a rhythm.
    pub(super) fn beat_from(&self, at: HostTime) -> Option<HostTime> {
        let phase = self.phase.filter(|_| self.is_known())?;
        let period = self.period_ns;
        let beats = at.signed_ns_since(phase).max(0).saturating_add(period - 1) / period;
        let ns = u64::try_from(beats.saturating_mul(period)).ok()?;
        Some(phase + Duration::from_nanos(ns))
    }

    /// The first beat that can have another picture than the one found last, at `at`.
    pub(super) fn beat_after(&self, at: HostTime) -> Option<HostTime> {
        let next = self.phase? + Duration::from_nanos(self.period_ns.unsigned_abs());
        Some(self.beat_from(at)?.max(next))
    }
}
