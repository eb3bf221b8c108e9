//! How much delay to hold: what the transport, the guest's lateness and the sink need, and not more. Pure.
//!
//! The wanted delay is the sum of: one chunk (it is written whole), the lateness that all but a few chunks keep within, what
//! the sink wants in advance, the resampler's own delay, and a margin. It rises at once when it was too short. It falls
//! when the last minutes were calm, but not below what the last hour needed again and again: while nothing plays at once,
//! else by less than anybody hears.

mod lateness;
mod wishes;

use crate::drift::MAX_GROWTH;
use lateness::{BIN_S, BINS, Memory, Minutes};
use std::collections::VecDeque;
pub use wishes::{Profile, Wishes};

/// How long lateness must have been watched before it is believed. Unit: seconds.
const LEARNED_S: f64 = 30.0;
/// How often what was learned is looked at. Unit: seconds.
const REVIEW_S: f64 = 1.0;
/// What was learned is given this much on top, so that the next little thing moves nothing; and only what is this much
/// less makes the reserve fall. Units: seconds.
const HEADROOM_S: f64 = 0.000_5;
const FALL_BY_S: f64 = 0.001;
/// It falls only after so long without a gap or a rise; twice as long after a fall that was too much, and again, up to
/// the last. Unit: seconds.
const CALM_S: f64 = 180.0;
const LONGEST_CALM_S: f64 = 5760.0;
/// A lateness beyond this is an outlier if it is rare: hidden, not paid for. Unit: seconds.
const OUTLIER_S: f64 = 0.030;
/// What comes this soon after an outlier belongs to it. Unit: seconds.
const WAKE_S: f64 = 0.5;
/// How long the guest's clock is found when sound begins. Unit: seconds.
const FINDING_S: f64 = 0.6;
/// A raise this young is taken back when it turns out that the guest skipped, or that something was lost on the way; and so
/// long lateness is only heard of, not believed. Unit: seconds.
const UNDO_S: f64 = 1.5;
/// Arrivals that are heard of at most.
const MAX_RECENT: usize = 1024;
/// What was lost makes all that follows late by so much of itself at least.
const LOST_PART: f64 = 0.75;
/// The largest lateness that is paid for. Unit: seconds.
const LONGEST_S: f64 = BINS as f64 * BIN_S;
/// Added on top of everything. Unit: seconds.
const MARGIN_S: f64 = 0.001;
/// The sink's need is rounded up to this, so that it does not follow every little change. Unit: seconds.
const SINK_STEP_S: f64 = 0.000_1;
/// What it is more by than a step is left to the margin: no server tells its delay better. Unit: seconds.
const SINK_NOISE_S: f64 = 0.000_05;
/// What it needed before the last two stretches of this length is forgotten, slowly, but for so much: noise would move it up
/// and down. Units: seconds.
const SINK_STRETCH_S: f64 = 30.0;
const SINK_KEEP_S: f64 = 0.001;

/// What the wanted delay is made of. Unit: seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    /// A piece of the guest's sound comes whole.
    pub piece_s: f64,
    /// The reserve for lateness; with a fixed delay, what that leaves.
    pub lateness_s: f64,
    /// What the sink wants in advance.
    pub sink_s: f64,
    /// How far the resampler looks ahead.
    pub filter_s: f64,
    /// Added on top.
    pub margin_s: f64,
}

impl Parts {
    /// All of it: the wanted delay. Unit: seconds.
    pub fn sum_s(&self) -> f64 {
        self.piece_s + self.lateness_s + self.sink_s + self.filter_s + self.margin_s
    }
}

/// What is known about lateness and about the sink, and the delay that follows from it.
#[derive(Clone, Debug)]
pub struct Target {
    wishes: Wishes,
    memory: Memory,
    minutes: Minutes,
    /// When pieces came lately, and how late.
    recent: VecDeque<(f64, f64)>,
    /// The goal is a guess, to be given up as soon as more is known.
    guessed: bool,
    /// The reserve held now, and the one that it moves to.
    reserve_s: f64,
    goal_s: f64,
    reviewed_s: Option<f64>,
    /// When sound last began.
    began_s: f64,
    /// When the reserve was last too small, or rose.
    troubled_s: f64,
    /// After how much calm it falls, and when it last did.
    calm_s: f64,
    fell_s: f64,
    /// When the last outlier was, and whether it was a rare one.
    outlier: Option<(f64, bool)>,
    /// The reserve before it was last raised, and when that was.
    raised: Option<(f64, f64)>,
    /// What the sink needs, the most it needed in this stretch and in the one before, and when this one began.
    sink_s: f64,
    sink_peak_s: f64,
    sink_before_s: Option<f64>,
    sink_since_s: f64,
}

