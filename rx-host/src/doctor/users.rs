//! Which processes have a region mapped to write into it: whether a VM stands behind a file. Told by `/proc`, as far as
//! this user may look.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process, by number and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as short as the kernel keeps it.
    pub name: String,
}

/// Who writes to a file through a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writers {
    /// These do.
    Mapped(Vec<Process>),
    /// Nobody; but these still have an older file of the same name, which was deleted meanwhile.
    Older(Vec<Process>),
    /// Nobody among those that this user may look at; `all`: no VM of another user's runs that could have it.
    Nobody {
        /// Whether no VM was left out.
        all: bool,
    },
}

/// What one line of `/proc/PID/maps` says about the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    This,
    Older,
}

/// Looks through all processes. Blocks for some milliseconds. For the main thread.
pub fn writers(path: &Path) -> Writers {
    let inode = fs::metadata(path).ok().map(|m| m.ino());
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (mut this, mut older, mut all) = (Vec::new(), Vec::new(), true);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let maps = match fs::read_to_string(entry.path().join("maps")) {
            Ok(maps) => maps,
            Err(e) => {
                // Names are for everybody: only a VM of somebody else's could be one that was left out.
                let hidden = e.kind() == std::io::ErrorKind::PermissionDenied;
                all &= !(hidden && name_of(&entry.path()).contains("qemu"));
                continue;
            }
        };
        let found: Vec<Mapping> = maps.lines().filter_map(|line| mapping(line, &path, inode)).collect();
        let name = || name_of(&entry.path());
        if found.contains(&Mapping::This) {
            this.push(Process { pid, name: name() });
        } else if found.contains(&Mapping::Older) {
            older.push(Process { pid, name: name() });
        }
    }
    match (this.is_empty(), older.is_empty()) {
        (false, _) => Writers::Mapped(this),
        (true, false) => Writers::Older(older),
        (true, true) => Writers::Nobody { all },
    }
}

fn name_of(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned()
}

/// `address permissions offset device inode path`: a shared, writable mapping of the file, or of one that had its name.
fn mapping(line: &str, path: &Path, inode: Option<u64>) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let permissions = fields.nth(1)?;
    if !(permissions.contains('w') && permissions.ends_with('s')) {
        return None;
    }
    let number = fields.nth(2)?.parse::<u64>().ok()?;
    let start = line.find('/')?;
    let name = line.get(start..)?;
    let (name, deleted) = name.strip_suffix(" (deleted)").map_or((name, false), |name| (name, true));
    if Path::new(name) != path {
        return None;
    }
    Some(if Some(number) == inode && !deleted { Mapping::This } else { Mapping::Older })
}

impl core::fmt::Display for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::Region;

    #[test]
    fn a_line_of_the_kernel_is_this_file_an_older_one_or_another() {
        let path = Path::new("/dev/shm/x");
        let line = |rest: &str| mapping(&format!("7f0000000000-7f0000200000 {rest}"), path, Some(42));
        assert_eq!(line("rw-s 00000000 00:1a 42                   /dev/shm/x"), Some(Mapping::This));
        assert_eq!(line("rw-s 00000000 00:1a 41                   /dev/shm/x (deleted)"), Some(Mapping::Older));
        for other in [
            "r--s 00000000 00:1a 42                   /dev/shm/x",
            "rw-p 00000000 00:1a 42                   /dev/shm/x",
            "rw-s 00000000 00:1a 42                   /dev/shm/xy",
            "rw-p 00000000 00:00 0",
            "",
        ] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn a_writer_is_found_and_one_of_a_deleted_file_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let pid = std::process::id();
        fs::write(&path, [0; 4096]).unwrap();
        assert!(matches!(writers(&path), Writers::Nobody { .. }));
        fs::remove_file(&path).unwrap();
        let region = Region::create(&path, 4096).unwrap();
        let is_us = |found: &[Process]| matches!(found, [one] if one.pid == pid && !one.name.is_empty());
        assert!(matches!(writers(&path), Writers::Mapped(found) if is_us(&found)));
        fs::remove_file(&path).unwrap();
        fs::write(&path, [0; 4096]).unwrap();
        assert!(matches!(writers(&path), Writers::Older(found) if is_us(&found)));
        drop(region);
        assert!(matches!(writers(&path), Writers::Nobody { .. }));
    }
}
