//! The pacer on screens of several rates, in virtual time, against one who knows the future: how many refreshes show nothing
//! new, how old the picture is that stands there, and how often is drawn.

use super::*;

/// What a drawing takes until the screen may have it, with a software GPU and with a real one. Unit: ns.
const DRAW_NS: [u64; 2] = [1_500_000, 300_000];
/// How long a run is. Unit: ns.
const RUN_NS: u64 = 60_000_000_000;
pub(super) const FROM_NS: u64 = 1_000_000_000;

/// A guest and a screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) queue: Queue,
    pub(super) guest_hz: u64,
    pub(super) screen_hz: u64,
    /// Each picture is late by up to so much, evenly. Unit: ns.
    pub(super) jitter_ns: u64,
    pub(super) seed: u64,
    /// What a drawing takes. Unit: ns.
    pub(super) draw_ns: u64,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Refreshes that showed nothing new.
    pub(super) missed: u64,
    /// From a picture's arrival to the refresh, over all refreshes. Unit: ns.
    pub(super) age_ns: u64,
    pub(super) refreshes: u64,
    pub(super) drawings: u64,
    pub(super) pictures: u64,
}

impl Seen {
    pub(super) fn mean_age_ms(&self) -> f64 {
        self.age_ns as f64 / self.refreshes.max(1) as f64 / 1e6
    }

    pub(super) fn show(&mut self, vblank: u64, newest: &mut Option<u64>, shown: Option<u64>) {
        self.refreshes += 1;
        if shown.is_none() || shown == *newest {
            self.missed += 1;
        }
        *newest = shown.or(*newest);
        self.age_ns += vblank - newest.unwrap_or(vblank);
    }
}

pub(super) fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

impl Case {
    /// When pictures arrive. The guest's clock is 0.02 % off.
    pub(super) fn pictures(&self) -> Vec<u64> {
        let mut seed = self.seed;
        let count = RUN_NS / 1_000_000_000 * self.guest_hz;
        let mut at: Vec<u64> = (0..count)
            .map(|i| FROM_NS + i * 1_000_200_000 / self.guest_hz + dice(&mut seed) % (self.jitter_ns + 1))
            .collect();
        at.sort_unstable();
        at
    }

    pub(super) fn refresh_ns(&self) -> u64 {
        1_000_000_000 / self.screen_hz
    }

    /// The first refresh at or after `at`.
    pub(super) fn refresh_from(&self, at: u64) -> u64 {
        let phase = FROM_NS + self.seed % self.refresh_ns();
        phase + at.saturating_sub(phase).div_ceil(self.refresh_ns()) * self.refresh_ns()
    }

    pub(super) fn refreshes(&self) -> impl Iterator<Item = u64> {
        let (first, step) = (self.refresh_from(FROM_NS + self.refresh_ns() * 4), self.refresh_ns());
        (0..).map(move |i| first + i * step).take_while(|at| *at < FROM_NS + RUN_NS - 100_000_000)
    }

    /// The window's loop with the pacer.
    fn paced(&self) -> Seen {
        let (pictures, mut pace) = (self.pictures(), Pace::new(None));
        pace.set_interval(Some(Duration::from_nanos(self.refresh_ns())), self.queue);
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
                    let free = if self.queue == Queue::InOrder { shown_at } else { 0 };
                    now = now.max(free) + self.draw_ns;
                    shown_at = self.refresh_from(now);
                    presented.push((now, content));
                    pace.drawn(HostTime::from_ns(start), Duration::from_nanos(now - start));
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
    pub(super) fn clairvoyant(&self, keeps_back: bool) -> Seen {
        let pictures = self.pictures();
        let (mut seen, mut newest) = (Seen::default(), None);
        for vblank in self.refreshes() {
            let in_time = |at: &&u64| **at + self.draw_ns <= vblank && newest.is_none_or(|newest| **at > newest);
            let from = pictures.partition_point(|at| *at + 2 * self.refresh_ns() < vblank.saturating_sub(self.draw_ns));
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
                DRAW_NS.into_iter().flat_map(move |draw_ns| {
                    [Queue::InOrder, Queue::Newest].map(|queue| Case {
                        queue,
                        guest_hz,
                        screen_hz,
                        jitter_ns,
                        seed,
                        draw_ns,
                    })
                })
            })
        })
    })
}

#[test]
fn hardly_more_refreshes_show_nothing_new_than_for_one_who_knows_the_future() {
    let (mut ours, mut bests, mut drawings, mut pictures) = (0, 0, 0, 0);
    for case in cases() {
        let (paced, best) = (case.paced(), case.clairvoyant(case.queue == Queue::InOrder));
        assert!(paced.missed as f64 <= best.missed as f64 * 1.05 + 3.0, "{case:?}: {paced:?}, {best:?}");
        assert!(paced.drawings as f64 <= paced.pictures as f64 * 1.05, "{case:?}: {paced:?}");
        (ours, bests) = (ours + paced.missed, bests + best.missed);
        (drawings, pictures) = (drawings + paced.drawings, pictures + paced.pictures);
    }
    println!("of all: {ours} missed, {bests} with foresight; {drawings} drawings of {pictures} pictures");
}

#[test]
fn what_stands_there_is_hardly_older_than_it_has_to_be() {
    for case in cases().filter(|case| case.queue == Queue::Newest) {
        let (paced, best) = (case.paced(), case.clairvoyant(false));
        let refresh_ms = 1e3 / case.screen_hz as f64;
        let more_ms = paced.mean_age_ms() - best.mean_age_ms();
        println!(
            "{case:?}: {:.2} ms, at best {:.2}, {} drawings",
            paced.mean_age_ms(),
            best.mean_age_ms(),
            paced.drawings
        );
        // A guest faster than the screen is drawn in a rhythm of our own: at any phase, so a part of it too early.
        let allowed_ms = match (case.guest_hz > case.screen_hz, case.draw_ns) {
            (false, _) => 0.1,
            (true, 300_000) => refresh_ms / 2.0,
            (true, _) => refresh_ms,
        };
        assert!(more_ms <= allowed_ms, "{case:?}: {paced:?}, {best:?}");
        assert!(paced.drawings <= 2 * paced.refreshes + 60, "{case:?}: {paced:?}");
    }
}

#[test]
fn a_drawing_that_is_dear_is_done_once_in_a_refresh() {
    let refresh = Duration::from_micros(16_667);
    let drawings = |queue, costs: [u64; 2]| {
        let mut pace = Pace::new(None);
        pace.set_interval(Some(refresh), queue);
        let mut count = 0;
        for ms in 0..1000u64 {
            let now = HostTime::from_ns(FROM_NS + ms * 1_000_000);
            pace.note(Cause::Pointer);
            if pace.plan(now) == Plan::Now {
                pace.drawn(now, Duration::from_micros(costs[usize::from(count % 8 == 7)]));
                count += 1;
            }
        }
        count
    };
    assert!((115..=122).contains(&drawings(Queue::Newest, [300, 300])), "{}", drawings(Queue::Newest, [300, 300]));
    for (queue, costs) in [(Queue::Newest, [3000, 3000]), (Queue::Newest, [300, 3000]), (Queue::InOrder, [300, 300])] {
        let count = drawings(queue, costs);
        assert!((55..=70).contains(&count), "{queue:?} {costs:?}: {count}");
    }
}
