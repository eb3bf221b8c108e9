//! Whether there is a display, and what the window toolkit says of it.

use std::fmt;

/// Whether this session has a display at all.
pub fn has_display() -> bool {
    ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"].iter().any(|n| std::env::var_os(n).is_some_and(|v| !v.is_empty()))
}

/// What the window toolkit says, without where in its own source it says so.
pub(super) fn toolkit(error: impl fmt::Display) -> String {
    let text = error.to_string();
    let cause = text.strip_prefix("os error at ").and_then(|rest| rest.split_once(": "));
    cause.map_or_else(|| text.clone(), |(_, cause)| cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_source_an_error_is_in_is_not_for_the_user() {
        let found = toolkit("os error at /home/me/.cargo/winit/src/x.rs:89: Could not find wayland compositor");
        assert_eq!(found, "Could not find wayland compositor");
        assert_eq!(toolkit("the request is not supported"), "the request is not supported");
    }
}
