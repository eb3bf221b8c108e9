//! The virtual USB device through a SPICE server's usbredir channel, with the server's inputs channel for as long as the
//! guest has no driver for the device: in firmware, in a boot loader, while it reboots.
//!
//! Messages of that channel are pieces of one usbredir stream. Source: SPICE protocol, channel type 9 (`spicevmc`).

use super::channel::Channel;
use super::{MESSAGES, Password, SpiceSink, kind, link};
use crate::input::CodeSet;
use crate::input::address::Endpoint;
use crate::input::frame::{Edge, MouseMode};
use crate::input::sink::{Caps, DESCRIPTORS, News, Sent, Sink, SinkError, Step};
use crate::input::usbhid::Plug;
use crate::input::usbhid::device::STEP_MAX;
use crate::input::usbhid::{SHELTER, each, put_sheltered};
use crate::input::wire::Patience;
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;

/// A piece of the stream, in either direction.
const DATA: u16 = 101;

/// See the module.
#[derive(Debug)]
pub struct SpiceUsbSink {
    spice: SpiceSink,
    usb: Channel,
    plug: Plug,
    /// A message on its way out.
    message: Vec<u8>,
    /// Pressed through the inputs channel.
    held: CodeSet,
    /// Ever pressed there. A release that a machine which stood still threw away is not told of there, so whatever releases
    /// one of these on the device releases it there, too.
    passed: CodeSet,
}

/// Connects to the server. Gives the sink, and whether it has the device: a server without a usbredir channel that can be
/// had serves through its inputs channel alone.
///
/// Blocks, but not longer than `patience`.
///
/// # Errors
/// [`SinkError`].
pub fn connect(to: &Endpoint, password: &Password, patience: &Patience) -> Result<(Box<dyn Sink>, bool), SinkError> {
    // Places are the device's own.
    let opened = SpiceSink::open(to, password, MouseMode::Relative, patience)?;
    let link = |id| link::link(to, (kind::USB, id), opened.session, password, patience).ok();
    let Some(usb) = opened.usb.iter().find_map(|id| link(*id)) else { return Ok((Box::new(opened.sink), false)) };
    let (usb, plug) = (usb.keeping_all(), Plug::new());
    let (spice, message) = (opened.sink, Vec::with_capacity(256));
    let mut sink = SpiceUsbSink { spice, usb, plug, message, held: CodeSet::EMPTY, passed: CodeSet::EMPTY };
    sink.flush(clock::now())?;
    Ok((Box::new(sink), true))
}

impl SpiceUsbSink {
    fn flush(&mut self, now: HostTime) -> Result<(), SinkError> {
        if self.plug.out.is_empty() {
            return Ok(());
        }
        let (usb, message) = (&mut self.usb, &mut self.message);
        let sent = each(&self.plug.out).try_for_each(|packet| {
            message.clear();
            put_sheltered(packet, message);
            usb.send(DATA, message, now)
        });
        self.plug.out.clear();
        sent
    }

    /// Bytes of packets that there is room for.
    fn room(&self) -> usize {
        self.usb.room() / SHELTER
    }

    fn hear(&mut self, now: HostTime) -> Result<(), SinkError> {
        for _ in 0..MESSAGES {
            let Some(message) = self.usb.next(now)? else { break };
            if message.kind == DATA {
                let taken = self.plug.hear(message.body(), self.room(), now)?;
                if taken < message.body().len() {
                    return Err(SinkError::Garbage("it asks more than it listens to"));
                }
                self.flush(now)?;
            }
        }
        Ok(())
    }

    /// The guest began or ceased to listen to the device: what is held on either way is released there.
    fn switch(&mut self, now: HostTime) -> Result<(), SinkError> {
        for code in core::mem::take(&mut self.held).in_release_order() {
            self.spice.send(&Step::Edge(Edge { code, is_down: false }), now)?;
        }
        self.plug.device.release_all(now, &mut self.plug.out);
        self.flush(now)
    }

    fn is_release_of_passed(&self, step: &Step) -> bool {
        matches!(step, Step::Edge(edge) if !edge.is_down && self.passed.contains(edge.code))
    }

    fn is_for_device(&self, step: &Step) -> bool {
        match step {
            Step::Edge(edge) if !edge.code.is_button() => self.plug.lanes().keyboard,
            _ => self.plug.lanes().pointer,
        }
    }
}

impl Sink for SpiceUsbSink {
    fn way(&self) -> &'static str {
        "spice-usb"
    }

    fn caps(&self) -> Caps {
        let (device, inputs) = (self.plug.caps(), self.spice.caps());
        let lanes = self.plug.lanes();
        let key_gap = if lanes.keyboard { device.key_gap } else { inputs.key_gap };
        Caps { key_gap, ..if lanes.pointer { device } else { inputs } }
    }

    /// What goes to the device is kept for the guest until the machine runs; what went past it may not have been.
    fn tells_stops(&self) -> bool {
        self.plug.lanes().keyboard && self.plug.lanes().pointer && self.passed.is_empty()
    }

    fn takes_motion(&self) -> bool {
        self.plug.lanes().pointer || self.spice.takes_motion()
    }

    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError> {
        if self.is_for_device(step) {
            if self.room() < STEP_MAX {
                return Ok(Sent::Busy);
            }
            if self.is_release_of_passed(step) && self.spice.send(step, now)? == Sent::Busy {
                return Ok(Sent::Busy);
            }
            let sent = self.plug.send(step, now);
            self.flush(now)?;
            return Ok(sent);
        }
        let sent = self.spice.send(step, now)?;
        if let (Step::Edge(edge), Sent::Taken) = (step, sent) {
            if edge.is_down {
                self.held.insert(edge.code);
                self.passed.insert(edge.code);
            } else {
                self.held.remove(edge.code);
            }
        }
        Ok(sent)
    }

    fn pump(&mut self, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        let is_live = self.plug.lanes().keyboard;
        // The server makes its lamps from whatever keyboard it has; the device's are its own.
        self.spice.pump(now, &mut |news| match news {
            News::Leds(_) if is_live => {}
            news => tell(news),
        })?;
        self.hear(now)?;
        self.plug.device.tick(now, &mut self.plug.out);
        self.flush(now)?;
        if self.plug.tell(tell) {
            self.switch(now)?;
            tell(News::Caps);
        }
        Ok(())
    }

    /// What went to the device ends with it; the inputs channel may have had a part of it.
    fn ask_delivery(&mut self, now: HostTime) -> Result<(), SinkError> {
        self.spice.ask_delivery(now)
    }

    fn has_delivered(&self) -> bool {
        self.spice.has_delivered()
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        let [main, inputs, _] = self.spice.descriptors();
        [main, inputs, Some(self.usb.descriptor())]
    }

    fn due(&self) -> Option<HostTime> {
        [self.spice.due(), self.usb.due(), self.plug.device.due()].into_iter().flatten().min()
    }
}
