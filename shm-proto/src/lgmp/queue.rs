//! One queue as it lies in the region: its words by name, its ring, its lock. Used by both sides.
//!
//! Nothing in here trusts a value; [`QueueConfig::read`] is the one place where a queue's geometry is checked, and what
//! comes out of it is kept and never read again.

use super::Trouble;
use super::wire::{Layout, RING_ENTRIES, Subs, Width};
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
        let at = self.layout.queue.subs;
        let word = match self.layout.queue.subs_width {
            Width::U64 => self.u64(at)?.load_acquire(),
            _ => self.u32(at)?.load_acquire().into(),
        };
        Ok(Subs::decode(word, self.layout))
    }

    /// Stores the masks. Only under the lock: both sides change them by plain stores.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn set_subs(&self, subs: Subs) -> Result<(), AccessError> {
        let (at, word) = (self.layout.queue.subs, subs.encode(self.layout));
        match self.layout.queue.subs_width {
            Width::U64 => self.u64(at)?.store_release(word),
            // Both halves are 16 bits wide, so nothing is cut off.
            _ => self.u32(at)?.store_release(word as u32),
        }
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
        Ok(Held::take(self.lock_word(self.layout.queue.lock)?, tries))
    }

    /// The lock of the mailbox, or nothing after `tries`.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn try_lock_mail(&self, tries: u32) -> Result<Option<Held<'r>>, AccessError> {
        Ok(Held::take(self.lock_word(self.layout.queue.mail_lock)?, tries))
    }

    /// Frees both locks, whoever held them: for a producer that makes the queue.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub(super) fn free_locks(&self) -> Result<(), AccessError> {
        for at in [self.layout.queue.lock, self.layout.queue.mail_lock] {
            self.lock_word(at)?.free();
        }
        Ok(())
    }

    /// Brings every page of the queue into memory, for writing, so that no page fault happens under a lock.
    ///
    /// # Errors
    /// As [`QueueWords::u32`].
    pub fn touch(&self) -> Result<(), AccessError> {
        let q = &self.layout.queue;
        for at in [q.new_sub_count, q.mail_read_serial, q.size - 4] {
            // Adding nothing is a store that changes nothing, whoever else writes.
            self.u32(at)?.fetch_add(0);
        }
        Ok(())
    }

    fn lock_word(&self, at: u64) -> Result<LockWord<'r>, AccessError> {
        Ok(match self.layout.queue.lock_width {
            Width::U8 => LockWord::Byte(self.span.word(at)?),
            _ => LockWord::Word(self.span.word(at)?),
        })
    }
}

/// Where a lock lies: a word, or one byte, behind which anything may be left of an earlier session.
#[derive(Clone, Copy, Debug)]
enum LockWord<'r> {
    Byte(Word<'r, u8>),
    Word(Word<'r, u32>),
}

impl LockWord<'_> {
    /// One try. Looks before the locked instruction: on a guest's device memory that one is dear.
    fn try_take(self) -> bool {
        // Acquire on success (both operations order both ways): what the last holder stored is visible to us.
        match self {
            LockWord::Byte(byte) => byte.load_acquire() == 0 && byte.swap(1) == 0,
            LockWord::Word(word) => word.load_acquire() == 0 && word.compare_exchange(0, 1).is_ok(),
        }
    }

    fn free(self) {
        match self {
            LockWord::Byte(byte) => byte.store_release(0),
            LockWord::Word(word) => word.store_release(0),
        }
    }
}

/// A lock that is ours until this is dropped. It has no owner in memory: nobody can tell whose it is.
#[derive(Debug)]
pub struct Held<'r> {
    word: LockWord<'r>,
}

impl<'r> Held<'r> {
    fn take(word: LockWord<'r>, tries: u32) -> Option<Held<'r>> {
        for _ in 0..tries.max(1) {
            if word.try_take() {
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
        self.word.free();
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
                at.is_multiple_of(4)
                    && (u64::from(at) + layout.entry.udata).is_multiple_of(layout.entry.udata_width.bytes())
                    && u64::from(at) >= layout.header.size
                    && u64::from(at) + bytes <= region.len()
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

    /// The application's word of an entry: as wide as the version has it.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn udata(entry: Span<'_>, layout: &Layout) -> Result<u64, AccessError> {
        let at = layout.entry.udata;
        Ok(match layout.entry.udata_width {
            Width::U64 => entry.read_word::<u64>(at)?.load_acquire(),
            _ => entry.read_word::<u32>(at)?.load_acquire().into(),
        })
    }

    /// The pending bits of the entry at `index`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn pending<'r>(&self, region: &'r Region, layout: &Layout, index: u32) -> Result<Word<'r, u32>, AccessError> {
        self.entry(region, layout, index)?.word(layout.entry.pending)
    }

    /// The pending bits of the entry at `index`, looked at once.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn pending_now(&self, region: &Region, layout: &Layout, index: u32) -> Result<u32, AccessError> {
        // Acquire: the producer fills an entry before it marks it.
        Ok(self.entry(region, layout, index)?.read_word::<u32>(layout.entry.pending)?.load_acquire())
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
    use super::super::wire::{LAYOUTS, V5, V6};
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
    fn a_lock_of_one_byte_leaves_its_neighbours_alone_and_does_not_look_at_them() {
        let region = Region::memfd("lock", 1 << 16).unwrap();
        region.whole().fill(0xEE).unwrap();
        let q = QueueWords::new(&region, &V5, 1).unwrap();
        for at in [V5.queue.lock, V5.queue.mail_lock] {
            let byte = q.span.word::<u8>(at).unwrap();
            assert!(Held::take(q.lock_word(at).unwrap(), 50).is_none(), "what is not 0 is held");
            byte.store_release(0);
            let held = Held::take(q.lock_word(at).unwrap(), 1).unwrap();
            assert_eq!(q.u32(at).unwrap().load_acquire(), 0xEEEE_EE01);
            assert!(Held::take(q.lock_word(at).unwrap(), 50).is_none());
            drop(held);
            assert_eq!(q.u32(at).unwrap().load_acquire(), 0xEEEE_EE00);
        }
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
        for layout in LAYOUTS {
            QueueWords::new(&region, layout, 4).unwrap().touch().unwrap();
            let ring = Ring::check(&region, layout, Guest::new(16384), Guest::new(2048)).unwrap();
            ring.touch(&region, layout).unwrap();
            ring.clear_bit(&region, layout, 0).unwrap();
        }
        let all = region.whole().read_array::<{ 1 << 17 }>(0).unwrap();
        assert!(all.iter().all(|b| *b == 0xA7));
    }
}
