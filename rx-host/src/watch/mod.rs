//! Following the file of a region: it appears when a VM starts, is replaced when it is started anew, grows, shrinks, is
//! deleted, changes its owner. [`RegionWatch`] tells each of these within a second and maps the region when it can.
//!
//! The kernel's notices (inotify) make it quick; looking again every two seconds makes it sure, since notices do not
//! come from every file system or through every link; where there are none at all, every half second. Whatever happens to the
//! file at whatever rate, it is looked at no more than fifty times a second.

mod notice;
mod state;

use crate::clock;
use crate::signals::Stop;
use crate::wait;
use notice::Notices;
use shm_proto::{Access, HostTime};
pub use state::RegionState;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file is looked at this often where nothing can be told.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file is looked at this often even if nothing was told.
const SURE_EVERY: Duration = Duration::from_secs(2);

/// A wait may end this much early.
const A_MOMENT: Duration = Duration::from_millis(5);

/// The file is looked at no more often than this, whatever is told.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// What happened to the region. The new state is in [`RegionWatch::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionEvent {
    /// It can be used now, and could not before.
    Appeared,
    /// Another file is in its place, or the mapping had to be made anew: take the new region.
    Replaced,
    /// The same file is larger: take the new region.
    Grown,
    /// The same file is smaller: take the new region.
    Shrunk,
    /// It cannot be used any more: deleted, emptied, or replaced by something unusable.
    Lost,
    /// It could not be used before either, but the reason is another.
    OtherReason,
}

/// Follows one path. See the module.
#[derive(Debug)]
pub struct RegionWatch {
    path: PathBuf,
    access: Access,
    needed: u64,
    notices: Option<Notices>,
    state: RegionState,
    looked: Option<HostTime>,
    listened: HostTime,
}

impl RegionWatch {
    /// A watch over `path`, to be mapped for `access` as soon as it has `needed` bytes. The first [`RegionWatch::poll`]
    /// or [`RegionWatch::wait`] looks at it; until then it counts as absent.
    ///
    /// Cannot fail: without inotify it follows within half a second.
    pub fn new(path: &Path, access: Access, needed: u64) -> RegionWatch {
        RegionWatch {
            path: path.to_owned(),
            access,
            needed,
            notices: Notices::new(),
            state: RegionState::Absent { path: path.to_owned(), missing_dir: None },
            looked: None,
            listened: HostTime::ZERO,
        }
    }

    /// How it stands, as of the last look.
    pub fn state(&self) -> &RegionState {
        &self.state
    }

    /// The path that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks if it is time to, and tells what happened since. Call it at least twice a second.
    ///
    /// Does not block. Mostly a comparison of times; a system call at most every 20 ms.
    pub fn poll(&mut self, now: HostTime) -> Option<RegionEvent> {
        if self.looked.is_some() && now < self.rests_until() {
            return None;
        }
        self.listened = now;
        let told = self.notices.as_mut().is_some_and(Notices::take);
        if !told && self.next_look().is_some_and(|at| now < at) {
            return None;
        }
        self.looked = Some(now);
        self.look()
    }

    /// Waits until something happens, for `timeout` at most, or until a stop is asked for.
    ///
    /// Blocks.
    pub fn wait(&mut self, timeout: Duration, stop: &Stop) -> Option<RegionEvent> {
        self.wait_beside(timeout, stop, [stop.as_fd(); 2])
    }

    /// As [`RegionWatch::wait`], and no longer than until one of `others` can be read.
    ///
    /// Blocks.
    pub fn wait_beside(&mut self, timeout: Duration, stop: &Stop, others: [BorrowedFd<'_>; 2]) -> Option<RegionEvent> {
        let [first, second] = others;
        let deadline = clock::now() + timeout;
        loop {
            let now = clock::now();
            if let Some(event) = self.poll(now) {
                return Some(event);
            }
            // Whoever has just looked, a moment before the time is over, need not wake up once more for that moment.
            let looked = self.looked == Some(now) && deadline.since(now) < A_MOMENT;
            if looked || now >= deadline || stop.is_requested() {
                return None;
            }
            let rests_until = self.rests_until().min(deadline);
            let until = self.next_look().map_or(rests_until, |at| at.max(rests_until)).min(deadline);
            match &self.notices {
                Some(notices) => {
                    let [_, told, a, b] = wait::until([stop.as_fd(), notices.as_fd(), first, second], until);
                    if told {
                        // Told again so soon: a flood is met once for every rest.
                        stop.wait_until(rests_until);
                    }
                    if a || b {
                        return self.poll(clock::now());
                    }
                }
                None => {
                    let [_, a, b] = wait::until([stop.as_fd(), first, second], until);
                    if a || b {
                        return self.poll(clock::now());
                    }
                }
            }
        }
    }

    /// Until when nothing is asked of the system.
    fn rests_until(&self) -> HostTime {
        self.listened + LOOK_GAP
    }

    /// When the file is looked at without being told; nothing if at once.
    fn next_look(&self) -> Option<HostTime> {
        // A mapping that broke is a notice by itself, and the first look is due at once.
        let broken = self.state.region().is_some_and(|r| r.is_gone());
        let every = if self.notices.is_some() { SURE_EVERY } else { LOOK_EVERY };
        self.looked.filter(|_| !broken).map(|looked| looked + every)
    }

    fn look(&mut self) -> Option<RegionEvent> {
        if let Some(notices) = &mut self.notices {
            // First the watch, then the look: what happens in between is told.
            notices.aim(&self.path);
        }
        if self.is_same_file() {
            return None;
        }
        let new = RegionState::open(&self.path, self.access, self.needed);
        let event = what_happened(&self.state, &new);
        self.state = match (&self.state, new) {
            (RegionState::Ready(_) | RegionState::Gone { .. }, RegionState::Absent { path, .. }) => {
                RegionState::Gone { path }
            }
            (_, new) => new,
        };
        event
    }

    /// Whether the mapped region is still what the path leads to.
    fn is_same_file(&self) -> bool {
        let (Some(region), Ok(meta)) = (self.state.region(), std::fs::metadata(&self.path)) else {
            return false;
        };
        let id = region.identity();
        let same_len = !meta.is_file() || meta.len() == id.len;
        !region.is_gone() && (meta.dev(), meta.ino()) == (id.device, id.inode) && same_len
    }
}

fn what_happened(old: &RegionState, new: &RegionState) -> Option<RegionEvent> {
    match (old, new) {
        (RegionState::Ready(old), RegionState::Ready(new)) => {
            let (old, new) = (old.identity(), new.identity());
            let same_file = (old.device, old.inode) == (new.device, new.inode);
            Some(match new.len.cmp(&old.len) {
                core::cmp::Ordering::Greater if same_file => RegionEvent::Grown,
                core::cmp::Ordering::Less if same_file => RegionEvent::Shrunk,
                _ => RegionEvent::Replaced,
            })
        }
        (_, RegionState::Ready(_)) => Some(RegionEvent::Appeared),
        (RegionState::Ready(_), _) => Some(RegionEvent::Lost),
        (RegionState::Gone { .. }, RegionState::Absent { .. }) => None,
        _ => (old.sentence() != new.sentence()).then_some(RegionEvent::OtherReason),
    }
}

#[cfg(test)]
mod tests;
