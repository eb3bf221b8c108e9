//! Who may read a device, as a whole system decides it: systemd is the machine's first process, its udev has our rules,
//! and the opener is started by its socket.

use super::*;
use rx_tests::require;
use std::path::PathBuf;

const SYSTEMD: &str = "/lib/systemd/systemd";
const UNITS: &str = "/lib/systemd/system/";
/// Units of the distribution that the machine needs.
const OF_SYSTEM: [&str; 8] = [
    "sysinit.target",
    "basic.target",
    "sockets.target",
    "shutdown.target",
    "umount.target",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
];
/// What the rig itself is to systemd.
const RIG: &str = "[Unit]\nDefaultDependencies=no\nWants=systemd-udevd.service frame-rx-opener.socket\n\
                   After=systemd-udevd.service frame-rx-opener.socket\n\
                   [Service]\nExecStart=/init machine\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\n";
/// Two users, of whom the first may ask the opener.
const PEOPLE: &str = "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\ninput:x:104:\nframe-rx:x:1000:\nbob:x:1001:\ntty:x:5:\n";

/// What the machine has besides `frame-rx`.
fn luggage() -> Luggage {
    let of_us = |name: &str| {
        let path = programs::workspace().join("packaging").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let udev = require::find("udevadm").expect("udevadm");
    // The unit names the place where a package puts the program.
    let service = of_us("systemd/system/frame-rx-opener@.service").replace("/usr/bin/frame-rx", "/bin/frame-rx");
    let rules = "/lib/udev/rules.d/";
    let luggage = Luggage::new()
        .program(SYSTEMD, Path::new(SYSTEMD))
        .program("/lib/systemd/systemd-udevd", &udev)
        .program("/bin/udevadm", &udev)
        .text("/etc/passwd", PEOPLE)
        .text("/etc/group", GROUPS)
        .text("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .text("/etc/frame-rx/devices.conf", "alice always class=keyboard,name=USB\n")
        .text("/etc/systemd/system/default.target", "[Unit]\nRequires=rig.service\n")
        .text("/etc/systemd/system/rig.service", RIG)
        .text("/etc/systemd/system/frame-rx-opener.socket", &of_us("systemd/system/frame-rx-opener.socket"))
        .text("/etc/systemd/system/frame-rx-opener@.service", &service)
        .text("/lib/udev/rules.d/71-frame-rx-input.rules", &of_us("udev/71-frame-rx-input.rules"));
    let names =
        ["50-udev-default.rules", "60-input-id.rules", "73-seat-late.rules"].map(|name| format!("{rules}{name}"));
    let units = OF_SYSTEM.map(|name| format!("{UNITS}{name}"));
    units.iter().chain(&names).filter(|place| Path::new(place).exists()).fold(luggage, |l, place| l.copy(place))
}

/// Nothing, after the skip was printed, where there is no systemd to put into a machine.
fn boot() -> Option<(vm::Turn, Desk)> {
    if !require::programs(&["udevadm"]) {
        return None;
    }
    if !PathBuf::from(SYSTEMD).exists() && !require::skip("there is no systemd here") {
        return None;
    }
    // The opener's answer counts as none after half a second.
    Desk::boot_in(vm::take_all_turns, &[], &format!("devices rdinit={SYSTEMD} systemd.show_status=no"), luggage)
}

impl Desk {
    /// What `frame-rx`, run by this user, says of keyboard and mouse when it tries to read them.
    fn said(&mut self, user: u32) -> [String; 2] {
        let mark = self.vm.mark();
        self.ask(&format!("run-as {user} input /bin/frame-rx input --evdev name=USB --input qmp:/tmp/none"));
        let said = [KEYBOARD, MOUSE].map(|device| {
            let look = || {
                let lines = self.vm.lines_after(mark, device);
                // The opener is asked again, and what it says then is told, too.
                let is_word = |line: &String| line.contains("reads ") || line.contains("cannot be read");
                lines.into_iter().find(|line| is_word(line) && !line.contains("did not answer in time"))
            };
            until(&format!("a word about {device}"), SOON, look, || self.vm.console())
        });
        self.ask("signal input 15");
        self.vm.wait_after(mark, "RIG-ENDED input exit status: 0", SOON);
        said
    }
}

#[test]
fn udev_and_the_opener_give_the_devices_that_were_chosen_and_no_others() {
    let Some((_turn, mut desk)) = boot() else { return };
    // By the opener, which systemd starts for each who asks: the keyboard of the list, to whom it names.
    let [keyboard, mouse] = desk.said(1000);
    assert!(keyboard.contains("reads "), "{keyboard}");
    assert!(mouse.contains("list does not give you this device"), "{mouse}");
    for said in desk.said(1001) {
        assert!(said.ends_with("cannot be read: Permission denied (os error 13) (see: frame-rx doctor)"), "{said}");
    }
    // By udev, with the rule that the program itself writes, for whoever sits at the machine: logind's file says who.
    let mark = desk.vm.mark();
    desk.run("rules", "/bin/frame-rx devices --udev-rules --evdev class=mouse,name=USB");
    let rule = desk.vm.wait_after(mark, "SUBSYSTEM==", SOON);
    desk.vm.wait_after(mark, "RIG-ENDED rules exit status: 0", SOON);
    desk.ask(&format!("write /run/udev/rules.d/71-frame-rx-devices.rules {rule}"));
    desk.ask("write /run/systemd/seats/seat0 ACTIVE_UID=1001");
    desk.vm.wait_after(mark, "RIG-WROTE /run/systemd/seats/seat0", SOON);
    for (id, words) in [("reload", "control --reload"), ("trigger", "trigger -s input -c change"), ("settle", "settle")]
    {
        desk.run(id, &format!("/bin/udevadm {words}"));
        desk.vm.wait_after(mark, &format!("RIG-ENDED {id} exit status: 0"), SOON);
    }
    let [keyboard, mouse] = desk.said(1001);
    assert!(mouse.contains("reads "), "{mouse}");
    assert!(keyboard.contains("cannot be read: Permission denied"), "one with the same numbers was given: {keyboard}");
    // The virtual devices have their names.
    let mark = desk.vm.mark();
    desk.run("proxy", "/bin/frame-rx input-proxy --evdev class=mouse,name=USB");
    let link = "/dev/input/by-id/frame-rx-keyboard";
    desk.vm.wait_after(mark, &format!("RIG-DEVICE {VIRTUAL_KEYBOARD}"), SOON);
    desk.run("settle", "/bin/udevadm settle");
    desk.vm.wait_after(mark, "RIG-ENDED settle exit status: 0", SOON);
    desk.run("query", &format!("/bin/udevadm info --query=property {link}"));
    desk.vm.wait_after(mark, "RIG-ENDED query exit status: 0", SOON);
    assert_eq!(desk.vm.lines_after(mark, &format!("DEVLINKS={link}")).len(), 1, "{}", desk.vm.console());
}
