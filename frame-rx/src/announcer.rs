//! Which sentences about the guest go to stderr: the first at once, later ones when they have stood for a moment, so that a
//! guest that starts does not scroll the terminal; none twice in a row; and of a guest that is something else all the time
//! no more than now and then, so that it fills no log. What stands at the end is always told. Pure.

use crate::state::GuestState;
use core::time::Duration;
use rx_host::report::Allowance;
use shm_proto::HostTime;

/// How long a sentence must stand before it is told.
const STANDS: Duration = Duration::from_millis(400);
/// What a guest can make us say: so many lines at once, and one in each of these times.
const LINES: (u32, Duration) = (16, Duration::from_secs(5));
/// Between two tries to tell what was not allowed.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Announcer {
    told: Option<String>,
    waiting: Option<(HostTime, String)>,
    allowance: Allowance,
}

impl Default for Announcer {
    fn default() -> Self {
        Announcer { told: None, waiting: None, allowance: Allowance::new(LINES.0, LINES.1) }
    }
}

impl Announcer {
    /// Nothing told yet.
    pub fn new() -> Self {
        Announcer::default()
    }

    /// The state changed. A sentence to tell at once, if there is one.
    pub fn changed(&mut self, now: HostTime, state: &GuestState) -> Option<String> {
        let sentence = state.sentence();
        if self.told.as_ref() == Some(&sentence) {
            self.waiting = None;
            return None;
        }
        let is_urgent = self.told.is_none() || state.is_live();
        self.waiting = Some((if is_urgent { now } else { now + STANDS }, sentence));
        self.due(now)
    }

    /// When [`Announcer::due`] should be asked.
    pub fn next(&self) -> Option<HostTime> {
        self.waiting.as_ref().map(|(at, _)| *at)
    }

    /// A sentence that has stood long enough.
    pub fn due(&mut self, now: HostTime) -> Option<String> {
        let (_, sentence) = self.waiting.take_if(|(at, _)| now >= *at)?;
        if !self.allowance.take(now) {
            self.waiting = Some((now + AGAIN, sentence));
            return None;
        }
        self.told = Some(sentence.clone());
        Some(sentence)
    }

    /// Whether another line that the guest caused, such as who it is, may be told. Then it counts as told.
    pub fn allows(&mut self, now: HostTime) -> bool {
        self.allowance.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_off(rows: u32) -> GuestState {
        GuestState::Truncated { width: 640, height: 480, rows, needed_mib: 16 }
    }

    #[test]
    fn a_guest_that_is_something_else_at_each_picture_fills_no_log_and_its_last_word_is_told() {
        let mut a = Announcer::new();
        let at = |ms: u64| HostTime::from_ns(1_000_000_000_000 + ms * 1_000_000);
        let mut lines = 0;
        for ms in 0..60_000u64 {
            // Sizes of its own making, so that no sentence is like another; now and then a new session.
            let state = if ms % 2 == 0 { GuestState::Live } else { cut_off(u32::try_from(ms).unwrap()) };
            lines += u32::from(a.changed(at(ms), &state).is_some()) + u32::from(a.due(at(ms)).is_some());
            lines += u32::from(ms % 5 == 0 && a.allows(at(ms)));
        }
        assert!((20..=28).contains(&lines), "{lines} lines in a minute");
        while a.allows(at(60_000)) {}
        assert_eq!(a.changed(at(60_000), &cut_off(7)), None);
        let mut last = None;
        for ms in 60_000..70_000 {
            last = a.due(at(ms)).or(last);
        }
        assert_eq!((last, a.next()), (Some(cut_off(7).sentence()), None));
    }

    #[test]
    fn a_sentence_is_told_when_it_has_stood_for_a_moment() {
        let ms = |ms: u64| HostTime::from_ns(ms * 1_000_000);
        let mut a = Announcer::new();
        let told = |s: Option<String>, state: &GuestState| assert_eq!(s, Some(state.sentence()));
        told(a.changed(ms(0), &GuestState::NotRunning), &GuestState::NotRunning);
        assert_eq!(a.changed(ms(10), &GuestState::Starting), None);
        assert_eq!(a.changed(ms(20), &GuestState::FirstPicture), None);
        assert_eq!(a.due(ms(100)), None);
        told(a.changed(ms(110), &GuestState::Live), &GuestState::Live);
        assert_eq!((a.due(ms(2000)), a.next()), (None, None));
        assert_eq!(a.changed(ms(3000), &GuestState::Paused), None);
        assert_eq!(a.next(), Some(ms(3400)));
        told(a.due(ms(3400)), &GuestState::Paused);
        // Back and forth within the moment: nothing to tell.
        a.changed(ms(4000), &GuestState::Reconnecting);
        a.changed(ms(4001), &GuestState::Paused);
        assert_eq!((a.due(ms(9000)), a.next()), (None, None));
    }

    #[test]
    fn a_guest_that_flickers_does_not_fill_the_terminal() {
        let mut a = Announcer::new();
        let mut lines = 0;
        for step in 0..100_000u64 {
            let now = HostTime::from_ns(step * 5_000_000);
            let state = if step % 2 == 0 { GuestState::Starting } else { GuestState::NotRunning };
            lines += u32::from(a.changed(now, &state).is_some()) + u32::from(a.due(now).is_some());
        }
        assert_eq!(lines, 1);
    }
}