impl Target {
    /// A target that knows nothing of guest and sink yet.
    pub fn new(wishes: Wishes) -> Target {
        let reserve_s = wishes.profile.least_s().max(wishes.least_reserve_s);
        Target {
            wishes,
            memory: Memory::new(),
            minutes: Minutes::new(),
            recent: VecDeque::with_capacity(MAX_RECENT),
            guessed: false,
            reserve_s,
            goal_s: reserve_s,
            reviewed_s: None,
            began_s: f64::MIN,
            troubled_s: f64::MIN,
            calm_s: CALM_S,
            fell_s: f64::MIN,
            outlier: None,
            raised: None,
            sink_s: 0.0,
            sink_peak_s: 0.0,
            sink_before_s: None,
            sink_since_s: 0.0,
        }
    }

    /// A piece of the guest's sound came `late_s` later than the earliest do.
    ///
    /// Real-time safe; once a second it looks through the histograms (4400 counts).
    pub fn chunk(&mut self, now_s: f64, late_s: f64) {
        if self.is_rare(now_s, late_s) || late_s.is_nan() {
            return;
        }
        let full = self.recent.len() == MAX_RECENT;
        while let Some((at_s, late_s)) = self.recent.front().copied().filter(|r| full || now_s - r.0 > UNDO_S) {
            self.recent.pop_front();
            self.memory.add(at_s, late_s);
            self.minutes.add(at_s, late_s);
            if full {
                break;
            }
        }
        self.recent.push_back((now_s, late_s));
        if now_s - *self.reviewed_s.get_or_insert(now_s) >= REVIEW_S {
            self.reviewed_s = Some(now_s);
            self.review(now_s);
        }
    }

    fn review(&mut self, now_s: f64) {
        let Some(learned_s) = self.learned_s(now_s) else { return };
        if core::mem::take(&mut self.guessed) {
            self.goal_s = learned_s + HEADROOM_S;
        }
        if learned_s > self.goal_s {
            self.goal_s = learned_s + HEADROOM_S;
            self.troubled_s = now_s;
        }
        let calm_for_s = now_s - self.troubled_s;
        let enough_s = self.enough_s(learned_s);
        if calm_for_s > self.calm_s && enough_s < self.goal_s - FALL_BY_S {
            (self.goal_s, self.fell_s) = (enough_s, now_s);
        } else if calm_for_s > 2.0 * self.calm_s {
            self.calm_s = CALM_S;
        }
    }

    /// The reserve that what was seen so far calls for, once that is enough to tell. Unit: seconds.
    fn learned_s(&self, now_s: f64) -> Option<f64> {
        let least_s = self.wishes.profile.least_s();
        let beyond = 1.0 - self.wishes.profile.quantile();
        let known = self.memory.age_s(now_s) >= LEARNED_S;
        known.then(|| self.memory.quantile(beyond).max(least_s - HEADROOM_S).max(self.wishes.least_reserve_s))
    }

    /// Where the reserve may fall to, if `learned_s` would do by the last minutes: what all but a few minutes of the last hour
    /// kept within is not given up. Unit: seconds.
    fn enough_s(&self, learned_s: f64) -> f64 {
        let hour_s = self.minutes.all_but(self.wishes.profile.bad_minutes());
        (learned_s.max(hour_s.min(self.goal_s)) + HEADROOM_S).min(self.goal_s.max(learned_s + HEADROOM_S))
    }

    /// Moves the reserve on towards what it shall be, while sound plays; returns how much the delay grows by it, in seconds
    /// each second.
    ///
    /// Real-time safe.
    pub fn glide(&mut self, elapsed_s: f64) -> f64 {
        if elapsed_s.is_nan() || elapsed_s <= 0.0 || self.wishes.fixed_s.is_some() {
            return 0.0;
        }
        let most = MAX_GROWTH * elapsed_s;
        let moved_s = (self.goal_s - self.reserve_s).clamp(-most, most);
        self.reserve_s += moved_s;
        let sink_s = self.sink_before_s.map_or(self.sink_s, |before_s| rounded_up(before_s.max(self.sink_peak_s)));
        let fallen_s = (self.sink_s - sink_s - SINK_KEEP_S).clamp(0.0, (most + moved_s).max(0.0));
        self.sink_s -= fallen_s;
        (moved_s - fallen_s) / elapsed_s
    }

