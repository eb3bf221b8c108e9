//! Copies out of shared memory, by size and by engine, against the C library's `memcpy` into the same buffer, and beside a
//! sweep that reads the same bytes and writes none, which no copy can beat. Shows why `Engines::choose` chooses as it does.

use crate::baseline::RawMapping;
use crate::contest::{Candidate, Effort, Outcome, hold};
use crate::elsewhere;
use crate::place::scratch;
use crate::report::CaseReport;
use crate::stats::median;
use shm_proto::raw::{Engine, Engines, copy_out_with};
use shm_proto::{AccessError, Purpose, Region};
use std::cell::RefCell;
use std::fs::File;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

/// A 4K frame for the GPU takes at most this share of `memcpy`'s time.
const GOAL_MAX_RATIO: f64 = 0.85;
/// Small copies walk through this much of the source in one measurement, which stays in the second-level cache: as if
/// the guest had just written it.
const WALK_BYTES: usize = 512 << 10;

/// A byte that nobody writes into the source: scratch memory is filled with another, and so is what a guest writes.
const ABSENT: u8 = 0xEE;

/// A piece of work: how many bytes, in copies of how many.
struct Unit {
    what: &'static str,
    bytes: usize,
    piece_bytes: usize,
    /// Whether another processor writes the source before each measurement, as a guest does.
    is_fresh: bool,
    goal_max_ratio: Option<f64>,
}

const fn unit(what: &'static str, bytes: usize, piece_bytes: usize) -> Unit {
    Unit { what, bytes, piece_bytes, is_fresh: false, goal_max_ratio: None }
}

const fn fresh(what: &'static str, bytes: usize) -> Unit {
    Unit { is_fresh: true, ..unit(what, bytes, bytes) }
}

const FRAME_4K_BYTES: usize = 3840 * 2160 * 4;
const FRAME_1080P_BYTES: usize = 1920 * 1080 * 4;

const UNITS: [Unit; 15] = [
    unit("1.9 KB chunk", 1_920, 1_920),
    unit("3.8 KB chunk", 3_840, 3_840),
    fresh("1.9 KB chunk, fresh", 1_920),
    fresh("3.8 KB chunk, fresh", 3_840),
    unit("64 KiB", 64 << 10, 64 << 10),
    unit("256 KiB", 256 << 10, 256 << 10),
    unit("1 MiB", 1 << 20, 1 << 20),
    unit("720p frame", 1280 * 720 * 4, 1280 * 720 * 4),
    unit("1080p frame", FRAME_1080P_BYTES, FRAME_1080P_BYTES),
    unit("1080p frame by rows", FRAME_1080P_BYTES, 1920 * 4),
    fresh("1080p frame, fresh", FRAME_1080P_BYTES),
    // Behind the guest's write pointer, which moves by 1 MiB.
    unit("4K frame by MiB", FRAME_4K_BYTES, 1 << 20),
    unit("4K frame by rows", FRAME_4K_BYTES, 3840 * 4),
    fresh("4K frame, fresh", FRAME_4K_BYTES),
    Unit { goal_max_ratio: Some(GOAL_MAX_RATIO), ..unit("4K frame", FRAME_4K_BYTES, FRAME_4K_BYTES) },
];

pub(super) fn run(effort: &Effort) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("copy");
    for unit in &UNITS {
        measure(&mut report, effort, unit)?;
    }
    Ok(report)
}

/// A way of copying from an offset on.
type Copy<'a> = Box<dyn Fn(usize, &mut [u8]) -> Result<(), AccessError> + 'a>;

/// Where one measurement copies from, and to: the same places for every candidate, so that nobody has luckier pages.
struct Path {
    at: usize,
    dst: Vec<u8>,
    piece_bytes: usize,
}

impl Path {
    fn new(unit: &Unit) -> Path {
        // Filled, so that no page of it is missing.
        Path { at: 0, dst: vec![0xA5; unit.bytes], piece_bytes: unit.piece_bytes }
    }

    /// Units in one walk.
    fn units(unit: &Unit) -> usize {
        (WALK_BYTES / unit.bytes).max(1)
    }

    /// Length of the source: two units at least, in turn, as a guest has two frames.
    fn source_bytes(unit: &Unit) -> usize {
        unit.bytes * Path::units(unit).max(2)
    }

    /// Copies the next `units` units, piece by piece.
    fn walk(&mut self, units: usize, source_bytes: usize, copy: &Copy<'_>) -> Result<(), AccessError> {
        for _ in 0..units {
            let mut at = self.at;
            for piece in self.dst.chunks_mut(self.piece_bytes) {
                copy(at, piece)?;
                at += piece.len();
            }
            self.at = at % source_bytes;
        }
        Ok(())
    }
}

