//! Places and locks: taken, given back, lost, inherited, held by somebody who stopped.

use crate::rig::{ID, KEEP_MS, Rig, drain};
use shm_proto::lgmp::host::Block;
use shm_proto::lgmp::host_queue::Posted;
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::lgmp::wire::Layout;
use shm_proto::lgmp::{Subscription, Trouble};

fn lgmp_a_new_holder_of_a_place_does_not_inherit_unread_messages(layout: &'static Layout) {
    // The trap: a message posted for the former holder counts as the new holder's, who never reads it and goes bad.
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let gone = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    // It dies without a word; another program clears its place without clearing the bits, as stock viewers do.
    rig.words().set_subs(Default::default()).unwrap();
    let _never_unsubscribed = gone;
    let mut place = Subscription::take(&client, ID).unwrap();
    assert_eq!(place.place(), 0);
    rig.beat_for(3 * KEEP_MS);
    assert_eq!(rig.words().subs().unwrap().bad, 0, "not marked as bad");
    rig.post(2);
    assert_eq!(drain(&client, &mut place), Ok(vec![2]));
    assert_eq!(rig.unfinished(), 0);
}

fn lgmp_unsubscribing_leaves_no_bit_behind(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let place = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    let ring = place.ring();
    place.unsubscribe(&client).unwrap();
    for entry in 0..ring.entries() {
        assert_eq!(ring.pending(&rig.region, layout, entry).unwrap().load_acquire(), 0);
    }
    assert_eq!(rig.words().client_id(0).unwrap().load_acquire(), 0);
    rig.beat_for(10);
    assert_eq!(rig.unfinished(), 0, "the next beat retires what nobody owes");
}

fn lgmp_a_viewer_that_keeps_a_message_goes_bad_and_is_cleared_away_later(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let mut slow = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    assert!(slow.peek(&client).unwrap().is_some());
    rig.beat_for(KEEP_MS);
    assert!(slow.peek(&client).unwrap().is_some(), "a second is allowed");
    rig.beat_for(20);
    assert_eq!(slow.peek(&client).unwrap_err(), Trouble::TimedOut { id: ID });
    assert_eq!(slow.acknowledge(&client), Err(Trouble::TimedOut { id: ID }));
    assert_eq!(rig.unfinished(), 0, "its messages are let go");
    assert_eq!(rig.post(2), rig.unheard(), "a bad place gets nothing");
    // A new place is had at once, next to the bad one.
    let mut again = Subscription::take(&client, ID).unwrap();
    assert_eq!(again.place(), 1);
    rig.post(3);
    assert_eq!(drain(&client, &mut again), Ok(vec![3]));
    assert_eq!(slow.unsubscribe(&client), Err(Trouble::TimedOut { id: ID }), "a bad place is left alone");
    // After its grace the next newcomer clears it away and takes it.
    rig.beat_for(KEEP_MS + 20);
    // The grace is over by the stored heartbeat.
    rig.heartbeat();
    assert_eq!(Subscription::take(&client, ID).unwrap().place(), 0);
    assert_eq!(rig.words().subs().unwrap().on, 0b11);
}

fn lgmp_a_full_queue_says_so_and_changes_nothing(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let count = layout.queue.places;
    let places: Vec<_> = (0..count).map(|_| Subscription::take(&client, ID).unwrap()).collect();
    let before = rig.words().subs().unwrap();
    assert_eq!(Subscription::take(&client, ID).err(), Some(Trouble::QueueFull { id: ID, places: count }));
    assert_eq!(rig.words().subs().unwrap(), before);
    assert_eq!(places.last().map(Subscription::place), Some(count - 1));
    assert!(rig.words().try_lock(1).unwrap().is_some(), "the lock is free again");
}

fn lgmp_a_held_lock_costs_a_bounded_try_and_nothing_else(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    let region = rig.region.clone();
    // One byte or four, the rest is 0 here.
    let lock = QueueWords::new(&region, layout, 0).unwrap().u32(layout.queue.lock).unwrap();
    lock.store_release(1);
    assert_eq!(Subscription::take(&client, ID).err(), Some(Trouble::LockBusy { id: ID }));
    assert!(place.peek(&client).unwrap().is_some());
    place.acknowledge(&client).unwrap();
    assert_eq!(lock.load_acquire(), 1, "nobody repairs a lock");
    lock.store_release(0);
    assert_eq!(rig.unfinished(), 1, "the acknowledgement could not retire the entry");
    rig.beat_for(10);
    assert_eq!(rig.unfinished(), 0, "the producer's tick does");
    lock.store_release(1);
    assert_eq!(place.unsubscribe(&client), Err(Trouble::LockBusy { id: ID }));
    let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
    assert_eq!(queue.post(region, layout, 0, Block { offset: 0, size: 0 }, 0), Ok(Posted::LockBusy));
    rig.host.beat(rig.now_ms + 10).unwrap();
}

fn lgmp_a_place_with_another_name_on_it_is_not_ours(layout: &'static Layout) {
    // The session's number may repeat (15 bits on Windows), so the name in the place is compared too.
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    rig.words().client_id(0).unwrap().store_release(0xABCD);
    let before = rig.region.whole().read_array::<16384>(0).unwrap();
    assert_eq!(place.peek(&client).unwrap_err(), Trouble::PlaceLost { id: ID });
    assert_eq!(place.acknowledge(&client), Err(Trouble::PlaceLost { id: ID }));
    assert_eq!(place.unsubscribe(&client), Err(Trouble::PlaceLost { id: ID }));
    assert!(rig.region.whole().read_array::<16384>(0).unwrap() == before, "not a byte was written");
}

fn lgmp_names_are_those_the_producer_hands_out(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let names: Vec<u32> = (0..3).map(|n| rig.joined(n).session().unwrap().client_id).collect();
    let Some(at) = layout.header.next_client_id else {
        assert!(names.windows(2).all(|w| w[0] != w[1]), "drawn at random: {names:?}");
        return;
    };
    assert_eq!(names, [1, 2, 3]);
    let next = rig.region.whole().word::<u32>(at).unwrap();
    next.store_release(u32::MAX);
    assert_eq!(rig.joined(9).session().unwrap().client_id, 1, "0 is nobody's name");
}

fn lgmp_a_viewer_that_is_late_in_one_queue_is_late_where_the_version_says(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    rig.host.add_queue(8, 2, KEEP_MS as u32).unwrap();
    let client = rig.joined(1);
    let mut slow = Subscription::take(&client, ID).unwrap();
    let mut other = Subscription::take(&client, 8).unwrap();
    rig.post(1);
    rig.beat_for(KEEP_MS + 20);
    assert_eq!(slow.peek(&client).unwrap_err(), Trouble::TimedOut { id: ID });
    let bad = Err(Trouble::TimedOut { id: 8 });
    assert_eq!(other.peek(&client).map(|_| ()), if layout.manner.bad_everywhere { bad } else { Ok(()) });
}

in_every_version!([
    lgmp_a_new_holder_of_a_place_does_not_inherit_unread_messages
    lgmp_unsubscribing_leaves_no_bit_behind
    lgmp_a_viewer_that_keeps_a_message_goes_bad_and_is_cleared_away_later
    lgmp_a_full_queue_says_so_and_changes_nothing
    lgmp_a_held_lock_costs_a_bounded_try_and_nothing_else
    lgmp_a_place_with_another_name_on_it_is_not_ours
    lgmp_names_are_those_the_producer_hands_out
    lgmp_a_viewer_that_is_late_in_one_queue_is_late_where_the_version_says
]);
