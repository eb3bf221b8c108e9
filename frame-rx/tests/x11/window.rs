//! What stands in the window: picture, pointer, words, each compared pixel by pixel with a calculation of its own.

use crate::guest::GuestThread;
use crate::program::{self, Program, frame_rx, until};
use crate::xvfb::Xvfb;
use frame_rx::cursor::{CursorKind, Shape, compose};
use frame_rx::picture::Size;
use frame_rx::text;
use frame_rx::view::{Scale, place};
use rx_host::clock;
use shm_proto::Region;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::pointer::{PointerMode, position_at, shape};
use shm_proto::guest_sim::stamp::Stamp;
use shm_proto::kvmfr::wire::features;
use shm_proto::kvmfr::{ShapeKind, Version};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

fn start(x: &Xvfb, guest: &GuestThread, flags: &str) -> Program {
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    Program::start(command.arg("-f").arg(&guest.path).args(flags.split_whitespace()))
}

fn still(width: u32, height: u32) -> PictureConfig {
    let mut config = PictureConfig::new(width, height);
    (config.motion, config.pointer) = (Motion::Still, PointerMode::Hidden);
    config
}

/// Waits until the window shows what `expected` calculates for its size; gives the last difference if it never does.
fn shows(x: &Xvfb, window: &str, program: &Program, what: &str, expected: impl Fn(u32, u32) -> Vec<u8>) {
    let mut last = String::new();
    let end = Instant::now() + program::LONG;
    loop {
        if let Some((w, h, got)) = x.pixels(window) {
            let want = expected(w, h);
            match got.iter().zip(&want).position(|(g, w)| g != w) {
                None if got.len() == want.len() => return,
                at => last = format!("{w}x{h} differs at {:?}", at.map(|i| (i / 3 % w as usize, i / 3 / w as usize))),
            }
        }
        assert!(Instant::now() < end, "{what}: {last}\n{}", program.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The picture as the nearest filter puts it into a window, black around it.
fn scaled(rgb: &[u8], picture: Size, window: Size, scale: Scale) -> Vec<u8> {
    let place = place(picture, window, scale);
    let near = |i: i64, at: i32, of: u32, on: u32| {
        let i = i - i64::from(at);
        let step = (f64::from(of) / f64::from(on)) as f32;
        (0..i64::from(on)).contains(&i).then(|| (((i as f32 + 0.5) * step).floor() as usize).min(of as usize - 1))
    };
    let mut out = Vec::with_capacity(window.width as usize * window.height as usize * 3);
    for y in 0..i64::from(window.height) {
        for x in 0..i64::from(window.width) {
            let px = near(x, place.x, picture.width, place.size.width);
            let py = near(y, place.y, picture.height, place.size.height);
            match (px, py) {
                (Some(px), Some(py)) => {
                    let at = (py * picture.width as usize + px) * 3;
                    out.extend_from_slice(&rgb[at..at + 3]);
                }
                _ => out.extend_from_slice(&[0; 3]),
            }
        }
    }
    out
}

fn last_picture(guest: &GuestThread) -> Vec<u8> {
    let stamp = until("a picture", || guest.with(|g| g.last_stamp()), String::new);
    guest.expected(stamp)
}

/// A window with nothing but words.
fn words(sentence: &str, width: u32, height: u32) -> Vec<u8> {
    let window = Size::new(width, height);
    let painted = text::paint(sentence, window).expect("room for words");
    let at = place(painted.size, window, Scale::OneToOne);
    let mut out = vec![0; (width * height * 3) as usize];
    for y in 0..painted.size.height {
        for x in 0..painted.size.width {
            let from = ((y * painted.size.width + x) * 4) as usize;
            let to = (((y + at.y as u32) * width + x + at.x as u32) * 3) as usize;
            out[to..to + 3].copy_from_slice(&painted.rgba[from..from + 3]);
        }
    }
    out
}

#[test]
fn a_window_shows_the_picture_pixel_for_pixel_and_scales_it_when_resized() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(still(640, 360));
    let mut program = start(&x, &guest, "--filter nearest");
    program.says("showing the guest");
    let window = x.window();
    // Nobody asked for a size: the picture decides.
    x.wait_for_size(&window, (640, 360));
    let picture = last_picture(&guest);
    shows(&x, &window, &program, "one to one", |_, _| picture.clone());
    assert_eq!(x.title(&window), "frame-rx: simulated, 640x360");
    x.keep(&window, "window-1-to-1");
    for (w, h) in [("800", "450"), ("500", "600"), ("1200", "300"), ("320", "180")] {
        x.act(&["windowsize", "--sync", &window, w, h]);
        shows(&x, &window, &program, "fitted", |w, h| {
            scaled(&picture, Size::new(640, 360), Size::new(w, h), Scale::Fit)
        });
        x.keep(&window, &format!("window-fit-{w}x{h}"));
    }
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

#[test]
fn each_way_of_scaling_works_in_a_window_of_a_given_size() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(still(250, 140));
    for (flag, scale) in
        [("1:1", Scale::OneToOne), ("integer", Scale::Integer), ("stretch", Scale::Stretch), ("fit", Scale::Fit)]
    {
        let mut program = start(&x, &guest, &format!("--filter nearest --window 700x500 --scale {flag}"));
        program.says("showing the guest");
        let window = x.window();
        x.wait_for_size(&window, (700, 500));
        let picture = last_picture(&guest);
        shows(&x, &window, &program, flag, |w, h| scaled(&picture, Size::new(250, 140), Size::new(w, h), scale));
        x.keep(&window, &format!("scale-{}", flag.replace(':', "-")));
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    }
}

#[test]
fn one_to_one_is_exact_whatever_factor_the_desktop_scales_by() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(still(321, 181));
    for factor in ["1.25", "1.5", "1.6666667", "2"] {
        let mut command = frame_rx(x.dir.path(), Some(&x.display));
        command.env("WINIT_X11_SCALE_FACTOR", factor).arg("-f").arg(&guest.path).args(["--scale", "1:1"]);
        let mut program = Program::start(&mut command);
        program.says("showing the guest");
        let window = x.window();
        // The window is the picture's size in pixels of the screen, not of the desktop.
        x.wait_for_size(&window, (321, 181));
        let picture = last_picture(&guest);
        shows(&x, &window, &program, factor, |_, _| picture.clone());
        x.act(&["windowsize", "--sync", &window, "500", "333"]);
        shows(&x, &window, &program, factor, |w, h| {
            scaled(&picture, Size::new(321, 181), Size::new(w, h), Scale::OneToOne)
        });
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{factor}: {}", program.text());
    }
}

#[test]
fn full_screen_fills_the_screen_and_goes_back_by_key_or_by_the_window_manager() {
    let Some((_gpu, mut x)) = crate::xvfb::display(1280, 720) else { return };
    x.manage();
    let guest = GuestThread::start(still(640, 360));
    let mut program = start(&x, &guest, "-F --window 800x450 --filter nearest");
    program.says("showing the guest");
    let window = x.window();
    x.wait_for_size(&window, (1280, 720));
    let picture = last_picture(&guest);
    let full = |w, h| scaled(&picture, Size::new(640, 360), Size::new(w, h), Scale::Fit);
    shows(&x, &window, &program, "full screen", full);
    x.keep("root", "full-screen");
    let leaves = |x: &Xvfb| x.until("a window", || x.size(&window).filter(|s| *s != (1280, 720)));
    x.act(&["windowfocus", "--sync", &window]);
    x.act(&["key", "F11"]);
    leaves(&x);
    shows(&x, &window, &program, "in a window", full);
    x.act(&["keydown", "Scroll_Lock", "key", "f", "keyup", "Scroll_Lock"]);
    x.wait_for_size(&window, (1280, 720));
    x.manager_act(&["-i", "-r", &window, "-b", "remove,fullscreen"]);
    leaves(&x);
    x.manager_act(&["-i", "-r", &window, "-b", "add,fullscreen"]);
    x.wait_for_size(&window, (1280, 720));
    shows(&x, &window, &program, "full screen again", full);
    // Closing is a clean end.
    x.manager_act(&["-i", "-c", &window]);
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    until("places given back", || guest.with(|g| (!g.producer().is_watched().unwrap()).then_some(())), String::new);
}

#[test]
fn every_pointer_is_drawn_exactly_and_a_still_guest_is_not_drawn_again() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    for (mode, kind) in [
        (PointerMode::Color, ShapeKind::Color),
        (PointerMode::Monochrome, ShapeKind::Monochrome),
        (PointerMode::Masked, ShapeKind::MaskedColor),
    ] {
        let mut config = still(320, 180);
        (config.pointer, config.pointer_rate_hz) = (mode, 0);
        let guest = GuestThread::start(config);
        let mut program = start(&x, &guest, "--stats s.json");
        program.says("showing the guest");
        let window = x.window();
        let picture = last_picture(&guest);
        shows(&x, &window, &program, "the pointer", |_, _| {
            with_pointer(&picture, 320, kind, position_at(0, (320, 180)))
        });
        // Moved without a new picture.
        guest.with(|g| g.producer().set_cursor(100, 77, true, clock::now())).unwrap();
        shows(&x, &window, &program, "the moved pointer", |_, _| with_pointer(&picture, 320, kind, (100, 77)));
        x.keep(&window, &format!("pointer-{kind:?}").to_lowercase());
        guest.with(|g| g.producer().set_cursor(100, 77, false, clock::now())).unwrap();
        shows(&x, &window, &program, "no pointer", |_, _| picture.clone());
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0));
        let stats: serde_json::Value =
            serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
        assert_eq!(stats["frames_shown"], 1, "{stats}");
        // Words, picture, three states of the pointer, and what the server asks for at the start.
        assert!(stats["drawings"].as_u64() <= Some(20), "{stats}");
        // Shown as it is: only words were calculated.
        assert!(stats["drawings_direct"].as_u64() >= Some(3), "{stats}");
    }
}

