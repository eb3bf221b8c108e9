//! Instructions of a piece of work, counted by Valgrind's callgrind: the same program runs it under the counter, once and
//! three times as often, and the difference is the work itself without start and end.
//!
//! Callgrind is asked directly. A harness around it (gungraun) would add a runner that must be installed in a matching
//! version, and macros around functions that have to be separate programs, for the one number that is needed here.

use crate::work::Work;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many times as often the longer run does the work.
const LONGER: u32 = 3;

/// Counts instructions.
#[derive(Clone, Debug)]
pub struct Counter {
    valgrind: PathBuf,
    program: PathBuf,
}

impl Counter {
    /// A counter for this program, or in words why there is none.
    ///
    /// # Errors
    /// The words.
    pub fn here() -> Result<Counter, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program does not know where it is: {e}"))?;
        Counter::of(program)
    }

    /// A counter for the rx-bench at `program`.
    ///
    /// # Errors
    /// In words, what is missing.
    pub fn of(program: PathBuf) -> Result<Counter, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join("valgrind")).find(|file| file.is_file());
        let valgrind = found.ok_or("valgrind is not installed, so no instructions were counted (package valgrind)")?;
        Ok(Counter { valgrind, program })
    }

    /// Instructions for one time of `work`.
    ///
    /// # Errors
    /// That the program cannot be run under callgrind, with what it said.
    pub fn per_unit(&self, work: &Work) -> anyhow::Result<f64> {
        let [short, long] = [work.times, work.times * LONGER].map(|times| self.count(work.name, times));
        let (short, long) = (short?, long?);
        ensure!(long > short, "{}: {long} instructions for {LONGER} times the work of {short}", work.name);
        Ok((long - short) as f64 / f64::from(work.times * (LONGER - 1)))
    }

    fn count(&self, name: &str, times: u32) -> anyhow::Result<u64> {
        let mut command = Command::new(&self.valgrind);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&self.program);
        command.args(["work", name, &times.to_string()]).stdin(Stdio::null());
        let done = command.output().with_context(|| format!("cannot start {}", shown(&self.valgrind)))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{name} under callgrind: {}\n{said}", done.status);
        collected(&said).with_context(|| format!("callgrind tells no count:\n{said}"))
    }
}

fn shown(path: &Path) -> String {
    rx_host::term::printable(&path.display().to_string()).into_owned()
}

/// The count in what callgrind says at its end: `==12== Collected : 3456`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        let said = "==7== Callgrind\nwarning: x\n==7== \n==7== Collected : 123456789\n==7== \n";
        assert_eq!(collected(said), Some(123_456_789));
        assert_eq!((collected("==7== Collected : many"), collected("")), (None, None));
    }
}
