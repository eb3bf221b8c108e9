//! The virtual sink: when it asks for how much, what it says of its delay, and when each frame is really heard. Pure.

use super::dice::Dice;

/// How a sink asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asks {
    /// A device with two periods of so many frames, each asked for as soon as one was played; half-normal 0.1 ms late.
    Periods(u32),
    /// PulseAudio with a buffer of so many milliseconds: a third at a time, up to 1 ms late, with a delay that is
    /// measured each 100 ms to half a millisecond.
    Server(u32),
}

/// A sink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SinkModel {
    /// How it asks.
    pub asks: Asks,
    /// Its rate by its own word. Unit: hertz.
    pub rate_hz: u32,
    /// How its clock errs. Unit: parts per million.
    pub ppm: f64,
}

impl SinkModel {
    /// 256 frames at 48 kHz.
    pub const CALLBACK: SinkModel = SinkModel { asks: Asks::Periods(256), rate_hz: 48_000, ppm: 0.0 };
    /// PulseAudio with 20 ms.
    pub const PULSE: SinkModel = SinkModel { asks: Asks::Server(20), ..SinkModel::CALLBACK };
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// When it comes. Unit: seconds.
    pub now_s: f64,
    /// What the sink says: so long from now until the first frame is heard. Unit: seconds.
    pub delay_s: f64,
    /// When it really is. Unit: seconds.
    pub heard_s: f64,
    /// How many frames.
    pub frames: u32,
}

/// The running sink.
#[derive(Debug)]
pub struct Sink {
    model: SinkModel,
    dice: Dice,
    opened_s: f64,
    asked: u64,
    last_s: f64,
    /// What the sink errs by, and until when.
    error: (f64, f64),
}

impl Sink {
    /// A sink that opens at `now_s`.
    pub fn new(model: SinkModel, seed: u64, now_s: f64) -> Sink {
        Sink { model, dice: Dice::new(seed), opened_s: now_s, asked: 0, last_s: now_s, error: (0.0, 0.0) }
    }

    fn period(&self) -> (u32, u32) {
        match self.model.asks {
            Asks::Periods(frames) => (frames, 2 * frames),
            Asks::Server(ms) => (ms * self.model.rate_hz / 3000, ms * self.model.rate_hz / 1000),
        }
    }

    /// The next request.
    pub fn ask(&mut self) -> Request {
        let (frames, buffer) = self.period();
        let rate = f64::from(self.model.rate_hz) * (1.0 + self.model.ppm * 1e-6);
        let due_s = self.opened_s + self.asked as f64 / rate;
        // One period of the buffer has just been played; the new one goes behind the rest.
        let heard_s = due_s + f64::from(buffer - frames) / rate;
        let (late_s, error_s) = match self.model.asks {
            Asks::Periods(_) => (self.dice.normal().abs() * 0.000_1, 0.0),
            Asks::Server(_) => {
                if due_s >= self.error.1 {
                    self.error = ((2.0 * self.dice.uniform() - 1.0) * 0.000_5, due_s + 0.1);
                }
                (self.dice.uniform() * 0.001, self.error.0)
            }
        };
        let now_s = (due_s + late_s).max(self.last_s);
        self.last_s = now_s;
        self.asked += u64::from(frames);
        Request { now_s, delay_s: (heard_s - now_s + error_s).max(0.0), heard_s, frames }
    }
}
