//! The 24 bytes at the start of a Scream region: their layout, a snapshot of them, and what else may lie there instead.
//!
//! Nothing is judged here: a snapshot decodes into [`Guest`] fields, and [`Layout::check`](super::Layout::check) decides.
//! Source of all offsets: the wire reference of Scream 4.0, section 2.2; natural alignment, so there are three holes.

use crate::guest::Guest;
use crate::raw::map::Region;
use crate::span::AccessError;
use bytemuck::{Pod, Zeroable};
use core::fmt;
use core::mem::offset_of;

/// The magic while a stream exists; the bytes `14 20 11 11`. Zero while there is none.
pub const MAGIC: u32 = 0x1111_2014;
/// Length of the header in bytes. The driver always puts slot 0 right behind it.
pub const HEADER_BYTES: u64 = 24;

/// The header as it lies in the region, in the host's byte order. Holds what a writer wants to write, or what a
/// snapshot found; to act on the latter, take the [`Header`] from the [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct WireHeader {
    /// [`MAGIC`] while a stream exists, else 0.
    pub magic: u32,
    /// Index of the chunk written last (not of the next one).
    pub write_idx: u16,
    /// Byte position of slot 0 in the region. Unit: bytes.
    pub offset: u8,
    /// Hole in the layout; zero.
    pub pad_7: u8,
    /// Number of slots.
    pub max_chunks: u16,
    /// Hole in the layout; zero.
    pub pad_10: [u8; 2],
    /// Length of a slot. Unit: bytes.
    pub chunk_size: u32,
    /// Rate code: bit 7 chooses the base (1: 44 100 Hz, 0: 48 000 Hz), the rest multiplies it.
    pub sample_rate: u8,
    /// Bits of a sample: 16, 24 or 32.
    pub sample_size: u8,
    /// Channels, 1 to 8.
    pub channels: u8,
    /// Hole in the layout; zero.
    pub pad_19: u8,
    /// Low 16 bits of the Windows speaker mask.
    pub channel_map: u16,
    /// Hole in the layout; zero.
    pub pad_22: [u8; 2],
}

const _: () = {
    assert!(size_of::<WireHeader>() == HEADER_BYTES as usize);
    assert!(offset_of!(WireHeader, magic) == 0);
    assert!(offset_of!(WireHeader, write_idx) == 4);
    assert!(offset_of!(WireHeader, offset) == 6);
    assert!(offset_of!(WireHeader, max_chunks) == 8);
    assert!(offset_of!(WireHeader, chunk_size) == 12);
    assert!(offset_of!(WireHeader, sample_rate) == 16);
    assert!(offset_of!(WireHeader, sample_size) == 17);
    assert!(offset_of!(WireHeader, channels) == 18);
    assert!(offset_of!(WireHeader, channel_map) == 20);
};

impl WireHeader {
    /// The header as bytes of the region.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES as usize] {
        bytemuck::cast(self.swapped_on_big_endian())
    }

    /// The header from bytes of the region.
    pub fn from_bytes(bytes: [u8; HEADER_BYTES as usize]) -> WireHeader {
        bytemuck::cast::<_, WireHeader>(bytes).swapped_on_big_endian()
    }

    // Little-endian numbers to the host's order and back: the same exchange in both directions.
    fn swapped_on_big_endian(self) -> WireHeader {
        WireHeader {
            magic: u32::from_le(self.magic),
            write_idx: u16::from_le(self.write_idx),
            max_chunks: u16::from_le(self.max_chunks),
            chunk_size: u32::from_le(self.chunk_size),
            channel_map: u16::from_le(self.channel_map),
            ..self
        }
    }
}

/// The header's fields, decoded and distrusted.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// See [`WireHeader::magic`].
    pub magic: Guest<u32>,
    /// See [`WireHeader::write_idx`].
    pub write_idx: Guest<u16>,
    /// See [`WireHeader::offset`].
    pub offset: Guest<u8>,
    /// See [`WireHeader::max_chunks`].
    pub max_chunks: Guest<u16>,
    /// See [`WireHeader::chunk_size`].
    pub chunk_size: Guest<u32>,
    /// See [`WireHeader::sample_rate`].
    pub sample_rate: Guest<u8>,
    /// See [`WireHeader::sample_size`].
    pub sample_size: Guest<u8>,
    /// See [`WireHeader::channels`].
    pub channels: Guest<u8>,
    /// See [`WireHeader::channel_map`].
    pub channel_map: Guest<u16>,
}

/// One look at the 24 bytes: three loads of eight bytes each, so magic, index and offset are from one instant, and the
/// rest is no older than they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Snapshot([u64; 3]);

/// The bits that say which stream this is: everything but the index and the holes.
const STREAM_BITS: [u64; 3] = bytes_as_words([
    255, 255, 255, 255, 0, 0, 255, 0, 255, 255, 0, 0, 255, 255, 255, 255, 255, 255, 255, 0, 255, 255, 0, 0,
]);

