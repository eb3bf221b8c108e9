//! A desk that drives another machine: devices read in one virtual machine, `frame-rx` in it, and by each way to a guest a
//! second machine that tells what arrives. Between the two is QEMU's user network, and a relay, since `frame-rx` talks to
//! servers of its own machine only.

use super::*;
use rx_tests::require;
use std::net::TcpListener;

/// What the second machine calls its own keyboard.
const OWN_KEYBOARD: &str = "AT Translated Set 2 keyboard";

/// A machine with a SPICE server and a place for a USB device.
struct Other {
    vm: Vm,
    spice: u16,
    usb: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

impl Other {
    fn boot() -> Other {
        let (spice, usb) = (free_port(), free_port());
        let words = [
            &format!("-spice addr=127.0.0.1,port={spice},disable-ticketing=on -device qemu-xhci,id=xhci"),
            &format!("-chardev socket,id=own,host=127.0.0.1,port={usb},server=on,wait=off"),
            "-device usb-redir,chardev=own,bus=xhci.0",
        ];
        let words: Vec<String> = words.iter().flat_map(|a| a.split(' ')).map(str::to_owned).collect();
        let vm = Vm::boot_for_input(place::folder(), &words, "devices");
        vm.wait(&format!("RIG-DEVICE {OWN_KEYBOARD}"), BOOT);
        vm.wait("RIG-READY", BOOT);
        Other { vm, spice, usb }
    }

    /// Waits until it holds nothing.
    fn wait_for_neutral(&self, mark: usize) {
        let look = || self.vm.lines_after(mark, "RIG-SUM").pop().filter(|line| line.ends_with(" 0"));
        until("no key to be held", SOON, look, || self.vm.console());
    }
}

/// Keys of the desk arrive, the chord and the worst end leave nothing down, and then the desk has its keys again.
fn drive(desk: &mut Desk, other: &Other, way: &str) {
    let begin = |desk: &mut Desk| {
        let mark = desk.vm.mark();
        desk.run("input", &format!("/bin/frame-rx input --evdev name=USB --release-chord scrolllock --input {way}"));
        desk.vm.wait_after(mark, "input: connected to", SOON);
        desk.vm.wait_after(mark, &format!("reads {KEYBOARD}"), SOON);
        let mark = other.vm.mark();
        desk.chord();
        let arrives = || {
            desk.tap("b");
            std::thread::sleep(PACE * 4);
            other.vm.lines_after(mark, "RIG-KEY 48 0").pop()
        };
        until(&format!("a key by {way}"), BOOT, arrives, || other.vm.console());
        other.wait_for_neutral(mark);
    };
    begin(desk);
    let (here, there) = (desk.vm.mark(), other.vm.mark());
    desk.key("c", true);
    other.vm.wait_after(there, "RIG-KEY 46 1", SOON);
    desk.chord();
    other.vm.wait_after(there, "RIG-KEY 46 0", SOON);
    desk.key("c", false);
    desk.tap_until_from("e", 18, KEYBOARD);
    assert!(desk.pressed_by(here, 46).is_empty(), "the desk heard a key of the guest");
    assert!(other.vm.lines_after(there, "RIG-KEY 18").is_empty(), "the guest heard a key of the desk");
    desk.ask("signal input 15");
    desk.vm.wait_after(here, "RIG-ENDED input exit status: 0", SOON);
    begin(desk);
    let (here, there) = (desk.vm.mark(), other.vm.mark());
    desk.key("d", true);
    other.vm.wait_after(there, "RIG-KEY 32 1", SOON);
    desk.ask("signal input 9");
    let start = Instant::now();
    other.wait_for_neutral(there);
    println!("{way}: the other machine tells that it holds nothing {:?} after kill -9", start.elapsed());
    desk.vm.wait_after(here, "RIG-ENDED input", SOON);
    desk.key("d", false);
    desk.tap_until_from("g", 34, KEYBOARD);
}

#[test]
fn devices_of_a_desk_drive_a_guest_over_spice_and_as_a_usb_device() {
    if !require::programs(&["ip"]) {
        return;
    }
    let network = ["-netdev user,id=net -device e1000,netdev=net"];
    let ip = || Luggage::new().program("bin/ip", &require::find("ip").expect("ip"));
    let Some((_turn, mut desk)) = Desk::boot_with(&network, "devices", ip) else { return };
    let other = Other::boot();
    for (id, line) in [("up", "link set eth0 up"), ("address", "addr add 10.0.2.15/24 dev eth0")] {
        desk.run(id, &format!("/bin/ip {line}"));
        desk.vm.wait(&format!("RIG-ENDED {id} exit status: 0"), SOON);
    }
    desk.ask("write /run/relays/note sockets of the other machine");
    desk.vm.wait("RIG-WROTE", SOON);
    for (way, port) in [("spice", other.spice), ("usbhid", other.usb)] {
        let socket = format!("/run/relays/{way}");
        desk.run(way, &format!("/init relay {socket} {port}"));
        desk.vm.wait(&format!("RIG-RELAY {socket}"), SOON);
        drive(&mut desk, &other, &format!("{way}:{socket}"));
    }
}
