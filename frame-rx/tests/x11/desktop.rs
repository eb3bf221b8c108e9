//! What a guest asks of the desktop: the X server's own screensaver, a session bus, and the window's hints tell whether it
//! was done.

use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::FrameFlags;
use std::process::{Child, Command, Stdio};
use x11rb::connection::Connection;
use x11rb::protocol::screensaver::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{AtomEnum, Blanking, ConnectionExt as _, Exposures, InputFocus};
use x11rb::rust_connection::RustConnection;

/// A guest whose pictures carry these flags.
fn guest(flags: u32) -> GuestThread {
    GuestThread::start(config(flags))
}

fn config(flags: u32) -> PictureConfig {
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer, config.spec.flags) = (Motion::Still, PointerMode::Hidden, flags);
    config
}

fn start(x: &Xvfb, guest: &GuestThread, bus: Option<&Bus>) -> Program {
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    if let Some(bus) = bus {
        command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    }
    let program = Program::start(command.arg("-vv").arg("-f").arg(&guest.path));
    program.says("showing the guest");
    program
}

/// The X server as another program sees it.
struct Seen {
    connection: RustConnection,
    root: u32,
}

impl Seen {
    fn new(x: &Xvfb) -> Seen {
        let (connection, screen) = x11rb::connect(Some(&x.display)).unwrap();
        let root = connection.setup().roots[screen].root;
        Seen { connection, root }
    }

    /// Whether the screensaver is there, and how long nobody has used keyboard or mouse.
    fn saver(&self) -> (bool, u32) {
        let info = self.connection.screensaver_query_info(self.root).unwrap().reply().unwrap();
        (info.state == u8::from(screensaver::State::ON), info.ms_since_user_input)
    }

    /// The screensaver comes after a second.
    fn expect_saver_soon(&self) {
        self.connection.set_screen_saver(1, 0, Blanking::PREFERRED, Exposures::DEFAULT).unwrap();
        self.connection.flush().unwrap();
    }

    fn is_urgent(&self, window: &str) -> bool {
        let window = window.parse().unwrap();
        let hints = self.connection.get_property(false, window, AtomEnum::WM_HINTS, AtomEnum::ANY, 0, 9).unwrap();
        // Bit 8 of the first word. Source: the ICCCM, section 4.1.2.4.
        hints.reply().unwrap().value32().and_then(|mut words| words.next()).is_some_and(|flags| flags & 256 != 0)
    }
}

#[test]
fn the_x_servers_screensaver_stays_away_as_long_as_the_guest_wants_it_to() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let seen = Seen::new(&x);
    seen.expect_saver_soon();
    until("the screensaver", || seen.saver().0.then_some(()), String::new);
    let guest = guest(FrameFlags::BLOCK_SCREENSAVER);
    let mut program = start(&x, &guest, None);
    program.says("the screensaver stays away, by the X server");
    // As if somebody had used the mouse once.
    x.act(&["mousemove", "10", "10"]);
    let long = || {
        let (is_there, idle_ms) = seen.saver();
        assert!(!is_there, "the screensaver came after {idle_ms} ms");
        (idle_ms > 4000).then_some(())
    };
    until("four seconds without anybody", long, || program.text());
    // The guest's film is over.
    guest.with(|g| g.set_picture(config(0).spec, Motion::Still));
    program.says("the screensaver may come");
    until("the screensaver", || seen.saver().0.then_some(()), || program.text());
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

#[test]
fn a_paused_guest_keeps_no_screen_on() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let guest = guest(FrameFlags::BLOCK_SCREENSAVER);
    let program = start(&x, &guest, None);
    program.says("the screensaver stays away");
    guest.with(|g| g.stop());
    program.says("the guest is paused");
    program.says("the screensaver may come");
}

/// A session bus of the test's own, and a program that tells what passes through it.
struct Bus {
    daemon: Child,
    monitor: Child,
    told: std::path::PathBuf,
    address: String,
}

