//! A producer like B7: two frame slots, twenty positions, three shapes; messages before pixels; the last picture and the
//! cursor again for every newcomer. For guests of ours, for tests and for measurements.
//!
//! It has no clock and draws nothing: the caller passes the time and the rows. Memory is laid out as the wire reference
//! measured it (sections 2.5 and 3.12), which the tests compare with its example maps.

mod cursor;
mod frame;
pub mod identity;
pub mod picture_spec;

pub use cursor::ShapeSpec;
pub use identity::Identity;
pub use picture_spec::PictureSpec;

use super::message::{self, ViewerMessage};
use super::wire::{FRAME_QUEUE, Layout, MAX_TIME_MS, POINTER_QUEUE, WRITE_POINTER_BYTES};
use crate::lgmp::host::{Beat, Block, Host, HostError, MagicOrder, QueueHandle};
use crate::lgmp::host_queue::Posted;
use crate::lgmp::wire as lgmp;
use crate::raw::map::Region;
use crate::time::HostTime;

/// How a producer is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// Alignment of the pixels: 4096 (DXGI, NvFBC) or 65536 (D12) at stock producers.
    pub align_bytes: u32,
    /// When the magic is written.
    pub magic: MagicOrder,
    /// What it tells about itself.
    pub identity: Identity,
    /// Names the session; differs from the one in memory in any case.
    pub seed: u32,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig { align_bytes: 4096, magic: MagicOrder::Last, identity: Identity::default(), seed: 1 }
    }
}

/// Words and payloads that replace honest ones, for guests that lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tampering {
    /// Offset and value of words of every frame header.
    pub frame_header: &'static [(usize, u32)],
    /// Offset and value of words of every cursor header.
    pub cursor_header: &'static [(usize, u32)],
    /// The payload every frame message names.
    pub frame_block: Option<Block>,
    /// The payload every cursor message names.
    pub pointer_block: Option<Block>,
    /// Writes the next frame though viewers still hold both slots.
    pub ignores_viewers: bool,
}

impl Tampering {
    fn spoil(words: &[(usize, u32)], header: &mut [u8]) {
        for (at, value) in words {
            if let Some(place) = header.get_mut(*at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

/// Whether a frame can be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It was announced: write its rows, then [`Producer::end_frame`].
    Writing,
    /// Viewers still hold both slots: a stock producer would wait here, and the guest's capture with it.
    Full,
    /// Nobody watches: nothing was announced.
    NobodyWatches,
    /// A viewer holds the lock.
    LockBusy,
}

/// Where the payload memory lies.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Small buffers for positions.
    pub positions: Vec<Block>,
    /// Buffers for shapes.
    pub shapes: Vec<Block>,
    /// The two frame slots.
    pub slots: [Block; 2],
    /// From a slot's start to its write pointer.
    pub write_pointer: u32,
    /// Bytes of pixels that a stock producer believes to fit: up to an alignment more than there are.
    pub claimed_bytes: u32,
    /// Bytes of pixels that fit.
    pub capacity_bytes: u32,
}

/// What a producer counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerCounters {
    /// Frames announced.
    pub frames: u64,
    /// Frames that had to wait because viewers held both slots.
    pub stalls: u64,
    /// Frames posted again for newcomers.
    pub replays: u64,
    /// Cursor messages posted.
    pub cursor_messages: u64,
}

#[derive(Clone, Copy, Debug)]
struct Writing {
    spec: PictureSpec,
    rows: u32,
}

/// A producer of one region.
#[derive(Debug)]
pub struct Producer {
    host: Host,
    wire: &'static Layout,
    frames: QueueHandle,
    pointer: QueueHandle,
    plan: MemoryPlan,
    slot: usize,
    next_position: usize,
    next_shape: usize,
    serial: u32,
    format_ver: u32,
    spec: Option<PictureSpec>,
    writing: Option<Writing>,
    whole: bool,
    stalled: bool,
    cursor: cursor::Cursor,
    counters: ProducerCounters,
    tampering: Tampering,
}

/// The producer's milliseconds: never 0, as with stock producers.
pub fn producer_ms(now: HostTime) -> u64 {
    now.as_ns() / 1_000_000 + 1
}

impl Producer {
    /// Starts a session: memory, queues, magic.
    ///
    /// # Errors
    /// [`HostError::NoRoom`] if the region is too small for two slots of a page each; [`HostError::Access`].
    pub fn start(region: &Region, config: &ProducerConfig, now: HostTime) -> Result<Producer, HostError> {
        let wire = &super::wire::V20;
        let user_data = config.identity.encode(wire);
        let ms = producer_ms(now);
        let mut host = Host::start(region, &lgmp::V6, config.magic, config.seed, &user_data, ms)?;
        let frames = host.add_queue(FRAME_QUEUE, wire.frame_length, MAX_TIME_MS)?;
        let pointer = host.add_queue(POINTER_QUEUE, wire.pointer_length, MAX_TIME_MS)?;
        let plan = cursor::plan(&mut host, wire, config.align_bytes)?;
        host.open()?;
        Ok(Producer {
            host,
            wire,
            frames,
            pointer,
            plan,
            slot: 0,
            next_position: 0,
            next_shape: 0,
            serial: 0,
            format_ver: 0,
            spec: None,
            writing: None,
            whole: false,
            stalled: false,
            cursor: cursor::Cursor::default(),
            counters: ProducerCounters::default(),
            tampering: Tampering::default(),
        })
    }

