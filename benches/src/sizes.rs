//! How large a region must be: the published tables of both Looking Glass generations, what their programs really use,
//! what Scream's driver makes of a region, and our own ring. Pure. Sources: the wire references, KVMFR section 3.12 and
//! Scream section 2.3; the tests hold their tables.

use shm_proto::kvmfr::{PictureSpec, PixelType};
use shm_proto::ring::{Geometry, GeometryError};

/// One MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// What B7 needs besides pictures: header, user data, rings of the stock length (about 6.3 KiB), twenty pointer places of
/// 24 bytes, three shapes of 1048600. Unit: bytes.
const B7_FIXED_BYTES: u64 = 6500 + 20 * 24 + 3 * 1_048_600;
/// Where pictures begin in B7: the largest alignment of its capture programs, Direct3D 12. Unit: bytes.
pub const B7_ALIGN_BYTES: u64 = 65_536;
/// What KVMFR 34 needs besides pictures. Unit: bytes. Source: section 3.12, 5.33 MiB.
const V34_FIXED_BYTES: u64 = 5_588_910;
/// What KVMFR 34 keeps at the end for recovery, and the grain of its slots. Unit: bytes.
const V34_GRAIN_BYTES: u64 = 65_536;

/// Bytes of a picture as a stock producer stores it, with the padding of its rows.
pub fn picture_bytes(width: u32, height: u32, pixel: PixelType) -> u64 {
    PictureSpec::new(pixel, width, height).bytes()
}

/// A region's size as a VM is given it: a power of two, at least 1 MiB. Unit: MiB.
pub fn device_mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB).next_power_of_two()
}

/// What the manual of B7 says. Unit: MiB.
pub fn b7_documented_mib(width: u32, height: u32, pixel: PixelType) -> u64 {
    // The manual knows 32 and 64 bits for a pixel only.
    let bytes = if pixel == PixelType::Rgba16F { 8 } else { 4 };
    device_mib(u64::from(width) * u64::from(height) * bytes * 2 + 10 * MIB)
}

/// What a producer like B7 needs with `slots` frame slots (stock: 2) so that it does not cut the picture. Unit: bytes.
pub fn b7_needed_bytes(picture_bytes: u64, slots: u32) -> u64 {
    let slot = picture_bytes.next_multiple_of(B7_ALIGN_BYTES) + B7_ALIGN_BYTES;
    // A ring has one entry of 16 bytes per slot, three of them counted above.
    B7_FIXED_BYTES + 16 * u64::from(slots) + u64::from(slots) * slot + B7_ALIGN_BYTES
}

/// What the manual of KVMFR 34 says. Its pictures have 32 bits for a pixel, with HDR too. Unit: MiB.
pub fn v34_documented_mib(width: u32, height: u32) -> u64 {
    device_mib(v34_picture_bytes(width, height) * 3 + 4 * MIB)
}

/// What a producer of KVMFR 34 needs with `slots` buffers (stock: 3). Unit: bytes.
pub fn v34_needed_bytes(width: u32, height: u32, slots: u32) -> u64 {
    let slot = (v34_picture_bytes(width, height) + V34_GRAIN_BYTES).next_multiple_of(V34_GRAIN_BYTES);
    V34_FIXED_BYTES + V34_GRAIN_BYTES + u64::from(slots) * slot
}

/// Rows at multiples of 256 bytes.
fn v34_picture_bytes(width: u32, height: u32) -> u64 {
    (u64::from(width) * 4).next_multiple_of(256) * u64::from(height)
}

/// What our own ring needs for pictures of this many bytes. Unit: bytes.
///
/// # Errors
/// [`GeometryError`] where no ring has so many slots, or so large ones.
pub fn ring_needed_bytes(picture_bytes: u64, slots: u32) -> Result<u64, GeometryError> {
    let payload_bytes = u32::try_from(picture_bytes).unwrap_or(u32::MAX);
    Geometry::new(slots, payload_bytes).map(|geometry| geometry.region_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::scream::{Format, Writer};

    /// Modes, and per mode in MiB: B7's manual with 32 and 64 bits, B7 computed with both, KVMFR 34's manual, computed.
    const TABLE: [(u32, u32, [u64; 6]); 11] = [
        (1280, 720, [32, 32, 16, 32, 16, 32]),
        (1920, 1080, [32, 64, 32, 64, 32, 32]),
        (1920, 1200, [32, 64, 32, 64, 32, 64]),
        (2560, 1440, [64, 128, 32, 64, 64, 64]),
        (2560, 1600, [64, 128, 64, 128, 64, 64]),
        (3440, 1440, [64, 128, 64, 128, 64, 64]),
        (3840, 1600, [64, 128, 64, 128, 128, 128]),
        (3840, 2160, [128, 256, 128, 256, 128, 128]),
        (5120, 1440, [128, 128, 64, 128, 128, 128]),
        (5120, 2880, [128, 256, 128, 256, 256, 256]),
        (7680, 4320, [512, 1024, 512, 512, 512, 512]),
    ];

    #[test]
    fn the_formulas_give_the_published_tables_of_looking_glass() {
        for (width, height, expected) in TABLE {
            let [sdr, hdr] = [PixelType::Bgra, PixelType::Rgba16F];
            let b7 = |pixel| device_mib(b7_needed_bytes(picture_bytes(width, height, pixel), 2));
            let got = [
                b7_documented_mib(width, height, sdr),
                b7_documented_mib(width, height, hdr),
                b7(sdr),
                b7(hdr),
                v34_documented_mib(width, height),
                device_mib(v34_needed_bytes(width, height, 3)),
            ];
            assert_eq!(got, expected, "{width}x{height}");
        }
    }

    #[test]
    fn a_region_holds_as_many_chunks_of_scream_as_its_table_says() {
        for (rate_hz, bits, channels, chunk_bytes, at_1_mib, at_2_mib) in [
            (44_100, 16, 2, 3528, 297, 594),
            (48_000, 16, 2, 3840, 273, 546),
            (48_000, 24, 2, 5760, 182, 364),
            (48_000, 32, 2, 7680, 136, 273),
            (48_000, 16, 6, 11_520, 91, 182),
            (48_000, 16, 8, 15_360, 68, 136),
            (96_000, 32, 8, 61_440, 17, 34),
            (192_000, 32, 8, 122_880, 8, 17),
        ] {
            let format = Format::new(rate_hz, bits, channels, 0).unwrap();
            let slots = |mib| Writer::header_for(format, mib * MIB).unwrap().max_chunks;
            assert_eq!((format.chunk_bytes(), slots(1), slots(2)), (chunk_bytes, at_1_mib, at_2_mib), "{format:?}");
        }
    }

    #[test]
    fn a_ring_needs_its_slots_and_one_line_for_each() {
        assert_eq!(ring_needed_bytes(3840 * 4 * 2160, 3), Ok(192 + 3 * (64 + 3840 * 4 * 2160)));
        assert!(ring_needed_bytes(1 << 40, 2).is_err() && ring_needed_bytes(64, 1).is_err());
    }
}
