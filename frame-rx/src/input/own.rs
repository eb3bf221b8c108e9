//! The window's own keys while the guest has the input. The window hears no key then, so they are looked for where all keys
//! come by: while the key to hold is down, the keys of actions are the window's; pressed and released alone, it is the
//! guest's, like any other key. Pure.

use super::Code;

/// Actions there can be.
const ACTIONS: usize = 32;

/// Which keys are the window's: none without a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnKeys {
    hold: Option<Code>,
    actions: [Option<Code>; ACTIONS],
}

/// What a key that went down or up means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is the guest's.
    Guests,
    /// It is nothing to the guest.
    Own,
    /// The window shall do the action of this number.
    Action(u8),
    /// The key to hold was held for nothing: the guest gets it, pressed and released.
    Tap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    No,
    /// And nothing else was pressed since.
    Alone,
    /// And another key was pressed.
    Used,
}

/// Looks for them.
#[derive(Debug, Default)]
pub struct OwnWatch {
    keys: OwnKeys,
    held: Held,
}

impl OwnKeys {
    /// The key to hold, and the key of each action in the order of their numbers; what is beyond 32 has none.
    pub fn new(hold: Option<Code>, actions: impl Iterator<Item = Option<Code>>) -> OwnKeys {
        let mut keys = OwnKeys { hold, ..OwnKeys::default() };
        keys.actions.iter_mut().zip(actions).for_each(|(place, code)| *place = code);
        keys
    }
}

impl OwnWatch {
    /// Nothing is held.
    pub fn new(keys: OwnKeys) -> OwnWatch {
        OwnWatch { keys, held: Held::No }
    }

    /// A key went down or up while the guest has the input.
    pub fn edge(&mut self, code: Code, is_down: bool) -> Meaning {
        if self.keys.hold == Some(code) {
            let was = core::mem::replace(&mut self.held, if is_down { Held::Alone } else { Held::No });
            return if was == Held::Alone && !is_down { Meaning::Tap } else { Meaning::Own };
        }
        if !is_down || self.held == Held::No {
            return Meaning::Guests;
        }
        self.held = Held::Used;
        let action = self.keys.actions.iter().position(|key| *key == Some(code));
        action.and_then(|n| u8::try_from(n).ok()).map_or(Meaning::Guests, Meaning::Action)
    }

    /// The input changed hands: what was held before does not count.
    pub fn forget(&mut self) {
        self.held = Held::No;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: u16 = 70;
    const F: u16 = 33;
    const S: u16 = 31;
    const A: u16 = 30;

    fn watch() -> OwnWatch {
        OwnWatch::new(OwnKeys::new(Code::new(HOLD), [Code::new(F), None, Code::new(S)].into_iter()))
    }

    fn check(watch: &mut OwnWatch, edges: &[(u16, bool, Meaning)]) {
        for (step, (number, is_down, expected)) in edges.iter().enumerate() {
            let meaning = watch.edge(Code::new(*number).unwrap(), *is_down);
            assert_eq!(meaning, *expected, "step {step}");
        }
    }

    #[test]
    fn keys_of_actions_are_the_windows_only_while_the_key_to_hold_is_down() {
        use Meaning::{Action, Guests, Own};
        check(
            &mut watch(),
            &[
                (F, true, Guests),
                (F, false, Guests),
                (HOLD, true, Own),
                (F, true, Action(0)),
                (F, false, Guests),
                (S, true, Action(2)),
                (A, true, Guests),
                (HOLD, false, Own),
                (S, false, Guests),
                (F, true, Guests),
            ],
        );
    }

    #[test]
    fn the_key_to_hold_is_the_guests_if_it_was_held_for_nothing() {
        use Meaning::{Guests, Own, Tap};
        let mut watch = watch();
        check(&mut watch, &[(HOLD, true, Own), (HOLD, false, Tap), (HOLD, true, Own)]);
        // Let go when it was the host's.
        watch.forget();
        check(&mut watch, &[(HOLD, false, Own), (F, true, Guests)]);
    }

    #[test]
    fn without_keys_every_key_is_the_guests() {
        let mut watch = OwnWatch::default();
        for number in [HOLD, F, A] {
            check(&mut watch, &[(number, true, Meaning::Guests), (number, false, Meaning::Guests)]);
        }
    }
}
