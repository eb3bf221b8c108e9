//! A PulseAudio server of our own: one null sink, no hardware, no D-Bus, nothing shared with the user's own server. What
//! is played into the sink can be recorded from its monitor, bit for bit.
//!
//! Where PulseAudio is not installed, PipeWire takes its place, with its own program for PulseAudio's clients: many
//! desktops have that one instead, and installing the other would take the user's own sound away.

use crate::process::{Running, SOON, run, tied, until, until_or_late};
use crate::{place, require};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The sink's name; its monitor is this with `.monitor` behind.
pub const SINK: &str = "rx";

/// What the sink plays. Recordings come in the same form.
pub const RATE_HZ: u32 = 48_000;

/// Channels of the sink and of recordings.
pub const CHANNELS: usize = 2;

/// Which programs make up the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PulseAudio itself.
    PulseAudio,
    /// PipeWire, a session manager and PipeWire's PulseAudio server.
    PipeWire,
}

impl Kind {
    /// The one that is installed here, or should be.
    fn here() -> Kind {
        let has = |kind: Kind| kind.programs().iter().all(|program| require::find(program).is_some());
        let asked = std::env::var("RX_SOUND_SERVER").is_ok_and(|name| name == "pipewire");
        if has(Kind::PipeWire) && (asked || !has(Kind::PulseAudio)) { Kind::PipeWire } else { Kind::PulseAudio }
    }

    const fn programs(self) -> &'static [&'static str] {
        match self {
            Kind::PulseAudio => &["pulseaudio"],
            Kind::PipeWire => &["pipewire", "wireplumber", "pipewire-pulse"],
        }
    }
}

/// A private server. Ends when dropped.
#[derive(Debug)]
pub struct PulseRig {
    // Declared before the folder: the server ends before its folder goes.
    servers: Vec<Running>,
    kind: Kind,
    realtime: bool,
    folder: tempfile::TempDir,
}

impl PulseRig {
    /// Starts a server and waits until it answers. `None`, after printing the skip, where none is installed.
    /// `RX_SOUND_SERVER=pipewire` chooses PipeWire where both are.
    ///
    /// # Panics
    /// If it does not come up, or is not installed and `CI=true`.
    pub fn start() -> Option<PulseRig> {
        let kind = Kind::here();
        if !require::programs(kind.programs()) || !require::programs(&["parec", "pactl"]) {
            return None;
        }
        Some(PulseRig::start_in(place::folder(), kind).unwrap_or_else(|why| panic!("{why}")))
    }

    /// As [`PulseRig::start`], for what is no test.
    ///
    /// # Errors
    /// In words why there is none: what is not installed, or what the server said.
    pub fn try_start() -> Result<PulseRig, String> {
        let kind = Kind::here();
        let mut needed = kind.programs().iter().chain(&["parec", "pactl"]);
        match needed.find(|program| require::find(program).is_none()) {
            Some(missing) => Err(format!("{missing} is not installed")),
            None => PulseRig::start_in(place::folder(), kind),
        }
    }

    fn start_in(folder: tempfile::TempDir, kind: Kind) -> Result<PulseRig, String> {
        let dir = folder.path();
        for sub in ["run", "run/pulse", "home/.config/pipewire/pipewire.conf.d", "home/.config/wireplumber/main.lua.d"]
        {
            private_folder(&dir.join(sub));
        }
        let mut servers = match kind {
            Kind::PulseAudio => vec![start_pulseaudio(dir)],
            Kind::PipeWire => start_pipewire(dir),
        };
        let there = || {
            let mut pactl = Command::new("pactl");
            environment(dir, pactl.args(["list", "short", "sinks"]));
            let done = run("pactl", &mut pactl, SOON);
            done.out.iter().any(|line| line.split('\t').nth(1) == Some(SINK)).then_some(())
        };
        // An end of the server also ends the wait.
        let mut up = || if servers.iter_mut().all(Running::is_alive) { there().map(|()| true) } else { Some(false) };
        let up = until_or_late(SOON, &mut up);
        let tails = || servers.iter().map(Running::tail).collect::<String>();
        match up {
            Some(true) => {}
            Some(false) => return Err(format!("the sound server ended at once\n{}", tails())),
            None => return Err(format!("no sound server within {SOON:?}\n{}", tails())),
        }
        let realtime = servers.iter().all(make_realtime);
        Ok(PulseRig { servers, kind, realtime, folder })
    }

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lets `command` find this server, and no other.
    pub fn serve(&self, command: &mut Command) {
        environment(self.folder.path(), command);
    }

    /// Whether the server runs with real-time priority. Without it a busy machine tears holes into any sound, so tests
    /// that ask for an unbroken one look here first.
    pub fn is_realtime(&self) -> bool {
        self.realtime
    }

    /// Ends the server and starts another one at the same address, as a desktop does after an upgrade.
    ///
    /// # Panics
    /// If the new one does not come up.
    #[must_use]
    pub fn restart(self) -> PulseRig {
        let PulseRig { servers, folder, kind, .. } = self;
        drop(servers);
        let _ = std::fs::remove_file(socket(folder.path()));
        PulseRig::start_in(folder, kind).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The numbers of the server's processes.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(Running::pid).collect()
    }

    /// Starts to record what the sink plays.
    ///
    /// # Panics
    /// If the recorder cannot be started.
    pub fn record(&self) -> Recording {
        let path = self.folder.path().join("recording.raw");
        let file = File::create(&path).expect("a file for the recording");
        let mut command = tied("parec");
        // Without a latency the recorder hands out two seconds at a time, and the last two are lost.
        command.args(["--raw", "--format=s16le", "--latency-msec=10"]);
        command.args([
            format!("--device={SINK}.monitor"),
            format!("--rate={RATE_HZ}"),
            format!("--channels={CHANNELS}"),
        ]);
        self.serve(command.stdout(Stdio::from(file)));
        Recording { recorder: Running::start_keeping_stdout("parec", &mut command), path }
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.servers.iter().map(Running::tail).collect()
    }
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recording {
    recorder: Running,
    path: PathBuf,
}

impl Recording {
    /// Frames that have come so far.
    pub fn frames(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len() / (2 * CHANNELS as u64))
    }

