//! The conformance list of the Scream wire reference, section 7, header and index: one test for each line.

mod scream_rig;

use core::ops::ControlFlow;
use core::time::Duration;
use scream_rig::{Rig, numbered, stereo};
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::{Counters, Foreign, Format, Poll, Reader, StoreOrder, Waiting, Writer};
use shm_proto::{Access, AccessError, Region};

fn driver_header(format: Format, region_bytes: u64) -> WireHeader {
    Writer::header_for(format, region_bytes).unwrap()
}

// ---- Header ------------------------------------------------------------------------------------------------------

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
    // The same with a backlog on both sides of it.
    rig.publish_many(6);
    rig.sleep_ms(6 * 20);
    assert_eq!(rig.drain(), [11, 12, 13, 14, 15, 16]);
    rig.publish_many(6);
    rig.sleep_ms(6 * 20);
    assert_eq!(rig.drain(), [17, 18, 20, 21, 22]);
    assert_eq!(rig.reader.counters(), Counters { chunks: 20, lost: 2, streams: 1, ..Counters::default() });
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

// ---- Index -------------------------------------------------------------------------------------------------------

#[test]
fn the_first_chunk_is_the_one_in_slot_1() {
    let mut rig = Rig::started();
    for _ in 0..30 {
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing), "index 0 says nothing yet");
    }
    let number = rig.publish();
    assert_eq!(rig.writer.index(), 1);
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before, chunk.waiting), (number, 0, 0, 0));
}

#[test]
fn a_jump_by_two_gives_both_in_order() {
    let mut rig = Rig::started();
    rig.publish();
    rig.chunk();
    rig.publish_many(2);
    rig.sleep_ms(31);
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.waiting), (2, 1, 1));
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.waiting), (3, 2, 0));
}

#[test]
fn a_burst_of_six_after_120_ms_loses_nothing() {
    let mut rig = Rig::started();
    rig.publish();
    rig.chunk();
    for _ in 0..119 {
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    }
    rig.publish_many(6);
    assert_eq!(rig.drain(), [2, 3, 4, 5, 6, 7]);
    assert_eq!(rig.reader.counters().restarts, 0);
}

#[test]
fn a_start_without_backlog_takes_the_newest_only() {
    let mut rig = Rig::started();
    rig.publish_many(5);
    rig.sleep_ms(100);
    rig.reader.skip_to_newest();
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before, chunk.waiting), (5, 4, 0, 0));
    assert_eq!(rig.reader.counters().skipped, 4);
    rig.publish_many(2);
    rig.sleep_ms(40);
    assert_eq!(rig.drain(), [6, 7], "it skips once");
}

#[test]
fn a_lap_of_the_whole_ring_while_asleep_is_counted() {
    // The ring has 546 slots; asleep for exactly one lap, a little more, and two laps.
    for published in [546, 547, 600, 1092, 1100] {
        let mut rig = Rig::started();
        rig.publish();
        rig.chunk();
        rig.publish_many(published);
        rig.sleep_ms(u64::from(published) * 20);
        let (chunk, got) = rig.chunk();
        assert_eq!(got, published + 1, "{published}: the newest");
        assert_eq!((chunk.sequence, chunk.lost_before), (published.into(), u64::from(published) - 1), "{published}");
        let counters = rig.reader.counters();
        assert_eq!((counters.laps, counters.lost, counters.restarts), (1, u64::from(published) - 1, 0), "{published}");
        rig.publish();
        rig.sleep_ms(19);
        assert_eq!(rig.chunk().0.sequence, u64::from(published) + 1, "{published}");
    }
}

#[test]
fn a_guest_that_slept_as_long_as_we_did_has_not_gone_round() {
    let mut rig = Rig::started();
    rig.publish_many(3);
    assert_eq!(rig.drain(), [1, 2, 3]);
    rig.sleep_ms(3 * 546 * 20);
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    rig.publish();
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before), (4, 3, 0));
    assert_eq!(rig.reader.counters().laps, 0);
}

#[test]
fn a_reader_that_dawdles_is_overtaken_and_loses_the_oldest() {
    let mut rig = Rig::started();
    rig.publish();
    rig.chunk();
    rig.publish_many(200);
    rig.sleep_ms(200 * 20);
    rig.chunk();
    rig.publish_many(200);
    rig.sleep_ms(200 * 20);
    rig.chunk();
    rig.publish_many(200);
    rig.sleep_ms(200 * 20);
    let (chunk, got) = rig.chunk();
    // 598 waited, 545 can be whole: the newest and those up to 544 behind it.
    assert_eq!((got, chunk.lost_before, chunk.waiting), (601 - 544, 53, 544));
    assert_eq!(rig.reader.counters().laps, 1);
    assert_eq!(rig.drain().len(), 544);
}

