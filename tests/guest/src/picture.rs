//! `rx-guest picture`: a guest with a capture program that shows a moving test picture and a cursor.

use crate::place::{Place, seconds};
use crate::simulate::Simulator;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use shm_proto::guest_sim::lies::{LIES, Lie};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::{FrameFlags, PictureSpec, PixelType, Rotation, Version};
use shm_proto::{HostTime, Region};
use std::str::FromStr;
use std::time::Duration;

/// Options of the picture.
#[derive(Debug, Args)]
pub struct PictureTask {
    /// Where and for how long.
    #[command(flatten)]
    pub place: Place,
    /// Columns, rows, and pictures per second (0: as fast as viewers take them)
    #[arg(long, value_name = "WxH@HZ", default_value = "1280x720@60")]
    mode: Mode,
    /// How a pixel lies in memory
    #[arg(long, value_enum, default_value_t = Format::Bgra)]
    format: Format,
    /// Bytes from row to row [default: as a stock capture program pads it]
    #[arg(long, value_name = "BYTES")]
    pitch: Option<u32>,
    /// Which versions of the protocols are spoken
    #[arg(long, value_enum, default_value_t = Speaks::B7)]
    speaks: Speaks,
    /// Exchange the program every so many seconds, each time for one that speaks the next versions
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "restart_every")]
    next_version_every: Option<Duration>,
    /// How the picture lies in memory: turn it clockwise by so many degrees to see it upright
    #[arg(long, value_enum, default_value_t = Turn::None)]
    turned: Turn,
    /// Size of the guest's desktop, if the guest scales its picture [default: that of the picture]
    #[arg(long, value_name = "WxH")]
    desktop: Option<Mode>,
    /// High dynamic range (with rgba10 or rgba16f)
    #[arg(long, value_enum, default_value_t = Hdr::Usual)]
    hdr: Hdr,
    /// How bright SDR white is, in cd/m2 (LGMP 12) [default: 203]
    #[arg(long, value_name = "NITS")]
    sdr_white: Option<u32>,
    /// What moves
    #[arg(long, value_enum, default_value_t = Moving::Bar)]
    motion: Moving,
    /// The shape of the cursor
    #[arg(long, value_enum, default_value_t = Cursor::Color)]
    cursor: Cursor,
    /// How long the guest takes to write one picture, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    write_time: Duration,
    /// Begin a new session every so many seconds, as a capture program that crashes
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    restart_every: Option<Duration>,
    /// Tell a lie, by name ("list" shows the names), or all of them one after the other ("all")
    #[arg(long, value_name = "NAME")]
    lie: Option<String>,
}

/// Size and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    width: u32,
    height: u32,
    rate_hz: u32,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let (size, rate) = text.split_once('@').unwrap_or((text, "60"));
        let parse = |part: &str| part.parse::<u32>().ok();
        let mode = size
            .split_once('x')
            .and_then(|(w, h)| Some(Mode { width: parse(w)?, height: parse(h)?, rate_hz: parse(rate)? }));
        // Larger ones would have no room in any region; smaller ones are no picture.
        mode.filter(|m| (1..=16_384).contains(&m.width) && (1..=16_384).contains(&m.height))
            .ok_or_else(|| format!("'{text}' is not a mode such as 1280x720@60 (at most 16384x16384)"))
    }
}

/// How a pixel lies in memory.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Bytes blue, green, red, alpha
    Bgra,
    /// Bytes red, green, blue, alpha
    Rgba,
    /// Ten bits for each colour
    Rgba10,
    /// Half floats
    #[value(name = "rgba16f")]
    Rgba16F,
    /// Bytes blue, green, red, packed in words
    Bgr32,
    /// Bytes red, green, blue
    Rgb24,
}

/// Versions of the protocols.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Speaks {
    /// LGMP 5 with KVMFR 19: release B6
    B6,
    /// LGMP 6 with KVMFR 20: release B7
    B7,
    /// LGMP 7 with KVMFR 20
    Lgmp7,
    /// LGMP 10 with KVMFR 20
    Lgmp10,
    /// LGMP 12 with KVMFR 34
    Lgmp12,
}

