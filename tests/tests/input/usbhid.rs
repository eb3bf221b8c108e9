//! The virtual USB device on its whole way: usbredir over a socket of its own and over SPICE, a real QEMU, Linux's own
//! HID drivers, and what its input devices then say.

use super::*;
use core::cell::Cell;
use frame_rx::input::keymap::Usage;

/// Input devices that Linux makes of ours.
const DEVICES: usize = 5;
/// Keys that Linux calls otherwise than the usage tables do: "my computer" opens a file manager, "media" is a setting.
const OTHER_NAMES: [(u16, u16); 2] = [(157, 144), (226, 171)];

/// What a client holds that is killed: keys, buttons, and a key of the consumer page.
const HELD: [u16; 6] = [42, 30, 48, 0x111, 0x11f, 114];
/// Clients that are killed on each transport.
const KILLS: usize = 2;

/// A machine with two places for the device: one with a socket of its own, one at the SPICE server.
pub(crate) struct Hid {
    pub machine: Machine,
    _folder: tempfile::TempDir,
    socket: PathBuf,
}

impl Hid {
    pub fn boot(what: &str, more: &[&str]) -> Hid {
        let folder = place::folder();
        let socket = folder.path().join("usb");
        let own = format!("-chardev {}", own_chardev(&socket));
        let mut devices = vec!["qemu-xhci,id=xhci", &own, "usb-redir,id=place0,chardev=own,bus=xhci.0"];
        devices.extend(["-chardev spicevmc,id=spice,name=usbredir", "usb-redir,chardev=spice,bus=xhci.0"]);
        devices.extend(more);
        let machine = Machine::boot(what, &devices, &[], DISABLED);
        Hid { machine, _folder: folder, socket }
    }

    pub fn own(&self) -> InputChoice {
        InputChoice::UsbHid(Endpoint::Unix(self.socket.clone()))
    }

    pub fn spice(&self) -> InputChoice {
        InputChoice::SpiceUsb(Endpoint::Unix(self.machine.spice.clone()))
    }

    /// Plugs the device in and waits until the guest has opened all of it.
    fn plug(&self, choice: InputChoice) -> Driver {
        let mark = self.machine.vm.mark();
        let mut driver = Driver::open(choice);
        self.wait_for_devices(mark, || driver.pump());
        let is_live = || {
            driver.pump();
            (driver.sink.caps().wheel_units == 120).then_some(())
        };
        until("both wheels in fractions", SOON, is_live, || self.machine.vm.console());
        driver
    }

    pub fn wait_for_devices(&self, mark: usize, mut meanwhile: impl FnMut()) {
        let all = || {
            meanwhile();
            let lines = self.machine.vm.lines_after(mark, "RIG-DEVICE frame-rx");
            (lines.len() >= DEVICES).then_some(())
        };
        until("the device in the guest", SOON, all, || self.machine.vm.console());
    }

    /// When each key and button was released, from `start` on.
    fn released(&self, mark: usize, start: shm_proto::HostTime) -> Vec<(String, Duration)> {
        let mut released = Vec::new();
        while released.len() < HELD.len() {
            let ups = self.machine.vm.lines_after(mark, "RIG-KEY").into_iter().filter(|line| line.ends_with(" 0"));
            released.extend(ups.skip(released.len()).map(|line| (line, clock::now().since(start))).collect::<Vec<_>>());
            assert!(clock::now().since(start) < SOON, "{}", self.machine.vm.console());
            std::thread::yield_now();
        }
        released
    }

    /// When the guest had the first part of the device open, and all.
    fn usable(&self, mark: usize, start: shm_proto::HostTime, mut meanwhile: impl FnMut()) -> [Duration; 2] {
        let first = || {
            meanwhile();
            self.machine.vm.lines_after(mark, "RIG-DEVICE frame-rx").pop()
        };
        until("the first part of the device", SOON, first, || self.machine.vm.console());
        let first = clock::now().since(start);
        self.wait_for_devices(mark, meanwhile);
        [first, clock::now().since(start)]
    }

