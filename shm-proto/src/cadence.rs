//! When the next publication is due, estimated from the arrivals so far. Pure; the caller passes the time.
//!
//! Waking up is the dearest thing a receiver does, so it should look once per publication, just before it is due, and a
//! few times more if it is late. Each look steers the estimate: "already there" pulls it earlier at once, "not yet"
//! lets it grow. The instant of each first look is spread a little, since a fixed grid would drift slowly against the
//! guest's and be seen as a slow change of the delay.
//!
//! Two kinds of guests: *periodic* ones (sound: publication n belongs to instant n times the period, lateness is
//! one-sided, so the earliest arrivals of each second carry the clock), and *irregular* ones (frames: the next may come
//! after any time, but not sooner than the shortest distance lately: a refresh of the guest's screen).

use crate::time::HostTime;
use core::time::Duration;

/// The first look comes this long before the publication is due, give or take the same. Unit: ns.
const EARLY_NS: u64 = 300_000;
/// Looks after the first, at this distance, before the publication counts as overdue.
const RETRIES: u32 = 4;
const RETRY_NS: u64 = 250_000;
/// Distance of looks while a publication is overdue, or nothing is known yet. Unit: ns.
const OVERDUE_NS: u64 = 1_000_000;
/// Length of a bin of the envelope. Unit: ns.
const BIN_NS: u64 = 1_000_000_000;
/// Bins that the rate is fitted to: a minute.
const BINS: usize = 64;
/// Bins before the fit is used: less would follow the lateness of single arrivals.
const BINS_FOR_RATE: usize = 5;
/// Bins whose earliest arrivals carry the phase: how long a guest that became later is taken for the old one.
const BINS_FOR_PHASE: usize = 2;
/// The largest plausible offset of a guest's clock. Unit: parts per million.
const MAX_DRIFT_PPM: f64 = 2_000.0;
/// Arrivals before a phase is trusted: a guest with slow ticks repeats its lateness after 25 chunks, and the first may
/// have been the latest of them.
const LEARN_ARRIVALS: u32 = 25;
/// So many arrivals in a row, each later than half a period, are a new phase and no longer lateness.
const LATE_ARRIVALS: u32 = 3;
/// The shortest distance of arrivals is forgotten at this pace: each one moves it by so small a part.
const FORGET: u64 = 1024;

/// How often to look once nothing came for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleStep {
    /// Nothing came for this long.
    pub after: Duration,
    /// Look this often.
    pub every: Duration,
}

/// What is known beforehand about the publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The distance of publications, if they are periodic.
    pub nominal: Option<Duration>,
    /// The longest sleep before a publication that is expected even later: it may come early.
    pub longest_sleep: Duration,
    /// Idle looking, by growing `after`.
    pub idle: [IdleStep; 3],
}

const fn step(after_ms: u64, every_ms: u64) -> IdleStep {
    IdleStep { after: Duration::from_millis(after_ms), every: Duration::from_millis(every_ms) }
}

impl Profile {
    /// Chunks of sound: 20 ms. Idle: 100 looks a second after 200 ms, 50 after 10 s, 20 after a minute.
    pub const SOUND: Profile = Profile {
        nominal: Some(Duration::from_millis(20)),
        longest_sleep: Duration::from_millis(25),
        idle: [step(200, 10), step(10_000, 20), step(60_000, 50)],
    };

    /// Frames of a picture, at any rate. Idle: 500 looks a second after 100 ms, 250 after 1 s, 100 after 10 s: a key
    /// press after a rest should be seen soon.
    pub const VIDEO: Profile = Profile {
        nominal: None,
        longest_sleep: Duration::from_millis(5),
        idle: [step(100, 2), step(1_000, 4), step(10_000, 10)],
    };
}

/// What the estimate stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing came for long: looks are few.
    Idle,
    /// Too few arrivals to predict the next.
    Learning,
    /// The next arrival is predicted.
    Tracking,
}

