//! What one key is called on each way to the guest: evdev code, scan code of set 1, QEMU's QKeyCode and number, HID
//! usage. Facts only; the table lies in `table.rs`.

mod table;

use super::Code;

/// A key of scan code set 1, the set of the PC/AT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetOne {
    /// One byte; released with bit 7 set.
    Plain(u8),
    /// A byte behind the prefix E0.
    E0(u8),
    /// Not in the set.
    None,
}

impl SetOne {
    /// The bytes on the wire, first byte lowest, as the SPICE inputs channel has them.
    pub const fn spice_word(self, is_down: bool) -> Option<u32> {
        let release = if is_down { 0 } else { 0x80 };
        match self {
            SetOne::Plain(code) => Some((code | release) as u32),
            SetOne::E0(code) => Some(0xe0 | ((code | release) as u32) << 8),
            SetOne::None => None,
        }
    }

    /// QEMU's number of a key: the byte, with bit 7 for E0.
    pub const fn qnum(self) -> Option<u8> {
        match self {
            SetOne::Plain(code) => Some(code),
            SetOne::E0(code) => Some(code | 0x80),
            SetOne::None => None,
        }
    }
}

/// A key of USB HID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Keyboard page (07).
    Keyboard(u8),
    /// Consumer page (0C).
    Consumer(u16),
    /// Generic desktop page (01): power, sleep, wake.
    System(u8),
    /// None.
    None,
}

/// One key under all its names.
#[derive(Debug)]
pub struct Row {
    code: u16,
    name: &'static str,
    set_one: SetOne,
    qcode: &'static str,
    usage: Usage,
}

fn row(code: Code) -> Option<&'static Row> {
    let at = table::ROWS.binary_search_by_key(&code.number(), |row| row.code).ok()?;
    table::ROWS.get(at)
}

/// The key's scan code of set 1. Cannot fail; real-time safe, as all look-ups here.
pub fn set_one(code: Code) -> SetOne {
    row(code).map_or(SetOne::None, |row| row.set_one)
}

/// The key's name in QEMU's QAPI.
pub fn qcode(code: Code) -> Option<&'static str> {
    row(code).map(|row| row.qcode).filter(|name| !name.is_empty())
}

/// The key's HID usage.
pub fn usage(code: Code) -> Usage {
    row(code).map_or(Usage::None, |row| row.usage)
}

/// The key's name in Linux, without `KEY_` and in small letters; buttons have names too.
pub fn name(code: Code) -> Option<&'static str> {
    let button = BUTTON_NAMES.iter().find(|(_, button)| *button == code).map(|(name, _)| *name);
    button.or_else(|| row(code).map(|row| row.name))
}

/// The key or button with this name, case ignored.
pub fn named(name: &str) -> Option<Code> {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    let button = BUTTON_NAMES.iter().find(|(other, _)| same(other)).map(|(_, code)| *code);
    button.or_else(|| table::ROWS.iter().find(|row| same(row.name)).and_then(|row| Code::new(row.code)))
}

/// Every key of the table.
pub fn keys() -> impl Iterator<Item = Code> {
    table::ROWS.iter().filter_map(|row| Code::new(row.code))
}

const BUTTON_NAMES: [(&str, Code); 7] = [
    ("mouse-left", Code::LEFT),
    ("mouse-right", Code::RIGHT),
    ("mouse-middle", Code::MIDDLE),
    ("mouse-side", Code::SIDE),
    ("mouse-extra", Code::EXTRA),
    ("mouse-forward", Code::FORWARD),
    ("mouse-back", Code::BACK),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::hash::Hash;

    /// Each value stands for one key only, so the way back is a way.
    fn check_round_trip<T: Copy + Eq + Hash>(column: &str, least: usize, value: impl Fn(Code) -> Option<T>) {
        let mut back = HashMap::new();
        for code in keys() {
            if let Some(value) = value(code) {
                let other = back.insert(value, code);
                assert!(other.is_none(), "{column}: {} and {}", name(code).unwrap(), name(other.unwrap()).unwrap());
            }
        }
        assert!(back.len() >= least, "{column}: {} keys", back.len());
    }

    #[test]
    fn every_column_leads_back_to_one_key() {
        check_round_trip("set 1", 220, |code| Some(set_one(code)).filter(|s| *s != SetOne::None));
        check_round_trip("qnum", 220, |code| set_one(code).qnum());
        check_round_trip("qcode", 150, qcode);
        check_round_trip("usage", 150, |code| Some(usage(code)).filter(|u| *u != Usage::None));
        check_round_trip("name", 220, name);
    }

    #[test]
    fn rows_are_in_order_and_found_by_code_and_by_name() {
        assert!(table::ROWS.is_sorted_by(|a, b| a.code < b.code));
        for code in keys() {
            assert_eq!(named(&name(code).unwrap().to_uppercase()), Some(code));
        }
        assert_eq!(named("mouse-side"), Some(Code::SIDE));
        assert_eq!(named("nothing"), None);
    }

    #[test]
    fn the_special_cases_are_as_the_table_of_special_cases_says() {
        let code = |number| Code::new(number).unwrap();
        // Pause is sent as E0 46, from which QEMU makes the sequence that the device has.
        assert_eq!(set_one(Code::PAUSE).spice_word(true), Some(0x46e0));
        assert_eq!(set_one(Code::PAUSE).qnum(), Some(0xc6));
        assert_eq!(set_one(Code::RIGHT_CTRL).spice_word(true), Some(0x1de0));
        assert_eq!(set_one(Code::RIGHT_CTRL).spice_word(false), Some(0x9de0));
        assert_eq!(set_one(Code::LEFT_CTRL).spice_word(false), Some(0x9d));
        assert_eq!(set_one(code(99)), SetOne::Plain(0x54));
        // Hangul and Hanja are 72 and 71 for QEMU, not the F2 and F1 of real keyboards.
        assert_eq!((set_one(code(122)), set_one(code(123))), (SetOne::Plain(0x72), SetOne::Plain(0x71)));
        // Zenkaku has no QKeyCode: only HID carries it everywhere.
        assert_eq!((qcode(code(85)), usage(code(85))), (None, Usage::Keyboard(0x94)));
        assert_eq!(usage(code(164)), Usage::Consumer(0xcd));
        assert_eq!(usage(code(142)), Usage::System(0x82));
        // Micro-mute has no scan code and stays on the host.
        assert_eq!(set_one(code(248)), SetOne::None);
    }
}
