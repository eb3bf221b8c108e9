//! Where the sound goes. A sink is dumb: it opens its device in the device's own format, says so, and then asks a
//! [`Source`] for frames whenever the device wants some, telling how much sound lies before them. All decisions are the
//! source's. Each sink is one file; names of sound libraries stay inside it.

use crate::channels::Layout;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use shm_proto::HostTime;

/// What a sink plays: float frames at its own rate, in its own order of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkFormat {
    /// Frames per second.
    pub rate_hz: u32,
    /// Its channels.
    pub layout: Layout,
}

impl fmt::Display for SinkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz, {}", self.rate_hz, self.layout)
    }
}

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Frames that count, from the start of the buffer. Fewer than the buffer holds: this is the end of the sound, and
    /// the sink plays these and stops.
    pub frames: usize,
    /// Whether anything can be heard in them.
    pub sounding: bool,
}

/// Where a sink gets its frames from. Called on the playout thread, or the thread of the device.
pub trait Source: Send {
    /// The sink is open and plays this from now on. Called before the first fill, and again whenever the device changes.
    fn open(&mut self, format: SinkFormat);

    /// Fills `out` with interleaved frames, all of it, with silence where there is nothing. `now` is when the sink asks;
    /// the first of the frames will be heard `sink_delay` later.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    fn fill(&mut self, out: &mut [f32], now: HostTime, sink_delay: Duration) -> Filled;

    /// The sink has no device and plays nothing. To be called a few times a second meanwhile, so that no backlog grows.
    fn keep_up(&mut self, now: HostTime);
}

/// The format of the open sink, for the intake thread: one word, zero while no sink was open.
#[derive(Debug, Default)]
pub struct SinkCell(AtomicU64);

/// Bits of the rate below those of the layout.
const RATE_BITS: u32 = 20;

impl SinkCell {
    /// Tells the format.
    ///
    /// Real-time safe.
    pub fn set(&self, format: SinkFormat) {
        let rate = u64::from(format.rate_hz).min((1 << RATE_BITS) - 1);
        // Relaxed: the word is all there is to hand over.
        self.0.store(format.layout.pack() << RATE_BITS | rate, Ordering::Relaxed);
    }

    /// The format that was told last.
    pub fn get(&self) -> Option<SinkFormat> {
        let word = self.0.load(Ordering::Relaxed);
        let rate_hz = u32::try_from(word & ((1 << RATE_BITS) - 1)).ok()?;
        Some(SinkFormat { rate_hz, layout: Layout::unpack(word >> RATE_BITS)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_crosses_in_one_word() {
        let cell = SinkCell::default();
        assert_eq!(cell.get(), None);
        for rate_hz in [8_000, 44_100, 768_000] {
            for channels in 1..=8 {
                let format = SinkFormat { rate_hz, layout: Layout::alsa(channels) };
                cell.set(format);
                assert_eq!(cell.get(), Some(format));
            }
        }
    }
}