fn with_pointer(picture: &[u8], width: i32, kind: ShapeKind, (left, top): (i16, i16)) -> Vec<u8> {
    let spec = shape(kind);
    let mut cursor = Shape::with_room();
    let size = Size::new(32, 32);
    match kind {
        ShapeKind::Monochrome => cursor.set_monochrome(size, spec.pitch_bytes, &spec.pixels).unwrap(),
        ShapeKind::Color => cursor.set_colour(CursorKind::Blend, size, spec.pitch_bytes, &spec.pixels).unwrap(),
        ShapeKind::MaskedColor => cursor.set_colour(CursorKind::Mask, size, spec.pitch_bytes, &spec.pixels).unwrap(),
    }
    let mut out = picture.to_vec();
    let height = picture.len() as i32 / 3 / width;
    for y in 0..32 {
        for x in 0..32 {
            let (px, py) = (x + i32::from(left), y + i32::from(top));
            if (0..width).contains(&px) && (0..height).contains(&py) {
                let at = ((py * width + px) * 3) as usize;
                let from = ((y * 32 + x) * 4) as usize;
                let under = [out[at + 2], out[at + 1], out[at]];
                let [b, g, r] = compose(cursor.kind, under, cursor.bgra[from..from + 4].try_into().unwrap());
                out[at..at + 3].copy_from_slice(&[r, g, b]);
            }
        }
    }
    out
}

