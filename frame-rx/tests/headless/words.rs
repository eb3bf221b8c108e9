//! What the program says: each failure is one line, one hint and the right exit code; data goes to stdout.

use crate::gpu;
use crate::guest::GuestThread;
use crate::program::{frame_rx, run};
use shm_proto::guest_sim::picture::PictureConfig;

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
            "-f /no/such/file --headless --seconds 2 --screenshot a.png".into(),
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
        ("size 1080p 4K", "3840x2160          128    128 "),
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
