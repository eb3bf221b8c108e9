//! The layout of version 1: offsets, widths and limits, and the two blocks that are read as snapshots. The same table
//! is in `RING.md`, which a test compares field by field. All numbers are little-endian.

use crate::guest::Guest;

/// First 8 bytes of a ring, read as one little-endian number: `RX-RING` and a zero.
pub const MAGIC: u64 = u64::from_le_bytes(*b"RX-RING\0");
/// The version described here.
pub const VERSION: u32 = 1;

/// Everything is aligned to this many bytes: one cache line.
pub const LINE_BYTES: u32 = 64;
/// Length of the ring's header: three lines, so that words with different owners of attention share none.
pub const HEADER_BYTES: u32 = 192;
/// Length of a slot's header; the payload follows at once.
pub const SLOT_HEADER_BYTES: u32 = 64;

/// Fewest slots: one is being written, one can be read.
pub const MIN_SLOTS: u32 = 2;
/// Most slots. A writer that starts clears one word in each.
pub const MAX_SLOTS: u32 = 1 << 16;
/// Largest payload of a slot in bytes: with its header and rounded up it still fits in 32 bits.
pub const MAX_PAYLOAD_BYTES: u32 = u32::MAX - 2 * LINE_BYTES;
/// Longest duration on the wire in nanoseconds: one hour. Longer ones are written as this.
pub const MAX_DURATION_NS: u64 = 3_600_000_000_000;
/// The largest number a publication can have. Twice it still fits in a sequence word.
pub const MAX_NUMBER: u64 = 1 << 62;

/// One field of a block: what it is called, where it starts and how wide it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as `RING.md` spells it.
    pub name: &'static str,
    /// Offset from the start of the block in bytes.
    pub offset: u32,
    /// Width in bytes.
    pub width: u32,
}

const fn field(name: &'static str, offset: u32, width: u32) -> Field {
    Field { name, offset, width }
}

// The header. Line 0 changes only when a writer starts; the heartbeat and the count have a line each.
const MAGIC_AT: Field = field("magic", 0, 8);
const VERSION_AT: Field = field("version", 8, 4);
const FIRST_SLOT: Field = field("first_slot", 12, 4);
const SLOTS: Field = field("slots", 16, 4);
const SLOT_BYTES: Field = field("slot_bytes", 20, 4);
const PAYLOAD_BYTES: Field = field("payload_bytes", 24, 4);
/// Control word, 8 bytes: odd while the header is being written, else even and different for each start of a writer.
pub const GENERATION: Field = field("generation", 32, 8);
/// Control word, 8 bytes: goes up while the writer lives.
pub const HEARTBEAT: Field = field("heartbeat", 64, 8);
/// Control word, 8 bytes: number of the newest complete publication.
pub const PUBLISHED: Field = field("published", 128, 8);

// The header of a slot.
/// Control word, 8 bytes: `2n - 1` while publication n is being written, `2n` when it is whole, 0 before the first.
pub const SEQUENCE: Field = field("sequence", 0, 8);
const KIND: Field = field("kind", 8, 4);
const LEN: Field = field("len", 12, 4);
const SINCE_CAPTURE_NS: Field = field("since_capture_ns", 16, 8);
const SINCE_PREVIOUS_NS: Field = field("since_previous_ns", 24, 8);
const COVERS_NS: Field = field("covers_ns", 32, 8);

/// Every field of the header.
pub const HEADER_FIELDS: [Field; 9] =
    [MAGIC_AT, VERSION_AT, FIRST_SLOT, SLOTS, SLOT_BYTES, PAYLOAD_BYTES, GENERATION, HEARTBEAT, PUBLISHED];

/// Every field of a slot's header.
pub const SLOT_FIELDS: [Field; 6] = [SEQUENCE, KIND, LEN, SINCE_CAPTURE_NS, SINCE_PREVIOUS_NS, COVERS_NS];

/// Ascending, not overlapping, each aligned to its own width, all inside the block.
const fn is_sound(fields: &[Field], block_bytes: u32) -> bool {
    let mut end = 0;
    let mut i = 0;
    while i < fields.len() {
        let Field { offset, width, .. } = fields[i];
        if offset < end || offset % width != 0 {
            return false;
        }
        end = offset + width;
        i += 1;
    }
    end <= block_bytes
}

const _: () = {
    assert!(is_sound(&HEADER_FIELDS, HEADER_BYTES) && is_sound(&SLOT_FIELDS, SLOT_HEADER_BYTES));
    assert!(HEADER_BYTES.is_multiple_of(LINE_BYTES) && SLOT_HEADER_BYTES.is_multiple_of(LINE_BYTES));
    // What changes often does not share a line with what readers look at all the time.
    assert!(PAYLOAD_BYTES.offset < 64 && GENERATION.offset < 64);
    assert!(HEARTBEAT.offset == 64 && PUBLISHED.offset == 128);
    // Snapshots are whole: the parts of them that are decoded end where the snapshots end.
    assert!(PAYLOAD_BYTES.offset + PAYLOAD_BYTES.width == HEADER_SNAPSHOT_BYTES);
    assert!(KIND.offset == SLOT_SNAPSHOT_AT && COVERS_NS.offset + COVERS_NS.width == 8 + SLOT_SNAPSHOT_BYTES);
    assert!(MAX_PAYLOAD_BYTES.checked_next_multiple_of(LINE_BYTES).is_some());
};