/// The estimator. Tell it of each look ([`Cadence::published`], [`Cadence::nothing`]), then ask for the next one.
///
/// Real-time safe: no allocation, no lock, no system call, and a bounded number of steps in each call.
#[derive(Clone, Debug)]
pub struct Cadence {
    idle: [IdleStep; 3],
    longest_sleep: Duration,
    estimate: Estimate,
    /// Since when nothing came.
    quiet_since: Option<HostTime>,
    /// Looks that found nothing since the first look at the coming publication was due.
    misses: u32,
    /// Spreads the first looks; a Weyl sequence, so that any few in a row cover the range evenly.
    spread: u64,
}

impl Cadence {
    /// An estimator that knows nothing yet. The same seed gives the same spread of looks.
    pub fn new(profile: &Profile, seed: u64) -> Cadence {
        let estimate = match profile.nominal {
            Some(nominal) => Estimate::Periodic(Box::new(Envelope::new(nominal))),
            None => Estimate::Irregular(Shortest::default()),
        };
        Cadence {
            idle: profile.idle,
            longest_sleep: profile.longest_sleep,
            estimate,
            quiet_since: None,
            misses: 0,
            spread: seed,
        }
    }

    /// Forgets all arrivals: another stream begins now. Until its first publication there are a thousand looks a
    /// second, and fewer when it does not come.
    pub fn reset(&mut self, now: HostTime) {
        match &mut self.estimate {
            Estimate::Periodic(envelope) => **envelope = Envelope::new(Duration::from_nanos(envelope.nominal_ns)),
            Estimate::Irregular(shortest) => *shortest = Shortest::default(),
        }
        self.quiet_since = Some(now);
        self.misses = 0;
    }

    /// Publication `number` was seen at `now` for the first time. Of several seen at once, the last is enough. Numbers
    /// grow; one that does not is ignored.
    pub fn published(&mut self, now: HostTime, number: u64) {
        let idle = self.idle_step(now).is_some();
        match &mut self.estimate {
            Estimate::Periodic(envelope) => envelope.arrived(now, number),
            Estimate::Irregular(shortest) => shortest.arrived(now, number, idle),
        }
        self.quiet_since = Some(now);
        self.misses = 0;
        self.spread = self.spread.wrapping_add(0x9E37_79B9_7F4A_7C15);
    }

    /// A look at `now` found nothing new.
    pub fn nothing(&mut self, now: HostTime) {
        self.quiet_since.get_or_insert(now);
        if self.first_look().is_none_or(|first| now >= first) {
            self.misses = self.misses.saturating_add(1);
        }
    }

    /// When to look next. Always after `now`, and at most the longest idle distance (and an eighth of it) after it.
    pub fn next_wake(&self, now: HostTime) -> HostTime {
        if let Some(step) = self.idle_step(now) {
            let every = u64::try_from(step.every.as_nanos()).unwrap_or(u64::MAX).max(RETRY_NS);
            return now + Duration::from_nanos(every.saturating_add(self.spread_below(every / 8)));
        }
        let pause_ns = match self.first_look() {
            Some(first) if first > now => {
                return first.min(now + self.longest_sleep.max(Duration::from_nanos(OVERDUE_NS)));
            }
            Some(_) if self.misses <= RETRIES => RETRY_NS,
            // Off the grid of whole milliseconds that guests publish on.
            Some(_) | None => OVERDUE_NS - self.spread_below(OVERDUE_NS / 8),
        };
        now + Duration::from_nanos(pause_ns)
    }

    /// When the next publication is due, if that can be said.
    pub fn predicted(&self) -> Option<HostTime> {
        match &self.estimate {
            Estimate::Periodic(envelope) => envelope.predicted(),
            Estimate::Irregular(shortest) => shortest.predicted(),
        }
    }

    /// The distance of publications as estimated, if that can be said. Unit: ns.
    pub fn period_ns(&self) -> Option<f64> {
        match &self.estimate {
            Estimate::Periodic(envelope) => envelope.fitted_ns,
            Estimate::Irregular(shortest) => shortest.ns.map(|ns| ns as f64),
        }
    }

