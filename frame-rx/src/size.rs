//! How much shared memory a display mode needs: what the manual of each Looking Glass says, and what its program really
//! uses. The formulas are the protocol's own: [`shm_proto::kvmfr::sizes`].

use crate::picture::Size;
use shm_proto::kvmfr::{PixelType, sizes};

/// How a guest stores a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 32 bits.
    Sdr,
    /// 64 bits: half floats, for a guest of B7 with HDR.
    Hdr,
}

impl Depth {
    const fn pixel(self) -> PixelType {
        match self {
            Depth::Sdr => PixelType::Bgra,
            Depth::Hdr => PixelType::Rgba16F,
        }
    }
}

/// The size to give the VM's device, in MiB: a power of two, as the manual of B7 advises.
pub const fn advised_mib(mode: Size, depth: Depth) -> u64 {
    sizes::b7_documented_mib(mode.width, mode.height, depth.pixel())
}

/// The smallest size in which the producer of B7 does not cut the picture, in MiB: a power of two.
pub fn least_mib(mode: Size, depth: Depth) -> u64 {
    let picture = sizes::picture_bytes(mode.width, mode.height, depth.pixel());
    sizes::device_mib(sizes::b7_needed_bytes(picture, sizes::B7_SLOTS))
}

/// What the manual of KVMFR 34 (development builds from August 2026) advises, and the smallest size in which its producer
/// offers the mode. Both in MiB, powers of two, the same with HDR.
pub const fn v34_mib(mode: Size) -> (u64, u64) {
    let picture = sizes::v34_picture_bytes(mode.width, mode.height);
    let least = sizes::device_mib(sizes::v34_needed_bytes(picture, sizes::V34_SLOTS));
    (sizes::v34_documented_mib(mode.width, mode.height), least)
}

/// A table for people.
pub fn table(modes: &[Size]) -> String {
    let mut text =
        String::from("MiB          B7 manual  least  with HDR  least   KVMFR 34 manual  least   give the VM\n");
    for mode in modes {
        let [sdr, hdr] = [Depth::Sdr, Depth::Hdr].map(|d| (advised_mib(*mode, d), least_mib(*mode, d)));
        let newer = v34_mib(*mode);
        // Enough for either, without HDR.
        let give = sdr.0.max(newer.0).max(newer.1);
        let line = format!(
            "{:11}  {:>9}  {:>5}  {:>8}  {:>5}   {:>15}  {:>5}   {give:>11}\n",
            mode.to_string(),
            sdr.0,
            sdr.1,
            hdr.0,
            hdr.1,
            newer.0,
            newer.1
        );
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shm_proto::kvmfr::sizes::{B7_ALIGN_BYTES, MIB};

    #[test]
    fn both_sizes_are_those_of_the_reference() {
        // mode, advised and least with 32 bits, the same with 64 bits, and of KVMFR 34
        for (width, height, sdr, least, hdr, hdr_least, newer) in [
            (1280, 720, 32, 16, 32, 32, (16, 32)),
            (1920, 1080, 32, 32, 64, 64, (32, 32)),
            (1920, 1200, 32, 32, 64, 64, (32, 64)),
            (2560, 1440, 64, 32, 128, 64, (64, 64)),
            (2560, 1600, 64, 64, 128, 128, (64, 64)),
            (3440, 1440, 64, 64, 128, 128, (64, 64)),
            (3840, 1600, 64, 64, 128, 128, (128, 128)),
            (3840, 2160, 128, 128, 256, 256, (128, 128)),
            (5120, 1440, 128, 64, 128, 128, (128, 128)),
            (5120, 2880, 128, 128, 256, 256, (256, 256)),
            (7680, 4320, 512, 512, 1024, 512, (512, 512)),
        ] {
            let mode = Size::new(width, height);
            assert_eq!((advised_mib(mode, Depth::Sdr), advised_mib(mode, Depth::Hdr)), (sdr, hdr), "{mode}");
            assert_eq!((least_mib(mode, Depth::Sdr), least_mib(mode, Depth::Hdr)), (least, hdr_least), "{mode}");
            assert_eq!(v34_mib(mode), newer, "{mode}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_mode() {
        let text = table(&[Size::new(1920, 1080), Size::new(3840, 2160)]);
        assert!(text.lines().nth(1).unwrap().starts_with("1920x1080           32     32        64     64"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 92) && text.lines().count() == 3, "{text}");
    }

    proptest! {
        #[test]
        fn a_picture_fits_into_the_least_size(width in 16u32..8200, height in 16u32..4400) {
            use shm_proto::guest_sim::picture::PictureConfig;
            use shm_proto::kvmfr::Producer;
            use shm_proto::{HostTime, Region};
            let mut config = PictureConfig::new(width, height);
            config.producer.align_bytes = B7_ALIGN_BYTES as u32;
            let region = Region::memfd("size", least_mib(Size::new(width, height), Depth::Sdr) * MIB).unwrap();
            let producer = Producer::start(&region, &config.producer, HostTime::ZERO).unwrap();
            prop_assert_eq!(producer.rows_that_fit(&config.spec), height);
        }
    }
}
