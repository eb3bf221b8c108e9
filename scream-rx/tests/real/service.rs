//! The systemd user units: what is written and removed, whether systemd takes it, and the unit's own command line under a
//! real notify socket.

use crate::rig::{FileGuest, PulseRig, Running, alone, has, scream_rx, until};
use shm_proto::guest_sim::sound::SoundGuest;
use std::net::UdpSocket;
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
    // Another guest has settings: the template is its, too.
    done(home, &["install", "win10"]);
    done(home, &["install", "work"]);
    assert!(done(home, &["uninstall", "win10"]).contains("scream-rx@work.service uses it"));
    done(home, &["uninstall", "work"]);
    assert!(files(home).is_empty(), "{:?}", files(home));
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
    let network = home.join("config/systemd/user/scream-rx@win10.service.d/network.conf");
    assert!(std::fs::read_to_string(&network).unwrap().contains("\nRestrictAddressFamilies=AF_UNIX AF_INET "));
    assert!(std::fs::read_to_string(&settings).unwrap().contains("/dev/shm/win10"), "settings are the user's");
    // Another guest's instance is enabled: the template is still needed.
    let wants = unit.with_file_name("default.target.wants");
    std::fs::create_dir(&wants).unwrap();
    std::os::unix::fs::symlink(&unit, wants.join("scream-rx@linux.service")).unwrap();
    assert!(done(home, &["uninstall", "win10", "--force"]).contains("scream-rx@linux.service uses it"));
    assert!(unit.exists() && !settings.exists() && !network.parent().unwrap().exists());
    for bad in ["../x", "a b", ""] {
        assert_eq!(service(home, &["install", bad]).status.code(), Some(1), "{bad:?}");
    }
}

#[test]
fn the_users_own_settings_are_no_guests() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let settings = home.join("config/scream-rx/config.toml");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    std::fs::write(&settings, "profile = \"low\"\n").unwrap();
    for arguments in [&["install", "config"][..], &["print", "config"], &["uninstall", "config", "--force"]] {
        let refused = service(home, arguments);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("config.toml") && said.contains("hint: "), "{said}");
    }
    assert_eq!(files(home), [settings]);
}

#[test]
fn a_guest_that_needs_the_network_keeps_it_when_another_one_is_installed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let folder = home.join("config/systemd/user");
    let may = |name: &str| folder.join(format!("{name}.service.d/network.conf")).exists();
    done(home, &["install", "work", "--network"]);
    done(home, &["install", "games"]);
    assert!(may("scream-rx@work") && !may("scream-rx@games"), "each has its own");
    let said = done(home, &["install", "work"]);
    assert!(
        said.contains("may use the network") && may("scream-rx@work"),
        "a newer program takes nothing away: {said}"
    );
    // Something of the user's beside it.
    std::fs::write(folder.join("scream-rx@work.service.d/mine.conf"), "[Service]\nNice=-5\n").unwrap();
    done(home, &["uninstall", "work"]);
    assert!(!may("scream-rx@work") && folder.join("scream-rx@work.service.d/mine.conf").exists());
    done(home, &["install", "--network"]);
    assert!(may("scream-rx"));
    done(home, &["install"]);
    assert!(may("scream-rx"));
    done(home, &["uninstall"]);
    assert!(!folder.join("scream-rx.service.d").exists());
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
    until("why nothing is heard", || {
        hear(&socket, &mut heard, "STATUS=");
        let is_why = |line: &String| line.contains("region") && line.contains("; sink: none: ");
        heard.iter().any(is_why).then_some(())
    });
    // First the guest, then the server; the service minds neither.
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    hear(&socket, &mut heard, "STATUS=the guest plays");
    rig.start_server();
    let recording = rig.record("service.raw");
    recording.wait_for_sound(0, 0.5);
    // Its messages are read as systemd reads them: it waits for room for the next one, and answers nobody meanwhile.
    hear(&socket, &mut heard, "STATUS=");
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

/// Runs the unit's command line for `name` with these settings, under a notify socket.
fn supervised(home: &Path, name: &str, settings: &str) -> (Running, UnixDatagram) {
    done(home, &["install", name]);
    std::fs::write(home.join(format!("config/scream-rx/{name}.toml")), settings).unwrap();
    let address = home.join("notify");
    // As after a restart.
    let _ = std::fs::remove_file(&address);
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut command = command_line(home, name);
    command.env("NOTIFY_SOCKET", &address);
    (Running::start(&mut command, &home.join("player.log")), socket)
}

