//! One cell of the sweep: a guest and its readers on one region, in virtual or in real time, and what came of it.

use super::reader::{Behaviour, Seen, follow};
use crate::mode::Mode;
use crate::protocol::{Guest, Load, Offered, Protocol};
use crate::random::Random;
use crate::timeline::{self, Actor, BEGIN, Clock};
use serde::{Deserialize, Serialize};
use shm_proto::{HostTime, Region};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Readers join and everything settles before this; nothing counts yet. An LGMP viewer needs a heartbeat or two, which come
/// each 250 ms with LGMP 12.
const WARM_UP: Duration = Duration::from_millis(800);
/// How often a guest does what is due besides frames. Source: the wire reference, 2.6.
const TICK: Duration = Duration::from_millis(10);
/// How often a guest that must wait looks again. Source: ours; a stock producer sleeps about so long.
const RETRY: Duration = Duration::from_micros(500);
/// A guest's capture is up to so much late, evenly spread.
const CAPTURE_JITTER_NS: usize = 600_000;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// By whom.
    pub protocol: &'static dyn Protocol,
    /// What is handed over.
    pub load: Load,
    /// How often.
    pub mode: Mode,
    /// Who reads.
    pub behaviour: Behaviour,
    /// Decides jitter and stalls.
    pub seed: u64,
    /// For how long.
    pub length: Duration,
}

/// What came of a cell. In virtual time every figure is exact: the same in every run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Frames that the guest wanted to write.
    pub frames_due: u64,
    /// Those that had to wait because readers held every slot.
    pub frames_stalled: u64,
    /// Those that were never written: the next one was due before there was room, or before the guest had written the one
    /// before.
    pub frames_lost: u64,
    /// How long the guest waited in all.
    pub stalled_ms: f64,
    /// Frames written that the worst reader never showed: a newer one was there.
    pub frames_passed_over: u64,
    /// Copies that were overwritten meanwhile, found out and thrown away, of the worst reader.
    pub frames_torn: u64,
    /// Copies that were overwritten and *not* found out. Must be 0.
    pub frames_wrong: u64,
    /// Frames the worst reader took.
    pub frames_taken: u64,
    /// From the last byte written to the last byte copied, of the worst reader: median.
    pub handover_us_p50: f64,
    /// The same, 99 of 100.
    pub handover_us_p99: f64,
    /// The same, 999 of 1000.
    pub handover_us_p999: f64,
    /// The longest.
    pub handover_us_max: f64,
    /// Standard deviation of the same.
    pub jitter_us: f64,
    /// Bytes that the worst reader took in a second.
    pub bytes_per_s: f64,
}

impl Outcome {
    /// Stalled frames, of a hundred.
    pub fn stalled_percent(&self) -> f64 {
        percent(self.frames_stalled, self.frames_due)
    }

    /// Frames that were due and that the worst reader never showed, of a hundred.
    pub fn unseen_percent(&self) -> f64 {
        percent(self.frames_lost + self.frames_passed_over, self.frames_due)
    }

    /// Torn frames, of a hundred.
    pub fn torn_percent(&self) -> f64 {
        percent(self.frames_torn, self.frames_due)
    }
}

fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * part as f64 / of as f64 }
}

/// What the guest did.
#[derive(Debug, Default)]
struct Written {
    due: u64,
    stalled: u64,
    lost: u64,
    stalled_for: Duration,
    /// When the last byte of a frame was written.
    at: HashMap<u64, HostTime>,
}

/// One actor's account.
enum Account {
    Guest(anyhow::Result<Written>),
    Reader(anyhow::Result<Seen>),
}

impl Cell {
    /// Runs the cell in virtual time.
    ///
    /// # Errors
    /// What a protocol says.
    pub fn play(&self, region: &Region) -> anyhow::Result<Outcome> {
        self.settle(|actors| timeline::play(actors), region)
    }

