//! The conformance list of the wire reference, section 7, first half: what the header may hold.

use crate::scream_rig::{Rig, driver_header, numbered, stereo};
use core::ops::ControlFlow;
use core::time::Duration;
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::{Counters, Foreign, Format, Poll, StoreOrder, Waiting, Writer};

/// Reference, section 2.11.
#[test]
fn the_writer_makes_the_vector_of_the_reference_byte_by_byte() {
    let mut rig = Rig::started();
    rig.publish_many(7);
    let expected = [
        0x14, 0x20, 0x11, 0x11, 0x07, 0x00, 0x18, 0x00, 0x22, 0x02, 0x00, 0x00, 0x00, 0x0F, 0x00, 0x00, 0x01, 0x10,
        0x02, 0x00, 0x03, 0x00, 0x00, 0x00,
    ];
    assert_eq!(rig.writer.region().whole().read_array::<24>(0).unwrap(), expected);
    let newest = rig.writer.region().whole().read_array::<3840>(26_904).unwrap();
    assert!(newest[..] == numbered(7, 3840));
}

#[test]
fn every_format_of_the_driver_plays() {
    for rate_hz in [44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 64_000, 46_000, 50_000] {
        for bits in [16, 24, 32] {
            for channels in 1..=8 {
                let format = Format::new(rate_hz, bits, channels, 0xFFFF).unwrap();
                let (mut rig, layout) = Rig::started_as(2 << 20, driver_header(format, 2 << 20));
                assert_eq!(layout.format(), format);
                for sequence in 0..3 {
                    let number = rig.publish();
                    rig.sleep_ms(20);
                    let (chunk, got) = rig.chunk();
                    assert_eq!((chunk.sequence, got), (sequence, number), "{format}");
                    assert_eq!(chunk.bytes, format.chunk_bytes() as usize);
                }
            }
        }
    }
}

#[test]
fn no_prefix_of_the_stores_of_a_start_is_taken_for_a_stream() {
    for order in StoreOrder::ALL {
        for made in 0..=8 {
            let mut rig = Rig::new(2 << 20);
            rig.writer = Writer::new(rig.writer.region().clone(), order).unwrap();
            rig.poll();
            let mut left = made;
            let stop_after = |_| {
                left -= 1;
                if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            rig.writer.open_until(driver_header(stereo(), 2 << 20), stop_after).unwrap();
            let looks: Vec<Poll> = (0..5).map(|_| rig.poll()).collect();
            // The mask comes last on ARM64, and every mask is a mask.
            let whole = made == 8 || (order == StoreOrder::Arm64 && made == 7);
            let started = looks.iter().any(|look| matches!(look, Poll::Started(_)));
            assert_eq!(started, whole, "{order:?} after {made} stores: {looks:?}");
        }
    }
}

/// On ARM64 the magic is there before width, channels and mask. A look between any two stores must not settle on less
/// than the whole header.
#[test]
fn a_start_on_arm64_is_seen_whole_whenever_the_looks_fall() {
    for looks_after in 0..8 {
        let mut rig = Rig::new(2 << 20);
        rig.writer = Writer::new(rig.writer.region().clone(), StoreOrder::Arm64).unwrap();
        let (reader, pcm) = (&mut rig.reader, &mut rig.pcm);
        let mut now = rig.now;
        let mut look = || {
            now = now + Duration::from_micros(3);
            reader.poll(now, pcm).unwrap()
        };
        look();
        let mut made = 0;
        rig.writer
            .open_until(driver_header(stereo(), 2 << 20), |_| {
                if made == looks_after {
                    assert!(!matches!(look(), Poll::Started(_)));
                }
                made += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut starts = Vec::new();
        for _ in 0..100 {
            if let Poll::Started(layout) = look() {
                starts.push(layout.format());
            }
        }
        assert_eq!(starts, [stereo()], "looked after {looks_after} stores");
        assert_eq!(rig.reader.counters().corrupt, 0, "a header on its way is not damage");
    }
}

#[test]
fn a_header_must_stand_for_a_tenth_of_a_millisecond() {
    let mut rig = Rig::new(2 << 20);
    rig.poll();
    rig.writer.open(stereo()).unwrap();
    let first = rig.now;
    for (us, settled) in [(10, false), (60, false), (109, false), (110, true)] {
        let look = rig.reader.poll(first + Duration::from_micros(us), &mut rig.pcm).unwrap();
        assert_eq!(matches!(look, Poll::Started(_)), settled, "{us} us: {look:?}");
    }
}

#[test]
fn a_header_that_keeps_changing_never_settles() {
    let mut rig = Rig::new(2 << 20);
    rig.poll();
    for flip in 0..50u16 {
        let header = WireHeader { channel_map: flip, ..driver_header(stereo(), 2 << 20) };
        rig.writer.open_as(header).unwrap();
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling));
    }
    assert_eq!(rig.reader.counters(), Counters::default());
}

#[test]
fn each_field_out_of_range_is_reported_once_and_forgiven() {
    let good = driver_header(stereo(), 2 << 20);
    let cases = [
        ("offset", WireHeader { offset: 23, ..good }),
        ("max_chunks", WireHeader { max_chunks: 0, ..good }),
        ("max_chunks", WireHeader { max_chunks: 1, ..good }),
        ("write_idx", WireHeader { max_chunks: 3, ..good }),
        ("chunk_size", WireHeader { chunk_size: 0, ..good }),
        ("chunk_size", WireHeader { chunk_size: 3842, ..good }),
        ("chunk_size", WireHeader { chunk_size: u32::MAX, ..good }),
        ("sample_rate", WireHeader { sample_rate: 0, ..good }),
        ("sample_size", WireHeader { sample_size: 20, ..good }),
        ("channels", WireHeader { channels: 0, ..good }),
        ("channels", WireHeader { channels: 9, ..good }),
    ];
    for (field, bad) in cases {
        let mut rig = Rig::started();
        for _ in 0..5 {
            rig.publish();
            rig.chunk();
        }
        let whole = rig.writer.region().span(0, 24).unwrap();
        whole.copy_from(&WireHeader { write_idx: 5, ..bad }.to_bytes()).unwrap();
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling), "{field}");
        for _ in 0..10 {
            match rig.poll() {
                Poll::Nothing(Waiting::Corrupt(corrupt)) => assert_eq!(corrupt.field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        assert_eq!(rig.reader.counters().corrupt, 1, "{field}");
        let whole = rig.writer.region().span(0, 24).unwrap();
        whole.copy_from(&WireHeader { write_idx: 5, ..good }.to_bytes()).unwrap();
        rig.settle();
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing), "{field}: a chunk that was taken before is not new");
        let number = rig.publish();
        assert_eq!(rig.chunk().1, number, "{field}");
    }
}

