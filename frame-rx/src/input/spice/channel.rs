//! One linked channel: messages with the mini header (16 bits of type, 32 bits of size), and what every channel must
//! answer by itself: pings and windows of acknowledgement.

use crate::input::sink::SinkError;
use crate::input::wire::{Patience, Wire};
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;

/// Bytes of the mini header.
const HEADER: usize = 6;
/// Longest message. Unit: bytes. The start-up ping of the main channel has 256,012.
const SIZE_MAX: u32 = 1 << 20;
/// Bytes of a message that are kept; nothing that matters here is longer.
const KEPT: usize = 256;

/// Longest message of a channel whose messages are kept whole. Unit: bytes. spice-server reads 64 KiB at once.
const WHOLE_MAX: u32 = 96 << 10;

/// Longest message of a channel with pictures: more than an 8K screen unpacked. Unit: bytes.
const PICTURE_MAX: u32 = 256 << 20;

/// Looks at the stream between two looks at anything else.
const ROUNDS: u32 = 256;

/// Messages of every channel.
mod common {
    pub const MIGRATE: u16 = 1;
    pub const SET_ACK: u16 = 3;
    pub const PING: u16 = 4;
    pub const DISCONNECTING: u16 = 6;
    pub const ACK_SYNC: u16 = 1;
    pub const ACK: u16 = 2;
    pub const PONG: u16 = 3;
}

/// A message of the server, its first bytes at least.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its type.
    pub kind: u16,
    body: Vec<u8>,
}

impl Message {
    /// The first bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A 16-bit number in it.
    pub fn u16_at(&self, at: usize) -> Result<u16, SinkError> {
        let bytes: Option<[u8; 2]> = self.body.get(at..at + 2).and_then(|b| b.try_into().ok());
        bytes.map(u16::from_le_bytes).ok_or(SinkError::Garbage("a message is too short"))
    }

    /// A 32-bit number in it.
    pub fn u32_at(&self, at: usize) -> Result<u32, SinkError> {
        let bytes: Option<[u8; 4]> = self.body.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or(SinkError::Garbage("a message is too short"))
    }
}

#[derive(Debug)]
pub(super) struct Channel {
    wire: Wire,
    /// A message on its way out.
    message: Vec<u8>,
    size_max: u32,
    kept: usize,
    /// Bytes of a message still to be passed over.
    skip: usize,
    /// Acknowledge after so many messages; 0 for never.
    ack_window: u32,
    unacknowledged: u32,
    /// Whether looking ended before everything that had come was looked at.
    has_more: bool,
}

impl Channel {
    pub fn new(wire: Wire) -> Channel {
        Channel {
            wire,
            message: Vec::with_capacity(1 << 10),
            size_max: SIZE_MAX,
            kept: KEPT,
            skip: 0,
            ack_window: 0,
            unacknowledged: 0,
            has_more: false,
        }
    }

    /// The same, with messages kept whole: their bodies are a stream.
    pub fn keeping_all(self) -> Channel {
        Channel { size_max: WHOLE_MAX, kept: WHOLE_MAX as usize, ..self }
    }

    /// The same, for one whose messages may be pictures, of which nothing is kept.
    pub fn passing_over(self) -> Channel {
        Channel { size_max: PICTURE_MAX, ..self }
    }

    pub fn room(&self) -> usize {
        self.wire.room().saturating_sub(HEADER)
    }

    pub fn has_room(&self, bytes: usize) -> bool {
        self.wire.has_room(bytes)
    }

    pub fn descriptor(&self) -> (BorrowedFd<'_>, bool) {
        self.wire.descriptor()
    }

    pub fn due(&self) -> Option<HostTime> {
        if self.has_more { Some(HostTime::ZERO) } else { self.wire.due() }
    }

