//! The X server's keyboard, for the guest alone while it has the input: a window manager's own keys reach the guest then,
//! and are the window manager's again whatever ends it.

use crate::guest::GuestThread;
use crate::hang::{Hanging, while_it_draws_nothing};
use crate::monitor::Monitor;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, InputFocus, WindowClass};

struct Desk {
    x: Xvfb,
    guest: GuestThread,
    monitor: Monitor,
    /// The window manager writes a line for each F7 that it hears.
    bound: PathBuf,
}

impl Desk {
    fn new(mut x: Xvfb) -> Desk {
        let bound = x.dir.path().join("bound");
        let folder = x.dir.path().join("openbox");
        std::fs::create_dir(&folder).unwrap();
        let binding = format!(
            "<openbox_config xmlns=\"http://openbox.org/3.4/rc\"><keyboard><keybind key=\"F7\"><action name=\"Execute\">\
             <command>sh -c 'echo >> {}'</command></action></keybind></keyboard></openbox_config>\n",
            bound.display()
        );
        std::fs::write(folder.join("rc.xml"), binding).unwrap();
        x.manage();
        let mut config = PictureConfig::new(480, 270);
        (config.motion, config.pointer) = (Motion::Still, PointerMode::Hidden);
        let monitor = Monitor::start(x.dir.path());
        let desk = Desk { guest: GuestThread::start(config), monitor, bound, x };
        // It may not listen yet.
        until("the window manager", || desk.press_once(), String::new);
        desk
    }

    fn start(&self) -> (Program, String) {
        let mut command = frame_rx(self.x.dir.path(), Some(&self.x.display));
        command.arg("-vv").arg("-f").arg(&self.guest.path).args(["--release-chord", "f12"]);
        let program = Program::start(command.arg("--input").arg(self.monitor.way()));
        program.says("showing the guest");
        program.says("connected to qmp");
        let window = self.x.window();
        self.x.wait_for_size(&window, (480, 270));
        self.x.act(&["windowfocus", "--sync", &window]);
        (program, window)
    }

    /// The release chord gives the guest the input when the host has it.
    fn give(&self, program: &Program) {
        let alone = "has the X server's keyboard alone";
        let before = program.text().matches(alone).count();
        self.x.act(&["key", "F12"]);
        let ask = || (program.text().matches(alone).count() > before).then_some(());
        until(alone, ask, || program.text());
    }

    /// How many F7 the window manager has heard.
    fn heard(&self) -> usize {
        std::fs::read(&self.bound).unwrap_or_default().len()
    }

    /// Presses F7. Whether the window manager heard it within a second, or perhaps two.
    fn press_once(&self) -> Option<()> {
        let before = self.heard();
        self.x.act(&["key", "F7"]);
        let end = Instant::now() + Duration::from_secs(2);
        while self.heard() == before && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.heard() > before).then_some(())
    }

    /// F7 is the window manager's.
    fn managers(&self) {
        let keys = self.monitor.presses("f7");
        // The keyboard is given back when the last key is up, and that may be heard after this one.
        until("the window manager's own key", || self.press_once(), String::new);
        assert_eq!(self.monitor.presses("f7"), keys, "the host's key came to the guest");
    }

    /// F7 is the guest's.
    fn guests(&self, program: &Program) {
        let (keys, heard) = (self.monitor.presses("f7"), self.heard());
        self.x.act(&["key", "F7"]);
        let ask = || (self.monitor.presses("f7") > keys).then_some(());
        until("the window manager's key in the guest", ask, || program.text());
        self.monitor.holds(&[]);
        assert_eq!(self.heard(), heard, "the window manager heard it, too");
    }
}

