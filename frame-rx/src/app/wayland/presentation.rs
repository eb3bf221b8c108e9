//! When the compositor showed frames: the protocol `presentation-time`, if its times are of the monotonic clock, which is
//! ours, or of the raw one, which is read beside ours. A compositor that lacks it, or never answers, is asked when it took each
//! frame up instead (`wl_surface.frame`): that is when its refresh begins, in whole milliseconds of a clock that is believed if
//! it runs as ours does.

use super::Globals;
use crate::app::shown::{Told, Which};
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;
use std::collections::VecDeque;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::{Connection, Dispatch, QueueHandle};
use wayland_protocols::wp::presentation_time::client::wp_presentation::{self, WpPresentation};
use wayland_protocols::wp::presentation_time::client::wp_presentation_feedback::{self, WpPresentationFeedback};

/// The numbers of `CLOCK_MONOTONIC` and `CLOCK_MONOTONIC_RAW`. Source: clock_gettime(2), Linux.
const MONOTONIC: u32 = 1;
const MONOTONIC_RAW: u32 = 4;
/// Questions of a kind that may be open. A hidden window is answered when it is seen again, or never.
const MOST_OPEN: usize = 8;
/// Answers that are kept until they are heard.
const MOST_TOLD: usize = 64;
/// A millisecond that lies further from now, when it is heard, is of another clock. Unit: ms.
const MOST_AGO: u32 = 2000;

/// What to ask of the next frame.
#[derive(Debug)]
pub(super) enum Ask {
    /// When it was shown.
    Presentation(WpPresentation),
    /// When it was taken up.
    Callback,
}

/// The clock that a compositor tells by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Clock {
    /// None that is known here.
    #[default]
    Other,
    /// Ours.
    Monotonic,
    /// One that runs beside ours, a little faster or slower.
    Raw,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Presentation {
    global: Option<WpPresentation>,
    clock: Clock,
    has_answered: bool,
    open: usize,
    open_callbacks: usize,
    told: VecDeque<Told>,
}

impl Presentation {
    pub(super) fn offered(&mut self, global: WpPresentation) {
        self.global = Some(global);
    }

    /// What to ask, if there is room for one more question.
    pub(super) fn next_question(&mut self, or_taken_up: bool) -> Option<Ask> {
        let global = self.global.clone().filter(|_| self.clock != Clock::Other && self.open < MOST_OPEN);
        if let Some(global) = global {
            self.open += 1;
            return Some(Ask::Presentation(global));
        }
        if !or_taken_up || self.has_answered || self.open_callbacks >= MOST_OPEN {
            return None;
        }
        self.open_callbacks += 1;
        Some(Ask::Callback)
    }

    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn tell(&mut self, told: Told) {
        if self.told.len() < MOST_TOLD {
            self.told.push_back(told);
        }
    }
}

impl Dispatch<WpPresentation, ()> for Globals {
    fn event(
        globals: &mut Globals,
        _presentation: &WpPresentation,
        event: wp_presentation::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<Globals>,
    ) {
        if let wp_presentation::Event::ClockId { clk_id } = event {
            globals.presentation.clock = match clk_id {
                MONOTONIC => Clock::Monotonic,
                MONOTONIC_RAW => Clock::Raw,
                _ => Clock::Other,
            };
        }
    }
}

impl Dispatch<WpPresentationFeedback, u64> for Globals {
    fn event(
        globals: &mut Globals,
        _feedback: &WpPresentationFeedback,
        event: wp_presentation_feedback::Event,
        frame: &u64,
        _connection: &Connection,
        _queue: &QueueHandle<Globals>,
    ) {
        let which = Which::Number(*frame);
        let told = match event {
            wp_presentation_feedback::Event::Presented { tv_sec_hi, tv_sec_lo, tv_nsec, refresh, .. } => {
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let at = seconds.saturating_mul(1_000_000_000).saturating_add(tv_nsec.into());
                let at = match globals.presentation.clock {
                    Clock::Raw => of_raw(at, clock::now_and_raw()),
                    Clock::Monotonic | Clock::Other => HostTime::from_ns(at),
                };
                let period = (refresh > 0).then(|| Duration::from_nanos(refresh.into()));
                Told { which, at: Some(at), period }
            }
            wp_presentation_feedback::Event::Discarded => Told { which, at: None, period: None },
            _ => return,
        };
        globals.presentation.open = globals.presentation.open.saturating_sub(1);
        // One that throws frames away without ever telling of one that was shown does not count.
        globals.presentation.has_answered |= told.at.is_some();
        globals.presentation.tell(told);
    }
}

