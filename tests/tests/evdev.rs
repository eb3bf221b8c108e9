//! Keyboards and mice of a host, in a machine that has some: QEMU's USB devices are the hardware, a Linux kernel reads
//! them, and `frame-rx` itself runs in that machine as it would on a desk. What it lets through, keeps and makes is told
//! by the machine's first process, which reads every device too.

use rx_tests::luggage::Luggage;
use rx_tests::monitor::Monitor;
use rx_tests::process::{SOON, until};
use rx_tests::vm::{self, BOOT, Vm};
use rx_tests::{place, programs};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "evdev/bed.rs"]
mod bed;

#[path = "evdev/chords.rs"]
mod chords;

#[path = "evdev/input_linux.rs"]
mod input_linux;

#[path = "evdev/mixes.rs"]
mod mixes;

#[path = "evdev/screen.rs"]
mod screen;

#[path = "evdev/system.rs"]
mod system;

const KEYBOARD: &str = "QEMU QEMU USB Keyboard";
const MOUSE: &str = "QEMU QEMU USB Mouse";
const VIRTUAL_KEYBOARD: &str = "frame-rx virtual keyboard";
const VIRTUAL_MOUSE: &str = "frame-rx virtual mouse";
/// How the tests begin: hardware keyboards and mice of USB; a chord of one key, so that it is seldom in the way.
const PROXY: &str = "/bin/frame-rx input-proxy --evdev name=USB --release-chord scrolllock --input-stats";

/// A desk: a machine with a keyboard and a mouse, whose keys this test presses.
struct Desk {
    vm: Vm,
    monitor: Monitor,
    control: UnixStream,
}

impl Desk {
    /// Nothing, after the skip was printed, where there can be none.
    fn boot() -> Option<(vm::Turn, Desk)> {
        Desk::boot_with(&[], "devices", Luggage::new)
    }

    /// As [`Desk::boot`], with more words for QEMU and what else the machine is to have.
    fn boot_with(words: &[&str], what: &str, luggage: impl FnOnce() -> Luggage) -> Option<(vm::Turn, Desk)> {
        Desk::boot_in(vm::take_turn, words, what, luggage)
    }

    fn boot_in(
        take_turn: fn() -> vm::Turn,
        words: &[&str],
        what: &str,
        luggage: impl FnOnce() -> Luggage,
    ) -> Option<(vm::Turn, Desk)> {
        if !vm::input_possible() {
            return None;
        }
        let program = programs::release("frame-rx");
        let turn = take_turn();
        let folder = place::folder();
        let (qmp, port) = (folder.path().join("qmp"), folder.path().join("port"));
        let arguments = [
            format!("-qmp unix:{},server=on,wait=off", qmp.display()),
            format!("-chardev socket,id=port,path={},server=on,wait=off -serial chardev:port", port.display()),
            "-m 640 -device qemu-xhci,id=xhci -device usb-kbd,bus=xhci.0,id=kbd -device usb-mouse,bus=xhci.0,id=mouse"
                .to_owned(),
        ];
        // For figures in virtual time: RX_QEMU='-icount shift=3,sleep=off'.
        let more = std::env::var("RX_QEMU").unwrap_or_default();
        let more = words.iter().flat_map(|a| a.split(' ')).chain(more.split_whitespace());
        let arguments: Vec<String> =
            arguments.iter().flat_map(|a| a.split(' ')).chain(more).map(str::to_owned).collect();
        let vm = Vm::boot_with(folder, &arguments, what, &luggage().program("bin/frame-rx", &program));
        for name in [KEYBOARD, MOUSE] {
            vm.wait(&format!("RIG-DEVICE {name}"), BOOT);
        }
        vm.wait("RIG-READY", BOOT);
        let control = UnixStream::connect(&port).expect("the second serial port");
        Some((turn, Desk { vm, monitor: Monitor::connect(&qmp), control }))
    }

    fn ask(&mut self, line: &str) {
        writeln!(self.control, "{line}").expect("the second serial port");
    }

    /// Runs `frame-rx` with these words, as `id`.
    fn run(&mut self, id: &str, line: &str) {
        self.ask(&format!("run {id} {line}"));
    }

