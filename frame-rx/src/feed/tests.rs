//! The feed against the simulated guest, in memory: what reaches the slots is what the guest drew, and each thing that
//! can be wrong with a region or a session is told.

use super::*;
use crate::slots::{self, Outlet};
use shm_proto::guest_sim::lies::LIES;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::pointer::{PointerMode, position_at, shape};
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use shm_proto::kvmfr::{GuestTiming, HdrMetadata, PictureSpec, PixelType, ShapeKind, Version};
use std::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

struct Memory(Vec<u8>);

impl Rows for Memory {
    fn capacity_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&mut self, at_bytes: u64, bytes: &[u8]) -> bool {
        let at = at_bytes as usize;
        self.0.get_mut(at..at + bytes.len()).map(|place| place.copy_from_slice(bytes)).is_some()
    }
}

/// A feed, a guest of its own region, and a screen that keeps a texture, all in one thread.
struct Rig {
    dir: tempfile::TempDir,
    region: Region,
    guest: PictureGuest,
    feed: Feed<Memory>,
    outlet: Outlet<Memory>,
    pointer: crate::pointer::PointerOutlet,
    conditions: Conditions,
    told: mpsc::Receiver<Told>,
    stats: Arc<FeedStats>,
    screen: Vec<u8>,
    shown: Option<crate::picture::PictureFormat>,
    session: u64,
    state: Option<GuestState>,
    states: Vec<&'static str>,
}

fn feed_of(
    path: &Path,
) -> (Feed<Memory>, Outlet<Memory>, crate::pointer::PointerOutlet, Conditions, mpsc::Receiver<Told>) {
    let (intake, outlet) = slots::pair(slots::Supply::Three);
    let (pointer_in, pointer) = crate::pointer::pair();
    let (conditions_in, conditions) = conditions();
    let (tell, told) = mpsc::channel();
    let parts = FeedParts {
        intake,
        pointer: pointer_in,
        conditions: conditions_in,
        wishes: Arc::default(),
        asks: Arc::default(),
        stats: FeedStats::new(),
        tell: Box::new(move |what| tell.send(what).unwrap_or_default()),
    };
    let make_rows: MakeRows<Memory> = Box::new(|bytes| Ok(Memory(vec![0xAB; bytes as usize])));
    let feed = Feed::new(path, parts, make_rows, Stop::new().unwrap());
    (feed, outlet, pointer, conditions, told)
}

impl Rig {
    fn new(config: PictureConfig) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let region = Region::create(&path, config.region_bytes()).unwrap();
        let guest = PictureGuest::start(&region, config, clock::now()).unwrap();
        let (feed, outlet, pointer, conditions, told) = feed_of(&path);
        let stats = feed.parts.stats.clone();
        Rig {
            dir,
            region,
            guest,
            feed,
            outlet,
            pointer,
            conditions,
            told,
            stats,
            screen: Vec::new(),
            shown: None,
            session: 0,
            state: None,
            states: Vec::new(),
        }
    }

    /// Lets guest, feed and screen go on until `done`.
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Rig) -> bool) {
        let end = clock::now() + LONG;
        while !done(self) {
            assert!(clock::now() < end, "{what} did not happen; states: {:?}", self.states);
            self.guest.advance(clock::now()).unwrap();
            self.step();
        }
    }

    fn step(&mut self) {
        let next = self.feed.step(clock::now());
        while let Some(condition) = self.conditions.take() {
            self.states.push(condition.state.name());
            self.session = condition.session;
            self.state = Some(condition.state);
        }
        self.fetch();
        if next.is_none() {
            clock::sleep_until(clock::now() + Duration::from_millis(1));
        }
    }

    fn fetch(&mut self) {
        let Some(slot) = self.outlet.take() else { return };
        assert!(slot.session >= self.session, "a picture of session {} in session {}", slot.session, self.session);
        let format = slot.format;
        if self.shown != Some(format) {
            self.shown = Some(format);
            self.screen = vec![0xCD; (format.row_bytes() * format.stored.height) as usize];
        }
        let bytes = format.pixel.slot_bytes();
        for rect in slot.damage.rects(format.stored) {
            for y in rect.y..rect.bottom() {
                let from = (y * format.slot_pitch_bytes() + rect.x * bytes) as usize;
                let to = (y * format.row_bytes() + rect.x * bytes) as usize;
                let len = (rect.width * bytes) as usize;
                self.screen[to..to + len].copy_from_slice(&slot.rows.0[from..from + len]);
            }
        }
        self.outlet.give_back(slot);
    }

    /// The stamp on the screen, after comparing every pixel with the guest's definition of that frame.
    fn checked_stamp(&self) -> Stamp {
        let format = self.shown.expect("a picture");
        let spec = *self.guest.pattern().spec();
        let (w, h) = (format.stored.width, format.stored.height);
        // Pixels of three bytes arrive as four.
        let (narrow, wide) = (format.pixel.source_bytes() as usize, format.pixel.slot_bytes() as usize);
        assert!(self.screen.chunks_exact(wide).all(|p| narrow == wide || p[3] == 255));
        let screen: Vec<u8> = self.screen.chunks_exact(wide).flat_map(|p| &p[..narrow]).copied().collect();
        let row = w as usize * narrow;
        let stamp = read_stamp(&screen, row, spec.pixel_type, (w, h), Edge::Top).expect("a stamp");
        let reference = self.guest.pattern().reference(stamp);
        for y in 0..h as usize {
            let theirs = &reference[y * spec.pitch_bytes as usize..][..row];
            assert!(screen[y * row..][..row] == *theirs, "row {y} of frame {}", stamp.frame);
        }
        stamp
    }

    fn run_frames(&mut self, count: u64) {
        let until = self.stats.copied.get() + count;
        self.run_until("enough frames", |r| r.stats.copied.get() >= until);
        self.fetch();
    }
}

