//! The work of `scream-rx` for a second of sound: chunks into the feed, and what a sink asks for out of the engine; and
//! that of the reader of shared memory for a chunk, and for a look in vain.

use anyhow::ensure;
use scream_rx::channels::Layout;
use scream_rx::counters::Counters;
use scream_rx::ending::Length;
use scream_rx::playout::{self, Playout};
use scream_rx::sink::{SinkFormat, Source};
use scream_rx::stream::{self, Feed};
use scream_rx::target::Wishes;
use shm_proto::scream::{CHUNK_TIME, Format, Poll, Reader, StoreOrder, Writer};
use shm_proto::{HostTime, Region};
use std::sync::Arc;
use std::time::Duration;

const START: HostTime = HostTime::from_ns(1 << 40);
/// What the sink asks for at a time. Unit: frames.
const PERIOD: u32 = 256;
/// What the sink says of its delay: two periods at 48 kHz.
const SINK_DELAY: Duration = Duration::from_nanos(10_666_667);

/// An engine with the intake's end of it, in simulated time.
#[derive(Debug)]
struct Player {
    engine: Playout,
    feed: Feed,
    counters: Arc<Counters>,
    chunk: Vec<u8>,
    out: Vec<f32>,
    sink_hz: u32,
    chunks: u32,
    fills: u64,
}

impl Player {
    fn new((rate_hz, bits, channels): (u32, u8, u8), sink_hz: u32) -> anyhow::Result<Player> {
        let counters = Arc::<Counters>::default();
        let wishes = Wishes::default();
        let (mut engine, mut streams) = playout::engine(START, wishes, Length::Endless, Arc::clone(&counters));
        let sink = SinkFormat { rate_hz: sink_hz, layout: Layout::STEREO };
        engine.open(sink);
        let format = Format::new(rate_hz, bits, channels, 0)?;
        let (feed, stream, _) = stream::open(format, sink, wishes.longest_s)?;
        streams.send(stream);
        // Neither silence, which is told apart, nor the same sample again and again.
        let chunk = (0..format.chunk_bytes()).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let out = vec![0.0; PERIOD as usize * 2];
        Ok(Player { engine, feed, counters, chunk, out, sink_hz, chunks: 0, fills: 0 })
    }

    /// Plays on for a second.
    fn second(&mut self) {
        let until = START + CHUNK_TIME * (self.chunks + 50);
        loop {
            let next_chunk = START + CHUNK_TIME * (self.chunks + 1);
            let next_fill_ns = self.fills * u64::from(PERIOD) * 1_000_000_000 / u64::from(self.sink_hz);
            let next_fill = START + Duration::from_nanos(next_fill_ns);
            if next_chunk.min(next_fill) > until {
                return;
            }
            if next_chunk <= next_fill {
                self.feed.push(&self.chunk, next_chunk);
                self.chunks += 1;
            } else {
                self.engine.fill(&mut self.out, next_fill, SINK_DELAY);
                self.fills += 1;
            }
        }
    }
}

/// Plays `seconds` of sound of this rate, these bits and channels into a stereo sink.
///
/// # Errors
/// What the engine says, or that it did not play.
pub fn seconds(format: (u32, u8, u8), sink_hz: u32, seconds: u32) -> anyhow::Result<()> {
    let mut player = Player::new(format, sink_hz)?;
    (0..seconds).for_each(|_| player.second());
    ensure!(player.engine.place().is_some(), "nothing plays");
    let gaps = player.counters.playout.gaps.get();
    ensure!(gaps == 0, "{gaps} gaps in even sound");
    Ok(())
}

fn reader() -> anyhow::Result<(Writer, Reader, Vec<u8>)> {
    let format = Format::new(48_000, 16, 2, 3)?;
    let region = Region::memfd("work", 2 << 20)?;
    let reader = Reader::new(region.clone()).with_order(StoreOrder::X64);
    let mut writer = Writer::new(region, StoreOrder::X64)?;
    writer.open(format)?;
    Ok((writer, reader, vec![1; format.chunk_bytes() as usize]))
}

/// Reads so many chunks, each written before.
///
/// # Errors
/// What reader or writer say, or that a chunk did not come.
pub fn chunks(times: u32) -> anyhow::Result<()> {
    let (mut writer, mut reader, mut pcm) = reader()?;
    let source = pcm.clone();
    let mut taken = 0;
    // The first is where the reader joins.
    for n in 0..=times {
        writer.publish(&source)?;
        let now = START + CHUNK_TIME * n;
        while let polled @ (Poll::Chunk(_) | Poll::Started(_)) = reader.poll(now, &mut pcm)? {
            taken += u32::from(matches!(polled, Poll::Chunk(_)));
        }
    }
    ensure!(taken >= times, "{taken} of {times} chunks came");
    Ok(())
}

/// Looks so many times for a chunk that is not there.
///
/// # Errors
/// What reader or writer say.
pub fn looks(times: u32) -> anyhow::Result<()> {
    let (mut writer, mut reader, mut pcm) = reader()?;
    for n in 0..3 {
        writer.publish(&pcm)?;
        while !matches!(reader.poll(START + CHUNK_TIME * n, &mut pcm)?, Poll::Nothing(_)) {}
    }
    let now = START + CHUNK_TIME * 3;
    for n in 0..times {
        let polled = reader.poll(now + Duration::from_micros(n.into()), &mut pcm)?;
        ensure!(matches!(polled, Poll::Nothing(_)), "a chunk came that nobody wrote");
    }
    Ok(())
}
