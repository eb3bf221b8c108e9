//! One run: guest, engine and sink, called in turn in the order of their time; and what was seen of it from outside, where
//! it is known when the guest really played a frame and when it was really heard.

use super::guest::{Guest, Seen};
use super::scenario::Scenario;
use super::sink::{Request, Sink};
use crate::channels::Layout;
use crate::counters::Counters;
use crate::ending::Length;
use crate::handover::Streams;
use crate::playout::{self, Playout};
use crate::sink::{SinkFormat, Source};
use crate::stream::{self, Feed};
use crate::timing;
use core::time::Duration;
use shm_proto::HostTime;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;
use std::sync::Arc;

const START: HostTime = HostTime::from_ns(1 << 40);

/// What the guest plays and who takes what comes out: interleaved stereo, and when the first frame of it is heard.
pub struct Sound<'a> {
    /// What the guest plays, in 32 bits.
    pub tone: Tone,
    /// Takes it.
    pub take: &'a mut dyn FnMut(&[f32], f64),
}

impl core::fmt::Debug for Sound<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sound").field("tone", &self.tone).finish_non_exhaustive()
    }
}

/// What was seen of a run. Delays are the true ones, measured from outside. Units: as in the names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Virtual hours.
    pub hours: f64,
    /// Delay after 10 s: 1st, 50th and 99th percentile.
    pub delay_ms: [f64; 3],
    /// The wanted delay at 60 s, the most ever after that, and at the end.
    pub target_ms: [f64; 3],
    /// The largest distance of the delay from the wanted one (less what always lies between the two), from 10 s on and
    /// from 60 s on; gaps and what follows them within 10 s left out.
    pub off10_ms: f64,
    /// See `off10_ms`.
    pub off60_ms: f64,
    /// Until that distance stays below 1 ms, from the first sound on.
    pub settle_s: f64,
    /// Standard deviation of the ratio from the true one, and its largest change within a second, after 120 s.
    pub sigma_ppm: f64,
    /// See `sigma_ppm`.
    pub wobble_ppm: f64,
    /// The largest distance of the ratio from 1 after 120 s.
    pub ratio_ppm: f64,
    /// Mishaps of the guest.
    pub incidents: u64,
    /// Concealed gaps.
    pub gaps: u64,
    /// Those of them that lie further than a second from any mishap.
    pub gaps_unprovoked: u64,
    /// The most that one mishap caused.
    pub gaps_per_incident: u64,
    /// Steps in the sound after the first two seconds, steps in silence, and starts.
    pub moves: u64,
    /// See `moves`.
    pub trims: u64,
    /// See `moves`.
    pub starts: u64,
    /// Guest frames made up.
    pub made_up: u64,
    /// The largest change of delay from before a mishap to 10 s after it.
    pub back_ms: f64,
    /// Of everything that came out and every place: the same for the same seed.
    pub hash: u64,
}

/// Width of a bin of the delay's histogram, and bins. Unit: seconds.
const BIN_S: f64 = 20e-6;
const BINS: usize = 25_000;
/// Steps before this put the first guess of the guest's clock right. Unit: seconds.
const EARLY_S: f64 = 2.0;

/// What is kept while it runs.
struct Watch {
    bins: Vec<u32>,
    /// Delay less target, by time: of the first three minutes; and of the rest the histogram of differences.
    early: Vec<(f32, f32)>,
    differences: Vec<u32>,
    ratio_n: f64,
    ratio_mean: f64,
    ratio_m2: f64,
    second: (u64, f64, f64),
    targets: [f64; 3],
    last_gaps: u64,
    last_steps: u64,
    early_steps: u64,
    incident: Option<(f64, f64, u64)>,
    quiet_until_s: f64,
    delay_s: f64,
    outcome: Outcome,
}

