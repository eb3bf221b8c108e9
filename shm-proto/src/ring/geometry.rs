//! How many slots of what size. Private fields: the check is the only constructor, for the writer's own choice as for
//! what a reader finds in a header.

use super::wire;
use crate::guest::{Corrupt, Guest};

/// The shape of a ring that was checked: slots, the room in each, and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    slots: u32,
    payload_bytes: u32,
    slot_bytes: u32,
    first_slot: u32,
}

/// A geometry that no ring can have, asked for by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// A ring needs two slots at least: one that is being written, one that can be read.
    #[error("a ring of {slots} slots was asked for, possible are {} to {}", wire::MIN_SLOTS, wire::MAX_SLOTS)]
    Slots {
        /// What was asked for.
        slots: u32,
    },
    /// A slot must hold something, and its size must fit in the header's 32 bits.
    #[error("a payload of {payload_bytes} bytes was asked for, possible are 1 to {}", wire::MAX_PAYLOAD_BYTES)]
    Payload {
        /// What was asked for.
        payload_bytes: u32,
    },
}

impl Geometry {
    /// `slots` slots with room for `payload_bytes` each, packed as tightly as 64-byte lines allow.
    ///
    /// # Errors
    /// [`GeometryError`].
    pub fn new(slots: u32, payload_bytes: u32) -> Result<Geometry, GeometryError> {
        if !(wire::MIN_SLOTS..=wire::MAX_SLOTS).contains(&slots) {
            return Err(GeometryError::Slots { slots });
        }
        if !(1..=wire::MAX_PAYLOAD_BYTES).contains(&payload_bytes) {
            return Err(GeometryError::Payload { payload_bytes });
        }
        let slot_bytes = wire::SLOT_HEADER_BYTES + payload_bytes.next_multiple_of(wire::LINE_BYTES);
        Ok(Geometry { slots, payload_bytes, slot_bytes, first_slot: wire::HEADER_BYTES })
    }

    /// What a header says, against limits that are ours: `region_bytes` is the mapped length.
    pub(super) fn check(header: &wire::Header, region_bytes: u64) -> Result<Geometry, Corrupt> {
        let lines = "a multiple of 64 that holds the payload";
        let slots = header.slots.check("slots", wire::MIN_SLOTS..=wire::MAX_SLOTS)?;
        let payload_bytes = header.payload_bytes.check("payload_bytes", 1..=wire::MAX_PAYLOAD_BYTES)?;
        let slot_bytes = header.slot_bytes.check_that("slot_bytes", lines, |bytes| {
            bytes.is_multiple_of(wire::LINE_BYTES) && bytes >= payload_bytes + wire::SLOT_HEADER_BYTES
        })?;
        let first_slot = header.first_slot.check_that("first_slot", "a multiple of 64 from 192 on", |at| {
            at.is_multiple_of(wire::LINE_BYTES) && at >= wire::HEADER_BYTES
        })?;
        let geometry = Geometry { slots, payload_bytes, slot_bytes, first_slot };
        // The end of the last slot, as one number: it is what the region's length limits.
        Guest::new(geometry.region_bytes()).check("first_slot + slots * slot_bytes", 0..=region_bytes)?;
        Ok(geometry)
    }

    /// Slots in the ring.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The largest payload a slot can hold, in bytes.
    pub const fn payload_bytes(&self) -> u32 {
        self.payload_bytes
    }

    /// From one slot to the next, in bytes.
    pub const fn slot_bytes(&self) -> u32 {
        self.slot_bytes
    }

    /// Offset of slot 0 in the region, in bytes.
    pub const fn first_slot(&self) -> u32 {
        self.first_slot
    }

    /// Bytes of a region that holds this ring. No overflow: 2^16 slots of 2^32 bytes and a header fit in 64 bits.
    pub const fn region_bytes(&self) -> u64 {
        self.first_slot as u64 + self.slots as u64 * self.slot_bytes as u64
    }

    /// Offset of a slot, in bytes. Inside the ring if `slot` is below the number of slots; no overflow in any case.
    pub(super) const fn slot_at(&self, slot: u32) -> u64 {
        self.first_slot as u64 + slot as u64 * self.slot_bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(slots: u32, payload_bytes: u32, slot_bytes: u32, first_slot: u32) -> wire::Header {
        wire::Header {
            magic: Guest::new(wire::MAGIC),
            version: Guest::new(wire::VERSION),
            slots: Guest::new(slots),
            payload_bytes: Guest::new(payload_bytes),
            slot_bytes: Guest::new(slot_bytes),
            first_slot: Guest::new(first_slot),
        }
    }

    #[test]
    fn a_tight_geometry_is_accepted_and_names_its_region() {
        let g = Geometry::new(4, 3840).unwrap();
        assert_eq!((g.slot_bytes(), g.first_slot(), g.region_bytes()), (3904, 192, 192 + 4 * 3904));
        assert_eq!(Geometry::check(&header(4, 3840, 3904, 192), g.region_bytes()), Ok(g));
        assert_eq!((g.slot_at(0), g.slot_at(3)), (192, 192 + 3 * 3904));
    }

    #[test]
    fn every_impossible_wish_is_refused() {
        for slots in [0, 1, wire::MAX_SLOTS + 1, u32::MAX] {
            assert_eq!(Geometry::new(slots, 64), Err(GeometryError::Slots { slots }));
        }
        for payload_bytes in [0, wire::MAX_PAYLOAD_BYTES + 1, u32::MAX] {
            assert_eq!(Geometry::new(2, payload_bytes), Err(GeometryError::Payload { payload_bytes }));
        }
        Geometry::new(wire::MAX_SLOTS, wire::MAX_PAYLOAD_BYTES).unwrap();
    }

    #[test]
    fn every_header_that_reaches_out_of_the_region_is_corrupt() {
        let len = 192 + 4 * 128;
        let cases = [
            ("slots", header(1, 64, 128, 192)),
            ("slots", header(u32::MAX, 64, 128, 192)),
            ("payload_bytes", header(4, 0, 128, 192)),
            ("payload_bytes", header(4, u32::MAX, 128, 192)),
            ("slot_bytes", header(4, 65, 128, 192)),
            ("slot_bytes", header(4, 64, 130, 192)),
            ("slot_bytes", header(4, 64, 0, 192)),
            ("first_slot", header(4, 64, 128, 128)),
            ("first_slot", header(4, 64, 128, 200)),
            ("first_slot + slots * slot_bytes", header(5, 64, 128, 192)),
            ("first_slot + slots * slot_bytes", header(4, 64, 192, 192)),
            ("first_slot + slots * slot_bytes", header(4, 64, 128, 256)),
            ("first_slot + slots * slot_bytes", header(65_536, 64, 0xFFFF_FFC0, 0xFFFF_FFC0)),
        ];
        for (field, header) in cases {
            assert_eq!(Geometry::check(&header, len).map_err(|e| e.field), Err(field), "{header:?}");
        }
        Geometry::check(&header(4, 64, 128, 192), len).unwrap();
        Geometry::check(&header(3, 64, 128, 256), len).unwrap();
    }
}