    /// Takes the delay at once to where it glides: to be called only where the place in the sound is set anew.
    pub fn arrive(&mut self) {
        self.reserve_s = self.goal_s;
    }

    /// How much the delay is still to change by gliding. Unit: seconds.
    pub fn to_go_s(&self) -> f64 {
        if self.wishes.fixed_s.is_some() { 0.0 } else { self.goal_s - self.reserve_s }
    }

    /// Sound is about to begin: the moment to come down from what was needed once. While nothing is known of lateness, the
    /// guest's ticks make `ticks_s` of it.
    ///
    /// Real-time safe.
    pub fn settle(&mut self, now_s: f64, ticks_s: f64) {
        if let Some(learned_s) = self.learned_s(now_s) {
            self.goal_s = self.enough_s(learned_s);
        } else if ticks_s > self.goal_s {
            (self.goal_s, self.guessed) = (ticks_s, true);
        }
        self.reserve_s = self.goal_s;
        self.began_s = now_s;
        let peak_s = self.sink_peak_s.max(self.sink_before_s.unwrap_or(0.0));
        if peak_s > 0.0 {
            self.sink_s = rounded_up(peak_s);
        }
        (self.sink_peak_s, self.sink_before_s, self.sink_since_s) = (0.0, None, now_s);
    }

    /// The guest's ticks turn out to be none that make pieces late. What was held for them is given up at once, but only while
    /// sound has hardly begun.
    ///
    /// Real-time safe.
    pub fn no_ticks(&mut self, now_s: f64) {
        if self.guessed && (0.0..FINDING_S).contains(&(now_s - self.began_s)) {
            let least_s = self.wishes.profile.least_s().max(self.wishes.least_reserve_s);
            (self.reserve_s, self.goal_s, self.guessed) = (least_s, least_s, false);
        }
    }

    /// There was a gap: a piece came `short_s` later than the wanted delay would have allowed. Raises the reserve at once, unless
    /// such a thing is rare.
    pub fn gap(&mut self, now_s: f64, short_s: f64) {
        let late_s = self.reserve_s + short_s;
        // In the first moments the guest's clock is still being found: what looks late may have been early before.
        let finding = (0.0..FINDING_S).contains(&(now_s - self.began_s));
        if finding || late_s.is_nan() || self.is_rare(now_s, late_s) {
            return;
        }
        (self.troubled_s, self.guessed) = (now_s, false);
        if now_s - core::mem::replace(&mut self.fell_s, f64::MIN) < 2.0 * self.calm_s {
            self.calm_s = (2.0 * self.calm_s).min(LONGEST_CALM_S);
        }
        let wanted_s = (late_s + 0.002).min(LONGEST_S);
        if wanted_s > self.reserve_s {
            if self.raised.is_none_or(|(_, at_s)| now_s - at_s > UNDO_S) {
                self.raised = Some((self.reserve_s, now_s));
            }
            self.reserve_s = wanted_s;
        }
        self.goal_s = self.goal_s.max(self.reserve_s);
    }

    /// Whether so late an arrival is one of those that hardly ever happen, or comes in the wake of one.
    fn is_rare(&mut self, now_s: f64, late_s: f64) -> bool {
        match self.outlier {
            Some((at_s, rare)) if now_s - at_s < WAKE_S => rare,
            before if late_s > OUTLIER_S => {
                let rare = before.is_none_or(|(at_s, _)| now_s - at_s > self.wishes.profile.rare_s());
                self.outlier = Some((now_s, rare));
                rare
            }
            _ => false,
        }
    }

    /// The guest skipped, or was away: what looked like lateness was none.
    pub fn forget_lateness(&mut self, now_s: f64) {
        self.undo(now_s);
        self.memory.clear();
        self.recent.clear();
    }

    /// It turned out that `lost_s` of sound never came. What came after it only looked late until that was known.
    ///
    /// Real-time safe.
    pub fn lost(&mut self, now_s: f64, lost_s: f64) {
        self.undo(now_s);
        self.recent.retain(|(_, late_s)| *late_s < lost_s * LOST_PART);
    }

    /// Takes back what was raised a moment ago.
    fn undo(&mut self, now_s: f64) {
        if let Some((before_s, at_s)) = self.raised.take()
            && now_s - at_s < UNDO_S
        {
            (self.reserve_s, self.goal_s) = (before_s, before_s);
        }
    }

