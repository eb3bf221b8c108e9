//! A display of the test's own: Xvfb, and the small programs that look at it and act on it.

use super::program::{has_software_gpu, until};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the window tests need.
const PROGRAMS: [&str; 5] = ["Xvfb", "xdotool", "import", "openbox", "wmctrl"];

pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A display of this size and the lock on the only GPU; nothing, after saying so, where something is missing.
pub fn display(width: u32, height: u32) -> Option<(MutexGuard<'static, ()>, Xvfb)> {
    display_of(|_folder| {
        let mut server = Command::new("Xvfb");
        let screen = format!("{width}x{height}x24");
        server.args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp", "-noreset"]);
        server
    })
}

/// The same of another server, which is told to write its display's number to its output and may keep files in the folder.
pub fn display_of(server: impl FnOnce(&Path) -> Command) -> Option<(MutexGuard<'static, ()>, Xvfb)> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let x = Xvfb::start(server)?;
    has_software_gpu(x.dir.path()).then_some((guard, x))
}

/// A private X server with one screen.
pub struct Xvfb {
    server: Child,
    pub display: String,
    pub dir: tempfile::TempDir,
    manager: Option<Child>,
}

impl Xvfb {
    /// Starts a server and waits until it takes clients; nothing, after saying so, where a program is missing.
    fn start(server: impl FnOnce(&Path) -> Command) -> Option<Xvfb> {
        if let Some(missing) = PROGRAMS.iter().find(|p| !is_there(p)) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing} is missing, and CI=true forbids to skip");
            eprintln!("skipped: {missing} is missing");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut command = server(dir.path());
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().expect("the server starts");
        let mut number = String::new();
        BufReader::new(server.stdout.take().expect("stdout")).read_line(&mut number).expect("the display's number");
        assert!(!number.trim().is_empty(), "the server ends at once");
        let display = format!(":{}", number.trim());
        Some(Xvfb { server, display, dir, manager: None })
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.display).env_remove("WAYLAND_DISPLAY").stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn output(&self, program: &str, args: &[&str]) -> Option<Vec<u8>> {
        let done = self.tool(program).args(args).output().expect(program);
        done.status.success().then_some(done.stdout)
    }

    fn text(&self, program: &str, args: &[&str]) -> Option<String> {
        self.output(program, args).map(|out| String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// A window manager, for what only one can do; in place of one that was there.
    pub fn manage(&mut self) {
        if let Some(mut before) = self.manager.take() {
            let _ = before.kill();
            let _ = before.wait();
        }
        let ready = self.dir.path().join("managed");
        let _ = std::fs::remove_file(&ready);
        let manager = self
            .tool("openbox")
            // A window that comes while it starts may be overlooked; this it does when it has looked for those that are there.
            .args(["--startup", "touch managed"])
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path())
            .env("XDG_CACHE_HOME", self.dir.path())
            .env("XDG_DATA_HOME", self.dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("openbox starts");
        self.manager = Some(manager);
        self.until("a window manager", || ready.exists().then(|| self.text("wmctrl", &["-m"])).flatten());
    }

    pub fn until<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        until(what, ask, || format!("windows: {:?}", self.text("wmctrl", &["-l"])))
    }

    /// The one visible window of the program.
    pub fn window(&self) -> String {
        self.until("a window", || {
            let found = self.text("xdotool", &["search", "--onlyvisible", "--class", "^frame-rx$"])?;
            found.lines().last().map(str::to_owned).filter(|id| !id.is_empty())
        })
    }

    /// Width and height of a window.
    pub fn size(&self, window: &str) -> Option<(u32, u32)> {
        let text = self.text("xdotool", &["getwindowgeometry", "--shell", window])?;
        let number = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.parse().ok());
        Some((number("WIDTH=")?, number("HEIGHT=")?))
    }

    /// Left and top of a window.
    pub fn position(&self, window: &str) -> Option<(i32, i32)> {
        let text = self.text("xdotool", &["getwindowgeometry", "--shell", window])?;
        let number = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.parse().ok());
        Some((number("X=")?, number("Y=")?))
    }

    pub fn wait_for_size(&self, window: &str, size: (u32, u32)) {
        self.until(&format!("a window of {size:?}"), || self.size(window).filter(|s| *s == size));
    }

    /// What is in a window: red, green, blue. Nothing while its size changes.
    pub fn pixels(&self, window: &str) -> Option<(u32, u32, Vec<u8>)> {
        let (width, height) = self.size(window)?;
        let rgb = self.output("import", &["-window", window, "-depth", "8", "rgb:-"])?;
        (rgb.len() == (width * height * 3) as usize).then_some((width, height, rgb))
    }

    pub fn title(&self, window: &str) -> String {
        self.text("xdotool", &["getwindowname", window]).unwrap_or_default()
    }

    /// Lets xdotool do something; it must succeed.
    pub fn act(&self, args: &[&str]) {
        assert!(self.output("xdotool", args).is_some(), "xdotool {args:?}");
    }

    /// Lets wmctrl do something; it must succeed.
    pub fn manager_act(&self, args: &[&str]) {
        assert!(self.output("wmctrl", args).is_some(), "wmctrl {args:?}");
    }

    /// Keeps what is in a window as a PNG, for people to look at, if `FRAME_RX_PICTURES` names a folder.
    pub fn keep(&self, window: &str, name: &str) {
        if let Some(dir) = std::env::var_os("FRAME_RX_PICTURES") {
            let path = PathBuf::from(dir).join(format!("{name}.png"));
            let _ = self.output("import", &["-window", window, &path.display().to_string()]);
        }
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        for child in self.manager.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
