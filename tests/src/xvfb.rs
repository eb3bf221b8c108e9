//! A display of our own: Xvfb, whose screen is a file that can be read pixel by pixel without another program.

use crate::process::{Running, SOON, tied, until};
use crate::{image, place, require};
use std::path::PathBuf;
use std::process::Command;

/// A private X server. Ends when dropped.
#[derive(Debug)]
pub struct XvfbRig {
    server: Running,
    display: String,
    folder: tempfile::TempDir,
}

impl XvfbRig {
    /// Starts a server with one screen of `width` x `height` and waits until it takes clients. `None`, after printing
    /// the skip, where Xvfb is not installed.
    ///
    /// # Panics
    /// If it does not come up, or is not installed and `CI=true`.
    pub fn start(width: u32, height: u32) -> Option<XvfbRig> {
        if !require::programs(&["Xvfb"]) {
            return None;
        }
        let folder = place::folder();
        let mut command = tied("Xvfb");
        command
            // Picks a free number by itself and writes it once clients can connect.
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", &format!("{width}x{height}x24")])
            .arg("-fbdir")
            .arg(folder.path());
        let server = Running::start("Xvfb", &mut command);
        let number = until(
            "the display's number",
            SOON,
            || server.lines(crate::process::Stream::Out).first().filter(|n| !n.is_empty()).cloned(),
            || server.tail(),
        );
        Some(XvfbRig { server, display: format!(":{}", number.trim()), folder })
    }

    /// Lets `command` open its windows here, and nowhere else.
    pub fn show(&self, command: &mut Command) {
        command.env("DISPLAY", &self.display).env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
    }

    /// The whole screen as it is now.
    ///
    /// # Panics
    /// If the server has ended.
    pub fn screen(&self) -> image::Picture {
        let path: PathBuf = self.folder.path().join("Xvfb_screen0");
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("the screen is gone: {e}\n{}", self.server.tail()));
        image::from_xwd(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_screen_is_black_all_over() {
        let Some(rig) = XvfbRig::start(320, 200) else { return };
        let screen = rig.screen();
        assert_eq!((screen.width, screen.height), (320, 200));
        assert!(screen.rgb.iter().all(|byte| *byte == 0));
        assert_eq!(screen.pixel(320, 0), None);
    }
}
