//! The simulated guest and the viewer together, in virtual time: what arrives is what was drawn, whatever happens.

use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::pointer::{PointerMode, position_at, shape};
use shm_proto::guest_sim::stamp::Edge;
use shm_proto::guest_sim::words::Queue;
use shm_proto::kvmfr::stream::ViewerError;
use shm_proto::kvmfr::{Outcome, PictureSpec, PixelType, ProducerConfig, ShapeKind, State, Version, Viewer};
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::{Access, HostTime, Purpose, Region};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn region_for(config: &PictureConfig) -> Region {
    Region::memfd("picture", config.region_bytes()).expect("memfd")
}

fn started(config: PictureConfig) -> (Region, PictureGuest, Screen) {
    let region = region_for(&config);
    let guest = PictureGuest::start(&region, config, ms(0)).expect("room");
    let screen = Screen::new(&region);
    (region, guest, screen)
}

fn config(version: Version, width: u32, height: u32) -> PictureConfig {
    PictureConfig::new(width, height).speaking(version)
}

/// How long a viewer waits for a heartbeat before it joins.
fn joining(version: Version) -> Duration {
    Duration::from_millis(version.lgmp().manner.heartbeat_every_ms)
}

fn small(version: Version) -> PictureConfig {
    config(version, 160, 100)
}

fn picture_every_frame_of_two_seconds_arrives_pixel_by_pixel(version: Version) {
    let (_region, mut guest, mut screen) = started(config(version, 640, 360));
    let now = screen.run(&mut guest, ms(0), joining(version));
    screen.run(&mut guest, now, 2 * SECOND);
    assert_eq!(screen.viewer.state(), State::Live);
    assert!((115..=121).contains(&screen.frames.len()), "{} frames", screen.frames.len());
    screen.assert_shows(&guest);
    let c = *screen.viewer.counters();
    assert_eq!((c.torn, c.corrupt, c.lock_busy, c.skipped, c.missed), (0, 0, 0, 0, 0), "{c:?}");
    assert!(screen.cursor.is_visible() && c.cursor_messages > 200, "{c:?}");
    assert_eq!(guest.counters().stalls, 0, "the guest never waited for us");
    let serials: Vec<u32> = screen.frames.iter().map(|f| f.serial()).collect();
    assert!(serials.windows(2).all(|w| w[1] == w[0] + 1));
    assert!(screen.frames[0].damage().is_full());
    assert!(screen.frames[1..].iter().all(|f| !f.damage().is_full()), "a chain without gaps keeps its damage");
    let info = screen.viewer.session().expect("a session");
    assert_eq!(
        (info.lgmp, info.kvmfr, info.producer.as_str()),
        (version.lgmp().version, version.layout().version, "simulated guest")
    );
}

fn picture_every_pixel_type_pitch_alignment_and_motion_arrives(version: Version) {
    for pixel_type in PixelType::ALL {
        for (motion, align_bytes, extra) in
            [(Motion::Bar, 4096, 0), (Motion::Scroll, 65536, 256), (Motion::Bar, 65536, 20)]
        {
            let mut config = config(version, 167, 101);
            config.spec = PictureSpec::new(pixel_type, 167, 101);
            config.spec.pitch_bytes += extra;
            config.motion = motion;
            config.producer = ProducerConfig { version, align_bytes, ..ProducerConfig::default() };
            let (_region, mut guest, mut screen) = started(config);
            screen.run(&mut guest, ms(0), Duration::from_millis(300) + joining(version));
            let case = format!("{pixel_type} {motion:?} {align_bytes} +{extra}");
            assert!(screen.frames.len() > 14, "{case}: {}", screen.frames.len());
            let frame = screen.frames.last().unwrap();
            if pixel_type == PixelType::Bgr32 && version.layout().frame.data_height.is_some() {
                // 167 is 3 more than a multiple of 4: the stock formula loses a row.
                assert_eq!(frame.rows(), 100, "{case}");
            } else {
                assert_eq!(frame.rows(), 101, "{case}");
                screen.assert_shows(&guest);
            }
        }
    }
}