    /// Starts the proxy and waits for its devices.
    fn start_proxy(&mut self, more: &str) {
        let mark = self.vm.mark();
        self.run("proxy", &format!("{PROXY} {more}"));
        for name in [VIRTUAL_KEYBOARD, VIRTUAL_MOUSE] {
            self.vm.wait_after(mark, &format!("RIG-DEVICE {name}"), SOON);
        }
        self.vm.wait_after(mark, &format!("reads {KEYBOARD}"), SOON);
        self.vm.wait_after(mark, &format!("reads {MOUSE}"), SOON);
        // This machine's first process sees a device before its maker has told of it.
        for what in ["keyboard", "mouse"] {
            self.vm.wait_after(mark, &format!("virtual {what} at "), SOON);
        }
    }

    fn key(&mut self, qcode: &str, is_down: bool) {
        let key = format!("{{\"type\":\"qcode\",\"data\":\"{qcode}\"}}");
        self.monitor.event(&format!("{{\"type\":\"key\",\"data\":{{\"down\":{is_down},\"key\":{key}}}}}"));
    }

    fn tap(&mut self, qcode: &str) {
        self.key(qcode, true);
        self.key(qcode, false);
    }

    fn move_by(&mut self, dx: i32, dy: i32) {
        for (axis, value) in [("x", dx), ("y", dy)] {
            self.monitor.event(&format!("{{\"type\":\"rel\",\"data\":{{\"axis\":\"{axis}\",\"value\":{value}}}}}"));
        }
    }

    /// Taps a key of number `code` until `device` tells its release.
    fn tap_until_from(&mut self, qcode: &str, code: u16, device: &str) {
        let mark = self.vm.mark();
        let line = format!("RIG-KEY {code} 0 {device}");
        let (end, mut next) = (Instant::now() + SOON, Instant::now());
        loop {
            if Instant::now() >= next {
                self.tap(qcode);
                next += Duration::from_millis(200);
            }
            if !self.vm.lines_after(mark, &line).is_empty() {
                return;
            }
            assert!(Instant::now() < end && self.vm.mark() < mark + 2000, "no {line}\n{}", self.vm.console());
            std::thread::yield_now();
        }
    }

    /// The release chord, whole.
    fn chord(&mut self) {
        self.tap("scroll_lock");
    }

    /// Gives the guest the input, whatever has it now.
    fn give_to_guest(&mut self) {
        self.chord();
        self.tap_until_from("b", 48, VIRTUAL_KEYBOARD);
    }

    /// From which devices the press of the key with this number came since `mark`.
    fn pressed_by(&self, mark: usize, code: u16) -> Vec<String> {
        let line = format!("RIG-KEY {code} 1 ");
        let lines = self.vm.lines_after(mark, &line);
        lines.iter().filter_map(|l| l.split_once(&line)).map(|(_, name)| name.to_owned()).collect()
    }

    /// Waits for sums for which `is` holds.
    fn wait_for_sums(&self, mark: usize, is: impl Fn(&[i64]) -> bool) -> Vec<i64> {
        let look = || {
            let last = self.vm.lines_after(mark, "RIG-SUM").pop()?;
            let sums: Vec<i64> = last.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
            is(&sums).then_some(sums)
        };
        until("the sums", SOON, look, || self.vm.console())
    }

    fn unplug(&mut self, id: &str, name: &str) {
        let mark = self.vm.mark();
        self.monitor.execute("device_del", &format!("{{\"id\":\"{id}\"}}"));
        self.vm.wait_after(mark, &format!("RIG-GONE {name}"), SOON);
    }

    fn plug(&mut self, id: &str, driver: &str, name: &str) {
        let mark = self.vm.mark();
        self.monitor.execute("device_add", &format!("{{\"driver\":\"{driver}\",\"bus\":\"xhci.0\",\"id\":\"{id}\"}}"));
        self.vm.wait_after(mark, &format!("RIG-DEVICE {name}"), SOON);
    }
}

