//! A virtual keyboard and a virtual mouse on the host, for virtual machines that take their input from an evdev device
//! (QEMU's `input-linux`, `virtio-input-host`). They stay while the program runs, whatever is plugged in and out, so
//! QEMU never loses its device; and they are the guest's alone, since what is for the host never reaches them.
//!
//! QEMU makes one click of a report however many detents it tells, so each detent is a report of its own. There is no
//! automatic repeat: the guest makes its own.

use super::evdev::event::{
    EV_KEY, EV_LED, EV_REL, EVENT_BYTES, Event, LED_CAPSL, LED_NUML, LED_SCROLLL, REL_HWHEEL, REL_HWHEEL_HI_RES,
    REL_WHEEL, REL_WHEEL_HI_RES, REL_X, REL_Y, REPORT, events,
};
use super::evdev::facts::OURS;
use super::sink::{Caps, DESCRIPTORS, Leds, Move, News, Sent, Sink, SinkError, Step};
use super::{Code, Edge};
use core::time::Duration;
use input_linux::{EventKind, InputId, Key, LedKind, RelativeAxis, UInputHandle};
use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::io::Errno;
use rx_host::clock;
use shm_proto::HostTime;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Where the kernel makes virtual devices.
pub const UINPUT: &str = "/dev/uinput";
/// `BUS_VIRTUAL` of Linux's `input.h`: no hardware is behind it.
const BUS_VIRTUAL: u16 = 6;
/// Between two edges of keys: a PS/2 keyboard of QEMU keeps 16 bytes and drops the rest.
const KEY_GAP: Duration = Duration::from_millis(1);
/// Between two reports of motion: QEMU's virtio mouse drops whole reports beyond about a thousand a second.
const MOTION_GAP: Duration = Duration::from_millis(1);
/// From the last report until the devices may go: what QEMU has not read by then the kernel throws away with them, and
/// nobody lifts the key. QEMU reads in its main loop, which may be busy.
const READ_TIME: Duration = Duration::from_millis(300);
/// Reports of a wheel at once, at most; a wheel that turned further goes on with the next step.
const DETENTS: usize = 64;
/// Events that are read at once.
const READ_EVENTS: usize = 16;

/// See the module.
pub struct UinputSink {
    keyboard: UInputHandle<OwnedFd>,
    mouse: UInputHandle<OwnedFd>,
    vertical: Detents,
    horizontal: Detents,
    leds: Leds,
    bytes: Vec<u8>,
    sent_at: HostTime,
}

impl fmt::Debug for UinputSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UinputSink").finish_non_exhaustive()
    }
}

/// Whether virtual devices can be made.
///
/// # Errors
/// [`SinkError::Uinput`].
pub fn look() -> Result<(), SinkError> {
    access(UINPUT, Access::READ_OK | Access::WRITE_OK).map_err(|e| SinkError::Uinput(e.into()))
}

impl UinputSink {
    /// Makes both devices.
    ///
    /// # Errors
    /// [`SinkError::Uinput`] if that is not allowed or the kernel cannot; [`SinkError::Io`] if it refuses.
    pub fn create() -> Result<UinputSink, SinkError> {
        let keyboard = device()?;
        for kind in [EventKind::Key, EventKind::Led] {
            keyboard.set_evbit(kind)?;
        }
        for key in (1..=u16::MAX).map_while(Code::new).filter(|code| !code.is_button()) {
            if let Ok(key) = Key::from_code(key.number()) {
                keyboard.set_keybit(key)?;
            }
        }
        for led in [LedKind::NumLock, LedKind::CapsLock, LedKind::ScrollLock] {
            keyboard.set_ledbit(led)?;
        }
        name(&keyboard, "keyboard", 1)?;
        let mouse = device()?;
        for kind in [EventKind::Key, EventKind::Relative] {
            mouse.set_evbit(kind)?;
        }
        for button in (Code::LEFT.number()..).map_while(Code::new).take(8) {
            if let Ok(button) = Key::from_code(button.number()) {
                mouse.set_keybit(button)?;
            }
        }
        for axis in [REL_X, REL_Y, REL_WHEEL, REL_HWHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES] {
            if let Ok(axis) = RelativeAxis::from_code(axis) {
                mouse.set_relbit(axis)?;
            }
        }
        name(&mouse, "mouse", 2)?;
        Ok(UinputSink {
            keyboard,
            mouse,
            vertical: Detents::new(REL_WHEEL, REL_WHEEL_HI_RES),
            horizontal: Detents::new(REL_HWHEEL, REL_HWHEEL_HI_RES),
            leds: Leds::default(),
            bytes: Vec::with_capacity(EVENT_BYTES * (DETENTS + 2) * 6),
            sent_at: HostTime::ZERO,
        })
    }

    /// The nodes of keyboard and mouse, once they are there.
    pub fn nodes(&self) -> [Option<PathBuf>; 2] {
        [&self.keyboard, &self.mouse].map(|device| device.evdev_path().ok())
    }
}

fn device() -> Result<UInputHandle<OwnedFd>, SinkError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = open(UINPUT, flags, Mode::empty()).map_err(|e| SinkError::Uinput(e.into()))?;
    Ok(UInputHandle::new(fd))
}

fn name(device: &UInputHandle<OwnedFd>, what: &str, product: u16) -> Result<(), SinkError> {
    let id = InputId { bustype: BUS_VIRTUAL, vendor: 0, product, version: 1 };
    device.create(&id, format!("{OURS}{what}").as_bytes(), 0, &[])?;
    if let Ok(path) = device.evdev_path() {
        tracing::info!("input: virtual {what} at {}", path.display());
    }
    Ok(())
}

