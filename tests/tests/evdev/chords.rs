//! Each kind of release chord, pressed on real keyboards and mice: it gives the guest the input and takes it back, with a
//! key held in the middle, and what completes it reaches nobody.

use super::*;

/// A key by QEMU's name, or a button, and Linux's number of either.
#[derive(Clone, Copy)]
enum Press {
    Key(&'static str, u16),
    Button(&'static str, u16),
}

use Press::{Button, Key};

/// A chord, what is pressed for it one after the other, and for how long at least.
struct Case {
    chord: &'static str,
    presses: &'static [Press],
    hold: Duration,
}

const fn case(chord: &'static str, presses: &'static [Press], hold_ms: u64) -> Case {
    Case { chord, presses, hold: Duration::from_millis(hold_ms) }
}

const CASES: [Case; 4] = [
    case("leftctrl+rightctrl", &[Key("ctrl", 29), Key("ctrl_r", 97)], 0),
    case("lalt+lshift+f12", &[Key("shift", 42), Key("alt", 56), Key("f12", 88)], 0),
    case("mouse-left+mouse-right", &[Button("right", 273), Button("left", 272)], 0),
    case("rightctrl@", &[Key("ctrl_r", 97)], 500),
];

impl Desk {
    fn press(&mut self, what: Press, is_down: bool) {
        match what {
            Key(name, _) => self.key(name, is_down),
            Button(name, _) => {
                let data = format!("{{\"down\":{is_down},\"button\":\"{name}\"}}");
                self.monitor.event(&format!("{{\"type\":\"btn\",\"data\":{data}}}"));
            }
        }
        std::thread::sleep(PACE);
    }

    fn hold(&mut self, case: &Case) {
        case.presses.iter().for_each(|what| self.press(*what, true));
        // The machine's time may be slower than this one's.
        std::thread::sleep(case.hold * 4);
    }

    fn let_go(&mut self, case: &Case) {
        case.presses.iter().rev().for_each(|what| self.press(*what, false));
    }

    fn check_chord(&mut self, case: &Case) {
        let id = format!("chord{}", case.chord.len());
        let mark = self.vm.mark();
        self.run(&id, &format!("/bin/frame-rx input-proxy --evdev name=USB --release-chord {}", case.chord));
        for device in [KEYBOARD, MOUSE] {
            self.vm.wait_after(mark, &format!("reads {device}"), SOON);
        }
        self.vm.wait_after(mark, &format!("RIG-DEVICE {VIRTUAL_MOUSE}"), SOON);
        // To the guest.
        self.hold(case);
        self.let_go(case);
        self.tap_until_from("b", 48, VIRTUAL_KEYBOARD);
        // And back. A key that is down with it is released, but a chord that is held wants its key alone.
        let is_alone = !case.hold.is_zero();
        let mark = self.vm.mark();
        if !is_alone {
            self.key("c", true);
            self.vm.wait_after(mark, &format!("RIG-KEY 46 1 {VIRTUAL_KEYBOARD}"), SOON);
        }
        self.hold(case);
        let first = match case.presses[0] {
            Key(_, number) => format!("RIG-KEY {number} 0 {VIRTUAL_KEYBOARD}"),
            Button(_, number) => format!("RIG-KEY {number} 0 {VIRTUAL_MOUSE}"),
        };
        if is_alone || case.presses.len() > 1 {
            // What may be a key of its own was the guest's until the chord was whole.
            self.vm.wait_after(mark, &first, SOON);
        }
        if !is_alone {
            self.vm.wait_after(mark, &format!("RIG-KEY 46 0 {VIRTUAL_KEYBOARD}"), SOON);
            self.key("c", false);
        }
        self.let_go(case);
        self.tap_until_from("g", 34, KEYBOARD);
        self.wait_for_sums(mark, |sums| sums[9] == 0);
        let (Key(_, last) | Button(_, last)) = case.presses[case.presses.len() - 1];
        if !is_alone {
            assert!(self.pressed_by(mark, last).is_empty(), "{}: its last key is somebody's", case.chord);
        }
        self.ask(&format!("signal {id} 15"));
        self.vm.wait_after(mark, &format!("RIG-ENDED {id} exit status: 0"), SOON);
        self.vm.wait_after(mark, &format!("RIG-GONE {VIRTUAL_MOUSE}"), SOON);
    }
}

#[test]
fn every_kind_of_release_chord_gives_the_input_and_takes_it_back() {
    let Some((_turn, mut desk)) = Desk::boot() else { return };
    for case in &CASES {
        let start = Instant::now();
        desk.check_chord(case);
        println!("{}: to the guest and back in {:?}", case.chord, start.elapsed());
    }
}