/// The whole life of a proxy on a desk.
#[test]
fn a_proxy_keeps_its_devices_and_holds_nothing_whatever_is_unplugged_or_killed() {
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    desk.start_proxy("");
    // The host has the input: only the real keyboard tells, and nothing reaches the virtual one.
    let mark = desk.vm.mark();
    desk.tap("a");
    desk.vm.wait_after(mark, &format!("RIG-KEY 30 0 {KEYBOARD}"), SOON);
    assert_eq!(desk.pressed_by(mark, 30), [KEYBOARD]);
    // The guest has it: only the virtual one tells.
    desk.give_to_guest();
    let mark = desk.vm.mark();
    desk.tap("c");
    desk.vm.wait_after(mark, &format!("RIG-KEY 46 0 {VIRTUAL_KEYBOARD}"), SOON);
    assert_eq!(desk.pressed_by(mark, 46), [VIRTUAL_KEYBOARD]);
    assert_eq!(desk.pressed_by(0, 70), [KEYBOARD], "the chord is for nobody but the host that pressed it");
    // A second one finds the devices taken, and takes nothing.
    let mark = desk.vm.mark();
    desk.run("second", "/bin/frame-rx input-proxy --evdev name=USB --take-at-start");
    desk.vm.wait_after(mark, "is grabbed by another program", SOON);
    desk.ask("signal second 15");
    desk.vm.wait_after(mark, "RIG-ENDED second exit status: 0", SOON);
    // Motion arrives whole, wheels detent by detent.
    let mark = desk.vm.mark();
    let before = desk.wait_for_sums(0, |sums| sums[9] == 0);
    for _ in 0..200 {
        desk.move_by(3, -2);
    }
    for button in ["wheel-up", "wheel-up", "wheel-up"] {
        for is_down in [true, false] {
            let data = format!("{{\"down\":{is_down},\"button\":\"{button}\"}}");
            desk.monitor.event(&format!("{{\"type\":\"btn\",\"data\":{data}}}"));
        }
    }
    let wanted = [600, -400, 3];
    desk.wait_for_sums(mark, |sums| (0..3).all(|n| sums[n] - before[n] == wanted[n]) && sums[9] == 0);
    lamps_of_the_guest(&mut desk);
    stopped_while_held(&mut desk);
    unplugged_while_held(&mut desk);
    killed_while_held(&mut desk);
}

impl Desk {
    /// Switches the virtual keyboard's Caps Lock lamp, as a virtual machine that has it does.
    fn light(&mut self, is_lit: bool) {
        let mark = self.vm.mark();
        self.ask(&format!("led {VIRTUAL_KEYBOARD} 1 {}", i32::from(is_lit)));
        self.vm.wait_after(mark, &format!("RIG-SWITCHED {VIRTUAL_KEYBOARD}"), SOON);
    }

    /// Waits until the Caps Lock lamp of the real keyboard is so.
    fn wait_for_lamp(&mut self, is_lit: bool) {
        let wanted = if is_lit { "1" } else { "0" };
        let look = || {
            let mark = self.vm.mark();
            writeln!(self.control, "leds").expect("the second serial port");
            let line = self.vm.wait_after(mark, &format!("RIG-LED {KEYBOARD} "), SOON);
            let lines = self.vm.lines_after(mark, &format!("RIG-LED {KEYBOARD} "));
            let caps = lines.iter().chain([&line]).find(|l| l.contains("::capslock"))?;
            caps.ends_with(wanted).then_some(())
        };
        until(&format!("the lamp to be {wanted}"), SOON, look, || self.vm.console());
    }
}

/// A virtual machine that lights the virtual keyboard's lamp lights the real one; the host has its own lamps back after.
fn lamps_of_the_guest(desk: &mut Desk) {
    desk.wait_for_lamp(false);
    desk.light(true);
    desk.wait_for_lamp(true);
    desk.chord();
    desk.wait_for_lamp(false);
    desk.give_to_guest();
    // The chord's key switched the lamps of this machine's own console, and so those of every keyboard.
    desk.light(true);
    desk.wait_for_lamp(true);
    desk.light(false);
    desk.wait_for_lamp(false);
}

