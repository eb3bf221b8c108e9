//! The window's title: which guest it shows, and how it stands.

use super::App;
use crate::state::GuestState;

/// Characters of the guest's name that a title has room for.
const NAME_CHARS: usize = 40;

/// The title of a window that shows `guest`, if it says who it is, of which there is `what` to tell.
fn title(guest: &str, what: &str) -> String {
    let name: String = guest.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect();
    if name.trim().is_empty() { format!("frame-rx: {what}") } else { format!("frame-rx: {}, {what}", name.trim()) }
}

/// Whether the guest of the last session is the one that the state is about.
fn is_of_a_session(state: &GuestState) -> bool {
    state.keeps_picture() || matches!(state, GuestState::NoRoom { .. })
}

impl App {
    /// Writes the title, if it is another one.
    pub(super) fn set_title(&mut self) {
        let (Some(window), Some(painter)) = (&self.window, &self.painter) else { return };
        let what = match painter.picture_size() {
            Some(size) if self.state.is_live() && painter.is_paused() => format!("{size}, kept"),
            Some(size) if matches!(self.state, GuestState::Truncated { .. }) => format!("{size}, cut off"),
            Some(size) if self.state.is_live() => size.to_string(),
            _ => self.state.name().to_owned(),
        };
        let guest = if is_of_a_session(&self.state) { self.guest_name.as_str() } else { "" };
        let title = title(guest, &what);
        if title != self.title {
            window.set_title(&title);
            self.title = title;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_guest_and_state_and_stays_short() {
        for (guest, expected) in [
            ("Windows 11 Pro", "frame-rx: Windows 11 Pro, 640x360"),
            ("", "frame-rx: 640x360"),
            (" \u{7}\n ", "frame-rx: 640x360"),
        ] {
            assert_eq!(title(guest, "640x360"), expected);
        }
        assert_eq!(title(&"x".repeat(1000), "paused").len(), "frame-rx: , paused".len() + NAME_CHARS);
    }

    #[test]
    fn a_guest_is_named_only_while_its_session_matters() {
        assert!(is_of_a_session(&GuestState::Paused) && is_of_a_session(&GuestState::Live));
        assert!(!is_of_a_session(&GuestState::NotRunning) && !is_of_a_session(&GuestState::looking()));
    }
}
