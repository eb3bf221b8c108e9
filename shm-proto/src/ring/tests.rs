//! The ring on a region, case by case: what a reader finds, what it refuses, what it survives.

use super::*;
use crate::guest::Corrupt;
use crate::raw::map::{Access, Region};
use crate::span::AccessError;
use crate::time::HostTime;

const START: HostTime = HostTime::from_ns(1_000_000_000);

fn ring(slots: u32, payload_bytes: u32) -> (Region, Producer, Consumer) {
    let geometry = Geometry::new(slots, payload_bytes).unwrap();
    let region = Region::memfd("ring-test", geometry.region_bytes()).unwrap();
    let producer = Producer::create(&region, geometry).unwrap();
    let mut consumer = Consumer::attach(&region).unwrap();
    assert!(matches!(consumer.poll(START), State::Following { .. }));
    (region, producer, consumer)
}

fn publish(producer: &mut Producer, text: &str) -> u64 {
    producer.publish_bytes(Kind::Metadata, Durations::default(), text.as_bytes()).unwrap()
}

fn next(consumer: &mut Consumer) -> Result<(u64, String), Miss> {
    let mut buf = [0; 64];
    let taken = consumer.next(&mut buf)?;
    Ok((taken.seq, String::from_utf8_lossy(&buf[..taken.len]).into_owned()))
}

/// Overwrites a number in the region: a writer that lies.
fn scribble(region: &Region, offset: u64, bytes: &[u8]) {
    region.span(offset, bytes.len() as u64).unwrap().copy_from(bytes).unwrap();
}

#[test]
fn every_part_of_a_publication_arrives() {
    let (_region, mut producer, mut consumer) = ring(3, 5000);
    let ms = Duration::from_millis;
    let durations = Durations { since_capture: ms(3), since_previous: ms(16), covers: ms(20) };
    let payload: Vec<u8> = (0..5000u32).map(|i| (i * 31) as u8).collect();
    for kind in Kind::ALL {
        producer.publish_bytes(kind, durations, &payload).unwrap();
        let mut buf = vec![0; 5000];
        let taken = consumer.next(&mut buf).unwrap();
        assert_eq!((taken.kind, taken.len, taken.durations, taken.lapped), (kind, 5000, durations, 0));
        assert!(buf == payload);
    }
    assert_eq!(consumer.next(&mut [0; 5000]), Err(Miss::Nothing));
}

#[test]
fn a_caller_that_copies_itself_gets_the_newest_and_is_told_when_its_copy_was_torn() {
    let (_region, mut producer, mut consumer) = ring(2, 64);
    let read = |consumer: &mut Consumer, producer: &mut Producer, laps: u32| {
        let (mut text, mut calls) = ([0; 3], 0_u64);
        let taken = consumer.newest_with(|kind, payload| {
            calls += 1;
            assert_eq!(kind, Kind::Metadata);
            payload.copy_to(&mut text, crate::span::Purpose::Read)?;
            // The writer goes on while this copy is at work.
            for _ in 0..laps {
                publish(producer, "new");
            }
            Ok(())
        });
        (taken.map(|t| t.seq), text, calls)
    };
    publish(&mut producer, "old");
    assert_eq!(read(&mut consumer, &mut producer, 0), (Ok(1), *b"old", 1));
    assert_eq!(read(&mut consumer, &mut producer, 0).0, Err(Miss::Nothing));
    publish(&mut producer, "mid");
    let (taken, _, calls) = read(&mut consumer, &mut producer, 2);
    assert_eq!((taken, consumer.counters().torn), (Err(Miss::Overrun), calls));
    assert!((2..=4).contains(&calls), "{calls}");
    assert_eq!(read(&mut consumer, &mut producer, 1).0, Ok(10), "one more than was there");
    let gone = consumer.newest_with(|_, payload| payload.copy_to(&mut [0; 1], crate::span::Purpose::Read));
    assert_eq!(gone, Err(Miss::Gone), "what the caller could not copy was not taken");
}

