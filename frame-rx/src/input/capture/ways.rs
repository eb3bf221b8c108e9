//! The ways to the guest, by what was typed: the only place that knows all sinks.

use super::InputSettings;
use crate::input::address::{Endpoint, InputChoice, USUAL_SPICE};
use crate::input::qmp::QmpSink;
use crate::input::sink::{Sink, SinkError};
use crate::input::spice::{self, SpiceSink};
use crate::input::uinput::{self, UinputSink};
use crate::input::usbhid::UsbHidSink;
use crate::input::wire::{Patience, Wire};
use std::io::ErrorKind;

/// Looks whether something that can be trusted listens where `choice` says, and goes again without a word: a SPICE server
/// has one client at a time, and this is none.
///
/// Blocks, but not longer than `patience`.
///
/// # Errors
/// [`SinkError`].
pub fn look(choice: &InputChoice, patience: &Patience) -> Result<(), SinkError> {
    let endpoint = match choice {
        InputChoice::None => return Ok(()),
        InputChoice::Auto => USUAL_SPICE,
        InputChoice::Spice(endpoint) | InputChoice::SpiceUsb(endpoint) | InputChoice::UsbHid(endpoint) => {
            endpoint.clone()
        }
        InputChoice::Qmp(path) => Endpoint::Unix(path.clone()),
        InputChoice::Uinput => return uinput::look(),
    };
    Wire::connect(&endpoint, patience).map(drop)
}

/// Where `choice` leads by the way of this name: with `auto` the address that it tries.
pub fn place(choice: &InputChoice, way: &str) -> String {
    match choice {
        InputChoice::Auto => format!("{way}:{USUAL_SPICE} (auto)"),
        choice => choice.to_string(),
    }
}

/// What to do about an error of this way.
pub fn hint(choice: &InputChoice, error: &SinkError) -> &'static str {
    match (choice, error) {
        (_, SinkError::Io(e)) if e.kind() == ErrorKind::PermissionDenied => {
            "let this user write to the socket and search its folders (see: namei -l PATH)"
        }
        (InputChoice::UsbHid(_), SinkError::Io(_)) => {
            "start the VM, with -device qemu-xhci,id=xhci -chardev socket,id=usb,path=PATH,server=on,wait=off -device usb-redir,chardev=usb,bus=xhci.0"
        }
        (InputChoice::SpiceUsb(_), SinkError::Io(_) | SinkError::Missing(_)) => {
            "start the VM, with SPICE and -device qemu-xhci,id=xhci -chardev spicevmc,id=usb,name=usbredir -device usb-redir,chardev=usb,bus=xhci.0"
        }
        (InputChoice::Qmp(_), SinkError::Io(_)) => "start the VM, with -qmp unix:PATH,server=on,wait=off",
        (InputChoice::Auto, SinkError::Io(_)) => {
            "start the VM, with -spice port=5900,addr=127.0.0.1,disable-ticketing=on, or name another way with --input"
        }
        (_, error) => error.hint(),
    }
}

/// Connects to where `settings` say.
///
/// Blocks, but not longer than `patience`.
///
/// # Errors
/// [`SinkError`].
pub fn open(settings: &InputSettings, patience: &Patience) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match &settings.choice {
        InputChoice::Auto => spice::usb::connect(&USUAL_SPICE, &settings.password, patience)?.0,
        InputChoice::SpiceUsb(endpoint) => match spice::usb::connect(endpoint, &settings.password, patience)? {
            (sink, true) => sink,
            (_, false) => return Err(SinkError::Missing("usbredir channel (give it a usb-redir device on spicevmc)")),
        },
        InputChoice::UsbHid(endpoint) => Box::new(UsbHidSink::connect(endpoint, patience)?),
        InputChoice::Spice(endpoint) => {
            Box::new(SpiceSink::connect(endpoint, &settings.password, settings.mouse, patience)?)
        }
        InputChoice::Qmp(path) => Box::new(QmpSink::connect(path, patience)?),
        InputChoice::Uinput => Box::new(UinputSink::create()?),
        InputChoice::None => return Err(SinkError::Missing("way that was asked for")),
    })
}
