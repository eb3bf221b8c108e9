//! The rows about queues: how many there are, where their rings lie, how far they are, what their messages name, and who
//! has a place in them.

use super::Effect::{Drops, DropsCursor, Lives, LosesPlaces, Says, Shows, Survives};
use super::{Case, each, lie, told, told_to};
use shm_proto::Region;
use shm_proto::guest_sim::lies::How;
use shm_proto::guest_sim::words::{Field, Queue, Word};
use shm_proto::kvmfr::Version;
use shm_proto::kvmfr::wire::FRAME_QUEUE;
use shm_proto::lgmp::host::Block;
use shm_proto::lgmp::queue::QueueWords;
use shm_proto::lgmp::wire::{RING_ENTRIES, Subs};

fn word(field: Field, value: u32) -> How {
    How::Word { field, value }
}

fn of_frames(word: Word, value: u32) -> How {
    How::Word { field: Field::Of(Queue::Frames, word), value }
}

/// Entries of the ring of frames.
fn entries(version: Version) -> u32 {
    version.lgmp().ring.entries(version.layout().queue_length(FRAME_QUEUE)).expect("a ring of the stock length")
}

pub fn num_queues(version: Version) -> Vec<Case> {
    let max = version.lgmp().header.max_queues;
    vec![
        lie("queues-1000", Shows, Says("numQueues is 1000")),
        lie("queues-none", Shows, Says("is starting")),
        told("as many as there can be", word(Field::QueueCount, max), Shows),
        told_to("one more", word(Field::QueueCount, max + 1), Shows, Says("numQueues is")),
        told_to("the most a number holds", word(Field::QueueCount, u32::MAX), Shows, Says("numQueues is")),
    ]
}

/// Good to the byte: `queue::a_ring_must_lie_inside_and_behind_the_header`. The longest ring at work: `lgmp_queues`.
pub fn rings(version: Version) -> Vec<Case> {
    let (shortest, longest) = (*RING_ENTRIES.start(), *RING_ENTRIES.end());
    let header = version.lgmp().header.size as u32;
    let mut cases = vec![
        lie("ring-of-0", Shows, Says("numMessages is 0")),
        lie("ring-of-1", Shows, Says("numMessages is 1")),
        lie("ring-of-4-billion", Shows, Says("numMessages is 4294967295")),
        lie("ring-in-header", Shows, Says("messagesOffset is 64")),
        lie("ring-outside", Shows, Says("messagesOffset is 4294967280")),
        lie("ring-unaligned", Shows, Says("messagesOffset is 8193")),
        told_to("one entry too many", of_frames(Word::Entries, longest + 1), Shows, Says("numMessages is 4097")),
        told_to("one entry too few", of_frames(Word::Entries, shortest - 1), Shows, Says("numMessages is 1")),
        told_to("as long as a ring can be", of_frames(Word::Entries, longest), Shows, Survives),
        told_to("the last word of the header", of_frames(Word::RingAt, header - 4), Shows, Says("messagesOffset is")),
        told_to("the first word behind the header", of_frames(Word::RingAt, header), Shows, Survives),
    ];
    if !version.lgmp().ring.allows(3) {
        cases.push(told_to("no power of two", of_frames(Word::Entries, 3), Shows, Says("numMessages is 3")));
    }
    cases
}

pub fn positions(version: Version) -> Vec<Case> {
    let entries = entries(version);
    vec![
        lie("position-3", Says("position is 3"), Says("position is 3")),
        lie("position-garbage", Says("position is 2147483648"), Says("position is 2147483648")),
        lie("start-garbage", Shows, Shows),
        lie("count-65", Says("count is 65"), Says("count is 65")),
        lie("count-garbage", Says("count is 2147483648"), Says("count is 2147483648")),
        lie("count-0", Survives, Survives),
        told("the last entry", of_frames(Word::Position, entries - 1), Lives),
        told("behind the last entry", of_frames(Word::Position, entries), Says("position is")),
        told("as many as there are entries", of_frames(Word::Count, entries), Lives),
        told("one more", of_frames(Word::Count, entries + 1), Says("count is")),
        told("the last entry is the oldest", of_frames(Word::Start, entries - 1), Shows),
    ]
}