#[test]
fn a_moving_guest_that_starts_again_is_shown_again_and_its_old_picture_is_not() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut config = PictureConfig::new(320, 180);
    config.pointer = PointerMode::Hidden;
    let guest = GuestThread::start(config);
    let mut program = start(&x, &guest, "--scale 1:1");
    program.says("showing the guest");
    let window = x.window();
    x.wait_for_size(&window, (320, 180));
    // Whatever instant is looked at, a whole picture of the guest stands there.
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    let first = x.until("a picture", stamp_now);
    let later = x.until("a later picture", || stamp_now().filter(|s| s.frame > first.frame + 10));
    for _ in 0..3 {
        guest.with(|g| g.restart(clock::now())).unwrap();
        let begun = guest.with(|g| g.frames_begun());
        assert!(begun >= later.frame);
        x.until("a picture of the new session", || stamp_now().filter(|s| s.frame > begun));
    }
    // Switched off and on: words over the dimmed picture, then the picture again.
    guest.with(|g| g.stop());
    program.says("the guest is paused or its Looking Glass host stopped");
    x.until("a title", || (x.title(&window) == "frame-rx: simulated, paused").then_some(()));
    x.until("a dimmed picture", || {
        let (_, _, rgb) = x.pixels(&window)?;
        let brightest = rgb.chunks(3).take(100).flatten().max().copied()?;
        (brightest > 0 && brightest <= 91).then_some(())
    });
    x.keep(&window, "paused");
    guest.with(|g| g.restart(clock::now())).unwrap();
    x.until("a picture after the pause", stamp_now);
    x.keep(&window, "after-a-pause");
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

