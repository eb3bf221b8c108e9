//! Receivers that are late, slow, stopped or two: what each gets, and what the guest pays.

use crate::rig::{SECOND, joining, small, started};
use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureGuest;
use shm_proto::guest_sim::words::Queue;
use shm_proto::kvmfr::{Outcome, Version};
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::{HostTime, Purpose};
use std::time::Duration;

fn picture_that_stands_still_is_posted_again_for_a_newcomer_and_ignored_by_others(version: Version) {
    let mut config = small(version);
    config.motion = Motion::Still;
    let (region, mut guest, mut screen) = started(config);
    let mut now = screen.run(&mut guest, ms(0), SECOND);
    assert_eq!(screen.frames.len(), 1);
    let mut late = Screen::new(&region);
    while now.since(ms(0)) < 3 * SECOND {
        guest.advance(now).unwrap();
        screen.round(now, |_| {});
        late.round(now, |_| {});
        now = now + MS;
    }
    assert_eq!((screen.frames.len(), late.frames.len()), (1, 1));
    assert_eq!(screen.viewer.counters().repeated, 1);
    late.assert_shows(&guest);
    assert!(late.cursor.is_visible(), "the cursor is told again, too");
}

fn picture_reaches_two_viewers_and_a_stopped_one_costs_the_guest_a_second(version: Version) {
    let (region, mut guest, mut a) = started(small(version));
    let mut b = Screen::new(&region);
    let mut now = ms(0);
    let step = |guest: &mut PictureGuest, a: &mut Screen, b: Option<&mut Screen>, now: &mut HostTime| {
        guest.advance(*now).unwrap();
        a.round(*now, |_| {});
        if let Some(b) = b {
            b.round(*now, |_| {});
        }
        *now = *now + MS;
    };
    for _ in 0..1000 + joining(version).as_millis() {
        step(&mut guest, &mut a, Some(&mut b), &mut now);
    }
    assert!(a.frames.len() > 50 && b.frames.len() > 50);
    a.assert_shows(&guest);
    b.assert_shows(&guest);
    // b is stopped by a debugger: the ring fills, the guest waits, after a second b counts as bad.
    for _ in 0..1100 {
        step(&mut guest, &mut a, None, &mut now);
    }
    let during = a.frames.len();
    for _ in 0..1000 {
        step(&mut guest, &mut a, None, &mut now);
    }
    assert!(a.frames.len() - during > 50, "{}", a.frames.len() - during);
    assert!(guest.counters().stalls > 0);
    // It goes on, notices, and takes a new place.
    let before = b.frames.len();
    for _ in 0..1000 {
        step(&mut guest, &mut a, Some(&mut b), &mut now);
    }
    assert_eq!(b.viewer.counters().resubscribed, 2, "one place in each queue");
    assert!(b.frames.len() - before > 50);
    b.assert_shows(&guest);
}

fn picture_frames_missed_by_a_late_receiver_damage_everything(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let now = screen.run(&mut guest, ms(0), Duration::from_millis(500));
    screen.frames.clear();
    // 60 ms without the receiver: as many frames wait as the version announces at once.
    for n in 0..60 {
        guest.advance(now + n * MS).unwrap();
    }
    screen.run(&mut guest, now + 60 * MS, Duration::from_millis(100));
    let waiting = u64::from(version.layout().habits.frames_at_once);
    assert_eq!(screen.viewer.counters().skipped, waiting - 1);
    assert_eq!(screen.viewer.counters().missed, waiting - 1);
    assert_eq!(screen.frames[0].damage().is_full(), waiting > 1, "the newest, and all of it if one was missed");
    assert!(!screen.frames[1].damage().is_full());
    screen.assert_shows(&guest);
}

/// Half a second of pictures, and on to the next one, which is not taken yet.
fn until_a_frame_waits(guest: &mut PictureGuest, screen: &mut Screen) -> HostTime {
    let mut now = screen.run(guest, ms(0), Duration::from_millis(500));
    loop {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        if guest.producer().unfinished() == Ok(1) {
            return now;
        }
        now = now + MS;
    }
}

