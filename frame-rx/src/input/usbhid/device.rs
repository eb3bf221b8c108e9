//! The virtual device as a pure machine: bytes of the other side go in, bytes for it come out, time is an argument.
//!
//! It plays the host's end of usbredir: says HELLO, announces the device, answers what the guest's driver asks, and
//! sends a report whenever something changes on an endpoint that the guest listens to. What changes before is kept: each
//! endpoint begins with how things are.

use super::control::{self, Setup};
use super::descriptors::{DEVICE_VERSION, Interface, PRODUCT, VENDOR};
use super::packet::{self, Head, Parser, cap, kind, u32_at};
use super::reports::{Place, Pressed, Report, clamp};
use crate::input::frame::{Edge, Motion, Wheel};
use crate::input::sink::{Leds, Move, Sent, SinkError};
use core::time::Duration;
use shm_proto::HostTime;

/// Most bytes that one packet of the other side is answered with.
pub const ANSWER_MAX: usize = 1024;
/// Most bytes that one step becomes: a place, and a long motion in its reports.
pub const STEP_MAX: usize = 1024;
/// Reports that one motion may become. A hand that moves farther between two reports is none.
const MOTION_REPORTS: u32 = 16;

/// What we can do.
const CAPS: u32 = cap::DEVICE_VERSION | cap::FILTER | cap::EP_MAX_PACKET | cap::WIDE_IDS | cap::WIDE_BULK;
/// What the other side must be able to do. QEMU can since 1.6.
const NEEDED: u32 = cap::DEVICE_VERSION | cap::EP_MAX_PACKET | cap::WIDE_IDS;

/// USB's speed of 480 Mbit/s.
const HIGH_SPEED: u8 = 2;
/// Types of endpoints.
const CONTROL_ENDPOINT: u8 = 0;
const INTERRUPT_ENDPOINT: u8 = 3;
const NO_ENDPOINT: u8 = 255;
/// Endpoints in a table: 16 to the device, 16 to the guest.
const ENDPOINTS: usize = 32;

/// How long after it began to listen a guest is told anew how things are. Linux's usbhid throws away what comes within
/// 50 ms (of the guest's time) of opening a device.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// What the guest may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The number of the configuration; 0 before one was chosen.
    pub configuration: u8,
    /// Whether the keyboard speaks the boot protocol.
    pub boot_keyboard: bool,
    /// After how long a keyboard repeats its report. Unit: 4 ms; 0 for never.
    pub idle: u8,
    /// The resolution multipliers' feature byte: bits 0 and 2.
    pub multipliers: u8,
    /// The lamps' byte.
    pub lamps: u8,
}

impl Settings {
    /// Units to one detent of the usual wheel, and of the other.
    fn wheel_units(self) -> (i32, i32) {
        let units = |bits: u8| if bits & 3 == 0 { 1 } else { 120 };
        (units(self.multipliers), units(self.multipliers >> 2))
    }
}

/// Which halves of the device the guest listens to: firmware mostly has no use for a mouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// The keyboard.
    pub keyboard: bool,
    /// The mouse.
    pub pointer: bool,
}

impl Lanes {
    /// Whether it listens to either.
    pub fn any(self) -> bool {
        self.keyboard || self.pointer
    }
}

/// See the module.
#[derive(Debug)]
pub struct Device {
    parser: Parser,
    is_met: bool,
    guest: Guest,
}

/// All but the stream itself.
#[derive(Debug, Default)]
struct Guest {
    settings: Settings,
    started: [bool; Interface::ALL.len()],
    /// When it began to listen, and how often it was told since.
    begun: [Option<(HostTime, usize)>; Interface::ALL.len()],
    pressed: Pressed,
    /// The next report's id.
    next_id: u64,
    /// When the keyboard's report was sent last.
    keyboard_at: HostTime,
}

impl Device {
    /// Says HELLO into `out`.
    pub fn new(out: &mut Vec<u8>) -> Device {
        packet::put_hello(out, concat!("frame-rx ", env!("CARGO_PKG_VERSION")), CAPS);
        Device { parser: Parser::new(), is_met: false, guest: Guest::default() }
    }