    pub fn wait_for_unplug(&self, mark: usize) {
        let gone = || (self.machine.vm.lines_after(mark, "RIG-GONE").len() >= DEVICES).then_some(());
        until("the unplugged device", SOON, gone, || self.machine.vm.console());
    }

    /// Takes the place with a socket of its own away: the `n`-th one.
    pub fn remove_place(&self, monitor: &mut Monitor, n: usize) {
        let id = place_name(n);
        monitor.command(&format!("{{\"execute\":\"device_del\",\"arguments\":{{\"id\":\"{id}\"}}}}"));
    }

    /// Gives the machine the `n`-th place, at the same address. The one before may be going still.
    pub fn add_place(&self, monitor: &mut Monitor, n: usize) {
        let (id, path) = (place_name(n), self.socket.display());
        let backend = format!(
            "{{\"type\":\"socket\",\"data\":{{\"server\":true,\"wait\":false,\
             \"addr\":{{\"type\":\"unix\",\"data\":{{\"path\":\"{path}\"}}}}}}}}"
        );
        let add = format!("{{\"execute\":\"chardev-add\",\"arguments\":{{\"id\":\"c{id}\",\"backend\":{backend}}}}}");
        monitor.command(&add);
        monitor.command(&format!(
            "{{\"execute\":\"device_add\",\"arguments\":{{\"driver\":\"usb-redir\",\"id\":\"{id}\",\
             \"chardev\":\"c{id}\",\"bus\":\"xhci.0\"}}}}"
        ));
    }

    /// All sums so far.
    pub fn sums(&self) -> Vec<i64> {
        self.machine.sums()
    }
}

fn place_name(n: usize) -> String {
    format!("place{n}")
}

fn own_chardev(socket: &Path) -> String {
    format!("socket,id=own,path={},server=on,wait=off", socket.display())
}

impl Driver {
    fn pump(&mut self) {
        self.sink.pump(clock::now(), &mut |n| self.news.push(n)).unwrap();
    }

    /// Sends what is due now, and waits for nothing.
    fn step(&mut self) {
        self.pump();
        self.pacer.run(clock::now(), self.sink.as_mut()).unwrap();
    }

    /// Sends all that waits.
    fn drain(&mut self) {
        let end = clock::now() + SOON;
        while self.pacer.has_waiting() {
            assert!(clock::now() < end, "the sink takes no more");
            self.step();
            let _ = clock::sleep_until(clock::now() + Duration::from_micros(200));
        }
    }

    fn edge(&mut self, number: u16, is_down: bool) {
        self.send(Step::Edge(Edge { code: Code::new(number).unwrap(), is_down }));
    }
}

/// Every key and button of the device, once down and once up, and nothing else.
fn check_keys(hid: &Hid, driver: &mut Driver, what: &str) {
    let keys = keymap::keys().filter(|code| keymap::usage(*code) != Usage::None);
    let keys: Vec<Code> = keys.chain((0x110..0x120).filter_map(Code::new)).collect();
    assert!(keys.len() > 170, "{} keys", keys.len());
    let (mark, before) = (hid.machine.vm.mark(), hid.sums()[8]);
    // Few at a time: the console is slow, and the kernel's queue for whoever reads a keyboard has 64 places.
    for (n, some) in keys.chunks(8).enumerate() {
        some.iter().for_each(|code| driver.tap(*code));
        driver.drain();
        let so_far = 2 * (8 * n + some.len()) as i64;
        hid.machine.wait_for_sums(mark, |sums| sums[8] - before >= so_far);
    }
    driver.run();
    let all = 2 * keys.len() as i64;
    hid.machine.wait_for_sums(mark, |sums| sums[8] - before >= all && sums[9] == 0);
    let name_in_guest = |code: &Code| {
        let other = OTHER_NAMES.iter().find(|(ours, _)| *ours == code.number());
        other.map_or(code.number(), |(_, theirs)| *theirs)
    };
    let mut expected: Vec<String> =
        keys.iter().flat_map(|code| [1, 0].map(|value| format!("RIG-KEY {} {value}", name_in_guest(code)))).collect();
    let mut seen = hid.machine.vm.lines_after(mark, "RIG-KEY");
    expected.sort();
    seen.sort();
    let missing: Vec<_> = expected.iter().filter(|line| !seen.contains(line)).collect();
    let others: Vec<_> = seen.iter().filter(|line| !expected.contains(line)).collect();
    assert_eq!(seen, expected, "{what}: missing {missing:?}, nobody pressed {others:?}");
}

