//! Frame headers: what an honest one gives, and what each field may not hold. One table, one check.

use shm_proto::Corrupt;
use shm_proto::kvmfr::frame::PayloadPlace;
use shm_proto::kvmfr::producer::picture_spec::FrameNumbers;
use shm_proto::kvmfr::wire::{FrameLayout, LAYOUTS, V20};
use shm_proto::kvmfr::{Frame, FrameFlags, PictureSpec, PixelType, Rect, Rotation};

const L: &FrameLayout = &V20.frame;
const DATA_WIDTH: usize = V20.frame.data_width.unwrap();
const DATA_HEIGHT: usize = V20.frame.data_height.unwrap();
const PLACE: PayloadPlace = PayloadPlace { offset: 1 << 20, len: 15_200_256, region_bytes: 32 << 20 };

fn header(spec: &PictureSpec, damage: &[Rect]) -> Vec<u8> {
    let rows = ((PLACE.len - 4096) / u64::from(spec.pitch_bytes)).min(u64::from(spec.height)) as u32;
    spec.encode(&V20, FrameNumbers { serial: 9, format_ver: 3, rows, offset: 4092 }, damage).bytes().to_vec()
}

fn honest() -> Vec<u8> {
    header(&PictureSpec::new(PixelType::Bgra, 1900, 1080), &[])
}

