//! Both receivers as their users have them: release binaries in processes of their own, fed through a file in
//! `/dev/shm`, heard at a real sound server and seen on a real display.

use rustix::process::Signal;
use rx_tests::attempt::{judge, on_time};
use rx_tests::guest;
use rx_tests::image;
use rx_tests::place::{self, ShmName};
use rx_tests::process::{Finished, Running, SOON, run, until};
use rx_tests::programs::{frame_rx, receiver};
use rx_tests::pulse::{self, PulseRig};
use rx_tests::tone::{self, Recording};
use rx_tests::xvfb::XvfbRig;
use std::path::Path;
use std::time::Duration;

/// Longest run of a receiver in these tests, its own length included.
const RUN: Duration = Duration::from_secs(90);

fn check_success(done: &Finished) {
    assert_eq!(done.status.code(), Some(0), "{}\n{}", done.out.join("\n"), done.err.join("\n"));
}

/// Figures as `--stats` writes them: one JSON object that names its form.
fn check_figures(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let figures: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(figures["schema"].is_u64(), "{text}");
    figures
}

#[test]
fn the_sound_demo_writes_five_seconds_of_a_clean_tone() {
    let home = place::folder();
    let wav = home.path().join("out.wav");
    let mut command = receiver("scream-rx", home.path());
    command.args(["demo", "--seconds", "5", "-o", "wav", "-d"]).arg(&wav);
    let done = run("scream-rx", &mut command, RUN);
    check_success(&done);
    Recording::read(&wav).tone().check(440.0, 4.5, 0);
    assert!(!done.err.is_empty(), "the demo says what it did");
}

#[test]
fn the_picture_demo_writes_the_picture_that_was_sent() {
    let home = place::folder();
    let (png, stats) = (home.path().join("out.png"), home.path().join("out.json"));
    let Some(mut command) = frame_rx(home.path()) else { return };
    command.args(["demo", "--headless", "--frames", "120", "--screenshot"]).arg(&png).arg("--stats").arg(&stats);
    let done = run("frame-rx", &mut command, RUN);
    check_success(&done);
    check_figures(&stats);
    // The demo shows a cursor, which covers some of the picture; stamps and size say that it is the one.
    let picture = image::from_png(&png);
    let (top, bottom) = (guest::stamp(&picture, shm_proto::guest_sim::stamp::Edge::Top), picture.height);
    assert!(top.is_some_and(|stamp| stamp.frame > 0) && bottom >= 480, "{picture:?} {top:?}");
    assert!(!done.err.is_empty(), "the demo says what it did");
}

#[test]
fn sound_from_another_process_is_played_clean() {
    for (frequency_hz, options) in [
        (440.0, &[][..]),
        (440.0, &["--rate", "44100", "--bits", "24"]),
        (443.0, &["--rate", "96000", "--bits", "32", "--channels", "6", "--ppm", "80"]),
    ] {
        on_time(|| {
            let (home, file) = (place::folder(), ShmName::new("sound"));
            let tone = ["--tone", &frequency_hz.to_string()];
            let _guest = guest::start("sound", file.path(), &[&tone, options].concat());
            let (wav, stats) = (home.path().join("out.wav"), home.path().join("out.json"));
            let mut command = receiver("scream-rx", home.path());
            command.arg(file.path()).args(["-o", "wav", "--seconds", "3", "-d"]).arg(&wav).arg("--stats").arg(&stats);
            check_success(&run("scream-rx", &mut command, RUN));
            let (figures, tone) = (check_figures(&stats), Recording::read(&wav).tone());
            judge(tone.is_pure(frequency_hz, 2.0, 0), &tone, 1, |name| figures[name].as_u64())
        });
    }
}

#[test]
fn a_picture_from_another_process_is_shown_as_it_was_sent() {
    for options in [
        &["--mode", "640x360@30", "--cursor", "none"][..],
        &["--mode", "642x362@30", "--cursor", "none", "--format", "rgba", "--pitch", "2816"],
        &["--mode", "1920x1080@20", "--cursor", "none"],
    ] {
        let (home, file) = (place::folder(), ShmName::new("picture"));
        let _guest = guest::start("picture", file.path(), options);
        let (png, stats) = (home.path().join("out.png"), home.path().join("out.json"));
        let Some(mut command) = frame_rx(home.path()) else { return };
        command.arg("-f").arg(file.path()).args(["--headless", "--frames", "10", "--screenshot"]).arg(&png);
        check_success(&run("frame-rx", command.arg("--stats").arg(&stats), RUN));
        check_figures(&stats);
        guest::check_picture(&image::from_png(&png)).unwrap();
    }
}