/// The bed itself.
struct Bed<'a> {
    guest: Guest,
    engine: Playout,
    streams: Streams,
    feed: Option<Feed>,
    counters: Arc<Counters>,
    sound: Option<Sound<'a>>,
    pcm: Vec<u8>,
    /// Streams that were opened, and the number of chunks of all.
    opened: u32,
    reopen: bool,
}

fn at(s: f64) -> HostTime {
    START + Duration::from_nanos((s * 1e9).max(0.0) as u64)
}

/// Runs `scenario` for `seconds`, with times alone if there is no `sound`.
pub fn run(scenario: &Scenario, seconds: f64, seed: u64, sound: Option<Sound<'_>>) -> Outcome {
    run_and_tell(scenario, seconds, seed, sound, |_| ())
}

/// As [`run`], and tells `told` what `--dump-timing` would have written.
pub fn run_and_tell(
    scenario: &Scenario,
    seconds: f64,
    seed: u64,
    sound: Option<Sound<'_>>,
    mut told: impl FnMut(timing::Event),
) -> Outcome {
    let counters = Arc::<Counters>::default();
    let (mut engine, streams) = playout::engine(START, scenario.wishes, Length::Endless, Arc::clone(&counters));
    let (tap, mut events) = timing::tap();
    engine.set_tap(tap);
    let guest = Guest::new(scenario.guest, seed);
    let mut bed =
        Bed { guest, engine, streams, feed: None, counters, sound, pcm: Vec::new(), opened: 0, reopen: false };
    let format = SinkFormat { rate_hz: scenario.sink.rate_hz, layout: Layout::STEREO };
    let mut sink = Sink::new(scenario.sink, seed ^ 0x5EED, 0.005);
    bed.engine.open(format);
    let mut watch = Watch::new();
    let mut out = Vec::new();
    loop {
        let request = sink.ask();
        if request.now_s >= seconds {
            break;
        }
        bed.advance(request.now_s, format);
        if core::mem::take(&mut bed.reopen) {
            sink = Sink::new(scenario.sink, seed ^ request.now_s.to_bits(), request.now_s + 0.3);
            bed.engine.open(format);
            continue;
        }
        out.resize(request.frames as usize * 2, 0.0);
        let place = bed.engine.place();
        bed.engine.fill(&mut out, at(request.now_s), Duration::from_nanos((request.delay_s * 1e9) as u64));
        while let Ok(event) = events.pop() {
            told(event);
        }
        if let Some(sound) = &mut bed.sound {
            (sound.take)(&out, request.heard_s);
            out.iter().for_each(|x| watch.hash(x.to_bits().into()));
        }
        watch.look(&mut bed, &request, place, scenario.sink.ppm);
    }
    watch.finish(&bed.counters, seconds)
}

impl Bed<'_> {
    /// Lets the guest do all it does until `now_s`.
    fn advance(&mut self, now_s: f64, sink: SinkFormat) {
        while let Some((at_s, seen)) = self.guest.next(now_s) {
            match seen {
                Seen::SinkReopens => self.reopen = true,
                Seen::Stream(format) => self.open(format, sink),
                Seen::Frames { start, frames, quiet } => self.pass_on(at_s, start, frames, quiet),
            }
        }
    }

    /// A sink that no guest can be joined to hears nothing, and its scenario misses its limits.
    fn open(&mut self, format: Format, sink: SinkFormat) {
        self.feed = None;
        self.streams.collect();
        let opened = match self.sound {
            Some(_) => stream::open(format, sink, 0.3).map(|(feed, stream, _)| (feed, stream)),
            None => stream::open_times(format, sink),
        };
        if let Ok((feed, stream)) = opened {
            self.streams.send(stream);
            self.opened += 1;
            self.feed = Some(feed);
        }
    }

    fn pass_on(&mut self, at_s: f64, start: u64, frames: u32, quiet: bool) {
        let Some(feed) = &mut self.feed else { return };
        feed.go_on_at(start);
        match &self.sound {
            Some(sound) => {
                let format = feed.format();
                self.pcm.resize(frames as usize * format.frame_bytes() as usize, 0);
                let tone = if quiet { Tone::Silence } else { sound.tone };
                tone.render(start, start / 960, &format, &mut self.pcm);
                feed.push(&self.pcm, at(at_s));
            }
            None => {
                feed.push_times(frames, quiet, at(at_s));
            }
        }
    }
}

