//! The one stderr that messages and the status line share: a message never tears a status line, and no text from a
//! guest, a path or a server can send control characters to the user's terminal.

use rustix::termios;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Whether a status line stands on the terminal and has to be wiped before anything else is written.
static STATUS_SHOWN: Mutex<bool> = Mutex::new(false);

/// Back to the first column and wipe the line.
const WIPE: &str = "\r\x1b[K";

/// Columns assumed where the terminal does not tell.
const DEFAULT_COLUMNS: usize = 80;

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How wide the terminal behind stdout is, in characters; 80 where it does not tell.
pub fn stdout_columns() -> usize {
    let columns = termios::tcgetwinsize(rustix::stdio::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { DEFAULT_COLUMNS } else { columns }
}

/// Writes whole lines to stderr and wipes the status line first. If stderr is closed, they are lost.
///
/// Blocks as long as the terminal does. Not for real-time threads.
pub fn write_lines(text: &str) {
    let mut shown = STATUS_SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let wipe = if core::mem::take(&mut *shown) { WIPE } else { "" };
    write_stderr(&format!("{wipe}{text}"));
}

/// Shows `text` as the status line in place of the one before, cut to the width of the terminal.
pub(crate) fn show_status(text: &str) {
    let mut shown = STATUS_SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *shown = true;
    let columns = termios::tcgetwinsize(rustix::stdio::stderr()).map_or(0, |size| usize::from(size.ws_col));
    let columns = if columns == 0 { DEFAULT_COLUMNS } else { columns };
    let cut: String = printable(text).chars().take(columns.saturating_sub(1)).collect();
    write_stderr(&format!("{WIPE}{cut}"));
}

/// Leaves the status line as it stands and goes to the next line.
pub(crate) fn end_status() {
    let mut shown = STATUS_SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if core::mem::take(&mut *shown) {
        write_stderr("\n");
    }
}

/// One write for one message, so that messages of several processes do not mix within a line.
fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// `text` with every character replaced that controls a terminal or turns the direction of writing, but for line ends.
pub fn printable(text: &str) -> Cow<'_, str> {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = |c: char| c == '\n' || !(c.is_control() || turns(c));
    if text.chars().all(harmless) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let cases = [
            ("plain, ünicode", "plain, ünicode"),
            ("two\nlines", "two\nlines"),
            ("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("c1 \u{9b}31m", "c1 \u{fffd}31m"),
            ("exe.\u{202e}gnp", "exe.\u{fffd}gnp"),
            ("back\rwards\u{8}", "back\u{fffd}wards\u{fffd}"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }
}