impl Speaks {
    fn version(self) -> Version {
        match self {
            Speaks::B6 => Version::B6,
            Speaks::B7 => Version::B7,
            Speaks::Lgmp7 => Version::Lgmp7,
            Speaks::Lgmp10 => Version::Lgmp10,
            Speaks::Lgmp12 => Version::Lgmp12,
        }
    }
}

/// How a picture lies in memory.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Turn {
    /// Upright
    #[value(name = "0")]
    None,
    /// By 90 degrees
    #[value(name = "90")]
    Quarter,
    /// By 180 degrees
    #[value(name = "180")]
    Half,
    /// By 270 degrees
    #[value(name = "270")]
    ThreeQuarters,
}

/// What the flags say about high dynamic range.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Hdr {
    /// As usual: half floats are, the others are not
    Usual,
    /// None
    None,
    /// Light, 1 being SDR white
    Linear,
    /// PQ with BT.2020 primaries
    Pq,
}

/// What moves.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Moving {
    /// Nothing: one picture
    Still,
    /// A bar, the frame's number and its time
    Bar,
    /// Everything, sideways
    Scroll,
}

/// The cursor's shape.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cursor {
    /// No cursor
    None,
    /// A colour arrow with soft edges
    Color,
    /// A cross that inverts what is below
    Mono,
    /// A masked square
    Masked,
    /// One after the other
    Cycle,
}

/// How long each of "all" lies is told.
const LIE_FOR: Duration = Duration::from_millis(250);

/// The running guest.
#[derive(Debug)]
pub struct Picture {
    guest: PictureGuest,
    name: String,
    restart: Option<(Duration, HostTime)>,
    /// Whether the next session speaks the next versions.
    goes_on: bool,
    /// Lies still to be told, and when the next one begins.
    lies: Option<(std::iter::Cycle<std::slice::Iter<'static, Lie>>, HostTime)>,
}

impl PictureTask {
    /// Maps the file and begins a session.
    pub fn open(&self, now: HostTime) -> anyhow::Result<Picture> {
        let config = self.config();
        // With room for every version that will follow.
        let each = Version::ALL.iter().map(|version| config.clone().speaking(*version).region_bytes());
        let most = each.max().unwrap_or(0);
        let needed = if self.next_version_every.is_some() { most } else { config.region_bytes() };
        let region = self.place.open(needed)?;
        let mut guest = start(&region, config, now)?;
        let lies = match self.lie.as_deref() {
            None => None,
            Some("all") => Some((LIES.iter().cycle(), now)),
            Some(name) => {
                let Some(lie) = Lie::by_name(name) else {
                    let names: Vec<_> = LIES.iter().map(|lie| lie.name).collect();
                    bail!("there is no lie '{name}'; there are: {}", names.join(" "));
                };
                guest.lie(Some(lie), now).context("cannot lie")?;
                None
            }
        };
        let goes_on = self.next_version_every.is_some();
        let restart = self.restart_every.or(self.next_version_every).map(|every| (every, now + every));
        Ok(Picture { guest, name: self.place.name(), restart, goes_on, lies })
    }