fn config(width: u32, height: u32) -> PictureConfig {
    PictureConfig { rate_hz: 0, ..PictureConfig::new(width, height) }
}

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
fn what_pixels_mean_follows_from_their_type_and_the_flags() {
    use crate::picture::Transfer::{Linear, Pq, Sdr};
    use shm_proto::kvmfr::{FrameFlags, Version};
    let (hdr, pq) = (FrameFlags::HDR, FrameFlags::HDR | FrameFlags::HDR_PQ);
    let film = |max_nits, content_max_nits| Some(HdrMetadata { max_nits, content_max_nits, ..Default::default() });
    let shown = |white_nits, peak_nits| Pq { white_nits, peak_nits };
    for (version, pixel, flags, sdr_white, display, expected) in [
        (Version::B7, PixelType::Bgra, pq, 0, None, Sdr),
        (Version::B7, PixelType::Rgba10, 0, 0, None, Sdr),
        (Version::B7, PixelType::Rgba10, hdr, 0, None, Linear),
        (Version::B7, PixelType::Rgba10, pq, 300, film(1000, 0), shown(203, 10_000)),
        (Version::B7, PixelType::Rgba16F, hdr, 0, None, Linear),
        (Version::B6, PixelType::Rgba16F, 0, 0, None, Linear),
        (Version::Lgmp12, PixelType::Rgba10, pq, 300, None, shown(300, 10_000)),
        (Version::Lgmp12, PixelType::Rgba10, pq, 0, film(1000, 0), shown(203, 1000)),
        (Version::Lgmp12, PixelType::Rgba10, pq, 0, film(1000, 640), shown(203, 640)),
        (Version::Lgmp12, PixelType::Rgba10, pq, u32::MAX, film(0, 640), shown(203, 10_000)),
        (Version::Lgmp12, PixelType::Bgra, 0, 0, film(1000, 640), Sdr),
    ] {
        let mut config = config(128, 96).speaking(version);
        config.spec = PictureSpec { flags, sdr_white, hdr: display, ..PictureSpec::new(pixel, 128, 96) };
        let mut rig = Rig::new(config);
        rig.run_frames(1);
        assert_eq!(rig.shown.map(|f| f.transfer), Some(expected), "{version:?} {pixel} {flags} {display:?}");
        rig.checked_stamp();
    }
}

