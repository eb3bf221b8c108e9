//! Random rounds of everything that can go wrong between a pressed key and its release, over each way to the guest. After
//! each round the guest must hold nothing.
//!
//! `RX_CHAOS_ROUNDS` says how many rounds (6 if it does not), `RX_CHAOS_SEED` repeats a run: both are printed.
//! `RX_CHAOS_KIND="SpiceUsb StoppedMachine"` has rounds of one kind alone.

use super::usbhid::Hid;
use super::*;

/// Rounds on one machine: its guest ends by itself after five minutes, whatever happens.
const ROUNDS_PER_MACHINE: usize = 100;
/// Longest life of one machine. Unit: see above.
const MACHINE_TIME: Duration = Duration::from_secs(200);
/// What the guest may hold this long after the end of a round is worth counting.
const LATE: Duration = Duration::from_millis(500);

/// Numbers that look random, and are the same for the same seed (a 64-bit linear congruence; Knuth's multiplier).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    OwnSocket,
    SpiceUsb,
    SpiceInputs,
    Qmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Released,
    GivenBack,
    FocusLost,
    Chord,
    ProgramEnds,
    /// And QEMU stands still for a moment: its sockets hold the last that was sent.
    EndsWhileQemuIsLate,
    Killed,
    OtherClient,
    StoppedMachine,
    Unplugged,
}

impl End {
    /// Ends that a round over `way` can have. Nothing lifts the keys of a killed QMP client, nor the buttons of a killed
    /// client of the inputs channel, before the next one comes; and a monitor serves its one client to the end.
    fn of(way: Way) -> &'static [End] {
        use End::*;
        const LATE: End = EndsWhileQemuIsLate;
        match way {
            Way::OwnSocket => {
                &[Released, GivenBack, FocusLost, Chord, ProgramEnds, LATE, Killed, StoppedMachine, Unplugged]
            }
            Way::SpiceUsb => {
                &[Released, GivenBack, FocusLost, Chord, ProgramEnds, LATE, Killed, StoppedMachine, OtherClient]
            }
            Way::SpiceInputs => {
                &[Released, GivenBack, FocusLost, Chord, ProgramEnds, LATE, OtherClient, StoppedMachine]
            }
            Way::Qmp => &[Released, GivenBack, FocusLost, Chord, ProgramEnds, LATE, StoppedMachine],
        }
    }
}

/// A client in this process.
pub(crate) struct Client {
    pub handle: Handle,
    pub stop: Stop,
    pub thread: JoinHandle<()>,
}

impl Client {
    pub fn start(choice: InputChoice) -> Client {
        let stop = Stop::new().unwrap();
        let settings = InputSettings { choice, ..InputSettings::default() };
        let (handle, thread) = start_input(settings, &stop);
        Client { handle, stop, thread }
    }

    pub fn wait(&self, what: &str, is: impl Fn(&Handle) -> bool) {
        until(what, SOON, || is(&self.handle).then_some(()), || format!("{:?}", self.handle));
    }

    pub fn key(&self, number: u16, is_down: bool) {
        self.handle.frame(InputFrame::edge(clock::now(), Code::new(number).unwrap(), is_down));
    }

    pub fn end(self) {
        self.stop.request();
        self.thread.join().unwrap();
    }
}

/// A client of the SPICE server that was thrown out by another one before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loser {
    /// Ours: the other one took the server, and went.
    Ours,
    /// The other one: ours lost the server to it, came back, and threw it out in the middle of its hello.
    Other,
}

pub(crate) struct Chaos {
    pub hid: Hid,
    pub control: Monitor,
    _folder: tempfile::TempDir,
    /// Numbers of the places for the device that there have been.
    places: usize,
}

impl Chaos {
    fn boot() -> Chaos {
        Chaos::boot_for("sums")
    }

    /// As it is booted for tests that look at each key, or at sums only.
    pub fn boot_for(what: &str) -> Chaos {
        let folder = place::folder();
        let path = folder.path().join("control");
        let monitor = format!("-qmp unix:{},server=on,wait=off", path.display());
        let hid = Hid::boot(what, &[&monitor]);
        let control = Monitor::connect(&path);
        Chaos { hid, control, _folder: folder, places: 0 }
    }

