//! Sound out of a socket: takes what is there, with the kernel's receive stamps, and joins the group again, and looks for an
//! address that was not there, when nothing comes. What becomes of a datagram is in `datagrams`.

use super::datagrams::{Arrived, Datagrams};
use super::outlet::Outlet;
use super::socket::Socket;
use super::stamp::{self, Clocks};
use super::{Look, News, State};
use crate::counters::IntakeCounters;
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::{AsFd, BorrowedFd};

/// Datagrams taken at one look; the rest a moment later, so that a flood costs no more than so much.
const MAX_DATAGRAMS: usize = 64;
const FLOOD_PAUSE: Duration = Duration::from_millis(1);
/// Datagrams thrown away at the start: all that the socket's buffer can hold, and an end.
const MAX_STALE: usize = 100_000;
/// A longer datagram is none of Scream's; of its bytes no more are looked at. Unit: bytes.
const BUFFER_BYTES: usize = 2048;
/// A guest that sent nothing for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// The socket wakes us when something comes; these are for what has to be done when nothing does.
const PLAYING_EVERY: Duration = Duration::from_millis(600);
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// Interfaces that came are joined this often, and the group anew this often, while nothing comes.
const LOOK_FOR_INTERFACES: Duration = Duration::from_secs(5);
const JOIN_AGAIN: Duration = Duration::from_secs(60);

/// The network transport.
#[derive(Debug)]
pub struct Network {
    socket: Socket,
    datagrams: Datagrams,
    buffer: Box<[u8]>,
    /// The socket was empty then.
    empty_at: HostTime,
    heard: Option<HostTime>,
    joined: HostTime,
    searched: HostTime,
    begun: bool,
    flooded: bool,
}

impl Network {
    /// A transport that takes what comes to `socket`, from its first look on.
    pub fn new(socket: Socket, now: HostTime) -> Network {
        Network {
            socket,
            datagrams: Datagrams::default(),
            buffer: vec![0; BUFFER_BYTES].into(),
            empty_at: HostTime::ZERO,
            heard: None,
            joined: now,
            searched: now,
            begun: false,
            flooded: false,
        }
    }

    /// From now on its sound is taken.
    pub fn chosen(&mut self, now: HostTime, out: &mut Outlet) {
        match self.datagrams.format() {
            Some(format) => out.begin(format, now),
            None => out.end(State::Listening),
        }
    }

    /// Readable when there is something to take; nothing while a flood is held back.
    pub fn wakes(&self) -> Option<BorrowedFd<'_>> {
        (!self.flooded).then(|| self.socket.as_fd())
    }

    /// Takes what is there; `out` is where it goes, if it is taken.
    pub fn look(
        &mut self,
        now: HostTime,
        mut out: Option<&mut Outlet>,
        counters: &IntakeCounters,
        news: &mut dyn FnMut(News),
    ) -> Look {
        if !core::mem::replace(&mut self.begun, true) {
            self.drain();
        }
        let mut spoke = false;
        self.flooded = true;
        for _ in 0..MAX_DATAGRAMS {
            let before = clock::now();
            let Some(received) = self.socket.receive(&mut self.buffer) else {
                (self.flooded, self.empty_at) = (false, before);
                break;
            };
            let (read_at, day) = clock::now_and_day();
            let at = stamp::arrival(received.stamp, Clocks { now: read_at, day }, self.empty_at);
            let bytes = self.buffer.get(..received.bytes).unwrap_or(&self.buffer);
            let (sender, interface) = (received.sender, received.interface);
            let arrived = Arrived { bytes, length: received.bytes, sender, interface, at, now };
            spoke |= self.datagrams.take(arrived, out.as_deref_mut(), counters, news);
        }
        if spoke {
            self.heard = Some(now);
        }
        let next = self.rest(now, spoke, out, news);
        Look { next, spoke }
    }

    /// Throws away what came before anybody could play it: it would only be late.
    fn drain(&mut self) {
        for _ in 0..MAX_STALE {
            if self.socket.receive(&mut self.buffer).is_none() {
                break;
            }
        }
        self.empty_at = clock::now();
    }

    /// What is to be done when nothing comes, and when to look again.
    fn rest(&mut self, now: HostTime, spoke: bool, out: Option<&mut Outlet>, news: &mut dyn FnMut(News)) -> HostTime {
        if self.flooded {
            return now + FLOOD_PAUSE;
        }
        let quiet = self.heard.map(|at| now.since(at));
        if let (false, Some(quiet), Some(out)) = (spoke, quiet, out)
            && quiet > SILENT_AFTER
        {
            out.rest();
        }
        if quiet.is_none_or(|quiet| quiet >= LOOK_FOR_INTERFACES) && now.since(self.searched) >= LOOK_FOR_INTERFACES {
            self.searched = now;
            let heard = self.socket.hears();
            if now.since(self.joined) >= JOIN_AGAIN {
                self.joined = now;
                self.socket.leave();
            }
            // What is missing was told at the start.
            if self.socket.seek().is_ok() && !heard {
                news(News::Listening(self.socket.listen().address()));
            }
        }
        now + if quiet.is_some_and(|quiet| quiet <= SILENT_AFTER) { PLAYING_EVERY } else { IDLE_EVERY }
    }
}
