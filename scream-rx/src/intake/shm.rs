//! Sound out of shared memory: looks for chunks, and says when to look again.

use super::outlet::Outlet;
use super::{Look, Rhythm, State};
use crate::counters::IntakeCounters;
use core::time::Duration;
use rtrb::Consumer;
use rx_host::report::Allowance;
use shm_proto::scream::{CHUNK_TIME, Layout, MAX_CHUNK_BYTES, Poll, Reader, Waiting, reader};
use shm_proto::{HostTime, Region};

/// Polls at one look: no guest has written more.
const MAX_POLLS: usize = 64;
/// Chunks that are taken: so many at once, as after a pause of the guest's or ours, and one more in each such time, twice as many
/// as a guest makes. One that counts faster lies, and is not worth a processor.
const CHUNKS: (u32, Duration) = (64, Duration::from_millis(10));
/// Streams that begin and headers that are being written are looked at again soon, so many at once and one more in each such
/// time; a guest whose header changes all the time waits a little.
const SOON: (u32, Duration) = (200, Duration::from_micros(2_500));
const LATER: Duration = Duration::from_millis(2);
/// Between two looks for a stream, at first and later.
const SEARCH_EVERY: Duration = Duration::from_millis(20);
const SEARCH_FOR: Duration = Duration::from_secs(12);
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
    soon: Allowance,
    chunks: Allowance,
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
            soon: Allowance::new(SOON.0, SOON.1),
            chunks: Allowance::new(CHUNKS.0, CHUNKS.1),
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
        for _ in 0..MAX_POLLS {
            let Some(reader) = &mut self.reader else {
                return Look { next: now + DETACHED_EVERY, spoke };
            };
            match reader.poll(now, &mut self.pcm) {
                Ok(Poll::Started(layout)) => {
                    self.start(layout, now, out.as_deref_mut());
                    if !self.soon.take(now) {
                        return Look { next: now + LATER, spoke };
                    }
                }
                Ok(Poll::Chunk(chunk)) => {
                    spoke = true;
                    let waiting = CHUNK_TIME.saturating_mul(chunk.waiting);
                    let longest_s = out.as_ref().map_or(0.0, |out| out.longest_s());
                    if waiting.as_secs_f64() > longest_s {
                        // Whoever was away so long has nothing to gain from old sound.
                        reader.skip_to_newest();
                    }
                    self.pass_on(chunk.sequence, chunk.bytes, now, out.as_deref_mut());
                    if !self.chunks.take(now) {
                        break;
                    }
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
        Look { next: now + CHUNK_TIME, spoke }
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
            (Waiting::Settling, _) if self.soon.take(now) => now + reader::SETTLE_TIME,
            (Waiting::Settling, _) => now + LATER,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use rtrb::RingBuffer;
    use rx_host::clock;
    use shm_proto::guest_sim::sound::{Event, Lie, SoundGuest};
    use shm_proto::scream::writer::Field;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    /// How often the memory is looked at, what it counted, and how long that took, while `act` is done to the guest all the time
    /// for 0.3 s. Looks while the guest is held up do not count.
    fn looks_under(mut act: impl FnMut(&mut SoundGuest) + Send) -> (u64, Arc<Counters>, Duration) {
        let mut guest = SoundGuest::builder().build().unwrap();
        let (mut regions, regions_out) = RingBuffer::new(1);
        regions.push(guest.region().clone()).unwrap();
        let (start, counters) = (clock::now(), Arc::new(Counters::default()));
        guest.advance(start).unwrap();
        let mut memory = Memory::new(regions_out, start);
        // The header settles first.
        while clock::now().since(start) < Duration::from_millis(30) {
            memory.look(clock::now(), None, true);
        }
        let (over, acts, mut looks, mut seen) = (AtomicBool::new(false), AtomicU64::new(0), 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    act(&mut guest);
                    acts.fetch_add(1, Ordering::Relaxed);
                }
            });
            let begun = clock::now();
            while clock::now().since(begun) < Duration::from_millis(300) {
                let acted = acts.load(Ordering::Relaxed);
                looks += u64::from(acted != core::mem::replace(&mut seen, acted));
                let next = memory.look(clock::now(), None, true).next;
                memory.count(&counters.intake);
                let _ = clock::sleep_until(next.max(clock::now() + Duration::from_micros(100)));
            }
            over.store(true, Ordering::Relaxed);
        });
        (looks, counters, clock::now().since(start))
    }

    #[test]
    fn a_guest_that_counts_without_end_gets_no_more_than_its_share() {
        let mut at = 0_u16;
        let (looks, counters, took) = looks_under(|guest| {
            // As fast as it is read: a leap would be taken for a new start.
            at = (at + 1) % 500;
            let _ = guest.perform(Event::Lie(Lie::Index(at)), clock::now());
            let next = clock::now() + Duration::from_micros(4);
            while clock::now() < next {}
        });
        let chunks = counters.intake.chunks.get();
        println!("{looks} looks, {chunks} chunks in {took:?}");
        assert!(looks < 600, "{looks} looks in 0.3 s, {chunks} chunks");
        assert!(chunks <= share(took), "{chunks} chunks in {took:?}");
    }

    /// Chunks that are taken in that time: what is allowed, and one more at each look, which has a pause behind it.
    fn share(took: Duration) -> u64 {
        let times = |each: Duration| (took.as_nanos() / each.as_nanos()) as u64 + 1;
        u64::from(CHUNKS.0) + times(CHUNKS.1) + times(CHUNK_TIME)
    }

    #[test]
    fn a_guest_that_counts_as_fast_as_is_believed_is_taken_no_more_often_than_its_share() {
        let mut guest = SoundGuest::builder().build().unwrap();
        let (mut regions, regions_out) = RingBuffer::new(1);
        regions.push(guest.region().clone()).unwrap();
        let (start, took, mut at) = (clock::now(), Duration::from_secs(3), 0);
        let (mut memory, counters) = (Memory::new(regions_out, start), Counters::default());
        let mut now = start;
        memory.look(now, None, true);
        guest.advance(now).unwrap();
        while now.since(start) < took {
            // More at once would be taken for a new start.
            at = (at + 4) % 500;
            let _ = guest.perform(Event::Lie(Lie::Index(at)), now);
            now = memory.look(now, None, true).next.max(now + Duration::from_micros(100));
        }
        memory.count(&counters.intake);
        let chunks = counters.intake.chunks.get();
        println!("{chunks} chunks");
        assert!((100..=share(took)).contains(&chunks), "{chunks} chunks in {took:?}");
    }

    #[test]
    fn a_header_that_never_settles_is_not_looked_at_all_the_time() {
        let mut at = 0_u32;
        let (looks, ..) = looks_under(|guest| {
            at = at.wrapping_add(1);
            let _ = guest.perform(Event::Lie(Lie::Header(Field::Channels, at % 2 + 1)), clock::now());
        });
        println!("{looks} looks");
        assert!(looks < 600, "{looks} looks in 0.3 s");
    }
}
