//! The sound path asks for no memory, whatever happens on it: counted by the allocator around the engine's own calls.

use core::time::Duration;
use scream_rx::channels::Layout;
use scream_rx::counters::Counters;
use scream_rx::ending::Length;
use scream_rx::playout;
use scream_rx::sink::{SinkFormat, Source};
use scream_rx::stream;
use scream_rx::target::Wishes;
use scream_rx::timing;
use shm_proto::HostTime;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;
use std::sync::Arc;

const PERIOD_MS: u64 = 5;

#[test]
fn no_fill_allocates_through_gaps_steps_silence_and_new_formats() {
    let counters = Arc::<Counters>::default();
    let (mut engine, mut streams) =
        playout::engine(HostTime::ZERO, Wishes::default(), Length::Endless, Arc::clone(&counters));
    let (tap, mut events) = timing::tap();
    engine.set_tap(tap);
    let sink = SinkFormat { rate_hz: 48_000, layout: Layout::alsa(6) };
    engine.open(sink);
    let formats = [(48_000, 16, 2, 3), (44_100, 24, 6, 0x3F), (96_000, 32, 8, 0x63F), (192_000, 16, 1, 4)];
    let mut out = vec![0.0; 6 * 240];
    let (mut feed, mut next, mut allocations, mut fills) = (None, 0u64, 0, 0);
    let mut pcm = Vec::new();
    for ms in (0..60_000).step_by(PERIOD_MS as usize) {
        let now = HostTime::ZERO + Duration::from_millis(1000 + ms);
        // Every seven seconds another format.
        if ms % 7_000 == 0 {
            let (rate_hz, bits, channels, mask) = formats[(ms / 7_000) as usize % formats.len()];
            let format = Format::new(rate_hz, bits, channels, mask).unwrap();
            drop(feed.take());
            streams.collect();
            let (new, made, _) = stream::open(format, sink, 0.3).unwrap();
            streams.send(made);
            pcm.resize(format.chunk_bytes() as usize, 0);
            (feed, next) = (Some(new), 0);
        }
        let Some(feed) = feed.as_mut() else { continue };
        // A stall of 60 ms, a loss, a second of silence, and 30 ms that are never sent.
        let stalled = (2_000..2_060).contains(&(ms % 7_000));
        if ms % 20 == 0 && ms % 7_000 > 0 && !stalled {
            let chunks = if ms % 7_000 == 2_060 { 4 } else { 1 };
            for _ in 0..chunks {
                let format = feed.format();
                let silent = (3_000..4_000).contains(&(ms % 7_000));
                let tone = if silent { Tone::Silence } else { Tone::DEFAULT };
                tone.render(next, 0, &format, &mut pcm);
                if ms % 7_000 != 5_000 {
                    feed.go_on_at(next);
                    let pushed = allocation_counter::measure(|| {
                        feed.push(&pcm, now);
                    });
                    allocations += pushed.count_total;
                }
                next += u64::from(format.chunk_frames()) - if ms % 7_000 == 2_500 { 400 } else { 0 };
            }
        }
        let filled = allocation_counter::measure(|| {
            engine.fill(&mut out, now, Duration::from_millis(10));
        });
        allocations += filled.count_total;
        fills += 1;
        while events.pop().is_ok() {}
    }
    let c = &counters.playout;
    println!("{fills} fills, {allocations} allocations, {} starts, {} gaps", c.starts.get(), c.gaps.get());
    assert!(c.starts.get() >= 9 && c.gaps.get() >= 9, "it met what it was to meet: {} gaps", c.gaps.get());
    assert_eq!(allocations, 0);
}