#[test]
fn a_duration_longer_than_the_wire_can_say_is_one_hour() {
    let (_region, mut producer, mut consumer) = ring(2, 64);
    let durations = Durations { since_previous: Duration::from_secs(1_000_000), ..Durations::default() };
    producer.publish_bytes(Kind::Audio, durations, b"").unwrap();
    assert_eq!(consumer.next(&mut [0; 64]).unwrap().durations.since_previous, Duration::from_secs(3600));
}

#[test]
fn a_reader_that_comes_late_starts_with_the_newest() {
    let (region, mut producer, _) = ring(4, 64);
    for text in ["one", "two", "three"] {
        publish(&mut producer, text);
    }
    let mut late = Consumer::attach(&region).unwrap();
    late.poll(START);
    assert_eq!(next(&mut late), Ok((3, "three".into())));
    assert_eq!(next(&mut late), Err(Miss::Nothing));
}

#[test]
fn a_lapped_reader_goes_on_and_counts_what_it_lost() {
    let (_region, mut producer, mut consumer) = ring(4, 64);
    for n in 1..=10 {
        publish(&mut producer, &n.to_string());
    }
    // Half a ring behind the newest.
    let mut buf = [0; 64];
    let taken = consumer.next(&mut buf).unwrap();
    assert_eq!((taken.seq, taken.lapped), (9, 8));
    assert_eq!(next(&mut consumer), Ok((10, "10".into())));
    assert_eq!(consumer.counters(), Counters { taken: 2, lapped: 8, ..Counters::default() });
}

#[test]
fn the_newest_passes_over_the_others() {
    let (_region, mut producer, mut consumer) = ring(8, 64);
    for n in 1..=5 {
        publish(&mut producer, &n.to_string());
    }
    let taken = consumer.newest(&mut [0; 64]).unwrap();
    assert_eq!((taken.seq, taken.lapped), (5, 4));
    assert_eq!(consumer.newest(&mut [0; 64]), Err(Miss::Nothing));
    assert_eq!(consumer.next(&mut [0; 64]), Err(Miss::Nothing));
}

#[test]
fn readers_do_not_know_each_other_and_need_no_write_access() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    let geometry = Geometry::new(4, 64).unwrap();
    let mut producer = Producer::create(&Region::create(&path, 4096).unwrap(), geometry).unwrap();
    let mut readers: Vec<_> =
        (0..3).map(|_| Consumer::attach(&Region::open(&path, Access::ReadOnly).unwrap()).unwrap()).collect();
    for reader in &mut readers {
        reader.poll(START);
    }
    for text in ["a", "b"] {
        let number = publish(&mut producer, text);
        for reader in &mut readers {
            assert_eq!(next(reader), Ok((number, text.into())));
        }
    }
    let read_only = Region::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(Producer::create(&read_only, geometry).err(), Some(PublishError::Access(AccessError::ReadOnly)));
}

#[test]
fn a_restarted_writer_is_followed_into_its_new_geometry() {
    let (region, mut producer, mut consumer) = ring(4, 1024);
    publish(&mut producer, "old");
    assert_eq!(next(&mut consumer), Ok((1, "old".into())));
    let mut producer = Producer::create(&region, Geometry::new(16, 64).unwrap()).unwrap();
    publish(&mut producer, "new");
    assert_eq!(next(&mut consumer), Err(Miss::NoRing));
    assert!(matches!(consumer.poll(START), State::Following { generation, .. } if generation == producer.generation()));
    assert_eq!(consumer.geometry(), Some(producer.geometry()));
    assert_eq!(next(&mut consumer), Ok((1, "new".into())));
    assert_eq!(consumer.counters().restarts, 1);
}

#[test]
fn a_ring_that_was_wiped_and_made_again_is_noticed() {
    for _ in 0..20 {
        let (region, mut producer, mut consumer) = ring(4, 64);
        publish(&mut producer, "old");
        region.whole().fill(0).unwrap();
        let mut producer = Producer::create(&region, Geometry::new(4, 64).unwrap()).unwrap();
        publish(&mut producer, "new");
        assert_eq!(next(&mut consumer), Err(Miss::NoRing));
        consumer.poll(START);
        assert_eq!(next(&mut consumer), Ok((1, "new".into())));
    }
}