const fn bytes_as_words(bytes: [u8; HEADER_BYTES as usize]) -> [u64; 3] {
    let mut words = [0; 3];
    let mut at = 0;
    while at < 3 {
        let mut word = [0; 8];
        let mut byte = 0;
        while byte < 8 {
            word[byte] = bytes[at * 8 + byte];
            byte += 1;
        }
        words[at] = u64::from_ne_bytes(word);
        at += 1;
    }
    words
}

impl Snapshot {
    /// Looks at the header of `region`. What the guest stored before the values seen here is visible afterwards.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if the region is shorter than a header, [`AccessError::Gone`] if the file shrank.
    #[inline]
    pub fn take(region: &Region) -> Result<Snapshot, AccessError> {
        let header = region.span(0, HEADER_BYTES)?;
        let first = header.read_word::<u64>(0)?.load_acquire();
        let second = header.read_word::<u64>(8)?.load_acquire();
        let third = header.read_word::<u64>(16)?.load_acquire();
        region.check_alive()?;
        Ok(Snapshot([first, second, third]))
    }

    /// Whether `other` shows the same stream: equal in everything but the index and the holes.
    #[inline]
    pub fn same_stream(self, other: Snapshot) -> bool {
        let differing = |at: usize| (self.0[at] ^ other.0[at]) & STREAM_BITS[at];
        differing(0) | differing(1) | differing(2) == 0
    }

    /// The index of the chunk written last.
    #[inline]
    pub fn write_idx(self) -> Guest<u16> {
        let [_, _, _, _, low, high, _, _] = self.0[0].to_ne_bytes();
        Guest::new(u16::from_le_bytes([low, high]))
    }

    /// All fields.
    pub fn decode(self) -> Header {
        let wire = WireHeader::from_bytes(bytemuck::cast(self.0));
        Header {
            magic: Guest::new(wire.magic),
            write_idx: Guest::new(wire.write_idx),
            offset: Guest::new(wire.offset),
            max_chunks: Guest::new(wire.max_chunks),
            chunk_size: Guest::new(wire.chunk_size),
            sample_rate: Guest::new(wire.sample_rate),
            sample_size: Guest::new(wire.sample_size),
            channels: Guest::new(wire.channels),
            channel_map: Guest::new(wire.channel_map),
        }
    }

    fn first_bytes(self) -> [u8; 8] {
        self.0[0].to_ne_bytes()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({:?})", WireHeader::from_bytes(bytemuck::cast(self.0)))
    }
}

/// Whose region this is, if it is not Scream's. Two devices of one size are a trap: the driver chooses by size alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Looking Glass: "LGMP" at one of the places where its versions put it, or its recovery block near the end.
    LookingGlass,
    /// The sound device of StratoVirt, which is called Scream too and has another layout.
    StratoVirt,
    /// The lock-free ring of this project.
    RxRing,
    /// A magic that nobody here knows.
    Unknown(u32),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::LookingGlass => f.write_str("this region is Looking Glass's, not Scream's"),
            Foreign::StratoVirt => f.write_str("this region has StratoVirt's own sound layout, not Scream's"),
            Foreign::RxRing => f.write_str("this region holds an rx ring, not Scream's sound"),
            Foreign::Unknown(magic) => write!(f, "this region starts with {magic:#010x}, which is not Scream's"),
        }
    }
}

/// "LGMP", as the bytes lie in memory.
const LGMP: [u8; 4] = *b"LGMP";
/// Where LGMP's magic lies and which versions put it there (the version follows the magic). Source: the LGMP wire
/// reference, section 1.3. A version at another place is a leftover and does not count.
const LGMP_PLACES: [(u64, core::ops::RangeInclusive<u32>); 4] =
    [(0, 0..=8), (8, 9..=10), (8064, 10..=11), (9664, 12..=64)];
/// Looking Glass's recovery block lies this far before the end. Source: the same, section 3.13.
const RECOVERY_FROM_END_BYTES: u64 = 65_536;
const RECOVERY: [u8; 8] = *b"KVMFRRCV";
const STRATOVIRT: [u8; 8] = 0x0203_2023_u64.to_le_bytes();
const RX_RING: [u8; 8] = *b"RX-RING\0";

impl Foreign {
    /// Who the region belongs to, given that `snapshot` does not carry Scream's magic. `None`: nobody yet.
    ///
    /// # Errors
    /// [`AccessError::Gone`] if the file shrank.
    pub fn find(region: &Region, snapshot: Snapshot) -> Result<Option<Foreign>, AccessError> {
        let first = snapshot.first_bytes();
        if first == STRATOVIRT {
            return Ok(Some(Foreign::StratoVirt));
        }
        if first == RX_RING {
            return Ok(Some(Foreign::RxRing));
        }
        // A magic at the very start counts whatever version follows it.
        if first.starts_with(&LGMP) || is_looking_glass(region)? {
            return Ok(Some(Foreign::LookingGlass));
        }
        let [a, b, c, d, ..] = first;
        let magic = u32::from_le_bytes([a, b, c, d]);
        Ok((magic != 0).then_some(Foreign::Unknown(magic)))
    }
}

