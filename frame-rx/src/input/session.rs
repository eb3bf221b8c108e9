//! Whether the desktop session in which this runs is the one that the screen shows: another user, or another console,
//! must not find keyboard and mouse taken. Sources: `XDG_VTNR` of the session (pam_systemd), and the kernel's
//! `/sys/class/tty/tty0/active`. Without either of them every session counts as shown.

use std::path::{Path, PathBuf};

/// Where the kernel names the console that is shown.
const ACTIVE: &str = "/sys/class/tty/tty0/active";

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    terminal: Option<u32>,
    active: PathBuf,
}

impl Session {
    /// That of this process.
    pub fn of_this_process() -> Session {
        let number = std::env::var("XDG_VTNR").ok().and_then(|n| n.parse().ok());
        Session { terminal: number, active: PathBuf::from(ACTIVE) }
    }

    /// The session on console `terminal`, looked up in the file `active`.
    pub fn on(terminal: u32, active: &Path) -> Session {
        Session { terminal: Some(terminal), active: active.to_owned() }
    }

    /// Whether it is shown. Reads a small file.
    pub fn is_shown(&self) -> bool {
        // 0 is no console: a session on another seat.
        let Some(terminal) = self.terminal.filter(|n| *n > 0) else { return true };
        let Ok(shown) = std::fs::read_to_string(&self.active) else { return true };
        shown.trim().strip_prefix("tty").and_then(|n| n.parse::<u32>().ok()).is_none_or(|shown| shown == terminal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_shown_while_its_console_is() {
        let folder = tempfile::tempdir().unwrap();
        let active = folder.path().join("active");
        assert!(Session::on(2, &active).is_shown(), "nobody knows");
        for (shown, two, none) in
            [("tty2\n", true, true), ("tty3\n", false, true), ("tty12\n", false, true), ("x", true, true)]
        {
            std::fs::write(&active, shown).unwrap();
            let shown_as = (Session::on(2, &active).is_shown(), Session::on(0, &active).is_shown());
            assert_eq!(shown_as, (two, none), "{shown}");
        }
    }
}
