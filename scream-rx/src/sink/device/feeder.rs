//! What runs on the device's thread: the source is lent to it, fills what is asked for, and comes back when the stream ends.

use super::{MAX_FRAMES, Told};
use crate::sink::{Control, SinkFormat, Source};
use core::time::Duration;
use cpal::traits::DeviceTrait;
use cpal::{ErrorKind, OutputCallbackInfo, SizedSample, StreamConfig};
use rx_host::clock;
use shm_proto::HostTime;
use std::sync::mpsc::SyncSender;

/// A device that swallows more than this ahead of our clock, so soon after its start, has no clock of its own (a file, say),
/// and gets ours. Later only a card is so far ahead: one whose clock is 20 ppm faster is after seven hours.
const MAX_AHEAD: Duration = Duration::from_millis(500);
const JUDGED_FOR: Duration = Duration::from_secs(10);

/// Gives a device without a clock ours. Pure.
#[derive(Debug, Default)]
struct Pace {
    started: Option<HostTime>,
    has_none: bool,
}

impl Pace {
    /// How long to wait at `now`, before the piece that follows what was `played` so far.
    fn wait(&mut self, now: HostTime, played: Duration) -> Duration {
        let since = now.since(*self.started.get_or_insert(now));
        let ahead = played.saturating_sub(since).saturating_sub(MAX_AHEAD);
        self.has_none |= ahead > Duration::ZERO && since < JUDGED_FOR;
        if self.has_none { ahead } else { Duration::ZERO }
    }
}

/// A device that fails for so long without asking for sound has gone. alsa-lib's plug-in for a sound server fails for a
/// millisecond whenever it ran empty.
const FAILS_FOR: Duration = Duration::from_millis(100);
/// And that often: between two failures of a device that is well again at once, this thread may be held up.
const LEAST_FAILURES: u32 = 10;
/// Between two attempts of a device that fails: its library makes the next one at once.
const BREATH: Duration = Duration::from_micros(500);

/// Since when a device fails. Pure.
#[derive(Debug)]
struct Failing {
    since: HostTime,
    /// What had been asked for by then.
    frames: Option<u64>,
    failures: u32,
}

impl Failing {
    const fn new() -> Failing {
        Failing { since: HostTime::ZERO, frames: None, failures: 0 }
    }

    /// It failed at `now`, and has asked for `frames` so far: whether it has gone.
    fn is_lost(&mut self, now: HostTime, frames: u64) -> bool {
        if self.frames.replace(frames) != Some(frames) {
            (self.since, self.failures) = (now, 0);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures >= LEAST_FAILURES && now.since(self.since) >= FAILS_FOR
    }
}

/// The source, while the device's thread has it. Comes back when that drops it.
struct Lent {
    source: Option<Box<dyn Source>>,
    give_back: SyncSender<Box<dyn Source>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            let _ = self.give_back.try_send(source);
        }
    }
}

/// What runs on the device's thread.
pub(super) struct Feeder {
    lent: Lent,
    format: SinkFormat,
    control: Control,
    tell: SyncSender<Told>,
    pace: Pace,
    played: u64,
    ended: bool,
    /// How often the device had run empty when it was last looked at.
    underflows: u64,
    /// When it is told that nothing sounds, and since when that is so.
    rest_after: Duration,
    quiet_since: Option<HostTime>,
}

impl Feeder {
    /// Opens `source` for a device that plays `format`; a feeder that is dropped sends it back.
    pub(super) fn new(
        mut source: Box<dyn Source>,
        give_back: SyncSender<Box<dyn Source>>,
        format: SinkFormat,
        control: Control,
        tell: SyncSender<Told>,
        rest_after: Duration,
    ) -> Feeder {
        source.open(format);
        let lent = Lent { source: Some(source), give_back };
        let underflows = control.counters.sink.underflows.get();
        let (pace, played, ended, quiet_since) = (Pace::default(), 0, false, None);
        Feeder { lent, format, control, tell, pace, played, ended, underflows, rest_after, quiet_since }
    }

    fn fill(&mut self, frames: &mut [f32], delay: Duration) {
        let now = self.keep_pace();
        let channels = self.format.layout.channels();
        let Some(source) = self.lent.source.as_mut().filter(|_| !self.ended) else { return frames.fill(0.0) };
        if self.control.stop.is_requested() {
            source.finish();
        }
        let underflows = self.control.counters.sink.underflows.get();
        if core::mem::replace(&mut self.underflows, underflows) != underflows {
            source.stumbled(now);
        }
        let filled = source.fill(frames, now, delay);
        if let Some(beyond) = frames.get_mut(filled.frames * channels..) {
            beyond.fill(0.0);
        }
        self.played += (frames.len() / channels) as u64;
        self.control.counters.sink.frames.add(filled.frames as u64);
        if filled.frames * channels < frames.len() {
            self.ended = true;
            let _ = self.tell.try_send(Told::Ended);
        }
        self.note_quiet(now, filled.sounding);
    }

