//! The steps of the ring, and nothing else: which word is read or written when, and which fence stands between.
//!
//! Generic over the memory, so that the code that runs on a mapped region is the code that loom explores (`loom.rs`).
//! Loads and stores are relaxed here; each fence says what it releases to whom. A memory may order more than asked.

use super::wire;
use crate::guest::{Allowed, Corrupt, Guest};

/// The control words of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Odd while a writer lays out the ring, else even and different for each start.
    Generation,
    /// Number of the newest complete publication.
    Published,
    /// The sequence word of a slot.
    Sequence(u32),
}

/// Memory as a reader has it. A word is found before it is used, so that nothing can fail between two steps, and so
/// that what is found early does not stand between a writer's mark and its reader.
pub(super) trait Look {
    /// Why a word could not be found.
    type Error;
    /// A word that was found.
    type Found: Copy;
    /// Finds a word.
    fn find(&self, word: Word) -> Result<Self::Found, Self::Error>;
    /// What it holds now; no order.
    fn load(&self, word: Self::Found) -> u64;
    /// Acquire fence: loads before it happen before loads after it.
    fn acquire(&self);
    /// A copy from this slot may follow: the processor can begin to fetch it. Means nothing to the protocol.
    fn expect(&self, _slot: u32) {}
}

/// Memory as the writer has it.
pub(super) trait Alter: Look {
    /// A word that was found for storing.
    type Place: Copy;
    /// Finds a word for storing.
    fn place(&self, word: Word) -> Result<Self::Place, Self::Error>;
    /// Stores it; no order.
    fn store(&self, place: Self::Place, value: u64);
    /// Release fence: stores before it happen before stores after it.
    fn release(&self);
}

/// What the sequence word holds while publication `number` is being written.
const fn writing(number: u64) -> u64 {
    2 * number - 1
}

/// What it holds when it is whole.
const fn whole(number: u64) -> u64 {
    2 * number
}

/// The slot of publication `number`, which is 1 or more.
const fn slot_of(number: u64, slots: u32) -> u32 {
    // The remainder is below `slots`.
    ((number - 1) % slots as u64) as u32
}

/// Writer: lays out the ring anew. `rewrite` writes the header and clears the count and every sequence word.
///
/// Wait-free. `new` must be even, not 0, and not what the generation word held before.
pub(super) fn restart<M: Alter, E: From<M::Error>>(
    memory: &M,
    new: u64,
    rewrite: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let generation = memory.place(Word::Generation)?;
    memory.store(generation, new.wrapping_sub(1));
    // The odd mark before everything that is rewritten: who sees any of it also sees that the generation has ended.
    memory.release();
    rewrite()?;
    // The new layout before the new generation: who sees the generation sees the layout.
    memory.release();
    memory.store(generation, new);
    Ok(())
}

/// Writer: publication `number` into its slot. `fill` is given the slot and writes its header and payload.
///
/// Wait-free. If `fill` fails the slot stays marked as being written and the number is still free: publish it again.
pub(super) fn publish<M: Alter, T, E: From<M::Error>>(
    memory: &M,
    slots: u32,
    number: u64,
    fill: impl FnOnce(u32) -> Result<T, E>,
) -> Result<T, E> {
    let slot = slot_of(number, slots);
    let (sequence, published) = (memory.place(Word::Sequence(slot))?, memory.place(Word::Published)?);
    memory.store(sequence, writing(number));
    // The odd mark before every byte: a reader that copied one of them finds the mark when it looks again.
    memory.release();
    let filled = fill(slot)?;
    // Every byte before the even mark: a reader that saw it copies whole bytes.
    memory.release();
    memory.store(sequence, whole(number));
    // The even mark before the count: a reader that saw the number finds its slot whole, or lapped.
    memory.release();
    memory.store(published, number);
    Ok(filled)
}

