//! Cursor shapes: what each kind means, and what a header may not hold.

use shm_proto::Corrupt;
use shm_proto::kvmfr::cursor::ShapePixel;
use shm_proto::kvmfr::wire::{CursorLayout, V20};
use shm_proto::kvmfr::{CursorShape, ShapeKind};

const L: &CursorLayout = &V20.cursor;
const PAYLOAD: u64 = 1_048_600;

fn shape(kind: u32, width: u32, height: u32, pitch: u32) -> Result<CursorShape, Corrupt> {
    with(kind, (width, height, pitch), (0, 0), PAYLOAD)
}

fn with(kind: u32, (w, h, pitch): (u32, u32, u32), hotspot: (i8, i8), payload: u64) -> Result<CursorShape, Corrupt> {
    let mut bytes = [0; V20.cursor.size];
    for (at, value) in [(L.kind, kind), (L.width, w), (L.height, h), (L.pitch, pitch)] {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes[L.hotspot_x] = hotspot.0 as u8;
    bytes[L.hotspot_y] = hotspot.1 as u8;
    CursorShape::check(&bytes, L, payload)
}

#[test]
fn kvmfr_cursor_limits() {
    for (kind, width, height, pitch, ok) in [
        (0, 32, 32, 128, true),
        (0, 32, 32, 256, true),
        (0, 512, 512, 2048, true),
        (0, 512, 513, 2048, false),
        (0, 1, 1, 4, true),
        (0, 0, 32, 128, false),
        (0, 32, 0, 128, false),
        (0, 1025, 1, 4100, false),
        (0, 32, 32, 127, false),
        (0, 32, 32, 0, false),
        (0, 32, 32, u32::MAX, false),
        (0, u32::MAX, u32::MAX, u32::MAX, false),
        (0, 0x4000_0001, 1, 4, false),
        (1, 32, 64, 4, true),
        (1, 33, 64, 4, false),
        (1, 33, 64, 5, true),
        (1, 32, 63, 4, false),
        (1, 32, 2048, 4, true),
        (1, 32, 2050, 4, false),
        (1, 32, 1, 4, false),
        (2, 32, 32, 128, true),
        (3, 32, 32, 128, false),
        (u32::MAX, 32, 32, 128, false),
    ] {
        let checked = shape(kind, width, height, pitch);
        assert_eq!(checked.is_ok(), ok, "{kind} {width}x{height} pitch {pitch}: {checked:?}");
    }
    assert!(with(0, (32, 32, 128), (0, 0), 24 + 4096).is_ok());
    assert!(with(0, (32, 32, 128), (0, 0), 24 + 4095).is_err(), "the payload ends before the shape");
    assert!(with(0, (32, 32, 128), (0, 0), 3).is_err());
}

#[test]
fn kvmfr_a_monochrome_height_counts_both_masks() {
    let s = shape(1, 32, 64, 4).unwrap();
    assert_eq!((s.width(), s.height(), s.bytes()), (32, 32, 256));
    assert_eq!(shape(0, 32, 64, 128).unwrap().height(), 64);
}

#[test]
fn kvmfr_hotspots_of_large_shapes_are_not_negative() {
    let hotspot = |side, x| with(0, (side, side, side * 4), (x, 5), PAYLOAD).unwrap().hotspot();
    assert_eq!(hotspot(32, -3), (-3, 5));
    assert_eq!(hotspot(127, -1), (-1, 5));
    assert_eq!(hotspot(256, -56), (200, 5));
}

#[test]
fn kvmfr_cursor_pixels_mean_what_their_kind_says() {
    let pixel = |rgba, inverts| Some(ShapePixel { rgba, inverts });
    let color = shape(0, 1, 1, 4).unwrap();
    assert_eq!(color.pixel(&[10, 20, 30, 40], 0, 0), pixel([30, 20, 10, 40], false));
    assert_eq!(color.pixel(&[10, 20, 30, 40], 1, 0), None);
    assert_eq!(color.pixel(&[10, 20, 30], 0, 0), None, "too few bytes are not a panic");
    let masked = shape(2, 2, 1, 8).unwrap();
    let bytes = [1, 2, 3, 0, 255, 255, 255, 255];
    assert_eq!(masked.pixel(&bytes, 0, 0), pixel([3, 2, 1, 255], false), "alpha 0 replaces");
    assert_eq!(masked.pixel(&bytes, 1, 0), pixel([255, 255, 255, 0], true), "alpha 255 inverts");
    // One row of eight: AND 00110011, XOR 01010101, most significant bit first.
    let mono = shape(1, 8, 2, 1).unwrap();
    assert_eq!(mono.kind(), ShapeKind::Monochrome);
    let expected = [
        pixel([0, 0, 0, 255], false),
        pixel([255, 255, 255, 255], false),
        pixel([0, 0, 0, 0], false),
        pixel([255, 255, 255, 0], true),
    ];
    for x in 0..8 {
        assert_eq!(mono.pixel(&[0b0011_0011, 0b0101_0101], x, 0), expected[x as usize % 4], "column {x}");
    }
}
