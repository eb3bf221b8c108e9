//! Sound out of shared memory: reads chunks, opens a stream for the engine whenever guest or sink begin something new.

use super::{Rhythm, State, Transport};
use crate::channels::MaskVerdict;
use crate::counters::Counters;
use crate::handover::Streams;
use crate::stream::{self, Feed};
use core::time::Duration;
use rtrb::{Consumer, Producer};
use shm_proto::scream::{CHUNK_TIME, Layout, MAX_CHUNK_BYTES, Poll, Reader, Waiting, reader};
use shm_proto::{HostTime, Region};
use std::sync::Arc;

/// Chunks taken at one look; the rest a moment later.
const MAX_CHUNKS: usize = 64;
/// The least time between two streams that are opened: opening computes, and a guest could restart all the time.
const OPEN_EVERY: Duration = Duration::from_millis(50);
/// Between two looks for a stream, at first and later.
const SEARCH_EVERY: Duration = Duration::from_millis(20);
const SEARCH_FOR: Duration = Duration::from_secs(5);
const IDLE_EVERY: Duration = Duration::from_millis(100);
/// A guest that wrote nothing for so long is silent.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// The least time between two states that are told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// The shared-memory transport.
#[derive(Debug)]
pub struct ShmIntake {
    regions: Consumer<Region>,
    reader: Option<Reader>,
    /// What the reader had counted when it was last asked.
    counted: reader::Counters,
    streams: Streams,
    live: Option<Live>,
    feed: Option<Feed>,
    opened: Option<HostTime>,
    searching_since: HostTime,
    pcm: Box<[u8]>,
    counters: Arc<Counters>,
    states: Producer<State>,
    state: State,
    told: Option<(HostTime, State)>,
}

/// The stream that the guest writes.
#[derive(Debug)]
struct Live {
    layout: Layout,
    rhythm: Rhythm,
    guessed: bool,
    /// The two formats cannot be joined: nothing of this stream is played.
    refused: bool,
}

impl ShmIntake {
    /// A transport that reads the newest region that comes through `regions`, and tells how it stands through `states`.
    pub fn new(
        regions: Consumer<Region>,
        streams: Streams,
        counters: Arc<Counters>,
        states: Producer<State>,
        now: HostTime,
    ) -> ShmIntake {
        ShmIntake {
            regions,
            reader: None,
            counted: reader::Counters::default(),
            streams,
            live: None,
            feed: None,
            opened: None,
            searching_since: now,
            pcm: vec![0; MAX_CHUNK_BYTES].into(),
            counters,
            states,
            state: State::Detached,
            told: None,
        }
    }

    fn take_regions(&mut self, now: HostTime) {
        while let Ok(region) = self.regions.pop() {
            self.detach(now);
            self.reader = Some(Reader::new(region));
            self.state = State::Waiting(Waiting::NoStream);
        }
    }

    fn detach(&mut self, now: HostTime) {
        (self.reader, self.live, self.feed) = (None, None, None);
        self.counted = reader::Counters::default();
        self.state = State::Detached;
        self.searching_since = now;
    }

    /// Takes what is there; when to look again.
    fn look(&mut self, now: HostTime) -> HostTime {
        for _ in 0..MAX_CHUNKS {
            let Some(reader) = &mut self.reader else { return now + IDLE_EVERY };
            match reader.poll(now, &mut self.pcm) {
                Ok(Poll::Started(layout)) => self.start(layout, now),
                Ok(Poll::Chunk(chunk)) => {
                    let waiting = CHUNK_TIME.saturating_mul(chunk.waiting);
                    if waiting.as_secs_f64() > self.streams.longest_s {
                        // Whoever was away so long has nothing to gain from old sound.
                        reader.skip_to_newest();
                    }
                    self.pass_on(chunk.sequence, chunk.bytes, now);
                }
                Ok(Poll::Torn) => {}
                Ok(Poll::Nothing(waiting)) => return self.wait(waiting, now),
                Err(_) => {
                    // The file shrank or is too short; the watch over it brings a new region.
                    self.detach(now);
                    return now + IDLE_EVERY;
                }
            }
        }
        now
    }

