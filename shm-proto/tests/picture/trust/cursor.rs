//! The rows about the cursor. Its limits to the byte, one field at a time: `kvmfr_cursor`.

use super::Effect::{self, DropsCursor, Shows};
use super::{Case, lie, told};
use crate::rig::{SECOND, small, started};
use crate::screen::ms;
use shm_proto::guest_sim::lies::How;
use shm_proto::kvmfr::Version;
use shm_proto::kvmfr::producer::CursorField;

fn shape(what: &str, kind: u32, (width, height, pitch): (u32, u32, u32), effect: Effect) -> Case {
    use CursorField::{Height, Kind, Pitch, Width};
    let words = [(Kind, kind), (Width, width), (Height, height), (Pitch, pitch)];
    let case = told(what, How::CursorHeader(Box::leak(words.into())), effect);
    if matches!(effect, Shows) {
        case.and(|s| assert!(s.cursor.is_visible() && s.cursor.shape().is_some()))
    } else {
        case
    }
}

pub fn shapes(_version: Version) -> Vec<Case> {
    let (pitch, height, width) = ("cursor pitch", "cursor height", "cursor width");
    let product = "cursor pitch x height";
    let bad = |name, field| lie(name, DropsCursor(field), DropsCursor(field));
    vec![
        bad("cursor-type-3", "cursor type"),
        bad("cursor-width-0", width),
        bad("cursor-width-garbage", width),
        bad("cursor-height-garbage", height),
        bad("cursor-height-odd", height),
        bad("cursor-pitch-0", pitch),
        bad("cursor-pitch-garbage", pitch),
        bad("cursor-too-many-bytes", product),
        shape("the last type", 2, (32, 32, 128), Shows),
        shape("one pixel", 0, (1, 1, 4), Shows),
        shape("the widest", 0, (1024, 1, 4096), Shows),
        shape("a column more", 0, (1025, 1, 4100), DropsCursor(width)),
        shape("the highest", 0, (32, 1024, 128), Shows),
        shape("a row more", 0, (32, 1025, 128), DropsCursor(height)),
        shape("no row", 0, (32, 0, 128), DropsCursor(height)),
        shape("two masks of the highest", 1, (32, 2048, 4), Shows),
        shape("two masks of a row more", 1, (32, 2050, 4), DropsCursor(height)),
        shape("two masks of one row", 1, (32, 2, 4), Shows),
        shape("a mask alone", 1, (32, 1, 4), DropsCursor(height)),
        shape("a pitch of a row", 0, (32, 32, 128), Shows),
        shape("a pitch a byte shorter", 0, (32, 32, 127), DropsCursor(pitch)),
        shape("a mask's pitch a byte shorter", 1, (33, 64, 4), DropsCursor(pitch)),
        shape("exactly a MiB", 0, (256, 1024, 1024), Shows),
        shape("4 bytes a row more than a MiB", 0, (256, 1024, 1028), DropsCursor(product)),
        shape("a product of more than 32 bits", 0, (1, 1024, 1 << 20), DropsCursor(product)),
    ]
}

pub fn places(_version: Version) -> Vec<Case> {
    vec![lie("cursor-hotspot", Shows, Shows).and(|s| assert_eq!(s.cursor.shape().unwrap().hotspot(), (-128, -128)))]
}

/// Every number that a position can be.
fn picture_cursor_at_the_ends_of_its_numbers_is_where_the_guest_says(version: Version) {
    let mut config = small(version);
    config.pointer_rate_hz = 0;
    let (_region, mut guest, mut screen) = started(config);
    let mut now = screen.run(&mut guest, ms(0), SECOND);
    for (x, y) in [(i16::MIN, i16::MAX), (i16::MAX, i16::MIN), (-1, 0), (0, 0)] {
        guest.producer().set_cursor(x, y, true, now).unwrap();
        now = screen.run(&mut guest, now, SECOND / 50);
        assert_eq!(screen.cursor.position(), Some((i32::from(x), i32::from(y))));
    }
}

in_every_version!([picture_cursor_at_the_ends_of_its_numbers_is_where_the_guest_says]);
