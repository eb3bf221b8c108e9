//! A viewer's place in one queue: take it, read, acknowledge, give it back.
//!
//! Every step first looks whether the session and the place are still ours; if not, it writes nothing. The read index
//! is private and below the ring length that was checked when the place was taken.

use super::Trouble;
use super::client::{Client, Session};
use super::queue::{LOCK_TRIES, QueueConfig, QueueWords, Ring};
use super::wire::{Layout, Subs, Waiting};
use crate::cycle;
use crate::guest::{Allowed, Corrupt, Guest};
use crate::raw::map::Region;
use crate::span::{AccessError, Span};

/// A message as its ring entry was read, once. Nothing in it is checked but its place in the ring.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    index: u32,
    /// The application's word; versions before 11 have 32 bits of it.
    pub udata: Guest<u64>,
    /// Payload bytes.
    pub size: Guest<u32>,
    /// Where the payload lies, from the start of the region.
    pub offset: Guest<u32>,
}

impl Message {
    /// The payload: at a multiple of 4, at least `min_bytes` long, inside the region.
    ///
    /// # Errors
    /// [`Corrupt`] if it cannot be.
    pub fn payload<'r>(&self, region: &'r Region, min_bytes: u32) -> Result<Span<'r>, Corrupt> {
        let offset = self.offset.check_that("message offset", "a multiple of 4", |o| o.is_multiple_of(4))?;
        let size = self.size.check_that("message size", "at least the size of its header", |s| s >= min_bytes)?;
        let outside = Corrupt {
            field: "message offset + size",
            value: u64::from(offset) + u64::from(size),
            allowed: Allowed::Range(0, region.len()),
        };
        region.span(u64::from(offset), u64::from(size)).map_err(|_| outside)
    }
}

/// A place in one queue. Dropping it writes nothing; [`Subscription::unsubscribe`] gives it back.
#[derive(Debug)]
pub struct Subscription {
    config: QueueConfig,
    session: Session,
    place: u32,
    own: u32,
    not_ours: u64,
}

impl Subscription {
    /// Takes the lowest free place in queue `id`, after clearing away viewers that the producer gave up on long enough
    /// ago. Only messages posted afterwards are read.
    ///
    /// What an earlier holder of the place left unread is cleared too: it would count as ours and make us bad.
    /// Blocks for a bounded number of pauses. Real-time safe.
    ///
    /// # Errors
    /// [`Trouble::NoSuchQueue`], [`Trouble::LockBusy`], [`Trouble::QueueFull`]: nothing was changed.
    /// [`Trouble::SessionEnded`], [`Trouble::Corrupt`], [`Trouble::Access`].
    pub fn take(client: &Client, id: u32) -> Result<Subscription, Trouble> {
        let session = client.session().ok_or(Trouble::SessionEnded)?;
        let (region, layout) = (client.region(), client.layout());
        client.check_session(session)?;
        let config = client.find_queue(id)?;
        let words = config.words(region, layout)?;
        config.ring.touch(region, layout)?;
        words.touch()?;
        let timestamp = client.timestamp()?;
        let held = words.try_lock(LOCK_TRIES)?.ok_or(Trouble::LockBusy { id })?;
        // Once more under the lock: a producer that started anew meanwhile made everything new.
        client.check_session(session)?;
        let mut subs = words.subs()?;
        if subs.on != 0 {
            subs = reap(&words, subs, timestamp, layout.queue.places)?;
        }
        let place = free_place(subs, layout.queue.places);
        let place = place.ok_or(Trouble::QueueFull { id, places: layout.queue.places })?;
        let position = Guest::new(words.u32(layout.queue.position)?.load_acquire());
        let own = position.check("position", 0..=config.ring.entries() - 1)?;
        config.ring.clear_bit(region, layout, 1 << place)?;
        words.timeout(place)?.store_release(0);
        words.client_id(place)?.store_release(session.client_id);
        words.set_subs(Subs { on: subs.on | 1 << place, ..subs })?;
        words.u32(layout.queue.new_sub_count)?.fetch_add(1);
        drop(held);
        client.check_session(session)?;
        Ok(Subscription { config, session, place, own, not_ours: 0 })
    }

