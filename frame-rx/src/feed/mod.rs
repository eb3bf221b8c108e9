//! The feed: one thread that follows the guest. Wait until the next picture is due, take the newest, copy what changed
//! behind the guest's write pointer into a slot, acknowledge at once; never wait for the screen.
//!
//! Here the protocol ends: what leaves this module are slots, pointer places and shapes, and states.

mod asking;
mod conditions;
mod rows;
mod standing;
mod translate;

use crate::asks::Asks;
use crate::cursor::Pointer;
use crate::damage::Damage;
use crate::guest::GuestInfo;
use crate::pointer::PointerIntake;
use crate::slots::{Intake, Rows, Slot, Times};
use crate::state::{Condition, GuestState};
use crate::stats::{FeedStats, Passed};
use crate::wishes::Wishes;
use asking::Asking;
pub use conditions::{Conditions, ConditionsIn, conditions};
use core::time::Duration;
use rx_host::signals::Stop;
use rx_host::watch::{RegionEvent, RegionWatch};
use rx_host::{clock, realtime};
use shm_proto::cadence::{Cadence, Look};
use shm_proto::kvmfr::stream::{MIN_REGION_BYTES, ViewerError};
use shm_proto::kvmfr::{CursorState, FrameFlags, Outcome, PendingFrame, Viewer};
use shm_proto::raw::pause::pause;
use shm_proto::{Access, HostTime, Region};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;

/// Between two looks while no session is joined: a restarted guest is joined soon after its heartbeat moves.
const UNJOINED_LOOK: Duration = Duration::from_millis(5);
/// The same when nothing has come of it for a while.
const UNJOINED_REST: Duration = Duration::from_millis(25);
/// That while.
const UNJOINED_PATIENCE: Duration = Duration::from_secs(5);
/// How long one wait for the file lasts at most.
const REGION_WAIT: Duration = Duration::from_millis(500);
/// How often the file is looked after while a session lives: its own heartbeat says sooner when it does not.
const LIVE_WATCH: Duration = Duration::from_millis(100);
/// How long after a session began pictures that make no sense are told of, if there is no other.
const NONSENSE: Duration = Duration::from_secs(1);
/// Between two looks while the pointer moves.
const POINTER_LOOK: Duration = Duration::from_millis(1);
/// How long after its last move the pointer counts as moving.
const POINTER_MOVES: Duration = Duration::from_millis(150);

/// What the screen's thread is told, and what else wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A picture waits in the slots.
    Picture,
    /// The pointer is elsewhere, or looks otherwise.
    Pointer,
    /// How it stands with the guest changed.
    Condition,
    /// The feed ended: the program shall too.
    Ended,
}

/// Tells the screen's thread. Called by the feed's thread, so it must not block.
pub type Tell = Box<dyn Fn(Told) + Send>;

/// Makes memory for the rows of a picture of so many bytes, or says why there is none.
pub type MakeRows<R> = Box<dyn FnMut(u64) -> Result<R, String> + Send>;

/// The feed's ends of everything that leads to the screen.
pub struct FeedParts<R: Rows> {
    /// The slots' end.
    pub intake: Intake<R>,
    /// The pointer's end.
    pub pointer: PointerIntake,
    /// The conditions' end.
    pub conditions: ConditionsIn,
    /// What the screen's side wants.
    pub wishes: Arc<Wishes>,
    /// What the guest wants.
    pub asks: Arc<Asks>,
    /// Where to count.
    pub stats: Arc<FeedStats>,
    /// How to tell.
    pub tell: Tell,
}

/// The feed.
pub struct Feed<R: Rows> {
    parts: FeedParts<R>,
    make_rows: MakeRows<R>,
    stop: Stop,
    watch: RegionWatch,
    watched: HostTime,
    attached: Option<Attached>,
    cursor: CursorState,
    shape_sent: u64,
    pointer_moved: HostTime,
    cadence: Cadence,
    looked: HostTime,
    unjoined_since: HostTime,
    session: u64,
    reported: Option<Condition>,
    passed: Passed,
    number: u64,
    bounce: Box<[u8]>,
    changed: Damage,
    asking: Asking,
}

/// A region that is being watched.
struct Attached {
    region: Region,
    viewer: Viewer,
    /// The viewer's session whose pictures are passed on; 0 before the first.
    generation: u64,
    /// When that session began, and what had made no sense before.
    since: (HostTime, u64),
    serial: u32,
}

