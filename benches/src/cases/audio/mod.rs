//! Sound: the card of the engine in virtual time, which is always there; what sizes of chunks and lengths of rings mean;
//! and the whole way into a private sound server, where one can be started.

mod card;
mod fitness;
mod guest;
mod live;
mod plain;
mod recorded;
mod rings;

use super::Task;
use crate::report::CaseReport;

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("audio");
    card::play(&mut report, task)?;
    rings::play(&mut report, task)?;
    if !task.is_exact && !task.effort.progress.is_stopped() {
        live::measure(&mut report, task)?;
    }
    Ok(report)
}
