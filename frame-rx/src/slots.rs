//! Handing pictures from the feed to the screen: the newest complete picture wins, and the feed never waits.
//!
//! Few slots go round: the mailbox holds at most one, the screen has at most one, and gives it back before it takes the
//! next. So the feed always finds one: free, or the one nobody fetched. With three, a picture waits for the screen while
//! the feed fills the next; with two, the waiting one is taken back for that.
//!
//! A slot holds only what changed since the picture the screen has. What was changed by pictures that the screen never
//! fetched, or that turned out torn, is remembered and copied again, so a texture that applies each slot is complete. When the
//! screen does not fetch any more (a hidden window), the waiting slot itself is brought up to date instead: then only what
//! changes is copied, however much that was since somebody looked.
//! Slots travel by value through bounded channels: nothing is allocated, locked or shared.

use crate::damage::Damage;
use crate::picture::PictureFormat;
use crate::trace::GuestTook;
use core::time::Duration;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use shm_proto::HostTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many slots go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Two: for a screen that takes a picture at once and needs no rhythm.
    Two,
    /// Three: for a screen that comes when it refreshes.
    Three,
}

/// The most slots that go round.
const MOST: usize = 3;
/// So many pictures that nobody fetched mean that nobody looks: a guest four times as fast as the screen has three.
const UNFETCHED: u32 = 4;

impl Supply {
    const fn slots(self) -> usize {
        match self {
            Supply::Two => 2,
            Supply::Three => MOST,
        }
    }
}

/// Memory that takes the rows of a picture.
pub trait Rows: Send {
    /// How many bytes fit.
    fn capacity_bytes(&self) -> u64;

    /// Stores `bytes` from `at_bytes` on. Whether they fitted; if not, nothing was stored. Real-time safe.
    fn write(&mut self, at_bytes: u64, bytes: &[u8]) -> bool;
}

/// When things happened to a picture, by the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The last look before it that found nothing.
    pub looked: HostTime,
    /// The feed found its message.
    pub found: HostTime,
    /// Its rows were all copied.
    pub copied: HostTime,
    /// How long of that was spent waiting for the guest to write them.
    pub waited: Duration,
    /// What the guest says of its own stages.
    pub guest: Option<GuestTook>,
}

/// A picture on its way to the screen.
#[derive(Debug)]
pub struct Slot<R> {
    /// The pixels; only those in `damage` are of this picture.
    pub rows: R,
    /// Size, pixel format and turn.
    pub format: PictureFormat,
    /// What changed since the picture that the screen fetched before.
    pub damage: Damage,
    /// Which guest session it is from; a new one is larger.
    pub session: u64,
    /// Counts the pictures of the feed.
    pub number: u64,
    /// When it was found and copied.
    pub times: Times,
}

/// The feed's end.
#[derive(Debug)]
pub struct Intake<R> {
    free: Receiver<Slot<R>>,
    newest: Sender<Slot<R>>,
    withdraw: Receiver<Slot<R>>,
    supply: Supply,
    spare: [Option<Slot<R>>; MOST],
    armed: Arc<AtomicBool>,
    /// Changed by pictures that never reached the mailbox.
    lost: Damage,
    /// Changed by the picture that lay in the mailbox when it was last looked at.
    waiting: Damage,
    /// What the slot that is being filled holds once it is filled, if it is the one that waited.
    whole: Option<Damage>,
    /// Pictures published since the mailbox was last found empty.
    unfetched: u32,
    format: Option<PictureFormat>,
    slot_bytes: u64,
    skipped: u64,
}

/// The screen's end.
#[derive(Debug)]
pub struct Outlet<R> {
    free: Sender<Slot<R>>,
    newest: Receiver<Slot<R>>,
    /// The screen wants to be told of the next picture.
    armed: Arc<AtomicBool>,
}

/// Both ends, without any slot yet; [`Intake::prepare`] makes them.
pub fn pair<R: Rows>(supply: Supply) -> (Intake<R>, Outlet<R>) {
    // Twice as many places as slots: after a change of size, an old one may still be on its way back.
    let (give_back, free) = bounded(2 * MOST);
    let (newest, fetch) = bounded(1);
    let armed = Arc::new(AtomicBool::new(true));
    let intake = Intake {
        free,
        newest,
        withdraw: fetch.clone(),
        supply,
        spare: [None, None, None],
        armed: armed.clone(),
        lost: Damage::everything(),
        waiting: Damage::none(),
        whole: None,
        unfetched: 0,
        format: None,
        slot_bytes: 0,
        skipped: 0,
    };
    (intake, Outlet { free: give_back, newest: fetch, armed })
}

impl<R: Rows> Intake<R> {
    /// Makes sure that slots large enough for `format` are in circulation. Allocates only when they have to grow.
    ///
    /// # Errors
    /// What `make` says; then there are no slots, and the next call tries again.
    pub fn prepare<E>(&mut self, format: &PictureFormat, mut make: impl FnMut(u64) -> Result<R, E>) -> Result<(), E> {
        let bytes = format.slot_bytes();
        if bytes <= self.slot_bytes {
            return Ok(());
        }
        self.renew();
        for place in self.spare.iter_mut().take(self.supply.slots()) {
            let slot = Slot {
                rows: make(bytes)?,
                format: *format,
                damage: Damage::none(),
                session: 0,
                number: 0,
                times: Times::default(),
            };
            *place = Some(slot);
        }
        self.slot_bytes = bytes;
        Ok(())
    }

