//! What stands on stderr is ours: drivers and what they load say nothing there, also without a session's environment.

use crate::gpu;
use crate::guest::GuestThread;
use crate::program::frame_rx;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;

/// Lines that no program of ours writes.
fn foreign(text: &str) -> Vec<&str> {
    let begins = ["error:", "warning:", "MESA", "libEGL", "ERROR", "WARNING", "DRI", "Xlib", "VUID"];
    text.lines().filter(|l| l.contains("XDG_RUNTIME_DIR") || begins.iter().any(|b| l.starts_with(b))).collect()
}

#[test]
fn a_driver_says_nothing_on_stderr_whatever_the_environment_lacks() {
    let Some(_gpu) = gpu() else { return };
    let mut config = PictureConfig::new(160, 90);
    config.motion = Motion::Still;
    let guest = GuestThread::start(config);
    let dir = tempfile::tempdir().unwrap();
    let path = guest.path.to_str().unwrap();
    for runtime_dir in [None, Some(""), Some("relative"), Some("/nowhere")] {
        for words in [&["doctor", "-f", path][..], &["devices"], &["-f", path, "--headless", "--screenshot", "a.png"]] {
            let mut command = frame_rx(dir.path(), None);
            match runtime_dir {
                None => command.env_remove("XDG_RUNTIME_DIR"),
                Some(there) => command.env("XDG_RUNTIME_DIR", there),
            };
            let done = command.args(words).output().unwrap();
            let told = String::from_utf8_lossy(&done.stderr);
            assert!(foreign(&told).is_empty(), "{words:?} with {runtime_dir:?}: {told}");
            assert!(!done.stdout.is_empty() || dir.path().join("a.png").exists(), "{words:?}: {told}");
        }
    }
}
