//! A PulseAudio of the test's own, with a sink that plays into nothing and a recorder behind it; a simulated guest that
//! writes into a file; the program under test. Everything lives in a temporary folder and is gone afterwards.

pub use rx_tests::attempt::on_time;
use shm_proto::Region;
use shm_proto::guest_sim::sound::{SoundGuest, SoundGuestBuilder};
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const RATE_HZ: usize = 48_000;
/// Long enough for anything on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// One at a time: each needs what processors there are.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `found` gives something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(x) = found() {
            return x;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a program is installed. Where `CI` is `true` it must be; elsewhere the test is skipped, and says so.
pub fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

/// Whether a test can have a network of its own, with two interfaces. As [`has`].
pub fn has_own_network() -> bool {
    if !has("unshare") {
        return false;
    }
    let mut attempt = Command::new("unshare");
    attempt.args(["--map-root-user", "--net", "sh", "-c", "ip link add near type veth peer name far"]);
    let may = attempt.output().unwrap();
    if !may.status.success() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{}", String::from_utf8_lossy(&may.stderr));
        println!("skipped: no network of its own: {}", String::from_utf8_lossy(&may.stderr));
    }
    may.status.success()
}

/// A child that dies with the test.
pub struct Running {
    child: Child,
    err: PathBuf,
}

impl Running {
    pub fn start(command: &mut Command, err: &Path) -> Running {
        let file = File::create(err).unwrap();
        let child = command.stdin(Stdio::null()).stderr(file).spawn().unwrap();
        Running { child, err: err.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub fn wait_for_line(&self, words: &str) {
        until(words, || self.err().contains(words).then_some(()));
    }

    pub fn signal(&self, name: &str) {
        // The shell's own: a small system has no program of that name.
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.id())]).status().unwrap();
        assert!(sent.success());
    }

    pub fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the end of the program", || child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, with nothing of the user's.
pub fn scream_rx(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scream-rx"));
    clean(&mut command, home);
    command
}

pub fn clean(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("XDG_CONFIG_HOME", home.join("config"));
}

/// The private server.
pub struct PulseRig {
    pub folder: TempDir,
    server: Option<Running>,
}

impl PulseRig {
    /// Nothing, after saying so, where PulseAudio is not installed.
    pub fn start() -> Option<PulseRig> {
        if !(has("pulseaudio") && has("parec") && has("pactl")) {
            return None;
        }
        let mut rig = PulseRig { folder: tempfile::tempdir().unwrap(), server: None };
        rig.start_server();
        Some(rig)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("native")
    }

    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Starts the server, again after [`PulseRig::kill`].
    pub fn start_server(&mut self) {
        let home = self.folder.path();
        let mut command = Command::new("pulseaudio");
        clean(&mut command, home);
        command.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--log-level=warn"]);
        // Without norewinds an idle null sink has played up to two seconds ahead.
        command.args(["-L", "module-null-sink sink_name=t rate=48000 format=s16le channels=2 norewinds=1"]);
        let socket = self.socket().display().to_string();
        command.args(["-L", &format!("module-native-protocol-unix auth-anonymous=1 socket={socket}")]);
        command.env("PULSE_RUNTIME_PATH", home.join("pulse")).env("PULSE_STATE_PATH", home.join("state"));
        let server = Running::start(command.stdout(Stdio::null()), &home.join("server.log"));
        until("the sound server", || UnixStream::connect(self.socket()).ok());
        // Where it is allowed; the server drops its own priority when it starts.
        let priority = ["-a", "-r", "-p", "30", &server.id().to_string()].map(str::to_owned);
        let _ = Command::new("chrt").args(priority).stderr(Stdio::null()).status();
        self.server = Some(server);
    }

    /// As a crash: nothing is told to anybody.
    pub fn kill(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_file(self.socket());
    }

