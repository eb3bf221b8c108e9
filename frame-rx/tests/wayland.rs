//! The program in a window of a Wayland compositor: sway without a screen, the software GPU, and the output's pixels as
//! grim sees them; and KWin, for desktops that are enlarged by a fraction, which tells what is on its output itself.
//!
//! With `FRAME_RX_PICTURES=DIR` the outputs are kept as PNG files for people to look at.

#[path = "rig/guest.rs"]
mod guest;
#[path = "rig/keyboard.rs"]
mod keyboard;
#[path = "rig/kwin.rs"]
mod kwin;
#[path = "rig/monitor.rs"]
mod monitor;
#[path = "rig/outputs.rs"]
mod outputs;
#[path = "rig/program.rs"]
mod program;
#[path = "rig/sway.rs"]
mod sway;
#[path = "rig/turn.rs"]
mod turn;
#[path = "rig/unhindered.rs"]
mod unhindered;
#[path = "rig/weston.rs"]
mod weston;

use frame_rx::picture::Size;
use frame_rx::view::{Scale, place};
use guest::GuestThread;
use keyboard::Keyboard;
use kwin::KWin;
use monitor::Monitor;
use outputs::{Change, Outputs};
use program::{Program, frame_rx, until};
use rx_host::clock;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::FrameFlags;
use sway::Sway;
use weston::Weston;

fn start(sway: &Sway, guest: &GuestThread, flags: &str) -> Program {
    let mut command = frame_rx(sway.dir.path(), None);
    command.env("WAYLAND_DISPLAY", &sway.display).arg("-f").arg(&guest.path).args(flags.split_whitespace());
    Program::start(&mut command)
}

fn config(width: u32, height: u32, motion: Motion) -> PictureConfig {
    let mut config = PictureConfig::new(width, height);
    (config.motion, config.pointer) = (motion, PointerMode::Hidden);
    config
}

fn last_picture(guest: &GuestThread) -> Vec<u8> {
    guest.expected(until("a picture", || guest.with(|g| g.last_stamp()), String::new))
}

/// The picture by whole pixels in the middle of an output, black around it.
fn in_the_middle(rgb: &[u8], picture: Size, output: Size, scale: Scale) -> Vec<u8> {
    let at = place(picture, output, scale);
    let near = |i: u32, from: i32, of: u32, on: u32| {
        let i = i64::from(i) - i64::from(from);
        let step = (f64::from(of) / f64::from(on)) as f32;
        (0..i64::from(on)).contains(&i).then(|| (((i as f32 + 0.5) * step).floor() as usize).min(of as usize - 1))
    };
    let mut out = Vec::new();
    for y in 0..output.height {
        for x in 0..output.width {
            let px = near(x, at.x, picture.width, at.size.width);
            let py = near(y, at.y, picture.height, at.size.height);
            match (px, py) {
                (Some(px), Some(py)) => out.extend(&rgb[(py * picture.width as usize + px) * 3..][..3]),
                _ => out.extend([0; 3]),
            }
        }
    }
    out
}

fn stats(sway: &Sway) -> serde_json::Value {
    stats_in(sway.dir.path())
}

fn stats_in(folder: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("s.json")).unwrap()).unwrap()
}

