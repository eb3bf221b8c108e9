//! The viewer a receiver uses. It hides versions, sessions and places in queues: [`Viewer::poll`] says where things
//! stand, [`Viewer::take_frame`] and [`Viewer::take_cursor`] give what is new.
//!
//! Nothing in here waits but for a bounded number of pauses at a lock; nothing allocates but at the start of a session.
//! A frame is acknowledged the moment its copy is finished, whatever happens to the copy afterwards.
//!
//! ```no_run
//! # use shm_proto::{HostTime, Purpose, Region, kvmfr::{CursorState, Outcome, Viewer}};
//! # fn show(_: &[u8]) {}
//! # fn feed(region: Region, clock: impl Fn() -> HostTime) -> Result<(), Box<dyn std::error::Error>> {
//! let mut viewer = Viewer::new(region, 42)?;
//! let (mut cursor, mut staging) = (CursorState::new(), Vec::new());
//! loop {
//!     let state = viewer.poll(clock());
//!     viewer.take_cursor(clock(), &mut cursor);
//!     if let Some(pending) = viewer.take_frame(clock()) {
//!         let frame = *pending.frame();
//!         let pitch = frame.row_bytes() as usize;
//!         staging.resize(pitch * frame.height() as usize, 0);
//!         let deadline = clock() + std::time::Duration::from_millis(500);
//!         while pending.ready_rows() < frame.rows() && clock() < deadline { /* a short pause */ }
//!         if pending.ready_rows() == frame.rows() {
//!             for rows in frame.damage().bands(frame.rows()) {
//!                 let from = rows.start as usize * pitch;
//!                 pending.copy_rows(rows, &mut staging[from..], pitch, Purpose::Read)?;
//!             }
//!             if pending.finish() == Outcome::Accepted { show(&staging) }
//!         }
//!     }
//!     println!("{state}"); // and a wait of about a millisecond
//! }
//! # }
//! ```

mod link;
mod payload;
mod pending;

pub use pending::{Outcome, PendingFrame};

use super::cursor::CursorState;
use super::message::{self, ViewerMessage};
use super::session::SessionInfo;
use super::state::{Counters, State};
use super::wire::{Layout, MAX_SHAPE_BYTES};
use crate::guest::Corrupt;
use crate::lgmp::mailbox::{self, MailSerial};
use crate::lgmp::probe::Prober;
use crate::lgmp::{Client, Subscription, Trouble};
use crate::raw::map::{Access, Region};
use crate::time::HostTime;
use link::{End, Link};
use pending::Shown;

/// The smallest region that can carry a picture, bytes.
pub const MIN_REGION_BYTES: u64 = 1 << 20;
/// Cursor messages taken in one call; a stock ring holds 20.
const MAX_CURSOR_MESSAGES: u32 = 64;

/// Why a region cannot be watched at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewerError {
    /// Too small for a header and a picture. A larger file helps.
    #[error("{len} bytes of shared memory are too few for a picture; at least {MIN_REGION_BYTES} are needed")]
    TooSmall {
        /// Its length.
        len: u64,
    },
    /// Viewers acknowledge what they read, so they must write.
    #[error("the region is mapped read-only, but a viewer acknowledges what it reads")]
    ReadOnly,
}

/// A viewer of one region.
///
/// End it by [`Viewer::close`]. Dropping it writes nothing: the guest then waits a second for a viewer that is gone.
#[derive(Debug)]
pub struct Viewer {
    region: Region,
    seed: u64,
    prober: Prober,
    link: Link,
    state: State,
    retry_at: HostTime,
    retake_at: HostTime,
    lock_busy_since: Option<HostTime>,
    generation: u64,
    counters: Counters,
    last_corrupt: Option<Corrupt>,
    // Nothing after a frame that was torn or given up: the receiver may have copied half of it.
    last: Option<Shown>,
    // A frame was lost and may be the last for a while: to be asked for again.
    frame_lost: bool,
    ask_at: HostTime,
    // Where a shape is copied to before it is known to be whole; changes places with the cursor's.
    scratch: Box<[u8]>,
}

impl Viewer {
    /// A viewer of `region`, which must be mapped for writing. `seed` decides the names it draws; pass something from
    /// the system's random source. Allocates what it will ever need but for the texts of a session.
    ///
    /// # Errors
    /// [`ViewerError`].
    pub fn new(region: Region, seed: u64) -> Result<Viewer, ViewerError> {
        let len = region.len();
        if len < MIN_REGION_BYTES {
            return Err(ViewerError::TooSmall { len });
        }
        if region.access() != Access::ReadWrite {
            return Err(ViewerError::ReadOnly);
        }
        Ok(Viewer {
            region,
            seed,
            prober: Prober::new(),
            link: Link::None,
            state: State::NoProducer,
            retry_at: HostTime::ZERO,
            retake_at: HostTime::ZERO,
            lock_busy_since: None,
            generation: 0,
            counters: Counters::default(),
            last_corrupt: None,
            last: None,
            frame_lost: false,
            ask_at: HostTime::ZERO,
            scratch: vec![0; MAX_SHAPE_BYTES as usize].into_boxed_slice(),
        })
    }