/// Caps Lock pressed, the kernel lights the lamp, and the lamp is told here.
fn check_lamps(driver: &mut Driver, hid: &Hid) {
    let last = |driver: &Driver| {
        let lamps = driver.news.iter().rev().find_map(|n| if let News::Leds(leds) = n { Some(*leds) } else { None });
        lamps.unwrap_or_default().caps
    };
    for _ in 0..2 {
        let (before, start) = (last(driver), clock::now());
        driver.tap(Code::new(58).unwrap());
        let is_switched = || {
            driver.step();
            (last(driver) != before).then_some(())
        };
        until("the lamp", SOON, is_switched, || hid.machine.vm.console());
        println!("lamp: {:?} from the key to the lamp", clock::now().since(start));
    }
    driver.run();
}

/// How long a key takes from here to the guest and its line back to here.
fn measure(machine: &Machine, driver: &mut Driver, what: &str) {
    let mut took = Vec::new();
    for _ in 0..40 {
        for is_down in [true, false] {
            let (mark, start) = (machine.vm.mark(), clock::now());
            driver.edge(30, is_down);
            let line = format!("RIG-KEY 30 {}", u8::from(is_down));
            driver.drain();
            machine.vm.wait_after(mark, &line, SOON);
            took.push(clock::now().since(start));
        }
    }
    driver.run();
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: key to guest and back: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.9), at(0.99));
}

#[test]
fn every_key_button_and_lamp_of_the_usb_device_is_the_guests_over_both_transports() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let hid = Hid::boot("keys", &[]);
    for (what, choice) in [("a socket of its own", hid.own()), ("spice", hid.spice())] {
        let mut driver = hid.plug(choice);
        check_keys(&hid, &mut driver, what);
        check_lamps(&mut driver, &hid);
        measure(&hid.machine, &mut driver, what);
        let mark = hid.machine.vm.mark();
        drop(driver);
        hid.wait_for_unplug(mark);
    }
    measure(&hid.machine, &mut hid.machine.spice(), "spice inputs");
    measure(&hid.machine, &mut hid.machine.qmp(), "qmp");
}

/// The device has a thousand places in QEMU where a PS/2 keyboard has sixteen: nothing of a burst is lost.
fn check_burst(hid: &Hid, driver: &mut Driver, what: &str) {
    let mut before = 0;
    let burst = || {
        before = hid.sums()[8];
        driver.edge(42, true);
        for n in 0..200 {
            driver.tap(Code::new(16 + n % 10).unwrap());
        }
        driver.edge(42, false);
        driver.run();
    };
    let sums = hid.machine.heard_whole(burst, |before, sums| sums[8] - before[8] >= 402 && sums[9] == 0);
    assert_eq!(sums[8] - before, 402, "{what}");
}

/// A mouse of 8000 reports a second: what arrives are fewer reports, and every count of them.
fn check_motion(hid: &Hid, driver: &mut Driver, what: &str, time: Duration) {
    let (sent, reports, came) = (Cell::new(0_i64), Cell::new(0), Cell::new((0, 0)));
    let motion = || {
        let (start, sent_before) = (clock::now(), driver.stats.moves.get());
        sent.set(0);
        while clock::now().since(start) < time {
            let due = i64::try_from(clock::now().since(start).as_micros() / 125).unwrap();
            while sent.get() < due {
                driver.move_by(3, -2);
                sent.set(sent.get() + 1);
            }
            driver.step();
            let _ = clock::sleep_until(clock::now() + Duration::from_micros(125));
        }
        driver.run();
        reports.set(driver.stats.moves.get() - sent_before);
    };
    hid.machine.heard_whole(motion, |before, sums| {
        came.set((sums[0] - before[0], sums[1] - before[1]));
        came.get() == (3 * sent.get(), -2 * sent.get())
    });
    let (sent, reports, came) = (sent.get(), reports.get(), came.get());
    println!("{what}: {sent} motions in {time:?} as {reports} reports: {came:?} in the guest, exact");
}

