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
/// How much longer or shorter that may have been, by the machine's own clock.
const TOO_LATE: Duration = Duration::from_millis(30);
/// A machine that is held up in the moment that is left is late where nobody sees it: of so many rounds one must be whole.
const ROUNDS: usize = 3;

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

impl Desk {
    /// When the machine sent the signal of this number, by its own clock.
    fn signalled(&self, mark: usize, id: &str, number: u32) -> Duration {
        let line = self.vm.wait_after(mark, &format!("RIG-SIGNAL {id} {number} "), SOON);
        Duration::from_millis(line.rsplit(' ').next().and_then(|ms| ms.parse().ok()).expect("a time"))
    }

    /// Keys and a button are held, and the proxy ends while QEMU stands still for so long. The releases that QEMU does not
    /// hear; nothing if it stood still for another while than that.
    fn end_proxy(&mut self, late: Duration) -> Option<Vec<String>> {
        self.start_proxy("");
        self.start_qemu();
        let mark = self.vm.mark();
        self.hold_for_qemu(mark);
        if !late.is_zero() {
            self.ask("signal qemu 19");
        }
        self.ask("signal proxy 15");
        let mut stood = late;
        if !late.is_zero() {
            std::thread::sleep(late);
            self.ask("signal qemu 18");
            stood = self.signalled(mark, "qemu", 18) - self.signalled(mark, "proxy", 15);
        }
        self.vm.wait_after(mark, "RIG-ENDED proxy exit status: 0", SOON);
        // The devices are gone: what QEMU has not read by now it never will.
        self.ask("signal qemu 15");
        self.vm.wait_after(mark, "RIG-ENDED qemu", SOON);
        HELD.iter().for_each(|qcode| self.key(qcode, false));
        self.monitor.event("{\"type\":\"btn\",\"data\":{\"down\":false,\"button\":\"right\"}}");
        let releases = HELD.iter().map(|qcode| format!("qcode {qcode}, down 0"));
        let releases = releases.chain(["button right, down 0".to_owned()]);
        let missing = releases.filter(|line| self.vm.lines_after(mark, line).is_empty()).collect();
        println!("QEMU stood still for {stood:?} of {late:?}, and missed {missing:?}");
        (stood.abs_diff(late) <= TOO_LATE).then_some(missing)
    }
}

#[test]
fn qemu_hears_the_releases_of_a_proxy_that_ends_even_if_it_reads_late() {
    if !require::programs(&["qemu-system-x86_64"]) {
        return;
    }
    let Some((_turn, mut desk)) = Desk::boot_with(&["-m 1024"], "devices", luggage) else { return };
    for late in [Duration::ZERO, LATE] {
        let rounds = (0..ROUNDS).map(|_| desk.end_proxy(late));
        // Nothing of a machine that was late each time is known.
        let mut looked = rounds.flatten().peekable();
        let is_known = looked.peek().is_some();
        assert!(!is_known || looked.any(|missing| missing.is_empty()), "{late:?}: it missed releases each time");
    }
}
