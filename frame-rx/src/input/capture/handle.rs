//! The window's end of the input's thread: what it tells, and what it may look up. No call of it blocks.

use crate::input::InputFrame;
use crate::input::stats::InputStats;
use core::sync::atomic::{AtomicBool, Ordering};
use crossbeam_channel::Sender;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// What the window tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Frame(InputFrame),
    Take,
    GiveBack,
    FocusLost,
}

/// What the thread tells the window.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) grabbed: AtomicBool,
    pub(super) motion: AtomicBool,
    pub(super) position: AtomicBool,
    pub(super) overflow: AtomicBool,
}

/// The window's end.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) events: Sender<Event>,
    pub(super) bell: Arc<UnixStream>,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<InputStats>,
}

impl Handle {
    /// A report of the window. Never blocks.
    pub fn frame(&self, frame: InputFrame) {
        self.tell(Event::Frame(frame));
    }

    /// The user wants the guest to have the input.
    pub fn take(&self) {
        self.tell(Event::Take);
    }

    /// The user wants the input back.
    pub fn give_back(&self) {
        self.tell(Event::GiveBack);
    }

    /// The window hears no key any more.
    pub fn focus_lost(&self) {
        self.tell(Event::FocusLost);
    }

    /// Whether the guest has the input.
    pub fn is_grabbed(&self) -> bool {
        self.shared.grabbed.load(Ordering::Relaxed)
    }

    /// Whether the sink takes places and no relative motion.
    pub fn wants_position(&self) -> bool {
        self.shared.position.load(Ordering::Relaxed) && !self.shared.motion.load(Ordering::Relaxed)
    }

    /// What is counted.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            // The thread releases everything: a lost release must not leave a key down.
            self.shared.overflow.store(true, Ordering::Relaxed);
        }
        // A bell that is full of rings is rung already.
        let _ = (&*self.bell).write(&[1]);
    }
}
