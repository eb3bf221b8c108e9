//! The producer's side of one queue: post, clear up behind slow viewers, read the mailbox.

use super::host::Block;
use super::queue::{LOCK_TRIES, QueueWords};
use super::wire::{Layout, Subs, Width};
use crate::cycle;
use crate::raw::map::Region;
use crate::span::{AccessError, Purpose};

/// What became of a message that was to be posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Viewers will see it; the payload is theirs until they acknowledged.
    Sent,
    /// Nobody listens: nothing was posted, the payload is free.
    NobodyListens,
    /// The ring is full: viewers have not acknowledged yet.
    Full,
    /// A viewer holds the lock.
    LockBusy,
}

/// Names of the viewers that one periodic call gave up on; at most as many as a queue has places, others are met again.
#[derive(Debug, Default)]
pub(super) struct LateViewers {
    names: [u32; 32],
    count: usize,
}

impl LateViewers {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, name: u32) {
        if let Some(place) = self.names.get_mut(self.count).filter(|_| name != 0) {
            *place = name;
            self.count += 1;
        }
    }

    fn contains(&self, name: u32) -> bool {
        self.names.iter().take(self.count).any(|n| *n == name)
    }
}

/// One queue of a producer.
#[derive(Debug)]
pub struct HostQueue {
    index: u32,
    ring_at: u64,
    entries: u32,
    max_time_ms: u32,
    write: u32,
    mail_read: u32,
}

impl HostQueue {
    pub(super) fn make(
        region: &Region,
        layout: &'static Layout,
        index: u32,
        id: u32,
        (ring_at, entries): (u32, u32),
        max_time_ms: u32,
    ) -> Result<HostQueue, AccessError> {
        let words = QueueWords::new(region, layout, index)?;
        let q = &layout.queue;
        words.set_subs(Subs::default())?;
        words.u64(q.msg_timeout)?.store_release(0);
        for (at, value) in [
            (q.queue_id, id),
            (q.num_messages, entries),
            (q.new_sub_count, 0),
            (q.max_time, max_time_ms),
            (q.position, 0),
            (q.messages_offset, ring_at),
            (q.start, 0),
            (q.count, 0),
            (q.mail_avail, layout.mail.slots),
            (q.mail_write_pos, 0),
            (q.mail_write_serial, 0),
            (q.mail_read_serial, 0),
        ] {
            words.u32(at)?.store_release(value);
        }
        words.free_locks()?;
        Ok(HostQueue { index, ring_at: u64::from(ring_at), entries, max_time_ms, write: 0, mail_read: 0 })
    }