    /// A slot to fill with the picture of `format` in which `changed` changed. Its `damage` says what must be copied, until
    /// it is published: at least `changed`. Nothing if no slot is at hand, which counts as a picture that was lost.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    pub fn begin(&mut self, format: PictureFormat, changed: &Damage) -> Option<Slot<R>> {
        if self.newest.is_empty() {
            self.waiting.clear();
            self.unfetched = 0;
        }
        if self.format != Some(format) {
            self.lost.set_everything();
            self.format = Some(format);
        }
        let waiting = self.take_up(changed);
        self.lost.merge(&self.waiting);
        self.lost.merge(changed);
        let mut slot = match waiting {
            Some(slot) => slot,
            None => self.acquire(format.slot_bytes())?,
        };
        slot.format = format;
        slot.damage.clone_from(&self.lost);
        slot.damage.sort_by_row();
        Some(slot)
    }

    /// Puts a filled slot into the mailbox, in place of one that nobody fetched. Returns whether the screen must be told.
    ///
    /// Real-time safe.
    pub fn publish(&mut self, mut slot: Slot<R>) -> bool {
        if let Some(whole) = self.whole.take() {
            slot.damage = whole;
        }
        self.unfetched = self.unfetched.saturating_add(1);
        self.waiting.clone_from(&slot.damage);
        self.lost.clear();
        loop {
            match self.newest.try_send(slot) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => {
                    slot = back;
                    if let Ok(old) = self.withdraw.try_recv() {
                        self.skipped += 1;
                        self.keep(old);
                    }
                }
                Err(TrySendError::Disconnected(back)) => {
                    self.keep(back);
                    return false;
                }
            }
        }
        // Sequentially consistent, as in `Outlet`: either the screen finds the slot, or it is told.
        self.armed.swap(false, Ordering::SeqCst)
    }

    /// Takes back a slot whose picture turned out torn or unfinished. What it should have held is copied next time.
    ///
    /// Real-time safe.
    pub fn abandon(&mut self, slot: Slot<R>) {
        self.lost.merge(&slot.damage);
        if let Some(whole) = self.whole.take() {
            self.lost.merge(&whole);
        }
        self.keep(slot);
    }

    /// The session ended: what waits in the mailbox is never shown, and the next picture is copied whole.
    pub fn end_session(&mut self) {
        self.forget_waiting();
        self.format = None;
    }

    /// The memory of every slot is of no use any more: from now on others are made, and the next picture is copied whole.
    pub fn renew(&mut self) {
        self.slot_bytes = 0;
        self.spare = [None, None, None];
        while self.free.try_recv().is_ok() {}
        self.end_session();
    }

    /// Pictures that were replaced in the mailbox before the screen fetched them.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The waiting slot, to be brought up to date, if nobody has fetched for a while: so late the screen does not mind that
    /// there is nothing to fetch for the moment that a copy takes. If that makes too many rectangles, everything is copied
    /// once, so that there is one from then on.
    fn take_up(&mut self, changed: &Damage) -> Option<Slot<R>> {
        if self.unfetched < UNFETCHED || !self.lost.is_nothing() {
            return None;
        }
        let mut whole = self.waiting.clone();
        if !whole.merge_exactly(changed) {
            self.lost.set_everything();
            return None;
        }
        // Whoever fetched it a moment ago has all of it: the next one begins anew.
        let slot = self.withdraw.try_recv().ok()?;
        self.skipped += 1;
        self.waiting.clear();
        self.whole = Some(whole);
        Some(slot)
    }

    fn forget_waiting(&mut self) {
        if let Ok(old) = self.withdraw.try_recv() {
            self.keep(old);
        }
        self.waiting.clear();
        self.lost.set_everything();
    }

    /// Stores a slot for later, or drops it if it is too small for today's pictures.
    fn keep(&mut self, slot: Slot<R>) {
        if slot.rows.capacity_bytes() >= self.slot_bytes
            && self.slot_bytes > 0
            && let Some(place) = self.spare.iter_mut().find(|p| p.is_none())
        {
            *place = Some(slot);
        }
    }

    fn acquire(&mut self, bytes: u64) -> Option<Slot<R>> {
        if bytes > self.slot_bytes {
            return None;
        }
        // A second look: between two steps the screen may have fetched the waiting slot, and then gave one back before.
        for _ in 0..2 {
            if let Some(slot) = self.spare.iter_mut().find_map(Option::take) {
                return Some(slot);
            }
            loop {
                match self.free.try_recv() {
                    Ok(slot) if slot.rows.capacity_bytes() >= self.slot_bytes => return Some(slot),
                    Ok(_too_small_since_the_pictures_grew) => {}
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if let Ok(slot) = self.withdraw.try_recv() {
                self.skipped += 1;
                return Some(slot);
            }
        }
        None
    }
}

impl<R: Rows> Outlet<R> {
    /// The newest complete picture, if there is one that was not fetched yet. Give the one before back first. The next
    /// one will be told.
    pub fn take(&self) -> Option<Slot<R>> {
        self.armed.store(true, Ordering::SeqCst);
        self.newest.try_recv().ok()
    }

    /// Whether a picture waits. If not, the next one will be told.
    pub fn is_waiting(&self) -> bool {
        if !self.newest.is_empty() {
            return true;
        }
        self.armed.store(true, Ordering::SeqCst);
        !self.newest.is_empty()
    }

    /// Returns a slot whose pixels were used.
    pub fn give_back(&self, slot: Slot<R>) {
        // Cannot be full: there are never more slots than places. A feed that ended needs none.
        let _ = self.free.try_send(slot);
    }
}

#[cfg(test)]
mod tests;
