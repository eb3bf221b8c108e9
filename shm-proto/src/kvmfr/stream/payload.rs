//! From a message to a frame or a cursor: the payload is read once, checked, and skipped if it makes no sense.

use super::super::cursor::{self, CursorShape, CursorState};
use super::super::frame::{Frame, PayloadPlace};
use super::super::wire::layouts::{MAX_CURSOR_HEADER_BYTES, MAX_FRAME_HEADER_BYTES};
use super::super::wire::{Layout, MAX_SHAPE_BYTES, VisibleRule, cursor_flags};
use super::Viewer;
use super::link::Link;
use super::pending::Shown;
use crate::guest::{Allowed, Corrupt};
use crate::lgmp::Trouble;
use crate::lgmp::subscription::Message;
use crate::raw::map::Region;
use crate::span::{Purpose, Span};

impl Viewer {
    /// The newest frame that is worth taking.
    pub(super) fn next_frame(&mut self) -> Result<Option<(Message, Frame)>, Trouble> {
        let Link::Joined { client, wire, frames: Some(place), .. } = &mut self.link else { return Ok(None) };
        if !self.state.is_live() {
            return Ok(None);
        }
        let Some(message) = place.peek_newest(client, &mut self.counters.skipped)? else { return Ok(None) };
        let mut frame = match read_frame(&self.region, wire, &message) {
            Ok(frame) => frame,
            Err(Trouble::Corrupt(corrupt)) => {
                self.counters.corrupt += 1;
                self.last_corrupt = Some(corrupt);
                place.acknowledge(client)?;
                return Ok(None);
            }
            Err(trouble) => return Err(trouble),
        };
        let shown = Shown::of(&frame);
        if self.last == Some(shown) {
            self.counters.repeated += 1;
            place.acknowledge(client)?;
            return Ok(None);
        }
        if !self.last.is_some_and(|last| last.is_followed_by(&shown)) {
            frame.damage_all();
        }
        Ok(Some((message, frame)))
    }

    /// One cursor message; whether it changed the cursor, or nothing if there is none.
    pub(super) fn next_cursor(&mut self, cursor: &mut CursorState) -> Result<Option<bool>, Trouble> {
        let Link::Joined { client, wire, pointer: Some(place), .. } = &mut self.link else { return Ok(None) };
        if !self.state.is_live() {
            return Ok(None);
        }
        let Some(message) = place.peek(client)? else { return Ok(None) };
        self.counters.cursor_messages += 1;
        let taken = read_cursor(&self.region, wire, &message, &mut self.scratch);
        place.acknowledge(client)?;
        let news = match taken {
            Ok(news) => news,
            Err(Trouble::Corrupt(corrupt)) => {
                self.counters.corrupt += 1;
                self.last_corrupt = Some(corrupt);
                return Ok(Some(false));
            }
            Err(trouble) => return Err(trouble),
        };
        let visible = news.visible.unwrap_or(cursor.visible);
        let mut changed = cursor.visible != visible;
        cursor.visible = visible;
        if let Some(position) = news.position {
            changed |= cursor.position != Some(position);
            cursor.position = Some(position);
        }
        match news.shape {
            Shape::None => {}
            Shape::Torn => self.counters.cursor_torn += 1,
            Shape::New(shape) => {
                core::mem::swap(&mut cursor.pixels, &mut self.scratch);
                cursor.shape = Some(shape);
                cursor.shape_serial += 1;
                self.counters.cursor_shapes += 1;
                changed = true;
            }
        }
        Ok(Some(changed))
    }
}

/// What a cursor message told.
struct CursorNews {
    /// Nothing if the message does not say.
    visible: Option<bool>,
    position: Option<(i32, i32)>,
    shape: Shape,
}

enum Shape {
    None,
    Torn,
    New(CursorShape),
}

fn read_frame(region: &Region, wire: &Layout, message: &Message) -> Result<Frame, Trouble> {
    let mut bytes = [0; MAX_FRAME_HEADER_BYTES];
    let payload = message.payload(region, wire.frame.size as u32)?;
    let header = snapshot(payload, &mut bytes, wire.frame.size)?;
    let place = PayloadPlace { offset: payload.offset(), len: payload.len(), region_bytes: region.len() };
    Ok(Frame::check(header, &wire.frame, place)?)
}

/// The first `len` bytes of a payload, copied once into memory of ours.
fn snapshot<'b>(payload: Span<'_>, bytes: &'b mut [u8], len: usize) -> Result<&'b [u8], Trouble> {
    let bytes = bytes.get_mut(..len).unwrap_or_default();
    payload.sub(0, len as u64)?.copy_to(bytes, Purpose::Read)?;
    Ok(bytes)
}

fn read_cursor(region: &Region, wire: &Layout, message: &Message, into: &mut [u8]) -> Result<CursorNews, Trouble> {
    let (mut bytes, mut again) = ([0; MAX_CURSOR_HEADER_BYTES], [0; MAX_CURSOR_HEADER_BYTES]);
    let payload = message.payload(region, wire.cursor.size as u32)?;
    let header = snapshot(payload, &mut bytes, wire.cursor.size)?;
    // The flags are in the lower half, whatever is in the upper.
    let flags = message.udata.distrusted() as u32;
    let position = match flags & cursor_flags::POSITION {
        0 => None,
        _ => Some(cursor::position(header, &wire.cursor)?),
    };
    let mut shape = Shape::None;
    if flags & cursor_flags::SHAPE != 0 {
        let checked = CursorShape::check(header, &wire.cursor, payload.len())?;
        let bytes = into.get_mut(..checked.bytes() as usize).ok_or(too_long(&checked))?;
        payload.sub(wire.cursor.size as u64, u64::from(checked.bytes()))?.copy_to(bytes, Purpose::Read)?;
        // Three buffers go round without anybody waiting for us; a new shape's header is written before its pixels.
        let same = snapshot(payload, &mut again, wire.cursor.size)? == header;
        shape = if same { Shape::New(checked) } else { Shape::Torn };
    }
    let says_visible = match wire.cursor.visible {
        VisibleRule::Always => true,
        VisibleRule::WhenSaid => flags & cursor_flags::VISIBLE_VALID != 0,
    };
    let visible = says_visible.then_some(flags & cursor_flags::VISIBLE != 0);
    Ok(CursorNews { visible, position, shape })
}

fn too_long(shape: &CursorShape) -> Trouble {
    Trouble::Corrupt(Corrupt {
        field: "cursor pitch x height",
        value: u64::from(shape.bytes()),
        allowed: Allowed::Range(1, u64::from(MAX_SHAPE_BYTES)),
    })
}