/// Reader: a generation and what `read` found in the header while it lasted; nothing while a writer lays out the ring.
pub(super) fn snapshot<M: Look, T, E: From<M::Error>>(
    memory: &M,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<Option<(u64, T)>, E> {
    let word = memory.find(Word::Generation)?;
    let generation = memory.load(word);
    // Pairs with the release before the new generation: the layout read below is at least this one.
    memory.acquire();
    if generation % 2 == 1 {
        return Ok(None);
    }
    let found = read()?;
    // Pairs with the release behind the odd mark: had we read a byte of a later layout, we would see the mark.
    memory.acquire();
    let again = memory.load(word);
    Ok((again == generation).then_some((generation, found)))
}

/// Why a reader has nothing to show for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The publication asked for does not exist yet.
    NotYet,
    /// The writer passed us at every attempt.
    Overrun,
    /// The generation has ended.
    Restarted,
    /// Words that no writer leaves behind in this combination.
    Corrupt(Corrupt),
}

/// A copy that is known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got<T> {
    /// Which publication.
    pub(super) number: u64,
    /// How many between the last one taken and this one we did not get.
    pub(super) lapped: u64,
    /// What was copied.
    pub(super) value: T,
}

/// What became of one attempt at one publication.
enum Attempt<T> {
    Whole(T),
    /// Its slot still holds, or is being given, something older: this was in the sequence word.
    NotYet(u64),
    /// Its slot already holds, or is being given, a later one.
    Passed,
    /// That happened while we copied.
    Torn,
    Restarted,
}

/// How often a call goes after a writer that passes it before it gives up.
const MAX_ATTEMPTS: u32 = 4;

/// Where a reader stands in one generation of a ring. Lives in the reader's own memory alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    generation: u64,
    slots: u32,
    /// Number of the last publication that was taken (or given up).
    taken: u64,
    /// Copies that a writer ran over.
    pub(super) torn: u64,
}

impl Position {
    /// In front of the newest publication there is.
    pub(super) fn before_newest<M: Look>(memory: &M, generation: u64, slots: u32) -> Result<Position, M::Error> {
        let published = memory.load(memory.find(Word::Published)?);
        // Pairs with the release before the count: the slot named by it is whole.
        memory.acquire();
        let taken = if published > wire::MAX_NUMBER { 0 } else { published.saturating_sub(1) };
        Ok(Position { generation, slots, taken, torn: 0 })
    }

    /// The generation this is a place in.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Number of the last publication that was accepted, or passed over when this reader came.
    #[cfg(all(test, loom))]
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next publication after the last one accepted; after a lap, one from the middle of what is still there.
    ///
    /// Wait-free: four attempts at most. `copy` is given the slot; what it returns counts only if this function returns
    /// it, since the writer may have been at work meanwhile.
    pub(super) fn next<M: Look, T, E: From<M::Error>>(
        &mut self,
        memory: &M,
        mut copy: impl FnMut(u32) -> Result<T, E>,
    ) -> Result<Result<Got<T>, Miss>, E> {
        let mut number = self.taken.saturating_add(1).min(wire::MAX_NUMBER);
        for _ in 0..MAX_ATTEMPTS {
            match self.attempt(memory, number, &mut copy)? {
                Attempt::Whole(value) => {
                    return Ok(Ok(Got { number, lapped: number.saturating_sub(self.taken + 1), value }));
                }
                Attempt::NotYet(_) => return Ok(Err(Miss::NotYet)),
                Attempt::Restarted => return Ok(Err(Miss::Restarted)),
                Attempt::Torn => self.torn = self.torn.saturating_add(1),
                Attempt::Passed => {}
            }
            let published = match self.published(memory, number)? {
                Ok(published) => published,
                Err(miss) => return Ok(Err(miss)),
            };
            // Half a ring behind the newest: the older half will be overwritten first.
            let slack = u64::from((self.slots - 1) / 2);
            number = published.saturating_sub(slack).max(number + 1).min(wire::MAX_NUMBER);
        }
        Ok(Err(Miss::Overrun))
    }

    /// The newest publication, if it was not accepted yet. As [`Position::next`] otherwise.
    pub(super) fn newest<M: Look, T, E: From<M::Error>>(
        &mut self,
        memory: &M,
        mut copy: impl FnMut(u32) -> Result<T, E>,
    ) -> Result<Result<Got<T>, Miss>, E> {
        for _ in 0..MAX_ATTEMPTS {
            let number = match self.published(memory, 0)? {
                Ok(number) => number,
                Err(miss) => return Ok(Err(miss)),
            };
            if number <= self.taken {
                return Ok(Err(if self.has_ended(memory)? { Miss::Restarted } else { Miss::NotYet }));
            }
            match self.attempt(memory, number, &mut copy)? {
                Attempt::Whole(value) => return Ok(Ok(Got { number, lapped: number - self.taken - 1, value })),
                Attempt::Restarted => return Ok(Err(Miss::Restarted)),
                // The count said that it is there.
                Attempt::NotYet(found) => return Ok(Err(Miss::Corrupt(behind_the_count(found, number)))),
                Attempt::Torn => self.torn = self.torn.saturating_add(1),
                Attempt::Passed => {}
            }
        }
        Ok(Err(Miss::Overrun))
    }

