//! QEMU's monitor protocol as a sink: `input-send-event`. It reaches whatever keyboard, mouse or tablet the machine has,
//! relative and absolute; it releases nothing when its client dies, and it goes through QEMU's main loop.
//!
//! Source: QEMU's QAPI reference (`input-send-event`, `query-mice`, events STOP and RESUME). One client at a time, so
//! the socket should be one of its own: `-qmp unix:PATH,server=on,wait=off`.

use super::Code;
use super::address::Endpoint;
use super::frame::{Edge, Position};
use super::keymap;
use super::sink::{Caps, DESCRIPTORS, Move, News, Sent, Sink, SinkError, Step};
use super::wire::{Patience, Wire};
use core::fmt::Write;
use core::time::Duration;
use rx_host::clock;
use serde_json::Value;
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Commands that may be unanswered before motion is kept back.
const WINDOW: usize = 8;
/// Longest line that is listened to. Unit: bytes.
const LINE_MAX: usize = 64 << 10;
/// Room for the longest command.
const STEP_BYTES: usize = 8 << 10;
/// Lines heard between two looks at anything else.
const LINES: u32 = 64;
/// Detents sent at once, at most.
const DETENTS: i32 = 16;
/// Between two questions which mice the machine has.
const MICE_EVERY: Duration = Duration::from_secs(2);

const ASK_MICE: &str = "{\"execute\":\"query-mice\",\"id\":\"mice\"}\n";
const ASK_STATUS: &str = "{\"execute\":\"query-status\",\"id\":\"status\"}\n";

/// See the module.
#[derive(Debug)]
pub struct QmpSink {
    wire: Wire,
    outstanding: usize,
    has_relative: bool,
    has_absolute: bool,
    ask_mice_at: HostTime,
    line: String,
}

impl QmpSink {
    /// Connects and asks which mice there are.
    ///
    /// Blocks, but not longer than `patience`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn connect(path: &Path, patience: &Patience) -> Result<QmpSink, SinkError> {
        let wire = Wire::connect(&Endpoint::Unix(path.to_owned()), patience)?;
        let mut sink = QmpSink {
            wire,
            outstanding: 0,
            has_relative: true,
            has_absolute: false,
            ask_mice_at: clock::now() + MICE_EVERY,
            line: String::with_capacity(STEP_BYTES),
        };
        sink.wait_greeting(patience)?;
        sink.wire.send(b"{\"execute\":\"qmp_capabilities\"}\n", clock::now())?;
        sink.wait_return(patience)?;
        sink.wire.send(ASK_MICE.as_bytes(), clock::now())?;
        let mice = sink.wait_return(patience)?;
        sink.learn_mice(&mice);
        // The answer comes as news: a machine that is stopped takes no input.
        sink.wire.send(ASK_STATUS.as_bytes(), clock::now())?;
        Ok(sink)
    }

    /// A monitor whose last client has just gone may have an event or an answer for that one on its way: it is passed over.
    /// Seen with QEMU 7.2, once.
    fn wait_greeting(&mut self, patience: &Patience) -> Result<(), SinkError> {
        loop {
            let line = self.wait_line(patience)?;
            let has = |name: &str| line.get(name).is_some();
            if has("QMP") {
                return Ok(());
            } else if !(has("event") || has("return") || has("error")) {
                return Err(SinkError::Garbage("it is no QMP monitor"));
            } else if patience.until < clock::now() {
                return Err(SinkError::Silent);
            }
        }
    }

    fn wait_line(&mut self, patience: &Patience) -> Result<Value, SinkError> {
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(line);
            }
            let have = self.wire.incoming().len();
            self.wire.need(have + 1, patience)?;
        }
    }

    fn wait_return(&mut self, patience: &Patience) -> Result<Value, SinkError> {
        loop {
            let mut line = self.wait_line(patience)?;
            if line.get("error").is_some() {
                return Err(SinkError::Garbage("it refuses a command that every QEMU knows"));
            }
            if let Some(value) = line.get_mut("return") {
                return Ok(value.take());
            }
            if patience.until < clock::now() {
                return Err(SinkError::Silent);
            }
        }
    }

    /// The next whole line, as JSON.
    fn take_line(&mut self) -> Result<Option<Value>, SinkError> {
        let incoming = self.wire.incoming();
        let Some(end) = incoming.iter().position(|byte| *byte == b'\n') else {
            let got = incoming.len();
            let is_too_long = got > LINE_MAX;
            let error = SinkError::TooLarge { got: got as u64, max: LINE_MAX as u64 };
            return if is_too_long { Err(error) } else { Ok(None) };
        };
        let value = incoming.get(..end).map(serde_json::from_slice);
        self.wire.consume(end + 1);
        match value {
            Some(Ok(value)) => Ok(Some(value)),
            _ => Err(SinkError::Garbage("a line is no JSON")),
        }
    }

    /// Whether what is known about mice changed.
    fn learn_mice(&mut self, mice: &Value) -> bool {
        let mice = mice.as_array().map(Vec::as_slice).unwrap_or_default();
        let is_absolute = |mouse: &Value| mouse.get("absolute").and_then(Value::as_bool) == Some(true);
        let before = (self.has_relative, self.has_absolute);
        self.has_absolute = mice.iter().any(is_absolute);
        self.has_relative = mice.iter().any(|mouse| !is_absolute(mouse));
        before != (self.has_relative, self.has_absolute)
    }

    fn hear(&mut self, line: &Value, tell: &mut dyn FnMut(News)) {
        match line.get("event").and_then(Value::as_str) {
            Some("STOP" | "SUSPEND") => return tell(News::Stopped),
            Some("RESUME" | "WAKEUP") => return tell(News::Running),
            Some(_) => return,
            None => {}
        }
        match line.get("id").and_then(Value::as_str) {
            Some("mice") => {
                let mice = line.get("return").cloned().unwrap_or_default();
                if self.learn_mice(&mice) {
                    tell(News::Caps);
                }
            }
            Some("status") => {
                let is_running = line.get("return").and_then(|r| r.get("running")).and_then(Value::as_bool);
                if is_running == Some(false) {
                    tell(News::Stopped);
                }
            }
            _ => {
                self.outstanding = self.outstanding.saturating_sub(1);
                if line.get("error").is_some() {
                    // The mouse went, or the machine stopped: the next answer says which.
                    self.ask_mice_at = HostTime::ZERO;
                }
            }
        }
    }

    /// Begins a command whose events follow.
    fn begin(&mut self) {
        self.line.clear();
        self.line.push_str("{\"execute\":\"input-send-event\",\"arguments\":{\"events\":[");
    }

    fn event(&mut self, event: core::fmt::Arguments<'_>) {
        if !self.line.ends_with('[') {
            self.line.push(',');
        }
        // Writing into a String cannot fail.
        let _ = self.line.write_fmt(event);
    }

    fn button(&mut self, name: &str, is_down: bool) {
        self.event(format_args!("{{\"type\":\"btn\",\"data\":{{\"down\":{is_down},\"button\":\"{name}\"}}}}"));
    }

    fn axis(&mut self, kind: &str, axis: &str, value: i32) {
        self.event(format_args!("{{\"type\":\"{kind}\",\"data\":{{\"axis\":\"{axis}\",\"value\":{value}}}}}"));
    }

    fn end(&mut self, now: HostTime) -> Result<Sent, SinkError> {
        if self.line.ends_with('[') {
            return Ok(Sent::Taken);
        }
        self.line.push_str("]}}\n");
        self.wire.send(self.line.as_bytes(), now)?;
        self.outstanding += 1;
        Ok(Sent::Taken)
    }

    fn edge(&mut self, edge: Edge, now: HostTime) -> Result<Sent, SinkError> {
        let Edge { code, is_down } = edge;
        self.begin();
        if code.is_button() {
            let Some(name) = button(code) else { return Ok(Sent::Unknown) };
            self.button(name, is_down);
        } else {
            let Some(name) = keymap::qcode(code) else { return Ok(Sent::Unknown) };
            self.event(format_args!(
                "{{\"type\":\"key\",\"data\":{{\"down\":{is_down},\"key\":{{\"type\":\"qcode\",\"data\":\"{name}\"}}}}}}"
            ));
        }
        self.end(now)
    }

    fn moved(&mut self, moved: &Move, now: HostTime) -> Result<Sent, SinkError> {
        self.begin();
        if let Some(Position { x, y }) = moved.position {
            self.axis("abs", "x", x.into());
            self.axis("abs", "y", y.into());
        }
        if moved.motion.dx != 0 {
            self.axis("rel", "x", moved.motion.dx);
        }
        if moved.motion.dy != 0 {
            self.axis("rel", "y", moved.motion.dy);
        }
        self.end(now)?;
        // A device counts a wheel once in each command, so each detent is one of its own.
        let wheels =
            [(moved.wheel.vertical, "wheel-up", "wheel-down"), (moved.wheel.horizontal, "wheel-right", "wheel-left")];
        for (detents, more, less) in wheels {
            let name = if detents > 0 { more } else { less };
            for _ in 0..detents.saturating_abs().min(DETENTS) {
                self.begin();
                self.button(name, true);
                self.end(now)?;
                self.begin();
                self.button(name, false);
                self.end(now)?;
            }
        }
        Ok(Sent::Taken)
    }
}

