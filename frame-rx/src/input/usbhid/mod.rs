//! Keyboard and mouse as a USB device of our own, plugged into the guest by usbredir: every key, 16 buttons, 1/120 of a
//! detent on both wheels, motion and places, lamps. Guests use the drivers they have, and when this program dies the
//! device is unplugged, so nothing stays pressed.
//!
//! ```text
//! Step -> device (pure) -> usbredir packets -> a socket of QEMU's (`-chardev socket` with `-device usb-redir`), or the
//!                                              usbredir channel of its SPICE server (`spice/usb.rs`)
//! ```
//!
//! QEMU keeps what the guest has not fetched yet and tells nothing of it: after 2000 packets of one endpoint it drops
//! until 1000 are left. So the pacer before this sink keeps to what a guest fetches.

pub mod descriptors;
pub mod device;

mod control;
mod packet;
mod reports;

use super::address::Endpoint;
use super::sink::{Caps, DESCRIPTORS, Leds, News, Sent, Sink, SinkError, Step};
use super::wire::{Patience, Wire};
use core::time::Duration;
use device::{ANSWER_MAX, Device, Lanes, STEP_MAX};
pub(super) use packet::{SHELTER, each, put_sheltered};
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;

/// Least time between two reports of motion, and between two of keys: that of the mice and keyboards that systems are made
/// for. A guest that stood still gets all that waited at once, and its own queues (64 events of Linux's evdev) are short.
const GAP: Duration = Duration::from_millis(1);
/// Looks at the stream between two looks at anything else.
const ROUNDS: u32 = 16;

/// A device with what it has to say, and what was told of it.
#[derive(Debug)]
pub(super) struct Plug {
    pub device: Device,
    /// Bytes for the other side.
    pub out: Vec<u8>,
    lanes: Lanes,
    leds: Leds,
    wheel_units: i32,
}

impl Plug {
    /// A device that says HELLO.
    pub fn new() -> Plug {
        let mut out = Vec::with_capacity(2 * (ANSWER_MAX + STEP_MAX));
        let device = Device::new(&mut out);
        Plug { device, out, lanes: Lanes::default(), leds: Leds::default(), wheel_units: 1 }
    }

    /// Takes in bytes, as many packets as may be answered within `room`. How many were taken.
    ///
    /// # Errors
    /// As [`Device::hear`].
    pub fn hear(&mut self, bytes: &[u8], room: usize, now: HostTime) -> Result<usize, SinkError> {
        let mut at = 0;
        while at < bytes.len() && self.out.len() + ANSWER_MAX <= room {
            at += self.device.hear(&bytes[at..], now, &mut self.out)?;
        }
        Ok(at)
    }

    /// Does one step.
    pub fn send(&mut self, step: &Step, now: HostTime) -> Sent {
        match step {
            Step::Edge(edge) => self.device.edge(*edge, now, &mut self.out),
            Step::Move(moved) => {
                self.device.moved(moved, now, &mut self.out);
                Sent::Taken
            }
        }
    }

    /// What the guest listened to when news were told last.
    pub fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Tells what is new. Whether what the guest listens to changed.
    pub fn tell(&mut self, tell: &mut dyn FnMut(News)) -> bool {
        let (lanes, leds, units) = (self.device.lanes(), self.device.leds(), self.device.wheel_units());
        if core::mem::replace(&mut self.leds, leds) != leds {
            tell(News::Leds(leds));
        }
        if core::mem::replace(&mut self.wheel_units, units) != units {
            tell(News::Caps);
        }
        core::mem::replace(&mut self.lanes, lanes) != lanes
    }

    /// What it carries now.
    pub fn caps(&self) -> Caps {
        Caps {
            motion: true,
            position: true,
            wheel_units: self.device.wheel_units(),
            horizontal: true,
            key_gap: GAP,
            motion_gap: GAP,
        }
    }
}

/// The device at the end of a socket of its own.
#[derive(Debug)]
pub struct UsbHidSink {
    wire: Wire,
    plug: Plug,
    /// Whether the guest is said to listen.
    told_live: bool,
}

impl UsbHidSink {
    /// Connects and plugs the device in. The guest's driver finds it later.
    ///
    /// Blocks, but not longer than `patience`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn connect(to: &Endpoint, patience: &Patience) -> Result<UsbHidSink, SinkError> {
        let mut sink = UsbHidSink { wire: Wire::connect(to, patience)?, plug: Plug::new(), told_live: false };
        sink.flush(clock::now())?;
        while !sink.plug.device.is_met() {
            let have = sink.wire.incoming().len();
            sink.wire.need(have + 1, patience)?;
            sink.hear(clock::now())?;
        }
        Ok(sink)
    }

    fn hear(&mut self, now: HostTime) -> Result<(), SinkError> {
        let taken = self.plug.hear(self.wire.incoming(), self.wire.room(), now)?;
        self.wire.consume(taken);
        self.flush(now)
    }

    fn flush(&mut self, now: HostTime) -> Result<(), SinkError> {
        let sent = self.wire.send(&self.plug.out, now);
        self.plug.out.clear();
        sent
    }
}

impl Sink for UsbHidSink {
    fn way(&self) -> &'static str {
        "usbhid"
    }

    fn caps(&self) -> Caps {
        self.plug.caps()
    }

    fn is_heard(&self) -> bool {
        self.told_live
    }

    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError> {
        if !self.wire.has_room(STEP_MAX) {
            return Ok(Sent::Busy);
        }
        let sent = self.plug.send(step, now);
        self.flush(now)?;
        Ok(sent)
    }

    fn pump(&mut self, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        self.wire.flush(now)?;
        for _ in 0..ROUNDS {
            self.hear(now)?;
            if !self.wire.receive()? {
                break;
            }
        }
        self.hear(now)?;
        self.plug.device.tick(now, &mut self.plug.out);
        self.flush(now)?;
        self.plug.tell(tell);
        let is_live = self.plug.lanes().any();
        if core::mem::replace(&mut self.told_live, is_live) != is_live {
            tell(if is_live { News::Running } else { News::Stopped });
        }
        Ok(())
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        [Some(self.wire.descriptor()), None, None]
    }

    fn due(&self) -> Option<HostTime> {
        [self.wire.due(), self.plug.device.due()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