#[test]
fn a_payload_that_does_not_fit_changes_nothing() {
    let (_region, mut producer, mut consumer) = ring(2, 4);
    publish(&mut producer, "yes");
    let too_long = PublishError::TooLong { len_bytes: 5, room_bytes: 4 };
    assert_eq!(producer.publish_bytes(Kind::Audio, Durations::default(), b"hello"), Err(too_long));
    assert_eq!(producer.publish(Kind::Audio, Durations::default(), |_| Ok(5)), Err(too_long));
    assert_eq!(producer.published(), 1);
    assert_eq!(next(&mut consumer), Ok((1, "yes".into())));
    assert_eq!(next(&mut consumer), Err(Miss::Nothing));
    assert_eq!(publish(&mut producer, "next"), 2);
    assert_eq!(next(&mut consumer), Ok((2, "next".into())));
}

#[test]
fn a_buffer_that_is_too_small_loses_nothing() {
    let (_region, mut producer, mut consumer) = ring(2, 64);
    publish(&mut producer, "hello");
    let miss = Miss::BufferTooSmall { len_bytes: 5, buffer_bytes: 4 };
    assert_eq!(consumer.next(&mut [0; 4]), Err(miss));
    assert_eq!(consumer.newest(&mut [0; 4]), Err(miss));
    assert_eq!(next(&mut consumer), Ok((1, "hello".into())));
}

#[test]
fn silence_is_measured_by_the_readers_clock_and_ended_by_a_heartbeat() {
    let (_region, mut producer, mut consumer) = ring(2, 64);
    let silent = |consumer: &mut Consumer, now| match consumer.poll(now) {
        State::Following { silent_for, .. } => silent_for,
        other => panic!("{other:?}"),
    };
    let s = Duration::from_secs;
    assert_eq!(silent(&mut consumer, START + s(1)), s(1));
    // The writer's clock is another one; only that its word changes counts.
    producer.heartbeat(HostTime::from_ns(7)).unwrap();
    assert_eq!(silent(&mut consumer, START + s(2)), s(0));
    producer.heartbeat(HostTime::from_ns(7) + HEARTBEAT_EVERY / 2).unwrap();
    assert_eq!(silent(&mut consumer, START + s(3)), s(1));
    producer.heartbeat(HostTime::from_ns(7) + HEARTBEAT_EVERY).unwrap();
    assert_eq!(silent(&mut consumer, START + s(4)), s(0));
    publish(&mut producer, "x");
    assert_eq!(silent(&mut consumer, START + s(5)), s(0));
    assert_eq!(silent(&mut consumer, START + s(9)), s(4));
}

#[test]
fn what_is_not_a_ring_is_named() {
    let region = Region::memfd("ring-test", 4096).unwrap();
    let mut consumer = Consumer::attach(&region).unwrap();
    assert_eq!(consumer.poll(START), State::Absent);
    assert_eq!(consumer.next(&mut [0; 64]), Err(Miss::NoRing));
    // Whatever lies where the generation would be.
    for generation in [0u64, 1, 2] {
        scribble(&region, u64::from(wire::GENERATION.offset), &generation.to_le_bytes());
        scribble(&region, 0, b"[[KVMFR]");
        assert!(matches!(consumer.poll(START), State::Refused(Refusal::ForeignMagic { .. })), "{generation}");
        scribble(&region, 0, &[0; 8]);
        assert_eq!(consumer.poll(START), State::Absent, "{generation}");
    }
    scribble(&region, 0, &wire::MAGIC.to_le_bytes());
    scribble(&region, 8, &7u32.to_le_bytes());
    assert_eq!(consumer.poll(START), State::Refused(Refusal::Version { version: 7 }));
    for unready in [0u64, 5] {
        scribble(&region, u64::from(wire::GENERATION.offset), &unready.to_le_bytes());
        assert_eq!(consumer.poll(START), State::Starting);
    }
    let tiny = Region::memfd("ring-test", 191).unwrap();
    assert!(matches!(Consumer::attach(&tiny), Err(AccessError::OutOfBounds { .. })));
}

