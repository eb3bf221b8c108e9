//! LGMP with KVMFR on top: a producer like the stock one, but with any number of frame slots, and the receiver's own
//! viewer. With the stock number of slots it hands over what `shm_proto::kvmfr::Producer` does; tests compare them.

mod guest;

use super::{Guest, Load, Protocol, Reader, Taken, stamp_of};
use crate::timeline::Clock;
use anyhow::Context;
use guest::LgmpGuest;
use shm_proto::kvmfr::producer::producer_ms;
use shm_proto::kvmfr::sizes::{self, B7_ALIGN_BYTES, V34_GRAIN_BYTES};
use shm_proto::kvmfr::wire::{self as kvmfr, FRAME_QUEUE, MAX_SHAPE_BYTES, MAX_TIME_MS, POINTER_QUEUE, Piece};
use shm_proto::kvmfr::{Identity, Outcome, PendingFrame, PictureSpec, PixelType, Viewer};
use shm_proto::lgmp::host::{Host, MagicOrder, QueueHandle};
use shm_proto::lgmp::probe::recovery;
use shm_proto::lgmp::wire as lgmp;
use shm_proto::raw::pause::pause;
use shm_proto::{AccessError, Purpose, Region};
use std::time::Duration;

/// LGMP 6 with KVMFR 20: Looking Glass B7.
pub(super) static LGMP_6: Lgmp = Lgmp {
    name: "lgmp6",
    what: "LGMP 6 with KVMFR 20 (Looking Glass B7)",
    lgmp: &lgmp::V6,
    kvmfr: &kvmfr::V20,
    align_bytes: B7_ALIGN_BYTES,
    manner: Manner { keeps_newest: false, tells_rows: true },
    has: |_| true,
    needed_bytes: sizes::b7_needed_bytes,
    documented_mib: |spec| sizes::b7_documented_mib(spec.width, spec.height, spec.pixel_type),
};

/// LGMP 12 with KVMFR 34: development builds from August 2026. One frame at a time is on its way; the next is handed over
/// when that one is finished. The guest draws into the buffers beyond meanwhile and never waits.
pub(super) static LGMP_12: Lgmp = Lgmp {
    name: "lgmp12",
    what: "LGMP 12 with KVMFR 34 (Looking Glass from August 2026)",
    lgmp: &lgmp::V12,
    kvmfr: &kvmfr::V34,
    align_bytes: V34_GRAIN_BYTES,
    manner: Manner { keeps_newest: true, tells_rows: false },
    // Its pictures have 32 bits for a pixel at most, with HDR too.
    has: |spec| spec.pixel_type != PixelType::Rgba16F,
    needed_bytes: sizes::v34_needed_bytes,
    documented_mib: |spec| sizes::v34_documented_mib(spec.width, spec.height),
};

/// Shape buffers of stock producers: they take room.
const SHAPES: u64 = 3;
/// How often a reader looks again for rows that are on their way.
const ROWS_WAIT: Duration = Duration::from_micros(250);
/// When a reader gives up a frame whose rows do not come. Source: the wire reference, section 3.4.
const ROWS_TIMEOUT: Duration = Duration::from_millis(500);

/// How a stock producer hands pictures over. Source: the wire reference, sections 3.4, 3.10 and 3.13.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// While readers hold all that may be on their way, the guest goes on and keeps its newest picture for the moment in
    /// which one is finished; an older one that waited is forgotten. Otherwise the capture itself waits.
    keeps_newest: bool,
    /// The write pointer is raised as rows come. Otherwise at the end alone, so that nobody can copy behind it.
    tells_rows: bool,
}

/// A pair of versions.
#[derive(Debug)]
pub(super) struct Lgmp {
    name: &'static str,
    what: &'static str,
    lgmp: &'static lgmp::Layout,
    kvmfr: &'static kvmfr::Layout,
    /// Where pictures begin.
    align_bytes: u64,
    manner: Manner,
    /// Whether its producers have such pictures.
    has: fn(&PictureSpec) -> bool,
    needed_bytes: fn(u64, u32) -> u64,
    documented_mib: fn(&PictureSpec) -> u64,
}

impl Lgmp {
    /// Frames that may be on their way at once, of so many slots: as many fewer as with the stock number.
    fn frames_at_once(&self, slots: u32) -> u32 {
        let habits = &self.kvmfr.habits;
        let kept_back = u32::try_from(habits.frame_buffers).unwrap_or(0).saturating_sub(habits.frames_at_once);
        slots.saturating_sub(kept_back).max(1)
    }

    /// Everything besides frame slots, in the order and size of a stock producer. The queue of frames.
    fn furnish(&self, host: &mut Host, slots: u32) -> anyhow::Result<QueueHandle> {
        let mut frames = None;
        let cursor_bytes = self.kvmfr.cursor.size as u64;
        for piece in self.kvmfr.habits.memory {
            match *piece {
                Piece::Queue { id: FRAME_QUEUE, length } => {
                    let length = self.frames_at_once(slots).max(length);
                    // Some versions have rings of a power of two only.
                    let longer = [length, length.next_power_of_two()].into_iter();
                    let made = longer.map(|length| host.add_queue(FRAME_QUEUE, length, MAX_TIME_MS));
                    frames = made.into_iter().find_map(Result::ok);
                }
                Piece::Queue { id, length } => drop(host.add_queue(id, length, MAX_TIME_MS)?),
                Piece::Cursor => {
                    let positions = u64::from(self.kvmfr.queue_length(POINTER_QUEUE));
                    host.allocate(positions * cursor_bytes, 4)?;
                    host.allocate(SHAPES * (cursor_bytes + u64::from(MAX_SHAPE_BYTES)), 4)?;
                }
                Piece::Other { count, bytes, align } => {
                    (0..count).try_for_each(|_| host.allocate(bytes, align).map(drop))?;
                }
            }
        }
        frames.context("the queue of frames")
    }
}