    /// Gives the place back: clears our bit in every entry, so that the next holder does not inherit it. Does nothing if
    /// the place is not ours any more.
    ///
    /// # Errors
    /// As [`Subscription::peek`], and [`Trouble::LockBusy`]: the producer clears up after a second.
    pub fn unsubscribe(self, client: &Client) -> Result<(), Trouble> {
        let (region, layout) = (client.region(), client.layout());
        let words = self.config.words(region, layout)?;
        self.check_place(client, &words)?;
        self.config.ring.touch(region, layout)?;
        words.touch()?;
        let held = words.try_lock(LOCK_TRIES)?.ok_or(Trouble::LockBusy { id: self.config.id })?;
        // Once more under the lock: now nobody honest can take the place away.
        let subs = self.check_place(client, &words)?;
        self.config.ring.clear_bit(region, layout, self.bit())?;
        words.timeout(self.place)?.store_release(0);
        words.client_id(self.place)?.store_release(0);
        words.set_subs(Subs { on: subs.on & !self.bit(), ..subs })?;
        drop(held);
        Ok(())
    }

    /// The oldest message not yet acknowledged, if there is one. Real-time safe.
    ///
    /// # Errors
    /// [`Trouble::TimedOut`] or [`Trouble::PlaceLost`]: subscribe again. [`Trouble::SessionEnded`].
    /// [`Trouble::Corrupt`]: the queue's own words cannot be. [`Trouble::Access`].
    pub fn peek(&mut self, client: &Client) -> Result<Option<Message>, Trouble> {
        self.look(client).map(|found| found.map(|(message, _)| message))
    }

    /// As [`Subscription::peek`] for the newest message; the older ones are acknowledged unread and counted into
    /// `skipped`. Real-time safe.
    ///
    /// # Errors
    /// As [`Subscription::peek`].
    pub fn peek_newest(&mut self, client: &Client, skipped: &mut u64) -> Result<Option<Message>, Trouble> {
        // Each round moves the private index on by one, so a ring's length of rounds is enough.
        for _ in 0..self.config.ring.entries() {
            match self.look(client)? {
                Some((_, waiting)) if waiting > 1 => {
                    self.acknowledge(client)?;
                    *skipped += 1;
                }
                found => return Ok(found.map(|(message, _)| message)),
            }
        }
        Ok(None)
    }

    /// Acknowledges the message that [`Subscription::peek`] gave: the producer may reuse its payload from now on.
    /// Real-time safe; if the lock is held by somebody else, the producer's own tick retires the entry.
    ///
    /// # Errors
    /// As [`Subscription::peek`].
    pub fn acknowledge(&mut self, client: &Client) -> Result<(), Trouble> {
        let (region, layout) = (client.region(), client.layout());
        let words = self.config.words(region, layout)?;
        self.check_place(client, &words)?;
        let index = self.own;
        let pending = self.config.ring.pending(region, layout, index)?;
        self.own = cycle::next(index, self.config.ring.entries());
        // Where both sides do it under the lock, so do we; but a lock that is held for ever does not keep the bit.
        let held = if layout.manner.acknowledges_locked { words.try_lock(LOCK_TRIES)? } else { None };
        // Orders both ways: our copy of the payload is finished before the producer sees the bit go.
        if !pending.and_leaves_none(!self.bit()) {
            return Ok(());
        }
        let held = match held {
            Some(held) => Some(held),
            None => words.try_lock(1)?,
        };
        let Some(_held) = held else { return Ok(()) };
        if words.u32(layout.queue.start)?.load_acquire() != index {
            return Ok(());
        }
        let count = Guest::new(words.u32(layout.queue.count)?.load_acquire());
        let count = count.check("count", 1..=self.config.ring.entries())?;
        words.u32(layout.queue.start)?.store_release(self.own);
        words.u32(layout.queue.count)?.store_release(count - 1);
        let overdue = client.timestamp()?.wrapping_add(u64::from(self.config.max_time_ms));
        let msg_timeout = words.u64(layout.queue.msg_timeout)?;
        if !layout.manner.overdue_only_forward || overdue > msg_timeout.load_acquire() {
            msg_timeout.store_release(overdue);
        }
        Ok(())
    }

