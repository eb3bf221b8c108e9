//! The rows of [`wire`](super): where every field of LGMP 5, 6, 7, 10 and 12 lies, and how each version behaves.
//!
//! Source: the LGMP wire reference, sections 2.2 and 2.3; the tests compare every number with its machine-readable form.

use super::{EntryLayout, HeaderLayout, Layout, MailLayout, Manner, QueueLayout, RingRule, Waiting, Width};

/// LGMP 6, as B7 carries it.
pub const V6: Layout = Layout {
    version: 6,
    header: HeaderLayout {
        magic: 0,
        version: 4,
        session_id: 8,
        timestamp: 16,
        num_queues: 24,
        queues: 32,
        udata_size: 5752,
        udata: 5756,
        size: 5760,
        max_queues: 5,
        next_client_id: None,
    },
    queue: QueueLayout {
        queue_id: 0,
        num_messages: 4,
        new_sub_count: 8,
        max_time: 12,
        position: 16,
        messages_offset: 20,
        timeout: 24,
        client_id: 280,
        lock: 408,
        lock_width: Width::U32,
        subs: 416,
        subs_width: Width::U64,
        start: 424,
        msg_timeout: 432,
        count: 440,
        mail_lock: 444,
        mail_avail: 448,
        mail_write_pos: 452,
        mail_write_serial: 456,
        mail_read_serial: 460,
        mail_slots: 464,
        size: 1144,
        places: 32,
    },
    entry: EntryLayout { udata: 0, udata_width: Width::U32, payload_size: 4, payload_offset: 8, pending: 12, size: 16 },
    mail: MailLayout { length: 0, sender: None, data: 4, data_bytes: 64, size: 68, slots: 10 },
    ring: RingRule::OneSpare,
    manner: Manner {
        waiting: Waiting::Index,
        acknowledges_locked: false,
        mails_locked: false,
        overdue_only_forward: false,
        bad_everywhere: false,
        posts_to_nobody: false,
        heartbeat_every_ms: 0,
        ring_align: 4,
    },
    on_shift: 32,
    bad_shift: 0,
};

/// LGMP 5, as B6 carries it: as 6, but a lock is one byte; what follows it up to the next field is never written.
pub const V5: Layout = Layout { version: 5, queue: QueueLayout { lock_width: Width::U8, ..V6.queue }, ..V6 };

/// LGMP 7, development builds of 2025: the queues of 6 behind a header without holes.
pub const V7: Layout = Layout {
    version: 7,
    header: HeaderLayout { num_queues: 12, queues: 24, udata_size: 5744, udata: 5748, size: 5752, ..V6.header },
    ..V6
};

/// LGMP 10, development builds from September 2025 to July 2026, in its final form: every word on a cache line of its
/// own, eight places, rings of a power of two.
pub const V10: Layout = Layout {
    version: 10,
    header: HeaderLayout {
        magic: 8064,
        version: 8068,
        session_id: 8072,
        timestamp: 0,
        num_queues: 8076,
        queues: 64,
        udata_size: 8080,
        udata: 8084,
        size: 8128,
        max_queues: 5,
        next_client_id: None,
    },
    queue: QueueLayout {
        position: 0,
        start: 4,
        count: 8,
        msg_timeout: 16,
        lock: 64,
        lock_width: Width::U32,
        mail_lock: 128,
        mail_avail: 132,
        mail_write_pos: 136,
        mail_write_serial: 140,
        mail_read_serial: 144,
        subs: 192,
        subs_width: Width::U32,
        new_sub_count: 196,
        client_id: 200,
        timeout: 232,
        queue_id: 296,
        num_messages: 300,
        messages_offset: 304,
        max_time: 308,
        mail_slots: 320,
        size: 1600,
        places: 8,
    },
    mail: MailLayout { length: 0, sender: None, data: 16, data_bytes: 64, size: 80, slots: 16 },
    ring: RingRule::PowerOfTwo,
    manner: Manner { waiting: Waiting::IndexOrBit, heartbeat_every_ms: 250, ring_align: 64, ..V6.manner },
    on_shift: 16,
    bad_shift: 0,
    ..V6
};

/// LGMP 12, development builds from August 2026: six queues, named senders, messages for some viewers only.
pub const V12: Layout = Layout {
    version: 12,
    header: HeaderLayout {
        magic: 9664,
        version: 9668,
        session_id: 9672,
        num_queues: 9676,
        udata_size: 9680,
        udata: 9684,
        size: 9728,
        max_queues: 6,
        next_client_id: Some(8),
        ..V10.header
    },
    entry: EntryLayout {
        udata: 0,
        udata_width: Width::U64,
        payload_size: 8,
        payload_offset: 12,
        pending: 16,
        size: 32,
    },
    mail: MailLayout { sender: Some(4), ..V10.mail },
    manner: Manner {
        waiting: Waiting::Bit,
        acknowledges_locked: true,
        mails_locked: true,
        overdue_only_forward: true,
        bad_everywhere: true,
        posts_to_nobody: true,
        ..V10.manner
    },
    ..V10
};

/// Every version this crate speaks. A further one is a further row.
pub const LAYOUTS: &[&Layout] = &[&V5, &V6, &V7, &V10, &V12];

const fn fits_together(l: &Layout) -> bool {
    let (h, q, m, e) = (&l.header, &l.queue, &l.mail, &l.entry);
    h.queues + h.max_queues as u64 * q.size <= h.udata_size
        && h.udata == h.udata_size + 4
        && h.queues.is_multiple_of(8)
        && h.timestamp.is_multiple_of(8)
        && q.size.is_multiple_of(8)
        && q.timeout.is_multiple_of(8)
        && q.subs.is_multiple_of(q.subs_width.bytes())
        && q.msg_timeout.is_multiple_of(8)
        && q.places as u64 <= q.subs_width.bytes() * 4
        && q.mail_slots + m.slots as u64 * m.size == q.size
        && m.data + m.data_bytes == m.size
        && e.udata.is_multiple_of(e.udata_width.bytes())
        && e.udata + e.udata_width.bytes() <= e.payload_size
        && e.pending + 4 <= e.size
        && e.size.is_multiple_of(4)
        && l.manner.ring_align.is_power_of_two()
}

const _: () = {
    let mut row = 0;
    while row < LAYOUTS.len() {
        assert!(fits_together(LAYOUTS[row]));
        row += 1;
    }
};
