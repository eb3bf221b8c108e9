//! Numbers the frames of a transport that has no numbers: what came next in the guest, what was lost on the way, what
//! was left out because it was silence. Pure; the caller passes the time of each arrival.
//!
//! A loss shows only as arrivals that stay later than they were by whole datagrams; suppressed silence as a pause behind
//! quiet samples. An order that was changed on the way cannot be seen at all: nothing in a datagram tells its place.
//! Source: the wire reference of Scream 4.0, sections 3.3 and 3.4.

use core::time::Duration;
use shm_proto::HostTime;

/// Arrivals that stay later than before for so long will not catch up: something was lost. The first holds where the
/// earliest arrivals of each tenth of a second were nearly equal so far, the last where they were not. Unit: seconds.
const LOST_AFTER_S: [f64; 3] = [0.100, 0.300, 1.0];
/// So much of a datagram they must be late: what is lost makes them late by whole ones and never earlier.
const LOST_PART: f64 = 0.75;
/// So many of them must agree.
const LOST_ARRIVALS: u32 = 6;
/// Losses shorter than this are left to the clock: ticks of a guest make as much. Unit: seconds.
const LEAST_LOSS_S: f64 = 0.001_5;
/// A pause that no guest's timer explains. Unit: seconds.
const PAUSE_S: f64 = 0.040;
/// After a pause of this length what came before says nothing about what is late. Unit: seconds.
const LONG_PAUSE_S: f64 = 0.5;
/// So much quiet before a pause makes it suppressed silence: the driver counts at least some thousands of samples.
const QUIET_S: f64 = 0.010;
/// The earliest arrivals of so long make up the base from which lateness counts. Unit: seconds; bins.
const BIN_S: f64 = 0.5;
const BINS: usize = 5;
/// The earliest arrivals of so long are compared with that base. Unit: seconds.
const RIPPLE_S: f64 = 0.1;
/// What is known of a guest's ripple is forgotten at this pace. Unit: of itself in each [`RIPPLE_S`].
const RIPPLE_FORGETS: f64 = 0.998;
/// The largest difference of clocks that is believed, and how much of a new one is taken each [`BIN_S`].
const MAX_SLOPE: f64 = 1e-3;
const SLOPE_LEARNS: f64 = 0.05;
/// Stretches of [`RIPPLE_S`] before the ripple is known.
const RIPPLE_KNOWN: u32 = 20;

/// The frames of one stream.
#[derive(Debug)]
pub struct Numbering {
    epoch: HostTime,
    rate_hz: f64,
    /// Frames of a whole datagram of the driver's, which need not be a whole number. Unit: frames.
    datagram_frames: f64,
    base: Base,
    /// Number of the next frame, if nothing was lost.
    next: u64,
    last_s: f64,
    arrivals: u32,
    quiet_frames: u64,
    /// Arrivals that are late by most of a datagram or more, and for how long that must go on to be a loss.
    behind: Option<(Earliest, f64)>,
    /// The stretch of [`RIPPLE_S`] that is going on.
    stretch: Option<Earliest>,
    ripple_s: f64,
    stretches: u32,
}

/// The earliest of some arrivals, and how many there were.
#[derive(Clone, Copy, Debug)]
struct Earliest {
    since_s: f64,
    late_s: f64,
    count: u32,
}

impl Earliest {
    /// With one more.
    fn and(this: Option<Earliest>, at_s: f64, late_s: f64) -> Earliest {
        let Earliest { since_s, late_s: least_s, count } = this.unwrap_or(Earliest { since_s: at_s, late_s, count: 0 });
        Earliest { since_s, late_s: least_s.min(late_s), count: count.saturating_add(1) }
    }
}

/// The earliest arrivals of the last seconds: when, and how much after the guest's nominal time. Unit: seconds.
#[derive(Debug, Default)]
struct Base {
    bins: [Option<(f64, f64)>; BINS],
    newest: usize,
    since_s: f64,
    /// How fast the guest's clock loses. Unit: seconds a second.
    slope: f64,
}

impl Base {
    /// How much after its nominal time the earliest would come at `at_s`; nothing if nothing is known.
    fn at(&self, at_s: f64) -> Option<f64> {
        self.bins.iter().flatten().map(|(t_s, excess_s)| excess_s + self.slope * (at_s - t_s)).reduce(f64::min)
    }

