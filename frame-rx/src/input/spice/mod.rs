//! The inputs channel of a SPICE server, as QEMU has it: keys as scan codes of set 1, relative motion with a window, five
//! buttons, whole detents, lamps. Nothing is needed in the guest, not even a video device; but for places, if those are
//! wanted instead of relative motion: QEMU tells them to a guest with a tablet and one screen of its own.
//!
//! Two connections: the main channel, which must stay, and the inputs channel; for places a third one, to know how large
//! that screen is. Source of all numbers: SPICE protocol
//! specification (spice-space.org), and measurements against QEMU 7.2 with spice-server 0.15.

mod channel;
mod display;
mod link;
pub mod usb;

use super::Code;
use super::address::Endpoint;
use super::frame::{Edge, MouseMode};
use super::keymap;
use super::sink::{Caps, DESCRIPTORS, Leds, Move, News, Sent, Sink, SinkError, Step};
use super::wire::Patience;
use channel::{Channel, Message};
use core::time::Duration;
use display::Display;
use shm_proto::HostTime;
use std::fmt;
use std::os::fd::BorrowedFd;

pub use link::PASSWORD_MAX;

/// A SPICE password. Never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password, unless it is too long or has a zero byte. Unit of the limit: bytes.
    pub fn new(text: &str) -> Option<Password> {
        (text.len() <= PASSWORD_MAX && !text.contains('\0')).then(|| Password(text.to_owned()))
    }

    /// As it was typed: for a process of our own, and nobody else.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Channel types.
mod kind {
    pub const MAIN: u8 = 1;
    pub const DISPLAY: u8 = 2;
    pub const INPUTS: u8 = 3;
    pub const USB: u8 = 9;
}

/// Messages of the main channel.
mod main_message {
    pub const INIT: u16 = 103;
    pub const CHANNELS_LIST: u16 = 104;
    pub const MOUSE_MODE: u16 = 105;
    pub const ATTACH_CHANNELS: u16 = 104;
    pub const MOUSE_MODE_REQUEST: u16 = 105;
}

/// Messages of the inputs channel.
mod inputs_message {
    pub const INIT: u16 = 101;
    pub const KEY_MODIFIERS: u16 = 102;
    pub const MOTION_ACK: u16 = 111;
    pub const KEY_DOWN: u16 = 101;
    pub const KEY_UP: u16 = 102;
    pub const MOTION: u16 = 111;
    pub const POSITION: u16 = 112;
    pub const PRESS: u16 = 113;
    pub const RELEASE: u16 = 114;
}

/// Mouse mode in which the pointer moves by differences.
const MODE_RELATIVE: u16 = 1;
/// Mouse mode in which it is told where the pointer is.
const MODE_ABSOLUTE: u16 = 2;
/// The screen that places are in: the first, and a server that has another does not offer places.
const SCREEN: u8 = 0;
/// Reports of motion that one acknowledgement stands for.
const ACK_BUNCH: u32 = 4;
/// Reports of motion that may be unacknowledged.
const WINDOW: u32 = 8;
/// After a Pause key the server's idea of the lamps is wrong for this long.
const LEDS_WRONG: Duration = Duration::from_millis(2500);
/// Messages heard between two looks at anything else. More are heard the next time: the descriptor stays ready.
const MESSAGES: u32 = 256;
/// Detents sent at once, at most.
const DETENTS: i32 = 64;
/// Room for the longest step: a motion and the detents, each a press and a release with their headers.
const STEP_BYTES: usize = 16 + 64 * 2 * 9;

/// See the module.
#[derive(Debug)]
pub struct SpiceSink {
    main: Channel,
    inputs: Channel,
    /// Only if places are wanted.
    display: Option<Display>,
    buttons: u16,
    outstanding: u32,
    /// The last reports were sent to be acknowledged: what was sent before them has arrived when they have.
    is_asked: bool,
    /// As the server said last.
    mode: u16,
    leds: Leds,
    is_told: bool,
    leds_wrong_until: HostTime,
}

/// A sink, and what else its server has.
struct Opened {
    sink: SpiceSink,
    session: u32,
    /// The numbers of its usbredir channels.
    usb: Vec<u8>,
}

