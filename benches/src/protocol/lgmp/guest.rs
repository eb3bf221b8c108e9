//! The writing side of LGMP. A frame is announced before its rows are written where there is room for it. Where there is
//! none, the guest of one generation waits, and that of the other draws into a free slot and keeps the newest picture until
//! readers have finished the one before.

use super::Lgmp;
use crate::protocol::{Guest, Load, Offered, STAMP_BYTES, stamp};
use crate::timeline::Clock;
use anyhow::Context;
use shm_proto::kvmfr::producer::picture_spec::FrameNumbers;
use shm_proto::kvmfr::producer::producer_ms;
use shm_proto::kvmfr::wire::WRITE_POINTER_BYTES;
use shm_proto::lgmp::host::{Block, Host, QueueHandle};
use shm_proto::lgmp::host_queue::Posted;
use std::collections::VecDeque;

/// Steps in which a guest writes a picture in virtual time; really, it is each MiB.
const VIRTUAL_STEPS: u32 = 4;
/// The step of the write pointer that is copied behind. Unit: bytes.
const STEP_BYTES: u32 = 1 << 20;

#[derive(Debug)]
pub(super) struct LgmpGuest {
    protocol: &'static Lgmp,
    host: Host,
    frames: QueueHandle,
    slots: Vec<Block>,
    /// The slot that was written last.
    last: usize,
    /// Slots that were announced, oldest first. Readers may still look at the last of them.
    announced: VecDeque<usize>,
    /// A whole picture that waits for readers to finish another.
    kept: Option<usize>,
    serial: u32,
    load: Load,
    source: Vec<u8>,
}

impl LgmpGuest {
    pub(super) fn new(
        protocol: &'static Lgmp,
        host: Host,
        frames: QueueHandle,
        slots: Vec<Block>,
        load: Load,
    ) -> LgmpGuest {
        let source = vec![0x3C; STEP_BYTES as usize + load.spec.pitch_bytes as usize];
        let (last, announced) = (slots.len().saturating_sub(1), VecDeque::new());
        LgmpGuest { protocol, host, frames, slots, last, announced, kept: None, serial: 0, load, source }
    }

    /// Whether another frame may be on its way. Forgets slots that readers have finished.
    fn has_room(&mut self) -> anyhow::Result<bool> {
        let (queue, region, layout) = self.host.queue(self.frames).context("the queue of frames")?;
        let unfinished = queue.unfinished(region, layout)?;
        while self.announced.len() > unfinished as usize {
            self.announced.pop_front();
        }
        Ok(unfinished < self.protocol.frames_at_once(self.load.slots))
    }

    /// The next slot that nobody needs. The picture that waits gives way if there is no other.
    fn free_slot(&mut self) -> Option<usize> {
        let count = self.slots.len();
        let in_turn = (1..=count).map(|step| (self.last + step) % count);
        let mut free = in_turn.filter(|slot| !self.announced.contains(slot));
        let slot = free.clone().find(|slot| Some(*slot) != self.kept).or_else(|| free.next())?;
        self.kept = self.kept.filter(|kept| *kept != slot);
        Some(slot)
    }

    fn slot(&self, slot: usize) -> anyhow::Result<Block> {
        self.slots.get(slot).copied().context("a slot of ours")
    }

    /// Bytes from the beginning of a slot to its write pointer.
    fn pointer_at(&self) -> u64 {
        self.protocol.align_bytes - u64::from(WRITE_POINTER_BYTES)
    }

    /// Everything but the rows, with the number that comes next.
    fn write_header(&self, block: Block) -> anyhow::Result<()> {
        let (rows, offset) = (self.load.spec.height, u32::try_from(self.pointer_at())?);
        let numbers = FrameNumbers { serial: self.serial.wrapping_add(1), format_ver: 1, rows, offset };
        let header = self.load.spec.encode(self.protocol.kvmfr, numbers, &[]);
        let region = self.host.region();
        // The write pointer first: whoever sees the new header waits for the new pixels.
        region.whole().word::<u32>(u64::from(block.offset) + self.pointer_at())?.store_release(0);
        region.span(u64::from(block.offset), header.bytes().len() as u64)?.copy_from(header.bytes())?;
        Ok(())
    }

