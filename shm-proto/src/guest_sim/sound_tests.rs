//! The simulated guest against the reader.

use super::*;
use crate::scream::{Chunk, Foreign, MAX_CHUNK_BYTES, Poll, Reader, Waiting};
use crate::{Access, AccessError, Purpose};

const START: HostTime = HostTime::from_ns(40_000_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A guest, a reader that looks every two milliseconds, and what it got.
struct Listener {
    guest: SoundGuest,
    reader: Reader,
    now: HostTime,
    pcm: Vec<u8>,
    starts: Vec<Format>,
    last: Poll,
}

impl Listener {
    fn new(builder: SoundGuestBuilder) -> Listener {
        let mut guest = builder.build().unwrap();
        let mut reader = Reader::new(guest.region().clone());
        let mut pcm = vec![0; MAX_CHUNK_BYTES];
        let last = reader.poll(START, &mut pcm).unwrap();
        guest.advance(START).unwrap();
        Listener { guest, reader, now: START, pcm, starts: Vec::new(), last }
    }

    /// Lets `length` pass; each chunk is handed to `heard`.
    fn listen(&mut self, length: Duration, mut heard: impl FnMut(Format, Chunk, &[u8])) {
        let end = self.now + length;
        while self.now < end {
            self.last = self.reader.poll(self.now, &mut self.pcm).unwrap();
            match self.last {
                Poll::Started(layout) => self.starts.push(layout.format()),
                Poll::Chunk(chunk) => heard(self.reader.layout().unwrap().format(), chunk, &self.pcm[..chunk.bytes]),
                Poll::Nothing(_) | Poll::Torn => {}
            }
            self.now = self.now + ms(2);
            self.guest.advance(self.now).unwrap();
        }
    }

    /// The numbers of the chunks heard in `length`, for guests that play [`Tone::ChunkNumbers`].
    fn numbers(&mut self, length: Duration) -> Vec<u32> {
        let mut numbers = Vec::new();
        self.listen(length, |_, _, pcm| {
            let word = *pcm.first_chunk::<4>().unwrap();
            assert!(pcm.chunks(4).all(|bytes| bytes == &word[..bytes.len()]), "a torn chunk");
            numbers.push(u32::from_le_bytes(word));
        });
        numbers
    }

    fn perform(&mut self, event: Event) {
        self.guest.perform(event, self.now).unwrap();
    }
}

fn numbered() -> SoundGuestBuilder {
    SoundGuest::builder().tone(Tone::ChunkNumbers)
}

#[test]
fn what_is_heard_is_what_the_tone_says_in_every_format() {
    for (rate_hz, bits, channels) in [(48_000, 16, 2), (44_100, 24, 1), (96_000, 32, 6), (192_000, 32, 8)] {
        let builder = SoundGuest::builder().rate_hz(rate_hz).bits(bits).channels(channels).tone(Tone::PositionCoded);
        let mut listener = Listener::new(builder);
        let mut expected = Vec::new();
        let mut position = 0;
        listener.listen(Duration::from_secs(3), |format, _, pcm| {
            expected.resize(pcm.len(), 0);
            Tone::PositionCoded.render(position, 0, &format, &mut expected);
            assert!(pcm == expected, "{format} at frame {position}");
            position += u64::from(format.chunk_frames());
        });
        assert!((149..=150).contains(&(position * 50 / u64::from(rate_hz))), "{position} frames");
        assert_eq!(listener.starts.len(), 1);
        assert_eq!(listener.starts[0].mask(), usual_mask(channels));
    }
}

#[test]
fn a_guest_that_keeps_bad_time_is_heard_without_a_gap() {
    for tick_us in [1_000, 10_000, 15_625] {
        let pacing = Pacing {
            tick: Duration::from_micros(tick_us),
            drift_ppm: 300.0,
            lateness: ms(4),
            stall: ms(120),
            stall_every: ms(3_000),
            seed: tick_us,
        };
        let mut listener = Listener::new(numbered().pacing(pacing));
        let numbers = listener.numbers(Duration::from_secs(200));
        assert!(numbers.iter().zip(0..).all(|(got, expected)| *got == expected), "{tick_us} us");
        assert!((9_990..=10_003).contains(&numbers.len()), "{tick_us} us: {}", numbers.len());
        let counters = listener.reader.counters();
        assert_eq!((counters.lost, counters.restarts), (0, 0), "{tick_us} us");
    }
}

#[test]
fn a_pause_goes_on_where_it_was() {
    let mut listener = Listener::new(numbered());
    let mut numbers = listener.numbers(ms(510));
    listener.perform(Event::Pause);
    assert!(listener.numbers(Duration::from_secs(30)).is_empty());
    assert_eq!(listener.last, Poll::Nothing(Waiting::Standing));
    assert_eq!(listener.guest.next_due(), None);
    listener.perform(Event::Resume);
    numbers.extend(listener.numbers(ms(500)));
    assert!(numbers.iter().zip(0..).all(|(got, expected)| *got == expected));
    assert!(numbers.len() >= 49, "{}", numbers.len());
}

#[test]
fn restarts_switches_and_crashes_are_heard_as_new_streams_without_old_sound() {
    let other = Format::new(96_000, 24, 6, 0x3F).unwrap();
    let mut listener = Listener::new(numbered());
    let mut heard = listener.numbers(ms(1_000));
    for event in [Event::Restart, Event::Switch(other), Event::Restart, Event::Crash, Event::Close] {
        listener.perform(event);
        heard.extend(listener.numbers(ms(3_000)));
        listener.perform(Event::Start);
        heard.extend(listener.numbers(ms(1_000)));
    }
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    assert!(
        heard.len() as u64 + 8 >= listener.guest.next_number(),
        "{} of {}",
        heard.len(),
        listener.guest.next_number()
    );
    let formats: Vec<u32> = listener.starts.iter().map(Format::rate_hz).collect();
    assert_eq!(formats, [48_000, 48_000, 96_000, 96_000, 96_000, 96_000]);
}

#[test]
fn a_script_happens_at_its_time() {
    let builder = numbered()
        .at(ms(3_000), Event::Restart)
        .at(ms(1_000), Event::Crash)
        .at(ms(2_000), Event::Start)
        .at(ms(4_000), Event::Stall(ms(200)));
    let mut listener = Listener::new(builder);
    let mut times = Vec::new();
    let mut at = Vec::new();
    for _ in 0..500 {
        let before = times.len();
        times.extend(listener.numbers(ms(10)));
        at.extend((before..times.len()).map(|_| listener.now.since(START).as_millis()));
    }
    let quiet: Vec<_> = at.windows(2).filter(|pair| pair[1] - pair[0] > 60).map(|pair| (pair[0], pair[1])).collect();
    assert_eq!(quiet.len(), 2, "{quiet:?}");
    assert!(quiet[0].0 <= 1_020 && (2_000..2_060).contains(&quiet[0].1), "{quiet:?}");
    assert!((3_980..=4_020).contains(&quiet[1].0) && (4_190..=4_220).contains(&quiet[1].1), "{quiet:?}");
    assert_eq!(listener.starts.len(), 3);
}

#[test]
fn each_lie_is_seen_through_and_forgiven() {
    type Seen = fn(Poll) -> bool;
    let cases: [(Lie, Seen); 12] = [
        (Lie::TornHeader { stores: 0 }, |look| look == Poll::Nothing(Waiting::NoStream)),
        (Lie::TornHeader { stores: 7 }, |look| look == Poll::Nothing(Waiting::NoStream)),
        (Lie::Header(Field::Magic, 0x504D_474C), |look| look == Poll::Nothing(Waiting::Foreign(Foreign::LookingGlass))),
        (Lie::Header(Field::Channels, 9), |look| is_corrupt(look, "channels")),
        (Lie::Header(Field::SampleSize, 8), |look| is_corrupt(look, "sample_size")),
        (Lie::Header(Field::SampleRate, 0), |look| is_corrupt(look, "sample_rate")),
        (Lie::Header(Field::ChunkSize, 3_841), |look| is_corrupt(look, "chunk_size")),
        (Lie::Header(Field::MaxChunks, 1), |look| is_corrupt(look, "max_chunks")),
        (Lie::Header(Field::Offset, 3), |look| is_corrupt(look, "offset")),
        (Lie::WipeDuringChunk, |look| look == Poll::Nothing(Waiting::NoStream)),
        (Lie::Garbage { seed: 3 }, |look| matches!(look, Poll::Nothing(Waiting::Foreign(Foreign::Unknown(_))))),
        (Lie::Index(65_535), |look| is_corrupt(look, "write_idx")),
    ];
    for (lie, seen_through) in cases {
        let mut listener = Listener::new(numbered().order(StoreOrder::X64));
        assert!(listener.numbers(ms(500)).len() > 20);
        listener.perform(Event::Lie(lie));
        // Less than a chunk, so that the index stays what the lie made of it.
        listener.listen(ms(10), |_, _, _| {});
        assert!(seen_through(listener.last), "{lie:?}: {:?}", listener.last);
        if lie == Lie::Index(65_535) {
            listener.perform(Event::Lie(Lie::Index(7)));
        }
        listener.perform(Event::Lie(Lie::Truth));
        let heard = listener.numbers(ms(500));
        assert!(heard.len() >= 23, "{lie:?}: {heard:?}");
    }
}

fn is_corrupt(look: Poll, field: &str) -> bool {
    matches!(look, Poll::Nothing(Waiting::Corrupt(corrupt)) if corrupt.field == field)
}

#[test]
fn a_second_writer_spoils_the_newest_chunk() {
    let mut guest = numbered().build().unwrap();
    guest.advance(START).unwrap();
    guest.advance(START + ms(20)).unwrap();
    guest.perform(Event::Lie(Lie::Scribble), START + ms(20)).unwrap();
    let slot_1 = guest.region().span(24 + 3_840, 3_840).unwrap().read_array::<3_840>(0).unwrap();
    assert!(slot_1[..1_920].iter().all(|byte| *byte == 0xA5) && slot_1[1_920..].iter().all(|byte| *byte == 0));
}

#[test]
fn dropped_chunks_are_missing_without_a_mark() {
    let mut listener = Listener::new(numbered());
    let mut heard = listener.numbers(ms(1_000));
    listener.perform(Event::Drop(3));
    heard.extend(listener.numbers(ms(1_000)));
    let jumps: Vec<u32> = heard.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step != 1).collect();
    assert_eq!(jumps, [4]);
    assert_eq!(listener.reader.counters().lost, 0, "the index did not move for them");
}

