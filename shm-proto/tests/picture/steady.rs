//! In steady state neither side allocates: not for a frame, not for a cursor message, not for a repeated or a bad one.

use crate::screen::{MS, ms};
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::{CursorState, Outcome, State, Version, Viewer};
use shm_proto::{Purpose, Region};

struct Steady {
    guest: PictureGuest,
    viewer: Viewer,
    cursor: CursorState,
    staging: Vec<u8>,
    step: u64,
}

impl Steady {
    fn new(version: Version) -> Steady {
        let config = PictureConfig::new(320, 200).speaking(version);
        let region = Region::memfd("steady", config.region_bytes()).unwrap();
        let staging = vec![0; config.spec.bytes() as usize];
        let guest = PictureGuest::start(&region, config, ms(0)).unwrap();
        let viewer = Viewer::new(region, 1).unwrap();
        Steady { guest, viewer, cursor: CursorState::new(), staging, step: 0 }
    }

    /// Allocations of the viewer alone in `steps` milliseconds.
    fn viewer_allocations(&mut self, steps: u64) -> u64 {
        let mut count = 0;
        for _ in 0..steps {
            self.step += 1;
            let now = ms(0) + u32::try_from(self.step).unwrap() * MS;
            self.guest.advance(now).unwrap();
            let info = allocation_counter::measure(|| {
                self.viewer.poll(now);
                self.viewer.take_cursor(now, &mut self.cursor);
                let Some(pending) = self.viewer.take_frame(now) else { return };
                let (rows, pitch) = (pending.frame().rows(), pending.frame().pitch_bytes() as usize);
                if pending.ready_rows() < rows {
                    return;
                }
                for band in pending.frame().damage().bands(rows) {
                    let into = &mut self.staging[band.start as usize * pitch..];
                    pending.copy_rows(band, into, pitch, Purpose::HandOff).unwrap();
                }
                assert_eq!(pending.finish(), Outcome::Accepted);
            });
            count += info.count_total;
        }
        count
    }
}

fn picture_steady_viewing_allocates_nothing(version: Version) {
    let mut steady = Steady::new(version);
    assert!(steady.viewer_allocations(500) > 0, "joining a session allocates its texts: the counter works");
    assert_eq!(steady.viewer.state(), State::Live);
    let before = *steady.viewer.counters();
    assert_eq!(steady.viewer_allocations(5000), 0);
    let after = steady.viewer.counters();
    assert!(after.frames - before.frames > 290 && after.cursor_messages - before.cursor_messages > 600);
}

fn picture_bad_frames_cursors_and_places_allocate_nothing_either(version: Version) {
    for name in ["type-7", "serial-stands", "cursor-width-garbage", "everybody-bad", "write-pointer-stands"] {
        let mut steady = Steady::new(version);
        steady.viewer_allocations(500);
        let now = ms(steady.step);
        steady.guest.lie(Lie::by_name(name), now).unwrap();
        assert_eq!(steady.viewer_allocations(2000), 0, "{name}");
    }
}

in_every_version!([
    picture_steady_viewing_allocates_nothing
    picture_bad_frames_cursors_and_places_allocate_nothing_either
]);
