//! Keys that stay on the host, as typed: names joined by commas; `usual` for those that stay unless said otherwise,
//! `none` for none. Pure.

use super::chord::code_named;
use super::router::usual_keep;
use super::{Code, CodeSet};
use core::fmt;
use core::str::FromStr;

/// See the module. Prints what was typed, which is a setting and nothing that somebody wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyList {
    text: String,
    keys: CodeSet,
}

impl KeyList {
    /// The keys.
    pub fn keys(&self) -> CodeSet {
        self.keys
    }
}

impl Default for KeyList {
    fn default() -> KeyList {
        KeyList { text: "usual".to_owned(), keys: usual_keep() }
    }
}

/// No key has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key `{0}` (names are those of Linux, such as volumeup or capslock; usual and none are lists)")]
pub struct KeyListError(String);

impl FromStr for KeyList {
    type Err = KeyListError;

    fn from_str(text: &str) -> Result<KeyList, KeyListError> {
        let mut keys = CodeSet::EMPTY;
        for name in text.split(',').map(str::trim) {
            match name {
                "none" => {}
                "usual" => keys = keys.union(&usual_keep()),
                name => {
                    let code: Code = code_named(name).ok_or_else(|| KeyListError(name.to_owned()))?;
                    keys.insert(code);
                }
            }
        }
        Ok(KeyList { text: text.to_owned(), keys })
    }
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyList({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_alike() {
        let list = |text: &str| text.parse::<KeyList>().unwrap();
        assert_eq!(list("usual"), KeyList::default());
        assert_eq!(list("none").keys(), CodeSet::EMPTY);
        let more = list("usual, volumeup,capslock,altgr");
        assert_eq!(more.keys().len(), usual_keep().len() + 3);
        assert_eq!(more.to_string().parse(), Ok(more));
        assert_eq!("hyper".parse::<KeyList>(), Err(KeyListError("hyper".into())));
        assert!("".parse::<KeyList>().is_err());
    }
}
