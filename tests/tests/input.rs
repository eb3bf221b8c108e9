//! Keys and motion on their whole way: our sinks, a real QEMU, a Linux kernel in it, and what its input devices then
//! say.

use frame_rx::input::address::{Endpoint, InputChoice};
use frame_rx::input::capture::{self, Handle, InputSettings};
use frame_rx::input::frame::{Edge, Motion, MouseMode, Position, Wheel};
use frame_rx::input::heir::Heir;
use frame_rx::input::keymap;
use frame_rx::input::pacer::Pacer;
use frame_rx::input::sink::{Caps, Move, News, Sink, SinkError, Step};
use frame_rx::input::spice::Password;
use frame_rx::input::stats::{InputStats, SinkState};
use frame_rx::input::wire::Patience;
use frame_rx::input::{Code, CodeSet, InputFrame};
use rustix::process::Signal;
use rx_host::clock;
use rx_host::signals::Stop;
use rx_tests::place::{self, ShmName};
use rx_tests::process::{Running, SOON, run, tied, until, until_or_late};
use rx_tests::vm::{self, BOOT, Vm};
use rx_tests::xvfb::XvfbRig;
use rx_tests::{guest, programs, require};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

#[path = "input/usbhid.rs"]
mod usbhid;

#[path = "input/chaos.rs"]
mod chaos;

#[path = "input/gone.rs"]
mod gone;

/// A machine with a SPICE server and a monitor, whose guest tells what arrives.
struct Machine {
    vm: Vm,
    spice: PathBuf,
    qmp: PathBuf,
}

impl Machine {
    /// Boots one with `devices`, and waits for those that the guest calls `names`.
    fn boot(what: &str, devices: &[&str], names: &[&str], spice: &str) -> Machine {
        let folder = place::folder();
        let (socket, qmp) = (folder.path().join("spice"), folder.path().join("qmp"));
        let mut arguments = vec!["-spice".to_owned(), format!("unix=on,addr={},{spice}", socket.display())];
        arguments.extend(["-qmp".to_owned(), format!("unix:{},server=on,wait=off", qmp.display())]);
        for device in devices {
            let (flag, value) = device.split_once(' ').unwrap_or(("-device", device));
            arguments.extend([flag.to_owned(), value.to_owned()]);
        }
        let vm = Vm::boot_for_input(folder, &arguments, what);
        for name in names {
            vm.wait(&format!("RIG-DEVICE {name}"), BOOT);
        }
        vm.wait("RIG-READY", BOOT);
        Machine { vm, spice: socket, qmp }
    }

    fn spice(&self) -> Driver {
        Driver::open(InputChoice::Spice(Endpoint::Unix(self.spice.clone())))
    }

    fn qmp(&self) -> Driver {
        Driver::open(InputChoice::Qmp(self.qmp.clone()))
    }

    /// Waits for the line of sums for which `is` holds.
    fn wait_for_sums(&self, mark: usize, is: impl Fn(&[i64]) -> bool) -> Vec<i64> {
        let look = || {
            let last = self.vm.lines_after(mark, "RIG-SUM").pop()?;
            let sums: Vec<i64> = last.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
            is(&sums).then_some(sums)
        };
        until("the sums", SOON, look, || self.vm.console())
    }

    /// The same for what `act` makes the guest hear. Where the guest's kernel lost events before our program there read them
    /// (of a machine that stood still and then heard all at once), and says so, it is done again.
    fn heard_whole(&self, mut act: impl FnMut(), is: impl Fn(&[i64], &[i64]) -> bool) -> Vec<i64> {
        for _ in 0..5 {
            let before = self.sums();
            let mark = self.vm.mark();
            act();
            let look = || {
                let sums = self.sums();
                (is(&before, &sums) || !self.vm.lines_after(mark, "RIG-DROPPED").is_empty()).then_some(())
            };
            until("the sums", SOON, look, || self.vm.console());
            if self.vm.lines_after(mark, "RIG-DROPPED").is_empty() {
                return self.sums();
            }
            println!("the guest's kernel lost events of its own reader: once more");
            // What is still on its way belongs to this time.
            let mut seen = self.vm.mark();
            while until_or_late(QUIET, || (self.vm.mark() != seen).then_some(())).is_some() {
                seen = self.vm.mark();
            }
        }
        panic!("the guest's kernel lost events of its own reader five times\n{}", self.vm.console());
    }

