//! The file a simulated program writes into, as the command line names it.

use anyhow::Context;
use clap::Args;
use shm_proto::{Access, Region};
use std::path::PathBuf;
use std::time::Duration;

/// Where to write, and for how long.
#[derive(Debug, Args)]
pub struct Place {
    /// The file, such as /dev/shm/looking-glass or /dev/shm/scream-ivshmem; made if it is not there
    file: PathBuf,
    /// Length of the file, in bytes or with K, M, G [default: its own, or what the task needs]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    size: Option<u64>,
    /// Stop after this many seconds [default: go on until Ctrl-C]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
}

impl Place {
    /// Maps the file. One that has bytes keeps its length unless `--size` says another.
    pub fn open(&self, default_bytes: u64) -> anyhow::Result<Region> {
        let len = std::fs::metadata(&self.file).map_or(0, |meta| meta.len());
        let region = match self.size {
            Some(size) if size != len => Region::create(&self.file, size),
            _ if len == 0 => Region::create(&self.file, default_bytes),
            _ => Region::open(&self.file, Access::ReadWrite),
        };
        region.with_context(|| format!("cannot write into {}", self.file.display()))
    }

    /// The file's name, for words.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// How long to write.
    pub fn length(&self) -> Option<Duration> {
        self.seconds
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

/// A number of seconds, as a command line gives it.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let cases = [("4096", Some(4096)), ("2M", Some(2 << 20)), ("1g", Some(1 << 30)), ("x", None), ("", None)];
        for (text, value) in cases {
            assert_eq!(bytes(text).ok(), value, "{text}");
        }
        assert!(bytes("99999999999999999999").is_err() && bytes("18446744073709551615K").is_err());
    }

    #[test]
    fn times_are_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("soon").is_err());
    }
}
