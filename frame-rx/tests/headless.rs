//! The program without a window, as a process: what it writes is what the guest drew, and each failure is one line, one
//! hint and the right exit code.

#[path = "rig/guest.rs"]
mod guest;
#[path = "rig/png.rs"]
mod png_file;
#[path = "rig/program.rs"]
mod program;

use guest::GuestThread;
use program::{Program, frame_rx, run};
use serde_json::Value;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::guest_sim::stamp::{Edge, read_stamp};
use shm_proto::kvmfr::{PictureSpec, PixelType};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes the only GPU of the test machine; nothing where there is none.
fn gpu() -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let found = frame_rx(dir.path(), None).arg("devices").output().unwrap();
    if String::from_utf8_lossy(&found.stdout).contains("(software") {
        return Some(guard);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "mesa-vulkan-drivers is missing, and CI=true forbids to skip"
    );
    eprintln!("skipped: there is no software GPU (mesa-vulkan-drivers)");
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_demo_writes_exactly_a_picture_that_its_guest_sent() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let line = "demo --headless --frames 120 --screenshot out.png --stats out.json";
    let (code, text) = run(frame_rx(dir.path(), None).args(line.split(' ')));
    assert_eq!(code, 0, "{text}");
    for part in
        ["showing the guest", "wrote out.png", "frames sent", "frames shown    120", "pickup delay", "copy time"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let (width, height, rgb) = png_file::read(&dir.path().join("out.png"));
    assert_eq!((width, height), (1280, 720));
    let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
    let stamp = read_stamp(&rgba, 1280 * 4, PixelType::Rgba, (1280, 720), Edge::Top).expect("a stamp");
    assert!((120..5000).contains(&stamp.frame), "{stamp:?}");
    let spec = PictureSpec::new(PixelType::Bgra, 1280, 720);
    let reference = shm_proto::guest_sim::pattern::Pattern::new(spec, Motion::Bar).reference(stamp);
    let expected: Vec<u8> = reference.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    assert!(rgb == expected, "the picture differs from frame {}", stamp.frame);
    let stats = json(&dir.path().join("out.json"));
    assert_eq!((&stats["schema"], &stats["frames_shown"]), (&1.into(), &120.into()));
    for name in ["pickup_ms_p50", "copy_ms_p50", "frames_dropped", "frames_torn", "guest_frames_sent", "guest_stalls"] {
        assert!(stats[name].is_number(), "{name} in {stats}");
    }
    assert_eq!(stats["picture_hash"].as_str().map(str::len), Some(16));
    let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().starts_with("frame-rx-demo")), "{left:?}");
}

#[test]
fn a_guest_in_another_process_is_shown_through_its_file() {
    let Some(_gpu) = gpu() else { return };
    for (pixel, width, height) in [(PixelType::Bgra, 640, 360), (PixelType::Rgba, 333, 201)] {
        let mut config = PictureConfig::new(width, height);
        config.spec = PictureSpec::new(pixel, width, height);
        let spec = config.spec;
        let guest = GuestThread::start(config);
        let dir = tempfile::tempdir().unwrap();
        let mut command = frame_rx(dir.path(), None);
        command.arg("-f").arg(&guest.path).args("--headless --frames 30 --screenshot a.png --stats s.json".split(' '));
        let (code, text) = run(&mut command);
        assert_eq!(code, 0, "{text}");
        let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
        assert_eq!((w, h), (width, height));
        let order = if pixel == PixelType::Rgba { [0, 1, 2] } else { [2, 1, 0] };
        let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 0]).collect();
        let stamp = read_stamp(&rgba, w as usize * 4, PixelType::Rgba, (w, h), Edge::Top).expect("a stamp");
        let reference = guest.with(|g| g.pattern().reference(stamp));
        let rows = reference.chunks_exact(spec.pitch_bytes as usize);
        let expected: Vec<u8> = rows
            .flat_map(|r| r.chunks_exact(4).take(width as usize).flat_map(|p| order.map(|i| p[i])).collect::<Vec<_>>())
            .collect();
        assert!(rgb == expected, "frame {}", stamp.frame);
        assert_eq!(json(&dir.path().join("s.json"))["frames_torn"], 0);
    }
}

#[test]
fn a_screenshot_with_the_pointer_differs_only_where_the_pointer_is() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer, config.pointer_rate_hz) = (Motion::Still, PointerMode::Monochrome, 0);
    let guest = GuestThread::start(config);
    let dir = tempfile::tempdir().unwrap();
    let shot = |flags: &str| {
        let mut command = frame_rx(dir.path(), None);
        command
            .arg("-f")
            .arg(&guest.path)
            .args(format!("--headless --seconds 1.5 --screenshot a.png{flags}").split(' '));
        let (code, text) = run(&mut command);
        assert_eq!(code, 0, "{text}");
        png_file::read(&dir.path().join("a.png")).2
    };
    let (without, with) = (shot(""), shot(" --screenshot-pointer"));
    assert!(guest.stamp_of(&without, 320, 180).is_some());
    let changed: Vec<(usize, usize)> = (0..320 * 180)
        .filter(|i| without[i * 3..i * 3 + 3] != with[i * 3..i * 3 + 3])
        .map(|i| (i % 320, i / 320))
        .collect();
    // The guest's pointer stands at -8, -8 and is 32 pixels wide.
    assert!(!changed.is_empty() && changed.iter().all(|(x, y)| *x < 24 && *y < 24), "{changed:?}");
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
    assert!(own <= 4.0, "{own:.2} frames of its own");
}

