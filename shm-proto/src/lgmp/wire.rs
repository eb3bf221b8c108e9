//! Where every LGMP field lies: one [`Layout`] per protocol version, as data.
//!
//! Source of every number: the LGMP wire reference, section 2, whose machine-readable form the tests compare with each
//! row of [`LAYOUTS`]. All fields are little endian. A version that is not in the table is found and named by
//! [`probe`](super::probe), not guessed. No behaviour in here but the arithmetic of the table itself.

/// `LGMP` as a little-endian number; the first thing a reader looks for.
pub const MAGIC: u32 = 0x504d_474c;

/// The longest opaque user data that is looked at, in bytes. Ours: stock producers write some hundred.
pub const MAX_USER_DATA_BYTES: u32 = 64 << 10;

/// Ring entries that are believed. Ours: stock queues have 3 to 33.
pub const RING_ENTRIES: core::ops::RangeInclusive<u32> = 2..=4096;

/// How many entries a ring of a given length has, and when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingRule {
    /// One entry more than the length, so that full and empty differ (versions up to 9).
    OneSpare,
    /// As many as the length, a power of two (version 10 and later).
    PowerOfTwo,
}

impl RingRule {
    /// Entries of a ring that holds `length` messages; nothing if there is no such ring.
    pub const fn entries(self, length: u32) -> Option<u32> {
        match self {
            RingRule::OneSpare if length >= 1 => length.checked_add(1),
            RingRule::PowerOfTwo if length >= 2 && length.is_power_of_two() => Some(length),
            _ => None,
        }
    }

    /// Messages that a ring of `entries` holds at once.
    pub const fn capacity(self, entries: u32) -> u32 {
        match self {
            RingRule::OneSpare => entries.saturating_sub(1),
            RingRule::PowerOfTwo => entries,
        }
    }

    /// Whether a ring can have this many entries at all.
    pub const fn allows(self, entries: u32) -> bool {
        match self {
            RingRule::OneSpare => entries >= 2,
            RingRule::PowerOfTwo => entries >= 2 && entries.is_power_of_two(),
        }
    }
}

/// Offsets in bytes from the start of the region.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLayout {
    /// u32, [`MAGIC`].
    pub magic: u64,
    /// u32, the protocol version.
    pub version: u64,
    /// u32, differs between neighbouring producer starts.
    pub session_id: u64,
    /// u64, the producer's milliseconds: the heartbeat.
    pub timestamp: u64,
    /// u32, valid entries in the table of queues.
    pub num_queues: u64,
    /// The table of queues.
    pub queues: u64,
    /// u32, bytes of user data.
    pub udata_size: u64,
    /// The user data.
    pub udata: u64,
    /// Size of the header; the producer's memory starts behind it.
    pub size: u64,
    /// Entries in the table of queues.
    pub max_queues: u32,
}

/// Offsets in bytes from the start of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueLayout {
    /// u32, the application's number for it.
    pub queue_id: u64,
    /// u32, ring entries.
    pub num_messages: u64,
    /// u32, viewers that came since the producer last looked.
    pub new_sub_count: u64,
    /// u32, how long a viewer may keep a message, milliseconds.
    pub max_time: u64,
    /// u32, ring index of the next write.
    pub position: u64,
    /// u32, where the ring lies, from the start of the region.
    pub messages_offset: u64,
    /// u64 per place: the producer's time after which a bad place is free again.
    pub timeout: u64,
    /// u32 per place: the name its holder drew.
    pub client_id: u64,
    /// u32, 0 free, 1 held.
    pub lock: u64,
    /// u64, the masks of [`Subs`].
    pub subs: u64,
    /// u32, ring index of the oldest unfinished message.
    pub start: u64,
    /// u64, the producer's time at which the oldest message is overdue.
    pub msg_timeout: u64,
    /// u32, unfinished messages.
    pub count: u64,
    /// u32, lock of the mailbox.
    pub mail_lock: u64,
    /// u32, free slots of the mailbox.
    pub mail_avail: u64,
    /// u32, next slot to write.
    pub mail_write_pos: u64,
    /// u32, messages ever written.
    pub mail_write_serial: u64,
    /// u32, messages handled.
    pub mail_read_serial: u64,
    /// The mailbox slots.
    pub mail_slots: u64,
    /// Size of a queue.
    pub size: u64,
    /// Places for viewers.
    pub places: u32,
}

/// Offsets in bytes from the start of a ring entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryLayout {
    /// u32, meaning is the application's.
    pub udata: u64,
    /// u32, payload bytes.
    pub payload_size: u64,
    /// u32, where the payload lies, from the start of the region.
    pub payload_offset: u64,
    /// u32, one bit per place that still has to read it.
    pub pending: u64,
    /// Size of an entry.
    pub size: u64,
}

