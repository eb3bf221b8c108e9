//! Control requests: what a guest's driver asks the device at the start, and sets later (lamps, protocol, wheels). What is
//! not known is stalled, as a real device does. Source: USB 2.0 chapter 9.4, HID 1.11 chapter 7.

use super::descriptors::{CONSUMER_REPORT, Interface, SYSTEM_REPORT, device_descriptor, interface_descriptor};
use super::device::Settings;
use super::packet::u16_at;
use super::reports::Pressed;
use crate::input::frame::{Motion, Wheel};

/// Bytes before the data of a control packet.
pub const HEAD: usize = 10;
/// The status of a request that the device does not know.
pub const STALL: u8 = 4;

/// Kinds of reports, in the high byte of a report's value.
const INPUT: u8 = 1;
const OUTPUT: u8 = 2;
const FEATURE: u8 = 3;

/// The head of a control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    endpoint: u8,
    request: u8,
    request_type: u8,
    value: u16,
    index: u16,
    /// Bytes that are wanted or sent.
    pub length: u16,
}

impl Setup {
    /// The head of `body`; nothing if it is too short.
    pub fn parse(body: &[u8]) -> Option<Setup> {
        let [endpoint, request, request_type, _status, ..] = *body.get(..HEAD)? else { return None };
        let [value, index, length] = [4, 6, 8].map(|at| u16_at(body, at));
        Some(Setup { endpoint, request, request_type, value, index, length })
    }

    /// Whether the device is to say something.
    pub fn is_in(&self) -> bool {
        self.request_type & 0x80 != 0
    }

    /// The head of the answer.
    pub fn head(&self, status: u8, length: u16) -> [u8; HEAD] {
        let [[a, b], [c, d], [e, f]] = [self.value, self.index, length].map(u16::to_le_bytes);
        [self.endpoint, self.request, self.request_type, status, a, b, c, d, e, f]
    }
}

/// The byte of a status.
pub const fn status(is_fine: bool) -> u8 {
    if is_fine { 0 } else { STALL }
}

/// What the device answers, nothing if it stalls. `data` is what came with it.
pub fn answer(setup: &Setup, data: &[u8], settings: &mut Settings, pressed: &Pressed) -> Option<Vec<u8>> {
    let [low, high] = setup.value.to_le_bytes();
    // All that goes to an interface has its number in the index.
    let interface = || Interface::numbered(setup.index);
    match (setup.request_type, setup.request) {
        // GET_STATUS of the device (powered by the bus, wakes nobody), an interface, an endpoint.
        (0x80..=0x82, 0) => Some(vec![0, 0]),
        (0x80, 6) => device_descriptor(high, low),
        (0x80, 8) => Some(vec![settings.configuration]),
        (0x81, 6) => interface_descriptor(interface()?, high),
        (0x81, 10) => interface().map(|_| vec![0]),
        (0x01, 11) => interface().filter(|_| setup.value == 0).map(|_| vec![]),
        // CLEAR_FEATURE: an endpoint that was never halted is not halted.
        (0x02, 1) => Some(vec![]),
        (0xa1, 1) => report(interface()?, high, low, settings, pressed),
        (0xa1, 2) => interface().map(|i| vec![if i == Interface::Keyboard { settings.idle } else { 0 }]),
        (0xa1, 3) => keyboard(interface()?).map(|()| vec![u8::from(!settings.boot_keyboard)]),
        (0x21, 9) => set_report(interface()?, high, data, settings),
        (0x21, 10) => {
            // Only the keyboard repeats, and SeaBIOS names the first interface, whichever it means.
            interface()?;
            settings.idle = high;
            Some(vec![])
        }
        (0x21, 11) => {
            keyboard(interface()?)?;
            settings.boot_keyboard = setup.value == 0;
            Some(vec![])
        }
        _ => None,
    }
}

fn keyboard(interface: Interface) -> Option<()> {
    (interface == Interface::Keyboard).then_some(())
}

fn report(interface: Interface, kind: u8, id: u8, settings: &Settings, pressed: &Pressed) -> Option<Vec<u8>> {
    let still = (Motion::default(), Wheel::default());
    let report = match (interface, kind, id) {
        (Interface::Keyboard, INPUT, _) if settings.boot_keyboard => pressed.boot_keyboard(),
        (Interface::Keyboard, INPUT, _) => pressed.keyboard(),
        (Interface::Keyboard, OUTPUT, _) => return Some(vec![settings.lamps]),
        (Interface::Mouse, INPUT, _) => pressed.mouse(still.0, still.1),
        (Interface::Mouse, FEATURE, _) => return Some(vec![settings.multipliers]),
        (Interface::Controls, INPUT, CONSUMER_REPORT) => pressed.consumer(),
        (Interface::Controls, INPUT, SYSTEM_REPORT) => pressed.system(),
        (Interface::Pointer, INPUT, _) => pressed.pointer(),
        _ => return None,
    };
    Some(report.bytes().to_vec())
}

fn set_report(interface: Interface, kind: u8, data: &[u8], settings: &mut Settings) -> Option<Vec<u8>> {
    let byte = *data.first()?;
    match (interface, kind) {
        (Interface::Keyboard, OUTPUT) => settings.lamps = byte & 0x1f,
        // Two bits for each wheel; only 0 and 1 mean something.
        (Interface::Mouse, FEATURE) => settings.multipliers = byte & 0x05,
        _ => return None,
    }
    Some(vec![])
}
