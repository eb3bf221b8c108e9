//! Pictures of extreme shape, a mode that changes at every frame, garbage for long: in every version.

use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::{CursorState, PictureSpec, PixelType, State, Version, Viewer};
use shm_proto::{HostTime, Region};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn config(version: Version) -> PictureConfig {
    PictureConfig::new(160, 100).speaking(version)
}

fn picture_of_one_row_or_one_column_arrives(version: Version) {
    for pixel_type in PixelType::ALL {
        for (width, height) in [(16384, 1), (1, 16384), (1, 1)] {
            let mut config = config(version);
            config.spec = PictureSpec::new(pixel_type, width, height);
            config.motion = Motion::Scroll;
            let region = Region::memfd("extreme", config.region_bytes()).unwrap();
            let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
            let mut screen = Screen::new(&region);
            screen.run(&mut guest, ms(0), Duration::from_millis(600));
            let case = format!("{pixel_type} {width}x{height}: {:?}", screen.viewer.last_corrupt());
            assert!(screen.frames.len() > 15, "{case}, {} frames", screen.frames.len());
            let frame = screen.frames.last().unwrap();
            assert_eq!((frame.width(), frame.height()), (width, height), "{case}");
            assert!(frame.rows() == height || pixel_type == PixelType::Bgr32, "{case}");
        }
    }
}

fn picture_of_a_mode_that_changes_at_every_frame_is_always_the_newest(version: Version) {
    let modes = [(160, 100), (33, 15), (320, 200), (64, 48), (161, 99)];
    let region = Region::memfd("extreme", 16 << 20).unwrap();
    let mut guest = PictureGuest::start(&region, config(version), ms(0)).unwrap();
    let mut screen = Screen::new(&region);
    let mut now = screen.run(&mut guest, ms(0), SECOND);
    screen.frames.clear();
    let mut begun = guest.frames_begun();
    let mut changes = 0;
    for _ in 0..3000 {
        if guest.frames_begun() != begun {
            begun = guest.frames_begun();
            changes += 1;
            let (width, height) = modes[changes % modes.len()];
            let pixel_type = PixelType::ALL[changes % 4];
            guest.set_picture(PictureSpec::new(pixel_type, width, height), Motion::Bar);
        }
        guest.advance(now).unwrap();
        screen.round(now, |_| {});
        now = now + MS;
    }
    assert!(changes > 150 && screen.frames.len() > 150, "{changes} changes, {} frames", screen.frames.len());
    assert!(screen.frames.iter().skip(1).all(|f| f.damage().is_full()), "each is another picture");
    assert_eq!((screen.torn, screen.viewer.counters().corrupt, screen.viewer.counters().sessions), (0, 0, 1));
}

fn picture_after_a_minute_of_garbage_is_back_within_a_second_and_nothing_grew(version: Version) {
    let region = Region::memfd("garbage", 16 << 20).unwrap();
    let mut guest = PictureGuest::start(&region, config(version), ms(0)).unwrap();
    let mut viewer = Viewer::new(region.clone(), 1).unwrap();
    let mut cursor = CursorState::new();
    let mut now = ms(0);
    let mut watch = |guest: &mut PictureGuest, for_ms: u32, from: HostTime| {
        let mut most = 0;
        let mut left = 0;
        for step in 0..for_ms {
            let at = from + step * MS;
            guest.advance(at).unwrap();
            let counted = allocation_counter::measure(|| {
                viewer.poll(at);
                viewer.take_cursor(at, &mut cursor);
                drop(viewer.take_frame(at));
            });
            left += counted.bytes_current;
            most = most.max(left + counted.bytes_max as i64 - counted.bytes_current.max(0));
        }
        (most, viewer.state(), from + for_ms * MS)
    };
    (_, _, now) = watch(&mut guest, 1000, now);
    for (lie, for_ms) in [("garbage-header", 30_000), ("garbage-everywhere", 30_000)] {
        guest.lie(Lie::by_name(lie), now).unwrap();
        let most;
        (most, _, now) = watch(&mut guest, for_ms, now);
        // What one session needs: 64 KiB of user data, a client, some texts.
        assert!(most < 256 << 10, "{lie}: {most} bytes");
    }
    guest.lie(None, now).unwrap();
    guest.restart(now).unwrap();
    let (_, state, _) = watch(&mut guest, 1000, now);
    assert_eq!(state, State::Live);
    viewer.close();
    let mut screen = Screen::new(&region);
    screen.run(&mut guest, now + SECOND, SECOND);
    screen.assert_shows(&guest);
}

in_every_version!([
    picture_of_one_row_or_one_column_arrives
    picture_of_a_mode_that_changes_at_every_frame_is_always_the_newest
    picture_after_a_minute_of_garbage_is_back_within_a_second_and_nothing_grew
]);