    /// What the guest has counted so far.
    fn sums(&self) -> Vec<i64> {
        match self.vm.lines_after(0, "RIG-SUM").pop() {
            Some(line) => line.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect(),
            None => vec![0; 10],
        }
    }
}

/// A guest that says nothing for so long has said all.
const QUIET: Duration = Duration::from_secs(2);

/// A sink with a pacer before it, as the input's thread drives them.
struct Driver {
    sink: Box<dyn Sink>,
    pacer: Pacer,
    stats: Arc<InputStats>,
    news: Vec<News>,
}

impl Driver {
    fn open(choice: InputChoice) -> Driver {
        Driver::open_with(InputSettings { choice, ..InputSettings::default() })
    }

    fn open_with(settings: InputSettings) -> Driver {
        let stats = InputStats::new();
        let patience = Patience::new(SOON, &Stop::new().unwrap());
        let sink = capture::open(&settings, &patience).unwrap();
        let mut driver = Driver { sink, pacer: Pacer::new(stats.clone()), stats, news: Vec::new() };
        driver.pacer.connected(clock::now());
        driver.run();
        driver
    }

    /// Sends until nothing waits any more.
    fn run(&mut self) {
        let end = clock::now() + SOON;
        loop {
            let now = clock::now();
            assert!(now < end, "the sink takes no more: {:?}", self.sink.caps());
            self.sink.pump(now, &mut |news| self.news.push(news)).unwrap();
            match self.pacer.run(now, self.sink.as_mut()).unwrap() {
                // What is released once more long after is not waited for.
                Some(due) if due.since(now) > Duration::from_millis(500) => return,
                Some(due) => while !clock::sleep_until(due.min(now + Duration::from_millis(5))) {},
                None if self.pacer.has_waiting() => std::thread::yield_now(),
                None => return,
            }
        }
    }

    fn send(&mut self, step: Step) {
        self.pacer.push(clock::now(), step).unwrap();
    }

    fn tap(&mut self, code: Code) {
        for is_down in [true, false] {
            self.send(Step::Edge(Edge { code, is_down }));
        }
    }

    fn move_by(&mut self, dx: i32, dy: i32) {
        self.send(Step::Move(Move { motion: Motion { dx, dy }, ..Move::default() }));
    }

    fn turn(&mut self, vertical: i32, horizontal: i32) {
        self.send(Step::Move(Move { wheel: Wheel { vertical, horizontal }, ..Move::default() }));
    }
}

/// The program's threads that give the guest keyboard and mouse, here; the input's own is called rx-input.
fn start_input(settings: InputSettings, stop: &Stop) -> (Handle, JoinHandle<()>) {
    start_input_with(settings, stop, None)
}

fn start_input_with(settings: InputSettings, stop: &Stop, heir: Option<Heir>) -> (Handle, JoinHandle<()>) {
    let (mut capture, connector, handle) = capture::connect(settings, stop, Box::new(|| {})).unwrap();
    capture.set_heir(heir);
    std::thread::spawn(move || connector.run());
    let thread = std::thread::Builder::new().name("rx-input".into()).spawn(move || capture.run());
    (handle, thread.unwrap())
}

const DISABLED: &str = "disable-ticketing=on";

/// Keys that QEMU's input core knows, in the oldest version that is tested (7.2): F13 and up came with 8.0.
fn keys_of_qemu() -> Vec<Code> {
    let new = |code: &Code| (183..=194).contains(&code.number());
    keymap::keys().filter(|code| keymap::qcode(*code).is_some() && !new(code)).collect()
}