    /// What the estimate stands on at `now`.
    pub fn state(&self, now: HostTime) -> State {
        if self.quiet_since.is_none() || self.idle_step(now).is_some() {
            State::Idle
        } else if self.predicted().is_some() {
            State::Tracking
        } else {
            State::Learning
        }
    }

    fn idle_step(&self, now: HostTime) -> Option<IdleStep> {
        let Some(since) = self.quiet_since else { return self.idle.last().copied() };
        let quiet = now.since(since);
        self.idle.iter().rev().find(|step| quiet >= step.after).copied()
    }

    fn first_look(&self) -> Option<HostTime> {
        let early = Duration::from_nanos(self.spread_below(2 * EARLY_NS));
        self.predicted().map(|due| due - early)
    }

    fn spread_below(&self, below_ns: u64) -> u64 {
        // The upper half of the product is below `below_ns`.
        ((u128::from(self.spread) * u128::from(below_ns)) >> 64) as u64
    }
}

#[derive(Clone, Debug)]
enum Estimate {
    Periodic(Box<Envelope>),
    Irregular(Shortest),
}

/// An arrival: publication number and time, both relative to the first.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    number: f64,
    at_ns: f64,
}

/// The earliest arrivals of each second, and the line under them.
#[derive(Clone, Debug)]
struct Envelope {
    nominal_ns: u64,
    /// Fitted distance of publications; `None` until there are enough bins.
    fitted_ns: Option<f64>,
    /// The first arrival; all others are counted from here.
    origin: Option<(u64, HostTime)>,
    newest: u64,
    /// Earliest arrivals of finished bins; the newest is at `bins_end - 1`, going round.
    bins: [Arrival; BINS],
    bins_end: usize,
    bins_used: usize,
    /// Earliest arrival of the bin that is being filled.
    open: Option<Arrival>,
    open_since: HostTime,
    /// Arrivals since the phase was last unknown.
    learned: u32,
    late_in_a_row: u32,
}

impl Envelope {
    fn new(nominal: Duration) -> Envelope {
        Envelope {
            nominal_ns: u64::try_from(nominal.as_nanos()).unwrap_or(u64::MAX).max(1),
            fitted_ns: None,
            origin: None,
            newest: 0,
            bins: [Arrival { number: 0.0, at_ns: 0.0 }; BINS],
            bins_end: 0,
            bins_used: 0,
            open: None,
            open_since: HostTime::ZERO,
            learned: 0,
            late_in_a_row: 0,
        }
    }

    fn period_ns(&self) -> f64 {
        self.fitted_ns.unwrap_or(self.nominal_ns as f64)
    }

    fn arrived(&mut self, now: HostTime, number: u64) {
        if self.origin.is_some() && number <= self.newest {
            return;
        }
        self.newest = number;
        let (first, since) = *self.origin.get_or_insert((number, now));
        let arrival = Arrival { number: (number - first) as f64, at_ns: now.signed_ns_since(since) as f64 };
        let lateness = self.due_ns(arrival.number).map_or(0.0, |due| arrival.at_ns - due);
        self.late_in_a_row = if lateness > self.period_ns() / 2.0 { self.late_in_a_row + 1 } else { 0 };
        if self.late_in_a_row >= LATE_ARRIVALS {
            // A chunk was dropped, or the guest stood still: the same rate from another instant on.
            (self.bins_used, self.late_in_a_row, self.learned, self.open) = (0, 0, 0, None);
        }
        self.learned = self.learned.saturating_add(1);
        if now.since(self.open_since).as_nanos() >= u128::from(BIN_NS) {
            self.close_bin();
            self.open_since = now;
        }
        let period = self.period_ns();
        let relative = |a: Arrival| a.at_ns - a.number * period;
        if self.open.is_none_or(|open| relative(arrival) < relative(open)) {
            self.open = Some(arrival);
        }
    }

