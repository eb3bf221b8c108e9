//! A guest that is upgraded, or downgraded: another version in the same memory, over whatever the one before left there.

use crate::screen::{Screen, ms};
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::{State, Version};
use shm_proto::{HostTime, Region};
use std::time::Duration;

const REGION_BYTES: u64 = 16 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn start(region: &Region, version: Version, pointer: PointerMode, now: HostTime) -> PictureGuest {
    let mut config = PictureConfig::new(160, 100).speaking(version);
    config.pointer = pointer;
    config.producer.seed = 77 + version as u32;
    PictureGuest::start(region, config, now).expect("room")
}

fn assert_live(screen: &Screen, guest: &PictureGuest, version: Version, case: &str) {
    assert_eq!(screen.viewer.state(), State::Live, "{case}");
    let info = screen.viewer.session().expect("a session");
    assert_eq!((info.lgmp, info.kvmfr), (version.lgmp().version, version.layout().version), "{case}");
    assert!(screen.frames.len() > 20, "{case}: {} frames", screen.frames.len());
    assert!(screen.cursor.is_visible() || guest.config().pointer == PointerMode::Hidden, "{case}");
    screen.assert_shows(guest);
}

#[test]
fn picture_of_any_version_follows_any_other_within_a_second() {
    for before in Version::ALL {
        for after in Version::ALL {
            // Without a cursor less of the old session is written over.
            for pointer in [PointerMode::Color, PointerMode::Hidden] {
                let case = format!("{before:?} to {after:?}, {pointer:?}");
                let region = Region::memfd("switch", REGION_BYTES).expect("memfd");
                let mut screen = Screen::new(&region);
                let mut guest = start(&region, before, pointer, ms(1));
                let now = screen.run(&mut guest, ms(1), SECOND);
                assert_live(&screen, &guest, before, &case);
                // The machine is off for a moment, or not at all.
                for pause in [Duration::ZERO, Duration::from_millis(2500)] {
                    guest.stop();
                    let now = screen.run(&mut guest, now, pause);
                    let mut next = start(&region, after, pointer, now);
                    screen.frames.clear();
                    let now = screen.run(&mut next, now, SECOND);
                    assert_live(&screen, &next, after, &case);
                    next.stop();
                    guest = start(&region, before, pointer, now);
                    screen.frames.clear();
                    screen.run(&mut guest, now, SECOND);
                    assert_live(&screen, &guest, before, &case);
                }
            }
        }
    }
}

#[test]
fn picture_of_a_viewer_that_comes_after_two_versions_is_that_of_the_living_one() {
    for before in Version::ALL {
        for after in Version::ALL {
            let region = Region::memfd("switch", REGION_BYTES).expect("memfd");
            let mut old = start(&region, before, PointerMode::Color, ms(1));
            let mut first = Screen::new(&region);
            let now = first.run(&mut old, ms(1), SECOND);
            drop(first);
            let mut guest = start(&region, after, PointerMode::Color, now);
            let mut screen = Screen::new(&region);
            screen.run(&mut guest, now, SECOND);
            assert_live(&screen, &guest, after, &format!("{before:?} to {after:?}"));
        }
    }
}

#[test]
fn picture_of_a_version_that_is_not_spoken_is_named_and_left_alone() {
    let region = Region::memfd("switch", REGION_BYTES).expect("memfd");
    let mut guest = start(&region, Version::Lgmp12, PointerMode::Color, ms(1));
    let mut screen = Screen::new(&region);
    // Tomorrow's KVMFR over today's LGMP.
    let udata = Version::Lgmp12.lgmp().header.udata;
    region.whole().word::<u32>(udata + 8).unwrap().store_release(35);
    let now = screen.run(&mut guest, ms(1), SECOND);
    assert_eq!(
        screen.viewer.state().to_string(),
        "the guest speaks LGMP 12 (found at 9664) with KVMFR 35, which is not supported"
    );
    assert!(screen.frames.is_empty() && !guest.producer().is_watched().unwrap());
    // The guest's program is exchanged.
    let mut guest = start(&region, Version::B7, PointerMode::Color, now);
    screen.run(&mut guest, now, 2 * SECOND);
    assert_live(&screen, &guest, Version::B7, "after an unknown one");
}
