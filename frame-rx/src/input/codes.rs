//! One key or button by its evdev code, and sets of them. Neither prints what it holds: what somebody types is not for
//! logs, traces or error messages.

use core::fmt;

/// Codes there are: `KEY_CNT` of Linux's `input-event-codes.h`.
pub const CODES: u16 = 0x300;
/// The first button's code: `BTN_MISC`.
const FIRST_BUTTON: u16 = 0x100;
/// The first code behind the buttons of mice, tablets and game pads: `KEY_OK`.
const BEHIND_BUTTONS: u16 = 0x160;

/// A key or a button. Source of the numbers: Linux, `input-event-codes.h`, `KEY_*` and `BTN_*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// Left Ctrl.
    pub const LEFT_CTRL: Code = Code(29);
    /// Right Ctrl.
    pub const RIGHT_CTRL: Code = Code(97);
    /// Pause.
    pub const PAUSE: Code = Code(119);
    /// The left mouse button; the seven others follow: right, middle, side, extra, forward, back, task.
    pub const LEFT: Code = Code(0x110);
    /// The right mouse button.
    pub const RIGHT: Code = Code(0x111);
    /// The middle mouse button, under the wheel.
    pub const MIDDLE: Code = Code(0x112);
    /// The side button that mostly goes back.
    pub const SIDE: Code = Code(0x113);
    /// The side button that mostly goes forward.
    pub const EXTRA: Code = Code(0x114);
    /// Another forward.
    pub const FORWARD: Code = Code(0x115);
    /// Another back.
    pub const BACK: Code = Code(0x116);
    /// Both Ctrl, Shift, Alt and Meta keys.
    pub const MODIFIERS: [Code; 8] =
        [Code(29), Code(97), Code(42), Code(54), Code(56), Code(100), Code(125), Code(126)];
    /// The mouse buttons that any sink knows.
    pub const BUTTONS: [Code; 5] = [Code::LEFT, Code::RIGHT, Code::MIDDLE, Code::SIDE, Code::EXTRA];

    /// The code with this number; nothing if there is none (0 is reserved).
    pub const fn new(number: u16) -> Option<Code> {
        if number > 0 && number < CODES { Some(Code(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether it is a button rather than a key.
    pub const fn is_button(self) -> bool {
        self.0 >= FIRST_BUTTON && self.0 < BEHIND_BUTTONS
    }

    /// Whether it is Ctrl, Shift, Alt or Meta.
    pub fn is_modifier(self) -> bool {
        Code::MODIFIERS.contains(&self)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// A set of codes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CodeSet([u64; CODES as usize / 64]);

impl CodeSet {
    /// The empty set.
    pub const EMPTY: CodeSet = CodeSet([0; CODES as usize / 64]);

    /// The keys of an ordinary keyboard, but for Print Screen and Menu, whose release alone does something in some guests.
    pub fn usual_keys() -> CodeSet {
        (1..=83)
            .chain(86..=88)
            .chain([96, 97, 98, 100])
            .chain(102..=111)
            .chain(113..=115)
            .filter_map(Code::new)
            .collect()
    }

    /// The set as a bit for each code, from the lowest on.
    pub(super) fn to_bytes(self) -> [u8; CODES as usize / 8] {
        let mut bytes = [0; CODES as usize / 8];
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
        bytes
    }

    /// The set that has these bits.
    pub(super) fn from_bytes(bytes: &[u8; CODES as usize / 8]) -> CodeSet {
        let mut set = CodeSet::EMPTY;
        set.0.iter_mut().zip(bytes.as_chunks::<8>().0).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
        // Zero is no code.
        set.0[0] &= !1;
        set
    }

    fn place(code: Code) -> (usize, u64) {
        (usize::from(code.0 / 64), 1 << (code.0 % 64))
    }

    /// Adds `code`. Whether it was not there before.
    pub fn insert(&mut self, code: Code) -> bool {
        let (word, bit) = CodeSet::place(code);
        let was = self.0[word];
        self.0[word] |= bit;
        was & bit == 0
    }

    /// Takes `code` out. Whether it was there.
    pub fn remove(&mut self, code: Code) -> bool {
        let (word, bit) = CodeSet::place(code);
        let was = self.0[word];
        self.0[word] &= !bit;
        was & bit != 0
    }

    /// Whether `code` is there.
    pub fn contains(&self, code: Code) -> bool {
        let (word, bit) = CodeSet::place(code);
        self.0[word] & bit != 0
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Everything in either.
    #[must_use]
    pub fn union(&self, other: &CodeSet) -> CodeSet {
        CodeSet(core::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// All codes in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Code> + '_ {
        (1..CODES).map(Code).filter(|code| self.contains(*code))
    }

    /// All codes in the order in which they should be released: modifiers first, so that what comes after cannot be a
    /// shortcut.
    pub fn in_release_order(&self) -> impl Iterator<Item = Code> + '_ {
        let modifiers = Code::MODIFIERS.into_iter().filter(|code| self.contains(*code));
        modifiers.chain(self.iter().filter(|code| !code.is_modifier()))
    }
}

impl FromIterator<Code> for CodeSet {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> CodeSet {
        codes.into_iter().fold(CodeSet::EMPTY, |mut set, code| {
            set.insert(code);
            set
        })
    }
}

impl fmt::Debug for CodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeSet({} codes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_goes_in_and_out_once() {
        let mut set = CodeSet::EMPTY;
        let all: Vec<Code> = (0..=u16::MAX).filter_map(Code::new).collect();
        assert_eq!((all.len(), Code::new(0), Code::new(CODES)), (767, None, None));
        for code in &all {
            assert!(!set.contains(*code) && set.insert(*code) && !set.insert(*code) && set.contains(*code));
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), all);
        for code in &all {
            assert!(set.remove(*code) && !set.remove(*code));
        }
        assert!(set.is_empty());
    }

    #[test]
    fn modifiers_are_released_before_all_else() {
        let set: CodeSet = [30, 42, 16, 97].into_iter().filter_map(Code::new).collect();
        let order: Vec<u16> = set.in_release_order().map(Code::number).collect();
        assert_eq!(order, [97, 42, 16, 30]);
    }

    #[test]
    fn nothing_prints_what_was_pressed() {
        let set: CodeSet = [Code(30), Code(16)].into_iter().collect();
        let text = format!("{set:?} {:?}", Code(30));
        assert_eq!(text, "CodeSet(2 codes) Code(..)");
    }
}
