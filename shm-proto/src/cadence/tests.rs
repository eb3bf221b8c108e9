//! The estimator against guests of many kinds, in simulated time: how soon pictures are seen, and what it costs.

use super::*;

const START: HostTime = HostTime::from_ns(5_000_000_000);
/// What a look costs, and what a sleep costs besides. Source: performance measurements of the project. Unit: ns.
const LOOK_NS: f64 = 3e3;
const SLEEP_NS: f64 = 8e3;
/// What a copy takes. Unit: ns.
const COPY_NS: f64 = 400e3;
/// A poll every millisecond, whose sleeps are late as well, sees the median picture after so long. Unit: us.
const POLL_US: f64 = 520.0;

/// What a receiver got and paid.
#[derive(Debug)]
struct Bill {
    /// How long a picture lay there unseen. Unit: us.
    median_us: f64,
    p90_us: f64,
    p99_us: f64,
    /// Part of a processor. Unit: percent.
    cpu_percent: f64,
    sleeps_per_s: f64,
}

fn dice(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// How late a guest's pictures are. Unit: us.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// Up to so much either way, mostly little.
    Around(f64),
    /// Anything up to so much.
    Evenly(f64),
    /// Mostly little, and one in ten anything up to so much.
    Tail(f64),
}

impl Late {
    fn draw(self, seed: &mut u64) -> f64 {
        match self {
            Late::Around(us) => (dice(seed) + dice(seed) - 1.0) * us,
            Late::Evenly(us) => dice(seed) * us,
            Late::Tail(us) if dice(seed) < 0.1 => dice(seed) * us,
            Late::Tail(_) => dice(seed) * 60.0,
        }
    }
}

/// When 4000 pictures come, in nanoseconds: on a beat of `rate_hz`, each `every(n)` beats after the one before.
fn pictures(rate_hz: f64, late: Late, every: fn(&mut u64) -> f64) -> Vec<f64> {
    let (mut seed, mut beat) = (7, 0.0);
    let mut at: Vec<f64> = (0..4000)
        .map(|_| {
            beat += every(&mut seed);
            beat * 1e9 / rate_hz * 1.000_2 + late.draw(&mut seed) * 1e3
        })
        .collect();
    at.sort_by(f64::total_cmp);
    at
}

/// A receiver that follows pictures at `at_ns`; its sleeps come 15 to 60 us late. The first 200 do not count.
fn follow(at_ns: &[f64]) -> Bill {
    let mut seed = 11;
    let mut cadence = Cadence::new(42);
    cadence.reset(START);
    let (mut now_ns, mut seen, mut cost_ns, mut sleeps) = (0.0, 0, 0.0, 0u32);
    let (mut unseen, mut from_ns) = (Vec::new(), 0.0);
    let time = |ns: f64| START + Duration::from_nanos(ns as u64);
    while seen < at_ns.len() - 1 {
        let there = seen + at_ns[seen..].iter().take_while(|at| **at <= now_ns).count();
        if there > seen {
            if seen > 200 {
                unseen.push((now_ns - at_ns[there - 1]) / 1e3);
            } else {
                (cost_ns, sleeps, from_ns) = (0.0, 0, now_ns);
            }
            cadence.published(time(now_ns), there as u64);
            seen = there;
            now_ns += COPY_NS;
        } else {
            cadence.nothing(time(now_ns));
        }
        now_ns += LOOK_NS;
        cost_ns += LOOK_NS;
        let now = time(now_ns);
        if let Look::At(wake) = cadence.next_look(now) {
            assert!(wake > now && wake.since(now) <= Duration::from_millis(12), "{:?}", wake.since(now));
            cost_ns += SLEEP_NS;
            sleeps += 1;
            now_ns += wake.since(now).as_nanos() as f64 + 15e3 + 45e3 * dice(&mut seed);
        }
    }
    unseen.sort_by(f64::total_cmp);
    let part = |p: f64| unseen[(unseen.len() as f64 * p) as usize];
    let (median_us, p90_us, p99_us) = (part(0.5), part(0.9), part(0.99));
    let time_ns = now_ns - from_ns;
    let cpu_percent = cost_ns / time_ns * 100.0;
    Bill { median_us, p90_us, p99_us, cpu_percent, sleeps_per_s: f64::from(sleeps) / time_ns * 1e9 }
}

