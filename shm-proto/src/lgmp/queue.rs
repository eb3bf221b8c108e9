//! One queue as it lies in the region: its words by name, its ring, its lock. Used by both sides.
//!
//! Nothing in here trusts a value; [`QueueConfig::read`] is the one place where a queue's geometry is checked, and what
//! comes out of it is kept and never read again.

use super::Trouble;
use super::wire::{Layout, RING_ENTRIES, Subs};
use crate::guest::{Corrupt, Guest};
use crate::raw::map::Region;
use crate::raw::pause::pause;
use crate::raw::word::Word;
use crate::span::{AccessError, Span};

/// Tries for a lock before giving up: some hundred microseconds of pauses at most. A critical section takes less than
/// one; a holder that was put to sleep by its scheduler is met again at the next poll.
pub const LOCK_TRIES: u32 = 2000;

/// The words of one queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueWords<'r> {
    span: Span<'r>,
    layout: &'static Layout,
}

impl<'r> QueueWords<'r> {
    /// The queue at place `index` of the table.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if the region ends before it.
    pub fn new(region: &'r Region, layout: &'static Layout, index: u32) -> Result<Self, AccessError> {
        let at = layout.header.queues + u64::from(index.min(layout.header.max_queues)) * layout.queue.size;
        Ok(QueueWords { span: region.span(at, layout.queue.size)?, layout })
    }

    /// The u32 at offset `at` of the queue.
    ///
    /// # Errors
    /// [`AccessError`] if it is not inside or the region is read-only.
    pub fn u32(&self, at: u64) -> Result<Word<'r, u32>, AccessError> {
        self.span.word(at)
    }

    /// The u64 at offset `at` of the queue.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn u64(&self, at: u64) -> Result<Word<'r, u64>, AccessError> {
        self.span.word(at)
    }

    /// The masks of viewers.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn subs(&self) -> Result<Subs, AccessError> {
        // Acquire: a place that is on was filled before.
        Ok(Subs::decode(self.u64(self.layout.queue.subs)?.load_acquire(), self.layout))
    }

    /// Stores the masks. Only under the lock: both sides change them by plain stores.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn set_subs(&self, subs: Subs) -> Result<(), AccessError> {
        self.u64(self.layout.queue.subs)?.store_release(subs.encode(self.layout));
        Ok(())
    }

    /// When a bad place is free again, producer's milliseconds.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn timeout(&self, place: u32) -> Result<Word<'r, u64>, AccessError> {
        self.u64(self.layout.queue.timeout + 8 * u64::from(place))
    }

    /// The name of a place's holder.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn client_id(&self, place: u32) -> Result<Word<'r, u32>, AccessError> {
        self.u32(self.layout.queue.client_id + 4 * u64::from(place))
    }

    /// The mailbox slot at `index`.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`].
    pub fn mail_slot(&self, index: u32) -> Result<Span<'r>, AccessError> {
        let mail = &self.layout.mail;
        self.span.sub(self.layout.queue.mail_slots + u64::from(index) * mail.size, mail.size)
    }

    /// The lock of the queue, or nothing after `tries`.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn try_lock(&self, tries: u32) -> Result<Option<Held<'r>>, AccessError> {
        Ok(Held::take(self.u32(self.layout.queue.lock)?, tries))
    }

    /// The lock of the mailbox, or nothing after `tries`.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn try_lock_mail(&self, tries: u32) -> Result<Option<Held<'r>>, AccessError> {
        Ok(Held::take(self.u32(self.layout.queue.mail_lock)?, tries))
    }

    /// Brings every page of the queue into memory, for writing, so that no page fault happens under a lock.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn touch(&self) -> Result<(), AccessError> {
        // Adding nothing is a store that changes nothing, whoever else writes.
        self.u32(self.layout.queue.new_sub_count)?.fetch_add(0);
        self.u32(self.layout.queue.mail_read_serial)?.fetch_add(0);
        Ok(())
    }
}

/// A lock that is ours until this is dropped. It has no owner in memory: nobody can tell whose it is.
#[derive(Debug)]
pub struct Held<'r> {
    word: Word<'r, u32>,
}

impl<'r> Held<'r> {
    fn take(word: Word<'r, u32>, tries: u32) -> Option<Held<'r>> {
        for _ in 0..tries.max(1) {
            // Look before the locked instruction: on a guest's device memory that one is dear.
            // Acquire on success (compare_exchange orders both ways): what the last holder stored is visible to us.
            if word.load_acquire() == 0 && word.compare_exchange(0, 1).is_ok() {
                return Some(Held { word });
            }
            pause();
        }
        None
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Releases everything we stored under the lock to the next holder.
        self.word.store_release(0);
    }
}

/// A ring of message descriptors, checked: it lies inside the region and behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    at: u64,
    entries: u32,
}

impl Ring {
    /// Checks where a ring lies and how long it is.
    ///
    /// # Errors
    /// [`Corrupt`] if it cannot be.
    pub fn check(region: &Region, layout: &Layout, at: Guest<u32>, entries: Guest<u32>) -> Result<Ring, Corrupt> {
        let entries = entries.check("numMessages", RING_ENTRIES)?;
        Guest::new(entries).check_that("numMessages", "a ring length of this version", |n| layout.ring.allows(n))?;
        let bytes = u64::from(entries) * layout.entry.size;
        let at =
            at.check_that("messagesOffset", "a multiple of 4 behind the header, the ring inside the region", |at| {
                at.is_multiple_of(4) && u64::from(at) >= layout.header.size && u64::from(at) + bytes <= region.len()
            })?;
        Ok(Ring { at: u64::from(at), entries })
    }

