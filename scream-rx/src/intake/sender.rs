//! Whose datagrams are played: one sender's, by one interface. Two guests on the default group would otherwise be interleaved
//! into noise, and so would one guest that this host hears twice. Pure. Source: the wire reference of Scream 4.0, section 3.3.

use core::time::Duration;
use shm_proto::HostTime;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Another sender is taken when the present one was silent for so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);
/// A guest sends its next stream from another port, and does not wait for itself. Three of the longest datagrams (13.1 ms,
/// one channel of 16 bits at 44.1 kHz), and two of a guest's longest ticks (15.6 ms): who sends still is heard before that.
const NEXT_STREAM_AFTER: Duration = Duration::from_millis(40);
/// As [`NEXT_STREAM_AFTER`], if the present sender was heard beside the new port: two guests may be behind one address. For
/// [`NAMED_AFTER`] it may be one whose last datagrams came by a longer way; then they are two.
const UNCERTAIN_AFTER: Duration = Duration::from_millis(150);
/// What is sent to a group comes once by each interface that is on the same network. Another interface is taken when this one
/// was silent for so long: an access point holds groups back for three beacons (307 ms) while somebody there sleeps, and those
/// are no new sound.
const OTHER_INTERFACE_AFTER: Duration = Duration::from_millis(350);
/// A sender is named when it and the present one have been speaking beside each other for so long. One that only comes after
/// the other is none to be left out, even if the last of the other's comes late.
const NAMED_AFTER: Duration = Duration::from_millis(500);
/// Hosts that are named to the user; whoever comes later is only counted.
const MAX_NAMED: usize = 8;
/// Senders beside the present one that are told apart.
const MAX_MET: usize = 8;

/// The lock.
#[derive(Debug, Default)]
pub struct SenderLock {
    held: Option<Held>,
    /// Who was heard since the present sender was taken.
    met: [Option<Met>; MAX_MET],
    named: [Option<Ipv4Addr>; MAX_NAMED],
}

/// The present sender.
#[derive(Clone, Copy, Debug)]
struct Held {
    sender: SocketAddrV4,
    interface: Option<u32>,
    last: HostTime,
}

/// Another one.
#[derive(Clone, Copy, Debug)]
struct Met {
    sender: SocketAddrV4,
    first: HostTime,
    last: HostTime,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the present sender's.
    Ours,
    /// It is the present sender's by another interface: what it brings came already.
    Repeated,
    /// It is a new sender's, who is the present one now: another stream begins.
    Taken,
    /// It is not for us. `first`: it is certain now that two send at once, and this host was not named before.
    Foreign {
        /// To be told to the user.
        first: bool,
    },
}

impl SenderLock {
    /// Judges a datagram that makes sense, which came from `sender` at `at`, by `interface` if it may come by several.
    ///
    /// Real-time safe.
    pub fn judge(&mut self, sender: SocketAddrV4, interface: Option<u32>, at: HostTime) -> Verdict {
        let Some(held) = &mut self.held else { return self.take(sender, interface, at) };
        let silent = at.since(held.last);
        if held.sender == sender {
            let is_other = matches!((held.interface, interface), (Some(held), Some(this)) if held != this);
            if is_other && silent < OTHER_INTERFACE_AFTER {
                return Verdict::Repeated;
            }
            (held.interface, held.last) = (interface.or(held.interface), at);
            return Verdict::Ours;
        }
        let Held { sender: before, last, .. } = *held;
        let beside = last.since(self.meet(sender, at));
        let are_two = before.ip() != sender.ip() || beside >= NAMED_AFTER;
        let wait = match () {
            () if are_two => GIVEN_UP_AFTER,
            () if beside.is_zero() => NEXT_STREAM_AFTER,
            () => UNCERTAIN_AFTER,
        };
        if silent >= wait {
            return self.take(sender, interface, at);
        }
        Verdict::Foreign { first: beside >= NAMED_AFTER && self.is_new(*sender.ip()) }
    }