#[test]
fn the_output_shows_the_picture_pixel_for_pixel_and_follows_its_size() {
    let Some((_gpu, sway)) = sway::compositor(640, 360) else { return };
    let guest = GuestThread::start(config(640, 360, Motion::Still));
    let mut program = start(&sway, &guest, "--filter nearest --stats s.json");
    program.says("showing the guest");
    let picture = last_picture(&guest);
    let shows = |what: &str, scale| {
        until(
            what,
            || {
                let (w, h, rgb) = sway.pixels()?;
                (rgb == in_the_middle(&picture, Size::new(640, 360), Size::new(w, h), scale)).then_some((w, h))
            },
            || format!("{}\n{}", program.text(), sway.log()),
        )
    };
    assert_eq!(shows("one to one", Scale::OneToOne), (640, 360));
    sway.keep("wayland-1-to-1");
    sway.act("output HEADLESS-1 resolution 800x600");
    until("a larger output", || sway.pixels().filter(|(w, ..)| *w == 800), String::new);
    assert_eq!(shows("fitted", Scale::Fit), (800, 600));
    sway.keep("wayland-fit");
    // A window of its own size on the desktop, then full screen by the compositor.
    sway.act("floating enable, resize set 400 300, move position 0 0");
    let small = in_the_middle(&picture, Size::new(640, 360), Size::new(400, 300), Scale::Fit);
    let floats = || {
        let (w, _, rgb) = sway.pixels()?;
        let rows = rgb.chunks(w as usize * 3).zip(small.chunks(400 * 3)).all(|(row, want)| row[..400 * 3] == *want);
        rows.then_some(())
    };
    until("a window on the desktop", floats, || program.text());
    sway.act("fullscreen enable");
    assert_eq!(shows("full screen", Scale::Fit), (800, 600));
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let stats = stats(&sway);
    assert_eq!(stats["frames_shown"], 1, "{stats}");
    assert!(stats["drawings"].as_u64() <= Some(30), "a still guest is not drawn again: {stats}");
    assert!(stats["drawings_direct"].as_u64() >= Some(1), "one to one needs no calculation: {stats}");
}

#[test]
fn every_present_mode_shows_a_moving_guest_full_screen() {
    let Some((_gpu, sway)) = sway::compositor(480, 270) else { return };
    for mode in ["auto", "fifo", "mailbox", "immediate"] {
        let guest = GuestThread::start(config(480, 270, Motion::Bar));
        let mut program = start(&sway, &guest, &format!("-F --present {mode} --stats s.json"));
        program.says("showing the guest");
        let now = || sway.pixels().and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
        let first = until("a picture", now, || program.text());
        until("a later picture", || now().filter(|s| s.frame > first.frame + 10), || program.text());
        // The guest starts again: nothing of the old session stays.
        guest.with(|g| g.restart(clock::now())).unwrap();
        let begun = guest.with(|g| g.frames_begun());
        until("a picture of the new session", || now().filter(|s| s.frame > begun), || program.text());
        unhindered::was_not_held_up(&guest);
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{mode}: {}", program.text());
    }
}

/// How old pictures were when they were taken up, at the median and in milliseconds, and how many drawings were held back.
fn age(folder: &std::path::Path, name: &str) -> (f64, u64) {
    let stats: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    assert_eq!(stats["age_told_by"], "frame callbacks", "this sway never answers presentation-time: {stats}");
    (stats["age_ms_p50"].as_f64().unwrap(), stats["drawings_held"].as_u64().unwrap())
}

/// Two windows side by side at the same time: what else the machine does, it does to both.
#[test]
fn a_faster_guests_pictures_are_younger_where_they_are_drawn_late() {
    let Some((_gpu, sway)) = sway::compositor_alone(640, 180) else { return };
    let mut tried = Vec::new();
    // A machine that leaves the guest no time to be faster than the screen gets another try.
    for _ in 0..3 {
        let faster = PictureConfig { rate_hz: 144, ..config(320, 180, Motion::Bar) };
        let guests = [(), ()].map(|()| GuestThread::start(faster.clone()));
        let flags = ["late", "at-once"]
            .map(|draw| format!("--input none --present fifo --draw {draw} --frames 400 --stats {draw}.json"));
        let mut programs = [0, 1].map(|i| start(&sway, &guests[i], &flags[i]));
        for program in &mut programs {
            assert_eq!(program.ends().code(), Some(0), "{}", program.text());
        }
        let (late_ms, held) = age(sway.dir.path(), "late.json");
        let (at_once_ms, none) = age(sway.dir.path(), "at-once.json");
        guests.iter().for_each(unhindered::was_not_held_up);
        assert_eq!(none, 0, "nothing is held back unasked");
        tried.push((late_ms, held, at_once_ms));
        if late_ms < at_once_ms && held >= 100 {
            println!("drawn late {late_ms:.1} ms, at once {at_once_ms:.1} ms, {held} of 400 held back");
            return;
        }
    }
    panic!("drawn late (ms, held back), at once (ms): {tried:?}");
}

