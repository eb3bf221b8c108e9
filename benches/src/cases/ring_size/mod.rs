//! Which region, how many slots, for which picture: every combination in virtual time with the real protocol code, which
//! is exact; some of them by the host's clock, which says what a hand-over costs on this machine; and the formulas.

mod advice;
pub mod cell;
mod live;
pub mod reader;
pub mod sweep;

use super::Task;
use crate::figure::{HeatMap, Table};
use crate::mode::Mode;
use crate::place::processors;
use crate::protocol::{self, ring};
use crate::report::CaseReport;
use cell::{Cell, Outcome};
use reader::{Behaviour, FAST_GUEST_HZ};
use rx_host::exit::Failure;
use serde::{Deserialize, Serialize};
use shm_proto::Region;
use shm_proto::kvmfr::PixelType;
use shm_proto::kvmfr::sizes::{self, MIB, device_mib};
use shm_proto::scream::{Format, Writer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sweep::{Plan, Subject};

/// A cell as it is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRow {
    /// The protocol's name.
    pub protocol: String,
    /// Size and rate of the guest.
    pub mode: String,
    /// The pixel format.
    pub format: String,
    /// Slots.
    pub slots: u32,
    /// Who read.
    pub reader: String,
    /// Bytes that the region must have.
    pub region_bytes: u64,
    /// Measured by the host's clock; otherwise virtual and exact.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// The machine was too busy while it was measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl CellRow {
    fn of(cell: &Cell, subject: &Subject, outcome: Outcome) -> CellRow {
        CellRow {
            protocol: cell.protocol.name().into(),
            mode: cell.mode.to_string(),
            format: subject.pixel.to_string(),
            slots: cell.load.slots,
            reader: cell.behaviour.name().into(),
            region_bytes: cell.protocol.needed_bytes(&cell.load.spec, cell.load.slots).unwrap_or(0),
            live: false,
            disturbed: false,
            outcome,
        }
    }

    /// What names it, the same in every run.
    pub fn id(&self) -> String {
        let CellRow { protocol, mode, format, slots, reader, .. } = self;
        format!("{protocol} {mode} {format} {slots} slots {reader}{}", if self.live { " live" } else { "" })
    }
}

/// Cells that are played at once at the most: each has a region of the size it is about, of which few pages are touched.
const MAX_PLAYERS: usize = 8;
/// Above so many pictures there is no table for each.
const MAX_TABLES: usize = 3;
/// A sweep must show every cell once at least; the seed decides jitter and stalls.
const SEED: u64 = 20_261_121;

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let plan = task.sweep.plan(task.is_quick)?;
    let mut report = CaseReport::new("ring-size");
    let work: Vec<_> =
        plan.subjects.iter().flat_map(|s| plan.cells(s, SEED).into_iter().map(move |c| (s, c))).collect();
    if work.is_empty() {
        let hint = format!("a region holds at most {} MiB", shm_proto::raw::map::MAX_REGION_BYTES / MIB);
        return Err(Failure::environment("no protocol can hand over such a picture with so many slots", hint).into());
    }
    let live = if task.is_exact { Vec::new() } else { live::choose(&plan, task.sweep)? };
    let played = play_all(&work, task)?;
    if played.len() < work.len() {
        report.give_up(format!("ended by the user after {} of {} combinations", played.len(), work.len()));
    }
    report.cells = work.iter().zip(played).map(|((subject, cell), o)| CellRow::of(cell, subject, o)).collect();
    if !task.effort.progress.is_stopped() {
        live::measure(&mut report, &live, task)?;
    }
    advise(&mut report, &plan);
    report.tables.push(size_table(&plan).headline());
    report.tables.push(scream_table());
    for subject in plan.subjects.iter().take(if plan.subjects.len() > MAX_TABLES { 0 } else { MAX_TABLES }) {
        report.tables.push(subject_table(subject, &report.cells));
    }
    if report.cells.iter().any(|row| row.live) {
        report.tables.push(live::table(&report.cells));
    }
    report.maps = heat_maps(&plan, &report.cells);
    let wrong = report.cells.iter().map(|row| row.outcome.frames_wrong).sum();
    report.add_wrong("frames of two pictures that were taken for one", report.cells.len() as u64, wrong);
    Ok(report)
}

/// What a user asks, first of all: which region, how many slots.
fn advise(report: &mut CaseReport, plan: &Plan) {
    let choices = |subject: &Subject| advice::choices(subject, &rows_of(subject, &report.cells).collect::<Vec<_>>());
    let all: Vec<_> = plan.subjects.iter().map(|subject| (*subject, choices(subject))).collect();
    report.advice = all.iter().filter_map(|(subject, choices)| advice::sentence(subject, choices)).collect();
    report.tables.push(advice::table(&all));
}