    fn close_bin(&mut self) {
        let Some(earliest) = self.open.take() else { return };
        self.bins[self.bins_end % BINS] = earliest;
        self.bins_end = (self.bins_end + 1) % BINS;
        self.bins_used = (self.bins_used + 1).min(BINS);
        if self.bins_used >= BINS_FOR_RATE {
            let nominal = self.nominal_ns as f64;
            let plausible = |slope: &f64| (slope / nominal - 1.0).abs() * 1e6 <= MAX_DRIFT_PPM;
            self.fitted_ns = self.slope().filter(plausible).or(self.fitted_ns);
        }
    }

    /// The newest `count` finished bins.
    fn newest_bins(&self, count: usize) -> impl Iterator<Item = Arrival> + '_ {
        let count = count.min(self.bins_used);
        (1..=count).map(|back| self.bins[(self.bins_end + BINS - back) % BINS])
    }

    /// Least squares: nanoseconds per publication.
    fn slope(&self) -> Option<f64> {
        let count = self.bins_used as f64;
        let sum = self.newest_bins(BINS).fold((0.0, 0.0), |sum, a| (sum.0 + a.number, sum.1 + a.at_ns));
        let (number, at_ns) = (sum.0 / count, sum.1 / count);
        let (mut across, mut along) = (0.0, 0.0);
        for a in self.newest_bins(BINS) {
            across += (a.number - number) * (a.at_ns - at_ns);
            along += (a.number - number) * (a.number - number);
        }
        (along > 0.0).then(|| across / along)
    }

    /// When publication `number` is due by the earliest of the recent arrivals.
    fn due_ns(&self, number: f64) -> Option<f64> {
        let period = self.period_ns();
        let recent = self.newest_bins(BINS_FOR_PHASE).chain(self.open);
        recent.map(|a| a.at_ns + (number - a.number) * period).reduce(f64::min)
    }

    fn predicted(&self) -> Option<HostTime> {
        let (first, since) = self.origin.filter(|_| self.learned >= LEARN_ARRIVALS)?;
        let due_ns = self.due_ns((self.newest - first) as f64 + 1.0)?;
        Some(since + Duration::from_nanos(due_ns.max(0.0) as u64))
    }
}

/// The shortest distance of arrivals lately.
#[derive(Clone, Copy, Debug, Default)]
struct Shortest {
    last: Option<(u64, HostTime)>,
    ns: Option<u64>,
}

impl Shortest {
    fn arrived(&mut self, now: HostTime, number: u64, was_idle: bool) {
        if let Some((before, at)) = self.last {
            let Some(steps) = number.checked_sub(before).filter(|steps| *steps > 0) else { return };
            // The end of a rest tells nothing about the distance of frames.
            if !was_idle {
                let ns = u64::try_from(now.since(at).as_nanos()).unwrap_or(u64::MAX) / steps;
                let shortest = self.ns.unwrap_or(ns);
                self.ns = Some(if ns < shortest { ns } else { shortest + (ns - shortest) / FORGET });
            }
        }
        self.last = Some((number, now));
    }