#[test]
fn every_state_has_its_sentence_in_the_window_and_on_stderr() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let path = x.dir.path().join("looking-glass");
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    let program = Program::start(command.arg("-f").arg(&path).args(["--window", "640x360"]));
    let window = x.window();
    x.wait_for_size(&window, (640, 360));
    let tells = |name: &str, begin: &str| {
        program.says(begin);
        let said = program.text();
        let line = said
            .lines()
            .rev()
            .find_map(|l| l.split_once("frame-rx: ").map(|(_, s)| s).filter(|s| s.starts_with(begin)));
        let sentence = line.expect(begin).to_owned();
        shows(&x, &window, &program, name, |w, h| words(&sentence, w, h));
        // Whoever the guest is, it is named while its session goes on.
        let guest = if ["first-picture", "paused"].contains(&name) { "simulated, " } else { "" };
        assert_eq!(x.title(&window), format!("frame-rx: {guest}{name}"));
        x.keep(&window, &format!("state-{name}"));
    };
    tells("absent", &format!("waiting for {}", path.display()));
    std::fs::write(&path, []).unwrap();
    tells("empty", &format!("{} is still empty", path.display()));
    std::fs::write(&path, [0; 4096]).unwrap();
    tells("too-small", &format!("{} has only 4 KiB", path.display()));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    tells("wrong-kind", &format!("{} is a directory", path.display()));
    std::fs::remove_dir(&path).unwrap();
    let mut config = still(200, 100);
    // It never comes to the end of a picture.
    config.write_time = std::time::Duration::from_secs(1000);
    let region = Region::create(&path, config.region_bytes()).unwrap();
    tells("untouched", "nothing was written into the shared memory yet");
    region.span(0, 4).unwrap().copy_from(&0x1111_2014u32.to_le_bytes()).unwrap();
    tells("other-content", "this shared memory carries Scream sound, not a picture");
    let mut guest = PictureGuest::start(&region, config, clock::now()).unwrap();
    tells("not-running", "the Looking Glass host in the guest is not running");
    meanwhile(
        || {
            guest.advance(clock::now()).unwrap();
            clock::sleep_until(guest.next_due(clock::now()));
        },
        || tells("first-picture", "connected, waiting for the first picture"),
    );
    tells("paused", "the guest is paused or its Looking Glass host stopped");
    let word = region.whole().word::<u32>(4).unwrap();
    word.store_release(4);
    let mut ms = 1;
    meanwhile(
        || {
            region.whole().word::<u64>(16).unwrap().store_release(ms);
            ms += 1;
            clock::sleep_until(clock::now() + std::time::Duration::from_millis(10));
        },
        || tells("other-version", "the guest speaks LGMP 4"),
    );
}

