//! JACK and PipeWire natively, where they are built in (`make testsinks`): a real jackd without hardware in a private
//! `/dev/shm`, a real PipeWire in a private runtime folder. The sinks look for their server in the environment, which
//! belongs to the whole process; so each server's checks run in a process of their own, this program again.

use crate::conformance;
use crate::rig::{FileGuest, Running, alone, has, scream_rx, until};
use crate::tone;
use core::time::Duration;
use scream_rx::sink::device::{Api, DEFAULT, DeviceSink};
use shm_proto::guest_sim::sound::SoundGuest;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Set in the inner process: the folder for its files.
const INNER: &str = "SCREAM_RX_TEST_NATIVE";

/// Runs the test `name` of this program again, as `command` with this program and its arguments at the end.
fn again(command: &mut Command, name: &str, folder: &Path) {
    let program = std::env::current_exe().unwrap();
    command.arg(program).args(["--exact", name, "--nocapture"]).env(INNER, folder);
    command.env("XDG_RUNTIME_DIR", folder).env("HOME", folder).env("XDG_CONFIG_HOME", folder.join("config"));
    command
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("JACK_NO_AUDIO_RESERVATION", "1")
        .env("JACK_NO_START_SERVER", "1");
    let done = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{said}");
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

/// The folder, in the inner process.
fn inner() -> Option<std::path::PathBuf> {
    std::env::var_os(INNER).map(Into::into)
}

/// The program with the environment of this process, which is the server's.
fn player(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = scream_rx(folder);
    command.envs(std::env::vars_os()).args(arguments);
    command
}

/// What every native sink does: keeps the contract, is heard as a clean tone, and survives its server.
fn check(api: Api, word: &str, folder: &Path, start: &dyn Fn() -> Vec<Running>, record: &dyn Fn(&Path) -> Command) {
    let mut servers = start();
    let piece = Duration::from_millis(5);
    conformance::check(word, &mut || {
        Box::new(DeviceSink { api, name: DEFAULT.into(), piece, patient: false, rest_after: api.rest_after() })
    });
    let file = folder.join("region");
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let mut player = Running::start(
        player(folder, &["-o", word, "--stats"]).arg(folder.join("stats.json")).arg(&file),
        &folder.join("player.log"),
    );
    player.wait_for_line("sound goes to");
    player.wait_for_line("the guest plays");
    let (path, log) = (folder.join("recorded.wav"), folder.join("recorder.log"));
    let mut recorder = Running::start(record(&path).stdout(Stdio::null()), &log);
    let long_enough = || std::fs::metadata(&path).ok().filter(|m| m.len() > 500_000).map(|_| ());
    until("a recording", long_enough);
    recorder.signal("INT");
    recorder.end();
    let heard = tone::listen(&left(&path), 440.0, 48_000.0).unwrap();
    println!("{word}: {heard:?}");
    assert!((heard.hz - 440.0).abs() < 4.0 && (heard.peak - 0.501).abs() < 0.02, "{heard:?}");

    // The server dies and comes back.
    servers.clear();
    player.wait_for_line("trying again");
    servers = start();
    let back = Instant::now();
    until("the server's return", || (player.err().matches("sound goes to").count() == 2).then_some(()));
    println!("{word}: played on {:?} after the server came back", back.elapsed());
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    let figures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("stats.json")).unwrap()).unwrap();
    println!("{word}: {figures}");
    assert_eq!(player.err().matches("trying again").count(), 1, "{}", player.err());
    drop(servers);

    // Without its server: one line and a hint.
    let mut alone = Running::start(self::player(folder, &["-o", word]).arg(&file), &folder.join("alone.log"));
    assert_eq!(alone.end().code(), Some(2), "{}", alone.err());
    assert!(alone.err().contains("server answers") && alone.err().contains("hint: "), "{}", alone.err());
}

/// The left channel of a 16-bit recording whose header may not be final.
fn left(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let data = bytes.windows(4).position(|w| w == b"data").expect("a WAV file") + 8;
    crate::rig::left_of(&bytes[data..])
}