    /// Whether the other side has said HELLO and was told of the device.
    pub fn is_met(&self) -> bool {
        self.is_met
    }

    /// What the guest listens to.
    pub fn lanes(&self) -> Lanes {
        Lanes { keyboard: self.listens(Interface::Keyboard), pointer: self.listens(Interface::Mouse) }
    }

    /// Whether the guest listens to one interface.
    pub fn listens(&self, interface: Interface) -> bool {
        self.guest.listens(interface)
    }

    /// Units to one detent of both wheels: 120, or 1 if the guest does not want fractions of both.
    pub fn wheel_units(&self) -> i32 {
        let (vertical, horizontal) = self.guest.settings.wheel_units();
        vertical.min(horizontal)
    }

    /// The lamps as the guest set them.
    pub fn leds(&self) -> Leds {
        let lamps = self.guest.settings.lamps;
        Leds { num: lamps & 1 != 0, caps: lamps & 2 != 0, scroll: lamps & 4 != 0 }
    }

    /// Takes in bytes up to the end of one packet, and answers it. How many were taken; none if there are none.
    ///
    /// # Errors
    /// [`SinkError`] if the other side does not speak the protocol, or does not want the device.
    pub fn hear(&mut self, bytes: &[u8], now: HostTime, out: &mut Vec<u8>) -> Result<usize, SinkError> {
        let (taken, head) = self.parser.take(bytes)?;
        if let Some(head) = head {
            match (self.is_met, head.kind) {
                (false, kind::HELLO) => self.meet(out)?,
                (false, _) | (true, kind::HELLO) => return Err(SinkError::Garbage("it does not speak usbredir")),
                (true, _) => self.guest.answer(head, self.parser.body(), now, out)?,
            }
        }
        Ok(taken)
    }

    fn meet(&mut self, out: &mut Vec<u8>) -> Result<(), SinkError> {
        let caps = u32_at(self.parser.body(), packet::VERSION_BYTES).unwrap_or(0);
        if caps & NEEDED != NEEDED {
            return Err(SinkError::Garbage("a usbredir older than 0.6"));
        }
        self.parser.widen();
        self.is_met = true;
        announce(out);
        Ok(())
    }

    /// Presses or releases one key or button.
    pub fn edge(&mut self, edge: Edge, now: HostTime, out: &mut Vec<u8>) -> Sent {
        let Some(place) = Place::of(edge.code) else { return Sent::Unknown };
        self.guest.pressed.set(place, edge.is_down);
        match place {
            Place::System(_) => self.guest.send(Interface::Controls, &self.guest.pressed.system(), now, out),
            // Said even if nothing changed: whoever releases what is up wants the guest to hear it once more.
            place => self.guest.tell(place.interface(), now, out),
        }
        Sent::Taken
    }

    /// Moves the pointer and turns the wheels. Wheels in units of [`Device::wheel_units`].
    pub fn moved(&mut self, moved: &Move, now: HostTime, out: &mut Vec<u8>) {
        let guest = &mut self.guest;
        if let Some(position) = moved.position {
            guest.pressed.place(position);
            guest.tell(Interface::Pointer, now, out);
        }
        let (vertical, horizontal) = guest.settings.wheel_units();
        let shared = vertical.min(horizontal);
        let mut wheel = Wheel {
            vertical: moved.wheel.vertical.saturating_mul(vertical / shared),
            horizontal: moved.wheel.horizontal.saturating_mul(horizontal / shared),
        };
        let mut motion = moved.motion;
        for _ in 0..MOTION_REPORTS {
            if motion == Motion::default() && wheel == Wheel::default() {
                break;
            }
            guest.send(Interface::Mouse, &guest.pressed.mouse(motion, wheel), now, out);
            motion.dx -= i32::from(clamp(motion.dx));
            motion.dy -= i32::from(clamp(motion.dy));
            wheel.vertical -= i32::from(clamp(wheel.vertical));
            wheel.horizontal -= i32::from(clamp(wheel.horizontal));
        }
    }

