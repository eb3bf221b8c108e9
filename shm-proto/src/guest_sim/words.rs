//! The control words that a lie replaces, by name: where each lies depends on the version.

use crate::kvmfr::Version;
use crate::kvmfr::wire::{FRAME_QUEUE, POINTER_QUEUE};
use crate::lgmp::wire::Width;
use crate::raw::map::Region;
use crate::span::AccessError;

/// A control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The magic.
    Magic,
    /// The LGMP version.
    Version,
    /// The session's number.
    Session,
    /// How many queues there are.
    QueueCount,
    /// Bytes of user data.
    UserDataSize,
    /// A word of the user data, so many bytes from its start.
    UserData(u64),
    /// A word of a queue.
    Of(Queue, Word),
}

/// A queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// That of the frames.
    Frames,
    /// That of the cursor.
    Pointer,
}

/// A word of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Entries of the ring.
    Entries,
    /// Where the ring lies.
    RingAt,
    /// Where the producer writes next.
    Position,
    /// The oldest unfinished message.
    Start,
    /// Unfinished messages.
    Count,
    /// The mask of places in use.
    On,
    /// The mask of places that were given up on.
    Bad,
    /// The name at the first place.
    FirstName,
    /// How long a message may be kept.
    MaxTime,
    /// The lock.
    Lock,
    /// The mailbox's lock.
    MailLock,
    /// Where the mailbox is written next.
    MailWritePos,
    /// Free slots of the mailbox.
    MailAvail,
}

impl Field {
    /// Stores `value`; of a mask as many bits as it has.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn store(self, region: &Region, version: Version, value: u32) -> Result<(), AccessError> {
        let h = &version.lgmp().header;
        let at = match self {
            Field::Magic => h.magic,
            Field::Version => h.version,
            Field::Session => h.session_id,
            Field::QueueCount => h.num_queues,
            Field::UserDataSize => h.udata_size,
            Field::UserData(bytes) => h.udata + bytes,
            Field::Of(queue, word) => return store_in_queue(region, version, queue, word, value),
        };
        region.whole().word::<u32>(at)?.store_release(value);
        Ok(())
    }
}

fn store_in_queue(region: &Region, version: Version, queue: Queue, word: Word, value: u32) -> Result<(), AccessError> {
    let (layout, q) = (version.lgmp(), &version.lgmp().queue);
    let start = layout.header.queues + queue.index(version) * q.size;
    let narrow = q.subs_width == Width::U32;
    let at = match word {
        Word::Entries => q.num_messages,
        Word::RingAt => q.messages_offset,
        Word::Position => q.position,
        Word::Start => q.start,
        Word::Count => q.count,
        Word::On | Word::Bad if narrow => {
            let at = q.subs + if word == Word::On { 2 } else { 0 };
            // Masks of 16 bits: the rest is cut off.
            region.whole().word::<u16>(start + at)?.store_release(value as u16);
            return Ok(());
        }
        Word::On => q.subs + 4,
        Word::Bad => q.subs,
        Word::FirstName => q.client_id,
        Word::MaxTime => q.max_time,
        Word::Lock => q.lock,
        Word::MailLock => q.mail_lock,
        Word::MailWritePos => q.mail_write_pos,
        Word::MailAvail => q.mail_avail,
    };
    region.whole().word::<u32>(start + at)?.store_release(value);
    Ok(())
}

impl Queue {
    /// Its place in the table of a stock producer.
    pub fn index(self, version: Version) -> u64 {
        let id = match self {
            Queue::Frames => FRAME_QUEUE,
            Queue::Pointer => POINTER_QUEUE,
        };
        version.layout().queues().take_while(|(queue, _)| *queue != id).count() as u64
    }
}
