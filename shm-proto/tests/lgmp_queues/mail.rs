//! The mailbox: what viewers tell the producer.

use crate::rig::{ID, Rig};
use shm_proto::lgmp::wire::Layout;
use shm_proto::lgmp::{Subscription, Trouble, mailbox};

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

in_every_version!([
    lgmp_mailbox_messages_arrive_and_are_confirmed
    lgmp_mailbox_limits_are_kept_on_both_sides
    lgmp_mail_of_a_stranger_is_dropped_where_senders_have_names
]);
