//! A Wayland compositor of the test's own: sway without a screen, and the programs that look at it and act on it.

use super::program::{has_software_gpu, until};
use super::turn::{self, Turn};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAMS: [&str; 4] = ["sway", "swaymsg", "grim", "unshare"];

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// A compositor with an output of this size and the lock on the only GPU; nothing, after saying so, where something is
/// missing.
pub fn compositor(width: u32, height: u32) -> Option<(Turn, Sway)> {
    compositor_with(width, height, "")
}

/// The same with `more` in its settings.
pub fn compositor_with(width: u32, height: u32, more: &str) -> Option<(Turn, Sway)> {
    started(turn::take(), width, height, more)
}

/// The same with no other compositor beside it.
pub fn compositor_alone(width: u32, height: u32) -> Option<(Turn, Sway)> {
    started(turn::take_alone(), width, height, "")
}

fn started(turn: Turn, width: u32, height: u32, more: &str) -> Option<(Turn, Sway)> {
    let sway = Sway::start(width, height, more)?;
    has_software_gpu(sway.dir.path()).then_some((turn, sway))
}

/// A private compositor with one output.
pub struct Sway {
    compositor: Child,
    pub dir: tempfile::TempDir,
    pub display: String,
}

impl Sway {
    /// Starts a compositor, with `more` in its settings, and waits until it takes clients; nothing, after saying so, where a
    /// program is missing.
    pub fn start(width: u32, height: u32, more: &str) -> Option<Sway> {
        if let Some(missing) = PROGRAMS.iter().find(|p| !is_there(p)) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing} is missing, and CI=true forbids to skip");
            eprintln!("skipped: {missing} is missing");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let config = dir.path().join("sway.conf");
        let lines =
            format!("output HEADLESS-1 resolution {width}x{height}\ndefault_border none\nxwayland disable\n{more}\n");
        std::fs::write(&config, lines).unwrap();
        // It refuses to run as root; in a user namespace it is somebody else.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let mut command = match is_root {
            true => {
                let mut command = Command::new("unshare");
                command.args(["-U", "--map-user=1000", "--map-group=1000", "sway"]);
                command
            }
            false => Command::new("sway"),
        };
        let log = std::fs::File::create(dir.path().join("sway.log")).unwrap();
        let compositor = command
            .arg("-c")
            .arg(&config)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env("HOME", dir.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("XDG_CONFIG_HOME", dir.path())
            .env("WLR_BACKENDS", "headless")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env("WLR_RENDERER", "pixman")
            .env("SWAYSOCK", dir.path().join("sway.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sway starts");
        let mut sway = Sway { compositor, dir, display: String::new() };
        sway.display = until("a Wayland socket", || sway.socket(), || sway.log());
        until("an answer", || sway.ask(&["-t", "get_outputs"]), || sway.log());
        Some(sway)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("sway.log")).unwrap_or_default()
    }

    fn socket(&self) -> Option<String> {
        let entries = std::fs::read_dir(self.dir.path()).ok()?;
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        names.filter(|n| n.starts_with("wayland-") && !n.ends_with(".lock")).max()
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("DISPLAY")
            .env("WAYLAND_DISPLAY", &self.display)
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("SWAYSOCK", self.dir.path().join("sway.sock"))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// What swaymsg answers, if it is content.
    pub fn ask(&self, args: &[&str]) -> Option<String> {
        let done = self.tool("swaymsg").args(args).output().expect("swaymsg");
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Lets the compositor do something; it must succeed.
    pub fn act(&self, command: &str) {
        assert!(self.ask(&["--", command]).is_some(), "swaymsg {command}\n{}", self.log());
    }

    /// What is on all outputs: width, height, red, green, blue.
    pub fn pixels(&self) -> Option<(u32, u32, Vec<u8>)> {
        self.pixels_of(&[])
    }

    /// What grim sees with these arguments, such as `-o` and the name of an output.
    pub fn pixels_of(&self, args: &[&str]) -> Option<(u32, u32, Vec<u8>)> {
        let done = self.tool("grim").args(args).args(["-t", "ppm", "-"]).output().expect("grim");
        let mut rest = done.stdout.as_slice();
        let mut word = || {
            let start = rest.iter().position(|b| !b.is_ascii_whitespace())?;
            let len = rest[start..].iter().position(u8::is_ascii_whitespace)?;
            let word = String::from_utf8_lossy(&rest[start..start + len]).into_owned();
            rest = &rest[start + len..];
            Some(word)
        };
        let (magic, width, height, most) = (word()?, word()?.parse().ok()?, word()?.parse().ok()?, word()?);
        assert_eq!((magic.as_str(), most.as_str()), ("P6", "255"));
        let rgb = rest.get(1..)?.to_vec();
        (rgb.len() == (width as usize) * (height as usize) * 3).then_some((width, height, rgb))
    }

    /// Keeps what is on the output as a PNG, for people to look at, if `FRAME_RX_PICTURES` names a folder.
    pub fn keep(&self, name: &str) {
        if let Some(dir) = std::env::var_os("FRAME_RX_PICTURES") {
            let path: PathBuf = Path::new(&dir).join(format!("{name}.png"));
            let _ = self.tool("grim").arg(path).status();
        }
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        let _ = self.ask(&["exit"]);
        let _ = self.compositor.kill();
        let _ = self.compositor.wait();
    }
}