    pub fn choice(&self, way: Way) -> InputChoice {
        match way {
            Way::OwnSocket => self.hid.own(),
            Way::SpiceUsb => self.hid.spice(),
            Way::SpiceInputs => InputChoice::Spice(Endpoint::Unix(self.hid.machine.spice.clone())),
            Way::Qmp => InputChoice::Qmp(self.hid.machine.qmp.clone()),
        }
    }

    /// What the guest held when it told it last.
    pub fn held(&self) -> i64 {
        self.hid.sums()[9]
    }

    fn round(&mut self, dice: &mut Dice, way: Way, end: End) -> Duration {
        if end == End::Killed {
            return self.kill_round(way);
        }
        let mark = self.hid.machine.vm.mark();
        let client = Client::start(self.choice(way));
        client.wait("a way to the guest", |h| h.stats().state() == SinkState::Ready);
        client.handle.take();
        client.wait("the input", Handle::is_grabbed);
        // Over SPICE the first keys may go through the inputs channel, until the guest has a driver for the device.
        let is_usb = matches!(way, Way::OwnSocket | Way::SpiceUsb);
        let first = dice.below(2) == 0;
        if is_usb && first {
            self.hid.wait_for_devices(mark, || ());
        }
        let keys: Vec<u16> =
            (0..1 + dice.below(6)).map(|_| dice.one(&[16, 17, 30, 31, 42, 54, 56, 0x111, 0x112])).collect();
        // A button that is released while the machine stands still was seen to stay down until it is pressed anew; it seems
        // that QEMU sends changes of buttons only, and takes note of those that it throws away.
        let is_past_device = way == Way::SpiceInputs || (way == Way::SpiceUsb && !first);
        let are_buttons_lost = is_past_device && end == End::StoppedMachine;
        println!("  {keys:?}, {}", if first { "devices first" } else { "keys first" });
        for key in keys.iter().filter(|key| !are_buttons_lost || **key < 0x100) {
            client.key(*key, true);
            let motion = Motion { dx: dice.below(200) as i32 - 100, dy: 1 };
            client.handle.frame(InputFrame::new(clock::now()).with_motion(motion));
        }
        if dice.below(3) > 0 {
            // Otherwise it ends in the middle of the presses.
            let _ = until_or_late(Duration::from_secs(2), || (self.held() > 0).then_some(()));
        }
        // Linux waits many times five seconds for a device that goes while its drivers begin; so none goes then.
        if is_usb && !first {
            self.hid.wait_for_devices(mark, || ());
        }
        let (mark, start) = (self.hid.machine.vm.mark(), clock::now());
        match end {
            End::Released => keys.iter().for_each(|key| client.key(*key, false)),
            End::GivenBack => client.handle.give_back(),
            End::FocusLost => client.handle.focus_lost(),
            End::Chord => [29, 97].into_iter().for_each(|key| client.key(key, true)),
            End::OtherClient => println!("lost the server in the end: {:?}", self.take_spice_away(&client)),
            End::StoppedMachine => {
                self.control.execute("stop");
                client.handle.focus_lost();
                std::thread::park_timeout(Duration::from_millis(20));
                self.control.execute("cont");
            }
            End::Unplugged => self.replug(),
            End::EndsWhileQemuIsLate => {
                self.hid.machine.vm.freeze();
                client.stop.request();
                std::thread::park_timeout(Duration::from_millis(300));
                self.hid.machine.vm.thaw();
            }
            End::ProgramEnds | End::Killed => {}
        }
        if matches!(end, End::ProgramEnds | End::EndsWhileQemuIsLate) {
            client.end();
            let took = self.wait_for_neutral(start, way, end);
            // What a late QEMU has just read, the guest tells in a moment.
            std::thread::park_timeout(Duration::from_millis(250));
            self.wait_for_neutral(start, way, end);
            return took;
        }
        let took = self.wait_for_neutral(start, way, end);
        if end == End::Unplugged || (end == End::OtherClient && is_usb) {
            // It comes back by itself.
            self.hid.wait_for_devices(mark, || ());
        }
        client.end();
        took
    }

    fn kill_round(&mut self, way: Way) -> Duration {
        let mut client = self.hid.start_client(&self.choice(way));
        let start = clock::now();
        client.signal(Signal::KILL);
        self.wait_for_neutral(start, way, End::Killed)
    }

