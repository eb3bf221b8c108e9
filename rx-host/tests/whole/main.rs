//! Whole processes built on the crate: real signals, exit codes, a real terminal, another user, a full disk, a socket in
//! the place of the service manager's.
//!
//! | group     | what is proven                                                         |
//! |-----------|------------------------------------------------------------------------|
//! | `signals` | Ctrl-C, SIGTERM and SIGHUP reach threads that wait; the second Ctrl-C  |
//! | `endings` | exit codes, the one line and the hint, panics, a reader that has gone  |
//! | `system`  | permissions, limits, full disks, service manager, log, status line     |
//!
//! This program is its own child: with `RX_HOST_CHILD` in the environment it is one of the small programs of `child.rs`.
//! A test that cannot run here (no second user, no mount) says so in one line and passes.

mod child;
mod endings;
mod process;
mod signals;
mod system;

use std::panic;
use std::process::ExitCode;

/// A test and its name.
pub type Test = (&'static str, fn());

/// Lists tests under their own names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this file.
        pub const TESTS: &[$crate::Test] = &[$((stringify!($name), $name)),*];
    };
}

fn main() -> ExitCode {
    if let Ok(program) = std::env::var(process::CHILD) {
        return child::main(&program, &std::env::args().skip(1).collect::<Vec<_>>());
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let groups = [("signals", signals::TESTS), ("endings", endings::TESTS), ("system", system::TESTS)];
    let all =
        groups.iter().flat_map(|(group, tests)| tests.iter().map(move |(name, f)| (format!("{group}::{name}"), f)));
    let chosen: Vec<_> =
        all.filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f))).collect();
    let mut failed = Vec::new();
    println!("\nrunning {} tests", chosen.len());
    for (name, test) in &chosen {
        let passed = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    let (word, bad) = if failed.is_empty() { ("ok", 0) } else { ("FAILED", failed.len()) };
    println!("\ntest result: {word}. {} passed; {bad} failed\n", chosen.len() - bad);
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
