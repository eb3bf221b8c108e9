//! Tests of the pacer against a sink that plays the guest.

use super::*;
use crate::input::frame::{Motion, Position};
use crate::input::sink::{DESCRIPTORS, News};
use std::os::fd::BorrowedFd;

/// A sink that remembers what a guest would.
pub(crate) struct Guest {
    pub caps: Caps,
    pub takes: bool,
    pub takes_motion: bool,
    pub held: CodeSet,
    pub sum: (i64, i64),
    pub wheel: (i64, i64),
    pub log: Vec<String>,
    pub dies_in: Option<u32>,
    pub tells_stops: bool,
}

impl Guest {
    pub fn new() -> Guest {
        let caps = Caps {
            motion: true,
            position: true,
            wheel_units: 1,
            horizontal: true,
            key_gap: Duration::from_millis(1),
            motion_gap: Duration::from_millis(1),
        };
        let (held, log) = (CodeSet::EMPTY, Vec::new());
        Guest {
            caps,
            takes: true,
            takes_motion: true,
            held,
            sum: (0, 0),
            wheel: (0, 0),
            log,
            dies_in: None,
            tells_stops: true,
        }
    }
}

impl Sink for Guest {
    fn way(&self) -> &'static str {
        "qmp"
    }

    fn caps(&self) -> Caps {
        self.caps
    }

    fn tells_stops(&self) -> bool {
        self.tells_stops
    }

    fn takes_motion(&self) -> bool {
        self.takes_motion
    }

    fn send(&mut self, step: &Step, _now: HostTime) -> Result<Sent, SinkError> {
        if let Some(left) = &mut self.dies_in {
            *left = left.checked_sub(1).ok_or(SinkError::Closed)?;
        }
        if !self.takes {
            return Ok(Sent::Busy);
        }
        match step {
            Step::Edge(Edge { code, is_down }) => {
                self.log.push(format!("{}{}", code.number(), if *is_down { '+' } else { '-' }));
                if *is_down {
                    self.held.insert(*code)
                } else {
                    self.held.remove(*code)
                };
            }
            Step::Move(m) => {
                self.log.push(format!("m{},{}", m.motion.dx, m.motion.dy));
                self.sum = (self.sum.0 + i64::from(m.motion.dx), self.sum.1 + i64::from(m.motion.dy));
                self.wheel = (self.wheel.0 + i64::from(m.wheel.vertical), self.wheel.1 + i64::from(m.wheel.horizontal));
            }
        }
        Ok(Sent::Taken)
    }

    fn pump(&mut self, _now: HostTime, _tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        Ok(())
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        [None; DESCRIPTORS]
    }
}

fn at(ms: u64) -> HostTime {
    HostTime::ZERO + Duration::from_millis(ms)
}

fn key(number: u16, is_down: bool) -> Step {
    Step::Edge(Edge { code: Code::new(number).unwrap(), is_down })
}

fn motion(dx: i32, dy: i32) -> Step {
    Step::Move(Move { motion: Motion { dx, dy }, ..Move::default() })
}

fn wheel(vertical: i32) -> Step {
    Step::Move(Move { wheel: Wheel { vertical, horizontal: 0 }, ..Move::default() })
}

fn pacer() -> Pacer {
    Pacer::new(InputStats::new())
}

/// Lets time pass until nothing is due.
fn run_out(pacer: &mut Pacer, guest: &mut Guest, mut now: HostTime) -> HostTime {
    for _ in 0..10_000 {
        match pacer.run(now, guest).unwrap() {
            Some(due) => now = due,
            None => return now,
        }
    }
    panic!("it never comes to an end");
}

