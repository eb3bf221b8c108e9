//! Connecting, on a thread of its own: a server that takes a client and says nothing, or an address that swallows what is
//! sent to it, may take seconds, and the input's thread has the release chord to look for meanwhile.
//!
//! The input's thread has [`Seeker`]: when to try, and whether a try is under way. [`Connector`] tries, one at a time. A socket
//! that is looked for is tried as soon as something happens in its folder.

use super::InputSettings;
use super::handle::Bell;
use super::ways::open;
use crate::input::address::InputChoice;
use crate::input::evdev::folder::Folder;
use crate::input::sink::{Sink, SinkError};
use crate::input::wire::Patience;
use core::time::Duration;
use crossbeam_channel::{Receiver, Sender, bounded};
use rx_host::clock;
use rx_host::signals::{Stop, StopOnDrop};
use shm_proto::HostTime;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// Longest time for connecting.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest time for connecting once more at the end.
pub const CONNECT_AT_END: Duration = Duration::from_millis(300);
/// Between two attempts to connect: from, and to.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A way that lasts so long is no quarrel with another client, whom each of our attempts throws out.
const GOOD: Duration = Duration::from_secs(30);
/// After a SPICE server let us go, if nothing has to be released: mostly another client took our place, since a server has
/// one at a time, and is not to be thrown out while it still says hello.
const POLITE: Duration = Duration::from_secs(1);
/// Between two attempts at least, while something happens where the socket should be.
const HURRY: Duration = Duration::from_millis(5);

/// What came of an attempt.
pub(super) type Opened = Result<Box<dyn Sink>, SinkError>;

/// Tries to connect whenever the input's thread asks for it. [`Connector::run`] is its whole life.
pub struct Connector {
    settings: InputSettings,
    orders: Receiver<Patience>,
    opened: Sender<Opened>,
    bell: Bell,
    stop: Stop,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("choice", &self.settings.choice).finish_non_exhaustive()
    }
}

impl Connector {
    /// Works until the input's thread has ended.
    ///
    /// Blocks.
    pub fn run(self) {
        let _end_together = StopOnDrop(self.stop.clone());
        while let Ok(patience) = self.orders.recv() {
            if self.opened.send(open(&self.settings, &patience)).is_err() {
                return;
            }
            self.bell.ring();
        }
    }
}

/// The input's end of the connector, and when it is to try.
pub(super) struct Seeker {
    orders: Sender<Patience>,
    opened: Receiver<Opened>,
    /// Ends an attempt under way. A stop of the program does not: it may be the way for the last releases.
    enough: StopOnDrop,
    is_under_way: bool,
    /// When to try next, unless an attempt is under way.
    at: Option<HostTime>,
    wait: Duration,
    /// When the way there is was made.
    made: Option<HostTime>,
    /// Ways one after the other that did not last.
    short: u32,
    /// The server has one client at a time, and throws out the one before.
    has_one_client: bool,
    /// Nothing short of a hint makes the next attempt come sooner.
    is_patient: bool,
    tried: HostTime,
    /// Where the socket is or will be, if it is one with a path.
    place: Option<PathBuf>,
    /// Watched while there is no way to the guest.
    folder: Option<Folder>,
    /// Folders that were watched, and not any more.
    changes: u64,
    /// The folder may have news.
    pub(super) is_told: bool,
}

/// Both ends. The first attempt is due at `at`, if at all.
///
/// # Errors
/// When the process has no descriptor left.
pub(super) fn pair(
    settings: InputSettings,
    bell: Bell,
    stop: &Stop,
    at: Option<HostTime>,
) -> io::Result<(Seeker, Connector)> {
    let ((orders, ordered), (sender, opened)) = (bounded(1), bounded(1));
    let place = settings.choice.socket().and_then(Path::parent).map(Path::to_owned);
    let has_one_client = matches!(settings.choice, InputChoice::Spice(_) | InputChoice::SpiceUsb(_));
    let connector = Connector { settings, orders: ordered, opened: sender, bell, stop: stop.clone() };
    let seeker = Seeker {
        orders,
        opened,
        enough: StopOnDrop(Stop::new()?),
        is_under_way: false,
        at,
        wait: RETRY.0,
        made: None,
        short: 0,
        has_one_client,
        is_patient: false,
        tried: HostTime::ZERO,
        place,
        folder: None,
        changes: 0,
        is_told: false,
    };
    Ok((seeker, connector))
}

impl Seeker {
    /// Somebody needs a way to the guest.
    pub fn want(&mut self, now: HostTime) {
        self.at = self.at.or(Some(now));
    }

    /// Nobody does any more.
    pub fn give_up(&mut self) {
        self.at = None;
        self.watch(false);
    }

    fn watch(&mut self, is_wanted: bool) {
        if self.folder.is_some() != (is_wanted && self.place.is_some()) {
            self.folder = self.place.as_deref().filter(|_| is_wanted).map(Folder::of);
            self.changes += 1;
        }
    }