#[test]
fn waking_when_it_is_due_is_enough_and_never_in_vain() {
    let pacing = Pacing { lateness: ms(3), drift_ppm: -250.0, ..Pacing::SLOW_TICKS };
    let other = Format::new(44_100, 16, 2, 3).unwrap();
    let mut guest = numbered().pacing(pacing).at(ms(700), Event::Switch(other)).build().unwrap();
    guest.advance(START).unwrap();
    let mut now = START;
    for _ in 0..2_000 {
        let due = guest.next_due().unwrap();
        assert!(due > now, "{due:?} after {now:?}");
        assert_eq!(guest.advance(HostTime::from_ns(due.as_ns() - 1)).unwrap(), Progress::default());
        let progress = guest.advance(due).unwrap();
        assert!(progress.published > 0 || progress.events > 0);
        now = due;
    }
}

#[test]
fn a_guest_that_is_called_a_day_late_writes_two_laps_and_is_up_to_date() {
    let mut guest = numbered().build().unwrap();
    guest.advance(START).unwrap();
    let day_chunks = 24 * 3_600 * 50;
    assert_eq!(guest.advance(START + Duration::from_secs(24 * 3_600)).unwrap().published, day_chunks);
    assert_eq!((guest.next_number(), guest.position()), (day_chunks, day_chunks * 960));
    let index = guest.region().span(4, 2).unwrap().read_array::<2>(0).unwrap();
    assert_eq!(u64::from(u16::from_le_bytes(index)), day_chunks % 546);
    let newest = guest.region().span(24 + day_chunks % 546 * 3_840, 4).unwrap().read_array::<4>(0).unwrap();
    assert_eq!(u64::from(u32::from_le_bytes(newest)), day_chunks - 1);
}

