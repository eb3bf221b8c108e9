//! What the tests of guest and viewer share: a guest that was started, and the receiver that looks at it.

use crate::screen::{Screen, ms};
use shm_proto::Region;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::Version;
use std::time::Duration;

pub const SECOND: Duration = Duration::from_secs(1);

pub fn region_for(config: &PictureConfig) -> Region {
    Region::memfd("picture", config.region_bytes()).expect("memfd")
}

pub fn started(config: PictureConfig) -> (Region, PictureGuest, Screen) {
    let region = region_for(&config);
    let guest = PictureGuest::start(&region, config, ms(0)).expect("room");
    let screen = Screen::new(&region);
    (region, guest, screen)
}

pub fn config(version: Version, width: u32, height: u32) -> PictureConfig {
    PictureConfig::new(width, height).speaking(version)
}

/// How long a viewer waits for a heartbeat before it joins.
pub fn joining(version: Version) -> Duration {
    Duration::from_millis(version.lgmp().manner.heartbeat_every_ms)
}

pub fn small(version: Version) -> PictureConfig {
    config(version, 160, 100)
}
