//! The rows about a frame's header. Its limits to the byte, one field at a time: `kvmfr_frame`.

use super::Effect::{Drops, GivesUp, OnlyRepeats, Shows};
use super::{Case, lie, told};
use shm_proto::guest_sim::lies::How;
use shm_proto::kvmfr::producer::FrameField;
use shm_proto::kvmfr::{PictureSpec, Rect, Rotation, Version};

fn header(words: &[(FrameField, u32)]) -> How {
    How::FrameHeader(Box::leak(words.into()))
}

fn field(what: &str, field: FrameField, value: u32, effect: super::Effect) -> Case {
    told(what, header(&[(field, value)]), effect)
}

fn spec(version: Version) -> PictureSpec {
    super::config(version).spec
}

pub fn types(_version: Version) -> Vec<Case> {
    let is = |what, value, effect| field(what, FrameField::PixelType, value, effect);
    vec![
        lie("type-0", Drops("type"), Drops("type")),
        lie("type-7", Drops("type"), Drops("type")),
        lie("type-garbage", Drops("type"), Drops("type")),
        is("the first", 1, Shows),
        is("the last", 6, Shows),
        is("one with rows that are longer than the pitch", 4, Drops("pitch")),
    ]
}

pub fn rows(version: Version) -> Vec<Case> {
    let size = version.layout().frame.size as u32;
    let (spec, stored) = (spec(version), version.layout().frame.data_height.is_some());
    let at = |what, value, effect| field(what, FrameField::Offset, value, effect);
    let pitch = |what, value, effect| field(what, FrameField::Pitch, value, effect);
    vec![
        lie("offset-0", Drops("offset"), Drops("offset")),
        lie("offset-unaligned", Drops("offset"), Drops("offset")),
        lie("offset-outside", Drops("offset"), Drops("offset")),
        lie("height-0", Drops("frameHeight"), Drops("frameHeight")),
        lie("height-garbage", Drops("frameHeight"), Drops("frameHeight")),
        lie("data-height-16384", Shows, Shows),
        lie("both-heights-16384", GivesUp, GivesUp),
        lie("pitch-0", Drops("pitch"), Drops("pitch")),
        lie("pitch-short", Drops("pitch"), Drops("pitch")),
        lie("pitch-garbage", Drops("pitch"), Drops("pitch")),
        // Nobody writes a write pointer there, and nobody's pixels are taken for one.
        at("right behind the header", size, GivesUp),
        at("in the header's last word", size - 4, Drops("offset")),
        pitch("as long as a row", spec.row_bytes(), Shows),
        pitch("a byte shorter than a row", spec.row_bytes() - 1, Drops("pitch")),
        field("one stored row", FrameField::DataHeight, 1, Shows),
        field(
            "more stored rows than a picture has",
            FrameField::DataHeight,
            16385,
            if stored { Drops("dataHeight") } else { Shows },
        ),
        field("more rows than a picture has", FrameField::FrameHeight, 16385, Drops("frameHeight")),
    ]
}

pub fn dimensions(version: Version) -> Vec<Case> {
    let stored = version.layout().frame.data_width.is_some();
    let screen = |what, value, effect| field(what, FrameField::ScreenWidth, value, effect);
    vec![
        lie("width-0", Drops("frameWidth"), Drops("frameWidth")),
        lie("width-garbage", Drops("frameWidth"), Drops("frameWidth")),
        lie("screen-garbage", Drops("screenWidth"), Drops("screenWidth")),
        field("one column", FrameField::FrameWidth, 1, Shows),
        // Stored columns are what there is; where they are not told, the pitch says that it cannot be.
        field("the widest", FrameField::FrameWidth, 16384, if stored { Shows } else { Drops("pitch") }),
        field("wider than that", FrameField::FrameWidth, 16385, Drops("frameWidth")),
        field(
            "more stored columns than that",
            FrameField::DataWidth,
            16385,
            if stored { Drops("dataWidth") } else { Shows },
        ),
        screen("a desktop that was not told", 0, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().screen(), (160, 100))),
        screen("a desktop 64 times as wide", 64 * 160, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().screen(), (64 * 160, 100))),
        screen("one column more", 64 * 160 + 1, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().screen(), (160, 100), "nobody shows a desktop that small")),
        screen("the widest desktop", 16384, Shows).and(|s| assert_eq!(s.frames.last().unwrap().screen(), (160, 100))),
        screen("a desktop wider than that", 16385, Drops("screenWidth")),
    ]
}

