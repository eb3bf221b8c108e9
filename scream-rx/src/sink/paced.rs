//! A sink without a device: asks for a period whenever a clock says so. What becomes of the frames is the caller's.

use super::{Control, SinkError, SinkFormat, Source};
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;

/// Frames are asked for in pieces of this length.
const PERIOD: Duration = Duration::from_millis(10);
/// Whoever is this late starts anew: the machine slept.
const LOST: Duration = Duration::from_secs(1);

/// A clock to pace by: the real one, or a simulated one that drives a simulated guest.
pub trait Pacer {
    /// Now.
    fn now(&self) -> HostTime;

    /// Waits until `at`.
    fn wait_until(&mut self, at: HostTime);

    /// How far ahead frames must be asked for so that lateness does no harm, if `usual` is enough in real time. A clock that
    /// is never late needs nothing.
    fn ahead(&self, usual: Duration) -> Duration {
        usual
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

/// Takes frames, whether they sound, and what the guest's samples have in bits.
pub type Write<'a> = &'a mut dyn FnMut(&[f32], bool, Option<u8>) -> Result<Going, SinkError>;

/// Asks `source` for a period every ten milliseconds and gives it to `write`, as if it were heard `ahead` later: so late the
/// thread may be without harm. Ends when the source does, or `write` is done.
///
/// # Errors
/// Those of `write`.
pub fn run(
    source: &mut dyn Source,
    format: SinkFormat,
    ahead: Duration,
    pacer: &mut dyn Pacer,
    control: &Control,
    write: Write<'_>,
) -> Result<(), SinkError> {
    let ahead = pacer.ahead(ahead);
    let channels = format.layout.channels();
    let frames = u64::from(format.rate_hz) * PERIOD.as_millis() as u64 / 1000;
    let mut block = vec![0.0; frames as usize * channels];
    let counters = &control.counters.sink;
    source.open(format);
    let (mut start, mut asked) = (pacer.now(), 0u64);
    loop {
        let due = start + frames_to_duration(asked, format.rate_hz);
        pacer.wait_until(due);
        if control.stop.is_requested() {
            source.finish();
        }
        let now = pacer.now();
        if now.since(due) > LOST {
            (start, asked) = (now, 0);
            counters.disturbances.inc();
            continue;
        }
        if now.since(due) > ahead {
            counters.late.inc();
        }
        let filled = source.fill(&mut block, now, (due + ahead).since(now));
        asked += frames;
        counters.frames.add(filled.frames as u64);
        let played = block.get(..filled.frames * channels).unwrap_or_default();
        let going = write(played, filled.sounding, source.guest_bits())?;
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