/// Offsets in bytes from the start of a mailbox slot.
#[derive(Clone, Copy, Debug)]
pub struct MailLayout {
    /// u32, message bytes.
    pub length: u64,
    /// The message.
    pub data: u64,
    /// Room for the message.
    pub data_bytes: u64,
    /// Size of a slot.
    pub size: u64,
    /// Slots in a mailbox.
    pub slots: u32,
}

/// Everything that differs between protocol versions.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The LGMP protocol version.
    pub version: u32,
    /// The header.
    pub header: HeaderLayout,
    /// One queue.
    pub queue: QueueLayout,
    /// One ring entry.
    pub entry: EntryLayout,
    /// One mailbox slot.
    pub mail: MailLayout,
    /// How many entries a ring has.
    pub ring: RingRule,
    /// Shift of the ON mask in the word of masks.
    pub on_shift: u32,
    /// Shift of the BAD mask.
    pub bad_shift: u32,
}

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
        subs: 416,
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
    entry: EntryLayout { udata: 0, payload_size: 4, payload_offset: 8, pending: 12, size: 16 },
    mail: MailLayout { length: 0, data: 4, data_bytes: 64, size: 68, slots: 10 },
    ring: RingRule::OneSpare,
    on_shift: 32,
    bad_shift: 0,
};

/// Every version this crate speaks. A further one is a further row.
pub const LAYOUTS: &[&Layout] = &[&V6];

/// The layout of `version`, if it is spoken.
pub fn layout(version: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().copied().find(|l| l.version == version)
}

const fn fits_together(l: &Layout) -> bool {
    let (h, q, m) = (&l.header, &l.queue, &l.mail);
    h.queues + h.max_queues as u64 * q.size <= h.udata_size
        && h.udata == h.udata_size + 4
        && h.queues.is_multiple_of(8)
        && q.size.is_multiple_of(8)
        && q.timeout + 8 * q.places as u64 <= q.client_id
        && q.client_id + 4 * q.places as u64 <= q.lock
        && q.mail_slots + m.slots as u64 * m.size == q.size
        && m.data + m.data_bytes == m.size
        && l.entry.pending + 4 <= l.entry.size
        && l.entry.size.is_multiple_of(4)
}
const _: () = assert!(fits_together(&V6));

/// The two masks of a queue: who is there, and whom the producer gave up on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subs {
    /// One bit per place in use.
    pub on: u32,
    /// One bit per place whose holder kept a message too long.
    pub bad: u32,
}

impl Subs {
    /// From the word in memory.
    pub const fn decode(word: u64, layout: &Layout) -> Subs {
        Subs { on: (word >> layout.on_shift) as u32, bad: (word >> layout.bad_shift) as u32 }
    }

    /// To the word in memory.
    pub const fn encode(self, layout: &Layout) -> u64 {
        (self.on as u64) << layout.on_shift | (self.bad as u64) << layout.bad_shift
    }

    /// Places that get new messages.
    pub const fn listening(self) -> u32 {
        self.on & !self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_survive_the_way_through_memory() {
        for subs in [Subs { on: 0, bad: 0 }, Subs { on: 0x8000_0001, bad: 0x7FFF_0000 }, Subs { on: u32::MAX, bad: 1 }]
        {
            assert_eq!(Subs::decode(subs.encode(&V6), &V6), subs);
        }
        assert_eq!(Subs { on: 0b101, bad: 0b100 }.listening(), 1);
    }

    #[test]
    fn a_ring_has_one_spare_entry_or_is_a_power_of_two() {
        assert_eq!(RingRule::OneSpare.entries(20), Some(21));
        assert_eq!(RingRule::OneSpare.entries(0), None);
        assert_eq!(RingRule::OneSpare.entries(u32::MAX), None);
        assert_eq!(RingRule::PowerOfTwo.entries(32), Some(32));
        assert_eq!(RingRule::PowerOfTwo.entries(20), None);
        assert_eq!((RingRule::OneSpare.capacity(21), RingRule::PowerOfTwo.capacity(32)), (20, 32));
        assert!(RingRule::OneSpare.allows(3) && !RingRule::PowerOfTwo.allows(3) && !RingRule::OneSpare.allows(1));
    }

    #[test]
    fn versions_are_found_by_number() {
        assert_eq!(layout(6).map(|l| l.version), Some(6));
        assert!(layout(u32::MAX).is_none());
    }
}
