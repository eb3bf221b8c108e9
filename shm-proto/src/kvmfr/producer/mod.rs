//! A producer like those of Looking Glass, of any version that is spoken: frame slots, cursor positions, three shapes;
//! messages before pixels; the last picture and the cursor again for every newcomer. For guests of ours, for tests and
//! for measurements.
//!
//! It has no clock and draws nothing: the caller passes the time and the rows. Memory is laid out as the wire reference
//! measured it (sections 2.5 and 3.12), which the tests compare with its example maps.

mod cursor;
mod frame;
pub mod identity;
pub mod memory;
pub mod picture_spec;
mod recovery;
mod tampering;

pub use cursor::ShapeSpec;
pub use identity::Identity;
pub use memory::MemoryPlan;
pub use picture_spec::PictureSpec;
pub use tampering::{CursorField, FrameField, Tampering};

use super::message::{self, ViewerMessage};
use super::timing::GuestTiming;
use super::wire::{Layout, Version, WRITE_POINTER_BYTES};
use crate::lgmp::host::{Beat, Block, Host, HostError, MagicOrder, QueueHandle};
use crate::lgmp::host_queue::Posted;
use crate::raw::map::Region;
use crate::time::HostTime;
use memory::Queues;
use recovery::Recovery;

/// How a producer is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// Which versions it speaks.
    pub version: Version,
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
        ProducerConfig {
            version: Version::B7,
            align_bytes: 4096,
            magic: MagicOrder::Last,
            identity: Identity::default(),
            seed: 1,
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
    queues: Queues,
    plan: MemoryPlan,
    recovery: Option<Recovery>,
    slot: usize,
    next_position: usize,
    next_shape: usize,
    serial: u32,
    format_ver: u32,
    spec: Option<PictureSpec>,
    writing: Option<Writing>,
    whole: bool,
    stalled: bool,
    timing: Option<GuestTiming>,
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
        let wire = config.version.layout();
        let user_data = config.identity.encode(wire);
        let ms = producer_ms(now);
        let mut host = Host::start(region, config.version.lgmp(), config.magic, config.seed, &user_data, ms)?;
        let recovery = wire.habits.recovery_block.then(|| Recovery::place(&mut host)).flatten();
        let (queues, plan) = memory::plan(&mut host, wire, config.align_bytes)?;
        host.open()?;
        if let Some(recovery) = &recovery {
            recovery.write(&host, wire, &config.identity)?;
        }
        Ok(Producer {
            host,
            wire,
            queues,
            plan,
            recovery,
            slot: 0,
            next_position: 0,
            next_shape: 0,
            serial: 0,
            format_ver: 0,
            spec: None,
            writing: None,
            whole: false,
            stalled: false,
            timing: None,
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
        if self.newcomers(self.queues.pointer)? > 0 {
            self.cursor.position_due = self.cursor.position.is_some();
            self.cursor.shape_due = self.cursor.shape.is_some();
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.beat(self.host.region(), producer_ms(now))?;
        }
        self.send_cursor(now)?;
        // Between two frames only: a replay of a half-written slot would be a lie.
        if self.writing.is_none() && self.newcomers(self.queues.frames)? > 0 && self.whole {
            self.repost(now)?;
        }
        Ok(beat)
    }

    /// From now on lies as told; the default tells the truth.
    pub fn tamper(&mut self, tampering: Tampering) {
        self.tampering = tampering;
    }

    /// From now on tells this of each frame when it ends, where the version can; or nothing.
    pub fn set_timing(&mut self, timing: Option<GuestTiming>) {
        self.timing = timing;
    }

    /// The oldest message of a viewer.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn take_message(&mut self) -> Result<Option<ViewerMessage>, HostError> {
        let mut bytes = [0; 64];
        let Some((queue, region, layout)) = self.host.queue(self.queues.pointer) else { return Ok(None) };
        let taken = queue.take_mail(region, layout, &mut bytes)?;
        Ok(taken.map(|n| message::decode(self.wire, bytes.get(..n).unwrap_or_default())))
    }

    /// Whether anybody watches.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn is_watched(&mut self) -> Result<bool, HostError> {
        let Some((queue, region, layout)) = self.host.queue(self.queues.frames) else { return Ok(false) };
        Ok(queue.has_listeners(region, layout)?)
    }

    /// Frames that viewers have not yet acknowledged.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn unfinished(&mut self) -> Result<u32, HostError> {
        let Some((queue, region, layout)) = self.host.queue(self.queues.frames) else { return Ok(0) };
        Ok(queue.unfinished(region, layout)?)
    }

    /// The slot of the frame announced last, counted from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The slot that the next frame goes to.
    pub fn next_slot(&self) -> usize {
        (self.slot + 1) % self.plan.slots.len().max(1)
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
        let block = self.block_of(slot);
        u64::from(block.offset) + u64::from(self.plan.write_pointer) + u64::from(WRITE_POINTER_BYTES)
    }

    fn block_of(&self, slot: usize) -> Block {
        self.plan.slots.get(slot).copied().unwrap_or(Block { offset: 0, size: 0 })
    }

    fn post(&mut self, queue: QueueHandle, udata: u64, block: Block, now: HostTime) -> Result<Posted, HostError> {
        let Some((queue, region, layout)) = self.host.queue(queue) else { return Ok(Posted::Full) };
        Ok(queue.post(region, layout, udata, block, producer_ms(now))?)
    }

    fn newcomers(&mut self, queue: QueueHandle) -> Result<u32, HostError> {
        let Some((queue, region, layout)) = self.host.queue(queue) else { return Ok(0) };
        Ok(queue.take_newcomers(region, layout)?)
    }
}