/// For how long a thread of this process has run. Unit: ns. Source: the kernel's `sched-stats.rst`, the first number.
fn ran_ns(name: &str) -> Option<u64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?.flatten().map(|entry| entry.path());
    let is_named = |path: &PathBuf| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let stat = std::fs::read_to_string(threads.into_iter().find(is_named)?.join("schedstat")).ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

/// Reports of a mouse that a window hears at once, at most.
const MOST_AT_ONCE: i64 = 100;
/// Reports that may wait for the input's thread, which has room for 1024: a machine that holds it up is no fault of it.
const MOST_WAITING: i64 = 512;

/// The input's thread as a whole with a mouse of 8000 reports a second, which come through its bell as a window's do. What
/// it costs is told; that nothing is lost on the way is checked.
fn check_thread(hid: &Hid, choice: InputChoice, time: Duration) {
    let (shown, mark, stop) = (choice.to_string(), hid.machine.vm.mark(), Stop::new().unwrap());
    let settings = InputSettings { choice, ..InputSettings::default() };
    let (handle, thread) = start_input(settings, &stop);
    hid.wait_for_devices(mark, || ());
    handle.take();
    until("the input", SOON, || handle.is_grabbed().then_some(()), || hid.machine.vm.console());
    let sent = Cell::new(0_i64);
    let motion = || {
        let (ran, start) = (ran_ns("rx-input"), clock::now());
        let (heard_before, mut missed) = (handle.stats().reports.get(), 0);
        sent.set(0);
        while clock::now().since(start) < time {
            let due = i64::try_from(clock::now().since(start).as_micros() / 125).unwrap() - missed;
            let heard = i64::try_from(handle.stats().reports.get() - heard_before).unwrap();
            let most = (sent.get() + MOST_AT_ONCE).min(heard + MOST_WAITING);
            // A mouse has no memory: what it moved while this thread or the input's was held up never was.
            missed += (due - most).max(0);
            let due = due.min(most);
            while sent.get() < due {
                handle.frame(InputFrame::new(clock::now()).with_motion(Motion { dx: 3, dy: -2 }));
                sent.set(sent.get() + 1);
            }
            let _ = clock::sleep_until(clock::now() + Duration::from_micros(50));
        }
        let took = clock::now().since(start).as_secs_f64();
        if let (Some(before), Some(after)) = (ran, ran_ns("rx-input")) {
            let (share, a_second) = ((after - before) as f64 / 1e7 / took, sent.get() as f64 / took);
            println!("{shown}: the input's thread took {share:.1} % of a core at {a_second:.0} reports a second");
        }
    };
    hid.machine.heard_whole(motion, |before, sums| {
        (sums[0] - before[0], sums[1] - before[1]) == (3 * sent.get(), -2 * sent.get())
    });
    assert_eq!((handle.stats().dropped.get(), handle.stats().overflows.get()), (0, 0));
    let mark = hid.machine.vm.mark();
    stop.request();
    thread.join().unwrap();
    hid.wait_for_unplug(mark);
}

fn check_wheels_and_places(hid: &Hid, driver: &mut Driver) {
    let (mark, before) = (hid.machine.vm.mark(), hid.sums());
    for _ in 0..6 {
        driver.turn(30, -30);
        driver.run();
    }
    driver.turn(7, 1);
    driver.run();
    // Six quarters are one whole detent, and a half that is not told as one; seven more and one more of 120.
    let wanted = [1, -1, 187, -179];
    hid.machine.wait_for_sums(mark, |sums| (2..6).all(|n| sums[n] - before[n] == wanted[n - 2]));
    for (x, y) in [(1, 2), (32_767, 0), (16_000, 32_767)] {
        let mark = hid.machine.vm.mark();
        driver.send(Step::Move(Move { position: Some(Position { x, y }), ..Move::default() }));
        driver.run();
        hid.machine.wait_for_sums(mark, |sums| sums[6] == i64::from(x) && sums[7] == i64::from(y));
    }
}