#[test]
fn a_restart_with_the_same_format_is_known_by_the_index() {
    let mut rig = Rig::started();
    for _ in 0..40 {
        rig.publish();
        rig.sleep_ms(19);
        rig.chunk();
    }
    rig.writer.close().unwrap();
    rig.writer.open(stereo()).unwrap();
    assert!(matches!(rig.poll(), Poll::Started(layout) if layout.format() == stereo()));
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing), "slot 0 is old sound");
    let number = rig.publish();
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence), (number, 0));
    assert_eq!(rig.reader.counters().restarts, 1);
}

/// After a pause every distance is possible in time; slot 0 tells that the index did not go round.
#[test]
fn a_restart_after_a_long_pause_plays_no_old_sound() {
    for taken in [1, 2, 40, 500, 544, 545, 546, 547, 900] {
        for paused_ms in [1, 100, 5_000, 60_000] {
            let mut rig = Rig::started();
            for _ in 0..taken {
                rig.publish();
                rig.sleep_ms(19);
                rig.chunk();
            }
            for _ in 0..10 {
                rig.sleep_ms(paused_ms / 10);
                rig.poll();
            }
            rig.writer.open(stereo()).unwrap();
            // Where the old index was 0, the restart shows only with the next chunk.
            assert!(rig.drain().is_empty(), "{taken} chunks, then {paused_ms} ms");
            let number = rig.publish();
            rig.sleep_ms(19);
            assert_eq!(rig.drain(), [number], "{taken} chunks, then {paused_ms} ms");
        }
    }
}

#[test]
fn a_ring_that_goes_round_in_silence_or_in_a_steady_tone_is_not_a_restart() {
    for fill in [0x00, 0x55] {
        let mut rig = Rig::started();
        for _ in 0..546 * 3 {
            rig.writer.publish(&[fill; 3840]).unwrap();
            rig.sleep_ms(19);
            assert!(matches!(rig.poll(), Poll::Chunk(_)));
        }
        assert_eq!(rig.reader.counters(), Counters { chunks: 546 * 3, streams: 1, ..Counters::default() });
    }
}

#[test]
fn an_index_that_jumps_further_than_time_allows_is_followed_to_the_newest_only() {
    let mut rig = Rig::started();
    rig.publish();
    rig.chunk();
    rig.writer.jump_to(99).unwrap();
    rig.publish();
    assert!(matches!(rig.poll(), Poll::Started(_)));
    assert_eq!(rig.drain(), [2]);
    assert_eq!(rig.reader.counters().restarts, 1);
}

#[test]
fn a_restart_with_another_format_within_a_millisecond_drops_the_old_sound() {
    let other = Format::new(44_100, 24, 2, 3).unwrap();
    let mut rig = Rig::started();
    rig.publish_many(10);
    rig.sleep_ms(180);
    rig.chunk();
    rig.writer.close().unwrap();
    rig.writer.open(other).unwrap();
    assert_eq!(rig.settle().format(), other);
    let number = rig.publish();
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.bytes, chunk.lost_before), (number, 0, 5292, 0));
    let counters = rig.reader.counters();
    assert_eq!((counters.lost, counters.restarts), (9, 1));
}

#[test]
fn a_header_left_by_a_dead_guest_plays_nothing() {
    let mut rig = Rig::new(2 << 20);
    rig.writer.open(stereo()).unwrap();
    rig.publish_many(300);
    rig.writer.abandon();
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling));
    for _ in 0..100 {
        rig.sleep_ms(1_000);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Stale));
    }
    assert_eq!((rig.reader.layout(), rig.reader.counters()), (None, Counters::default()));
    // The guest boots again.
    rig.writer.open(stereo()).unwrap();
    assert!(matches!(rig.poll(), Poll::Started(_)));
    assert!(rig.drain().is_empty());
    let number = rig.publish();
    assert_eq!(rig.drain(), [number]);
}

#[test]
fn a_stream_that_was_there_when_we_came_starts_with_its_next_chunk() {
    let mut rig = Rig::new(2 << 20);
    rig.writer.open(stereo()).unwrap();
    rig.publish_many(50);
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling));
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Stale));
    rig.publish_many(3);
    rig.sleep_ms(60);
    assert!(matches!(rig.poll(), Poll::Started(_)));
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before, chunk.waiting), (53, 0, 0, 0), "the newest, no backlog");
}