fn measure(report: &mut CaseReport, effort: &Effort, unit: &Unit) -> anyhow::Result<()> {
    let source_bytes = Path::source_bytes(unit) as u64;
    let (region, file) = scratch(source_bytes)?;
    let outcome = if unit.is_fresh {
        let guest = region.clone();
        elsewhere::with(
            move |number| Ok(guest.whole().fill(number)?),
            |other| {
                let write = |number| other.ask(number);
                contest(effort, unit, &region, &file, &write)
            },
        )?
    } else {
        Some(contest(effort, unit, &region, &file, &|_| Ok(()))?)
    };
    if let Some(outcome) = outcome {
        for (place, standing) in outcome.standings.iter().enumerate() {
            // The goal is about what a receiver does with a frame.
            let goal = unit.goal_max_ratio.filter(|_| place == 0);
            report.add(unit.what, "memcpy", unit.bytes as u64, &outcome, standing, goal);
        }
    }
    Ok(())
}

/// All engines and what is chosen of them against memcpy. `write` is called before each measured walk.
fn contest(
    effort: &Effort,
    unit: &Unit,
    region: &Region,
    file: &File,
    write: &dyn Fn(u8) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let (units, source_bytes) = (Path::units(unit), Path::source_bytes(unit));
    let raw = Rc::new(RawMapping::new(file, source_bytes, source_bytes)?);
    let swept = Rc::clone(&raw);
    let path = RefCell::new(Path::new(unit));
    let repeats = if unit.bytes > 1 << 22 { 3 } else { 7 };
    let candidate = |name: String, copy: Copy<'static>| {
        let path = &path;
        Candidate::new(name, move || {
            let mut path = path.borrow_mut();
            let mut times = Vec::with_capacity(repeats);
            // One more, which does not count.
            for repeat in 0..=repeats {
                write(repeat as u8)?;
                let start = Instant::now();
                path.walk(units, source_bytes, &copy)?;
                times.push(start.elapsed().as_nanos() as f64 / units as f64);
            }
            Ok(median(&times[1..]))
        })
    };
    let memcpy = move |at: usize, dst: &mut [u8]| {
        raw.memcpy_to(at, dst);
        Ok(())
    };
    let mut candidates = vec![candidate("memcpy".into(), Box::new(memcpy))];
    for purpose in [Purpose::HandOff, Purpose::Read] {
        let name = format!("{purpose:?} = {:?}", Engines::here().choose(unit.piece_bytes, purpose));
        candidates.push(candidate(name, Box::new(chosen(region.clone(), purpose))));
    }
    for engine in Engine::ALL.into_iter().filter(|engine| Engines::here().has(*engine)) {
        let region = region.clone();
        let copy = move |at: usize, dst: &mut [u8]| copy_out_with(&region, at, dst, engine);
        candidates.push(candidate(format!("{engine:?}"), Box::new(copy)));
    }
    let sweep = move |at: usize, dst: &mut [u8]| {
        // It is nowhere, so every byte is looked at; otherwise this would be no sweep.
        assert!(!black_box(swept.holds(ABSENT, at, dst.len())), "{ABSENT:#x} in scratch memory");
        Ok(())
    };
    candidates.push(candidate("reading alone".into(), Box::new(sweep)));
    hold(effort, candidates)
}

/// What a receiver does.
fn chosen(region: Region, purpose: Purpose) -> impl Fn(usize, &mut [u8]) -> Result<(), AccessError> {
    move |at, dst| region.span(at as u64, dst.len() as u64)?.copy_to(dst, purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_looks_at_every_byte_and_finds_nothing_in_scratch_memory() {
        let (region, file) = scratch(4096).unwrap();
        let raw = RawMapping::new(&file, 4096, 4096).unwrap();
        for at in [0, 63, 2048, 4095] {
            assert!(!raw.holds(ABSENT, 0, 4096));
            region.span(at, 1).unwrap().copy_from(&[ABSENT]).unwrap();
            assert!(raw.holds(ABSENT, 0, 4096), "byte {at}");
            region.span(at, 1).unwrap().copy_from(&[0x5A]).unwrap();
        }
    }

    #[test]
    fn a_walk_copies_piece_by_piece_and_comes_round() {
        let places = |bytes: usize, piece_bytes: usize, walks: u32| {
            let unit = unit("test", bytes, piece_bytes);
            let (mut path, places) = (Path::new(&unit), RefCell::new(Vec::new()));
            let note: Copy<'_> = Box::new(|at, dst| {
                places.borrow_mut().push((at, dst.len()));
                Ok(())
            });
            for _ in 0..walks {
                path.walk(Path::units(&unit), Path::source_bytes(&unit), &note).unwrap();
            }
            drop(note);
            places.into_inner()
        };
        let half = WALK_BYTES / 2;
        assert_eq!(places(half, half, 2), [(0, half), (half, half), (0, half), (half, half)]);
        let (large, piece) = (10 * WALK_BYTES, 6 * WALK_BYTES);
        let rest = large - piece;
        let round = [(0, piece), (piece, rest), (large, piece), (large + piece, rest)];
        assert_eq!(places(large, piece, 3), [&round[..], &round[..2]].concat());
    }
}
