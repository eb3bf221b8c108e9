//! A desk that drives another machine: devices read in one virtual machine, `frame-rx` in it, and by each way to a guest a
//! second machine that tells what arrives: without a picture, with one and no window, and with a window whose server hangs.
//! Between the two is QEMU's user network, and a relay, since `frame-rx` talks to servers of its own machine only.

use super::*;
use rx_tests::require;
use std::collections::BTreeSet;
use std::net::TcpListener;

/// What the second machine calls its own keyboard.
const OWN_KEYBOARD: &str = "AT Translated Set 2 keyboard";

/// A machine with a SPICE server and a place for a USB device.
struct Other {
    vm: Vm,
    spice: u16,
    usb: u16,
}

/// Two ports that nobody has.
fn free_ports() -> [u16; 2] {
    // Both are taken until both numbers are known, or they may be the same.
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("its number").port())
}

impl Other {
    fn boot() -> Other {
        let [spice, usb] = free_ports();
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

/// The picture that is shown meanwhile, in the desk's own memory.
const PICTURE: &str = "/run/relays/picture";
/// Different pictures that are to be seen while a key of the desk is down in the other machine.
const PICTURES: usize = 5;
/// A number of a display that nothing else on the console has.
const DISPLAY: &str = ":7777";

/// Keys of the desk arrive, the chord and the worst end leave nothing down, and then the desk has its keys again.
/// `program` is what gives them to the other machine, with its first words; `meanwhile` is called with a key down, and
/// `then` before it ends in good order.
fn drive(desk: &mut Desk, other: &Other, (program, way): (&str, &str), meanwhile: fn(&mut Desk), then: fn(&mut Desk)) {
    let begin = |desk: &mut Desk| {
        let mark = desk.vm.mark();
        desk.run("input", &format!("{program} --evdev name=USB --release-chord scrolllock --input {way}"));
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
    meanwhile(desk);
    desk.chord();
    other.vm.wait_after(there, "RIG-KEY 46 0", SOON);
    desk.key("c", false);
    desk.tap_until_from("e", 18, KEYBOARD);
    assert!(desk.pressed_by(here, 46).is_empty(), "the desk heard a key of the guest");
    assert!(other.vm.lines_after(there, "RIG-KEY 18").is_empty(), "the guest heard a key of the desk");
    then(desk);
    desk.ask("signal input 15");
    desk.vm.wait_after(here, "RIG-ENDED input exit status: 0", SOON);
    begin(desk);
    let (here, there) = (desk.vm.mark(), other.vm.mark());
    desk.key("d", true);
    other.vm.wait_after(there, "RIG-KEY 32 1", SOON);
    desk.ask("signal input 9");
    let start = Instant::now();
    other.wait_for_neutral(there);
    println!("{program} {way}: the other machine tells that it holds nothing {:?} after kill -9", start.elapsed());
    desk.vm.wait_after(here, "RIG-ENDED input", SOON);
    desk.key("d", false);
    desk.tap_until_from("g", 34, KEYBOARD);
}

#[test]
fn devices_of_a_desk_drive_a_guest_over_spice_and_as_a_usb_device() {
    let network = ["-netdev user,id=net -device e1000,netdev=net", screen::MEMORY];
    if !require::programs(&["ip"]) {
        return;
    }
    let ip = Luggage::new().program("bin/ip", &require::find("ip").expect("ip"));
    let with_screen = screen::add_to(ip.clone());
    let has_screen = with_screen.is_some();
    let Some((_turn, mut desk)) = Desk::boot_with(&network, "devices", || with_screen.unwrap_or(ip)) else { return };
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
    }
    let (spice, usbhid) = ("spice:/run/relays/spice", "usbhid:/run/relays/usbhid");
    let nothing = |_: &mut Desk| ();
    drive(&mut desk, &other, ("/bin/frame-rx input", spice), nothing, nothing);
    if !has_screen {
        return drive(&mut desk, &other, ("/bin/frame-rx input", usbhid), nothing, nothing);
    }
    desk.run("picture", &format!("/init picture {PICTURE} --mode 160x120@10 --cursor none"));
    desk.vm.wait("READY", SOON);
    let headless = format!("/bin/frame-rx --headless -f {PICTURE} --hashes /dev/ttyS0");
    drive(&mut desk, &other, (&headless, usbhid), wait_for_pictures, nothing);
    desk.ask("write /tmp/note a place for the lock of an X server");
    desk.run(
        "xvfb",
        &format!("/usr/bin/Xvfb {DISPLAY} -screen 0 320x240x24 -nolisten tcp -extension GLX -displayfd 1"),
    );
    desk.vm.wait(&DISPLAY[1..], SOON);
    let window = format!("/bin/env DISPLAY={DISPLAY} /bin/frame-rx -f {PICTURE} --no-remember -v --stats /dev/ttyS0");
    let mark = desk.vm.mark();
    drive(&mut desk, &other, (&window, spice), stop_the_window, go_on);
    let shown = desk.vm.lines_after(mark, "\"frames_shown\":").pop().expect("the figures of the window");
    println!("the window: {}", shown.trim());
}

/// The picture goes on while the guest has the keys.
fn wait_for_pictures(desk: &mut Desk) {
    let mark = desk.vm.mark();
    let enough = || {
        let lines = desk.vm.lines_after(mark, " 160x120 ");
        let hashes: BTreeSet<&str> = lines.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        (hashes.len() >= PICTURES).then_some(())
    };
    until("pictures", BOOT, enough, || desk.vm.console());
}

/// The window is there, and its thread hangs from now on: its server does not answer.
fn stop_the_window(desk: &mut Desk) {
    desk.vm.wait("llvmpipe", BOOT);
    desk.ask("signal xvfb 19");
}

fn go_on(desk: &mut Desk) {
    desk.ask("signal xvfb 18");
}
