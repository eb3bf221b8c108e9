//! The X server's keyboard for the guest alone: while the guest has the input, the keyboard is grabbed, so that no window
//! manager takes Alt+Tab or Super. What is typed then comes from here and not from the window, whose toolkit hears no key
//! that another connection grabbed; so does the mouse's motion, since to the toolkit a window without keys has no focus.
//!
//! It decides nothing. Source of requests and events: the X protocol, and its XInput extension, version 2.2 ("raw" events
//! are told whoever has a grab, keys as the kernel numbers them plus 8, motion without the desktop's acceleration).

mod stream;

use self::stream::Bounded;
use crate::input::Code;
use std::os::fd::{AsFd, BorrowedFd};
use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::Event;
use x11rb::protocol::xinput::{self, ConnectionExt as _, Fp3232, XIEventMask};
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConnectionExt as _, EventMask, GrabMode, GrabStatus, NotifyDetail, NotifyMode, Window,
};
use x11rb::rust_connection::RustConnection;

/// Between the numbers of keys of the X server and of the kernel. Source: the evdev driver of X servers.
const KEY_OFFSET: u32 = 8;
/// Events between two looks at anything else. More are heard the next time.
const EVENTS: usize = 1024;
/// All that a user sees as one keyboard and one pointer. Source: XInput, `XIAllMasterDevices`.
const ALL_MASTERS: u16 = 1;
/// Axes of a pointer: to the right, and down.
const AXES: usize = 2;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard {
    /// A key, by the kernel's number.
    Key {
        /// Which.
        code: Code,
        /// Whether it went down.
        is_down: bool,
    },
    /// The mouse moved. Unit: counts of the device.
    Motion(f64, f64),
    /// Another window has the keyboard's focus, or ours is gone.
    FocusLost,
}

/// What came of an attempt to grab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grab {
    /// The keyboard is ours.
    Held,
    /// Another program has it, for a menu perhaps.
    Busy,
    /// The window has not got the focus.
    Unfocused,
}

/// A connection of our own for one window.
#[derive(Debug)]
pub struct Keyboard {
    connection: RustConnection<Bounded>,
    root: Window,
    window: Window,
    is_held: bool,
}

impl Keyboard {
    /// For the window of this number, of the server that `DISPLAY` names.
    ///
    /// Blocks for the server, not for long.
    ///
    /// # Errors
    /// No server, or an old one.
    pub fn new(window: u32) -> Result<Keyboard, Box<dyn std::error::Error>> {
        let (connection, screen) = stream::connect()?;
        let root = connection.setup().roots.get(screen).ok_or("no such screen")?.root;
        let version = connection.xinput_xi_query_version(2, 2)?.reply()?;
        if (version.major_version, version.minor_version) < (2, 1) {
            return Err("its XInput is older than 2.1".into());
        }
        let wanted = EventMask::FOCUS_CHANGE | EventMask::STRUCTURE_NOTIFY;
        let wanted = ChangeWindowAttributesAux::new().event_mask(wanted);
        connection.change_window_attributes(window, &wanted)?.check()?;
        Ok(Keyboard { connection, root, window, is_held: false })
    }

    /// Takes the keyboard, if the window has the focus.
    ///
    /// Blocks for the server, not for long.
    ///
    /// # Errors
    /// The connection is over.
    pub fn grab(&mut self) -> Result<Grab, ReplyOrIdError> {
        if !self.has_focus()? {
            return Ok(Grab::Unfocused);
        }
        // First, so that no key falls between.
        self.listen(XIEventMask::RAW_KEY_PRESS | XIEventMask::RAW_KEY_RELEASE | XIEventMask::RAW_MOTION)?;
        let wanted = self.connection.grab_keyboard(false, self.window, CURRENT_TIME, GrabMode::ASYNC, GrabMode::ASYNC);
        let status = wanted?.reply()?.status;
        if status != GrabStatus::SUCCESS {
            self.listen(XIEventMask::from(0u32))?;
            return Ok(Grab::Busy);
        }
        self.is_held = true;
        // It may have gone elsewhere meanwhile.
        if self.has_focus()? {
            return Ok(Grab::Held);
        }
        self.release()?;
        Ok(Grab::Unfocused)
    }

