//! What the GPU tests share: a lock, since the software GPU uses every core; and a screen that is fed pixels through the real
//! slots, if there is a GPU at all.

use frame_rx::damage::Damage;
use frame_rx::gpu::upload::StagingRows;
use frame_rx::gpu::{self, GpuChoice, GpuKind};
use frame_rx::offscreen::Offscreen;
use frame_rx::picture::PictureFormat;
use frame_rx::slots::{self, Intake, Outlet, Rows};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes the only GPU of the test machine.
pub fn gpu_lock() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A screen with the feed's end of its slots.
pub struct Bench {
    pub screen: Offscreen,
    pub outlet: Outlet<StagingRows>,
    intake: Intake<StagingRows>,
}

impl Bench {
    /// One on the software GPU; nothing, after saying so, where there is none. Where tests must not be skipped (CI=true) that
    /// is a failure.
    pub fn new() -> Option<Bench> {
        if !gpu::list().iter().any(|g| g.kind == GpuKind::Software) {
            let forbidden = std::env::var("CI").as_deref() == Ok("true");
            assert!(!forbidden, "mesa-vulkan-drivers is missing, and CI=true forbids to skip");
            eprintln!("skipped: there is no software GPU (mesa-vulkan-drivers)");
            return None;
        }
        let screen = Offscreen::open(&GpuChoice::Software).unwrap();
        let (intake, outlet) = slots::pair(slots::Supply::Three);
        Some(Bench { screen, outlet, intake })
    }

    /// Feeds one picture: `pixels` are its rows without gaps, in the format's byte order.
    pub fn publish(&mut self, format: PictureFormat, changed: &Damage, pixels: &[u8]) {
        let staging = self.screen.staging();
        self.intake.prepare(&format, |bytes| staging.make(bytes)).expect("staging memory");
        let mut slot = self.intake.begin(format, changed).expect("a slot");
        let bytes = format.pixel.slot_bytes();
        let rects: Vec<_> = slot.damage.rects(format.stored).collect();
        for rect in rects {
            for y in rect.y..rect.bottom() {
                let from = (y * format.row_bytes() + rect.x * bytes) as usize;
                let at = u64::from(y * format.slot_pitch_bytes() + rect.x * bytes);
                assert!(slot.rows.write(at, &pixels[from..from + (rect.width * bytes) as usize]));
            }
        }
        self.intake.publish(slot);
    }

    /// Feeds one whole picture and brings it to the GPU.
    pub fn put(&mut self, format: PictureFormat, pixels: &[u8]) {
        self.publish(format, &Damage::everything(), pixels);
        self.screen.take(&self.outlet, 0).unwrap().expect("a picture");
    }
}
