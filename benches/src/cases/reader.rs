//! The Scream reader against one that checks nothing, per chunk.
//!
//! Many regions, each with one new chunk: so every call does what a call does in a running stream, and one look at the
//! clock is shared by all of them. A fence stands between two calls, since a real chunk comes alone: nothing of the next
//! one can start while the last one is still on its way. A thread on another processor writes the chunks, as a guest
//! does; the goal is about that. The same with chunks that the reader's own processor has just written shows the bare
//! price of the checks, with no memory to hide behind.

use crate::baseline::UncheckedScreamReader;
use crate::contest::{Candidate, Effort, Outcome, hold};
use crate::elsewhere;
use crate::place::scratch;
use crate::report::CaseReport;
use crate::stats::median;
use anyhow::ensure;
use shm_proto::HostTime;
use shm_proto::scream::{CHUNK_TIME, Format, Poll, Reader, StoreOrder, WriteError, Writer};
use std::cell::RefCell;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

/// A chunk takes at most this many times the unchecked reader's time.
const GOAL_MAX_RATIO: f64 = 1.10;
/// Regions, each with a reader of both kinds.
const LANES: usize = 24;
/// Rounds of one measurement, of which the median counts.
const ROUNDS: usize = 60;
/// Length of each region: what Scream's manual asks for.
const REGION_BYTES: u64 = 2 << 20;

/// Chunks: name, bits per sample, channels, and whether the goal is about it. All at 48 kHz.
const FORMATS: [(&str, u8, u8, bool); 3] = [
    ("3840 B, 16 bits × 2", 16, 2, true),
    ("1920 B, 16 bits × 1", 16, 1, false),
    ("23040 B, 24 bits × 8", 24, 8, false),
];

/// The guest's side of every lane.
struct Writers {
    writers: Vec<Writer>,
    chunk: Vec<u8>,
}

/// Writes the chunk of this number into every lane.
type Guest<'a> = Box<dyn FnMut(u8) -> anyhow::Result<()> + 'a>;

/// The two readers of one lane.
struct Lane {
    reader: Reader,
    unchecked: UncheckedScreamReader,
}

/// All lanes, and the time they live in.
struct Lanes<'a> {
    lanes: Vec<Lane>,
    guest: Guest<'a>,
    now: HostTime,
    number: u8,
    pcm: Vec<u8>,
}

/// Which reader is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Ours,
    Unchecked,
}

pub(super) fn run(effort: &Effort) -> anyhow::Result<CaseReport> {
    let (mut report, mut is_alone) = (CaseReport::new("reader"), false);
    for (what, bits, channels, has_goal) in FORMATS {
        let format = Format::new(48_000, bits, channels, 3)?;
        let mut add = |place, outcome: &Outcome, goal| {
            for standing in &outcome.standings {
                let what = format!("{what}, written {place}");
                let bytes = u64::from(format.chunk_bytes());
                report.add(&what, "a reader that checks nothing", bytes, outcome, standing, goal);
            }
        };
        let outcome = with_guest_elsewhere(format, |lanes| contest(effort, lanes))?;
        if let Some(outcome) = &outcome {
            add("on another processor", outcome, has_goal.then_some(GOAL_MAX_RATIO));
        }
        add("here", &with_guest_here(format, |lanes| contest(effort, lanes))?, None);
        is_alone |= outcome.is_none();
    }
    if is_alone {
        report.give_up("a guest on another processor needs two of them");
    }
    Ok(report)
}

