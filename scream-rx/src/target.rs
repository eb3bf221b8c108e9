//! How much delay to hold: what the transport, the guest's lateness and the sink need, and not more. Pure.
//!
//! The wanted delay is the sum of: one chunk (it is written whole), the lateness that all but a few chunks keep within, what
//! the sink wants in advance, the resampler's own delay, and a margin. It rises at once when it was too short. It falls
//! only while nothing plays, so that nobody hears it and the delay of what plays is constant.

/// How much safety is bought with delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The least delay; a gap now and then on a busy host.
    Low,
    /// The default.
    #[default]
    Balanced,
    /// For hosts that stall.
    Safe,
}

impl Profile {
    /// Which share of the chunks may be late without a gap.
    const fn quantile(self) -> f64 {
        match self {
            Profile::Low => 0.99,
            Profile::Balanced => 0.999,
            Profile::Safe => 0.9999,
        }
    }

    /// The reserve for lateness until enough is known, and the least of it ever. Unit: seconds.
    const fn reserve_s(self) -> (f64, f64) {
        match self {
            Profile::Low => (0.003, 0.002),
            Profile::Balanced => (0.006, 0.003),
            Profile::Safe => (0.012, 0.010),
        }
    }
}

/// Width of a bin of the histogram of lateness. Unit: seconds.
const BIN_S: f64 = 0.000_25;
/// Bins; what is later than the last falls into it (100 ms).
const BINS: usize = 400;
/// After this long an observation counts half. Unit: seconds.
const HALF_LIFE_S: f64 = 300.0;
/// Chunks before the histogram is believed: half a minute of them.
const MIN_CHUNKS: u64 = 1500;
/// How often the histogram is looked at, and made to forget. Unit: seconds.
const REVIEW_S: f64 = 1.0;
/// A lateness beyond this is an outlier if it is rare: hidden, not paid for. Unit: seconds.
const OUTLIER_S: f64 = 0.030;
const RARE_S: f64 = 300.0;
/// What comes this soon after an outlier belongs to it. Unit: seconds.
const WAKE_S: f64 = 0.5;
/// A raise this young is taken back when it turns out that the guest skipped. Unit: seconds.
const UNDO_S: f64 = 1.5;
/// The largest lateness that is paid for. Unit: seconds.
const LONGEST_S: f64 = BINS as f64 * BIN_S;
/// Added on top of everything. Unit: seconds.
const MARGIN_S: f64 = 0.001;
/// The sink's need is rounded up to this, so that it does not follow every little change. Unit: seconds.
const SINK_STEP_S: f64 = 0.000_5;

/// What the user wants of the delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wishes {
    /// How to find it.
    pub profile: Profile,
    /// The whole delay, if the user fixed it. Unit: seconds.
    pub fixed_s: Option<f64>,
    /// More is never held. Unit: seconds.
    pub longest_s: f64,
    /// The least reserve for lateness; large where nobody listens, as for a file. Unit: seconds.
    pub least_reserve_s: f64,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes { profile: Profile::default(), fixed_s: None, longest_s: 0.200, least_reserve_s: 0.0 }
    }
}

/// What is known about lateness and about the sink, and the delay that follows from it.
#[derive(Clone, Debug)]
pub struct Target {
    wishes: Wishes,
    histogram: Box<[f64; BINS]>,
    chunks: u64,
    reserve_s: f64,
    reviewed_s: Option<f64>,
    /// The largest lateness that counted.
    worst_s: f64,
    /// When the last outlier was, and whether it was a rare one.
    outlier: Option<(f64, bool)>,
    /// The reserve before it was last raised, and when that was.
    raised: Option<(f64, f64)>,
    /// What the sink needs, and the most it needed since sound last began.
    sink_s: f64,
    sink_peak_s: f64,
}

impl Target {
    /// A target that knows nothing of guest and sink yet.
    pub fn new(wishes: Wishes) -> Target {
        Target {
            wishes,
            histogram: Box::new([0.0; BINS]),
            chunks: 0,
            reserve_s: wishes.profile.reserve_s().0.max(wishes.least_reserve_s),
            reviewed_s: None,
            worst_s: 0.0,
            outlier: None,
            raised: None,
            sink_s: 0.0,
            sink_peak_s: 0.0,
        }
    }

