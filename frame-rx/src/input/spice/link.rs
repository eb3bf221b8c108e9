//! The link stage, the same for each channel: both sides say what they can do, the client proves that it knows the
//! password, encrypted with the key that the server just made (RSA-OAEP with SHA-1, 1024 bits).

use super::Password;
use super::channel::Channel;
use crate::input::address::Endpoint;
use crate::input::sink::SinkError;
use crate::input::wire::{Patience, Wire};
use rsa::pkcs8::DecodePublicKey;
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, RsaPublicKey};
use rx_host::clock;

/// Longest password. Unit: bytes. Source: SPICE protocol, `SPICE_MAX_PASSWORD_LENGTH`.
pub const PASSWORD_MAX: usize = 60;

/// "REDQ", then version 2.2.
const MAGIC: [u8; 4] = *b"REDQ";
const MAJOR: u32 = 2;
const MINOR: u32 = 2;
/// Bytes of the header before what it counts.
const HEADER: usize = 16;
/// Longest reply that is listened to. Unit: bytes. The usual one has 186 with its header.
const REPLY_MAX: u32 = 4096;
/// Where the reply's fields are, counted behind the header.
const KEY_AT: usize = 4;
const KEY_BYTES: usize = 162;
const CAPS_COUNT_AT: usize = 166;
/// Bytes of the encrypted password.
const TICKET_BYTES: usize = 128;

/// Bits of the common capabilities.
const AUTH_SELECTION: u32 = 1 << 0;
const AUTH_TICKET: u32 = 1 << 1;
const AUTH_SASL: u32 = 1 << 2;
const MINI_HEADER: u32 = 1 << 3;

/// Answers of the server.
const NEED_SECURED: u32 = 5;
const PERMISSION_DENIED: u32 = 7;
const CHANNEL_NOT_AVAILABLE: u32 = 9;

/// Opens one channel.
///
/// Blocks, but not longer than `patience`.
pub(super) fn link(
    to: &Endpoint,
    (kind, id): (u8, u8),
    session: u32,
    password: &Password,
    patience: &Patience,
) -> Result<Channel, SinkError> {
    let mut wire = Wire::connect(to, patience)?;
    wire.send(&hello(kind, id, session), clock::now())?;
    let reply = read_reply(&mut wire, patience)?;
    check_caps(&reply)?;
    let key = reply.get(KEY_AT..KEY_AT + KEY_BYTES).ok_or(SinkError::Garbage("link reply"))?;
    let mut proof = AUTH_SELECTION.to_le_bytes().to_vec();
    proof.extend_from_slice(&ticket(key, password)?);
    wire.send(&proof, clock::now())?;
    wire.need(4, patience)?;
    let result = u32_at(wire.incoming(), 0)?;
    wire.consume(4);
    check_answer(result)?;
    Ok(Channel::new(wire))
}

fn hello(kind: u8, id: u8, session: u32) -> Vec<u8> {
    let common = AUTH_SELECTION | AUTH_TICKET | MINI_HEADER;
    // The only own capability asked for: none of the other channels', scan codes on the inputs channel.
    let own: u32 = if kind == super::kind::INPUTS { 1 } else { 0 };
    let mut bytes = MAGIC.to_vec();
    for word in [MAJOR, MINOR, 18 + 4 * 2, session] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[kind, id]);
    for word in [1, 1, 18, common, own] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The reply behind its header.
fn read_reply(wire: &mut Wire, patience: &Patience) -> Result<Vec<u8>, SinkError> {
    wire.need(HEADER, patience)?;
    if wire.incoming().get(..4) != Some(&MAGIC) || u32_at(wire.incoming(), 4)? != MAJOR {
        return Err(SinkError::Garbage("it is no SPICE server"));
    }
    let size = u32_at(wire.incoming(), 12)?;
    if size > REPLY_MAX {
        return Err(SinkError::TooLarge { got: size.into(), max: REPLY_MAX.into() });
    }
    wire.consume(HEADER);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // A refusal is the code alone, and the server closes behind it.
    wire.need(size.clamp(4, 4096), patience)?;
    check_answer(u32_at(wire.incoming(), 0)?)?;
    let reply = wire.incoming().get(..size).ok_or(SinkError::Garbage("link reply"))?.to_vec();
    wire.consume(size);
    Ok(reply)
}

fn check_caps(reply: &[u8]) -> Result<(), SinkError> {
    let count = u32_at(reply, CAPS_COUNT_AT)?;
    let at = usize::try_from(u32_at(reply, CAPS_COUNT_AT + 8)?).unwrap_or(usize::MAX);
    let common = if count == 0 { 0 } else { u32_at(reply, at)? };
    if common & AUTH_TICKET == 0 {
        let has_sasl = common & AUTH_SASL != 0;
        return Err(if has_sasl { SinkError::SaslOnly } else { SinkError::Garbage("no way to log in") });
    }
    if common & (AUTH_SELECTION | MINI_HEADER) != AUTH_SELECTION | MINI_HEADER {
        return Err(SinkError::Garbage("a SPICE server older than 0.8"));
    }
    Ok(())
}

fn check_answer(code: u32) -> Result<(), SinkError> {
    match code {
        0 => Ok(()),
        PERMISSION_DENIED => Err(SinkError::WrongPassword),
        NEED_SECURED => Err(SinkError::TlsOnly),
        CHANNEL_NOT_AVAILABLE => Err(SinkError::Missing("such channel")),
        code => Err(SinkError::Refused(code)),
    }
}

/// The password and its zero, encrypted. An empty password is sent too: the server always wants one.
fn ticket(key: &[u8], password: &Password) -> Result<Vec<u8>, SinkError> {
    let key = RsaPublicKey::from_public_key_der(key).map_err(|_| SinkError::Garbage("key"))?;
    if key.size() != TICKET_BYTES {
        return Err(SinkError::Garbage("key"));
    }
    let mut plain = password.0.as_bytes().to_vec();
    plain.push(0);
    let padding = Oaep::new::<sha1::Sha1>();
    key.encrypt(&mut OsRng, padding, &plain).map_err(|_| SinkError::Garbage("key"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, SinkError> {
    let end = at.checked_add(4).ok_or(SinkError::Garbage("link reply"))?;
    let word: Option<[u8; 4]> = bytes.get(at..end).and_then(|b| b.try_into().ok());
    word.map(u32::from_le_bytes).ok_or(SinkError::Garbage("link reply"))
}
