//! How much shared memory a display mode needs: what the B7 manual says, and what its program really uses. Pure.
//! Source: the wire reference, section 3.12.

use crate::picture::Size;

/// One MiB in bytes.
const MIB: u64 = 1 << 20;
/// What the producer needs besides pictures: header, user data, rings (about 6.3 KiB), twenty pointer places of 24 bytes,
/// three pointer shapes of 1048600 bytes. Unit: bytes.
const FIXED_BYTES: u64 = 6500 + 20 * 24 + 3 * 1_048_600;
/// Where pictures begin: the largest alignment of the capture programs, Direct3D 12. Unit: bytes.
const ALIGN_BYTES: u64 = 65536;

/// How a guest stores a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 32 bits.
    Sdr,
    /// 64 bits: half floats, for a guest with HDR.
    Hdr,
}

impl Depth {
    const fn bytes(self) -> u64 {
        match self {
            Depth::Sdr => 4,
            Depth::Hdr => 8,
        }
    }
}

/// The size to give the VM's device, in MiB: a power of two, as the manual of B7 advises.
pub fn advised_mib(mode: Size, depth: Depth) -> u64 {
    let pictures = u64::from(mode.width) * u64::from(mode.height) * depth.bytes() * 2;
    // The sum in bytes, rounded up to whole MiB by the power of two.
    (pictures + 10 * MIB).div_ceil(MIB).next_power_of_two()
}

/// The smallest size in which the producer of B7 does not cut the picture, in MiB: a power of two.
pub fn least_mib(mode: Size, depth: Depth) -> u64 {
    let pitch = (u64::from(mode.width) * depth.bytes()).next_multiple_of(256);
    let picture = pitch * u64::from(mode.height);
    // Two slots, each with the pixels behind one alignment; their sum is rounded down before it is halved.
    let slots = 2 * (picture.next_multiple_of(ALIGN_BYTES) + ALIGN_BYTES) + ALIGN_BYTES;
    (FIXED_BYTES + slots).div_ceil(MIB).next_power_of_two()
}

/// A table for people.
pub fn table(modes: &[Size]) -> String {
    let mut text = String::from("mode         give the VM   least   with HDR   least\n");
    for mode in modes {
        let [sdr, hdr] = [Depth::Sdr, Depth::Hdr].map(|d| (advised_mib(*mode, d), least_mib(*mode, d)));
        let name = mode.to_string();
        let line = format!("{name:11}  {:>7} MiB  {:>4} M  {:>6} MiB  {:>4} M\n", sdr.0, sdr.1, hdr.0, hdr.1);
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_sizes_are_those_of_the_reference() {
        // mode, advised and least with 32 bits, the same with 64 bits
        for (width, height, sdr, least, hdr, hdr_least) in [
            (1280, 720, 32, 16, 32, 32),
            (1920, 1080, 32, 32, 64, 64),
            (1920, 1200, 32, 32, 64, 64),
            (2560, 1440, 64, 32, 128, 64),
            (2560, 1600, 64, 64, 128, 128),
            (3440, 1440, 64, 64, 128, 128),
            (3840, 1600, 64, 64, 128, 128),
            (3840, 2160, 128, 128, 256, 256),
            (5120, 1440, 128, 64, 128, 128),
            (5120, 2880, 128, 128, 256, 256),
            (7680, 4320, 512, 512, 1024, 512),
        ] {
            let mode = Size::new(width, height);
            assert_eq!((advised_mib(mode, Depth::Sdr), advised_mib(mode, Depth::Hdr)), (sdr, hdr), "{mode}");
            assert_eq!((least_mib(mode, Depth::Sdr), least_mib(mode, Depth::Hdr)), (least, hdr_least), "{mode}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_mode() {
        let text = table(&[Size::new(1920, 1080), Size::new(3840, 2160)]);
        assert!(text.lines().nth(1).unwrap().starts_with("1920x1080         32 MiB"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    proptest! {
        #[test]
        fn a_picture_fits_into_the_least_size(width in 16u32..8200, height in 16u32..4400) {
            use shm_proto::guest_sim::picture::PictureConfig;
            use shm_proto::kvmfr::Producer;
            use shm_proto::{HostTime, Region};
            let mut config = PictureConfig::new(width, height);
            config.producer.align_bytes = ALIGN_BYTES as u32;
            let region = Region::memfd("size", least_mib(Size::new(width, height), Depth::Sdr) * MIB).unwrap();
            let producer = Producer::start(&region, &config.producer, HostTime::ZERO).unwrap();
            prop_assert_eq!(producer.rows_that_fit(&config.spec), height);
        }
    }
}
