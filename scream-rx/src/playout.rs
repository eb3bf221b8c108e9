//! The engine: takes streams from the intake thread and fills what the sink asks for, so that each frame is heard a
//! constant time after the guest played it. It knows no device and reads no clock.
//!
//! ```text
//! arrivals -> guest's clock  \
//!                             > delay of the next frame -- minus the wanted delay --> ratio of the resampler
//! fills    -> sink's clock   /
//! ```
//!
//! The place in the guest's sound goes on whatever happens: what is missing when its time comes is made up, what comes
//! after its time is dropped. So a stall costs a moment of sound, never a longer delay.

use crate::clock::SinkClock;
use crate::counters::Counters;
use crate::drift::Drift;
use crate::ending::{Ending, Length};
use crate::handover::{self, Alarm, Hand, Streams};
use crate::sink::{Filled, SinkCell, SinkFormat, Source};
use crate::steer::{SILENCE_S, Situation, Steer, Step};
use crate::stream::{Came, Rendered, Stream};
use crate::target::{Parts, Target, Wishes};
use crate::timing::{self, Phase, Tap, What};
use core::time::Duration;
use shm_proto::HostTime;
use std::sync::Arc;

/// A guest that wrote nothing for so long is silent. Unit: seconds.
const SILENT_AFTER_S: f64 = 0.2;
/// Gaps this close to each other are one. Unit: seconds.
const ONE_GAP_S: f64 = 0.25;
/// A gap that ended so little ago can still be made longer. Unit: seconds.
const JUST_NOW_S: f64 = 0.030;
/// By how much a move may be longer or shorter for its seam's sake: the ratio puts that right. Unit: seconds.
const SLACK_S: f64 = 0.000_9;
/// A sink must have asked for this much before its delay is believed. Unit: seconds.
const SINK_SETTLES_S: f64 = 0.020;

/// The engine. See the module.
#[derive(Debug)]
pub struct Playout {
    epoch: HostTime,
    hand: Hand,
    current: Option<Box<Stream>>,
    next: Option<Box<Stream>>,
    sink: Option<SinkFormat>,
    sink_cell: Arc<SinkCell>,
    sink_clock: SinkClock,
    sink_age_s: f64,
    target: Target,
    drift: Drift,
    phase: Phase,
    /// The wanted delay came down to what is needed since sound last ended.
    settled: bool,
    gap: Gap,
    /// When something was last made up in what sounds. Unit: seconds.
    gap_ended_s: f64,
    steer: Steer,
    bit_perfect: bool,
    ending: Ending,
    counters: Arc<Counters>,
    /// Streams taken so far.
    streams_seen: u32,
    tap: Option<Tap>,
    /// What the tap is told of this fill.
    told: timing::Fill,
    told_move: i64,
}

/// The gap that is going on.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    /// Guest frames made up so far.
    frames: u64,
    /// Those of them of which nothing later had come yet.
    late_frames: u64,
    /// What came for them when their time was over.
    thrown: u64,
    /// The target was told of it.
    told: bool,
}

/// Makes an engine and the intake's end of it. `epoch`: an instant not after any that will be passed in.
pub fn engine(epoch: HostTime, wishes: Wishes, length: Length, counters: Arc<Counters>) -> (Playout, Streams) {
    let (hand, streams) = handover::new(wishes.longest_s);
    let sink_cell = Arc::clone(&streams.sink);
    let playout = Playout {
        epoch,
        hand,
        current: None,
        next: None,
        sink: None,
        sink_cell,
        sink_clock: SinkClock::new(48_000),
        sink_age_s: 0.0,
        target: Target::new(wishes),
        drift: Drift::new(wishes.wide),
        phase: Phase::Idle,
        settled: false,
        gap: Gap::default(),
        gap_ended_s: f64::MIN,
        steer: Steer::new(),
        bit_perfect: wishes.bit_perfect,
        ending: Ending::new(length),
        counters,
        streams_seen: 0,
        tap: None,
        told: timing::Fill::default(),
        told_move: 0,
    };
    (playout, streams)
}

impl Playout {
    /// Tells `tap` of everything that happens from now on. To be called before the first sink opens.
    pub fn set_tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// What the tap was told of the last fill, or would have been.
    pub fn told(&self) -> timing::Fill {
        self.told
    }

    /// Which stream plays (the first of all is 1), and which of its frames comes next.
    pub fn place(&self) -> Option<(u32, f64)> {
        let playing = self.current.as_ref().filter(|_| self.phase == Phase::Playing)?;
        Some((playing.number, playing.position()))
    }

