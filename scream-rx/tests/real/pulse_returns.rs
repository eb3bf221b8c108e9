//! Where a stream belongs after its sink went, came back, or was left by hand: the sink that the user named is gone back to,
//! what a mixer says goes before that, and whoever named nothing goes where the server says.

use crate::pulse_trouble::Scene;
use crate::rig::{FileGuest, PulseRig, Running, SOON, alone, scream_rx, until};
use rx_host::signals::Stop;
use scream_rx::counters::Counters;
use scream_rx::sink::pulse::PulseSink;
use scream_rx::sink::{Control, Filled, Notice, Sink, SinkFormat, Source};
use shm_proto::HostTime;
use shm_proto::guest_sim::sound::SoundGuest;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Sound is back on the sink that was wished for within so long.
const WITHIN: Duration = Duration::from_secs(1);
/// Whoever went back by mistake would have done so by then.
const WHILE: Duration = Duration::from_millis(1500);

/// Loads a sink into nothing. No name here has a `t` but the rig's sink, which is named by that alone.
fn load(rig: &PulseRig, name: &str, rate: &str) {
    let (sink_name, rate) = (format!("sink_name={name}"), format!("rate={rate}"));
    let said = format!("sink_properties=device.description=On-{name}");
    rig.pactl(&["load-module", "module-null-sink", &sink_name, &rate, &said, "norewinds=1"]);
}

/// The sink that our one stream is on.
fn place(rig: &PulseRig) -> String {
    let stream = until("our one stream", || {
        let all = rig.pactl(&["list", "short", "sink-inputs"]);
        (all.lines().count() == 1).then_some(all)
    });
    let number = stream.split('\t').nth(1).unwrap().to_owned();
    let sinks = rig.pactl(&["list", "short", "sinks"]);
    let sink = sinks.lines().find(|l| l.split('\t').next() == Some(&number));
    sink.map_or("none", |l| l.split('\t').nth(1).unwrap()).to_owned()
}

/// Takes a sink away.
fn unload(rig: &PulseRig, name: &str) {
    let modules = rig.pactl(&["list", "short", "modules"]);
    let module = modules.lines().find(|l| l.contains(&format!("sink_name={name} "))).unwrap();
    rig.pactl(&["unload-module", module.split('\t').next().unwrap()]);
}

#[test]
fn a_named_sink_that_comes_back_is_gone_back_to_within_a_second() {
    let _alone = alone();
    for rate in ["48000", "44100"] {
        let Some(scene) = Scene::start(&["-d", "t"]) else { return };
        // What takes its place has the same format, or another.
        load(&scene.rig, "second", rate);
        unload(&scene.rig, "t");
        until("the second sink", || (scene.opened() == 2).then_some(()));
        assert!(scene.player.err().contains("On-second"), "{}", scene.player.err());
        assert_eq!(place(&scene.rig), "second");
        load(&scene.rig, "t", "48000");
        let back = Instant::now();
        until("the named sink", || (place(&scene.rig) == "t").then_some(()));
        let after = back.elapsed();
        until("word of it", || (scene.opened() == 3).then_some(()));
        scene.rig.record("again.raw").wait_for_sound(0, 0.3);
        println!("{rate}: played on {after:?} after the sink came back, heard within {:?}", back.elapsed());
        assert!(after < WITHIN, "{after:?}");
        // And again, as often as it goes; the server may have noticed something else at the same time.
        unload(&scene.rig, "t");
        until("the second sink again", || (scene.opened() == 4).then_some(()));
        load(&scene.rig, "more", "48000");
        load(&scene.rig, "t", "44100");
        until("the named sink again", || (scene.opened() == 5).then_some(()));
        assert_eq!(place(&scene.rig), "t");
        let (said, _) = scene.end();
        assert!(!said.contains("trying again"), "{said}");
    }
}

#[test]
fn a_stream_that_was_moved_by_hand_stays_there_while_its_named_sink_is_there() {
    let _alone = alone();
    for (rate, remembers) in [("48000", false), ("44100", false), ("44100", true)] {
        let Some(scene) = Scene::start(&["-d", "t"]) else { return };
        if remembers {
            scene.rig.pactl(&["load-module", "module-stream-restore"]);
        }
        load(&scene.rig, "second", rate);
        scene.rig.pactl(&["move-sink-input", &scene.rig.stream(), "second"]);
        scene.player.wait_for_line("On-second");
        // Sinks that come are no reason, nor is another default.
        load(&scene.rig, "more", "48000");
        scene.rig.pactl(&["set-default-sink", "more"]);
        std::thread::sleep(WHILE);
        assert_eq!((place(&scene.rig).as_str(), scene.opened()), ("second", 2), "{rate}: {}", scene.player.err());
        // What was chosen goes: the sink that was named is there.
        unload(&scene.rig, "second");
        until("the named sink", || (place(&scene.rig) == "t").then_some(()));
        let (said, _) = scene.end();
        assert!(!said.contains("trying again"), "{said}");
    }
}

#[test]
fn whoever_named_nothing_follows_the_servers_choice_again_and_again_and_a_mixers() {
    let _alone = alone();
    for remembers in [false, true] {
        let Some(scene) = Scene::start(&[]) else { return };
        if remembers {
            scene.rig.pactl(&["load-module", "module-stream-restore"]);
        }
        load(&scene.rig, "second", "44100");
        for (times, sink) in ["second", "t", "second", "t"].into_iter().enumerate() {
            scene.rig.pactl(&["set-default-sink", sink]);
            until(sink, || (scene.opened() == times + 2).then_some(()));
            assert_eq!(place(&scene.rig), sink);
        }
        scene.rig.pactl(&["move-sink-input", &scene.rig.stream(), "second"]);
        until("what was chosen by hand", || (scene.opened() == 6).then_some(()));
        std::thread::sleep(WHILE);
        assert_eq!((place(&scene.rig).as_str(), scene.opened()), ("second", 6), "{}", scene.player.err());
        let (said, _) = scene.end();
        assert!(!said.contains("trying again"), "{said}");
    }
}

