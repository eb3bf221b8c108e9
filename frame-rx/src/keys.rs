//! The keys that the window keeps for itself: a key to hold (Scroll Lock, as in Looking Glass), and one more for each
//! action. Every one can be another, or none; two actions on one key are refused by name. Pure.

use crate::input::Code;
use crate::input::own::OwnKeys;
use std::collections::BTreeMap;

/// What the user can ask for by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Full screen if it is not, a window if it is.
    FullScreen,
    /// End.
    Quit,
    /// Figures over the picture, or not.
    Figures,
    /// Figures with a graph of the stages, or not.
    Timings,
    /// This list over the picture, or not.
    Help,
    /// The picture into a PNG file.
    Screenshot,
    /// Keep the picture that stands there, or go on.
    Pause,
    /// A quarter turn clockwise.
    Rotate,
    /// The next way of filling the window.
    Scale,
    /// The next way of making pixels in between.
    Filter,
    /// The window's frame away, or back.
    Borderless,
    /// Keyboard and mouse to the guest, or back.
    Input,
}

/// An action, its name in the settings, its key unless the settings say otherwise, and what it does.
struct Row(Action, &'static str, &'static str, &'static str);

const ROWS: [Row; 12] = [
    Row(Action::FullScreen, "full-screen", "F", "full screen, or a window again"),
    Row(Action::Quit, "quit", "Q", "end"),
    Row(Action::Figures, "figures", "D", "figures over the picture"),
    Row(Action::Timings, "timings", "T", "figures, and a graph of the time each stage took"),
    Row(Action::Help, "help", "H", "this list"),
    Row(Action::Screenshot, "screenshot", "S", "the picture as a PNG file"),
    Row(Action::Pause, "pause", "V", "keep this picture, or go on"),
    Row(Action::Rotate, "rotate", "R", "a quarter turn clockwise"),
    Row(Action::Scale, "scale", "C", "next way to fill the window"),
    Row(Action::Filter, "filter", "X", "next way to make pixels in between"),
    Row(Action::Borderless, "borderless", "B", "the window's frame away, or back"),
    Row(Action::Input, "input", "I", "keyboard and mouse to the guest, or back"),
];

/// The name of the key to hold, and of the one that works alone.
const HOLD: (&str, &str) = ("hold", "ScrollLock");
const ALONE: (&str, &str) = ("full-screen-alone", "F11");
/// In place of a key: nothing.
const NONE: &str = "none";

/// A key by its place on the keyboard, as in the W3C's list of codes without `Key` and `Digit`: `F` is where a US
/// keyboard has F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u8);

#[rustfmt::skip]
const KEYS: [&str; 90] = [
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W",
    "X", "Y", "Z", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8",
    "F9", "F10", "F11", "F12", "F13", "F14", "F15", "F16", "F17", "F18", "F19", "F20", "F21", "F22", "F23", "F24",
    "ScrollLock", "Pause", "PrintScreen", "Insert", "Delete", "Home", "End", "PageUp", "PageDown", "ArrowUp",
    "ArrowDown", "ArrowLeft", "ArrowRight", "Space", "Enter", "Escape", "Tab", "Backspace", "Minus", "Equal", "Comma",
    "Period", "Slash", "ControlRight", "AltRight", "ShiftRight", "SuperRight", "ContextMenu", "NumLock", "CapsLock",
];

/// The kernel's numbers of the same keys. Source: Linux, `input-event-codes.h`.
#[rustfmt::skip]
const NUMBERS: [u16; KEYS.len()] = [
    30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44, 11, 2, 3,
    4, 5, 6, 7, 8, 9, 10, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88, 183, 184, 185, 186, 187, 188, 189, 190,
    191, 192, 193, 194, 70, 119, 99, 110, 111, 102, 107, 104, 109, 103, 108, 105, 106, 57, 28, 1, 15, 14, 12, 13, 51,
    52, 53, 97, 100, 54, 126, 127, 69, 58,
];

impl Key {
    /// The key of this name, in capitals or not, with `Key` or `Digit` before it or not.
    pub fn named(name: &str) -> Option<Key> {
        let find =
            |name: &str| KEYS.iter().position(|k| k.eq_ignore_ascii_case(name)).and_then(|i| u8::try_from(i).ok());
        find(name).or_else(|| find(name.strip_prefix("Key")?)).or_else(|| find(name.strip_prefix("Digit")?)).map(Key)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        KEYS.get(usize::from(self.0)).copied().unwrap_or(NONE)
    }

    /// As the kernel numbers it.
    pub fn code(self) -> Option<Code> {
        NUMBERS.get(usize::from(self.0)).copied().and_then(Code::new)
    }
}

/// Why keys in the settings cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// No such action.
    #[error("there is no action `{name}`; there are {known}")]
    Action {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such key.
    #[error("`{key}` for {action} is no key: name it as in {}, {}, {}, or none", KEYS[5], KEYS[46], KEYS[63])]
    Key {
        /// For which action.
        action: String,
        /// What was named.
        key: String,
    },
    /// One key for two actions.
    #[error("{key} is both {first} and {second}")]
    Both {
        /// The key.
        key: &'static str,
        /// An action.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
}

/// Which key means what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    hold: Option<Key>,
    alone: Option<Key>,
    actions: [Option<Key>; ROWS.len()],
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            hold: Key::named(HOLD.1),
            alone: Key::named(ALONE.1),
            actions: core::array::from_fn(|i| ROWS.get(i).and_then(|row| Key::named(row.2))),
        }
    }
}