    /// Number of entries.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Where it starts, bytes from the start of the region.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The entry at `index`, which must be below [`Ring::entries`].
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`].
    pub fn entry<'r>(&self, region: &'r Region, layout: &Layout, index: u32) -> Result<Span<'r>, AccessError> {
        let size = layout.entry.size;
        region.span(self.at, u64::from(self.entries) * size)?.sub(u64::from(index) * size, size)
    }

    /// The pending bits of the entry at `index`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn pending<'r>(&self, region: &'r Region, layout: &Layout, index: u32) -> Result<Word<'r, u32>, AccessError> {
        self.entry(region, layout, index)?.word(layout.entry.pending)
    }

    /// Clears `bit` in every entry: what an earlier holder of a place left unread. Only under the lock.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn clear_bit(&self, region: &Region, layout: &Layout, bit: u32) -> Result<(), AccessError> {
        for index in 0..self.entries {
            let pending = self.pending(region, layout, index)?;
            if pending.load_acquire() & bit != 0 {
                pending.and_leaves_none(!bit);
            }
        }
        Ok(())
    }

    /// Brings every page of the ring into memory, for writing.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn touch(&self, region: &Region, layout: &Layout) -> Result<(), AccessError> {
        let per_page = usize::try_from(4096 / layout.entry.size).unwrap_or(1).max(1);
        for index in (0..self.entries).step_by(per_page).chain([self.entries - 1]) {
            // Keeping every bit is a store that changes nothing.
            self.pending(region, layout, index)?.and_leaves_none(u32::MAX);
        }
        Ok(())
    }
}

/// What a queue is, read once and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its place in the table, below the table's length.
    pub index: u32,
    /// The application's number for it.
    pub id: u32,
    /// Its ring.
    pub ring: Ring,
    /// How long a viewer may keep a message, milliseconds. Not ours to rely on: it is only written back.
    pub max_time_ms: u32,
}

impl QueueConfig {
    /// Reads and checks the queue at `index`.
    ///
    /// # Errors
    /// [`Trouble::Corrupt`] or [`Trouble::Access`].
    pub fn read(region: &Region, layout: &'static Layout, index: u32) -> Result<QueueConfig, Trouble> {
        let words = QueueWords::new(region, layout, index)?;
        let load = |at| words.u32(at).map(|w| w.load_acquire());
        let q = &layout.queue;
        let ring =
            Ring::check(region, layout, Guest::new(load(q.messages_offset)?), Guest::new(load(q.num_messages)?))?;
        Ok(QueueConfig { index, id: load(q.queue_id)?, ring, max_time_ms: load(q.max_time)? })
    }

    /// Its words.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn words<'r>(&self, region: &'r Region, layout: &'static Layout) -> Result<QueueWords<'r>, AccessError> {
        QueueWords::new(region, layout, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::V6;
    use super::*;

    #[test]
    fn a_held_lock_is_given_up_on_and_left_alone() {
        let region = Region::memfd("lock", 1 << 16).unwrap();
        let q = QueueWords::new(&region, &V6, 0).unwrap();
        let held = q.try_lock(1).unwrap().unwrap();
        assert!(q.try_lock(50).unwrap().is_none());
        assert_eq!(q.u32(V6.queue.lock).unwrap().load_acquire(), 1);
        assert!(q.try_lock_mail(1).unwrap().is_some(), "the mailbox has its own");
        drop(held);
        assert!(q.try_lock(1).unwrap().is_some());
        q.u32(V6.queue.lock).unwrap().store_release(77);
        assert!(q.try_lock(50).unwrap().is_none());
        assert_eq!(q.u32(V6.queue.lock).unwrap().load_acquire(), 77);
    }

    #[test]
    fn a_ring_must_lie_inside_and_behind_the_header() {
        let region = Region::memfd("ring", 1 << 16).unwrap();
        let check = |at, entries| Ring::check(&region, &V6, Guest::new(at), Guest::new(entries));
        for (at, entries, ok) in [
            (5760, 3, true),
            (5756, 3, false),
            (5762, 3, false),
            (65536 - 48, 3, true),
            (65536 - 44, 3, false),
            (u32::MAX - 3, 3, false),
            (8192, 1, false),
            (8192, 0, false),
            (8192, 4097, false),
            (8192, u32::MAX, false),
        ] {
            assert_eq!(check(at, entries).is_ok(), ok, "{at} {entries}");
        }
        let ring = check(65536 - 48, 3).unwrap();
        assert!(ring.entry(&region, &V6, 2).is_ok() && ring.entry(&region, &V6, 3).is_err());
        ring.touch(&region, &V6).unwrap();
    }

    #[test]
    fn touching_changes_nothing() {
        let region = Region::memfd("touch", 1 << 17).unwrap();
        region.whole().fill(0xA7).unwrap();
        QueueWords::new(&region, &V6, 4).unwrap().touch().unwrap();
        let ring = Ring::check(&region, &V6, Guest::new(8192), Guest::new(4096)).unwrap();
        ring.touch(&region, &V6).unwrap();
        ring.clear_bit(&region, &V6, 0).unwrap();
        let all = region.whole().read_array::<{ 1 << 17 }>(0).unwrap();
        assert!(all.iter().all(|b| *b == 0xA7));
    }
}
