//! The simulated guest and the viewer together, in virtual time: what arrives is what was drawn.
#![cfg(feature = "guest-sim")]

mod picture_support;

use picture_support::{Screen, ms};
use shm_proto::Region;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::kvmfr::State;
use std::time::Duration;

fn region(config: &PictureConfig) -> Region {
    Region::memfd("picture", config.region_bytes()).expect("memfd")
}

#[test]
fn picture_after_two_seconds_every_frame_arrived_pixel_by_pixel() {
    let config = PictureConfig::new(640, 360);
    let region = region(&config);
    let mut guest = PictureGuest::start(&region, config, ms(0)).unwrap();
    let mut screen = Screen::new(&region);
    screen.run(&mut guest, ms(0), Duration::from_secs(2));
    assert_eq!(screen.viewer.state(), State::Live);
    assert!((115..=121).contains(&screen.frames.len()), "{} frames", screen.frames.len());
    screen.assert_shows(&guest);
    let c = *screen.viewer.counters();
    assert_eq!((c.torn, c.corrupt, c.lock_busy, c.skipped, c.missed), (0, 0, 0, 0, 0), "{c:?}");
    assert!(screen.cursor.is_visible() && c.cursor_messages > 200, "{c:?}");
    let _unused = Publish::Steps;
}
