//! What the input's thread does for the window on an X server: it takes the keyboard for the guest alone, and hears keys
//! and motion from the server itself ([`x11`]). With another window system, or where the keyboard cannot be had, all of
//! it comes from the window.

use super::handle::Shared;
use super::watchdog::Beat;
use crate::input::InputFrame;
use crate::input::frame::Motion;
use crate::input::router::{Act, Router, SourceId};
use crate::input::stats::InputStats;
use crate::input::x11::{Grab, Heard, Keyboard};
use core::sync::atomic::Ordering;
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Between two attempts to take a keyboard that another program has: a menu goes when the click is over.
const AGAIN: Duration = Duration::from_millis(50);
/// Attempts. What keeps the keyboard for longer does so on purpose.
const ATTEMPTS: u32 = 40;
/// Counts in one report, at most.
const MOTION_MAX: f64 = 1e6;

/// See the module.
#[derive(Debug)]
pub(super) struct WindowKeys {
    shared: Arc<Shared>,
    beat: Arc<Beat>,
    keyboard: Option<Keyboard>,
    /// When to try again, and how many attempts are left.
    again: Option<(HostTime, u32)>,
    /// The server may have told something.
    pub(super) is_told: bool,
    /// Motion that was not worth a count yet.
    rest: [f64; 2],
    /// Connections to the server that came and went.
    changes: u64,
}

impl WindowKeys {
    /// Without a window.
    pub(super) fn new(shared: Arc<Shared>, beat: Arc<Beat>) -> WindowKeys {
        WindowKeys { shared, beat, keyboard: None, again: None, is_told: false, rest: [0.0; 2], changes: 0 }
    }

    /// The window has this number on its X server.
    pub(super) fn open(&mut self, window: u32) {
        self.changes += 1;
        match Keyboard::new(window) {
            Ok(keyboard) => (self.keyboard, self.is_told) = (Some(keyboard), true),
            Err(error) => tracing::debug!("input: the X server's keyboard cannot be had: {error}"),
        }
    }

    /// The guest has the input.
    pub(super) fn grab(&mut self, now: HostTime) {
        if self.keyboard.is_some() && !self.is_held() {
            self.again = Some((now, ATTEMPTS));
            self.try_grab(now);
        }
    }

    /// The host has the input.
    pub(super) fn release(&mut self) {
        self.again = None;
        if let Some(keyboard) = self.keyboard.as_mut().filter(|_| self.shared.held.load(Ordering::Relaxed)) {
            let released = keyboard.release();
            self.shared.held.store(false, Ordering::Relaxed);
            self.beat.set_keyboard(false);
            self.is_told = true;
            if let Err(error) = released {
                self.lose(&error);
            }
        }
    }

    fn is_held(&self) -> bool {
        self.shared.held.load(Ordering::Relaxed)
    }

    fn try_grab(&mut self, now: HostTime) {
        let Some(left) = self.again.take_if(|(at, _)| now >= *at).map(|(_, left)| left) else { return };
        let Some(keyboard) = &mut self.keyboard else { return };
        // Before the server tells the toolkit that another connection has the keys: it takes that for a lost focus.
        self.shared.held.store(true, Ordering::Relaxed);
        let tried = keyboard.grab();
        self.shared.held.store(matches!(tried, Ok(Grab::Held)), Ordering::Relaxed);
        self.is_told = true;
        match tried {
            Ok(Grab::Held) => {
                self.rest = [0.0; 2];
                self.beat.set_keyboard(true);
                tracing::debug!("input: the guest has the X server's keyboard alone");
            }
            Ok(Grab::Busy) if left > 1 => self.again = Some((clock::now() + AGAIN, left - 1)),
            Ok(Grab::Busy) => tracing::debug!("input: another program keeps the X server's keyboard"),
            // Keys come from the window as long as it has them.
            Ok(Grab::Unfocused) => {}
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&mut self, error: &dyn std::error::Error) {
        tracing::debug!("input: the X server's keyboard is lost: {error}");
        (self.keyboard, self.again) = (None, None);
        self.changes += 1;
        self.shared.held.store(false, Ordering::Relaxed);
        self.beat.set_keyboard(false);
    }

    /// Hears what has come. Whether the window lost the keyboard's focus.
    ///
    /// Never blocks, but for an attempt to grab that is due.
    pub(super) fn serve(
        &mut self,
        now: HostTime,
        router: &mut Router,
        acts: &mut Vec<Act>,
        stats: &InputStats,
    ) -> bool {
        self.try_grab(now);
        let mut is_lost = false;
        if !core::mem::take(&mut self.is_told) {
            return false;
        }
        let Some(keyboard) = &mut self.keyboard else { return false };
        let (shared, rest) = (&self.shared, &mut self.rest);
        let heard = keyboard.hear(&mut |heard| {
            let frame = match heard {
                Heard::Key { code, is_down } => InputFrame::edge(now, code, is_down),
                Heard::Motion(dx, dy) if !shared.wants_position() => {
                    let (dx, dy) = shared.turned().desktop_motion(dx, dy);
                    let motion = Motion { dx: whole(&mut rest[0], dx), dy: whole(&mut rest[1], dy) };
                    InputFrame::new(now).with_motion(motion)
                }
                Heard::Motion(..) => return,
                Heard::FocusLost => return is_lost = true,
            };
            if !frame.is_empty() {
                stats.reports.inc();
                router.frame(now, SourceId::WINDOW, &frame, acts);
            }
        });
        match heard {
            Ok(has_more) => self.is_told = has_more,
            Err(error) => {
                // Its keys are not heard any more.
                is_lost |= self.is_held();
                self.lose(&error);
            }
        }
        is_lost
    }

    /// When [`WindowKeys::serve`] is due without its descriptor being ready.
    pub(super) fn due(&self) -> Option<HostTime> {
        if self.is_told { Some(HostTime::ZERO) } else { self.again.map(|(at, _)| at) }
    }

    /// Counts up when [`WindowKeys::descriptor`] is another one.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Readable when the server told something.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.keyboard.as_ref().map(AsFd::as_fd)
    }
}

/// The whole counts in `more` and what was left over before.
fn whole(rest: &mut f64, more: f64) -> i32 {
    let sum = *rest + if more.is_finite() { more } else { 0.0 };
    *rest = sum.fract();
    // In bounds: clamped to a million.
    sum.trunc().clamp(-MOTION_MAX, MOTION_MAX) as i32
}