fn check_keys(machine: &Machine, driver: &mut Driver, what: &str, keys: &[Code]) {
    let mark = machine.vm.mark();
    for code in keys {
        driver.tap(*code);
        driver.run();
    }
    // The last of all, so that everything before it has come.
    let last = Code::new(1).unwrap();
    driver.tap(last);
    driver.run();
    let end = "RIG-KEY 1 0";
    machine.vm.wait_after(mark, end, SOON);
    machine.wait_for_sums(mark, |sums| sums[9] == 0);
    let lines = machine.vm.lines_after(mark, "RIG-KEY");
    let mut wrong = Vec::new();
    for code in keys {
        let number = code.number();
        let pair = [format!("RIG-KEY {number} 1"), format!("RIG-KEY {number} 0")];
        if !pair.iter().all(|line| lines.contains(line)) {
            wrong.push((number, keymap::name(*code).unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{what}: the guest did not see {wrong:?}\n{}", lines.join("\n"));
    let sent: BTreeSet<String> = keys.iter().chain([&last]).map(|c| c.number().to_string()).collect();
    let others: Vec<_> = lines.iter().filter(|l| !sent.contains(l.split(' ').nth(1).unwrap())).collect();
    assert!(others.is_empty(), "{what}: nobody pressed {others:?}");
}

#[test]
fn every_key_that_qemu_knows_arrives_as_itself_over_spice_and_qmp() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let machine = Machine::boot("keys", &["virtio-keyboard-pci"], &["QEMU Virtio Keyboard"], DISABLED);
    let keys = keys_of_qemu();
    assert!(keys.len() > 130, "{} keys", keys.len());
    check_keys(&machine, &mut machine.spice(), "spice", &keys);
    check_keys(&machine, &mut machine.qmp(), "qmp", &keys);
}

/// What a stalled queue of a PS/2 keyboard does to a burst: presses get lost, but nothing stays down.
#[test]
fn a_burst_inside_a_held_shift_leaves_nothing_down_on_any_keyboard() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let usb = ["qemu-xhci,id=xhci", "usb-kbd,bus=xhci.0"];
    let kinds = [
        ("ps2", &[][..], "AT Translated Set 2 keyboard"),
        ("virtio", &["virtio-keyboard-pci"][..], "QEMU Virtio Keyboard"),
        ("usb", &usb[..], "QEMU QEMU USB Keyboard"),
    ];
    for (kind, devices, name) in kinds {
        let machine = Machine::boot("sums", devices, &[name], DISABLED);
        let mut driver = machine.spice();
        let mark = machine.vm.mark();
        let shift = Code::new(42).unwrap();
        driver.send(Step::Edge(Edge { code: shift, is_down: true }));
        for n in 0..200 {
            driver.tap(Code::new(16 + n % 10).unwrap());
        }
        driver.send(Step::Edge(Edge { code: shift, is_down: false }));
        driver.run();
        let sums = machine.wait_for_sums(mark, |sums| sums[8] > 2 && sums[9] == 0);
        println!("{kind}: {} of 402 edges arrived", sums[8]);
        assert_eq!(driver.stats.released_again.get(), 2);
    }
}

#[test]
fn motion_buttons_and_wheels_arrive_with_exact_sums_over_spice_and_qmp() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let machine = Machine::boot("sums", &["virtio-mouse-pci"], &["QEMU Virtio Mouse"], DISABLED);
    for (way, mut driver) in [("spice", machine.spice()), ("qmp", machine.qmp())] {
        let mark = machine.vm.mark();
        let before = machine.vm.lines_after(0, "RIG-SUM").pop();
        let before: Vec<i64> = match &before {
            Some(line) => line.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect(),
            None => vec![0; 10],
        };
        for n in 0..2000 {
            driver.move_by(3, -2);
            if n % 100 == 0 {
                driver.tap(Code::LEFT);
                driver.tap(Code::EXTRA);
            }
            if n % 50 == 0 {
                driver.run();
            }
        }
        for _ in 0..4 {
            driver.turn(60, 30);
        }
        driver.run();
        // QEMU's virtio mouse has no horizontal wheel.
        let wanted = [6000, -4000, 2, 0];
        let sums = machine.wait_for_sums(mark, |sums| {
            (0..4).all(|n| sums[n] - before[n] == wanted[n]) && sums[8] - before[8] == 80 && sums[9] == 0
        });
        println!("{way}: {sums:?}, {} motions in {} reports", 2000, driver.stats.moves.get());
    }
}

#[test]
fn places_reach_a_tablet_over_qmp() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let machine = Machine::boot("sums", &["virtio-tablet-pci"], &["QEMU Virtio Tablet"], DISABLED);
    let mut driver = machine.qmp();
    assert!(driver.sink.caps().position);
    for (x, y) in [(0, 0), (32_767, 1), (16_000, 32_767)] {
        let mark = machine.vm.mark();
        driver.send(Step::Move(Move { position: Some(Position { x, y }), ..Move::default() }));
        driver.run();
        machine.wait_for_sums(mark, |sums| sums[6] == i64::from(x) && sums[7] == i64::from(y));
    }
}

