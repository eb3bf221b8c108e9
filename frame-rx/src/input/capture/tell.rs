//! What the input's thread tells: sentences on stderr, a few words in the window, and what the window may look up.

use super::{Capture, TRIAL};
use crate::input::frame::MouseMode;
use crate::input::sink::Caps;
use core::sync::atomic::Ordering;

impl Capture {
    /// Until the chord was used once, the host gets its devices back by itself: why, and what ends that.
    pub(super) fn tell_trial(&mut self) {
        if self.desk.has_devices() && self.router.is_on_trial() && !self.stop.is_requested() {
            let chord = &self.settings.chord;
            tracing::info!(
                "input: the host has its devices back; until {chord} was used once, after {TRIAL:?} each time"
            );
        }
    }

    /// The first time that the guest has the input: what takes it back.
    pub(super) fn tell_chord(&mut self) {
        if self.stats.captures.get() == 1 {
            let chord = &self.settings.chord;
            self.tell_window(format!("the guest has keyboard and mouse: {chord} takes them back"));
        }
    }

    /// Says what is new, once.
    pub(super) fn say(&mut self, sentence: String) {
        if sentence != self.said {
            tracing::info!("{sentence}");
            self.said = sentence;
        }
    }

    /// Says it in the window, if there is one.
    pub(super) fn tell_window(&self, words: String) {
        self.shared.tell(words);
        (self.tell)();
    }

    /// What the window may look up, and that it should.
    pub(super) fn publish(&mut self) {
        let caps = self.sink.as_ref().map(|sink| sink.caps());
        let wants_places = |c: Caps| c.position && (!c.motion || self.settings.mouse == MouseMode::Absolute);
        let now =
            [(&self.shared.grabbed, self.router.is_grabbed()), (&self.shared.places, caps.is_some_and(wants_places))];
        let leds = self.stats.leds();
        let mut is_new = core::mem::replace(&mut self.told_leds, leds) != leds;
        for (place, value) in now {
            is_new |= place.swap(value, Ordering::Relaxed) != value;
        }
        if is_new {
            (self.tell)();
        }
    }
}
