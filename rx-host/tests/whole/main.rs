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
    let wanted = Wanted::from_args();
    let groups = [("signals", signals::TESTS), ("endings", endings::TESTS), ("system", system::TESTS)];
    let all =
        groups.iter().flat_map(|(group, tests)| tests.iter().map(move |(name, f)| (format!("{group}::{name}"), f)));
    let chosen: Vec<_> = all.filter(|(name, _)| wanted.includes(name)).collect();
    if wanted.list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
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

/// What of libtest's command line has a meaning here.
#[derive(Default)]
struct Wanted {
    names: Vec<String>,
    skipped: Vec<String>,
    list: bool,
}

impl Wanted {
    fn from_args() -> Wanted {
        let mut wanted = Wanted::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => wanted.list = true,
                "--skip" => wanted.skipped.extend(args.next()),
                "--test-threads" | "--format" | "--color" => drop(args.next()),
                flag if flag.starts_with('-') => {}
                _ => wanted.names.push(arg),
            }
        }
        wanted
    }

    fn includes(&self, name: &str) -> bool {
        let any = |parts: &[String]| parts.iter().any(|part| name.contains(part));
        (self.names.is_empty() || any(&self.names)) && !any(&self.skipped)
    }
}
