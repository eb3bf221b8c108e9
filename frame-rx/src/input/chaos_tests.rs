//! Random rounds of all that happens between a pressed key and its release, through the input's real thread, router,
//! pacer and sinks, to servers that are played here and keep the truth: what a guest would hold. After each round that is
//! nothing.
//!
//! `RX_HELD_ROUNDS` says how many rounds for each way to the guest (70 if it does not), `RX_HELD_SEED` repeats a run.

use super::address::{Endpoint, InputChoice};
use super::capture::{self, CONNECT_AT_END, Handle, InputSettings};
use super::frame::Motion;
use super::stats::SinkState;
use super::{Code, InputFrame};
use core::time::Duration;
use rsa::pkcs8::EncodePublicKey;
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use rx_host::clock;
use rx_host::signals::Stop;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Longest wait for what takes no time.
const SOON: Duration = Duration::from_secs(30);
/// Keys and buttons that are pressed.
const KEYS: [u16; 9] = [16, 17, 30, 31, 42, 54, 56, 0x110, 0x111];
const CHORD: [u16; 2] = [29, 97];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Qmp,
    UsbHid,
    Spice,
}

/// What a guest would hold, and the connection that can be cut.
#[derive(Debug, Default)]
struct Truth {
    held: BTreeSet<String>,
    client: Option<UnixStream>,
    presses: u64,
}

impl Truth {
    fn set(&mut self, name: String, is_down: bool) {
        if is_down {
            self.presses += u64::from(self.held.insert(name));
        } else {
            self.held.remove(&name);
        }
    }
}

type Shared = Arc<Mutex<Truth>>;

fn serve(way: Way, path: &Path, truth: &Shared) {
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let truth = truth.clone();
    let key = (way == Way::Spice).then(|| RsaPrivateKey::new(&mut OsRng, 1024).unwrap());
    std::thread::spawn(move || {
        let mut main = None;
        while let Ok((client, _)) = listener.accept() {
            let cut = client.try_clone().unwrap();
            // A client that goes in the middle is one of the things that happen.
            let _ = match (way, &key) {
                (Way::Spice, Some(key)) => spice(client, key, &mut main, &truth, cut),
                (Way::Qmp, _) => qmp(client, &truth, cut),
                _ => usb(client, &truth, cut),
            };
        }
    });
}

/// A monitor lifts nothing of a client that goes.
fn qmp(client: UnixStream, truth: &Shared, cut: UnixStream) -> std::io::Result<()> {
    let (mut say, hear) = (client.try_clone()?, BufReader::new(client));
    truth.lock().unwrap().client = Some(cut);
    say.write_all(b"{\"QMP\":{}}\n")?;
    for line in hear.lines() {
        let line = line?;
        let id = if line.contains("query-mice") { "mice" } else { "other" };
        say.write_all(format!("{{\"return\":[{{\"absolute\":false}}],\"id\":\"{id}\"}}\n").as_bytes())?;
        let message: serde_json::Value = serde_json::from_str(&line).unwrap();
        for event in message["arguments"]["events"].as_array().into_iter().flatten() {
            let data = &event["data"];
            if let Some(name) = data["key"]["data"].as_str().or(data["button"].as_str()) {
                truth.lock().unwrap().set(name.to_owned(), data["down"] == true);
            }
        }
    }
    Ok(())
}

fn packet(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    [&kind.to_le_bytes()[..], &size.to_le_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0], body].concat()
}

/// A guest whose device is unplugged when the client goes.
fn usb(mut client: UnixStream, truth: &Shared, cut: UnixStream) -> std::io::Result<()> {
    truth.lock().unwrap().client = Some(cut);
    let served = usb_reports(&mut client, truth);
    truth.lock().unwrap().held.clear();
    served
}

fn usb_reports(client: &mut UnixStream, truth: &Shared) -> std::io::Result<()> {
    let mut hello = [0; 12 + 64 + 4];
    hello[4..8].copy_from_slice(&68_u32.to_le_bytes());
    hello[76] = 0xff;
    client.write_all(&hello)?;
    client.read_exact(&mut hello)?;
    for endpoint in 0x81..=0x84 {
        client.write_all(&packet(15, &[endpoint]))?;
    }
    loop {
        let mut head = [0; 16];
        client.read_exact(&mut head)?;
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut body = vec![0; word(4) as usize];
        client.read_exact(&mut body)?;
        if word(0) != 103 {
            continue;
        }
        let (endpoint, report) = (body[0], &body[4..]);
        let bits = match endpoint {
            0x83 => report,
            0x81 => &report[..2],
            _ => continue,
        };
        let mut truth = truth.lock().unwrap();
        for bit in 0..8 * bits.len() {
            let is_down = bits[bit / 8] >> (bit % 8) & 1 == 1;
            truth.set(format!("{endpoint:x}-{bit}"), is_down);
        }
    }
}

