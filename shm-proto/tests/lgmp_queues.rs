//! The viewer's side of LGMP against the producer's, in virtual time: order, places, heartbeats, locks, mailbox.

use shm_proto::lgmp::host::{Block, Host, HostError, MagicOrder, QueueHandle};
use shm_proto::lgmp::host_queue::Posted;
use shm_proto::lgmp::mailbox;
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::lgmp::wire::{LAYOUTS, Layout, RING_ENTRIES, V5, V6, V7, V10, V12, Waiting, Width};
use shm_proto::lgmp::{Client, Status, Subscription, Trouble};
use shm_proto::{HostTime, Region};

const ID: u32 = 7;
const KEEP_MS: u64 = 1000;

fn ms(n: u64) -> HostTime {
    HostTime::from_ns(n * 1_000_000)
}

struct Rig {
    region: Region,
    layout: &'static Layout,
    host: Host,
    queue: QueueHandle,
    payload: Block,
    now_ms: u64,
}

impl Rig {
    fn new(layout: &'static Layout, length: u32) -> Rig {
        Rig::in_region(layout, Region::memfd("lgmp", 1 << 20).unwrap(), length, 1)
    }

    fn in_region(layout: &'static Layout, region: Region, length: u32, seed: u32) -> Rig {
        let mut host = Host::start(&region, layout, MagicOrder::Last, seed, b"user data", 1).unwrap();
        let queue = host.add_queue(ID, length, KEEP_MS as u32).unwrap();
        let payload = host.allocate(4096, 4).unwrap();
        host.open().unwrap();
        Rig { region, layout, host, queue, payload, now_ms: 1 }
    }

    fn beat_for(&mut self, duration_ms: u64) {
        for _ in 0..duration_ms / 10 {
            self.now_ms += 10;
            self.host.beat(self.now_ms).unwrap();
        }
    }

    fn post(&mut self, udata: u32) -> Posted {
        let (now, payload) = (self.now_ms, self.payload);
        let (queue, region, layout) = self.host.queue(self.queue).unwrap();
        queue.post(region, layout, udata.into(), payload, now).unwrap()
    }

    /// As many beats as a stored heartbeat takes.
    fn heartbeat(&mut self) {
        self.beat_for(self.layout.manner.heartbeat_every_ms.max(10));
    }

    fn unfinished(&mut self) -> u32 {
        let (queue, region, layout) = self.host.queue(self.queue).unwrap();
        queue.unfinished(region, layout).unwrap()
    }

    fn joined(&mut self, seed: u64) -> Client {
        let mut client = Client::new(self.region.clone(), self.layout, seed);
        assert_eq!(client.poll(ms(self.now_ms)), Ok(Status::Waiting));
        self.heartbeat();
        assert_eq!(client.poll(ms(self.now_ms)), Ok(Status::Joined));
        client
    }

    /// What becomes of a message that nobody listens to; where it is posted all the same, nobody has to read it.
    fn unheard(&self) -> Posted {
        if self.layout.manner.posts_to_nobody { Posted::Sent } else { Posted::NobodyListens }
    }

    fn words(&self) -> QueueWords<'_> {
        QueueWords::new(&self.region, self.layout, 0).unwrap()
    }
}

/// Reads everything that waits, in order.
fn drain(client: &Client, place: &mut Subscription) -> Result<Vec<u32>, Trouble> {
    let mut seen = Vec::new();
    while let Some(message) = place.peek(client)? {
        seen.push(message.udata.distrusted() as u32);
        place.acknowledge(client)?;
    }
    Ok(seen)
}

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

fn lgmp_only_a_moving_heartbeat_is_joined(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let mut client = Client::new(rig.region.clone(), layout, 1);
    for at in (0..1000).step_by(100) {
        assert_eq!(client.poll(ms(at)), Ok(Status::Waiting), "{at}");
    }
    for at in (1000..5000).step_by(100) {
        assert_eq!(client.poll(ms(at)), Ok(Status::Frozen), "{at}");
        assert_eq!(client.session(), None);
    }
    rig.heartbeat();
    assert_eq!(client.poll(ms(5000)), Ok(Status::Joined));
    let session = client.session().unwrap();
    assert_eq!((session.id, session.client_id != 0), (rig.host.session_id(), true));
    for at in (5000..6000).step_by(100) {
        assert_eq!(client.poll(ms(at)), Ok(Status::Joined), "{at}");
    }
    assert_eq!(client.poll(ms(6000)), Ok(Status::Frozen), "it stood for a second");
    rig.heartbeat();
    assert_eq!(client.poll(ms(6100)), Ok(Status::Joined), "a paused machine goes on");
    assert_eq!(client.session(), Some(session), "as whom it was");
}