#[test]
fn sound_reaches_the_sound_server_and_comes_back_with_the_next_guest() {
    let Some(server) = PulseRig::start() else { return };
    let (home, file) = (place::folder(), ShmName::new("sound"));
    let recording = server.record();
    let first = guest::start("sound", file.path(), &["--crash"]);
    let mut command = receiver("scream-rx", home.path());
    server.serve(command.arg(file.path()).args(["-o", "pulse", "-t", "120"]));
    let mut player = Running::start("scream-rx", &mut command);
    let heard = recording.wait_for_sound(Duration::from_secs(1), SOON);
    drop(first);
    let _second = guest::start("sound", file.path(), &[]);
    recording.wait_for_sound(Duration::from_secs(1), SOON);
    player.signal(Signal::INT);
    assert_eq!(player.end(SOON).code(), Some(0), "{}", player.tail());
    let tone = tone::measure(&heard, pulse::CHANNELS, pulse::RATE_HZ);
    assert!((tone.frequency_hz - 440.0).abs() < 1.0, "{tone:?}");
    // Without real-time priority a busy machine tears holes into any sound.
    assert!(!server.is_realtime() || tone.impurity < 1e-3, "{tone:?}");
}

#[test]
fn a_window_shows_the_picture_pixel_by_pixel() {
    let Some(display) = XvfbRig::start(1280, 800) else { return };
    let (home, file) = (place::folder(), ShmName::new("picture"));
    let _guest = guest::start("picture", file.path(), &["--mode", "640x360@30", "--cursor", "none"]);
    let Some(mut command) = frame_rx(home.path()) else { return };
    command.arg("-f").arg(file.path()).args(["--scale", "1:1", "--window", "800x600"]);
    display.show(&mut command);
    let mut window = Running::start("frame-rx", &mut command);
    guest::wait_for_picture(&display, (640, 360), SOON);
    window.signal(Signal::TERM);
    assert_eq!(window.end(SOON).code(), Some(0), "{}", window.tail());
}

/// A receiver that is started first waits, and says for what; it follows a file that appears, goes and appears again.
#[test]
fn receivers_wait_for_a_guest_that_is_not_there_yet() {
    let (home, file) = (place::folder(), ShmName::new("late"));
    let name = file.path().display().to_string();
    let Some(mut command) = frame_rx(home.path()) else { return };
    let png = home.path().join("out.png");
    command.arg("-f").arg(file.path()).args(["--headless", "--frames", "5", "--screenshot"]).arg(&png);
    let viewer = Running::start("frame-rx", &mut command);
    viewer.line(&name, SOON);
    let guest = guest::start("picture", file.path(), &["--mode", "320x240@30", "--cursor", "none"]);
    check_success(&viewer.finish(RUN));
    guest::check_picture(&image::from_png(&png)).unwrap();
    drop(guest);

    std::fs::remove_file(file.path()).unwrap();
    let wav = home.path().join("out.wav");
    let mut command = receiver("scream-rx", home.path());
    command.arg(file.path()).args(["-o", "wav", "-d"]).arg(&wav);
    let mut player = Running::start("scream-rx", &mut command);
    player.line(&name, SOON);
    let first = guest::start("sound", file.path(), &["--crash"]);
    let grown = |bytes: u64| move |path: &Path| std::fs::metadata(path).is_ok_and(|m| m.len() > bytes).then_some(());
    until("sound in the file", SOON, || grown(400_000)(&wav), || player.tail());
    drop(first);
    std::fs::remove_file(file.path()).unwrap();
    let before = std::fs::metadata(&wav).map_or(0, |m| m.len());
    let _second = guest::start("sound", file.path(), &[]);
    until("more sound in the file", SOON, || grown(before + 400_000)(&wav), || player.tail());
    player.signal(Signal::TERM);
    assert_eq!(player.end(SOON).code(), Some(0), "{}", player.tail());
    let tone = Recording::read(&wav).tone();
    assert!((tone.frequency_hz - 440.0).abs() < 0.5, "{tone:?}");
}

/// Whatever a guest writes, a receiver neither ends nor hangs: after every lie it still ends when it is told to.
#[test]
fn no_lie_of_a_guest_ends_a_receiver() {
    let home = place::folder();
    let (sound, picture) = (ShmName::new("sound"), ShmName::new("picture"));
    let Some(mut command) = frame_rx(home.path()) else { return };
    let mut viewer = Running::start("frame-rx", command.arg("-f").arg(picture.path()).arg("--headless"));
    let mut command = receiver("scream-rx", home.path());
    let mut player = Running::start("scream-rx", command.arg(sound.path()).args(["-o", "null"]));
    let liars = [
        guest::start("sound", sound.path(), &["--lie", "all", "--seconds", "10"]),
        guest::start("picture", picture.path(), &["--mode", "320x240@60", "--lie", "all", "--seconds", "25"]),
    ];
    for liar in liars {
        check_success(&liar.finish(RUN));
    }
    for receiver in [&mut viewer, &mut player] {
        assert!(receiver.is_alive(), "{}", receiver.tail());
        receiver.signal(Signal::TERM);
        assert_eq!(receiver.end(SOON).code(), Some(0), "{}", receiver.tail());
        let lines = receiver.lines(rx_tests::process::Stream::Err).len();
        assert!(lines < 300, "a guest wrote {lines} lines into the log");
    }
}
