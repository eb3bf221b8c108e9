//! A simulated guest, the receiver's intake and engine, and a sink whose clock is ours, all in virtual time.
//!
//! The delay is measured from outside: the guest plays a triangle whose value tells the place, so each frame that comes
//! out says when the guest played it, and the virtual sink knows when it is heard.

use core::time::Duration;
use scream_rx::channels::Layout;
use scream_rx::counters::Counters;
use scream_rx::ending::Length;
use scream_rx::intake::{Intake, State, Transport};
use scream_rx::playout::{self, Playout};
use scream_rx::sink::{SinkFormat, Source};
use scream_rx::target::Wishes;
use shm_proto::guest_sim::sound::{SimError, SoundGuest, SoundGuestBuilder};
use shm_proto::guest_sim::tone::{TRIANGLE_PEAK, TRIANGLE_SECONDS, Tone};
use shm_proto::scream::Format;
use shm_proto::{HostTime, Region};
use std::sync::{Arc, LazyLock};

pub const START: HostTime = HostTime::from_ns(1_000_000_000);

/// A sink that asks for `period` frames whenever so many of its `buffer` frames have been heard.
#[derive(Clone, Copy)]
pub struct VirtualSink {
    pub format: SinkFormat,
    pub period: usize,
    pub buffer: usize,
    pub ppm: f64,
    /// How much too long or too short its delay is told, at random. Unit: seconds.
    pub noise_s: f64,
}

impl VirtualSink {
    pub fn new(rate_hz: u32) -> VirtualSink {
        let format = SinkFormat { rate_hz, layout: Layout::STEREO };
        VirtualSink { format, period: rate_hz as usize / 200, buffer: rate_hz as usize / 50, ppm: 0.0, noise_s: 0.0 }
    }

    /// When frame `frame` is heard.
    pub fn heard_s(&self, frame: u64) -> f64 {
        (frame + self.buffer as u64) as f64 / f64::from(self.format.rate_hz) / (1.0 + self.ppm * 1e-6)
    }

    /// When frame `frame` is asked for: a buffer before it is heard.
    pub fn asked_s(&self, frame: u64) -> f64 {
        frame as f64 / f64::from(self.format.rate_hz) / (1.0 + self.ppm * 1e-6)
    }
}

pub struct Run {
    pub guest: SoundGuest,
    /// Kept, so that the intake still has an owner to hear of.
    _regions: rtrb::Producer<Region>,
    pub states: rtrb::Consumer<State>,
    pub intake: Intake,
    pub engine: Playout,
    pub sink: VirtualSink,
    pub counters: Arc<Counters>,
    intake_due: HostTime,
    pub asked: u64,
    dice: u64,
}

pub fn at(seconds: f64) -> HostTime {
    START + Duration::from_secs_f64(seconds)
}

impl Run {
    pub fn new(guest: SoundGuestBuilder, sink: VirtualSink, wishes: Wishes) -> Run {
        let guest = guest.build().unwrap();
        let counters = Arc::<Counters>::default();
        let (mut engine, streams) = playout::engine(START, wishes, Length::Endless, Arc::clone(&counters));
        let (mut regions, regions_out) = rtrb::RingBuffer::new(4);
        let (states_in, states) = rtrb::RingBuffer::new(64);
        regions.push(guest.region().clone()).unwrap();
        let intake = Intake::new(regions_out, streams, Arc::clone(&counters), states_in, START);
        engine.open(sink.format);
        Run { guest, _regions: regions, states, intake, engine, sink, counters, intake_due: START, asked: 0, dice: 1 }
    }

    pub fn random(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as f64 / (1u64 << 31) as f64
    }

    /// A guest that lied so much that it cannot write any more is told so, and goes on.
    fn guest_acts(&mut self, now: HostTime) {
        match self.guest.advance(now) {
            Ok(_) | Err(SimError::Write(_)) => {}
            Err(e) => panic!("{e}"),
        }
    }