impl SpiceSink {
    /// Connects the channels and asks for relative motion, or for places.
    ///
    /// Blocks, but not longer than `patience`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn connect(
        to: &Endpoint,
        password: &Password,
        mouse: MouseMode,
        patience: &Patience,
    ) -> Result<SpiceSink, SinkError> {
        SpiceSink::open(to, password, mouse, patience).map(|opened| opened.sink)
    }

    fn open(to: &Endpoint, password: &Password, mouse: MouseMode, patience: &Patience) -> Result<Opened, SinkError> {
        let now = rx_host::clock::now;
        let mut main = link::link(to, (kind::MAIN, 0), 0, password, patience)?;
        let init = main.wait_for(main_message::INIT, patience)?;
        let (session, supported, mode) = (init.u32_at(0)?, init.u32_at(8)?, init.u32_at(12)?);
        main.send(main_message::ATTACH_CHANNELS, &[], now())?;
        let list = main.wait_for(main_message::CHANNELS_LIST, patience)?;
        let channels = || list.body().get(4..).unwrap_or_default().chunks_exact(2);
        if !channels().any(|channel| channel[0] == kind::INPUTS) {
            return Err(SinkError::Missing("inputs channel"));
        }
        let usb = channels().filter(|channel| channel[0] == kind::USB).map(|channel| channel[1]).collect();
        let mut inputs = link::link(to, (kind::INPUTS, 0), session, password, patience)?;
        let leds = leds_of(inputs.wait_for(inputs_message::INIT, patience)?.u16_at(0)?);
        let modes = u16::try_from(supported).and_then(|supported| Ok((supported, u16::try_from(mode)?)));
        let (supported, mode) = modes.map_err(|_| SinkError::Garbage("mouse mode"))?;
        let display = match mouse {
            MouseMode::Absolute if channels().any(|channel| *channel == [kind::DISPLAY, SCREEN]) => {
                let channel = link::link(to, (kind::DISPLAY, SCREEN), session, password, patience)?;
                Some(Display::new(channel, now())?)
            }
            MouseMode::Absolute | MouseMode::Relative => None,
        };
        let mut sink = SpiceSink {
            main,
            inputs,
            display,
            buttons: 0,
            outstanding: 0,
            is_asked: false,
            mode,
            leds,
            is_told: false,
            leds_wrong_until: HostTime::ZERO,
        };
        sink.ask_mode(supported, now())?;
        Ok(Opened { sink, session, usb })
    }

    /// Asks for the mode that is wanted, as far as the server has it, unless it is set already.
    fn ask_mode(&mut self, supported: u16, now: HostTime) -> Result<(), SinkError> {
        let has_places = self.display.is_some() && supported & MODE_ABSOLUTE != 0;
        let wanted = if has_places { MODE_ABSOLUTE } else { MODE_RELATIVE };
        if self.mode != wanted {
            self.main.send(main_message::MOUSE_MODE_REQUEST, &wanted.to_le_bytes(), now)?;
        }
        Ok(())
    }

    /// Whether the server takes places.
    fn takes_places(&self) -> bool {
        self.mode == MODE_ABSOLUTE && self.display.as_ref().is_some_and(Display::has_size)
    }

    /// The guest's lamps as last told.
    pub fn leds(&self) -> Leds {
        self.leds
    }

    fn edge(&mut self, edge: Edge, now: HostTime) -> Result<Sent, SinkError> {
        let Edge { code, is_down } = edge;
        if code.is_button() {
            let Some((id, mask)) = button(code) else { return Ok(Sent::Unknown) };
            self.buttons = if is_down { self.buttons | mask } else { self.buttons & !mask };
            return self.button(id, is_down, now);
        }
        let Some(word) = keymap::set_one(code).spice_word(is_down) else { return Ok(Sent::Unknown) };
        if code == Code::PAUSE {
            self.leds_wrong_until = now + LEDS_WRONG;
        }
        let kind = if is_down { inputs_message::KEY_DOWN } else { inputs_message::KEY_UP };
        self.inputs.send(kind, &word.to_le_bytes(), now)?;
        Ok(Sent::Taken)
    }

    fn button(&mut self, id: u8, is_down: bool, now: HostTime) -> Result<Sent, SinkError> {
        let [low, high] = self.buttons.to_le_bytes();
        let kind = if is_down { inputs_message::PRESS } else { inputs_message::RELEASE };
        self.inputs.send(kind, &[id, low, high], now)?;
        Ok(Sent::Taken)
    }

    fn moved(&mut self, moved: &Move, now: HostTime) -> Result<Sent, SinkError> {
        if moved.motion != Default::default() {
            let mut body = [0; 10];
            body[..4].copy_from_slice(&moved.motion.dx.to_le_bytes());
            body[4..8].copy_from_slice(&moved.motion.dy.to_le_bytes());
            body[8..].copy_from_slice(&self.buttons.to_le_bytes());
            self.inputs.send(inputs_message::MOTION, &body, now)?;
            self.outstanding = self.outstanding.saturating_add(1);
        }
        let place = moved.position.filter(|_| self.mode == MODE_ABSOLUTE);
        if let Some((x, y)) = place.and_then(|place| self.display.as_ref()?.pixel(place)) {
            let mut body = [0; 11];
            body[..4].copy_from_slice(&x.to_le_bytes());
            body[4..8].copy_from_slice(&y.to_le_bytes());
            body[8..10].copy_from_slice(&self.buttons.to_le_bytes());
            body[10] = SCREEN;
            self.inputs.send(inputs_message::POSITION, &body, now)?;
            self.outstanding = self.outstanding.saturating_add(1);
        }
        // Wheel up is button 4, wheel down button 5; the mask does not change by them.
        let id = if moved.wheel.vertical > 0 { 4 } else { 5 };
        for _ in 0..moved.wheel.vertical.saturating_abs().min(DETENTS) {
            self.button(id, true, now)?;
            self.button(id, false, now)?;
        }
        Ok(Sent::Taken)
    }

    fn hear_main(&mut self, m: &Message, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        if m.kind == main_message::MOUSE_MODE {
            self.mode = m.u16_at(2)?;
            // What it offers changes with the guest's devices.
            self.ask_mode(m.u16_at(0)?, now)?;
            tell(News::Caps);
        }
        Ok(())
    }

    fn hear_inputs(&mut self, m: &Message, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        match m.kind {
            inputs_message::MOTION_ACK => self.outstanding = self.outstanding.saturating_sub(ACK_BUNCH),
            inputs_message::KEY_MODIFIERS | inputs_message::INIT => {
                let leds = leds_of(m.u16_at(0)?);
                if now >= self.leds_wrong_until && leds != self.leds {
                    self.leds = leds;
                    tell(News::Leds(leds));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Sink for SpiceSink {
    fn way(&self) -> &'static str {
        "spice"
    }

    fn caps(&self) -> Caps {
        Caps {
            motion: self.mode == MODE_RELATIVE,
            position: self.takes_places(),
            wheel_units: 1,
            horizontal: false,
            // A PS/2 keyboard holds 16 bytes while the guest is busy and drops the rest.
            key_gap: Duration::from_millis(1),
            motion_gap: Duration::from_millis(1),
        }
    }

    /// The server acknowledges what a stopped machine throws away.
    fn tells_stops(&self) -> bool {
        false
    }

    /// The server lifts keys of a client that goes, but not buttons, and with a machine that stands still nothing.
    fn keeps_held(&self) -> bool {
        true
    }

    fn takes_motion(&self) -> bool {
        self.outstanding < WINDOW
    }

    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError> {
        if !self.inputs.has_room(STEP_BYTES) {
            return Ok(Sent::Busy);
        }
        match step {
            Step::Edge(edge) => self.edge(*edge, now),
            Step::Move(moved) => self.moved(moved, now),
        }
    }

    /// A server that sees its client's main channel end drops the others, and lifts no button: what it has not read of the
    /// inputs channel by then may be lost. It acknowledges motion, so motion by nothing is sent until a bunch is full.
    fn ask_delivery(&mut self, now: HostTime) -> Result<(), SinkError> {
        let [low, high] = self.buttons.to_le_bytes();
        for _ in self.outstanding % ACK_BUNCH..ACK_BUNCH {
            self.inputs.send(inputs_message::MOTION, &[0, 0, 0, 0, 0, 0, 0, 0, low, high], now)?;
            self.outstanding = self.outstanding.saturating_add(1);
        }
        self.is_asked = true;
        Ok(())
    }

    fn has_delivered(&self) -> bool {
        !self.inputs.descriptor().1 && (!self.is_asked || self.outstanding == 0)
    }

    fn pump(&mut self, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        if !core::mem::replace(&mut self.is_told, true) {
            tell(News::Leds(self.leds));
        }
        for _ in 0..MESSAGES {
            let Some(message) = self.main.next(now)? else { break };
            self.hear_main(&message, now, tell)?;
        }
        for _ in 0..MESSAGES {
            let Some(message) = self.inputs.next(now)? else { break };
            self.hear_inputs(&message, now, tell)?;
        }
        if let Some(display) = &mut self.display
            && display.pump(now)?
        {
            tell(News::Caps);
        }
        Ok(())
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        let display = self.display.as_ref().map(Display::descriptor);
        [Some(self.main.descriptor()), Some(self.inputs.descriptor()), display]
    }

    fn due(&self) -> Option<HostTime> {
        let display = self.display.as_ref().and_then(Display::due);
        [self.main.due(), self.inputs.due(), display].into_iter().flatten().min()
    }
}

/// A button's number and its bit in the mask.
fn button(code: Code) -> Option<(u8, u16)> {
    Some(match code {
        Code::LEFT => (1, 1 << 0),
        Code::MIDDLE => (2, 1 << 1),
        Code::RIGHT => (3, 1 << 2),
        Code::SIDE | Code::BACK => (6, 1 << 5),
        Code::EXTRA | Code::FORWARD => (7, 1 << 6),
        _ => return None,
    })
}

fn leds_of(bits: u16) -> Leds {
    Leds { scroll: bits & 1 != 0, num: bits & 2 != 0, caps: bits & 4 != 0 }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
