//! The window's end of the input's thread: what it tells, and what it may look up. No call of it blocks.

use crate::input::InputFrame;
use crate::input::stats::InputStats;
use crate::picture::Rotation;
use crate::turn::Turned;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};
use crossbeam_channel::Sender;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// What the window tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Frame(InputFrame),
    Take,
    GiveBack,
    FocusLost,
    /// The window's number on its X server.
    Window(u32),
}

/// What the thread tells the window.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) grabbed: AtomicBool,
    pub(super) places: AtomicBool,
    pub(super) overflow: AtomicBool,
    /// Motion waits to be sent, and the thread comes back soon: for more of it nobody need ring.
    dozes: AtomicBool,
    /// Keys and motion are heard from the X server, and what the toolkit says of them and of the focus does not count.
    pub(super) held: AtomicBool,
    /// Words for whoever looks at the window.
    told: Mutex<Option<String>>,
    /// Actions that the window shall do, a bit each.
    asked: AtomicU32,
    /// Quarter turns from the guest's desktop to what is shown.
    turn: AtomicU8,
}

impl Shared {
    /// The thread is about to wait a short while, with motion that cannot be sent yet.
    pub(super) fn doze(&self) {
        self.dozes.store(true, Ordering::Relaxed);
    }

    /// The thread is back. Whether events may have come without a ring.
    pub(super) fn wake(&self) -> bool {
        let dozed = self.dozes.swap(false, Ordering::Relaxed);
        // With the one in `Handle::frame`: whoever saw the doze has told its event before this, or rings.
        fence(Ordering::SeqCst);
        dozed
    }

    /// The window shall do the action of this number.
    pub(super) fn ask(&self, number: u8) {
        self.asked.fetch_or(1u32.checked_shl(number.into()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Something to say in the window. The lock is held for a move.
    pub(super) fn tell(&self, words: String) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    /// Whether places are wanted, and no relative motion.
    pub(super) fn wants_position(&self) -> bool {
        self.places.load(Ordering::Relaxed)
    }

    /// How the guest's desktop is turned in the window.
    pub(super) fn turned(&self) -> Turned {
        let turns = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
        let quarters = usize::from(self.turn.load(Ordering::Relaxed));
        Turned { desktop: turns.get(quarters).copied().unwrap_or_default(), ..Turned::default() }
    }
}

/// Wakes the thread.
#[derive(Clone, Debug)]
pub(super) struct Bell(pub(super) Arc<UnixStream>);

impl Bell {
    /// Never blocks.
    pub(super) fn ring(&self) {
        // A bell that is full of rings is rung already.
        let _ = (&*self.0).write(&[1]);
    }
}

/// The window's end.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) events: Sender<Event>,
    pub(super) bell: Bell,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<InputStats>,
}

impl Handle {
    /// A report of the window. Never blocks.
    pub fn frame(&self, frame: InputFrame) {
        self.send(Event::Frame(frame));
        fence(Ordering::SeqCst);
        if !(frame.is_motion() && self.shared.dozes.load(Ordering::Relaxed)) {
            self.bell.ring();
        }
    }

    /// The user wants the guest to have the input.
    pub fn take(&self) {
        self.tell(Event::Take);
    }

    /// The user wants the input back.
    pub fn give_back(&self) {
        self.tell(Event::GiveBack);
    }

    /// The window hears no key any more, as its toolkit says: while another connection of ours has the keyboard that is
    /// no news.
    pub fn focus_lost(&self) {
        if !self.is_heard_elsewhere() {
            self.tell(Event::FocusLost);
        }
    }

    /// The window is the one of this number on the X server that `DISPLAY` names.
    pub fn window_is(&self, window: u32) {
        self.tell(Event::Window(window));
    }

    /// The guest's desktop is turned like this in the window.
    pub fn set_turned(&self, turned: Turned) {
        let quarters = u8::try_from(turned.desktop.quarters()).unwrap_or(0);
        self.shared.turn.store(quarters, Ordering::Relaxed);
    }

    /// Whether keys and motion come from the X server itself: what the window hears of them is not to be told.
    pub fn is_heard_elsewhere(&self) -> bool {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// What is to be said in the window, once.
    pub fn take_told(&self) -> Option<String> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The numbers of the actions that its keys asked for since, while the guest had the input.
    pub fn take_asked(&self) -> impl Iterator<Item = u8> + use<> {
        let asked = self.shared.asked.swap(0, Ordering::Relaxed);
        (0..32).filter(move |number| asked & 1 << number != 0)
    }

    /// Whether the guest has the input.
    pub fn is_grabbed(&self) -> bool {
        self.shared.grabbed.load(Ordering::Relaxed)
    }

    /// Whether places are wanted, and no relative motion.
    pub fn wants_position(&self) -> bool {
        self.shared.wants_position()
    }

    /// What is counted.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    fn tell(&self, event: Event) {
        self.send(event);
        self.bell.ring();
    }

    fn send(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            // The thread releases everything: a lost release must not leave a key down.
            self.shared.overflow.store(true, Ordering::Relaxed);
        }
    }
}
