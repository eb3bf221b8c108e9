//! The release chord: the keys by which the user gets keyboard and mouse back, whatever else hangs. Pure.

use super::{Code, CodeSet, keymap};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use shm_proto::HostTime;

/// Keys in a chord, at most.
const KEYS: usize = 4;
/// How long the key of a tap-and-hold chord is held if nothing else is said.
const HOLD: Duration = Duration::from_millis(500);
/// Longest hold that can be asked for.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// Keys (or mouse buttons) that, held together, release the input or take it.
///
/// Written as names joined by `+`, or as one name and `@` with a time for which that key alone must be held:
/// `leftctrl+rightctrl`, `scrolllock`, `rightctrl@500ms`.
#[derive(Clone, PartialEq, Eq)]
pub struct Chord {
    keys: [Option<Code>; KEYS],
    hold: Option<Duration>,
}

impl Default for Chord {
    /// Both Ctrl keys: on every keyboard, and no program uses them together.
    fn default() -> Chord {
        Chord { keys: [Some(Code::LEFT_CTRL), Some(Code::RIGHT_CTRL), None, None], hold: None }
    }
}

impl Chord {
    /// Whether `code` is one of its keys.
    pub fn has(&self, code: Code) -> bool {
        self.keys.contains(&Some(code))
    }

    /// How long its key must be held; nothing if it works at once.
    pub fn hold(&self) -> Option<Duration> {
        self.hold
    }

    fn is_down(&self, down: &CodeSet) -> bool {
        self.keys.iter().flatten().all(|key| down.contains(*key))
    }
}

/// Why a chord was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChordError {
    /// No key has this name.
    #[error("there is no key `{name}` (names are those of Linux, such as leftctrl, scrolllock or mouse-side)")]
    Unknown {
        /// The name as typed.
        name: String,
    },
    /// More than four keys, none, or one twice.
    #[error("a chord is one to four different keys, joined by +")]
    Keys,
    /// A time that is none, or one with several keys.
    #[error("a time to hold is written behind one key, as in rightctrl@500ms, and is 100 ms to 10 s")]
    Hold,
}

impl FromStr for Chord {
    type Err = ChordError;

    fn from_str(text: &str) -> Result<Chord, ChordError> {
        let (names, hold) = match text.split_once('@') {
            None => (text, None),
            Some((name, "")) => (name, Some(HOLD)),
            Some((name, time)) => (name, Some(milliseconds(time).ok_or(ChordError::Hold)?)),
        };
        let mut keys = [None; KEYS];
        let mut count = 0;
        for name in names.split('+').map(str::trim) {
            let code = code_named(name).ok_or_else(|| ChordError::Unknown { name: name.to_owned() })?;
            let place = keys.get_mut(count).ok_or(ChordError::Keys)?;
            *place = Some(code);
            count += 1;
        }
        let is_twice = |at: usize| keys[..at].contains(&keys[at]);
        if (1..count).any(is_twice) {
            return Err(ChordError::Keys);
        }
        if hold.is_some() && count != 1 {
            return Err(ChordError::Hold);
        }
        Ok(Chord { keys, hold })
    }
}

/// The key or button of this name, or of a short one (`lctrl`, `altgr`, `super`).
pub fn code_named(name: &str) -> Option<Code> {
    alias(name).or_else(|| keymap::named(name))
}

fn alias(name: &str) -> Option<Code> {
    let code = match name.to_ascii_lowercase().as_str() {
        "lctrl" => 29,
        "rctrl" => 97,
        "lalt" => 56,
        "ralt" | "altgr" => 100,
        "lshift" => 42,
        "rshift" => 54,
        "super" | "lsuper" => 125,
        "rsuper" => 126,
        _ => return None,
    };
    Code::new(code)
}

