//! A ring's control words in a mapped region. Nothing here decides anything.

use super::geometry::Geometry;
use super::protocol::{Alter, Look, Word};
use super::wire;
use crate::raw::map::Region;
use crate::raw::word::{ReadWord, Word as RegionWord};
use crate::span::{AccessError, Span};
use core::sync::atomic::{Ordering, fence};

/// The words of a ring in a region. The geometry was checked against the region's length, so none is out of bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped<'r> {
    whole: Span<'r>,
    geometry: Geometry,
}

impl<'r> Mapped<'r> {
    pub(super) fn new(region: &'r Region, geometry: Geometry) -> Mapped<'r> {
        Mapped { whole: region.whole(), geometry }
    }

    /// The words of a slot's header behind its sequence word.
    #[inline]
    pub(super) fn load_header(&self, slot: u32) -> Result<wire::SlotWords, AccessError> {
        let at = self.geometry.slot_at(slot);
        let word = |index| {
            let word = self.whole.read_word::<u64>(at + u64::from(wire::slot_word_at(index)))?;
            Ok(u64::from_le(word.load_acquire()))
        };
        Ok([word(0)?, word(1)?, word(2)?, word(3)?])
    }

    /// Stores them.
    #[inline]
    pub(super) fn store_header(&self, slot: u32, words: wire::SlotWords) -> Result<(), AccessError> {
        let at = self.geometry.slot_at(slot);
        for (index, value) in (0..).zip(words) {
            let word = self.whole.word::<u64>(at + u64::from(wire::slot_word_at(index)))?;
            word.store_release(value.to_le());
        }
        Ok(())
    }

    /// All the room for payload in a slot.
    pub(super) fn payload(&self, slot: u32) -> Result<Span<'r>, AccessError> {
        let at = self.geometry.slot_at(slot) + u64::from(wire::SLOT_HEADER_BYTES);
        self.whole.sub(at, u64::from(self.geometry.payload_bytes()))
    }

    fn offset_of(&self, word: Word) -> u64 {
        match word {
            Word::Generation => u64::from(wire::GENERATION.offset),
            Word::Published => u64::from(wire::PUBLISHED.offset),
            Word::Sequence(slot) => self.geometry.slot_at(slot) + u64::from(wire::SEQUENCE.offset),
        }
    }
}

// The region's words order more than the protocol asks: each load acquires, each store releases.
impl<'r> Look for Mapped<'r> {
    type Error = AccessError;
    type Found = ReadWord<'r, u64>;

    #[inline]
    fn find(&self, word: Word) -> Result<ReadWord<'r, u64>, AccessError> {
        self.whole.read_word(self.offset_of(word))
    }

    #[inline]
    fn load(&self, word: ReadWord<'r, u64>) -> u64 {
        u64::from_le(word.load_acquire())
    }

    #[inline]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }

    /// Looks at the payload's first word, so that its line comes along with the sequence word's and not after it. What
    /// it holds does not matter. (`rx-bench run handover`: 1.9 instead of 2.4 times a bare atomic.)
    #[inline]
    fn expect(&self, slot: u32) {
        let payload = self.geometry.slot_at(slot) + u64::from(wire::SLOT_HEADER_BYTES);
        if let Ok(word) = self.whole.read_word::<u64>(payload) {
            word.load_acquire();
        }
    }
}

impl<'r> Alter for Mapped<'r> {
    type Place = RegionWord<'r, u64>;

    #[inline]
    fn place(&self, word: Word) -> Result<RegionWord<'r, u64>, AccessError> {
        self.whole.word(self.offset_of(word))
    }

    #[inline]
    fn store(&self, place: RegionWord<'r, u64>, value: u64) {
        place.store_release(value.to_le());
    }

    #[inline]
    fn release(&self) {
        fence(Ordering::Release);
    }
}

/// The words at fixed places of the header, before any geometry is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderWords<'r>(pub(super) Span<'r>);

impl<'r> Look for HeaderWords<'r> {
    type Error = AccessError;
    type Found = ReadWord<'r, u64>;

    fn find(&self, word: Word) -> Result<ReadWord<'r, u64>, AccessError> {
        let field = match word {
            Word::Generation => wire::GENERATION,
            Word::Published => wire::PUBLISHED,
            // A slot's place is not known yet; nobody asks.
            Word::Sequence(slot) => {
                return Err(AccessError::OutOfBounds { offset: u64::from(slot), len: 8, limit: 0 });
            }
        };
        self.0.read_word(u64::from(field.offset))
    }

    fn load(&self, word: ReadWord<'r, u64>) -> u64 {
        u64::from_le(word.load_acquire())
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}
