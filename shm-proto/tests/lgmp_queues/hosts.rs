//! The producer's side by itself: what it refuses, and what viewers that write nonsense do to it.

use crate::rig::{ID, Rig, drain};
use shm_proto::Region;
use shm_proto::lgmp::Subscription;
use shm_proto::lgmp::host::{Host, HostError, MagicOrder};
use shm_proto::lgmp::wire::Layout;

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

in_every_version!([
    lgmp_hosts_refuse_what_does_not_fit
    lgmp_hosts_survive_viewers_that_write_nonsense
]);
