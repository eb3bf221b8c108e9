//! Sound out of datagrams: takes what is there, from one sender, and passes it on with the kernel's receive stamps.
//! Junk is counted by kind, other senders are left alone. What is lost or was never sent is for `numbering` to find.

use super::numbering::{Before, Numbering};
use super::outlet::Outlet;
use super::sender::{SenderLock, Verdict};
use super::socket::Socket;
use super::stamp::{self, Clocks};
use super::{Look, News, State};
use crate::counters::IntakeCounters;
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;
use shm_proto::scream::datagram::{JOINED_BYTES, PAYLOAD_BYTES, Straddle};
use shm_proto::scream::{Datagram, Format, Junk};
use std::net::SocketAddrV4;
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
/// What comes after so long is another stream: its clock is learned anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// The socket wakes us when something comes; these are for what has to be done when nothing does.
const PLAYING_EVERY: Duration = Duration::from_millis(600);
const IDLE_EVERY: Duration = Duration::from_millis(1500);
/// Interfaces that came are joined this often, and the group anew this often, while nothing comes.
const LOOK_FOR_INTERFACES: Duration = Duration::from_secs(5);
const JOIN_AGAIN: Duration = Duration::from_secs(60);

/// The network transport.
#[derive(Debug)]
pub struct Network {
    socket: Socket,
    lock: SenderLock,
    live: Option<Live>,
    straddle: Straddle,
    buffer: Box<[u8]>,
    pcm: Box<[u8]>,
    /// The socket was empty then.
    empty_at: HostTime,
    heard: Option<HostTime>,
    joined: HostTime,
    searched: HostTime,
    /// Kinds of junk that were told.
    told: [bool; 4],
    begun: bool,
    flooded: bool,
}

/// The stream that the guest sends.
#[derive(Debug)]
struct Live {
    format: Format,
    numbering: Numbering,
}

impl Network {
    /// A transport that takes what comes to `socket`, from its first look on.
    pub fn new(socket: Socket, now: HostTime) -> Network {
        Network {
            socket,
            lock: SenderLock::default(),
            live: None,
            straddle: Straddle::default(),
            buffer: vec![0; BUFFER_BYTES].into(),
            pcm: vec![0; JOINED_BYTES].into(),
            empty_at: HostTime::ZERO,
            heard: None,
            joined: now,
            searched: now,
            told: [false; 4],
            begun: false,
            flooded: false,
        }
    }

    /// Who is played.
    pub fn sender(&self) -> Option<SocketAddrV4> {
        self.lock.present()
    }

    /// From now on its sound is taken.
    pub fn chosen(&mut self, now: HostTime, out: &mut Outlet) {
        match &self.live {
            Some(live) => out.begin(live.format, now),
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
            let bytes = self.buffer.get(..received.bytes).unwrap_or_default();
            let checked = if received.bytes > BUFFER_BYTES {
                Err(Junk::TooLong { bytes: received.bytes })
            } else {
                Datagram::check(bytes)
            };
            match checked {
                Err(junk) => {
                    if note_junk(junk, &mut self.told, counters) {
                        news(News::Junk(junk, received.sender));
                    }
                }
                Ok(datagram) => match self.lock.judge(received.sender, at) {
                    Verdict::Foreign { first } => {
                        counters.datagrams_foreign.inc();
                        if first {
                            news(News::OtherSender(received.sender));
                        }
                    }
                    verdict => {
                        if verdict == Verdict::Taken {
                            news(News::Sender(received.sender));
                        }
                        spoke = true;
                        let anew = verdict == Verdict::Taken;
                        take(
                            &datagram,
                            at,
                            now,
                            anew,
                            &mut self.live,
                            &mut self.straddle,
                            &mut self.pcm,
                            out.as_deref_mut(),
                            counters,
                        );
                    }
                },
            }
        }
        if spoke {
            self.heard = Some(now);
        }
        Look { next: self.rest(now, spoke, out), spoke }
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
    fn rest(&mut self, now: HostTime, spoke: bool, out: Option<&mut Outlet>) -> HostTime {
        if self.flooded {
            return now + FLOOD_PAUSE;
        }
        let quiet = self.heard.map(|at| now.since(at));
        if let (false, Some(quiet), Some(out)) = (spoke, quiet, out)
            && quiet > SILENT_AFTER
        {
            out.rest();
        }
        if quiet.is_none_or(|quiet| quiet >= LOOK_FOR_INTERFACES) {
            if now.since(self.joined) >= JOIN_AGAIN {
                (self.joined, self.searched) = (now, now);
                self.socket.join_again();
            } else if now.since(self.searched) >= LOOK_FOR_INTERFACES {
                self.searched = now;
                self.socket.join_new();
            }
        }
        now + if quiet.is_some_and(|quiet| quiet <= SILENT_AFTER) { PLAYING_EVERY } else { IDLE_EVERY }
    }
}

/// Takes a datagram of the present sender's. `anew`: it is the first of this sender.
#[expect(clippy::too_many_arguments, reason = "the parts of one struct, of which another part is borrowed")]
fn take(
    datagram: &Datagram<'_>,
    at: HostTime,
    now: HostTime,
    anew: bool,
    live: &mut Option<Live>,
    straddle: &mut Straddle,
    pcm: &mut [u8],
    mut out: Option<&mut Outlet>,
    counters: &IntakeCounters,
) {
    counters.datagrams.inc();
    let format = datagram.format();
    if anew {
        *straddle = Straddle::default();
    }
    let whole = straddle.join(datagram, pcm);
    let (Some(pcm), frame_bytes) = (pcm.get(..whole), format.frame_bytes()) else { return };
    let same = live.as_ref().is_some_and(|l| l.format == format && l.numbering.quiet_for(at) < FORGOTTEN_AFTER);
    if anew || !same {
        let datagram_frames = PAYLOAD_BYTES as f64 / f64::from(frame_bytes);
        *live = Some(Live { format, numbering: Numbering::new(format.rate_hz(), datagram_frames, at) });
        if let Some(out) = out.as_deref_mut() {
            out.begin(format, now);
        }
    }
    let Some(live) = live else { return };
    // At most a datagram and a frame, so both fit.
    let frames = whole as u32 / frame_bytes;
    let quiet = datagram.quiet_samples_at_end() as u32 / u32::from(format.channels());
    let placed = live.numbering.place(frames, quiet.min(frames), at);
    match placed.before {
        Before::Joined => {}
        Before::Silence => counters.silences.inc(),
        Before::Lost(datagrams) => {
            counters.datagrams_lost.add(datagrams);
            straddle.lost(datagrams);
        }
    }
    if let Some(out) = out {
        out.pass_on(placed.start, pcm, at, now);
    }
}

/// Counts junk by kind; whether it is the first of its kind.
fn note_junk(junk: Junk, told: &mut [bool; 4], counters: &IntakeCounters) -> bool {
    let (counter, kind) = match junk {
        Junk::TooShort { .. } => (&counters.junk_short, 0),
        Junk::TooLong { .. } => (&counters.junk_long, 1),
        Junk::Named => (&counters.junk_named, 2),
        Junk::Corrupt(_) => (&counters.junk_corrupt, 3),
    };
    counter.inc();
    told.get_mut(kind).is_some_and(|told| !core::mem::replace(told, true))
}
