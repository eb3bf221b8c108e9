//! A running instance that is asked how it does: by people, by programs, by those who mean ill, and after a crash.

use crate::rig::{Running, alone, has, on_time, scream_rx, until};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A demo that plays nowhere and can be asked.
fn demo(home: &Path, log: &str) -> Running {
    let mut command = scream_rx(home);
    command.args(["demo", "-o", "null", "--seconds", "3600"]);
    Running::start(&mut command, &home.join(log))
}

fn ask(home: &Path, arguments: &[&str]) -> Output {
    scream_rx(home).arg("status").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until an instance plays and knows what; its report.
pub fn playing(home: &Path, name: &str) -> serde_json::Value {
    until("a report of sound", || {
        let report: serde_json::Value = serde_json::from_slice(&ask(home, &[name, "--json"]).stdout).ok()?;
        // The thread that plays and the one that answers learn of the guest at different times.
        (report["delay_now_ms"].as_f64()? > 0.0 && report["part_chunk_ms"].is_number()).then_some(report)
    })
}

#[test]
fn a_running_instance_tells_its_delay_and_what_it_is_made_of() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let nobody = ask(home, &[]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("no scream-rx runs") && text(&nobody.stderr).contains("hint: "));
    let mut instance = demo(home, "log");
    let report = playing(home, "demo");
    let part = |name: &str| report[format!("part_{name}_ms")].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
    let sum: f64 = ["chunk", "lateness", "sink", "resampler", "margin"].map(part).iter().sum();
    // Each is told to a microsecond.
    assert!((sum - report["target_ms"].as_f64().unwrap()).abs() < 0.01, "{report}");
    assert!((report["delay_now_ms"].as_f64().unwrap() - sum).abs() < 20.0, "{report}");
    assert!(report["lateness_ms_p99"].is_number() && report["run_time_ms"].as_f64().unwrap() > 0.0, "{report}");
    let people = text(&ask(home, &["demo"]).stdout);
    for words in ["demo: the guest plays 48000 Hz", "ms wanted", "a chunk +", "ppm between", " hidden,"] {
        assert!(people.contains(words), "{words}: {people}");
    }
    let metrics = text(&ask(home, &["--prometheus"]).stdout);
    assert!(metrics.contains("\nscream_rx_delay_now_ms{instance=\"demo\"} "), "{metrics}");
    let missing = ask(home, &["nosuch"]);
    assert!(text(&missing.stderr).contains("these do: demo"), "{}", text(&missing.stderr));
    instance.signal("INT");
    assert_eq!(instance.end().code(), Some(0), "{}", instance.err());
    assert_eq!(std::fs::read_dir(home.join("scream-rx")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn the_figures_at_the_end_and_those_of_a_running_instance_have_the_same_names() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let stats = home.path().join("stats.json");
    let mut command = scream_rx(home.path());
    command.args(["demo", "-o", "null", "--seconds", "3600", "--stats"]).arg(&stats);
    let mut instance = Running::start(&mut command, &home.path().join("log"));
    let asked = playing(home.path(), "demo");
    instance.signal("INT");
    assert_eq!(instance.end().code(), Some(0), "{}", instance.err());
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    // How often something happens in a second is told once a second has passed.
    let is_early = |name: &&String| !name.ends_with("_per_s");
    let names = |v: &serde_json::Value| v.as_object().unwrap().keys().filter(is_early).cloned().collect::<Vec<_>>();
    assert_eq!(names(&asked), names(&written));
    assert_eq!(asked["schema"], written["schema"]);
}

#[test]
fn a_second_instance_gets_a_number_a_named_one_is_refused_and_a_crash_leaves_the_name_free() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let first = demo(home, "first.log");
    playing(home, "demo");
    let second = demo(home, "second.log");
    playing(home, "demo-2");
    let both: serde_json::Value = serde_json::from_slice(&ask(home, &["--json"]).stdout).unwrap();
    assert_eq!(both.as_array().unwrap().len(), 2);
    let run = |log: &str| {
        let mut command = scream_rx(home);
        command.args(["run", "--instance", "demo", "-o", "null", "--seconds", "1"]).arg(home.join("region"));
        Running::start(&mut command, &home.join(log))
    };
    let mut third = run("third.log");
    assert_eq!(third.end().code(), Some(2), "{}", third.err());
    assert!(third.err().contains("another scream-rx runs as demo"), "{}", third.err());
    // As a crash: both sockets stay behind, and the first is taken over.
    drop((first, second));
    assert!(home.join("scream-rx/demo.sock").exists());
    assert_eq!(ask(home, &[]).status.code(), Some(2), "nobody answers there");
    let mut fourth = run("fourth.log");
    assert_eq!(fourth.end().code(), Some(0), "{}", fourth.err());
}

#[test]
fn an_instance_that_is_there_and_does_not_answer_is_not_told_as_absent() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut instance = demo(home, "log");
    playing(home, "demo");
    instance.signal("STOP");
    for arguments in [&["demo"][..], &[]] {
        let late = ask(home, arguments);
        let said = text(&late.stderr);
        assert_eq!(late.status.code(), Some(2), "{said}");
        assert!(said.contains("demo runs and does not answer") && said.contains("hint: "), "{said}");
    }
    let out = home.join("lines");
    let mut command = scream_rx(home);
    command.args(["status", "demo", "--watch"]).stdout(std::fs::File::create(&out).unwrap());
    let watcher = Running::start(&mut command, &home.join("watch.log"));
    let lines = || std::fs::read_to_string(&out).unwrap();
    until("word of its silence", || lines().contains("demo runs and does not answer").then_some(()));
    instance.signal("CONT");
    until("figures", || lines().contains("ppm").then_some(()));
    instance.signal("INT");
    assert_eq!(instance.end().code(), Some(0), "{}", instance.err());
    until("word of its absence", || lines().contains("demo: not running").then_some(()));
    drop(watcher);
}