#[cfg(feature = "jack")]
#[test]
fn jack_keeps_the_contract() {
    if let Some(folder) = inner() {
        let start = || {
            let mut jackd = Command::new("jackd");
            jackd.args(["--realtime", "-P", "30", "-d", "dummy", "-r", "48000", "-p", "256", "-C", "2", "-P", "2"]);
            let server = Running::start(jackd.stdout(Stdio::null()), &folder.join("jackd.log"));
            let there = || Command::new("jack_lsp").output().ok().filter(|o| o.status.success()).map(|_| ());
            until("jackd", there);
            vec![server]
        };
        let record = |path: &Path| {
            let ports = Command::new("jack_lsp").output().unwrap();
            let ports = String::from_utf8_lossy(&ports.stdout).into_owned();
            let ours: Vec<&str> = ports.lines().filter(|p| p.contains("cpal_client") && p.contains("_out:")).collect();
            let mut command = Command::new("jack_rec");
            command.arg("-f").arg(path).args(["-d", "4", "-b", "16"]).args(ours);
            command
        };
        return check(Api::Jack, "jack", &folder, &start, &record);
    }
    let _alone = alone();
    if !(["jackd", "jack_rec", "jack_lsp", "unshare"].iter().all(|p| has(p))) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    // Its shared memory would stay behind, and meet that of another jackd.
    command.args(["--map-root-user", "--mount", "--kill-child", "sh", "-c"]);
    command.args(["mount -t tmpfs tmpfs /dev/shm && exec \"$@\"", "sh"]);
    again(&mut command, "native::jack_keeps_the_contract", folder.path());
}

#[cfg(feature = "pipewire")]
#[test]
fn pipewire_keeps_the_contract() {
    if let Some(folder) = inner() {
        let start = || {
            let run = |name: &str, socket: &str| {
                let _ = std::fs::remove_file(folder.join(socket));
                let server = Running::start(Command::new(name).stdout(Stdio::null()), &folder.join(name));
                let priority = ["-a", "-r", "-p", "30", &server.id().to_string()].map(str::to_owned);
                let _ = Command::new("chrt").args(priority).stderr(Stdio::null()).status();
                server
            };
            let server = run("pipewire", "pipewire-0");
            until("PipeWire", || folder.join("pipewire-0").exists().then_some(()));
            let manager = run("wireplumber", "none");
            // Settled once a stream of somebody's is linked; a device that is asked for is there before that.
            until("a device", || {
                let list = Command::new("pw-cli").args(["ls", "Node"]).output().ok()?;
                String::from_utf8_lossy(&list.stdout).contains("node.name = \"t\"").then_some(())
            });
            vec![manager, server]
        };
        let record = |path: &Path| {
            let mut command = Command::new("pw-record");
            command.args(["-P", "{stream.capture.sink=true}", "--target", "t", "--rate", "48000"]);
            command.args(["--channels", "2", "--format", "s16"]).arg(path);
            command
        };
        return check(Api::PipeWire, "pipewire", &folder, &start, &record);
    }
    let _alone = alone();
    if !(["pipewire", "wireplumber", "pw-record", "pw-cli"].iter().all(|p| has(p))) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let write = |name: &str, text: &str| {
        let path = config.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "pipewire/pipewire.conf.d/10-test.conf",
        "context.properties = { support.dbus = false }
         context.objects = [ { factory = adapter args = { factory.name = support.null-audio-sink node.name = t
            media.class = Audio/Sink audio.position = \"FL,FR\" audio.rate = 48000 object.linger = true
            monitor.channel-volumes = true } } ]",
    );
    // For WirePlumber 0.4; 0.5 needs none of it and reads other files.
    write(
        "wireplumber/main.lua.d/51-test.lua",
        "alsa_monitor.enabled = false
         v4l2_monitor.enabled = false
         libcamera_monitor.enabled = false
         default_access.properties[\"enable-flatpak-portal\"] = false
         device_defaults.properties[\"use-persistent-storage\"] = false",
    );
    write("wireplumber/bluetooth.lua.d/51-test.lua", "bluez_monitor.enabled = false");
    again(&mut Command::new("env"), "native::pipewire_keeps_the_contract", folder.path());
}
