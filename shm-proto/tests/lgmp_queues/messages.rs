//! What arrives: each message once, in order, whole, and to whom it is meant.

use crate::rig::{ID, Rig, drain};
use shm_proto::lgmp::Subscription;
use shm_proto::lgmp::host_queue::Posted;
use shm_proto::lgmp::wire::{Layout, RING_ENTRIES, Waiting, Width};

fn lgmp_a_thousand_messages_arrive_in_order(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    let mut seen = Vec::new();
    for n in 0..1000 {
        assert_eq!(rig.post(n), Posted::Sent);
        if n % 3 == 1 {
            assert_eq!(rig.post(n + 100_000), Posted::Sent);
            assert_eq!(rig.post(0), Posted::Full);
        }
        seen.extend(drain(&client, &mut place).unwrap().into_iter().filter(|n| *n < 100_000));
        assert_eq!(rig.unfinished(), 0, "acknowledging retires the entry");
    }
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
}

fn lgmp_nobody_hears_what_was_posted_before(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    assert_eq!(rig.post(1), rig.unheard());
    let client = rig.joined(1);
    let mut first = Subscription::take(&client, ID).unwrap();
    rig.post(2);
    let mut second = Subscription::take(&client, ID).unwrap();
    rig.post(3);
    assert_eq!(drain(&client, &mut first), Ok(vec![2, 3]));
    assert_eq!(drain(&client, &mut second), Ok(vec![3]));
    let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
    assert_eq!(queue.take_newcomers(region, layout), Ok(2));
    assert_eq!(queue.take_newcomers(region, layout), Ok(0));
}

fn lgmp_two_viewers_each_get_everything_and_the_slower_one_holds_the_ring(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let (a, b) = (rig.joined(1), rig.joined(2));
    let mut pa = Subscription::take(&a, ID).unwrap();
    let mut pb = Subscription::take(&b, ID).unwrap();
    assert_eq!((pa.place(), pb.place()), (0, 1));
    rig.post(1);
    rig.post(2);
    assert_eq!(drain(&a, &mut pa), Ok(vec![1, 2]));
    assert_eq!(rig.post(3), Posted::Full, "b has not read");
    assert_eq!(drain(&b, &mut pb), Ok(vec![1, 2]));
    assert_eq!(rig.post(3), Posted::Sent);
    pa.unsubscribe(&a).unwrap();
    assert_eq!(drain(&b, &mut pb), Ok(vec![3]));
    pb.unsubscribe(&b).unwrap();
    assert_eq!(rig.post(4), rig.unheard());
}

fn lgmp_skipping_to_the_newest_acknowledges_the_older_ones(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    let mut skipped = 0;
    assert!(place.peek_newest(&client, &mut skipped).unwrap().is_none());
    for n in 1..=4 {
        rig.post(n);
    }
    let newest = place.peek_newest(&client, &mut skipped).unwrap().unwrap();
    assert_eq!((newest.udata.distrusted(), skipped, rig.unfinished()), (4, 3, 1));
    assert!(place.still_holds(&client, &newest).unwrap());
    place.acknowledge(&client).unwrap();
    assert_eq!(rig.unfinished(), 0);
}

fn lgmp_a_forged_acknowledgement_skips_the_message(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    for n in 1..=3 {
        rig.post(n);
    }
    place.ring().pending(&rig.region, layout, 1).unwrap().and_leaves_none(!1);
    assert_eq!(drain(&client, &mut place), Ok(vec![1, 3]));
    // Where a message may be for others, one without our mark was never ours.
    assert_eq!(place.not_ours(), u64::from(layout.manner.waiting != Waiting::Bit));
}

fn lgmp_a_message_for_others_is_passed_over_and_one_for_us_is_found(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    let (a, b) = (rig.joined(1), rig.joined(2));
    let mut pa = Subscription::take(&a, ID).unwrap();
    let mut pb = Subscription::take(&b, ID).unwrap();
    // Three messages, each for everybody; then the first and the third lose their mark for b, as if meant for a alone.
    for n in 1..=3 {
        rig.post(n);
    }
    for entry in [0, 2] {
        pb.ring().pending(&rig.region, layout, entry).unwrap().and_leaves_none(!0b10);
    }
    assert_eq!(drain(&b, &mut pb), Ok(vec![2]));
    assert_eq!(drain(&a, &mut pa), Ok(vec![1, 2, 3]));
    rig.post(4);
    assert_eq!((drain(&b, &mut pb), drain(&a, &mut pa)), (Ok(vec![4]), Ok(vec![4])));
    rig.beat_for(10);
    assert_eq!(rig.unfinished(), 0);
}

fn lgmp_a_ring_that_is_quite_full_is_read_from_its_oldest_message_on(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    for round in 0..7 {
        for n in 0..4 {
            assert_eq!(rig.post(round * 4 + n), Posted::Sent);
        }
        assert_eq!(rig.post(99), Posted::Full);
        let expected: Vec<u32> = (0..4).map(|n| round * 4 + n).collect();
        assert_eq!(drain(&client, &mut place), Ok(expected));
        assert!(place.peek(&client).unwrap().is_none());
        // An odd one in between, so that rounds begin at every entry.
        rig.post(round);
        assert_eq!(drain(&client, &mut place), Ok(vec![round]));
    }
}

fn lgmp_the_longest_ring_that_is_believed_is_read_to_its_end_and_round_again(layout: &'static Layout) {
    let longest = layout.ring.capacity(*RING_ENTRIES.end());
    let mut rig = Rig::new(layout, longest);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    assert_eq!(place.ring().entries(), *RING_ENTRIES.end());
    for round in 0..2 {
        for n in 0..longest {
            assert_eq!(rig.post(round + n), Posted::Sent);
        }
        assert_eq!(rig.post(0), Posted::Full);
        assert_eq!(drain(&client, &mut place), Ok((round..round + longest).collect()));
    }
}

fn lgmp_a_message_carries_as_many_bits_as_the_version_has(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    let (now, payload) = (rig.now_ms, rig.payload);
    let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
    queue.post(region, layout, 0x1234_5678_9ABC_DEF0, payload, now).unwrap();
    let udata = place.peek(&client).unwrap().unwrap().udata.distrusted();
    let wide = layout.entry.udata_width == Width::U64;
    assert_eq!(udata, if wide { 0x1234_5678_9ABC_DEF0 } else { 0x9ABC_DEF0 });
}

in_every_version!([
    lgmp_a_thousand_messages_arrive_in_order
    lgmp_nobody_hears_what_was_posted_before
    lgmp_two_viewers_each_get_everything_and_the_slower_one_holds_the_ring
    lgmp_skipping_to_the_newest_acknowledges_the_older_ones
    lgmp_a_forged_acknowledgement_skips_the_message
    lgmp_a_message_for_others_is_passed_over_and_one_for_us_is_found
    lgmp_a_ring_that_is_quite_full_is_read_from_its_oldest_message_on
    lgmp_the_longest_ring_that_is_believed_is_read_to_its_end_and_round_again
    lgmp_a_message_carries_as_many_bits_as_the_version_has
]);
