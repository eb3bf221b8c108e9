//! How large a region must be for a picture: what the manual of each Looking Glass generation says, and what its program
//! really uses. Pure. Source: the wire reference, section 3.12; the tests hold its tables.

use super::pixel::PixelType;
use super::producer::PictureSpec;

/// One MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// Where pictures begin in B7: the largest alignment of its capture programs, Direct3D 12. Unit: bytes.
pub const B7_ALIGN_BYTES: u64 = 65_536;
/// What B7 needs besides pictures: header, user data, rings of the stock length (about 6.3 KiB), twenty pointer places of
/// 24 bytes, three shapes of 1048600. Unit: bytes.
const B7_FIXED_BYTES: u64 = 6500 + 20 * 24 + 3 * 1_048_600;
/// Frame slots of B7.
pub const B7_SLOTS: u32 = 2;
/// The grain of slots in KVMFR 34, and what it keeps at the end of the region for recovery. Unit: bytes.
pub const V34_GRAIN_BYTES: u64 = 65_536;
/// What KVMFR 34 needs besides pictures: 5.33 MiB. Unit: bytes.
const V34_FIXED_BYTES: u64 = 5_588_910;
/// Frame buffers of KVMFR 34.
pub const V34_SLOTS: u32 = 3;

/// Bytes of a picture as a stock producer stores it, with the padding of its rows.
pub fn picture_bytes(width: u32, height: u32, pixel: PixelType) -> u64 {
    PictureSpec::new(pixel, width, height).bytes()
}

/// A region's size as a VM is given it: a power of two, at least 1 MiB. Unit: MiB.
pub const fn device_mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB).next_power_of_two()
}

/// What the manual of B7 says, which knows 32 and 64 bits for a pixel only. Unit: MiB.
pub const fn b7_documented_mib(width: u32, height: u32, pixel: PixelType) -> u64 {
    let pixel_bytes = if matches!(pixel, PixelType::Rgba16F) { 8 } else { 4 };
    device_mib(width as u64 * height as u64 * pixel_bytes * 2 + 10 * MIB)
}

/// What a producer like B7 needs with so many frame slots (stock: [`B7_SLOTS`]) so that it does not cut the picture. Unit:
/// bytes.
pub const fn b7_needed_bytes(picture_bytes: u64, slots: u32) -> u64 {
    let slot = picture_bytes.next_multiple_of(B7_ALIGN_BYTES) + B7_ALIGN_BYTES;
    // A ring has one entry of 16 bytes per slot, three of them counted above.
    B7_FIXED_BYTES + 16 * slots as u64 + slots as u64 * slot + B7_ALIGN_BYTES
}

/// What the manual of KVMFR 34 says. Its pictures have 32 bits for a pixel, with HDR too. Unit: MiB.
pub const fn v34_documented_mib(width: u32, height: u32) -> u64 {
    device_mib(v34_picture_bytes(width, height) * V34_SLOTS as u64 + 4 * MIB)
}

/// What a producer of KVMFR 34 needs with so many buffers (stock: [`V34_SLOTS`]) for pictures of this many bytes. Unit:
/// bytes.
pub const fn v34_needed_bytes(picture_bytes: u64, slots: u32) -> u64 {
    let slot = (picture_bytes + V34_GRAIN_BYTES).next_multiple_of(V34_GRAIN_BYTES);
    // One grain for recovery, one since the first slot begins at a multiple of it.
    V34_FIXED_BYTES + 2 * V34_GRAIN_BYTES + slots as u64 * slot
}

/// Bytes of a picture of KVMFR 34: 32 bits for a pixel, rows at multiples of 256 bytes.
pub const fn v34_picture_bytes(width: u32, height: u32) -> u64 {
    (width as u64 * 4).next_multiple_of(256) * height as u64
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_formulas_give_the_published_tables() {
        for (width, height, expected) in TABLE {
            let [sdr, hdr] = [PixelType::Bgra, PixelType::Rgba16F];
            let b7 = |pixel| device_mib(b7_needed_bytes(picture_bytes(width, height, pixel), B7_SLOTS));
            let got = [
                b7_documented_mib(width, height, sdr),
                b7_documented_mib(width, height, hdr),
                b7(sdr),
                b7(hdr),
                v34_documented_mib(width, height),
                device_mib(v34_needed_bytes(v34_picture_bytes(width, height), V34_SLOTS)),
            ];
            assert_eq!(got, expected, "{width}x{height}");
        }
    }

    #[test]
    fn a_picture_of_32_bits_is_as_large_in_either_generation() {
        for (width, height, _) in TABLE {
            assert_eq!(picture_bytes(width, height, PixelType::Bgra), v34_picture_bytes(width, height));
        }
    }
}