/// SPICE acknowledges what a stopped machine throws away.
#[test]
fn a_release_that_was_lost_with_a_stop_of_which_nobody_tells_is_sent_again_for_a_minute() {
    for (tells_stops, stands_ms, holds) in [(false, 1_500, false), (false, 60_000, false), (true, 1_500, true)] {
        let (mut pacer, mut guest) = (pacer(), Guest::new());
        guest.tells_stops = tells_stops;
        pacer.push(at(0), key(17, true)).unwrap();
        pacer.run(at(0), &mut guest).unwrap();
        pacer.push(at(10), key(17, false)).unwrap();
        let mut now = at(10);
        loop {
            let due = pacer.run(now, &mut guest).unwrap();
            if now < at(stands_ms) {
                guest.held.insert(Code::new(17).unwrap());
            }
            let Some(due) = due else { break };
            now = due;
        }
        assert_eq!(!guest.held.is_empty(), holds, "{tells_stops} {stands_ms}");
    }
}

/// A monitor's client that was killed released nothing.
#[test]
fn what_a_client_before_may_have_left_down_is_released_once_when_it_is_quiet() {
    for (tells_stops, rounds) in [(true, 1), (false, 3)] {
        let (mut pacer, mut guest) = (pacer(), Guest::new());
        guest.tells_stops = tells_stops;
        let codes: CodeSet = [17, 30, 103].into_iter().filter_map(Code::new).collect();
        guest.held = codes;
        pacer.suspect(codes);
        pacer.connected(at(0));
        pacer.push(at(0), key(17, true)).unwrap();
        let mut now = at(0);
        while let Some(due) = pacer.run(now, &mut guest).unwrap() {
            now = due;
        }
        assert_eq!(guest.log.last().map(String::as_str), Some("17+"));
        assert_eq!(pacer.run(at(20_000), &mut guest).unwrap(), None, "not while something is held");
        assert!(guest.held.contains(Code::new(17).unwrap()) && guest.held.len() == 3);
        pacer.push(at(20_000), key(17, false)).unwrap();
        guest.log.clear();
        let end = run_out(&mut pacer, &mut guest, at(20_001));
        assert!(guest.held.is_empty(), "{:?}", guest.log);
        assert_eq!(guest.log.iter().filter(|l| *l == "103-").count(), rounds);
        assert_eq!(pacer.run(end + Duration::from_secs(100), &mut guest).unwrap(), None);
    }
}

#[test]
fn a_press_ends_what_is_released_long_after_and_comes_first() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    guest.tells_stops = false;
    for number in 16..40 {
        for is_down in [true, false] {
            pacer.push(at(0), key(number, is_down)).unwrap();
        }
    }
    let mut now = at(0);
    while now < at(4_000) {
        let Some(due) = pacer.run(now, &mut guest).unwrap() else { break };
        now = due;
        if pacer.stats.released_again.get() == 3 {
            break;
        }
    }
    guest.log.clear();
    pacer.push(now, key(50, true)).unwrap();
    pacer.run(now + Duration::from_millis(1), &mut guest).unwrap();
    assert_eq!(guest.log.last().map(String::as_str), Some("50+"));
    pacer.push(now, key(50, false)).unwrap();
    let mark = guest.log.len();
    pacer.run(now + Duration::from_millis(20), &mut guest).unwrap();
    assert_eq!(guest.log[mark..], ["50-"], "the others wait for the next quiet");
    run_out(&mut pacer, &mut guest, now + Duration::from_millis(20));
    assert!(guest.log[mark..].iter().filter(|l| *l == "20-").count() >= 3, "{:?}", guest.log);
}

#[test]
fn what_is_released_once_more_does_not_count_as_typed() {
    let stats = InputStats::new();
    let (mut pacer, mut guest) = (Pacer::new(stats.clone()), Guest::new());
    pacer.connected(at(0));
    let now = run_out(&mut pacer, &mut guest, at(0));
    for is_down in [true, false] {
        pacer.push(now, key(29, is_down)).unwrap();
    }
    run_out(&mut pacer, &mut guest, now);
    assert_eq!((stats.edges.get(), stats.unknown.get()), (2, 0));
    assert!(guest.log.len() > 13, "the modifiers and buttons at first: {:?}", guest.log);
}

#[test]
fn a_burst_of_motion_becomes_few_reports_and_loses_no_count() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    for n in 0..8000_u64 {
        let now = HostTime::from_ns(n * 125_000);
        pacer.push(now, motion(1, -2)).unwrap();
        pacer.run(now, &mut guest).unwrap();
    }
    run_out(&mut pacer, &mut guest, at(1000));
    assert_eq!(guest.sum, (8000, -16_000));
    assert!((990..=1001).contains(&guest.log.len()), "{} reports in a second", guest.log.len());
}

