//! The administrator's list: who may have which devices, and when. Pure.
//!
//! A line is a user (name, number, or `*` for all), `active` (while that user's session is the one that the screen
//! shows) or `always`, and a rule as `--evdev` has them: `alice active name=Logitech`. Whatever is no such line allows
//! nothing.

use crate::input::evdev::facts::Facts;
use crate::input::evdev::rule::Rule;
use core::fmt;
use std::path::Path;

/// Longest list that is read. Unit: bytes.
pub const LIST_MAX: u64 = 64 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    user: String,
    is_always: bool,
    rule: Rule,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    lines: Vec<Line>,
    /// Numbers of lines that were not understood.
    pub bad: Vec<usize>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The number, as the kernel says.
    pub uid: u32,
    /// The name, if the number has one.
    pub name: Option<&'a str>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No line gives this device to this user.
    NotListed,
    /// A line does, but not while another session is shown.
    NotActive,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotListed => "the administrator's list does not give you this device",
            Refusal::NotActive => "your session is not the one that is shown",
        })
    }
}

impl List {
    /// Reads the text of a list.
    pub fn parse(text: &str) -> List {
        let mut list = List::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Line::parse(line) {
                Some(line) => list.lines.push(line),
                None => list.bad.push(n + 1),
            }
        }
        list
    }

    /// Whether the user may have the device. `is_active` is asked only if it matters.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(
        &self,
        asker: Asker<'_>,
        device: &Facts,
        node_of: &dyn Fn(&Path) -> Option<String>,
        is_active: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let meant = self.lines.iter().filter(|line| line.is_for(asker) && line.rule.means(device, node_of));
        let mut is_listed = false;
        for line in meant {
            if line.is_always {
                return Ok(());
            }
            is_listed = true;
        }
        match is_listed {
            false => Err(Refusal::NotListed),
            true if is_active() => Ok(()),
            true => Err(Refusal::NotActive),
        }
    }
}

impl Line {
    fn parse(line: &str) -> Option<Line> {
        let (user, rest) = line.split_once(char::is_whitespace)?;
        let (when, rule) = rest.trim_start().split_once(char::is_whitespace)?;
        let is_always = match when {
            "always" => true,
            "active" => false,
            _ => return None,
        };
        Some(Line { user: user.to_owned(), is_always, rule: rule.trim().parse().ok()? })
    }

    fn is_for(&self, asker: Asker<'_>) -> bool {
        self.user == "*" || asker.name == Some(self.user.as_str()) || self.user == asker.uid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::evdev::facts::Class;

    fn mouse(name: &str) -> Facts {
        Facts {
            node: "event7".into(),
            name: name.into(),
            bus: 3,
            vendor: 0x46d,
            product: 0xc08b,
            class: Class::Mouse,
            fine_wheels: (true, true),
            has_leds: false,
        }
    }

    const TEXT: &str = "# who has what\n\nalice active name=G502\n1001 always class=mouse\n*  always\tname=Shared\n\
                        eve sometimes auto\neve\nbob always nonsense\n";

    #[test]
    fn a_device_is_for_whom_a_line_names_and_when_it_says() {
        let list = List::parse(TEXT);
        assert_eq!(list.bad, [6, 7, 8]);
        let check =
            |name, uid, device: &Facts, is_active| list.check(Asker { uid, name }, device, &|_| None, || is_active);
        let (own, other, shared) = (mouse("Logitech G502"), mouse("Else"), mouse("Shared mouse"));
        for (name, uid, device, is_active, expected) in [
            (Some("alice"), 1000, &own, true, Ok(())),
            (Some("alice"), 1000, &own, false, Err(Refusal::NotActive)),
            (Some("alice"), 1000, &other, true, Err(Refusal::NotListed)),
            (Some("alice"), 1000, &shared, false, Ok(())),
            (None, 1001, &other, false, Ok(())),
            (Some("eve"), 1002, &own, true, Err(Refusal::NotListed)),
            (Some("1000"), 4, &own, true, Err(Refusal::NotListed)),
        ] {
            assert_eq!(check(name, uid, device, is_active), expected, "{name:?} {device:?}");
        }
        assert_eq!(
            List::default().check(Asker { uid: 0, name: Some("root") }, &own, &|_| None, || true),
            Err(Refusal::NotListed)
        );
    }

    #[test]
    fn our_own_devices_are_for_nobody() {
        let ours = mouse("frame-rx virtual mouse");
        let list = List::parse("* always class=mouse");
        assert_eq!(list.check(Asker { uid: 1, name: None }, &ours, &|_| None, || true), Err(Refusal::NotListed));
    }
}
