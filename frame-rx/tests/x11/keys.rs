//! The window's own keys, pressed in a real window: Xvfb, the software GPU, keys by XTEST.

use crate::guest::GuestThread;
use crate::monitor::Monitor;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;

fn config(motion: Motion) -> PictureConfig {
    let mut config = PictureConfig::new(480, 270);
    (config.motion, config.pointer) = (motion, PointerMode::Hidden);
    config
}

/// A program in a window that has the keyboard.
fn start(x: &Xvfb, guest: &GuestThread, flags: &str) -> (Program, String) {
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    let program = Program::start(command.arg("-f").arg(&guest.path).args(flags.split_whitespace()));
    program.says("showing the guest");
    let window = x.window();
    x.wait_for_size(&window, (480, 270));
    x.act(&["windowfocus", "--sync", &window]);
    (program, window)
}

fn press(x: &Xvfb, hold: &str, key: &str) {
    x.act(&["keydown", hold, "key", key, "keyup", hold]);
}

fn picture(guest: &GuestThread) -> Vec<u8> {
    let stamp = until("a picture", || guest.with(|g| g.last_stamp()), String::new);
    guest.expected(stamp)
}

#[test]
fn figures_and_help_stand_over_the_picture_and_leave_no_trace() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(config(Motion::Still));
    let (mut program, window) = start(&x, &guest, "--stats s.json");
    let picture = picture(&guest);
    let is_plain = || x.pixels(&window).is_some_and(|(_, _, rgb)| rgb == picture);
    // The lower right of the window belongs to the picture alone.
    let corner_is_plain = |rgb: &[u8]| rgb[rgb.len() - 480 * 3 / 2..] == picture[picture.len() - 480 * 3 / 2..];
    x.until("the picture", || is_plain().then_some(()));
    for key in ["d", "t", "h"] {
        press(&x, "Scroll_Lock", key);
        x.until("an overlay", || x.pixels(&window).filter(|(_, _, rgb)| *rgb != picture && corner_is_plain(rgb)));
        x.keep(&window, &format!("overlay-{key}"));
        press(&x, "Scroll_Lock", key);
        x.until("the picture alone", || is_plain().then_some(()));
    }
    // Turned four times it is upright again; the notices vanish by themselves.
    for _ in 0..4 {
        press(&x, "Scroll_Lock", "r");
    }
    x.until("the picture again", || is_plain().then_some(()));
    press(&x, "Scroll_Lock", "q");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
    assert_eq!(stats["frames_shown"], 1, "{stats}");
}

#[test]
fn a_kept_picture_stands_while_the_guest_goes_on_and_can_be_written() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    let (mut program, window) = start(&x, &guest, "--screenshots . --stats s.json");
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    x.until("a picture", stamp_now);
    press(&x, "Scroll_Lock", "v");
    x.until("the title", || x.title(&window).ends_with(", kept").then_some(()));
    // The notice hides the stamp for two seconds; then it is the same for as long as one looks.
    let kept = x.until("a kept picture", stamp_now);
    let begun = guest.with(|g| g.frames_begun());
    until("60 pictures more", || guest.with(|g| (g.frames_begun() > begun + 60).then_some(())), || program.text());
    assert_eq!(stamp_now(), Some(kept));
    crate::unhindered::was_not_held_up(&guest);
    press(&x, "Scroll_Lock", "s");
    program.says("frame-rx-1.png");
    let (w, h, rgb) = crate::png::read(&x.dir.path().join("frame-rx-1.png"));
    assert_eq!(guest.stamp_of(&rgb, w, h), Some(kept), "the file holds another picture");
    press(&x, "Scroll_Lock", "v");
    x.until("a later picture", || stamp_now().filter(|s| s.frame > kept.frame + 60));
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
    let blamed: u64 = ["transport", "copy", "gpu", "compositor", "guest"]
        .iter()
        .map(|who| stats[format!("late_by_{who}")].as_u64().expect("a count"))
        .sum();
    assert!(blamed <= stats["frames_shown"].as_u64().unwrap(), "{stats}");
}

