//! What comes and goes in a folder, `/dev/input` or that of a socket, as the kernel tells it (inotify): a hint to look
//! again. Whoever relies on it alone loses, so it is looked again from time to time as well.

use super::facts::NODES;
use inotify::{Inotify, WatchMask};
use shm_proto::HostTime;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time between two looks, with the hints and without them.
const LOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));
/// Room for a good number of events with long names in one read.
const BUFFER_BYTES: usize = 4096;
/// Reads in one go.
const READS: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    inotify: Option<Inotify>,
    is_watched: bool,
    look_at: HostTime,
}

impl Folder {
    /// That of the devices. Due at once.
    pub fn new() -> Folder {
        Folder::of(Path::new(NODES))
    }

    /// The one at `path`, which need not be there. Due at once.
    pub fn of(path: &Path) -> Folder {
        let inotify = Inotify::init().ok();
        Folder { path: path.to_owned(), inotify, is_watched: false, look_at: HostTime::ZERO }
    }

    /// Whether to look now at what is there, since [`Folder::descriptor`] was ready (`is_told`) or it is time. The next
    /// look is set.
    ///
    /// Never blocks.
    pub fn take_due(&mut self, now: HostTime, is_told: bool) -> bool {
        if !is_told && now < self.look_at {
            return false;
        }
        if let Some(inotify) = &mut self.inotify {
            // What it says does not matter: all is looked at.
            let mut buffer = [0; BUFFER_BYTES];
            for _ in 0..READS {
                if inotify.read_events(&mut buffer).is_err() {
                    break;
                }
            }
        }
        // The folder of the devices comes with the first of them.
        if let Some(inotify) = &self.inotify {
            let changes = WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ATTRIB;
            self.is_watched = inotify.watches().add(&self.path, changes | WatchMask::ONLYDIR).is_ok();
        }
        self.look_at = now + if self.is_watched { LOOK.0 } else { LOOK.1 };
        true
    }

    /// When the next look is due without a hint.
    pub fn due(&self) -> HostTime {
        self.look_at
    }

    /// Readable when there is a hint.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }
}

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}
