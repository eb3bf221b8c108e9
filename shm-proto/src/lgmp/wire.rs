//! What an LGMP version is made of: one [`Layout`] per protocol version, as data. The rows are in [`layouts`].
//!
//! Source of every number: the LGMP wire reference, section 2, whose machine-readable form the tests compare with each
//! row of [`LAYOUTS`]. All fields are little endian. A version that is not in the table is found and named by
//! [`probe`](super::probe), not guessed. No behaviour in here but the arithmetic of the table itself.

pub mod layouts;

pub use layouts::{LAYOUTS, V5, V6, V7, V10, V12};

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

/// Width of a field that is not the same in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8,
    /// Four bytes.
    U32,
    /// Eight bytes.
    U64,
}

impl Width {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Width::U8 => 1,
            Width::U32 => 4,
            Width::U64 => 8,
        }
    }
}

/// How a viewer knows that a message waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Its index is not the producer's (versions up to 9, whose rings have a spare entry).
    Index,
    /// That, or its bit is set at the producer's index: a full ring looks like an empty one (version 10).
    IndexOrBit,
    /// Its bit is set; the index says nothing, for a message may be meant for others (versions 11 and 12).
    Bit,
}

/// What the two sides do differently from version to version. Source: the wire reference, sections 2.5 to 2.11.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How a viewer knows that a message waits.
    pub waiting: Waiting,
    /// Whether a message is acknowledged under the lock.
    pub acknowledges_locked: bool,
    /// Whether the mailbox is written under the queue's lock, too, which is taken first.
    pub mails_locked: bool,
    /// Whether the time at which the oldest message is overdue only moves forward.
    pub overdue_only_forward: bool,
    /// Whether a viewer that is given up on in one queue is given up on in all.
    pub bad_everywhere: bool,
    /// Whether a message is posted though nobody listens.
    pub posts_to_nobody: bool,
    /// Distance of two stores of the heartbeat, milliseconds; 0 is at every periodic call.
    pub heartbeat_every_ms: u64,
    /// Rings begin and end at multiples of this, bytes.
    pub ring_align: u64,
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
    /// u32, the name drawn last; versions without it let viewers draw at random.
    pub next_client_id: Option<u64>,
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
    /// 0 free, 1 held.
    pub lock: u64,
    /// Width of both locks.
    pub lock_width: Width,
    /// The masks of [`Subs`].
    pub subs: u64,
    /// Their width: half of it for each.
    pub subs_width: Width,
    /// u32, ring index of the oldest unfinished message.
    pub start: u64,
    /// u64, the producer's time at which the oldest message is overdue.
    pub msg_timeout: u64,
    /// u32, unfinished messages.
    pub count: u64,
    /// Lock of the mailbox.
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
    /// Meaning is the application's.
    pub udata: u64,
    /// Its width.
    pub udata_width: Width,
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
    /// u32, the sender's name; versions without it do not know the sender.
    pub sender: Option<u64>,
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
    /// How both sides behave.
    pub manner: Manner,
    /// Shift of the ON mask in the word of masks.
    pub on_shift: u32,
    /// Shift of the BAD mask.
    pub bad_shift: u32,
}

impl Layout {
    /// The bits of one of the two masks.
    const fn half_mask(&self) -> u64 {
        (1 << (self.queue.subs_width.bytes() * 4)) - 1
    }
}

/// The layout of `version`, if it is spoken.
pub fn layout(version: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().copied().find(|l| l.version == version)
}

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
        let half = layout.half_mask();
        Subs { on: (word >> layout.on_shift & half) as u32, bad: (word >> layout.bad_shift & half) as u32 }
    }

    /// To the word in memory.
    pub const fn encode(self, layout: &Layout) -> u64 {
        let half = layout.half_mask();
        (self.on as u64 & half) << layout.on_shift | (self.bad as u64 & half) << layout.bad_shift
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
        for subs in [Subs { on: 0, bad: 0 }, Subs { on: 0x81, bad: 0x7F }, Subs { on: 0xFFFF, bad: 1 }] {
            assert_eq!(Subs::decode(subs.encode(&V12), &V12), subs);
            assert!(subs.encode(&V12) <= u64::from(u32::MAX));
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