pub fn stride(_version: Version) -> Vec<Case> {
    let is = |what, value| field(what, FrameField::Stride, value, Shows);
    vec![lie("stride-garbage", Shows, Shows), is("none", 0), is("in bytes, as an experimental producer has it", 640)]
}

pub fn damage(_version: Version) -> Vec<Case> {
    let one = |what, [x, y, width, height]: [u32; 4]| {
        let rect = [x, y, width, height].into_iter().enumerate().map(|(word, value)| (FrameField::Damage(word), value));
        let words: Vec<_> = [(FrameField::DamageCount, 1)].into_iter().chain(rect).collect();
        told(what, header(&words), Shows)
    };
    // Every rectangle a pixel, each another one.
    let pixels = (0..64).flat_map(|n| [n, n, 1, 1]).enumerate().map(|(word, value)| (FrameField::Damage(word), value));
    let many = |count| -> Vec<_> { [(FrameField::DamageCount, count)].into_iter().chain(pixels.clone()).collect() };
    let full: fn(&super::Screen) = |s| assert!(s.frames.last().unwrap().damage().is_full());
    vec![
        lie("damage-65", Shows, Shows).and(full),
        lie("damage-0x80000000", Shows, Shows).and(full),
        lie("damage-outside", Shows, Shows).and(full),
        told("64", header(&many(64)), Shows).and(|s| {
            let damage = *s.frames.last().unwrap().damage();
            let rects = damage.rects().expect("some");
            assert_eq!((rects.len(), rects[63]), (64, Rect { x: 63, y: 63, width: 1, height: 1 }));
        }),
        told("65 of which 64 are there", header(&many(65)), Shows).and(full),
        told("the most a signed number holds", header(&many(0x7FFF_FFFF)), Shows).and(full),
        one("up to the edges", [150, 90, 10, 10]).and(|s| is_rect(s, 150, 90)),
        one("over the edges by one", [150, 90, 11, 11]).and(|s| is_rect(s, 150, 90)),
        one("over the edges and round again", [150, 90, u32::MAX, u32::MAX]).and(|s| is_rect(s, 150, 90)),
        one("of no pixel", [150, 90, 0, 10]).and(full),
    ]
}

fn is_rect(screen: &super::Screen, x: u32, y: u32) {
    let damage = *screen.frames.last().unwrap().damage();
    assert_eq!(damage.rects(), Some(&[Rect { x, y, width: 10, height: 10 }][..]));
}

pub fn flags(_version: Version) -> Vec<Case> {
    vec![
        lie("rotation-garbage", Shows, Shows).and(|s| assert_eq!(s.frames.last().unwrap().rotation(), Rotation::None)),
        lie("flags-garbage", Shows, Shows).and(|s| assert_eq!(s.frames.last().unwrap().flags().bits(), 0)),
        lie("format-ver-0", Shows, Shows),
        lie("serial-stands", OnlyRepeats, OnlyRepeats),
        field("three quarters", FrameField::Rotation, 3, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().rotation(), Rotation::ThreeQuarters)),
        field("four quarters", FrameField::Rotation, 4, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().rotation(), Rotation::None)),
        field("every flag that is known", FrameField::Flags, 63, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().flags().bits(), 63)),
        field("the first that is not", FrameField::Flags, 64, Shows)
            .and(|s| assert_eq!(s.frames.last().unwrap().flags().bits(), 0)),
    ]
}

pub fn write_pointer(version: Version) -> Vec<Case> {
    let bytes = spec(version).bytes() as u32;
    vec![
        lie("write-pointer-stands", GivesUp, GivesUp),
        lie("write-pointer-large", Shows, Shows),
        lie("write-pointer-odd", GivesUp, GivesUp),
        told("the last row is there", How::WritePointer(bytes), Shows),
        told("but for a byte", How::WritePointer(bytes - 1), GivesUp),
    ]
}
