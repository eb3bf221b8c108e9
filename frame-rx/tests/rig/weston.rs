//! A Wayland compositor of the test's own that answers `presentation-time`: weston without a screen.

use super::program::{has_software_gpu, until};
use super::turn::{self, Turn};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

/// A private compositor with one output. Ends when dropped.
pub struct Weston {
    compositor: Child,
    pub dir: tempfile::TempDir,
    pub display: String,
    _turn: Turn,
}

impl Weston {
    /// Starts one and waits until it takes clients; nothing, after saying so, where it is missing. It draws as soon as its
    /// output has refreshed: so that refreshes come sixty times a second, and not after a pause for drawing.
    pub fn start(width: u32, height: u32) -> Option<Weston> {
        let turn = turn::share();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        if !has_software_gpu(dir.path()) {
            return None;
        }
        let config = dir.path().join("weston.ini");
        std::fs::write(&config, "[core]\nrepaint-window=16\nidle-time=0\n[shell]\npanel-position=none\n").unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("weston");
        command.args(["--backend=headless-backend.so", "--use-pixman", "--socket=wayland-weston"]);
        command.arg(format!("--config={}", config.display())).arg(format!("--width={width}"));
        command.arg(format!("--height={height}")).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.env("HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path()).env("XDG_CONFIG_HOME", dir.path());
        let Ok(compositor) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "weston is missing, and CI=true forbids to skip");
            eprintln!("skipped: weston is missing");
            return None;
        };
        let weston = Weston { compositor, dir, display: "wayland-weston".into(), _turn: turn };
        let socket = weston.dir.path().join(&weston.display);
        until("a Wayland socket", || socket.exists().then_some(()), || weston.log());
        Some(weston)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Weston {
    fn drop(&mut self) {
        // The programs that it started end with it.
        let _ = self.compositor.kill();
        let _ = self.compositor.wait();
    }
}
