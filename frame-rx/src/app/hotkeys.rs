//! The few keys that the window keeps for itself: F11, and Scroll Lock held with F. Pure.

/// A key as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// F11.
    F11,
    /// F.
    F,
    /// Scroll Lock, Looking Glass's escape key.
    ScrollLock,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Full screen if it is not, a window if it is.
    ToggleFullscreen,
}

/// Knows which keys are held.
#[derive(Debug, Default)]
pub struct Hotkeys {
    scroll_lock_held: bool,
}

impl Hotkeys {
    /// A key went down or up; what the user wants by it.
    pub fn key(&mut self, key: Key, is_down: bool) -> Option<Wish> {
        match key {
            Key::ScrollLock => {
                self.scroll_lock_held = is_down;
                None
            }
            Key::F11 => is_down.then_some(Wish::ToggleFullscreen),
            Key::F => (is_down && self.scroll_lock_held).then_some(Wish::ToggleFullscreen),
        }
    }

    /// The window lost the keyboard: what is released now is not heard.
    pub fn forget(&mut self) {
        self.scroll_lock_held = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_counts_only_while_scroll_lock_is_held() {
        let mut keys = Hotkeys::default();
        let toggle = Some(Wish::ToggleFullscreen);
        for (key, is_down, expected) in [
            (Key::F, true, None),
            (Key::F, false, None),
            (Key::ScrollLock, true, None),
            (Key::F, true, toggle),
            (Key::F, false, None),
            (Key::ScrollLock, false, None),
            (Key::F, true, None),
            (Key::F11, true, toggle),
            (Key::F11, false, None),
        ] {
            assert_eq!(keys.key(key, is_down), expected, "{key:?} {is_down}");
        }
        keys.key(Key::ScrollLock, true);
        keys.forget();
        assert_eq!(keys.key(Key::F, true), None);
    }
}
