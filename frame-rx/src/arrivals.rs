//! When the last pictures were complete, for whoever wants to know the guest's rhythm: also those that were never fetched.
//! One writes, any may read, nobody waits.

use shm_proto::HostTime;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pictures that are remembered: those of a refresh at 60 Hz, of a guest of 1000.
const KEPT: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Arrivals {
    at_ns: [AtomicU64; KEPT as usize],
    count: AtomicU64,
}

impl Arrivals {
    fn place(&self, number: u64) -> Option<&AtomicU64> {
        self.at_ns.get(usize::try_from(number % KEPT).ok()?)
    }

    /// A picture came. For one thread. Real-time safe.
    pub fn came(&self, at: HostTime) {
        let number = self.count.load(Ordering::Relaxed);
        if let Some(place) = self.place(number) {
            place.store(at.as_ns(), Ordering::Relaxed);
        }
        // Releases the time to `since`.
        self.count.store(number + 1, Ordering::Release);
    }

    /// What came after the first `known` pictures, as far as it is remembered; `known` becomes how many there were. One that
    /// comes in between may be told in place of the oldest.
    pub fn since(&self, known: &mut u64) -> impl Iterator<Item = HostTime> {
        // Acquires what `came` released.
        let count = self.count.load(Ordering::Acquire);
        let first = core::mem::replace(known, count).max(count.saturating_sub(KEPT));
        let place = |number| self.place(number).map(|at| HostTime::from_ns(at.load(Ordering::Relaxed)));
        (first..count).filter_map(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_is_told_once_and_of_many_the_last() {
        let (arrivals, mut known) = (Arrivals::default(), 0);
        let told = |known: &mut u64| arrivals.since(known).map(HostTime::as_ns).collect::<Vec<_>>();
        assert!(told(&mut known).is_empty());
        arrivals.came(HostTime::from_ns(7));
        arrivals.came(HostTime::from_ns(9));
        assert_eq!(told(&mut known), [7, 9]);
        assert!(told(&mut known).is_empty());
        (100..140).for_each(|ns| arrivals.came(HostTime::from_ns(ns)));
        assert_eq!(told(&mut known), (124..140).collect::<Vec<_>>());
    }
}