impl Watch {
    fn new() -> Watch {
        Watch {
            bins: vec![0; BINS],
            early: Vec::new(),
            differences: vec![0; BINS],
            ratio_n: 0.0,
            ratio_mean: 0.0,
            ratio_m2: 0.0,
            second: (0, f64::MAX, f64::MIN),
            targets: [0.0; 3],
            last_gaps: 0,
            last_steps: 0,
            early_steps: 0,
            incident: None,
            quiet_until_s: 0.0,
            delay_s: 0.0,
            outcome: Outcome { hash: 0xCBF2_9CE4_8422_2325, ..Outcome::default() },
        }
    }

    fn hash(&mut self, word: u64) {
        self.outcome.hash = (self.outcome.hash ^ word).wrapping_mul(0x0100_0000_01B3);
    }

    /// Looks at what happened at a request. `place`: the stream and the guest frame that was first.
    fn look(&mut self, bed: &mut Bed<'_>, request: &Request, place: Option<(u32, f64)>, ppm: f64) {
        let now_s = request.now_s;
        let gaps = bed.counters.playout.gaps.get();
        if let Some(at_s) = bed.guest.take_incident() {
            self.outcome.incidents += 1;
            self.incident = Some((at_s, self.delay_s, self.last_gaps));
        }
        if gaps > self.last_gaps {
            let n = gaps - self.last_gaps;
            let provoked = self.incident.is_some_and(|(at_s, _, _)| now_s - at_s < 15.0);
            if now_s > 60.0 && !provoked {
                self.outcome.gaps_unprovoked += n;
            }
            self.last_gaps = gaps;
        }
        if let Some((at_s, before_s, gaps_before)) = self.incident
            && now_s > at_s + 10.0
        {
            let caused = gaps - gaps_before;
            self.outcome.gaps_per_incident = self.outcome.gaps_per_incident.max(caused);
            if at_s > 60.0 && self.delay_s > 0.0 {
                self.outcome.back_ms = self.outcome.back_ms.max((self.delay_s - before_s).abs() * 1e3);
            }
            self.incident = None;
        }
        let steps = bed.counters.playout.moves.get() + bed.counters.playout.trims.get();
        if core::mem::replace(&mut self.last_steps, steps) != steps {
            // What was first in this fill lies before the step, what is told behind it.
            self.quiet_until_s = now_s + 10.0;
            if now_s < EARLY_S {
                self.early_steps = bed.counters.playout.moves.get();
            }
            return;
        }
        let told = bed.engine.told();
        // Only what plays the present stream says something.
        let Some((_, frame)) = place.filter(|(n, _)| *n == bed.opened && told.target_ns > 0) else { return };
        if !bed.guest.is_steady() {
            return;
        }
        self.hash(frame.to_bits());
        let delay_s = request.heard_s - bed.guest.played_at_s(frame);
        self.delay_s = delay_s;
        let target_s = told.target_ns as f64 * 1e-9;
        let disturbed = now_s < self.quiet_until_s || self.incident.is_some();
        if now_s < 180.0 {
            self.early.push((now_s as f32, ((delay_s - target_s) * 1e3) as f32));
        }
        if now_s > 10.0 && !disturbed {
            count(&mut self.bins, delay_s / BIN_S);
        }
        if now_s > 60.0 {
            if self.targets[0] == 0.0 {
                self.targets[0] = target_s;
            }
            self.targets[1] = self.targets[1].max(target_s);
            self.targets[2] = target_s;
            if !disturbed {
                count(&mut self.differences, (delay_s - target_s) / BIN_S + BINS as f64 / 2.0);
            }
        }
        if now_s > 120.0 {
            self.look_at_ratio(now_s, told.ratio_ppb as f64 * 1e-3, (bed.guest.rate() - 1.0) * 1e6 - ppm, disturbed);
        }
    }