    /// A chunk came `late_s` later than the earliest do.
    ///
    /// Real-time safe; once a second it looks through 400 bins.
    pub fn chunk(&mut self, now_s: f64, late_s: f64) {
        if self.is_rare(now_s, late_s) {
            return;
        }
        self.worst_s = self.worst_s.max(late_s.min(LONGEST_S));
        let bin = ((late_s / BIN_S).max(0.0) as usize).min(BINS - 1);
        self.histogram[bin] += 1.0;
        self.chunks = self.chunks.saturating_add(1);
        let since_s = now_s - *self.reviewed_s.get_or_insert(now_s);
        if since_s >= REVIEW_S {
            self.reviewed_s = Some(now_s);
            self.review(since_s);
        }
    }

    fn review(&mut self, since_s: f64) {
        let kept = 0.5_f64.powf(since_s / HALF_LIFE_S);
        self.histogram.iter_mut().for_each(|count| *count *= kept);
        if let Some(learned_s) = self.learned_s() {
            self.reserve_s = self.reserve_s.max(learned_s);
        }
    }

    /// The reserve that what was seen so far calls for, once that is enough to tell. Unit: seconds.
    fn learned_s(&self) -> Option<f64> {
        let (_, least_s) = self.wishes.profile.reserve_s();
        (self.chunks >= MIN_CHUNKS).then(|| self.quantile().max(least_s).max(self.wishes.least_reserve_s))
    }

    /// Sound is about to begin: the moment to come down from what was needed once.
    ///
    /// Real-time safe.
    pub fn settle(&mut self) {
        if let Some(learned_s) = self.learned_s() {
            self.reserve_s = learned_s;
        }
        if self.sink_peak_s > 0.0 {
            self.sink_s = rounded_up(self.sink_peak_s);
        }
        self.sink_peak_s = 0.0;
    }

    /// The lateness that all but the profile's share keep within. Unit: seconds.
    fn quantile(&self) -> f64 {
        let total: f64 = self.histogram.iter().sum();
        let mut left = total * (1.0 - self.wishes.profile.quantile());
        for (bin, count) in self.histogram.iter().enumerate().rev() {
            left -= count;
            if left < 0.0 {
                return (bin + 1) as f64 * BIN_S;
            }
        }
        0.0
    }

    /// There was a gap of `short_s`: a chunk came later than the reserve by that much. Raises the reserve at once, unless
    /// such a thing is rare.
    pub fn gap(&mut self, now_s: f64, short_s: f64) {
        let late_s = self.reserve_s + short_s;
        if self.is_rare(now_s, late_s) || late_s.is_nan() {
            return;
        }
        self.raised = Some((self.reserve_s, now_s));
        self.reserve_s = self.reserve_s.max((late_s + 0.002).min(LONGEST_S)).max(self.worst_s);
    }

    /// Whether so late an arrival is one of those that hardly ever happen, or comes in the wake of one.
    fn is_rare(&mut self, now_s: f64, late_s: f64) -> bool {
        match self.outlier {
            Some((at_s, rare)) if now_s - at_s < WAKE_S => rare,
            before if late_s > OUTLIER_S => {
                let rare = before.is_none_or(|(at_s, _)| now_s - at_s > RARE_S);
                self.outlier = Some((now_s, rare));
                rare
            }
            _ => false,
        }
    }

    /// The guest skipped, or was away: what looked like lateness was none.
    pub fn forget_lateness(&mut self, now_s: f64) {
        if let Some((before_s, at_s)) = self.raised.take()
            && now_s - at_s < UNDO_S
        {
            self.reserve_s = before_s;
        }
        self.histogram.fill(0.0);
        (self.chunks, self.worst_s) = (0, 0.0);
    }

    /// Right after taking frames the sink had `queued_s` of sound before it.
    ///
    /// Real-time safe.
    pub fn sink(&mut self, queued_s: f64) {
        if queued_s > self.sink_s {
            self.sink_s = rounded_up(queued_s);
        }
        self.sink_peak_s = self.sink_peak_s.max(queued_s);
    }

    /// Another sink: what was known of the last one means nothing.
    pub fn forget_sink(&mut self) {
        (self.sink_s, self.sink_peak_s) = (0.0, 0.0);
    }

    /// The delay to hold, from the guest playing a frame to its being heard, with chunks of `chunk_s` and a resampler that
    /// looks `filter_s` ahead. Units: seconds.
    pub fn delay_s(&self, chunk_s: f64, filter_s: f64) -> f64 {
        // Less than this cannot work at all, whatever the user asks for.
        let floor_s = chunk_s + filter_s + self.sink_s + MARGIN_S;
        let wanted_s = match self.wishes.fixed_s {
            Some(fixed_s) => fixed_s,
            None => floor_s + self.reserve_s,
        };
        wanted_s.min(self.wishes.longest_s).max(floor_s)
    }
}