#[test]
fn the_guest_of_every_version_is_named_and_told_what_is_wanted() {
    use crate::picture::Size;
    use shm_proto::kvmfr::Version;
    use shm_proto::kvmfr::wire::features;
    for version in Version::ALL {
        let mut config = config(128, 96).speaking(version);
        config.producer.identity.features = features::SET_CURSOR_POSITION | features::WINDOW_SIZE;
        let mut rig = Rig::new(config);
        rig.run_frames(1);
        let guest = rig.stats.guest().expect("a guest");
        assert_eq!((guest.lgmp, guest.kvmfr), (version.lgmp().version, version.layout().version));
        let wishes = rig.feed.parts.wishes.clone();
        wishes.move_pointer(40, 30);
        rig.run_until("the pointer", |r| r.guest.asked_position() == Some((40, 30)));
        // A window that is dragged: the last size arrives, whatever became of those before.
        for width in 600..640 {
            wishes.follow_window(Size::new(width, 480));
            rig.step();
        }
        rig.run_until("the size", |r| r.guest.asked_size() == Some((639, 480)));
        // The next session knows nothing of it.
        rig.guest.restart(clock::now()).unwrap();
        rig.run_until("another session", |r| r.stats.sessions.get() == 2);
        rig.run_frames(1);
        rig.run_until("the size again", |r| {
            r.guest.producer().host().session_id() != 0 && r.guest.asked_size().is_some()
        });
    }
}

#[test]
fn a_guest_that_cannot_follow_is_not_told() {
    let mut config = config(128, 96);
    config.producer.identity.features = 0;
    let mut rig = Rig::new(config);
    rig.run_frames(1);
    rig.feed.parts.wishes.move_pointer(40, 30);
    rig.feed.parts.wishes.follow_window(crate::picture::Size::new(640, 480));
    rig.run_frames(20);
    assert_eq!((rig.guest.asked_position(), rig.guest.asked_size()), (None, None));
}

#[test]
fn what_a_guest_says_of_its_stages_and_its_display_is_counted_if_it_can_be() {
    let ms = Duration::from_millis;
    let honest = GuestTiming { capture: ms(1), post_process: ms(2), copy: ms(3), hold: ms(4), ..Default::default() };
    let lie = GuestTiming { copy: Duration::from_secs(3600), ..honest };
    let hdr = HdrMetadata { max_nits: 1000, white: (15_635, 16_450), ..Default::default() };
    let impossible = HdrMetadata { max_nits: 0, ..hdr };
    for (version, timing, display, counted, nits) in [
        (Version::Lgmp12, honest, hdr, true, Some(1000)),
        (Version::Lgmp12, lie, impossible, false, None),
        (Version::B7, honest, hdr, false, None),
    ] {
        let mut config = config(128, 96).speaking(version);
        (config.timing, config.spec.hdr) = (Some(timing), Some(display));
        let mut rig = Rig::new(config);
        rig.run_frames(3);
        let medians: Vec<f64> = rig.stats.guest_stages.iter().map(|h| h.summary().p50 as f64 / 1e6).collect();
        let all = rig.stats.guest_stages.iter().all(|h| h.summary().count > 0);
        assert_eq!(all, counted, "{version:?} {timing:?}");
        for (got, want) in medians.iter().zip([1.0, 2.0, 3.0, 4.0]).filter(|_| counted) {
            assert!((got - want).abs() < 0.1, "{medians:?}");
        }
        assert_eq!(rig.stats.hdr_nits(), nits, "{version:?} {display:?}");
        rig.checked_stamp();
    }
}

#[test]
fn what_the_guest_asks_of_the_desktop_is_told_and_ends_with_its_session() {
    let mut config = config(128, 96);
    config.spec.flags = FrameFlags::BLOCK_SCREENSAVER | FrameFlags::REQUEST_ACTIVATION;
    let mut rig = Rig::new(config);
    rig.run_frames(2);
    let asks = rig.feed.parts.asks.clone();
    assert_eq!((asks.wants_awake(), asks.take_attention()), (true, true));
    rig.guest.set_picture(PictureSpec::new(PixelType::Bgra, 128, 96), Motion::Bar);
    rig.run_until("no wish", |_| !asks.wants_awake());
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