/// Weston tells by a clock beside ours.
#[test]
fn a_compositor_that_answers_presentation_time_is_believed() {
    let Some(weston) = Weston::start(320, 180) else { return };
    let guest = GuestThread::start(PictureConfig { rate_hz: 144, ..config(320, 180, Motion::Bar) });
    let mut command = frame_rx(weston.dir.path(), None);
    command.env("WAYLAND_DISPLAY", &weston.display).arg("-f").arg(&guest.path);
    let flags = "--input none --present fifo --frames 200 --stats s.json";
    let mut program = Program::start(command.args(flags.split(' ')));
    assert_eq!(program.ends().code(), Some(0), "{}{}", program.text(), weston.log());
    let stats = stats_in(weston.dir.path());
    assert_eq!(stats["age_told_by"], "presentation-time", "{stats}");
    // No picture is seen before it was found, and none of them a second later.
    assert!(stats["age_count"].as_u64() >= Some(100), "{stats}");
    assert!((1.0..1000.0).contains(&stats["age_ms_p50"].as_f64().unwrap()), "{stats}");
    unhindered::was_not_held_up(&guest);
}

#[test]
fn a_compositor_that_goes_away_ends_the_program_with_a_sentence() {
    let Some((_gpu, sway)) = sway::compositor(320, 180) else { return };
    let guest = GuestThread::start(config(320, 180, Motion::Bar));
    let mut program = start(&sway, &guest, "");
    program.says("showing the guest");
    // It answers nobody any more.
    let _ = sway.ask(&["exit"]);
    assert_eq!(program.ends().code(), Some(2), "{}", program.text());
    let text = program.text();
    assert!(text.contains("the display went away\nhint: start frame-rx again when the desktop is back"), "{text}");
}

#[test]
fn a_monitor_is_found_by_its_name_and_an_unknown_one_is_told() {
    let Some((_gpu, sway)) = sway::compositor(320, 180) else { return };
    let guest = GuestThread::start(config(320, 180, Motion::Still));
    let mut program = start(&sway, &guest, "-F --output HEADLESS-1");
    program.says("showing the guest");
    let picture = last_picture(&guest);
    until("the picture", || sway.pixels().filter(|(_, _, rgb)| *rgb == picture), || program.text());
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let mut command = frame_rx(sway.dir.path(), None);
    command
        .env("WAYLAND_DEBUG", "1")
        .env("WAYLAND_DISPLAY", &sway.display)
        .arg("-f")
        .arg(&guest.path)
        .args(["-F", "--output", "DP-9"]);
    let (code, text) = program::run(&mut command);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("there is no monitor DP-9") && text.contains("HEADLESS-1"), "{text}");
}