    /// Right after taking frames the sink had `queued_s` of sound before it.
    ///
    /// Real-time safe.
    pub fn sink(&mut self, now_s: f64, queued_s: f64) {
        if now_s - self.sink_since_s >= SINK_STRETCH_S {
            self.sink_before_s = Some(core::mem::replace(&mut self.sink_peak_s, 0.0));
            self.sink_since_s = now_s;
        }
        self.sink_s = self.sink_s.max(rounded_up(queued_s));
        self.sink_peak_s = self.sink_peak_s.max(queued_s);
    }

    /// Another sink: what was known of the last one means nothing.
    pub fn forget_sink(&mut self) {
        (self.sink_s, self.sink_peak_s, self.sink_before_s) = (0.0, 0.0, None);
    }

    /// The delay to hold, from the guest playing a frame to its being heard, in its parts: for pieces of `piece_s` and a
    /// resampler that looks `filter_s` ahead. Units: seconds.
    pub fn parts(&self, piece_s: f64, filter_s: f64) -> Parts {
        let mut parts = Parts { piece_s, lateness_s: 0.0, sink_s: self.sink_s, filter_s, margin_s: MARGIN_S };
        // Less than this cannot work at all, whatever the user asks for.
        let floor_s = parts.sum_s();
        let wanted_s = self.wishes.fixed_s.unwrap_or(floor_s + self.reserve_s);
        parts.lateness_s = (wanted_s.min(self.wishes.longest_s) - floor_s).max(0.0);
        parts
    }

    /// The sum of [`Target::parts`]. Unit: seconds.
    pub fn delay_s(&self, piece_s: f64, filter_s: f64) -> f64 {
        self.parts(piece_s, filter_s).sum_s()
    }
}