#[test]
fn a_service_that_comes_before_its_address_waits_for_it_and_then_plays() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    // Another program has the port: as good as an address of a bridge that is not there yet, and needs no rights.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    // Before the port is free: it could get that one.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let settings = format!("output = \"null\"\nudp = \"{address}\"\n");
    let (mut player, socket) = supervised(home.path(), "net", &settings);
    let mut heard = Vec::new();
    hear(&socket, &mut heard, "READY=1");
    player.wait_for_line(&format!("cannot listen on {address} (Address already in use"));
    hear(&socket, &mut heard, "STATUS=cannot listen");
    drop(taken);
    player.wait_for_line(&format!("listening on {address} now"));
    let mut datagram = vec![1u8; 5 + 1152];
    datagram[..5].copy_from_slice(&[1, 16, 2, 3, 0]);
    until("sound from the network", || {
        sender.send_to(&datagram, address).unwrap();
        player.err().contains("the guest plays").then_some(())
    });
    hear(&socket, &mut heard, "STATUS=the guest plays");
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert_eq!(player.err().matches("cannot listen").count(), 1, "once: {}", player.err());
    // One that a user starts says at once what is wrong.
    let refused = scream_rx(home.path()).args(["-o", "null", "--udp", "192.0.2.250:4011"]).output().unwrap();
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("Cannot assign requested address") && said.contains("an address that this host has"),
        "{said}"
    );
}

#[test]
fn a_service_waits_for_memory_that_it_may_not_open_yet() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("region");
    // Root may open any file, but no folder as one.
    std::fs::create_dir(&file).unwrap();
    let settings = format!("output = \"null\"\nfile = \"{}\"\n", file.display());
    let (mut player, socket) = supervised(home.path(), "early", &settings);
    hear(&socket, &mut Vec::new(), "READY=1");
    player.wait_for_line("directory");
    std::fs::remove_dir(&file).unwrap();
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    player.wait_for_line("the guest plays");
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
}

#[test]
fn a_service_that_is_started_again_leaves_its_recordings() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (file, out) = (home.join("region"), home.join("out"));
    std::fs::create_dir(&out).unwrap();
    let settings = |output: &str, to: &Path| {
        format!("output = \"{output}\"\nfile = \"{}\"\ndevice = \"{}\"\n", file.display(), to.display())
    };
    let there = || {
        let mut found: Vec<_> =
            files(&out).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        found.sort();
        found
    };
    // Nothing was heard: there is nothing to keep.
    for _ in 0..2 {
        let (mut player, _socket) = supervised(home, "tape", &settings("wav", &out.join("a.wav")));
        player.wait_for_line("sound goes to");
        player.signal("TERM");
        assert_eq!(player.end().code(), Some(0), "{}", player.err());
        assert_eq!(there(), ["a.wav"]);
    }
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let mut kept: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for (output, names) in [("wav", ["a.wav", "a-1.wav", "a-2.wav"]), ("raw", ["b", "b-1", "b-2"])] {
        for name in names {
            let (mut player, _socket) = supervised(home, "tape", &settings(output, &out.join(names[0])));
            player.wait_for_line(&format!("sound goes to {}", out.join(name).display()));
            assert_eq!(player.err().contains("stays as it is"), name != names[0], "{}", player.err());
            until("a recording", || (std::fs::metadata(out.join(name)).ok()?.len() > 100_000).then_some(()));
            player.signal("TERM");
            assert_eq!(player.end().code(), Some(0), "{}", player.err());
            for (path, bytes) in &kept {
                assert_eq!(&std::fs::read(path).unwrap(), bytes, "{}", path.display());
            }
            kept.push((out.join(name), std::fs::read(out.join(name)).unwrap()));
        }
    }
    assert_eq!(there(), ["a-1.wav", "a-2.wav", "a.wav", "b", "b-1", "b-2"]);
    // Whoever types the name of a file means that one.
    let mut command = scream_rx(home);
    command.arg(&file).args(["-o", "wav", "--seconds", "0.2", "-d"]).arg(out.join("a.wav"));
    let mut player = Running::start(&mut command, &home.join("typed.log"));
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert_ne!(std::fs::read(out.join("a.wav")).unwrap(), kept[0].1);
    assert_eq!(there().len(), 6);
}