#[test]
fn a_full_screen_window_that_comes_to_another_monitor_fits_its_picture_to_that_one() {
    let Some((_gpu, sway)) = sway::compositor(640, 360) else { return };
    sway.act("create_output");
    sway.act("output HEADLESS-2 resolution 480x270");
    let guest = GuestThread::start(config(480, 270, Motion::Bar));
    let mut program = start(&sway, &guest, "-F --output HEADLESS-2 --filter nearest --stats s.json");
    program.says("showing the guest");
    let tell = || format!("{}\n{}", program.text(), sway.log());
    let on_second = || {
        let (w, h, rgb) = sway.pixels_of(&["-o", "HEADLESS-2"])?;
        guest.stamp_of(&rgb, w, h)
    };
    until("a picture on the second monitor", on_second, tell);
    // What sway does with the windows of a monitor that is unplugged, which it cannot play without one.
    sway.act("[app_id=\"frame-rx\"] focus, move workspace to output HEADLESS-1");
    let begun = guest.with(|g| g.frames_begun());
    // On the first one it is fitted; a picture that stands still can be compared.
    let on_first = || {
        let (w, h, rgb) = sway.pixels_of(&["-o", "HEADLESS-1"])?;
        ((w, h) == (640, 360)).then_some(())?;
        let shown = |stamp| in_the_middle(&guest.expected(stamp), Size::new(480, 270), Size::new(w, h), Scale::Fit);
        let last = guest.with(|g| g.last_stamp()).filter(|s| s.frame > begun)?;
        (rgb == shown(last)).then_some(())
    };
    guest.with(|g| g.set_picture(config(480, 270, Motion::Still).spec, Motion::Still));
    until("the picture on the first monitor", on_first, tell);
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

const F7: u32 = 65;
const F12: u32 = 88;

/// F7, which the compositor keeps for itself, goes to the guest while that has the input.
#[test]
fn a_compositors_key_is_the_guests_while_that_has_the_input_and_not_after() {
    // Which bindings the compositor has now is told as soon as it changed.
    let binding = "mode bound {\nbindsym F8 nop\n}\nbindsym F7 mode bound";
    let Some((_gpu, sway)) = sway::compositor_with(640, 360, binding) else { return };
    let mut keyboard = Keyboard::new(&sway.dir.path().join(&sway.display));
    let guest = GuestThread::start(config(640, 360, Motion::Still));
    let monitor = Monitor::start(sway.dir.path());
    let heard = || sway.ask(&["-t", "get_binding_state"]).is_some_and(|state| state.contains("bound"));
    let managers = |keyboard: &mut Keyboard| {
        let before = monitor.presses("f7");
        // The first key of a new keyboard may be lost.
        let press = || {
            keyboard.tap(F7);
            heard().then_some(())
        };
        until("the compositor's own key", press, || sway.log());
        assert_eq!(monitor.presses("f7"), before, "the host's key came to the guest");
        sway.act("mode default");
    };
    let flags = format!("-vv --release-chord f12 --input {}", monitor.way());
    for (signal, code) in [("TERM", Some(0)), ("KILL", None)] {
        let mut program = start(&sway, &guest, &flags);
        program.says("showing the guest");
        program.says("connected to qmp");
        managers(&mut keyboard);
        for _ in 0..2 {
            let said = || program.text().matches("the compositor's keys are the guest's").count();
            let before = said();
            keyboard.tap(F12);
            // What the compositor says is looked at with the next event of the window.
            let ask = || {
                keyboard.tap(48);
                (said() > before).then_some(())
            };
            until("the compositor's keys", ask, || program.text());
            let presses = monitor.presses("f7");
            keyboard.tap(F7);
            until("the key in the guest", || (monitor.presses("f7") > presses).then_some(()), || program.text());
            keyboard.key(30, true);
            monitor.holds(&["a"]);
            assert!(!heard(), "the compositor heard it, too");
            keyboard.tap(F12);
            monitor.holds(&[]);
            keyboard.key(30, false);
            managers(&mut keyboard);
        }
        // A window that loses the keyboard loses these keys as well.
        keyboard.tap(F12);
        keyboard.key(30, true);
        monitor.holds(&["a"]);
        sway.act("workspace 2");
        monitor.holds(&[]);
        keyboard.key(30, false);
        managers(&mut keyboard);
        sway.act("workspace 1");
        keyboard.tap(F12);
        keyboard.key(30, true);
        monitor.holds(&["a"]);
        program.signal(signal);
        assert_eq!(program.ends().code(), code, "{}", program.text());
        keyboard.key(30, false);
        managers(&mut keyboard);
    }
    assert_eq!(monitor.motion(), [0, 0], "nobody has a mouse");
}

/// What sway says of its one window: whether an application keeps the screen on.
fn is_kept_awake(sway: &Sway) -> Option<bool> {
    fn find(node: &serde_json::Value) -> Option<&serde_json::Value> {
        let is_ours = node["app_id"] == "frame-rx";
        let children = ["nodes", "floating_nodes"].into_iter().filter_map(|of| node[of].as_array()).flatten();
        is_ours.then_some(node).or_else(|| children.filter_map(find).next())
    }
    let tree: serde_json::Value = serde_json::from_str(&sway.ask(&["-r", "-t", "get_tree"])?).unwrap();
    let window = find(&tree)?;
    Some(window["idle_inhibitors"]["application"] != "none")
}

#[test]
fn the_compositor_keeps_the_screen_on_as_long_as_the_guest_wants_it_to() {
    let Some((_gpu, sway)) = sway::compositor(640, 360) else { return };
    let mut wanted = config(640, 360, Motion::Still);
    wanted.spec.flags = FrameFlags::BLOCK_SCREENSAVER;
    let guest = GuestThread::start(wanted);
    let mut program = start(&sway, &guest, "-vv");
    program.says("the screensaver stays away, by the compositor");
    let is = |wanted| until("sway", || (is_kept_awake(&sway) == Some(wanted)).then_some(()), || sway.log());
    is(true);
    guest.with(|g| g.set_picture(config(640, 360, Motion::Still).spec, Motion::Still));
    program.says("the screensaver may come");
    is(false);
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

/// The factors are multiples of 1/120, as the protocol has them, but for the last two. The guest stands still: this KWin
/// shows the first picture of each size that comes through shared memory with rows of a wrong length, and a second is drawn.
#[test]
fn a_full_screen_picture_is_exact_whatever_fraction_the_desktop_is_enlarged_by() {
    let exact = [(1.25, 800, 450), (1.5, 960, 540), (5.0 / 3.0, 1067, 600), (1.75, 1120, 630)];
    for (scale, width, height) in exact.into_iter().chain([(1.67, 1069, 601), (1.37, 877, 493)]) {
        let Some(kwin) = KWin::start(640, 360, scale) else { return };
        let guest = GuestThread::start(config(width, height, Motion::Still));
        let mut command = frame_rx(kwin.dir.path(), None);
        command.env("WAYLAND_DISPLAY", &kwin.display).arg("-f").arg(&guest.path);
        let mut program = Program::start(command.args("-F --scale 1:1 --input none --stats s.json".split(' ')));
        program.says("showing the guest");
        let shown = || guest.stamp_of(&kwin.pixels(width as usize, height as usize).ok()??, width, height);
        until(&format!("the picture at {scale}"), shown, || format!("{}\n{}", program.text(), kwin.log()));
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
        let stats = stats_in(kwin.dir.path());
        assert!(stats["drawings_direct"].as_u64() >= Some(1), "one to one needs no calculation: {stats}");
    }
}

/// In a window, too, one pixel is one pixel, wherever the desktop puts it.
#[test]
fn a_window_is_exact_on_a_desktop_that_is_enlarged_by_a_fraction() {
    for scale in [1.25, 1.5] {
        let Some(kwin) = KWin::start(1000, 600, scale) else { return };
        let guest = GuestThread::start(config(300, 180, Motion::Still));
        let mut command = frame_rx(kwin.dir.path(), None);
        command.env("WAYLAND_DISPLAY", &kwin.display).arg("-f").arg(&guest.path);
        let flags = "--borderless --window 300x180 --scale 1:1 --input none";
        let mut program = Program::start(command.args(flags.split(' ')));
        program.says("showing the guest");
        let picture = last_picture(&guest);
        let (columns, rows) = ((1000.0 * scale) as usize, (600.0 * scale) as usize);
        let found = || {
            let desk = kwin.pixels(columns, rows).ok()??;
            let row = |x: usize, y: usize| &desk[(y * columns + x) * 3..][..300 * 3];
            let is_at =
                |x: usize, y: usize| picture.chunks(300 * 3).enumerate().all(|(line, want)| row(x, y + line) == want);
            (0..rows - 180).find_map(|y| (0..columns - 300).find(|x| is_at(*x, y)).map(|x| (x, y)))
        };
        let at = until(&format!("the picture at {scale}"), found, || format!("{}\n{}", program.text(), kwin.log()));
        println!("at {scale} the window stands at {at:?}");
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    }
}

const TWO: [&str; 8] = ["--output-count", "2", "--width", "640", "--height", "360", "--scale", "1"];

/// Unplugged and plugged in again, by a monitor's name or wherever the window was: it is where it was. As a window of
/// Wayland and as one of X11, whose server is beside the compositor.
#[test]
fn a_full_screen_window_outlives_its_monitor_and_goes_back_to_it() {
    for (flags, is_x11) in [("--output Virtual-1", false), ("", false), ("--output 2", true)] {
        let args = [&TWO[..], &["--xwayland"][..usize::from(is_x11)]].concat();
        let Some(kwin) = KWin::start_with(&args) else { return };
        let mut outputs = Outputs::new(&kwin.dir.path().join(&kwin.display));
        assert_eq!(outputs.names(), ["Virtual-0", "Virtual-1"]);
        let guest = GuestThread::start(config(640, 360, Motion::Bar));
        let mut command = frame_rx(kwin.dir.path(), None);
        if is_x11 {
            command.env("DISPLAY", until("an X server", || kwin.x_server(), || kwin.log())).env_remove("XAUTHORITY");
        } else {
            command.env("WAYLAND_DISPLAY", &kwin.display);
        }
        command.arg("-f").arg(&guest.path).args("-F --input none --stats s.json".split(' '));
        let mut program = Program::start(command.args(flags.split_whitespace()));
        program.says("showing the guest");
        let tell = || format!("{}\n{}", program.text(), kwin.log());
        // The monitors stand side by side. Where a whole picture is, and which.
        let shown = |columns: usize| {
            let desk = kwin.pixels(columns * 640, 360).ok()??;
            let rows = || desk.chunks(columns * 640 * 3);
            (0..columns).find_map(|at| {
                let part: Vec<u8> = rows().flat_map(|row| row[at * 640 * 3..][..640 * 3].iter().copied()).collect();
                Some((at, guest.stamp_of(&part, 640, 360)?.frame))
            })
        };
        let (home, _) = until("a picture", || shown(2), tell);
        let name = format!("Virtual-{home}");
        assert!(!flags.contains("Virtual") || flags.contains(&name), "{name}");
        for again in 1..=2 {
            let settled = std::time::Instant::now();
            until("a moment", || (settled.elapsed().as_millis() > 300).then_some(()), String::new);
            outputs.change(&name, Change::PluggedIn(false));
            // X11's toolkit does not hear of the monitors of a server beside a compositor, which moves the window itself.
            let words = |words| until(words, || said(&program, words, again).or(is_x11.then_some(())), tell);
            words("is gone, the picture is on");
            let begun = guest.with(|g| g.frames_begun());
            // The words in the window go after a while.
            until("the picture elsewhere", || shown(1).filter(|(_, frame)| *frame > begun), tell);
            outputs.change(&name, Change::PluggedIn(true));
            words("is back, and the picture on it");
            let begun = guest.with(|g| g.frames_begun());
            until(
                "the picture back",
                || shown(2).filter(|(at, frame)| (*at == home || is_x11) && *frame > begun),
                tell,
            );
        }
        unhindered::was_not_held_up(&guest);
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
        assert_eq!(stats_in(kwin.dir.path())["sessions"], 1, "the guest's session went on");
    }
}

/// The desktop is enlarged by other factors while the program runs, which is told the new one.
#[test]
fn a_full_screen_picture_stays_exact_when_the_desktop_is_enlarged_under_it() {
    let Some(kwin) = KWin::start(720, 360, 1.0) else { return };
    let mut outputs = Outputs::new(&kwin.dir.path().join(&kwin.display));
    let guest = GuestThread::start(config(720, 360, Motion::Bar));
    let mut command = frame_rx(kwin.dir.path(), None);
    command.env("WAYLAND_DISPLAY", &kwin.display).arg("-f").arg(&guest.path);
    let mut program = Program::start(command.args("-F --scale 1:1 --input none --stats s.json".split(' ')));
    program.says("showing the guest");
    for scale in [1.0, 1.5, 2.0, 1.25, 1.0] {
        outputs.change("Virtual-0", Change::Scale(scale));
        let begun = guest.with(|g| g.frames_begun());
        let shown = || {
            let stamp = guest.stamp_of(&kwin.pixels(720, 360).ok()??, 720, 360)?;
            (stamp.frame > begun).then_some(())
        };
        until(&format!("an exact picture at {scale}"), shown, || format!("{}\n{}", program.text(), kwin.log()));
    }
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let stats = stats_in(kwin.dir.path());
    assert!(stats["drawings_direct"].as_u64() >= Some(5), "one to one needs no calculation: {stats}");
}

/// Whether `words` were said so often.
fn said(program: &Program, words: &str, times: usize) -> Option<()> {
    (program.text().matches(words).count() >= times).then_some(())
}
