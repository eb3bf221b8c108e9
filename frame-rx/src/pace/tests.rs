//! What is drawn when, one rule at a time.

use super::*;
use proptest::prelude::*;

const REFRESH: Duration = Duration::from_micros(16_667);

fn us(us: u64) -> HostTime {
    HostTime::from_ns(1_000_000_000 + us * 1000)
}

#[test]
fn a_guest_that_stands_still_is_never_drawn_again() {
    let mut pace = Pace::new(Some(REFRESH));
    pace.note(Cause::Picture);
    assert_eq!(pace.plan(us(0)), Plan::Now);
    pace.drawn(us(0), Duration::ZERO);
    for t in [1, 20_000, 1_000_000_000] {
        assert_eq!(pace.plan(us(t)), Plan::Idle);
    }
}

#[test]
fn a_picture_that_was_taken_back_is_not_drawn_before_it_is_there_again() {
    let mut pace = Pace::new(Some(REFRESH));
    pace.note(Cause::Picture);
    assert!(pace.awaits_picture_alone());
    pace.withdraw_picture();
    assert_eq!(pace.plan(us(0)), Plan::Idle);
    for other in [Cause::Pointer, Cause::Window] {
        pace.note(Cause::Picture);
        pace.note(other);
        assert!(!pace.awaits_picture_alone());
        pace.withdraw_picture();
        assert_eq!(pace.plan(us(0)), Plan::Now, "{other:?} waits still");
        pace.drawn(us(0), Duration::ZERO);
        assert_eq!(pace.plan(us(40_000)), Plan::Idle);
    }
}

#[test]
fn a_hidden_window_is_not_drawn_and_is_drawn_once_when_seen_again() {
    let mut pace = Pace::new(Some(REFRESH));
    pace.set_hidden(true);
    for cause in [Cause::Picture, Cause::Pointer, Cause::Window] {
        pace.note(cause);
        assert_eq!(pace.plan(us(0)), Plan::Idle, "{cause:?}");
    }
    pace.set_hidden(false);
    assert_eq!(pace.plan(us(5)), Plan::Now);
    pace.drawn(us(5), Duration::ZERO);
    assert_eq!(pace.plan(us(6)), Plan::Idle);
}

#[test]
fn a_fast_pointer_is_drawn_at_the_screens_rate() {
    let mut pace = Pace::new(Some(REFRESH));
    let mut drawings = 0;
    for ms in 0..1000 {
        pace.note(Cause::Pointer);
        if pace.plan(us(ms * 1000)) == Plan::Now {
            pace.drawn(us(ms * 1000), Duration::ZERO);
            drawings += 1;
        }
    }
    assert!((55..=62).contains(&drawings), "{drawings} drawings in a second");
}

#[test]
fn a_waiting_picture_names_the_instant_it_may_be_drawn() {
    let mut pace = Pace::new(Some(REFRESH));
    pace.note(Cause::Picture);
    pace.drawn(us(0), Duration::ZERO);
    pace.note(Cause::Picture);
    let Plan::At(t) = pace.plan(us(1000)) else { panic!("should wait") };
    assert!(t > us(1000) && t <= us(16_667));
    assert_eq!(pace.plan(t), Plan::Now);
}

#[test]
fn a_drawing_that_was_late_does_not_hold_back_those_after_it() {
    let mut pace = Pace::new(Some(REFRESH));
    let (mut held_us, mut drawings) = (Vec::new(), 0);
    for i in 0..60u64 {
        let due = i * 16_667;
        pace.note(Cause::Picture);
        // The tenth one finds a busy machine.
        let mut at = if i == 10 { due + 12_000 } else { due };
        if let Plan::At(later) = pace.plan(us(at)) {
            at += later.since(us(at)).as_micros() as u64;
        }
        held_us.push(at - due);
        pace.drawn(us(at), Duration::ZERO);
        drawings += 1;
    }
    assert_eq!(drawings, 60);
    assert!(held_us.iter().enumerate().all(|(i, held)| i == 10 || *held == 0), "{held_us:?}");
}

#[test]
fn the_window_itself_is_never_held_back() {
    let mut pace = Pace::new(Some(REFRESH));
    pace.note(Cause::Picture);
    pace.drawn(us(0), Duration::ZERO);
    pace.note(Cause::Window);
    assert_eq!(pace.plan(us(1)), Plan::Now);
}

#[test]
fn without_an_interval_every_picture_is_drawn_at_once() {
    let mut pace = Pace::new(None);
    for t in 0..100 {
        pace.note(Cause::Picture);
        assert_eq!(pace.plan(us(t)), Plan::Now);
        pace.drawn(us(t), Duration::ZERO);
    }
}

proptest! {
    #[test]
    fn a_guest_at_the_screens_rate_with_jitter_is_drawn_every_time(
        jitter_us in prop::collection::vec(0u64..900, 60),
    ) {
        let mut pace = Pace::new(Some(REFRESH));
        for (i, jitter) in jitter_us.iter().enumerate() {
            let t = us(i as u64 * 16_667 + jitter);
            pace.note(Cause::Picture);
            prop_assert_eq!(pace.plan(t), Plan::Now);
            pace.drawn(t, Duration::ZERO);
        }
    }

    #[test]
    fn no_rate_of_pictures_makes_more_drawings_than_refreshes(steps in prop::collection::vec(1u64..20_000, 1..400)) {
        let mut pace = Pace::new(Some(REFRESH));
        let (mut t, mut drawings) = (0, 0u64);
        for step in steps {
            t += step;
            pace.note(Cause::Picture);
            if pace.plan(us(t)) == Plan::Now {
                pace.drawn(us(t), Duration::ZERO);
                drawings += 1;
            }
        }
        prop_assert!(drawings <= t / 16_667 + 2, "{} in {} us", drawings, t);
    }
}