impl Action {
    /// The one of this number in [`Keys::own`].
    pub fn numbered(number: u8) -> Option<Action> {
        ROWS.get(usize::from(number)).map(|row| row.0)
    }
}

impl Keys {
    /// The usual keys, changed as `table` says: the name of an action, and that of a key or `none`.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn from_table(table: &BTreeMap<String, String>) -> Result<Keys, KeysError> {
        let mut keys = Keys::default();
        for (name, key) in table {
            let known = || keys.rows().map(|(name, ..)| name).collect::<Vec<_>>().join(", ");
            let unknown = KeysError::Action { name: name.clone(), known: known() };
            let key = match key.as_str() {
                NONE => None,
                key => {
                    Some(Key::named(key).ok_or_else(|| KeysError::Key { action: name.clone(), key: key.to_owned() })?)
                }
            };
            *keys.place(name).ok_or(unknown)? = key;
        }
        keys.check()?;
        Ok(keys)
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<Key>> {
        match name {
            _ if name == HOLD.0 => Some(&mut self.hold),
            _ if name == ALONE.0 => Some(&mut self.alone),
            _ => self.actions.get_mut(ROWS.iter().position(|row| row.1 == name)?),
        }
    }

    /// Held keys and single ones cannot meet, but for the key to hold itself.
    fn check(&self) -> Result<(), KeysError> {
        let mut seen: Vec<(Key, &'static str)> = self.hold.iter().map(|k| (*k, HOLD.0)).collect();
        if let Some(alone) = self.alone.filter(|alone| self.hold == Some(*alone)) {
            return Err(KeysError::Both { key: alone.name(), first: HOLD.0, second: ALONE.0 });
        }
        for (key, row) in self.actions.iter().zip(&ROWS) {
            let Some(key) = key else { continue };
            if let Some((_, first)) = seen.iter().find(|(k, _)| k == key) {
                return Err(KeysError::Both { key: key.name(), first, second: row.1 });
            }
            seen.push((*key, row.1));
        }
        Ok(())
    }

    /// The same for whoever hears the keys while the guest has the input. The one that works without another is the
    /// guest's then.
    pub fn own(&self) -> OwnKeys {
        let code = |key: &Option<Key>| key.and_then(Key::code);
        OwnKeys::new(code(&self.hold), self.actions.iter().map(code))
    }

    /// Name in the settings, key, and what it does, for each.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Option<Key>, &'static str)> + '_ {
        let actions = ROWS.iter().zip(&self.actions).map(|(row, key)| (row.1, *key, row.3));
        [(HOLD.0, self.hold, "hold it, and press one of:")].into_iter().chain(actions).chain([(
            ALONE.0,
            self.alone,
            "full screen without holding a key",
        )])
    }

    /// The table as a settings file has it, whole.
    pub fn to_toml(&self) -> String {
        let row = |(name, key, _): (&str, Option<Key>, &str)| format!("{name} = \"{}\"", key.map_or(NONE, Key::name));
        format!("{{ {} }}", self.rows().map(row).collect::<Vec<_>>().join(", "))
    }

