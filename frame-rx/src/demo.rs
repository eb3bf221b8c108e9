//! `frame-rx demo`: the receiver with a simulated guest behind it. No VM, no configuration; the guest is a thread that
//! writes into shared memory of its own, through the very protocol that a real one speaks. What it shows is told in the
//! window, too.

use crate::app::{self, Beside, Loop};
use crate::cli::{DemoArgs, DemoMotion, DemoPointer};
use crate::feed::{Tell, Told};
use crate::headless::{Headless, Keeping, explain_gpu};
use crate::link::{self, ScreenEnd};
use crate::offscreen::Offscreen;
use crate::settings::{self, End, Show};
use crate::slots::Supply;
use crate::stats::{self, FeedStats, ScreenStats};
use crate::turn::Turning;
use core::time::Duration;
use crossbeam_channel::bounded;
use rx_host::clock;
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::report::Figures;
use rx_host::settings::units::DisplayMode;
use rx_host::signals::{Signals, Stop, StopOnDrop};
use shm_proto::Region;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::guest_sim::tour::{STOPS, Stop as TourStop, Tour};
use shm_proto::kvmfr::wire::features;
use shm_proto::kvmfr::{PictureSpec, ProducerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How long a demo without a window lasts, if nothing else is said.
const HEADLESS_SECONDS: Duration = Duration::from_secs(5);
/// Where a demo without a window leaves its picture, if nothing else is said.
const HEADLESS_PICTURE: &str = "frame-rx-demo.png";
/// The guest's mode, if nothing else is said.
const USUAL_MODE: DisplayMode =
    DisplayMode { width_px: 1280, height_px: 720, rate_millihertz: Some(USUAL_RATE_MILLIHERTZ) };
/// Pictures per second, if the mode does not say.
const USUAL_RATE_MILLIHERTZ: u32 = 60_000;

/// When a tour leaves its start: the window is open and the first picture seen by then.
const TOUR_BEGINS: Duration = Duration::from_secs(2);

/// Remarks on their way to the window: each stands there for seconds.
const REMARKS: usize = 4;

/// Takes what a tour has to say.
type Say = Box<dyn Fn(String) + Send>;

/// What the guest's thread counts.
#[derive(Debug, Default)]
struct GuestCount {
    frames: AtomicU64,
    stalls: AtomicU64,
}

/// What guest there is.
struct Simulated {
    config: PictureConfig,
    /// It goes through everything in turn.
    is_tour: bool,
    /// Who is told where it is, besides stderr.
    say: Say,
}

impl Simulated {
    fn region_bytes(&self) -> u64 {
        if self.is_tour { Tour::region_bytes(&self.config) } else { self.config.region_bytes() }
    }
}

/// Runs the demo and prints its summary.
///
/// Blocks.
///
/// # Errors
/// What a user can mend.
pub fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let show = settings::show_from_flags(&args.show).map_err(settings::explain)?;
    let headless = args.show.headless || !app::has_display();
    let end = end_of(args, headless);
    end.check_files()?;
    let signals = Signals::install_without_reload()?;
    let guest = Simulated { config: config_of(args), is_tour: is_tour(args, headless), say: Box::new(|_| {}) };
    let memory = Memory::new(guest.region_bytes())?;
    let count = Arc::<GuestCount>::default();
    let outcome = if headless {
        if !args.show.headless {
            tracing::info!("there is no display: showing nothing, writing a picture");
        }
        without_window(&show, &end, &signals, (guest, memory), &count)?
    } else {
        with_window(show, &end, &signals, (guest, memory), &count)?
    };
    summary(&outcome, &count, &end)?;
    Ok(Exit::Done)
}

