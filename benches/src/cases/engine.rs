//! What the receivers' work costs in instructions, counted by callgrind: no other program on the machine changes them.
//! They are the same in every run of one build; another compiler or processor chooses others, so two builds are compared
//! with a tolerance, and `make bench-check` leaves them out.

use super::Task;
use crate::callgrind::Counter;
use crate::figure::{Better, Figure, Table};
use crate::report::{CaseReport, number};
use crate::work::{self, Work};

/// By how much a compiler's choices move a count. Unit: share.
const VARIES: f64 = 0.02;
/// Instructions that a core does in a second, to say what a count means: three gigahertz, two at a time.
const PER_CORE_S: f64 = 6e9;

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("engine");
    count(&mut report, task, |work| !work.name.starts_with("mouse"))?;
    Ok(report)
}

/// Counts what `chosen` says, into a table and figures; says in words where nothing can be counted.
pub(super) fn count(report: &mut CaseReport, task: &Task<'_>, chosen: fn(&Work) -> bool) -> anyhow::Result<()> {
    let counter = match Counter::here() {
        Ok(counter) => counter,
        Err(why) => {
            report.note = Some(why);
            return Ok(());
        }
    };
    let mut table =
        Table::new("Instructions, counted by callgrind", &["work", "instructions", "for each", "% of a core"]);
    let all: Vec<&Work> = work::ALL.iter().filter(|work| chosen(work)).collect();
    for (n, work) in all.iter().enumerate() {
        if !task.effort.progress.step(n as u64, all.len() as u64) {
            report.give_up("ended by the user");
            break;
        }
        let instructions = match counter.per_unit(work) {
            // Ctrl-C also ends what is being counted.
            Err(_) if task.effort.progress.is_stopped() => {
                report.give_up("ended by the user");
                break;
            }
            counted => counted?,
        };
        let share = if work.unit == "second of sound" {
            format!("{:.2}", 100.0 * instructions / PER_CORE_S)
        } else {
            String::new()
        };
        table.rows.push(vec![work.what.into(), number(instructions.round()), work.unit.into(), share]);
        let id = format!("{}: instructions", work.what);
        let figure = Figure::about(id, instructions, VARIES * instructions, "each", Better::Lower);
        report.figures.push(figure.tabled());
    }
    report.tables.push(table.headline());
    Ok(())
}
