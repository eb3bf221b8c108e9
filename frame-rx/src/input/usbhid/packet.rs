//! Packets of usbredir: type, length, id, body; all numbers little-endian and unaligned. Only framing: what a packet
//! means is `device.rs`'s to say.
//!
//! The other side is not trusted: of a body the first bytes are kept and the rest is passed over, a length beyond all
//! limits ends the connection, and nothing grows with a number that came from there. Source: the usbredir protocol
//! description (version 0.7), and measurements against QEMU 7.2.

use crate::input::sink::SinkError;

/// Types of packets.
pub mod kind {
    pub const HELLO: u32 = 0;
    pub const DEVICE_CONNECT: u32 = 1;
    pub const RESET: u32 = 3;
    pub const INTERFACE_INFO: u32 = 4;
    pub const EP_INFO: u32 = 5;
    pub const SET_CONFIGURATION: u32 = 6;
    pub const GET_CONFIGURATION: u32 = 7;
    pub const CONFIGURATION_STATUS: u32 = 8;
    pub const SET_ALT_SETTING: u32 = 9;
    pub const GET_ALT_SETTING: u32 = 10;
    pub const ALT_SETTING_STATUS: u32 = 11;
    pub const ISO_STATUS: u32 = 14;
    pub const START_INTERRUPT: u32 = 15;
    pub const STOP_INTERRUPT: u32 = 16;
    pub const INTERRUPT_STATUS: u32 = 17;
    pub const CANCEL: u32 = 21;
    pub const FILTER_REJECT: u32 = 22;
    pub const CONTROL: u32 = 100;
    pub const BULK: u32 = 101;
    pub const INTERRUPT: u32 = 103;
}

/// Bits of the capabilities.
pub mod cap {
    pub const DEVICE_VERSION: u32 = 1 << 1;
    pub const FILTER: u32 = 1 << 2;
    pub const EP_MAX_PACKET: u32 = 1 << 4;
    pub const WIDE_IDS: u32 = 1 << 5;
    pub const WIDE_BULK: u32 = 1 << 6;
}

/// Bytes of the version text in a HELLO.
pub const VERSION_BYTES: usize = 64;
/// Bytes of a body that are kept: a HELLO with many capabilities; nothing else that matters is as long.
pub const KEPT: usize = 256;
/// Longest body that is passed over. Unit: bytes. QEMU's longest, a bulk transfer of its USB core, stays below.
pub const BODY_MAX: u32 = 1 << 20;
/// Bytes of a header with an id of 32 bits, as HELLO has it, and with one of 64 bits, as all others have.
const NARROW: usize = 12;
const WIDE: usize = 16;

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its type.
    pub kind: u32,
    /// Which request it is, or is the answer to.
    pub id: u64,
}

/// Cuts a stream of bytes, in pieces of any size, into packets.
#[derive(Debug)]
pub struct Parser {
    /// The packet that is coming: its header and the kept part of its body.
    bytes: Vec<u8>,
    /// Bytes of the last packet still to be passed over.
    skip: usize,
    /// Whether the packet in `bytes` was given out.
    is_given: bool,
    is_wide: bool,
}

impl Parser {
    /// At the begin of a stream.
    pub fn new() -> Parser {
        Parser { bytes: Vec::with_capacity(WIDE + KEPT), skip: 0, is_given: false, is_wide: false }
    }

    /// From now on ids have 64 bits: both sides said HELLO.
    pub fn widen(&mut self) {
        self.is_wide = true;
    }

    fn head_bytes(&self) -> usize {
        if self.is_wide { WIDE } else { NARROW }
    }

    /// Takes in bytes up to the end of one packet. How many were taken, and the packet if it is whole; its body is then
    /// [`Parser::body`] until the next call.
    ///
    /// # Errors
    /// [`SinkError::TooLarge`].
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, Option<Head>), SinkError> {
        if core::mem::take(&mut self.is_given) {
            self.bytes.clear();
        }
        let passed = self.skip.min(input.len());
        self.skip -= passed;
        let mut taken = passed;
        let head = self.head_bytes();
        taken += self.fill(input.get(taken..).unwrap_or_default(), head);
        let Some((found, length)) = self.head() else { return Ok((taken, None)) };
        if length > BODY_MAX {
            return Err(SinkError::TooLarge { got: length.into(), max: BODY_MAX.into() });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kept = length.min(KEPT);
        taken += self.fill(input.get(taken..).unwrap_or_default(), head + kept);
        if self.bytes.len() < head + kept {
            return Ok((taken, None));
        }
        self.skip = length - kept;
        self.is_given = true;
        Ok((taken, Some(found)))
    }

    /// The body of the packet that was given last, its first [`KEPT`] bytes at most.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head_bytes()..).unwrap_or_default()
    }

    /// Adds bytes until there are `until`. How many were added.
    fn fill(&mut self, input: &[u8], until: usize) -> usize {
        let n = until.saturating_sub(self.bytes.len()).min(input.len());
        self.bytes.extend_from_slice(&input[..n]);
        n
    }

    fn head(&self) -> Option<(Head, u32)> {
        let (kind, length) = (u32_at(&self.bytes, 0)?, u32_at(&self.bytes, 4)?);
        let low = u64::from(u32_at(&self.bytes, 8)?);
        let high = if self.is_wide { u64::from(u32_at(&self.bytes, 12)?) } else { 0 };
        Some((Head { kind, id: low | high << 32 }, length))
    }
}