    fn look_at_ratio(&mut self, now_s: f64, ratio_ppm: f64, true_ppm: f64, disturbed: bool) {
        self.outcome.ratio_ppm = self.outcome.ratio_ppm.max(ratio_ppm.abs());
        if disturbed {
            self.second = (u64::MAX, f64::MAX, f64::MIN);
            return;
        }
        self.ratio_n += 1.0;
        let d = ratio_ppm - true_ppm - self.ratio_mean;
        self.ratio_mean += d / self.ratio_n;
        self.ratio_m2 += d * (ratio_ppm - true_ppm - self.ratio_mean);
        let (second, low, high) = self.second;
        if second == now_s as u64 {
            self.second = (second, low.min(ratio_ppm), high.max(ratio_ppm));
        } else {
            if second != u64::MAX && high > low {
                self.outcome.wobble_ppm = self.outcome.wobble_ppm.max(high - low);
            }
            self.second = (now_s as u64, ratio_ppm, ratio_ppm);
        }
    }

    fn finish(mut self, counters: &Counters, seconds: f64) -> Outcome {
        let at = |bins: &[u32], share: f64| {
            let total: u64 = bins.iter().map(|n| u64::from(*n)).sum();
            let mut left = (total as f64 * share) as i64;
            let found = bins.iter().position(|n| {
                left -= i64::from(*n);
                left < 0
            });
            found.or(bins.iter().rposition(|n| *n > 0)).map_or(f64::NAN, |i| (i as f64 + 0.5) * BIN_S * 1e3)
        };
        let middle_ms = BINS as f64 / 2.0 * BIN_S * 1e3;
        // What always lies between the two: the least time from the guest's playing to our seeing.
        let mut between: Vec<f32> = self.early.iter().filter(|(t, _)| *t > 30.0).map(|e| e.1).collect();
        between.sort_by(f32::total_cmp);
        let between_ms = f64::from(between.get(between.len() / 2).copied().unwrap_or(0.0));
        let off = |e: &(f32, f32)| (f64::from(e.1) - between_ms).abs();
        let o = &mut self.outcome;
        o.hours = seconds / 3600.0;
        o.delay_ms = [0.01, 0.5, 0.99].map(|share| at(&self.bins, share));
        o.target_ms = self.targets.map(|s| s * 1e3);
        let (low, high) = (at(&self.differences, 0.0) - middle_ms, at(&self.differences, 1.0) - middle_ms);
        o.off60_ms = (low - between_ms).abs().max((high - between_ms).abs());
        let late = self.early.iter().filter(|e| e.0 > 10.0 && e.0 < 60.0).map(off);
        o.off10_ms = late.fold(0.0, f64::max);
        let first_s = self.early.first().map_or(0.0, |e| e.0);
        let last_off_s = self.early.iter().filter(|e| e.0 < 60.0 && off(e) > 1.0).map(|e| e.0).next_back();
        o.settle_s = f64::from(last_off_s.map_or(0.0, |s| s - first_s));
        o.sigma_ppm = (self.ratio_m2 / self.ratio_n.max(1.0)).sqrt();
        let c = &counters.playout;
        (o.gaps, o.moves, o.trims, o.starts) =
            (c.gaps.get(), c.moves.get() - self.early_steps, c.trims.get(), c.starts.get());
        o.made_up = c.frames_made_up.get();
        self.outcome
    }
}

fn count(bins: &mut [u32], place: f64) {
    let bin = (place.max(0.0) as usize).min(bins.len() - 1);
    if let Some(n) = bins.get_mut(bin) {
        *n = n.saturating_add(1);
    }
}
