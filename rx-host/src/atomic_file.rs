//! Files that are there whole or not at all: `--stats`, `--screenshot`, a config that is written.
//!
//! The bytes go to a temporary file in the same directory, which takes the name when it is complete. Whatever goes wrong
//! (no space, no permission, a crash), the file that had the name before is still there, unchanged. A name that leads to
//! a device or a pipe (`/dev/stdout`, `/dev/null`) is written to directly, since it cannot be replaced.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Readable and writable for everyone whom the umask lets: what `open` gives to other programs' files.
const NEW_FILE_MODE: u32 = 0o666;

/// Why a file could not be written. Each variant is a different thing for the user to do.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The directory does not exist. It is not made: a misspelt path would be worse.
    #[error("cannot write {path}: {dir} does not exist")]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Its directory.
        dir: PathBuf,
    },
    /// This user may not make files there, or the file system is read-only.
    #[error("cannot write {path}: no permission in {dir}")]
    NoPermission {
        /// The file.
        path: PathBuf,
        /// Its directory.
        dir: PathBuf,
    },
    /// The disk, the quota or the limit on file sizes is full. What was there before is kept.
    #[error("cannot write {path}: no space left")]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// The name is that of a directory.
    #[error("cannot write {path}: it is a directory")]
    IsDirectory {
        /// The name.
        path: PathBuf,
    },
    /// Anything else the system said.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl WriteError {
    fn new(path: &Path, source: io::Error) -> WriteError {
        let dir = directory_of(path).to_owned();
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => WriteError::NoSpace { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => WriteError::NoPermission { path, dir },
            ErrorKind::NotFound | ErrorKind::NotADirectory => WriteError::NoDirectory { path, dir },
            ErrorKind::IsADirectory => WriteError::IsDirectory { path },
            _ => WriteError::Io { path, source },
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            WriteError::NoDirectory { dir, .. } => format!("make the directory: mkdir -p {}", dir.display()),
            WriteError::NoPermission { dir, .. } => {
                format!("choose a directory of your own, or see who may write there: ls -ld {}", dir.display())
            }
            WriteError::NoSpace { path } => {
                format!("make room or choose another disk; see: df -h {}", directory_of(path).display())
            }
            WriteError::IsDirectory { path } => format!("name a file, such as {}", path.join("out").display()),
            WriteError::Io { path, .. } => {
                format!("try another place than {}", directory_of(path).display())
            }
        }
    }
}

/// Writes the file at `path`: all that `content` writes, or nothing.
///
/// An old file keeps its permission bits; a symbolic link stays a link. Blocks for the disk: the bytes are handed to it
/// before the name changes. Not for real-time threads.
///
/// # Errors
/// See [`WriteError`]. An error that `content` returns comes back as [`WriteError::Io`], if it is not of the system.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let told = |source| WriteError::new(path, source);
    match target(path).map_err(told)? {
        Target::Replace { path: real, mode } => replace(&real, mode, content).map_err(told),
        Target::Into(file) => into_file(file, content).map_err(told),
    }
}

/// Whether [`write()`] has a chance: for a program that will write only at its end, and should fail at its start.
/// Leaves nothing behind.
///
/// # Errors
/// What [`write()`] would fail with.
pub fn check(path: &Path) -> Result<(), WriteError> {
    let told = |source| WriteError::new(path, source);
    if let Target::Replace { path: real, .. } = target(path).map_err(told)? {
        temporary(&real, NEW_FILE_MODE).map_err(told)?;
    }
    Ok(())
}

enum Target {
    /// A regular file, or none yet.
    Replace { path: PathBuf, mode: u32 },
    /// A device or a pipe.
    Into(File),
}

fn target(path: &Path) -> io::Result<Target> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(Errno::ISDIR.into()),
        Ok(meta) if meta.is_file() => {
            // Of the mode only what chmod sets for reading and writing; never a set-user-id bit.
            let mode = meta.permissions().mode() & 0o777;
            Ok(Target::Replace { path: fs::canonicalize(path)?, mode })
        }
        Ok(_) => open_special(path).map(Target::Into),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Target::Replace { path: path.to_owned(), mode: NEW_FILE_MODE }),
        Err(e) => Err(e),
    }
}

/// Opens a device or a pipe without waiting for a reader; from then on writes block.
fn open_special(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let now = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, now - OFlags::NONBLOCK)?;
    Ok(file)
}

fn temporary(path: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory_of(path))
        // The crate puts the temporary name around what the system said, which would only confuse.
        .map_err(|e| io::Error::from(e.kind()))
}

fn replace(path: &Path, mode: u32, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = temporary(path, mode)?;
    let mut out = BufWriter::new(file.as_file_mut());
    content(&mut out)?;
    out.flush()?;
    drop(out);
    if mode != NEW_FILE_MODE {
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn into_file(file: File, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    content(&mut out)?;
    out.flush()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        write(&path, |out| out.write_all(b"one")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        write(&path, |out| out.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(names_in(dir.path()), ["out.json"]);
    }

    #[test]
    fn a_failure_half_way_keeps_the_old_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.png");
        fs::write(&path, b"old").unwrap();
        let e = write(&path, |out| {
            out.write_all(&[0; 100_000])?;
            Err(io::Error::other("the encoder gave up"))
        });
        assert!(matches!(e, Err(WriteError::Io { .. })), "{e:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(dir.path()), ["out.png"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), |out| out.write_all(b"away")).unwrap();
        let e = write(Path::new("/dev/full"), |out| out.write_all(b"full"));
        assert!(matches!(e, Err(WriteError::NoSpace { .. })), "{e:?}");
    }

    #[test]
    fn every_wrong_place_has_its_own_error_and_check_finds_it_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        let e = check(&dir.path().join("none/out")).unwrap_err();
        assert!(matches!(&e, WriteError::NoDirectory { .. }), "{e:?}");
        assert!(e.hint().starts_with("make the directory: mkdir -p /"), "{}", e.hint());
        assert!(matches!(check(&file.join("out")), Err(WriteError::NoDirectory { .. })));
        assert!(matches!(check(dir.path()), Err(WriteError::IsDirectory { .. })));
        assert!(matches!(check(Path::new("/")), Err(WriteError::IsDirectory { .. })));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(check(&fifo), Err(WriteError::Io { .. })), "a pipe without a reader is not waited for");
        let e = write(Path::new("/proc/out"), |out| out.write_all(b"x")).unwrap_err();
        assert!(matches!(e, WriteError::NoDirectory { .. } | WriteError::NoPermission { .. }), "{e:?}");
        check(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"x");
        assert_eq!(names_in(dir.path()).len(), 2);
    }

    #[test]
    fn what_the_system_says_becomes_something_to_do() {
        let cases = [
            (Errno::NOSPC, "cannot write /a/b: no space left"),
            (Errno::DQUOT, "cannot write /a/b: no space left"),
            (Errno::FBIG, "cannot write /a/b: no space left"),
            (Errno::ROFS, "cannot write /a/b: no permission in /a"),
            (Errno::ACCESS, "cannot write /a/b: no permission in /a"),
            (Errno::IO, "cannot write /a/b"),
        ];
        for (errno, text) in cases {
            let e = WriteError::new(Path::new("/a/b"), errno.into());
            assert_eq!(e.to_string(), text);
            assert!(e.hint().contains("/a"), "{}", e.hint());
        }
    }
}
