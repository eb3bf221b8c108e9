//! The measured part: the same guest and reader by the host's clock, with every byte really moved, in blocks of which
//! disturbed ones do not count.

use super::cell::{Cell, Outcome};
use super::reader::Behaviour;
use super::sweep::{Plan, Subject, Sweep};
use super::{CellRow, SEED, live_blocks};
use crate::cases::Task;
use crate::figure::Table;
use crate::mode::Mode;
use crate::noise::{self, Crew, Gauge, Weather};
use crate::place::{Room, processors, scratch};
use crate::protocol::{Load, Speeds};
use crate::report::CaseReport;
use crate::stats::{MAX_VOID_SHARE, median};
use rx_host::exit::Failure;
use shm_proto::kvmfr::PixelType;

/// Slots of a protocol whose writer does not fix them.
const SLOTS: u32 = 3;
/// Without a mode on the command line, these two.
const SUBJECTS: [Subject; 2] = [
    Subject { mode: Mode::new(1920, 1080, 60), pixel: PixelType::Bgra },
    Subject { mode: Mode::new(3840, 2160, 60), pixel: PixelType::Bgra },
];

/// What is measured: the modes that were named, in their first format, or two common ones. One reader that keeps up.
///
/// # Errors
/// [`Failure`] with what is free, if one of them has no room.
pub(super) fn choose(plan: &Plan, sweep: &Sweep) -> Result<Vec<(Subject, Cell)>, Failure> {
    let named: Vec<Subject> = plan.subjects.iter().copied().filter(|s| s.pixel == plan.subjects[0].pixel).collect();
    let subjects = if sweep.names_modes() { named } else { SUBJECTS.to_vec() };
    let mut cells = Vec::new();
    for subject in subjects {
        for protocol in &plan.protocols {
            let slots = protocol.stock_slots().unwrap_or(SLOTS);
            let Some(bytes) = protocol.needed_bytes(&subject.spec(), slots) else { continue };
            // The region, and what the reader copies into.
            let what = format!("a region for {} {} with {slots} slots", subject.mode.size(), subject.pixel);
            Room::here().check(bytes + subject.spec().bytes(), &what)?;
            let load = Load { spec: subject.spec(), slots, speeds: Speeds::DEFAULT };
            let (behaviour, mode) = (Behaviour::KeepsUp, subject.mode);
            let cell = Cell { protocol: *protocol, load, mode, behaviour, seed: SEED, length: Default::default() };
            cells.push((subject, cell));
        }
    }
    Ok(cells)
}

/// Measures them into the report.
///
/// # Errors
/// What a protocol or the system says.
pub(super) fn measure(report: &mut CaseReport, chosen: &[(Subject, Cell)], task: &Task<'_>) -> anyhow::Result<()> {
    let (blocks, length) = live_blocks(task.is_quick);
    let processors = processors();
    if processors.len() < 2 && !chosen.is_empty() {
        report.give_up("a guest and a reader that run at once need two processors");
        return Ok(());
    }
    for (n, (subject, cell)) in chosen.iter().enumerate() {
        let cell = Cell { length, ..*cell };
        let bytes = cell.protocol.needed_bytes(&cell.load.spec, cell.load.slots).unwrap_or(0);
        let (region, _file) = scratch(bytes)?;
        let (mut weather, mut outcomes) = (Vec::new(), Vec::new());
        for block in 0..blocks {
            if !task
                .effort
                .progress
                .step(n as u64 * u64::from(blocks) + u64::from(block), chosen.len() as u64 * u64::from(blocks))
            {
                return Ok(());
            }
            let gauge = Gauge::begin(Crew::Alone);
            let (outcome, waited) = cell.play_for_real(&region, &[processors[1], processors[0]])?;
            outcomes.push(outcome);
            let around = gauge.end();
            // The guest and the reader have the say, not the thread that waits for both.
            let waited_share = waited.as_secs_f64() / length.as_secs_f64();
            weather.push(Weather { taken_share: around.taken_share.max(waited_share), ..around });
        }
        let void = noise::judge(&weather);
        let counted = outcomes.iter().zip(&void).filter(|(_, void)| void.is_none()).map(|(o, _)| o);
        let counted: Vec<&Outcome> = counted.collect();
        let void = blocks as usize - counted.len();
        let mut row = CellRow::of(&cell, subject, middle(&counted));
        row.live = true;
        row.disturbed = counted.is_empty() || void as f64 > MAX_VOID_SHARE * f64::from(blocks);
        report.cells.push(row);
    }
    Ok(())
}

