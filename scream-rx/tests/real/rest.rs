//! How often the whole program wakes up when there is nothing to play: what a battery pays for a receiver that waits.

use crate::rig::{FileGuest, PulseRig, RATE_HZ, Running, scream_rx, until};
use shm_proto::guest_sim::sound::{Event, SoundGuest};
use std::time::{Duration, Instant};

/// So long is counted. Unit: seconds.
const COUNTED_S: f64 = 5.0;

/// How often the threads of a process went to sleep of themselves so far.
fn sleeps(pid: u32) -> u64 {
    let of_thread = |task: std::fs::DirEntry| -> Option<u64> {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().filter_map(of_thread).sum()
}

/// Waits until the program wakes up no more than `most` times a second. The device rests after ten seconds.
fn rests(player: &Running, most: f64, when: &str) {
    let mut last = f64::NAN;
    let per_s = until(when, || {
        let (before, since) = (sleeps(player.id()), Instant::now());
        std::thread::sleep(Duration::from_secs_f64(COUNTED_S));
        last = (sleeps(player.id()) - before) as f64 / since.elapsed().as_secs_f64();
        println!("{when}: {last:.1} wake-ups a second");
        (last <= most).then_some(last)
    });
    println!("{when}: {per_s:.1} wake-ups a second in the end");
}

#[test]
fn whoever_has_nothing_to_play_hardly_wakes_up_and_is_there_when_it_has() {
    // Nearly a minute of silence is counted: others may be loud beside it.
    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let file = home.join("region");
    let recording = rig.record("rest.raw");
    let mut command = scream_rx(&home);
    rig.serve(&mut command).arg(&file).args(["-o", "pulse"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    player.wait_for_line("sound goes to");
    rests(&player, 1.0, "no memory");
    // Something comes: whoever rests is woken.
    let played = Duration::from_secs(4);
    let guest = FileGuest::start(&file, SoundGuest::builder().at(played, Event::Pause).at(played * 12, Event::Resume));
    recording.wait_for_sound(0, 2.0);
    rests(&player, 10.0, "a silent guest");
    let from = recording.left().len();
    let heard = recording.wait_for_sound(from, 1.0);
    assert!(heard.len() > RATE_HZ);
    drop(guest);
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
}

#[cfg(feature = "alsa")]
#[test]
fn an_alsa_device_is_left_to_others_while_nothing_plays_and_is_back_with_the_sound() {
    let Some(rig) = PulseRig::start() else { return };
    let Some(configuration) = crate::conformance::through_pulse(&rig) else { return };
    let home = rig.folder.path().to_owned();
    let (file, config) = (home.join("region"), home.join("asound.conf"));
    std::fs::write(&config, configuration).unwrap();
    let recording = rig.record("rest.raw");
    let script = SoundGuest::builder().at(Duration::from_secs(3), Event::Pause);
    let guest = FileGuest::start(&file, script.at(Duration::from_secs(40), Event::Resume));
    let mut command = scream_rx(&home);
    command.env("ALSA_CONFIG_PATH", &config).arg(&file).args(["-o", "alsa"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    recording.wait_for_sound(0, 1.0);
    let streams = || rig.pactl(&["list", "short", "sink-inputs"]).lines().count();
    assert_eq!(streams(), 1);
    until("the device's rest", || (streams() == 0).then_some(()));
    rests(&player, 10.0, "a silent guest, ALSA");
    let from = recording.left().len();
    recording.wait_for_sound(from, 1.0);
    assert_eq!(streams(), 1);
    drop(guest);
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    let told = player.err().matches("sound goes to").count();
    assert_eq!(told, 1, "who rests says nothing: {}", player.err());
}

#[test]
fn a_run_of_so_many_seconds_ends_though_nothing_plays_and_nothing_can() {
    let Some(mut rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let play = |rig: &PulseRig, seconds: &str, log: &str| {
        let mut command = scream_rx(&home);
        rig.serve(&mut command).arg(home.join("region")).args(["-o", "pulse", "--seconds", seconds]);
        let player = Running::start(&mut command, &home.join(log));
        player.wait_for_line("sound goes to");
        (player, Instant::now())
    };
    // The device rests after ten seconds, and asks for nothing then.
    let (mut resting, begun) = play(&rig, "12", "resting.log");
    assert_eq!(resting.end().code(), Some(0), "{}", resting.err());
    println!("12 s of nothing ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(11));
    let (mut lost, begun) = play(&rig, "3", "lost.log");
    rig.kill();
    assert_eq!(lost.end().code(), Some(0), "{}", lost.err());
    println!("3 s without a server ended after {:?}", begun.elapsed());
    assert!(lost.err().contains("trying again"), "{}", lost.err());
}