/// A machine with a screen of its own and a tablet takes places over SPICE, too, until the tablet is unplugged.
#[test]
fn places_reach_a_tablet_over_spice_and_differences_a_mouse_when_it_is_gone() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let devices = ["VGA", "qemu-xhci,id=xhci", "usb-tablet,bus=xhci.0,id=tablet"];
    let machine = Machine::boot("sums", &devices, &["QEMU QEMU USB Tablet"], DISABLED);
    let choice = InputChoice::Spice(Endpoint::Unix(machine.spice.clone()));
    let settings = InputSettings { choice, mouse: MouseMode::Absolute, ..InputSettings::default() };
    let mut driver = Driver::open_with(settings);
    let wait_for = |driver: &mut Driver, what: &str, is: fn(Caps) -> bool| {
        let look = || {
            driver.sink.pump(clock::now(), &mut |_| {}).unwrap();
            is(driver.sink.caps()).then_some(())
        };
        until(what, SOON, look, || machine.vm.console());
    };
    wait_for(&mut driver, "places", |caps| caps.position && !caps.motion);
    for (x, y) in [(0, 0), (32_767, 1), (16_000, 32_767), (8_000, 24_000)] {
        let mark = machine.vm.mark();
        driver.send(Step::Move(Move { position: Some(Position { x, y }), ..Move::default() }));
        driver.run();
        // A pixel of a screen of 720 x 400 is 46 and 82 of these.
        let near = |is: i64, wanted: u16| (is - i64::from(wanted)).abs() <= 90;
        machine.wait_for_sums(mark, |sums| near(sums[6], x) && near(sums[7], y));
    }
    let mark = machine.vm.mark();
    driver.tap(Code::RIGHT);
    driver.run();
    machine.wait_for_sums(mark, |sums| sums[8] == 2 && sums[9] == 0);
    Monitor::connect(&machine.qmp).command("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"tablet\"}}");
    wait_for(&mut driver, "differences", |caps| caps.motion && !caps.position);
    let mark = machine.vm.mark();
    driver.move_by(30, -20);
    driver.run();
    machine.wait_for_sums(mark, |sums| (sums[0], sums[1]) == (30, -20));
}

/// A release that is sent while the machine stands still is lost; it is sent again when it runs.
#[test]
fn a_key_released_while_the_machine_stood_still_is_up_when_it_runs() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let second = place::folder();
    let control = second.path().join("control");
    let monitor = format!("-qmp unix:{},server=on,wait=off", control.display());
    let machine = Machine::boot("sums", &["virtio-keyboard-pci", &monitor], &["QEMU Virtio Keyboard"], DISABLED);
    let mut driver = machine.qmp();
    let mut control = Monitor::connect(&control);
    let shift = Code::new(42).unwrap();
    driver.send(Step::Edge(Edge { code: shift, is_down: true }));
    driver.run();
    machine.wait_for_sums(0, |sums| sums[9] == 1);
    control.execute("stop");
    driver.send(Step::Edge(Edge { code: shift, is_down: false }));
    driver.run();
    control.execute("cont");
    until(
        "the news",
        SOON,
        || {
            driver.sink.pump(clock::now(), &mut |n| driver.news.push(n)).unwrap();
            driver.news.ends_with(&[News::Stopped, News::Running]).then_some(())
        },
        || machine.vm.console(),
    );
    driver.pacer.connected(clock::now());
    driver.run();
    machine.wait_for_sums(0, |sums| sums[9] == 0);
}

#[test]
fn lamps_of_the_guest_are_told() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let name = "AT Translated Set 2 keyboard";
    let machine = Machine::boot("keys", &[], &[name], DISABLED);
    let mut driver = machine.spice();
    let mut next = clock::now();
    until(
        "the lamp",
        SOON,
        || {
            // A busy machine's PS/2 keyboard drops a press now and then.
            if clock::now() >= next {
                driver.tap(Code::new(58).unwrap());
                driver.run();
                next = clock::now() + Duration::from_secs(2);
            }
            driver.sink.pump(clock::now(), &mut |n| driver.news.push(n)).unwrap();
            driver.news.iter().any(|n| matches!(n, News::Leds(leds) if leds.caps)).then_some(())
        },
        || machine.vm.console(),
    );
}