    /// A SPICE server has one client: the next one ends the one before, who comes back when that has gone. Or sooner, to
    /// release what it held: then it throws the other one out, which may still be saying hello.
    fn take_spice_away(&self, client: &Client) -> Loser {
        let choice = self.choice(Way::SpiceInputs);
        let settings = InputSettings { choice, ..InputSettings::default() };
        let stats = client.handle.stats();
        let (losses, connections) = (stats.losses.get(), stats.connections.get());
        let other = capture::open(&settings, &Patience::new(SOON, &Stop::new().unwrap()));
        // Whoever wins, the other one took the server first.
        client.wait("the loss of the server", |h| h.stats().losses.get() > losses);
        match other {
            Ok(_) => Loser::Ours,
            Err(error) => {
                // By nobody but ours, which has the server now.
                assert!(matches!(error, SinkError::Closed | SinkError::Refused(_) | SinkError::Io(_)), "{error}");
                client.wait("the server again", |h| h.stats().connections.get() > connections);
                Loser::Other
            }
        }
    }

    /// Takes the device's place away from the machine, and gives it another at the same address.
    fn replug(&mut self) {
        self.hid.remove_place(&mut self.control, self.places);
        self.places += 1;
        self.hid.add_place(&mut self.control, self.places);
    }

    fn wait_for_neutral(&self, start: shm_proto::HostTime, way: Way, end: End) -> Duration {
        let is_neutral = || (self.held() == 0).then_some(());
        until(&format!("a guest that holds nothing ({way:?}, {end:?})"), SOON, is_neutral, || {
            self.hid.machine.vm.console()
        });
        clock::now().since(start)
    }
}

/// QEMU's servers forget what they have not read of a client that goes.
#[test]
fn a_program_that_ends_while_qemu_is_late_leaves_nothing_down() {
    if !vm::input_possible() {
        return;
    }
    let _turn = vm::take_turn();
    let mut chaos = Chaos::boot();
    for way in [Way::OwnSocket, Way::SpiceUsb, Way::SpiceInputs, Way::Qmp] {
        for seed in 0..3 {
            let took = chaos.round(&mut Dice(seed), way, End::EndsWhileQemuIsLate);
            println!("{way:?}: neutral {took:?} after the end");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn after_whatever_happens_the_guest_holds_nothing() {
    if !vm::input_possible() {
        return;
    }
    let rounds = usize::try_from(number("RX_CHAOS_ROUNDS").unwrap_or(6)).unwrap();
    let seed = number("RX_CHAOS_SEED").unwrap_or_else(|| clock::now().as_ns());
    println!("{rounds} rounds, RX_CHAOS_SEED={seed}");
    let (mut dice, mut done, mut late, mut longest) = (Dice(seed), 0, 0, Duration::ZERO);
    let mut tally = std::collections::BTreeMap::<String, u32>::new();
    // Each way as often as any other.
    let ways = [Way::OwnSocket, Way::SpiceUsb, Way::SpiceInputs, Way::Qmp];
    let only = std::env::var("RX_CHAOS_KIND").ok();
    while done < rounds {
        let _turn = vm::take_turn();
        let mut chaos = Chaos::boot();
        let end = clock::now() + MACHINE_TIME;
        for _ in 0..ROUNDS_PER_MACHINE.min(rounds - done) {
            if clock::now() > end {
                break;
            }
            let kind = loop {
                let way = dice.one(&ways);
                let kind = (way, dice.one(End::of(way)));
                if only.as_ref().is_none_or(|only| *only == format!("{:?} {:?}", kind.0, kind.1)) {
                    break kind;
                }
            };
            let (way, end) = kind;
            println!("round {}: {way:?}, {end:?}", done + 1);
            let took = chaos.round(&mut dice, way, end);
            done += 1;
            late += u32::from(took > LATE);
            longest = longest.max(took);
            *tally.entry(format!("{way:?} {end:?}")).or_default() += 1;
        }
        // What came late would be seen now.
        std::thread::park_timeout(Duration::from_secs(1));
        assert_eq!(chaos.held(), 0, "seed {seed}");
        println!("{done} rounds, nothing held; {late} took longer than {LATE:?}, the longest {longest:?}");
    }
    println!("{tally:?}");
}