    fn seconds(&self, at: HostTime) -> f64 {
        at.signed_ns_since(self.epoch) as f64 * 1e-9
    }

    fn tell(&mut self, now: HostTime, what: What) {
        if let Some(tap) = &mut self.tap {
            tap.tell(now.since(self.epoch).as_nanos() as u64, what);
        }
    }

    /// Takes what the intake sent: the newest stream waits for its turn, older ones that never played are given back.
    fn take_streams(&mut self, now: HostTime) {
        while let Some(mut stream) = self.hand.take() {
            self.streams_seen = self.streams_seen.wrapping_add(1);
            stream.number = self.streams_seen;
            if self.bit_perfect {
                stream.set_bit_perfect();
            }
            self.tell(now, What::Stream { id: stream.number, format: stream.format() });
            if Some(stream.sink()) != self.sink {
                self.hand.give_back(stream);
            } else if self.current.is_none() {
                self.current = Some(stream);
            } else if let Some(unplayed) = self.next.replace(stream) {
                self.hand.give_back(unplayed);
            }
        }
    }

    /// The current stream is done; the next one takes its place.
    fn promote(&mut self) {
        if let Some(done) = self.current.take() {
            self.hand.give_back(done);
        }
        self.current = self.next.take();
        self.phase = Phase::Idle;
        self.gap = Gap::default();
    }

    fn observe(&mut self) {
        let Playout { current, next, target, epoch, tap, counters, .. } = self;
        for stream in [current, next].into_iter().flatten() {
            let id = stream.number;
            let observed = stream.observe(*epoch, |came| {
                if let Some(late_s) = came.late_s {
                    counters.playout.lateness.record(late_s);
                    target.chunk(came.at_s, late_s);
                }
                if let Some(tap) = tap {
                    let Came { start, frames, stored, quiet, .. } = came;
                    tap.tell((came.at_s * 1e9) as u64, What::Came { id, start, frames, stored, quiet });
                }
            });
            if observed.restarted {
                target.forget_lateness(stream.last_arrival_s());
            }
            if observed.lost > 0 {
                target.lost(stream.last_arrival_s(), observed.lost as f64 / f64::from(stream.format().rate_hz()));
            }
        }
    }

    /// The delay to hold for `stream`, in its parts.
    fn wanted(&self, stream: &Stream) -> Parts {
        self.target.parts(stream.piece_s(), stream.filter_s())
    }

    /// The place in `stream` that is to be heard at `heard_s`.
    fn wanted_position(&self, stream: &Stream, heard_s: f64) -> f64 {
        stream.clock().frame_at(heard_s - self.wanted(stream).sum_s())
    }

    /// Begins to play the current stream if its time has come.
    fn try_start(&mut self, now_s: f64, heard_s: f64, frames: usize) -> bool {
        if self.current.as_ref().is_some_and(|s| s.has_ended() && self.next.is_some()) {
            self.promote();
        }
        let Some(stream) = &self.current else { return false };
        let recent = now_s - stream.last_arrival_s() < SILENT_AFTER_S;
        if !(recent && stream.clock().is_primed() && self.sink_age_s > SINK_SETTLES_S) {
            return false;
        }
        if !core::mem::replace(&mut self.settled, true) {
            self.target.settle(now_s, stream.ticks_s());
        }
        let position = self.wanted_position(stream, heard_s);
        let guest_hz = f64::from(stream.format().rate_hz());
        let needed = position + (stream.filter_s() + frames as f64 / self.rate_hz()) * guest_hz;
        let Some(stream) = &mut self.current else { return false };
        // What lies before the wanted place has had its time.
        stream.skip_before(position.max(0.0) as u64);
        let Some((first, end)) = stream.first_frame().zip(stream.end_frame()) else { return false };
        if position < first as f64 || needed > end as f64 {
            return false;
        }
        stream.start_at(position);
        self.drift.restart();
        self.gap = Gap::default();
        self.steer.start(now_s);
        self.counters.playout.starts.inc();
        self.phase = Phase::Playing;
        true
    }

    fn rate_hz(&self) -> f64 {
        self.sink.map_or(48_000.0, |s| f64::from(s.rate_hz))
    }

