//! A PulseAudio server of our own: one null sink, no hardware, no D-Bus, nothing shared with the user's own server. What
//! is played into the sink can be recorded from its monitor, bit for bit.

use crate::process::{Running, SOON, run, tied, until};
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

/// A private server. Ends when dropped.
#[derive(Debug)]
pub struct PulseRig {
    // Declared before the folder: the server ends before its folder goes.
    server: Running,
    realtime: bool,
    folder: tempfile::TempDir,
}

impl PulseRig {
    /// Starts a server and waits until it answers. `None`, after printing the skip, where PulseAudio is not installed.
    ///
    /// # Panics
    /// If it does not come up, or is not installed and `CI=true`.
    pub fn start() -> Option<PulseRig> {
        if !require::programs(&["pulseaudio", "parec", "pactl"]) {
            return None;
        }
        let folder = place::folder();
        Some(PulseRig::start_in(folder))
    }

    fn start_in(folder: tempfile::TempDir) -> PulseRig {
        let dir = folder.path();
        for sub in ["run", "run/pulse", "home"] {
            private_folder(&dir.join(sub));
        }
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
        let mut server = Running::start("pulseaudio", &mut command);
        let answers = || {
            let mut pactl = Command::new("pactl");
            environment(dir, pactl.arg("info"));
            run("pactl", &mut pactl, SOON).status.success().then_some(())
        };
        until("the sound server", SOON, || if server.is_alive() { answers() } else { Some(()) }, String::new);
        assert!(server.is_alive(), "the sound server ended at once\n{}", server.tail());
        // Only now: the server gives the priority away while it starts.
        let realtime = require::find("chrt").is_some_and(|chrt| {
            let mut command = Command::new(chrt);
            command.args(["-a", "-r", "-p", "30", &server.pid().to_string()]);
            run("chrt", &mut command, SOON).status.success()
        });
        PulseRig { server, realtime, folder }
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
        let PulseRig { server, folder, .. } = self;
        drop(server);
        let _ = std::fs::remove_file(socket(folder.path()));
        PulseRig::start_in(folder)
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
        self.server.tail()
    }
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recording {
    recorder: Running,
    path: PathBuf,
}

impl Recording {
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