/// What became of a look for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Picture,
}

impl<R: Rows> Feed<R> {
    /// A feed from the region at `path`. Allocates what it will need but for the slots, whose size the guest decides.
    pub fn new(path: &Path, parts: FeedParts<R>, make_rows: MakeRows<R>, stop: Stop) -> Feed<R> {
        let watch = RegionWatch::new(path, Access::ReadWrite, MIN_REGION_BYTES);
        Feed {
            parts,
            make_rows,
            stop,
            watch,
            watched: HostTime::ZERO,
            attached: None,
            cursor: CursorState::new(),
            shape_sent: 0,
            pointer_moved: HostTime::ZERO,
            cadence: Cadence::new(seed()),
            looked: HostTime::ZERO,
            unjoined_since: HostTime::ZERO,
            session: 0,
            reported: None,
            passed: Passed::default(),
            number: 0,
            bounce: vec![0; rows::BOUNCE_BYTES].into_boxed_slice(),
            changed: Damage::none(),
            asking: Asking::default(),
        }
    }

    /// Follows the guest until a stop is asked for. The whole life of the feed's thread.
    ///
    /// Blocks.
    pub fn run(mut self) {
        tracing::debug!("feed thread: {}", realtime::ask_for_exact_timers());
        while !self.stop.is_requested() {
            match self.step(clock::now()) {
                Some(at) if at <= self.looked => pause(),
                Some(at) => drop(clock::sleep_until(at)),
                None => {
                    let event = self.watch.wait(REGION_WAIT, &self.stop);
                    self.region_changed(event, clock::now());
                }
            }
        }
        if let Some(attached) = self.attached.take() {
            attached.viewer.close();
        }
        (self.parts.tell)(Told::Ended);
    }

    /// Looks once. When to look again (at once, if that is not after this look); nothing while there is no region to look
    /// at.
    pub fn step(&mut self, now: HostTime) -> Option<HostTime> {
        self.look_at_file(now);
        if self.parts.wishes.take_renewal() {
            self.parts.intake.renew();
            if let Some(attached) = &mut self.attached {
                attached.viewer.ask_again();
            }
        }
        let Some(attached) = &mut self.attached else {
            if let Some(sentence) = self.unusable() {
                self.report(sentence);
            }
            return None;
        };
        let state = attached.viewer.poll(now);
        if !state.is_live() {
            self.parts.stats.set_viewer(&self.passed, attached.viewer.counters());
            let quiet = now.since(self.unjoined_since) > UNJOINED_PATIENCE;
            let state = standing::while_waiting(&attached.region, &state, attached.generation > 0);
            // Whose next session is on its way needs no file of that name: the region is mapped.
            let counts = quiet || state != GuestState::Reconnecting;
            self.report(self.unusable().filter(|_| counts).unwrap_or(state));
            return Some(now + if quiet { UNJOINED_REST } else { UNJOINED_LOOK });
        }
        self.unjoined_since = now;
        if attached.viewer.generation() != attached.generation {
            self.begin_session(now);
        }
        if let Some(attached) = &mut self.attached {
            self.asking.ask(&self.parts.wishes, &mut attached.viewer, now);
        }
        if self.parts.wishes.take_stir() {
            self.cadence.stirred(now);
        }
        self.look_at_pointer(now);
        match self.look_at_picture(now) {
            Found::Picture => {}
            Found::Nothing => {
                self.cadence.nothing(now);
                self.parts.stats.idle_looks.inc();
                self.look_at_nonsense(now);
            }
        }
        self.looked = clock::now();
        let Look::At(next) = self.cadence.next_look(self.looked) else { return Some(self.looked) };
        let moving = self.looked.since(self.pointer_moved) < POINTER_MOVES;
        Some(if moving { next.min(self.looked + POINTER_LOOK) } else { next })
    }

    /// How it stands with the file, if it cannot be used.
    fn unusable(&self) -> Option<GuestState> {
        let state = self.watch.state();
        match state.region() {
            Some(_) => None,
            None => Some(GuestState::NoRegion { name: state.name(), sentence: state.sentence() }),
        }
    }

    fn look_at_file(&mut self, now: HostTime) {
        let lives = self.attached.as_ref().is_some_and(|a| a.viewer.state().is_live());
        if !lives || now.since(self.watched) >= LIVE_WATCH {
            self.watched = now;
            let event = self.watch.poll(now);
            self.region_changed(event, now);
        }
    }