    /// The next frames of the current stream, at the ratio that keeps the delay.
    fn play(&mut self, out: &mut [f32], now_s: f64, heard_s: f64, elapsed_s: f64) {
        let Some(stream) = &self.current else { return out.fill(0.0) };
        let delay_s = heard_s - stream.clock().time_of(stream.position());
        if stream.ticks_s() == 0.0 {
            self.target.no_ticks(now_s);
        }
        let guest_hz = f64::from(stream.format().rate_hz());
        if self.gap.late_frames > 0 && !self.gap.told && stream.has_late() {
            // What was late is there: the place is set for the next time while this one is still hidden.
            self.gap.told = true;
            let short_s = self.gap.late_frames as f64 / guest_hz;
            self.target.gap(now_s, delay_s - self.wanted(stream).sum_s() + short_s);
        }
        let Some(stream) = &self.current else { return out.fill(0.0) };
        let moved_s = self.step(now_s, delay_s - self.wanted(stream).sum_s(), guest_hz);
        let Some(stream) = &self.current else { return };
        let (delay_s, wanted) = (delay_s - moved_s, self.wanted(stream));
        let wanted_s = wanted.sum_s();
        let error_s = delay_s - wanted_s;
        let growth = if self.bit_perfect { 0.0 } else { self.target.glide(elapsed_s) };
        let ratio = if self.bit_perfect { 1.0 } else { self.drift.update(error_s, growth, elapsed_s) };
        let Some(stream) = &mut self.current else { return };
        let rendered = stream.render(out, ratio, false);
        let (last_s, silent, ended) = (stream.last_arrival_s(), stream.is_silent(), stream.has_ended());

        let counters = &self.counters.playout;
        counters.frames_late.add(rendered.late);
        counters.delay.record(delay_s);
        counters.delay_us.set((delay_s * 1e6) as i64);
        counters.aim(&wanted);
        counters.drift_ppb.set((self.drift.learned_ppm() * 1e3) as i64);
        self.told.delay_ns = (delay_s * 1e9) as u64;
        self.told.target_ns = (wanted_s * 1e9) as u64;
        self.told.ratio_ppb = (self.drift.ppm() * 1e3) as i64;
        self.told.missing = rendered.missing as u32;

        self.note_gap(&rendered, now_s, guest_hz, error_s);
        if silent && (ended || now_s - last_s > SILENT_AFTER_S) {
            self.stop_playing();
            if ended {
                self.promote();
            }
        } else if let Some(next) = &self.next {
            let position = self.wanted_position(next, heard_s);
            let due = next.clock().is_primed() && next.first_frame().is_some_and(|first| position >= first as f64);
            if due {
                self.phase = Phase::Leaving;
            }
        }
    }

    /// Moves the place in the sound if that is due; returns by how much it moved, in seconds.
    fn step(&mut self, now_s: f64, error_s: f64, guest_hz: f64) -> f64 {
        let Some(stream) = &mut self.current else { return 0.0 };
        let (before, most) = ((SILENCE_S * guest_hz) as u64, (0.1 * guest_hz) as usize);
        // A gap that has only just ended is still heard.
        let in_gap = self.gap.frames > 0 || now_s - self.gap_ended_s < JUST_NOW_S;
        // Where silence could be used, what moves the wanted delay need not wait either.
        let wish_s = error_s - self.target.to_go_s();
        let silence = if wish_s.abs() > 0.001 { stream.quiet_ahead(before, most) } else { 0 };
        let silence_s = silence as f64 / guest_hz;
        let error_s = if silence > 0 { wish_s } else { error_s };
        let lost = self.gap.frames > self.gap.late_frames;
        let situation = Situation { error_s, in_gap, lost, silence_s, bit_perfect: self.bit_perfect };
        let (moved_s, counter) = match self.steer.step(now_s, situation) {
            Step::None => return 0.0,
            Step::Trim(s) => {
                stream.trim((s * guest_hz) as i64);
                self.target.arrive();
                (s, &self.counters.playout.trims)
            }
            Step::Splice(s) => {
                let moved = stream.move_by(s * guest_hz, SLACK_S * guest_hz);
                (moved / guest_hz, &self.counters.playout.moves)
            }
        };
        counter.inc();
        self.told_move = (moved_s * guest_hz) as i64;
        self.drift.moved();
        moved_s
    }

    /// Counts a gap when it is over, and draws conclusions. `error_s`: by how much the delay was longer than wanted.
    fn note_gap(&mut self, rendered: &Rendered, now_s: f64, guest_hz: f64, error_s: f64) {
        self.gap.frames += rendered.missing;
        self.gap.late_frames += rendered.missing - rendered.lost;
        if self.gap.frames > 0 {
            self.gap.thrown += rendered.late;
        }
        if rendered.missing > 0 || self.gap.frames == 0 {
            return;
        }
        // It was a gap, since sound follows it; otherwise it was an end.
        let counters = &self.counters.playout;
        counters.frames_made_up.add(self.gap.frames);
        if now_s - self.gap_ended_s > ONE_GAP_S {
            counters.gaps.inc();
        }
        self.gap_ended_s = now_s;
        // What never came was lost, and no delay would have helped.
        if self.gap.late_frames > 0 && self.gap.thrown > 0 && !self.gap.told {
            self.target.gap(now_s, error_s + self.gap.late_frames as f64 / guest_hz);
        }
        self.gap = Gap::default();
    }