    /// Gives the keyboard back.
    ///
    /// # Errors
    /// The connection is over, and with it the grab.
    pub fn release(&mut self) -> Result<(), ReplyOrIdError> {
        self.is_held = false;
        self.connection.ungrab_keyboard(CURRENT_TIME)?;
        self.listen(XIEventMask::from(0u32))?;
        self.connection.flush()?;
        Ok(())
    }

    /// Tells what has come. Whether there may be more.
    ///
    /// Never blocks.
    ///
    /// # Errors
    /// The connection is over.
    pub fn hear(&mut self, tell: &mut dyn FnMut(Heard)) -> Result<bool, ReplyOrIdError> {
        for _ in 0..EVENTS {
            let Some(event) = self.connection.poll_for_event()? else { return Ok(false) };
            if let Some(heard) = self.meaning(&event) {
                tell(heard);
            }
        }
        Ok(true)
    }

    fn meaning(&self, event: &Event) -> Option<Heard> {
        let key = |detail: u32, is_down| {
            let code = detail.checked_sub(KEY_OFFSET).and_then(|n| u16::try_from(n).ok()).and_then(Code::new);
            code.map(|code| Heard::Key { code, is_down })
        };
        match event {
            Event::XinputRawKeyPress(e) if self.is_held => key(e.detail, true),
            Event::XinputRawKeyRelease(e) if self.is_held => key(e.detail, false),
            Event::XinputRawMotion(e) if self.is_held => motion(&e.valuator_mask, &e.axisvalues_raw),
            Event::FocusOut(e) if e.event == self.window => {
                // Those of grabs are our own doing, or a menu's.
                let is_real = matches!(e.mode, NotifyMode::NORMAL | NotifyMode::WHILE_GRABBED);
                let is_ours = !matches!(e.detail, NotifyDetail::INFERIOR | NotifyDetail::POINTER);
                (is_real && is_ours).then_some(Heard::FocusLost)
            }
            Event::UnmapNotify(e) if e.window == self.window => Some(Heard::FocusLost),
            Event::DestroyNotify(e) if e.window == self.window => Some(Heard::FocusLost),
            _ => None,
        }
    }

    fn has_focus(&self) -> Result<bool, ReplyOrIdError> {
        Ok(self.connection.get_input_focus()?.reply()?.focus == self.window)
    }

    fn listen(&self, to: XIEventMask) -> Result<(), ReplyOrIdError> {
        let mask = xinput::EventMask { deviceid: ALL_MASTERS, mask: vec![to] };
        self.connection.xinput_xi_select_events(self.root, &[mask])?;
        Ok(())
    }
}

impl AsFd for Keyboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.stream().as_fd()
    }
}

/// The motion in a raw event: a value for each axis whose bit is set.
fn motion(mask: &[u32], values: &[Fp3232]) -> Option<Heard> {
    let mut moved = [0.0; AXES];
    let mut values = values.iter();
    for (axis, sum) in moved.iter_mut().enumerate() {
        if mask.first().is_some_and(|bits| bits >> axis & 1 == 1) {
            let value = values.next()?;
            *sum = f64::from(value.integral) + f64::from(value.frac) / 4_294_967_296.0;
        }
    }
    let [dx, dy] = moved;
    (dx != 0.0 || dy != 0.0).then_some(Heard::Motion(dx, dy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_is_read_from_the_axes_that_are_there() {
        let half = 1 << 31;
        let values = [Fp3232 { integral: 3, frac: half }, Fp3232 { integral: -2, frac: half }];
        assert_eq!(motion(&[0b11], &values), Some(Heard::Motion(3.5, -1.5)));
        assert_eq!(motion(&[0b10], &values), Some(Heard::Motion(0.0, 3.5)));
        assert_eq!(motion(&[0b1], &values[1..]), Some(Heard::Motion(-1.5, 0.0)));
        for (mask, values) in [(&[0b100][..], &values[..]), (&[], &values), (&[0b11], &values[..1]), (&[0], &[])] {
            assert_eq!(motion(mask, values), None);
        }
    }
}