fn milliseconds(text: &str) -> Option<Duration> {
    let number: u64 = text.strip_suffix("ms")?.parse().ok()?;
    let time = Duration::from_millis(number);
    (Duration::from_millis(100)..=HOLD_MAX).contains(&time).then_some(time)
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, key) in self.keys.iter().flatten().enumerate() {
            f.write_str(if n > 0 { "+" } else { "" })?;
            f.write_str(keymap::name(*key).unwrap_or("?"))?;
        }
        self.hold.map_or(Ok(()), |hold| write!(f, "@{}ms", hold.as_millis()))
    }
}

impl fmt::Debug for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A setting, not something typed.
        write!(f, "Chord({self})")
    }
}

/// Watches for a chord.
#[derive(Debug)]
pub struct Watch {
    chord: Chord,
    /// When the held key completes the chord.
    due: Option<HostTime>,
}

impl Watch {
    /// Watches for `chord`.
    pub fn new(chord: Chord) -> Watch {
        Watch { chord, due: None }
    }

    /// A key went down or up, and now `down` are down, it included. Whether that completes the chord.
    pub fn edge(&mut self, now: HostTime, code: Code, is_down: bool, down: &CodeSet) -> bool {
        match self.chord.hold {
            None => is_down && self.chord.has(code) && self.chord.is_down(down),
            Some(hold) => {
                let alone = is_down && self.chord.has(code) && down.len() == 1;
                self.due = alone.then(|| now + hold);
                false
            }
        }
    }

    /// Whether a key has been held long enough by `now`.
    pub fn tick(&mut self, now: HostTime) -> bool {
        self.due.take_if(|due| now >= *due).is_some()
    }

    /// When to call [`Watch::tick`].
    pub fn due(&self) -> Option<HostTime> {
        self.due
    }

    /// Whether this one key alone is the chord, so that it is never sent.
    pub fn is_alone(&self, code: Code) -> bool {
        self.chord.hold.is_none() && self.chord.keys == [Some(code), None, None, None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_are_read_and_written_alike() {
        for text in ["leftctrl+rightctrl", "scrolllock", "mouse-side+mouse-extra", "rightctrl@700ms", "a+b+c+d"] {
            assert_eq!(text.parse::<Chord>().unwrap().to_string(), text);
        }
        assert_eq!("LCtrl + rctrl".parse(), Ok(Chord::default()));
        assert_eq!("altgr@".parse::<Chord>().unwrap().to_string(), "rightalt@500ms");
    }

    #[test]
    fn what_is_no_chord_is_refused() {
        let unknown = |name: &str| Err(ChordError::Unknown { name: name.to_owned() });
        for (text, error) in [
            ("", unknown("")),
            ("hyper", unknown("hyper")),
            ("a+a", Err(ChordError::Keys)),
            ("a+b+c+d+e", Err(ChordError::Keys)),
            ("a+b@500ms", Err(ChordError::Hold)),
            ("a@5", Err(ChordError::Hold)),
            ("a@99999999999ms", Err(ChordError::Hold)),
        ] {
            assert_eq!(text.parse::<Chord>(), error, "{text}");
        }
    }

    #[test]
    fn a_held_chord_wants_its_key_alone_and_long_enough() {
        let mut watch = Watch::new("rightctrl@500ms".parse().unwrap());
        let at = |ms| HostTime::ZERO + Duration::from_millis(ms);
        let mut down: CodeSet = [Code::RIGHT_CTRL].into_iter().collect();
        assert!(!watch.edge(at(0), Code::RIGHT_CTRL, true, &down));
        assert!(!watch.tick(at(499)));
        assert!(watch.tick(at(500)) && !watch.tick(at(501)));
        // With another key it is an ordinary modifier.
        watch.edge(at(600), Code::RIGHT_CTRL, true, &down);
        down.insert(Code::LEFT);
        watch.edge(at(700), Code::LEFT, true, &down);
        assert_eq!((watch.due(), watch.tick(at(5000))), (None, false));
    }
}