/// Counts of all blocks; of every time, the median of the blocks.
fn middle(outcomes: &[&Outcome]) -> Outcome {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(|o| of(o)).sum();
    let mid = |of: fn(&Outcome) -> f64| {
        let middle = median(&outcomes.iter().map(|o| of(o)).collect::<Vec<_>>());
        if middle.is_nan() { 0.0 } else { middle }
    };
    Outcome {
        frames_due: sum(|o| o.frames_due),
        frames_stalled: sum(|o| o.frames_stalled),
        frames_lost: sum(|o| o.frames_lost),
        stalled_ms: outcomes.iter().map(|o| o.stalled_ms).sum(),
        frames_passed_over: sum(|o| o.frames_passed_over),
        frames_torn: sum(|o| o.frames_torn),
        frames_wrong: sum(|o| o.frames_wrong),
        frames_taken: sum(|o| o.frames_taken),
        handover_us_p50: mid(|o| o.handover_us_p50),
        handover_us_p99: mid(|o| o.handover_us_p99),
        handover_us_p999: mid(|o| o.handover_us_p999),
        handover_us_max: outcomes.iter().map(|o| o.handover_us_max).fold(0.0, f64::max),
        jitter_us: mid(|o| o.jitter_us),
        bytes_per_s: mid(|o| o.bytes_per_s),
    }
}

/// What was measured, for people.
pub(super) fn table(rows: &[CellRow]) -> Table {
    let mut table = Table::new(
        "Measured on this machine: from the last byte written to the last byte copied, one reader that keeps up",
        &["", "slots", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "jitter µs", "GB/s", "unseen %", "torn", ""],
    );
    for row in rows.iter().filter(|row| row.live) {
        let o = &row.outcome;
        let mut cells = vec![format!("{} {} {}", row.protocol, row.mode, row.format), row.slots.to_string()];
        let times = [o.handover_us_p50, o.handover_us_p99, o.handover_us_p999, o.handover_us_max, o.jitter_us];
        let mut figures: Vec<String> = times.iter().map(|us| format!("{us:.0}")).collect();
        figures.push(format!("{:.2}", o.bytes_per_s / 1e9));
        figures.push(format!("{:.2}", o.unseen_percent()));
        figures.push(o.frames_torn.to_string());
        if o.frames_due == 0 {
            // Not one block counts, and nothing is not 0.
            figures.fill("–".into());
        }
        cells.extend(figures);
        cells.push(if row.disturbed { "inconclusive: busy machine".into() } else { String::new() });
        table.rows.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol;

    #[test]
    fn where_no_block_counts_no_figure_is_shown() {
        let subject = SUBJECTS[0];
        let load = Load { spec: subject.spec(), slots: 2, speeds: Speeds::DEFAULT };
        let protocol = protocol::find("lgmp6").unwrap();
        let (behaviour, mode, length) = (Behaviour::KeepsUp, subject.mode, Default::default());
        let cell = Cell { protocol, load, mode, behaviour, seed: SEED, length };
        let row = |outcome: Outcome| {
            let disturbed = outcome.frames_due == 0;
            CellRow { live: true, disturbed, ..CellRow::of(&cell, &subject, outcome) }
        };
        let counted = Outcome { frames_due: 10, frames_taken: 10, handover_us_p50: 99.0, ..Outcome::default() };
        let table = table(&[row(middle(&[])), row(counted)]);
        assert_eq!(table.rows[0][2..10], ["–"; 8]);
        assert!(table.rows[0][10].contains("inconclusive") && table.rows[1][2] == "99", "{:?}", table.rows);
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }
}