    /// Tells readers of a slot. Whether they could be told.
    fn announce(&mut self, slot: usize, clock: &dyn Clock) -> anyhow::Result<bool> {
        let block = self.slot(slot)?;
        let (queue, region, layout) = self.host.queue(self.frames).context("the queue of frames")?;
        let is_sent = queue.post(region, layout, 0, block, producer_ms(clock.now()))? == Posted::Sent;
        if is_sent {
            self.announced.push_back(slot);
        }
        Ok(is_sent)
    }

    /// Hands over the picture that waits, if it can.
    fn hand_over_kept(&mut self, clock: &dyn Clock) -> anyhow::Result<()> {
        if let Some(slot) = self.kept
            && self.has_room()?
            && self.announce(slot, clock)?
        {
            self.kept = None;
        }
        Ok(())
    }

    fn write_rows(&mut self, clock: &dyn Clock, block: Block, number: u64) -> anyhow::Result<()> {
        let (spec, speeds) = (self.load.spec, self.load.speeds);
        let pitch = u64::from(spec.pitch_bytes);
        let region = self.host.region().clone();
        let all = region.span(u64::from(block.offset) + self.protocol.align_bytes, spec.bytes())?;
        let pointer = region.whole().word::<u32>(u64::from(block.offset) + self.pointer_at())?;
        let steps = if clock.is_real() { spec.height.div_ceil(self.rows_per_step()) } else { VIRTUAL_STEPS };
        let rows_per_step = spec.height.div_ceil(steps);
        for step in 0..steps {
            let (from, to) = (step * rows_per_step, ((step + 1) * rows_per_step).min(spec.height));
            let len = u64::from(to.saturating_sub(from)) * pitch;
            if clock.is_real() {
                let piece = usize::try_from(len).ok().and_then(|len| self.source.get(..len)).unwrap_or_default();
                all.sub(u64::from(from) * pitch, piece.len() as u64)?.copy_from(piece)?;
            } else {
                clock.sleep(speeds.guest_time(len));
            }
            if step == 0 {
                stamp(all, number)?;
            }
            if to == spec.height {
                stamp(all.sub(spec.bytes() - pitch, STAMP_BYTES as u64)?, number)?;
            }
            if self.protocol.manner.tells_rows || to == spec.height {
                // Releases the rows below it to the viewer that reads it.
                pointer.store_release(to * spec.pitch_bytes);
            }
            self.hand_over_kept(clock)?;
        }
        Ok(())
    }

    fn rows_per_step(&self) -> u32 {
        STEP_BYTES.div_ceil(self.load.spec.pitch_bytes)
    }
}

impl Guest for LgmpGuest {
    fn tick(&mut self, clock: &dyn Clock) -> anyhow::Result<()> {
        self.host.beat(producer_ms(clock.now()))?;
        self.hand_over_kept(clock)
    }

    fn keeps_one(&self) -> bool {
        self.kept.is_some()
    }

    fn offer(&mut self, clock: &dyn Clock, number: u64) -> anyhow::Result<Offered> {
        let (queue, region, layout) = self.host.queue(self.frames).context("the queue of frames")?;
        if !queue.has_listeners(region, layout)? {
            return Ok(Offered::NobodyReads);
        }
        let has_room = self.has_room()?;
        if !has_room && !self.protocol.manner.keeps_newest {
            return Ok(Offered::Full);
        }
        let Some(slot) = self.free_slot() else { return Ok(Offered::Full) };
        let block = self.slot(slot)?;
        self.write_header(block)?;
        // One that waits goes first; what is drawn now will find it on its way.
        let is_announced = has_room && self.kept.is_none() && self.announce(slot, clock)?;
        if !is_announced && !self.protocol.manner.keeps_newest {
            return Ok(Offered::Full);
        }
        (self.last, self.serial) = (slot, self.serial.wrapping_add(1));
        self.write_rows(clock, block, number)?;
        if !is_announced {
            self.kept = Some(slot);
            self.hand_over_kept(clock)?;
        }
        Ok(Offered::Written)
    }
}