    /// The periodic call: heartbeat, clearing up, replays for newcomers, cursor messages that found no room before.
    /// Due every 10 ms.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn beat(&mut self, now: HostTime) -> Result<Beat, HostError> {
        let beat = self.host.beat(producer_ms(now))?;
        if beat == Beat::MagicGone {
            return Ok(beat);
        }
        if self.newcomers(self.pointer)? > 0 {
            self.cursor.position_due = self.cursor.position.is_some();
            self.cursor.shape_due = self.cursor.shape.is_some();
        }
        self.send_cursor(now)?;
        // Between two frames only: a replay of a half-written slot would be a lie.
        if self.writing.is_none() && self.newcomers(self.frames)? > 0 && self.whole {
            self.repost(now)?;
        }
        Ok(beat)
    }

    /// From now on lies as told; the default tells the truth.
    pub fn tamper(&mut self, tampering: Tampering) {
        self.tampering = tampering;
    }

    /// The oldest message of a viewer.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn take_message(&mut self) -> Result<Option<ViewerMessage>, HostError> {
        let mut bytes = [0; 64];
        let Some((queue, region, layout)) = self.host.queue(self.pointer) else { return Ok(None) };
        let taken = queue.take_mail(region, layout, &mut bytes)?;
        Ok(taken.map(|n| message::decode(self.wire, bytes.get(..n).unwrap_or_default())))
    }

    /// Whether anybody watches.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn is_watched(&mut self) -> Result<bool, HostError> {
        let Some((queue, region, layout)) = self.host.queue(self.frames) else { return Ok(false) };
        Ok(queue.has_listeners(region, layout)?)
    }

    /// Frames that viewers have not yet acknowledged.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn unfinished(&mut self) -> Result<u32, HostError> {
        let Some((queue, region, layout)) = self.host.queue(self.frames) else { return Ok(0) };
        Ok(queue.unfinished(region, layout)?)
    }

    /// The slot of the frame announced last, 0 or 1.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The slot that the next frame goes to.
    pub fn next_slot(&self) -> usize {
        1 - self.slot
    }

    /// The serial number of the frame announced last.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Whether a frame is announced and not yet ended.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Where the payload memory lies.
    pub fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// The queues below.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What was counted.
    pub fn counters(&self) -> &ProducerCounters {
        &self.counters
    }

    /// Where the pixels of a slot lie, from the start of the region.
    pub fn pixels_at(&self, slot: usize) -> u64 {
        let block = self.plan.slots.get(slot).unwrap_or(&self.plan.slots[0]);
        u64::from(block.offset) + u64::from(self.plan.write_pointer) + u64::from(WRITE_POINTER_BYTES)
    }

    fn post(&mut self, queue: QueueHandle, udata: u32, block: Block, now: HostTime) -> Result<Posted, HostError> {
        let Some((queue, region, layout)) = self.host.queue(queue) else { return Ok(Posted::Full) };
        Ok(queue.post(region, layout, udata, block, producer_ms(now))?)
    }

    fn newcomers(&mut self, queue: QueueHandle) -> Result<u32, HostError> {
        let Some((queue, region, layout)) = self.host.queue(queue) else { return Ok(0) };
        Ok(queue.take_newcomers(region, layout)?)
    }
}