/// spice-server lifts the keys of a client that goes, and leaves its buttons down.
fn spice(
    mut client: UnixStream,
    key: &RsaPrivateKey,
    main: &mut Option<UnixStream>,
    truth: &Shared,
    cut: UnixStream,
) -> std::io::Result<()> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let message = |kind: u16, body: &[u8]| {
        [&kind.to_le_bytes()[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    };
    let mut hello = [0; 42];
    client.read_exact(&mut hello)?;
    let der = RsaPublicKey::from(key).to_public_key_der().unwrap();
    client
        .write_all(&[b"REDQ", &words(&[2, 2, 186, 0])[..], der.as_bytes(), &words(&[1, 1, 178, 0b1011, 0])].concat())?;
    client.read_exact(&mut [0; 132])?;
    client.write_all(&words(&[0]))?;
    if hello[20] == 1 {
        client.write_all(&message(103, &words(&[7, 0, 1, 1, 0, 0, 0, 0])))?;
        client.read_exact(&mut [0; 6])?;
        client.write_all(&message(104, &[2, 0, 0, 0, 1, 0, 3, 0]))?;
        *main = Some(client);
        return Ok(());
    }
    truth.lock().unwrap().client = Some(cut);
    let served = spice_inputs(&mut client, truth, &message);
    truth.lock().unwrap().held.retain(|name| name.starts_with("button"));
    *main = None;
    served
}

fn spice_inputs(
    client: &mut UnixStream,
    truth: &Shared,
    message: &dyn Fn(u16, &[u8]) -> Vec<u8>,
) -> std::io::Result<()> {
    client.write_all(&message(101, &[0, 0]))?;
    let mut motions = 0;
    loop {
        let mut head = [0; 6];
        client.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_le_bytes(head[2..].try_into().unwrap()) as usize];
        client.read_exact(&mut body)?;
        let mask = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        let buttons = match u16::from_le_bytes([head[0], head[1]]) {
            kind @ (101 | 102) => {
                let name =
                    if body[0] == 0xe0 { format!("e0 {}", body[1] & 0x7f) } else { (body[0] & 0x7f).to_string() };
                truth.lock().unwrap().set(name, kind == 101);
                continue;
            }
            111 => mask(8),
            113 | 114 => mask(1),
            _ => continue,
        };
        let mut truth = truth.lock().unwrap();
        (0..16).for_each(|bit| truth.set(format!("button {bit}"), buttons >> bit & 1 == 1));
        drop(truth);
        motions += u32::from(head[0] == 111);
        if head[0] == 111 && motions % 4 == 0 {
            client.write_all(&message(111, &[]))?;
        }
    }
}

/// Numbers from a seed. Source: Marsaglia, "Xorshift RNGs", with the shifts 13, 7, 17.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % n
    }
}

/// The program, as far as input goes.
struct Program {
    handle: Handle,
    stop: Stop,
    thread: JoinHandle<()>,
}

struct Rig {
    choice: InputChoice,
    /// A file beside the socket. When it comes or goes, whoever waits for a way looks for it at once, as when a server is
    /// started: a SPICE server that was left is else not asked for a second and longer.
    hint: PathBuf,
    truth: Shared,
    told: String,
}

impl Rig {
    fn start(&self) -> Program {
        let stop = Stop::new().unwrap();
        let settings = InputSettings { choice: self.choice.clone(), ..InputSettings::default() };
        let (capture, connector, handle) = capture::connect(settings, &stop, Box::new(|| {})).unwrap();
        std::thread::spawn(move || connector.run());
        Program { handle, stop, thread: std::thread::spawn(move || capture.run()) }
    }