    /// Whether the producer still waits for us to read `message`: as long as it does, an honest one leaves the payload
    /// alone. Look after a payload was copied.
    ///
    /// # Errors
    /// As [`Subscription::peek`].
    pub fn still_holds(&self, client: &Client, message: &Message) -> Result<bool, Trouble> {
        let (region, layout) = (client.region(), client.layout());
        self.check_place(client, &self.config.words(region, layout)?)?;
        let pending = self.config.ring.pending(region, layout, message.index)?;
        Ok(pending.load_acquire() & self.bit() != 0)
    }

    /// Asks the producer to post its last message again, as it does for a newcomer: counts us as one more. Real-time
    /// safe.
    ///
    /// # Errors
    /// As [`Subscription::peek`].
    pub fn ask_again(&self, client: &Client) -> Result<(), Trouble> {
        let layout = client.layout();
        let words = self.config.words(client.region(), layout)?;
        self.check_place(client, &words)?;
        words.u32(layout.queue.new_sub_count)?.fetch_add(1);
        Ok(())
    }

    /// Whether session and place are still ours. Writes nothing.
    ///
    /// # Errors
    /// As [`Subscription::peek`].
    pub fn check(&self, client: &Client) -> Result<(), Trouble> {
        self.check_place(client, &self.config.words(client.region(), client.layout())?).map(|_| ())
    }

    /// The place's number.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// The queue, as it was when the place was taken.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// Messages that somebody else acknowledged in our name so far.
    pub fn not_ours(&self) -> u64 {
        self.not_ours
    }

    /// The session this place belongs to.
    pub fn session(&self) -> Session {
        self.session
    }

    /// The message at the private index and how many are waiting, itself included.
    fn look(&mut self, client: &Client) -> Result<Option<(Message, u32)>, Trouble> {
        let (region, layout) = (client.region(), client.layout());
        let words = self.config.words(region, layout)?;
        let entries = self.config.ring.entries();
        self.check_place(client, &words)?;
        // Acquire: the entries before this position were filled before.
        let position = Guest::new(words.u32(layout.queue.position)?.load_acquire());
        let position = position.check("position", 0..=entries - 1)?;
        Guest::new(words.u32(layout.queue.count)?.load_acquire()).check("count", 0..=entries)?;
        let found = match layout.manner.waiting {
            Waiting::Bit => self.first_marked(region, layout, &words)?,
            Waiting::Index | Waiting::IndexOrBit => self.next_in_order(client, &words, position)?,
        };
        if found.is_none() {
            region.check_alive()?;
        }
        Ok(found)
    }

    /// For versions in which every message is for everybody: what lies between our index and the producer's.
    fn next_in_order(
        &mut self,
        client: &Client,
        words: &QueueWords<'_>,
        position: u32,
    ) -> Result<Option<(Message, u32)>, Trouble> {
        let (region, layout, entries) = (client.region(), client.layout(), self.config.ring.entries());
        let mut waiting = cycle::distance(self.own, position, entries);
        if waiting == 0 && layout.manner.waiting == Waiting::IndexOrBit && self.is_marked(region, layout, self.own)? {
            waiting = entries;
        }
        while waiting > 0 {
            let message = self.message(region, layout, self.own)?;
            if self.is_marked(region, layout, self.own)? {
                return Ok(Some((message, waiting)));
            }
            // Nobody waits for us to read this one: either the producer just gave up on us, or another viewer forged
            // our acknowledgement. The payload may be reused already.
            self.check_place(client, words)?;
            self.not_ours += 1;
            self.own = cycle::next(self.own, entries);
            waiting -= 1;
        }
        Ok(None)
    }

