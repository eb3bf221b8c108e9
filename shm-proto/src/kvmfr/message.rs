//! What a viewer may tell the producer through the cursor queue's mailbox. Source: the wire reference, section 3.11.

use super::wire::{Layout, MESSAGE_SET_CURSOR, Snapshot};

/// Bytes of the longest message made here.
pub const MAX_MESSAGE_BYTES: usize = 12;

/// A message from a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerMessage {
    /// Move the guest's pointer to this place, in pixels of its screen.
    SetCursorPosition {
        /// Column.
        x: i32,
        /// Row.
        y: i32,
    },
    /// Something that is not known; a producer ignores it.
    Unknown,
}

/// The message that moves the guest's pointer, as bytes.
pub fn encode_set_cursor(layout: &Layout, x: i32, y: i32) -> [u8; MAX_MESSAGE_BYTES] {
    let l = &layout.set_cursor;
    let mut bytes = [0; MAX_MESSAGE_BYTES];
    for (at, value) in [(l.kind, MESSAGE_SET_CURSOR), (l.x, x.cast_unsigned()), (l.y, y.cast_unsigned())] {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

/// What a mailbox message says, for producers.
pub fn decode(layout: &Layout, bytes: &[u8]) -> ViewerMessage {
    let l = &layout.set_cursor;
    let get = |at| Snapshot(bytes).u32("message", at).map(|g| g.distrusted());
    match (get(l.kind), get(l.x), get(l.y)) {
        (Ok(MESSAGE_SET_CURSOR), Ok(x), Ok(y)) => {
            ViewerMessage::SetCursorPosition { x: x.cast_signed(), y: y.cast_signed() }
        }
        _ => ViewerMessage::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::V20;
    use super::*;

    #[test]
    fn a_message_survives_the_way() {
        let bytes = encode_set_cursor(&V20, -5, i32::MAX);
        assert_eq!(decode(&V20, &bytes), ViewerMessage::SetCursorPosition { x: -5, y: i32::MAX });
        assert_eq!(decode(&V20, &bytes[..11]), ViewerMessage::Unknown);
        assert_eq!(decode(&V20, &[9; 12]), ViewerMessage::Unknown);
        assert_eq!(decode(&V20, &[]), ViewerMessage::Unknown);
    }
}
