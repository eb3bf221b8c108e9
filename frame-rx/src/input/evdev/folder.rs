//! What comes and goes in `/dev/input`, as the kernel tells it (inotify): a hint to look again. Whoever relies on it
//! alone loses, so it is looked again from time to time as well.

use super::facts::NODES;
use inotify::{Inotify, WatchMask};
use shm_proto::HostTime;
use std::os::fd::{AsFd, BorrowedFd};
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
    inotify: Option<Inotify>,
    is_watched: bool,
    look_at: HostTime,
}

impl Folder {
    /// Due at once.
    pub fn new() -> Folder {
        Folder { inotify: Inotify::init().ok(), is_watched: false, look_at: HostTime::ZERO }
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
        // The folder comes with the first device.
        if let Some(inotify) = &self.inotify {
            let changes = WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ATTRIB;
            self.is_watched = inotify.watches().add(NODES, changes | WatchMask::ONLYDIR).is_ok();
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
