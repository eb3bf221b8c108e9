//! What a sound server does to its clients while they play: it suspends, stands still, takes the device away, moves the
//! stream. Each time the sound comes back by itself, and the user reads one sentence for each change.

use crate::machine::Watch;
use crate::rig::{FileGuest, PulseRig, Recording, Running, alone, on_time, scream_rx, until};
use shm_proto::guest_sim::sound::SoundGuest;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the delay lets the machine be late at first: whoever is held up for longer is late for some time. Unit: ms.
const BEARABLE_MS: f64 = 3.0;

/// A guest that plays, a receiver that plays it on a server, a recorder behind that.
pub struct Scene {
    // Dropped in this order: the player before its server and its guest.
    pub player: Running,
    recording: Recording,
    _guest: FileGuest,
    pub rig: PulseRig,
    stats: PathBuf,
    watch: Watch,
}

impl Scene {
    /// With a player that plays on a server of its own; nothing where there is none.
    pub fn start(arguments: &[&str]) -> Option<Scene> {
        let serve = |rig: &PulseRig, command: &mut Command| {
            rig.serve(command).args(["-o", "pulse"]).args(arguments);
        };
        Some(Scene::on(PulseRig::start()?, serve))
    }

    /// With a player that plays on `rig` in the way that `choose` gives it.
    pub fn on(rig: PulseRig, choose: impl FnOnce(&PulseRig, &mut Command)) -> Scene {
        let home = rig.folder.path().to_owned();
        let (file, stats) = (home.join("region"), home.join("stats.json"));
        let watch = Watch::start();
        let guest = FileGuest::start(&file, SoundGuest::builder());
        let recording = rig.record("scene.raw");
        let mut command = scream_rx(&home);
        choose(&rig, command.arg(&file).arg("--stats").arg(&stats));
        let player = Running::start(&mut command, &home.join("player.log"));
        recording.wait_for_sound(0, 0.5);
        Scene { player, recording, _guest: guest, rig, stats, watch }
    }

    /// How often it was said where sound goes.
    pub fn opened(&self) -> usize {
        self.player.err().matches("sound goes to").count()
    }

    /// Waits for sound behind what was recorded before; how long that took.
    pub fn sound_again(&self) -> Duration {
        let (from, begun) = (self.recording.left().len(), Instant::now());
        self.recording.wait_for_sound(from, 0.3);
        begun.elapsed().saturating_sub(Duration::from_millis(300))
    }

    /// Ends the player; what it said, and its figures. One more is the longest time for which the machine held up a thread.
    pub fn end(mut self) -> (String, serde_json::Value) {
        self.player.signal("TERM");
        assert_eq!(self.player.end().code(), Some(0), "{}", self.player.err());
        let mut figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&self.stats).unwrap()).unwrap();
        figures["held_up_ms"] = (self.watch.end().as_secs_f64() * 1e3).into();
        (self.player.err(), figures)
    }
}

/// Whether a delay is right, for [`on_time`]: only a machine that held threads up is an excuse.
pub fn judge(is_right: bool, figures: &serde_json::Value) -> Result<(), String> {
    if is_right {
        return Ok(());
    }
    assert!(figures["held_up_ms"].as_f64() > Some(BEARABLE_MS), "the machine kept time: {figures}");
    Err(figures.to_string())
}

/// The delay is what it was: nothing that piled up meanwhile is played.
pub fn is_short(figures: &serde_json::Value) -> bool {
    figures["delay_ms_p99"].as_f64().is_some_and(|ms| ms < 90.0)
}

#[test]
fn a_suspended_device_is_told_and_sound_comes_back_with_it() {
    let _alone = alone();
    on_time(|| {
        let Some(scene) = Scene::start(&[]) else { return Ok(()) };
        scene.rig.pactl(&["suspend-sink", "t", "1"]);
        scene.player.wait_for_line("has suspended");
        scene.rig.pactl(&["suspend-sink", "t", "0"]);
        let after = scene.sound_again();
        until("word of it", || (scene.opened() == 2).then_some(()));
        let (said, figures) = scene.end();
        println!("sound {after:?} after the device was resumed; {figures}");
        assert_eq!(said.matches("has suspended").count(), 1, "{said}");
        assert!(!said.contains("trying again"), "the stream is kept: {said}");
        assert_eq!(figures["sink_reopened"], 0, "{figures}");
        judge(is_short(&figures), &figures)
    });
}