    /// Who is played.
    pub fn present(&self) -> Option<SocketAddrV4> {
        self.held.map(|held| held.sender)
    }

    fn take(&mut self, sender: SocketAddrV4, interface: Option<u32>, at: HostTime) -> Verdict {
        self.held = Some(Held { sender, interface, last: at });
        self.met = [None; MAX_MET];
        Verdict::Taken
    }

    /// Notes a sender that is not the present one; when it was met first. A flood of others displaces none that speaks.
    fn meet(&mut self, sender: SocketAddrV4, at: HostTime) -> HostTime {
        if let Some(met) = self.met.iter_mut().flatten().find(|met| met.sender == sender) {
            met.last = at;
            return met.first;
        }
        let is_free = |place: &&mut Option<Met>| place.is_none_or(|met| at.since(met.last) >= GIVEN_UP_AFTER);
        if let Some(place) = self.met.iter_mut().find(is_free) {
            *place = Some(Met { sender, first: at, last: at });
        }
        at
    }

    fn is_new(&mut self, host: Ipv4Addr) -> bool {
        if self.named.contains(&Some(host)) {
            return false;
        }
        match self.named.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(host);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: Verdict = Verdict::Foreign { first: false };
    const NAMED: Verdict = Verdict::Foreign { first: true };

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
        assert_eq!(lock.judge(a, None, at(0)), Verdict::Taken);
        let mut named = 0;
        for ms in (10..3_000).step_by(10) {
            let verdict = lock.judge(b, None, at(ms + 5));
            assert!(verdict == FOREIGN || ms >= 500 && verdict == NAMED, "{ms}: {verdict:?}");
            named += u32::from(verdict == NAMED);
            assert_eq!(lock.judge(a, None, at(ms + 6)), Verdict::Ours);
        }
        assert_eq!(named, 1);
        // Its next stream is from another port, and it is the same one that is left out.
        for ms in (3_000..6_000).step_by(10) {
            assert_eq!(lock.judge(sender(3, 1001), None, at(ms)), FOREIGN);
            assert_eq!(lock.judge(a, None, at(ms)), Verdict::Ours);
        }
        assert_eq!(lock.judge(b, None, at(6_900)), FOREIGN);
        assert_eq!(lock.judge(b, None, at(6_990)), Verdict::Taken);
        assert_eq!(lock.present(), Some(b));
    }

    #[test]
    fn the_next_stream_of_the_same_guest_is_taken_soon_and_is_no_stranger() {
        let mut lock = SenderLock::default();
        let mut now = 0;
        lock.judge(sender(2, 0), None, at(now));
        for port in 1..100 {
            for _ in 0..30 {
                now += 6;
                assert_eq!(lock.judge(sender(2, port - 1), None, at(now)), Verdict::Ours);
            }
            // A new stream begins 10 ms after the old one's last datagram.
            let end = now;
            now += 10;
            while now - end < 40 {
                assert_eq!(lock.judge(sender(2, port), None, at(now)), FOREIGN, "{port}");
                now += 6;
            }
            assert_eq!(lock.judge(sender(2, port), None, at(now)), Verdict::Taken, "{port}");
            // The last of the old one's came by a longer way.
            assert_eq!(lock.judge(sender(2, port - 1), None, at(now + 1)), FOREIGN);
            assert_eq!(lock.judge(sender(2, port), None, at(now + 2)), Verdict::Ours);
            assert_eq!(lock.judge(sender(2, port - 1), None, at(now + 3)), FOREIGN);
        }
        // All that left room for a real one.
        let verdicts: Vec<_> = (0..100)
            .map(|n| {
                lock.judge(sender(2, 99), None, at(now + 10 + 10 * n));
                lock.judge(sender(3, 7), None, at(now + 15 + 10 * n))
            })
            .collect();
        assert!(verdicts.contains(&NAMED), "{verdicts:?}");
    }