/// A program that stood still for longer than the kernel keeps events asks for the state: what is up is released.
fn stopped_while_held(desk: &mut Desk) {
    let mark = desk.vm.mark();
    desk.key("j", true);
    desk.vm.wait_after(mark, &format!("RIG-KEY 36 1 {VIRTUAL_KEYBOARD}"), SOON);
    desk.ask("signal proxy 19");
    // The kernel keeps 64 events; a tap is four, with the ends of their reports. QEMU's keyboard is not hurried.
    for _ in 0..40 {
        for is_down in [true, false] {
            desk.key("k", is_down);
            std::thread::sleep(PACE);
        }
    }
    desk.key("j", false);
    std::thread::sleep(PACE);
    desk.ask("signal proxy 18");
    let mut next = Instant::now();
    let is_released = || {
        // QEMU's keyboard may have dropped it behind so much else; of a key that is up it tells nothing.
        if next.elapsed() > Duration::from_secs(1) {
            desk.key("j", false);
            next = Instant::now();
        }
        desk.vm.lines_after(mark, &format!("RIG-KEY 36 0 {VIRTUAL_KEYBOARD}")).pop()
    };
    until("the release", SOON, is_released, String::new);
    desk.tap_until_from("e", 18, VIRTUAL_KEYBOARD);
    desk.wait_for_sums(mark, |sums| sums[9] == 0);
    // None of the lost taps was made up, and the proxy lives: its watchdog knows that it was stopped.
    let seen = desk.pressed_by(mark, 37).len();
    assert!(seen < 40, "nothing was lost: {seen} of 40");
    assert!(desk.vm.lines_after(mark, "RIG-ENDED").is_empty(), "{}", desk.vm.console());
}

/// What an unplugged keyboard held is released, and it is ours again when it comes back.
fn unplugged_while_held(desk: &mut Desk) {
    let mark = desk.vm.mark();
    desk.key("d", true);
    desk.vm.wait_after(mark, &format!("RIG-KEY 32 1 {VIRTUAL_KEYBOARD}"), SOON);
    desk.unplug("kbd", KEYBOARD);
    desk.vm.wait_after(mark, &format!("RIG-KEY 32 0 {VIRTUAL_KEYBOARD}"), SOON);
    let replugged = desk.vm.mark();
    desk.plug("kbd", "usb-kbd", KEYBOARD);
    let start = Instant::now();
    desk.vm.wait_after(replugged, &format!("reads {KEYBOARD}"), SOON);
    let opened = start.elapsed();
    desk.tap_until_from("e", 18, VIRTUAL_KEYBOARD);
    println!("replug: read {opened:?}, first key through {:?} after the node was there", start.elapsed());
    assert!(desk.vm.lines_after(mark, &format!("RIG-GONE {VIRTUAL_KEYBOARD}")).is_empty());
}

/// The kernel lifts what a killed proxy held and gives the devices back.
fn killed_while_held(desk: &mut Desk) {
    let mark = desk.vm.mark();
    desk.key("f", true);
    desk.vm.wait_after(mark, &format!("RIG-KEY 33 1 {VIRTUAL_KEYBOARD}"), SOON);
    desk.ask("signal proxy 9");
    desk.vm.wait_after(mark, "RIG-ENDED proxy", SOON);
    desk.vm.wait_after(mark, &format!("RIG-GONE {VIRTUAL_KEYBOARD}"), SOON);
    desk.key("f", false);
    desk.tap_until_from("g", 34, KEYBOARD);
    desk.wait_for_sums(mark, |sums| sums[9] == 0);
    // And in good order: everything is released before it ends.
    desk.start_proxy("");
    desk.give_to_guest();
    let mark = desk.vm.mark();
    desk.key("h", true);
    desk.vm.wait_after(mark, &format!("RIG-KEY 35 1 {VIRTUAL_KEYBOARD}"), SOON);
    desk.ask("signal proxy 15");
    desk.vm.wait_after(mark, &format!("RIG-KEY 35 0 {VIRTUAL_KEYBOARD}"), SOON);
    let console = |line: &str| desk.vm.wait_after(mark, line, SOON);
    console("RIG-ENDED proxy exit status: 0");
    let told = [console("input devices"), console("input delay"), console("input lost")];
    println!("{}", told.join("\n"));
    desk.key("h", false);
    desk.tap_until_from("g", 34, KEYBOARD);
}

