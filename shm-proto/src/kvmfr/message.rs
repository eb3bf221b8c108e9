//! What a viewer may tell the producer through the cursor queue's mailbox. Source: the wire reference, section 3.11.

use super::wire::{Layout, MESSAGE_SET_CURSOR, MESSAGE_WINDOW_SIZE, Snapshot};

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
    /// The viewer's window has this size in pixels: the guest may change its mode to it.
    WindowSize {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Something that is not known; a producer ignores it.
    Unknown,
}

/// A message as bytes; nothing for [`ViewerMessage::Unknown`].
pub fn encode(layout: &Layout, message: ViewerMessage) -> Option<[u8; MAX_MESSAGE_BYTES]> {
    let (kind, first, second) = match message {
        ViewerMessage::SetCursorPosition { x, y } => (MESSAGE_SET_CURSOR, x.cast_unsigned(), y.cast_unsigned()),
        ViewerMessage::WindowSize { width, height } => (MESSAGE_WINDOW_SIZE, width, height),
        ViewerMessage::Unknown => return None,
    };
    let l = &layout.message;
    let mut bytes = [0; MAX_MESSAGE_BYTES];
    for (at, value) in [(l.kind, kind), (l.x, first), (l.y, second)] {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    Some(bytes)
}

/// What a mailbox message says, for producers. Its length must be that of the message, as newer producers want it.
pub fn decode(layout: &Layout, bytes: &[u8]) -> ViewerMessage {
    let l = &layout.message;
    let get = |at| Snapshot(bytes).u32("message", at).map(|g| g.distrusted());
    match (get(l.kind), get(l.x), get(l.y)) {
        _ if bytes.len() != l.size => ViewerMessage::Unknown,
        (Ok(MESSAGE_SET_CURSOR), Ok(x), Ok(y)) => {
            ViewerMessage::SetCursorPosition { x: x.cast_signed(), y: y.cast_signed() }
        }
        (Ok(MESSAGE_WINDOW_SIZE), Ok(width), Ok(height)) => ViewerMessage::WindowSize { width, height },
        _ => ViewerMessage::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::LAYOUTS;
    use super::*;

    #[test]
    fn a_message_survives_the_way() {
        for layout in LAYOUTS {
            for message in [
                ViewerMessage::SetCursorPosition { x: -5, y: i32::MAX },
                ViewerMessage::WindowSize { width: 1920, height: u32::MAX },
            ] {
                let bytes = encode(layout, message).unwrap();
                assert_eq!(decode(layout, &bytes), message);
                assert_eq!(decode(layout, &bytes[..11]), ViewerMessage::Unknown);
                let long = [&bytes[..], &[0]].concat();
                assert_eq!(decode(layout, &long), ViewerMessage::Unknown);
            }
            assert_eq!(encode(layout, ViewerMessage::Unknown), None);
            assert_eq!(decode(layout, &[9; 12]), ViewerMessage::Unknown);
            assert_eq!(decode(layout, &[]), ViewerMessage::Unknown);
        }
    }
}