    /// Sends `command` to this server.
    pub fn serve<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PULSE_SERVER", self.address()).env("PULSE_COOKIE", self.folder.path().join("cookie"))
    }

    /// Tells the server something, as a mixer does; gives its answer.
    pub fn pactl(&self, words: &[&str]) -> String {
        let mut command = Command::new("pactl");
        clean(&mut command, self.folder.path());
        let done = self.serve(&mut command).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The number of the one stream that plays there.
    pub fn stream(&self) -> String {
        until("our stream", || {
            self.pactl(&["list", "short", "sink-inputs"]).split_whitespace().next().map(str::to_owned)
        })
    }

    /// Sends a signal to the server itself.
    pub fn signal(&self, name: &str) {
        self.server.as_ref().unwrap().signal(name);
    }

    /// Records what the sink plays, from now on.
    pub fn record(&self, name: &str) -> Recording {
        let path = self.folder.path().join(name);
        let mut command = Command::new("parec");
        clean(&mut command, self.folder.path());
        self.serve(&mut command);
        command.args(["-d", "t.monitor", "--rate=48000", "--format=s16le", "--channels=2", "--raw"]);
        // Without a latency it takes pieces of two seconds.
        command.arg("--latency-msec=10").stdout(File::create(&path).unwrap());
        let recorder = Running::start(&mut command, &self.folder.path().join("recorder.log"));
        until("the recorder", || std::fs::metadata(&path).unwrap().len().checked_sub(1));
        Recording { path, _recorder: recorder }
    }
}

/// What was recorded so far.
pub struct Recording {
    path: PathBuf,
    _recorder: Running,
}

impl Recording {
    /// The left channel.
    pub fn left(&self) -> Vec<f32> {
        let mut bytes = Vec::new();
        File::open(&self.path).unwrap().read_to_end(&mut bytes).unwrap();
        left_of(&bytes)
    }

    /// Frames that were recorded so far.
    pub fn frames(&self) -> usize {
        std::fs::metadata(&self.path).unwrap().len() as usize / 4
    }

    /// Both channels.
    pub fn both(&self) -> (Vec<f32>, Vec<f32>) {
        let bytes = std::fs::read(&self.path).unwrap();
        (left_of(&bytes), left_of(bytes.get(2..).unwrap_or_default()))
    }

    /// Waits until nothing has been heard for a tenth of a second behind some sound; gives all that was recorded.
    pub fn wait_for_end(&self) -> Vec<f32> {
        until("silence behind the sound", || {
            let left = self.left();
            let last = left.iter().rposition(|x| x.abs() > 0.01)?;
            (left.len() - last > RATE_HZ / 10).then_some(left)
        })
    }

    /// Waits until `seconds` of sound came behind `from`; gives what was recorded since then.
    pub fn wait_for_sound(&self, from: usize, seconds: f64) -> Vec<f32> {
        until("sound at the server's monitor", || {
            let left = self.left();
            let new = left.get(from..).unwrap_or_default();
            let loud = new.iter().filter(|x| x.abs() > 0.05).count();
            (loud as f64 > seconds * RATE_HZ as f64 * 0.8).then(|| new.to_vec())
        })
    }
}

/// The left channel of 16-bit stereo.
pub fn left_of(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect()
}

/// A guest that writes into a file, on a thread of its own.
pub struct FileGuest {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FileGuest {
    pub fn start(path: &Path, guest: SoundGuestBuilder) -> FileGuest {
        let region = Region::create(path, 2 << 20).unwrap();
        let mut guest: SoundGuest = guest.build_in(region).unwrap();
        let stop = Arc::<AtomicBool>::default();
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            rx_host::realtime::ask_for_thread("guest", 25);
            while !until.load(Ordering::Relaxed) {
                guest.advance(rx_host::clock::now()).unwrap();
                let idle = rx_host::clock::now() + Duration::from_millis(20);
                rx_host::clock::sleep_until(guest.next_due().unwrap_or(idle).min(idle));
            }
        });
        FileGuest { stop, thread: Some(thread) }
    }
}

impl Drop for FileGuest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
