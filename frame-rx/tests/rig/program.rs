//! The program under test as a process: its stderr line by line, its end, and no way to outlive the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bound of every wait: generous, since the machine may be busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>, tell: impl Fn() -> String) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what} did not happen\n{}", tell());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Mesa's software Vulkan driver, wherever this distribution puts it.
fn lavapipe() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
    entries.flatten().map(|e| e.path()).find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lvp")))
}

/// `frame-rx` with an environment of its own.
pub fn frame_rx(dir: &Path, display: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frame-rx"));
    command
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .env_remove("DISPLAY")
        .env_remove("RX_LOG")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HOME", dir)
        .env("XDG_CONFIG_HOME", dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("XDG_RUNTIME_DIR", dir)
        .current_dir(dir)
        .stdin(Stdio::null());
    if let Some(driver) = lavapipe() {
        command.env("VK_DRIVER_FILES", driver);
    }
    if let Some(display) = display {
        command.env("DISPLAY", display);
    }
    command
}

/// Whether there is a software GPU. Where tests must not be skipped (CI=true) its absence is a failure.
pub fn has_software_gpu(dir: &Path) -> bool {
    let found = frame_rx(dir, None).arg("devices").output().unwrap();
    let is_there = String::from_utf8_lossy(&found.stdout).contains("(software");
    if !is_there {
        let forbidden = std::env::var("CI").as_deref() == Ok("true");
        assert!(!forbidden, "mesa-vulkan-drivers is missing, and CI=true forbids to skip");
        eprintln!("skipped: there is no software GPU (mesa-vulkan-drivers)");
    }
    is_there
}

/// A running process.
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (child.stderr.take().expect("stderr"), lines.clone());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Program { child, lines, reader: Some(reader) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until stderr has said `words`.
    pub fn says(&self, words: &str) {
        until(words, || self.text().contains(words).then_some(()), || self.text());
    }

    /// Waits for the end.
    pub fn ends(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        // The shell's own: a small system has no program of that name.
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs to the end: exit code and stderr.
pub fn run(command: &mut Command) -> (i32, String) {
    let mut program = Program::start(command);
    let status = program.ends();
    (status.code().unwrap_or(-1), program.text())
}
