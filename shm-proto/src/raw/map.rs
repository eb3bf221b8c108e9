//! Mapping a region: a file in `/dev/shm`, a memfd, a PCI resource file, or a `/dev/kvmfr*` device.
//!
//! The mapped length is taken from the file (or, for the kvmfr device, from its size ioctl) once and never changes. A
//! file that grows later needs a new mapping; one that shrinks marks the region as gone.

use super::fault;
use crate::span::{AccessError, Span};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Asks a kvmfr device for its size in bytes. Source: the kvmfr kernel module's user interface.
const KVMFR_GET_SIZE: libc::c_ulong = 0x7544;

/// The most that is mapped: 4 GiB, since every protocol here counts bytes in 32 bits.
pub const MAX_REGION_BYTES: u64 = 1 << 32;

/// What we may do to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only look (Scream).
    ReadOnly,
    /// Look and write (LGMP needs it to subscribe and to acknowledge).
    ReadWrite,
}

/// Which file a region maps. Two regions with equal identity show the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes (of a kvmfr device: what it told).
    pub len: u64,
}

/// Why a region could not be mapped. Each variant is a different thing for the user to do.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// There is no such file yet. Waiting helps: the VM creates it when it starts.
    #[error("{path} does not exist")]
    Missing {
        /// The path tried.
        path: PathBuf,
    },
    /// The file is there, but this user may not open it. Waiting does not help; a group or an udev rule does.
    #[error("no permission to open {path} for {}", access_words(*access))]
    Permission {
        /// The path tried.
        path: PathBuf,
        /// What was asked for.
        access: Access,
    },
    /// A directory, socket or the like.
    #[error("{path} is {kind}, not a shared-memory file")]
    WrongKind {
        /// The path tried.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The file has no bytes (yet).
    #[error("{path} is empty")]
    Empty {
        /// The path tried.
        path: PathBuf,
    },
    /// Larger than any protocol here can address.
    #[error("{path} has {len} bytes, more than the {MAX_REGION_BYTES} that can be addressed")]
    TooLarge {
        /// The path tried.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// More regions at once than the fault guard has places for.
    #[error("more than {} regions are mapped at once", fault::MAX_REGIONS)]
    TooMany,
    /// Anything else the system said.
    #[error("cannot map {path}")]
    Io {
        /// The path tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn access_words(access: Access) -> &'static str {
    match access {
        Access::ReadOnly => "reading",
        Access::ReadWrite => "reading and writing",
    }
}

/// A mapped region. Clones share one mapping, which ends with the last of them.
#[derive(Clone)]
pub struct Region {
    map: Arc<Mapping>,
}

struct Mapping {
    // Declared first: the guard lets go before the mapping does.
    guard: fault::Guarded,
    raw: MmapRaw,
    access: Access,
    identity: FileIdentity,
}

// SAFETY: `MmapRaw` is a pointer and a length; nothing in it belongs to one thread. Foreign: every access through it
// is volatile or assembly and may race.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps the file or kvmfr device at `path`.
    ///
    /// Blocks for the system calls only: a FIFO or a device that waits is refused, not waited for.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn open(path: &Path, access: Access) -> Result<Region, MapError> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
            .open(path)
            .map_err(|source| open_error(path, access, source))?;
        Region::from_file(&file, path, access)
    }

    /// Maps an open file; `path` is only for messages.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn from_file(file: &File, path: &Path, access: Access) -> Result<Region, MapError> {
        let io = |source| MapError::Io { path: path.to_owned(), source };
        let meta = file.metadata().map_err(io)?;
        let kind = meta.file_type();
        let len = if kind.is_file() {
            meta.len()
        } else if kind.is_char_device() {
            kvmfr_len(file).ok_or(MapError::WrongKind { path: path.to_owned(), kind: "a device other than kvmfr" })?
        } else {
            let kind = if kind.is_dir() {
                "a directory"
            } else if kind.is_fifo() {
                "a named pipe"
            } else if kind.is_block_device() {
                "a block device"
            } else {
                "a socket"
            };
            return Err(MapError::WrongKind { path: path.to_owned(), kind });
        };
        if len == 0 {
            return Err(MapError::Empty { path: path.to_owned() });
        }
        if len > MAX_REGION_BYTES {
            return Err(MapError::TooLarge { path: path.to_owned(), len });
        }
        let mut options = MmapOptions::new();
        options.len(len as usize);
        let raw = match access {
            Access::ReadOnly => options.map_raw_read_only(file),
            Access::ReadWrite => options.map_raw(file),
        }
        .map_err(io)?;
        let guard = fault::Guarded::new(raw.as_ptr().addr(), raw.len()).ok_or(MapError::TooMany)?;
        let identity = FileIdentity { device: meta.dev(), inode: meta.ino(), len };
        Ok(Region { map: Arc::new(Mapping { guard, raw, access, identity }) })
    }

    /// Makes (or resizes) the file at `path` to `len` bytes, readable and writable by the owner and the group, and maps
    /// it. For simulated guests and producers.
    ///
    /// # Errors
    /// See [`MapError`]. A length of 0 is [`MapError::Empty`].
    pub fn create(path: &Path, len: u64) -> Result<Region, MapError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
            .open(path)
            .map_err(|source| open_error(path, Access::ReadWrite, source))?;
        if len > MAX_REGION_BYTES {
            return Err(MapError::TooLarge { path: path.to_owned(), len });
        }
        file.set_len(len).map_err(|source| MapError::Io { path: path.to_owned(), source })?;
        Region::from_file(&file, path, Access::ReadWrite)
    }

    /// A new region of `len` bytes without a name in the file system. For demos and tests.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn memfd(name: &str, len: u64) -> Result<Region, MapError> {
        let path = PathBuf::from(format!("memfd:{name}"));
        let file = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|e| MapError::Io { path: path.clone(), source: e.into() })?;
        file.set_len(len).map_err(|source| MapError::Io { path: path.clone(), source })?;
        Region::from_file(&file, &path, Access::ReadWrite)
    }

    /// Length in bytes, as it was when the region was mapped.
    pub fn len(&self) -> u64 {
        self.map.raw.len() as u64
    }

    /// Always false: an empty file is not mapped.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What we may do to it.
    pub fn access(&self) -> Access {
        self.map.access
    }

    /// Which file this is.
    pub fn identity(&self) -> FileIdentity {
        self.map.identity
    }

    /// Whether the file shrank under the mapping. From then on every byte reads as zero; open the file anew.
    pub fn is_gone(&self) -> bool {
        self.map.guard.is_gone()
    }

    /// An error once [`Region::is_gone`]. Look after a group of word accesses, which cannot fail by themselves.
    ///
    /// # Errors
    /// [`AccessError::Gone`].
    pub fn check_alive(&self) -> Result<(), AccessError> {
        if self.is_gone() { Err(AccessError::Gone) } else { Ok(()) }
    }

    /// The `len` bytes from `offset` on.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`].
    pub fn span(&self, offset: u64, len: u64) -> Result<Span<'_>, AccessError> {
        Span::new(self, offset, len)
    }

    /// All bytes.
    pub fn whole(&self) -> Span<'_> {
        Span::new(self, 0, self.len()).unwrap_or_else(|_| unreachable!("the whole region is inside itself"))
    }

    /// The address of `len` bytes at `offset`: the one place where *In bounds* is established.
    pub(super) fn at(&self, offset: usize, len: usize) -> Result<*mut u8, AccessError> {
        let limit = self.map.raw.len();
        match offset.checked_add(len) {
            Some(end) if end <= limit => Ok(self.map.raw.as_mut_ptr().wrapping_add(offset)),
            _ => Err(AccessError::OutOfBounds { offset: offset as u64, len: len as u64, limit: limit as u64 }),
        }
    }

    /// As [`Region::at`], and stores are allowed: where *Writable* is established.
    pub(super) fn at_writable(&self, offset: usize, len: usize) -> Result<*mut u8, AccessError> {
        match self.map.access {
            Access::ReadWrite => self.at(offset, len),
            Access::ReadOnly => Err(AccessError::ReadOnly),
        }
    }
}

