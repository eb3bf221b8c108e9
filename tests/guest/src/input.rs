//! What arrives at the machine's keyboards and mice, told by lines on the console:
//!
//! `RIG-READY` devices are open · `RIG-DEVICE name` one more is · `RIG-GONE name` one is not any more, and with it all that
//! was held on it · `RIG-KEY code value` a key or button, unless only sums are asked for; with the device's name behind it if
//! that was asked for · `RIG-SUM dx dy wheel hwheel wheel120 hwheel120 abs_x abs_y keys held` whenever it has been quiet for
//! a moment, with all that came so far and how many keys are held · `RIG-DROPPED` the kernel lost events of a device, since
//! this was too slow to read them, and what it holds is not known. Source of the layout: Linux, `input.h`, 64 bits.

use crate::control::Control;
use crate::machine;
use crate::simulate::Clock;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of one event: two times of 64 bits, type, code, value.
const EVENT: usize = 24;
const EV_SYN: u16 = 0;
const SYN_DROPPED: u16 = 3;
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const EV_LED: u16 = 0x11;
/// Sums are told when nothing came for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Between two looks for new devices.
const LOOK: Duration = Duration::from_millis(50);

/// What is told of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// That it came.
    Keys,
    /// And from which device.
    Devices,
    /// Sums only.
    Sums,
    /// Nothing: no device is opened, and none is waited for.
    Nothing,
}

impl Tells {
    /// As the kernel's command line has it.
    pub fn named(name: &str) -> Tells {
        match name {
            "keys" => Tells::Keys,
            "devices" => Tells::Devices,
            "nothing" => Tells::Nothing,
            _ => Tells::Sums,
        }
    }
}

#[derive(Default)]
struct Seen {
    /// dx, dy, wheel, horizontal wheel, the same two in 1/120.
    sums: [i64; 6],
    place: [i32; 2],
    keys: u64,
    /// By device and code.
    held: BTreeSet<(PathBuf, u16)>,
}

impl Seen {
    fn take(&mut self, bytes: &[u8], from: (&PathBuf, &str), tells: Tells) {
        let [.., a, b, c, d, e, f, g, h] = *bytes else { return };
        let (kind, code) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let value = i32::from_le_bytes([e, f, g, h]);
        match kind {
            EV_KEY if value < 2 => {
                self.keys += 1;
                let key = (from.0.clone(), code);
                if value == 1 {
                    self.held.insert(key)
                } else {
                    self.held.remove(&key)
                };
                match tells {
                    Tells::Keys => println!("RIG-KEY {code} {value}"),
                    Tells::Devices => println!("RIG-KEY {code} {value} {}", from.1),
                    Tells::Sums | Tells::Nothing => {}
                }
            }
            EV_REL => {
                let place = match code {
                    0 => 0,
                    1 => 1,
                    8 => 2,
                    6 => 3,
                    11 => 4,
                    12 => 5,
                    _ => return,
                };
                self.sums[place] += i64::from(value);
            }
            EV_SYN if code == SYN_DROPPED => {
                self.held.retain(|(path, _)| path != from.0);
                println!("RIG-DROPPED");
            }
            EV_ABS if code < 2 => self.place[usize::from(code)] = value,
            EV_LED if tells != Tells::Sums => println!("RIG-LED {code} {value}"),
            _ => {}
        }
    }

    fn line(&self) -> String {
        let numbers = self.sums.iter().map(i64::to_string).chain(self.place.iter().map(i32::to_string));
        let numbers = numbers.collect::<Vec<_>>().join(" ");
        format!("RIG-SUM {numbers} {} {}", self.keys, self.held.len())
    }
}

struct Device {
    path: PathBuf,
    name: String,
    file: File,
}

/// Opens devices that were not there before.
fn open_new(devices: &mut Vec<Device>) {
    let Ok(entries) = fs::read_dir("/dev/input") else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let is_event = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("event"));
        if !is_event || devices.iter().any(|d| d.path == path) {
            continue;
        }
        // Opened so that a read never waits.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let Ok(fd) = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = fs::read_to_string(format!("/sys/class/input/{name}/device/name")).unwrap_or_default();
        println!("RIG-DEVICE {}", name.trim());
        devices.push(Device { path, name: name.trim().to_owned(), file: File::from(fd) });
    }
}

/// Tells what arrives, for `length` or for ever.
pub fn report(clock: &Clock, tells: Tells, length: Option<Duration>) -> anyhow::Result<String> {
    machine::load_modules().context("the modules of the kernel")?;
    let start = clock.now();
    let (mut devices, mut seen) = (Vec::new(), Seen::default());
    let mut look = start;
    let (mut is_ready, mut is_told) = (false, true);
    let mut control = Control::open();
    let mut bytes = [0; EVENT * 64];
    while length.is_none_or(|length| clock.now().since(start) < length) {
        if tells != Tells::Nothing && clock.now() >= look {
            open_new(&mut devices);
            look = clock.now() + LOOK;
        }
        control.serve();
        let has_begun = !devices.is_empty() && clock.now().since(start) > Duration::from_secs(1);
        if !is_ready && (has_begun || tells == Tells::Nothing) {
            // Devices come one after the other; whoever waits for one by name waits for its own line.
            println!("RIG-READY");
            is_ready = true;
        }
        let mut polled: Vec<_> =
            devices.iter().map(|d| d.file.as_fd()).chain(control.descriptor()).map(poll_fd).collect();
        let quiet = Timespec { tv_sec: 0, tv_nsec: i64::from(QUIET.subsec_nanos()) };
        if poll(&mut polled, Some(&quiet)).unwrap_or(0) == 0 && !is_told {
            println!("{}", seen.line());
            is_told = true;
        }
        devices.retain_mut(|device| {
            let is_there = read(device, &mut bytes, &mut seen, tells, &mut is_told);
            if !is_there {
                // The kernel lifts the keys of a device that goes, but may say so to nobody.
                seen.held.retain(|(path, _)| *path != device.path);
                is_told = false;
                println!("RIG-GONE {}", device.name);
            }
            is_there
        });
    }
    Ok(seen.line())
}

fn poll_fd(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

/// Takes in what a device has. Whether it is still there.
fn read(device: &mut Device, bytes: &mut [u8], seen: &mut Seen, tells: Tells, is_told: &mut bool) -> bool {
    loop {
        match device.file.read(bytes) {
            Ok(0) => return false,
            Ok(n) => {
                let from = (&device.path, device.name.as_str());
                bytes[..n].chunks_exact(EVENT).for_each(|event| seen.take(event, from, tells));
                *is_told = false;
            }
            Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
