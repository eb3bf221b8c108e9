//! Which devices there are, by which of the system's ways, and what each plays by itself.

use super::MAX_FRAMES;
use crate::channels::{Layout, MAX_CHANNELS};
use crate::sink::{REST_AFTER, SinkFormat};
use core::fmt;
use core::time::Duration;
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, HostId, SampleFormat, StreamConfig, SupportedBufferSize};
use std::cell::RefCell;
use std::rc::Rc;

/// The name of the device that plays if nothing else is said.
pub const DEFAULT: &str = "default";
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

    /// When a device on which nothing sounds is closed. A client of JACK is not: its user has connected it, perhaps by hand,
    /// and the server runs anyway.
    pub const fn rest_after(self) -> Duration {
        match self {
            Api::Alsa => REST_AFTER,
            #[cfg(feature = "jack")]
            Api::Jack => Duration::MAX,
            #[cfg(feature = "pipewire")]
            Api::PipeWire => REST_AFTER,
        }
    }

    /// How long the library's thread that told of the device's end gets to leave our code, before the stream is closed.
    /// libjack cancels its threads wherever they are then, and one that is cancelled in Rust ends the whole process ("exception
    /// not rethrown").
    pub(super) const fn leaves_in(self) -> Duration {
        match self {
            Api::Alsa => Duration::ZERO,
            #[cfg(feature = "jack")]
            Api::Jack => Duration::from_millis(20),
            #[cfg(feature = "pipewire")]
            Api::PipeWire => Duration::ZERO,
        }
    }

    /// The size of a period to ask a device for that takes those of `range`: alsa-lib's mixer has one size for all. JACK's is
    /// its server's, which nobody else may choose; PipeWire's are powers of two.
    pub(super) fn period(self, frames: u32, range: SupportedBufferSize) -> BufferSize {
        match self {
            Api::Alsa => {
                let (least, most) = match range {
                    SupportedBufferSize::Range { min, max } => (min, max),
                    SupportedBufferSize::Unknown => (0, u32::MAX),
                };
                BufferSize::Fixed(frames.clamp(16, MAX_FRAMES as u32).min(most).max(least))
            }
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

/// A device that can play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name for `-d`.
    pub name: String,
    /// Its name for people.
    pub description: String,
}

/// What alsa-lib itself says of this thread's calls, which it does not say on the user's terminal meanwhile.
#[derive(Debug)]
pub(super) struct Hushed(Option<Rc<RefCell<alsa::Output>>>);

/// Until the next call on this thread. Without a buffer, which is had unless memory is short, the lines come as they did.
pub(super) fn hush() -> Hushed {
    Hushed(alsa::Output::local_error_handler().ok())
}

impl Hushed {
    /// `reason`, and behind it what alsa-lib said first: its error numbers alone tell nobody that a group is missing.
    pub(super) fn with_words(&self, reason: String) -> String {
        let said = self.0.as_ref().map(|output| output.borrow().to_string()).unwrap_or_default();
        match first_words(&said) {
            Some(words) => format!("{reason} (alsa-lib: {words})"),
            None => reason,
        }
    }
}

/// The first line without the place in alsa-lib's source: `ALSA lib pcm.c:2721:(snd_pcm_open_noupdate) Unknown PCM x`.
fn first_words(said: &str) -> Option<&str> {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.split_once(") ").filter(|(place, _)| place.starts_with("ALSA lib ")).map_or(line, |(_, words)| words))
}

/// The devices that `api` lists for playing.
///
/// Blocks while the system looks, some seconds at most. For the main thread.
///
/// # Errors
/// What the system said.
pub fn devices(api: Api) -> Result<Vec<Listed>, String> {
    let _hushed = hush();
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
    let hushed = hush();
    let found = find(api, name).map_err(|reason| hushed.with_words(reason))?;
    Ok(format_of(&found.config))
}

pub(super) fn format_of(config: &StreamConfig) -> SinkFormat {
    SinkFormat { rate_hz: config.sample_rate, layout: Layout::alsa(usize::from(config.channels)) }
}

/// A device, and what it plays by itself.
pub(super) struct Found {
    pub(super) device: cpal::Device,
    pub(super) config: StreamConfig,
    pub(super) sample: SampleFormat,
    /// The sizes of a period that it takes. Unit: frames.
    pub(super) periods: SupportedBufferSize,
}

/// Finds the device of that name.
pub(super) fn find(api: Api, name: &str) -> Result<Found, String> {
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
    Ok(Found { device, config: usual.config(), sample: usual.sample_format(), periods: *usual.buffer_size() })
}

/// The device of a server that `name` means.
#[cfg(any(feature = "jack", feature = "pipewire"))]
fn named(api: Api, host: &cpal::Host, name: &str) -> Result<cpal::Device, String> {
    use crate::sink::names::{self, Called};
    let list = host.output_devices().map_err(|e| e.to_string())?;
    let (listed, mut devices): (Vec<_>, Vec<_>) = list.filter_map(|d| Some((listed(api, &d)?, d))).unzip();
    if listed.is_empty() {
        return Err(api.nothing().into());
    }
    let called: Vec<_> = listed.iter().map(|l| Called { name: &l.name, description: &l.description }).collect();
    let place = names::choose(name, &called).map_err(|near| format!("there is no such device; there is {near}"))?;
    Ok(devices.swap_remove(place))
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.name, self.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_as_wanted_or_as_near_as_the_device_takes() {
        let range = |min, max| SupportedBufferSize::Range { min, max };
        let cases = [
            (180, range(32, 8192), 180),
            (180, range(1024, 1024), 1024),
            (180, range(1, 96), 96),
            (4, range(1, 8192), 16),
            (180, SupportedBufferSize::Unknown, 180),
            (1 << 20, SupportedBufferSize::Unknown, MAX_FRAMES as u32),
        ];
        for (wanted, range, frames) in cases {
            assert_eq!(Api::Alsa.period(wanted, range), BufferSize::Fixed(frames), "{wanted} {range:?}");
        }
    }

    #[test]
    fn what_alsa_lib_said_first_is_told_without_its_source() {
        let said = "ALSA lib pcm_direct.c:2003:(snd1_pcm_direct_parse_open_conf) The field ipc_gid must be a valid group\n\
                    ALSA lib conf.c:5204:(snd_config_expand) Evaluate error: No such file or directory\n";
        assert_eq!(first_words(said), Some("The field ipc_gid must be a valid group"));
        assert_eq!(first_words("something (else) was said\n"), Some("something (else) was said"));
        assert_eq!(first_words("\n"), None);
    }
}