    /// Everything recorded so far, interleaved.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn so_far(&self) -> Vec<i16> {
        let bytes = std::fs::read(&self.path).expect("the recording");
        bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect()
    }

    /// Waits until there are `length` more of sound that is not silence, and gives everything recorded so far.
    ///
    /// # Panics
    /// If they do not come within `within`.
    pub fn wait_for_sound(&self, length: Duration, within: Duration) -> Vec<i16> {
        let loud = |samples: &[i16]| samples.iter().filter(|s| s.unsigned_abs() > 64).count();
        let before = loud(&self.so_far());
        // A sine is quieter than the threshold for a short part of each wave.
        let wanted = before + (length.as_secs_f64() * f64::from(RATE_HZ) * CHANNELS as f64 * 0.95) as usize;
        let enough = || Some(self.so_far()).filter(|samples| loud(samples) >= wanted);
        until("sound at the monitor", within, enough, || self.recorder.tail())
    }

    /// Ends the recording.
    pub fn stop(self) -> Vec<i16> {
        let Recording { recorder, path } = self;
        drop(recorder);
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect()
    }
}

fn start_pulseaudio(dir: &Path) -> Running {
    let mut command = tied("pulseaudio");
    command
        .args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--log-level=warn"])
        .arg("--log-target=stderr")
        // norewinds: otherwise an idle sink has played up to two seconds ahead, and a new stream waits for them.
        .arg(format!(
            "--load=module-null-sink sink_name={SINK} rate={RATE_HZ} format=s16le channels={CHANNELS} norewinds=1"
        ))
        .arg(format!("--load=module-native-protocol-unix auth-anonymous=1 socket={}", socket(dir).display()));
    environment(dir, &mut command);
    Running::start("pulseaudio", &mut command)
}

fn start_pipewire(dir: &Path) -> Vec<Running> {
    let config = dir.join("home/.config");
    let sink = format!(
        "context.properties = {{ support.dbus = false default.clock.rate = {RATE_HZ} }}
         context.objects = [ {{ factory = adapter args = {{
            factory.name = support.null-audio-sink node.name = {SINK} media.class = Audio/Sink
            audio.position = \"FL,FR\" audio.rate = {RATE_HZ} monitor.channel-volumes = true object.linger = true
         }} }} ]"
    );
    std::fs::write(config.join("pipewire/pipewire.conf.d/10-rx.conf"), sink).expect("room for settings");
    // No hardware, no D-Bus, nothing remembered. For WirePlumber 0.4; 0.5 needs none of it and reads other files.
    let manager = "alsa_monitor.enabled = false
        v4l2_monitor.enabled = false
        libcamera_monitor.enabled = false
        default_access.properties[\"enable-flatpak-portal\"] = false
        device_defaults.properties[\"use-persistent-storage\"] = false\n";
    std::fs::write(config.join("wireplumber/main.lua.d/51-rx.lua"), manager).expect("room for settings");
    let bluetooth = config.join("wireplumber/bluetooth.lua.d");
    private_folder(&bluetooth);
    std::fs::write(bluetooth.join("51-rx.lua"), "bluez_monitor.enabled = false\n").expect("room for settings");
    let start = |program: &&str| {
        let mut command = tied(program);
        environment(dir, &mut command);
        let running = Running::start(program, &mut command);
        if *program == "pipewire" {
            let socket = dir.join("run/pipewire-0");
            until("PipeWire", SOON, || socket.exists().then_some(()), || running.tail());
        }
        running
    };
    Kind::PipeWire.programs().iter().map(start).collect()
}

/// Gives a server real-time priority, if this user may. Only once it runs: PulseAudio gives it away while it starts.
fn make_realtime(server: &Running) -> bool {
    require::find("chrt").is_some_and(|chrt| {
        let mut command = Command::new(chrt);
        command.args(["-a", "-r", "-p", "30", &server.pid().to_string()]);
        run("chrt", &mut command, SOON).status.success()
    })
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("run/pulse/native")
}

fn private_folder(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).expect("a folder for the sound server");
}

fn environment(dir: &Path, command: &mut Command) {
    let home = dir.join("home");
    command
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", dir.join("run"))
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("PULSE_RUNTIME_PATH", dir.join("run/pulse"))
        .env("PULSE_STATE_PATH", home.join("pulse"))
        .env("PULSE_COOKIE", home.join("cookie"))
        .env("PULSE_SERVER", format!("unix:{}", socket(dir).display()))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone;

    #[test]
    fn what_is_played_is_recorded() {
        let Some(rig) = PulseRig::start() else { return };
        let sent = tone::sine(440.0, RATE_HZ, Duration::from_secs(20));
        let file = rig.folder.path().join("sent.raw");
        std::fs::write(&file, sent.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        let recording = rig.record();
        let mut play = tied("pacat");
        play.args(["--playback", "--raw", "--format=s16le", "--rate=48000", "--channels=2", "--latency-msec=200"]);
        rig.serve(play.arg(&file));
        let _player = Running::start("pacat", &mut play);
        let heard = recording.wait_for_sound(Duration::from_secs(1), SOON);
        let tone = tone::measure(&heard, CHANNELS, RATE_HZ);
        assert!((tone.frequency_hz - 440.0).abs() < 1.0, "{tone:?}");
    }
}
