//! What a program wants of its environment before it begins.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// Starts this program anew with the usual XDG_RUNTIME_DIR if the environment names none: whatever opens a GPU loads
/// libwayland by way of Mesa's layers, whether or not there is a compositor, and that complains on stderr otherwise. The
/// environment of nobody else changes. Goes on as before where that is not possible. To be called before anything was begun:
/// what this process has done until now is done again.
///
/// Blocks for the system only.
pub fn settle_runtime_dir() {
    if is_usable(std::env::var_os(RUNTIME_DIR)) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let usual = format!("/run/user/{}", rustix::process::getuid().as_raw());
    let mut words = std::env::args_os();
    let mut anew = Command::new(&program);
    anew.arg0(words.next().unwrap_or_else(|| program.into_os_string())).args(words).env(RUNTIME_DIR, usual);
    let error = anew.exec();
    tracing::debug!("{RUNTIME_DIR} is not set, and stays so: {error}");
}

/// Whether libwayland takes it for one; whether there is such a folder it does not look.
fn is_usable(dir: Option<OsString>) -> bool {
    dir.is_some_and(|dir| Path::new(&dir).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_a_folder_from_the_root_will_do() {
        for (dir, will_do) in [(None, false), (Some(""), false), (Some("run"), false), (Some("/run/user/0"), true)] {
            assert_eq!(is_usable(dir.map(OsString::from)), will_do, "{dir:?}");
        }
    }
}