impl Protocol for Lgmp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn stock_slots(&self) -> Option<u32> {
        u32::try_from(self.kvmfr.habits.frame_buffers).ok()
    }

    fn needed_bytes(&self, spec: &PictureSpec, slots: u32) -> Option<u64> {
        let bytes = (self.needed_bytes)(spec.bytes(), slots);
        // Every position of LGMP has 32 bits.
        ((self.has)(spec) && bytes <= u64::from(u32::MAX)).then_some(bytes)
    }

    fn documented_mib(&self, spec: &PictureSpec) -> Option<u64> {
        (self.has)(spec).then(|| (self.documented_mib)(spec))
    }

    fn guest(&'static self, region: &Region, load: &Load, clock: &dyn Clock) -> anyhow::Result<Box<dyn Guest>> {
        let user_data = Identity::default().encode(self.kvmfr);
        let ms = producer_ms(clock.now());
        let mut host = Host::start(region, self.lgmp, MagicOrder::Last, 1, &user_data, ms)?;
        if self.kvmfr.habits.recovery_block {
            host.reserve_tail(recovery::FROM_END);
        }
        let frames = self.furnish(&mut host, load.slots)?;
        let slot_bytes = load.spec.bytes() + self.align_bytes;
        let slots = (0..load.slots).map(|_| host.allocate(slot_bytes, self.align_bytes)).collect::<Result<_, _>>()?;
        host.open()?;
        Ok(Box::new(LgmpGuest::new(self, host, frames, slots, *load)))
    }

    fn reader(&self, region: &Region, load: &Load, seed: u64) -> anyhow::Result<Box<dyn Reader>> {
        let mut viewer = Viewer::new(region.clone(), seed)?;
        viewer.poll(crate::timeline::BEGIN);
        Ok(Box::new(LgmpReader { viewer, load: *load, buffer: Vec::new(), torn: 0 }))
    }
}

#[derive(Debug)]
struct LgmpReader {
    viewer: Viewer,
    load: Load,
    buffer: Vec<u8>,
    torn: u64,
}

impl Reader for LgmpReader {
    fn take(&mut self, clock: &dyn Clock) -> anyhow::Result<Option<Taken>> {
        let now = clock.now();
        let LgmpReader { viewer, load, buffer, torn } = self;
        viewer.poll(now);
        let Some(frame) = viewer.take_frame(now) else { return Ok(None) };
        let ends = copy(clock, load, &frame, buffer)?;
        let outcome = frame.finish();
        *torn += u64::from(outcome == Outcome::Torn);
        let (first, last) = ends.unwrap_or_default();
        let accepted = outcome == Outcome::Accepted && ends.is_some();
        Ok(Some(Taken { number: first, accepted, is_whole: accepted && first == last }))
    }

    fn torn(&self) -> u64 {
        self.torn
    }
}

/// Copies a frame behind the guest's write pointer. The stamps of its first and last row; nothing if the guest did not
/// finish it.
fn copy(
    clock: &dyn Clock,
    load: &Load,
    frame: &PendingFrame<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Option<(u64, u64)>, AccessError> {
    let (rows, pitch) = (frame.frame().rows(), frame.frame().pitch_bytes() as usize);
    let deadline = clock.now() + ROWS_TIMEOUT;
    buffer.resize(if clock.is_real() { rows as usize * pitch } else { pitch }, 0);
    let (mut done, mut ends) = (0, (0, 0));
    while done < rows {
        let ready = frame.ready_rows();
        if ready <= done {
            if clock.now() >= deadline {
                return Ok(None);
            }
            if clock.is_real() {
                (0..32).for_each(|_| pause());
            } else {
                clock.sleep(ROWS_WAIT);
            }
            continue;
        }
        if clock.is_real() {
            let place = buffer.get_mut(done as usize * pitch..).unwrap_or_default();
            frame.copy_rows(done..ready, place, pitch, Purpose::HandOff)?;
        } else {
            if done == 0 {
                frame.copy_rows(0..1, buffer, pitch, Purpose::Read)?;
                ends.0 = stamp_of(buffer);
            }
            clock.sleep(load.speeds.host_time(u64::from(ready - done) * pitch as u64));
            if ready == rows {
                frame.copy_rows(rows - 1..rows, buffer, pitch, Purpose::Read)?;
                ends.1 = stamp_of(buffer);
            }
        }
        done = ready;
    }
    if clock.is_real() {
        ends = (stamp_of(buffer), stamp_of(buffer.get((rows as usize - 1) * pitch..).unwrap_or_default()));
    }
    Ok(Some(ends))
}
