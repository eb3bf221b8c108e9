//! Where measurements happen: scratch files in shared memory, processors to stand on, and the machine's description.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use shm_proto::Region;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The memory file system in which virtual machines put their regions.
const SHARED_MEMORY: &str = "/dev/shm";

/// A folder of files in shared memory, gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A new folder.
    ///
    /// # Errors
    /// What the system said.
    pub fn new() -> anyhow::Result<Scratch> {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("rx-bench-").tempdir_in(SHARED_MEMORY).context("no scratch files in /dev/shm")?;
        Ok(Scratch { folder })
    }

    /// A new region of `len` bytes, every page of it there, and the file behind it.
    ///
    /// # Errors
    /// What the system said.
    pub fn region(&self, name: &str, len: u64) -> anyhow::Result<(Region, File)> {
        let path = self.path(name);
        let region = Region::create(&path, len)?;
        region.whole().fill(0x5A)?;
        Ok((region, File::open(&path)?))
    }

    /// Where a file of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
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
    fn scratch_files_are_filled_and_leave_nothing_behind() {
        let scratch = Scratch::new().unwrap();
        let (region, file) = scratch.region("a", 10_000).unwrap();
        assert_eq!(region.whole().read_array::<1>(9_999).unwrap(), [0x5A]);
        assert_eq!(file.metadata().unwrap().len(), 10_000);
        let path = scratch.path("a");
        drop(scratch);
        assert!(!path.exists());
    }
}
