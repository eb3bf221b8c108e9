//! `rx-guest sound`: a guest with a Scream driver that plays a test tone.

use crate::network::{Network, NetworkArgs};
use crate::place::{Place, seconds};
use crate::simulate::Simulator;
use anyhow::Context;
use clap::{Args, ValueEnum};
use shm_proto::HostTime;
use shm_proto::guest_sim::network::NetworkGuest;
use shm_proto::guest_sim::pacing::Pacing;
use shm_proto::guest_sim::sound::{Event, Lie, SoundGuest, usual_mask};
use shm_proto::guest_sim::tone::Tone;
use shm_proto::scream::Format;
use shm_proto::scream::writer::Field;
use std::time::Duration;

/// Length of the file if it is made here: what the driver's own documentation recommends.
const DEFAULT_BYTES: u64 = 2 << 20;

/// How often a lie is told again.
const LIE_EVERY: Duration = Duration::from_millis(500);

/// Options of the sound.
#[derive(Debug, Args)]
pub struct SoundTask {
    /// Where and for how long.
    #[command(flatten)]
    pub place: Place,
    /// Frames per second, in Hz
    #[arg(long, value_name = "HZ", default_value_t = 48_000)]
    rate: u32,
    /// Bits of a sample: 16, 24 or 32
    #[arg(long, value_name = "BITS", default_value_t = 16)]
    bits: u8,
    /// Channels, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 2)]
    channels: u8,
    /// The Windows speaker mask [default: the usual one for the channels]
    #[arg(long, value_name = "MASK")]
    mask: Option<u16>,
    /// What is played
    #[arg(long, value_enum, default_value_t = Signal::Sine)]
    signal: Signal,
    /// Frequency of the sine, in Hz
    #[arg(long, value_name = "HZ", default_value_t = 440.0)]
    tone: f64,
    /// Peak level, in dB relative to full scale
    #[arg(long, value_name = "DB", default_value_t = -6.0, allow_negative_numbers = true)]
    level: f64,
    /// How much faster than the host's the guest's clock runs, in parts per million
    #[arg(long, value_name = "PPM", default_value_t = 0.0, allow_negative_numbers = true)]
    ppm: f64,
    /// Distance of the guest's timer ticks, in ms (10, 15.625 or 1 on real ones)
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    tick: f64,
    /// Each chunk is late by a random time up to this, in ms
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    jitter: f64,
    /// Close the stream and open it again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    restart_every: Option<Duration>,
    /// Leave the header behind at the end, as a guest that crashed
    #[arg(long)]
    crash: bool,
    /// Tell a lie twice a second
    #[arg(long, value_enum, value_name = "NAME")]
    lie: Option<LieName>,
    /// How it is sent, if it is.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// What is played.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Signal {
    /// One sine in all channels
    Sine,
    /// A click in every second
    Clicks,
    /// A sine and a slow triangle, together telling the position
    Position,
    /// Another sine in each channel
    Channels,
    /// Nothing
    Silence,
}

/// A lie of the simulator, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LieName {
    /// A header of which half is stored
    TornHeader,
    /// Rubbish over the header
    Garbage,
    /// The header of some other program
    Magic,
    /// An index far beyond the ring
    Index,
    /// Chunks of four GiB
    ChunkSize,
    /// 255 channels
    Channels,
    /// Samples of 17 bits
    SampleSize,
    /// The header is wiped while a chunk is written
    Wipe,
    /// Rubbish over the newest chunk
    Scribble,
    /// One after the other
    All,
}

impl LieName {
    /// The `n`-th thing to do.
    fn at(self, n: u64) -> Lie {
        match self {
            LieName::TornHeader => Lie::TornHeader { stores: (n % 9) as u8 },
            LieName::Garbage => Lie::Garbage { seed: n },
            LieName::Magic => Lie::Header(Field::Magic, 0x1234_5678),
            LieName::Index => Lie::Index(u16::MAX),
            LieName::ChunkSize => Lie::Header(Field::ChunkSize, u32::MAX),
            LieName::Channels => Lie::Header(Field::Channels, u32::MAX),
            LieName::SampleSize => Lie::Header(Field::SampleSize, 17),
            LieName::Wipe => Lie::WipeDuringChunk,
            LieName::Scribble => Lie::Scribble,
            LieName::All => {
                let names = LieName::value_variants();
                let count = names.len() as u64 - 1;
                names[(n % count) as usize].at(n / count)
            }
        }
    }
}

