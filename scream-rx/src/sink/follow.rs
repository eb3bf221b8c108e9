//! How the reader of a pipe is followed: what always lies between it and us is part of the delay, and where that grows, the
//! reader's clock is slower than ours, and the next pieces are put off a little. A reader whose clock is faster, or who takes
//! all there is at once, leaves nothing, and is given sound at the pace of our clock. Pure; the caller passes the time.

use core::time::Duration;
use shm_proto::HostTime;

/// Readers take pieces: the least that lay there within so long is what always lies there.
const STRETCH: Duration = Duration::from_secs(1);
/// More than this is worked off until only this much is left, by so little of each piece that nobody hears it.
const MUCH: Duration = Duration::from_millis(20);
const LITTLE: Duration = Duration::from_millis(5);
const SLOWER: u32 = 1000;
/// More than this is not worked off but waited for at once: nobody read for a while.
const FAR: Duration = Duration::from_millis(60);

/// What is known of the reader.
#[derive(Debug)]
pub(super) struct Follow {
    since: Option<HostTime>,
    /// The least that was left in this stretch.
    least: Duration,
    /// What always lies between.
    between: Duration,
    slower: bool,
}

impl Follow {
    pub(super) const fn new() -> Follow {
        Follow { since: None, least: Duration::MAX, between: Duration::ZERO, slower: false }
    }

    /// So much was `left` at `now`, before the next piece of `period`. What always lies between the reader and this piece, and
    /// by how much those after it are put off.
    ///
    /// Real-time safe.
    pub(super) fn look(&mut self, now: HostTime, left: Duration, period: Duration) -> (Duration, Duration) {
        let since = *self.since.get_or_insert(now);
        self.least = self.least.min(left);
        let mut put_off = Duration::ZERO;
        if now.since(since) >= STRETCH {
            self.between = core::mem::replace(&mut self.least, Duration::MAX);
            self.since = Some(now);
            self.slower = self.between > if self.slower { LITTLE } else { MUCH };
            if self.between > FAR {
                put_off = self.between - LITTLE;
            }
        }
        if self.slower {
            put_off = put_off.max(period / SLOWER).min(self.between);
        }
        let between = self.between;
        self.between -= put_off;
        (between, put_off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    const fn ms(ms: f64) -> Duration {
        Duration::from_nanos((ms * 1e6) as u64)
    }

    /// A reader that takes pieces of `piece_ms` by a clock `ppm` fast, first after `waits_ms`, for `seconds`: the most and
    /// the least that was between from second 5 on, by our word and in truth (ms).
    fn read(piece_ms: f64, ppm: f64, waits_ms: f64, seconds: f64) -> [f64; 4] {
        let mut follow = Follow::new();
        let (mut due_ms, mut written_ms, mut read_ms) = (0.0, 0.0, 0.0f64);
        let mut next_read_ms = waits_ms;
        let mut found = [f64::MIN, f64::MAX, f64::MIN, f64::MAX];
        let (mut least_ms, mut stretch) = (f64::MAX, 0);
        while due_ms < seconds * 1e3 {
            while next_read_ms <= due_ms {
                read_ms = (read_ms + piece_ms).min(written_ms);
                next_read_ms += piece_ms / (1.0 + ppm * 1e-6);
            }
            let now = HostTime::from_ns((due_ms * 1e6) as u64);
            let left_ms = written_ms - read_ms;
            let (between, put_off) = follow.look(now, ms(left_ms), PERIOD);
            written_ms += 10.0;
            due_ms += 10.0 + put_off.as_secs_f64() * 1e3;
            least_ms = least_ms.min(left_ms);
            if due_ms > 5e3 {
                let told_ms = between.as_secs_f64() * 1e3;
                (found[0], found[1]) = (found[0].max(told_ms), found[1].min(told_ms));
                if (due_ms / 2e3) as u64 > stretch {
                    stretch = (due_ms / 2e3) as u64;
                    (found[2], found[3]) = (found[2].max(least_ms), found[3].min(least_ms));
                    least_ms = f64::MAX;
                }
            }
        }
        found
    }

    #[test]
    fn a_reader_that_takes_all_at_once_leaves_nothing() {
        assert_eq!(read(0.5, 0.0, 0.0, 60.0)[..2], [0.0, 0.0]);
        let [most_ms, ..] = read(40.0, 0.0, 0.0, 60.0);
        assert!(most_ms <= 10.0, "what lies there for a moment is nothing: {most_ms}");
        assert!(read(20.0, 300.0, 0.0, 600.0)[0] <= 10.0, "nor from one that is too fast");
    }

    #[test]
    fn a_reader_with_a_slower_clock_is_followed_and_told() {
        for ppm in [-50.0, -300.0, -900.0] {
            let [most_ms, least_ms, most_true_ms, least_true_ms] = read(20.0, ppm, 0.0, 1200.0);
            println!("{ppm}: told {least_ms:.1} to {most_ms:.1}, true {least_true_ms:.1} to {most_true_ms:.1}");
            assert!(most_ms < 33.0 && most_true_ms < 33.0, "{ppm}: {most_ms} {most_true_ms}");
            assert!((most_ms - most_true_ms).abs() < 11.0, "{ppm}: a piece of ours and little more");
        }
    }

    #[test]
    fn a_reader_that_comes_late_is_waited_for_once() {
        let [most_ms, ..] = read(5.0, 0.0, 500.0, 60.0);
        assert!(most_ms < 12.0, "{most_ms}");
    }
}