/// Plays all cells in virtual time, as many at once as there are processors, which changes nothing in any of them. Fewer
/// than all, from the first on, if the user ends it.
///
/// # Errors
/// What a protocol says.
fn play_all(work: &[(&Subject, Cell)], task: &Task<'_>) -> anyhow::Result<Vec<Outcome>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let player = || {
        let mut mine = Vec::new();
        while task.effort.progress.step(done.load(Ordering::Relaxed) as u64, work.len() as u64) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, cell)) = work.get(place) else { break };
            mine.push((place, play(cell)));
            done.fetch_add(1, Ordering::Relaxed);
        }
        mine
    };
    let mut played = std::thread::scope(|scope| {
        let players: Vec<_> = (0..processors().len().clamp(1, MAX_PLAYERS)).map(|_| scope.spawn(player)).collect();
        let joined = players.into_iter().map(|p| p.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect::<Vec<_>>()
    });
    played.sort_by_key(|(place, _)| *place);
    let unbroken = played.into_iter().zip(0..).take_while(|((place, _), n)| place == n);
    unbroken.map(|((_, outcome), _)| outcome).collect()
}

/// Plays a cell on a region of its own, without a name and without pages that nobody touches.
fn play(cell: &Cell) -> anyhow::Result<Outcome> {
    let bytes = cell.protocol.needed_bytes(&cell.load.spec, cell.load.slots).unwrap_or(0);
    cell.play(&Region::memfd("rx-bench", bytes.next_multiple_of(4096))?)
}

/// The cells of a picture; those of a slow screen are on a guest that outruns it.
fn rows_of<'r>(subject: &'r Subject, rows: &'r [CellRow]) -> impl Iterator<Item = &'r CellRow> {
    let guest = |rate_hz| Mode { rate_hz, ..subject.mode }.to_string();
    let (own, fast) = (guest(subject.mode.rate_hz), guest(subject.mode.rate_hz.max(FAST_GUEST_HZ)));
    let pixel = subject.pixel.to_string();
    rows.iter().filter(move |row| {
        let mode = if row.reader == Behaviour::SlowScreen.name() { &fast } else { &own };
        !row.live && row.mode == *mode && row.format == pixel
    })
}