struct Outcome {
    feed: Arc<FeedStats>,
    screen: ScreenStats,
    figures: Vec<(&'static str, String)>,
}

fn without_window(
    show: &Show,
    end: &End,
    signals: &Signals,
    guest: (Simulated, Memory),
    count: &Arc<GuestCount>,
) -> anyhow::Result<Outcome> {
    let mut screen = Offscreen::open(&show.gpu).map_err(explain_gpu)?;
    screen.set_turning(Turning::new(show.rotate));
    let gpu = screen.info().to_string();
    tracing::info!("drawing with {gpu}");
    let waker = signals.waker();
    let threads = Threads::start(guest, (Supply::Two, Box::new(move |_| waker.wake())), signals.stop(), count)?;
    let feed = threads.link.feed.clone();
    let mut headless = Headless::new(screen, threads.link, end.clone(), Keeping::default());
    let ran = headless.run(signals);
    signals.stop().request();
    threads.handles.into_iter().for_each(exit::join);
    ran.map_err(explain_gpu)?;
    let done = headless.finish()?;
    let mut figures = vec![("gpu", gpu)];
    if let Some(hash) = done.hash {
        figures.push(("picture_hash", format!("{hash:016x}")));
    }
    Ok(Outcome { feed, screen: done.stats, figures })
}

fn with_window(
    show: Show,
    end: &End,
    signals: &Signals,
    (guest, memory): (Simulated, Memory),
    count: &Arc<GuestCount>,
) -> anyhow::Result<Outcome> {
    let event_loop = Loop::new()?;
    let ((remark, remarks), wake) = (bounded(REMARKS), event_loop.teller());
    let say: Say = Box::new(move |words| {
        // A window that hears nothing at the moment misses nothing but words.
        let _ = remark.try_send(words);
        wake(Told::Condition);
    });
    let guest = (Simulated { say, ..guest }, memory);
    let threads = Threads::start(guest, (Supply::Three, event_loop.teller()), signals.stop(), count)?;
    let feed = threads.link.feed.clone();
    let beside = Beside { remarks: Some(remarks), ..Beside::default() };
    let done = event_loop.run(threads.link, show, end.clone(), beside, signals.stop());
    signals.stop().request();
    threads.handles.into_iter().for_each(exit::join);
    Ok(Outcome { feed, screen: done?.stats, figures: Vec::new() })
}

/// The guest's thread and the feed's.
struct Threads {
    link: ScreenEnd,
    handles: [thread::JoinHandle<()>; 2],
}

impl Threads {
    fn start(
        (simulated, memory): (Simulated, Memory),
        (supply, tell): (Supply, Tell),
        stop: &Stop,
        count: &Arc<GuestCount>,
    ) -> Result<Threads, Failure> {
        let hint = "end other programs: the system allows no more threads";
        let (feed_end, link) = link::connect(&memory.path, supply, tell, stop);
        let feed = thread::Builder::new().name("feed".into()).spawn(move || feed_end.run());
        let feed = feed.or_environment("cannot start the feed", hint)?;
        let (stop, count, stats) = (stop.clone(), count.clone(), link.feed.clone());
        let guest = thread::Builder::new().name("guest".into());
        let guest = guest.spawn(move || be_the_guest(memory, simulated, &stop, &count, &stats));
        let guest = guest.or_environment("cannot start the simulated guest", hint)?;
        Ok(Threads { link, handles: [feed, guest] })
    }
}

/// The whole life of the guest's thread.
fn be_the_guest(
    mut memory: Memory,
    Simulated { config, is_tour, say }: Simulated,
    stop: &Stop,
    count: &GuestCount,
    feed: &FeedStats,
) {
    let _end_together = StopOnDrop(stop.clone());
    let mut tour = is_tour.then(|| Tour::new(config.clone(), clock::now() + TOUR_BEGINS));
    let mut guest = match PictureGuest::start(&memory.region, config, clock::now()) {
        Ok(guest) => guest,
        Err(error) => return tracing::error!("the simulated guest cannot start: {error}"),
    };
    while !stop.is_requested() {
        let now = clock::now();
        let toured = tour.as_mut().map_or(Ok(None), |tour| tour.advance(&mut guest, now));
        match toured.and_then(|stop| guest.advance(now).map(|()| stop)) {
            Ok(Some(stop)) => {
                tracing::info!("tour: {}", stop.name);
                say(remark_on(stop));
            }
            Ok(None) => {}
            Err(error) => return tracing::error!("the simulated guest ended: {error}"),
        }
        if feed.sessions.get() > 0 {
            // Both sides have it mapped; a name is needed no longer, and a killed demo leaves nothing behind.
            memory.forget_name();
        }
        count.frames.store(u64::from(guest.frames_begun()), Ordering::Relaxed);
        count.stalls.store(guest.counters().stalls, Ordering::Relaxed);
        let due = guest.next_due(clock::now());
        clock::sleep_until(tour.as_ref().map_or(due, |tour| due.min(tour.next_due())));
    }
}

/// What stands in the window at a stop of the tour.
fn remark_on(stop: &TourStop) -> String {
    let number = STOPS.iter().position(|s| s == stop).map_or(0, |i| i + 1);
    format!("{number} of {}: {}", STOPS.len(), stop.name)
}

/// The guest's shared memory: a file that is gone when the demo ends.
pub(crate) struct Memory {
    pub(crate) region: Region,
    pub(crate) path: PathBuf,
    named: bool,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Result<Memory, Failure> {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let path = dir.join(format!("frame-rx-demo-{}", std::process::id()));
        let region = Region::create(&path, bytes).or_environment(
            format!("cannot make {} MiB of shared memory for the simulated guest", bytes >> 20),
            format!("make room in {}", dir.display()),
        )?;
        Ok(Memory { region, path, named: true })
    }

