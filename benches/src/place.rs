//! Where measurements happen: scratch files in shared memory, processors to stand on, and the machine's description.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rx_host::exit::{Explain, Failure};
use shm_proto::{Access, Region};
use std::fs::File;
use std::path::Path;

/// The memory file system in which virtual machines put their regions.
const SHARED_MEMORY: &str = "/dev/shm";

/// A new region of `len` bytes in `/dev/shm`, every page of it there, and the file behind it. The file has no name at any
/// time, so a program that is killed leaves nothing behind.
///
/// # Errors
/// [`Failure`] with exit code 2 and what is free, before anything is written, if there is no room; what the system said.
pub fn scratch(len: u64) -> anyhow::Result<(Region, File)> {
    Room::here().check(len, "scratch memory")?;
    let file = tempfile::tempfile_in(SHARED_MEMORY).or_environment(
        format!("no scratch file in {SHARED_MEMORY}"),
        "rx-bench measures where virtual machines have their regions; mount a tmpfs there",
    )?;
    file.set_len(len)?;
    let region = Region::from_file(&file, Path::new("/dev/shm (unnamed)"), Access::ReadWrite)?;
    region.whole().fill(0x5A)?;
    Ok((region, file))
}

/// What is free where regions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free bytes of `/dev/shm`, as `df` counts them. 0 where there is none.
    pub shm_bytes: u64,
    /// Bytes of memory that can be had without swapping.
    pub memory_bytes: u64,
}

impl Room {
    /// What is free now.
    pub fn here() -> Room {
        let shm_bytes = rustix::fs::statvfs(SHARED_MEMORY).map_or(0, |v| v.f_bavail.saturating_mul(v.f_frsize));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Room { shm_bytes, memory_bytes: parse_available(&meminfo).unwrap_or(u64::MAX) }
    }

    /// Whether `need_bytes` can be had, with a sixteenth to spare.
    pub fn holds(&self, need_bytes: u64) -> bool {
        need_bytes.saturating_add(need_bytes / 16) <= self.shm_bytes.min(self.memory_bytes)
    }

    /// As [`Room::holds`], as an error that says what is needed and what is free.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2.
    pub fn check(&self, need_bytes: u64, what: &str) -> Result<(), Failure> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if self.holds(need_bytes) {
            return Ok(());
        }
        let Room { shm_bytes, memory_bytes } = *self;
        Err(Failure::environment(
            format!(
                "{what} needs {} MiB, but {SHARED_MEMORY} has {} MiB free and the machine {} MiB of memory",
                mib(need_bytes),
                shm_bytes >> 20,
                memory_bytes >> 20
            ),
            format!("leave out the large modes, or `mount -o remount,size=... {SHARED_MEMORY}`"),
        ))
    }
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The processors that this process may use, in order.
pub fn processors() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
}

/// Keeps the calling thread on one processor until this is dropped. Does nothing where the system refuses.
#[derive(Debug)]
pub struct Pinned {
    before: Option<CpuSet>,
}

impl Pinned {
    /// Pins the calling thread to `processor`.
    pub fn to(processor: usize) -> Pinned {
        let before = sched_getaffinity(None).ok();
        let mut one = CpuSet::new();
        one.set(processor);
        let is_pinned = sched_setaffinity(None, &one).is_ok();
        Pinned { before: before.filter(|_| is_pinned) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // It was allowed before; if it is not any more, the thread stays where it is.
            let _ = sched_setaffinity(None, &before);
        }
    }
}

/// The date and time in UTC, as `2026-11-21 15:04`.
pub fn date() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, minutes) = ((now / 86_400) as i64, now % 86_400 / 60);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// Year, month and day, so many days after 1970-01-01. Source: Howard Hinnant, "chrono-compatible low-level date
/// algorithms": years are counted from March, so that the leap day is the last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + (month <= 2) as i64, month, day)
}

/// What the figures were measured on.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// How many of them this process may use.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This machine; parts that the system does not tell are "unknown".
    pub fn here() -> Machine {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        Machine {
            processor: or_unknown(model.map_or("", |(_, name)| name.trim())),
            processors: processors().len(),
            kernel: or_unknown(read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_ends_with_the_guard() {
        let all = processors();
        assert!(!all.is_empty());
        let pinned = Pinned::to(all[0]);
        assert_eq!(processors(), all[..1]);
        drop(pinned);
        assert_eq!(processors(), all);
    }

    #[test]
    fn scratch_memory_is_filled_and_has_no_name() {
        let (region, file) = scratch(10_000).unwrap();
        assert_eq!(region.whole().read_array::<1>(9_999).unwrap(), [0x5A]);
        let meta = file.metadata().unwrap();
        assert_eq!((meta.len(), std::os::unix::fs::MetadataExt::nlink(&meta)), (10_000, 0));
    }

    #[test]
    fn what_has_no_room_is_refused_with_what_is_free() {
        let room = Room { shm_bytes: 64 << 20, memory_bytes: 1 << 40 };
        assert!(room.holds(60 << 20) && !room.holds(64 << 20) && !room.holds(u64::MAX));
        let e = room.check(128 << 20, "3840x2160").unwrap_err();
        assert_eq!(e.exit(), rx_host::exit::Exit::Environment);
        assert!(e.to_string().starts_with("3840x2160 needs 128 MiB, but /dev/shm has 64 MiB free"), "{e}");
        assert!(scratch(1 << 50).is_err());
    }

    #[test]
    fn days_have_dates() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_778, (2026, 11, 21))]
        {
            assert_eq!(civil(days), expected);
        }
        assert_eq!(date().len(), "2026-11-21 15:04".len());
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        assert_eq!(parse_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_available(""), None);
    }
}
