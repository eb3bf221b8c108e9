//! What a window costs and how late it is, measured at the X server: a simulated guest draws its time into each picture,
//! `frame-rx` shows it in a window under Xvfb, and a reader looks at the server's screen until another picture stands there.
//!
//! Printed for each case: pictures a second that reached the server, the time from the guest's drawing to the server
//! (median and 99 %), processor time of `frame-rx` and of the server in percent of one core, and memory. The guest and the
//! reader are processes of their own, and not counted. Run by `scripts/picture-cost.sh`.
#![forbid(unsafe_code)]

use rx_host::clock;
use shm_proto::Region;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::guest_sim::stamp::{self, Edge, Stamp, read_stamp};
use shm_proto::kvmfr::PixelType;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt, ImageFormat};
use x11rb::rust_connection::RustConnection;

type Done<T> = Result<T, Box<dyn Error>>;

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_micros(500);
/// How long the first picture may take.
const FIRST: Duration = Duration::from_secs(60);
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is measured.
struct Case {
    width: u32,
    height: u32,
    rate_hz: u32,
    motion: Motion,
}

impl Case {
    fn name(&self) -> String {
        let Case { width, height, rate_hz, motion } = self;
        format!("{width}x{height}@{rate_hz} {}", format!("{motion:?}").to_lowercase())
    }
}

const CASES: [Case; 5] = [
    Case { width: 1920, height: 1080, rate_hz: 60, motion: Motion::Bar },
    Case { width: 1920, height: 1080, rate_hz: 60, motion: Motion::Scroll },
    Case { width: 1920, height: 1080, rate_hz: 60, motion: Motion::Still },
    Case { width: 3840, height: 2160, rate_hz: 60, motion: Motion::Bar },
    Case { width: 3840, height: 2160, rate_hz: 60, motion: Motion::Scroll },
];

/// A process that ends with this value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ends {
    /// Processor time so far, and memory now and at most, in KiB.
    fn cost(&self) -> Done<(Duration, u64, u64)> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // Behind the name, which may hold anything: fields 14 and 15 of proc(5), in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok((Duration::from_millis(10 * (ticks(11) + ticks(12))), kib("VmRSS:"), kib("VmHWM:")))
    }
}

/// The whole life of the guest's process.
fn be_the_guest(path: &Path, case: &Case) -> Done<()> {
    let mut config = PictureConfig::new(case.width, case.height);
    (config.motion, config.pointer, config.rate_hz) = (case.motion, PointerMode::Hidden, case.rate_hz);
    let region = Region::create(path, config.region_bytes())?;
    let mut guest = PictureGuest::start(&region, config, clock::now())?;
    loop {
        guest.advance(clock::now())?;
        clock::sleep_until(guest.next_due(clock::now()).min(clock::now() + Duration::from_millis(10)));
    }
}

fn guest(path: &Path, index: usize) -> Done<Ends> {
    let child = Command::new(std::env::current_exe()?).arg("guest").arg(path).arg(index.to_string()).spawn()?;
    Ok(Ends(child))
}

/// The server's screen.
struct Screen {
    connection: RustConnection,
    root: u32,
    size: (u32, u32),
}

impl Screen {
    fn open(display: &str, size: (u32, u32)) -> Done<Screen> {
        let (connection, screen) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots.get(screen).ok_or("no screen")?.root;
        Ok(Screen { connection, root, size })
    }

    /// The stamp that stands in the upper left corner now.
    fn stamp(&self) -> Done<Option<Stamp>> {
        let cell = stamp::cell(self.size.0, self.size.1).ok_or("too small for a stamp")?;
        let (width, height) = (u16::try_from(cell * stamp::STRIP_COLUMNS)?, u16::try_from(cell * stamp::STRIP_ROWS)?);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, u32::MAX)?;
        let data = image.reply()?.data;
        Ok(read_stamp(&data, usize::from(width) * 4, PixelType::Bgra, self.size, Edge::Top))
    }
}