impl Bus {
    fn start(dir: &std::path::Path) -> Option<Bus> {
        let address = format!("unix:path={}", dir.join("bus").display());
        let daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--address", &address])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(daemon) = daemon else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "dbus-daemon is missing, and CI=true forbids to skip"
            );
            eprintln!("skipped: dbus-daemon is missing");
            return None;
        };
        until("a session bus", || dir.join("bus").exists().then_some(()), String::new);
        let told = dir.join("bus.log");
        let log = std::fs::File::create(&told).unwrap();
        let monitor = Command::new("dbus-monitor")
            .args(["--address", &address])
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .expect("dbus-monitor starts");
        let bus = Bus { daemon, monitor, told, address };
        until("a monitor of the bus", || bus.text().contains("NameAcquired").then_some(()), String::new);
        Some(bus)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.told).unwrap_or_default()
    }

    /// The first message that holds `words`, with its arguments.
    fn message(&self, words: &str) -> Option<String> {
        let text = self.text();
        let from = text.find(words).map(|at| text[..at].rfind('\n').map_or(0, |n| n + 1))?;
        let lines: Vec<&str> = text[from..].lines().collect();
        let end = lines.iter().skip(1).position(|line| !line.starts_with(' ')).map_or(lines.len(), |n| n + 1);
        Some(lines[..end].join("\n"))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for child in [&mut self.monitor, &mut self.daemon] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_desktops_screensaver_is_asked_over_the_session_bus_for_as_long() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let Some(bus) = Bus::start(x.dir.path()) else { return };
    let guest = guest(FrameFlags::BLOCK_SCREENSAVER);
    let mut program = start(&x, &guest, Some(&bus));
    program.says("the screensaver stays away, by the X server and the session bus");
    let tell = || format!("{}\n{}", program.text(), bus.text());
    let whole = || bus.message("member=Inhibit").filter(|m| m.lines().count() >= 3);
    let call = until("a call", whole, tell);
    for part in [
        "destination=org.freedesktop.ScreenSaver",
        "path=/org/freedesktop/ScreenSaver",
        "interface=org.freedesktop.ScreenSaver",
        "string \"frame-rx\"",
        "string \"the guest keeps its screen on\"",
    ] {
        assert!(call.contains(part), "{part} in\n{call}");
    }
    let sender = call.split("sender=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a sender").to_owned();
    // Gone when the guest says so: whoever inhibits for a program that left the bus would do so for ever.
    let left = || {
        let text = bus.text();
        let owner = text.match_indices("member=NameOwnerChanged").any(|(at, _)| {
            let mut lines = text[at..].lines().skip(1).map(str::trim);
            lines.next() == Some(&format!("string \"{sender}\"")) && lines.nth(1) == Some("string \"\"")
        });
        owner.then_some(())
    };
    assert_eq!(left(), None);
    guest.with(|g| g.set_picture(config(0).spec, Motion::Still));
    until("the end of the wish", left, tell);
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
}

#[test]
fn a_window_asks_for_attention_when_the_guest_does_unless_it_has_it() {
    let Some((_gpu, x)) = crate::xvfb::display(640, 480) else { return };
    let seen = Seen::new(&x);
    let guest = guest(0);
    let program = start(&x, &guest, None);
    let window = x.window();
    let ask = || guest.with(|g| g.set_picture(config(FrameFlags::REQUEST_ACTIVATION).spec, Motion::Still));
    let pictures = |n: u32| {
        let begun = guest.with(|g| g.frames_begun());
        for more in 1..=n {
            ask();
            until("a picture", || guest.with(|g| (g.frames_begun() >= begun + more).then_some(())), || program.text());
        }
    };
    x.act(&["windowfocus", "--sync", &window]);
    pictures(5);
    assert!(!seen.is_urgent(&window), "it has the user's attention\n{}", program.text());
    // Somebody else has the keyboard.
    seen.connection.set_input_focus(InputFocus::NONE, x11rb::NONE, x11rb::CURRENT_TIME).unwrap();
    seen.connection.flush().unwrap();
    let asked = || {
        pictures(1);
        seen.is_urgent(&window).then_some(())
    };
    until("attention", asked, || program.text());
}
