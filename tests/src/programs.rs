//! The programs under test, built as users build them: in release, all at once, so that nothing is built twice.

use crate::gpu;
use crate::process::{self, tied};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest wait for a build from nothing on a slow machine.
const BUILD: Duration = Duration::from_secs(1800);

/// The workspace's own folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The release binary `name` of this workspace, built first if it is not up to date; or, if `RX_PROGRAMS` names a folder,
/// the binary that lies there, as it is.
///
/// # Panics
/// If the build fails.
pub fn release(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("RX_PROGRAMS") {
        return workspace().join(folder).join(name);
    }
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build(cargo.args(["build", "--quiet", "--release", "--workspace"]));
    });
    let path = target_folder().join("release").join(name);
    assert!(path.is_file(), "{} is not among the programs built", path.display());
    path
}

/// The libraries that `program` is linked with, the loader included, at the places where it looks for them.
///
/// # Panics
/// If `ldd` does not tell.
pub fn libraries(program: &Path) -> Vec<PathBuf> {
    let done = process::run("ldd", Command::new("ldd").arg(program), process::SOON);
    assert!(done.status.success(), "{}", done.err.join("\n"));
    // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)`, or the loader's path alone.
    let paths = done.out.iter().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

/// The bytes of `program` without what only a debugger needs, where `strip` is installed.
///
/// # Panics
/// If it cannot be read.
pub fn stripped(program: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("program");
    let strip = Command::new("strip").arg("-o").arg(&out).arg(program).output();
    let is_done = strip.is_ok_and(|done| done.status.success());
    std::fs::read(if is_done { &out } else { program }).expect("a program")
}

/// The program of the test VM, linked statically, built first if it is not up to date.
///
/// # Panics
/// If the build fails.
pub fn guest() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&mut Command::new(workspace().join("scripts/guest.sh"))));
    workspace().join("target/guest/x86_64-unknown-linux-gnu/release/rx-guest")
}

/// The receiver `name` with `home` for a home, and without the user's settings, display, sound server and GPU.
///
/// # Panics
/// As [`release`].
pub fn receiver(name: &str, home: &Path) -> Command {
    let mut command = tied(release(name));
    clean(&mut command, home);
    command
}

/// `frame-rx` as [`receiver`], with the software GPU. `None`, after printing the skip, where there is none.
///
/// # Panics
/// As [`release`], and where there is none and `CI=true`.
pub fn frame_rx(home: &Path) -> Option<Command> {
    let mut command = receiver("frame-rx", home);
    gpu::software(&mut command).then_some(command)
}

/// Takes from `command` what belongs to the user who runs the tests.
pub fn clean(command: &mut Command, home: &Path) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("XDG_CONFIG_HOME", home.join("config"));
}

fn build(command: &mut Command) {
    let done = process::run("the build", command.current_dir(workspace()), BUILD);
    assert!(done.status.success(), "{command:?} failed\n{}", done.err.join("\n"));
}