#[test]
fn a_named_sink_that_is_away_is_awaited_on_one_connection_and_played_on_within_a_second() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let file = home.join("region");
    let _guest = FileGuest::start(&file, SoundGuest::builder());
    let mut command = scream_rx(&home);
    // As a service, which waits.
    rig.serve(&mut command).env("NOTIFY_SOCKET", home.join("nobody"));
    command.arg(&file).args(["-o", "pulse", "-d", "headset"]);
    let mut player = Running::start(&mut command, &home.join("player.log"));
    player.wait_for_line("no sink named headset");
    // Each connection has a number, also those of `pactl`.
    let connections = || {
        let clients = rig.pactl(&["list", "short", "clients"]);
        clients.lines().filter_map(|l| l.split('\t').next()?.parse::<u64>().ok()).max().unwrap()
    };
    let before = connections();
    std::thread::sleep(2 * WHILE);
    assert_eq!(connections() - before, 1, "there was none but ours: {}", player.err());
    load(&rig, "headset", "48000");
    let back = Instant::now();
    until("the sink", || player.err().contains("sound goes to On-headset").then_some(()));
    println!("played on {:?} after the sink came", back.elapsed());
    assert!(back.elapsed() < WITHIN, "{:?}", back.elapsed());
    player.signal("TERM");
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert_eq!(player.err().matches("trying again").count(), 1, "{}", player.err());
}

#[test]
fn a_stop_ends_the_wait_for_a_named_sink_at_once() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let home = rig.folder.path().to_owned();
    let mut command = scream_rx(&home);
    rig.serve(&mut command).arg(home.join("region")).args(["-o", "pulse", "-d", "headset"]);
    command.env("NOTIFY_SOCKET", home.join("nobody"));
    let mut player = Running::start(&mut command, &home.join("player.log"));
    player.wait_for_line("no sink named headset");
    player.signal("TERM");
    let asked = Instant::now();
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert!(asked.elapsed() < WITHIN, "{:?}", asked.elapsed());
}

#[test]
fn a_server_that_ends_each_stream_is_given_one_at_once_and_further_ones_slowly() {
    let _alone = alone();
    let Some(scene) = Scene::start(&[]) else { return };
    // Only the server's own language has a word for the end of somebody's stream.
    let language = scene.rig.folder.path().join("cli");
    scene.rig.pactl(&["load-module", "module-cli-protocol-unix", &format!("socket={}", language.display())]);
    let mut server = UnixStream::connect(&language).unwrap();
    let begun = Instant::now();
    let (mut ended, mut last) = (0, String::new());
    while begun.elapsed() < Duration::from_secs(3) {
        let streams = scene.rig.pactl(&["list", "short", "sink-inputs"]);
        let stream = streams.split_whitespace().next().unwrap_or_default();
        if !stream.is_empty() && stream != last {
            server.write_all(format!("kill-sink-input {stream}\n").as_bytes()).unwrap();
            (ended, last) = (ended + 1, stream.to_owned());
        }
    }
    scene.sound_again();
    let (said, _) = scene.end();
    println!("{ended} streams were ended within 3 s, {} opened", said.matches("sound goes to").count());
    assert!((3..=12).contains(&ended), "{ended}: {said}");
    assert!(!said.contains("trying again"), "{said}");
}

/// A guest that is silent for ever.
struct Silent;

impl Source for Silent {
    fn open(&mut self, _: SinkFormat) {}

    fn fill(&mut self, out: &mut [f32], _: HostTime, _: Duration) -> Filled {
        out.fill(0.0);
        Filled { frames: out.len() / 2, sounding: false }
    }

    fn keep_up(&mut self, _: HostTime) -> bool {
        false
    }

    fn finish(&mut self) {}

    fn guest_bits(&self) -> Option<u8> {
        None
    }
}

#[test]
fn a_stream_that_rests_goes_back_before_there_is_sound() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    load(&rig, "second", "48000");
    let stop = Stop::new().unwrap();
    let (notices, told) = mpsc::channel();
    let control = Control { stop: stop.clone(), counters: Arc::<Counters>::default(), notices };
    let mut sink = PulseSink {
        server: Some(rig.address()),
        device: Some("t".into()),
        name: "resting".into(),
        buffer: Duration::from_millis(20),
        rest_after: Duration::from_millis(200),
    };
    let playing = std::thread::spawn(move || sink.run(Box::new(Silent), &control).unwrap());
    let opened = |name: &str| {
        let told = told.recv_timeout(SOON).unwrap();
        assert!(matches!(&told, Notice::Open { name: n, .. } if n.starts_with(name)), "{name}: {told:?}");
        Instant::now()
    };
    opened("Null Output");
    std::thread::sleep(WHILE);
    unload(&rig, "t");
    opened("On-second");
    std::thread::sleep(WHILE);
    load(&rig, "t", "48000");
    let back = Instant::now();
    let after = opened("On-t") - back;
    assert!(after < WITHIN, "{after:?}");
    stop.request();
    playing.join().unwrap();
}