    /// Runs the cell by the host's clock, guest and readers on processors of their own. Also how long the one that was kept
    /// waiting most wanted to run while others did.
    ///
    /// # Errors
    /// What a protocol says.
    pub fn play_for_real(&self, region: &Region, processors: &[usize]) -> anyhow::Result<(Outcome, Duration)> {
        let mut waited = Duration::ZERO;
        let play = |actors: Vec<Actor<'_, Account>>| {
            let (accounts, longest) = timeline::play_for_real(actors, processors);
            waited = longest;
            accounts
        };
        let outcome = self.settle(play, region)?;
        Ok((outcome, waited))
    }

    fn settle(
        &self,
        play: impl FnOnce(Vec<Actor<'_, Account>>) -> Vec<Account>,
        region: &Region,
    ) -> anyhow::Result<Outcome> {
        let over = AtomicBool::new(false);
        let guest: Actor<'_, Account> = Box::new(|clock| {
            // However the guest ends, its readers do too.
            let _over = SetOnDrop(&over);
            let guest = self.protocol.guest(region, &self.load, clock);
            Account::Guest(guest.and_then(|mut guest| write(self, guest.as_mut(), clock)))
        });
        let reader = |number: usize| -> Actor<'_, Account> {
            let over = &over;
            Box::new(move |clock| Account::Reader(follow(self, number, region, clock, over)))
        };
        let readers = (0..self.behaviour.readers()).map(reader);
        let (mut written, mut seen) = (Written::default(), Vec::new());
        for account in play(std::iter::once(guest).chain(readers).collect()) {
            match account {
                Account::Guest(result) => written = result?,
                Account::Reader(result) => seen.push(result?),
            }
        }
        let outcomes = seen.iter().map(|seen| self.outcome(&written, seen));
        // Of two readers, the one that saw less; of equals, the later.
        let worst = |a: Outcome, b: Outcome| {
            let key = |o: &Outcome| (o.frames_passed_over + o.frames_torn, o.handover_us_p99);
            if key(&b) > key(&a) { b } else { a }
        };
        Ok(outcomes.reduce(worst).unwrap_or_default())
    }

    fn outcome(&self, written: &Written, seen: &Seen) -> Outcome {
        let mut times: Vec<f64> = seen
            .accepted
            .iter()
            .filter_map(|(number, at)| Some(at.signed_ns_since(*written.at.get(number)?) as f64 / 1e3))
            .collect();
        times.sort_by(f64::total_cmp);
        let taken = times.len() as u64;
        let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
        let variance = times.iter().map(|t| (t - mean) * (t - mean)).sum::<f64>() / times.len().max(1) as f64;
        let at = |quantile: f64| rank(&times, quantile);
        Outcome {
            frames_due: written.due,
            frames_stalled: written.stalled,
            frames_lost: written.lost,
            stalled_ms: written.stalled_for.as_secs_f64() * 1e3,
            frames_passed_over: (written.at.len() as u64).saturating_sub(taken),
            frames_torn: seen.torn,
            frames_wrong: seen.wrong,
            frames_taken: taken,
            handover_us_p50: at(0.5),
            handover_us_p99: at(0.99),
            handover_us_p999: at(0.999),
            handover_us_max: at(1.0),
            jitter_us: variance.sqrt(),
            bytes_per_s: taken as f64 * self.load.spec.bytes() as f64 / self.length.as_secs_f64(),
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The value that `quantile` of the sorted values do not exceed; 0 without any.
fn rank(sorted: &[f64], quantile: f64) -> f64 {
    let place = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(place.max(1) - 1).copied().unwrap_or(0.0)
}

/// The guest's life.
fn write(cell: &Cell, guest: &mut dyn Guest, clock: &dyn Clock) -> anyhow::Result<Written> {
    let mut random = Random::new(cell.seed);
    let mut written = Written::default();
    let (begin, period) = (clock.now(), cell.mode.period());
    let counts_from = begin + WARM_UP;
    let end = counts_from + cell.length;
    for number in 1u64.. {
        let due = begin + period * u32::try_from(number).unwrap_or(u32::MAX);
        // A frame at the very end is written but has no time to be read: it does not count.
        if due + period >= end {
            break;
        }
        let captured = due + Duration::from_nanos(random.below(CAPTURE_JITTER_NS) as u64);
        let counts = due >= counts_from;
        written.due += u64::from(counts);
        // What was drawn while the guest still wrote another is captured if nothing newer is there.
        if clock.now() >= due + period {
            written.lost += u64::from(counts);
            continue;
        }
        rest_until(captured, guest, clock)?;
        guest.tick(clock)?;
        let asked = clock.now();
        let (is_written, is_stalled) = offer(number, due + period, guest, clock)?;
        if counts {
            written.lost += u64::from(is_written == Some(false));
            written.stalled += u64::from(is_stalled);
            if is_stalled {
                written.stalled_for += clock.now().since(asked);
            }
            if is_written == Some(true) {
                written.at.insert(number, clock.now());
            }
        }
    }
    // Readers finish what they have begun.
    rest_until(end, guest, clock)?;
    Ok(written)
}

/// Waits, and does what is due meanwhile.
fn rest_until(at: HostTime, guest: &mut dyn Guest, clock: &dyn Clock) -> anyhow::Result<()> {
    loop {
        let step = if guest.keeps_one() { RETRY } else { TICK };
        if clock.now() + step >= at {
            break;
        }
        clock.sleep(step);
        guest.tick(clock)?;
    }
    clock.sleep_until(at);
    Ok(())
}

/// Offers a frame until readers leave room for it, or the next one is due. Whether it is written (nothing: nobody reads),
/// and whether the guest had to wait.
fn offer(
    number: u64,
    next_due: HostTime,
    guest: &mut dyn Guest,
    clock: &dyn Clock,
) -> anyhow::Result<(Option<bool>, bool)> {
    let mut is_stalled = false;
    loop {
        match guest.offer(clock, number)? {
            Offered::Written => return Ok((Some(true), is_stalled)),
            Offered::NobodyReads => return Ok((None, is_stalled)),
            // Behind the next frame's time there is no use in this one.
            Offered::Full if clock.now() >= next_due => return Ok((Some(false), true)),
            Offered::Full => {
                is_stalled = true;
                clock.sleep(RETRY);
                guest.tick(clock)?;
            }
        }
    }
}

/// Where virtual readers begin: a moment after the guest, in an order that does not matter.
pub(super) fn reader_begin(number: usize) -> HostTime {
    BEGIN + Duration::from_micros(1_300 + 700 * number as u64)
}