    fn add(&mut self, at_s: f64, excess_s: f64) {
        if at_s - self.since_s >= BIN_S {
            let oldest = (self.newest + 1) % BINS;
            if let [Some((from_s, from)), Some((to_s, to))] = [self.bins[oldest], self.bins[self.newest]]
                && to_s - from_s > BIN_S
            {
                let slope = ((to - from) / (to_s - from_s)).clamp(-MAX_SLOPE, MAX_SLOPE);
                self.slope += (slope - self.slope) * SLOPE_LEARNS;
            }
            (self.newest, self.since_s) = (oldest, at_s);
            self.bins[oldest] = None;
        }
        let bin = &mut self.bins[self.newest];
        if bin.is_none_or(|(_, least_s)| excess_s < least_s) {
            *bin = Some((at_s, excess_s));
        }
    }

    /// Forgets when things came, but not how fast the guest's clock is.
    fn forget(&mut self) {
        self.bins = [None; BINS];
    }
}

/// Where the frames of a datagram stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Number of the first frame.
    pub start: u64,
    /// What lies between it and what came before.
    pub before: Before,
}

/// What lies before a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// What came before it.
    Joined,
    /// So many datagrams that never came.
    Lost(u64),
    /// Silence that the guest did not send.
    Silence,
}

impl Numbering {
    /// A stream of `rate_hz` whose datagrams hold `datagram_frames` when they are full; it begins now.
    pub fn new(rate_hz: u32, datagram_frames: f64, now: HostTime) -> Numbering {
        Numbering {
            epoch: now,
            rate_hz: f64::from(rate_hz.max(1)),
            datagram_frames: datagram_frames.max(1.0),
            base: Base::default(),
            next: 0,
            last_s: 0.0,
            arrivals: 0,
            quiet_frames: 0,
            behind: None,
            stretch: None,
            ripple_s: 0.0,
            stretches: 0,
        }
    }

    /// A datagram of `frames` came at `at`; its last `quiet_frames` are quiet.
    ///
    /// Real-time safe.
    pub fn place(&mut self, frames: u32, quiet_frames: u32, at: HostTime) -> Placed {
        let at_s = at.signed_ns_since(self.epoch) as f64 * 1e-9;
        let pause_s = at_s - core::mem::replace(&mut self.last_s, at_s);
        let frames = u64::from(frames);
        let was_quiet = self.quiet_frames as f64 >= QUIET_S * self.rate_hz;
        if pause_s > LONG_PAUSE_S {
            (self.behind, self.stretch) = (None, None);
        }
        let mut late_s = self.late_s(at_s, frames);
        let mut before = Before::Joined;
        if self.arrivals > 0 && pause_s > PAUSE_S && was_quiet && late_s > PAUSE_S / 2.0 {
            self.skip(late_s * self.rate_hz);
            self.base.forget();
            before = Before::Silence;
        } else if pause_s > LONG_PAUSE_S {
            self.base.forget();
        } else if let Some(lost) = self.watch(late_s, at_s) {
            self.skip(lost as f64 * self.datagram_frames);
            before = Before::Lost(lost);
        }
        if before != Before::Joined {
            late_s = self.late_s(at_s, frames);
        }
        self.arrivals = self.arrivals.saturating_add(1);
        self.learn(late_s, at_s, frames, before == Before::Joined);
        self.quiet_frames =
            if u64::from(quiet_frames) < frames { 0 } else { self.quiet_frames } + u64::from(quiet_frames);
        let start = self.next;
        self.next += frames;
        Placed { start, before }
    }

    /// For how long nothing has come.
    pub fn quiet_for(&self, now: HostTime) -> Duration {
        Duration::from_secs_f64((now.signed_ns_since(self.epoch) as f64 * 1e-9 - self.last_s).max(0.0))
    }

    fn skip(&mut self, frames: f64) {
        // At most ten minutes, whatever the clocks say; what is longer is another stream to everybody.
        self.next += frames.clamp(0.0, 600.0 * self.rate_hz).round() as u64;
        self.behind = None;
    }

    /// How much after its nominal time the last of the next `frames` comes at `at_s`. Unit: seconds.
    fn excess_s(&self, at_s: f64, frames: u64) -> f64 {
        at_s - (self.next + frames) as f64 / self.rate_hz
    }

    /// How much later than the earliest of the last seconds. Unit: seconds.
    fn late_s(&self, at_s: f64, frames: u64) -> f64 {
        self.base.at(at_s).map_or(0.0, |base_s| self.excess_s(at_s, frames) - base_s)
    }

    fn datagram_s(&self) -> f64 {
        self.datagram_frames / self.rate_hz
    }

