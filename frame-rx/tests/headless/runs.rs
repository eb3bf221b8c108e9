//! Whole runs: guests that come late, go and come back, a tour of everything, and what it takes of memory.

use crate::guest::GuestThread;
use crate::hang::while_it_draws_nothing;
use crate::program::{Program, frame_rx};
use crate::{gpu, json, png_file, program};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::tour::STOPS;
use shm_proto::kvmfr::Version;

#[test]
fn a_guest_that_comes_back_with_another_version_is_shown_again() {
    let Some(_gpu) = gpu() else { return };
    let config = PictureConfig::new(128, 96);
    // Room for every version.
    let guest = GuestThread::start_in(config, 16 << 20);
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(
        frame_rx(dir.path(), None)
            .arg("-f")
            .arg(&guest.path)
            .args("--headless --screenshot a.png --stats s.json --seconds 120".split(' ')),
    );
    program.says("LGMP 6 with KVMFR 20");
    let path = [Version::Lgmp12, Version::B6, Version::Lgmp10, Version::Lgmp12, Version::Lgmp7, Version::Lgmp10];
    for (step, version) in path.into_iter().enumerate() {
        guest.with(|g| g.restart_as(version, rx_host::clock::now())).unwrap();
        let numbers = format!("LGMP {} with KVMFR {})", version.lgmp().version, version.layout().version);
        let before = path[..step].iter().filter(|v| **v == version).count();
        let what = format!("session {step}, {numbers}");
        program::until(&what, || (program.text().matches(&numbers).count() > before).then_some(()), || program.text());
        let begun = guest.with(|g| g.frames_begun());
        program::until("frames", || (guest.with(|g| g.frames_begun()) > begun + 10).then_some(()), || program.text());
    }
    let begun = guest.with(|g| g.frames_begun());
    program.signal("INT");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    assert!(guest.stamp_of(&rgb, w, h).is_some_and(|s| s.frame + 30 > begun), "an old picture was kept");
    assert_eq!(json(&dir.path().join("s.json"))["sessions"], 1 + path.len());
}

/// However late the program was, as on a busy machine.
#[test]
fn the_newest_picture_is_kept_of_a_run_that_is_stopped() {
    let Some(_gpu) = gpu() else { return };
    let guest = GuestThread::start(PictureConfig::new(128, 96));
    let dir = tempfile::tempdir().unwrap();
    let mut command = frame_rx(dir.path(), None);
    command.arg("-f").arg(&guest.path).args("--headless --screenshot a.png --seconds 120".split(' '));
    let mut program = Program::start(&mut command);
    program.says("showing the guest");
    let begun = while_it_draws_nothing(&program, || {
        let begun = guest.with(|g| g.frames_begun());
        program::until("frames", || (guest.with(|g| g.frames_begun()) > begun + 30).then_some(()), || program.text());
        program.signal("INT");
        begun
    });
    let Some(begun) = begun else { return };
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    assert!(guest.stamp_of(&rgb, w, h).is_some_and(|s| s.frame > begun), "an old picture was kept");
}

#[test]
fn the_tour_shows_everything_and_the_guest_never_waits() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(
        frame_rx(dir.path(), None)
            .args("demo --tour --mode 320x200 --headless --seconds 120 --stats s.json --screenshot a.png".split(' ')),
    );
    for stop in STOPS {
        program.says(stop.name);
    }
    // Round again, so that there is a picture at the end.
    let rounds = || (program.text().matches(STOPS[0].name).count() > 1).then_some(());
    program::until("the first stop again", rounds, || program.text());
    program.signal("INT");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let text = program.text();
    for version in Version::ALL {
        assert!(
            text.contains(&format!("LGMP {} with KVMFR {})", version.lgmp().version, version.layout().version)),
            "{version:?} in\n{text}"
        );
    }
    let stats = json(&dir.path().join("s.json"));
    let count = |name: &str| stats[name].as_u64().expect("a count");
    assert_eq!(count("frames_refused"), 0, "{stats}");
    assert!(count("sessions") > 5, "{stats}");
    // A picture whose guest starts again while it is copied counts as torn.
    assert!(count("frames_torn") < count("sessions"), "{stats}");
}