impl Sink for UinputSink {
    fn way(&self) -> &'static str {
        "uinput"
    }

    fn caps(&self) -> Caps {
        Caps {
            motion: true,
            position: false,
            wheel_units: 120,
            horizontal: true,
            key_gap: KEY_GAP,
            motion_gap: MOTION_GAP,
        }
    }

    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError> {
        self.bytes.clear();
        let mut put = |event: Event| self.bytes.extend(event.to_bytes());
        let device = match step {
            Step::Edge(Edge { code, is_down }) => {
                put(Event::new(EV_KEY, code.number(), i32::from(*is_down)));
                put(REPORT);
                let is_ours = (Code::LEFT.number()..Code::LEFT.number() + 8).contains(&code.number());
                match (code.is_button(), is_ours) {
                    (true, false) => return Ok(Sent::Unknown),
                    (true, true) => &self.mouse,
                    (false, _) => &self.keyboard,
                }
            }
            Step::Move(Move { motion, wheel, .. }) => {
                for (axis, value) in [(REL_X, motion.dx), (REL_Y, motion.dy)] {
                    if value != 0 {
                        put(Event::new(EV_REL, axis, value));
                    }
                }
                if motion.dx != 0 || motion.dy != 0 {
                    put(REPORT);
                }
                self.vertical.turn(wheel.vertical, &mut put);
                self.horizontal.turn(wheel.horizontal, &mut put);
                &self.mouse
            }
        };
        self.sent_at = now;
        match rustix::io::write(device, &self.bytes) {
            Ok(_) => Ok(Sent::Taken),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Sent::Busy),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    fn pump(&mut self, _now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        let mut buffer = [0; READ_EVENTS * EVENT_BYTES];
        let read = match rustix::io::read(&self.keyboard, &mut buffer[..]) {
            Ok(n) => buffer.get(..n).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(e) => return Err(io::Error::from(e).into()),
        };
        let before = self.leds;
        for event in events(read).filter(|event| event.kind == EV_LED) {
            let is_lit = event.value != 0;
            match event.code {
                LED_NUML => self.leds.num = is_lit,
                LED_CAPSL => self.leds.caps = is_lit,
                LED_SCROLLL => self.leds.scroll = is_lit,
                _ => {}
            }
        }
        if self.leds != before {
            tell(News::Leds(self.leds));
        }
        Ok(())
    }

    /// Who reads the devices tells nothing: it is given time.
    fn has_delivered(&self) -> bool {
        clock::now().since(self.sent_at) >= READ_TIME
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        [Some((self.keyboard.as_fd(), false)), None, None]
    }
}

/// One wheel: fine turns as they come, and a detent each time 120 of them are full. Pure.
#[derive(Debug)]
struct Detents {
    coarse: u16,
    fine: u16,
    rest: i32,
}

impl Detents {
    const fn new(coarse: u16, fine: u16) -> Detents {
        Detents { coarse, fine, rest: 0 }
    }

    /// Reports of a turn by `turn`. Unit: 1/120 detent. Beyond [`DETENTS`] nobody turns in a millisecond.
    fn turn(&mut self, turn: i32, put: &mut dyn FnMut(Event)) {
        if turn.signum() == -self.rest.signum() {
            self.rest = 0;
        }
        let most = i32::try_from(DETENTS).unwrap_or(i32::MAX) * 120;
        let mut left = turn.clamp(-most, most);
        while left != 0 {
            let to_detent = 120 * left.signum() - self.rest;
            let is_full = left.abs() >= to_detent.abs();
            let part = if is_full { to_detent } else { left };
            put(Event::new(EV_REL, self.fine, part));
            if is_full {
                put(Event::new(EV_REL, self.coarse, left.signum()));
            }
            put(REPORT);
            self.rest = if is_full { 0 } else { self.rest + part };
            left -= part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums of a wheel's events: fine, detents, most detents in one report.
    fn sums(turns: &[i32]) -> (i64, i64, i64) {
        let mut wheel = Detents::new(REL_WHEEL, REL_WHEEL_HI_RES);
        let (mut fine, mut coarse, mut in_report, mut most) = (0, 0, 0_i64, 0);
        for turn in turns {
            wheel.turn(*turn, &mut |event| match (event.kind, event.code) {
                (EV_REL, REL_WHEEL) => {
                    coarse += i64::from(event.value);
                    in_report += i64::from(event.value.abs());
                    most = most.max(in_report);
                }
                (EV_REL, REL_WHEEL_HI_RES) => fine += i64::from(event.value),
                _ => in_report = 0,
            });
        }
        (fine, coarse, most)
    }

    #[test]
    fn three_detents_are_three_reports_and_quarters_add_up() {
        assert_eq!(sums(&[360]), (360, 3, 1));
        assert_eq!(sums(&[30, 30, 30, 30, 30]), (150, 1, 1));
        assert_eq!(sums(&[90, -30, -90]), (-30, -1, 1));
        assert_eq!(sums(&[0]), (0, 0, 0));
        assert_eq!(sums(&[i32::MAX]).1, 64);
    }

    proptest! {
        #[test]
        fn one_way_turns_lose_nothing(turns in prop::collection::vec(0..500_i32, 0..40), up: bool) {
            let sign = if up { 1 } else { -1 };
            let turns: Vec<i32> = turns.iter().map(|t| t * sign).collect();
            let sum: i64 = turns.iter().map(|t| i64::from(*t)).sum();
            let (fine, coarse, most) = sums(&turns);
            prop_assert_eq!((fine, coarse), (sum, sum / 120));
            prop_assert!(most <= 1);
        }
    }
}
