//! The producer's side: start a session, make queues, hand out payload memory, beat. For guests of ours, for tests and
//! for measurements.
//!
//! Viewers are trusted as little as guests: what they can write (masks, marks, mailbox) is bounded on every reading,
//! and no lock is waited for without an end. Times are the producer's own milliseconds, passed in.

use super::host_queue::{HostQueue, LateViewers};
use super::wire::{Layout, MAGIC, MAX_USER_DATA_BYTES};
use crate::raw::map::Region;
use crate::span::AccessError;

/// Why the producer's side could not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The region is too small for what is asked. A larger one helps.
    #[error("{need} bytes do not fit: {free} of the region are free")]
    NoRoom {
        /// Bytes asked for.
        need: u64,
        /// Bytes left.
        free: u64,
    },
    /// The table of queues is full, or a ring of this length does not exist in this version.
    #[error("a queue of {length} messages cannot be made as number {count} of {max}")]
    NoSuchQueue {
        /// Messages asked for.
        length: u32,
        /// Queues there would be.
        count: u32,
        /// Queues there can be.
        max: u32,
    },
    /// User data longer than any viewer reads.
    #[error("{got} bytes of user data are more than {MAX_USER_DATA_BYTES}")]
    UserDataTooLong {
        /// Its length.
        got: u64,
    },
    /// An alignment that is not a power of two.
    #[error("an alignment of {align} is not a power of two")]
    Alignment {
        /// What was asked for.
        align: u64,
    },
    /// The region shrank, or is mapped read-only.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// When the magic is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MagicOrder {
    /// After everything else, by [`Host::open`]. A viewer never sees a half-made session.
    #[default]
    Last,
    /// Before everything else, as stock producers up to version 6 do.
    First,
}

/// A piece of payload memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts, bytes from the start of the region.
    pub offset: u32,
    /// Its length in bytes.
    pub size: u32,
}

/// What a producer's periodic call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// All is well.
    Fine,
    /// Somebody wiped the magic: start anew.
    MagicGone,
}

/// A producer of one region.
#[derive(Debug)]
pub struct Host {
    region: Region,
    layout: &'static Layout,
    session_id: u32,
    queues: Vec<HostQueue>,
    next_free: u64,
    end: u64,
    beat_stored_ms: u64,
}

impl Host {
    /// Starts a session named after `seed`, different from the one found in memory. Nothing is cleared: stale bytes stay,
    /// as with a stock producer.
    ///
    /// # Errors
    /// [`HostError::NoRoom`], [`HostError::UserDataTooLong`], [`HostError::Access`].
    pub fn start(
        region: &Region,
        layout: &'static Layout,
        order: MagicOrder,
        seed: u32,
        user_data: &[u8],
        now_ms: u64,
    ) -> Result<Host, HostError> {
        let header = &layout.header;
        let got = user_data.len() as u64;
        let udata_size = u32::try_from(got).ok().filter(|n| *n <= MAX_USER_DATA_BYTES);
        let udata_size = udata_size.ok_or(HostError::UserDataTooLong { got })?;
        let next_free = (header.size + got).next_multiple_of(4);
        // Offsets are 32 bit.
        let end = region.len().min(u64::from(u32::MAX));
        if next_free > end {
            return Err(HostError::NoRoom { need: next_free, free: end });
        }
        let all = region.whole();
        let put = |at, value| all.word::<u32>(at).map(|w| w.store_release(value));
        let old = all.read_word::<u32>(header.session_id)?.load_acquire();
        let session_id = if seed == old { seed.wrapping_add(1) } else { seed };
        put(header.magic, if order == MagicOrder::First { MAGIC } else { 0 })?;
        put(header.session_id, session_id)?;
        all.word::<u64>(header.timestamp)?.store_release(now_ms);
        put(header.version, layout.version)?;
        put(header.num_queues, 0)?;
        if let Some(at) = header.next_client_id {
            put(at, 0)?;
        }
        put(header.udata_size, udata_size)?;
        region.span(header.udata, got)?.copy_from(user_data)?;
        Ok(Host {
            region: region.clone(),
            layout,
            session_id,
            queues: Vec::new(),
            next_free,
            end,
            beat_stored_ms: now_ms,
        })
    }