/// Runs `work` with chunks that another processor has just written.
fn with_guest_elsewhere<T>(
    format: Format,
    work: impl FnOnce(Lanes<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let (lanes, mut writers) = lanes(format)?;
    let write = move |number| Ok(writers.publish(number)?);
    elsewhere::with(write, |other| {
        let guest = Box::new(move |number| other.ask(number));
        work(Lanes::new(lanes, guest, format)?)
    })
}

/// Runs `work` with chunks that this processor has just written.
fn with_guest_here<T>(format: Format, work: impl FnOnce(Lanes<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (lanes, mut writers) = lanes(format)?;
    let guest = Box::new(move |number| Ok(writers.publish(number)?));
    work(Lanes::new(lanes, guest, format)?)
}

fn contest(effort: &Effort, lanes: Lanes<'_>) -> anyhow::Result<Outcome> {
    let lanes = RefCell::new(lanes);
    let candidate = |name, who| {
        let lanes = &lanes;
        Candidate::new(name, move || lanes.borrow_mut().measure(who))
    };
    hold(effort, vec![candidate("unchecked", Who::Unchecked), candidate("ours", Who::Ours)])
}

/// Streams in as many regions, and what reads and writes them.
fn lanes(format: Format) -> anyhow::Result<(Vec<Lane>, Writers)> {
    let chunk_bytes = format.chunk_bytes() as usize;
    let header = Writer::header_for(format, REGION_BYTES)?;
    let (mut lanes, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..LANES {
        let (region, file) = scratch(REGION_BYTES)?;
        let reader = Reader::new(region.clone()).with_order(StoreOrder::X64);
        let mut writer = Writer::new(region, StoreOrder::X64)?;
        writer.open_as(header)?;
        let unchecked = UncheckedScreamReader::new(&file, usize::try_from(REGION_BYTES)?, header.offset, chunk_bytes)?;
        lanes.push(Lane { reader, unchecked });
        writers.push(writer);
    }
    Ok((lanes, Writers { writers, chunk: vec![0; chunk_bytes] }))
}

impl Writers {
    /// One chunk, all of it this number, into every region.
    fn publish(&mut self, number: u8) -> Result<(), WriteError> {
        self.chunk.fill(number);
        self.writers.iter_mut().try_for_each(|writer| writer.publish(&self.chunk).map(drop))
    }
}

impl<'a> Lanes<'a> {
    /// The lanes, once every reader follows its stream and has nothing left to take.
    fn new(lanes: Vec<Lane>, guest: Guest<'a>, format: Format) -> anyhow::Result<Lanes<'a>> {
        let pcm = vec![0; format.chunk_bytes() as usize];
        let mut lanes = Lanes { lanes, guest, now: HostTime::from_ns(1 << 40), number: 0, pcm };
        for _ in 0..8 {
            lanes.publish()?;
            for _ in 0..4 {
                lanes.take(Who::Ours)?;
                lanes.take(Who::Unchecked)?;
            }
        }
        Ok(lanes)
    }

    /// One chunk in every region, and a chunk's time passes.
    fn publish(&mut self) -> anyhow::Result<()> {
        self.now = self.now + CHUNK_TIME;
        self.number = self.number.wrapping_add(1);
        (self.guest)(self.number)
    }

    /// The median time of a chunk for one reader, in nanoseconds. The other one takes its chunks untimed, afterwards.
    fn measure(&mut self, who: Who) -> anyhow::Result<f64> {
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            self.publish()?;
            let start = Instant::now();
            let first = self.take(who)?;
            times.push(start.elapsed().as_nanos() as f64 / LANES as f64);
            let second = self.take(if who == Who::Ours { Who::Unchecked } else { Who::Ours })?;
            ensure!((first, second) == (LANES, LANES), "{first} and {second} of {LANES} chunks were taken");
        }
        Ok(median(&times))
    }

    /// Takes the next chunk of every region. How many there were.
    #[inline(never)]
    fn take(&mut self, who: Who) -> anyhow::Result<usize> {
        let mut taken = 0;
        match who {
            Who::Ours => {
                for lane in &mut self.lanes {
                    taken += usize::from(matches!(lane.reader.poll(self.now, &mut self.pcm)?, Poll::Chunk(_)));
                    fence(Ordering::SeqCst);
                }
            }
            Who::Unchecked => {
                for lane in &mut self.lanes {
                    taken += usize::from(lane.unchecked.poll(&mut self.pcm));
                    fence(Ordering::SeqCst);
                }
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_chunks(mut lanes: Lanes<'_>) -> anyhow::Result<()> {
        for _ in 0..20 {
            lanes.publish()?;
            for who in [Who::Ours, Who::Unchecked] {
                lanes.pcm.fill(0);
                assert_eq!(lanes.take(who)?, LANES, "{who:?}");
                assert!(lanes.pcm.iter().all(|byte| *byte == lanes.number), "{who:?}");
                assert_eq!(lanes.take(who)?, 0, "{who:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn both_readers_take_the_same_chunks_wherever_the_guest_runs() {
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        with_guest_here(format, check_chunks).unwrap();
        with_guest_elsewhere(format, check_chunks).unwrap();
    }
}