#[test]
fn while_more_motion_comes_than_is_sent_nobody_need_hear_of_it_before_the_next_is_due() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    let gap = guest.caps.motion_gap;
    let mut report = |us: u64| {
        let now = HostTime::from_ns(us * 1000);
        pacer.push(now, motion(1, 0)).unwrap();
        pacer.run(now, &mut guest).unwrap();
        pacer.next_motion(gap)
    };
    // A mouse of 1000 reports a second: each is sent as it comes.
    for us in [10_000, 11_000, 12_000] {
        assert_eq!(report(us), None);
    }
    // One of 4000: four in each that is sent.
    for us in [13_000, 13_250, 13_500, 13_750] {
        assert_eq!(report(us), None, "none was merged in the last one");
    }
    assert_eq!(report(14_000), Some(HostTime::from_ns(15_000_000)));
    // And slow again.
    for us in [16_000, 17_000] {
        assert_eq!(report(us), None);
    }
}

#[test]
fn a_click_lands_where_the_pointer_was_even_if_the_window_is_full() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    guest.takes_motion = false;
    pacer.push(at(0), motion(5, 5)).unwrap();
    assert_eq!(pacer.run(at(0), &mut guest).unwrap(), None);
    assert!(guest.log.is_empty());
    pacer.push(at(1), key(0x110, true)).unwrap();
    pacer.push(at(1), motion(1, 1)).unwrap();
    pacer.run(at(1), &mut guest).unwrap();
    assert_eq!(guest.log, ["m5,5", "272+"]);
}

#[test]
fn keys_keep_their_distance_and_buttons_do_not() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    for step in [key(30, true), key(30, false), key(0x110, true), key(0x110, false)] {
        pacer.push(at(0), step).unwrap();
    }
    assert_eq!(pacer.run(at(0), &mut guest).unwrap(), Some(at(1)));
    assert_eq!(guest.log, ["30+"]);
    pacer.run(at(1), &mut guest).unwrap();
    assert_eq!(guest.log, ["30+", "30-", "272+", "272-"]);
}

#[test]
fn what_was_touched_is_released_once_more_when_it_is_quiet() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    for (ms, step) in [(0, key(30, true)), (1, key(42, true)), (2, key(30, false)), (3, key(42, false))] {
        pacer.push(at(ms), step).unwrap();
        pacer.run(at(ms), &mut guest).unwrap();
    }
    assert_eq!(pacer.run(at(32), &mut guest).unwrap(), Some(at(33)));
    guest.log.clear();
    let end = run_out(&mut pacer, &mut guest, at(33));
    // Twice: soon, and slowly.
    assert_eq!(guest.log, ["42-", "30-", "42-", "30-"]);
    assert!(end >= at(333), "{end:?}");
    // And then it is quiet.
    assert_eq!(pacer.run(end + Duration::from_secs(9), &mut guest).unwrap(), None);
    assert_eq!(guest.log.len(), 4);
}

/// The end of a program beside a QEMU that was late.
#[test]
fn who_was_held_up_is_told_at_once_and_after_a_good_while_whatever_was_told_before() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    let mut now = at(0);
    for is_down in [true, false] {
        pacer.push(now, key(30, is_down)).unwrap();
    }
    while !pacer.has_settled() {
        now = pacer.run(now, &mut guest).unwrap().unwrap();
        assert!(now < at(40), "{now:?}");
        pacer.run(now, &mut guest).unwrap();
    }
    assert_eq!(guest.log, ["30+", "30-", "30-"]);
    assert!(!pacer.is_through());
    // It has heard of that now, and a release may have found no room.
    now = at(400);
    assert!(pacer.release_once_more() && !pacer.has_settled());
    pacer.run(now, &mut guest).unwrap();
    assert_eq!(guest.log[3..], ["30-"]);
    assert!(pacer.has_settled() && !pacer.is_through());
    while !pacer.is_through() {
        now = pacer.run(now, &mut guest).unwrap().unwrap();
        pacer.run(now, &mut guest).unwrap();
    }
    assert_eq!(guest.log[4..], ["30-"]);
    assert!((at(700)..at(720)).contains(&now), "{now:?}");
    assert!(!pacer.release_once_more(), "there is nothing more to say");
}