fn lgmp_the_first_timestamp_of_a_new_session_is_not_a_heartbeat(layout: &'static Layout) {
    let mut old = Rig::new(layout, 2);
    old.beat_for(500);
    let mut client = Client::new(old.region.clone(), layout, 1);
    client.poll(ms(0)).unwrap();
    // A new session stores its number and a first timestamp; nothing else of it may be there yet.
    let mut new = Rig::in_region(layout, old.region.clone(), 2, 99);
    assert_ne!((old.host.session_id(), old.now_ms), (new.host.session_id(), new.now_ms));
    assert_eq!(client.poll(ms(10)), Ok(Status::Waiting));
    new.heartbeat();
    assert_eq!(client.poll(ms(20)), Ok(Status::Joined));
}

fn lgmp_after_a_restart_the_old_place_writes_nothing(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let mut client = rig.joined(1);
    let mut old = Subscription::take(&client, ID).unwrap();
    rig.post(1);
    // The next session gives the same place to somebody else.
    let mut rig = Rig::in_region(layout, rig.region.clone(), 2, 77);
    let other = rig.joined(9);
    let mut others_place = Subscription::take(&other, ID).unwrap();
    assert_eq!(others_place.place(), old.place());
    rig.post(5);
    let before = rig.region.whole().read_array::<16384>(0).unwrap();
    assert_eq!(old.peek(&client).unwrap_err(), Trouble::SessionEnded);
    assert_eq!(old.acknowledge(&client), Err(Trouble::SessionEnded));
    assert_eq!(mailbox::send(&client, &old, b"hello").unwrap_err(), Trouble::SessionEnded);
    assert_eq!(old.unsubscribe(&client), Err(Trouble::SessionEnded));
    assert_eq!(client.poll(ms(rig.now_ms)), Err(Trouble::SessionEnded));
    assert!(rig.region.whole().read_array::<16384>(0).unwrap() == before, "not a byte was written");
    assert_eq!(drain(&other, &mut others_place), Ok(vec![5]));
    assert_eq!(client.poll(ms(rig.now_ms)), Ok(Status::Waiting));
    rig.heartbeat();
    assert_eq!(client.poll(ms(rig.now_ms)), Ok(Status::Joined));
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

fn lgmp_mailbox_messages_arrive_and_are_confirmed(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let place = Subscription::take(&client, ID).unwrap();
    // Twenty-five rounds wrap the ten slots, and the serial numbers around zero.
    for at in [layout.queue.mail_write_serial, layout.queue.mail_read_serial] {
        rig.words().u32(at).unwrap().store_release(u32::MAX - 7);
    }
    for round in 0..25u8 {
        let first = mailbox::send(&client, &place, &[round; 12]).unwrap();
        let second = mailbox::send(&client, &place, &[round; 64]).unwrap();
        assert!(!mailbox::is_handled(&client, &place, first).unwrap());
        let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
        let mut into = [0; 64];
        assert_eq!(queue.take_mail(region, layout, &mut into), Ok(Some(12)));
        assert_eq!(into[..12], [round; 12]);
        assert!(mailbox::is_handled(&client, &place, first).unwrap());
        assert!(!mailbox::is_handled(&client, &place, second).unwrap());
        let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
        assert_eq!(queue.take_mail(region, layout, &mut into), Ok(Some(64)));
        assert_eq!(queue.take_mail(region, layout, &mut into), Ok(None));
        assert!(mailbox::is_handled(&client, &place, second).unwrap());
    }
}

fn lgmp_mailbox_limits_are_kept_on_both_sides(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let place = Subscription::take(&client, ID).unwrap();
    let too_long = mailbox::send(&client, &place, &[0; 65]).unwrap_err();
    assert_eq!(too_long, Trouble::MessageTooLong { got: 65, max: 64 });
    for _ in 0..layout.mail.slots {
        mailbox::send(&client, &place, b"x").unwrap();
    }
    assert_eq!(mailbox::send(&client, &place, b"x").unwrap_err(), Trouble::MailboxFull { id: ID });
    // A viewer lies about a length; the producer cuts it.
    rig.words().mail_slot(0).unwrap().word::<u32>(0).unwrap().store_release(u32::MAX);
    let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
    assert_eq!(queue.take_mail(region, layout, &mut [0; 64]), Ok(Some(64)));
    assert_eq!(queue.take_mail(region, layout, &mut [0; 5]), Ok(Some(1)));
    // A guest lies about its mailbox; the viewer does not write.
    for (at, value) in [
        (layout.queue.mail_write_pos, layout.mail.slots),
        (layout.queue.mail_write_pos, u32::MAX),
        (layout.queue.mail_avail, layout.mail.slots + 1),
        (layout.queue.mail_avail, u32::MAX),
    ] {
        let word = rig.words().u32(at).unwrap();
        let honest = word.load_acquire();
        word.store_release(value);
        assert!(matches!(mailbox::send(&client, &place, b"x"), Err(Trouble::Corrupt(_))), "{at} {value}");
        assert!(rig.words().try_lock_mail(1).unwrap().is_some(), "the lock is free again");
        word.store_release(honest);
    }
    rig.words().u32(layout.queue.mail_lock).unwrap().store_release(1);
    assert_eq!(mailbox::send(&client, &place, b"x").unwrap_err(), Trouble::LockBusy { id: ID });
}

fn lgmp_user_data_is_of_one_session_and_has_a_cap(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let mut client = rig.joined(1);
    assert_eq!(client.snapshot_user_data().unwrap(), b"user data");
    let size = rig.region.whole().word::<u32>(layout.header.udata_size).unwrap();
    for (value, ok) in [(0, true), (65536, true), (65537, false), (u32::MAX, false)] {
        size.store_release(value);
        assert_eq!(client.snapshot_user_data().is_ok(), ok, "{value}");
    }
    let small = layout.header.size + 1024;
    let mut rig = Rig::in_small(layout, Region::memfd("small", small).unwrap());
    let mut client = rig.joined(1);
    rig.region.whole().word::<u32>(layout.header.udata_size).unwrap().store_release(65536);
    assert!(matches!(client.snapshot_user_data(), Err(Trouble::Corrupt(_))), "inside the region");
}

impl Rig {
    fn in_small(layout: &'static Layout, region: Region) -> Rig {
        let mut host = Host::start(&region, layout, MagicOrder::First, 1, b"", 1).unwrap();
        let queue = host.add_queue(ID, 2, 1000).unwrap();
        Rig { region, layout, host, queue, payload: Block { offset: 0, size: 4 }, now_ms: 1 }
    }
}

fn lgmp_hosts_refuse_what_does_not_fit(layout: &'static Layout) {
    let region = Region::memfd("host", layout.header.size + 2432).unwrap();
    let start = |data: &[u8]| Host::start(&region, layout, MagicOrder::Last, 1, data, 1);
    assert!(matches!(start(&[0; 65537]), Err(HostError::UserDataTooLong { got: 65537 })));
    assert!(matches!(start(&[0; 4096]), Err(HostError::NoRoom { .. })));
    let mut host = start(b"x").unwrap();
    assert!(matches!(host.add_queue(1, 0, 1), Err(HostError::NoSuchQueue { .. })));
    assert!(matches!(host.add_queue(1, 4096, 1), Err(HostError::NoRoom { .. })));
    let max = layout.header.max_queues;
    for id in 0..max {
        host.add_queue(id, 2, 1).unwrap();
    }
    let e = host.add_queue(99, 2, 1).unwrap_err();
    assert_eq!(e.to_string(), format!("a queue of 2 messages cannot be made as number {} of {max}", max + 1));
    assert!(matches!(host.allocate(1, 3), Err(HostError::Alignment { align: 3 })));
    assert!(matches!(host.allocate(u64::MAX, 4096), Err(HostError::NoRoom { .. })));
    let free = host.free();
    assert!(host.allocate(free, 4).is_ok());
    assert!(matches!(host.allocate(1, 4), Err(HostError::NoRoom { .. })));
}

fn lgmp_hosts_survive_viewers_that_write_nonsense(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 4);
    let client = rig.joined(1);
    let mut place = Subscription::take(&client, ID).unwrap();
    for (at, value) in [
        (layout.queue.start, u32::MAX),
        (layout.queue.count, u32::MAX),
        (layout.queue.count, 3),
        (layout.queue.start, 4),
        (layout.queue.mail_avail, 0),
    ] {
        rig.words().u32(at).unwrap().store_release(value);
        rig.post(1);
        rig.beat_for(2500);
        let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
        for _ in 0..20 {
            queue.take_mail(region, layout, &mut [0; 64]).unwrap();
        }
        rig.beat_for(100);
    }
    // Whatever happened to the place, a new one works.
    let _lost = drain(&client, &mut place);
    let mut place = Subscription::take(&client, ID).unwrap();
    rig.post(42);
    assert_eq!(drain(&client, &mut place), Ok(vec![42]));
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

fn lgmp_mail_of_a_stranger_is_dropped_where_senders_have_names(layout: &'static Layout) {
    let mut rig = Rig::new(layout, 2);
    let client = rig.joined(1);
    let place = Subscription::take(&client, ID).unwrap();
    let sent = mailbox::send(&client, &place, b"hello").unwrap();
    if let Some(at) = layout.mail.sender {
        let sender = rig.words().mail_slot(0).unwrap().word::<u32>(at).unwrap();
        assert_eq!(sender.load_acquire(), client.session().unwrap().client_id);
        sender.store_release(0x0BAD_CAFE);
    }
    let (queue, region, layout) = rig.host.queue(rig.queue).unwrap();
    let expected = if layout.mail.sender.is_some() { 0 } else { 5 };
    assert_eq!(queue.take_mail(region, layout, &mut [0; 64]), Ok(Some(expected)));
    assert!(mailbox::is_handled(&client, &place, sent).unwrap(), "confirmed all the same");
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

/// Runs each test for every version of the protocol.
macro_rules! in_every_version {
    ($names:tt) => {
        in_every_version!(lgmp5 V5 $names);
        in_every_version!(lgmp6 V6 $names);
        in_every_version!(lgmp7 V7 $names);
        in_every_version!(lgmp10 V10 $names);
        in_every_version!(lgmp12 V12 $names);
    };
    ($version:ident $layout:ident [$($name:ident)*]) => {
        mod $version {
            $(#[test] fn $name() { super::$name(&super::$layout) })*
        }
    };
}

in_every_version!([
    lgmp_a_thousand_messages_arrive_in_order
    lgmp_nobody_hears_what_was_posted_before
    lgmp_two_viewers_each_get_everything_and_the_slower_one_holds_the_ring
    lgmp_skipping_to_the_newest_acknowledges_the_older_ones
    lgmp_a_new_holder_of_a_place_does_not_inherit_unread_messages
    lgmp_unsubscribing_leaves_no_bit_behind
    lgmp_a_viewer_that_keeps_a_message_goes_bad_and_is_cleared_away_later
    lgmp_a_full_queue_says_so_and_changes_nothing
    lgmp_a_held_lock_costs_a_bounded_try_and_nothing_else
    lgmp_only_a_moving_heartbeat_is_joined
    lgmp_the_first_timestamp_of_a_new_session_is_not_a_heartbeat
    lgmp_after_a_restart_the_old_place_writes_nothing
    lgmp_a_place_with_another_name_on_it_is_not_ours
    lgmp_a_forged_acknowledgement_skips_the_message
    lgmp_mailbox_messages_arrive_and_are_confirmed
    lgmp_mailbox_limits_are_kept_on_both_sides
    lgmp_user_data_is_of_one_session_and_has_a_cap
    lgmp_hosts_refuse_what_does_not_fit
    lgmp_hosts_survive_viewers_that_write_nonsense
    lgmp_names_are_those_the_producer_hands_out
    lgmp_a_message_for_others_is_passed_over_and_one_for_us_is_found
    lgmp_a_ring_that_is_quite_full_is_read_from_its_oldest_message_on
    lgmp_the_longest_ring_that_is_believed_is_read_to_its_end_and_round_again
    lgmp_a_viewer_that_is_late_in_one_queue_is_late_where_the_version_says
    lgmp_mail_of_a_stranger_is_dropped_where_senders_have_names
    lgmp_a_message_carries_as_many_bits_as_the_version_has
]);

#[test]
fn lgmp_every_version_that_is_spoken_is_tested() {
    assert_eq!(LAYOUTS.iter().map(|l| l.version).collect::<Vec<_>>(), [5, 6, 7, 10, 12]);
}