fn picture_rows_are_ready_only_when_they_are_there(version: Version) {
    for publish in [Publish::Steps, Publish::Bands, Publish::AtEnd] {
        let mut config = config(version, 1280, 720);
        config.publish = publish;
        // Full copies are published in steps, damage copies in bands.
        config.motion = if publish == Publish::Steps { Motion::Scroll } else { Motion::Bar };
        config.rate_hz = 20;
        config.write_time = Duration::from_millis(30);
        let (_region, mut guest, mut screen) = started(config);
        screen.run(&mut guest, ms(0), Duration::from_millis(500));
        assert!(screen.given_up > 3, "{publish:?}: without patience a slow guest shows nothing");
        // Now look at one frame in slow motion.
        let mut now = ms(1000);
        let (mut steps, mut ready) = (0, 0);
        loop {
            guest.advance(now).unwrap();
            screen.viewer.poll(now);
            if let Some(pending) = screen.viewer.take_frame(now) {
                while pending.ready_rows() < pending.frame().rows() {
                    assert!(pending.ready_rows() >= ready, "rows never go away");
                    steps += u32::from(pending.ready_rows() > ready);
                    ready = pending.ready_rows();
                    now = now + MS;
                    guest.advance(now).unwrap();
                }
                break;
            }
            now = now + MS;
        }
        match publish {
            Publish::AtEnd => assert_eq!(steps, 0),
            Publish::Steps => assert!(steps >= 2, "{steps}"),
            Publish::Bands => assert!(steps >= 1, "{steps}"),
        }
        screen.patience = Duration::from_millis(100);
        screen.run(&mut guest, now, SECOND);
        screen.assert_shows(&guest);
    }
}

fn picture_pixels_that_never_come_are_given_up_and_the_next_frame_is_whole(version: Version) {
    let mut config = small(version);
    config.write_time = Duration::from_secs(30);
    let (_region, mut guest, mut screen) = started(config);
    screen.patience = Duration::from_millis(500);
    let now = screen.run(&mut guest, ms(0), 2 * SECOND);
    assert_eq!((screen.frames.len(), screen.given_up), (0, 1));
    guest.restart(now).unwrap();
    guest.set_pace(60, Duration::ZERO, Publish::Steps);
    screen.run(&mut guest, now, SECOND);
    assert!(screen.frames.len() > 30);
    screen.assert_shows(&guest);
}

fn picture_of_a_restarted_guest_in_another_size_comes_back_within_a_second(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    let now = screen.run(&mut guest, ms(0), SECOND);
    let first = screen.viewer.generation();
    // Another program starts in the same memory, with another alignment.
    let mut config = config(version, 200, 64);
    config.producer.align_bytes = 65536;
    let mut guest = PictureGuest::start(&region, config, now).unwrap();
    screen.frames.clear();
    let now = screen.run(&mut guest, now, SECOND);
    assert_eq!((screen.viewer.generation(), screen.frames[0].width()), (first + 1, 200));
    assert!(screen.frames[0].damage().is_full() && screen.frames.len() > 30);
    screen.assert_shows(&guest);
    for _ in 0..5 {
        guest.restart(now).unwrap();
    }
    screen.run(&mut guest, now, SECOND);
    screen.assert_shows(&guest);
    let c = screen.viewer.counters();
    assert_eq!((c.sessions, c.sessions_ended, c.corrupt_sessions), (3, 2, 0));
}