    /// Lets the guest and the intake do all that they do until `until`.
    pub fn advance(&mut self, until: HostTime) {
        loop {
            let guest_due = self.guest.next_due().unwrap_or(HostTime::from_ns(u64::MAX));
            let next = guest_due.min(self.intake_due);
            if next > until {
                return;
            }
            if guest_due <= self.intake_due {
                self.guest_acts(guest_due);
            } else {
                // A wake-up is a little late, and now and then more.
                let late = self.random();
                let late_us = if self.random() < 0.01 { 2000.0 } else { 80.0 * late };
                let now = self.intake_due + Duration::from_secs_f64(late_us * 1e-6);
                self.guest_acts(now);
                self.intake_due = self.intake.step(now);
            }
        }
    }

    /// Nothing is asked for until `now_s`.
    pub fn skip_to(&mut self, now_s: f64) {
        self.asked = (now_s * f64::from(self.sink.format.rate_hz)).ceil() as u64;
        self.intake_due = self.intake_due.max(at(now_s));
    }

    /// Asks for one more period; gives the number of its first frame, and its frames.
    pub fn pull(&mut self) -> (u64, Vec<f32>) {
        let first = self.asked;
        let now_s = self.sink.asked_s(first);
        self.advance(at(now_s));
        let noise_s = (self.random() - 0.5) * 2.0 * self.sink.noise_s;
        let delay_s = (self.sink.heard_s(first) - now_s + noise_s).max(0.0);
        let mut out = vec![9.0; self.sink.period * self.sink.format.layout.channels()];
        self.engine.fill(&mut out, at(now_s), Duration::from_secs_f64(delay_s));
        self.asked += self.sink.period as u64;
        (first, out)
    }

    /// Runs for `seconds`; gives the left and right channel.
    pub fn play(&mut self, seconds: f64) -> (Vec<f32>, Vec<f32>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let periods = (seconds * f64::from(self.sink.format.rate_hz)) as usize / self.sink.period;
        for _ in 0..periods {
            for frame in self.pull().1.chunks_exact(2) {
                left.push(frame[0]);
                right.push(frame[1]);
            }
        }
        (left, right)
    }

    /// Runs for `seconds` and measures the delay at each period: when it was heard, and the delay in seconds. `ppm` is
    /// the guest's drift.
    pub fn delays(&mut self, seconds: f64, ppm: f64) -> Vec<(f64, f64)> {
        let mut delays = Vec::new();
        while self.sink.asked_s(self.asked) < seconds {
            let (first, out) = self.pull();
            let heard_s = self.sink.heard_s(first);
            // The right channel is the triangle. Its rising and falling halves are told apart by the next frame.
            let (value, slope) = (f64::from(out[1]), out[2 * self.sink.period - 1] - out[1]);
            if value.abs() < 0.8 * TRIANGLE_PEAK && slope.abs() > 1e-6 {
                let guest_s = heard_s * (1.0 + ppm * 1e-6);
                delays.push((heard_s, delay_of(value, slope > 0.0, guest_s)));
            }
        }
        delays
    }
}

/// How long before `guest_s` (by the guest's clock) the triangle had this value.
fn delay_of(value: f64, rises: bool, guest_s: f64) -> f64 {
    let period = TRIANGLE_SECONDS as f64;
    let quarter = value / TRIANGLE_PEAK * period / 4.0;
    let place = if rises { quarter } else { period / 2.0 - quarter } + *PHASE_OF_ZERO;
    (guest_s - place).rem_euclid(period)
}

/// Where in its period the triangle rises through zero. Unit: seconds.
static PHASE_OF_ZERO: LazyLock<f64> = LazyLock::new(|| {
    let format = Format::new(48_000, 32, 2, 3).unwrap();
    let sample = |frame: u64| Tone::PositionCoded.sample(frame, 1, &format);
    let crossing = (0..TRIANGLE_SECONDS * 48_000).find(|f| sample(*f) <= 0.0 && sample(*f + 1) > 0.0).unwrap();
    crossing as f64 / 48_000.0
});

/// The least, the middle and the largest delay after `from_s`.
pub fn spread(delays: &[(f64, f64)], from_s: f64) -> (f64, f64, f64) {
    let mut late: Vec<f64> = delays.iter().filter(|d| d.0 > from_s).map(|d| d.1).collect();
    assert!(late.len() > 1000, "{} delays", late.len());
    late.sort_by(f64::total_cmp);
    (late[0], late[late.len() / 2], late[late.len() - 1])
}
