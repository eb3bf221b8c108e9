//! The rows about the session as a whole: whether it lives, what it tells about itself, its mailbox and its locks, and
//! sessions that change while they are looked at.

use super::Effect::{Says, Shows, Survives};
use super::{Case, each, lie, told, told_to};
use crate::rig::{SECOND, small, started};
use crate::screen::{MS, Screen, ms};
use shm_proto::guest_sim::dice::roll;
use shm_proto::guest_sim::lies::How;
use shm_proto::guest_sim::words::{Field, Queue, Word};
use shm_proto::kvmfr::session::MAX_TEXT_BYTES;
use shm_proto::kvmfr::{SessionInfo, Version};
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::lgmp::wire::MAX_USER_DATA_BYTES;

fn word(field: Field, value: u32) -> How {
    How::Word { field, value }
}

/// To the millisecond: `lgmp_queues`, only a moving heartbeat is joined.
pub fn timestamp(_version: Version) -> Vec<Case> {
    vec![
        lie("heartbeat-stands", Survives, Says("is not running")),
        each(
            "any number, another one each time",
            |region, version, step| {
                let at = version.lgmp().header.timestamp;
                region.whole().word::<u64>(at).unwrap().store_release(roll(7, step));
            },
            Shows,
            Shows,
        ),
        each(
            "backwards from the last",
            |region, version, step| {
                let at = version.lgmp().header.timestamp;
                region.whole().word::<u64>(at).unwrap().store_release(u64::MAX - step);
            },
            Shows,
            Shows,
        ),
    ]
}

fn info(screen: &Screen) -> &SessionInfo {
    screen.viewer.session().expect("a session")
}

/// Every field of the records: `kvmfr_session`.
pub fn user_data(_version: Version) -> Vec<Case> {
    let most = MAX_USER_DATA_BYTES;
    let size = |what, value, coming| told_to(what, word(Field::UserDataSize, value), Shows, coming);
    let record = |what, value| told(what, word(Field::UserData(52), value), Shows);
    vec![
        lie("udata-4-gib", Shows, Says("udataSize is 4294967295")),
        lie("udata-none", Shows, Says("no picture")),
        lie("udata-47", Shows, Says("features is 47")),
        lie("kvmfr-magic", Shows, Says("no picture")),
        lie("kvmfr-version", Shows, Says("with KVMFR 99, which is not supported")),
        lie("record-size", Shows, Shows),
        lie("record-size-10", Shows, Shows),
        size("the most", most, Shows),
        size("a byte more", most + 1, Says("udataSize is 65537")),
        size("a header without records", 48, Shows),
        record("a machine's record of its fixed part alone", 51),
        record("a byte less", 50),
        told("a processor's name without an end", word(Field::UserData(56 + 52), 0x4141_4141), Shows),
    ]
}

/// A record is believed if it holds its fixed part, and no further than the data goes.
fn picture_records_are_read_up_to_the_last_that_can_be(version: Version) {
    let identity = shm_proto::kvmfr::Identity::default();
    let whole = identity.encode(version.layout());
    let parse = |data: &[u8]| SessionInfo::parse(data, version.layout()).unwrap();
    let record = |kind: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    };
    for (kind, least) in [(1, 51), (2, 1)] {
        for (bytes, is_read) in [(least, true), (least - 1, false)] {
            let data = [&whole[..48], &record(kind, &vec![0xFF; bytes])].concat();
            let info = parse(&data);
            assert_eq!((info.cut_short, info.vm.is_some() || info.os.is_some()), (!is_read, is_read), "{kind} {bytes}");
        }
    }
    // As many empty records as fit: no more than some are looked at.
    let many: Vec<u8> = whole[..48].iter().copied().chain((0..8000).flat_map(|_| record(99, &[]))).collect();
    let with_name = [&many[..], &record(2, b"\x03late")].concat();
    assert!(parse(&with_name).os.is_none(), "behind too many others");
    assert!(parse(&[&whole[..48], &record(99, &[]), &record(2, b"\x03soon")].concat()).os.is_some());
}

pub fn mailbox(_version: Version) -> Vec<Case> {
    vec![lie("mail-position-1000", Shows, Shows), lie("mail-free-1000", Shows, Shows), lie("mail-full", Shows, Shows)]
}