fn size_table(plan: &Plan) -> Table {
    let mut table = Table::new(
        "Region sizes in MiB: what the manual says, and the least that its program runs with",
        &["size", "B7 manual", "least", "B7 HDR manual", "least", "KVMFR 34 manual", "least", "ring of 3", "HDR"],
    )
    .legend("B7 and ring: 32 bits for a pixel; HDR: 64. KVMFR 34 has 32 for both. What a VM is given is a power of two; a ring needs no VM.");
    let mut sizes: Vec<(u32, u32)> = plan.subjects.iter().map(|s| (s.mode.width, s.mode.height)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for (width, height) in sizes {
        let least =
            |pixel| device_mib(sizes::b7_needed_bytes(sizes::picture_bytes(width, height, pixel), sizes::B7_SLOTS));
        let ring = |pixel| {
            let bytes = ring::needed_bytes(sizes::picture_bytes(width, height, pixel), 3).unwrap_or(0);
            bytes.div_ceil(MIB)
        };
        let [sdr, hdr] = [PixelType::Bgra, PixelType::Rgba16F];
        let cells = [
            sizes::b7_documented_mib(width, height, sdr),
            least(sdr),
            sizes::b7_documented_mib(width, height, hdr),
            least(hdr),
            sizes::v34_documented_mib(width, height),
            device_mib(sizes::v34_needed_bytes(sizes::v34_picture_bytes(width, height), sizes::V34_SLOTS)),
            ring(sdr),
            ring(hdr),
        ];
        let size = Mode::new(width, height, 60).size();
        table.rows.push(std::iter::once(size).chain(cells.iter().map(u64::to_string)).collect());
    }
    table
}

fn scream_table() -> Table {
    let mut table = Table::new(
        "Scream: chunks of 20 ms in a region, and how long until the oldest is overwritten",
        &["sound", "bytes", "1 MiB", "2 MiB", "seconds at 2 MiB"],
    );
    for (rate_hz, bits, channels) in
        [(44_100, 16, 2), (48_000, 16, 2), (48_000, 32, 2), (48_000, 16, 8), (192_000, 32, 8)]
    {
        let Ok(format) = Format::new(rate_hz, bits, channels, 0) else { continue };
        let slots = |mib: u64| Writer::header_for(format, mib * MIB).map_or(0, |header| header.max_chunks);
        table.rows.push(vec![
            format!("{rate_hz} Hz, {bits} bits × {channels}"),
            format.chunk_bytes().to_string(),
            slots(1).to_string(),
            slots(2).to_string(),
            format!("{:.2}", f64::from(slots(2)) * shm_proto::scream::CHUNK_TIME.as_secs_f64()),
        ]);
    }
    table
}

fn subject_table(subject: &Subject, rows: &[CellRow]) -> Table {
    let Subject { mode, pixel } = subject;
    let head = [
        "protocol and reader",
        "slots",
        "MiB",
        "held up %",
        "not written %",
        "unseen %",
        "torn %",
        "p50 ms",
        "p99",
        "p99.9",
        "max",
        "jitter",
        "GB/s",
    ];
    let mut table = Table::new(format!("{mode} {pixel}, in virtual time"), &head).legend(
        "Of the guest's frames: held up, those it had to wait for; not written, those it left out, because a newer one was \
         due; unseen, those the reader never showed; torn, those thrown away since they were overwritten meanwhile. Then the \
         time from the last byte written to the last byte copied, its jitter (standard deviation), and what the reader moved.",
    );
    let mut rows: Vec<&CellRow> = rows_of(subject, rows).collect();
    // Stable: slots stay in their order.
    rows.sort_by_key(|row| place_of(row));
    for same in rows.chunk_by(|a, b| place_of(a) == place_of(b) && figures(a) == figures(b)) {
        let [first, .., last] = same else {
            table.rows.extend(same.iter().map(|row| line(row, row)));
            continue;
        };
        table.rows.push(line(first, last));
    }
    table
}

/// Which block of lines a cell stands in.
fn place_of(row: &CellRow) -> (Option<usize>, Option<usize>) {
    let protocol = protocol::ALL.iter().position(|protocol| protocol.name() == row.protocol);
    (protocol, Behaviour::ALL.iter().position(|behaviour| behaviour.name() == row.reader))
}

/// A line for cells that differ in nothing but their slots, from the first to the last of them.
fn line(first: &CellRow, last: &CellRow) -> Vec<String> {
    let range = |from: u64, to: u64| if from == to { from.to_string() } else { format!("{from}–{to}") };
    let mib = |row: &CellRow| row.region_bytes.div_ceil(MIB);
    let slots = range(first.slots.into(), last.slots.into());
    let head = vec![format!("{} {}", first.protocol, first.reader), slots, range(mib(first), mib(last))];
    [head, figures(first)].concat()
}

fn figures(row: &CellRow) -> Vec<String> {
    let o = &row.outcome;
    let lost = if o.frames_due == 0 { 0.0 } else { 100.0 * o.frames_lost as f64 / o.frames_due as f64 };
    let times = [o.handover_us_p50, o.handover_us_p99, o.handover_us_p999, o.handover_us_max, o.jitter_us];
    let shares = [o.stalled_percent(), lost, o.unseen_percent(), o.torn_percent()];
    let all = shares.into_iter().chain(times.map(|us| us / 1e3)).chain([o.bytes_per_s / 1e9]);
    all.map(|value| format!("{value:.2}")).collect()
}

/// Shares of frames that are held up or torn, for pictures of the first format: slots against sizes for each protocol and
/// reader; for a single size, slots against readers for each protocol.
fn heat_maps(plan: &Plan, rows: &[CellRow]) -> Vec<HeatMap> {
    let pixel = plan.subjects.first().map_or(PixelType::Bgra, |subject| subject.pixel).to_string();
    let mut sizes: Vec<String> = Vec::new();
    for size in plan.subjects.iter().map(|subject| subject.mode.size()) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let value = |protocol: &str, behaviour: Behaviour, size: &str, slots: u32| {
        let find = |row: &&CellRow| {
            row.protocol == protocol
                && row.reader == behaviour.name()
                && row.slots == slots
                && !row.live
                && row.format == pixel
                && row.mode.starts_with(&format!("{size}@"))
        };
        rows.iter().find(find).map(|row| row.outcome.stalled_percent() + row.outcome.torn_percent())
    };
    let over_slots = |protocol: &str, behaviour, size: &str| {
        plan.slots.iter().map(|slots| value(protocol, behaviour, size, *slots)).collect::<Vec<_>>()
    };
    let map = |protocol: &str, (id, title): (&str, &str), y_title: &str, y: Vec<String>, values: Vec<_>| HeatMap {
        id: format!("ring-size-{protocol}-{id}"),
        title: format!("{protocol}: frames held up or torn, {title}"),
        unit: "%".into(),
        x_title: "slots".into(),
        x: plan.slots.iter().map(u32::to_string).collect(),
        y_title: y_title.into(),
        y,
        values,
    };
    let mut maps = Vec::new();
    for protocol in plan.protocols.iter().map(|protocol| protocol.name()) {
        if let [size] = &sizes[..] {
            let readers = plan.behaviours.iter().map(|behaviour| behaviour.name().to_owned()).collect();
            let values = plan.behaviours.iter().map(|behaviour| over_slots(protocol, *behaviour, size)).collect();
            maps.push(map(protocol, (size, &format!("{size} {pixel}")), "reader", readers, values));
            continue;
        }
        for behaviour in &plan.behaviours {
            let values = sizes.iter().map(|size| over_slots(protocol, *behaviour, size)).collect();
            let names = (behaviour.name(), behaviour.what());
            maps.push(map(protocol, names, &format!("picture, {pixel}"), sizes.clone(), values));
        }
    }
    maps.retain(|map| map.values.iter().flatten().any(Option::is_some));
    maps
}

/// How long a measured cell lasts, and how often it is repeated.
const fn live_blocks(is_quick: bool) -> (u32, Duration) {
    if is_quick { (3, Duration::from_millis(700)) } else { (5, Duration::from_secs(2)) }
}

#[cfg(test)]
mod tests;
