//! What the GPU tests share: a lock, since the software GPU uses every core; whether there is a GPU at all; and feeding
//! pixels through the real slots.

use frame_rx::damage::Damage;
use frame_rx::gpu::upload::{Staging, StagingRows};
use frame_rx::picture::PictureFormat;
use frame_rx::slots::{Intake, Rows};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes the only GPU of the test machine.
pub fn gpu_lock() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something that tests need is there. Where tests must not be skipped (CI=true) its absence is a failure.
pub fn available(what: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is missing, and CI=true forbids to skip");
        eprintln!("skipped: {what} is missing");
    }
    is_there
}

/// Feeds one picture: `pixels` are its rows without gaps, in the format's byte order.
pub fn publish(
    intake: &mut Intake<StagingRows>,
    staging: &Staging,
    format: PictureFormat,
    changed: &Damage,
    pixels: &[u8],
) {
    intake.prepare(&format, |bytes| staging.make(bytes)).expect("staging memory");
    let mut slot = intake.begin(format, changed).expect("a slot");
    let bytes = format.pixel.slot_bytes();
    let rects: Vec<_> = slot.damage.rects(format.stored).collect();
    for rect in rects {
        for y in rect.y..rect.bottom() {
            let from = (y * format.row_bytes() + rect.x * bytes) as usize;
            let at = u64::from(y * format.slot_pitch_bytes() + rect.x * bytes);
            assert!(slot.rows.write(at, &pixels[from..from + (rect.width * bytes) as usize]));
        }
    }
    intake.publish(slot);
}