/// What is listed, and what is said of a device that is used: never which key.
#[test]
fn devices_are_listed_and_the_one_in_use_is_named_without_its_keys() {
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    let mark = desk.vm.mark();
    desk.run("list", "/bin/frame-rx devices --evdev auto");
    desk.vm.wait_after(mark, "RIG-ENDED list exit status: 0", SOON);
    for line in [
        "keyboard       0627:0001 QEMU QEMU USB Keyboard /dev/input/event",
        "mouse          0627:0001 QEMU QEMU USB Mouse",
    ] {
        assert_eq!(desk.vm.lines_after(mark, line).len(), 1, "{line}\n{}", desk.vm.console());
    }
    let mark = desk.vm.mark();
    desk.run("rules", "/bin/frame-rx devices --udev-rules --evdev class=mouse,name=USB");
    desk.vm.wait_after(mark, "RIG-ENDED rules exit status: 0", SOON);
    let rule = "ATTRS{id/vendor}==\"0627\", ATTRS{id/product}==\"0001\", ENV{ID_INPUT_MOUSE}==\"1\", \
                ENV{ID_INPUT_KEYBOARD}!=\"1\", TAG+=\"uaccess\"";
    assert_eq!(desk.vm.lines_after(mark, rule).len(), 1, "{}", desk.vm.console());
    let mark = desk.vm.mark();
    desk.run("live", "/bin/frame-rx devices --live --evdev name=USB");
    desk.vm.wait_after(mark, "watches 2 of 2 devices", SOON);
    for (is_key, told) in [(true, KEYBOARD), (false, MOUSE), (true, KEYBOARD)] {
        let mark = desk.vm.mark();
        if is_key {
            desk.tap("q")
        } else {
            desk.move_by(1, 1)
        }
        desk.vm.wait_after(mark, &format!("{told} ("), SOON);
    }
    desk.ask("signal live 15");
    desk.vm.wait_after(mark, "RIG-ENDED live exit status: 0", SOON);
    let told = desk.vm.lines_after(mark, "QEMU QEMU USB");
    let of_program = told.iter().filter(|line| !line.starts_with("RIG-"));
    assert!(of_program.clone().count() >= 3 && of_program.clone().all(|line| !line.contains("16")), "{told:?}");
}

/// Nobody is locked out who does not know the chord yet; whoever used it once is left alone.
#[test]
fn until_the_chord_was_used_once_the_host_gets_its_devices_back_by_itself() {
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    desk.start_proxy("--take-at-start");
    desk.tap_until_from("b", 48, VIRTUAL_KEYBOARD);
    desk.key("c", true);
    desk.vm.wait(&format!("RIG-KEY 46 1 {VIRTUAL_KEYBOARD}"), SOON);
    desk.vm.wait(&format!("RIG-KEY 46 0 {VIRTUAL_KEYBOARD}"), SOON);
    desk.key("c", false);
    desk.vm.wait("the host has its devices back; until scrolllock was used once, after 10s each time", SOON);
    desk.tap_until_from("a", 30, KEYBOARD);
    // Taken and released by the chord: from now on it is known.
    desk.give_to_guest();
    desk.chord();
    desk.tap_until_from("a", 30, KEYBOARD);
    desk.ask("signal proxy 15");
    desk.vm.wait("RIG-ENDED proxy exit status: 0", SOON);
    desk.start_proxy("--take-at-start");
    desk.tap_until_from("b", 48, VIRTUAL_KEYBOARD);
    let mark = desk.vm.mark();
    let taken = Instant::now();
    until(
        "eleven seconds with the guest",
        SOON,
        || {
            desk.tap("d");
            std::thread::sleep(PACE * 10);
            (taken.elapsed() > Duration::from_secs(11)).then_some(())
        },
        String::new,
    );
    let by = desk.pressed_by(mark, 32);
    assert!(!by.is_empty() && by.iter().all(|name| name == VIRTUAL_KEYBOARD), "{by:?}");
}

/// What udev does a moment after a device has come, here long after: the program has said so by then, and goes on by
/// itself.
#[test]
fn a_device_that_is_not_allowed_yet_is_told_and_read_as_soon_as_it_is() {
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    let mark = desk.vm.mark();
    desk.ask("run-as 1000 input /bin/frame-rx input --evdev class=keyboard,name=USB --input qmp:/tmp/none");
    let told = desk.vm.wait_after(mark, &format!("{KEYBOARD} (keyboard, /dev/input/event"), SOON);
    assert!(told.contains("cannot be read: Permission denied") && told.contains("frame-rx doctor"), "{told}");
    desk.ask(&format!("mode 666 {KEYBOARD}"));
    desk.vm.wait_after(mark, &format!("RIG-MODE {KEYBOARD}"), SOON);
    let start = Instant::now();
    desk.vm.wait_after(mark, &format!("reads {KEYBOARD}"), SOON);
    println!("read {:?} after it was allowed", start.elapsed());
    desk.ask("signal input 15");
    desk.vm.wait_after(mark, "RIG-ENDED input exit status: 0", SOON);
    given_by_the_opener(&mut desk);
}

