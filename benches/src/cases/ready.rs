//! From the guest's last row to a complete picture here: the feed of `frame-rx` copies rows while the guest still writes
//! them, so that little is left to do at the end. Against the same feed that finds the picture finished and copies all
//! of it. The guest is a producer on another processor that writes rows at the pace of a card's read-back.

use crate::contest::{Candidate, Effort, Outcome, hold};
use crate::elsewhere::{self, Elsewhere};
use crate::place::Room;
use crate::report::CaseReport;
use crate::stats::median;
use anyhow::{Context, bail, ensure};
use frame_rx::feed::{self, Feed, FeedParts, MakeRows};
use frame_rx::pointer;
use frame_rx::slots::{self, Outlet, Rows, Slot, Supply};
use frame_rx::stats::FeedStats;
use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::kvmfr::producer::{Begun, Producer, ProducerConfig};
use shm_proto::kvmfr::{PictureSpec, PixelType};
use shm_proto::raw::pause::pause;
use shm_proto::{HostTime, Region};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A picture is complete within this share of a whole copy's time after the guest's last row.
const GOAL_MAX_RATIO: f64 = 0.05;
/// What a card reads back in a second, in bytes: 1080p in 2 ms, 4K in 8.
const LINK_BYTES_PER_S: f64 = 4e9;
/// The steps of the write pointer of stock producers. Source: the wire reference, section 3.4.
const STEP_BYTES: u32 = 1 << 20;
/// Rows that are written at once.
const BAND_ROWS: u32 = 8;
/// Pictures in one measurement, of which the median counts; one more, which does not.
const PICTURES: usize = 3;
/// Blocks at the most: each takes a tenth of a second.
const MAX_BLOCKS: u32 = 41;
/// How long a picture may take to come: the machine stood still, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// A picture, and how often its guest tells how far it is.
struct Unit {
    what: &'static str,
    width: u32,
    height: u32,
    step_bytes: u32,
}

const UNITS: [Unit; 4] = [
    Unit { what: "4K frame, told by MiB", width: 3840, height: 2160, step_bytes: STEP_BYTES },
    Unit { what: "4K frame, told by 8 rows", width: 3840, height: 2160, step_bytes: 1 },
    Unit { what: "1080p frame, told by MiB", width: 1920, height: 1080, step_bytes: STEP_BYTES },
    Unit { what: "1080p frame, told by 8 rows", width: 1920, height: 1080, step_bytes: 1 },
];

pub(super) fn run(effort: &Effort) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("ready");
    let effort = Effort { blocks: effort.blocks.min(MAX_BLOCKS), ..effort.clone() };
    for unit in &UNITS {
        let Some(outcome) = measure(&effort, unit)? else {
            report.give_up("a guest that writes while we read needs a second processor");
            return Ok(report);
        };
        for standing in &outcome.standings {
            let bytes = u64::from(unit.width) * u64::from(unit.height) * 4;
            report.add(unit.what, "copying it then", bytes, &outcome, standing, Some(GOAL_MAX_RATIO));
        }
    }
    Ok(report)
}

/// What the guest's thread is asked for.
#[derive(Clone, Copy)]
enum Ask {
    /// A sign of life.
    Beat = 0,
    /// A picture, at the link's pace.
    Paced = 1,
    /// A picture, as fast as can be.
    AtOnce = 2,
}

/// The guest, on its processor.
struct Guest<'a> {
    producer: Producer,
    spec: PictureSpec,
    step_bytes: u32,
    band: Vec<u8>,
    /// When it had written its last row, just before it told so. By the host's clock, in nanoseconds.
    last_row_ns: &'a AtomicU64,
}

impl Guest<'_> {
    fn serve(&mut self, ask: u8) -> anyhow::Result<()> {
        self.producer.beat(clock::now())?;
        if ask == Ask::Beat as u8 { Ok(()) } else { self.write(ask == Ask::Paced as u8) }
    }

    fn write(&mut self, is_paced: bool) -> anyhow::Result<()> {
        match self.producer.begin_frame(&self.spec, &[], clock::now())? {
            Begun::Writing => {}
            other => bail!("the guest cannot send a picture: {other:?}"),
        }
        let (begun, pitch) = (clock::now(), self.spec.pitch_bytes);
        for y in (0..self.spec.height).step_by(BAND_ROWS as usize) {
            let rows = y..(y + BAND_ROWS).min(self.spec.height);
            let due = begun + Duration::from_secs_f64(f64::from(rows.end * pitch) / LINK_BYTES_PER_S);
            self.producer.write_rows(rows.clone(), &self.band)?;
            while is_paced && clock::now() < due {
                pause();
            }
            let (before, after) = (rows.start * pitch / self.step_bytes, rows.end * pitch / self.step_bytes);
            if after > before && rows.end < self.spec.height {
                self.producer.publish_bytes(after * self.step_bytes)?;
            }
        }
        self.last_row_ns.store(clock::now().as_ns(), Ordering::Release);
        Ok(self.producer.end_frame()?)
    }
}

/// Memory for a picture that nobody shows.
struct Plain(Vec<u8>);

impl Rows for Plain {
    fn capacity_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&mut self, at_bytes: u64, bytes: &[u8]) -> bool {
        let place = usize::try_from(at_bytes).ok().and_then(|at| self.0.get_mut(at..)?.get_mut(..bytes.len()));
        place.map(|place| place.copy_from_slice(bytes)).is_some()
    }
}