    fn region_changed(&mut self, event: Option<RegionEvent>, now: HostTime) {
        match event {
            None | Some(RegionEvent::OtherReason) => return,
            // A VM goes on with a file whose name was deleted; its pictures are as good as before.
            Some(RegionEvent::Lost) if self.attached.as_ref().is_some_and(|a| !a.region.is_gone()) => return,
            Some(_) => {}
        }
        if let Some(old) = self.attached.take() {
            self.passed = self.passed.with(old.viewer.counters());
            if !old.region.is_gone() {
                old.viewer.close();
            }
            self.parts.intake.end_session();
        }
        let Some(region) = self.watch.state().region().cloned() else { return };
        match Viewer::new(region.clone(), seed()) {
            Ok(viewer) => {
                let since = (now, 0);
                self.attached = Some(Attached { region, viewer, generation: 0, since, serial: 0 });
            }
            // The watch waits for enough bytes and maps for writing.
            Err(error @ (ViewerError::TooSmall { .. } | ViewerError::ReadOnly)) => {
                self.report(GuestState::NoRegion { name: "unusable", sentence: error.to_string() });
            }
        }
        self.looked = now;
        self.unjoined_since = now;
    }

    fn begin_session(&mut self, now: HostTime) {
        let Some(attached) = &mut self.attached else { return };
        attached.generation = attached.viewer.generation();
        attached.since = (now, attached.viewer.counters().corrupt);
        if let Some(info) = attached.viewer.session() {
            let guest = GuestInfo::of(info);
            tracing::debug!(cpu = guest.model, "session joined: {guest}");
            self.parts.stats.set_guest(guest);
        }
        self.asking = Asking::default();
        self.parts.asks.set(false, false);
        self.parts.intake.end_session();
        if self.parts.pointer.set(Pointer::default()) {
            (self.parts.tell)(Told::Pointer);
        }
        self.cadence.reset(now);
        self.looked = now;
        self.parts.stats.sessions.inc();
        self.session += 1;
        self.report(GuestState::FirstPicture);
    }

    fn report(&mut self, state: GuestState) {
        let condition = Condition { state, session: self.session };
        if self.reported.as_ref() == Some(&condition) {
            return;
        }
        if !condition.state.keeps_picture() {
            // The screen forgets its picture: nothing that only mends that one may follow.
            self.parts.intake.end_session();
        }
        self.reported = Some(condition.clone());
        self.parts.conditions.set(condition);
        (self.parts.tell)(Told::Condition);
    }

    /// A guest that is waited for, and sends only what makes no sense, is not one whose screen stands still.
    fn look_at_nonsense(&mut self, now: HostTime) {
        let Some(Attached { viewer, since: (began, before), .. }) = &self.attached else { return };
        let waits = self.reported.as_ref().is_some_and(|told| told.state == GuestState::FirstPicture);
        if !waits || now.since(*began) < NONSENSE || viewer.counters().corrupt == *before {
            return;
        }
        if let Some(corrupt) = viewer.last_corrupt() {
            self.report(GuestState::Corrupt { detail: corrupt.to_string() });
        }
    }

    fn look_at_pointer(&mut self, now: HostTime) {
        let Some(attached) = &mut self.attached else { return };
        if !attached.viewer.take_cursor(now, &mut self.cursor) {
            return;
        }
        self.pointer_moved = now;
        self.cadence.stirred(now);
        let mut tell = false;
        if self.cursor.shape_serial() != self.shape_sent {
            self.shape_sent = self.cursor.shape_serial();
            let cursor = &self.cursor;
            match self.parts.pointer.send(|shape| translate::fill_shape(shape, cursor)) {
                Ok(told) => tell |= told,
                Err(error) => tracing::debug!("{error}"),
            }
        }
        let clamp = |v: i32| i16::try_from(v).unwrap_or(if v < 0 { i16::MIN } else { i16::MAX });
        let (x, y) = self.cursor.position().unwrap_or_default();
        let pointer = Pointer { x: clamp(x), y: clamp(y), visible: self.cursor.is_visible() };
        tell |= self.parts.pointer.set(pointer);
        if tell {
            (self.parts.tell)(Told::Pointer);
        }
    }

