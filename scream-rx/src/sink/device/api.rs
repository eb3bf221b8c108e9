//! Which devices there are, by which of the system's ways, and what each plays by itself.

use super::MAX_FRAMES;
use crate::channels::{Layout, MAX_CHANNELS};
use crate::sink::{REST_AFTER, SinkFormat};
use core::fmt;
use core::time::Duration;
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, HostId, SampleFormat, StreamConfig};

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

    /// The size of a period to ask for. JACK's is its server's, which nobody else may choose; PipeWire's are powers of two.
    pub(super) fn period(self, frames: u32) -> BufferSize {
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

/// A device that can play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name for `-d`.
    pub name: String,
    /// Its name for people.
    pub description: String,
}

/// Keeps what alsa-lib itself says of this thread's calls from the user's terminal: what matters of it is in the errors.
pub(super) fn hush() {
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

pub(super) fn format_of(config: &StreamConfig) -> SinkFormat {
    SinkFormat { rate_hz: config.sample_rate, layout: Layout::alsa(usize::from(config.channels)) }
}

/// The device, and what it plays by itself.
pub(super) fn find(api: Api, name: &str) -> Result<(cpal::Device, StreamConfig, SampleFormat), String> {
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