fn is_looking_glass(region: &Region) -> Result<bool, AccessError> {
    let whole = region.whole();
    for (at, versions) in LGMP_PLACES {
        if at + 8 > region.len() {
            continue;
        }
        let [a, b, c, d, version @ ..] = whole.read_array::<8>(at)?;
        if [a, b, c, d] == LGMP && versions.contains(&u32::from_le_bytes(version)) {
            return Ok(true);
        }
    }
    match region.len().checked_sub(RECOVERY_FROM_END_BYTES) {
        Some(at) => Ok(whole.read_array::<8>(at)? == RECOVERY),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region_with(at: u64, bytes: &[u8]) -> Region {
        let region = Region::memfd("scream-wire", 1 << 20).unwrap();
        region.span(at, bytes.len() as u64).unwrap().copy_from(bytes).unwrap();
        region
    }

    /// Reference, section 2.11: 48 kHz, 16 bit, stereo, 2 MiB, 7 chunks published.
    const VECTOR: [u8; 24] = [
        0x14, 0x20, 0x11, 0x11, 0x07, 0x00, 0x18, 0x00, 0x22, 0x02, 0x00, 0x00, 0x00, 0x0F, 0x00, 0x00, 0x01, 0x10,
        0x02, 0x00, 0x03, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn the_vector_of_the_reference_decodes_field_by_field() {
        let header = Snapshot::take(&region_with(0, &VECTOR)).unwrap().decode();
        assert_eq!(header.magic.distrusted(), MAGIC);
        assert_eq!(header.write_idx.distrusted(), 7);
        assert_eq!(header.offset.distrusted(), 24);
        assert_eq!(header.max_chunks.distrusted(), 546);
        assert_eq!(header.chunk_size.distrusted(), 3840);
        assert_eq!(header.sample_rate.distrusted(), 0x01);
        assert_eq!(header.sample_size.distrusted(), 16);
        assert_eq!(header.channels.distrusted(), 2);
        assert_eq!(header.channel_map.distrusted(), 3);
        assert_eq!(WireHeader::from_bytes(VECTOR).to_bytes(), VECTOR);
    }

    #[test]
    fn only_the_index_and_the_holes_may_differ_in_one_stream() {
        let of = |bytes: &[u8]| Snapshot::take(&region_with(0, bytes)).unwrap();
        for byte in 0..24 {
            let mut other = VECTOR;
            other[byte] ^= 0x40;
            let free = matches!(byte, 4 | 5 | 7 | 10 | 11 | 19 | 22 | 23);
            assert_eq!(of(&VECTOR).same_stream(of(&other)), free, "byte {byte}");
        }
    }

    #[test]
    fn foreign_regions_are_known_by_name() {
        let lgmp = |version: u32| [*b"LGMP", version.to_le_bytes()].concat();
        let cases: [(u64, Vec<u8>, Option<Foreign>); 12] = [
            (0, vec![0; 8], None),
            (0, lgmp(6), Some(Foreign::LookingGlass)),
            (0, lgmp(4711), Some(Foreign::LookingGlass)),
            (8, lgmp(9), Some(Foreign::LookingGlass)),
            (8064, lgmp(11), Some(Foreign::LookingGlass)),
            (8064, lgmp(6), None),
            (9664, lgmp(12), Some(Foreign::LookingGlass)),
            ((1 << 20) - 65_536, b"KVMFRRCV".to_vec(), Some(Foreign::LookingGlass)),
            (0, vec![0x23, 0x20, 0x03, 0x02, 0, 0, 0, 0], Some(Foreign::StratoVirt)),
            (0, b"RX-RING\0".to_vec(), Some(Foreign::RxRing)),
            (0, vec![0x15, 0x20, 0x11, 0x11], Some(Foreign::Unknown(0x1111_2015))),
            (4, vec![9; 8], None),
        ];
        for (at, bytes, expected) in cases {
            let region = region_with(at, &bytes);
            let found = Foreign::find(&region, Snapshot::take(&region).unwrap()).unwrap();
            assert_eq!(found, expected, "{bytes:02x?} at {at}");
        }
    }

    #[test]
    fn a_region_too_short_for_a_header_is_refused() {
        let region = Region::memfd("scream-wire", 23).unwrap();
        assert!(matches!(Snapshot::take(&region), Err(AccessError::OutOfBounds { limit: 23, .. })));
        let region = Region::memfd("scream-wire", 24).unwrap();
        assert_eq!(Foreign::find(&region, Snapshot::take(&region).unwrap()).unwrap(), None);
    }
}