    fn look_at_picture(&mut self, now: HostTime) -> Found {
        let Some(attached) = &mut self.attached else { return Found::Nothing };
        let Some(pending) = attached.viewer.take_frame(now) else { return Found::Nothing };
        let found = clock::now();
        let stats = &self.parts.stats;
        stats.found.inc();
        stats.pickup.record_duration(found.since(self.looked));
        let serial = pending.frame().serial();
        // A number that grows with the guest's serial; what is missing in between counts too.
        self.number += u64::from(serial.wrapping_sub(attached.serial).clamp(1, 1000));
        attached.serial = serial;
        self.cadence.published(found, self.number);
        let showing = translate::showing(pending.frame());
        let flags = pending.frame().flags();
        let (awake, attention) = (FrameFlags::BLOCK_SCREENSAVER, FrameFlags::REQUEST_ACTIVATION);
        if self.parts.asks.set(flags.has(awake), flags.has(attention)) {
            (self.parts.tell)(Told::Condition);
        }
        translate::changed(pending.frame(), &mut self.changed);
        let copy = Copy {
            region: &attached.region,
            changed: &self.changed,
            bounce: &mut self.bounce,
            looked: self.looked,
            found,
            stop: &self.stop,
        };
        let became = copy.into_slots(pending, &mut self.parts, &mut self.make_rows, |slot| {
            slot.number = self.number;
            slot.session = self.session;
        });
        self.parts.stats.set_viewer(&self.passed, attached.viewer.counters());
        match became {
            Became::Shown => self.report(showing),
            Became::Dropped => {}
            Became::Refused(state) => self.report(state),
        }
        Found::Picture
    }
}

/// One frame on its way into a slot.
struct Copy<'a> {
    region: &'a Region,
    changed: &'a Damage,
    bounce: &'a mut [u8],
    looked: HostTime,
    found: HostTime,
    stop: &'a Stop,
}

/// What became of a frame.
enum Became {
    Shown,
    Dropped,
    Refused(GuestState),
}

impl Copy<'_> {
    /// Copies the frame and acknowledges it, whatever comes of it.
    fn into_slots<R: Rows>(
        self,
        pending: PendingFrame<'_>,
        parts: &mut FeedParts<R>,
        make_rows: &mut MakeRows<R>,
        mark: impl FnOnce(&mut Slot<R>),
    ) -> Became {
        let FeedParts { intake, stats, tell, .. } = parts;
        let skipped_before = intake.skipped();
        let format = translate::picture_format(pending.frame());
        if let Err(detail) = intake.prepare(&format, make_rows) {
            stats.refused.inc();
            return Became::Refused(GuestState::NoRoom { detail });
        }
        let Some(mut slot) = intake.begin(format, self.changed) else {
            stats.refused.inc();
            return Became::Dropped;
        };
        let give_up = self.found + rows::ROWS_TIMEOUT;
        let is_over = || self.stop.is_requested();
        let copied = rows::copy_damage(&pending, self.region, &mut slot, self.bounce, give_up, is_over);
        let Ok(rows::Copied { bytes, waited }) = copied else {
            stats.late.inc();
            intake.abandon(slot);
            return Became::Dropped;
        };
        let guest = pending.timing().as_ref().map(translate::guest_took);
        let hdr = pending.frame().hdr().map_or(0, |hdr| hdr.max_nits);
        if pending.finish() != Outcome::Accepted {
            stats.torn.inc();
            intake.abandon(slot);
            return Became::Dropped;
        }
        slot.times = Times { looked: self.looked, found: self.found, copied: clock::now(), waited, guest };
        stats.set_guest_stages(guest, hdr);
        stats.arrivals.came(slot.times.copied);
        stats.copied.inc();
        stats.copied_bytes.add(bytes);
        stats.changed_bytes.add(self.changed.pixels(format.stored) * u64::from(format.pixel.source_bytes()));
        stats.copy.record_duration(slot.times.copied.since(slot.times.found));
        mark(&mut slot);
        if intake.publish(slot) {
            tell(Told::Picture);
        }
        stats.replaced.add(intake.skipped() - skipped_before);
        Became::Shown
    }
}

impl<R: Rows> core::fmt::Debug for Feed<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Feed").field("path", &self.watch.path()).field("session", &self.session).finish_non_exhaustive()
    }
}

impl<R: Rows> core::fmt::Debug for FeedParts<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FeedParts").finish_non_exhaustive()
    }
}

/// A number that nobody else draws, from the system's random source.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
