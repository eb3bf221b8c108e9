//! A ring's control words in a mapped region. Nothing here decides anything.

use super::geometry::Geometry;
use super::protocol::{Alter, Look, Word};
use super::wire;
use crate::raw::map::Region;
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

    /// The header of a slot.
    pub(super) fn slot_header(&self, slot: u32) -> Result<Span<'r>, AccessError> {
        self.whole.sub(self.geometry.slot_at(slot), u64::from(wire::SLOT_HEADER_BYTES))
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
impl Look for Mapped<'_> {
    type Error = AccessError;

    #[inline]
    fn load(&self, word: Word) -> Result<u64, AccessError> {
        Ok(u64::from_le(self.whole.read_word::<u64>(self.offset_of(word))?.load_acquire()))
    }

    #[inline]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}

impl Alter for Mapped<'_> {
    #[inline]
    fn store(&self, word: Word, value: u64) -> Result<(), AccessError> {
        self.whole.word::<u64>(self.offset_of(word))?.store_release(value.to_le());
        Ok(())
    }

    #[inline]
    fn release(&self) {
        fence(Ordering::Release);
    }
}

/// The words at fixed places of the header, before any geometry is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderWords<'r>(pub(super) Span<'r>);

impl Look for HeaderWords<'_> {
    type Error = AccessError;

    fn load(&self, word: Word) -> Result<u64, AccessError> {
        let field = match word {
            Word::Generation => wire::GENERATION,
            Word::Published => wire::PUBLISHED,
            // A slot's place is not known yet; nobody asks.
            Word::Sequence(slot) => {
                return Err(AccessError::OutOfBounds { offset: u64::from(slot), len: 8, limit: 0 });
            }
        };
        Ok(u64::from_le(self.0.read_word::<u64>(u64::from(field.offset))?.load_acquire()))
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}
