//! The systemd user units: what is written and removed, whether systemd takes it, and the unit's own command line under a
//! real notify socket.

use crate::rig::{FileGuest, PulseRig, Running, alone, has, scream_rx, until};
use shm_proto::guest_sim::sound::SoundGuest;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn service(home: &Path, arguments: &[&str]) -> Output {
    let mut command = scream_rx(home);
    command.arg("service").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(home: &Path, arguments: &[&str]) -> String {
    let output = service(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Everything below a folder but folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = entries.flatten().map(|e| e.path());
    below.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_is_printed_is_what_is_packaged() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, name) in
        [(["print"].as_slice(), "scream-rx.service"), (["print", "win10"].as_slice(), "scream-rx@.service")]
    {
        let printed = done(home.path(), &[arguments, &["--program", "/usr/bin/scream-rx"]].concat());
        let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(name);
        assert_eq!(printed, std::fs::read_to_string(packaged).unwrap());
    }
    assert!(files(home.path()).is_empty(), "printing writes nothing");
}

#[test]
fn what_was_installed_is_removed_and_what_was_edited_stays() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for name in [&[][..], &["win10"]] {
        let install = [&["install"], name].concat();
        done(home, &install);
        assert!(done(home, &install).contains("up to date"), "a second time changes nothing");
        done(home, &[&["uninstall"], name].concat());
        assert!(files(home).is_empty(), "{:?}", files(home));
    }
    done(home, &["install", "win10"]);
    let unit = home.join("config/systemd/user/scream-rx@.service");
    let settings = home.join("config/scream-rx/win10.toml");
    std::fs::write(&settings, "file = \"/dev/shm/win10\"\n").unwrap();
    let edited = std::fs::read_to_string(&unit).unwrap().replace("WatchdogSec=30", "WatchdogSec=99");
    std::fs::write(&unit, &edited).unwrap();
    let refused = service(home, &["install", "win10", "--network"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("was edited") && text(&refused.stderr).contains("--force"));
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), edited, "not a letter changed");
    assert!(done(home, &["uninstall", "win10"]).contains("stays"));
    assert_eq!(files(home).len(), 2);
    done(home, &["install", "win10", "--network", "--force"]);
    assert!(std::fs::read_to_string(&unit).unwrap().contains("AF_UNIX AF_INET"));
    assert!(std::fs::read_to_string(&settings).unwrap().contains("/dev/shm/win10"), "settings are the user's");
    // Another guest's instance is enabled: the template is still needed.
    let wants = unit.with_file_name("default.target.wants");
    std::fs::create_dir(&wants).unwrap();
    std::os::unix::fs::symlink(&unit, wants.join("scream-rx@linux.service")).unwrap();
    assert!(done(home, &["uninstall", "win10", "--force"]).contains("scream-rx@linux.service uses it"));
    assert!(unit.exists() && !settings.exists());
    for bad in ["../x", "a b", ""] {
        assert_eq!(service(home, &["install", bad]).status.code(), Some(1), "{bad:?}");
    }
}

#[test]
fn a_service_that_is_to_run_now_is_enabled_by_systemctl() {
    let home = tempfile::tempdir().unwrap();
    let systemctl = home.path().join("systemctl");
    std::fs::write(&systemctl, "#!/bin/sh\necho \"$@\" >>\"$HOME/asked\"\n[ ! -e \"$HOME/broken\" ]\n").unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
        scream_rx(home.path()).env("PATH", path).arg("service").args(arguments).output().unwrap()
    };
    assert!(run(&["install", "win10", "--now"]).status.success());
    assert!(run(&["uninstall", "win10", "--now"]).status.success());
    let asked = std::fs::read_to_string(home.path().join("asked")).unwrap();
    let expected = "--user daemon-reload\n--user enable --now scream-rx@win10.service\n\
                    --user disable --now scream-rx@win10.service\n--user daemon-reload\n";
    assert_eq!(asked, expected);
    std::fs::write(home.path().join("broken"), "").unwrap();
    let failed = run(&["install", "--now"]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("hint: "), "{}", text(&failed.stderr));
}