#[test]
fn a_server_that_stands_still_for_five_seconds_is_played_on_again() {
    let _alone = alone();
    on_time(|| {
        let Some(scene) = Scene::start(&[]) else { return Ok(()) };
        scene.rig.signal("STOP");
        let stopped = Instant::now();
        scene.player.wait_for_line("does not answer");
        until("five seconds", || (stopped.elapsed() > Duration::from_secs(5)).then_some(()));
        scene.rig.signal("CONT");
        let after = scene.sound_again();
        until("word of it", || (scene.opened() == 2).then_some(()));
        let (said, figures) = scene.end();
        println!("sound {after:?} after the server went on; {figures}");
        assert_eq!(said.matches("does not answer").count(), 1, "{said}");
        // What piled up is not played.
        judge(is_short(&figures), &figures)
    });
}

#[test]
fn a_stopped_receiver_does_not_wait_for_a_server_that_stands_still() {
    let _alone = alone();
    let Some(mut scene) = Scene::start(&[]) else { return };
    scene.rig.signal("STOP");
    scene.player.wait_for_line("does not answer");
    scene.player.signal("TERM");
    let code = scene.player.end().code();
    scene.rig.signal("CONT");
    assert_eq!(code, Some(0), "{}", scene.player.err());
}

#[test]
fn a_device_that_is_taken_away_leaves_the_next_one_and_none_is_waited_for() {
    let _alone = alone();
    let Some(scene) = Scene::start(&[]) else { return };
    let first = scene.rig.pactl(&["list", "short", "modules"]);
    let module = first.lines().find(|l| l.contains("module-null-sink")).unwrap().split('\t').next().unwrap().to_owned();
    let load = ["load-module", "module-null-sink", "sink_name=other", "norewinds=1"];
    let other = scene.rig.pactl(&load).trim().to_owned();
    scene.rig.pactl(&["unload-module", &module]);
    until("the other device", || (scene.opened() == 2).then_some(()));
    // Now the last one.
    scene.rig.pactl(&["unload-module", &other]);
    scene.player.wait_for_line("has no sound device");
    scene.rig.pactl(&["load-module", "module-null-sink", "sink_name=t", "rate=44100", "norewinds=1"]);
    let begun = Instant::now();
    until("a new device", || (scene.opened() == 3).then_some(()));
    println!("played on again {:?} after a device came", begun.elapsed());
    let (said, _) = scene.end();
    assert!(said.contains("44100 Hz, stereo"), "{said}");
    assert_eq!(said.matches("trying again").count(), 1, "{said}");
}

#[test]
fn a_stream_that_is_moved_among_equal_devices_is_kept_with_its_volume() {
    let _alone = alone();
    on_time(|| {
        let Some(scene) = Scene::start(&[]) else { return Ok(()) };
        let stream = scene.rig.stream();
        scene.rig.pactl(&["set-sink-input-volume", &stream, "80%"]);
        let equal = ["load-module", "module-null-sink", "sink_name=equal", "rate=48000", "norewinds=1"];
        scene.rig.pactl(&equal);
        scene.rig.pactl(&["move-sink-input", &stream, "equal"]);
        until("word of the move", || (scene.opened() == 2).then_some(()));
        assert_eq!(scene.rig.stream(), stream, "the same stream");
        assert!(scene.rig.pactl(&["list", "sink-inputs"]).contains("80%"), "the volume is the server's");
        scene.rig.pactl(&["move-sink-input", &stream, "t"]);
        scene.sound_again();
        let (said, figures) = scene.end();
        assert_eq!(figures["sink_reopened"], 0, "{figures} {said}");
        judge(is_short(&figures), &figures)
    });
}