    /// Sends one message, header and body together.
    pub fn send(&mut self, kind: u16, body: &[u8], now: HostTime) -> Result<(), SinkError> {
        let size = u32::try_from(body.len()).map_err(|_| SinkError::Garbage("own message"))?;
        self.message.clear();
        self.message.extend_from_slice(&kind.to_le_bytes());
        self.message.extend_from_slice(&size.to_le_bytes());
        self.message.extend_from_slice(body);
        self.wire.send(&self.message, now)
    }

    /// The next message that is not answered here; nothing if none has come whole, or if a server that talks without
    /// end has been listened to long enough.
    pub fn next(&mut self, now: HostTime) -> Result<Option<Message>, SinkError> {
        self.wire.flush(now)?;
        self.has_more = false;
        for _ in 0..ROUNDS {
            let Some(message) = self.take() else {
                if self.skip > 0 {
                    let n = self.skip.min(self.wire.incoming().len());
                    self.wire.consume(n);
                    self.skip -= n;
                    // Behind it may lie a whole message.
                    if n > 0 {
                        continue;
                    }
                }
                self.check_size()?;
                if self.wire.receive()? {
                    continue;
                }
                return Ok(None);
            };
            self.count(now)?;
            if let Some(message) = self.answer(message, now)? {
                return Ok(Some(message));
            }
        }
        self.has_more = true;
        Ok(None)
    }

    /// Waits for the message `kind`; others before it are passed over.
    pub fn wait_for(&mut self, kind: u16, patience: &Patience) -> Result<Message, SinkError> {
        loop {
            while let Some(message) = self.next(clock::now())? {
                if message.kind == kind {
                    return Ok(message);
                }
            }
            if !self.has_more {
                let have = self.wire.incoming().len();
                self.wire.need(have + 1, patience)?;
            }
            if clock::now() > patience.until {
                return Err(SinkError::Silent);
            }
        }
    }

    fn header(&self) -> Option<(u16, u32)> {
        let bytes: [u8; HEADER] = self.wire.incoming().get(..HEADER)?.try_into().ok()?;
        let [a, b, c, d, e, f] = bytes;
        (self.skip == 0).then_some((u16::from_le_bytes([a, b]), u32::from_le_bytes([c, d, e, f])))
    }

    fn check_size(&self) -> Result<(), SinkError> {
        match self.header() {
            Some((_, size)) if size > self.size_max => {
                Err(SinkError::TooLarge { got: size.into(), max: self.size_max.into() })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self) -> Option<Message> {
        let (kind, size) = self.header()?;
        if size > self.size_max {
            return None;
        }
        let size = usize::try_from(size).ok()?;
        let kept = size.min(self.kept);
        let body = self.wire.incoming().get(HEADER..HEADER + kept)?.to_vec();
        self.wire.consume(HEADER + kept);
        self.skip = size - kept;
        Some(Message { kind, body })
    }

    fn count(&mut self, now: HostTime) -> Result<(), SinkError> {
        if self.ack_window == 0 {
            return Ok(());
        }
        self.unacknowledged += 1;
        if self.unacknowledged < self.ack_window {
            return Ok(());
        }
        self.unacknowledged = 0;
        self.send(common::ACK, &[], now)
    }

    fn answer(&mut self, message: Message, now: HostTime) -> Result<Option<Message>, SinkError> {
        match message.kind {
            common::SET_ACK => {
                let generation = message.u32_at(0)?;
                self.ack_window = message.u32_at(4)?;
                self.unacknowledged = 0;
                self.send(common::ACK_SYNC, &generation.to_le_bytes(), now)?;
            }
            common::PING => {
                let stamp = message.body().get(..12).ok_or(SinkError::Garbage("ping"))?.to_vec();
                // A flood of pings is answered as far as there is room for it.
                if self.wire.has_room(HEADER + 12) {
                    self.send(common::PONG, &stamp, now)?;
                }
            }
            common::MIGRATE | common::DISCONNECTING => return Err(SinkError::Closed),
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }
}