#[test]
fn pictures_with_a_rhythm_are_seen_twenty_times_sooner_than_by_a_millisecond_poll_for_three_percent() {
    for rate_hz in [24.0, 60.0, 75.0, 144.0, 240.0] {
        // Late by up to a twenty-fifth of the period, and some by twice that.
        let most = 40e3 / rate_hz;
        for late in [Late::Around(30.0), Late::Around(most / 2.0), Late::Evenly(most), Late::Tail(2.0 * most)] {
            let bill = follow(&pictures(rate_hz, late, |_| 1.0));
            assert!(bill.median_us <= POLL_US / 20.0, "{rate_hz} Hz, {late:?}: {bill:?}");
            assert!(bill.p90_us <= POLL_US / 4.0 && bill.p99_us <= 1e3, "{rate_hz} Hz, {late:?}: {bill:?}");
            assert!(bill.cpu_percent <= 3.0, "{rate_hz} Hz, {late:?}: {bill:?}");
        }
    }
}

#[test]
fn pictures_that_leave_beats_out_are_waited_for_on_each() {
    for rate_hz in [60.0, 144.0] {
        for late in [Late::Around(30.0), Late::Evenly(300.0)] {
            let bill = follow(&pictures(rate_hz, late, |seed| 1.0 + (dice(seed) * 3.0).floor()));
            assert!(bill.median_us <= POLL_US / 20.0 && bill.p99_us <= 1e3, "{rate_hz} Hz, {late:?}: {bill:?}");
            assert!(bill.cpu_percent <= 4.0, "{rate_hz} Hz, {late:?}: {bill:?}");
        }
    }
}

#[test]
fn pictures_without_a_rhythm_cost_little_more_than_a_look_per_millisecond() {
    for (what, at_ns) in [
        ("any time", pictures(60.0, Late::Evenly(30_000.0), |_| 1.0)),
        ("7 to 33 ms apart", pictures(1000.0, Late::Around(0.0), |seed| 7.0 + 26.0 * dice(seed))),
    ] {
        let bill = follow(&at_ns);
        assert!(bill.sleeps_per_s <= 1_300.0 && bill.cpu_percent <= 2.0, "{what}: {bill:?}");
        assert!(bill.median_us <= 1.1 * POLL_US && bill.p99_us <= 2.5e3, "{what}: {bill:?}");
    }
}

#[test]
fn a_rhythm_that_ends_is_given_up_and_another_one_is_learned() {
    let mut cadence = Cadence::new(1);
    cadence.reset(START);
    let (mut now, mut number) = (START, 0);
    let mut beat = |cadence: &mut Cadence, us: u64, count: u32| {
        for _ in 0..count {
            now = now + Duration::from_micros(us);
            number += 1;
            cadence.published(now, number);
        }
        cadence.state(now)
    };
    assert_eq!(beat(&mut cadence, 16_667, 6), State::Learning);
    assert_eq!(beat(&mut cadence, 16_667, 40), State::Tracking);
    let due_us = |cadence: &Cadence, last: HostTime| cadence.predicted().map(|due| due.since(last).as_micros());
    assert_eq!(due_us(&cadence, START + Duration::from_micros(46 * 16_667)), Some(16_667));
    assert_eq!(beat(&mut cadence, 11_000, 60), State::Tracking);
    assert_eq!(due_us(&cadence, START + Duration::from_micros(46 * 16_667 + 60 * 11_000)), Some(11_000));
    assert_eq!(beat(&mut cadence, 500_000, 40), State::Learning, "a clock on a desktop has no rhythm to wait for");
    cadence.reset(START);
    assert_eq!((cadence.state(START), cadence.predicted()), (State::Learning, None));
}

#[test]
fn what_does_not_come_is_not_looked_for_closely_for_long() {
    let mut cadence = Cadence::new(3);
    let mut now = START;
    for number in 0..200 {
        cadence.published(now, number);
        now = now + Duration::from_millis(10);
    }
    // A second without a picture, in steps of a microsecond.
    let (mut close_us, mut wake) = (0u32, now);
    for us in 0..1_000_000 {
        let at = now + Duration::from_micros(us);
        if at < wake {
            continue;
        }
        cadence.nothing(at);
        match cadence.next_look(at) {
            Look::Again => close_us += 1,
            Look::At(next) => wake = next,
        }
    }
    // Ten beats until it is idle, each window as wide as it may ever be.
    assert!((1..=10 * 800).contains(&close_us), "{close_us}");
}