    /// Releases everything.
    pub fn release_all(&mut self, now: HostTime, out: &mut Vec<u8>) {
        self.guest.pressed.release_all();
        for interface in Interface::ALL {
            self.guest.tell_all(interface, now, out);
        }
    }

    /// When [`Device::tick`] is due.
    pub fn due(&self) -> Option<HostTime> {
        let again = Interface::ALL.into_iter().filter_map(|interface| self.guest.again_due(interface));
        again.chain(self.guest.idle_due()).min()
    }

    /// Tells anew who only began to listen, and repeats the keyboard's report if the guest wants that (SET_IDLE; firmware
    /// makes its own key repeat from it).
    pub fn tick(&mut self, now: HostTime, out: &mut Vec<u8>) {
        for interface in Interface::ALL {
            if self.guest.again_due(interface).is_some_and(|due| now >= due) {
                if let Some((_, told)) = &mut self.guest.begun[interface.index()] {
                    *told += 1;
                }
                self.guest.tell_all(interface, now, out);
            }
        }
        if self.guest.idle_due().is_some_and(|due| now >= due) {
            self.guest.tell(Interface::Keyboard, now, out);
        }
    }
}

impl Guest {
    fn listens(&self, interface: Interface) -> bool {
        self.started[interface.index()]
    }

    fn again_due(&self, interface: Interface) -> Option<HostTime> {
        let (begun, told) = self.begun[interface.index()].filter(|_| self.listens(interface))?;
        AGAIN.get(told).map(|after| begun + *after)
    }

    fn idle_due(&self) -> Option<HostTime> {
        // The specification repeats for ever; only what is pressed is worth waking up for.
        let repeats = self.settings.idle != 0 && self.listens(Interface::Keyboard) && self.pressed.has_key();
        repeats.then(|| self.keyboard_at + Duration::from_millis(4) * u32::from(self.settings.idle))
    }

