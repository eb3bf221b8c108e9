//! The sound server: what is heard at its monitor, and what happens when it goes away.

use crate::rig::{FileGuest, PulseRig, RATE_HZ, Running, alone, scream_rx, until};
use crate::tone;
use core::time::Duration;
use rx_host::signals::Stop;
use scream_rx::counters::Counters;
use scream_rx::sink::pulse::PulseSink;
use scream_rx::sink::{Control, Filled, Sink, SinkFormat, Source};
use shm_proto::HostTime;
use shm_proto::guest_sim::sound::SoundGuest;
use std::sync::{Arc, Mutex, mpsc};
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
    recording.wait_for_sound(0, 3.5);
    let left = recording.wait_for_end();
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
    assert_eq!(said.matches("(in mixers: Scream").count(), 2, "{said}");
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

#[test]
fn a_stream_that_is_moved_to_another_device_goes_on_there() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    rig.pactl(&["load-module", "module-null-sink", "sink_name=other", "channels=1", "norewinds=1"]);
    let mut command = scream_rx(&home);
    rig.serve(&mut command).args(["demo", "--seconds", "600", "-o", "pulse"]);
    let mut demo = Running::start(&mut command, &home.join("demo.log"));
    demo.wait_for_line("sound goes to");
    let stream = rig.stream();
    rig.pactl(&["move-sink-input", &stream, "other"]);
    until("word of the other device", || (demo.err().matches("sound goes to").count() == 2).then_some(()));
    assert!(demo.err().contains("Hz, mono"), "{}", demo.err());
    assert!(!demo.err().contains("trying again"), "{}", demo.err());
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0), "{}", demo.err());
    // It was played there: some delay was reported after the move, and the summary knows it.
    assert!(demo.err().contains("ms in the middle"), "{}", demo.err());
}

/// A source that sounds, is silent until the device was allowed to rest for a while, and sounds again until it is stopped.
struct Resting {
    seen: Arc<Mutex<Rested>>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Rested {
    opened: u32,
    fills: u32,
    rests: u32,
    fills_after: u32,
    finished: bool,
}

impl Source for Resting {
    fn open(&mut self, _: SinkFormat) {
        self.seen.lock().unwrap().opened += 1;
    }

    fn fill(&mut self, out: &mut [f32], _: HostTime, _: Duration) -> Filled {
        let mut seen = self.seen.lock().unwrap();
        out.fill(0.0);
        seen.fills += 1;
        if seen.rests >= 5 {
            seen.fills_after += 1;
            if seen.fills_after == 20 {
                self.stop.request();
            }
        }
        let frames = if seen.finished { 0 } else { out.len() / 2 };
        Filled { frames, sounding: seen.fills < 20 || seen.fills_after > 0 }
    }

    fn keep_up(&mut self, _: HostTime) -> bool {
        let mut seen = self.seen.lock().unwrap();
        if seen.fills >= 20 {
            seen.rests += 1;
        }
        seen.rests >= 5
    }

    fn finish(&mut self) {
        self.seen.lock().unwrap().finished = true;
    }

    fn guest_bits(&self) -> Option<u8> {
        None
    }
}

#[test]
fn the_device_rests_while_the_guest_is_silent_and_wakes_with_it() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let seen = Arc::<Mutex<Rested>>::default();
    let stop = Stop::new().unwrap();
    let (notices, _told) = mpsc::channel();
    let control = Control { stop: stop.clone(), counters: Arc::<Counters>::default(), notices };
    let mut sink = PulseSink {
        server: Some(rig.address()),
        device: None,
        name: "resting".into(),
        buffer: Duration::from_millis(20),
        rest_after: Duration::from_millis(200),
    };
    sink.run(Box::new(Resting { seen: Arc::clone(&seen), stop }), &control).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.rests >= 5 && seen.fills_after >= 20, "{seen:?}");
    assert_eq!(seen.opened, 2, "it is told that the delay begins anew");
}