#[test]
fn a_window_managers_key_is_the_guests_while_that_has_the_input_and_not_after() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let desk = Desk::new(x);
    let (mut program, _) = desk.start();
    desk.managers();
    desk.give(&program);
    desk.guests(&program);
    // Motion and other keys come the same way, once each.
    let before = desk.monitor.motion();
    desk.x.act(&["mousemove_relative", "--", "-7", "5"]);
    let is_moved = || (desk.monitor.motion() == [before[0] - 7, before[1] + 5]).then_some(());
    until("motion, once", is_moved, || format!("{:?} {}", desk.monitor.motion(), program.text()));
    desk.x.act(&["keydown", "shift", "keydown", "a"]);
    desk.monitor.holds(&["shift", "a"]);
    // A key that is held for long repeats on the desktop, and not here.
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(desk.monitor.presses("a"), 1);
    // The chord gives all of it back in the middle of held keys.
    desk.x.act(&["key", "F12"]);
    desk.monitor.holds(&[]);
    desk.x.act(&["keyup", "a", "keyup", "shift"]);
    desk.managers();
    // And again, to an end in good order and to the worst one.
    for (signal, code) in [("TERM", Some(0)), ("KILL", None)] {
        desk.give(&program);
        desk.guests(&program);
        program.signal(signal);
        assert_eq!(program.ends().code(), code, "{}", program.text());
        desk.managers();
        (program, _) = desk.start();
    }
}

#[test]
fn a_window_that_loses_the_focus_while_it_has_the_keyboard_alone_gives_it_back() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let desk = Desk::new(x);
    let (program, window) = desk.start();
    desk.give(&program);
    desk.x.act(&["keydown", "b"]);
    desk.monitor.holds(&["b"]);
    let (other, screen) = x11rb::connect(Some(&desk.x.display)).unwrap();
    let (id, root) = (other.generate_id().unwrap(), other.setup().roots[screen].root);
    let looks = CreateWindowAux::new().override_redirect(1);
    other.create_window(0, id, root, 0, 0, 9, 9, 0, WindowClass::INPUT_OUTPUT, 0, &looks).unwrap();
    other.map_window(id).unwrap();
    other.set_input_focus(InputFocus::PARENT, id, 0u32).unwrap().check().unwrap();
    desk.monitor.holds(&[]);
    desk.x.act(&["keyup", "b"]);
    desk.managers();
    // The guest gets it again only when the window has it.
    desk.x.act(&["windowfocus", "--sync", &window]);
    desk.give(&program);
    desk.guests(&program);
    // A window that goes away gives it back as well.
    desk.x.act(&["keydown", "c"]);
    desk.monitor.holds(&["c"]);
    desk.x.act(&["windowunmap", &window]);
    desk.monitor.holds(&[]);
    desk.x.act(&["keyup", "c"]);
    desk.managers();
}

/// The thread of this name.
fn thread_named(program: &Program, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let is_named = |path: &PathBuf| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let path = tasks.flatten().map(|entry| entry.path()).find(is_named).expect("the thread");
    Pid::from_raw(path.file_name().unwrap().to_string_lossy().parse().unwrap())
}

/// Nobody looks for the chord then, and the X server gives the keyboard to nobody else.
#[test]
fn an_input_that_hangs_with_the_keyboard_is_ended_and_the_window_manager_has_its_keys() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let desk = Desk::new(x);
    let (mut program, _) = desk.start();
    desk.give(&program);
    desk.guests(&program);
    let begun = Instant::now();
    let Some(input) = Hanging::stop(thread_named(&program, "input")) else { return };
    // The thread is this one's to bury, or its process would not end.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    let ask = || Some(waitpid(input.0, Some(flags)).unwrap()).filter(|status| *status != WaitStatus::StillAlive);
    let end = until("the end of what hangs", ask, || program.text());
    println!("the input hung: {end:?} after {:?}", begun.elapsed());
    assert_eq!(program.ends().code(), None, "{}", program.text());
    assert!(program.text().contains("the input hangs"), "{}", program.text());
    desk.managers();
}

#[test]
fn the_chord_gives_everything_back_while_the_window_hangs() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let desk = Desk::new(x);
    let (program, _) = desk.start();
    desk.give(&program);
    for _ in 0..5 {
        desk.x.act(&["keydown", "a"]);
        desk.monitor.holds(&["a"]);
        let took = while_it_draws_nothing(&program, || {
            let begun = Instant::now();
            desk.x.act(&["key", "F12"]);
            let released = desk.monitor.holds(&[]).map(|at| at.duration_since(begun));
            desk.x.act(&["keyup", "a"]);
            // The window manager has its keys back, too.
            desk.managers();
            released
        });
        let Some(took) = took else { return };
        println!("released {took:?} after a program was started that presses the chord");
        desk.give(&program);
    }
}