    /// Leaves the last `bytes` of the region to somebody else. Before anything is handed out.
    pub fn reserve_tail(&mut self, bytes: u64) {
        self.end = self.end.min(self.region.len().saturating_sub(bytes));
    }

    /// Makes a queue for `length` messages that viewers may keep for `max_time_ms`. Gives its handle.
    ///
    /// # Errors
    /// [`HostError::NoSuchQueue`], [`HostError::NoRoom`], [`HostError::Access`].
    pub fn add_queue(&mut self, id: u32, length: u32, max_time_ms: u32) -> Result<QueueHandle, HostError> {
        let (count, max) = (self.queues.len(), self.layout.header.max_queues);
        let index = u32::try_from(count).unwrap_or(u32::MAX);
        let entries = self.layout.ring.entries(length).filter(|_| index < max);
        let entries = entries.ok_or(HostError::NoSuchQueue { length, count: index.saturating_add(1), max })?;
        let ring = self.take(u64::from(entries) * self.layout.entry.size)?;
        let queue = HostQueue::make(&self.region, self.layout, index, id, (ring, entries), max_time_ms)?;
        self.queues.push(queue);
        self.region.whole().word::<u32>(self.layout.header.num_queues)?.fetch_add(1);
        Ok(QueueHandle(count))
    }

    /// Payload memory at a multiple of `align` (a power of two); the size is rounded up to it, as stock producers do.
    /// Nothing is ever given back.
    ///
    /// # Errors
    /// [`HostError::NoRoom`], [`HostError::Alignment`].
    pub fn allocate(&mut self, size: u64, align: u64) -> Result<Block, HostError> {
        if !align.is_power_of_two() {
            return Err(HostError::Alignment { align });
        }
        let start = self.next_free.next_multiple_of(align);
        let need = size.checked_next_multiple_of(align).ok_or(HostError::NoRoom { need: size, free: self.free() })?;
        let room = self.end.saturating_sub(start);
        if need > room {
            return Err(HostError::NoRoom { need, free: room });
        }
        self.next_free = start + need;
        // Both are at most `end`, which fits.
        Ok(Block { offset: start as u32, size: need as u32 })
    }

    /// Bytes not yet handed out.
    pub fn free(&self) -> u64 {
        self.end.saturating_sub(self.next_free)
    }

    /// Writes the magic, if it was not written first: from now on viewers see the session.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn open(&self) -> Result<(), HostError> {
        self.region.whole().word::<u32>(self.layout.header.magic)?.store_release(MAGIC);
        Ok(())
    }

    /// The periodic call: stores the heartbeat (as often as the version does) and clears up behind viewers that kept a
    /// message too long. Call it at least every 100 ms; stock producers of version 6 do every 10.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn beat(&mut self, now_ms: u64) -> Result<Beat, HostError> {
        let all = self.region.whole();
        if all.read_word::<u32>(self.layout.header.magic)?.load_acquire() != MAGIC {
            return Ok(Beat::MagicGone);
        }
        if now_ms.saturating_sub(self.beat_stored_ms) >= self.layout.manner.heartbeat_every_ms {
            all.word::<u64>(self.layout.header.timestamp)?.store_release(now_ms);
            self.beat_stored_ms = now_ms;
        }
        let mut late = LateViewers::default();
        for queue in &mut self.queues {
            queue.tick(&self.region, self.layout, now_ms, &mut late)?;
        }
        if self.layout.manner.bad_everywhere && !late.is_empty() {
            for queue in &mut self.queues {
                queue.give_up_on(&self.region, self.layout, now_ms, &late)?;
            }
        }
        self.region.check_alive()?;
        Ok(Beat::Fine)
    }

    /// A queue and what it needs to work.
    pub fn queue(&mut self, handle: QueueHandle) -> Option<(&mut HostQueue, &Region, &'static Layout)> {
        self.queues.get_mut(handle.0).map(|q| (q, &self.region, self.layout))
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The offsets in use.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// The session's number.
    pub fn session_id(&self) -> u32 {
        self.session_id
    }

    fn take(&mut self, bytes: u64) -> Result<u32, HostError> {
        self.allocate(bytes, self.layout.manner.ring_align).map(|block| block.offset)
    }
}

/// Names a queue of a [`Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueHandle(usize);
