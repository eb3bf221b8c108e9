//! A Wayland compositor of the test's own that scales by fractions: KWin without a screen, on a session bus of its own, over
//! which it also hands out what is on its screen.

use super::program::{has_software_gpu, until};
use super::turn::{self, Turn};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A private compositor with one output. Ends, with its bus, when dropped.
pub struct KWin {
    children: Vec<Child>,
    pub dir: tempfile::TempDir,
    pub display: String,
    _turn: Turn,
}

impl KWin {
    /// Starts one whose desktop of `width` by `height` is enlarged by `scale`, and waits until it takes clients; nothing,
    /// after saying so, where something is missing.
    pub fn start(width: u32, height: u32, scale: f64) -> Option<KWin> {
        let args = ["--width", &width.to_string(), "--height", &height.to_string(), "--scale", &scale.to_string()];
        KWin::start_with(&args)
    }

    /// The same with arguments of its own.
    pub fn start_with(args: &[&str]) -> Option<KWin> {
        let turn = turn::share();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let [Some(kwin), Some(bus)] = ["kwin_wayland", "dbus-daemon"].map(program) else {
            let forbidden = std::env::var("CI").as_deref() == Ok("true");
            assert!(!forbidden, "kwin_wayland or dbus-daemon is missing, and CI=true forbids to skip");
            eprintln!("skipped: kwin_wayland or dbus-daemon is missing");
            return None;
        };
        if !has_software_gpu(dir.path()) {
            return None;
        }
        // A copy has none of the file's capabilities, which not everybody may start it with. Another program writes it: what
        // this one writes, a child that another thread starts meanwhile may hold open still, and then it cannot be started.
        let copy = dir.path().join("kwin_wayland");
        assert!(Command::new("cp").arg(kwin).arg(&copy).status().unwrap().success());
        let address = format!("unix:path={}", dir.path().join("bus").display());
        let mut kwin = KWin { children: Vec::new(), display: "wayland-kwin".into(), dir, _turn: turn };
        kwin.spawn(Command::new(bus).args(["--session", "--nofork", "--address", &address]));
        until("a session bus", || kwin.dir.path().join("bus").exists().then_some(()), String::new);
        let mut command = Command::new(copy);
        command.args(["--virtual", "--no-lockscreen", "--no-global-shortcuts", "--socket", &kwin.display]);
        command.args(args).env("DBUS_SESSION_BUS_ADDRESS", &address).env("KWIN_SCREENSHOT_NO_PERMISSION_CHECKS", "1");
        kwin.spawn(command.env("LIBGL_ALWAYS_SOFTWARE", "1"));
        until("a Wayland socket", || kwin.dir.path().join(&kwin.display).exists().then_some(()), || kwin.log());
        until("the compositor on its bus", || kwin.pixels(1, 1).is_ok().then_some(()), || kwin.log());
        Some(kwin)
    }

    fn spawn(&mut self, command: &mut Command) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env("HOME", self.dir.path());
        command.env("XDG_RUNTIME_DIR", self.dir.path()).env("XDG_CONFIG_HOME", self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.children.push(command.spawn().expect("a program that is there starts"));
    }

    /// Number of the X server beside it, where it was started with `--xwayland`.
    pub fn x_server(&self) -> Option<String> {
        let parent = self.children.last()?.id().to_string();
        // Behind the name: state, parent.
        let is_ours =
            |stat: &str| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split(' ').nth(2) == Some(&parent));
        let mut entries = std::fs::read_dir("/proc").ok()?.flatten();
        entries.find_map(|entry| {
            let dir = entry.path();
            is_ours(&std::fs::read_to_string(dir.join("stat")).ok()?).then_some(())?;
            let words = std::fs::read_to_string(dir.join("cmdline")).ok()?;
            words.split('\0').find(|word| word.starts_with(':')).map(str::to_owned)
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What is on the output as red, green, blue, if it has this size by now, pixel for pixel.
    pub fn pixels(&self, width: usize, height: usize) -> std::io::Result<Option<Vec<u8>>> {
        let bgra = capture(&self.dir.path().join("bus"))?;
        let rgb = || bgra.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
        Ok((bgra.len() == width * height * 4).then(rgb))
    }
}

impl Drop for KWin {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A D-Bus message on its way into bytes. Source: the D-Bus specification, "Marshaling".
#[derive(Default)]
struct Marshal(Vec<u8>);

impl Marshal {
    fn pad(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    fn word(&mut self, word: usize) -> &mut Self {
        self.pad(4).0.extend((word as u32).to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.word(text.len()).0.extend([text.as_bytes(), &[0]].concat());
        self
    }

    fn signature(&mut self, text: &str) -> &mut Self {
        self.0.push(text.len() as u8);
        self.0.extend([text.as_bytes(), &[0]].concat());
        self
    }
}

/// A call of `method` on the screenshots' object; of the bus itself with an empty body.
fn call(serial: usize, [path, to, interface, method]: [&str; 4], body: &[u8]) -> Vec<u8> {
    let mut fields = Marshal::default();
    for (code, kind, value) in [(1, "o", path), (6, "s", to), (2, "s", interface), (3, "s", method)] {
        fields.pad(8).0.push(code);
        fields.signature(kind).text(value);
    }
    if !body.is_empty() {
        fields.pad(8).0.push(8);
        fields.signature("g").signature("a{sv}h");
        fields.pad(8).0.push(9);
        fields.signature("u").word(1);
    }
    let mut message = Marshal(vec![b'l', 1, 0, 1]);
    message.word(body.len()).word(serial).word(fields.0.len());
    // The fields begin at a multiple of eight, as they were written.
    message.0.extend(fields.0);
    message.pad(8).0.extend(body);
    message.0
}

/// The whole desktop in the output's own pixels: blue, green, red, ignored.
fn capture(bus: &Path) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(bus)?;
    stream.set_read_timeout(Some(super::program::LONG))?;
    let user = rustix::process::getuid().as_raw().to_string();
    let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
    let mut line = [0; 256];
    for words in [format!("\0AUTH EXTERNAL {hex}\r\n"), "NEGOTIATE_UNIX_FD\r\n".into()] {
        stream.write_all(words.as_bytes())?;
        let len = stream.read(&mut line)?;
        assert!(!line[..len].starts_with(b"ERR") && !line[..len].starts_with(b"REJ"), "the bus refuses");
    }
    stream.write_all(b"BEGIN\r\n")?;
    let bus = "org.freedesktop.DBus";
    stream.write_all(&call(1, ["/org/freedesktop/DBus", bus, bus, "Hello"], &[]))?;
    let mut entry = Marshal::default();
    entry.text("native-resolution").signature("b").word(1);
    let mut body = Marshal::default();
    // An entry begins at a multiple of eight, which its length does not count.
    body.word(entry.0.len()).pad(8).0.extend(entry.0);
    body.word(0);
    let (mut pixels, there) = std::io::pipe()?;
    let object = "/org/kde/KWin/ScreenShot2";
    let message = call(2, [object, "org.kde.KWin", "org.kde.KWin.ScreenShot2", "CaptureWorkspace"], &body.0);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let given = [there.as_fd()];
    assert!(beside.push(SendAncillaryMessage::ScmRights(&given)));
    let sent = sendmsg(&stream, &[IoSlice::new(&message)], &mut beside, SendFlags::empty())?;
    assert_eq!(sent, message.len());
    drop(there);
    let mut image = Vec::new();
    pixels.read_to_end(&mut image)?;
    if image.is_empty() {
        return Err(std::io::Error::other("no screenshot yet"));
    }
    Ok(image)
}