#[test]
fn the_same_seed_makes_the_same_guest() {
    let bytes = |seed| {
        let pacing = Pacing { lateness: ms(9), seed, ..Pacing::CALM };
        let mut guest = SoundGuest::builder().pacing(pacing).region_bytes(1 << 20).build().unwrap();
        let mut progress = Vec::new();
        for at in 0..300 {
            progress.push(guest.advance(START + ms(at * 7)).unwrap());
        }
        let mut region = vec![0; 1 << 20];
        guest.region().whole().copy_to(&mut region, Purpose::Read).unwrap();
        (progress, region)
    };
    assert!(bytes(4) == bytes(4));
    assert!(bytes(4).0 != bytes(5).0);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    assert!(matches!(SoundGuest::builder().bits(20).build(), Err(SimError::Format(_))));
    assert!(matches!(SoundGuest::builder().channels(0).build(), Err(SimError::Format(_))));
    let small = SoundGuest::builder().region_bytes(5_000).build();
    assert!(matches!(small, Err(SimError::Write(WriteError::NoRing { region_bytes: 5_000, chunk_bytes: 3_840 }))));
    assert!(matches!(SoundGuest::builder().region_bytes(0).build(), Err(SimError::Map(_))));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("region");
    Region::create(&path, 1 << 20).unwrap();
    let read_only = SoundGuest::builder().build_in(Region::open(&path, Access::ReadOnly).unwrap());
    assert!(matches!(read_only, Err(SimError::Write(WriteError::Access(AccessError::ReadOnly)))));
    let mut guest = numbered().build().unwrap();
    for event in [Event::Pause, Event::Lie(Lie::Truth), Event::Stall(ms(1))] {
        assert!(matches!(guest.perform(event, START), Err(SimError::Write(WriteError::NotOpen))), "{event:?}");
    }
}
