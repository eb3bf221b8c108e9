//! Whether each refresh of the screen gets a new picture if all are drawn just before it. A guest that is faster than the
//! screen, or keeps its step away from the moment of drawing, gives one; one whose pictures come now just before that moment
//! and now just after it does not: its pictures want to be kept for the next refresh instead. Pure.

use super::lead::Lead;
use super::refresh::RefreshClock;
use shm_proto::HostTime;

/// Refreshes that are looked at before pictures are held back for the newest one: at first, and at most, as twice as many
/// are wanted each time that it did not last for [`LASTS`].
const FIRST: u32 = 64;
const MOST: u32 = 1024;
const LASTS: u32 = 1024;
/// Of the last 64 refreshes, so many without a picture let it begin, and so many end it.
const BEGINS: u32 = 0;
const ENDS: u32 = 2;
/// The same with a guest that is faster than the screen: it stopped for a moment, and nothing but a queue, which makes every
/// picture older, had hidden that.
const AMPLE_BEGINS: u32 = 1;
const AMPLE_ENDS: u32 = 4;
/// Of the last 64 refreshes, so many more have several pictures than none, if the guest is faster than the screen.
const SEVERAL: u32 = 6;
/// A guest that sends nothing for longer has nothing to show: those refreshes do not count. Unit: refreshes.
const PAUSE: u32 = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// When the drawing for the refresh that is looked at begins.
    end: Option<HostTime>,
    pictures: u32,
    /// One bit for each of the last refreshes that counted: it got no picture. The newest is the lowest.
    empty: u64,
    /// Likewise: it got more than one.
    several: u64,
    is_steady: bool,
    /// Since when it is so. Unit: refreshes.
    since: u32,
    /// So often steadiness did not last.
    failed: u32,
}

impl Supply {
    /// Whether each refresh gets a new picture.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// Whether a newer picture often comes before the one that is there can be shown.
    pub(super) fn is_ample(&self) -> bool {
        self.several.count_ones() >= SEVERAL + self.empty.count_ones()
    }

    /// Whether a picture came lately: for this refresh or those before it.
    pub(super) fn flows(&self, now: HostTime, clock: &RefreshClock) -> bool {
        let period = clock.period(now);
        self.end.zip(period).is_some_and(|(end, period)| now < end + period * PAUSE)
    }

    /// A picture came at `at`.
    pub(super) fn arrived(&mut self, at: HostTime, clock: &RefreshClock, lead: &Lead) {
        let known = clock.period(at).and_then(|period| Some((period, lead.before(period)?)));
        let Some((period, before)) = known else {
            // What was before still holds when it is known again.
            (self.end, self.pictures) = (None, 0);
            return;
        };
        let end_after = |from| Some(clock.refresh_from(from + before, at)? - before);
        if self.end.is_some_and(|end| at >= end + period * PAUSE) {
            self.count();
            self.end = None;
        }
        while let Some(end) = self.end.filter(|end| at >= *end) {
            self.count();
            self.end = end_after(end + period / 2);
        }
        self.end = self.end.or_else(|| end_after(at));
        self.pictures += 1;
    }

    fn count(&mut self) {
        let pictures = core::mem::take(&mut self.pictures);
        let is_empty = pictures == 0;
        self.empty = self.empty << 1 | u64::from(is_empty);
        self.several = self.several << 1 | u64::from(pictures > 1);
        self.since = self.since.saturating_add(1);
        let (begins, ends) = if self.is_ample() { (AMPLE_BEGINS, AMPLE_ENDS) } else { (BEGINS, ENDS) };
        let (empty, long) = (self.empty.count_ones(), (FIRST << self.failed).min(MOST));
        if self.is_steady && empty >= ends {
            self.failed = if self.since >= LASTS { 0 } else { (self.failed + 1).min(4) };
            (self.is_steady, self.since) = (false, 0);
        } else if !self.is_steady && empty <= begins && self.since >= long {
            (self.is_steady, self.since) = (true, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const PERIOD_US: u64 = 16_000;

    fn at_us(us: u64) -> HostTime {
        HostTime::from_ns((1_000_000 + us) * 1000)
    }

    /// A screen that refreshes at every multiple of the period, and drawings that begin 5 ms before.
    fn screen(until_us: u64) -> (RefreshClock, Lead) {
        let (mut clock, mut lead) = (RefreshClock::default(), Lead::default());
        clock.set_nominal(Duration::from_micros(PERIOD_US));
        (0..until_us / PERIOD_US).for_each(|i| clock.stamp(at_us(i * PERIOD_US)));
        lead.took(Duration::from_millis(1));
        (clock, lead)
    }

    /// Pictures at these times, with stamps up to each.
    fn supply(pictures_us: impl IntoIterator<Item = u64>) -> Supply {
        let mut supply = Supply::default();
        for us in pictures_us {
            let (clock, lead) = screen(us);
            supply.arrived(at_us(us), &clock, &lead);
        }
        supply
    }

    #[test]
    fn a_faster_guest_and_one_that_keeps_its_distance_are_steady() {
        assert!(supply((0..400).map(|i| 160_000 + i * 6944)).is_steady());
        assert!(supply((0..100).map(|i| 160_000 + i * PERIOD_US + i * 7919 % 3000)).is_steady());
        assert!(!supply((0..60).map(|i| 160_000 + i * PERIOD_US)).is_steady(), "too soon");
    }

    #[test]
    fn a_slower_guest_and_one_that_comes_about_when_drawing_begins_are_not() {
        assert!(!supply((0..200).map(|i| 160_000 + i * 33_000)).is_steady());
        // Drawing begins 11 ms after a refresh.
        assert!(!supply((0..200).map(|i| 160_000 + i * PERIOD_US + 9_500 + i * 7919 % 3000)).is_steady());
    }

    #[test]
    fn some_refreshes_of_sixty_four_without_a_picture_end_it_and_a_pause_does_not() {
        let faster = |skipped: [u64; 4]| {
            let left_out = move |i: &u64| !skipped.iter().any(|s| (*s..s + 4).contains(i));
            supply(
                (0..500)
                    .map(|i| 160_000 + i * 6944 - i % 2)
                    .enumerate()
                    .filter_map(move |(i, us)| left_out(&(i as u64)).then_some(us)),
            )
        };
        assert!(faster([450; 4]).is_steady());
        assert!(!faster([450, 460, 470, 480]).is_steady());
        let alike = |skipped: [u64; 2]| {
            let left_out = move |i: &u64| skipped.contains(i);
            supply(
                (0..200)
                    .map(|i| 160_000 + i * PERIOD_US)
                    .enumerate()
                    .filter_map(move |(i, us)| (!left_out(&(i as u64))).then_some(us)),
            )
        };
        assert!(alike([150, 150]).is_steady());
        assert!(!alike([150, 170]).is_steady());
        let pause = |i: u64| 160_000 + i * 6944 + if i > 400 { 300_000 } else { 0 };
        assert!(supply((0..500).map(pause)).is_steady());
    }

    #[test]
    fn pictures_flow_until_some_refreshes_had_none() {
        let (clock, lead) = screen(200_000);
        let mut supply = Supply::default();
        assert!(!supply.flows(at_us(200_000), &clock));
        supply.arrived(at_us(200_000), &clock, &lead);
        assert!(supply.flows(at_us(230_000), &clock));
        assert!(!supply.flows(at_us(300_000), &clock));
    }
}