fn with(words: &[(usize, u32)]) -> Result<Frame, Corrupt> {
    let mut bytes = honest();
    for (at, value) in words {
        bytes[*at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    Frame::check(&bytes, L, PLACE)
}

#[test]
fn kvmfr_an_honest_header_gives_what_was_put_in() {
    let f = with(&[]).unwrap();
    assert_eq!((f.serial(), f.format_ver()), (9, 3));
    assert_eq!((f.width(), f.height(), f.rows()), (1900, 1080, 1080));
    assert_eq!((f.row_bytes(), f.pitch_bytes()), (7600, 7680));
    assert_eq!((f.pixels_at(), f.write_pointer_at()), (PLACE.offset + 4096, PLACE.offset + 4092));
    assert_eq!((f.screen(), f.rotation(), f.flags().bits()), ((1900, 1080), Rotation::None, 0));
    assert!(f.damage().is_full() && !f.is_truncated());
}

#[test]
fn kvmfr_every_pixel_type_is_understood_as_a_stock_producer_describes_it() {
    for pixel_type in PixelType::ALL {
        for (width, height) in [(1920, 1080), (1366, 768), (1, 1), (641, 481), (2560, 1440)] {
            let spec = PictureSpec::new(pixel_type, width, height);
            let f = Frame::check(&header(&spec, &[]), L, PLACE).unwrap_or_else(|e| panic!("{pixel_type}: {e}"));
            assert_eq!((f.width(), f.height(), f.pixel_type()), (width, height, pixel_type));
            assert_eq!(f.row_bytes(), width * pixel_type.bytes_per_pixel());
            if spec.bytes() < PLACE.len && (pixel_type != PixelType::Bgr32 || width % 4 != 3) {
                assert_eq!(f.rows(), height, "{pixel_type} {width}");
            }
        }
    }
}

#[test]
fn kvmfr_packed_24_bit_rows_may_be_one_short() {
    // A width of 3 more than a multiple of 4: the stock formula loses a row; what is there is shown.
    let spec = PictureSpec::new(PixelType::Bgr32, 1367, 768);
    let f = Frame::check(&header(&spec, &[]), L, PLACE).unwrap();
    assert_eq!((f.height(), f.rows(), f.is_truncated()), (768, 767, true));
}

#[test]
fn kvmfr_each_impossible_field_is_refused_by_its_name() {
    let max = u32::MAX;
    for (words, field) in [
        (&[(L.pixel_type, 0)][..], "type"),
        (&[(L.pixel_type, 7)], "type"),
        (&[(L.pixel_type, max)], "type"),
        (&[(L.frame_width, 0)], "frameWidth"),
        (&[(L.frame_width, 16385)], "frameWidth"),
        (&[(L.frame_width, max)], "frameWidth"),
        (&[(L.frame_height, 0)], "frameHeight"),
        (&[(L.frame_height, max)], "frameHeight"),
        (&[(DATA_WIDTH, 16385)], "dataWidth"),
        (&[(DATA_HEIGHT, max)], "dataHeight"),
        (&[(L.screen_width, max)], "screenWidth"),
        (&[(L.screen_height, 16385)], "screenHeight"),
        (&[(L.pitch, 0)], "pitch"),
        (&[(L.pitch, 7599)], "pitch"),
        (&[(L.pitch, max)], "pitch"),
        (&[(L.offset, 0)], "offset"),
        (&[(L.offset, 1080)], "offset"),
        (&[(L.offset, 4093)], "offset"),
        (&[(L.offset, max - 3)], "offset"),
        (&[(L.offset, 15_200_256 - 4)], "offset"),
        // A picture 100 times the memory: the guest would choose what a receiver allocates.
        (
            &[(L.frame_width, 16384), (DATA_WIDTH, 16384), (L.pitch, 1 << 18), (L.frame_height, 16384)],
            "pitch x frameHeight",
        ),
    ] {
        let e = with(words).expect_err(field);
        assert_eq!(e.field, field, "{words:?}: {e}");
    }
}

#[test]
fn kvmfr_fields_that_do_not_matter_do_no_harm() {
    for (words, what) in [
        (&[(L.stride, 0)][..], "stride 0"),
        (&[(L.stride, u32::MAX)], "stride"),
        (&[(DATA_WIDTH, 0), (DATA_HEIGHT, 0)], "an experimental producer leaves the stored size unset"),
        (&[(L.screen_width, 0), (L.screen_height, 0)], "no screen size: that of the picture"),
        (&[(L.rotation, 99)], "an unknown rotation is none"),
        (&[(L.flags, 0xFFFF_FFC0)], "unknown flags"),
        (&[(L.format_ver, u32::MAX)], "the version is only a hint"),
    ] {
        let f = with(words).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((f.width(), f.height(), f.rows(), f.screen()), (1900, 1080, 1080, (1900, 1080)), "{what}");
        assert_eq!((f.rotation(), f.flags().bits()), (Rotation::None, 0), "{what}");
    }
    assert_eq!(with(&[(L.rotation, 3)]).unwrap().rotation(), Rotation::ThreeQuarters);
    assert!(with(&[(L.flags, FrameFlags::HDR)]).unwrap().flags().has(FrameFlags::HDR));
}

#[test]
fn kvmfr_damage_that_cannot_be_is_everything() {
    let rect = |n: usize| L.damage + 16 * n;
    for count in [0, 65, 0x8000_0000, u32::MAX] {
        assert!(with(&[(L.damage_count, count), (rect(0) + 8, 5), (rect(0) + 12, 5)]).unwrap().damage().is_full());
    }
    let f = with(&[(L.damage_count, 2), (rect(0), 1890), (rect(0) + 4, 7), (rect(0) + 8, 999), (rect(0) + 12, 2)]);
    assert_eq!(f.unwrap().damage().rects(), Some(&[Rect { x: 1890, y: 7, width: 10, height: 2 }][..]));
    let f = with(&[(L.damage_count, 1), (rect(0), u32::MAX), (rect(0) + 8, u32::MAX), (rect(0) + 12, u32::MAX)]);
    assert!(f.unwrap().damage().is_full(), "nothing inside says nothing");
}

#[test]
fn kvmfr_rows_that_the_slot_does_not_hold_are_cut_off_not_refused() {
    // The measured case: the producer claims 15198208 bytes, the slot has 15196160.
    let spec = PictureSpec::new(PixelType::Bgra, 3840, 2160);
    let claimed_rows = 15_198_208 / spec.pitch_bytes;
    let numbers = FrameNumbers { serial: 1, format_ver: 1, rows: claimed_rows, offset: 4092 };
    let f = Frame::check(spec.encode(&V20, numbers, &[]).bytes(), L, PLACE).unwrap();
    assert_eq!(f.rows(), (15_196_160 / spec.pitch_bytes).min(claimed_rows));
    assert!(f.is_truncated() && f.rows() < f.height());
    let bytes = u64::from(f.rows()) * u64::from(f.pitch_bytes());
    assert!(f.pixels_at() + bytes <= PLACE.offset + PLACE.len);
    let f = with(&[(DATA_HEIGHT, 16384), (L.frame_height, 16384)]).unwrap();
    assert!(u64::from(f.rows()) * u64::from(f.pitch_bytes()) + 4096 <= PLACE.len);
}

mod any_header {
    use super::*;
    use proptest::prelude::*;

    fn nasty() -> impl Strategy<Value = u32> {
        prop_oneof![
            0u32..70,
            0u32..5000,
            any::<u32>(),
            Just(u32::MAX),
            Just(0x8000_0000),
            (0u32..32).prop_map(|b| 1 << b)
        ]
    }

    proptest! {
        #[test]
        fn kvmfr_no_header_gives_bytes_outside_the_payload(
            words in prop::collection::vec((0..L.size / 4, nasty()), 0..20), which in 0..LAYOUTS.len(),
            len in 0u64..20_000_000, offset in (0u64..1 << 18).prop_map(|o| o * 4),
        ) {
            let l = &LAYOUTS[which].frame;
            let spec = PictureSpec::new(PixelType::Bgra, 1900, 1080);
            let numbers = FrameNumbers { serial: 9, format_ver: 3, rows: 1080, offset: 4092 };
            let mut bytes = spec.encode(LAYOUTS[which], numbers, &[]).bytes().to_vec();
            for (word, value) in words.into_iter().filter(|(word, _)| word * 4 + 4 <= l.size) {
                bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
            }
            let place = PayloadPlace { offset, len, region_bytes: offset + len };
            if let Ok(f) = Frame::check(&bytes, l, place) {
                prop_assert!(f.write_pointer_at() >= offset + l.size as u64 && f.write_pointer_at().is_multiple_of(4));
                prop_assert!(f.pixels_at() + u64::from(f.rows()) * u64::from(f.pitch_bytes()) <= offset + len);
                prop_assert!(f.row_bytes() <= f.pitch_bytes() && f.row_bytes() > 0 && f.rows() > 0);
                prop_assert!(f.rows() <= f.height());
                prop_assert!(u64::from(f.height()) * u64::from(f.pitch_bytes()) <= 8 * place.region_bytes);
                for r in f.damage().rects().unwrap_or_default() {
                    prop_assert!(r.x + r.width <= f.width() && r.y + r.height <= f.rows());
                }
            }
        }
    }
}
