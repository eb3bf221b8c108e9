//! Whose datagrams are played: one sender's. Two guests on the default group would otherwise be interleaved into noise.
//! Pure. Source: the wire reference of Scream 4.0, section 3.3.

use core::time::Duration;
use shm_proto::HostTime;
use std::net::SocketAddrV4;

/// Another sender is taken when the present one was silent for so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);
/// The same guest may open its next stream on another port: it does not wait for itself.
const SAME_HOST_AFTER: Duration = Duration::from_millis(150);
/// Senders that are named to the user; whoever comes later is only counted.
const MAX_NAMED: usize = 8;

/// The lock.
#[derive(Debug, Default)]
pub struct SenderLock {
    held: Option<(SocketAddrV4, HostTime)>,
    named: [Option<SocketAddrV4>; MAX_NAMED],
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the present sender's.
    Ours,
    /// It is a new sender's, who is the present one now: another stream begins.
    Taken,
    /// It is not for us. `first`: this sender was not met before.
    Foreign {
        /// To be told to the user.
        first: bool,
    },
}

impl SenderLock {
    /// Judges a datagram that makes sense, which came from `sender` at `at`.
    ///
    /// Real-time safe.
    pub fn judge(&mut self, sender: SocketAddrV4, at: HostTime) -> Verdict {
        match &mut self.held {
            Some((held, last)) if *held == sender => {
                *last = at;
                Verdict::Ours
            }
            Some((held, last)) => {
                let wait = if held.ip() == sender.ip() { SAME_HOST_AFTER } else { GIVEN_UP_AFTER };
                if at.since(*last) < wait {
                    return Verdict::Foreign { first: self.is_new(sender) };
                }
                self.held = Some((sender, at));
                Verdict::Taken
            }
            None => {
                self.held = Some((sender, at));
                Verdict::Taken
            }
        }
    }

    /// Who is played.
    pub fn present(&self) -> Option<SocketAddrV4> {
        self.held.map(|(sender, _)| sender)
    }

    fn is_new(&mut self, sender: SocketAddrV4) -> bool {
        if self.named.contains(&Some(sender)) {
            return false;
        }
        match self.named.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(sender);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn sender(host: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(192, 168, 122, host), port)
    }

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_second_sender_is_named_once_and_waits_for_a_second_of_silence() {
        let mut lock = SenderLock::default();
        let (a, b) = (sender(2, 1000), sender(3, 1000));
        assert_eq!(lock.judge(a, at(0)), Verdict::Taken);
        assert_eq!(lock.judge(b, at(5)), Verdict::Foreign { first: true });
        for ms in (10..3_000).step_by(10) {
            assert_eq!(lock.judge(a, at(ms)), Verdict::Ours);
            assert_eq!(lock.judge(b, at(ms + 5)), Verdict::Foreign { first: false });
        }
        assert_eq!(lock.judge(b, at(3_900)), Verdict::Foreign { first: false });
        assert_eq!(lock.judge(b, at(4_000)), Verdict::Taken);
        assert_eq!(lock.present(), Some(b));
    }

    #[test]
    fn the_same_guest_on_another_port_is_taken_soon() {
        let mut lock = SenderLock::default();
        lock.judge(sender(2, 1000), at(0));
        assert_eq!(lock.judge(sender(2, 2000), at(100)), Verdict::Foreign { first: true });
        assert_eq!(lock.judge(sender(2, 2000), at(150)), Verdict::Taken);
    }

    #[test]
    fn any_number_of_senders_makes_few_words() {
        let mut lock = SenderLock::default();
        lock.judge(sender(1, 1), at(0));
        let firsts =
            (0..60_000).filter(|n| lock.judge(sender(9, *n), at(1)) == Verdict::Foreign { first: true }).count();
        assert_eq!(firsts, MAX_NAMED);
    }
}
