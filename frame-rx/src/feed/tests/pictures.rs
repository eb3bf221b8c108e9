//! What reaches the slots is what the guest drew, whatever its format, its pace and its pointer.

use super::*;

#[test]
fn every_picture_that_reaches_the_screen_is_one_that_the_guest_drew() {
    for (pixel, width, height, motion, publish) in [
        (PixelType::Bgra, 256, 144, Motion::Bar, Publish::Steps),
        (PixelType::Rgba, 250, 140, Motion::Scroll, Publish::AtEnd),
        (PixelType::Bgra, 333, 97, Motion::Bar, Publish::Bands),
        (PixelType::Bgra, 1280, 720, Motion::Scroll, Publish::Steps),
        (PixelType::Rgba10, 321, 99, Motion::Bar, Publish::Bands),
        (PixelType::Rgba16F, 321, 99, Motion::Scroll, Publish::Steps),
        (PixelType::Rgba16F, 2560, 64, Motion::Scroll, Publish::Steps),
        (PixelType::Bgr32, 320, 99, Motion::Bar, Publish::Steps),
        (PixelType::Rgb24, 321, 99, Motion::Bar, Publish::Bands),
        (PixelType::Rgb24, 2560, 64, Motion::Scroll, Publish::Steps),
    ] {
        let mut config = config(width, height);
        config.spec = PictureSpec::new(pixel, width, height);
        (config.motion, config.publish) = (motion, publish);
        let mut rig = Rig::new(config);
        let mut last = 0;
        for _ in 0..20 {
            rig.run_frames(1);
            let stamp = rig.checked_stamp();
            assert!(stamp.frame > last, "{} after {last}", stamp.frame);
            last = stamp.frame;
        }
        assert_eq!(rig.states, ["starting", "first-picture", "live"], "{width}x{height}");
        assert_eq!((rig.stats.torn.get(), rig.stats.late.get(), rig.stats.refused.get()), (0, 0, 0));
    }
}

#[test]
fn only_what_changed_is_copied() {
    let mut rig = Rig::new(config(640, 360));
    rig.run_frames(10);
    let before = rig.stats.copied_bytes.get();
    rig.run_frames(20);
    let per_frame = (rig.stats.copied_bytes.get() - before) / 20;
    assert!(per_frame < 640 * 360 * 4 / 2, "{per_frame} bytes a frame");
    rig.checked_stamp();
}

#[test]
fn a_guest_that_is_still_writing_is_followed_row_by_row() {
    let mut config = config(320, 200);
    config.motion = Motion::Scroll;
    let mut rig = Rig::new(config);
    rig.run_frames(1);
    // The guest needs 20 ms for a picture and only goes on while the feed, in another thread, waits for its rows.
    rig.guest.set_pace(0, Duration::from_millis(20), Publish::Steps);
    let Rig { mut guest, mut feed, outlet, stats, .. } = rig;
    let stop = feed.stop.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || while !feed.stop.is_requested() && feed.step(clock::now()).is_some() {});
        let end = clock::now() + LONG;
        let mut shown = 0;
        while shown < 5 && clock::now() < end {
            guest.advance(clock::now()).unwrap();
            if let Some(slot) = outlet.take() {
                let spec = *guest.pattern().spec();
                let rows = &slot.rows.0;
                let pitch = slot.format.slot_pitch_bytes() as usize;
                let stamp = |edge| read_stamp(rows, pitch, spec.pixel_type, (320, 200), edge);
                assert!(stamp(Edge::Top).is_some());
                assert_eq!(stamp(Edge::Top), stamp(Edge::Bottom));
                outlet.give_back(slot);
                shown += 1;
            }
        }
        stop.request();
        // One that is not followed is late, and not shown.
        assert_eq!(shown, 5, "{} late", stats.late.get());
    });
}

#[test]
fn a_screen_that_lost_its_memory_gets_other_slots_and_a_whole_picture() {
    let mut config = config(128, 96);
    config.motion = Motion::Still;
    let mut rig = Rig::new(config);
    rig.run_frames(1);
    let shown = rig.stats.copied.get();
    rig.screen.fill(0);
    rig.feed.parts.wishes.renew();
    // A guest that stands still sends nothing by itself.
    rig.run_until("the picture again", |r| r.stats.copied.get() > shown);
    rig.checked_stamp();
}

#[test]
fn a_change_of_mode_is_followed() {
    let mut rig = Rig::new(config(320, 200));
    for (w, h) in [(320, 200), (64, 48), (319, 201), (33, 15), (320, 200)] {
        rig.guest.set_picture(PictureSpec::new(PixelType::Bgra, w, h), Motion::Bar);
        rig.run_until("the mode", |r| r.shown.is_some_and(|f| f.stored == crate::picture::Size::new(w, h)));
        rig.run_frames(2);
        rig.checked_stamp();
    }
}

#[test]
fn a_picture_cut_off_by_a_small_region_shows_its_top_and_says_so() {
    let mut small = config(640, 480);
    small.motion = Motion::Scroll;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("region");
    // The first size in which only some rows at the bottom are missing.
    let rows = |len| {
        let region = Region::memfd("cut", len).unwrap();
        PictureGuest::start(&region, small.clone(), HostTime::ZERO).unwrap().producer().rows_that_fit(&small.spec)
    };
    let len = (4 << 20..).step_by(8192).find(|len| rows(*len) > 460).unwrap();
    let region = Region::create(&path, len).unwrap();
    let mut guest = PictureGuest::start(&region, small.clone(), clock::now()).unwrap();
    let (mut feed, outlet, _pointer, conditions, _told) = feed_of(&path);
    let end = clock::now() + LONG;
    let state = loop {
        assert!(clock::now() < end);
        guest.advance(clock::now()).unwrap();
        feed.step(clock::now());
        match conditions.take() {
            Some(Condition { state: state @ GuestState::Truncated { .. }, .. }) => break state,
            _ => continue,
        }
    };
    let slot = outlet.take().expect("its top");
    assert_eq!(
        state,
        GuestState::Truncated { width: 640, height: 480, rows: slot.format.stored.height, needed_mib: 16 }
    );
    assert!(slot.format.stored.height < 480 && slot.format.desktop.height == slot.format.stored.height);
}

#[test]
fn the_pointer_arrives_with_its_place_and_shape() {
    for (mode, kind) in [
        (PointerMode::Color, ShapeKind::Color),
        (PointerMode::Monochrome, ShapeKind::Monochrome),
        (PointerMode::Masked, ShapeKind::MaskedColor),
    ] {
        let mut config = config(200, 100);
        config.pointer = mode;
        config.pointer_rate_hz = 0;
        let mut rig = Rig::new(config);
        rig.run_frames(1);
        rig.run_until("the pointer", |r| r.pointer.look().visible);
        let (x, y) = position_at(0, (200, 100));
        assert_eq!(rig.pointer.look(), Pointer { x, y, visible: true });
        let spec = shape(kind);
        let mut seen = None;
        rig.pointer.take_shape(|s| seen = Some(s.clone()));
        let seen = seen.expect("a shape");
        assert_eq!(seen.size, crate::picture::Size::new(32, 32));
        match kind {
            ShapeKind::Monochrome => assert!(seen.bgra.contains(&255)),
            _ => assert!(seen.bgra == spec.pixels),
        }
        rig.guest.set_pointer(PointerMode::Hidden, clock::now()).unwrap();
        rig.run_until("no pointer", |r| !r.pointer.look().visible);
    }
}