#[test]
fn looks_grow_rare_when_nothing_comes() {
    let mut cadence = Cadence::new(9);
    assert_eq!(cadence.state(START), State::Idle);
    cadence.reset(START);
    assert_eq!(cadence.state(START), State::Learning);
    for (second, most) in [(0, 600), (1, 250), (2, 125), (11, 100), (100, 100)] {
        let from = START + Duration::from_secs(second);
        let (mut now, mut looks) = (from, 0);
        while now < from + Duration::from_secs(1) {
            cadence.nothing(now);
            let Look::At(next) = cadence.next_look(now) else { panic!("nothing is due") };
            assert!(next > now);
            (now, looks) = (next, looks + 1);
        }
        assert!(looks <= most, "second {second}: {looks} looks");
    }
}

/// Looks a second at a guest whose pictures come `every`, if something stirs as often as `stirs` says.
fn looks_at(every: Duration, stirs: Option<Duration>) -> f64 {
    let mut cadence = Cadence::new(5);
    cadence.reset(START);
    let (mut now, mut number, mut looks) = (START, 0, 0u32);
    let end = START + Duration::from_secs(30);
    let (mut due, mut stir) = (START + every, START);
    while now < end {
        if now >= due {
            number += 1;
            due = due + every;
            cadence.published(now, number);
        } else {
            cadence.nothing(now);
        }
        if let Some(stirs) = stirs.filter(|_| now >= stir) {
            cadence.stirred(now);
            stir = now + stirs;
        }
        looks += 1;
        now = match cadence.next_look(now) {
            Look::Again => now + Duration::from_micros(3),
            Look::At(at) => at,
        };
    }
    f64::from(looks) / 30.0
}

#[test]
fn a_cursor_that_blinks_or_a_clock_is_no_reason_to_look_often() {
    for (every_ms, most) in [(530, 260.0), (1000, 195.0), (60_000, 130.0)] {
        let looks = looks_at(Duration::from_millis(every_ms), None);
        assert!(looks <= most, "a picture each {every_ms} ms: {looks} looks a second");
    }
}

#[test]
fn a_guest_that_rests_is_looked_at_more_often_while_something_stirs() {
    let mut cadence = Cadence::new(7);
    cadence.reset(START);
    let later = START + Duration::from_secs(60);
    let distance = |cadence: &mut Cadence, at: HostTime| match cadence.next_look(at) {
        Look::Again => panic!("nothing is due"),
        Look::At(next) => next.since(at),
    };
    assert!(distance(&mut cadence, later) >= Duration::from_millis(8));
    cadence.stirred(later);
    for ms in [0, 500, 999] {
        assert!(distance(&mut cadence, later + Duration::from_millis(ms)) <= Duration::from_micros(2250), "{ms}");
    }
    assert!(
        distance(&mut cadence, later + Duration::from_millis(1001)) >= Duration::from_millis(8),
        "nothing came of it"
    );
    // A pointer that moves all the time over a picture that stands still.
    let looks = looks_at(Duration::from_secs(60), Some(Duration::from_millis(1)));
    assert!((400.0..=600.0).contains(&looks), "{looks} looks a second");
}

#[test]
fn a_film_that_begins_after_a_rest_is_followed_from_its_second_picture_on() {
    let mut cadence = Cadence::new(8);
    cadence.reset(START);
    let mut now = START + Duration::from_secs(60);
    for number in 1..=20 {
        cadence.published(now, number);
        let next = now + Duration::from_micros(41_667);
        let soon = cadence.next_look(next - Duration::from_micros(1));
        match (number, soon) {
            (1, Look::At(at)) => assert!(at.since(next) <= Duration::from_micros(2250), "{:?}", at.since(next)),
            (_, Look::At(at)) => assert!(at.since(next) <= Duration::from_millis(1), "{number}: {:?}", at.since(next)),
            (_, Look::Again) => {}
        }
        now = next;
    }
    assert_eq!(cadence.state(now), State::Tracking);
}

#[test]
fn hostile_numbers_and_times_do_no_harm() {
    let mut cadence = Cadence::new(u64::MAX);
    let times = [5, 5, 4, u64::MAX, 0, 1 << 60, 1 << 61, 3, 1 << 62, 20_000_005];
    let numbers = [0, u64::MAX, 0, 7, u64::MAX - 1, 1 << 63, 1, 2];
    for (at, number) in times.into_iter().cycle().zip(numbers.into_iter().cycle().skip(3)).take(5000) {
        let now = HostTime::from_ns(at);
        cadence.published(now, number);
        cadence.nothing(now);
        if let Look::At(next) = cadence.next_look(now) {
            assert!(next > now || at == u64::MAX);
            assert!(next.since(now) <= Duration::from_millis(1_000));
        }
    }
}
