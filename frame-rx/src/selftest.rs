//! `frame-rx selftest`: whether this machine shows pictures exactly. A guest of our own, or a recording, goes through the
//! whole way - shared memory, protocol, slots, GPU - in one thread, and what is on the GPU is compared byte by byte.

use crate::cli::SelftestArgs;
use crate::demo::Memory;
use crate::feed::{self, Feed, FeedParts, MakeRows};
use crate::gpu::GpuChoice;
use crate::gpu::upload::StagingRows;
use crate::headless::explain_gpu;
use crate::offscreen::Offscreen;
use crate::picture::{PictureFormat, PixelFormat, Rotation, Transfer};
use crate::pointer;
use crate::record::{self, Frame, Player};
use crate::slots::{self, Outlet, Supply};
use crate::stats::FeedStats;
use core::time::Duration;
use rx_host::clock;
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::signals::Stop;
use shm_proto::HostTime;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::guest_sim::stamp::{Edge, read_stamp};
use shm_proto::kvmfr::{
    self, Begun, FrameFlags, HdrMetadata, PictureSpec, PixelType, Producer, ProducerConfig, Version,
};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// How long one case may take. A software GPU on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pictures of each case.
const PICTURES: u64 = 5;
/// Modes that are tried: a usual one, one whose rows need padding everywhere, and a large one.
const MODES: [(u32, u32); 3] = [(640, 360), (333, 77), (1920, 1080)];

/// Runs the test and prints a line for each case.
///
/// Blocks.
///
/// # Errors
/// [`Failure`] if a picture differs, or the test cannot run.
pub fn run(args: &SelftestArgs) -> anyhow::Result<Exit> {
    let choice = args.gpu.clone().unwrap_or_default();
    let line = match &args.replay {
        Some(folder) => replay(folder, &choice)?,
        None => own_guests(&choice)?,
    };
    exit::print(line)?;
    Ok(Exit::Done)
}

/// The way of the pictures, all in this thread.
struct Way {
    screen: Offscreen,
    feed: Feed<StagingRows>,
    outlet: Outlet<StagingRows>,
    _conditions: feed::Conditions,
    _pointer: pointer::PointerOutlet,
}

impl Way {
    fn new(path: &Path, choice: &GpuChoice) -> Result<Way, Failure> {
        let screen = Offscreen::open(choice).map_err(explain_gpu)?;
        let staging = screen.staging();
        let (intake, outlet) = slots::pair(Supply::Two);
        let (pointer_in, pointer) = pointer::pair();
        let (conditions_in, conditions) = feed::conditions();
        let parts = FeedParts {
            intake,
            pointer: pointer_in,
            conditions: conditions_in,
            wishes: std::sync::Arc::default(),
            asks: Default::default(),
            stats: FeedStats::new(),
            tell: Box::new(|_| {}),
        };
        let make: MakeRows<StagingRows> = Box::new(move |bytes| staging.make(bytes).map_err(|e| e.to_string()));
        let stop = Stop::new().or_environment("cannot make a pipe", "close other programs")?;
        let feed = Feed::new(path, parts, make, stop);
        Ok(Way { screen, feed, outlet, _conditions: conditions, _pointer: pointer })
    }

    /// Lets the feed and the screen go one step on. The rows that are on the GPU, if a picture came.
    fn step(&mut self, now: HostTime) -> Result<Option<Vec<u8>>, Failure> {
        self.feed.step(now);
        if self.screen.take(&self.outlet, 0).map_err(explain_gpu)?.is_none() {
            return Ok(None);
        }
        self.screen.grab().map(Some).map_err(explain_gpu)
    }
}

fn differs(what: &str) -> Failure {
    Failure::environment(
        format!("{what}: the picture on the GPU is not the one that was sent"),
        "try --gpu software; if that works, the GPU's driver is at fault: tell us its name from `frame-rx devices`",
    )
}

fn silent(what: &str) -> Failure {
    Failure::environment(format!("{what}: no picture came through in time"), "try again when the machine is less busy")
}

fn own_guests(choice: &GpuChoice) -> Result<String, Failure> {
    let mut lines = String::new();
    for pixels in [PixelType::Bgra, PixelType::Rgba] {
        for (width, height) in MODES {
            let what = format!("{pixels} {width}x{height}");
            let gpu = own_guest(&what, pixels, (width, height), choice)?;
            lines.push_str(&format!("{what}: {PICTURES} pictures exact on {gpu}\n"));
        }
    }
    Ok(lines)
}

