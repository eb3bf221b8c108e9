//! What befalls an ALSA device while it plays; here one that is a sound server, by alsa-lib's plug-in.

use crate::conformance::through_pulse;
use crate::pulse_trouble::{Scene, is_short, judge};
use crate::rig::{FileGuest, PulseRig, Running, alone, on_time, scream_rx, until};
use crate::status::playing;
use shm_proto::guest_sim::sound::SoundGuest;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// A player on an ALSA device that is `rig`.
fn scene(rig: PulseRig) -> Option<Scene> {
    let configuration = through_pulse(&rig)?;
    let config = rig.folder.path().join("asound.conf");
    std::fs::write(&config, configuration).unwrap();
    let choose = |_: &PulseRig, command: &mut Command| {
        command.env("ALSA_CONFIG_PATH", config).args(["-o", "alsa"]);
    };
    Some(Scene::on(rig, choose))
}

#[test]
fn a_device_that_is_lost_for_a_moment_is_opened_again_at_once_and_nothing_is_said() {
    let _alone = alone();
    on_time(|| {
        let Some(scene) = PulseRig::start().and_then(scene) else { return Ok(()) };
        // Only the server's own language has a word for the end of somebody's stream.
        let language = scene.rig.folder.path().join("cli");
        scene.rig.pactl(&["load-module", "module-cli-protocol-unix", &format!("socket={}", language.display())]);
        let mut server = UnixStream::connect(&language).unwrap();
        let stream = scene.rig.stream();
        server.write_all(format!("kill-sink-input {stream}\n").as_bytes()).unwrap();
        until("another stream", || (scene.rig.stream() != stream).then_some(()));
        println!("played on {:?} after the stream was taken away", scene.sound_again());
        let (said, figures) = scene.end();
        assert!(!said.contains("trying again") && said.matches("sound goes to").count() == 1, "{said}");
        assert_eq!(figures["sink_reopened"], 1, "{figures}");
        judge(is_short(&figures), &figures)
    });
}

#[test]
fn a_device_that_ran_empty_is_played_on_with_the_delay_that_it_had() {
    let _alone = alone();
    on_time(|| {
        let Some(scene) = PulseRig::start().and_then(scene) else { return Ok(()) };
        playing(scene.rig.folder.path(), "main");
        for _ in 0..3 {
            scene.player.signal("STOP");
            std::thread::sleep(Duration::from_millis(300));
            scene.player.signal("CONT");
            scene.sound_again();
        }
        let (said, figures) = scene.end();
        println!("{figures}");
        assert!(figures["sink_underflows"].as_u64() > Some(0), "nothing happened: {figures}");
        assert!(!said.contains("trying again") && said.matches("sound goes to").count() == 1, "{said}");
        assert_eq!(figures["sink_reopened"], 0, "{said}");
        // What is heard first after a stop is as old as that was long, on a busy machine for a twentieth of a second.
        let is_as_before = |name: &str| figures[name].as_f64().is_some_and(|ms| ms < 60.0);
        assert!(is_as_before("delay_ms_p50"), "{figures} {said}");
        // A guest or a receiver that was held up makes the reserve longer for minutes.
        judge(is_as_before("delay_now_ms"), &figures)
    });
}

#[test]
fn a_device_that_goes_away_is_waited_for_and_alsa_lib_keeps_quiet() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    let Some(configuration) = through_pulse(&rig) else { return };
    let home = rig.folder.path().to_owned();
    let config = home.join("asound.conf");
    std::fs::write(&config, configuration).unwrap();
    let file = home.join("region");
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let recording = rig.record("alsa.raw");
    let mut command = scream_rx(&home);
    command.env("ALSA_CONFIG_PATH", &config).arg(&file).args(["-o", "alsa"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    recording.wait_for_sound(0, 0.5);
    drop(recording);
    let said = |player: &Running, words: &str| player.err().matches(words).count();
    let (failed, played) = (said(&player, "trying again"), said(&player, "sound goes to"));
    rig.kill();
    until("the device's end", || (said(&player, "trying again") > failed).then_some(()));
    // Nothing answers now: what alsa-lib says of that by itself is not for the user.
    for words in [&["devices"][..], &["doctor"]] {
        let done = scream_rx(&home).env("ALSA_CONFIG_PATH", &config).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!said.contains("ALSA lib") && !said.contains("pcm_"), "{words:?}: {said}");
    }
    rig.start_server();
    let back = Instant::now();
    until("the device's return", || (said(&player, "sound goes to") > played).then_some(()));
    println!("played on {:?} after the server came back", back.elapsed());
    let recording = rig.record("again.raw");
    recording.wait_for_sound(0, 0.5);
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    // Told once each way, and the same number of times: what is lost comes back.
    let (failed, played) = (said(&player, "trying again") - failed, said(&player, "sound goes to") - played);
    assert!(failed == played && (1..=2).contains(&failed), "{}", player.err());
}