    /// Posts a message to everybody who listens.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn post(
        &mut self,
        region: &Region,
        layout: &'static Layout,
        udata: u64,
        payload: Block,
        now_ms: u64,
    ) -> Result<Posted, AccessError> {
        let words = self.words(region, layout)?;
        let Some(_held) = words.try_lock(LOCK_TRIES)? else { return Ok(Posted::LockBusy) };
        let listening = words.subs()?.listening();
        if listening == 0 && !layout.manner.posts_to_nobody {
            return Ok(Posted::NobodyListens);
        }
        let count = words.u32(layout.queue.count)?.load_acquire();
        if count >= layout.ring.capacity(self.entries) {
            return Ok(Posted::Full);
        }
        let entry = self.entry(region, layout, self.write)?;
        match layout.entry.udata_width {
            Width::U64 => entry.word::<u64>(layout.entry.udata)?.store_release(udata),
            // The upper half is for versions that have room for it.
            _ => entry.word::<u32>(layout.entry.udata)?.store_release(udata as u32),
        }
        entry.word::<u32>(layout.entry.payload_size)?.store_release(payload.size);
        entry.word::<u32>(layout.entry.payload_offset)?.store_release(payload.offset);
        // Releases the entry to whoever sees its bit.
        entry.word::<u32>(layout.entry.pending)?.store_release(listening);
        if count == 0 {
            self.restart_timer(&words, layout, now_ms)?;
        }
        words.u32(layout.queue.count)?.store_release(count + 1);
        self.write = cycle::next(self.write, self.entries);
        // Releases the entry to whoever sees the new position.
        words.u32(layout.queue.position)?.store_release(self.write);
        Ok(Posted::Sent)
    }

    /// Retires what was read and marks viewers that kept the oldest message too long.
    pub(super) fn tick(
        &mut self,
        region: &Region,
        layout: &'static Layout,
        now_ms: u64,
        given_up: &mut LateViewers,
    ) -> Result<(), AccessError> {
        let words = self.words(region, layout)?;
        if words.u32(layout.queue.count)?.load_acquire() == 0 {
            return Ok(());
        }
        let Some(_held) = words.try_lock(LOCK_TRIES)? else { return Ok(()) };
        let start = words.u32(layout.queue.start)?;
        let count = words.u32(layout.queue.count)?;
        // A viewer can write nonsense here; the ring's length bounds the work whatever it is.
        for _ in 0..count.load_acquire().min(self.entries) {
            let oldest = start.load_acquire() % self.entries;
            let pending = self.entry(region, layout, oldest)?.word::<u32>(layout.entry.pending)?;
            let mut subs = words.subs()?;
            let owing = pending.load_acquire() & subs.on;
            let overdue = now_ms > words.u64(layout.queue.msg_timeout)?.load_acquire();
            let late = owing & !subs.bad;
            if late != 0 && overdue {
                subs.bad |= late;
                for place in (0..layout.queue.places.min(u32::BITS)).filter(|p| late & (1 << p) != 0) {
                    words.timeout(place)?.store_release(now_ms.saturating_add(u64::from(self.max_time_ms)));
                    given_up.add(words.client_id(place)?.load_acquire());
                }
                words.set_subs(subs)?;
                pending.store_release(0);
            } else if late != 0 {
                return Ok(());
            }
            start.store_release(cycle::next(oldest, self.entries));
            count.store_release(count.load_acquire().saturating_sub(1));
            self.restart_timer(&words, layout, now_ms)?;
        }
        Ok(())
    }

    /// Marks the places of viewers that another queue gave up on.
    pub(super) fn give_up_on(
        &mut self,
        region: &Region,
        layout: &'static Layout,
        now_ms: u64,
        late: &LateViewers,
    ) -> Result<(), AccessError> {
        let words = self.words(region, layout)?;
        let Some(_held) = words.try_lock(LOCK_TRIES)? else { return Ok(()) };
        let mut subs = words.subs()?;
        let mut bits = 0;
        for place in 0..layout.queue.places.min(u32::BITS) {
            let is_on = subs.listening() & 1 << place != 0;
            if is_on && late.contains(words.client_id(place)?.load_acquire()) {
                bits |= 1 << place;
                words.timeout(place)?.store_release(now_ms.saturating_add(u64::from(self.max_time_ms)));
            }
        }
        if bits != 0 {
            subs.bad |= bits;
            words.set_subs(subs)?;
            for index in 0..self.entries {
                self.entry(region, layout, index)?.word::<u32>(layout.entry.pending)?.and_leaves_none(!bits);
            }
        }
        Ok(())
    }

    /// Messages not yet finished, at most as many as the ring holds.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn unfinished(&self, region: &Region, layout: &'static Layout) -> Result<u32, AccessError> {
        let count = self.words(region, layout)?.u32(layout.queue.count)?.load_acquire();
        Ok(count.min(layout.ring.capacity(self.entries)))
    }

    /// Whether anybody listens.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn has_listeners(&self, region: &Region, layout: &'static Layout) -> Result<bool, AccessError> {
        Ok(self.words(region, layout)?.subs()?.listening() != 0)
    }

    /// How many viewers came since the last call.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn take_newcomers(&mut self, region: &Region, layout: &'static Layout) -> Result<u32, AccessError> {
        let newcomers = self.words(region, layout)?.u32(layout.queue.new_sub_count)?;
        // Look first: the locked instruction is dear on a guest's device memory.
        Ok(if newcomers.load_acquire() == 0 { 0 } else { newcomers.swap(0) })
    }

    /// The oldest mailbox message, copied into `into`; its length, never more than `into` holds. It counts as handled.
    /// One of a sender that the version names, but that has no place, is empty.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn take_mail(
        &mut self,
        region: &Region,
        layout: &'static Layout,
        into: &mut [u8],
    ) -> Result<Option<usize>, AccessError> {
        let words = self.words(region, layout)?;
        let avail = words.u32(layout.queue.mail_avail)?;
        if avail.load_acquire() >= layout.mail.slots {
            return Ok(None);
        }
        let Some(held) = words.try_lock_mail(LOCK_TRIES)? else { return Ok(None) };
        let slot = words.mail_slot(self.mail_read)?;
        let length = u64::from(slot.read_word::<u32>(layout.mail.length)?.load_acquire());
        let length = length.min(layout.mail.data_bytes).min(into.len() as u64);
        let sender = match layout.mail.sender {
            Some(at) => Some(slot.read_word::<u32>(at)?.load_acquire()),
            None => None,
        };
        let length = if self.is_stranger(&words, layout, sender)? { 0 } else { length };
        let bytes = into.get_mut(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
        slot.sub(layout.mail.data, bytes.len() as u64)?.copy_to(bytes, Purpose::Read)?;
        avail.store_release(avail.load_acquire().saturating_add(1).min(layout.mail.slots));
        drop(held);
        self.mail_read = cycle::next(self.mail_read, layout.mail.slots);
        words.u32(layout.queue.mail_read_serial)?.fetch_add(1);
        Ok(Some(bytes.len()))
    }

    /// Whether a message names a sender that has no place here.
    fn is_stranger(
        &self,
        words: &QueueWords<'_>,
        layout: &'static Layout,
        sender: Option<u32>,
    ) -> Result<bool, AccessError> {
        let Some(sender) = sender else { return Ok(false) };
        let listening = words.subs()?.listening();
        for place in (0..layout.queue.places.min(u32::BITS)).filter(|p| listening & (1 << p) != 0) {
            if words.client_id(place)?.load_acquire() == sender {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn words<'r>(&self, region: &'r Region, layout: &'static Layout) -> Result<QueueWords<'r>, AccessError> {
        QueueWords::new(region, layout, self.index)
    }

    fn entry<'r>(&self, region: &'r Region, layout: &Layout, index: u32) -> Result<crate::span::Span<'r>, AccessError> {
        region.span(self.ring_at + u64::from(index) * layout.entry.size, layout.entry.size)
    }

    fn restart_timer(&self, words: &QueueWords<'_>, layout: &'static Layout, now_ms: u64) -> Result<(), AccessError> {
        let overdue = now_ms.saturating_add(u64::from(self.max_time_ms));
        words.u64(layout.queue.msg_timeout)?.store_release(overdue);
        Ok(())
    }
}
