//! A sink without a device: asks for a period whenever a clock says so. What becomes of the frames is the taker's. The delay
//! that is told ends where they are written, and where a reader leaves them lying, behind what lies before them.

use super::follow::Follow;
use super::{Control, SinkError, SinkFormat, Source};
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;

/// Frames are asked for in pieces of this length.
const PERIOD: Duration = Duration::from_millis(10);

/// A clock to pace by: the real one, or a simulated one that drives a simulated guest.
pub trait Pacer {
    /// Now.
    fn now(&self) -> HostTime;

    /// Waits until `at`.
    fn wait_until(&mut self, at: HostTime);

    /// Whether it runs as the clock of whoever reads what is written.
    fn is_real(&self) -> bool {
        true
    }
}

/// The host's clock.
#[derive(Clone, Copy, Debug)]
pub struct RealTime;

impl Pacer for RealTime {
    fn now(&self) -> HostTime {
        clock::now()
    }

    fn wait_until(&mut self, at: HostTime) {
        // Periods are short: a stop is heeded soon enough after each.
        let _ = clock::sleep_until(at);
    }
}

/// How lateness of the thread is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Frames are heard so much later than they are asked for.
    pub(super) ahead: Duration,
    /// Whoever is later than this is counted.
    pub(super) late: Duration,
    /// Whoever is later than this starts anew: the machine slept, or nobody took anything.
    pub(super) lost: Duration,
}

impl Manner {
    /// Of a file: nobody hears when it is written.
    pub(super) const FILE: Manner =
        Manner { ahead: Duration::ZERO, late: Duration::from_millis(100), lost: Duration::from_secs(1) };
    /// Of what somebody reads at once.
    pub(super) const READ: Manner =
        Manner { ahead: Duration::ZERO, late: Duration::from_millis(10), lost: Duration::from_millis(50) };
}

/// What becomes of the frames.
pub(super) trait Taker {
    /// How much of what was written before still waits to be read.
    fn left(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Takes frames, whether they sound, and what the guest's samples have in bits.
    fn write(&mut self, frames: &[f32], sounding: bool, guest_bits: Option<u8>) -> Result<Going, SinkError>;
}

impl<F: FnMut(&[f32], bool, Option<u8>) -> Result<Going, SinkError>> Taker for F {
    fn write(&mut self, frames: &[f32], sounding: bool, guest_bits: Option<u8>) -> Result<Going, SinkError> {
        self(frames, sounding, guest_bits)
    }
}

/// Asks `source` for a period every ten milliseconds and gives it to `taker`. Ends when the source does, or the taker is
/// done.
///
/// # Errors
/// Those of the taker.
pub(super) fn run(
    source: &mut dyn Source,
    format: SinkFormat,
    manner: Manner,
    pacer: &mut dyn Pacer,
    control: &Control,
    taker: &mut dyn Taker,
) -> Result<(), SinkError> {
    let channels = format.layout.channels();
    let frames = u64::from(format.rate_hz) * PERIOD.as_millis() as u64 / 1000;
    let mut block = vec![0.0; frames as usize * channels];
    let counters = &control.counters.sink;
    let mut follow = Follow::new();
    source.open(format);
    let (mut start, mut asked) = (pacer.now(), 0u64);
    loop {
        let due = start + frames_to_duration(asked, format.rate_hz);
        pacer.wait_until(due);
        if control.stop.is_requested() {
            source.finish();
        }
        let now = pacer.now();
        if now.since(due) > manner.lost {
            (start, asked) = (now, 0);
            counters.disturbances.inc();
            continue;
        }
        if now.since(due) > manner.late {
            counters.late.inc();
        }
        let left = if pacer.is_real() { taker.left() } else { Duration::ZERO };
        let (between, put_off) = follow.look(now, left, PERIOD);
        // The sound goes on as if it had been asked for in time: whoever reads it reads it in one piece.
        let filled = source.fill(&mut block, due, manner.ahead + between);
        (start, asked) = (start + put_off, asked + frames);
        counters.frames.add(filled.frames as u64);
        let played = block.get(..filled.frames * channels).unwrap_or_default();
        let going = taker.write(played, filled.sounding, source.guest_bits())?;
        if filled.frames < frames as usize || going == Going::Done {
            return Ok(());
        }
    }
}

/// Whether more frames are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// Yes.
    On,
    /// Nobody wants more.
    Done,
}

fn frames_to_duration(frames: u64, rate_hz: u32) -> Duration {
    let rate = u64::from(rate_hz.max(1));
    Duration::from_secs(frames / rate) + Duration::from_nanos(frames % rate * 1_000_000_000 / rate)
}