    /// Looks where things stand and takes the next step. Call it every few milliseconds, and at least every 500.
    /// Real-time safe while [`State::Live`]; the start of a session allocates some short texts.
    pub fn poll(&mut self, now: HostTime) -> State {
        if self.region.is_gone() {
            self.drop_link(End::Over);
            self.state = State::Gone;
        } else if now >= self.retry_at || self.state.is_live() {
            let step = self.step(now);
            self.settle(step, now);
        }
        self.state
    }

    /// Where things stood at the last call. [`State::Frozen`] while [`Viewer::session`] is there means that the machine
    /// was paused: when it goes on, so does this session, with the same [`Viewer::generation`].
    pub fn state(&self) -> State {
        self.state
    }

    /// What the producer tells about itself, while a session is joined.
    pub fn session(&self) -> Option<&SessionInfo> {
        match &self.link {
            Link::Joined { info, .. } => Some(info),
            _ => None,
        }
    }

    /// Grows by one with every session that is joined.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The last thing that made no sense, for a report.
    pub fn last_corrupt(&self) -> Option<Corrupt> {
        self.last_corrupt
    }

    /// The newest frame, if there is one that was not yet taken. Older ones are acknowledged unread. A frame that the
    /// producer only posted again is acknowledged and not given. Real-time safe.
    ///
    /// Damage is relative to the frame accepted before; it is everything whenever that cannot be said. The pixels may
    /// still be on their way: see [`PendingFrame::ready_rows`]. A frame that was torn or given up is asked for again, at
    /// most once a second, for it may be the last before the guest's screen stands still.
    pub fn take_frame(&mut self, now: HostTime) -> Option<PendingFrame<'_>> {
        match self.next_frame() {
            Ok(Some((message, frame))) => Some(PendingFrame::new(self, message, frame, now)),
            Ok(None) => None,
            Err(trouble) => {
                self.settle(Err(trouble), now);
                None
            }
        }
    }

    /// The receiver lost its picture: the newest one is given again, whole, as soon as the guest posts it, which it is asked
    /// for at most once a second. Real-time safe.
    pub fn ask_again(&mut self) {
        self.lose_frame();
    }

    /// Takes all waiting cursor messages into `cursor`; whether it changed. Each is acknowledged at once, for the
    /// producer overwrites shapes without asking. A cursor of an earlier session is forgotten. Real-time safe.
    pub fn take_cursor(&mut self, now: HostTime, cursor: &mut CursorState) -> bool {
        let joined = matches!(self.link, Link::Joined { .. });
        let mut changed = (!joined || cursor.generation != self.generation) && cursor.clear(self.generation);
        // Whoever posts faster than this reads is met at the next call.
        for _ in 0..MAX_CURSOR_MESSAGES {
            match self.next_cursor(cursor) {
                Ok(Some(new)) => changed |= new,
                Ok(None) => break,
                Err(trouble) => {
                    self.settle(Err(trouble), now);
                    break;
                }
            }
        }
        changed
    }

    /// Asks the guest to move its pointer, in pixels of its screen. Needs [`SessionInfo::can_set_cursor`].
    ///
    /// # Errors
    /// See [`mailbox::send`]; [`Trouble::SessionEnded`] while not connected. Trying again helps.
    pub fn send_cursor_position(&mut self, x: i32, y: i32) -> Result<MailSerial, Trouble> {
        self.send(ViewerMessage::SetCursorPosition { x, y })
    }

    /// Tells the guest the size of the window in pixels: it may change its mode to it. Needs
    /// [`SessionInfo::can_set_window_size`].
    ///
    /// # Errors
    /// As [`Viewer::send_cursor_position`].
    pub fn send_window_size(&mut self, width: u32, height: u32) -> Result<MailSerial, Trouble> {
        self.send(ViewerMessage::WindowSize { width, height })
    }

    fn send(&mut self, message: ViewerMessage) -> Result<MailSerial, Trouble> {
        let (client, wire, place) = self.pointer()?;
        let Some(bytes) = message::encode(wire, message) else { return Err(Trouble::SessionEnded) };
        let sent = mailbox::send(client, place, &bytes);
        self.counters.lock_busy += u64::from(matches!(sent, Err(Trouble::LockBusy { .. })));
        sent
    }

    /// Whether the guest has handled a message.
    ///
    /// # Errors
    /// [`Trouble::SessionEnded`] if the session of the message is over.
    pub fn is_handled(&self, serial: MailSerial) -> Result<bool, Trouble> {
        let (client, _, place) = self.pointer()?;
        mailbox::is_handled(client, place, serial)
    }

    /// Gives both places back. Bounded; what cannot be had (a held lock) is left to the producer to clear up.
    pub fn close(mut self) {
        self.drop_link(End::Polite);
    }

    fn pointer(&self) -> Result<(&Client, &'static Layout, &Subscription), Trouble> {
        match &self.link {
            Link::Joined { client, wire, pointer: Some(place), .. } => Ok((client, wire, place)),
            _ => Err(Trouble::SessionEnded),
        }
    }
}