/// The device is alsa-lib's own, which plays nowhere.
#[cfg(feature = "alsa")]
#[test]
fn a_second_player_of_a_guest_says_that_it_is_heard_twice() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let config = home.join("asound.conf");
    let slave = "slave { pcm { type null } format S16_LE rate 48000 channels 2 }";
    let devices = format!("pcm.nowhere {{ type plug {slave} hint {{ show on description \"x\" }} }}\n");
    std::fs::write(&config, devices + "ctl.!default { type null }\n").unwrap();
    let (file, link) = (home.join("region"), home.join("link"));
    std::fs::write(&file, vec![0; 2 << 20]).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (file, link) = (file.to_str().unwrap(), link.to_str().unwrap());
    let start = |arguments: &[&str], log: &str| {
        let mut command = scream_rx(home);
        command.env("ALSA_CONFIG_PATH", &config).args(arguments);
        let player = Running::start(&mut command, &home.join(log));
        player.wait_for_line("sound goes to");
        player
    };
    let heard = ["-o", "alsa", "-d", "nowhere"];
    let plays =
        |source: &[&str], name: &str| start(&[source, &heard, &["--instance", name]].concat(), &format!("{name}.log"));
    // A recorder of the same guest is not heard, nor who plays another one.
    let tape = start(&[file, "-o", "wav", "-d", &format!("{file}.wav"), "--instance", "tape"], "tape.log");
    let other = plays(&[&format!("{file}.other")], "other");
    let first = start(&[&[file][..], &heard].concat(), "first.log");
    let second = plays(&[link], "second");
    second.wait_for_line(&format!("warning: main plays {file} already"));
    assert!(second.err().contains("scream-rx status main"), "{}", second.err());
    let silent = start(&[file, "-o", "null", "--instance", "silent"], "silent.log");
    let named = plays(&["--udp", "239.255.77.77:4010", "-i", "lo"], "named");
    // One that hangs holds up nobody: the others tell, and it plays.
    first.signal("STOP");
    let third = plays(&[file], "third");
    third.wait_for_line("warning: second plays");
    assert!(third.err().contains("systemctl --user stop scream-rx@second"), "{}", third.err());
    first.signal("CONT");
    // What is told by then is all.
    std::thread::sleep(Duration::from_secs(4));
    for (player, times) in [(&tape, 0), (&other, 0), (&first, 0), (&second, 1), (&silent, 0), (&named, 0), (&third, 1)]
    {
        assert_eq!(player.err().matches("already").count(), times, "{}", player.err());
    }
}

#[test]
fn clients_that_never_read_or_talk_nonsense_harm_nobody() {
    let _alone = alone();
    on_time(|| {
        let figures = flooded();
        assert_eq!(figures["chunks_lost"], 0, "{figures}");
        // A machine that stands still breaks the sound of one or another instance, and clients that do that of each.
        if figures["gaps"] == 0 { Ok(()) } else { Err(format!("the sound was disturbed: {figures}")) }
    });
}

