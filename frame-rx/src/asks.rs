//! What the guest asks of the desktop: to keep the screen on, and attention. The feed tells, the window looks; a guest that
//! asks without end gets what it asks for at a bounded rate. Single words, so that nobody waits.

use core::time::Duration;
use shm_proto::HostTime;
use std::sync::atomic::{AtomicBool, Ordering};

/// Between two changes of what is done about the screensaver.
const AWAKE_EVERY: Duration = Duration::from_secs(2);
/// Between two times that the window asks for attention.
const ATTENTION_EVERY: Duration = Duration::from_secs(10);

/// What the newest picture asked for.
#[derive(Debug, Default)]
pub struct Asks {
    awake: AtomicBool,
    attention: AtomicBool,
}

impl Asks {
    /// The guest wants the screen kept on or not, and perhaps attention. Whether anything of it is new. Real-time safe.
    pub fn set(&self, awake: bool, attention: bool) -> bool {
        let other = self.awake.swap(awake, Ordering::Relaxed) != awake;
        // Attention is asked for once, and stays asked for until somebody looked.
        let new = attention && !self.attention.swap(true, Ordering::Relaxed);
        other || new
    }

    /// Whether the screen is to be kept on.
    pub fn wants_awake(&self) -> bool {
        self.awake.load(Ordering::Relaxed)
    }

    /// Whether attention was asked for since the last call.
    pub fn take_attention(&self) -> bool {
        self.attention.swap(false, Ordering::Relaxed)
    }
}

/// When to follow. Pure.
#[derive(Debug, Default)]
pub struct Patience {
    is_awake: bool,
    awake_not_before: HostTime,
    attention_not_before: HostTime,
}

/// What to do about the screensaver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awake {
    /// As it is.
    Keep,
    /// As it is until this instant; then ask again.
    KeepUntil(HostTime),
    /// Keep the screen on from now on.
    Hold,
    /// Let the screensaver come.
    Release,
}

impl Patience {
    /// What to do at `now` if the guest wants the screen kept on or not.
    pub fn awake(&mut self, wanted: bool, now: HostTime) -> Awake {
        if wanted == self.is_awake {
            return Awake::Keep;
        }
        if now < self.awake_not_before {
            return Awake::KeepUntil(self.awake_not_before);
        }
        self.is_awake = wanted;
        self.awake_not_before = now + AWAKE_EVERY;
        if wanted { Awake::Hold } else { Awake::Release }
    }

    /// Whether attention that is asked for at `now` is asked of the user.
    pub fn attention(&mut self, now: HostTime) -> bool {
        let passes = now >= self.attention_not_before;
        if passes {
            self.attention_not_before = now + ATTENTION_EVERY;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> HostTime {
        HostTime::from_ns(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn only_what_is_new_is_told_and_attention_is_given_once() {
        let asks = Asks::default();
        for (awake, attention, is_new) in
            [(false, false, false), (true, false, true), (true, false, false), (true, true, true), (true, true, false)]
        {
            assert_eq!(asks.set(awake, attention), is_new, "{awake} {attention}");
        }
        assert!(asks.set(false, false), "it no longer wants the screen kept on");
        assert_eq!((asks.wants_awake(), asks.take_attention(), asks.take_attention()), (false, true, false));
    }

    #[test]
    fn a_wish_is_followed_at_once_and_one_that_flickers_now_and_then() {
        let mut patience = Patience::default();
        assert_eq!(patience.awake(false, ms(0)), Awake::Keep);
        assert_eq!(patience.awake(true, ms(0)), Awake::Hold);
        assert_eq!(patience.awake(false, ms(10)), Awake::KeepUntil(ms(2000)));
        assert_eq!(patience.awake(false, ms(2000)), Awake::Release);
        let (mut changes, mut calls) = (0, 0);
        for step in 0..10_000 {
            let now = ms(10_000 + step);
            changes += u32::from(matches!(patience.awake(step % 2 == 0, now), Awake::Hold | Awake::Release));
            calls += u32::from(patience.attention(now));
        }
        assert!((3..=6).contains(&changes), "{changes} changes in ten seconds");
        assert_eq!(calls, 1);
    }
}