#[test]
fn a_header_that_lies_is_refused_and_counted_once() {
    let (region, producer, mut consumer) = ring(4, 64);
    scribble(&region, 16, &u32::MAX.to_le_bytes());
    scribble(&region, 32, &(producer.generation() + 2).to_le_bytes());
    for _ in 0..3 {
        let state = consumer.poll(START);
        assert!(matches!(state, State::Refused(Refusal::Corrupt(Corrupt { field: "slots", .. }))), "{state:?}");
        assert_eq!(consumer.next(&mut [0; 64]), Err(Miss::NoRing));
    }
    assert_eq!(consumer.counters().corrupt, 1);
    Producer::create(&region, Geometry::new(4, 64).unwrap()).unwrap();
    assert!(matches!(consumer.poll(START), State::Following { .. }));
}

#[test]
fn a_geometry_that_changes_within_a_generation_is_not_looked_at() {
    let (region, mut producer, mut consumer) = ring(4, 64);
    scribble(&region, 12, &[0xFF; 16]);
    consumer.poll(START);
    publish(&mut producer, "hello");
    assert_eq!(next(&mut consumer), Ok((1, "hello".into())));
}

#[test]
fn a_corrupt_publication_is_counted_and_passed_over() {
    let first_slot = u64::from(wire::HEADER_BYTES);
    let cases: [(&str, u64, &[u8]); 5] = [
        ("kind", 8, &9u32.to_le_bytes()),
        ("len", 12, &65u32.to_le_bytes()),
        ("since_capture_ns", 16, &u64::MAX.to_le_bytes()),
        ("since_previous_ns", 24, &(wire::MAX_DURATION_NS + 1).to_le_bytes()),
        ("covers_ns", 32, &u64::MAX.to_le_bytes()),
    ];
    for (field, offset, bytes) in cases {
        let (region, mut producer, mut consumer) = ring(2, 64);
        publish(&mut producer, "bad");
        publish(&mut producer, "good");
        scribble(&region, first_slot + offset, bytes);
        let miss = next(&mut consumer);
        assert!(matches!(miss, Err(Miss::Corrupt(Corrupt { field: f, .. })) if f == field), "{field}: {miss:?}");
        assert_eq!(next(&mut consumer), Ok((2, "good".into())), "{field}");
        assert_eq!(consumer.counters().corrupt, 1);
    }
}

#[test]
fn a_writer_that_starts_over_without_saying_so_is_caught_up_with() {
    let (region, mut producer, mut consumer) = ring(4, 64);
    for n in 1..=7 {
        publish(&mut producer, &n.to_string());
    }
    assert_eq!(consumer.newest(&mut [0; 64]).unwrap().seq, 7);
    // The same generation again, counting from 1.
    let generation = producer.generation();
    let mut producer = Producer::create(&region, producer.geometry()).unwrap();
    scribble(&region, u64::from(wire::GENERATION.offset), &generation.to_le_bytes());
    publish(&mut producer, "again");
    assert_eq!(next(&mut consumer), Err(Miss::Nothing));
    consumer.poll(START);
    assert_eq!(next(&mut consumer), Ok((1, "again".into())));
    assert_eq!(consumer.counters().corrupt, 1);
}