fn picture_format_changes_within_a_session_damage_everything(version: Version) {
    let (_region, mut guest, mut screen) = started(config(version, 320, 200));
    let mut now = screen.run(&mut guest, ms(0), Duration::from_millis(300));
    for (pixel_type, width, height) in [
        (PixelType::Rgba, 320, 200),
        (PixelType::Rgba, 320, 100),
        (PixelType::Bgra, 64, 48),
        (PixelType::Rgba16F, 64, 48),
    ] {
        guest.set_picture(PictureSpec::new(pixel_type, width, height), Motion::Bar);
        screen.frames.clear();
        now = screen.run(&mut guest, now, Duration::from_millis(300));
        assert!(screen.frames[0].damage().is_full() && screen.frames.len() > 10, "{pixel_type} {width}x{height}");
        assert_eq!(screen.viewer.counters().sessions, 1);
        screen.assert_shows(&guest);
    }
}

fn picture_that_does_not_fit_is_cut_off_at_the_bottom(version: Version) {
    let config = config(version, 1280, 720);
    let region = Region::memfd("short", 8 << 20).unwrap();
    let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
    let mut screen = Screen::new(&region);
    screen.run(&mut guest, ms(0), Duration::from_millis(300));
    let frame = *screen.frames.last().expect("a picture");
    assert!(frame.is_truncated() && frame.rows() < 720 && frame.height() == 720);
    let rows_that_fit = guest.producer().plan().capacity_bytes / frame.pitch_bytes();
    assert_eq!(frame.rows(), rows_that_fit);
    let expected = guest.pattern().reference(screen.stamp(Edge::Top).expect("the top is there"));
    let bytes = frame.rows() as usize * frame.pitch_bytes() as usize;
    assert!(screen.pixels[..bytes] == expected[..bytes]);
}

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