/// Lets clients of the worst kind at an instance that plays; its figures at the end.
fn flooded() -> serde_json::Value {
    let home = tempfile::tempdir().unwrap();
    let stats = home.path().join("stats.json");
    let mut command = scream_rx(home.path());
    command.args(["demo", "-o", "null", "--seconds", "3600", "--stats"]).arg(&stats);
    let mut instance = Running::start(&mut command, &home.path().join("log"));
    playing(home.path(), "demo");
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", instance.id())).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let open = std::fs::read_dir(format!("/proc/{}/fd", instance.id())).unwrap().count();
        (number("VmRSS:"), open)
    };
    let path = home.path().join("scream-rx/demo.sock");
    let flood = || {
        let mut mute = Vec::new();
        for i in 0..200 {
            // The queue may be full for a while: that is the bound.
            let Ok(mut client) = UnixStream::connect(&path) else { continue };
            client.set_nonblocking(true).unwrap();
            let _ = client.write_all(&[0x5a; 1 << 16]);
            if i % 2 == 0 {
                mute.push(client);
            }
        }
        playing(home.path(), "demo");
        let seen = memory();
        drop(mute);
        seen
    };
    let (_, open_before) = memory();
    let (first_kb, _) = flood();
    let (second_kb, open_after) = flood();
    assert!(open_after <= open_before + 34, "{open_before} files, then {open_after}");
    assert!(second_kb < first_kb + 1024, "{first_kb} kB, then {second_kb} kB");
    instance.signal("INT");
    assert_eq!(instance.end().code(), Some(0), "{}", instance.err());
    serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap()
}

#[test]
fn a_watcher_sees_an_instance_come_and_go_in_lines_and_in_place() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let out = home.join("lines");
    let mut command = scream_rx(home);
    command.args(["status", "demo", "--watch"]).stdout(std::fs::File::create(&out).unwrap());
    let mut watcher = Running::start(&mut command, &home.join("watch.log"));
    let lines = || std::fs::read_to_string(&out).unwrap();
    until("word of its absence", || lines().contains("demo: not running").then_some(()));
    let instance = demo(home, "log");
    until("a line of figures", || lines().contains("ppm").then_some(()));
    assert!(!lines().contains('\u{1b}'), "no control characters in a pipe: {}", lines());
    watcher.signal("INT");
    assert_eq!(watcher.end().code(), Some(0), "{}", watcher.err());
    if has("script") {
        let drawn = home.join("drawn");
        let mut terminal = Command::new("script");
        crate::rig::clean(&mut terminal, home);
        let program = format!("{} status demo --watch", env!("CARGO_BIN_EXE_scream-rx"));
        terminal.args(["--quiet", "--flush", "--command", &program]).arg(&drawn).stdout(Stdio::null());
        let terminal = Running::start(&mut terminal, &home.join("terminal.log"));
        let drawn = || String::from_utf8_lossy(&std::fs::read(&drawn).unwrap_or_default()).into_owned();
        until("a picture drawn over", || (drawn().contains("\x1b[") && drawn().contains("A\r")).then_some(()));
        assert!(drawn().contains("delay ms ┤") && drawn().contains("clocks ppm ┤"), "{}", drawn());
        // Nothing that would have to be restored: no other screen, no hidden cursor, no colour.
        for mode in ["\x1b[?", "\x1b[3"] {
            assert!(!drawn().contains(mode), "{mode:?}: {}", drawn());
        }
        drop(terminal);
    }
    drop(instance);
}

#[test]
fn a_guest_that_is_something_else_each_millisecond_fills_no_log_and_its_last_word_is_told() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("region");
    std::fs::write(&file, vec![0; 2 << 20]).unwrap();
    let mut command = scream_rx(home.path());
    command.arg("-m").arg(&file).args(["-o", "null"]);
    let mut player = Running::start(&mut command, &home.path().join("log"));
    player.wait_for_line("is open");
    let region = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    let magic = |n: u32| region.write_all_at(&n.to_le_bytes(), 0).unwrap();
    let end = Instant::now() + Duration::from_secs(8);
    let mut n = 0x4000_0000;
    while Instant::now() < end {
        n += 1;
        magic(n);
        std::thread::sleep(Duration::from_millis(1));
    }
    magic(0x4bad_cafe);
    player.wait_for_line("starts with 0x4badcafe");
    let lines = player.err().lines().count();
    println!("{lines} lines");
    assert!(lines < 26, "{lines} lines");
    player.signal("INT");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
}
