//! Regions and sessions that end, change, lie or are none: each is told, and the next good one is shown.

use super::*;

#[test]
fn a_guest_whose_pixels_never_come_costs_a_bounded_wait_and_is_counted() {
    let mut rig = Rig::new(config(64, 64));
    rig.run_frames(2);
    let lie = LIES.iter().find(|l| format!("{:?}", l.how) == "FrozenWritePointer").expect("that lie");
    rig.guest.lie(Some(lie), clock::now()).unwrap();
    rig.run_until("a late picture", |r| r.stats.late.get() == 1);
    rig.guest.lie(None, clock::now()).unwrap();
    rig.guest.restart(clock::now()).unwrap();
    rig.run_frames(3);
    rig.checked_stamp();
}

#[test]
fn a_restarted_guest_is_shown_again_and_nothing_old_is() {
    let mut rig = Rig::new(config(128, 96));
    for session in 1..5 {
        rig.run_frames(3);
        rig.run_until("the session", |r| r.session == session);
        // A picture of the old session waits, unfetched, while the new one begins.
        rig.guest.restart(clock::now()).unwrap();
        rig.run_until("the next session", |r| r.session > session);
    }
    rig.run_frames(1);
    rig.checked_stamp();
    assert_eq!(rig.stats.sessions.get(), 5);
}

#[test]
fn a_guest_that_stops_is_told_as_paused_and_one_that_goes_on_as_live() {
    let mut rig = Rig::new(config(128, 96));
    rig.run_frames(2);
    let end = clock::now() + LONG;
    while rig.state != Some(GuestState::Paused) {
        assert!(clock::now() < end, "{:?}", rig.states);
        rig.step();
    }
    rig.run_until("a live guest", |r| r.state == Some(GuestState::Live));
    rig.run_frames(1);
    rig.checked_stamp();
}

#[test]
fn a_guest_whose_file_was_deleted_goes_on_and_starts_again_with_whole_pictures() {
    let mut rig = Rig::new(config(128, 96));
    rig.run_frames(3);
    std::fs::remove_file(rig.dir.path().join("region")).unwrap();
    rig.run_until("a look at the file", |r| r.feed.unusable().is_some());
    for version in Version::ALL {
        rig.guest.restart_as(version, clock::now()).unwrap();
        let session = rig.session;
        rig.run_until("the next session", |r| r.session > session);
        rig.run_frames(3);
        rig.checked_stamp();
    }
    assert!(!rig.states.contains(&"gone"), "{:?}", rig.states);
    // A guest that stands is one whose VM has to be started again; should it go on all the same, its picture is whole.
    let end = clock::now() + LONG;
    while rig.state.as_ref().map(GuestState::name) != Some("gone") {
        assert!(clock::now() < end, "{:?}", rig.states);
        rig.step();
    }
    rig.run_until("a live guest", |r| r.state == Some(GuestState::Live));
    rig.run_frames(1);
    rig.checked_stamp();
}

#[test]
fn the_screen_is_told_of_pictures_pointers_and_states() {
    let mut rig = Rig::new(PictureConfig { rate_hz: 200, ..PictureConfig::new(64, 48) });
    rig.run_frames(5);
    let told: Vec<_> = rig.told.try_iter().collect();
    for what in [Told::Condition, Told::Picture, Told::Pointer] {
        assert!(told.contains(&what), "{what:?} in {told:?}");
    }
}