    fn start(&mut self, layout: Layout, now: HostTime) {
        // The engine plays out what it has of the last stream.
        self.feed = None;
        let rhythm = Rhythm::new(layout.format().rate_hz(), layout.chunk_frames(), now);
        self.live = Some(Live { layout, rhythm, guessed: false, refused: false });
        self.state = State::Live { format: layout.format(), guessed: false };
        self.counters.intake.streams.inc();
        // What was there before we could take anything is not lost to anybody.
        self.counted.lost = self.reader.as_ref().map_or(0, |r| r.counters().lost);
        self.open_feed(now);
    }

    /// Opens a stream to the engine if guest and sink are there and none is open that fits both.
    fn open_feed(&mut self, now: HostTime) {
        let (Some(live), Some(sink)) = (&mut self.live, self.streams.sink.get()) else { return };
        if self.feed.as_ref().is_some_and(|f| f.sink() == sink) || live.refused {
            return;
        }
        self.feed = None;
        let too_soon = self.opened.is_some_and(|at| now.since(at) < OPEN_EVERY);
        if too_soon || !self.streams.has_room() {
            return;
        }
        self.opened = Some(now);
        match stream::open(live.layout.format(), sink, self.streams.longest_s) {
            Ok((feed, stream, verdict)) => {
                self.streams.send(stream);
                self.feed = Some(feed);
                live.guessed = verdict == MaskVerdict::Assumed;
                self.state = State::Live { format: live.layout.format(), guessed: live.guessed };
            }
            Err(_) => live.refused = true,
        }
    }

    fn pass_on(&mut self, sequence: u64, bytes: usize, now: HostTime) {
        let Some(live) = &mut self.live else { return };
        let frames = u64::from(live.layout.chunk_frames());
        let start = sequence.saturating_mul(frames);
        live.rhythm.arrived(now, start.saturating_add(frames));
        self.state = State::Live { format: live.layout.format(), guessed: live.guessed };
        self.open_feed(now);
        let (Some(feed), Some(pcm)) = (&mut self.feed, self.pcm.get(..bytes)) else { return };
        feed.go_on_at(start);
        if !feed.push(pcm, now) {
            self.counters.intake.chunks_refused.inc();
        }
    }

    fn wait(&mut self, waiting: Waiting, now: HostTime) -> HostTime {
        match (waiting, &mut self.live) {
            (Waiting::Settling, _) => now + reader::SETTLE_TIME,
            (Waiting::Standing, Some(live)) => {
                if live.rhythm.quiet_for(now) > SILENT_AFTER {
                    self.state = State::Silent { format: live.layout.format() };
                }
                live.rhythm.next_look(now)
            }
            _ => {
                if self.live.take().is_some() {
                    self.searching_since = now;
                }
                self.feed = None;
                self.state = State::Waiting(waiting);
                now + if now.since(self.searching_since) < SEARCH_FOR { SEARCH_EVERY } else { IDLE_EVERY }
            }
        }
    }

    fn count(&mut self) {
        let Some(reader) = &self.reader else { return };
        let (now, then) = (reader.counters(), self.counted);
        let counters = &self.counters.intake;
        counters.chunks.add(now.chunks.saturating_sub(then.chunks));
        counters.chunks_lost.add(now.lost.saturating_sub(then.lost));
        counters.headers_corrupt.add(now.corrupt.saturating_sub(then.corrupt));
        self.counted = now;
    }

    /// Tells the state if it is another one; not more often than a person can read, and the last one always.
    fn tell(&mut self, now: HostTime) {
        let due = match self.told {
            None => true,
            Some((at, state)) => state != self.state && now.since(at) >= TELL_EVERY,
        };
        if due && self.states.push(self.state).is_ok() {
            self.told = Some((now, self.state));
        }
    }
}

impl Transport for ShmIntake {
    fn step(&mut self, now: HostTime) -> HostTime {
        self.counters.intake.wake_ups.inc();
        self.take_regions(now);
        self.streams.collect();
        if self.feed.as_ref().is_some_and(|f| Some(f.sink()) != self.streams.sink.get()) {
            self.open_feed(now);
        }
        let next = self.look(now);
        self.count();
        self.tell(now);
        next
    }
}
