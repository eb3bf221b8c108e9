//! What happens when a program that a test needs is not on the machine: a failure in CI, a printed skip elsewhere.

use std::io::Write;
use std::path::PathBuf;

/// Where `program` is, looked up as a shell does (and in the folders for system programs, which PATH may lack).
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Whether all `programs` are there. If not, prints which one is missing and that the test is skipped.
///
/// # Panics
/// If one is missing and `CI=true`.
pub fn programs(programs: &[&str]) -> bool {
    match programs.iter().find(|program| find(program).is_none()) {
        None => true,
        Some(missing) => skip(&format!("{missing} is not installed (`make test` installs it)")),
    }
}

/// Prints that the running test is skipped and why. Always false, so that it can end a condition.
///
/// # Panics
/// If `CI=true`: there, nothing may be missing.
pub fn skip(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {why}");
    // Not eprintln: the harness would swallow that when the test passes, and the skip would be silent.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    false
}