fn own_guest(what: &str, pixels: PixelType, (w, h): (u32, u32), choice: &GpuChoice) -> Result<String, Failure> {
    let mut config = PictureConfig::new(w, h);
    config.spec = PictureSpec::new(pixels, w, h);
    (config.motion, config.pointer) = (Motion::Scroll, PointerMode::Hidden);
    let memory = Memory::new(config.region_bytes())?;
    let broken = "the simulated guest does not start";
    let mut guest =
        PictureGuest::start(&memory.region, config, clock::now()).or_environment(broken, "tell us about it")?;
    let mut way = Way::new(&memory.path, choice)?;
    let (end, mut exact) = (clock::now() + PATIENCE, 0);
    while exact < PICTURES {
        let now = clock::now();
        if now > end {
            return Err(silent(what));
        }
        guest.advance(now).or_environment(broken, "tell us about it")?;
        let Some(rows) = way.step(now)? else {
            clock::sleep_until(now + Duration::from_millis(1));
            continue;
        };
        let row_bytes = w as usize * 4;
        let stamp = read_stamp(&rows, row_bytes, pixels, (w, h), Edge::Top).ok_or_else(|| differs(what))?;
        let pitch = guest.pattern().spec().pitch_bytes as usize;
        let reference = guest.pattern().reference(stamp);
        let sent = reference.chunks_exact(pitch).filter_map(|row| row.get(..row_bytes));
        if !rows.chunks_exact(row_bytes).eq(sent) {
            return Err(differs(what));
        }
        exact += 1;
    }
    Ok(way.screen.info().to_string())
}

fn replay(folder: &Path, choice: &GpuChoice) -> Result<String, Failure> {
    let path = folder.join(record::FILE_NAME);
    let hint = "name a folder that `frame-rx --record` wrote";
    let told = || format!("cannot replay {}", path.display());
    let file = File::open(&path).or_environment(told(), hint)?;
    let mut player = Player::open(BufReader::new(file)).or_environment(told(), hint)?;
    let (mut count, mut stage): (u64, Option<Stage>) = (0, None);
    let torn = |count: u64, error| {
        let told = format!("{} is torn behind picture {count}; those before it are exact", path.display());
        let hint = "record again, and end frame-rx by Ctrl-C or by closing its window, not by a kill";
        Failure::environment(told, hint).because(error)
    };
    while let Some(frame) = player.next_frame().map_err(|error| torn(count, error))? {
        if stage.as_ref().is_none_or(|s| !s.fits(&frame)) {
            // The old one's memory has the same name.
            drop(stage.take());
            stage = Some(Stage::new(&frame, choice)?);
        }
        if let Some(stage) = &mut stage {
            stage.play(&frame)?;
        }
        count += 1;
    }
    Ok(format!("{}: {count} pictures exact\n", path.display()))
}

/// How recorded pixels are sent again: they have four bytes or eight by then, whatever the guest had.
fn sent_as(pixel: PixelFormat) -> PixelType {
    match pixel {
        PixelFormat::Bgra8 | PixelFormat::Bgr24 => PixelType::Bgra,
        PixelFormat::Rgba8 | PixelFormat::Rgb24 => PixelType::Rgba,
        PixelFormat::Rgb10 => PixelType::Rgba10,
        PixelFormat::Rgba16F => PixelType::Rgba16F,
    }
}

/// A recorded picture as a guest describes it, padded nowhere.
fn spec_of(format: &PictureFormat) -> PictureSpec {
    let mut spec = PictureSpec::new(sent_as(format.pixel), format.stored.width, format.stored.height);
    spec.pitch_bytes = format.row_bytes();
    let upright = format.shown();
    spec.screen = (upright.width, upright.height);
    spec.rotation = match format.rotation {
        Rotation::None => kvmfr::Rotation::None,
        Rotation::Quarter => kvmfr::Rotation::Quarter,
        Rotation::Half => kvmfr::Rotation::Half,
        Rotation::ThreeQuarters => kvmfr::Rotation::ThreeQuarters,
    };
    spec.flags = match format.transfer {
        Transfer::Sdr => 0,
        Transfer::Linear => FrameFlags::HDR,
        Transfer::Pq { .. } => FrameFlags::HDR | FrameFlags::HDR_PQ,
    };
    if let Transfer::Pq { white_nits, peak_nits } = format.transfer {
        spec.sdr_white = white_nits;
        spec.hdr = Some(HdrMetadata { max_nits: peak_nits, content_max_nits: peak_nits, ..HdrMetadata::default() });
    }
    spec
}