#[test]
fn bursts_motion_wheels_and_places_of_the_usb_device_arrive_exactly_over_both_transports() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let seconds = std::env::var("RX_INPUT_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let hid = Hid::boot("sums", &[]);
    for (what, choice) in [("a socket of its own", hid.own()), ("spice", hid.spice())] {
        let mut driver = hid.plug(choice);
        check_burst(&hid, &mut driver, what);
        check_motion(&hid, &mut driver, what, Duration::from_secs(seconds));
        check_wheels_and_places(&hid, &mut driver);
        assert_eq!((driver.stats.unknown.get(), driver.stats.dropped.get()), (0, 0));
        let mark = hid.machine.vm.mark();
        drop(driver);
        hid.wait_for_unplug(mark);
    }
    check_thread(&hid, hid.own(), Duration::from_secs(seconds.div_ceil(2)));
}

/// As a client that is killed: it presses five when it may (there is a file then), and then nothing more happens. Only for
/// the tests that start it in a process of its own.
#[test]
fn a_client_that_waits_to_be_killed() {
    let Ok(choice) = std::env::var("RX_INPUT_CLIENT") else { return };
    let stop = Stop::new().unwrap();
    let settings = InputSettings { choice: choice.parse().unwrap(), ..InputSettings::default() };
    let heir = std::env::var_os("RX_INPUT_HEIR").map(|program| Heir::start(Path::new(&program), &settings).unwrap());
    let (handle, thread) = start_input_with(settings, &stop, heir.flatten());
    until("the guest", SOON, || (handle.stats().state() == SinkState::Ready).then_some(()), || format!("{handle:?}"));
    let may = PathBuf::from(std::env::var("RX_INPUT_MAY").unwrap());
    until("the others", BOOT, || may.exists().then_some(()), String::new);
    handle.take();
    until("the input", SOON, || handle.is_grabbed().then_some(()), || format!("{handle:?}"));
    for number in HELD {
        handle.frame(InputFrame::edge(clock::now(), Code::new(number).unwrap(), true));
    }
    thread.join().unwrap();
}

impl Hid {
    /// The test above as a process, which holds five keys and buttons through the device.
    pub fn start_client(&self, choice: &InputChoice) -> Running {
        self.start_client_with(choice, None)
    }

    /// As [`Hid::start_client`]; this program is the client's heir.
    pub fn start_client_with(&self, choice: &InputChoice, heir: Option<&Path>) -> Running {
        let (mark, folder) = (self.machine.vm.mark(), place::folder());
        let may = folder.path().join("may");
        let mut client = tied(std::env::current_exe().unwrap());
        client.args(["--exact", "usbhid::a_client_that_waits_to_be_killed", "--nocapture"]);
        client.env("RX_INPUT_CLIENT", choice.to_string()).env("RX_INPUT_MAY", &may);
        if let Some(heir) = heir {
            client.env("RX_INPUT_HEIR", heir);
        }
        let client = Running::start("client", &mut client);
        let is_usb = matches!(choice, InputChoice::UsbHid(_) | InputChoice::SpiceUsb(_));
        if is_usb {
            self.wait_for_devices(mark, || ());
        }
        std::fs::write(&may, "").unwrap();
        // The other ways have five buttons, so one is missing; and a busy machine's PS/2 devices drop a press now and then.
        let held = HELD.len() - if is_usb { 0 } else { 3 };
        self.machine.wait_for_sums(mark, |sums| sums[9] >= held as i64);
        client
    }
}