/// How much of the header is read as a snapshot, from its start: all that is not a control word.
pub(super) const HEADER_SNAPSHOT_BYTES: u32 = 28;
/// Where the snapshot of a slot's header starts: behind the sequence word.
pub(super) const SLOT_SNAPSHOT_AT: u32 = 8;
/// Its length.
pub(super) const SLOT_SNAPSHOT_BYTES: u32 = 32;

/// The part of the header that does not change within a generation, decoded and distrusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) magic: Guest<u64>,
    pub(super) version: Guest<u32>,
    pub(super) first_slot: Guest<u32>,
    pub(super) slots: Guest<u32>,
    pub(super) slot_bytes: Guest<u32>,
    pub(super) payload_bytes: Guest<u32>,
}

impl Header {
    pub(super) fn decode(bytes: &[u8; HEADER_SNAPSHOT_BYTES as usize]) -> Header {
        Header {
            magic: Guest::new(u64_at(bytes, MAGIC_AT, 0)),
            version: Guest::new(u32_at(bytes, VERSION_AT, 0)),
            first_slot: Guest::new(u32_at(bytes, FIRST_SLOT, 0)),
            slots: Guest::new(u32_at(bytes, SLOTS, 0)),
            slot_bytes: Guest::new(u32_at(bytes, SLOT_BYTES, 0)),
            payload_bytes: Guest::new(u32_at(bytes, PAYLOAD_BYTES, 0)),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_SNAPSHOT_BYTES as usize] {
        let mut bytes = [0; HEADER_SNAPSHOT_BYTES as usize];
        put(&mut bytes, MAGIC_AT, 0, &self.magic.distrusted().to_le_bytes());
        put(&mut bytes, VERSION_AT, 0, &self.version.distrusted().to_le_bytes());
        put(&mut bytes, FIRST_SLOT, 0, &self.first_slot.distrusted().to_le_bytes());
        put(&mut bytes, SLOTS, 0, &self.slots.distrusted().to_le_bytes());
        put(&mut bytes, SLOT_BYTES, 0, &self.slot_bytes.distrusted().to_le_bytes());
        put(&mut bytes, PAYLOAD_BYTES, 0, &self.payload_bytes.distrusted().to_le_bytes());
        bytes
    }
}

/// What a slot says about its payload, decoded and distrusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotHeader {
    pub(super) kind: Guest<u32>,
    pub(super) len: Guest<u32>,
    pub(super) since_capture_ns: Guest<u64>,
    pub(super) since_previous_ns: Guest<u64>,
    pub(super) covers_ns: Guest<u64>,
}

impl SlotHeader {
    pub(super) fn decode(bytes: &[u8; SLOT_SNAPSHOT_BYTES as usize]) -> SlotHeader {
        SlotHeader {
            kind: Guest::new(u32_at(bytes, KIND, SLOT_SNAPSHOT_AT)),
            len: Guest::new(u32_at(bytes, LEN, SLOT_SNAPSHOT_AT)),
            since_capture_ns: Guest::new(u64_at(bytes, SINCE_CAPTURE_NS, SLOT_SNAPSHOT_AT)),
            since_previous_ns: Guest::new(u64_at(bytes, SINCE_PREVIOUS_NS, SLOT_SNAPSHOT_AT)),
            covers_ns: Guest::new(u64_at(bytes, COVERS_NS, SLOT_SNAPSHOT_AT)),
        }
    }

    pub(super) fn encode(&self) -> [u8; SLOT_SNAPSHOT_BYTES as usize] {
        let mut bytes = [0; SLOT_SNAPSHOT_BYTES as usize];
        put(&mut bytes, KIND, SLOT_SNAPSHOT_AT, &self.kind.distrusted().to_le_bytes());
        put(&mut bytes, LEN, SLOT_SNAPSHOT_AT, &self.len.distrusted().to_le_bytes());
        put(&mut bytes, SINCE_CAPTURE_NS, SLOT_SNAPSHOT_AT, &self.since_capture_ns.distrusted().to_le_bytes());
        put(&mut bytes, SINCE_PREVIOUS_NS, SLOT_SNAPSHOT_AT, &self.since_previous_ns.distrusted().to_le_bytes());
        put(&mut bytes, COVERS_NS, SLOT_SNAPSHOT_AT, &self.covers_ns.distrusted().to_le_bytes());
        bytes
    }
}

// Offsets are constants of this file and snapshots have constant lengths, so these ranges cannot be out of bounds.
fn bytes_at<const N: usize>(bytes: &[u8], field: Field, base: u32) -> [u8; N] {
    let at = (field.offset - base) as usize;
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

fn u32_at(bytes: &[u8], field: Field, base: u32) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, field, base))
}

fn u64_at(bytes: &[u8], field: Field, base: u32) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, field, base))
}

fn put(bytes: &mut [u8], field: Field, base: u32, value: &[u8]) {
    let at = (field.offset - base) as usize;
    bytes[at..at + value.len()].copy_from_slice(value);
}
