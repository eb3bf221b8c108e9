//! A mouse of the machine's own, made through uinput, that moves as often as it is told to; and the barest reader of one
//! that there can be, as the yardstick for all others: it waits, reads and looks at the clock.
//!
//! In a machine whose clock counts instructions both tell the same figures each time.

use crate::control::node_of;
use anyhow::Context;
use input_linux::{EvdevHandle, EventKind, InputId, Key, RelativeAxis, UInputHandle};
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags, open};
use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::os::fd::{AsFd, OwnedFd};

/// The priority of whoever has time.
const LAST: i32 = 19;
/// What one report moves by: to the right, and downwards.
pub const STEP: (i32, i32) = (3, -2);
/// Bytes of one event: two times of 64 bits, type, code, value. Source: Linux, `input.h`.
const EVENT: usize = 24;
const EV_SYN: u16 = 0;
const EV_REL: u16 = 2;
/// `CLOCK_MONOTONIC`, as the kernel numbers clocks.
const MONOTONIC: i32 = 1;
/// `BUS_VIRTUAL`.
const BUS_VIRTUAL: u16 = 6;

/// See the module.
#[derive(Debug)]
pub struct Mouse(OwnedFd);

impl Mouse {
    /// Plugs it in.
    pub fn plug(name: &str) -> anyhow::Result<Mouse> {
        let fd = open("/dev/uinput", OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).context("/dev/uinput")?;
        let device = UInputHandle::new(fd);
        for kind in [EventKind::Key, EventKind::Relative] {
            device.set_evbit(kind)?;
        }
        for button in [Key::ButtonLeft, Key::ButtonRight, Key::ButtonMiddle] {
            device.set_keybit(button)?;
        }
        for axis in [RelativeAxis::X, RelativeAxis::Y] {
            device.set_relbit(axis)?;
        }
        let id = InputId { bustype: BUS_VIRTUAL, vendor: 0x1209, product: 2, version: 1 };
        device.create(&id, name.as_bytes(), 0, &[])?;
        Ok(Mouse(device.into_inner()))
    }

    /// Moves `count` times by [`STEP`], `rate` times a second. Like a mouse of hardware it is in nobody's way: this process
    /// runs when no other one wants to, so that whoever reads the mouse does so at once.
    ///
    /// Blocks until that is done.
    pub fn run(&self, rate: u64, count: u64) -> anyhow::Result<()> {
        let report = [(EV_REL, 0, STEP.0), (EV_REL, 1, STEP.1), (EV_SYN, 0, 0)].map(event).concat();
        let usual = rustix::process::getpriority_process(None)?;
        rustix::process::setpriority_process(None, LAST)?;
        let start = now_ns();
        for n in 1..=count {
            let at = start + n * 1_000_000_000 / rate.max(1);
            let until = Timespec { tv_sec: i64::try_from(at / 1_000_000_000)?, tv_nsec: (at % 1_000_000_000) as i64 };
            clock_nanosleep_absolute(SleepClock::Monotonic, &until)?;
            rustix::io::write(&self.0, &report)?;
        }
        rustix::process::setpriority_process(None, usual)?;
        Ok(())
    }
}

/// The bytes of one event. The kernel stamps it.
fn event((kind, code, value): (u16, u16, i32)) -> [u8; EVENT] {
    let mut bytes = [0; EVENT];
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[18..20].copy_from_slice(&code.to_le_bytes());
    bytes[20..].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative on this clock.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Reads `count` reports of the device with this name, each written to a mouse of its own at once, and tells how old they
/// were when they were read, and how long the writing took: half of them at most, 99 % of them at most, all. Unit:
/// microseconds, of which the kernel's stamps have whole ones.
pub fn read_bare(name: &str, count: usize) -> anyhow::Result<String> {
    let device = open(node_of(name)?, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let device = EvdevHandle::new(device);
    device.set_clock_id(MONOTONIC)?;
    let (device, sink) = (device.into_inner(), Mouse::plug("rig sink")?);
    let waits = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&waits, device.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    println!("RIG-BARE reads");
    let nothing = epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(0) };
    let (mut ready, mut bytes) = ([nothing], [0; 64 * EVENT]);
    let (mut delays, mut writes) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while delays.len() < count {
        epoll::wait(&waits, &mut ready[..], None)?;
        let read = rustix::io::read(&device, &mut bytes[..])?;
        let now = now_ns();
        rustix::io::write(&sink.0, &bytes[..read])?;
        writes.push(now_ns() - now);
        let stamp = bytes[..read].first_chunk::<16>().context("less than an event")?;
        let (seconds, micros) = stamp.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
        delays.push(now - number(seconds)? * 1_000_000_000 - number(micros)? * 1000);
    }
    let shares = |times: &mut Vec<u64>| {
        times.sort_unstable();
        [50, 99, 100].map(|share| (times[(times.len() - 1) * share / 100] / 1000).to_string()).join(" ")
    };
    Ok(format!("RIG-BARE read after {} us, written in {} us", shares(&mut delays), shares(&mut writes)))
}
