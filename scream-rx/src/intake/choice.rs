//! Which way the sound is taken from, when two are open: the one that speaks. A guest never uses both at once, so
//! whoever spoke first is kept until it has been silent for a while and the other one speaks. A guest that has used the memory
//! is the one that this receiver is for: where it speaks again there, whoever was sending meanwhile is another. Pure.

use core::time::Duration;
use shm_proto::HostTime;

/// A way that was silent for so long is left, if the other one speaks.
const LEFT_AFTER: Duration = Duration::from_secs(1);
/// A way speaks if it did so within this time.
const SPEAKS_FOR: Duration = Duration::from_millis(100);

/// A way that sound comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Shared memory.
    Memory,
    /// The network.
    Network,
}

/// The choice.
#[derive(Debug)]
pub struct Choice {
    present: Option<Way>,
    /// Whether the memory was the way before.
    left_memory: bool,
    memory: Option<HostTime>,
    network: Option<HostTime>,
}

impl Choice {
    /// No way yet, or the only one there is.
    pub fn new(only: Option<Way>) -> Choice {
        Choice { present: only, left_memory: false, memory: None, network: None }
    }

    /// The way that is taken.
    pub fn present(&self) -> Option<Way> {
        self.present
    }

    /// Sound came this way at `at`.
    pub fn heard(&mut self, way: Way, at: HostTime) {
        *self.last(way) = Some(at);
    }

    fn last(&mut self, way: Way) -> &mut Option<HostTime> {
        match way {
            Way::Memory => &mut self.memory,
            Way::Network => &mut self.network,
        }
    }

    /// The way to change to now, if there is one.
    pub fn decide(&mut self, now: HostTime) -> Option<Way> {
        let quiet = |at: Option<HostTime>| at.map_or(Duration::MAX, |at| now.since(at));
        let (memory, network) = (quiet(self.memory), quiet(self.network));
        let to = match self.present {
            None if memory < SPEAKS_FOR => Way::Memory,
            None if network < SPEAKS_FOR => Way::Network,
            Some(Way::Memory) if memory > LEFT_AFTER && network < SPEAKS_FOR => Way::Network,
            Some(Way::Network) if (network > LEFT_AFTER || self.left_memory) && memory < SPEAKS_FOR => Way::Memory,
            _ => return None,
        };
        self.left_memory = self.present == Some(Way::Memory);
        self.present = Some(to);
        Some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn whoever_speaks_is_taken_and_kept_while_it_speaks() {
        let mut choice = Choice::new(None);
        assert_eq!(choice.decide(at(0)), None);
        choice.heard(Way::Network, at(10));
        assert_eq!(choice.decide(at(10)), Some(Way::Network));
        for ms in (20..5_000).step_by(20) {
            choice.heard(Way::Network, at(ms));
            choice.heard(Way::Memory, at(ms));
            assert_eq!(choice.decide(at(ms)), None, "a guest never uses both: the second is another guest");
        }
        choice.heard(Way::Memory, at(5_900));
        assert_eq!(choice.decide(at(5_900)), None);
        choice.heard(Way::Memory, at(6_100));
        assert_eq!(choice.decide(at(6_100)), Some(Way::Memory));
        assert_eq!(choice.decide(at(60_000)), None, "silence alone changes nothing");
        choice.heard(Way::Network, at(60_000));
        assert_eq!(choice.decide(at(60_000)), Some(Way::Network), "and back again");
    }

    #[test]
    fn a_stranger_who_was_heard_in_a_pause_gives_way_when_the_memory_speaks_again() {
        let mut choice = Choice::new(None);
        choice.heard(Way::Memory, at(0));
        assert_eq!(choice.decide(at(0)), Some(Way::Memory));
        choice.heard(Way::Network, at(2_000));
        assert_eq!(choice.decide(at(2_000)), Some(Way::Network));
        for ms in (2_000..3_000).step_by(20) {
            choice.heard(Way::Network, at(ms));
            assert_eq!(choice.decide(at(ms)), None);
        }
        choice.heard(Way::Memory, at(3_000));
        assert_eq!(choice.decide(at(3_000)), Some(Way::Memory));
        choice.heard(Way::Network, at(3_010));
        assert_eq!(choice.decide(at(3_010)), None);
    }

    #[test]
    fn memory_comes_first_when_both_begin_at_once() {
        let mut choice = Choice::new(None);
        choice.heard(Way::Network, at(5));
        choice.heard(Way::Memory, at(5));
        assert_eq!(choice.decide(at(6)), Some(Way::Memory));
    }

    #[test]
    fn the_only_way_is_never_left() {
        let mut choice = Choice::new(Some(Way::Memory));
        assert_eq!((choice.decide(at(9_999)), choice.present()), (None, Some(Way::Memory)));
    }
}