#[test]
fn a_headless_run_waits_for_its_guest_and_ends_cleanly_on_sigterm() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not-yet");
    let mut program =
        Program::start(frame_rx(dir.path(), None).arg("-f").arg(&path).args(["--headless", "--stats", "s.json"]));
    program.says(&format!("waiting for {}: start the VM", path.display()));
    let config = PictureConfig::new(64, 48);
    let region = shm_proto::Region::create(&path, config.region_bytes()).unwrap();
    program.says("nothing was written into the shared memory yet");
    let mut guest = shm_proto::guest_sim::picture::PictureGuest::start(&region, config, rx_host::clock::now()).unwrap();
    program::until(
        "a live guest",
        || {
            guest.advance(rx_host::clock::now()).unwrap();
            program.text().contains("showing the guest").then_some(())
        },
        || program.text(),
    );
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    assert!(json(&dir.path().join("s.json"))["frames_shown"].as_u64() > Some(0));
    assert!(!guest.producer().is_watched().unwrap(), "it gave its places back");
}

#[test]
fn a_guest_that_starts_again_is_shown_again() {
    let Some(_gpu) = gpu() else { return };
    let guest = GuestThread::start(PictureConfig::new(128, 96));
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(
        frame_rx(dir.path(), None)
            .arg("-f")
            .arg(&guest.path)
            .args("--headless --screenshot a.png --stats s.json --seconds 60 -v".split(' ')),
    );
    program.says("showing the guest");
    for session in 2..4 {
        guest.with(|g| g.restart(rx_host::clock::now())).unwrap();
        program::until(
            "another session",
            || (program.text().matches("session joined").count() >= session).then_some(()),
            || program.text(),
        );
    }
    // Something of the last session must have been shown before the end.
    let begun = guest.with(|g| g.frames_begun());
    program::until("more frames", || (guest.with(|g| g.frames_begun()) > begun + 30).then_some(()), || program.text());
    program.signal("INT");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    assert!(guest.stamp_of(&rgb, w, h).is_some_and(|s| s.frame > begun), "an old picture was kept");
    assert_eq!(json(&dir.path().join("s.json"))["sessions"], 3);
}

/// The most that a process had in memory at once. Unit: bytes.
fn peak_bytes(program: &Program) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[test]
fn a_headless_run_needs_four_frames_besides_the_gpu_and_the_guests_own_memory() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let gpu_only = Program::start(frame_rx(dir.path(), None).args("-f /no/such/file --headless".split(' ')));
    gpu_only.says("waiting for /no/such/file");
    let gpu_stack = peak_bytes(&gpu_only).expect("a running process");
    let mut config = PictureConfig::new(1920, 1080);
    config.motion = Motion::Scroll;
    let guest = GuestThread::start(config);
    let mut program = Program::start(
        frame_rx(dir.path(), None)
            .arg("-f")
            .arg(&guest.path)
            .args("--headless --stats s.json --screenshot a.png".split(' '))
            .args(["--seconds", "60"]),
    );
    program.says("showing the guest");
    let begun = guest.with(|g| g.frames_begun());
    program::until("20 frames", || (guest.with(|g| g.frames_begun()) > begun + 20).then_some(()), || program.text());
    program.signal("TERM");
    let mut peak = 0;
    program::until(
        "a screenshot, which is drawn in bands and must not need another frame",
        || {
            peak = peak.max(peak_bytes(&program).unwrap_or(0));
            program.text().contains("wrote a.png").then_some(())
        },
        || program.text(),
    );
    assert_eq!(program.ends().code(), Some(0));
    let frame = 1920 * 1080 * 4;
    // The two frames that the guest writes are mapped, and so counted: they are the guest's, whoever looks at them.
    let own = peak.saturating_sub(gpu_stack) as f64 / f64::from(frame) - 2.0;
    println!("{own:.2} frames of its own at most");
    assert!(own <= 4.0, "{own:.2} frames of its own");
}
