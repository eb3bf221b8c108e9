//! The conformance list of the wire reference, section 7, second half: what the index tells, and where streams begin and
//! end.

use crate::scream_rig::{Rig, driver_header, numbered, stereo};
use shm_proto::scream::{Counters, Format, Poll, Reader, StoreOrder, Waiting, Writer};
use shm_proto::{Access, AccessError, Region};

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
fn a_backlog_that_the_guest_catches_up_with_loses_its_oldest() {
    let format = Format::new(192_000, 32, 8, 0x63F).unwrap();
    let (mut rig, _) = Rig::started_as(1 << 20, driver_header(format, 1 << 20));
    rig.publish();
    rig.chunk();
    for _ in 0..8 {
        rig.sleep_ms(14);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Standing));
    }
    rig.publish_many(6);
    assert_eq!(rig.chunk().0.waiting, 5);
    rig.publish_many(4);
    // Nine wait in a ring of eight; the slot behind the newest may be half-written.
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.lost_before, chunk.waiting), (5, 2, 6));
    assert_eq!(rig.reader.counters().laps, 1);
    assert_eq!(rig.drain(), [6, 7, 8, 9, 10, 11]);
}

/// Nobody saw what the guest did meanwhile: it may have started again and died over a chunk.
#[test]
fn an_index_that_went_round_unwatched_is_followed_to_the_newest_only() {
    let mut rig = Rig::started();
    rig.publish();
    rig.chunk();
    rig.publish_many(500);
    rig.sleep_ms(500 * 20);
    assert_eq!(rig.chunk().0.waiting, 499);
    rig.publish_many(200);
    rig.sleep_ms(200 * 20);
    let (chunk, got) = rig.chunk();
    assert_eq!((got, chunk.sequence, chunk.lost_before, chunk.waiting), (701, 700, 698, 0));
    assert_eq!(rig.reader.counters().restarts, 0);
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
    assert_eq!(rig.reader.counters(), Counters { chunks: 1, streams: 1, ..Counters::default() });
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
    // in a torn one, or see before the copy that the header is going.
    let format = Format::new(384_000, 32, 8, 0x63F).unwrap();
    let mut rig = Rig::new(8 << 20);
    rig.poll();
    let mut torn = 0;
    for _ in 0..500 {
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
            // `Settling`: the header was read with some of its fields wiped and others not yet.
            Poll::Nothing(Waiting::NoStream | Waiting::Settling) => {}
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
fn a_look_between_the_words_of_a_wipe_is_an_orderly_end() {
    // The header is read as three words, so the last one or two may be wiped already while the first is not yet.
    for (from, words) in [(8, "two"), (16, "one")] {
        let mut rig = Rig::started();
        rig.publish_many(3);
        rig.sleep_ms(60);
        rig.chunk();
        rig.writer.region().span(from, 24 - from).unwrap().fill(0).unwrap();
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::Settling), "{words}");
        rig.writer.close().unwrap();
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::NoStream), "{words}");
        let counters = rig.reader.counters();
        assert_eq!((rig.reader.layout(), counters.lost, counters.corrupt, counters.torn), (None, 2, 0, 0), "{words}");
    }
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
