//! The proxy's devices read by those whom they are made for: a real QEMU with `input-linux`, in the machine beside the
//! proxy. It traces each key and button that it takes for its own guest.

use super::*;
use rx_tests::process::until_or_late;
use rx_tests::require;

/// Where QEMU looks for its modules, by where it lies itself; an accelerator is one of them in some distributions.
const PLACE: &str = "/usr/bin/qemu";
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/qemu/";
const ACCELERATORS: [&str; 2] = ["accel-tcg-x86_64.so", "accel-tcg-i386.so"];
/// What is held when the proxy ends.
const HELD: [&str; 2] = ["h", "shift"];
/// For so long QEMU stands still when the proxy ends, which waits for 300 ms. Without that wait the devices are gone by now: seen
/// with 260, and not with 200.
const LATE: Duration = Duration::from_millis(260);
/// How much longer that may have been.
const TOO_LATE: Duration = Duration::from_millis(30);

fn luggage() -> Luggage {
    let qemu = require::find("qemu-system-x86_64").expect("QEMU");
    let modules = ACCELERATORS.map(|name| format!("{MODULES}{name}"));
    let there = modules.iter().filter(|path| Path::new(path).exists());
    there.fold(Luggage::new().program(PLACE, &qemu), |luggage, path| luggage.program(path, Path::new(path)))
}

impl Desk {
    /// The node of the proxy's newest `what`.
    fn node(&self, what: &str) -> String {
        let lines = self.vm.lines_after(0, &format!("virtual {what} at "));
        let node = lines.last().and_then(|line| line.split(" at ").nth(1)).expect("the proxy tells its nodes");
        node.trim().to_owned()
    }

    /// QEMU reads the proxy's devices from now on, and the proxy's guest has the input.
    fn start_qemu(&mut self) {
        let (keyboard, mouse) = (self.node("keyboard"), self.node("mouse"));
        let objects = format!(
            "-object input-linux,id=k,evdev={keyboard},grab_all=on,repeat=off -object input-linux,id=m,evdev={mouse}"
        );
        let traces = "-trace enable=input_event_key_qcode -trace enable=input_event_btn";
        let mark = self.vm.mark();
        self.run("qemu", &format!("{PLACE} -machine none -display none -nodefaults {objects} {traces}"));
        self.chord();
        let hears = || {
            self.tap("b");
            std::thread::sleep(PACE * 10);
            self.vm.lines_after(mark, "qcode b, down 0").pop()
        };
        let heard = until_or_late(BOOT, hears);
        assert!(heard.is_some(), "QEMU hears no key\n{}", self.vm.console());
    }

    fn hold_for_qemu(&mut self, mark: usize) {
        for qcode in HELD {
            self.key(qcode, true);
            self.vm.wait_after(mark, &format!("qcode {qcode}, down 1"), SOON);
        }
        let right = |is_down| format!("{{\"type\":\"btn\",\"data\":{{\"down\":{is_down},\"button\":\"right\"}}}}");
        self.monitor.event(&right(true));
        self.vm.wait_after(mark, "button right, down 1", SOON);
    }
}

#[test]
fn qemu_hears_the_releases_of_a_proxy_that_ends_even_if_it_reads_late() {
    if !require::programs(&["qemu-system-x86_64"]) {
        return;
    }
    let Some((_turn, mut desk)) = Desk::boot_with(&["-m 1024"], "devices", luggage) else { return };
    for late in [Duration::ZERO, LATE] {
        desk.start_proxy("");
        desk.start_qemu();
        let mark = desk.vm.mark();
        desk.hold_for_qemu(mark);
        if !late.is_zero() {
            desk.ask("signal qemu 19");
        }
        desk.ask("signal proxy 15");
        let begun = Instant::now();
        if !late.is_zero() {
            std::thread::sleep(late);
            desk.ask("signal qemu 18");
        }
        if begun.elapsed() > late + TOO_LATE {
            println!("not looked at: this machine was too busy to let QEMU go on in time ({:?})", begun.elapsed());
        } else {
            for qcode in HELD {
                desk.vm.wait_after(mark, &format!("qcode {qcode}, down 0"), SOON);
            }
            desk.vm.wait_after(mark, "button right, down 0", SOON);
        }
        desk.vm.wait_after(mark, "RIG-ENDED proxy exit status: 0", SOON);
        desk.ask("signal qemu 15");
        desk.vm.wait_after(mark, "RIG-ENDED qemu", SOON);
        HELD.iter().for_each(|qcode| desk.key(qcode, false));
        desk.monitor.event("{\"type\":\"btn\",\"data\":{\"down\":false,\"button\":\"right\"}}");
    }
}