#[test]
fn a_device_is_found_by_its_description_and_a_miss_names_the_nearest() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let description = "sink_properties=device.description=Scarlett";
    rig.pactl(&["load-module", "module-null-sink", "sink_name=usb_focus", "channels=1", "norewinds=1", description]);
    let home = rig.folder.path();
    let mut command = scream_rx(home);
    rig.serve(&mut command).args(["demo", "--seconds", "600", "-o", "pulse", "-d", "scarlett"]);
    let mut demo = Running::start(&mut command, &home.join("demo.log"));
    demo.wait_for_line("sound goes to Scarlett");
    assert!(demo.err().contains("mono"), "{}", demo.err());
    let said = rig.pactl(&["list", "sink-inputs"]);
    for property in ["media.role = \"game\"", "application.name = \"scream-rx\"", "media.name = \"Scream\""] {
        assert!(said.contains(property), "{property}: {said}");
    }
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0), "{}", demo.err());
    let mut command = scream_rx(home);
    rig.serve(&mut command).args(["demo", "-o", "pulse", "-d", "usb_facus"]);
    let mut demo = Running::start(&mut command, &home.join("miss.log"));
    assert_eq!(demo.end().code(), Some(2), "{}", demo.err());
    assert!(demo.err().contains("choose one of these with -d: usb_focus"), "{}", demo.err());
}

#[test]
fn where_the_server_remembers_the_stream_is_where_sound_is_said_to_go() {
    let _alone = alone();
    for (channels, layout) in [("channels=2", "stereo"), ("channels=1", "mono")] {
        let Some(rig) = PulseRig::start() else { return };
        rig.pactl(&["load-module", "module-stream-restore"]);
        let description = "sink_properties=device.description=Remembered";
        rig.pactl(&["load-module", "module-null-sink", "sink_name=other", channels, "norewinds=1", description]);
        let home = rig.folder.path();
        let play = |log: &str| {
            let mut command = scream_rx(home);
            rig.serve(&mut command).arg(home.join("region")).args(["-o", "pulse"]);
            let player = Running::start(&mut command, &home.join(log));
            player.wait_for_line("sound goes to");
            player
        };
        let mut first = play("first.log");
        rig.pactl(&["move-sink-input", &rig.stream(), "other"]);
        first.wait_for_line("sound goes to Remembered");
        first.signal("TERM");
        assert_eq!(first.end().code(), Some(0), "{}", first.err());
        let mut second = play("second.log");
        let there = rig.pactl(&["list", "short", "sinks"]);
        let number = there.lines().find(|l| l.contains("\tother\t")).unwrap().split('\t').next().unwrap();
        let stream = rig.pactl(&["list", "short", "sink-inputs"]);
        assert_eq!(stream.split('\t').nth(1), Some(number), "the server put it there: {stream} {there}");
        assert!(second.err().contains("sound goes to Remembered") && second.err().contains(layout), "{}", second.err());
        second.signal("TERM");
        assert_eq!(second.end().code(), Some(0), "{}", second.err());
        assert_eq!(second.err().matches("sound goes to").count(), 1, "one sentence, a true one: {}", second.err());
    }
}

#[test]
fn a_server_that_came_late_is_missed_in_words_when_it_goes_again() {
    let _alone = alone();
    let Some(mut rig) = PulseRig::start() else { return };
    rig.kill();
    let home = rig.folder.path().to_owned();
    let mut command = scream_rx(&home);
    // As a service, which is started before its server.
    rig.serve(&mut command).arg(home.join("region")).args(["-o", "pulse"]).env("NOTIFY_SOCKET", home.join("nobody"));
    let mut player = Running::start(&mut command, &home.join("player.log"));
    let said = |player: &Running, words: &str| player.err().matches(words).count();
    until("the first absence", || (said(&player, "trying again") == 1).then_some(()));
    rig.start_server();
    until("the server", || (said(&player, "sound goes to") == 1).then_some(()));
    let modules = rig.pactl(&["list", "short", "modules"]);
    let sink = modules.lines().find(|l| l.contains("module-null-sink")).unwrap().split('\t').next().unwrap();
    // The device goes, and there is no other: the stream is ended first, and then none can be opened.
    rig.pactl(&["unload-module", sink]);
    until("the second absence", || (said(&player, "trying again") == 2).then_some(()));
    let status = scream_rx(&home).arg("status").output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("sink      none: "), "{status}");
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
}
