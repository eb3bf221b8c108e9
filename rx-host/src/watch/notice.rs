//! Being told by the kernel (inotify) that something happened to a path: on the file itself, on its directory, or, while
//! that does not exist, on the nearest directory above. A mere hint to look again; whoever relies on it alone loses.

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What is told about names in a directory. Not writes: in `/dev` every write to any device would be told.
const OF_DIRECTORY: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// What is told about the file: a new size is a modification. Stores through a mapping are not told.
const OF_FILE: WatchMask =
    WatchMask::MODIFY.union(WatchMask::ATTRIB).union(WatchMask::DELETE_SELF).union(WatchMask::MOVE_SELF);

/// Room for a good number of events with long names in one read.
const BUFFER_BYTES: usize = 4096;

/// Reads in one go; more events than fit are met at the next look.
const READS_AT_MOST: usize = 16;

#[derive(Debug)]
pub(super) struct Notices {
    inotify: Inotify,
    directory: Option<Watched>,
    file: Option<WatchDescriptor>,
}

#[derive(Debug, PartialEq)]
struct Watched {
    descriptor: WatchDescriptor,
    /// The name in this directory that leads to the path.
    awaited: Option<OsString>,
}

impl Notices {
    /// Nothing if the user's inotify instances or the descriptors are used up.
    pub(super) fn new() -> Option<Notices> {
        Inotify::init().ok().map(|inotify| Notices { inotify, directory: None, file: None })
    }

    /// Watches what exists now on the way to `path`. Cheap when nothing changed: two system calls.
    pub(super) fn aim(&mut self, path: &Path) {
        let mut watches = self.inotify.watches();
        let mut awaited = path.file_name().map(OsString::from);
        let mut directory = None;
        for dir in path.ancestors().skip(1) {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            if let Ok(descriptor) = watches.add(dir, OF_DIRECTORY) {
                directory = Some(Watched { descriptor, awaited });
                break;
            }
            awaited = dir.file_name().map(OsString::from);
        }
        let file = watches.add(path, OF_FILE).ok();
        let old = [self.directory.take().map(|w| w.descriptor), self.file.take()];
        let new = [directory.as_ref().map(|w| &w.descriptor), file.as_ref()];
        for descriptor in old.into_iter().flatten() {
            if !new.contains(&Some(&descriptor)) {
                // Already gone with its file, as often as not.
                let _ = watches.remove(descriptor);
            }
        }
        (self.directory, self.file) = (directory, file);
    }

    /// Takes all that was told. Whether any of it may concern the path.
    pub(super) fn take(&mut self) -> bool {
        let mut buffer = [0; BUFFER_BYTES];
        let mut concerned = false;
        for _ in 0..READS_AT_MOST {
            match self.inotify.read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        let awaited = self.directory.as_ref().and_then(|w| w.awaited.as_deref());
                        concerned |= event.name.is_none()
                            || event.name == awaited
                            || event.mask.intersects(EventMask::Q_OVERFLOW | EventMask::IGNORED);
                    }
                }
                Err(_) => break,
            }
        }
        concerned
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