#[test]
fn a_password_opens_the_server_and_a_wrong_one_does_not() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let secret = "-object secret,id=pw,data=correct horse";
    let name = "AT Translated Set 2 keyboard";
    let machine = Machine::boot("keys", &[secret], &[name], "password-secret=pw");
    let open = |password: &str| {
        let choice = InputChoice::Spice(Endpoint::Unix(machine.spice.clone()));
        let password = Password::new(password).unwrap();
        let settings = InputSettings { choice, password, ..InputSettings::default() };
        capture::open(&settings, &Patience::new(SOON, &Stop::new().unwrap()))
    };
    for wrong in ["", "correct", "correct horse battery"] {
        assert!(matches!(open(wrong), Err(SinkError::WrongPassword)), "{wrong:?}");
    }
    assert!(open("correct horse").is_ok());
}

/// Another client of QEMU's monitor.
struct Monitor(std::io::BufReader<std::os::unix::net::UnixStream>);

impl Monitor {
    fn connect(path: &Path) -> Monitor {
        let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut monitor = Monitor(std::io::BufReader::new(stream));
        monitor.wait("QMP");
        monitor.execute("qmp_capabilities");
        monitor
    }

    fn execute(&mut self, command: &str) {
        self.command(&format!("{{\"execute\":\"{command}\"}}"));
    }

    /// One command, as a whole line.
    fn command(&mut self, line: &str) {
        use std::io::Write;
        writeln!(self.0.get_mut(), "{line}").unwrap();
        self.wait("return");
    }

    fn wait(&mut self, word: &str) {
        use std::io::BufRead;
        let mut line = String::new();
        while !line.contains(&format!("\"{word}\"")) {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the monitor closed");
            assert!(!line.contains("\"error\""), "{line}");
        }
    }
}

#[test]
fn nothing_that_is_sent_prints_what_it_is() {
    let code = Code::new(30).unwrap();
    let step = Step::Edge(Edge { code, is_down: true });
    let set: CodeSet = [code].into_iter().collect();
    let text = format!("{step:?} {set:?} {:?}", InputStats::new());
    assert!(!text.contains("30"), "{text}");
}

/// What a viewer is shown.
const PICTURE: [&str; 4] = ["--mode", "320x240@30", "--cursor", "none"];

/// A display, a user's folder and a file for a picture; nothing where a machine, a window or its keys are impossible.
fn desktop() -> Option<(XvfbRig, tempfile::TempDir, ShmName)> {
    if !vm::input_possible() || !require::programs(&["xdotool"]) {
        return None;
    }
    let (display, home) = (XvfbRig::start(800, 600)?, place::folder());
    programs::frame_rx(home.path())?;
    Some((display, home, ShmName::new("picture")))
}

/// `frame-rx` with a window on `display`, a picture from a simulated guest, and its input going where `input` says.
fn start_viewer(home: &Path, display: &XvfbRig, picture: &Path, input: &InputChoice) -> Option<Running> {
    let mut command = programs::frame_rx(home)?;
    command.arg("-f").arg(picture).args(["--scale", "1:1", "--window", "640x480", "--input-stats"]);
    command.args(["--release-chord", "leftctrl+rightctrl"]).arg(format!("--input={input}"));
    display.show(&mut command);
    let viewer = Running::start("frame-rx", &mut command);
    guest::wait_for_picture(display, (320, 240), BOOT);
    viewer.line("input: connected to", SOON);
    Some(viewer)
}

fn xdotool(display: &XvfbRig, line: &str) {
    let mut command = tied("xdotool");
    display.show(command.args(line.split(' ')));
    let done = run("xdotool", &mut command, SOON);
    assert!(done.status.success(), "xdotool {line}: {}", done.err.join("\n"));
}