/// The running guest.
#[derive(Debug)]
pub struct Sound {
    guest: SoundGuest,
    name: String,
    crash: bool,
    restart: Option<(Duration, HostTime)>,
    lie: Option<(LieName, HostTime)>,
    lies: u64,
}

impl SoundTask {
    /// Maps the file; the stream opens with the first call of [`Simulator::act`].
    pub fn open(&self, now: HostTime) -> anyhow::Result<Sound> {
        let region = self.place.open(DEFAULT_BYTES)?;
        let (pacing, tone) = (self.pacing()?, self.tone());
        let mut builder =
            SoundGuest::builder().rate_hz(self.rate).bits(self.bits).channels(self.channels).tone(tone).pacing(pacing);
        if let Some(mask) = self.mask {
            builder = builder.mask(mask);
        }
        let guest = builder.build_in(region).context("cannot play")?;
        Ok(Sound {
            guest,
            name: self.place.name(),
            crash: self.crash,
            restart: self.restart_every.map(|every| (every, now + every)),
            lie: self.lie.map(|lie| (lie, now + LIE_EVERY)),
            lies: 0,
        })
    }

    /// Opens the socket instead: FILE is an address.
    pub fn open_network(&self, now: HostTime) -> anyhow::Result<Network> {
        let mask = self.mask.unwrap_or_else(|| usual_mask(self.channels));
        let format = Format::new(self.rate, self.bits, self.channels, mask)?;
        let guest = NetworkGuest::new(format, self.tone(), self.pacing()?);
        self.network.open(&self.place.name(), guest, now)
    }

    fn pacing(&self) -> anyhow::Result<Pacing> {
        let ms = |value: f64| Duration::try_from_secs_f64(value / 1e3).context("a time that is too long or negative");
        Ok(Pacing { tick: ms(self.tick)?, lateness: ms(self.jitter)?, drift_ppm: self.ppm, ..Pacing::CALM })
    }

    fn tone(&self) -> Tone {
        match self.signal {
            Signal::Sine => Tone::Sine { frequency_hz: self.tone, level_dbfs: self.level },
            Signal::Clicks => Tone::Impulses { every_ms: 1_000, level_dbfs: self.level },
            Signal::Position => Tone::PositionCoded,
            Signal::Channels => Tone::ChannelIdentity { level_dbfs: self.level },
            Signal::Silence => Tone::Silence,
        }
    }
}

impl Simulator for Sound {
    fn describe(&self) -> String {
        format!("sound {} in {}", self.guest.format(), self.name)
    }

    fn due(&self, now: HostTime) -> Option<HostTime> {
        let lie = self.lie.map(|(_, at)| at);
        let restart = self.restart.map(|(_, at)| at);
        // Before the first call the guest has nothing due: it opens its stream then.
        [lie, restart, Some(self.guest.next_due().unwrap_or(now))].into_iter().flatten().min()
    }

    fn act(&mut self, now: HostTime) -> anyhow::Result<()> {
        self.guest.advance(now)?;
        if let Some((every, at)) = self.restart
            && now >= at
        {
            self.guest.perform(Event::Restart, now)?;
            self.restart = Some((every, at + every));
        }
        if let Some((lie, at)) = self.lie
            && now >= at
        {
            // Truth in between, so that each lie meets a reader that plays.
            let told = if self.lies.is_multiple_of(2) { lie.at(self.lies / 2) } else { Lie::Truth };
            self.guest.perform(Event::Lie(told), now)?;
            self.lies += 1;
            self.lie = Some((lie, at + LIE_EVERY));
        }
        Ok(())
    }

    fn finish(&mut self, now: HostTime) -> anyhow::Result<()> {
        let event = if self.crash { Event::Crash } else { Event::Close };
        self.guest.perform(event, now).context("cannot close the stream")
    }

    fn summary(&self) -> String {
        format!("sound: {} chunks, {} lies", self.guest.next_number(), self.lies.div_ceil(2))
    }
}