#[test]
fn files_that_are_no_region_have_their_own_sentences_and_a_good_one_is_found_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("looking-glass");
    let (mut feed, outlet, _pointer, conditions, _told) = feed_of(&path);
    let mut state = None;
    let mut until = |feed: &mut Feed<Memory>, name: &str, mut go_on: Box<dyn FnMut() + '_>| {
        let end = clock::now() + LONG;
        while state.as_ref().map(GuestState::name) != Some(name) {
            assert!(clock::now() < end, "{name} did not come, but {state:?}");
            go_on();
            if feed.step(clock::now()).is_none() {
                clock::sleep_until(clock::now() + Duration::from_millis(2));
            }
            state = conditions.take().map(|c| c.state).or(state.take());
        }
        state.as_ref().map(GuestState::sentence).unwrap_or_default()
    };
    let s = until(&mut feed, "absent", Box::new(|| {}));
    assert!(s.starts_with(&format!("waiting for {}", path.display())), "{s}");
    std::fs::write(&path, []).unwrap();
    until(&mut feed, "empty", Box::new(|| {}));
    std::fs::write(&path, [0; 5000]).unwrap();
    until(&mut feed, "too-small", Box::new(|| {}));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    until(&mut feed, "wrong-kind", Box::new(|| {}));
    std::fs::remove_dir(&path).unwrap();
    let config = config(64, 48);
    let region = Region::create(&path, config.region_bytes()).unwrap();
    until(&mut feed, "untouched", Box::new(|| {}));
    region.span(0, 4).unwrap().copy_from(b"\x7fELF").unwrap();
    let s = until(&mut feed, "other-content", Box::new(|| {}));
    assert!(s.contains("something unknown, not a picture: pass the file"), "{s}");
    region.span(0, 4).unwrap().copy_from(&[0; 4]).unwrap();
    until(&mut feed, "untouched", Box::new(|| {}));
    region.span(0, 4).unwrap().copy_from(&0x1111_2014u32.to_le_bytes()).unwrap();
    let s = until(&mut feed, "other-content", Box::new(|| {}));
    assert!(s.contains("Scream sound"), "{s}");
    let mut guest = PictureGuest::start(&region, config, clock::now()).unwrap();
    until(&mut feed, "live", Box::new(|| guest.advance(clock::now()).unwrap()));
    assert!(outlet.take().is_some());
}

#[test]
fn other_versions_are_told_by_number() {
    let mut rig = Rig::new(config(64, 48));
    let region = rig.region.clone();
    let word = region.whole().word::<u32>(4).unwrap();
    for version in [4, 8] {
        word.store_release(version);
        let is_told = |state: &Option<GuestState>| matches!(state, Some(GuestState::OtherVersion { lgmp, .. }) if *lgmp == version);
        let mut beat = 0u64;
        let end = clock::now() + LONG;
        while !is_told(&rig.state) {
            assert!(clock::now() < end, "{:?}", rig.state);
            beat += 1;
            region.whole().word::<u64>(16).unwrap().store_release(beat);
            rig.step();
        }
    }
}

#[test]
fn a_region_that_is_replaced_under_a_live_guest_is_followed() {
    let mut rig = Rig::new(config(128, 96));
    rig.run_frames(3);
    let path = rig.dir.path().join("region");
    std::fs::remove_file(&path).unwrap();
    // Its name is gone, its pictures are not.
    rig.run_frames(3);
    let config = config(100, 80);
    let region = Region::create(&path, config.region_bytes()).unwrap();
    rig.guest = PictureGuest::start(&region, config, clock::now()).unwrap();
    rig.run_until("the new guest", |r| r.shown.is_some_and(|f| f.stored.width == 100));
    rig.checked_stamp();
    assert_eq!(rig.session, 2);
}

#[test]
fn a_region_that_shrinks_ends_nothing() {
    let mut rig = Rig::new(config(128, 96));
    rig.run_frames(3);
    let path = rig.dir.path().join("region");
    let len = rig.region.len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let end = clock::now() + LONG;
    while rig.state.as_ref().map(GuestState::name) != Some("too-small") {
        assert!(clock::now() < end, "{:?}", rig.states);
        rig.step();
    }
    let region = Region::create(&path, len).unwrap();
    rig.guest = PictureGuest::start(&region, config(128, 96), clock::now()).unwrap();
    rig.run_until("a live guest", |r| r.state == Some(GuestState::Live));
    rig.run_frames(1);
    rig.checked_stamp();
}

#[test]
fn whatever_lie_is_told_the_next_honest_session_is_shown() {
    for lie in LIES {
        // Each costs up to half a second of waiting for rows; those that never end have tests of their own.
        if matches!(format!("{:?}", lie.how).as_str(), "FrozenWritePointer" | "FrozenHeartbeat") {
            continue;
        }
        let mut rig = Rig::new(config(64, 48));
        rig.run_frames(2);
        rig.guest.lie(Some(lie), clock::now()).unwrap();
        for _ in 0..30 {
            rig.guest.advance(clock::now()).unwrap();
            rig.step();
            // Rows that never come cost half a second each time; once is enough.
            if rig.stats.late.get() > 0 {
                break;
            }
        }
        rig.guest.lie(None, clock::now()).unwrap();
        rig.guest.restart(clock::now()).unwrap();
        let session = rig.session;
        rig.run_until(lie.name, |r| r.session > session && r.state == Some(GuestState::Live));
        rig.run_frames(2);
        rig.checked_stamp();
    }
}