pub fn messages(version: Version) -> Vec<Case> {
    let end = super::config(version).region_bytes() as u32;
    let (frame, cursor) = (version.layout().frame.size as u32, version.layout().cursor.size as u32);
    let frames = |what, offset, size, effect| told(what, How::FrameBlock(Block { offset, size }), effect);
    let pointer = |what, offset, size, effect| told(what, How::PointerBlock(Block { offset, size }), effect);
    let outside = "message offset + size";
    vec![
        lie("frame-outside", Drops(outside), Drops(outside)),
        lie("frame-unaligned", Drops("message offset"), Drops("message offset")),
        lie("frame-tiny", Drops("message size"), Drops("message size")),
        lie("frame-header-only", Drops("type"), Drops("type")),
        lie("frame-whole-memory", Drops(outside), Drops(outside)),
        lie("pointer-outside", DropsCursor(outside), DropsCursor(outside)),
        lie("pointer-tiny", DropsCursor("message size"), DropsCursor("message size")),
        // Zeros are no frame: it is read, and its type is what is wrong with it.
        frames("a header that ends with the memory", end - frame, frame, Drops("type")),
        frames("a header that ends 4 bytes behind it", end - frame + 4, frame, Drops(outside)),
        frames("a header that lacks its last byte", end - frame, frame - 1, Drops("message size")),
        frames("two bytes from a multiple of 4", end - 2 * frame + 2, frame, Drops("message offset")),
        frames("all but the first word", 4, u32::MAX - 3, Drops(outside)),
        pointer("a cursor that ends with the memory", end - cursor, cursor, Shows),
        pointer("a cursor that ends 4 bytes behind it", end - cursor + 4, cursor, DropsCursor(outside)),
        pointer("a cursor that lacks its last byte", end - cursor, cursor - 1, DropsCursor("message size")),
        pointer("two bytes from a multiple of 4", end - 2 * cursor + 2, cursor, DropsCursor("message offset")),
    ]
}

fn frames_queue(region: &Region, version: Version) -> QueueWords<'_> {
    QueueWords::new(region, version.lgmp(), Queue::Frames.index(version) as u32).unwrap()
}

pub fn places(_version: Version) -> Vec<Case> {
    let full = Says("places for viewers are taken");
    vec![
        lie("nobody-subscribed", LosesPlaces, LosesPlaces),
        lie("everybody-subscribed", Survives, full),
        lie("everybody-bad", LosesPlaces, full),
        lie("pointer-bad", Shows, full),
        lie("place-renamed", Survives, Survives),
        lie("max-time-0", Shows, Shows),
        each(
            "everybody else is there and bad",
            |region, version, _| {
                let words = frames_queue(region, version);
                let all = Subs::decode(u64::MAX, version.lgmp());
                let ours = words.subs().unwrap().on & 1;
                words.set_subs(Subs { on: all.on & !1 | ours, bad: all.bad & !1 }).unwrap();
            },
            Shows,
            Shows,
        ),
        each(
            "others' names and times are anything",
            |region, version, step| {
                let words = frames_queue(region, version);
                for place in 1..version.lgmp().queue.places {
                    words.client_id(place).unwrap().store_release(step as u32 ^ 0x5A5A_5A5A);
                    words.timeout(place).unwrap().store_release(u64::MAX - step);
                }
            },
            Shows,
            Shows,
        ),
        each(
            "our own time is over",
            |region, version, _| frames_queue(region, version).timeout(0).unwrap().store_release(1),
            Shows,
            Shows,
        ),
        each(
            "newcomers without number",
            |region, version, _| {
                let words = frames_queue(region, version);
                words.u32(version.lgmp().queue.new_sub_count).unwrap().store_release(u32::MAX);
            },
            Shows,
            Shows,
        ),
    ]
}