impl core::fmt::Debug for Region {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Region")
            .field("access", &self.map.access)
            .field("identity", &self.map.identity)
            .field("gone", &self.is_gone())
            .finish()
    }
}

fn open_error(path: &Path, access: Access, source: io::Error) -> MapError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => MapError::Missing { path },
        io::ErrorKind::PermissionDenied => MapError::Permission { path, access },
        io::ErrorKind::IsADirectory => MapError::WrongKind { path, kind: "a directory" },
        _ if source.raw_os_error() == Some(libc::ENXIO) => MapError::WrongKind { path, kind: "a named pipe or socket" },
        _ => MapError::Io { path, source },
    }
}

/// The size that a kvmfr device tells, or nothing if this device does not know the question.
fn kvmfr_len(file: &File) -> Option<u64> {
    // SAFETY: the descriptor is open for the call, and this request takes no pointer: it answers by return value.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), KVMFR_GET_SIZE, 0) };
    u64::try_from(answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Purpose;

    #[test]
    fn every_wrong_file_has_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(matches!(Region::open(&path("none"), Access::ReadOnly), Err(MapError::Missing { .. })));
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let e = Region::open(dir.path(), access).unwrap_err();
            assert!(matches!(e, MapError::WrongKind { kind: "a directory", .. }), "{e:?}");
        }
        File::create(path("empty")).unwrap();
        assert!(matches!(Region::open(&path("empty"), Access::ReadOnly), Err(MapError::Empty { .. })));
        File::create(path("huge")).unwrap().set_len(MAX_REGION_BYTES + 1).unwrap();
        assert!(matches!(Region::open(&path("huge"), Access::ReadOnly), Err(MapError::TooLarge { .. })));
        let e = Region::open(Path::new("/dev/null"), Access::ReadOnly).unwrap_err();
        assert_eq!(e.to_string(), "/dev/null is a device other than kvmfr, not a shared-memory file");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert!(matches!(Region::open(&path("socket"), Access::ReadOnly), Err(MapError::WrongKind { .. })));
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let e = Region::open(&path("fifo"), Access::ReadOnly).unwrap_err();
        assert!(matches!(e, MapError::WrongKind { kind: "a named pipe", .. }), "{e:?}");
    }

    #[test]
    fn a_file_that_shrinks_is_reported_and_reads_as_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let writer = Region::create(&path, 1 << 20).unwrap();
        writer.whole().fill(0xEE).unwrap();
        let reader = Region::open(&path, Access::ReadOnly).unwrap();
        let mut bytes = vec![0; 1 << 20];
        reader.whole().copy_to(&mut bytes, Purpose::HandOff).unwrap();
        assert!(bytes.iter().all(|b| *b == 0xEE));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert!(!reader.is_gone(), "nobody looked yet");
        for purpose in [Purpose::Read, Purpose::HandOff] {
            assert_eq!(reader.whole().copy_to(&mut bytes, purpose), Err(AccessError::Gone));
        }
        assert!(reader.is_gone());
        assert_eq!(reader.whole().read_word::<u32>(8192).unwrap().load_acquire(), 0);
        assert_eq!(writer.whole().fill(1), Err(AccessError::Gone));
        // The path is good again as soon as somebody makes it grow.
        Region::create(&path, 8192).unwrap();
        let again = Region::open(&path, Access::ReadOnly).unwrap();
        assert_eq!(again.len(), 8192);
        again.whole().copy_to(&mut vec![0; 8192], Purpose::Read).unwrap();
    }

    #[test]
    fn a_word_in_a_vanished_page_is_zero_and_the_region_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let region = Region::create(&path, 1 << 16).unwrap();
        let word = region.whole().word::<u32>(1 << 15).unwrap();
        word.store_release(7);
        assert_eq!(word.load_acquire(), 7);
        File::create(&path).unwrap();
        assert_eq!(word.load_acquire(), 0);
        assert_eq!(region.check_alive(), Err(AccessError::Gone));
    }

    #[test]
    fn guards_are_given_back() {
        for _ in 0..10 * fault::MAX_REGIONS {
            Region::memfd("again", 4096).unwrap();
        }
    }

    #[test]
    fn a_read_only_region_refuses_stores() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        Region::create(&path, 4096).unwrap();
        let region = Region::open(&path, Access::ReadOnly).unwrap();
        assert_eq!(region.whole().word::<u32>(0).err(), Some(AccessError::ReadOnly));
        assert_eq!(region.whole().fill(0), Err(AccessError::ReadOnly));
    }

    #[test]
    fn identity_follows_the_file_not_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let a = Region::create(&path, 4096).unwrap();
        let b = Region::open(&path, Access::ReadOnly).unwrap();
        assert_eq!(a.identity(), b.identity());
        std::fs::remove_file(&path).unwrap();
        let c = Region::create(&path, 4096).unwrap();
        assert_ne!(a.identity(), c.identity());
    }
}
