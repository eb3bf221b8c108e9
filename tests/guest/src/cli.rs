//! What the simulated guest can be asked to do.

use crate::pattern::Pattern;
use crate::simulate::Simulator;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use shm_proto::{Access, HostTime, Region};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes what a guest writes into a file of shared memory, in real time, without a virtual machine.
#[derive(Debug, Parser)]
#[command(name = "rx-guest", version, max_term_width = 100)]
pub struct Cli {
    /// What to write.
    #[command(subcommand)]
    pub task: Task,
}

/// What to write.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Numbers that depend on their place, once over the whole file
    Pattern(PatternTask),
}

/// Where to write, and for how long.
#[derive(Debug, Args)]
pub struct Place {
    /// The file, such as /dev/shm/scream; made if it is not there
    file: PathBuf,
    /// Length of the file if it is made or empty, in bytes or with K, M, G
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    size: Option<u64>,
    /// Stop after this many seconds [default: go on until Ctrl-C]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
}

impl Place {
    /// Maps the file. One that exists keeps its length, unless --size says another; a PCI resource always does.
    fn open(&self, default_size: u64) -> anyhow::Result<Region> {
        let len = std::fs::metadata(&self.file).map_or(0, |meta| meta.len());
        let region = match self.size {
            Some(size) if size != len => Region::create(&self.file, size),
            _ if len == 0 => Region::create(&self.file, default_size),
            _ => Region::open(&self.file, Access::ReadWrite),
        };
        region.with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn path(&self) -> &Path {
        &self.file
    }
}

/// Options of the pattern.
#[derive(Debug, Args)]
pub struct PatternTask {
    #[command(flatten)]
    place: Place,
    /// Where the sequence of numbers starts
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

impl Task {
    /// Opens the file and gets ready to write, the first time at `now`.
    pub fn open(&self, now: HostTime) -> anyhow::Result<Box<dyn Simulator>> {
        match self {
            Task::Pattern(task) => {
                let region = task.place.open(1 << 20)?;
                Ok(Box::new(Pattern::open(task.place.path(), region, task.seed, now)))
            }
        }
    }

    /// How long to write.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Task::Pattern(task) => task.place.seconds,
        }
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is not a number of bytes, such as 2M"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too large"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, value) in
            [("4096", Some(4096)), ("2M", Some(2 << 20)), ("1g", Some(1 << 30)), ("x", None), ("", None)]
        {
            assert_eq!(bytes(text).ok(), value, "{text}");
        }
        assert!(bytes("99999999999999999999").is_err() && bytes("18446744073709551615K").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