    /// For people: one line for each action that has a key.
    pub fn help(&self) -> String {
        let mut lines = Vec::new();
        for (name, key, does) in self.rows() {
            let Some(key) = key.map(Key::name) else { continue };
            lines.push(match (name, self.hold) {
                _ if name == HOLD.0 => format!("hold {key} and press:"),
                _ if name == ALONE.0 => format!("{key}: {does}"),
                (_, Some(_)) => format!("  {key}: {does}"),
                // Without a key to hold, none of these can be reached.
                (_, None) => continue,
            });
        }
        lines.join("\n")
    }
}

/// Knows which keys are held.
#[derive(Debug, Default)]
pub struct Hotkeys {
    keys: Keys,
    held: bool,
}

impl Hotkeys {
    /// Nothing held.
    pub fn new(keys: Keys) -> Hotkeys {
        Hotkeys { keys, held: false }
    }

    /// Which key means what.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A key went down or up; what the user wants by it.
    pub fn key(&mut self, key: Key, is_down: bool) -> Option<Action> {
        if self.keys.hold == Some(key) {
            self.held = is_down;
            return None;
        }
        if !is_down {
            return None;
        }
        if self.held {
            let found = self.keys.actions.iter().position(|k| *k == Some(key));
            return found.and_then(|i| ROWS.get(i)).map(|row| row.0);
        }
        (self.keys.alone == Some(key)).then_some(Action::FullScreen)
    }

    /// The window lost the keyboard: what is released now is not heard.
    pub fn forget(&mut self) {
        self.held = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::named(name).unwrap_or_else(|| panic!("{name}"))
    }

    fn table(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(a, k)| ((*a).to_owned(), (*k).to_owned())).collect()
    }

    #[test]
    fn letters_count_only_while_the_key_to_hold_is_held() {
        let mut keys = Hotkeys::default();
        let full = Some(Action::FullScreen);
        for (name, is_down, expected) in [
            ("F", true, None),
            ("F", false, None),
            ("ScrollLock", true, None),
            ("F", true, full),
            ("KeyF", false, None),
            ("q", true, Some(Action::Quit)),
            ("F11", true, None),
            ("ScrollLock", false, None),
            ("F", true, None),
            ("F11", true, full),
            ("F11", false, None),
        ] {
            assert_eq!(keys.key(key(name), is_down), expected, "{name} {is_down}");
        }
        keys.key(key("ScrollLock"), true);
        keys.forget();
        assert_eq!(keys.key(key("F"), true), None);
    }

    #[test]
    fn every_action_has_a_key_of_its_own_at_first() {
        let keys = Keys::default();
        assert_eq!(keys.check(), Ok(()));
        assert!(keys.rows().all(|(name, key, _)| key.is_some() || name.is_empty()));
        let help = keys.help();
        for (_, key, does) in keys.rows().skip(1) {
            assert!(help.contains(&format!("{}: {does}", key.unwrap().name())), "{does} in\n{help}");
        }
    }

    #[test]
    fn every_key_can_be_another_or_none() {
        let keys = Keys::from_table(&table(&[("hold", "ControlRight"), ("quit", "none"), ("rotate", "5")])).unwrap();
        let mut keys = Hotkeys::new(keys);
        assert_eq!(keys.key(key("ScrollLock"), true), None);
        assert_eq!(keys.key(key("F"), true), None);
        keys.key(key("ControlRight"), true);
        assert_eq!(keys.key(key("Q"), true), None);
        assert_eq!(keys.key(key("Digit5"), true), Some(Action::Rotate));
        assert!(!keys.keys().help().contains(": end"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (rows, words) in [
            (table(&[("jump", "J")]), "there is no action `jump`; there are hold, full-screen, quit,"),
            (table(&[("quit", "Hyper")]), "`Hyper` for quit is no key: name it as in F, F11, Insert, or none"),
            (table(&[("quit", "F")]), "F is both full-screen and quit"),
            (table(&[("quit", "ScrollLock")]), "ScrollLock is both hold and quit"),
            (table(&[("full-screen-alone", "ScrollLock")]), "ScrollLock is both hold and full-screen-alone"),
        ] {
            let error = Keys::from_table(&rows).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn two_actions_may_change_places() {
        let keys = Keys::from_table(&table(&[("quit", "F"), ("full-screen", "Q")])).unwrap();
        assert!(keys.to_toml().contains("full-screen = \"Q\", quit = \"F\""), "{}", keys.to_toml());
    }
}