    fn answer(&mut self, head: Head, body: &[u8], now: HostTime, out: &mut Vec<u8>) -> Result<(), SinkError> {
        let first = body.first().copied().unwrap_or(0);
        let mut say = |kind, body: &[u8]| packet::put(out, kind, head.id, &[body]);
        match head.kind {
            kind::RESET => {
                self.settings = Settings::default();
                self.started = Default::default();
            }
            kind::SET_CONFIGURATION => {
                let is_known = first <= 1;
                if is_known {
                    self.settings.configuration = first;
                }
                say(kind::CONFIGURATION_STATUS, &[control::status(is_known), self.settings.configuration]);
            }
            kind::GET_CONFIGURATION => say(kind::CONFIGURATION_STATUS, &[0, self.settings.configuration]),
            kind::SET_ALT_SETTING => {
                let is_known = Interface::numbered(first.into()).is_some() && body.get(1) == Some(&0);
                say(kind::ALT_SETTING_STATUS, &[control::status(is_known), first, 0]);
            }
            kind::GET_ALT_SETTING => say(kind::ALT_SETTING_STATUS, &[0, first, 0]),
            kind::START_INTERRUPT | kind::STOP_INTERRUPT => {
                let interface = Interface::of_endpoint(first);
                say(kind::INTERRUPT_STATUS, &[control::status(interface.is_some()), first]);
                if let Some(interface) = interface {
                    self.started[interface.index()] = head.kind == kind::START_INTERRUPT;
                    self.begun[interface.index()] = Some((now, 0));
                    self.tell_all(interface, now, out);
                }
            }
            kind::CONTROL => self.control(head, body, out),
            // To an endpoint that the device does not have.
            kind::BULK => packet::put(out, head.kind, head.id, &[&[first, control::STALL, 0, 0], &[0; 6]]),
            kind::INTERRUPT => packet::put(out, head.kind, head.id, &[&[first, control::STALL, 0, 0]]),
            kind::FILTER_REJECT => return Err(SinkError::Missing("USB port for the device (its filter refuses it)")),
            // Everything was answered before it could be cancelled; and what is not known is not asked for.
            kind::CANCEL => {}
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, head: Head, body: &[u8], out: &mut Vec<u8>) {
        let Some(setup) = Setup::parse(body) else { return };
        let data = body.get(control::HEAD..).unwrap_or_default();
        let answer = control::answer(&setup, data, &mut self.settings, &self.pressed);
        let data = answer.as_deref().unwrap_or_default();
        let data = data.get(..data.len().min(usize::from(setup.length))).unwrap_or_default();
        // Of what was sent to the device the length is told, of what it says its own.
        let length = if setup.is_in() { u16::try_from(data.len()).unwrap_or(0) } else { setup.length };
        let status = control::status(answer.is_some());
        packet::put(out, head.kind, head.id, &[&setup.head(status, length), data]);
    }

    /// Says how things are on one interface, in all its reports.
    fn tell_all(&mut self, interface: Interface, now: HostTime, out: &mut Vec<u8>) {
        self.tell(interface, now, out);
        if interface == Interface::Controls {
            self.send(interface, &self.pressed.system(), now, out);
        }
    }

    fn tell(&mut self, interface: Interface, now: HostTime, out: &mut Vec<u8>) {
        let report = match interface {
            Interface::Keyboard if self.settings.boot_keyboard => self.pressed.boot_keyboard(),
            Interface::Keyboard => self.pressed.keyboard(),
            Interface::Mouse => self.pressed.mouse(Motion::default(), Wheel::default()),
            Interface::Controls => self.pressed.consumer(),
            Interface::Pointer => self.pressed.pointer(),
        };
        self.send(interface, &report, now, out);
    }

    /// Sends one report, in as many packets as the endpoint's size makes it, if the guest listens.
    fn send(&mut self, interface: Interface, report: &Report, now: HostTime, out: &mut Vec<u8>) {
        if !self.listens(interface) {
            return;
        }
        if interface == Interface::Keyboard {
            self.keyboard_at = now;
        }
        for part in report.bytes().chunks(usize::from(interface.packet_bytes())) {
            let [low, high] = u16_of(part.len());
            packet::put(out, kind::INTERRUPT, self.next_id, &[&[interface.endpoint(), 0, low, high], part]);
            self.next_id += 1;
        }
    }
}

fn u16_of(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(0).to_le_bytes()
}

/// Says what device there is.
fn announce(out: &mut Vec<u8>) {
    let (mut types, mut intervals, mut interfaces) = ([NO_ENDPOINT; ENDPOINTS], [0; ENDPOINTS], [0; ENDPOINTS]);
    let mut sizes = [0; ENDPOINTS * 2];
    for control in [0, 16] {
        types[control] = CONTROL_ENDPOINT;
        sizes[control * 2] = 64;
    }
    let nowhere = 16 + usize::from(packet::NOWHERE & 0x0f);
    (types[nowhere], intervals[nowhere], sizes[nowhere * 2]) = (INTERRUPT_ENDPOINT, 1, 64);
    let (mut numbers, mut classes) = ([0; ENDPOINTS], [0; ENDPOINTS]);
    let (mut subclasses, mut protocols) = ([0; ENDPOINTS], [0; ENDPOINTS]);
    for interface in Interface::ALL {
        let (n, endpoint) = (interface.index(), 16 + usize::from(interface.endpoint() & 0x0f));
        (types[endpoint], intervals[endpoint], interfaces[endpoint]) = (INTERRUPT_ENDPOINT, 1, interface as u8);
        sizes[endpoint * 2..endpoint * 2 + 2].copy_from_slice(&interface.packet_bytes().to_le_bytes());
        (numbers[n], classes[n]) = (interface as u8, 3);
        [subclasses[n], protocols[n]] = interface.subclass();
    }
    packet::put(out, kind::EP_INFO, 0, &[&types, &intervals, &interfaces, &sizes]);
    let count = u32::try_from(Interface::ALL.len()).unwrap_or(0).to_le_bytes();
    packet::put(out, kind::INTERFACE_INFO, 0, &[&count, &numbers, &classes, &subclasses, &protocols]);
    let ids = [VENDOR.to_le_bytes(), PRODUCT.to_le_bytes(), DEVICE_VERSION.to_le_bytes()];
    packet::put(out, kind::DEVICE_CONNECT, 0, &[&[HIGH_SPEED, 0, 0, 0], ids.as_flattened()]);
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
