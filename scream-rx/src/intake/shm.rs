//! Sound out of shared memory: looks for chunks, and says when to look again.

use super::outlet::Outlet;
use super::{Look, Rhythm, State};
use crate::counters::IntakeCounters;
use core::time::Duration;
use rtrb::Consumer;
use shm_proto::scream::{CHUNK_TIME, Layout, MAX_CHUNK_BYTES, Poll, Reader, Waiting, reader};
use shm_proto::{HostTime, Region};

/// Chunks taken at one look; the rest a moment later.
const MAX_CHUNKS: usize = 64;
/// Between two looks for a stream, at first and later.
const SEARCH_EVERY: Duration = Duration::from_millis(20);
const SEARCH_FOR: Duration = Duration::from_secs(5);
const IDLE_EVERY: Duration = Duration::from_millis(135);
/// Without a region there is nothing to look at: whoever brings one rings.
const DETACHED_EVERY: Duration = Duration::from_secs(10);
/// A guest that wrote nothing for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(500);

/// The shared-memory transport.
#[derive(Debug)]
pub struct Memory {
    regions: Consumer<Region>,
    reader: Option<Reader>,
    /// What the reader had counted when it was last asked.
    counted: reader::Counters,
    live: Option<Live>,
    searching_since: HostTime,
    waiting: Waiting,
    pcm: Box<[u8]>,
}

/// The stream that the guest writes.
#[derive(Debug)]
struct Live {
    layout: Layout,
    rhythm: Rhythm,
}

impl Memory {
    /// A transport that reads the newest region that comes through `regions`.
    pub fn new(regions: Consumer<Region>, now: HostTime) -> Memory {
        Memory {
            regions,
            reader: None,
            counted: reader::Counters::default(),
            live: None,
            searching_since: now,
            waiting: Waiting::NoStream,
            pcm: vec![0; MAX_CHUNK_BYTES].into(),
        }
    }

    /// How it stands, while nothing is taken from here.
    pub fn state(&self) -> State {
        match (&self.reader, &self.live) {
            (None, _) => State::Detached,
            (_, Some(live)) => State::Silent { format: live.layout.format() },
            _ => State::Waiting(self.waiting),
        }
    }

    /// Whether there is a region in which no stream was ever seen.
    pub fn is_unused(&self) -> bool {
        self.reader.is_some() && self.live.is_none() && self.counted.chunks == 0
    }

    /// From now on its sound is taken.
    pub fn chosen(&mut self, now: HostTime, out: &mut Outlet) {
        match &self.live {
            Some(live) => out.begin(live.layout.format(), now),
            None => out.end(self.state()),
        }
    }

    /// Takes what is there; `out` is where it goes, if it is taken.
    /// `eager`: nothing else is taken either, so sound is waited for.
    pub fn look(&mut self, now: HostTime, mut out: Option<&mut Outlet>, eager: bool) -> Look {
        while let Ok(region) = self.regions.pop() {
            self.detach(now, out.as_deref_mut());
            self.reader = Some(Reader::new(region));
            self.waiting = Waiting::NoStream;
            if let Some(out) = out.as_deref_mut() {
                out.end(State::Waiting(self.waiting));
            }
        }
        let mut spoke = false;
        for _ in 0..MAX_CHUNKS {
            let Some(reader) = &mut self.reader else {
                return Look { next: now + DETACHED_EVERY, spoke };
            };
            match reader.poll(now, &mut self.pcm) {
                Ok(Poll::Started(layout)) => self.start(layout, now, out.as_deref_mut()),
                Ok(Poll::Chunk(chunk)) => {
                    spoke = true;
                    let waiting = CHUNK_TIME.saturating_mul(chunk.waiting);
                    let longest_s = out.as_ref().map_or(0.0, |out| out.longest_s());
                    if waiting.as_secs_f64() > longest_s {
                        // Whoever was away so long has nothing to gain from old sound.
                        reader.skip_to_newest();
                    }
                    self.pass_on(chunk.sequence, chunk.bytes, now, out.as_deref_mut());
                }
                Ok(Poll::Torn) => {}
                Ok(Poll::Nothing(waiting)) => return Look { next: self.wait(waiting, now, out, eager), spoke },
                Err(_) => {
                    // The file shrank or is too short; the watch over it brings a new region.
                    self.detach(now, out);
                    return Look { next: now + IDLE_EVERY, spoke };
                }
            }
        }
        Look { next: now, spoke }
    }

    fn detach(&mut self, now: HostTime, out: Option<&mut Outlet>) {
        (self.reader, self.live) = (None, None);
        self.counted = reader::Counters::default();
        self.searching_since = now;
        if let Some(out) = out {
            out.end(State::Detached);
        }
    }

    fn start(&mut self, layout: Layout, now: HostTime, out: Option<&mut Outlet>) {
        let rhythm = Rhythm::new(layout.format().rate_hz(), layout.chunk_frames(), now);
        self.live = Some(Live { layout, rhythm });
        // What was there before we could take anything is not lost to anybody.
        self.counted.lost = self.reader.as_ref().map_or(0, |r| r.counters().lost);
        if let Some(out) = out {
            out.begin(layout.format(), now);
        }
    }

    fn pass_on(&mut self, sequence: u64, bytes: usize, now: HostTime, out: Option<&mut Outlet>) {
        let Some(live) = &mut self.live else { return };
        let frames = u64::from(live.layout.chunk_frames());
        let start = sequence.saturating_mul(frames);
        live.rhythm.arrived(now, start.saturating_add(frames));
        if let (Some(out), Some(pcm)) = (out, self.pcm.get(..bytes)) {
            out.pass_on(start, pcm, now, now);
        }
    }

    fn wait(&mut self, waiting: Waiting, now: HostTime, out: Option<&mut Outlet>, eager: bool) -> HostTime {
        match (waiting, &mut self.live) {
            (Waiting::Settling, _) => now + reader::SETTLE_TIME,
            (Waiting::Standing, Some(live)) => {
                if live.rhythm.quiet_for(now) > SILENT_AFTER
                    && let Some(out) = out
                {
                    out.rest();
                }
                if eager { live.rhythm.next_look(now) } else { now + IDLE_EVERY }
            }
            _ => {
                if self.live.take().is_some() {
                    self.searching_since = now;
                }
                self.waiting = waiting;
                if let Some(out) = out {
                    out.end(State::Waiting(waiting));
                }
                now + if eager && now.since(self.searching_since) < SEARCH_FOR { SEARCH_EVERY } else { IDLE_EVERY }
            }
        }
    }

    /// Adds what the reader has counted since.
    pub fn count(&mut self, counters: &IntakeCounters) {
        let Some(reader) = &self.reader else { return };
        let (now, then) = (reader.counters(), self.counted);
        counters.chunks.add(now.chunks.saturating_sub(then.chunks));
        counters.chunks_lost.add(now.lost.saturating_sub(then.lost));
        counters.headers_corrupt.add(now.corrupt.saturating_sub(then.corrupt));
        self.counted = now;
    }
}