    fn predicted(&self) -> Option<HostTime> {
        let (_, at) = self.last?;
        self.ns.map(|ns| at + Duration::from_nanos(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: HostTime = HostTime::from_ns(3_000_000_000);

    fn ms(ms: f64) -> Duration {
        Duration::from_nanos((ms * 1e6) as u64)
    }

    /// What a receiver paid and got: looks per second, and how long publications lay there unseen.
    #[derive(Debug)]
    struct Bill {
        looks_per_s: f64,
        /// Unit: ms.
        median_unseen: f64,
        /// Unit: ms.
        p99_unseen: f64,
    }

    /// Runs a receiver against publications at `at_ms`, each wake up to 0.1 ms late, and leaves the first seconds out.
    fn run(profile: &Profile, at_ms: &[f64], leave_out_s: f64) -> Bill {
        let mut cadence = Cadence::new(profile, 42);
        cadence.reset(START);
        let (mut seen, mut now, mut looks, mut late) = (0, START, 0u32, 0.37);
        let mut unseen = Vec::new();
        let from = START + ms(leave_out_s * 1e3);
        let end = at_ms.last().unwrap() + 5.0;
        while now < START + ms(end) {
            let there = seen + at_ms[seen..].iter().take_while(|at| START + ms(**at) <= now).count();
            if now >= from {
                looks += 1;
                unseen.extend(at_ms[seen..there].iter().map(|at| now.since(START + ms(*at)).as_secs_f64() * 1e3));
            }
            if there > seen {
                cadence.published(now, there as u64);
                seen = there;
            } else {
                cadence.nothing(now);
            }
            let next = cadence.next_wake(now);
            assert!(next > now, "the next look must be later");
            late = (late + 0.618_034_f64).fract();
            now = next + ms(0.1 * late);
        }
        unseen.sort_by(f64::total_cmp);
        let quantile = |q: f64| unseen[((unseen.len() - 1) as f64 * q) as usize];
        let looks_per_s = f64::from(looks) / (end / 1e3 - leave_out_s);
        Bill { looks_per_s, median_unseen: quantile(0.5), p99_unseen: quantile(0.99) }
    }

    /// Sound published on ticks of a guest: chunk n is due at 20 (n + 1) ms, and comes with the next tick.
    fn on_ticks(tick_ms: f64, drift_ppm: f64, seconds: f64) -> Vec<f64> {
        let count = (seconds * 50.0) as u32;
        (1..=count)
            .map(|n| (f64::from(n) * 20.0 / tick_ms - 1e-9).ceil() * tick_ms * (1.0 - drift_ppm * 1e-6))
            .collect()
    }

    #[test]
    fn steady_sound_costs_few_looks_and_is_seen_at_once() {
        for drift_ppm in [0.0, 37.0, 300.0, -300.0, 1_000.0, -1_000.0] {
            let bill = run(&Profile::SOUND, &on_ticks(10.0, drift_ppm, 60.0), 10.0);
            assert!(bill.looks_per_s <= 260.0, "{drift_ppm} ppm: {bill:?}");
            assert!(bill.median_unseen <= 0.2 && bill.p99_unseen <= 0.4, "{drift_ppm} ppm: {bill:?}");
        }
    }

    #[test]
    fn slow_ticks_cost_more_looks_and_not_more_delay_than_a_millisecond() {
        let bill = run(&Profile::SOUND, &on_ticks(15.625, 50.0, 60.0), 10.0);
        assert!(bill.looks_per_s <= 700.0 && bill.p99_unseen <= 1.1, "{bill:?}");
    }

    #[test]
    fn the_rate_is_found_within_a_few_ppm() {
        for drift_ppm in [-500.0, 0.0, 120.0, 500.0] {
            let mut cadence = Cadence::new(&Profile::SOUND, 1);
            for (at, number) in on_ticks(10.0, drift_ppm, 65.0).into_iter().zip(0..) {
                // Late by up to 4 ms, on time once in a while.
                let late = (number as f64 * 0.618_034).fract() * 4.0;
                cadence.published(START + ms(at + late), number);
            }
            let found = (1.0 - cadence.period_ns().unwrap() / 20e6) * 1e6;
            assert!((found - drift_ppm).abs() < 5.0, "{drift_ppm} ppm: found {found}");
        }
    }

    #[test]
    fn frames_at_144_hz_are_seen_at_once() {
        let at: Vec<f64> = (1..144 * 20).map(|n| f64::from(n) * 1e3 / 144.0).collect();
        let bill = run(&Profile::VIDEO, &at, 1.0);
        assert!(bill.looks_per_s <= 144.0 * 5.0 && bill.p99_unseen <= 0.5, "{bill:?}");
    }

    #[test]
    fn frames_at_irregular_distances_cost_no_more_than_a_look_per_millisecond() {
        let mut at = vec![0.0];
        for n in 0..2_000u32 {
            at.push(at[n as usize] + 7.0 + (f64::from(n) * 0.618_034).fract() * 26.0);
        }
        let bill = run(&Profile::VIDEO, &at, 1.0);
        assert!(bill.looks_per_s <= 1_000.0 && bill.p99_unseen <= 2.0, "{bill:?}");
    }

    #[test]
    fn a_dropped_chunk_is_a_new_phase_after_three_arrivals() {
        let mut cadence = Cadence::new(&Profile::SOUND, 1);
        for n in 0..500u32 {
            cadence.published(START + ms(20.0 * f64::from(n)), n.into());
        }
        for n in 500..503u32 {
            let late = START + ms(20.0 * f64::from(n + 1));
            assert_eq!(cadence.predicted(), Some(START + ms(20.0 * f64::from(n))));
            cadence.published(late, n.into());
        }
        assert_eq!(cadence.state(START + ms(20.0 * 503.0)), State::Learning);
        for n in 503..530u32 {
            cadence.published(START + ms(20.0 * f64::from(n + 1)), n.into());
        }
        assert_eq!(cadence.predicted(), Some(START + ms(20.0 * 531.0)));
    }

    #[test]
    fn a_stream_that_began_with_its_latest_chunk_is_not_slept_through() {
        // The first chunk comes 11 ms late, and each of the next is less so.
        let bill = run(&Profile::SOUND, &on_ticks(15.625, 0.0, 2.0)[..40], 0.05);
        assert!(bill.p99_unseen <= 1.1, "{bill:?}");
    }

    #[test]
    fn looks_grow_rare_when_nothing_comes() {
        let mut cadence = Cadence::new(&Profile::SOUND, 9);
        assert_eq!(cadence.state(START), State::Idle);
        cadence.reset(START);
        assert_eq!(cadence.state(START), State::Learning);
        for (second, most) in [(0, 400), (1, 100), (11, 50), (100, 20)] {
            let from = START + Duration::from_secs(second);
            let (mut now, mut looks) = (from, 0);
            while now < from + Duration::from_secs(1) {
                cadence.nothing(now);
                now = cadence.next_wake(now);
                looks += 1;
            }
            assert!(looks <= most, "second {second}: {looks} looks");
        }
        let mut now = START + Duration::from_secs(200);
        for number in 0..25 {
            assert_ne!(cadence.state(now), State::Tracking);
            cadence.published(now, number);
            now = now + ms(20.0);
        }
        assert_eq!(cadence.state(now), State::Tracking);
    }

    #[test]
    fn no_two_first_looks_keep_the_same_distance() {
        let mut cadence = Cadence::new(&Profile::SOUND, 5);
        let mut early = Vec::new();
        for n in 0..125 {
            let now = START + ms(20.0 * n as f64);
            cadence.published(now, n);
            if n < 25 {
                continue;
            }
            early.push(cadence.predicted().unwrap().since(cadence.next_wake(now)).as_nanos() as u64);
        }
        early.sort_unstable();
        assert!(early[0] < 20_000 && early[99] > 580_000, "{early:?}");
        assert!(early.windows(2).all(|pair| pair[1] - pair[0] < 20_000), "{early:?}");
    }

    #[test]
    fn hostile_numbers_and_times_do_no_harm() {
        for profile in [Profile::SOUND, Profile::VIDEO, Profile { nominal: Some(Duration::ZERO), ..Profile::SOUND }] {
            let mut cadence = Cadence::new(&profile, u64::MAX);
            let times = [5, 5, 4, u64::MAX, 0, 1 << 60, 1 << 61, 3];
            let numbers = [0, u64::MAX, 0, 7, u64::MAX - 1, 1 << 63, 1, 2];
            for (at, number) in times.into_iter().cycle().zip(numbers.into_iter().cycle().skip(3)).take(500) {
                let now = HostTime::from_ns(at);
                cadence.published(now, number);
                cadence.nothing(now);
                let longest = Duration::from_millis(1_000);
                assert!(cadence.next_wake(now) > now || at == u64::MAX);
                assert!(cadence.next_wake(now).since(now) <= longest);
            }
        }
    }
}
