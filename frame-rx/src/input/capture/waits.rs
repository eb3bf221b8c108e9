//! What the input's thread sleeps on: descriptors, each at a place of its own, and a time.
//!
//! The kernel keeps the list between two sleeps (epoll), and a timer is among the descriptors (timerfd), so that a sleep
//! is one system call that passes nothing: a list of all descriptors, and a time, would be taken apart and put together
//! again at each of the 8000 reports a second of a fast mouse, half of it between the report and its way out.

use crate::input::sink;
use core::mem::MaybeUninit;
use core::time::Duration;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use rx_host::clock;
use shm_proto::HostTime;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::input::evdev::devices::DESCRIPTORS;
use crate::input::wire::timespec;

/// The window's bell.
pub(super) const BELL: usize = 0;
/// The X server.
pub(super) const WINDOW: usize = 1;
/// The folder of the socket that is looked for.
pub(super) const FOLDER: usize = 2;
/// The first of the sink's.
pub(super) const SINK: usize = 3;
/// The first of the devices'; all behind it are theirs.
pub(super) const DEVICES: usize = SINK + sink::DESCRIPTORS;
/// Places there are.
const PLACES: usize = DEVICES + DESCRIPTORS;
/// The timer, whose place nobody asks for.
const TIMER: usize = PLACES;
/// Sleep where the kernel gives no descriptor to sleep on.
const BLIND: Duration = Duration::from_millis(2);

/// Which places have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready(u64);

impl Ready {
    /// All may have.
    pub(super) const ALL: Ready = Ready(u64::MAX);

    /// Whether this place has something.
    pub(super) fn has(self, place: usize) -> bool {
        self.rest(place) & 1 == 1
    }

    /// Whether any of the sink's places has something.
    pub(super) fn has_sink(self) -> bool {
        self.0 & ((1 << DEVICES) - (1 << SINK)) != 0
    }

    /// One bit for each place from this one on.
    pub(super) fn rest(self, place: usize) -> u64 {
        self.0.checked_shr(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

/// One place: its number, its descriptor, and whether it is also waited for until it can be written.
pub(super) type Place<'d> = (usize, BorrowedFd<'d>, bool);

/// See the module.
pub(super) struct Waits {
    kernel: Option<Kernel>,
    /// As of which change of the descriptors.
    known: Option<u64>,
    /// Places that are waited for until they can be written.
    writes: u64,
    /// When the timer ends the sleep.
    armed: Option<HostTime>,
}

struct Kernel {
    list: OwnedFd,
    timer: OwnedFd,
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Waits {
    /// Nothing is waited for yet.
    pub(super) fn new() -> Waits {
        Waits { kernel: None, known: None, writes: 0, armed: None }
    }

    /// Waits for what is in `places`. Whoever opens or closes one of them counts up `changes`; nothing is looked at
    /// otherwise, but for whether a place is written.
    pub(super) fn set<'d>(&mut self, changes: u64, places: impl Iterator<Item = Place<'d>>) {
        if self.known == Some(changes) && self.kernel.is_some() {
            for (place, fd, writes) in places.take_while(|(place, ..)| *place < DEVICES) {
                if (self.writes >> place & 1 == 1) != writes
                    && let Some(kernel) = &self.kernel
                    && epoll::modify(&kernel.list, fd, data(place), flags(writes)).is_ok()
                {
                    self.writes ^= 1 << place;
                }
            }
            return;
        }
        // A closed descriptor's number may be another one's now: the list is made anew.
        (self.writes, self.armed) = (0, None);
        self.known = Some(changes);
        self.kernel = self.list(places).ok();
    }

    fn list<'d>(&mut self, places: impl Iterator<Item = Place<'d>>) -> io::Result<Kernel> {
        let list = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&list, timer.as_fd(), data(TIMER), EventFlags::IN)?;
        for (place, fd, writes) in places {
            epoll::add(&list, fd, data(place), flags(writes))?;
            self.writes |= u64::from(writes) << place;
        }
        Ok(Kernel { list, timer })
    }