    fn forget_name(&mut self) {
        if core::mem::take(&mut self.named) {
            // Somebody else may have removed it; then it is gone all the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.forget_name();
    }
}

/// Whoever looks at a window sees everything, unless a guest was described.
fn is_tour(args: &DemoArgs, headless: bool) -> bool {
    let is_described = args.mode.is_some() || args.motion.is_some() || args.pointer.is_some();
    args.tour || !headless && !is_described
}

fn config_of(args: &DemoArgs) -> PictureConfig {
    let mode = args.mode.as_ref().unwrap_or(&USUAL_MODE);
    let rate = mode.rate_millihertz.unwrap_or(USUAL_RATE_MILLIHERTZ);
    let mut producer = ProducerConfig::default();
    if args.show.follow_window {
        producer.identity.features |= features::WINDOW_SIZE;
    }
    PictureConfig {
        producer,
        spec: PictureSpec::new(shm_proto::kvmfr::PixelType::Bgra, mode.width_px, mode.height_px),
        motion: match args.motion.unwrap_or_default() {
            DemoMotion::Bar => Motion::Bar,
            DemoMotion::Scroll => Motion::Scroll,
            DemoMotion::Still => Motion::Still,
        },
        rate_hz: rate.div_ceil(1000),
        pointer: match args.pointer.unwrap_or_default() {
            DemoPointer::Cycle => PointerMode::Cycle,
            DemoPointer::Color => PointerMode::Color,
            DemoPointer::Monochrome => PointerMode::Monochrome,
            DemoPointer::Masked => PointerMode::Masked,
            DemoPointer::None => PointerMode::Hidden,
        },
        ..PictureConfig::new(mode.width_px, mode.height_px)
    }
}

fn end_of(args: &DemoArgs, headless: bool) -> End {
    let mut end = settings::end(&args.end, false);
    if headless {
        if end.frames.is_none() && end.after.is_none() {
            end.after = Some(HEADLESS_SECONDS);
        }
        if end.screenshot.is_none() {
            end.screenshot = Some(HEADLESS_PICTURE.into());
        }
    }
    end
}

fn summary(outcome: &Outcome, count: &GuestCount, end: &End) -> Result<(), Failure> {
    let (sent, stalls) = (count.frames.load(Ordering::Relaxed), count.stalls.load(Ordering::Relaxed));
    let mut lines = vec![format!("frames sent     {sent} (the guest had to wait {stalls} times)")];
    lines.extend(stats::lines(&outcome.feed, &outcome.screen));
    rx_host::term::write_lines(&format!("{}\n", lines.join("\n")));
    let Some(path) = &end.stats else { return Ok(()) };
    let mut figures: Figures = stats::figures(&outcome.feed, &outcome.screen);
    figures.count("guest_frames_sent", sent).count("guest_stalls", stalls);
    for (name, text) in &outcome.figures {
        figures.text(name, text);
    }
    stats::write(&figures, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> DemoArgs {
        let words = ["frame-rx", "demo"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Some(Command::Demo(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_demo_without_a_window_ends_by_itself_and_leaves_a_picture() {
        let end = end_of(&args(""), true);
        assert_eq!((end.after, end.screenshot), (Some(HEADLESS_SECONDS), Some(HEADLESS_PICTURE.into())));
        let end = end_of(&args("--frames 9 --screenshot a.png"), true);
        assert_eq!((end.after, end.frames, end.screenshot), (None, Some(9), Some("a.png".into())));
        assert_eq!(end_of(&args(""), false), End::default());
    }

    #[test]
    fn a_window_goes_through_everything_unless_the_guest_is_described() {
        assert!(is_tour(&args("--seconds 9 --gpu llvmpipe"), false));
        for described in ["--mode 640x360", "--motion scroll", "--pointer none"] {
            assert!(!is_tour(&args(described), false), "{described}");
        }
        assert!(!is_tour(&args(""), true));
        assert!(is_tour(&args("--tour --mode 640x360"), true));
    }

    #[test]
    fn a_stop_of_the_tour_is_told_with_its_number() {
        assert_eq!(remark_on(&STOPS[0]), "1 of 18: a pointer in colour, with soft edges");
        assert_eq!(remark_on(STOPS.last().unwrap()), "18 of 18: LGMP 12 with KVMFR 34");
    }

    #[test]
    fn the_guest_does_what_the_flags_say() {
        let config = config_of(&args("--mode 640x480@59.94 --motion scroll --pointer none"));
        assert_eq!((config.spec.width, config.spec.height, config.rate_hz), (640, 480, 60));
        assert_eq!((config.motion, config.pointer), (Motion::Scroll, PointerMode::Hidden));
    }

    #[test]
    fn the_demos_memory_has_no_name_afterwards() {
        let memory = Memory::new(config_of(&args("--mode 64x48")).region_bytes()).unwrap();
        let path = memory.path.clone();
        assert!(path.exists());
        drop(memory);
        assert!(!path.exists());
    }
}
