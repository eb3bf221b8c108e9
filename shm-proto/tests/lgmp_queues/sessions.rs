//! Sessions: joined by a heartbeat, replaced, and what they tell about themselves.

use crate::rig::{ID, Rig, drain, ms};
use shm_proto::Region;
use shm_proto::lgmp::wire::Layout;
use shm_proto::lgmp::{Client, Status, Subscription, Trouble, mailbox};

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

in_every_version!([
    lgmp_only_a_moving_heartbeat_is_joined
    lgmp_the_first_timestamp_of_a_new_session_is_not_a_heartbeat
    lgmp_after_a_restart_the_old_place_writes_nothing
    lgmp_user_data_is_of_one_session_and_has_a_cap
]);
