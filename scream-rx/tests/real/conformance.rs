//! What every sink owes its source, checked for each of them in the same way.

use crate::rig::{PulseRig, alone};
use core::time::Duration;
use rx_host::signals::Stop;
use scream_rx::channels::{Layout, MAX_CHANNELS};
use scream_rx::counters::Counters;
use scream_rx::outputs::FILE_FORMAT;
use scream_rx::sink::paced::RealTime;
use scream_rx::sink::{Control, Filled, Notice, Sink, SinkFormat, Source, null, raw, wav};
use shm_proto::HostTime;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

/// What a sink did to its source.
#[derive(Debug, Default)]
struct Seen {
    opened: Vec<SinkFormat>,
    frames: u64,
    last: HostTime,
    longest_delay: Duration,
    finished: bool,
    ended: bool,
    broken: Vec<String>,
}

/// A source that gives so many frames, looks at how it is asked, and can ask for a stop in the middle.
struct Probe {
    seen: Arc<Mutex<Seen>>,
    frames: u64,
    stop_after: Option<(u64, Stop)>,
}

impl Source for Probe {
    fn open(&mut self, format: SinkFormat) {
        self.seen.lock().unwrap().opened.push(format);
    }

    fn fill(&mut self, out: &mut [f32], now: HostTime, sink_delay: Duration) -> Filled {
        let mut seen = self.seen.lock().unwrap();
        let Some(format) = seen.opened.last().copied() else {
            seen.broken.push("asked before it was opened".into());
            return Filled { frames: 0, sounding: false };
        };
        let channels = format.layout.channels();
        if out.is_empty() || !out.len().is_multiple_of(channels) {
            seen.broken.push(format!("{} samples for {channels} channels", out.len()));
        }
        if now < seen.last {
            seen.broken.push("time ran backwards".into());
        }
        if seen.ended {
            seen.broken.push("asked after the end".into());
        }
        let frames = (out.len() / channels).min(usize::try_from(self.frames).unwrap());
        for (i, x) in out.iter_mut().enumerate() {
            *x = if i < frames * channels { 0.25 } else { 0.0 };
        }
        self.frames -= frames as u64;
        seen.ended = frames * channels < out.len();
        seen.frames += frames as u64;
        seen.last = now;
        seen.longest_delay = seen.longest_delay.max(sink_delay);
        if let Some((after, stop)) = &self.stop_after
            && seen.frames > *after
        {
            stop.request();
        }
        Filled { frames, sounding: true }
    }

    fn keep_up(&mut self, _now: HostTime) -> bool {
        false
    }

    fn finish(&mut self) {
        let mut seen = self.seen.lock().unwrap();
        if !core::mem::replace(&mut seen.finished, true) {
            self.frames = self.frames.min(240);
        }
    }

    fn guest_bits(&self) -> Option<u8> {
        Some(16)
    }
}

/// Runs a sink on a probe; `None` for `stop_after` lets the source end by itself.
fn run(name: &str, sink: &mut dyn Sink, frames: u64, stop_after: Option<u64>) -> (Seen, Vec<Notice>, Arc<Counters>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let stop = Stop::new().unwrap();
    let probe = Probe { seen: Arc::clone(&seen), frames, stop_after: stop_after.map(|n| (n, stop.clone())) };
    let counters = Arc::<Counters>::default();
    let (notices, told) = mpsc::channel();
    let control = Control { stop, counters: Arc::clone(&counters), notices };
    sink.run(Box::new(probe), &control).unwrap_or_else(|e| panic!("{name}: {e}"));
    drop(control);
    (Arc::try_unwrap(seen).unwrap().into_inner().unwrap(), told.iter().collect(), counters)
}

/// The suite. `make` opens the sink anew.
pub fn check(name: &str, make: &mut dyn FnMut() -> Box<dyn Sink>) {
    const FRAMES: u64 = 48_000 / 4;
    let (seen, notices, counters) = run(name, &mut *make(), FRAMES, None);
    assert!(seen.broken.is_empty(), "{name}: {:?}", seen.broken);
    let format = seen.opened[0];
    assert!((8_000..=192_000).contains(&format.rate_hz), "{name}: {format}");
    assert!((1..=MAX_CHANNELS).contains(&format.layout.channels()), "{name}: {format}");
    assert_eq!(seen.frames, FRAMES, "{name}: everything is taken");
    assert_eq!(counters.sink.frames.get(), FRAMES, "{name}: and counted");
    assert!(seen.ended, "{name}: until the end is told");
    assert!(seen.longest_delay < Duration::from_secs(2), "{name}: {:?}", seen.longest_delay);
    assert!(!seen.finished, "{name}: nobody asked for a stop");
    let opens = notices.iter().filter(|n| matches!(n, Notice::Open { .. })).count();
    assert!(opens == 1, "{name}: says what it plays on: {notices:?}");

    // A stop in the middle: the source is told, and gets to say its last words.
    let (seen, _, _) = run(name, &mut *make(), u64::from(u32::MAX), Some(4_800));
    assert!(seen.finished, "{name}: the source is told to finish");
    assert!(seen.broken.is_empty(), "{name}: {seen:?}");
    assert!(seen.frames < 48_000, "{name}: and it ends soon, {} frames", seen.frames);
}

#[test]
fn sinks_without_a_device_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (wav_path, raw_path) = (folder.path().join("out.wav"), folder.path().join("out.raw"));
    check("null", &mut || Box::new(null::NullSink { format: FILE_FORMAT, pacer: Box::new(RealTime) }));
    let odd = SinkFormat { rate_hz: 44_100, layout: Layout::alsa(6) };
    check("null, odd", &mut || Box::new(null::NullSink { format: odd, pacer: Box::new(RealTime) }));
    check("wav", &mut || Box::new(wav::WavSink::open(&wav_path, FILE_FORMAT, None, Box::new(RealTime)).unwrap()));
    let reader = hound::WavReader::open(&wav_path).unwrap();
    assert_eq!((reader.spec().bits_per_sample, reader.spec().channels), (16, 2));
    for float in [true, false] {
        check("raw", &mut || {
            Box::new(raw::RawSink::open(Some(&raw_path), FILE_FORMAT, float, Box::new(RealTime)).unwrap())
        });
    }
}

#[cfg(feature = "pulse")]
#[test]
fn the_sound_server_keeps_the_contract() {
    use scream_rx::sink::pulse::{self, PulseSink};
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    check("pulse", &mut || {
        Box::new(PulseSink {
            server: Some(rig.address()),
            device: None,
            name: "conformance".into(),
            buffer: Duration::from_millis(20),
            piece: Duration::from_millis(5),
            rest_after: pulse::REST_AFTER,
        })
    });
}

/// ALSA reads its configuration from the environment, which belongs to the whole process: so a process of its own.
#[cfg(feature = "alsa")]
const CHILD: &str = "SCREAM_RX_TEST_ALSA";

#[cfg(feature = "alsa")]
#[test]
fn alsa_keeps_the_contract() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("asound.conf");
    std::fs::write(
        &config,
        "pcm.!default { type plug slave { pcm { type null } format S16_LE rate 48000 channels 2 } }\n",
    )
    .unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "conformance::alsa_in_a_process_of_its_own"]);
    let done = child.env("ALSA_CONFIG_PATH", &config).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(feature = "alsa")]
#[test]
fn alsa_in_a_process_of_its_own() {
    use scream_rx::sink::device::{Api, DEFAULT, DeviceSink};
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    check("alsa", &mut || {
        Box::new(DeviceSink { api: Api::Alsa, name: DEFAULT.into(), piece: Duration::from_millis(5), patient: false })
    });
}