    #[test]
    fn two_guests_behind_one_address_are_never_played_in_turn() {
        // Ticks of 10 ms and of 15.6, each now and then one later, and a stall; the second guest begins at any phase.
        for (tick_us, phase_ms) in (0..16).flat_map(|phase| [(10_000, phase), (15_625, phase)]) {
            let mut lock = SenderLock::default();
            let mut came: Vec<(u64, u16)> = Vec::new();
            let mut not_before = 0;
            for tick in 0..2_000u64 {
                let late_us = if tick % 50 == 49 { tick_us } else { 0 };
                let stall_us = if tick % 400 == 399 { 120_000 } else { 0 };
                not_before = not_before.max(tick * tick_us + late_us + stall_us);
                came.push((not_before, 1));
                came.push((tick * tick_us + phase_ms * 1_000 + 1_000_000, 2));
            }
            came.sort_unstable();
            let mut taken = 0;
            for (us, port) in came {
                taken += u32::from(lock.judge(sender(2, port), None, HostTime::from_ns(us * 1_000)) == Verdict::Taken);
                let over = us > 1_999 * tick_us;
                assert!(lock.present() == Some(sender(2, 1)) || over, "{tick_us} {phase_ms}: {us}");
            }
            assert!(taken <= 2, "{tick_us} {phase_ms}: {taken}");
        }
    }

    #[test]
    fn any_number_of_senders_makes_few_words() {
        let mut lock = SenderLock::default();
        lock.judge(sender(1, 1), None, at(0));
        let mut firsts = 0;
        for n in 0..60_000u64 {
            let host = Ipv4Addr::from_bits(0x0A00_0000 + (n as u32 * 7) % 50_000);
            firsts += u32::from(lock.judge(SocketAddrV4::new(host, 9), None, at(n)) == NAMED);
            lock.judge(sender(1, 1), None, at(n));
        }
        assert!(firsts <= MAX_NAMED as u32, "{firsts}");
        // One that was there before all these is not forgotten over them.
        let mut lock = SenderLock::default();
        lock.judge(sender(1, 1), None, at(0));
        let mut named = 0;
        for n in 0..3_000u64 {
            named += u32::from(lock.judge(sender(7, 7), None, at(n)) == NAMED);
            lock.judge(SocketAddrV4::new(Ipv4Addr::from_bits(0x0B00_0000 + n as u32), 9), None, at(n));
            lock.judge(sender(1, 1), None, at(n));
        }
        assert_eq!(named, 1);
    }

    #[test]
    fn what_comes_by_two_interfaces_is_taken_once() {
        let mut lock = SenderLock::default();
        let a = sender(2, 1000);
        assert_eq!(lock.judge(a, Some(2), at(0)), Verdict::Taken);
        assert_eq!(lock.judge(a, Some(3), at(0)), Verdict::Repeated);
        for ms in (6..600).step_by(6) {
            assert_eq!(lock.judge(a, Some(2), at(ms)), Verdict::Ours);
            assert_eq!(lock.judge(a, Some(3), at(ms)), Verdict::Repeated);
        }
        // The last of it comes late there, and is nothing new.
        assert_eq!(lock.judge(a, Some(3), at(900)), Verdict::Repeated);
        // The cable is pulled: the same stream goes on.
        assert_eq!(lock.judge(a, Some(3), at(950)), Verdict::Ours);
        assert_eq!(lock.judge(a, Some(2), at(956)), Verdict::Repeated);
        assert_eq!(lock.judge(a, Some(3), at(960)), Verdict::Ours);
        // What the kernel did not say is no reason to drop anything.
        assert_eq!(lock.judge(a, None, at(966)), Verdict::Ours);
        assert_eq!(lock.judge(a, Some(3), at(972)), Verdict::Ours);
        assert_eq!(lock.judge(a, Some(2), at(978)), Verdict::Repeated);
    }
}