fn rounded_up(sink_s: f64) -> f64 {
    ((sink_s - SINK_NOISE_S) / SINK_STEP_S).ceil() * SINK_STEP_S
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK_S: f64 = 0.020;

    /// Feeds `minutes` of chunks to `target`, from `start_s` on; returns the end.
    fn chunks(target: &mut Target, start_s: f64, minutes: f64, late_s: impl Fn(u64) -> f64) -> f64 {
        let count = (minutes * 3000.0) as u64;
        (0..count).for_each(|k| target.chunk(start_s + k as f64 * CHUNK_S, late_s(k)));
        start_s + count as f64 * CHUNK_S
    }

    fn target(profile: Profile) -> Target {
        Target::new(Wishes { profile, ..Wishes::default() })
    }

    #[test]
    fn the_sum_is_what_chunk_lateness_sink_and_filter_need() {
        let mut t = target(Profile::Balanced);
        t.sink(0.0, 0.0101);
        assert!((t.delay_s(CHUNK_S, 0.0013) - (0.020 + 0.003 + 0.0101 + 0.0013 + 0.001)).abs() < 1e-9);
        for (profile, reserve_s) in [(Profile::Low, 0.001), (Profile::Safe, 0.010)] {
            let t = target(profile);
            assert!((t.delay_s(CHUNK_S, 0.0) - (0.021 + reserve_s)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_guest_with_slow_ticks_gets_the_reserve_it_needs() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 2.0, |k| (k % 25) as f64 * 0.000_625);
        assert_eq!(t.reserve_s, 0.003, "it gets there slowly");
        let growth = t.glide(1.0);
        assert!((growth - MAX_GROWTH).abs() < 1e-12 && t.to_go_s() > 0.011);
        t.settle(now_s, 0.0);
        let reserve_s = t.delay_s(0.0, 0.0) - MARGIN_S;
        assert!((0.015..0.016).contains(&reserve_s), "{reserve_s}");
    }

    #[test]
    fn after_a_storm_the_reserve_comes_down_within_ten_minutes_and_hardly_moves_before() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 2.0, |_| 0.0);
        (0..120).for_each(|_| assert!(t.glide(1.0).abs() <= MAX_GROWTH));
        assert!((t.reserve_s - 0.003).abs() < 1e-9, "the least of the profile: {}", t.reserve_s);
        let now_s = chunks(&mut t, now_s, 1.0, |k| (k % 20) as f64 * 0.001);
        t.gap(now_s, 0.010);
        let high_s = t.reserve_s;
        assert!(high_s >= 0.015 - 1e-9, "{high_s}");
        let now_s = chunks(&mut t, now_s, 3.0, |_| 0.0);
        assert!(t.to_go_s() >= 0.0, "nothing falls within three minutes");
        chunks(&mut t, now_s, 3.0, |_| 0.0);
        (0..120).for_each(|_| assert!(t.glide(1.0) <= 0.0 || t.reserve_s > high_s));
        assert!((t.reserve_s - 0.003).abs() < 1e-9, "{}", t.reserve_s);
    }

    #[test]
    fn a_fall_that_was_too_much_makes_the_next_one_wait_twice_as_long() {
        let mut t = target(Profile::Balanced);
        let mut now_s = chunks(&mut t, 0.0, 1.0, |_| 0.0);
        let mut waits = Vec::new();
        for _ in 0..4 {
            t.gap(now_s, 0.008);
            let (high_s, since_s) = (t.goal_s, now_s);
            while t.goal_s == high_s && now_s - since_s < LONGEST_CALM_S {
                now_s = chunks(&mut t, now_s, 0.1, |_| 0.0);
            }
            t.arrive();
            waits.push(((now_s - since_s) / CALM_S).round());
        }
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0]);
        chunks(&mut t, now_s, 60.0, |_| 0.0);
        assert_eq!(t.calm_s, CALM_S, "a long calm makes all good");
    }

    #[test]
    fn what_the_last_hour_needed_again_and_again_is_not_given_up() {
        // Once a minute something is 12 ms late: too rare for a quantile of 99.9 %, but sixty gaps an hour.
        let mut t = target(Profile::Balanced);
        let mut now_s = chunks(&mut t, 0.0, 1.0, |_| 0.0);
        t.gap(now_s, 0.009);
        for _ in 0..30 {
            now_s = chunks(&mut t, now_s, 1.0, |k| if k == 1500 { 0.012 } else { 0.0 });
        }
        assert!((0.012..0.013).contains(&t.goal_s), "it falls to that, not below: {}", t.goal_s);
        t.settle(now_s, 0.0);
        assert!((0.012..0.013).contains(&t.goal_s), "nor when sound begins: {}", t.goal_s);
        let now_s = chunks(&mut t, now_s, 70.0, |_| 0.0);
        t.settle(now_s, 0.0);
        assert_eq!(t.goal_s, 0.003, "an hour later it is forgotten");
        // It is no reason to hold more than is held.
        let mut t = target(Profile::Balanced);
        for k in 0..30 {
            chunks(&mut t, f64::from(k) * 60.0, 1.0, |k| if k == 1500 { 0.012 } else { 0.0 });
        }
        assert_eq!(t.goal_s, 0.003);
    }

    #[test]
    fn gaps_are_paid_for_unless_they_are_rare() {
        let mut t = target(Profile::Balanced);
        t.gap(10.0, 0.009);
        assert!((t.reserve_s - 0.014).abs() < 1e-9);
        t.gap(20.0, 0.080);
        assert!((t.reserve_s - 0.014).abs() < 1e-9, "the first stall is hidden");
        t.gap(50.0, 0.080);
        assert!((t.reserve_s - 0.014).abs() < 1e-9, "another one half a minute later too");
        t.gap(60.0, 0.031);
        assert!((t.reserve_s - 0.047).abs() < 1e-9, "the third comes too soon");
        t.gap(70.0, 1e9);
        assert!(t.reserve_s <= 0.1);
    }

    #[test]
    fn lateness_that_turns_out_to_be_a_skip_is_forgotten() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 1.0, |_| 0.0);
        t.gap(now_s, 0.014);
        assert!(t.reserve_s > 0.018);
        chunks(&mut t, now_s, 0.01, |_| 0.020);
        t.forget_lateness(now_s + 0.6);
        assert_eq!((t.reserve_s, t.learned_s(now_s + 40.0)), (0.003, None));
    }

    #[test]
    fn what_was_lost_was_not_late() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 1.0, |_| 0.001);
        t.gap(now_s, 0.004);
        assert!(t.reserve_s > 0.008);
        let now_s = chunks(&mut t, now_s, 0.01, |_| 0.007);
        t.lost(now_s, 0.006);
        assert_eq!((t.reserve_s, t.goal_s), (0.003, 0.003), "the raise is taken back");
        let now_s = chunks(&mut t, now_s, 1.0, |_| 0.001);
        assert!(t.learned_s(now_s).unwrap() < 0.003, "and nothing was learned of it");
        t.gap(now_s, 0.004);
        t.lost(now_s + 2.0, 0.006);
        assert!(t.reserve_s > 0.008, "what was raised long ago had another reason");
    }

    #[test]
    fn slow_ticks_are_reckoned_with_until_lateness_is_known() {
        let mut t = target(Profile::Balanced);
        t.settle(0.0, 0.010);
        assert_eq!(t.reserve_s, 0.010);
        let now_s = chunks(&mut t, 0.0, 0.45, |_| 0.0);
        assert_eq!(t.goal_s, 0.010);
        let now_s = chunks(&mut t, now_s, 0.2, |_| 0.0);
        assert_eq!(t.goal_s, 0.003, "given up as soon as it is known to be too much");
        t.settle(now_s, 0.010);
        assert_eq!(t.reserve_s, 0.003, "what is known counts, not what might be");
    }

    #[test]
    fn ticks_that_turn_out_to_be_none_are_given_up_at_once_but_not_later() {
        for (after_s, reserve_s) in [(0.06, 0.003), (0.7, 0.015_625)] {
            let mut t = target(Profile::Balanced);
            t.settle(5.0, 0.015_625);
            t.no_ticks(5.0 + after_s);
            assert_eq!((t.reserve_s, t.goal_s), (reserve_s, reserve_s), "after {after_s} s");
        }
        let mut t = target(Profile::Balanced);
        t.settle(5.0, 0.0);
        t.gap(6.0, 0.004);
        let held_s = t.reserve_s;
        t.no_ticks(5.1);
        assert_eq!(t.reserve_s, held_s, "what was not guessed stays");
    }

    #[test]
    fn the_users_wish_holds_within_what_is_possible() {
        let fixed = |ms: f64| Wishes { fixed_s: Some(ms / 1000.0), ..Wishes::default() };
        for (wish_ms, expected_ms) in [(60.0, 60.0), (5.0, 31.0), (900.0, 200.0)] {
            let mut t = Target::new(fixed(wish_ms));
            t.sink(0.0, 0.010);
            t.gap(0.0, 0.020);
            assert!((t.delay_s(CHUNK_S, 0.0) * 1000.0 - expected_ms).abs() < 1e-6, "{wish_ms}");
        }
    }

    #[test]
    fn the_sinks_need_rises_at_once_and_falls_where_sound_begins() {
        let mut t = target(Profile::Balanced);
        let need_ms = |t: &Target| ((t.delay_s(0.0, 0.0) - MARGIN_S - t.reserve_s) * 1e6).round() / 1e3;
        t.sink(0.0, 0.0202);
        t.sink(0.0, 0.020_24);
        assert_eq!(need_ms(&t), 20.2, "small changes move nothing");
        t.sink(0.0, 0.0101);
        assert_eq!(need_ms(&t), 20.2);
        t.settle(0.0, 0.0);
        t.sink(0.0, 0.0101);
        assert_eq!(need_ms(&t), 20.2, "it was that much until now");
        t.settle(0.0, 0.0);
        assert_eq!(need_ms(&t), 10.1);
        t.settle(0.0, 0.0);
        assert_eq!(need_ms(&t), 10.1, "nothing was learned in between");
    }

    #[test]
    fn what_a_sink_needed_for_a_moment_is_forgotten_slowly() {
        let mut t = target(Profile::Balanced);
        let mut now_s = 0.0;
        let mut sink_ms = |t: &mut Target, seconds: f64, queued_s: f64| {
            for _ in 0..(seconds * 200.0) as u64 {
                now_s += 0.005;
                t.sink(now_s, queued_s);
                assert!(t.glide(0.005).abs() <= MAX_GROWTH + 1e-12);
            }
            (t.sink_s * 1e6).round() / 1e3
        };
        assert_eq!(sink_ms(&mut t, 100.0, 0.0149), 14.9);
        assert_eq!(sink_ms(&mut t, 0.1, 0.0189), 18.9);
        assert_eq!(sink_ms(&mut t, 29.0, 0.0149), 18.9, "it may come again");
        assert_eq!(sink_ms(&mut t, 100.0, 0.0149), 15.9);
        assert_eq!(sink_ms(&mut t, 100.0, 0.0155), 15.9, "noise moves nothing");
    }

    #[test]
    fn strange_latenesses_do_no_harm() {
        let mut t = target(Profile::Safe);
        for (k, late_s) in [f64::NAN, f64::INFINITY, -1e9, 1e9, f64::MIN].into_iter().cycle().take(5000).enumerate() {
            t.chunk(k as f64, late_s);
            t.gap(k as f64, late_s);
            t.sink(0.0, late_s.clamp(-1.0, 1.0));
            assert!(t.delay_s(CHUNK_S, 0.0).is_finite());
        }
    }
}