    /// Goes on behind publication `number`.
    pub(super) fn accept(&mut self, number: u64) {
        self.taken = number;
    }

    /// Finds a writer that broke its own rules (a count that went back, or a slot that does not hold what the count
    /// says) and stands before the newest publication it claims. `Ok(None)` when all is well.
    pub(super) fn resynchronise<M: Look>(&mut self, memory: &M) -> Result<Option<Corrupt>, M::Error> {
        // A publication can be taken a moment before it is counted, but not two.
        let lost = match self.published(memory, self.taken.saturating_sub(1))? {
            Ok(published) if published > self.taken => {
                let number = self.taken + 1;
                let sequence = memory.load(memory.find(Word::Sequence(slot_of(number, self.slots)))?);
                if sequence >= whole(number) || self.has_ended(memory)? {
                    return Ok(None);
                }
                behind_the_count(sequence, number)
            }
            Err(Miss::Corrupt(corrupt)) => corrupt,
            Ok(_) | Err(_) => return Ok(None),
        };
        *self = Position { torn: self.torn, ..Position::before_newest(memory, self.generation, self.slots)? };
        Ok(Some(lost))
    }

    /// The count, if it is `least` or more.
    fn published<M: Look>(&self, memory: &M, least: u64) -> Result<Result<u64, Miss>, M::Error> {
        let published = memory.load(memory.find(Word::Published)?);
        // Pairs with the release before the count: the slot named by it is whole, or lapped.
        memory.acquire();
        match Guest::new(published).check("published", least..=wire::MAX_NUMBER) {
            Ok(published) => Ok(Ok(published)),
            Err(_) if self.has_ended(memory)? => Ok(Err(Miss::Restarted)),
            Err(corrupt) => Ok(Err(Miss::Corrupt(corrupt))),
        }
    }

    /// Whether another generation has begun. An acquire fence must stand between this look and whatever was read
    /// before: it pairs with the release behind the odd generation, so had we read a byte of a later layout, we see it.
    fn has_ended<M: Look>(&self, memory: &M) -> Result<bool, M::Error> {
        Ok(memory.load(memory.find(Word::Generation)?) != self.generation)
    }

    fn attempt<M: Look, T, E: From<M::Error>>(
        &self,
        memory: &M,
        number: u64,
        copy: &mut impl FnMut(u32) -> Result<T, E>,
    ) -> Result<Attempt<T>, E> {
        let slot = slot_of(number, self.slots);
        let (sequence, generation) = (memory.find(Word::Sequence(slot))?, memory.find(Word::Generation)?);
        memory.expect(slot);
        let before = memory.load(sequence);
        // Pairs with the release before the even mark: the bytes copied below are at least those of `number`. Had the
        // slot been passed: the count read next is at least that of the publication before.
        memory.acquire();
        if before != whole(number) {
            return Ok(if memory.load(generation) != self.generation {
                Attempt::Restarted
            } else if before < whole(number) {
                Attempt::NotYet(before)
            } else {
                Attempt::Passed
            });
        }
        let value = copy(slot)?;
        // Pairs with the release behind the odd mark: had we copied a byte of a later one, we would see its mark. The
        // same fence serves the look at the generation: had we copied a byte of a later layout, we would see it ended.
        memory.acquire();
        let after = memory.load(sequence);
        if memory.load(generation) != self.generation {
            return Ok(Attempt::Restarted);
        }
        if after == before {
            return Ok(Attempt::Whole(value));
        }
        // Pairs with the release before the count of the publication before: the count read next is at least that one.
        memory.acquire();
        Ok(Attempt::Torn)
    }
}

fn behind_the_count(sequence: u64, number: u64) -> Corrupt {
    Corrupt { field: "sequence", value: sequence, allowed: Allowed::Range(whole(number), u64::MAX) }
}