fn picture_frame_that_is_dropped_is_acknowledged_and_the_next_damages_everything(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let now = until_a_frame_waits(&mut guest, &mut screen);
    assert!(screen.viewer.take_frame(now).is_some_and(|pending| !pending.frame().damage().is_full()));
    assert_eq!(guest.producer().unfinished(), Ok(0));
    assert_eq!(screen.viewer.counters().abandoned, 1);
    // The guest posts the same frame again: half of it may have been copied, so all of it counts as damaged.
    assert_eq!(guest.producer().repost(now), Ok(true));
    assert!(screen.viewer.take_frame(now).is_some_and(|pending| pending.frame().damage().is_full()));
    screen.frames.clear();
    screen.run(&mut guest, now, Duration::from_millis(100));
    assert!(screen.frames[0].damage().is_full());
    screen.assert_shows(&guest);
}

fn picture_session_lost_in_the_middle_of_a_copy_is_said_and_nothing_is_written(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    let now = until_a_frame_waits(&mut guest, &mut screen);
    let pending = screen.viewer.take_frame(now).expect("a frame");
    guest.restart(now).unwrap();
    let before = region.whole().read_array::<16384>(0).unwrap();
    assert_eq!(pending.finish(), Outcome::SessionLost);
    assert!(region.whole().read_array::<16384>(0).unwrap() == before, "not a byte was written");
    assert!(!screen.viewer.state().is_live());
    screen.run(&mut guest, now, SECOND);
    screen.assert_shows(&guest);
}

fn picture_copies_stay_inside_the_frame_and_the_buffer(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let now = until_a_frame_waits(&mut guest, &mut screen);
    let pending = screen.viewer.take_frame(now).expect("a frame");
    let mut big = vec![0xA5; 1 << 20];
    let copy = |rows, dst: &mut [u8], pitch| pending.copy_rows(rows, dst, pitch, Purpose::Read);
    assert!(copy(0..101, &mut big, 640).is_err(), "past the last row");
    assert!(copy(u32::MAX - 1..u32::MAX, &mut big, 640).is_err());
    assert!(copy(0..2, &mut big, 639).is_err(), "a pitch shorter than a row");
    assert!(copy(0..2, &mut big[..640 + 639], 640).is_err(), "a buffer too short");
    assert!(copy(0..100, &mut big, usize::MAX / 2).is_err());
    assert!(copy(5..5, &mut [], 0).is_ok());
    assert!(copy(0..1, &mut big[..640], usize::MAX).is_ok(), "one row has no pitch");
    assert!(big[640..].iter().all(|b| *b == 0xA5));
    assert!(copy(10..13, &mut big[..1000 * 2 + 640], 1000).is_ok());
    assert!(big[640..1000].iter().chain(&big[1640..2000]).all(|b| *b == 0xA5), "gaps are left alone");
    assert_eq!(pending.finish(), Outcome::Accepted);
}

fn picture_survives_a_receiver_that_was_itself_stopped(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let mut now = screen.run(&mut guest, ms(0), SECOND);
    for _ in 0..10_000 {
        guest.advance(now).unwrap();
        now = now + MS;
    }
    screen.run(&mut guest, now, SECOND);
    let c = screen.viewer.counters();
    assert_eq!((c.sessions, c.sessions_ended, c.resubscribed), (1, 0, 2), "the session is the same");
    screen.assert_shows(&guest);
}

fn picture_closing_gives_both_places_back(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    screen.run(&mut guest, ms(0), SECOND);
    let subs = |queue: Queue| {
        QueueWords::new(&region, version.lgmp(), queue.index(version) as u32).unwrap().subs().unwrap().on
    };
    assert_eq!((subs(Queue::Frames), subs(Queue::Pointer)), (1, 1));
    screen.viewer.close();
    assert_eq!((subs(Queue::Frames), subs(Queue::Pointer)), (0, 0));
    assert_eq!(guest.producer().is_watched(), Ok(false));
}

in_every_version!([
    picture_that_stands_still_is_posted_again_for_a_newcomer_and_ignored_by_others
    picture_reaches_two_viewers_and_a_stopped_one_costs_the_guest_a_second
    picture_frames_missed_by_a_late_receiver_damage_everything
    picture_frame_that_is_dropped_is_acknowledged_and_the_next_damages_everything
    picture_session_lost_in_the_middle_of_a_copy_is_said_and_nothing_is_written
    picture_copies_stay_inside_the_frame_and_the_buffer
    picture_survives_a_receiver_that_was_itself_stopped
    picture_closing_gives_both_places_back
]);