impl Sink for QmpSink {
    fn way(&self) -> &'static str {
        "qmp"
    }

    fn caps(&self) -> Caps {
        Caps {
            motion: self.has_relative,
            position: self.has_absolute,
            wheel_units: 1,
            horizontal: true,
            key_gap: Duration::from_millis(1),
            motion_gap: Duration::from_millis(1),
        }
    }

    fn keeps_held(&self) -> bool {
        true
    }

    fn takes_motion(&self) -> bool {
        self.outstanding < WINDOW
    }

    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError> {
        if !self.wire.has_room(STEP_BYTES) {
            return Ok(Sent::Busy);
        }
        match step {
            Step::Edge(edge) => self.edge(*edge, now),
            Step::Move(moved) => self.moved(moved, now),
        }
    }

    fn pump(&mut self, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        self.wire.flush(now)?;
        if now >= self.ask_mice_at && self.wire.has_room(STEP_BYTES) {
            self.ask_mice_at = now + MICE_EVERY;
            self.wire.send(ASK_MICE.as_bytes(), now)?;
        }
        for _ in 0..LINES {
            match self.take_line()? {
                Some(line) => self.hear(&line, tell),
                None if self.wire.receive()? => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        [Some(self.wire.descriptor()), None, None]
    }

    /// QEMU forgets commands that wait when their client goes: only an answer says that one was carried out.
    fn has_delivered(&self) -> bool {
        self.outstanding == 0
    }

    fn due(&self) -> Option<HostTime> {
        let has_line = self.wire.incoming().contains(&b'\n');
        let ask = if has_line { HostTime::ZERO } else { self.ask_mice_at };
        Some(self.wire.due().map_or(ask, |due| due.min(ask)))
    }
}

fn button(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::LEFT => "left",
        Code::RIGHT => "right",
        Code::MIDDLE => "middle",
        Code::SIDE | Code::BACK => "side",
        Code::EXTRA | Code::FORWARD => "extra",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "qmp_tests.rs"]
mod tests;