#[test]
fn a_ring_of_eight_slots_goes_round_without_a_gap() {
    let format = Format::new(192_000, 32, 8, 0x63F).unwrap();
    let (mut rig, layout) = Rig::started_as(1 << 20, driver_header(format, 1 << 20));
    assert_eq!(layout.slots(), 8);
    for sequence in 0..100 {
        let number = rig.publish();
        rig.sleep_ms(19);
        let (chunk, got) = rig.chunk();
        assert_eq!((got, chunk.sequence, chunk.lost_before, chunk.waiting), (number, sequence, 0, 0));
    }
    assert_eq!(rig.reader.counters(), Counters { chunks: 100, streams: 1, ..Counters::default() });
}

/// 255 MiB hold 139 264 chunks of 16-bit mono at 48 kHz; 16 bits keep 8 192 of them.
#[test]
fn a_number_of_slots_that_wrapped_is_read_as_stored() {
    let bytes = 255 << 20;
    let header = driver_header(Format::new(48_000, 16, 1, 4).unwrap(), bytes);
    assert_eq!((bytes / 1920, header.max_chunks), (139_264, 8_192));
    let (mut rig, _) = Rig::started_as(bytes, header);
    rig.writer.jump_to(8_190).unwrap();
    rig.sleep_ms(8_190 * 20);
    rig.drain();
    for slot in [8_191, 0, 1] {
        let number = rig.publish();
        rig.sleep_ms(19);
        assert_eq!((rig.chunk().1, rig.writer.index()), (number, slot));
    }
}

#[test]
fn the_last_slot_past_the_end_is_lost_and_nothing_else() {
    let bytes = 10 * 3840;
    let (mut rig, layout) = Rig::started_as(bytes, driver_header(stereo(), bytes));
    assert_eq!((layout.slots(), layout.whole_slots()), (10, 9));
    for _ in 1..9 {
        rig.publish();
        rig.sleep_ms(19);
        rig.chunk();
    }
    rig.publish();
    rig.sleep_ms(19);
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    let number = rig.publish();
    rig.sleep_ms(19);
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before), (number, 9, 1));
    // The same in a burst that leaps over it.
    for _ in 0..8 {
        rig.sleep_ms(14);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    }
    rig.publish_many(6);
    assert_eq!(rig.drain(), [11, 12, 13, 14, 15, 16]);
    for _ in 0..8 {
        rig.sleep_ms(14);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    }
    rig.publish_many(5);
    assert_eq!(rig.drain(), [17, 18, 20, 21]);
    assert_eq!(rig.reader.counters(), Counters { chunks: 19, lost: 2, streams: 1, ..Counters::default() });
}

#[test]
fn slots_start_where_the_header_says() {
    let header = WireHeader { offset: 200, max_chunks: 5, ..driver_header(stereo(), 1 << 20) };
    let (mut rig, _) = Rig::started_as(1 << 20, header);
    for _ in 0..12 {
        let number = rig.publish();
        rig.sleep_ms(19);
        assert_eq!(rig.chunk().1, number);
    }
    let slot = rig.writer.region().whole().read_array::<4>(200 + 2 * 3840).unwrap();
    assert_eq!(slot, 12u32.to_le_bytes(), "chunk 12 is in slot 2 behind 200 bytes");
}

#[test]
fn a_region_of_somebody_else_is_refused_by_name() {
    let cases = [
        (b"LGMP\x06\0\0\0", Foreign::LookingGlass),
        (&[0x23, 0x20, 0x03, 0x02, 0, 0, 0, 0], Foreign::StratoVirt),
        (b"RX-RING\0", Foreign::RxRing),
        (b"whatever", Foreign::Unknown(0x7461_6877)),
    ];
    for (bytes, owner) in cases {
        let mut rig = Rig::started();
        rig.writer.region().span(0, 8).unwrap().copy_from(bytes).unwrap();
        for _ in 0..3 {
            assert_eq!(rig.poll(), Poll::Nothing(Waiting::Foreign(owner)));
        }
        assert_eq!(rig.reader.counters().foreign, 1);
        rig.writer.open(stereo()).unwrap();
        rig.settle();
        assert_eq!(rig.reader.counters().restarts, 1);
    }
}