/// Clicks into the picture and types A until the guest sees it: it has the input then.
fn give_to_guest(display: &XvfbRig, machine: &Machine) {
    xdotool(display, "search --class frame-rx windowfocus");
    let mark = machine.vm.mark();
    let mut next = clock::now();
    let type_a = || {
        // A click may come before the window shows the picture. Once more after so long that the letter would have come:
        // the guest hears a click when it has the input.
        if clock::now() >= next {
            xdotool(display, "mousemove 300 220 click 1");
            next = clock::now() + Duration::from_secs(10);
        }
        xdotool(display, "key a");
        machine.vm.lines_after(mark, "RIG-KEY 30 0").pop()
    };
    until("the guest has the input", SOON, type_a, || machine.vm.console());
    machine.wait_for_sums(mark, |sums| sums[9] == 0);
}

/// As a user has it: a window, a click, typing, the chord; and then the worst end.
#[test]
fn a_click_gives_the_guest_the_input_and_the_chord_or_kill_9_takes_it_back() {
    let Some((display, home, picture)) = desktop() else { return };
    let _turn = vm::take_turn();
    let names = ["QEMU Virtio Keyboard", "QEMU Virtio Mouse"];
    let machine = Machine::boot("keys", &["virtio-keyboard-pci", "virtio-mouse-pci"], &names, DISABLED);
    let _picture = guest::start("picture", picture.path(), &PICTURE);
    let spice = InputChoice::Spice(Endpoint::Unix(machine.spice.clone()));
    let Some(mut viewer) = start_viewer(home.path(), &display, picture.path(), &spice) else { return };
    give_to_guest(&display, &machine);
    assert!(
        machine.vm.lines_after(0, "RIG-KEY 272").is_empty(),
        "the click that gave it the input is not for the guest"
    );
    let mark = machine.vm.mark();
    xdotool(&display, "mousemove_relative 40 20 click 3 click 4");
    // How much is not asked: of xdotool's device the window system tells each wheel click twice, and with the pointer
    // kept in the window each motion.
    machine.wait_for_sums(mark, |sums| sums[0] > 0 && sums[1] > 0 && sums[2] > 0);
    machine.vm.wait_after(mark, "RIG-KEY 273 0", SOON);
    // The chord, in the middle of a held key.
    xdotool(&display, "keydown shift keydown Control_L keydown Control_R");
    machine.vm.wait_after(mark, "RIG-KEY 42 0", SOON);
    xdotool(&display, "keyup Control_R keyup Control_L keyup shift key b");
    give_to_guest(&display, &machine);
    assert!(machine.vm.lines_after(mark, "RIG-KEY 48").is_empty(), "a key of the host came to the guest");
    assert!(machine.vm.lines_after(mark, "RIG-KEY 97").is_empty(), "the chord's last key came to the guest");
    // Killed with keys down: the server lifts them.
    let mark = machine.vm.mark();
    xdotool(&display, "keydown shift keydown d");
    machine.wait_for_sums(mark, |sums| sums[9] == 2);
    viewer.signal(Signal::KILL);
    machine.wait_for_sums(mark, |sums| sums[9] == 0);
    viewer.end(SOON);
    xdotool(&display, "keyup d keyup shift");
    // Ended in good order, with a button down that no server lifts.
    let Some(mut viewer) = start_viewer(home.path(), &display, picture.path(), &spice) else { return };
    give_to_guest(&display, &machine);
    let mark = machine.vm.mark();
    xdotool(&display, "mousedown 3 keydown e");
    machine.wait_for_sums(mark, |sums| sums[9] == 2);
    viewer.signal(Signal::TERM);
    assert_eq!(viewer.end(SOON).code(), Some(0), "{}", viewer.tail());
    machine.wait_for_sums(mark, |sums| sums[9] == 0);
    for figure in ["input sink", "input delay"] {
        viewer.line(figure, SOON);
    }
    assert!(!viewer.tail().contains("RIG"), "{}", viewer.tail());
    xdotool(&display, "mouseup 3 keyup e");
    // The window system itself is gone, and Xlib ends the program: its heir is left, and lifts the button.
    let Some(mut viewer) = start_viewer(home.path(), &display, picture.path(), &spice) else { return };
    give_to_guest(&display, &machine);
    let mark = machine.vm.mark();
    xdotool(&display, "mousedown 3 keydown e");
    machine.wait_for_sums(mark, |sums| sums[9] == 2);
    drop(display);
    machine.wait_for_sums(mark, |sums| sums[9] == 0);
    viewer.end(SOON);
}