    /// An attempt failed, or the way is lost: tries again, soon at first, or seldom if only the user can help. Soon is
    /// later each time that the way did not last, and if the guest `holds` nothing that would have to be released.
    pub fn again(&mut self, now: HostTime, is_final: bool, holds: bool) {
        if let Some(made) = self.made.take() {
            let before = if now.since(made) < GOOD { self.short } else { 0 };
            let first = if self.has_one_client && !holds { POLITE } else { RETRY.0 };
            self.wait = (first * 2_u32.pow(before.min(7))).min(RETRY.1);
            self.short = before.saturating_add(1);
            self.is_patient = first == POLITE || before > 0;
        }
        self.at = Some(now + if is_final { RETRY.1 } else { self.wait });
        self.wait = (self.wait * 2).min(RETRY.1);
        self.watch(true);
    }

    /// When [`Seeker::try_now`] is due.
    pub fn due(&self) -> Option<HostTime> {
        let folder = self.folder.as_ref().map(Folder::due);
        self.at.filter(|_| !self.is_under_way).map(|at| folder.map_or(at, |due| at.min(due)))
    }

    /// Hurries if something happened where the socket is looked for.
    fn look(&mut self, now: HostTime) {
        let is_told = core::mem::take(&mut self.is_told);
        let is_due = self.folder.as_mut().is_some_and(|folder| folder.take_due(now, is_told));
        // The first look of a folder is due without a hint.
        if is_due && (is_told || !self.is_patient) {
            // The file is there a moment before somebody listens.
            self.wait = HURRY;
            self.at = self.at.map(|at| at.min(now.max(self.tried + HURRY)));
        }
    }

    /// Counts up when [`Seeker::descriptor`] is another one.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Readable when there is a hint.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().and_then(Folder::descriptor)
    }

    /// Lets the connector try if that is due. Whether it does from now on.
    ///
    /// Never blocks.
    pub fn try_now(&mut self, now: HostTime) -> bool {
        self.look(now);
        let is_due = !self.is_under_way && self.at.is_some_and(|at| now >= at);
        is_due && self.order(CONNECT)
    }

    fn order(&mut self, time: Duration) -> bool {
        let patience = Patience::new(time, &self.enough.0);
        // One order at a time: there is room for it.
        self.is_under_way = self.orders.try_send(patience).is_ok();
        self.tried = clock::now();
        self.is_under_way
    }

    /// What came of the attempt, once.
    ///
    /// Never blocks.
    pub fn take(&mut self) -> Option<Opened> {
        let opened = self.is_under_way.then(|| self.opened.try_recv().ok())??;
        Some(self.took(opened))
    }

    fn took(&mut self, opened: Opened) -> Opened {
        self.is_under_way = false;
        if opened.is_ok() {
            (self.at, self.made) = (None, Some(clock::now()));
            self.watch(false);
        }
        opened
    }

    /// Connects once more although the program ends.
    ///
    /// Blocks for [`CONNECT_AT_END`] at most, twice if an attempt was under way.
    pub fn at_the_end(&mut self) -> Option<Box<dyn Sink>> {
        if self.is_under_way
            && let Some(sink) = self.wait()
        {
            return Some(sink);
        }
        if self.order(CONNECT_AT_END) { self.wait() } else { None }
    }

    fn wait(&mut self) -> Option<Box<dyn Sink>> {
        let opened = self.opened.recv_timeout(CONNECT_AT_END).ok()?;
        self.took(opened).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::pacer::tests::Guest;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    /// Two clients of one SPICE server throw each other out for as long as both come back at once.
    #[test]
    fn a_way_that_does_not_last_is_sought_less_often_each_time() {
        let stop = Stop::new().unwrap();
        let bell = Bell(Arc::new(UnixStream::pair().unwrap().0));
        let (mut seeker, _connector) = pair(InputSettings::default(), bell, &stop, None).unwrap();
        let mut lost_after = |lasted: Duration| {
            assert!(seeker.took(Ok(Box::new(Guest::new()))).is_ok());
            let now = clock::now() + lasted;
            seeker.again(now, false, true);
            seeker.due().unwrap().since(now)
        };
        let waits: Vec<_> = [(); 9].iter().map(|()| lost_after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 6400, 6400].map(|ms: u128| ms.min(5000)));
        // Its machine was restarted after a while.
        assert_eq!(lost_after(GOOD), RETRY.0);
    }

    #[test]
    fn who_took_our_place_at_a_spice_server_is_not_thrown_out_at_once_unless_the_guest_holds_something() {
        let choice: InputChoice = "spice:127.0.0.1:5900".parse().unwrap();
        for (holds, expected) in [(true, RETRY.0), (false, POLITE)] {
            let (stop, bell) = (Stop::new().unwrap(), Bell(Arc::new(UnixStream::pair().unwrap().0)));
            let settings = InputSettings { choice: choice.clone(), ..InputSettings::default() };
            let (mut seeker, _connector) = pair(settings, bell, &stop, None).unwrap();
            assert!(seeker.took(Ok(Box::new(Guest::new()))).is_ok());
            let now = clock::now();
            seeker.again(now, false, holds);
            assert_eq!(seeker.due().unwrap().since(now), expected);
        }
    }
}