    fn config(&self) -> PictureConfig {
        let Mode { width, height, rate_hz } = self.mode;
        let pixel_type = match self.format {
            Format::Bgra => PixelType::Bgra,
            Format::Rgba => PixelType::Rgba,
            Format::Rgba10 => PixelType::Rgba10,
            Format::Rgba16F => PixelType::Rgba16F,
            Format::Bgr32 => PixelType::Bgr32,
            Format::Rgb24 => PixelType::Rgb24,
        };
        let mut config = PictureConfig::new(width, height);
        config.spec = PictureSpec::new(pixel_type, width, height);
        config.producer.version = self.speaks.version();
        config.spec.rotation = match self.turned {
            Turn::None => Rotation::None,
            Turn::Quarter => Rotation::Quarter,
            Turn::Half => Rotation::Half,
            Turn::ThreeQuarters => Rotation::ThreeQuarters,
        };
        if let Some(Mode { width, height, .. }) = self.desktop {
            config.spec.screen = (width, height);
        } else if matches!(self.turned, Turn::Quarter | Turn::ThreeQuarters) {
            config.spec.screen = (height, width);
        }
        config.spec.flags = match self.hdr {
            Hdr::Usual => config.spec.flags,
            Hdr::None => 0,
            Hdr::Linear => FrameFlags::HDR,
            Hdr::Pq => FrameFlags::HDR | FrameFlags::HDR_PQ,
        };
        config.spec.sdr_white = self.sdr_white.unwrap_or(0);
        if let Some(pitch) = self.pitch {
            config.spec.pitch_bytes = pitch.max(config.spec.row_bytes());
        }
        config.rate_hz = rate_hz;
        config.write_time = self.write_time;
        config.publish = Publish::Steps;
        config.motion = match self.motion {
            Moving::Still => Motion::Still,
            Moving::Bar => Motion::Bar,
            Moving::Scroll => Motion::Scroll,
        };
        config.pointer = match self.cursor {
            Cursor::None => PointerMode::Hidden,
            Cursor::Color => PointerMode::Color,
            Cursor::Mono => PointerMode::Monochrome,
            Cursor::Masked => PointerMode::Masked,
            Cursor::Cycle => PointerMode::Cycle,
        };
        config
    }
}

fn start(region: &Region, config: PictureConfig, now: HostTime) -> anyhow::Result<PictureGuest> {
    let needed = config.region_bytes();
    PictureGuest::start(region, config, now)
        .with_context(|| format!("cannot show this picture in {} bytes; {needed} are enough", region.len()))
}

impl Simulator for Picture {
    fn describe(&self) -> String {
        let config = self.guest.config();
        let (spec, rate_hz) = (&config.spec, config.rate_hz);
        let version = config.producer.version.name();
        let (width, height, pixels) = (spec.width, spec.height, spec.pixel_type);
        format!("picture {width}x{height} {pixels:?}, {rate_hz} Hz, {version}, in {}", self.name)
    }

    fn due(&self, now: HostTime) -> Option<HostTime> {
        let lie = self.lies.as_ref().map(|(_, at)| *at);
        [lie, self.restart.map(|(_, at)| at), Some(self.guest.next_due(now))].into_iter().flatten().min()
    }

    fn act(&mut self, now: HostTime) -> anyhow::Result<()> {
        if let Some((every, at)) = self.restart
            && now >= at
        {
            let version = self.guest.config().producer.version;
            let next = Version::ALL.iter().cycle().skip_while(|v| **v != version).nth(1).copied();
            let next = next.filter(|_| self.goes_on).unwrap_or(version);
            self.guest.restart_as(next, now)?;
            self.restart = Some((every, at + every));
        }
        if let Some((lies, at)) = &mut self.lies
            && now >= *at
        {
            // What a lie has spoiled stays so until the next session.
            self.guest.restart(now)?;
            self.guest.lie(lies.next(), now)?;
            *at = *at + LIE_FOR;
        }
        Ok(self.guest.advance(now)?)
    }

    /// Nothing: a capture program that ends leaves everything as it is.
    fn finish(&mut self, _now: HostTime) -> anyhow::Result<()> {
        Ok(())
    }

    fn summary(&self) -> String {
        let (frames, restarts) = (self.guest.frames_begun(), self.guest.restarts());
        let counters = self.guest.counters();
        format!(
            "picture: {frames} frames, {restarts} restarts, {} cursor messages; had to wait {} times",
            counters.cursor_messages, counters.stalls
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_sizes_and_rates() {
        let mode = |width, height, rate_hz| Some(Mode { width, height, rate_hz });
        for (text, expected) in [
            ("1280x720@60", mode(1280, 720, 60)),
            ("64x48", mode(64, 48, 60)),
            ("64x48@0", mode(64, 48, 0)),
            ("0x48@60", None),
            ("64x48@", None),
            ("64@60", None),
            ("99999x2", None),
        ] {
            assert_eq!(text.parse::<Mode>().ok(), expected, "{text}");
        }
    }
}
