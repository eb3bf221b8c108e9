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
    // The words of a slot's header are these fields.
    assert!(KIND.offset == slot_word_at(0) && LEN.offset == slot_word_at(0) + 4);
    assert!(SINCE_CAPTURE_NS.offset == slot_word_at(1) && SINCE_PREVIOUS_NS.offset == slot_word_at(2));
    assert!(COVERS_NS.offset == slot_word_at(SLOT_WORDS as u32 - 1));
    assert!(MAX_PAYLOAD_BYTES.checked_next_multiple_of(LINE_BYTES).is_some());
};

/// How much of the header is read as a snapshot, from its start: all that is not a control word.
pub(super) const HEADER_SNAPSHOT_BYTES: u32 = 28;
/// Words of a slot's header behind the sequence word.
pub(super) const SLOT_WORDS: usize = 4;

/// Offset of one of them from the start of the slot.
pub(super) const fn slot_word_at(index: u32) -> u32 {
    SEQUENCE.offset + SEQUENCE.width + 8 * index
}

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
            magic: Guest::new(u64_at(bytes, MAGIC_AT)),
            version: Guest::new(u32_at(bytes, VERSION_AT)),
            first_slot: Guest::new(u32_at(bytes, FIRST_SLOT)),
            slots: Guest::new(u32_at(bytes, SLOTS)),
            slot_bytes: Guest::new(u32_at(bytes, SLOT_BYTES)),
            payload_bytes: Guest::new(u32_at(bytes, PAYLOAD_BYTES)),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_SNAPSHOT_BYTES as usize] {
        let mut bytes = [0; HEADER_SNAPSHOT_BYTES as usize];
        put(&mut bytes, MAGIC_AT, &self.magic.distrusted().to_le_bytes());
        put(&mut bytes, VERSION_AT, &self.version.distrusted().to_le_bytes());
        put(&mut bytes, FIRST_SLOT, &self.first_slot.distrusted().to_le_bytes());
        put(&mut bytes, SLOTS, &self.slots.distrusted().to_le_bytes());
        put(&mut bytes, SLOT_BYTES, &self.slot_bytes.distrusted().to_le_bytes());
        put(&mut bytes, PAYLOAD_BYTES, &self.payload_bytes.distrusted().to_le_bytes());
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

/// A slot's header but for its sequence word, as it is moved: each word by one load or one store, so that four numbers
/// take four moves (`rx-bench run handover` shows what a copy through bytes costs).
pub(super) type SlotWords = [u64; SLOT_WORDS];

impl SlotHeader {
    pub(super) fn decode(words: SlotWords) -> SlotHeader {
        let [kind_len, since_capture_ns, since_previous_ns, covers_ns] = words;
        SlotHeader {
            // The casts take the lower and the upper half.
            kind: Guest::new(kind_len as u32),
            len: Guest::new((kind_len >> 32) as u32),
            since_capture_ns: Guest::new(since_capture_ns),
            since_previous_ns: Guest::new(since_previous_ns),
            covers_ns: Guest::new(covers_ns),
        }
    }

    pub(super) fn encode(&self) -> SlotWords {
        let kind_len = u64::from(self.kind.distrusted()) | u64::from(self.len.distrusted()) << 32;
        [kind_len, self.since_capture_ns.distrusted(), self.since_previous_ns.distrusted(), self.covers_ns.distrusted()]
    }
}

// Offsets are constants of this file and snapshots have constant lengths, so these ranges cannot be out of bounds.
fn bytes_at<const N: usize>(bytes: &[u8], field: Field) -> [u8; N] {
    let at = field.offset as usize;
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

fn u32_at(bytes: &[u8], field: Field) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, field))
}

fn u64_at(bytes: &[u8], field: Field) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, field))
}

fn put(bytes: &mut [u8], field: Field, value: &[u8]) {
    let at = field.offset as usize;
    bytes[at..at + value.len()].copy_from_slice(value);
}
