//! Copying the changed rows of a frame into a slot, close behind the guest that is still writing them.

use crate::slots::{Rows, Slot};
use core::time::Duration;
use rx_host::clock;
use shm_proto::kvmfr::PendingFrame;
use shm_proto::raw::pause::pause;
use shm_proto::{AccessError, HostTime, Purpose, Region};

/// How long rows are waited for. Source: the wire reference, section 3.4; a frame must be acknowledged within 1000 ms.
pub const ROWS_TIMEOUT: Duration = Duration::from_millis(500);
/// Pauses before the first sleep: some tens of microseconds, about what a guest needs for the next piece.
const PAUSES: u32 = 500;
/// Between two looks at the write pointer after that.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// Bytes that pass through the processor's cache at once.
const PIECE_BYTES: usize = 64 << 10;
/// Memory for a piece. A row of the widest picture fits, at eight bytes a pixel; or one of three, and the same of four.
pub const BOUNCE_BYTES: usize = 2 * PIECE_BYTES;

/// Why a copy ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// The rows did not come in time, or the program ends.
    Late,
    /// The region is gone, or the slot is too small.
    Unreachable,
}

impl From<AccessError> for CopyEnd {
    fn from(_: AccessError) -> Self {
        CopyEnd::Unreachable
    }
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many bytes.
    pub bytes: u64,
    /// How long was waited for the guest.
    pub waited: Duration,
}

/// Copies `slot.damage` out of the frame, row by row as the guest finishes them.
///
/// `bounce` holds [`BOUNCE_BYTES`]. Pixels of three bytes become pixels of four. Waits until `give_up` at most, or until `is_over` says so. Real-time safe but for
/// that wait.
///
/// # Errors
/// [`CopyEnd`]; what was copied is to be thrown away.
pub fn copy_damage<R: Rows>(
    pending: &PendingFrame<'_>,
    region: &Region,
    slot: &mut Slot<R>,
    bounce: &mut [u8],
    give_up: HostTime,
    is_over: impl Fn() -> bool,
) -> Result<Copied, CopyEnd> {
    let frame = pending.frame();
    let (pitch, slot_pitch) = (u64::from(frame.pitch_bytes()), u64::from(slot.format.slot_pitch_bytes()));
    let Slot { rows, damage, format, .. } = slot;
    let (source, stored) = (format.pixel.source_bytes(), format.pixel.slot_bytes());
    let (bounce, mut wide) = if source == stored { (bounce, None) } else { split(bounce) };
    let (mut ready, mut copied) = (0, Copied::default());
    for rect in damage.rects(format.stored) {
        let line_bytes = rect.width as usize * source as usize;
        let whole_rows = rect.width == format.stored.width && pitch == slot_pitch && source == stored;
        // With equal pitches whole rows are one piece, what lies between them included.
        let (piece_rows, row_room) =
            if whole_rows { (PIECE_BYTES / pitch as usize, pitch as usize) } else { (1, line_bytes) };
        let piece_rows = u32::try_from(piece_rows).unwrap_or(1).max(1);
        let mut y = rect.y;
        while y < rect.bottom() {
            let count = piece_rows.min(rect.bottom() - y);
            if ready < y + count {
                ready = wait_for_rows(pending, y + count, give_up, (&is_over, &mut copied.waited))?;
            }
            let len = row_room * (count as usize - 1) + line_bytes;
            let bytes = bounce.get_mut(..len).ok_or(CopyEnd::Unreachable)?;
            let from = frame.pixels_at() + u64::from(y) * pitch + u64::from(rect.x * source);
            region.span(from, len as u64)?.copy_to(bytes, Purpose::Read)?;
            let to = u64::from(y) * slot_pitch + u64::from(rect.x * stored);
            let bytes = match &mut wide {
                Some(wide) => widen(bytes, wide),
                None => bytes,
            };
            if !rows.write(to, bytes) {
                return Err(CopyEnd::Unreachable);
            }
            copied.bytes += len as u64;
            y += count;
        }
    }
    Ok(copied)
}

/// The first half for what the guest sends, the second for what becomes of it.
fn split(bounce: &mut [u8]) -> (&mut [u8], Option<&mut [u8]>) {
    let (narrow, wide) = bounce.split_at_mut(bounce.len() / 2);
    (narrow, Some(wide))
}

/// Pixels of three bytes as pixels of four. As many as there is room for, which is a row of the widest picture.
fn widen<'w>(narrow: &[u8], wide: &'w mut [u8]) -> &'w [u8] {
    let mut pixels = 0;
    for (from, to) in narrow.as_chunks::<3>().0.iter().zip(wide.as_chunks_mut::<4>().0) {
        *to = [from[0], from[1], from[2], u8::MAX];
        pixels += 1;
    }
    wide.get(..4 * pixels).unwrap_or_default()
}

/// Waits until the first `rows` rows are written; returns how many are.
fn wait_for_rows(
    pending: &PendingFrame<'_>,
    rows: u32,
    give_up: HostTime,
    (is_over, waited): (&impl Fn() -> bool, &mut Duration),
) -> Result<u32, CopyEnd> {
    let ready = pending.ready_rows();
    if ready >= rows {
        return Ok(ready);
    }
    let begun = clock::now();
    let came = wait_longer(pending, rows, give_up, is_over);
    *waited += clock::now().since(begun);
    came
}

fn wait_longer(
    pending: &PendingFrame<'_>,
    rows: u32,
    give_up: HostTime,
    is_over: &impl Fn() -> bool,
) -> Result<u32, CopyEnd> {
    for _ in 0..PAUSES {
        let ready = pending.ready_rows();
        if ready >= rows {
            return Ok(ready);
        }
        pause();
    }
    loop {
        let ready = pending.ready_rows();
        if ready >= rows {
            return Ok(ready);
        }
        let now = clock::now();
        if now >= give_up || is_over() {
            return Err(CopyEnd::Late);
        }
        clock::sleep_until(now + LOOK_EVERY);
    }
}