#[test]
fn a_stream_that_is_noticed_late_starts_with_its_newest_chunk() {
    let mut rig = Rig::new(2 << 20);
    rig.poll();
    rig.writer.open(stereo()).unwrap();
    rig.publish_many(4);
    rig.settle();
    assert_eq!(rig.drain(), [4]);
}

#[test]
fn a_wipe_during_the_copy_drops_the_copy() {
    // The copy is long enough, and the wiper quick enough, that many looks are hit; each must end in a whole chunk or
    // in a torn one.
    let format = Format::new(384_000, 32, 8, 0x63F).unwrap();
    let mut rig = Rig::new(8 << 20);
    rig.poll();
    let mut torn = 0;
    for _ in 0..2_000 {
        rig.writer.open(format).unwrap();
        while !matches!(rig.poll(), Poll::Started(_)) {}
        let number = rig.publish();
        rig.sleep_ms(20);
        let writer = &rig.writer;
        let (reader, pcm, now) = (&mut rig.reader, &mut rig.pcm, rig.now);
        let look = std::thread::scope(|scope| {
            let wiper = scope.spawn(move || writer.wipe_first().and_then(|()| writer.wipe_second()));
            let look = reader.poll(now, pcm).unwrap();
            wiper.join().unwrap().unwrap();
            look
        });
        match look {
            Poll::Chunk(chunk) => assert!(rig.pcm[..chunk.bytes] == numbered(number, chunk.bytes)),
            Poll::Torn => torn += 1,
            Poll::Nothing(Waiting::NoStream) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::NoStream));
    }
    assert_eq!(rig.reader.counters().torn, torn);
}

#[test]
fn a_pause_is_a_standing_index_and_goes_on_without_a_loss() {
    let mut rig = Rig::started();
    rig.publish_many(3);
    assert_eq!(rig.drain(), [1, 2, 3]);
    for _ in 0..1_000 {
        rig.sleep_ms(9);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    }
    rig.publish();
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before), (4, 3, 0));
}

#[test]
fn an_orderly_end_is_no_stream() {
    let mut rig = Rig::started();
    rig.publish_many(3);
    rig.sleep_ms(60);
    rig.chunk();
    rig.writer.close().unwrap();
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::NoStream));
    assert_eq!((rig.reader.layout(), rig.reader.counters().lost), (None, 2));
}

#[test]
fn a_chunk_of_a_weakly_ordered_guest_is_taken_a_little_later() {
    let mut rig = Rig::started();
    rig.reader = Reader::new(rig.writer.region().clone()).with_order(StoreOrder::Arm64);
    rig.poll();
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Stale));
    rig.publish();
    assert!(matches!(rig.poll(), Poll::Started(_)));
    rig.chunk();
    rig.publish();
    assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling));
    assert_eq!(rig.chunk().1, 2);
}

#[test]
fn a_buffer_that_is_too_short_is_an_error_and_loses_nothing() {
    let mut rig = Rig::started();
    rig.publish();
    let error = rig.reader.poll(rig.now, &mut [0; 3839]).unwrap_err();
    assert_eq!(error, AccessError::LengthMismatch { span: 3840, buffer: 3839 });
    assert_eq!(rig.chunk().1, 1);
}

#[test]
fn a_truncated_file_is_reported_and_a_new_one_plays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scream");
    let mut rig = Rig::new(2 << 20);
    rig.writer = Writer::new(Region::create(&path, 2 << 20).unwrap(), StoreOrder::X64).unwrap();
    rig.reader = Reader::new(Region::open(&path, Access::ReadOnly).unwrap());
    rig.poll();
    rig.writer.open(stereo()).unwrap();
    rig.settle();
    rig.publish_many(2);
    rig.sleep_ms(40);
    rig.chunk();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.reader.poll(rig.now, &mut rig.pcm), Err(AccessError::Gone));
    }
    // The VM starts again and makes a new file of the same name.
    std::fs::remove_file(&path).unwrap();
    rig.writer = Writer::new(Region::create(&path, 2 << 20).unwrap(), StoreOrder::X64).unwrap();
    let region = Region::open(&path, Access::ReadOnly).unwrap();
    assert_ne!(region.identity(), rig.reader.region().identity());
    rig.reader = Reader::new(region);
    rig.poll();
    rig.writer.open(stereo()).unwrap();
    rig.settle();
    let number = rig.publish();
    assert_eq!(rig.chunk().1, number);
}

#[test]
fn a_region_without_room_for_a_header_is_an_error() {
    let mut reader = Reader::new(Region::memfd("scream-rig", 16).unwrap());
    let error = reader.poll(shm_proto::HostTime::ZERO, &mut []).unwrap_err();
    assert_eq!(error, AccessError::OutOfBounds { offset: 0, len: 24, limit: 16 });
}