#[test]
fn keys_are_those_of_the_settings() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(config(Motion::Still));
    let folder = x.dir.path().join("frame-rx");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "[keys]\nhold = \"F9\"\nquit = \"W\"\nrotate = \"Q\"\n").unwrap();
    let listed = frame_rx(x.dir.path(), None).arg("keys").output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for line in ["hold F9 and press:", "  W: end", "  Q: a quarter turn clockwise", "  F: full screen"] {
        assert!(listed.contains(line), "{line} in\n{listed}");
    }
    let (mut program, window) = start(&x, &guest, "--scale 1:1");
    // Not these any more; and a letter alone is the guest's.
    press(&x, "Scroll_Lock", "q");
    x.act(&["key", "w"]);
    press(&x, "F9", "q");
    let picture = picture(&guest);
    x.until("a turned picture", || {
        let (w, h, rgb) = x.pixels(&window)?;
        // The turned picture is 270 x 480: the window cuts 105 rows above and below, and leaves 105 columns beside it.
        // Its row 345 (the window's 240) is column 345 of the upright one, from the bottom up.
        let same = |x: u32| {
            let (at, from) = ((240 * w + x) * 3, ((374 - x) * 480 + 345) * 3);
            rgb[at as usize..][..3] == picture[from as usize..][..3]
        };
        ((w, h) == (480, 270) && (105..375).all(same)).then_some(())
    });
    x.keep(&window, "turned");
    press(&x, "F9", "w");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    std::fs::write(folder.join("config.toml"), "[keys]\nquit = \"F\"\n").unwrap();
    let (code, text) = crate::program::run(&mut frame_rx(x.dir.path(), Some(&x.display)));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("F is both full-screen and quit"), "{text}");
}

#[test]
fn what_keys_changed_is_there_in_the_next_run_unless_that_is_not_wanted() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(config(Motion::Still));
    let kept = x.dir.path().join("state/frame-rx/looking-glass.toml");
    let turned = |x: &Xvfb, window: &str| x.title(window) == "frame-rx: simulated, 270x480";
    let (mut program, window) = start(&x, &guest, "");
    for key in ["r", "c", "x"] {
        press(&x, "Scroll_Lock", key);
    }
    x.until("the turn", || turned(&x, &window).then_some(()));
    press(&x, "Scroll_Lock", "q");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let text = std::fs::read_to_string(&kept).unwrap();
    for line in ["turn = 90", "turn-instead-of = \"auto\"", "scale = \"integer\"", "filter = \"sharp\""] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    for (flags, is_turned) in [("", true), ("--no-remember", false), ("--rotate 0", false)] {
        let mut command = frame_rx(x.dir.path(), Some(&x.display));
        let mut program = Program::start(command.arg("-f").arg(&guest.path).args(flags.split_whitespace()));
        let window = x.window();
        let size = || x.title(&window).strip_prefix("frame-rx: simulated, ").map(str::to_owned);
        let wanted = if is_turned { "270x480" } else { "480x270" };
        x.until(flags, || (size()? == wanted).then_some(()));
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text, "nothing was changed by a key");
}

#[test]
fn full_screen_by_the_window_manager_is_left_by_key() {
    let Some((_gpu, mut x)) = crate::xvfb::display(1280, 720) else { return };
    x.manage();
    let guest = GuestThread::start(config(Motion::Still));
    let (mut program, window) = start(&x, &guest, "");
    x.manager_act(&["-i", "-r", &window, "-b", "add,fullscreen"]);
    x.wait_for_size(&window, (1280, 720));
    press(&x, "Scroll_Lock", "f");
    x.wait_for_size(&window, (480, 270));
    press(&x, "Scroll_Lock", "q");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

/// By the X server's keyboard, which the window does not hear.
#[test]
fn the_windows_keys_work_while_the_guest_has_the_input() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let guest = GuestThread::start(config(Motion::Still));
    let monitor = Monitor::start(x.dir.path());
    let (mut program, window) =
        start(&x, &guest, &format!("-vv --screenshots . --release-chord f12 --input {}", monitor.way()));
    program.says("connected to qmp");
    let given = || program.text().matches("has the X server's keyboard alone").count();
    let take = |times| until("the keyboard", || (given() == times).then_some(()), || program.text());
    press(&x, "Scroll_Lock", "i");
    take(1);
    // A picture is written, and the guest hears nothing of it; a key alone is the guest's, the one to hold included.
    press(&x, "Scroll_Lock", "s");
    program.says("frame-rx-1.png");
    for (key, qcode) in [("s", "s"), ("Scroll_Lock", "scroll_lock")] {
        x.act(&["key", key]);
        until(key, || (monitor.presses(qcode) == 1).then_some(()), || program.text());
    }
    press(&x, "Scroll_Lock", "r");
    x.until("a turned picture", || (x.title(&window) == "frame-rx: simulated, 270x480").then_some(()));
    // The key that gave the input takes it back; after that letters are nobody's.
    press(&x, "Scroll_Lock", "i");
    monitor.holds(&[]);
    x.until("the window's own keys", || {
        press(&x, "Scroll_Lock", "r");
        (x.title(&window) == "frame-rx: simulated, 480x270").then_some(())
    });
    x.act(&["key", "a"]);
    press(&x, "Scroll_Lock", "i");
    take(2);
    assert_eq!(["s", "i", "r", "a"].map(|key| monitor.presses(key)), [1, 0, 0, 0]);
    press(&x, "Scroll_Lock", "q");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    monitor.holds(&[]);
}