impl Dispatch<WlCallback, u64> for Globals {
    fn event(
        globals: &mut Globals,
        _callback: &WlCallback,
        event: wl_callback::Event,
        frame: &u64,
        _connection: &Connection,
        _queue: &QueueHandle<Globals>,
    ) {
        let wl_callback::Event::Done { callback_data } = event else { return };
        globals.presentation.open_callbacks = globals.presentation.open_callbacks.saturating_sub(1);
        if !globals.presentation.has_answered {
            let at = instant_of(callback_data, clock::now());
            globals.presentation.tell(Told { which: Which::TakenUp(*frame), at, period: None });
        }
    }
}

/// An instant of the raw clock, in nanoseconds, on ours: both read just now. Over the few milliseconds to then they run
/// alike.
fn of_raw(at_ns: u64, (now, raw): (HostTime, Duration)) -> HostTime {
    let raw_ns = u64::try_from(raw.as_nanos()).unwrap_or(u64::MAX);
    let ahead_ns = i64::try_from(i128::from(at_ns) - i128::from(raw_ns)).unwrap_or(i64::MAX);
    HostTime::from_ns(now.as_ns().saturating_add_signed(ahead_ns))
}

/// The instant, a while before `now`, that a compositor's count of milliseconds names, if it counts by our clock. The middle
/// of that millisecond.
fn instant_of(millisecond: u32, now: HostTime) -> Option<HostTime> {
    let now_ms = now.as_ns() / 1_000_000;
    // The count has 32 bits: what is cut off is the same for both.
    let ago = u32::try_from(now_ms & u64::from(u32::MAX)).ok()?.wrapping_sub(millisecond);
    (ago <= MOST_AGO).then(|| HostTime::from_ns(now_ms.saturating_sub(ago.into()) * 1_000_000 + 500_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_instants_if_they_are_of_our_clock() {
        let ms = |ms: u64| HostTime::from_ns(ms * 1_000_000);
        let wrapped = (1 << 32) + 20;
        for (told, now, expected) in [
            (5_000, ms(5_003), Some(5_000)),
            (5_003, ms(5_003), Some(5_003)),
            (u32::MAX, ms(wrapped), Some((1 << 32) - 1)),
            (20, ms(wrapped), Some(wrapped)),
            (5_000, ms(7_001), None),
            (5_000, ms(4_000), None),
            (0, ms(1 << 31), None),
        ] {
            let expected = expected.map(|at| ms(at) + Duration::from_micros(500));
            assert_eq!(instant_of(told, now), expected, "{told} at {now:?}");
        }
    }

    #[test]
    fn instants_of_the_raw_clock_are_as_long_ago_on_ours() {
        let read = (HostTime::from_ns(7_000_000_000), Duration::from_secs(100));
        for (told, expected) in [
            (100_000_000_000, 7_000_000_000),
            (99_990_000_000, 6_990_000_000),
            (100_016_000_000, 7_016_000_000),
            (0, 0),
        ] {
            assert_eq!(of_raw(told, read), HostTime::from_ns(expected), "{told}");
        }
        assert!(of_raw(u64::MAX, read) > HostTime::from_ns(1 << 62), "no matter when: it is not believed");
        let at = clock::now();
        let (now, raw) = clock::now_and_raw();
        let back = of_raw(u64::try_from(raw.as_nanos()).unwrap(), (now, raw));
        assert!(back == now && now >= at && now <= clock::now());
    }

    #[test]
    fn frames_are_asked_for_until_too_many_are_not_answered() {
        let mut presentation = Presentation::default();
        for _ in 0..MOST_OPEN {
            assert!(matches!(presentation.next_question(true), Some(Ask::Callback)));
        }
        assert!(presentation.next_question(true).is_none());
        presentation.open_callbacks -= 1;
        assert!(matches!(presentation.next_question(true), Some(Ask::Callback)));
        (presentation.open_callbacks, presentation.has_answered) = (0, true);
        assert!(presentation.next_question(true).is_none(), "two kinds of times are never mixed");
    }
}
