//! What is pressed on the virtual device, and the reports that say so. It prints nothing of it: what somebody types is
//! not for logs.

use super::descriptors::{CONSUMER, CONSUMER_REPORT, Interface, KEY_FIRST, KEY_LAST, SYSTEM_FIRST, SYSTEM_REPORT};
use crate::input::Code;
use crate::input::frame::{Motion, Position, Wheel};
use crate::input::keymap::{self, Usage};
use core::fmt;

/// Bytes of the keyboard's report: modifiers and 27 bytes of keys.
pub const KEYBOARD_BYTES: usize = 1 + (KEY_LAST - KEY_FIRST + 1) as usize / 8;
/// More keys than the boot protocol has room for are told as this in each place.
const ROLL_OVER: u8 = 0x01;
/// The first modifier of the keyboard page; seven follow.
const MODIFIER_FIRST: u8 = 0xe0;
/// The first button's code (`BTN_MOUSE`); fifteen follow.
const BUTTON_FIRST: u16 = 0x110;

/// Where a key or button is on the device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A bit of the keyboard's modifiers.
    Modifier(u8),
    /// A usage in the keyboard's bitmap.
    Key(u8),
    /// A bit of the mouse's buttons.
    Button(u8),
    /// A bit of the consumer keys.
    Consumer(u8),
    /// A bit of the keys of the system.
    System(u8),
}

impl Place {
    /// Where `code` is; nothing if the device has no such key.
    pub fn of(code: Code) -> Option<Place> {
        if let Some(bit) = code.number().checked_sub(BUTTON_FIRST).filter(|bit| *bit < 16) {
            return u8::try_from(bit).ok().map(Place::Button);
        }
        match keymap::usage(code) {
            Usage::Keyboard(usage) if (KEY_FIRST..=KEY_LAST).contains(&usage) => Some(Place::Key(usage)),
            Usage::Keyboard(usage) if (MODIFIER_FIRST..MODIFIER_FIRST + 8).contains(&usage) => {
                Some(Place::Modifier(usage - MODIFIER_FIRST))
            }
            Usage::Consumer(usage) => {
                let bit = CONSUMER.iter().position(|known| *known == usage)?;
                u8::try_from(bit).ok().map(Place::Consumer)
            }
            Usage::System(usage) => usage.checked_sub(SYSTEM_FIRST).filter(|bit| *bit < 3).map(Place::System),
            _ => None,
        }
    }

    /// The interface that reports it.
    pub const fn interface(self) -> Interface {
        match self {
            Place::Modifier(_) | Place::Key(_) => Interface::Keyboard,
            Place::Button(_) => Interface::Mouse,
            Place::Consumer(_) | Place::System(_) => Interface::Controls,
        }
    }
}

/// The bytes of one report; the longest is the keyboard's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Report {
    bytes: [u8; KEYBOARD_BYTES],
    length: usize,
}

impl Report {
    fn new(parts: &[&[u8]]) -> Report {
        let (mut bytes, mut length) = ([0; KEYBOARD_BYTES], 0);
        for byte in parts.iter().copied().flatten().take(KEYBOARD_BYTES) {
            bytes[length] = *byte;
            length += 1;
        }
        Report { bytes, length }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({} bytes)", self.length)
    }
}

/// What is pressed, and where the pointer was put last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressed {
    modifiers: u8,
    keys: [u8; KEYBOARD_BYTES - 1],
    buttons: u16,
    consumer: u32,
    system: u8,
    position: Position,
}

impl fmt::Debug for Pressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressed").finish_non_exhaustive()
    }
}

impl Pressed {
    /// Presses or releases one.
    pub fn set(&mut self, place: Place, is_down: bool) {
        match place {
            Place::Modifier(bit) => set_bit(core::slice::from_mut(&mut self.modifiers), bit, is_down),
            Place::Key(usage) => set_bit(&mut self.keys, usage - KEY_FIRST, is_down),
            Place::Button(bit) => self.buttons = (self.buttons & !(1 << bit)) | u16::from(is_down) << bit,
            Place::Consumer(bit) => self.consumer = (self.consumer & !(1 << bit)) | u32::from(is_down) << bit,
            Place::System(bit) => set_bit(core::slice::from_mut(&mut self.system), bit, is_down),
        }
    }

    /// Releases everything; the pointer stays where it is.
    pub fn release_all(&mut self) {
        *self = Pressed { position: self.position, ..Pressed::default() };
    }

    /// Whether a key of the keyboard is pressed.
    pub fn has_key(&self) -> bool {
        self.modifiers != 0 || self.keys.iter().any(|byte| *byte != 0)
    }

    /// The keyboard's report.
    pub fn keyboard(&self) -> Report {
        Report::new(&[&[self.modifiers], &self.keys])
    }

    /// The keyboard's report in the boot protocol: six keys, or a sign that there are more.
    pub fn boot_keyboard(&self) -> Report {
        let usages = KEY_FIRST..=KEY_LAST;
        let mut pressed = usages.filter(|usage| has_bit(&self.keys, usage - KEY_FIRST));
        let mut six: [u8; 6] = core::array::from_fn(|_| pressed.next().unwrap_or(0));
        if pressed.next().is_some() {
            six = [ROLL_OVER; 6];
        }
        Report::new(&[&[self.modifiers, 0], &six])
    }

    /// The mouse's report. Wheels in the unit that the guest chose.
    pub fn mouse(&self, motion: Motion, wheel: Wheel) -> Report {
        let word = |value: i32| clamp(value).to_le_bytes();
        let (x, y) = (word(motion.dx), word(motion.dy));
        Report::new(&[&self.buttons.to_le_bytes(), &x, &y, &word(wheel.vertical), &word(wheel.horizontal)])
    }

    /// The report of the consumer keys.
    pub fn consumer(&self) -> Report {
        let [a, b, c, _] = self.consumer.to_le_bytes();
        Report::new(&[&[CONSUMER_REPORT, a, b, c]])
    }

    /// The report of the system's keys.
    pub fn system(&self) -> Report {
        Report::new(&[&[SYSTEM_REPORT, self.system]])
    }

    /// Puts the pointer somewhere.
    pub fn place(&mut self, position: Position) {
        self.position = position;
    }

    /// The pointer's report.
    pub fn pointer(&self) -> Report {
        Report::new(&[&[0], &self.position.x.to_le_bytes(), &self.position.y.to_le_bytes()])
    }
}

/// The part of a sum that one report carries. Unit: as `value`.
pub fn clamp(value: i32) -> i16 {
    i16::try_from(value.clamp(-32_767, 32_767)).unwrap_or(0)
}

fn set_bit(bytes: &mut [u8], bit: u8, is_set: bool) {
    if let Some(byte) = bytes.get_mut(usize::from(bit / 8)) {
        *byte = (*byte & !(1 << (bit % 8))) | u8::from(is_set) << (bit % 8);
    }
}

fn has_bit(bytes: &[u8], bit: u8) -> bool {
    bytes.get(usize::from(bit / 8)).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
}