/// A user who may open nothing gets what the administrator's list gives, and nothing else.
fn given_by_the_opener(desk: &mut Desk) {
    let mark = desk.vm.mark();
    desk.ask(&format!("mode 600 {KEYBOARD}"));
    desk.ask("write /run/frame-rx/list 1000 always class=keyboard,name=USB");
    desk.vm.wait_after(mark, "RIG-WROTE", SOON);
    desk.run(
        "opener",
        "/bin/frame-rx opener --list /run/frame-rx/list --group 1000 --listen /run/frame-rx/opener.sock",
    );
    let input = "/bin/frame-rx input --evdev name=USB --input qmp:/tmp/none";
    desk.ask(&format!("run-as 1000 input {input}"));
    desk.vm.wait_after(mark, &format!("reads {KEYBOARD}"), SOON);
    let told = desk.vm.wait_after(mark, &format!("{MOUSE} (mouse, /dev/input/event"), SOON);
    assert!(told.contains("Permission denied") && told.contains("list does not give you this device"), "{told}");
    desk.vm.wait_after(mark, &format!("user 1000 gets {KEYBOARD}"), SOON);
    for id in ["input", "opener"] {
        desk.ask(&format!("signal {id} 15"));
        desk.vm.wait_after(mark, &format!("RIG-ENDED {id} exit status: 0"), SOON);
    }
}

/// Numbers from a seed, so that a round can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        // Source: Marsaglia, "Xorshift RNGs", with the shifts 13, 7, 17.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// How far apart keys are: QEMU's keyboard gives one of its 16 events every 8 to 10 ms and drops what does not fit.
const PACE: Duration = Duration::from_millis(15);

impl Desk {
    /// One thing that can happen to a desk. Whether the proxy is still there afterwards, and the keyboard.
    fn happen(&mut self, chance: &mut Chance, keys: &[&str]) {
        let n = usize::try_from(chance.below(keys.len() as u64)).unwrap();
        match chance.below(12) {
            0..=5 => self.key(keys[n], chance.below(2) == 0),
            6 | 7 => self.chord(),
            8 => self.move_by(5, 5),
            9 => {
                let (id, driver, name) =
                    if n % 2 == 0 { ("kbd", "usb-kbd", KEYBOARD) } else { ("mouse", "usb-mouse", MOUSE) };
                self.unplug(id, name);
                self.plug(id, driver, name);
            }
            10 | 11 => {
                let mark = self.vm.mark();
                self.ask(if n % 2 == 0 { "signal proxy 9" } else { "signal proxy 15" });
                self.vm.wait_after(mark, "RIG-ENDED proxy", SOON);
                self.start_proxy("");
            }
            _ => unreachable!(),
        }
        std::thread::sleep(PACE);
    }
}

/// Short in `make test`; `make soak` sets `RX_ROUNDS`. A round that fails is repeated by its seed: `RX_SEED`.
#[test]
fn after_any_chaos_of_chords_plugs_and_kills_no_key_hangs() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    desk.start_proxy("");
    let first = number("RX_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let keys = ["a", "b", "shift", "ctrl", "d", "spc"];
    for round in 0..number("RX_ROUNDS").unwrap_or(5) {
        let seed = first + round;
        println!("round with RX_SEED={seed}");
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            desk.happen(&mut chance, &keys);
        }
        // Twice, since QEMU's own keyboard may have dropped a release; a key that is up is not told again.
        for key in keys.iter().chain(&keys) {
            desk.key(key, false);
            std::thread::sleep(PACE);
        }
        let neutral = || {
            let lines = desk.vm.lines_after(0, "RIG-");
            let last = lines.iter().rfind(|l| l.contains("RIG-KEY") || l.contains("RIG-SUM"))?;
            (last.contains("RIG-SUM") && last.ends_with(" 0")).then_some(())
        };
        until(&format!("no key to hang (RX_SEED={seed})"), SOON, neutral, || desk.vm.console());
    }
}