#[test]
fn a_killed_client_a_stopped_machine_and_an_unplugged_device_leave_nothing_down() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let hid = Hid::boot("keys", &[]);
    let vm = &hid.machine.vm;
    let mut monitor = Monitor::connect(&hid.machine.qmp);
    for choice in [hid.own(), hid.spice()] {
        // Killed with five down: QEMU sees the socket close and unplugs the device.
        for _ in 0..KILLS {
            let mut client = hid.start_client(&choice);
            let (mark, start) = (vm.mark(), clock::now());
            client.signal(Signal::KILL);
            let ups = hid.released(mark, start);
            let of = |numbers: &[u16]| {
                let is = |line: &String| numbers.iter().any(|n| *line == format!("RIG-KEY {n} 0"));
                ups.iter().filter(|(line, _)| is(line)).map(|(_, after)| *after).max()
            };
            let (buttons, keys, consumer) = (of(&HELD[3..5]), of(&HELD[..3]), of(&HELD[5..]));
            println!("{choice}: kill -9: up after: buttons {buttons:?}, consumer key {consumer:?}, keys {keys:?}");
            hid.wait_for_unplug(mark);
            hid.machine.wait_for_sums(mark, |sums| sums[9] == 0);
        }
        let mark = vm.mark();
        // A release while the machine stands still is kept by QEMU, and arrives when it runs.
        let mut driver = hid.plug(choice.clone());
        driver.edge(42, true);
        driver.edge(0x113, true);
        driver.run();
        hid.machine.wait_for_sums(mark, |sums| sums[9] == 2);
        monitor.execute("stop");
        let mark = vm.mark();
        driver.edge(42, false);
        driver.edge(0x113, false);
        driver.run();
        monitor.execute("cont");
        let is_neutral = || {
            driver.step();
            (!vm.lines_after(mark, "RIG-SUM").is_empty() && hid.sums()[9] == 0).then_some(())
        };
        until("the releases", SOON, is_neutral, || vm.console());
        let mark = vm.mark();
        drop(driver);
        hid.wait_for_unplug(mark);
    }
    check_replug(&hid, &mut monitor);
}

/// The machine's end is taken away with a key down, and comes back: so does the input, by itself.
fn check_replug(hid: &Hid, monitor: &mut Monitor) {
    let stop = Stop::new().unwrap();
    let settings = InputSettings { choice: hid.own(), ..InputSettings::default() };
    let mark = hid.machine.vm.mark();
    let (handle, thread) = start_input(settings, &stop);
    let ready = |connections| {
        let stats = handle.stats();
        let is = || stats.state() == SinkState::Ready && stats.connections.get() >= connections;
        until("the guest", SOON, || is().then_some(()), || hid.machine.vm.console());
    };
    ready(1);
    hid.wait_for_devices(mark, || ());
    handle.take();
    until("the input", SOON, || handle.is_grabbed().then_some(()), || hid.machine.vm.console());
    handle.frame(InputFrame::edge(clock::now(), Code::LEFT_CTRL, true));
    hid.machine.wait_for_sums(mark, |sums| sums[9] == 1);
    let mark = hid.machine.vm.mark();
    hid.remove_place(monitor, 0);
    hid.wait_for_unplug(mark);
    hid.machine.wait_for_sums(mark, |sums| sums[9] == 0);
    let mark = hid.machine.vm.mark();
    hid.add_place(monitor, 1);
    let start = clock::now();
    let is_connected = || (handle.stats().connections.get() >= 2).then_some(());
    until("the connection", SOON, is_connected, || hid.machine.vm.console());
    let connected = clock::now().since(start);
    let ours = hid.usable(mark, start, || ());
    ready(2);
    println!("a place again: connected after {connected:?}, first and all parts usable after {ours:?}");
    let mark = hid.machine.vm.mark();
    stop.request();
    thread.join().unwrap();
    hid.wait_for_unplug(mark);
    // The same for one who connects before anything else: what is left is the guest's.
    hid.remove_place(monitor, 1);
    let mark = hid.machine.vm.mark();
    hid.add_place(monitor, 2);
    let start = clock::now();
    let mut driver = Driver::open(hid.own());
    let bare = hid.usable(mark, start, || driver.pump());
    println!("a place again, and a client that waits for nothing else: usable after {bare:?}");
}

