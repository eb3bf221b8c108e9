//! How long before a refresh a drawing has to begin: what drawings take, and a margin for what lies between them and the
//! screen (the compositor, the GPU's queue), which is learned from which refreshes were made and which were missed. Pure.

use core::time::Duration;

/// Drawings whose times are kept.
const KEPT: usize = 64;
/// Of those, so many may take longer than what is reckoned with.
const SLOWER: usize = 3;
/// Refreshes that must be made before a shorter margin is tried, at first and at most: half a second, and two minutes, at
/// 60 Hz. Doubled by each try that failed.
const FIRST_HOLD: u32 = 32;
const MOST_HOLD: u32 = 8192;

/// See the module. All times are in nanoseconds.
#[derive(Debug)]
pub(super) struct Lead {
    costs_ns: [u64; KEPT],
    drawings: usize,
    margin_ns: u64,
    /// Refreshes made since the margin changed.
    made: u32,
    hold: u32,
    /// The margin is a try.
    tries: bool,
}

impl Default for Lead {
    fn default() -> Self {
        Lead { costs_ns: [0; KEPT], drawings: 0, margin_ns: 0, made: 0, hold: FIRST_HOLD, tries: false }
    }
}

impl Lead {
    /// A drawing took so long, waiting for the screen left out.
    pub(super) fn took(&mut self, cost: Duration) {
        let place = self.drawings % KEPT;
        if let Some(kept) = self.costs_ns.get_mut(place) {
            *kept = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
        }
        self.drawings += 1;
    }

    /// What nearly all drawings take no more than.
    fn cost_ns(&self) -> Option<u64> {
        let known = self.drawings.min(KEPT);
        let mut sorted = self.costs_ns;
        let sorted = sorted.get_mut(..known)?;
        sorted.sort_unstable();
        sorted.get(known.checked_sub(1)?.saturating_sub(SLOWER * known / KEPT)).copied()
    }

    fn margin_ns(&self, period_ns: u64) -> u64 {
        if self.margin_ns == 0 { period_ns / 4 } else { self.margin_ns }
    }

    /// From the beginning of a drawing to the refresh that it is for. Nothing before there was a drawing, or if it takes so
    /// long that nothing is won by waiting.
    pub(super) fn before(&self, period: Duration) -> Option<Duration> {
        let period_ns = u64::try_from(period.as_nanos()).ok()?;
        let lead_ns = self.cost_ns()?.saturating_add(self.margin_ns(period_ns));
        (lead_ns < period_ns * 9 / 4).then_some(Duration::from_nanos(lead_ns))
    }

    /// How much later than that a drawing may still begin for the same refresh.
    pub(super) fn grace(&self, period: Duration) -> Duration {
        Duration::from_nanos(self.margin_ns(u64::try_from(period.as_nanos()).unwrap_or(0)) / 2)
    }

    /// The refresh that was aimed at was made.
    pub(super) fn made(&mut self, period: Duration) {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(0);
        self.made += 1;
        if self.made < self.hold {
            return;
        }
        if self.tries {
            // The last try was none too bold.
            self.hold = (self.hold / 2).max(FIRST_HOLD);
        }
        let margin_ns = self.margin_ns(period_ns);
        self.margin_ns = (margin_ns - margin_ns.min(period_ns / 32)).max(period_ns / 32).max(1);
        (self.made, self.tries) = (0, true);
    }

    /// It was missed.
    pub(super) fn missed(&mut self, period: Duration) {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(0);
        // After a try, back to what did.
        let more_ns = if self.tries { period_ns / 32 } else { period_ns / 16 };
        if self.tries {
            self.hold = (self.hold * 2).min(MOST_HOLD);
        }
        self.margin_ns = (self.margin_ns(period_ns) + more_ns).min(period_ns * 5 / 4);
        (self.made, self.tries) = (0, false);
    }

    /// A refresh before it was made: the drawing began much too early.
    pub(super) fn was_early(&mut self, period: Duration) {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(0);
        self.margin_ns = self.margin_ns(period_ns).saturating_sub(period_ns / 16).max(period_ns / 32).max(1);
        self.made = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(16);

    #[test]
    fn nothing_is_known_of_drawings_before_there_was_one_nor_won_if_they_take_too_long() {
        let mut lead = Lead::default();
        assert_eq!(lead.before(PERIOD), None);
        lead.took(Duration::from_millis(1));
        assert_eq!(lead.before(PERIOD), Some(Duration::from_millis(5)));
        lead.took(Duration::from_millis(40));
        assert_eq!(lead.before(PERIOD), None);
    }

    #[test]
    fn three_slow_drawings_of_sixty_four_are_not_reckoned_with() {
        let mut lead = Lead::default();
        (0..KEPT).for_each(|i| lead.took(Duration::from_millis(if i % 25 == 0 { 9 } else { 1 })));
        assert_eq!(lead.before(PERIOD), Some(Duration::from_millis(5)));
        lead.took(Duration::from_millis(9));
        lead.took(Duration::from_millis(9));
        assert_eq!(lead.before(PERIOD), Some(Duration::from_millis(13)));
    }

    /// A screen that takes frames until so long before its refresh.
    fn learn(needs: Duration, refreshes: u32) -> (Lead, u32, u32) {
        let (mut lead, mut missed, mut late_missed) = (Lead::default(), 0, 0);
        lead.took(Duration::from_millis(1));
        for i in 0..refreshes {
            if lead.before(PERIOD).unwrap() >= needs {
                lead.made(PERIOD);
            } else {
                lead.missed(PERIOD);
                missed += 1;
                late_missed += u32::from(i > refreshes / 2);
            }
        }
        (lead, missed, late_missed)
    }

    #[test]
    fn the_margin_comes_to_what_is_needed_and_tries_less_become_rare() {
        for (needs_us, within_us) in [(1_100, 1_500), (2_700, 1_500), (9_000, 1_500), (18_000, 1_500)] {
            let needs = Duration::from_micros(needs_us);
            let (lead, missed, late) = learn(needs, 20_000);
            let known = lead.before(PERIOD).unwrap();
            assert!(known + Duration::from_millis(1) >= needs, "{needs:?}: {known:?}");
            assert!(known <= needs + Duration::from_micros(within_us), "{needs:?}: {known:?}");
            assert!(missed <= 30 && late <= 5, "{needs:?}: {missed} missed, {late} in the second half");
        }
    }

    #[test]
    fn a_screen_that_was_reached_early_is_aimed_at_later() {
        let mut lead = Lead::default();
        lead.took(Duration::from_millis(1));
        let before = lead.before(PERIOD);
        lead.was_early(PERIOD);
        assert!(lead.before(PERIOD) < before);
        (0..100).for_each(|_| lead.was_early(PERIOD));
        assert_eq!(lead.before(PERIOD), Some(Duration::from_micros(1500)));
    }
}