/// Does `background` again and again in another thread until `act` is over, well or not.
fn meanwhile(mut background: impl FnMut() + Send, act: impl FnOnce()) {
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                background();
            }
        });
        act();
    });
}

#[test]
fn a_minimised_window_is_not_drawn_and_the_guest_is_never_slowed() {
    let Some((_gpu, mut x)) = crate::xvfb::display(1280, 720) else { return };
    x.manage();
    let mut config = PictureConfig::new(320, 180);
    config.pointer = PointerMode::Hidden;
    let guest = GuestThread::start(config);
    let mut program = start(&x, &guest, "--stats s.json");
    program.says("showing the guest");
    let window = x.window();
    x.act(&["windowminimize", "--sync", &window]);
    let hidden = |x: &Xvfb| !x.title(&window).is_empty() && x.pixels(&window).is_none();
    x.until("a hidden window", || hidden(&x).then_some(()));
    let begun = guest.with(|g| g.frames_begun());
    until("200 frames", || guest.with(|g| (g.frames_begun() > begun + 200).then_some(())), || program.text());
    crate::unhindered::was_not_held_up(&guest);
    // Seen again, it shows the newest picture.
    let begun = guest.with(|g| g.frames_begun());
    x.act(&["windowmap", "--sync", &window]);
    let stamp = x.until("a picture", || {
        let (w, h, rgb) = x.pixels(&window)?;
        guest.stamp_of(&rgb, w, h).filter(|s: &Stamp| s.frame > begun)
    });
    assert!(stamp.frame > begun);
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
    assert!(stats["frames_replaced"].as_u64() > Some(150), "{stats}");
}

#[test]
fn a_program_that_was_stopped_for_seconds_shows_the_guest_again() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut config = PictureConfig::new(320, 180);
    config.pointer = PointerMode::Hidden;
    let guest = GuestThread::start(config);
    let mut program = start(&x, &guest, "--scale 1:1 --stats s.json");
    program.says("showing the guest");
    let window = x.window();
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    x.until("a picture", stamp_now);
    // As a suspended laptop or a stuck compositor would: until the guest has given up on it and gone on for five seconds.
    program.signal("STOP");
    let stopped = Instant::now();
    until("nobody watches", || guest.with(|g| (!g.producer().is_watched().unwrap()).then_some(())), String::new);
    until("five seconds", || (stopped.elapsed().as_secs() >= 5).then_some(()), String::new);
    let begun = guest.with(|g| g.frames_begun());
    program.signal("CONT");
    x.until("a new picture", || stamp_now().filter(|s| s.frame > begun));
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
    let again = stats["places_retaken"].as_u64().unwrap() + stats["sessions"].as_u64().unwrap();
    assert!(again >= 2, "it should have taken a new place: {stats}");
}

#[test]
fn the_demo_opens_a_window_and_ends_with_a_summary() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    let mut program = Program::start(command.args("demo --mode 640x360@60 --frames 30 --screenshot a.png".split(' ')));
    let window = x.window();
    x.keep(&window, "demo");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    for part in ["frames sent", "frames shown    30", "frames dropped", "pickup delay", "copy time", "wrote a.png"] {
        assert!(program.text().contains(part), "{part} in\n{}", program.text());
    }
    assert!(x.dir.path().join("a.png").is_file());
}

/// Each stop of the tour stands in the window for a while, in letters in the upper left corner.
#[test]
fn the_demo_says_in_its_window_what_it_shows() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    // The guest's own digits are larger than letters, and white; letters are not quite.
    let mut program = Program::start(command.args("-vv demo --window 1280x720".split(' ')));
    let window = x.window();
    let ink = || {
        let (_, _, rgb) = x.pixels(&window)?;
        Some(
            rgb.chunks(1280 * 3).take(40).flat_map(|row| row[..500 * 3].chunks(3)).filter(|p| **p == [0xF2; 3]).count(),
        )
    };
    for stop in
        ["1 of 18: a pointer in colour, with soft edges", "2 of 18: a pointer of one bit that inverts what is below"]
    {
        program.says(stop);
        x.until("letters in the window", || ink().filter(|dots| *dots > 100));
    }
    x.keep(&window, "demo-tour");
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

