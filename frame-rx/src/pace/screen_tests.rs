//! The pacer on screens of several rates, in virtual time, against one who knows the future: how many refreshes show nothing
//! new, how old the picture is that stands there, and how often is drawn.

use super::*;

/// What a drawing takes until the screen may have it. Unit: ns.
const DRAW_NS: u64 = 1_500_000;
/// How long a run is. Unit: ns.
const RUN_NS: u64 = 60_000_000_000;
const FROM_NS: u64 = 1_000_000_000;

/// How drawn frames reach the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// In order, one at most waiting: whoever draws another one waits until it was shown.
    Fifo,
    /// The newest at each refresh.
    Mailbox,
}

/// A guest and a screen.
#[derive(Clone, Copy, Debug)]
struct Case {
    queue: Queue,
    guest_hz: u64,
    screen_hz: u64,
    /// Each picture is late by up to so much, evenly. Unit: ns.
    jitter_ns: u64,
    seed: u64,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Refreshes that showed nothing new.
    missed: u64,
    /// From a picture's arrival to the refresh, over all refreshes. Unit: ns.
    age_ns: u64,
    refreshes: u64,
    drawings: u64,
    pictures: u64,
}

impl Seen {
    fn mean_age_ms(&self) -> f64 {
        self.age_ns as f64 / self.refreshes.max(1) as f64 / 1e6
    }

    fn show(&mut self, vblank: u64, newest: &mut Option<u64>, shown: Option<u64>) {
        self.refreshes += 1;
        if shown.is_none() || shown == *newest {
            self.missed += 1;
        }
        *newest = shown.or(*newest);
        self.age_ns += vblank - newest.unwrap_or(vblank);
    }
}

fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

impl Case {
    /// When pictures arrive. The guest's clock is 0.02 % off.
    fn pictures(&self) -> Vec<u64> {
        let mut seed = self.seed;
        let count = RUN_NS / 1_000_000_000 * self.guest_hz;
        let mut at: Vec<u64> = (0..count)
            .map(|i| FROM_NS + i * 1_000_200_000 / self.guest_hz + dice(&mut seed) % (self.jitter_ns + 1))
            .collect();
        at.sort_unstable();
        at
    }

    fn refresh_ns(&self) -> u64 {
        1_000_000_000 / self.screen_hz
    }

    /// The first refresh at or after `at`.
    fn refresh_from(&self, at: u64) -> u64 {
        let phase = FROM_NS + self.seed % self.refresh_ns();
        phase + at.saturating_sub(phase).div_ceil(self.refresh_ns()) * self.refresh_ns()
    }

    fn refreshes(&self) -> impl Iterator<Item = u64> {
        let (first, step) = (self.refresh_from(FROM_NS + self.refresh_ns() * 4), self.refresh_ns());
        (0..).map(move |i| first + i * step).take_while(|at| *at < FROM_NS + RUN_NS - 100_000_000)
    }

    /// The window's loop with the pacer.
    fn paced(&self) -> Seen {
        let (pictures, mut pace) = (self.pictures(), Pace::new(Some(Duration::from_nanos(self.refresh_ns()))));
        let (mut now, mut next, mut presented) = (FROM_NS, 0, Vec::<(u64, u64)>::new());
        let mut seen = Seen::default();
        let mut shown_at = 0;
        loop {
            while next < pictures.len() && pictures[next] <= now {
                pace.note(Cause::Picture);
                next += 1;
            }
            match pace.plan(HostTime::from_ns(now)) {
                Plan::Now => {
                    let (start, content) = (now, pictures[next - 1]);
                    // Waits until the frame before was shown.
                    let free = if self.queue == Queue::Fifo { shown_at } else { 0 };
                    now = now.max(free) + DRAW_NS;
                    shown_at = self.refresh_from(now);
                    presented.push((now, content));
                    pace.drawn(HostTime::from_ns(start));
                    seen.drawings += 1;
                }
                Plan::At(at) => now = at.as_ns().min(pictures.get(next).copied().unwrap_or(u64::MAX)),
                Plan::Idle => match pictures.get(next) {
                    Some(at) => now = *at,
                    None => break,
                },
            }
        }
        let (mut newest, mut queued) = (None, presented.into_iter().peekable());
        for vblank in self.refreshes() {
            let mut shown = None;
            while queued.peek().is_some_and(|(at, _)| *at <= vblank) {
                shown = queued.next().map(|(_, content)| content);
            }
            seen.show(vblank, &mut newest, shown);
        }
        seen.pictures = pictures.len() as u64;
        seen
    }

    /// One who knows when pictures come, and when the screen refreshes. As fresh as can be; or with as few refreshes that
    /// show nothing new as can be, by keeping a picture back for up to two refreshes.
    fn clairvoyant(&self, keeps_back: bool) -> Seen {
        let pictures = self.pictures();
        let (mut seen, mut newest) = (Seen::default(), None);
        for vblank in self.refreshes() {
            let in_time = |at: &&u64| **at + DRAW_NS <= vblank && newest.is_none_or(|newest| **at > newest);
            let from = pictures.partition_point(|at| *at + 2 * self.refresh_ns() < vblank.saturating_sub(DRAW_NS));
            let mut candidates = pictures[from..].iter().take_while(|at| **at <= vblank).filter(in_time);
            let shown = if keeps_back { candidates.next() } else { candidates.last() }.copied();
            seen.show(vblank, &mut newest, shown);
        }
        seen
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let rates = [(60, 60), (60, 144), (144, 60), (144, 144)];
    rates.into_iter().flat_map(|(guest_hz, screen_hz)| {
        [100_000, 1_000_000, 3_000_000].into_iter().flat_map(move |jitter_ns| {
            [3, 8_111_111, 14_000_003].into_iter().flat_map(move |seed| {
                [Queue::Fifo, Queue::Mailbox].map(|queue| Case { queue, guest_hz, screen_hz, jitter_ns, seed })
            })
        })
    })
}

#[test]
fn hardly_more_refreshes_show_nothing_new_than_for_one_who_knows_the_future() {
    for case in cases() {
        let (paced, best) = (case.paced(), case.clairvoyant(case.queue == Queue::Fifo));
        let fresh = case.clairvoyant(false);
        println!(
            "{case:?}: missed {} (best {}), age {:.2} ms (best {:.2}), {} drawings of {}",
            paced.missed,
            best.missed,
            paced.mean_age_ms(),
            fresh.mean_age_ms(),
            paced.drawings,
            paced.pictures
        );
        assert!(paced.missed as f64 <= best.missed as f64 * 1.05 + 3.0, "{case:?}: {paced:?}, {best:?}");
        assert!(paced.drawings as f64 <= paced.pictures as f64 * 1.05, "{case:?}: {paced:?}");
    }
}