/// A producer of recorded pictures of one format, and their way.
struct Stage {
    producer: Producer,
    format: PictureFormat,
    spec: PictureSpec,
    way: Way,
    _memory: Memory,
}

impl Stage {
    fn new(frame: &Frame, choice: &GpuChoice) -> Result<Stage, Failure> {
        let size = frame.format.stored;
        let mut config = PictureConfig::new(size.width, size.height);
        config.spec = spec_of(&frame.format);
        // The only version that says how bright the light is.
        let with_light = ProducerConfig { version: Version::Lgmp12, ..ProducerConfig::default() };
        let with_light = Some(with_light).filter(|_| matches!(frame.format.transfer, Transfer::Pq { .. }));
        config.producer = with_light.unwrap_or_default();
        let memory = Memory::new(config.region_bytes())?;
        let producer = Producer::start(&memory.region, &config.producer, clock::now())
            .or_environment("the producer does not start", "tell us about it")?;
        let way = Way::new(&memory.path, choice)?;
        Ok(Stage { producer, format: frame.format, spec: config.spec, way, _memory: memory })
    }

    fn fits(&self, frame: &Frame) -> bool {
        self.format == frame.format
    }

    /// Whether the picture on the GPU stands as it was recorded, and means what it did.
    fn is_understood(&self) -> bool {
        let shown = self.way.screen.picture().map(|shown| (shown.stored, shown.rotation, shown.transfer));
        shown == Some((self.format.stored, self.format.rotation, self.format.transfer))
    }

    /// Sends one picture and waits until it is on the GPU.
    fn play(&mut self, frame: &Frame) -> Result<(), Failure> {
        let what = format!("picture {}", frame.number);
        let broken = || Failure::environment(format!("{what}: the producer failed"), "tell us about it");
        let (end, mut sent) = (clock::now() + PATIENCE, false);
        loop {
            let now = clock::now();
            if now > end {
                return Err(silent(&what));
            }
            self.producer.beat(now).map_err(|e| broken().because(e))?;
            if !sent
                && self.producer.begin_frame(&self.spec, &[], now).map_err(|e| broken().because(e))? == Begun::Writing
            {
                let rows = 0..frame.format.stored.height;
                self.producer.write_rows(rows, &frame.rows).map_err(|e| broken().because(e))?;
                self.producer.end_frame().map_err(|e| broken().because(e))?;
                sent = true;
            }
            match self.way.step(now)? {
                Some(rows) if rows == frame.rows && self.is_understood() => return Ok(()),
                Some(_) => return Err(differs(&what)),
                None => drop(clock::sleep_until(now + Duration::from_micros(200))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Size;

    #[test]
    fn a_recorded_picture_is_sent_as_it_was_whatever_it_means_and_however_it_stands() {
        let size = Size::new(70, 30);
        for (pixel, transfer, rotation) in [
            (PixelFormat::Bgra8, Transfer::Sdr, Rotation::Quarter),
            (PixelFormat::Rgb24, Transfer::Sdr, Rotation::Half),
            (PixelFormat::Rgb10, Transfer::Linear, Rotation::None),
            (PixelFormat::Rgb10, Transfer::Pq { white_nits: 200, peak_nits: 800 }, Rotation::ThreeQuarters),
            (PixelFormat::Rgba16F, Transfer::Linear, Rotation::Quarter),
        ] {
            let mut format = PictureFormat::upright(size, pixel);
            (format.transfer, format.rotation) = (transfer, rotation);
            format.desktop = format.shown();
            let rows = (0..format.row_bytes() * size.height).map(|i| i.to_le_bytes()[0]).collect();
            let frame = Frame { format, number: 1, found_ns: 0, rows };
            let Ok(mut stage) = Stage::new(&frame, &GpuChoice::Software) else {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "no software GPU, and CI=true forbids to skip");
                eprintln!("skipped: there is no software GPU");
                return;
            };
            stage.play(&frame).unwrap();
            assert_eq!(stage.way.screen.picture().map(|f| (f.transfer, f.rotation)), Some((transfer, rotation)));
        }
    }
}
