//! Files that we wrote and know again: the last line is a comment with a sum over what stands above it. Whoever changes
//! a letter has made the file their own. The sum guards against mistakes, not against malice.

use std::io;
use std::path::Path;

const MARK: &str = "# written by `scream-rx service install`, not edited since: ";

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    Absent,
    /// What we wrote, in this or another version.
    Ours,
    /// Something that somebody wrote or changed.
    Edited,
}

impl State {
    pub(super) fn of(path: &Path) -> io::Result<State> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(if is_ours(&bytes) { State::Ours } else { State::Edited }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(State::Absent),
            Err(e) => Err(e),
        }
    }
}

/// `text` with the mark at its end.
pub(super) fn mark(text: &str) -> String {
    format!("{text}{MARK}{:016x}\n", sum(text.as_bytes()))
}

fn is_ours(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return false };
    let Some((above, sum_told)) = text.rsplit_once(MARK) else { return false };
    sum_told == format!("{:016x}\n", sum(above.as_bytes()))
}

/// FNV-1a, 64 bits.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_wrote_is_known_until_a_letter_changes() {
        let text = mark("[Unit]\nDescription=x\n");
        assert!(is_ours(text.as_bytes()));
        for edited in [text.replace("=x", "=y"), format!("{text}\n"), format!("#{text}"), text.replace(MARK, "# ")] {
            assert!(!is_ours(edited.as_bytes()), "{edited}");
        }
        assert!(!is_ours(b"") && !is_ours(&[0xff, 0xfe]));
    }
}