fn xvfb(case: &Case) -> Done<(Ends, String)> {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
        .arg(format!("{}x{}x24", case.width, case.height))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut number = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut number)?;
    Ok((Ends(server), format!(":{}", number.trim())))
}

fn frame_rx(program: &Path, folder: &Path, display: &str, case: &Case, guest: &Path) -> Done<Ends> {
    let size = format!("{}x{}", case.width, case.height);
    let child = Command::new(program)
        .args(["-q", "--borderless", "--no-remember", "--input", "none", "--gpu", "software", "--window", &size])
        .args(std::env::var("FRAME_RX_FLAGS").unwrap_or_default().split_whitespace())
        .arg("-f")
        .arg(guest)
        .env("DISPLAY", display)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Ends(child))
}

fn percent(cost: Duration, wall: Duration) -> f64 {
    100.0 * cost.as_secs_f64() / wall.as_secs_f64()
}

/// The value below which `part` of the sorted ones lie, if there is one.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
}

fn measure(program: &Path, index: usize, span: Duration) -> Done<()> {
    let case = &CASES[index];
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let path = folder.path().join("looking-glass");
    let (server, display) = xvfb(case)?;
    let _guest = guest(&path, index)?;
    let shown = frame_rx(program, folder.path(), &display, case, &path)?;
    let screen = Screen::open(&display, (case.width, case.height))?;
    let give_up = clock::now() + FIRST;
    while screen.stamp()?.is_none() {
        if clock::now() > give_up {
            return Err(format!("{}: no picture reached the X server", case.name()).into());
        }
        clock::sleep_until(clock::now() + Duration::from_millis(20));
    }
    clock::sleep_until(clock::now() + WARM_UP);
    let (begun, before, server_before) = (clock::now(), shown.cost()?, server.cost()?);
    let mut last = screen.stamp()?;
    let first = last.map_or(0, |stamp| stamp.frame);
    let mut late_ms = Vec::new();
    while clock::now() < begun + span {
        // A picture that stands still is not looked at: what that costs the server would be counted.
        if case.motion != Motion::Still {
            let stamp = screen.stamp()?;
            if let Some(stamp) = stamp.filter(|_| stamp != last) {
                late_ms.push(clock::now().as_ns().saturating_sub(stamp.time_ns) as f64 / 1e6);
                last = Some(stamp);
            }
        }
        clock::sleep_until(clock::now() + LOOK);
    }
    let wall = clock::now().since(begun);
    let (cost, server_cost) = (shown.cost()?, server.cost()?);
    late_ms.sort_by(f64::total_cmp);
    let late = |part| quantile(&late_ms, part).map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    println!(
        "{:<26} {:>6.1} of {:>5.1}/s  {:>6} ms  99 % {:>6} ms  {:>5.1} % (server {:>5.1} %)  {:>4.0} MiB, at most {:>4.0}",
        case.name(),
        late_ms.len() as f64 / wall.as_secs_f64(),
        f64::from(last.map_or(0, |stamp| stamp.frame) - first) / wall.as_secs_f64(),
        late(0.5),
        late(0.99),
        percent(cost.0 - before.0, wall),
        percent(server_cost.0 - server_before.0, wall),
        cost.1 as f64 / 1024.0,
        cost.2 as f64 / 1024.0,
    );
    Ok(())
}

fn main() -> Done<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("guest") {
        let path = PathBuf::from(arguments.next().ok_or("no path")?);
        let index: usize = arguments.next().ok_or("no case")?.parse()?;
        return be_the_guest(&path, CASES.get(index).ok_or("no such case")?);
    }
    let program = PathBuf::from(first.ok_or("usage: picture_cost FRAME_RX [SECONDS [CASE...]]")?);
    let span = Duration::from_secs(arguments.next().map_or(Ok(10), |s| s.parse())?);
    let wanted: Vec<String> = arguments.collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    println!("case                       reached the server  from drawing  late ones  processor time  memory");
    for (index, case) in CASES.iter().enumerate() {
        if wanted.is_empty() || wanted.iter().any(|w| case.name().contains(w.as_str())) {
            measure(&program, index, span)?;
        }
    }
    Ok(())
}