fn picture_mailbox_is_written_up_to_its_last_slot_and_not_a_byte_behind(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    screen.run(&mut guest, ms(0), SECOND);
    let (queue, slots) = (version.lgmp().queue, version.lgmp().mail.slots);
    let words = QueueWords::new(&region, version.lgmp(), Queue::Pointer.index(version) as u32).unwrap();
    let store = |at, value| words.u32(at).unwrap().store_release(value);
    let whole = || region.whole().read_array::<16384>(0).unwrap();
    for (position, free, fits) in [
        (0, slots, true),
        (slots - 1, slots, true),
        (slots - 1, 1, true),
        (slots, slots, false),
        (u32::MAX, slots, false),
        (0, 0, false),
        (0, slots + 1, false),
        (0, u32::MAX, false),
    ] {
        store(queue.mail_write_pos, position);
        store(queue.mail_avail, free);
        let before = whole();
        let sent = screen.viewer.send_cursor_position(1, 2);
        assert_eq!(sent.is_ok(), fits, "{position} {free}: {sent:?}");
        assert_eq!(whole() != before, fits, "{position} {free}: what was refused is not written");
        assert!(words.try_lock(1).unwrap().is_some() && words.try_lock_mail(1).unwrap().is_some(), "no lock is kept");
    }
}

pub fn locks(_version: Version) -> Vec<Case> {
    let held = |queue, what, value| {
        let watching = if queue == Queue::Frames { Survives } else { Shows };
        told_to(what, word(Field::Of(queue, Word::Lock), value), watching, Says("held a lock"))
    };
    vec![
        lie("lock-held", Survives, Says("held a lock")),
        lie("pointer-lock-held", Shows, Says("held a lock")),
        lie("mail-lock-held", Shows, Shows),
        held(Queue::Frames, "by nobody who can be", 0xFF),
        held(Queue::Pointer, "by nobody who can be, either", 0xFF),
    ]
}

/// A lock is nobody's to repair, and is taken as soon as it is free.
fn picture_lock_that_was_held_for_long_is_left_alone_and_taken_when_it_is_free(version: Version) {
    let (region, mut guest, mut screen) = started(small(version));
    let words = QueueWords::new(&region, version.lgmp(), Queue::Frames.index(version) as u32).unwrap();
    let lock = words.u32(version.lgmp().queue.lock).unwrap();
    lock.store_release(1);
    let mut now = ms(0);
    while now.since(ms(0)) < 20 * SECOND {
        // The guest cannot go on either, but for its heartbeat.
        guest.advance(now).unwrap();
        screen.round(now, |_| {});
        assert_eq!(lock.load_acquire(), 1, "nobody frees it");
        now = now + MS;
    }
    assert!(screen.viewer.state().to_string().contains("held a lock") && screen.frames.is_empty());
    let tries = screen.viewer.counters().lock_busy;
    assert!((10..=5000).contains(&tries), "{tries} tries in twenty seconds");
    lock.store_release(0);
    screen.run(&mut guest, now, SECOND);
    assert!(screen.frames.len() > 30, "{}", screen.viewer.state());
    screen.assert_shows(&guest);
}

pub fn texts(_version: Version) -> Vec<Case> {
    let text = |what, value| told(what, word(Field::UserData(12), value), Shows).and(is_clean);
    vec![
        lie("version-text", Shows, Shows).and(is_clean),
        text("a byte that no text begins with", 0xFFFF_FFFF),
        text("new lines and a bell", 0x070A_0D0A),
        text("an end at once", 0),
        told("a name of a machine that moves the cursor", word(Field::UserData(56 + 16), 0x4A32_5B1B), Shows)
            .and(is_clean),
    ]
}

fn is_clean(screen: &Screen) {
    let info = info(screen);
    let vm = info.vm.clone().unwrap_or_default();
    let os = info.os.as_ref().map(|os| os.name.clone()).unwrap_or_default();
    for text in [&info.producer, &vm.capture, &vm.model, &os] {
        assert!(text.chars().count() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control), "{text:?}");
    }
}

pub fn races(_version: Version) -> Vec<Case> {
    let none = Says("waiting for the host application");
    vec![
        lie("magic-gone", none, none),
        lie("version-0", none, none),
        lie("session-changes", Survives, Shows),
        lie("ignores-viewers", Shows, Shows),
        lie("restart-in-frame", Shows, Shows),
        lie("magic-first", Shows, Shows),
        lie("garbage-header", Survives, Survives),
        lie("garbage-everywhere", Survives, Survives),
    ]
}

in_every_version!([
    picture_records_are_read_up_to_the_last_that_can_be
    picture_mailbox_is_written_up_to_its_last_slot_and_not_a_byte_behind
    picture_lock_that_was_held_for_long_is_left_alone_and_taken_when_it_is_free
]);