    fn note_quiet(&mut self, now: HostTime, sounding: bool) {
        if sounding {
            self.quiet_since = None;
        } else if now.since(*self.quiet_since.get_or_insert(now)) > self.rest_after {
            // Not again before as much time: whoever is told takes the source away.
            self.quiet_since = Some(now);
            let _ = self.tell.try_send(Told::Quiet);
        }
    }

    /// Waits if the device has no clock and runs ahead of ours. The time after that.
    fn keep_pace(&mut self) -> HostTime {
        let now = clock::now();
        let played = Duration::from_secs_f64(self.played as f64 / f64::from(self.format.rate_hz.max(1)));
        let wait = self.pace.wait(now, played);
        if wait.is_zero() {
            return now;
        }
        let _ = clock::sleep_until(now + wait);
        clock::now()
    }
}

pub(super) fn build<T: SizedSample + Send + 'static>(
    device: &cpal::Device,
    config: StreamConfig,
    mut feeder: Feeder,
    convert: fn(f32) -> T,
) -> Result<cpal::Stream, cpal::Error> {
    let channels = usize::from(config.channels);
    let mut block = vec![0.0; MAX_FRAMES * channels];
    let (tell, control) = (feeder.tell.clone(), feeder.control.clone());
    let data = move |out: &mut [T], info: &OutputCallbackInfo| {
        let at = info.timestamp();
        let mut delay = at.playback.saturating_duration_since(at.callback);
        for out in out.chunks_mut(MAX_FRAMES * channels) {
            let Some(frames) = block.get_mut(..out.len()) else { return };
            feeder.fill(frames, delay);
            out.iter_mut().zip(frames.iter()).for_each(|(o, x)| *o = convert(*x));
            delay += Duration::from_secs_f64(out.len() as f64 / channels as f64 / f64::from(feeder.format.rate_hz));
        }
    };
    let mut failing = Failing::new();
    let error = move |e: cpal::Error| match e.kind() {
        ErrorKind::Xrun => control.counters.sink.underflows.inc(),
        // What alsa-lib's plug-ins make of a server that has gone; and of one that has not.
        ErrorKind::BackendError if !failing.is_lost(clock::now(), control.counters.sink.frames.get()) => {
            control.counters.sink.disturbances.inc();
            let _ = clock::sleep_until(clock::now() + BREATH);
        }
        ErrorKind::BackendError => {
            let _ = tell.try_send(Told::Lost(e.to_string()));
            let _ = clock::sleep_until(clock::now() + BREATH);
        }
        // On a thread of libjack's, perhaps: not a moment longer than needed (see `Api::leaves_in`).
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            let _ = tell.try_send(Told::Lost(e.to_string()));
        }
        _ => control.counters.sink.disturbances.inc(),
    };
    device.build_output_stream(config, data, error, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Duration = Duration::from_micros(3_750);

    /// The longest wait for a device that takes a piece each `PIECE`, `ppm` faster than our clock, for `seconds`.
    fn longest_wait(ppm: f64, seconds: u64) -> Duration {
        let (start, mut pace) = (HostTime::from_ns(1_000_000_000), Pace::default());
        let pieces = seconds * 1_000_000 / PIECE.as_micros() as u64;
        let every = PIECE.div_f64(1.0 + ppm * 1e-6).as_nanos() as u64;
        let wait = |n: u64| pace.wait(start + Duration::from_nanos(every * n), Duration::from_nanos(3_750_000 * n));
        (0..pieces).map(wait).max().unwrap_or_default()
    }

    #[test]
    fn a_card_whose_clock_is_faster_is_never_held_up_however_long_it_plays() {
        for ppm in [-1000.0, 0.0, 20.0, 100.0, 1000.0] {
            assert_eq!(longest_wait(ppm, 10 * 3600), Duration::ZERO, "{ppm} ppm");
        }
    }

    #[test]
    fn a_device_has_gone_that_fails_on_and_on_and_not_one_that_plays_in_between() {
        let (mut failing, ms) = (Failing::new(), |ms: u64| HostTime::from_ns(1_000_000 * ms));
        // Two or three failures, each time it ran empty; once this thread was held up in between.
        for (at, frames) in [(50, 0), (51, 0), (52, 0), (900, 480), (901, 480), (2000, 720), (2300, 720)] {
            assert!(!failing.is_lost(ms(at), frames), "{at} ms");
        }
        assert!((5000..5100).all(|at| !failing.is_lost(ms(at), 960)));
        assert!(failing.is_lost(ms(5100), 960));
    }

    #[test]
    fn a_device_without_a_clock_gets_ours_from_the_first_moment_on() {
        let mut pace = Pace::default();
        let (start, mut now, mut played) = (HostTime::from_ns(7), HostTime::from_ns(7), Duration::ZERO);
        for _ in 0..100_000 {
            // It takes everything at once.
            now = now + pace.wait(now, played);
            played += PIECE;
            assert!(played.saturating_sub(now.since(start)) <= MAX_AHEAD + PIECE);
        }
        assert!(now.since(start) > Duration::from_secs(370));
    }
}