/// A 16-bit number in a body; 0 where it ends before.
pub fn u16_at(body: &[u8], at: usize) -> u16 {
    let bytes: Option<[u8; 2]> = body.get(at..at + 2).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u16::from_le_bytes)
}

/// A 32-bit number in a body.
pub fn u32_at(body: &[u8], at: usize) -> Option<u32> {
    let bytes: Option<[u8; 4]> = body.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map(u32::from_le_bytes)
}

/// Appends a packet whose id has 64 bits.
pub fn put(out: &mut Vec<u8>, kind: u32, id: u64, body: &[&[u8]]) {
    let length: usize = body.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&kind.to_le_bytes());
    // Our own bodies have a few hundred bytes.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// Our own packets, each whole.
pub fn each(mut packets: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (kind, length) = (u32_at(packets, 0)?, u32_at(packets, 4)?);
        let head = if kind == kind::HELLO { NARROW } else { WIDE };
        let size = head.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(packets.len());
        let (packet, others) = packets.split_at(size);
        packets = others;
        Some(packet)
    })
}

/// An endpoint that other sides are told of and guests are not: what goes there is dropped without a word.
pub const NOWHERE: u8 = 0x85;
/// What stands in front of a report: the endpoint that all have streams no sound, as it never did. The end of its id and
/// its body are, where ids are short, the type of a report.
const FRONT: [u8; 18] = [kind::ISO_STATUS as u8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, SPAN, 0, 0, 0];
/// And where ids are short a report's type is the length of that one. Unit: bytes.
const SPAN: u8 = kind::INTERRUPT as u8;
/// The longest packet of a report that [`put_sheltered`] makes one that does no harm. Unit: bytes.
const REPORT_MAX: usize = 8 + SPAN as usize - WIDE - 4;
/// So many times longer a sheltered packet may be than the packet itself, with the header of a message.
pub const SHELTER: usize = 7;

/// Appends one of our own packets for a SPICE server. What a stopped machine did not take that server keeps when its client
/// has gone, and gives it to QEMU in front of the next client's HELLO, where ids still have 32 bits; and QEMU 7.2 aborts
/// over a stream that does not fit. So each report becomes one message that is whole packets in both readings:
///
/// ```text
/// 64 bits  | front: endpoint 0 streams no sound   | the report            | to nowhere: dropped |
/// 32 bits  | the same      | a report to nowhere, which is there not yet: dropped              |
/// ```
///
/// Answers are not sheltered: nobody asks while the machine stands still.
pub fn put_sheltered(packet: &[u8], message: &mut Vec<u8>) {
    // A refusal has the id of what it refuses.
    let is_report = u32_at(packet, 0) == Some(kind::INTERRUPT) && packet.get(WIDE + 1) == Some(&0);
    let Some((head, rest)) = packet.split_at_checked(8).filter(|_| is_report && packet.len() <= REPORT_MAX) else {
        return message.extend_from_slice(packet);
    };
    message.extend_from_slice(&FRONT);
    message.extend_from_slice(head);
    // Of reports to the guest the id is nobody's concern.
    message.extend_from_slice(&[NOWHERE, 0, SPAN - 4, 0]);
    message.extend_from_slice(rest.get(4..).unwrap_or_default());
    let filler = usize::from(SPAN) - rest.len() - WIDE - 4;
    let [low, high, ..] = filler.to_le_bytes();
    put(message, kind::INTERRUPT, 0, &[&[NOWHERE, 0, low, high], &[0; SPAN as usize][..filler]]);
}

/// Appends the HELLO: who we are and what we can do. Its id has 32 bits.
pub fn put_hello(out: &mut Vec<u8>, version: &str, caps: u32) {
    let mut text = [0; VERSION_BYTES];
    let n = version.len().min(VERSION_BYTES - 1);
    text[..n].copy_from_slice(&version.as_bytes()[..n]);
    for word in [kind::HELLO, VERSION_BYTES as u32 + 4, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&text);
    out.extend_from_slice(&caps.to_le_bytes());
}
