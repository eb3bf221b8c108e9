//! What is known about a region's file: one state, one sentence that says what it means and what to do.

use crate::people::{Barrier, User};
use crate::settings::units::ByteSize;
use shm_proto::raw::map::MAX_REGION_BYTES;
use shm_proto::{Access, MapError, Region};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// How it stands with the file of a region. Everything but `Ready` is a reason to wait.
#[derive(Clone, Debug)]
pub enum RegionState {
    /// There is no such file (yet).
    Absent {
        /// The path.
        path: PathBuf,
        /// The first directory on the way that does not exist, if it is not just the file.
        missing_dir: Option<PathBuf>,
    },
    /// It was there and was deleted. A region that was mapped before still shows the last bytes.
    Gone {
        /// The path.
        path: PathBuf,
    },
    /// The file is there, but this user may not open it.
    NoPermission {
        /// The path.
        path: PathBuf,
        /// What is wanted of it.
        access: Access,
        /// Who stands in the way; nothing if it vanished while it was looked at.
        barrier: Option<Box<Barrier>>,
    },
    /// A directory, socket, foreign device or the like.
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The file has no bytes (yet).
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// The file is smaller than what the caller can use.
    TooSmall {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The least that can be used, in bytes.
        needed: u64,
    },
    /// The file is larger than any protocol can address.
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// The system refused for a reason of its own. It is tried again.
    Failed {
        /// The path.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Mapped. [`Region::identity`] tells which file.
    Ready(Region),
}

impl RegionState {
    /// Tries to map `path` and says how it stands. `needed`: the least number of bytes that is of use.
    ///
    /// Blocks for the system calls only.
    pub fn open(path: &Path, access: Access, needed: u64) -> RegionState {
        let path = path.to_owned();
        // Opening a pipe would be noticed at its other end, so look before.
        if fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo()) {
            return RegionState::WrongKind { path, kind: "a named pipe" };
        }
        match Region::open(&path, access) {
            Ok(region) if region.len() < needed => RegionState::TooSmall { path, len: region.len(), needed },
            Ok(region) => RegionState::Ready(region),
            Err(MapError::Missing { path }) => {
                let missing_dir = first_missing_dir(&path);
                RegionState::Absent { path, missing_dir }
            }
            Err(MapError::Permission { path, access }) => {
                let barrier = Barrier::on_the_way_to(&path, &User::current()).map(Box::new);
                RegionState::NoPermission { path, access, barrier }
            }
            Err(MapError::WrongKind { path, kind }) => RegionState::WrongKind { path, kind },
            Err(MapError::Empty { path }) => RegionState::Empty { path },
            Err(MapError::TooLarge { path, len }) => RegionState::TooLarge { path, len },
            Err(MapError::Io { path, source }) if source.kind() == io::ErrorKind::NotADirectory => {
                RegionState::Absent { missing_dir: path.parent().map(Path::to_owned), path }
            }
            Err(e) => {
                let cause = std::error::Error::source(&e).map(|cause| format!(": {cause}")).unwrap_or_default();
                RegionState::Failed { path, reason: format!("{e}{cause}") }
            }
        }
    }

    /// The mapped region, if it is ready.
    pub fn region(&self) -> Option<&Region> {
        match self {
            RegionState::Ready(region) => Some(region),
            _ => None,
        }
    }

    /// One word for reports: `absent`, `ready`, …
    pub fn name(&self) -> &'static str {
        match self {
            RegionState::Absent { .. } => "absent",
            RegionState::Gone { .. } => "gone",
            RegionState::NoPermission { .. } => "no-permission",
            RegionState::WrongKind { .. } => "wrong-kind",
            RegionState::Empty { .. } => "empty",
            RegionState::TooSmall { .. } => "too-small",
            RegionState::TooLarge { .. } => "too-large",
            RegionState::Failed { .. } => "failed",
            RegionState::Ready(_) => "ready",
        }
    }

    /// One plain sentence for the user: how it stands and what to do.
    pub fn sentence(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{}: {remedy}", self.situation()),
            None => self.situation(),
        }
    }

    /// How it stands: the first half of the sentence.
    pub fn situation(&self) -> String {
        match self {
            RegionState::Absent { path, missing_dir: None } => format!("waiting for {}", path.display()),
            RegionState::Absent { path, missing_dir: Some(dir) } => {
                format!("waiting for {} (there is no directory {} yet)", path.display(), dir.display())
            }
            RegionState::Gone { path } => format!("{} was deleted", path.display()),
            RegionState::NoPermission { path, access, barrier } => {
                let wanted = match access {
                    Access::ReadOnly => "reading",
                    Access::ReadWrite => "reading and writing",
                };
                let who = |b: &Barrier| format!(" ({}, and you are {})", b.describe(), User::current().describe());
                let who = barrier.as_deref().map(who).unwrap_or_default();
                format!("no permission to open {} for {wanted}{who}", path.display())
            }
            RegionState::WrongKind { path, kind } => format!("{} is {kind}, not shared memory", path.display()),
            RegionState::Empty { path } => format!("{} is still empty", path.display()),
            RegionState::TooSmall { path, len, needed } => {
                format!("{} has only {}, at least {} are needed", path.display(), ByteSize(*len), ByteSize(*needed))
            }
            RegionState::TooLarge { path, len } => format!(
                "{} has {}, more than the {} that can be addressed",
                path.display(),
                ByteSize(*len),
                ByteSize(MAX_REGION_BYTES)
            ),
            RegionState::Failed { reason, .. } => format!("{reason}; trying again"),
            RegionState::Ready(region) => format!("the shared memory is open, {}", ByteSize(region.len())),
        }
    }

    /// What the user can do about it: the second half of the sentence. Nothing when it is ready or nobody knows.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            RegionState::Absent { path, missing_dir: None } if is_kvmfr(path) => {
                "load its kernel module (sudo modprobe kvmfr static_size_mb=64), or pass the right path".into()
            }
            RegionState::Absent { .. } => "start the VM (it creates the file), or pass the right path".into(),
            RegionState::Gone { .. } => "start the VM again (it creates the file anew)".into(),
            RegionState::NoPermission { path, access, barrier } => match barrier {
                Some(barrier) => barrier.fix(&User::current(), *access),
                None => format!("see who may: ls -l {}", path.display()),
            },
            RegionState::WrongKind { .. } => {
                "pass the file of the VM's ivshmem device, or remove what is in its place".into()
            }
            RegionState::Empty { .. } => "start the VM, which gives it its size".into(),
            RegionState::TooSmall { .. } => "give the VM's ivshmem device a larger size, or pass the right path".into(),
            RegionState::TooLarge { .. } => "pass the file of the VM's ivshmem device".into(),
            RegionState::Failed { .. } | RegionState::Ready(_) => return None,
        })
    }
}

fn is_kvmfr(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.starts_with("/dev/kvmfr"))
}

fn first_missing_dir(path: &Path) -> Option<PathBuf> {
    let dirs = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    dirs.take_while(|dir| !dir.exists()).last().map(Path::to_owned)
}
