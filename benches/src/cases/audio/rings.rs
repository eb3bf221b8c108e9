//! What the size of a chunk and the length of Scream's ring mean: for how long a receiver may stand still before sound is
//! lost. Behind a stall in which the index came round, the reader trusts the newest chunk alone, since the guest may have
//! started anew meanwhile; so a longer ring loses less often. The real driver's layout, the real reader, virtual time.

use super::Task;
use crate::figure::{Better, Figure, Table};
use crate::report::CaseReport;
use anyhow::ensure;
use shm_proto::HostTime;
use shm_proto::guest_sim::sound::SoundGuest;
use shm_proto::guest_sim::tone::Tone;
use shm_proto::kvmfr::sizes::MIB;
use shm_proto::scream::{CHUNK_TIME, Format, Poll, Reader, Writer};
use std::time::Duration;

const START: HostTime = HostTime::from_ns(1 << 40);
/// The receiver hears at least so many chunks before it stands still, and as many afterwards.
const BEFORE: u32 = 10;
/// A stall that anybody has now and then: 100 ms.
const USUAL_STALL: u32 = 5;
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);
/// Regions. Unit: MiB; 2 is what most people give the driver.
const REGIONS_MIB: [u64; 3] = [1, 2, 4];
/// Rate, bits, channels.
const FORMATS: [(u32, u8, u8); 5] =
    [(44_100, 16, 2), (48_000, 16, 2), (48_000, 32, 2), (48_000, 16, 8), (192_000, 32, 8)];

pub(super) fn play(report: &mut CaseReport, task: &Task<'_>) -> anyhow::Result<()> {
    let mut table = Table::new(
        "Scream's ring: how long a receiver may stand still and lose nothing, and what 100 ms across the ring's end lose",
        &["sound", "bytes a chunk", "region MiB", "chunks", "longest stall s", "lost ms", "once in s"],
    );
    for (rate_hz, bits, channels) in FORMATS {
        let format = Format::new(rate_hz, bits, channels, 0)?;
        for mib in REGIONS_MIB {
            if task.effort.progress.is_stopped() {
                return Ok(());
            }
            let chunks = u32::from(Writer::header_for(format, mib * MIB)?.max_chunks);
            let longest = longest_stall(format, mib, chunks)?;
            let lost = lost_in(format, mib, chunks - 2, USUAL_STALL)?;
            let name = format!("{rate_hz} Hz, {bits} bits × {channels}");
            let seconds = |chunks: u32| f64::from(chunks) * CHUNK_TIME.as_secs_f64();
            table.rows.push(vec![
                name.clone(),
                format.chunk_bytes().to_string(),
                mib.to_string(),
                chunks.to_string(),
                format!("{:.2}", seconds(longest)),
                (lost * CHUNK_TIME.as_millis() as u64).to_string(),
                format!("{:.2}", seconds(chunks)),
            ]);
            let id = format!("{name} in {mib} MiB: longest stall without loss");
            let figure = Figure::exact(id, f64::from(longest) * CHUNK_TIME.as_millis() as f64, "ms", Better::Higher);
            report.figures.push(figure.tabled());
        }
    }
    report.tables.push(table);
    Ok(())
}

/// The most chunks that the guest may write while nobody looks, from the beginning of its ring on, and none is lost.
fn longest_stall(format: Format, mib: u64, chunks: u32) -> anyhow::Result<u32> {
    let (mut good, mut bad) = (0, chunks + 1);
    let lost = lost_in(format, mib, BEFORE, bad)?;
    ensure!(lost > 0, "{format:?} in {mib} MiB: a guest that comes round overwrites nothing");
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        *(if lost_in(format, mib, BEFORE, middle)? == 0 { &mut good } else { &mut bad }) = middle;
    }
    Ok(good)
}

/// Chunks that are lost if the receiver stands still for the time of `stall` chunks, after `before` of them.
fn lost_in(format: Format, mib: u64, before: u32, stall: u32) -> anyhow::Result<u64> {
    let mut guest = SoundGuest::builder().format(format).tone(Tone::ChunkNumbers).region_bytes(mib * MIB).build()?;
    let mut reader = Reader::new(guest.region().clone());
    let mut pcm = vec![0; shm_proto::scream::MAX_CHUNK_BYTES];
    let mut listen = |guest: &mut SoundGuest, from: HostTime, until: HostTime| -> anyhow::Result<()> {
        let mut now = from;
        while now < until {
            guest.advance(now)?;
            while !matches!(reader.poll(now, &mut pcm)?, Poll::Nothing(_)) {}
            now = now + LOOK;
        }
        Ok(())
    };
    let stands_still = START + CHUNK_TIME * before;
    listen(&mut guest, START, stands_still)?;
    // In steps, since a guest never writes more than two laps at once.
    let goes_on = stands_still + CHUNK_TIME * stall;
    let mut now = stands_still;
    while now < goes_on {
        now = (now + CHUNK_TIME).min(goes_on);
        guest.advance(now)?;
    }
    listen(&mut guest, goes_on, goes_on + CHUNK_TIME * BEFORE)?;
    let counters = reader.counters();
    ensure!(counters.chunks > u64::from(BEFORE), "{format:?} in {mib} MiB: hardly a chunk was heard");
    Ok(counters.lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_within_the_ring_loses_nothing_and_one_across_its_end_loses_what_came_meanwhile() {
        let format = Format::new(48_000, 16, 2, 0).unwrap();
        let longest = longest_stall(format, 1, 273).unwrap();
        assert!((250..=273).contains(&longest), "{longest}");
        assert_eq!(lost_in(format, 1, 100, USUAL_STALL).unwrap(), 0);
        let lost = lost_in(format, 1, 271, USUAL_STALL).unwrap();
        assert!((1..=u64::from(USUAL_STALL)).contains(&lost), "{lost}");
    }
}