#[test]
fn a_count_that_lies_costs_four_attempts_and_no_more() {
    let word = |n: u64| n.to_le_bytes();
    for published in [u64::MAX, wire::MAX_NUMBER, wire::MAX_NUMBER + 1, 1 << 40, 99] {
        let (region, mut producer, mut consumer) = ring(4, 64);
        publish(&mut producer, "one");
        scribble(&region, u64::from(wire::PUBLISHED.offset), &word(published));
        for _ in 0..100 {
            assert!(matches!(consumer.newest(&mut [0; 64]), Err(Miss::Corrupt(_))), "{published}");
            consumer.poll(START);
            let _ = consumer.next(&mut [0; 64]);
        }
        assert_eq!(consumer.counters().torn, 0);
    }
    // Every slot says that it holds something later than whatever is asked for.
    let (region, mut producer, mut consumer) = ring(4, 64);
    publish(&mut producer, "one");
    for slot in 0..4 {
        scribble(&region, 192 + slot * 128, &word(u64::MAX));
    }
    scribble(&region, u64::from(wire::PUBLISHED.offset), &word(wire::MAX_NUMBER));
    assert_eq!(consumer.next(&mut [0; 64]), Err(Miss::Overrun));
    assert_eq!(consumer.newest(&mut [0; 64]), Err(Miss::Overrun));
}

#[test]
fn a_file_that_shrinks_ends_in_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    let geometry = Geometry::new(2, 1 << 16).unwrap();
    let region = Region::create(&path, geometry.region_bytes()).unwrap();
    let mut producer = Producer::create(&region, geometry).unwrap();
    let mut consumer = Consumer::attach(&Region::open(&path, Access::ReadOnly).unwrap()).unwrap();
    consumer.poll(START);
    producer.publish_bytes(Kind::VideoFrame, Durations::default(), &[1; 1 << 16]).unwrap();
    std::fs::File::create(&path).unwrap();
    assert_eq!(consumer.next(&mut vec![0; 1 << 16]), Err(Miss::Gone));
    assert_eq!(consumer.poll(START), State::Gone);
    let gone = producer.publish_bytes(Kind::VideoFrame, Durations::default(), &[1; 1 << 16]);
    assert_eq!(gone, Err(PublishError::Access(AccessError::Gone)));
    assert_eq!(producer.heartbeat(START), Err(AccessError::Gone));
}

#[test]
fn a_ring_does_not_fit_in_a_smaller_region() {
    let geometry = Geometry::new(2, 64).unwrap();
    let region = Region::memfd("ring-test", geometry.region_bytes() - 1).unwrap();
    assert!(matches!(Producer::create(&region, geometry), Err(PublishError::Access(AccessError::OutOfBounds { .. }))));
}

/// Publishes in the middle of a reader's copy, which no thread could do so exactly.
#[test]
fn a_copy_that_the_writer_runs_over_is_dropped_and_counted() {
    let (region, mut producer, _) = ring(4, 64);
    let memory = memory::Mapped::new(&region, producer.geometry());
    let mut at = protocol::Position::before_newest(&memory, producer.generation(), 4).unwrap();
    publish(&mut producer, "torn");
    let mut slots = Vec::new();
    let outcome = at.next(&memory, |slot| {
        // The first copy sees four more publications come, so the last of them is written over the one being copied.
        if slots.is_empty() {
            for text in ["2", "3", "4", "5"] {
                publish(&mut producer, text);
            }
        }
        slots.push(slot);
        Ok::<_, AccessError>(slot)
    });
    // Half a ring behind the newest.
    let got = outcome.unwrap().unwrap();
    assert_eq!((got.number, got.lapped, got.value, at.torn), (4, 3, 3, 1));
    // A writer that does it every time is given up on.
    at.accept(5);
    publish(&mut producer, "6");
    let outcome = at.newest(&memory, |slot| {
        for text in ["a", "b", "c", "d"] {
            publish(&mut producer, text);
        }
        Ok::<_, AccessError>(slot)
    });
    assert_eq!((outcome.unwrap(), at.torn), (Err(protocol::Miss::Overrun), 5));
    // A restart in the middle is a restart, not a tear.
    let outcome = at.newest(&memory, |slot| {
        Producer::create(&region, Geometry::new(2, 64).unwrap()).unwrap();
        Ok::<_, AccessError>(slot)
    });
    assert_eq!((outcome.unwrap(), at.torn), (Err(protocol::Miss::Restarted), 5));
}