fn picture_frame_that_is_dropped_is_acknowledged_and_the_next_damages_everything(version: Version) {
    let (_region, mut guest, mut screen) = started(small(version));
    let mut now = screen.run(&mut guest, ms(0), Duration::from_millis(500));
    loop {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        if let Some(pending) = screen.viewer.take_frame(now) {
            assert!(!pending.frame().damage().is_full());
            break;
        }
        now = now + MS;
    }
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

fn picture_session_lost_in_the_middle_of_a_copy_is_said_and_nothing_is_written(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    let mut now = screen.run(&mut guest, ms(0), Duration::from_millis(500));
    let pending = loop {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        // Asked twice, for the borrow of the one that is kept.
        if guest.producer().unfinished() == Ok(1)
            && let Some(pending) = screen.viewer.take_frame(now)
        {
            break pending;
        }
        now = now + MS;
    };
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
    let mut now = screen.run(&mut guest, ms(0), Duration::from_millis(500));
    let pending = loop {
        guest.advance(now).unwrap();
        screen.viewer.poll(now);
        if guest.producer().unfinished() == Ok(1)
            && let Some(pending) = screen.viewer.take_frame(now)
        {
            break pending;
        }
        now = now + MS;
    };
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

fn picture_pointer_of_every_kind_arrives_byte_by_byte(version: Version) {
    for (mode, kind) in [
        (PointerMode::Color, ShapeKind::Color),
        (PointerMode::Monochrome, ShapeKind::Monochrome),
        (PointerMode::Masked, ShapeKind::MaskedColor),
    ] {
        let mut config = small(version);
        config.pointer = mode;
        let (_region, mut guest, mut screen) = started(config);
        screen.run(&mut guest, ms(0), SECOND);
        let expected = shape(kind);
        let got = screen.cursor.shape().expect("a shape");
        assert_eq!((got.kind(), got.width(), got.height(), got.hotspot()), (kind, 32, 32, (1, 1)));
        assert_eq!(screen.cursor.pixels(), expected.pixels);
        let (x, y) = position_at(guest.pointer_moves(), (160, 100));
        assert_eq!(screen.cursor.position(), Some((i32::from(x), i32::from(y))));
    }
}

fn picture_pointer_changes_hides_and_leaves_the_screen(version: Version) {
    let mut config = small(version);
    config.pointer = PointerMode::Cycle;
    let (_region, mut guest, mut screen) = started(config);
    let (mut now, mut kinds, mut negative) = (ms(0), Vec::new(), false);
    while now.since(ms(0)) < 3 * SECOND {
        guest.advance(now).unwrap();
        screen.round(now, |_| {});
        let kind = screen.cursor.shape().map(|s| s.kind());
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
        negative |= screen.cursor.position().is_some_and(|(x, y)| x < 0 || y < 0);
        now = now + MS;
    }
    assert!(kinds.len() >= 5 && negative, "{kinds:?}");
    assert_eq!(screen.cursor.shape_serial(), screen.viewer.counters().cursor_shapes);
    guest.set_pointer(PointerMode::Hidden, now).unwrap();
    now = screen.run(&mut guest, now, Duration::from_millis(50));
    assert!(!screen.cursor.is_visible());
    guest.set_pointer(PointerMode::Color, now).unwrap();
    screen.run(&mut guest, now, Duration::from_millis(50));
    assert!(screen.cursor.is_visible());
}

fn picture_pointer_goes_where_the_viewer_asks(version: Version) {
    let mut config = small(version);
    config.pointer_rate_hz = 0;
    let (_region, mut guest, mut screen) = started(config);
    assert!(screen.viewer.send_cursor_position(1, 2).is_err(), "not connected yet");
    let now = screen.run(&mut guest, ms(0), SECOND);
    assert!(screen.viewer.session().is_some_and(|s| s.can_set_cursor()));
    let serial = screen.viewer.send_cursor_position(-7, 55).unwrap();
    assert_eq!(screen.viewer.is_handled(serial), Ok(false));
    let now = screen.run(&mut guest, now, Duration::from_millis(30));
    assert_eq!(screen.viewer.is_handled(serial), Ok(true));
    assert_eq!((guest.asked_position(), screen.cursor.position()), (Some((-7, 55)), Some((-7, 55))));
    for _ in 0..version.lgmp().mail.slots {
        screen.viewer.send_cursor_position(0, 0).unwrap();
    }
    assert!(screen.viewer.send_cursor_position(0, 0).is_err(), "the mailbox is full");
    screen.run(&mut guest, now, Duration::from_millis(30));
    assert!(screen.viewer.send_cursor_position(0, 0).is_ok());
}

in_every_version!([
    picture_every_frame_of_two_seconds_arrives_pixel_by_pixel
    picture_every_pixel_type_pitch_alignment_and_motion_arrives
    picture_rows_are_ready_only_when_they_are_there
    picture_pixels_that_never_come_are_given_up_and_the_next_frame_is_whole
    picture_of_a_restarted_guest_in_another_size_comes_back_within_a_second
    picture_format_changes_within_a_session_damage_everything
    picture_that_does_not_fit_is_cut_off_at_the_bottom
    picture_that_stands_still_is_posted_again_for_a_newcomer_and_ignored_by_others
    picture_reaches_two_viewers_and_a_stopped_one_costs_the_guest_a_second
    picture_frames_missed_by_a_late_receiver_damage_everything
    picture_frame_that_is_dropped_is_acknowledged_and_the_next_damages_everything
    picture_session_that_makes_no_sense_gets_its_places_back
    picture_session_lost_in_the_middle_of_a_copy_is_said_and_nothing_is_written
    picture_copies_stay_inside_the_frame_and_the_buffer
    picture_states_follow_a_machine_through_its_life
    picture_goes_on_after_a_pause_of_the_machine
    picture_that_stands_still_comes_again_after_a_pause_or_a_lost_frame
    picture_survives_a_receiver_that_was_itself_stopped
    picture_closing_gives_both_places_back
    picture_file_that_shrinks_is_said_and_nothing_breaks
    picture_pointer_of_every_kind_arrives_byte_by_byte
    picture_pointer_changes_hides_and_leaves_the_screen
    picture_pointer_goes_where_the_viewer_asks
]);