    /// For versions in which a message may be for others: the oldest entry that is marked as ours. Entries are gone
    /// through from the oldest on, once more if the oldest changed meanwhile, so a newer one is not taken first.
    fn first_marked(
        &mut self,
        region: &Region,
        layout: &'static Layout,
        words: &QueueWords<'_>,
    ) -> Result<Option<(Message, u32)>, Trouble> {
        const LOOKS: u32 = 4;
        let entries = self.config.ring.entries();
        let start = words.u32(layout.queue.start)?;
        let (mut found, mut waiting) = (None, 0);
        for _ in 0..LOOKS {
            let oldest = start.load_acquire();
            (found, waiting) = (None, 0);
            // Whatever number that is: the search goes once round the ring.
            let mut index = oldest % entries;
            for _ in 0..entries {
                if self.is_marked(region, layout, index)? {
                    found = found.or(Some(index));
                    waiting += 1;
                }
                index = cycle::next(index, entries);
            }
            if start.load_acquire() == oldest {
                break;
            }
        }
        let Some(index) = found else { return Ok(None) };
        self.own = index;
        // The mark was seen with acquire, so the entry below it is whole; it stays until we acknowledge.
        Ok(Some((self.message(region, layout, index)?, waiting)))
    }

    fn is_marked(&self, region: &Region, layout: &Layout, index: u32) -> Result<bool, AccessError> {
        Ok(self.config.ring.pending_now(region, layout, index)? & self.bit() != 0)
    }

    fn message(&self, region: &Region, layout: &Layout, index: u32) -> Result<Message, AccessError> {
        let entry = self.config.ring.entry(region, layout, index)?;
        let load = |at| entry.read_word::<u32>(at).map(|w| w.load_acquire());
        Ok(Message {
            index,
            udata: Guest::new(Ring::udata(entry, layout)?),
            size: Guest::new(load(layout.entry.payload_size)?),
            offset: Guest::new(load(layout.entry.payload_offset)?),
        })
    }

    /// Whether session and place are ours; the masks, if so.
    fn check_place(&self, client: &Client, words: &QueueWords<'_>) -> Result<Subs, Trouble> {
        client.check_session(self.session)?;
        let subs = words.subs()?;
        let id = self.config.id;
        if subs.on & self.bit() == 0 || words.client_id(self.place)?.load_acquire() != self.session.client_id {
            return Err(Trouble::PlaceLost { id });
        }
        if subs.bad & self.bit() != 0 {
            return Err(Trouble::TimedOut { id });
        }
        Ok(subs)
    }

    const fn bit(&self) -> u32 {
        1 << self.place
    }

    /// The ring, for looking at it in tests.
    pub fn ring(&self) -> Ring {
        self.config.ring
    }
}

/// Frees the places that the producer gave up on and whose grace is over, by the producer's clock. Under the lock.
fn reap(words: &QueueWords<'_>, subs: Subs, timestamp: u64, places: u32) -> Result<Subs, AccessError> {
    let mut left = subs;
    for place in 0..places.min(u32::BITS) {
        let bit = 1 << place;
        if subs.bad & bit != 0 && timestamp > words.timeout(place)?.load_acquire() {
            left.on &= !bit;
            left.bad &= !bit;
            words.timeout(place)?.store_release(0);
            words.client_id(place)?.store_release(0);
        }
    }
    if left != subs {
        words.set_subs(left)?;
    }
    Ok(left)
}

fn free_place(subs: Subs, places: u32) -> Option<u32> {
    let place = (subs.on | subs.bad).trailing_ones();
    (place < places.min(u32::BITS)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_place_without_any_mark_is_free() {
        for (on, bad, places, expected) in [
            (0, 0, 32, Some(0)),
            (0b1, 0, 32, Some(1)),
            (0b101, 0b010, 32, Some(3)),
            (u32::MAX, 0, 32, None),
            (u32::MAX >> 1, 0, 32, Some(31)),
            (0xFF, 0, 8, None),
        ] {
            assert_eq!(free_place(Subs { on, bad }, places), expected, "{on:b} {bad:b}");
        }
    }
}
