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
    stop_asked: Option<HostTime>,
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
            seen.stop_asked.get_or_insert(now);
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

/// Opens a sink anew.
type Make<'a> = &'a mut dyn FnMut() -> Box<dyn Sink>;

/// More sound than this before the ear is no delay to play games with; those with small buffers stay far below.
const SANE_DELAY: Duration = Duration::from_millis(600);
/// A stop takes a fade and what the device holds, on a machine that may be busy.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// Once it runs, a sink asks for no memory on the thread that feeds it: three times the sound costs not one allocation more.
/// A busy machine may make a server stand still, which is told to the user and so costs some: three attempts.
fn asks_for_no_memory(name: &str, make: Make<'_>) {
    let mut count = |frames| {
        let mut sink = make();
        allocation_counter::measure(|| drop(run(name, &mut *sink, frames, None))).count_total
    };
    let seen: Vec<(u64, u64)> = (0..3).map(|_| (count(12_000), count(36_000))).take_while(|(a, b)| a < b).collect();
    println!("{name}: allocations of a short run and a long one, where the long one had more: {seen:?}");
    assert!(seen.len() < 3, "{name}: {seen:?}");
}

/// The suite. `make` opens the sink anew.
pub fn check(name: &str, make: Make<'_>) {
    const FRAMES: u64 = 48_000 / 4;
    let (seen, notices, counters) = run(name, &mut *make(), FRAMES, None);
    assert!(seen.broken.is_empty(), "{name}: {:?}", seen.broken);
    let format = seen.opened[0];
    assert!((8_000..=192_000).contains(&format.rate_hz), "{name}: {format}");
    assert!((1..=MAX_CHANNELS).contains(&format.layout.channels()), "{name}: {format}");
    assert_eq!(seen.frames, FRAMES, "{name}: everything is taken");
    assert_eq!(counters.sink.frames.get(), FRAMES, "{name}: and counted");
    assert!(seen.ended, "{name}: until the end is told");
    assert!(seen.longest_delay < SANE_DELAY, "{name}: {:?}", seen.longest_delay);
    assert!(!seen.finished, "{name}: nobody asked for a stop");
    let opens = notices.iter().filter(|n| matches!(n, Notice::Open { .. })).count();
    assert!(opens == 1, "{name}: says what it plays on: {notices:?}");

    // A stop in the middle: the source is told, and gets to say its last words.
    let (seen, _, _) = run(name, &mut *make(), u64::from(u32::MAX), Some(4_800));
    assert!(seen.finished, "{name}: the source is told to finish");
    assert!(seen.broken.is_empty(), "{name}: {seen:?}");
    assert!(seen.frames < 48_000, "{name}: and it ends soon, {} frames", seen.frames);
    let took = seen.stop_asked.map(|at| rx_host::clock::now().since(at));
    assert!(took.is_some_and(|t| t < STOP_BOUND), "{name}: {took:?} after the stop");
}

#[test]
fn sinks_without_a_device_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (wav_path, raw_path) = (folder.path().join("out.wav"), folder.path().join("out.raw"));
    let null: Make<'_> = &mut || Box::new(null::NullSink { format: FILE_FORMAT, pacer: Box::new(RealTime) });
    check("null", null);
    asks_for_no_memory("null", null);
    let odd = SinkFormat { rate_hz: 44_100, layout: Layout::alsa(6) };
    check("null, odd", &mut || Box::new(null::NullSink { format: odd, pacer: Box::new(RealTime) }));
    let wav: Make<'_> = &mut || Box::new(wav::WavSink::open(&wav_path, FILE_FORMAT, None, Box::new(RealTime)).unwrap());
    check("wav", wav);
    asks_for_no_memory("wav", wav);
    let reader = hound::WavReader::open(&wav_path).unwrap();
    assert_eq!((reader.spec().bits_per_sample, reader.spec().channels), (16, 2));
    for float in [true, false] {
        let raw: Make<'_> =
            &mut || Box::new(raw::RawSink::open(Some(&raw_path), FILE_FORMAT, float, Box::new(RealTime)).unwrap());
        check("raw", raw);
        asks_for_no_memory("raw", raw);
    }
}

#[cfg(feature = "pulse")]
#[test]
fn the_sound_server_keeps_the_contract() {
    use scream_rx::sink::pulse::PulseSink;
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    let pulse: Make<'_> = &mut || {
        Box::new(PulseSink {
            server: Some(rig.address()),
            device: None,
            name: "conformance".into(),
            buffer: Duration::from_millis(20),
            rest_after: scream_rx::sink::REST_AFTER,
        })
    };
    check("pulse", pulse);
    asks_for_no_memory("pulse", pulse);
}

/// ALSA reads its configuration from the environment, which belongs to the whole process: so a process of its own.
#[cfg(feature = "alsa")]
const CHILD: &str = "SCREAM_RX_TEST_ALSA";

#[cfg(feature = "alsa")]
fn alsa_with(configuration: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("asound.conf");
    std::fs::write(&config, configuration).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "conformance::alsa_in_a_process_of_its_own"]);
    let done = child.env("ALSA_CONFIG_PATH", &config).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(feature = "alsa")]
#[test]
fn alsa_keeps_the_contract_even_without_a_clock() {
    let _alone = alone();
    alsa_with("pcm.!default { type plug slave { pcm { type null } format S16_LE rate 48000 channels 2 } }\n");
}

/// alsa-lib's settings for a device that is a sound server: with a clock, back-pressure and a true delay.
#[cfg(all(feature = "alsa", feature = "pulse"))]
pub(crate) fn through_pulse(rig: &PulseRig) -> Option<String> {
    let plugin = "libasound_module_pcm_pulse.so";
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let there = places.iter().any(|p| std::path::Path::new(p).join("alsa-lib").join(plugin).exists());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "alsa-lib has no {plugin}");
    if !there {
        println!("skipped: alsa-lib has no {plugin}");
    }
    there.then(|| format!("pcm.!default {{ type pulse server \"{}\" }}\n", rig.address()))
}

#[cfg(all(feature = "alsa", feature = "pulse"))]
#[test]
fn alsa_keeps_the_contract_with_a_clock() {
    let _alone = alone();
    let Some(rig) = PulseRig::start() else { return };
    if let Some(configuration) = through_pulse(&rig) {
        alsa_with(&configuration);
    }
}

#[cfg(feature = "alsa")]
#[test]
fn alsa_in_a_process_of_its_own() {
    use scream_rx::sink::device::{Api, DEFAULT, DeviceSink};
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    check("alsa", &mut || {
        Box::new(DeviceSink {
            api: Api::Alsa,
            name: DEFAULT.into(),
            piece: Duration::from_millis(5),
            patient: false,
            rest_after: Api::Alsa.rest_after(),
        })
    });
}
