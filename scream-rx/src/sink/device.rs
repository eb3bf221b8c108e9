//! ALSA, and JACK and PipeWire where they are built in, through cpal: the device's thread asks for frames. A device or a
//! server that goes away (a headset that is pulled out, a jackd that ends) is waited for. The only file that names cpal.

use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, to_i16};
use crate::channels::{Layout, MAX_CHANNELS};
use core::fmt;
use core::time::Duration;
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, HostId, OutputCallbackInfo, SampleFormat, SizedSample, StreamConfig};
use rx_host::clock;
use shm_proto::HostTime;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};

/// The name of the device that plays if nothing else is said.
pub const DEFAULT: &str = "default";
/// Between two attempts to open a device that has gone.
const RETRY: Duration = Duration::from_millis(500);
/// How often the thread that waits for the device heeds a stop.
const TURN: Duration = Duration::from_millis(50);
/// How long a device may take to ask for the end of the sound.
const FAREWELL: Duration = Duration::from_millis(300);
/// The largest piece a device may ask for at once. Unit: frames.
const MAX_FRAMES: usize = 16_384;
/// A device that swallows more than this ahead of the clock has no clock of its own (a file, say), and gets ours.
const MAX_AHEAD: Duration = Duration::from_millis(500);

/// Through which of the system's ways a device is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The kernel's devices, and what alsa-lib's settings make of them.
    Alsa,
    /// A JACK server.
    #[cfg(feature = "jack")]
    Jack,
    /// PipeWire, natively.
    #[cfg(feature = "pipewire")]
    PipeWire,
}

impl Api {
    const fn id(self) -> HostId {
        match self {
            Api::Alsa => HostId::Alsa,
            #[cfg(feature = "jack")]
            Api::Jack => HostId::Jack,
            #[cfg(feature = "pipewire")]
            Api::PipeWire => HostId::PipeWire,
        }
    }

    /// The way itself. Asks its server, if it has one.
    fn host(self) -> Result<cpal::Host, String> {
        cpal::host_from_id(self.id()).map_err(|e| match self {
            Api::Alsa => e.to_string(),
            #[cfg(any(feature = "jack", feature = "pipewire"))]
            _ => self.nothing().to_owned(),
        })
    }

    /// What to say where there is no device at all.
    const fn nothing(self) -> &'static str {
        match self {
            Api::Alsa => "there is no such device",
            #[cfg(feature = "jack")]
            Api::Jack => "no JACK server answers",
            #[cfg(feature = "pipewire")]
            Api::PipeWire => "no PipeWire server answers",
        }
    }

    /// The size of a period to ask for. JACK's is its server's, which nobody else may choose; PipeWire's are powers of two.
    fn period(self, frames: u32) -> BufferSize {
        match self {
            Api::Alsa => BufferSize::Fixed(frames.clamp(16, MAX_FRAMES as u32)),
            #[cfg(feature = "jack")]
            Api::Jack => BufferSize::Default,
            #[cfg(feature = "pipewire")]
            Api::PipeWire => BufferSize::Fixed(frames.next_power_of_two().clamp(64, 1024)),
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Api::Alsa => "ALSA device",
            #[cfg(feature = "jack")]
            Api::Jack => "JACK",
            #[cfg(feature = "pipewire")]
            Api::PipeWire => "PipeWire node",
        })
    }
}

/// A device, by way of cpal.
#[derive(Clone, Debug)]
pub struct DeviceSink {
    /// How it is reached.
    pub api: Api,
    /// Its name there: `default`, `hw:0`, a node of PipeWire.
    pub name: String,
    /// In which pieces it asks for frames, if it can be asked to; it holds two.
    pub piece: Duration,
    /// A device that is not there yet is waited for, as one is that goes away.
    pub patient: bool,
}

/// A device that can play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name for `-d`.
    pub name: String,
    /// Its name for people.
    pub description: String,
}

/// Keeps what alsa-lib itself says of this thread's calls from the user's terminal: what matters of it is in the errors.
fn hush() {
    // Its buffer lives until the next call. Without it, the lines come as they did.
    let _ = alsa::Output::local_error_handler();
}