/// SeaBIOS speaks the boot protocol: its menu opens by a key of the virtual device, and another chooses the kernel.
#[test]
fn firmware_hears_the_keyboard_by_the_boot_protocol() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let folder = place::folder();
    let said = folder.path().join("firmware");
    let log = format!("-chardev file,id=firmware,path={}", said.display());
    let debug = "isa-debugcon,iobase=0x402,chardev=firmware";
    let hid = Hid::boot("sums", &[&log, debug, "-boot menu=on,splash-time=2000"]);
    let mut monitor = Monitor::connect(&hid.machine.qmp);
    let mut driver = hid.plug(hid.own());
    let mark = hid.machine.vm.mark();
    monitor.command("{\"execute\":\"set-action\",\"arguments\":{\"reboot\":\"reset\"}}");
    monitor.execute("system_reset");
    let firmware = || std::fs::read_to_string(&said).unwrap_or_default();
    let wait_for = |driver: &mut Driver, word: &str, from: usize, mut press: Box<dyn FnMut(&mut Driver)>| {
        let is_said = || {
            driver.step();
            press(driver);
            firmware().get(from..).is_some_and(|text| text.contains(word)).then_some(())
        };
        until(word, SOON, is_said, firmware);
    };
    let from = firmware().len();
    wait_for(&mut driver, "USB keyboard initialized", from, Box::new(|_| ()));
    driver.run();
    driver.news.clear();
    // Escape opens the menu, in the two seconds that the firmware waits for it. What it has not read yet is not sent again:
    // a machine that is held up reads nothing for long.
    let escape = |driver: &mut Driver| {
        if !driver.pacer.has_waiting() {
            driver.tap(Code::new(1).unwrap());
        }
    };
    wait_for(&mut driver, "Select boot device", from, Box::new(escape));
    driver.run();
    driver.tap(Code::new(2).unwrap());
    driver.run();
    until(
        "the kernel",
        BOOT,
        || {
            driver.step();
            hid.machine.vm.lines_after(mark, "RIG-UP").pop()
        },
        firmware,
    );
}

/// What a client of SPICE alone can notice of a machine that stands still.
#[test]
fn over_spice_a_stopped_machine_acknowledges_motion_as_if_it_ran() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let hid = Hid::boot("sums", &[]);
    let mut monitor = Monitor::connect(&hid.machine.qmp);
    let mut driver = hid.machine.spice();
    monitor.execute("stop");
    let before = driver.stats.moves.get();
    // Without an answer it would be a few.
    let move_on = || {
        driver.move_by(1, 0);
        driver.step();
        let sent = driver.stats.moves.get() - before;
        (sent > 100).then_some(sent)
    };
    let sent = until("a hundred motions", SOON, move_on, || hid.machine.vm.console());
    println!("{sent} motions acknowledged or on their way while the machine stood still; {:?}", driver.news);
    monitor.execute("cont");
}

/// As a user has it: the program with a window, a click, keys and a button that no other way carries, and the worst end.
#[test]
fn a_window_drives_the_usb_device_and_kill_9_unplugs_it() {
    let Some((display, home, picture)) = desktop() else { return };
    let _turn = vm::take_turn();
    let hid = Hid::boot("keys", &[]);
    let vm = &hid.machine.vm;
    let mark = vm.mark();
    let _picture = guest::start("picture", picture.path(), &PICTURE);
    let Some(mut viewer) = start_viewer(home.path(), &display, picture.path(), &hid.own()) else { return };
    hid.wait_for_devices(mark, || ());
    give_to_guest(&display, &hid.machine);
    let mark = vm.mark();
    // Button 9 of X is the second on the side, and the wheel's click goes the whole way as 120 parts.
    xdotool(&display, "mousemove_relative 40 20 click 9 click 4 keydown shift keydown d");
    vm.wait_after(mark, "RIG-KEY 276 0", SOON);
    hid.machine.wait_for_sums(mark, |sums| sums[0] > 0 && sums[4] > 0 && sums[4] % 120 == 0 && sums[9] == 2);
    let mark = vm.mark();
    viewer.signal(Signal::KILL);
    hid.wait_for_unplug(mark);
    hid.machine.wait_for_sums(mark, |sums| sums[9] == 0);
    viewer.end(SOON);
    xdotool(&display, "keyup d keyup shift");
}