    /// How many datagrams were lost, as soon as that is certain.
    fn watch(&mut self, late_s: f64, at_s: f64) -> Option<u64> {
        let datagram_s = self.datagram_s();
        if late_s < (datagram_s * LOST_PART).max(LEAST_LOSS_S) {
            self.behind = None;
            return None;
        }
        let known = self.stretches >= RIPPLE_KNOWN;
        let wait = match self.ripple_s / datagram_s {
            ripple if known && ripple < 0.25 => 0,
            ripple if known && ripple < 0.5 => 1,
            _ => 2,
        };
        // The wait is what was right when it began: the loss itself looks like ripple.
        let wait_s = self.behind.map_or(LOST_AFTER_S[wait], |(_, wait_s)| wait_s);
        let behind = Earliest::and(self.behind.map(|(earliest, _)| earliest), at_s, late_s);
        self.behind = Some((behind, wait_s));
        let certain = behind.count >= LOST_ARRIVALS && at_s - behind.since_s >= wait_s;
        certain.then(|| (behind.late_s / datagram_s + 1.0 - LOST_PART).floor().max(1.0) as u64)
    }

    /// Takes an arrival into the base, unless it may belong to a loss, and learns how much the earliest arrivals differ.
    fn learn(&mut self, late_s: f64, at_s: f64, frames: u64, joined: bool) {
        if self.behind.is_none() {
            self.base.add(at_s, self.excess_s(at_s, frames));
        }
        let stretch = Earliest::and(self.stretch.filter(|_| joined), at_s, late_s);
        if at_s - stretch.since_s < RIPPLE_S {
            self.stretch = Some(stretch);
            return;
        }
        self.stretch = None;
        self.stretches = self.stretches.saturating_add(1);
        self.ripple_s = (self.ripple_s * RIPPLE_FORGETS).max(stretch.late_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shm_proto::guest_sim::network::{Event, NetworkGuest, Way};
    use shm_proto::guest_sim::pacing::Pacing;
    use shm_proto::guest_sim::sound::usual_mask;
    use shm_proto::guest_sim::tone::Tone;
    use shm_proto::scream::{Datagram, Format};

    const START: HostTime = HostTime::from_ns(9_000_000_000);

    struct Rig {
        guest: NetworkGuest,
        numbering: Numbering,
        found: Vec<(u64, Before)>,
        now: HostTime,
        next: u64,
    }

    impl Rig {
        fn new(format: Format, pacing: Pacing, threshold: u64) -> Rig {
            let guest = NetworkGuest::new(format, Tone::DEFAULT, pacing).silence_threshold(threshold);
            let frames = 1152.0 / f64::from(format.frame_bytes());
            let numbering = Numbering::new(format.rate_hz(), frames, START);
            Rig { guest, numbering, found: Vec::new(), now: START, next: 0 }
        }

        fn ms(&self) -> u64 {
            self.now.since(START).as_millis() as u64
        }

        fn run(&mut self, ms: u64) {
            let until = self.now + Duration::from_millis(ms);
            while let Some(at) = self.guest.next_due().or((self.now == START).then_some(START)) {
                if at > until {
                    break;
                }
                self.now = self.now.max(at);
                let (numbering, found, next) = (&mut self.numbering, &mut self.found, &mut self.next);
                let ms = self.now.since(START).as_millis() as u64;
                self.guest.advance(self.now, |at, bytes| {
                    let datagram = Datagram::check(bytes).unwrap();
                    let frame = datagram.format().frame_bytes() as usize;
                    let quiet = datagram.quiet_samples_at_end() / usize::from(datagram.format().channels());
                    let placed = numbering.place((datagram.pcm().len() / frame) as u32, quiet as u32, at);
                    assert!(placed.start >= *next, "numbers never go back");
                    *next = placed.start + (datagram.pcm().len() / frame) as u64;
                    if placed.before != Before::Joined {
                        found.push((ms, placed.before));
                    }
                });
            }
            self.now = until;
        }
    }

    fn stereo(bits: u8) -> Format {
        Format::new(48_000, bits, 2, 3).unwrap()
    }

    #[test]
    fn a_clean_way_loses_nothing_whatever_the_ticks_and_clocks() {
        for tick_us in [1_000, 10_000, 15_625] {
            for (drift_ppm, lateness_ms) in [(0.0, 0), (300.0, 4), (-300.0, 8)] {
                for format in [stereo(16), stereo(32), Format::new(192_000, 32, 8, 0x63F).unwrap()] {
                    let pacing = Pacing {
                        tick: Duration::from_micros(tick_us),
                        drift_ppm,
                        lateness: Duration::from_millis(lateness_ms),
                        ..Pacing::CALM
                    };
                    let mut rig = Rig::new(format, pacing, 0);
                    rig.run(if format.channels() > 2 { 4_000 } else { 20_000 });
                    assert_eq!(rig.found, [], "{tick_us} us, {drift_ppm} ppm, {format}");
                }
            }
        }
    }

    #[test]
    fn a_loss_is_found_soon_and_to_the_datagram() {
        for (bits, tick_us) in [(16, 10_000), (16, 15_625), (32, 10_000), (24, 15_625)] {
            for lost in [1, 2, 10] {
                let pacing = Pacing { tick: Duration::from_micros(tick_us), drift_ppm: 120.0, ..Pacing::CALM };
                let mut rig = Rig::new(stereo(bits), pacing, 0);
                rig.run(5_000);
                rig.guest.perform(Event::Lose(lost), rig.now);
                rig.run(1_000);
                let Some((at_ms, Before::Lost(_))) = rig.found.first() else { panic!("{bits} {tick_us} {lost}") };
                let found: u64 = rig.found.iter().map(|(_, b)| if let Before::Lost(n) = b { *n } else { 99 }).sum();
                assert_eq!(found, u64::from(lost), "{bits} bit, ticks of {tick_us} us: {:?}", rig.found);
                assert!((5_100..5_400).contains(at_ms), "{at_ms}");
                let times = rig.found.len();
                rig.run(10_000);
                assert_eq!(rig.found.len(), times, "it is not found again");
            }
        }
    }

    #[test]
    fn many_losses_are_all_found_in_the_end() {
        let mut rig = Rig::new(stereo(16), Pacing::CALM, 0);
        rig.guest = NetworkGuest::new(stereo(16), Tone::DEFAULT, Pacing::CALM)
            .way(Way { lost_per_million: 3_000, ..Way::default() });
        rig.run(120_000);
        let found: u64 = rig.found.iter().map(|(_, b)| if let Before::Lost(n) = b { *n } else { 0 }).sum();
        let made = rig.guest.datagrams() * 288;
        assert!(found > 30, "{found}");
        // The numbers stand where the guest's do, but for what was lost a moment ago.
        assert!(made.abs_diff(rig.next) <= 3 * 288, "{made} made, {} numbered", rig.next);
    }

    #[test]
    fn a_stall_is_no_loss() {
        for stall_ms in [40, 90, 200, 400] {
            let mut rig = Rig::new(stereo(16), Pacing::CALM, 0);
            rig.run(3_000);
            rig.guest.perform(Event::Stall(Duration::from_millis(stall_ms)), rig.now);
            rig.run(3_000);
            assert_eq!(rig.found, [], "{stall_ms} ms");
        }
    }

    #[test]
    fn silence_that_was_not_sent_keeps_its_length() {
        for pause_ms in [150, 300, 3_000] {
            let mut rig = Rig::new(stereo(16), Pacing { drift_ppm: 200.0, ..Pacing::CALM }, 10_000);
            rig.run(3_000);
            rig.guest.perform(Event::Mute, rig.now);
            // 104 ms of silence are sent.
            rig.run(104 + pause_ms);
            rig.guest.perform(Event::Unmute, rig.now);
            rig.run(2_000);
            assert!(matches!(rig.found[..], [(_, Before::Silence)]), "{pause_ms}: {:?}", rig.found);
            let guest = rig.ms() as f64 * 48.0 * 1.0002;
            assert!((guest - rig.next as f64).abs() < 48.0 * 21.0, "{pause_ms}: {guest} {}", rig.next);
        }
    }

    #[test]
    fn formats_of_all_channels_are_numbered() {
        for channels in 1..=8 {
            let format = Format::new(48_000, 16, channels, usual_mask(channels)).unwrap();
            let mut rig = Rig::new(format, Pacing::CALM, 0);
            // Five and seven channels: what straddles is counted by the caller; here it is simply dropped.
            if 1152 % format.frame_bytes() == 0 {
                rig.run(5_000);
                assert_eq!(rig.found, []);
            }
        }
    }

    proptest! {
        #[test]
        fn no_order_of_arrivals_makes_numbers_go_back(steps in proptest::collection::vec((0u64..3_000_000_000, 0u32..2_000, 0u32..2_000), 1..300)) {
            let mut numbering = Numbering::new(48_000, 288.0, START);
            let (mut now, mut next) = (START, 0);
            for (pause_ns, frames, quiet) in steps {
                now = now + Duration::from_nanos(pause_ns % (1 + u64::from(quiet) * 2_000_000));
                let placed = numbering.place(frames, quiet.min(frames), now);
                prop_assert!(placed.start >= next);
                next = placed.start + u64::from(frames);
            }
        }
    }
}