fn rounded_up(sink_s: f64) -> f64 {
    (sink_s / SINK_STEP_S).ceil() * SINK_STEP_S
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
        t.sink(0.0101);
        assert!((t.delay_s(CHUNK_S, 0.0013) - (0.020 + 0.006 + 0.0105 + 0.0013 + 0.001)).abs() < 1e-9);
        for (profile, reserve_s) in [(Profile::Low, 0.003), (Profile::Safe, 0.012)] {
            let t = target(profile);
            assert!((t.delay_s(CHUNK_S, 0.0) - (0.021 + reserve_s)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_guest_with_slow_ticks_gets_the_reserve_it_needs() {
        let mut t = target(Profile::Balanced);
        chunks(&mut t, 0.0, 2.0, |k| (k % 25) as f64 * 0.000_625);
        let reserve_s = t.delay_s(0.0, 0.0) - MARGIN_S;
        assert!((0.015..0.0158).contains(&reserve_s), "{reserve_s}");
    }

    #[test]
    fn the_reserve_falls_only_where_sound_begins() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 2.0, |k| if k % 100 == 0 { 0.010 } else { 0.0 });
        let stormy_s = t.delay_s(0.0, 0.0);
        assert!(stormy_s > 0.010);
        chunks(&mut t, now_s, 90.0, |_| 0.0);
        assert_eq!(t.delay_s(0.0, 0.0), stormy_s, "what plays is left alone");
        t.settle();
        assert!((t.delay_s(0.0, 0.0) - MARGIN_S - 0.003).abs() < 1e-9, "the least of the profile");
    }

    #[test]
    fn gaps_are_paid_for_unless_they_are_rare() {
        let mut t = target(Profile::Balanced);
        t.gap(10.0, 0.006);
        assert!((t.reserve_s - 0.014).abs() < 1e-9);
        t.gap(20.0, 0.080);
        assert!((t.reserve_s - 0.014).abs() < 1e-9, "the first stall is hidden");
        t.gap(60.0, 0.031);
        assert!((t.reserve_s - 0.047).abs() < 1e-9, "the second in five minutes is not");
        t.gap(70.0, 1e9);
        assert!(t.reserve_s <= 0.1);
    }

    #[test]
    fn lateness_that_turns_out_to_be_a_skip_is_forgotten() {
        let mut t = target(Profile::Balanced);
        let now_s = chunks(&mut t, 0.0, 1.0, |_| 0.0);
        t.gap(now_s, 0.014);
        assert!(t.reserve_s > 0.021);
        chunks(&mut t, now_s, 0.01, |_| 0.020);
        t.forget_lateness(now_s + 0.6);
        assert_eq!((t.reserve_s, t.learned_s()), (0.006, None));
    }

    #[test]
    fn the_users_wish_holds_within_what_is_possible() {
        let fixed = |ms: f64| Wishes { fixed_s: Some(ms / 1000.0), ..Wishes::default() };
        for (wish_ms, expected_ms) in [(60.0, 60.0), (5.0, 31.0), (900.0, 200.0)] {
            let mut t = Target::new(fixed(wish_ms));
            t.sink(0.010);
            t.gap(0.0, 0.020);
            assert!((t.delay_s(CHUNK_S, 0.0) * 1000.0 - expected_ms).abs() < 1e-6, "{wish_ms}");
        }
    }

    #[test]
    fn the_sinks_need_rises_at_once_and_falls_where_sound_begins() {
        let mut t = target(Profile::Balanced);
        let need_ms = |t: &Target| ((t.delay_s(0.0, 0.0) - MARGIN_S - t.reserve_s) * 1e6).round() / 1e3;
        t.sink(0.0202);
        t.sink(0.0203);
        assert_eq!(need_ms(&t), 20.5, "small changes move nothing");
        t.sink(0.0101);
        assert_eq!(need_ms(&t), 20.5);
        t.settle();
        t.sink(0.0101);
        assert_eq!(need_ms(&t), 20.5, "it was that much until now");
        t.settle();
        assert_eq!(need_ms(&t), 10.5);
        t.settle();
        assert_eq!(need_ms(&t), 10.5, "nothing was learned in between");
    }

    #[test]
    fn strange_latenesses_do_no_harm() {
        let mut t = target(Profile::Safe);
        for (k, late_s) in [f64::NAN, f64::INFINITY, -1e9, 1e9, f64::MIN].into_iter().cycle().take(5000).enumerate() {
            t.chunk(k as f64, late_s);
            t.gap(k as f64, late_s);
            t.sink(late_s.clamp(-1.0, 1.0));
            assert!(t.delay_s(CHUNK_S, 0.0).is_finite());
        }
    }
}
