//! Where the chunks of a stream lie: the checked form of a header. Whoever holds a [`Layout`] can name any slot, and
//! the slots it names are inside the region.
//!
//! Source: the wire reference of Scream 4.0, sections 2.2, 2.3, 2.5 and 4.1.

use super::format::{CHUNKS_PER_SECOND, Format, RATE_HZ, rate_of_code};
use super::wire::{HEADER_BYTES, Header, MAGIC};
use crate::guest::{Corrupt, Guest};
use crate::raw::map::Region;
use crate::span::{AccessError, Span};
use core::time::Duration;

/// What a chunk lasts: the rate is derived from the chunk's length, so every chunk lasts this long by definition.
pub const CHUNK_TIME: Duration = Duration::from_millis(1_000 / CHUNKS_PER_SECOND as u64);

/// Format and place of a stream's chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    format: Format,
    announced_hz: u32,
    offset: u64,
    slots: u16,
    whole_slots: u16,
    chunk_bytes: u32,
}

impl Layout {
    /// Checks a header against a region of `region_bytes` bytes. The index is not part of it; see
    /// [`Layout::check_index`].
    ///
    /// The rate comes from the chunk's length, which tells the truth where the rate code is floored. A slot that would
    /// reach past the end of the region does not make the header wrong (the driver forgets to subtract the header when
    /// it counts slots); it is left out when it is its turn.
    ///
    /// # Errors
    /// [`Corrupt`] with the first field that makes no sense.
    pub fn check(header: &Header, region_bytes: u64) -> Result<Layout, Corrupt> {
        header.magic.check("magic", MAGIC..=MAGIC)?;
        let offset: u64 = header.offset.check("offset", HEADER_BYTES as u8..=u8::MAX)?.into();
        // One slot can never be read: the one behind the newest may be half-written.
        let slots = header.max_chunks.check("max_chunks", 2..=u16::MAX)?;
        // The rate is not known yet; any accepted one does to check the rest.
        let part = Format::check(Guest::new(48_000), header.sample_size, header.channels, header.channel_map)?;
        let frame_bytes = part.frame_bytes();
        let chunk_of = |rate_hz: u32| rate_hz / CHUNKS_PER_SECOND * frame_bytes;
        let chunk_bytes =
            header.chunk_size.check("chunk_size", chunk_of(*RATE_HZ.start())..=chunk_of(*RATE_HZ.end()))?;
        let whole = |bytes: u32| bytes.is_multiple_of(frame_bytes);
        Guest::new(chunk_bytes).check_that("chunk_size", "a whole number of frames", whole)?;
        let room = region_bytes.saturating_sub(offset) / u64::from(chunk_bytes);
        Guest::new(chunk_bytes).check_that("chunk_size", "small enough for two slots in the region", |_| room >= 2)?;
        let rate_hz = chunk_bytes / frame_bytes * CHUNKS_PER_SECOND;
        let code = header.sample_rate.check_that("sample_rate", "a code that this chunk_size can have", |code| {
            // A multiplier of zero is what the driver writes for rates between its two bases, and nothing else.
            code & 0x7F != 0 || (code == 0 && rate_hz < 48_000 && rate_hz > 44_100)
        })?;
        let format = Format::new(rate_hz, part.bits().bits(), part.channels(), part.mask())?;
        let whole_slots = u16::try_from(room).unwrap_or(u16::MAX).min(slots);
        Ok(Layout { format, announced_hz: rate_of_code(code), offset, slots, whole_slots, chunk_bytes })
    }

    /// The index if it names a slot.
    ///
    /// # Errors
    /// [`Corrupt`] if it does not.
    pub fn check_index(&self, index: Guest<u16>) -> Result<u16, Corrupt> {
        index.check("write_idx", 0..=self.slots - 1)
    }

    /// What the sound is; its rate is the true one.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The rate that the rate code announces. Unit: Hz. Differs from the true one for rates that are not multiples of
    /// 44 100 or 48 000; 0 for those between the two.
    pub const fn announced_hz(&self) -> u32 {
        self.announced_hz
    }

    /// Slots of the ring, as the guest counts them: 2 to 65 535.
    pub const fn slots(&self) -> u16 {
        self.slots
    }

    /// Slots that lie wholly inside the region; the others are never read.
    pub const fn whole_slots(&self) -> u16 {
        self.whole_slots
    }

    /// Bytes of a chunk: a whole number of frames.
    pub const fn chunk_bytes(&self) -> u32 {
        self.chunk_bytes
    }

    /// Frames of a chunk.
    pub const fn chunk_frames(&self) -> u32 {
        self.chunk_bytes / self.format.frame_bytes()
    }

    /// Where slot `slot` starts, in bytes from the start of the region.
    pub const fn slot_offset(&self, slot: u16) -> u64 {
        self.offset + slot as u64 * self.chunk_bytes as u64
    }

