//! The guest's pointer: every kind of it, its moves, and where the viewer asks it to go.

use crate::rig::{SECOND, small, started};
use crate::screen::{MS, ms};
use shm_proto::guest_sim::pointer::{PointerMode, position_at, shape};
use shm_proto::kvmfr::{ShapeKind, Version};
use std::time::Duration;

fn picture_pointer_of_every_kind_arrives_byte_by_byte(version: Version) {
    for (mode, kind) in [
        (PointerMode::Color, ShapeKind::Color),
        (PointerMode::Monochrome, ShapeKind::Monochrome),
        (PointerMode::Masked, ShapeKind::MaskedColor),
    ] {
        let mut config = small(version);
        config.pointer = mode;
        let (_region, mut guest, mut screen) = started(config);
        screen.run(&mut guest, ms(0), SECOND);
        let expected = shape(kind);
        let got = screen.cursor.shape().expect("a shape");
        assert_eq!((got.kind(), got.width(), got.height(), got.hotspot()), (kind, 32, 32, (1, 1)));
        assert_eq!(screen.cursor.pixels(), expected.pixels);
        let (x, y) = position_at(guest.pointer_moves(), (160, 100));
        assert_eq!(screen.cursor.position(), Some((i32::from(x), i32::from(y))));
    }
}

fn picture_pointer_changes_hides_and_leaves_the_screen(version: Version) {
    let mut config = small(version);
    config.pointer = PointerMode::Cycle;
    let (_region, mut guest, mut screen) = started(config);
    let (mut now, mut kinds, mut negative) = (ms(0), Vec::new(), false);
    while now.since(ms(0)) < 3 * SECOND {
        guest.advance(now).unwrap();
        screen.round(now, |_| {});
        let kind = screen.cursor.shape().map(|s| s.kind());
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
        negative |= screen.cursor.position().is_some_and(|(x, y)| x < 0 || y < 0);
        now = now + MS;
    }
    assert!(kinds.len() >= 5 && negative, "{kinds:?}");
    assert_eq!(screen.cursor.shape_serial(), screen.viewer.counters().cursor_shapes);
    guest.set_pointer(PointerMode::Hidden, now).unwrap();
    now = screen.run(&mut guest, now, Duration::from_millis(50));
    assert!(!screen.cursor.is_visible());
    guest.set_pointer(PointerMode::Color, now).unwrap();
    screen.run(&mut guest, now, Duration::from_millis(50));
    assert!(screen.cursor.is_visible());
}

fn picture_pointer_goes_where_the_viewer_asks(version: Version) {
    let mut config = small(version);
    config.pointer_rate_hz = 0;
    let (_region, mut guest, mut screen) = started(config);
    assert!(screen.viewer.send_cursor_position(1, 2).is_err(), "not connected yet");
    let now = screen.run(&mut guest, ms(0), SECOND);
    assert!(screen.viewer.session().is_some_and(|s| s.can_set_cursor()));
    let serial = screen.viewer.send_cursor_position(-7, 55).unwrap();
    assert_eq!(screen.viewer.is_handled(serial), Ok(false));
    let now = screen.run(&mut guest, now, Duration::from_millis(30));
    assert_eq!(screen.viewer.is_handled(serial), Ok(true));
    assert_eq!((guest.asked_position(), screen.cursor.position()), (Some((-7, 55)), Some((-7, 55))));
    for _ in 0..version.lgmp().mail.slots {
        screen.viewer.send_cursor_position(0, 0).unwrap();
    }
    assert!(screen.viewer.send_cursor_position(0, 0).is_err(), "the mailbox is full");
    screen.run(&mut guest, now, Duration::from_millis(30));
    assert!(screen.viewer.send_cursor_position(0, 0).is_ok());
}

in_every_version!([
    picture_pointer_of_every_kind_arrives_byte_by_byte
    picture_pointer_changes_hides_and_leaves_the_screen
    picture_pointer_goes_where_the_viewer_asks
]);