#[test]
fn systemd_takes_the_installed_units_without_a_word() {
    if !has("systemd-analyze") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    done(home.path(), &["install"]);
    done(home.path(), &["install", "win10", "--network"]);
    for name in ["scream-rx.service", "scream-rx@win10.service"] {
        let units = home.path().join("config/systemd/user");
        let mut command = Command::new("systemd-analyze");
        command.args(["--user", "--man=no", "verify", name]);
        command.env("XDG_RUNTIME_DIR", home.path()).env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()));
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", text(&output.stderr));
    }
    let unit = home.path().join("config/systemd/user/scream-rx.service");
    let misspelt = std::fs::read_to_string(&unit).unwrap().replace("RestartSec=", "RestrtSec=");
    std::fs::write(&unit, misspelt).unwrap();
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["--user", "--man=no", "verify"]).arg(&unit).env("XDG_RUNTIME_DIR", home.path());
    assert!(text(&output.output().unwrap().stderr).contains("RestrtSec"), "the tool would tell");
}

/// The command line of an installed unit, as systemd would run it for `name`.
fn command_line(home: &Path, name: &str) -> Command {
    let unit = std::fs::read_to_string(home.join("config/systemd/user/scream-rx@.service")).unwrap();
    let line = unit.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap();
    let config = home.join("config").display().to_string();
    let words: Vec<String> = line.split(' ').map(|w| w.replace("%E", &config).replace("%i", name)).collect();
    let mut command = Command::new(&words[0]);
    crate::rig::clean(&mut command, home);
    command.args(&words[1..]);
    command
}

/// Waits for a message of the service; all that came are kept.
fn hear(socket: &UnixDatagram, heard: &mut Vec<String>, words: &str) {
    until(words, || {
        let mut bytes = [0; 4096];
        while let Ok(n) = socket.recv(&mut bytes) {
            heard.extend(text(&bytes[..n]).lines().map(str::to_owned));
        }
        heard.iter().any(|line| line.starts_with(words)).then_some(())
    });
}

#[test]
fn the_units_command_tells_systemd_how_it_goes_before_there_is_a_guest_or_a_server() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    rig.kill();
    let home = rig.folder.path().to_owned();
    done(&home, &["install", "win10"]);
    let file = home.join("region");
    let settings = format!("file = \"{}\"\noutput = \"pulse\"\n", file.display());
    std::fs::write(home.join("config/scream-rx/win10.toml"), settings).unwrap();
    let address = home.join("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut command = command_line(&home, "win10");
    rig.serve(&mut command).env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "2000000");
    let mut player = Running::start(&mut command, &home.join("player.log"));
    let mut heard = Vec::new();
    hear(&socket, &mut heard, "READY=1");
    hear(&socket, &mut heard, "WATCHDOG=1");
    player.wait_for_line("trying again");
    // First the guest, then the server; the service minds neither.
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    hear(&socket, &mut heard, "STATUS=the guest plays");
    rig.start_server();
    let recording = rig.record("service.raw");
    recording.wait_for_sound(0, 0.5);
    let status = scream_rx(&home).args(["status", "win10"]).output().unwrap();
    assert!(text(&status.stdout).contains("win10: the guest plays"), "{}", text(&status.stderr));
    player.signal("TERM");
    hear(&socket, &mut heard, "STOPPING=1");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    let beats = heard.iter().filter(|l| *l == "WATCHDOG=1").count();
    println!("{beats} beats, {} messages", heard.len());
    assert!(heard.iter().position(|l| l == "READY=1") < heard.iter().position(|l| l == "STOPPING=1"), "{heard:?}");
    assert!(!home.join("scream-rx/win10.sock").exists(), "nothing is left");
}

#[test]
fn a_service_whose_settings_are_wrong_ends_with_the_code_that_is_not_started_again() {
    let home = tempfile::tempdir().unwrap();
    done(home.path(), &["install", "win10"]);
    std::fs::write(home.path().join("config/scream-rx/win10.toml"), "\nprofil = \"low\"\n").unwrap();
    let output = command_line(home.path(), "win10").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("win10.toml:2:1") && said.contains("did you mean `profile`"), "{said}");
    let unit = done(home.path(), &["print", "win10"]);
    assert!(unit.contains("RestartPreventExitStatus=1\n"), "{unit}");
}