#[test]
fn a_new_press_does_not_wait_for_what_is_released_again() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    for number in 16..26 {
        pacer.push(at(0), key(number, true)).unwrap();
        pacer.push(at(0), key(number, false)).unwrap();
    }
    // Into the middle of the second round.
    let mut now = at(0);
    while guest.log.len() < 35 {
        now = pacer.run(now, &mut guest).unwrap().unwrap();
    }
    guest.log.clear();
    pacer.push(now, key(25, true)).unwrap();
    pacer.run(now, &mut guest).unwrap();
    assert_eq!(guest.log, ["25+"]);
    // And what is pressed is not released under the finger.
    pacer.run(now + Duration::from_secs(5), &mut guest).unwrap();
    assert_eq!(guest.log, ["25+"]);
}

#[test]
fn a_full_queue_releases_everything_and_says_so() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    pacer.push(at(0), key(42, true)).unwrap();
    run_out(&mut pacer, &mut guest, at(0));
    guest.takes = false;
    let overflow = (0..).find_map(|n| pacer.push(at(1), key(30, n % 2 == 0)).err().map(|o| (n, o)));
    assert_eq!(overflow, Some((QUEUE, Overflow)));
    guest.takes = true;
    run_out(&mut pacer, &mut guest, at(5));
    assert!(guest.held.is_empty());
}

#[test]
fn wheels_keep_a_remainder_but_not_for_ever_nor_backwards() {
    for (turns, expected) in [
        (vec![(0, 60), (10, 60)], 1),
        (vec![(0, 100), (10, 100), (20, 40)], 2),
        (vec![(0, 100), (600, 100)], 0),
        (vec![(0, 100), (10, -20), (20, 20)], 0),
        (vec![(0, -360)], -3),
    ] {
        let (mut pacer, mut guest) = (pacer(), Guest::new());
        for (ms, turn) in &turns {
            pacer.push(at(*ms), wheel(*turn)).unwrap();
            run_out(&mut pacer, &mut guest, at(*ms));
        }
        assert_eq!(guest.wheel, (expected, 0), "{turns:?}");
    }
}

#[test]
fn a_fine_wheel_passes_as_it_is_to_a_sink_that_has_one() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    guest.caps.wheel_units = 120;
    for (ms, turn) in [(0, 7), (10, -3), (900, 1)] {
        pacer.push(at(ms), wheel(turn)).unwrap();
        run_out(&mut pacer, &mut guest, at(ms));
    }
    assert_eq!(guest.wheel, (5, 0));
}

#[test]
fn a_new_sink_starts_with_everything_up() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    pacer.push(at(0), key(30, true)).unwrap();
    run_out(&mut pacer, &mut guest, at(0));
    pacer.disconnected();
    guest.log.clear();
    pacer.connected(at(10));
    run_out(&mut pacer, &mut guest, at(10));
    assert!(guest.held.is_empty() && guest.log.contains(&"30-".to_owned()), "{:?}", guest.log);
    for code in Code::MODIFIERS.into_iter().chain(Code::BUTTONS) {
        assert!(guest.log.contains(&format!("{}-", code.number())));
    }
}

#[test]
fn places_replace_each_other_and_the_newest_stays() {
    let (mut pacer, mut guest) = (pacer(), Guest::new());
    guest.takes = false;
    let place = |x| Step::Move(Move { position: Some(Position { x, y: 0 }), ..Move::default() });
    for x in 0..100 {
        pacer.push(at(0), place(x)).unwrap();
    }
    assert_eq!(pacer.queue.len(), 1);
    assert!(matches!(pacer.queue[0].step, Step::Move(Move { position: Some(Position { x: 99, .. }), .. })));
}
