//! What runs on the device's thread: the source is lent to it, fills what is asked for, and comes back when the stream ends.

use super::{MAX_FRAMES, Told};
use crate::sink::{Control, SinkFormat, Source};
use core::time::Duration;
use cpal::traits::DeviceTrait;
use cpal::{ErrorKind, OutputCallbackInfo, SizedSample, StreamConfig};
use rx_host::clock;
use shm_proto::HostTime;
use std::sync::mpsc::SyncSender;

/// A device that swallows more than this ahead of the clock has no clock of its own (a file, say), and gets ours.
const MAX_AHEAD: Duration = Duration::from_millis(500);

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
    started: Option<HostTime>,
    played: u64,
    ended: bool,
}

impl Feeder {
    /// Opens `source` for a device that plays `format`; a feeder that is dropped sends it back.
    pub(super) fn new(
        mut source: Box<dyn Source>,
        give_back: SyncSender<Box<dyn Source>>,
        format: SinkFormat,
        control: Control,
        tell: SyncSender<Told>,
    ) -> Feeder {
        source.open(format);
        let lent = Lent { source: Some(source), give_back };
        Feeder { lent, format, control, tell, started: None, played: 0, ended: false }
    }

    fn fill(&mut self, frames: &mut [f32], delay: Duration) {
        let now = self.keep_pace();
        let channels = self.format.layout.channels();
        let Some(source) = self.lent.source.as_mut().filter(|_| !self.ended) else { return frames.fill(0.0) };
        if self.control.stop.is_requested() {
            source.finish();
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
    }

    /// Waits if the device runs ahead of the clock, which none with a clock of its own does.
    fn keep_pace(&mut self) -> HostTime {
        let now = clock::now();
        let started = *self.started.get_or_insert(now);
        let played = Duration::from_secs_f64(self.played as f64 / f64::from(self.format.rate_hz.max(1)));
        let ahead = played.saturating_sub(now.since(started));
        if ahead > MAX_AHEAD {
            let _ = clock::sleep_until(now + (ahead - MAX_AHEAD));
        }
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
    let error = move |e: cpal::Error| match e.kind() {
        ErrorKind::Xrun => control.counters.sink.underflows.inc(),
        // The last is what alsa-lib's plug-ins make of a server that has gone.
        ErrorKind::DeviceNotAvailable
        | ErrorKind::StreamInvalidated
        | ErrorKind::HostUnavailable
        | ErrorKind::BackendError => {
            let _ = tell.try_send(Told::Lost(e.to_string()));
        }
        _ => control.counters.sink.disturbances.inc(),
    };
    device.build_output_stream(config, data, error, None)
}