/// The devices that `api` lists for playing.
///
/// Blocks while the system looks, some seconds at most. For the main thread.
///
/// # Errors
/// What the system said.
pub fn devices(api: Api) -> Result<Vec<Listed>, String> {
    hush();
    let host = api.host()?;
    let list = host.output_devices().map_err(|e| e.to_string())?;
    let listed: Vec<Listed> = list.filter_map(|d| listed(api, &d)).collect();
    if listed.is_empty() && api != Api::Alsa { Err(api.nothing().into()) } else { Ok(listed) }
}

fn listed(api: Api, device: &cpal::Device) -> Option<Listed> {
    let name = device.id().ok()?.to_string();
    let name = name.split_once(':').map_or(name.as_str(), |(_, name)| name).to_owned();
    // Two more names for what the server plays on anyway.
    if api != Api::Alsa && name.ends_with("_default") {
        return Some(Listed { name: DEFAULT.into(), description: "what the server plays on".into() })
            .filter(|_| name == "output_default");
    }
    Some(Listed { description: device.description().map_or_else(|_| name.clone(), |x| x.to_string()), name })
}

/// Whether a device can be opened now.
///
/// # Errors
/// Why not, in words.
pub fn check(api: Api, name: &str) -> Result<SinkFormat, String> {
    hush();
    let (_, config, _) = find(api, name)?;
    Ok(format_of(&config))
}

fn format_of(config: &StreamConfig) -> SinkFormat {
    SinkFormat { rate_hz: config.sample_rate, layout: Layout::alsa(usize::from(config.channels)) }
}

/// The device, and what it plays by itself.
fn find(api: Api, name: &str) -> Result<(cpal::Device, StreamConfig, SampleFormat), String> {
    let host = api.host()?;
    let device = match (api, name) {
        (_, DEFAULT) => host.default_output_device().ok_or_else(|| api.nothing().to_owned())?,
        (Api::Alsa, name) => {
            let known = format!("alsa:{name}").parse().ok().and_then(|id| host.device_by_id(&id));
            known.ok_or_else(|| api.nothing().to_owned())?
        }
        #[cfg(any(feature = "jack", feature = "pipewire"))]
        (_, name) => named(api, &host, name)?,
    };
    let usual = device.default_output_config().map_err(|e| e.to_string())?;
    if !(1..=MAX_CHANNELS).contains(&usize::from(usual.channels())) {
        return Err(format!("it has {} channels, at most {MAX_CHANNELS} are supported", usual.channels()));
    }
    Ok((device, usual.config(), usual.sample_format()))
}

/// The device of a server that `name` means.
#[cfg(any(feature = "jack", feature = "pipewire"))]
fn named(api: Api, host: &cpal::Host, name: &str) -> Result<cpal::Device, String> {
    use super::names::{self, Called};
    let list = host.output_devices().map_err(|e| e.to_string())?;
    let (listed, mut devices): (Vec<_>, Vec<_>) = list.filter_map(|d| Some((listed(api, &d)?, d))).unzip();
    if listed.is_empty() {
        return Err(api.nothing().into());
    }
    let called: Vec<_> = listed.iter().map(|l| Called { name: &l.name, description: &l.description }).collect();
    let place = names::choose(name, &called).map_err(|near| format!("there is no such device; there is {near}"))?;
    Ok(devices.swap_remove(place))
}

/// What the device's thread tells.
enum Told {
    /// The device has gone.
    Lost(String),
    /// The sound is over.
    Ended,
}

