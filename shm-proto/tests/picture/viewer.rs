//! The simulated guest and the viewer together, in virtual time: what arrives is what was drawn, whatever its kind and place.

use crate::rig::{SECOND, config, joining, small, started};
use crate::screen::{MS, Screen, ms};
use shm_proto::Region;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureGuest, Publish};
use shm_proto::guest_sim::stamp::Edge;
use shm_proto::kvmfr::{PictureSpec, PixelType, ProducerConfig, State, Version};
use std::time::Duration;

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

in_every_version!([
    picture_every_frame_of_two_seconds_arrives_pixel_by_pixel
    picture_every_pixel_type_pitch_alignment_and_motion_arrives
    picture_rows_are_ready_only_when_they_are_there
    picture_pixels_that_never_come_are_given_up_and_the_next_frame_is_whole
    picture_of_a_restarted_guest_in_another_size_comes_back_within_a_second
    picture_format_changes_within_a_session_damage_everything
    picture_that_does_not_fit_is_cut_off_at_the_bottom
]);