    fn stop_playing(&mut self) {
        self.phase = Phase::Idle;
        self.settled = false;
        self.gap = Gap::default();
        self.counters.playout.delay_us.set(0);
    }

    fn leave(&mut self, out: &mut [f32]) {
        let Some(stream) = &mut self.current else {
            self.phase = Phase::Idle;
            return out.fill(0.0);
        };
        stream.render(out, 1.0 + self.drift.ppm() * 1e-6, true);
        if stream.is_silent() {
            self.stop_playing();
            self.promote();
        }
    }
}

impl Source for Playout {
    fn open(&mut self, format: SinkFormat) {
        if self.sink != Some(format) {
            for stream in [self.current.take(), self.next.take()].into_iter().flatten() {
                self.hand.give_back(stream);
            }
            self.sink_cell.set(format);
            self.ending.change_rate(self.sink.map(|s| s.rate_hz), format.rate_hz);
        }
        self.sink = Some(format);
        self.sink_clock = SinkClock::new(format.rate_hz);
        self.sink_age_s = 0.0;
        self.target.forget_sink();
        self.stop_playing();
    }

    fn fill(&mut self, out: &mut [f32], now: HostTime, sink_delay: Duration) -> Filled {
        let Some(format) = self.sink else {
            out.fill(0.0);
            return Filled { frames: out.len(), sounding: false };
        };
        let channels = format.layout.channels();
        let (whole, rest) = out.split_at_mut(out.len() / channels * channels);
        rest.fill(0.0);
        let frames = whole.len() / channels;
        let elapsed_s = frames as f64 / f64::from(format.rate_hz);
        let now_s = self.seconds(now);
        let delay_s = sink_delay.as_secs_f64();
        let (heard_s, _) = self.sink_clock.advance(now_s + delay_s, frames);
        self.target.sink(now_s, heard_s - now_s + elapsed_s);
        if self.sink_age_s == 0.0 {
            self.tell(now, What::Sink { rate_hz: format.rate_hz, channels: channels as u8 });
        }
        self.sink_age_s += elapsed_s;
        self.take_streams(now);
        self.observe();
        if self.phase == Phase::Idle && !self.try_start(now_s, heard_s, frames) {
            whole.fill(0.0);
        }
        let sounding = self.phase != Phase::Idle;
        self.told = timing::Fill {
            frames: frames as u32,
            sink_delay_ns: sink_delay.as_nanos() as u64,
            phase: self.phase,
            ..timing::Fill::default()
        };
        match self.phase {
            Phase::Idle => {}
            Phase::Playing => self.play(whole, now_s, heard_s, elapsed_s),
            Phase::Leaving => self.leave(whole),
        }
        if self.told_move != 0 {
            let frames = core::mem::take(&mut self.told_move);
            self.tell(now, What::Move { frames });
        }
        self.tell(now, What::Fill(self.told));
        Filled { frames: self.ending.apply(whole, format, sounding), sounding }
    }

    fn keep_up(&mut self, now: HostTime) -> bool {
        self.take_streams(now);
        self.observe();
        let now_s = self.seconds(now);
        if self.phase != Phase::Idle {
            self.stop_playing();
        }
        if self.current.as_ref().is_some_and(|s| s.has_ended()) {
            self.promote();
        }
        let Playout { current, next, target, .. } = self;
        let mut playing = false;
        for stream in [current, next].into_iter().flatten() {
            let held_s = target.delay_s(0.0, stream.filter_s()).max(0.1);
            let position = stream.clock().frame_at(now_s - held_s);
            stream.skip_before(position.max(0.0) as u64);
            playing |= now_s - stream.last_arrival_s() < SILENT_AFTER_S;
        }
        playing
    }

    fn stumbled(&mut self, now: HostTime) {
        if let Some(format) = self.sink {
            self.sink_clock = SinkClock::new(format.rate_hz);
        }
        self.steer.start(self.seconds(now));
    }

    fn finish(&mut self) {
        self.ending.finish(self.sink.map_or(48_000, |s| s.rate_hz));
    }

    fn alarm(&self) -> Option<Arc<Alarm>> {
        self.hand.alarm()
    }

    fn guest_bits(&self) -> Option<u8> {
        self.current.as_ref().map(|s| s.format().bits().bits())
    }
}