    fn wait(&self, what: &str, mut is: impl FnMut() -> bool) {
        let end = clock::now() + SOON;
        while !is() {
            let held = &self.truth.lock().unwrap().held;
            assert!(clock::now() < end, "{}: no {what}; the guest holds {held:?}", self.told);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn ready(&self, program: &Program) {
        self.wait("way to the guest", || {
            let is_ready = program.handle.stats().state() == SinkState::Ready;
            if !is_ready {
                std::fs::write(&self.hint, "").unwrap();
                std::fs::remove_file(&self.hint).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
            is_ready
        });
    }

    /// Whatever the guest held it holds no more, now and a moment later.
    fn neutral(&self) {
        let is_empty = || self.truth.lock().unwrap().held.is_empty();
        self.wait("neutral guest", || {
            is_empty() && {
                std::thread::sleep(Duration::from_millis(3));
                is_empty()
            }
        });
    }

    fn round(&mut self, mut program: Program, dice: &mut Dice) -> Program {
        self.ready(&program);
        program.handle.take();
        let key = |handle: &Handle, number: u16, is_down| {
            handle.frame(InputFrame::edge(clock::now(), Code::new(number).unwrap(), is_down));
        };
        if dice.below(4) > 0 {
            self.wait("input", || program.handle.is_grabbed() || program.handle.stats().state() != SinkState::Ready);
        }
        for _ in 0..1 + dice.below(12) {
            let (handle, number) = (&program.handle, KEYS[dice.below(KEYS.len())]);
            match dice.below(16) {
                0..=8 => key(handle, number, true),
                9 | 10 => key(handle, number, false),
                11 | 12 => {
                    let motion = Motion { dx: i32::try_from(dice.below(99)).unwrap(), dy: -1 };
                    handle.frame(InputFrame::new(clock::now()).with_motion(motion));
                }
                13 => std::thread::sleep(Duration::from_micros(u64::try_from(dice.below(3000)).unwrap())),
                14 => handle.take(),
                _ => {
                    if let Some(client) = &self.truth.lock().unwrap().client {
                        let _ = client.shutdown(std::net::Shutdown::Both);
                    }
                }
            }
        }
        match dice.below(5) {
            0 => KEYS.iter().for_each(|number| key(&program.handle, *number, false)),
            1 => program.handle.give_back(),
            2 => program.handle.focus_lost(),
            3 => CHORD.iter().for_each(|number| key(&program.handle, *number, true)),
            _ => {
                // Without a way to the guest nobody can tell it anything.
                self.ready(&program);
                let begun = clock::now();
                program.stop.request();
                program.thread.join().unwrap();
                // A way that was cut just now is sought once more at the end, but not for longer than this: of a machine
                // that was held up meanwhile it is the next program that releases everything.
                let is_late = clock::now().since(begun) >= CONNECT_AT_END;
                if !is_late {
                    self.neutral();
                }
                program = self.start();
                if is_late {
                    self.ready(&program);
                    self.neutral();
                }
            }
        }
        KEYS.iter().chain(&CHORD).for_each(|number| key(&program.handle, *number, false));
        self.ready(&program);
        self.neutral();
        program.handle.focus_lost();
        self.wait("host with the input", || !program.handle.is_grabbed());
        self.neutral();
        program
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn after_each_of_many_rounds_of_chaos_the_guest_holds_nothing_by_any_way() {
    let rounds = number("RX_HELD_ROUNDS").unwrap_or(70);
    let first = number("RX_HELD_SEED").unwrap_or(1);
    std::thread::scope(|scope| {
        for way in [Way::Qmp, Way::UsbHid, Way::Spice] {
            scope.spawn(move || {
                let (folder, truth) = (tempfile::tempdir().unwrap(), Shared::default());
                let path = folder.path().join("s");
                serve(way, &path, &truth);
                let choice = match way {
                    Way::Qmp => InputChoice::Qmp(path),
                    Way::UsbHid => InputChoice::UsbHid(Endpoint::Unix(path)),
                    Way::Spice => InputChoice::Spice(Endpoint::Unix(path)),
                };
                let mut rig = Rig { choice, hint: folder.path().join("hint"), truth, told: String::new() };
                let (start, mut program) = (clock::now(), rig.start());
                for seed in first..first + rounds {
                    rig.told = format!("{way:?}, RX_HELD_SEED={seed}");
                    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                    program = rig.round(program, &mut dice);
                }
                let (presses, connections) = (rig.truth.lock().unwrap().presses, program.handle.stats().connections.get());
                program.stop.request();
                program.thread.join().unwrap();
                println!(
                    "{way:?}: {rounds} rounds, {presses} presses, {connections} connections of the last program, in {:?}",
                    clock::now().since(start)
                );
                assert!(presses >= rounds / 2, "{way:?}: only {presses} presses in {rounds} rounds");
            });
        }
    });
}
