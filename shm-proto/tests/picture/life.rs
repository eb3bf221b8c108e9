//! Machines, sessions and files that pause, end, shrink or make no sense: each state is said, and the next good one is followed.

use crate::rig::{SECOND, joining, region_for, small, started};
use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureGuest;
use shm_proto::guest_sim::words::Queue;
use shm_proto::kvmfr::stream::ViewerError;
use shm_proto::kvmfr::{State, Version, Viewer};
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::{Access, Region};
use std::time::Duration;

fn picture_session_that_makes_no_sense_gets_its_places_back(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    let now = screen.run(&mut guest, ms(0), SECOND);
    guest.lie(Lie::by_name("count-65"), now).unwrap();
    screen.run(&mut guest, now, 3 * SECOND);
    // A session is tried again every 100 ms, but joined only with a heartbeat.
    let least = if joining(version) == Duration::ZERO { 20 } else { 6 };
    assert!(screen.viewer.counters().corrupt_sessions > least);
    let places = |queue: Queue| {
        QueueWords::new(&region, version.lgmp(), queue.index(version) as u32).unwrap().subs().unwrap().on.count_ones()
    };
    let (frames, pointer) = (places(Queue::Frames), places(Queue::Pointer));
    assert!(frames <= 1 && pointer <= 1, "{frames} {pointer}");
}

fn picture_states_follow_a_machine_through_its_life(version: Version) {
    let config = small(version);
    let region = region_for(&config);
    let mut screen = Screen::new(&region);
    let says = |screen: &Screen, sentence: &str| {
        let said = screen.viewer.state().to_string();
        assert!(said.contains(sentence), "{said}");
    };
    for n in 0..50 {
        screen.round(ms(n), |_| {});
    }
    says(&screen, "waiting for the host application in the guest to start");
    let mut guest = PictureGuest::start(&region, config, ms(50)).unwrap();
    let now = screen.run(&mut guest, ms(50), SECOND);
    says(&screen, "connected");
    assert!(screen.cursor.is_visible());
    guest.stop();
    let now = screen.run(&mut guest, now, Duration::from_millis(900) - joining(version));
    says(&screen, "connected");
    let now = screen.run(&mut guest, now, Duration::from_millis(200) + joining(version));
    says(&screen, "is not running");
    // The machine is reset: its firmware zeroes the memory, then the program starts again.
    guest.wipe().unwrap();
    let now = screen.run(&mut guest, now, Duration::from_millis(100));
    says(&screen, "waiting for the host application");
    assert!(!screen.cursor.is_visible() && screen.viewer.session().is_none());
    guest.restart(now).unwrap();
    let now = screen.run(&mut guest, now, SECOND);
    says(&screen, "connected");
    screen.assert_shows(&guest);
    // A running guest notices that its memory was zeroed.
    guest.wipe().unwrap();
    screen.run(&mut guest, now, SECOND);
    says(&screen, "connected");
    assert_eq!(guest.restarts(), 2);
    screen.assert_shows(&guest);
}

fn picture_goes_on_after_a_pause_of_the_machine(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let mut now = screen.run(&mut guest, ms(0), SECOND);
    for _ in 0..5000 {
        screen.round(now, |_| {});
        now = now + MS;
    }
    assert_eq!(screen.viewer.state(), State::Frozen);
    let before = screen.frames.len();
    now = screen.run(&mut guest, now, SECOND);
    assert!(screen.viewer.state().is_live() && screen.frames.len() - before > 50);
    screen.run(&mut guest, now, MS);
    screen.assert_shows(&guest);
    let c = screen.viewer.counters();
    assert_eq!((c.sessions, c.resubscribed), (1, 0), "the session and the places are the same");
}

fn picture_that_stands_still_comes_again_after_a_pause_or_a_lost_frame(version: Version) {
    let mut config = small(version);
    config.motion = Motion::Still;
    let (_region, mut guest, mut screen) = started(config);
    // The only frame is given up.
    let mut now = ms(0);
    loop {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        if screen.viewer.take_frame(now).is_some() {
            break;
        }
        now = now + MS;
    }
    now = screen.run(&mut guest, now, Duration::from_millis(100));
    assert_eq!(screen.frames.len(), 1, "asked for and posted again");
    screen.assert_shows(&guest);
    now = screen.run(&mut guest, now, 2 * SECOND);
    assert_eq!(screen.frames.len(), 1, "asked once");
    // The machine is paused.
    for _ in 0..3000 {
        screen.round(now, |_| {});
        now = now + MS;
    }
    assert_eq!(screen.viewer.state(), State::Frozen);
    now = screen.run(&mut guest, now, Duration::from_millis(100));
    assert_eq!((screen.viewer.state(), screen.frames.len()), (State::Live, 2));
    assert!(screen.frames[1].damage().is_full());
    // A receiver that gives up everything asks once a second, not at every frame.
    let before = guest.counters().replays;
    for _ in 0..5000 {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        drop(screen.viewer.take_frame(now));
        now = now + MS;
    }
    screen.viewer.poll(now);
    assert!(guest.counters().replays - before <= 6);
}

#[test]
fn picture_regions_that_cannot_work_are_refused() {
    let small = Region::memfd("small", (1 << 20) - 1).unwrap();
    let e = Viewer::new(small, 1).unwrap_err();
    assert_eq!(e.to_string(), "1048575 bytes of shared memory are too few for a picture; at least 1048576 are needed");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("region");
    Region::create(&path, 1 << 20).unwrap();
    let read_only = Region::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(Viewer::new(read_only, 1).unwrap_err(), ViewerError::ReadOnly);
    let scream = Region::open(&path, Access::ReadWrite).unwrap();
    scream.whole().word::<u32>(0).unwrap().store_release(0x1111_2014);
    let mut viewer = Viewer::new(scream, 1).unwrap();
    assert_eq!(viewer.poll(ms(0)).to_string(), "this shared memory carries Scream sound, not a picture");
}

fn picture_file_that_shrinks_is_said_and_nothing_breaks(version: Version) {
    for left in [0, 4096, 8192] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let config = small(version);
        let region = Region::create(&path, config.region_bytes()).unwrap();
        let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
        let mut screen = Screen::new(&Region::open(&path, Access::ReadWrite).unwrap());
        let now = screen.run(&mut guest, ms(0), SECOND);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
        for n in 0..1500 {
            screen.round(now + n * MS, |_| {});
        }
        assert_eq!(screen.viewer.state(), State::Gone, "{left} bytes left");
        screen.viewer.close();
    }
}

in_every_version!([
    picture_session_that_makes_no_sense_gets_its_places_back
    picture_states_follow_a_machine_through_its_life
    picture_goes_on_after_a_pause_of_the_machine
    picture_that_stands_still_comes_again_after_a_pause_or_a_lost_frame
    picture_file_that_shrinks_is_said_and_nothing_breaks
]);