#[test]
fn a_display_that_cannot_be_reached_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for (variable, value) in [("DISPLAY", ":12345"), ("WAYLAND_DISPLAY", "wayland-not-there")] {
        let mut command = frame_rx(dir.path(), None);
        let (code, text) = program::run(command.env("XDG_RUNTIME_DIR", dir.path()).env(variable, value));
        assert_eq!(code, 2, "{text}");
        let cause = text.split_once("no window: cannot connect to the display: ").map(|(_, cause)| cause);
        assert!(cause.is_some_and(|cause| !cause.contains(".rs:")), "whose source the error is in: {text}");
    }
}

#[test]
fn a_guest_that_can_follows_the_window() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut config = still(320, 200).speaking(Version::Lgmp10);
    config.producer.identity.features |= features::WINDOW_SIZE;
    let guest = GuestThread::start_in(config, 16 << 20);
    let program = start(&x, &guest, "--follow-window --scale fit");
    let window = x.window();
    program.says("showing the guest");
    // The window takes the picture's size by itself first.
    x.wait_for_size(&window, (320, 200));
    for size in [(500, 333), (640, 360)] {
        let [w, h] = [size.0, size.1].map(|side: u32| side.to_string());
        x.act(&["windowsize", "--sync", &window, &w, &h]);
        x.wait_for_size(&window, size);
        let asked = || (guest.with(|g| g.asked_size()) == Some(size)).then_some(());
        program::until("the guest is asked", asked, || program.text());
        let follows = || guest.with(|g| (g.config().spec.width, g.config().spec.height) == size).then_some(());
        program::until("the guest follows", follows, || program.text());
        // One pixel is one pixel again.
        shows(&x, &window, &program, "the guest's new mode", |_, _| last_picture(&guest));
    }
}

#[test]
fn a_guest_is_not_asked_to_follow_without_being_told_so() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let mut config = still(320, 200);
    config.producer.identity.features |= features::WINDOW_SIZE;
    let guest = GuestThread::start(config);
    let program = start(&x, &guest, "--scale fit");
    let window = x.window();
    program.says("showing the guest");
    x.wait_for_size(&window, (320, 200));
    x.act(&["windowsize", "--sync", &window, "500", "333"]);
    x.wait_for_size(&window, (500, 333));
    let begun = Instant::now();
    program::until("half a second", || (begun.elapsed().as_millis() > 500).then_some(()), || program.text());
    assert_eq!(guest.with(|g| g.asked_size()), None);
}

/// The picture stays in sight; what is needed stands in the title, on stderr, and for a while in the window.
#[test]
fn a_picture_that_is_cut_off_is_shown_and_told() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start_in(still(1280, 720), 8 << 20);
    let mut program = start(&x, &guest, "--window 640x360 --filter nearest");
    program.says("too small for 1280x720");
    let window = x.window();
    x.until("the title", || x.title(&window).ends_with(", cut off").then_some(()));
    // Letters in the upper left corner, which are gone after a while.
    let ink = |rgb: &[u8]| {
        rgb.chunks(640 * 3).take(40).flat_map(|row| row[..300 * 3].chunks(3)).filter(|p| **p == [0xF2; 3]).count()
    };
    let letters = || x.pixels(&window).map(|(_, _, rgb)| ink(&rgb));
    x.until("words in the window", || letters().filter(|dots| *dots > 200));
    x.keep(&window, "cut-off");
    x.until("the picture alone", || letters().filter(|dots| *dots == 0));
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}
