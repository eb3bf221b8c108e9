//! The sound server: what is heard at its monitor, and what happens when it goes away.

use crate::rig::{FileGuest, PulseRig, RATE_HZ, Running, alone, scream_rx};
use crate::tone;
use shm_proto::guest_sim::sound::SoundGuest;
use std::time::Instant;

#[test]
fn the_demo_is_heard_at_the_servers_monitor() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let recording = rig.record("demo.raw");
    let (home, stats) = (rig.folder.path(), rig.folder.path().join("stats.json"));
    let mut command = scream_rx(home);
    rig.serve(&mut command).args(["demo", "--seconds", "4", "-o", "pulse", "--stats"]).arg(&stats);
    let mut demo = Running::start(&mut command, &home.join("demo.log"));
    assert_eq!(demo.end().code(), Some(0), "{}", demo.err());
    let left = recording.wait_for_sound(0, 3.5);
    let heard = tone::listen(&left, 440.0, RATE_HZ as f64).unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
    println!(
        "{heard:?}, delay p1 {} p50 {} p99 {} ms",
        number("delay_ms_p1"),
        number("delay_ms_p50"),
        number("delay_ms_p99")
    );
    assert!((heard.hz - 440.0).abs() < 4.0 && (heard.peak - 0.501).abs() < 0.02, "{heard:?}");
    assert!((3.9..5.0).contains(&heard.seconds), "{heard:?}");
    assert!(heard.pure > 0.5, "{heard:?}");
    let calm = ["gaps", "sink_underflows", "moves", "chunks_lost"].iter().all(|n| number(n) == 0.0);
    if calm {
        assert!(heard.worst_db < -55.0 && (heard.hz - 440.0).abs() < 1.0, "nothing was reported: {heard:?} {figures}");
        assert!(number("delay_ms_p99") < 60.0, "{figures}");
    } else {
        println!("not calm: {figures}");
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_is_played_on_again() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let file = home.join("region");
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let recording = rig.record("first.raw");
    let mut command = scream_rx(&home);
    rig.serve(&mut command).arg(&file).args(["-o", "pulse"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    recording.wait_for_sound(0, 1.0);
    drop(recording);
    rig.kill();
    player.wait_for_line("trying again");
    rig.start_server();
    let back = Instant::now();
    let recording = rig.record("second.raw");
    let heard = recording.wait_for_sound(0, 1.0);
    println!("a second of sound {:.2} s after the server came back", back.elapsed().as_secs_f64());
    let heard = tone::listen(&heard, 440.0, RATE_HZ as f64).unwrap();
    assert!((heard.hz - 440.0).abs() < 8.0, "{heard:?}");
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    let said = player.err();
    assert_eq!(said.matches("sound goes to").count(), 2, "{said}");
    assert_eq!(said.matches("trying again").count(), 1, "one line for one absence: {said}");
}

#[test]
fn a_guest_that_is_started_again_is_heard_again() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let file = home.join("region");
    let first = FileGuest::start(&file, SoundGuest::builder());
    let recording = rig.record("guest.raw");
    let mut command = scream_rx(&home);
    rig.serve(&mut command).arg(&file).args(["-o", "pulse"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    recording.wait_for_sound(0, 0.5);
    // As a VM that is killed: the header stays. Then the management deletes the file and makes a new one.
    drop(first);
    std::fs::remove_file(&file).unwrap();
    player.wait_for_line("was deleted");
    let from = recording.left().len();
    let _second = FileGuest::start(&file, SoundGuest::builder().rate_hz(44_100));
    recording.wait_for_sound(from, 0.5);
    player.signal("INT");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert!(player.err().contains("44100 Hz"), "{}", player.err());
}

#[test]
fn a_server_or_sink_that_is_not_there_is_told_with_what_to_do() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut command = scream_rx(folder.path());
    command.env("PULSE_SERVER", format!("unix:{}/none", folder.path().display()));
    let mut player =
        Running::start(command.arg(folder.path().join("x")).args(["-o", "pulse"]), &folder.path().join("log"));
    assert_eq!(player.end().code(), Some(2), "{}", player.err());
    let said = player.err();
    assert!(said.contains("sound server") && said.contains("hint: "), "{said}");

    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path();
    let mut command = scream_rx(home);
    rig.serve(&mut command).arg(home.join("x")).args(["-o", "pulse", "-d", "nosuch"]);
    let mut player = Running::start(&mut command, &home.join("log"));
    assert_eq!(player.end().code(), Some(2), "{}", player.err());
    let said = player.err();
    assert!(said.contains("nosuch") && said.contains("with -d: t"), "{said}");
}
