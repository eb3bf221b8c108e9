//! What becomes of a datagram: junk is counted by kind, another sender's is left alone, the present one's is joined to
//! frames, numbered and passed on. Knows no socket and reads no clock.

use super::News;
use super::numbering::{Before, Numbering};
use super::outlet::Outlet;
use super::sender::{SenderLock, Verdict};
use crate::counters::IntakeCounters;
use core::time::Duration;
use shm_proto::HostTime;
use shm_proto::scream::datagram::{JOINED_BYTES, PAYLOAD_BYTES, Straddle};
use shm_proto::scream::{Datagram, Format, Junk};
use std::net::SocketAddrV4;

/// What comes after so long is another stream: its clock is learned anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// The streams of datagrams.
#[derive(Debug)]
pub struct Datagrams {
    lock: SenderLock,
    live: Option<Live>,
    straddle: Straddle,
    pcm: Box<[u8]>,
    /// Kinds of junk that were told.
    told: [bool; 4],
}

/// The stream that the guest sends.
#[derive(Debug)]
struct Live {
    format: Format,
    numbering: Numbering,
}

/// A datagram, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Its bytes, or as many of them as there was room for.
    pub bytes: &'a [u8],
    /// Its length.
    pub length: usize,
    /// Who sent it.
    pub sender: SocketAddrV4,
    /// By which interface, if it may come by several.
    pub interface: Option<u32>,
    /// When it came.
    pub at: HostTime,
    /// When it is looked at.
    pub now: HostTime,
}

impl Default for Datagrams {
    fn default() -> Self {
        Datagrams {
            lock: SenderLock::default(),
            live: None,
            straddle: Straddle::default(),
            pcm: vec![0; JOINED_BYTES].into(),
            told: [false; 4],
        }
    }
}

impl Datagrams {
    /// Who is played.
    pub fn sender(&self) -> Option<SocketAddrV4> {
        self.lock.present()
    }

    /// What the present sender sent last.
    pub fn format(&self) -> Option<Format> {
        self.live.as_ref().map(|live| live.format)
    }

    /// Takes a datagram; `out` is where its sound goes, if it is taken. Whether it is sound of the present sender's.
    ///
    /// Real-time safe, but for the first datagram of a stream.
    pub fn take(
        &mut self,
        arrived: Arrived<'_>,
        out: Option<&mut Outlet>,
        counters: &IntakeCounters,
        news: &mut dyn FnMut(News),
    ) -> bool {
        let Arrived { bytes, length, sender, interface, at, .. } = arrived;
        let checked = if length > bytes.len() { Err(Junk::TooLong { bytes: length }) } else { Datagram::check(bytes) };
        let datagram = match checked {
            Ok(datagram) => datagram,
            Err(junk) => {
                if self.note(junk, counters) {
                    news(News::Junk(junk, sender));
                }
                return false;
            }
        };
        match self.lock.judge(sender, interface, at) {
            Verdict::Foreign { first } => {
                counters.datagrams_foreign.inc();
                if first {
                    news(News::OtherSender(sender));
                }
                return false;
            }
            Verdict::Taken => {
                (self.live, self.straddle) = (None, Straddle::default());
                news(News::Sender(sender));
            }
            Verdict::Repeated => return false,
            Verdict::Ours => {}
        }
        counters.datagrams.inc();
        self.play(&datagram, arrived, out, counters);
        true
    }

    fn play(
        &mut self,
        datagram: &Datagram<'_>,
        Arrived { at, now, .. }: Arrived<'_>,
        mut out: Option<&mut Outlet>,
        counters: &IntakeCounters,
    ) {
        let format = datagram.format();
        let whole = self.straddle.join(datagram, &mut self.pcm);
        let (Some(pcm), frame_bytes) = (self.pcm.get(..whole), format.frame_bytes()) else { return };
        let same = |live: &&mut Live| live.format == format && live.numbering.quiet_for(at) < FORGOTTEN_AFTER;
        let live = match self.live.as_mut().filter(same) {
            Some(live) => live,
            None => {
                let datagram_frames = PAYLOAD_BYTES as f64 / f64::from(frame_bytes);
                let numbering = Numbering::new(format.rate_hz(), datagram_frames, at);
                if let Some(out) = out.as_deref_mut() {
                    out.begin(format, now);
                }
                self.live.insert(Live { format, numbering })
            }
        };
        // At most a datagram and a frame, so both fit.
        let frames = whole as u32 / frame_bytes;
        let quiet = datagram.quiet_samples_at_end() as u32 / u32::from(format.channels());
        let placed = live.numbering.place(frames, quiet.min(frames), at);
        match placed.before {
            Before::Joined => {}
            Before::Silence => counters.silences.inc(),
            Before::Lost(datagrams) => {
                counters.datagrams_lost.add(datagrams);
                self.straddle.lost(datagrams);
            }
        }
        if let Some(out) = out {
            out.pass_on(placed.start, pcm, at, now);
        }
    }

    /// Counts junk by kind; whether it is the first of its kind.
    fn note(&mut self, junk: Junk, counters: &IntakeCounters) -> bool {
        let (counter, kind) = match junk {
            Junk::TooShort { .. } => (&counters.junk_short, 0),
            Junk::TooLong { .. } => (&counters.junk_long, 1),
            Junk::Named => (&counters.junk_named, 2),
            Junk::Corrupt(_) => (&counters.junk_corrupt, 3),
        };
        counter.inc();
        self.told.get_mut(kind).is_some_and(|told| !core::mem::replace(told, true))
    }
}

#[cfg(test)]
#[path = "datagrams_tests.rs"]
mod tests;