/// The receiver's side, all in this thread.
struct Receiver {
    feed: Feed<Plain>,
    outlet: Outlet<Plain>,
    stats: Arc<FeedStats>,
    _conditions: feed::Conditions,
    _pointer: pointer::PointerOutlet,
}

impl Receiver {
    fn new(region: &Path) -> anyhow::Result<Receiver> {
        let (intake, outlet) = slots::pair(Supply::Two);
        let (pointer_in, pointer) = pointer::pair();
        let (conditions_in, conditions) = feed::conditions();
        let stats = FeedStats::new();
        let parts = FeedParts {
            intake,
            pointer: pointer_in,
            conditions: conditions_in,
            wishes: Arc::default(),
            asks: Arc::default(),
            stats: stats.clone(),
            tell: Box::new(|_| {}),
        };
        // Filled, so that no page of it is missing.
        let make: MakeRows<Plain> =
            Box::new(|bytes: u64| Ok(Plain(vec![0xA5; usize::try_from(bytes).map_err(|e| e.to_string())?])));
        let feed = Feed::new(region, parts, make, Stop::new()?);
        Ok(Receiver { feed, outlet, stats, _conditions: conditions, _pointer: pointer })
    }

    /// Looks until a picture has come.
    fn picture(&mut self) -> anyhow::Result<Slot<Plain>> {
        let end = clock::now() + PATIENCE;
        loop {
            let now = clock::now();
            self.feed.step(now);
            if let Some(slot) = self.outlet.take() {
                return Ok(slot);
            }
            ensure!(now < end, "the guest's picture did not come within {PATIENCE:?}");
        }
    }

    /// Until the guest has somebody to send to.
    fn join(&mut self, guest: &Elsewhere) -> anyhow::Result<()> {
        let end = clock::now() + PATIENCE;
        loop {
            guest.ask(Ask::Beat as u8)?;
            let now = clock::now();
            self.feed.step(now);
            if self.stats.sessions.get() > 0 {
                return Ok(());
            }
            ensure!(now < end, "the guest was not found within {PATIENCE:?}");
            clock::sleep_until(now + Duration::from_millis(2));
        }
    }
}

fn measure(effort: &Effort, unit: &Unit) -> anyhow::Result<Option<Outcome>> {
    let spec = PictureSpec::new(PixelType::Bgra, unit.width, unit.height);
    // Two pictures and what else a producer wants.
    let bytes = (2 * spec.bytes() + (16 << 20)).next_power_of_two();
    Room::here().check(bytes, "a guest's memory")?;
    let folder =
        tempfile::Builder::new().prefix("rx-bench-").tempdir_in("/dev/shm").context("no folder in /dev/shm")?;
    let path = folder.path().join("guest");
    let region = Region::create(&path, bytes)?;
    region.whole().fill(0x5A)?;
    let last_row_ns = AtomicU64::new(0);
    let mut guest = Guest {
        producer: Producer::start(&region, &ProducerConfig::default(), clock::now())?,
        spec,
        step_bytes: unit.step_bytes,
        band: vec![0x3C; (spec.pitch_bytes * BAND_ROWS) as usize],
        last_row_ns: &last_row_ns,
    };
    let mut receiver = Receiver::new(&path)?;
    elsewhere::with(
        move |ask| guest.serve(ask),
        |guest| {
            receiver.join(&guest)?;
            // Nobody needs its name any more, and a program that is killed leaves nothing behind.
            drop(folder);
            contest(effort, &guest, receiver, &last_row_ns)
        },
    )
}

fn contest(effort: &Effort, guest: &Elsewhere, receiver: Receiver, last_row_ns: &AtomicU64) -> anyhow::Result<Outcome> {
    let receiver = RefCell::new(receiver);
    let then = || {
        guest.ask(Ask::AtOnce as u8)?;
        let slot = receiver.borrow_mut().picture()?;
        let took = slot.times.copied.since(slot.times.found);
        receiver.borrow().outlet.give_back(slot);
        Ok(took)
    };
    let behind = || {
        guest.begin(Ask::Paced as u8)?;
        let slot = receiver.borrow_mut().picture()?;
        guest.end()?;
        let took = slot.times.copied.since(HostTime::from_ns(last_row_ns.load(Ordering::Acquire)));
        receiver.borrow().outlet.give_back(slot);
        Ok(took)
    };
    hold(effort, vec![candidate("then", then), candidate("feed", behind)])
}

/// The median of some pictures, after one that does not count.
fn candidate<'a>(name: &str, mut once: impl FnMut() -> anyhow::Result<Duration> + 'a) -> Candidate<'a> {
    Candidate::new(name, move || {
        once()?;
        let times = (0..PICTURES).map(|_| Ok(once()?.as_nanos() as f64)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(median(&times))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Crew;
    use crate::progress::Progress;

    #[test]
    fn a_picture_that_is_copied_behind_the_guest_is_ready_before_a_copy_of_all_of_it_would_be() {
        let effort = Effort { blocks: 3, seed: 1, progress: Progress::default(), crew: Crew::Alone };
        let unit = Unit { what: "", width: 640, height: 480, step_bytes: 1 };
        let Some(outcome) = measure(&effort, &unit).unwrap() else { return };
        let names: Vec<&str> = outcome.standings.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names, outcome.blocks), (vec!["feed"], 3));
    }
}