impl Sink for DeviceSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let mut opened = false;
        let mut told = false;
        loop {
            let reason = match self.open(source, control) {
                Ok((stream, told_in, back)) => {
                    if core::mem::replace(&mut opened, true) {
                        control.counters.sink.reopened.inc();
                    }
                    told = false;
                    let reason = wait(&told_in, control);
                    // What the device holds is still to be heard.
                    if reason.is_none() {
                        let _ = clock::sleep_until(clock::now() + 2 * self.piece);
                    }
                    // Dropping the stream ends its thread, which gives the source back.
                    drop(stream);
                    source = back.recv().map_err(|_| self.error("its thread ended".into()))?;
                    reason
                }
                Err((Some(back), reason)) if opened || self.patient => {
                    source = back;
                    Some(reason)
                }
                // A device that could never be opened will not be there by itself.
                Err((_, reason)) => return Err(self.error(reason)),
            };
            let Some(reason) = reason else { return Ok(()) };
            if !core::mem::replace(&mut told, true) {
                control.tell(Notice::Absent { reason: format!("cannot play on {} {}: {reason}", self.api, self.name) });
            }
            let again = clock::now() + RETRY;
            while clock::now() < again {
                if control.stop.wait(TURN) {
                    return Ok(());
                }
                source.keep_up(clock::now());
            }
        }
    }
}

type Opened = (cpal::Stream, Receiver<Told>, Receiver<Box<dyn Source>>);

impl DeviceSink {
    fn error(&self, reason: String) -> SinkError {
        SinkError::Device { device: format!("{} {}", self.api, self.name), reason }
    }

    /// Opens the device and starts it with `source`; if it cannot, gives that back with the reason.
    fn open(&self, source: Box<dyn Source>, control: &Control) -> Result<Opened, (Option<Box<dyn Source>>, String)> {
        hush();
        let (device, mut config, sample) = match find(self.api, &self.name) {
            Ok(found) => found,
            Err(reason) => return Err((Some(source), reason)),
        };
        let format = format_of(&config);
        let frames = (self.piece.as_secs_f64() * f64::from(format.rate_hz)) as u32;
        config.buffer_size = self.api.period(frames);
        let (tell, told) = mpsc::sync_channel(8);
        let (give_back, back) = mpsc::sync_channel(1);
        let mut lent = Lent { source: Some(source), give_back };
        if let Some(source) = &mut lent.source {
            source.open(format);
        }
        let feeder = Feeder { lent, format, control: control.clone(), tell, started: None, played: 0, ended: false };
        let built = match sample {
            SampleFormat::I16 => build(&device, config, feeder, to_i16),
            SampleFormat::I32 => build(&device, config, feeder, to_i32),
            _ => build(&device, config, feeder, |x: f32| x),
        };
        // A feeder that was not used gives the source back when it is dropped.
        match built.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => {
                control.tell(Notice::Open { name: format!("{} {}", self.api, self.name), format });
                Ok((stream, told, back))
            }
            Err(e) => Err((back.recv().ok(), e.to_string())),
        }
    }
}

/// Waits until the device goes (the reason) or the sound is over (nothing). After a stop the sound is over soon; a device
/// that does not even ask for that is not waited for.
fn wait(told: &Receiver<Told>, control: &Control) -> Option<String> {
    let mut patience = FAREWELL;
    loop {
        match told.recv_timeout(TURN) {
            Ok(Told::Lost(reason)) => return Some(reason),
            Ok(Told::Ended) => return None,
            Err(RecvTimeoutError::Timeout) if !control.stop.is_requested() => {}
            Err(RecvTimeoutError::Timeout) if patience > Duration::ZERO => patience = patience.saturating_sub(TURN),
            Err(_) => return None,
        }
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
struct Feeder {
    lent: Lent,
    format: SinkFormat,
    control: Control,
    tell: SyncSender<Told>,
    started: Option<HostTime>,
    played: u64,
    ended: bool,
}

impl Feeder {
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

fn build<T: SizedSample + Send + 'static>(
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
        ErrorKind::DeviceChanged => control.counters.sink.disturbances.inc(),
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            let _ = tell.try_send(Told::Lost(e.to_string()));
        }
        _ => control.counters.sink.disturbances.inc(),
    };
    device.build_output_stream(config, data, error, None)
}

/// A float sample as a 32-bit integer.
fn to_i32(x: f32) -> i32 {
    // `as` saturates, and a NaN becomes 0.
    (f64::from(x) * 2_147_483_648.0).round() as i32
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.name, self.description)
    }
}