    /// Sleeps until a place has something, `until`, or a moment that was asked for before. Which places have something;
    /// all of them, as far as is known, if the sleep was cut short.
    ///
    /// Blocks. Real-time safe: one system call, and another one where the time is sooner than any before.
    pub(super) fn wait(&mut self, until: HostTime) -> Ready {
        let Some(kernel) = &self.kernel else {
            clock::sleep_until(until.min(clock::now() + BLIND));
            return Ready::ALL;
        };
        if self.armed.is_none_or(|armed| until < armed) {
            // Nothing but zero stops it; it also takes back that it has ended a sleep.
            let at = timespec(Duration::from_nanos(until.as_ns().max(1)));
            let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: at };
            if timerfd_settime(&kernel.timer, TimerfdTimerFlags::ABSTIME, &once).is_err() {
                return Ready::ALL;
            }
            self.armed = Some(until);
        }
        let mut space = [MaybeUninit::uninit(); PLACES + 1];
        let Ok((told, _)) = epoll::wait(&kernel.list, &mut space[..], None) else { return Ready::ALL };
        let mut ready = 0;
        for event in told {
            let place = event.data.u64();
            if place == TIMER as u64 {
                self.armed = None;
            } else {
                ready |= 1_u64.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0);
            }
        }
        Ready(ready)
    }
}

fn data(place: usize) -> EventData {
    EventData::new_u64(place as u64)
}

fn flags(writes: bool) -> EventFlags {
    if writes { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn soon() -> HostTime {
        clock::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_place_that_has_something_ends_the_sleep_and_is_named() {
        let (bell, mut rings) = UnixStream::pair().unwrap();
        let (device, mut moves) = UnixStream::pair().unwrap();
        let places = || [(BELL, bell.as_fd(), false), (DEVICES + 3, device.as_fd(), false)].into_iter();
        let mut waits = Waits::new();
        waits.set(0, places());
        assert_eq!(waits.wait(HostTime::ZERO), Ready(0), "it is late already");
        moves.write_all(&[1]).unwrap();
        let ready = waits.wait(soon());
        assert_eq!((ready.rest(DEVICES), ready.has(BELL), ready.has_sink()), (8, false, false));
        // It stays so until it was read.
        rings.write_all(&[1]).unwrap();
        waits.set(0, places());
        let ready = waits.wait(soon());
        assert!(ready.has(BELL) && ready.has(DEVICES + 3));
        let _ = (&device).read(&mut [0; 8]).unwrap();
        assert_eq!(waits.wait(soon()).rest(DEVICES), 0);
    }

    #[test]
    fn a_time_that_is_sooner_than_the_one_before_counts_and_a_later_one_only_wakes_too_early() {
        let mut waits = Waits::new();
        waits.set(0, [].into_iter());
        let start = clock::now();
        waits.armed = Some(soon());
        for ms in [30, 5, 20] {
            let until = start + Duration::from_millis(ms);
            while clock::now() < until {
                assert_eq!(waits.wait(until), Ready(0));
            }
        }
        assert!(clock::now().since(start) < Duration::from_secs(20), "it slept on");
    }

    #[test]
    fn a_socket_is_waited_for_until_it_can_be_written_for_as_long_as_that_is_wanted() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let mut waits = Waits::new();
        for writes in [true, false, true] {
            waits.set(0, [(SINK, socket.as_fd(), writes)].into_iter());
            assert_eq!(waits.wait(clock::now() + Duration::from_millis(5)).has_sink(), writes);
        }
    }

    #[test]
    fn a_descriptor_under_the_number_of_a_closed_one_is_waited_for_after_a_change() {
        let (first, _first) = UnixStream::pair().unwrap();
        let mut waits = Waits::new();
        waits.set(0, [(SINK, first.as_fd(), false)].into_iter());
        drop(first);
        let (second, mut other) = UnixStream::pair().unwrap();
        waits.set(1, [(SINK, second.as_fd(), false)].into_iter());
        other.write_all(&[1]).unwrap();
        assert!(waits.wait(soon()).has_sink());
    }
}
