//! A program that ends, or is killed, while the machine stands still with keys down: QEMU throws away what is sent then,
//! and what a SPICE server lifts by itself. When it goes on the guest is told by the program if that is there still, and
//! else by the next one.

use super::chaos::{Chaos, Client, Way};
use super::*;

/// Two letters, a modifier and a button.
const KEYS: [u16; 4] = [30, 103, 42, 0x111];

/// A stop that a program which ends waits for, to be sure: it waits for a second.
const WAITED_FOR: Duration = Duration::from_millis(700);

/// A stop that outlasts the releases which are repeated soon.
const TWO_ROUNDS: Duration = Duration::from_millis(800);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InGoodOrder,
    Killed,
}

impl Chaos {
    fn start_ready(&self, way: Way) -> Client {
        let client = Client::start(self.choice(way));
        client.wait("a way to the guest", |h| h.stats().state() == SinkState::Ready);
        client
    }

    /// A client that holds `keys` while the machine runs.
    fn start_holding(&self, way: Way, keys: &[u16]) -> Client {
        let client = self.start_ready(way);
        client.handle.take();
        client.wait("the input", Handle::is_grabbed);
        keys.iter().for_each(|key| client.key(*key, true));
        // A busy machine's PS/2 devices drop a press now and then, of the first key and of a button.
        self.hid.machine.wait_for_sums(0, |sums| sums[9] >= keys.len() as i64 - 2);
        client
    }

    fn wait_until_nothing_is_held(&self, what: &str) {
        let start = clock::now();
        let is_neutral = || (self.held() == 0).then_some(());
        until(what, SOON, is_neutral, || self.hid.machine.vm.console());
        println!("{what}: nothing held {:?} after", clock::now().since(start));
    }

    /// Whether the guest has a part of the USB device.
    fn has_device(&self, mark: usize) -> bool {
        !self.hid.machine.vm.lines_after(mark, "RIG-DEVICE frame-rx").is_empty()
    }

    fn check_releases_alone(&self, mark: usize) {
        let lines = self.hid.machine.vm.lines_after(mark, "RIG-KEY");
        assert!(lines.iter().all(|line| !line.ends_with(" 1")), "releases alone, and nothing that is felt");
    }

    fn gone_while_stopped(&mut self, way: Way, end: End) {
        // A button that is released over SPICE meanwhile is lost until it is clicked: QEMU sends changes only.
        let keys = if (way, end) == (Way::SpiceInputs, End::InGoodOrder) { &KEYS[..3] } else { &KEYS[..] };
        match end {
            End::InGoodOrder => {
                let client = self.start_holding(way, keys);
                self.control.execute("stop");
                client.end();
            }
            End::Killed => {
                let mut client = self.hid.start_client(&self.choice(way));
                self.control.execute("stop");
                client.signal(Signal::KILL);
                client.end(SOON);
            }
        }
        let mark = self.hid.machine.vm.mark();
        self.control.execute("cont");
        // Whatever comes by itself has come then.
        let _ = until_or_late(Duration::from_millis(500), || (self.held() == 0).then_some(()));
        println!("{way:?}, {end:?}: {} held when the machine goes on", self.held());
        let next = self.start_ready(way);
        self.wait_until_nothing_is_held(&format!("{way:?}, {end:?}, the next client"));
        next.end();
        self.check_releases_alone(mark);
    }
}

#[test]
fn a_program_that_is_killed_has_an_heir_who_releases_what_it_held() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let chaos = Chaos::boot_for("keys");
    let program = programs::release("frame-rx");
    for way in [Way::Qmp, Way::SpiceInputs, Way::Qmp] {
        let mut client = chaos.hid.start_client_with(&chaos.choice(way), Some(&program));
        let (mark, held) = (chaos.hid.machine.vm.mark(), chaos.held());
        client.signal(Signal::KILL);
        chaos.wait_until_nothing_is_held(&format!("{way:?}, {held} held, the heir"));
        client.end(SOON);
        chaos.check_releases_alone(mark);
    }
}

/// The device comes to a guest that holds a key of the inputs channel, whose release the stopped machine threw away.
#[test]
fn what_was_pressed_before_there_was_a_device_is_released_where_it_was_pressed() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let mut chaos = Chaos::boot_for("keys");
    for _ in 0..3 {
        let client = chaos.start_ready(Way::SpiceUsb);
        let mark = chaos.hid.machine.vm.mark();
        client.handle.take();
        client.wait("the input", Handle::is_grabbed);
        KEYS[..2].iter().for_each(|key| client.key(*key, true));
        let is_down = || (chaos.held() > 0).then_some(());
        let is_early = until_or_late(SOON, is_down).is_some() && !chaos.has_device(mark);
        chaos.control.execute("stop");
        KEYS[..2].iter().for_each(|key| client.key(*key, false));
        std::thread::park_timeout(TWO_ROUNDS);
        chaos.control.execute("cont");
        println!("held before the device was there: {is_early}; {} held when the machine goes on", chaos.held());
        chaos.wait_until_nothing_is_held("keys that went past the device");
        chaos.hid.wait_for_devices(mark, || ());
        client.end();
    }
}

/// A SPICE server keeps the first message that a stopped machine did not take, when its client has gone, and gives it to the
/// machine as soon as the next client comes: as the begin of a new stream, in which QEMU expects no such packet.
#[test]
fn what_a_gone_client_said_to_a_stopped_machine_does_no_harm_to_the_next_one() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let mut chaos = Chaos::boot_for("keys");
    for releases in [true, false, true] {
        let mark = chaos.hid.machine.vm.mark();
        let client = chaos.start_ready(Way::SpiceUsb);
        client.handle.take();
        client.wait("the input", Handle::is_grabbed);
        chaos.hid.wait_for_devices(mark, || ());
        KEYS.iter().for_each(|key| client.key(*key, true));
        chaos.hid.machine.wait_for_sums(mark, |sums| sums[9] == KEYS.len() as i64);
        chaos.control.execute("stop");
        if releases {
            KEYS.iter().for_each(|key| client.key(*key, false));
            std::thread::park_timeout(Duration::from_millis(50));
        }
        client.end();
        chaos.control.execute("cont");
        chaos.wait_until_nothing_is_held("a USB device that was unplugged from a stopped machine");
        let mark = chaos.hid.machine.vm.mark();
        let next = chaos.start_ready(Way::SpiceUsb);
        chaos.hid.wait_for_devices(mark, || ());
        next.end();
        chaos.hid.wait_for_unplug(mark);
    }
}

#[test]
fn what_is_held_by_a_program_that_is_gone_while_the_machine_stands_still_is_released_by_the_next() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let mut chaos = Chaos::boot_for("keys");
    for way in [Way::Qmp, Way::SpiceInputs] {
        for end in [End::Killed, End::InGoodOrder] {
            chaos.gone_while_stopped(way, end);
        }
    }
    // A short stop is waited for.
    let client = chaos.start_holding(Way::Qmp, &KEYS);
    chaos.control.execute("stop");
    let asked = clock::now();
    client.stop.request();
    std::thread::park_timeout(Duration::from_millis(200));
    chaos.control.execute("cont");
    let waited = clock::now().since(asked);
    client.thread.join().unwrap();
    if waited > WAITED_FOR {
        return println!("not looked at: this machine was too busy to let the other go on within {waited:?}");
    }
    chaos.wait_until_nothing_is_held("a program that waited for the machine");
}
