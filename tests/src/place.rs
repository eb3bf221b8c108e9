//! Places for a test's files: a private folder, and names in `/dev/shm` that nobody else uses. Gone when dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the name of every file starts with that a test makes in `/dev/shm` or in the folder for temporary files.
pub const PREFIX: &str = "rx-test-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name in `/dev/shm`, unique on this machine. The file need not exist; dropping the value removes it.
#[derive(Debug)]
pub struct ShmName {
    path: PathBuf,
}

impl ShmName {
    /// A new name; `what` makes it readable.
    pub fn new(what: &str) -> ShmName {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        ShmName { path: PathBuf::from(format!("/dev/shm/{PREFIX}{}-{n}-{what}", std::process::id())) }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ShmName {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A private folder (mode 0700) with a short path, so that sockets fit in it.
///
/// # Panics
/// If it cannot be made.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a folder for temporary files")
}

/// What this process has left behind in `/dev/shm`, by name. Other test processes may be running: theirs do not count.
pub fn left_in_shm() -> Vec<String> {
    let mine = format!("{PREFIX}{}-", std::process::id());
    let Ok(entries) = std::fs::read_dir("/dev/shm") else { return Vec::new() };
    entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with(&mine)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_used_once_and_its_file_goes_with_it() {
        let (a, b) = (ShmName::new("same"), ShmName::new("same"));
        assert_ne!(a.path(), b.path());
        std::fs::write(a.path(), b"x").unwrap();
        let path = a.path().to_owned();
        drop(a);
        assert!(!path.exists());
    }
}