#[test]
fn what_cannot_be_done_is_one_line_one_hint_and_exit_code_2() {
    let Some(_gpu) = gpu() else { return };
    let guest = GuestThread::start(PictureConfig::new(64, 48));
    let file = guest.path.display().to_string();
    for (line, words) in [
        (format!("-f {file}"), "no window: neither WAYLAND_DISPLAY nor DISPLAY is set"),
        (format!("-f {file} --headless --gpu voodoo"), "nothing can be drawn: none of the GPUs"),
        (
            format!("-f {file} --headless --screenshot /no/such/dir/a.png"),
            "cannot write /no/such/dir/a.png: /no/such/dir does not exist",
        ),
        (format!("-f {file} --headless --screenshot /dev/full"), "cannot write /dev/full: no space left"),
        (format!("-f {file} --headless --frames 1 --stats /dev/full"), "cannot write /dev/full: no space left"),
        (
            "-f /no/such/file --headless --seconds 0.3 --screenshot a.png".into(),
            "no screenshot, since no picture has arrived: waiting for /no/such/file",
        ),
        ("--config /no/such/config".into(), "cannot read the settings: /no/such/config does not exist"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (code, text) = run(frame_rx(dir.path(), None).args(line.split(' ')));
        assert_eq!(code, 2, "{line}\n{text}");
        let told: Vec<&str> = text.lines().filter(|l| l.contains(words)).collect();
        assert_eq!(told.len(), 1, "{words} in\n{text}");
        assert!(told[0].starts_with("frame-rx: "), "{text}");
        assert!(text.lines().last().is_some_and(|l| l.starts_with("hint: ")), "{text}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "scale = 3\n").unwrap();
    for line in ["--nonsense", "--scale wide", "size 3", "--config bad.toml"] {
        let (code, text) = run(frame_rx(dir.path(), None).args(line.split(' ')));
        assert_eq!(code, 1, "{line}\n{text}");
    }
}

#[test]
fn data_goes_to_stdout() {
    let dir = tempfile::tempdir().unwrap();
    for (line, words) in [
        ("size 1080p 4K", "3840x2160        128 MiB"),
        ("config", "scale = \"fit\""),
        ("config --explain --scale stretch", "--scale"),
        ("completions bash", "frame-rx"),
        ("man", ".TH frame-rx 1"),
        ("--help", "Usage: frame-rx"),
        ("--version", "frame-rx 0."),
    ] {
        let done = frame_rx(dir.path(), None).args(line.split(' ')).output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && out.contains(words), "{line}: {words} in\n{out}");
    }
}

#[test]
fn a_recording_holds_the_pictures_that_were_hashed_and_can_be_replayed() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(320, 180);
    config.pointer = PointerMode::Hidden;
    let guest = GuestThread::start(config);
    let dir = tempfile::tempdir().unwrap();
    let line = "--headless --frames 12 --hashes h.txt --record rec --stats s.json";
    let (code, text) = run(frame_rx(dir.path(), None).arg("-f").arg(&guest.path).args(line.split(' ')));
    assert_eq!(code, 0, "{text}");
    let hashes = std::fs::read_to_string(dir.path().join("h.txt")).unwrap();
    let rows: Vec<Vec<&str>> = hashes.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(rows.len(), 12, "{hashes}");
    let numbers: Vec<u64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    let ms: Vec<f64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && ms.is_sorted(), "{hashes}");
    assert!(rows.iter().all(|row| row[2] == "320x180"), "{hashes}");
    let stats = json(&dir.path().join("s.json"));
    assert_eq!(stats["picture_hash"], rows[11][3], "the last line is the last picture");
    let (recorded, lost) = (stats["frames_recorded"].as_u64().unwrap(), stats["frames_unrecorded"].as_u64().unwrap());
    assert!(recorded >= 1 && recorded + lost == 12, "{stats}");
    // What was recorded is what the guest drew.
    let file = std::fs::File::open(dir.path().join("rec").join(frame_rx::record::FILE_NAME)).unwrap();
    let mut player = frame_rx::record::Player::open(file).unwrap();
    let mut count = 0;
    while let Some(frame) = player.next_frame().unwrap() {
        let rgb: Vec<u8> = frame.rows.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
        assert!(guest.stamp_of(&rgb, 320, 180).is_some(), "picture {}", frame.number);
        assert!(numbers.contains(&frame.number));
        count += 1;
    }
    assert_eq!(count, recorded);
    let mut replay = frame_rx(dir.path(), None);
    let done = replay.args(["selftest", "--replay", "rec", "--gpu", "software"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.trim(), format!("rec/{}: {recorded} pictures exact", frame_rx::record::FILE_NAME));
    // A recording is not written over.
    let (code, text) = run(frame_rx(dir.path(), None).arg("-f").arg(&guest.path).args(line.split(' ')));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot record to rec/"), "{text}");
    // A damaged one is told.
    std::fs::write(dir.path().join("rec").join(frame_rx::record::FILE_NAME), b"RXFRAMES").unwrap();
    let (code, text) = run(frame_rx(dir.path(), None).args(["selftest", "--replay", "rec"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot replay rec/"), "{text}");
}

#[test]
fn the_selftest_finds_this_machine_exact() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let done = frame_rx(dir.path(), None).args(["selftest", "--gpu", "software"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.lines().count() >= 6 && said.lines().all(|l| l.contains("5 pictures exact on")), "{said}");
}
