//! A guest that lies: plausible headers that are not true, indices that jump, rubbish while it is read. Nothing may
//! panic, and no call may do more than look at the header and copy one chunk.

use crate::scream_rig::{Rig, driver_header, stereo};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use proptest::prelude::*;
use shm_proto::guest_sim::dice;
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::{MAX_CHUNK_BYTES, Poll, Reader};
use shm_proto::{HostTime, Region};

const REGION_BYTES: u64 = 96 << 10;

fn any_header() -> impl Strategy<Value = WireHeader> {
    let good = driver_header(stereo(), REGION_BYTES);
    let magic = prop_oneof![9 => Just(good.magic), 1 => any::<u32>()];
    let index = prop_oneof![3 => 0..good.max_chunks, 1 => any::<u16>()];
    let offset = prop_oneof![5 => Just(24u8), 2 => any::<u8>()];
    let slots = prop_oneof![5 => Just(good.max_chunks), 2 => 0..40u16, 1 => any::<u16>()];
    let chunk = prop_oneof![5 => Just(3_840u32), 2 => (0..50_000u32).prop_map(|n| n * 2), 1 => any::<u32>()];
    let rate = prop_oneof![5 => Just(1u8), 1 => any::<u8>()];
    let bits = prop_oneof![5 => prop::sample::select(vec![16u8, 24, 32]), 1 => any::<u8>()];
    let channels = prop_oneof![5 => 1..=8u8, 1 => any::<u8>()];
    (magic, index, offset, slots, chunk, rate, bits, channels, any::<u16>()).prop_map(
        |(magic, write_idx, offset, max_chunks, chunk_size, sample_rate, sample_size, channels, channel_map)| {
            WireHeader {
                magic,
                write_idx,
                offset,
                max_chunks,
                chunk_size,
                sample_rate,
                sample_size,
                channels,
                channel_map,
                ..WireHeader::default()
            }
        },
    )
}

/// What a look gave must make sense whatever the guest wrote.
fn check(look: Poll, reader: &Reader, pcm: &[u8]) {
    match look {
        Poll::Chunk(chunk) => {
            let layout = reader.layout().unwrap();
            assert_eq!(chunk.bytes, layout.chunk_bytes() as usize);
            assert!(chunk.bytes <= MAX_CHUNK_BYTES && chunk.waiting < u32::from(layout.slots()));
            assert!(
                pcm[chunk.bytes..].iter().take(64).all(|byte| *byte == 0xEE),
                "bytes behind the chunk were touched"
            );
        }
        Poll::Started(layout) => {
            let (format, frames) = (layout.format(), layout.chunk_frames());
            assert_eq!(frames * format.frame_bytes(), layout.chunk_bytes());
            assert!(layout.slot_offset(layout.whole_slots()) <= reader.region().len());
        }
        Poll::Nothing(_) | Poll::Torn => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_header_and_no_index_upsets_the_reader(
        steps in prop::collection::vec((any_header(), any::<bool>(), 0..2_000_000_000u64, 1..4u8), 1..60),
        seed: u64,
    ) {
        let region = Region::memfd("scream-hostile", REGION_BYTES).unwrap();
        let mut noise = vec![0; REGION_BYTES as usize];
        dice::fill(seed, &mut noise);
        region.whole().copy_from(&noise).unwrap();
        let mut reader = Reader::new(region.clone());
        let mut pcm = vec![0xEE; MAX_CHUNK_BYTES];
        let mut now = HostTime::ZERO;
        let mut header = driver_header(stereo(), REGION_BYTES);
        for (next, index_only, ns, looks) in steps {
            header = if index_only { WireHeader { write_idx: next.write_idx, ..header } } else { next };
            region.span(0, 24).unwrap().copy_from(&header.to_bytes()).unwrap();
            for _ in 0..looks {
                now = now + Duration::from_nanos(ns);
                pcm.fill(0xEE);
                let look = reader.poll(now, &mut pcm).unwrap();
                check(look, &reader, &pcm);
            }
        }
    }
}

#[test]
fn a_guest_that_writes_rubbish_over_the_header_all_the_time_is_survived() {
    let mut rig = Rig::started();
    let region = rig.writer.region().clone();
    let good = driver_header(stereo(), 2 << 20).to_bytes();
    let (enough, looks) = (AtomicBool::new(false), 40_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let header = region.span(0, 24).unwrap();
            // The bound is for the case that the reader panics.
            for at in (0..1 << 26).take_while(|_| !enough.load(Ordering::Relaxed)) {
                let mut bytes = good;
                // A few bytes of rubbish, so that many headers are plausible, and the index always.
                for change in 0..dice::roll_below(1, at, 4) {
                    let which = dice::roll(2, at * 8 + change);
                    bytes[(which % 24) as usize] = (which >> 32) as u8;
                }
                bytes[4..6].copy_from_slice(&(dice::roll_below(3, at, 600) as u16).to_le_bytes());
                header.copy_from(&bytes).unwrap();
            }
        });
        for look in 0..looks {
            rig.now = rig.now + Duration::from_micros(dice::roll_below(4, look, 300));
            if let Poll::Chunk(chunk) = rig.reader.poll(rig.now, &mut rig.pcm).unwrap() {
                assert_eq!(chunk.bytes, rig.reader.layout().unwrap().chunk_bytes() as usize);
            }
        }
        enough.store(true, Ordering::Relaxed);
    });
    let counters = rig.reader.counters();
    assert!(counters.chunks + counters.torn + counters.streams <= looks + 1, "{counters:?}");
    // It comes to its senses.
    rig.writer.open(stereo()).unwrap();
    rig.sleep_ms(1);
    rig.drain();
    rig.drain();
    let number = rig.publish();
    assert_eq!(rig.drain(), [number]);
}