    /// The bytes of slot `slot`.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if the slot is not one of [`Layout::whole_slots`].
    pub fn slot<'r>(&self, region: &'r Region, slot: u16) -> Result<Span<'r>, AccessError> {
        region.span(self.slot_offset(slot), u64::from(self.chunk_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Snapshot, WireHeader};
    use super::*;

    const REGION_BYTES: u64 = 2 << 20;

    fn check(wire: WireHeader, region_bytes: u64) -> Result<Layout, Corrupt> {
        let region = Region::memfd("scream-layout", 4096).unwrap();
        region.span(0, HEADER_BYTES).unwrap().copy_from(&wire.to_bytes()).unwrap();
        Layout::check(&Snapshot::take(&region).unwrap().decode(), region_bytes)
    }

    fn good() -> WireHeader {
        WireHeader {
            magic: MAGIC,
            write_idx: 7,
            offset: 24,
            max_chunks: 546,
            chunk_size: 3840,
            sample_rate: 1,
            sample_size: 16,
            channels: 2,
            channel_map: 3,
            ..WireHeader::default()
        }
    }

    #[test]
    fn the_vector_of_the_reference_names_its_newest_bytes() {
        let layout = check(good(), REGION_BYTES).unwrap();
        assert_eq!(layout.format(), Format::new(48_000, 16, 2, 3).unwrap());
        assert_eq!(layout.slot_offset(7), 26_904);
        assert_eq!((layout.slots(), layout.whole_slots(), layout.chunk_frames()), (546, 546, 960));
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        let cases: [(&str, WireHeader); 21] = [
            ("magic", WireHeader { magic: 0, ..good() }),
            ("magic", WireHeader { magic: MAGIC.swap_bytes(), ..good() }),
            ("offset", WireHeader { offset: 0, ..good() }),
            ("offset", WireHeader { offset: 23, ..good() }),
            ("max_chunks", WireHeader { max_chunks: 0, ..good() }),
            ("max_chunks", WireHeader { max_chunks: 1, ..good() }),
            ("chunk_size", WireHeader { chunk_size: 0, ..good() }),
            ("chunk_size", WireHeader { chunk_size: 3841, ..good() }),
            ("chunk_size", WireHeader { chunk_size: 3842, ..good() }),
            ("chunk_size", WireHeader { chunk_size: 636, ..good() }),
            ("chunk_size", WireHeader { chunk_size: 1 << 20, ..good() }),
            ("chunk_size", WireHeader { chunk_size: u32::MAX, ..good() }),
            ("sample_size", WireHeader { sample_size: 0, ..good() }),
            ("sample_size", WireHeader { sample_size: 8, ..good() }),
            ("sample_size", WireHeader { sample_size: 17, ..good() }),
            ("channels", WireHeader { channels: 0, ..good() }),
            ("channels", WireHeader { channels: 9, ..good() }),
            ("channels", WireHeader { channels: 255, ..good() }),
            ("sample_rate", WireHeader { sample_rate: 0, ..good() }),
            ("sample_rate", WireHeader { sample_rate: 0x80, ..good() }),
            // The packed-structure trap: what a reader without the holes would take for chunk_size.
            ("chunk_size", WireHeader { chunk_size: 0x0F00_0000, ..good() }),
        ];
        for (field, wire) in cases {
            assert_eq!(check(wire, REGION_BYTES).unwrap_err().field, field, "{wire:?}");
        }
    }

    #[test]
    fn the_length_of_a_chunk_tells_the_true_rate() {
        for (rate, code) in [(64_000, 0x01), (46_000, 0x00), (176_400, 0x84), (143_950, 0x02), (48_000, 0x02)] {
            let wire = WireHeader { chunk_size: rate / 50 * 4, sample_rate: code, ..good() };
            let layout = check(wire, REGION_BYTES).unwrap();
            assert_eq!((layout.format().rate_hz(), layout.announced_hz()), (rate, rate_of_code(code)));
        }
    }

    #[test]
    fn the_index_must_name_a_slot() {
        let layout = check(good(), REGION_BYTES).unwrap();
        assert_eq!(layout.check_index(Guest::new(545)), Ok(545));
        assert_eq!(
            layout.check_index(Guest::new(546)).unwrap_err().to_string(),
            "write_idx is 546, allowed is 0 to 545"
        );
    }

    #[test]
    fn a_last_slot_past_the_end_does_not_make_the_header_wrong() {
        // 255 MiB is 69 632 chunks of 3840 bytes exactly, which leaves no room for the header, and wraps in 16 bits.
        let bytes = 255 << 20;
        assert_eq!(bytes % 3840, 0);
        let slots = (bytes / 3840) as u16;
        let layout = check(WireHeader { max_chunks: slots, ..good() }, bytes).unwrap();
        assert_eq!((layout.slots(), layout.whole_slots()), (slots, slots), "the wrapped count is far from the end");
        // The same where nothing wraps.
        let layout = check(WireHeader { max_chunks: 10, ..good() }, 10 * 3840).unwrap();
        assert_eq!((layout.slots(), layout.whole_slots()), (10, 9));
        let region = Region::memfd("scream-layout", 10 * 3840).unwrap();
        assert!(layout.slot(&region, 8).is_ok());
        assert!(matches!(layout.slot(&region, 9), Err(AccessError::OutOfBounds { .. })));
    }

    #[test]
    fn a_region_without_room_for_two_slots_is_refused() {
        assert!(check(good(), 24 + 2 * 3840).is_ok());
        for bytes in [0, 1, 24, 24 + 3840, 24 + 2 * 3840 - 1] {
            assert_eq!(check(good(), bytes).unwrap_err().field, "chunk_size", "{bytes}");
        }
    }

    #[test]
    fn slots_start_where_the_offset_field_says() {
        let layout = check(WireHeader { offset: 255, ..good() }, REGION_BYTES).unwrap();
        assert_eq!((layout.slot_offset(0), layout.slot_offset(3)), (255, 255 + 3 * 3840));
    }

    #[test]
    fn all_masks_are_passed_on_as_announced() {
        for mask in [0, 3, 4, 0x107, 0x63F, 0xFFFF] {
            assert_eq!(check(WireHeader { channel_map: mask, ..good() }, REGION_BYTES).unwrap().format().mask(), mask);
        }
    }
}
