//! What is measured. Each case compares us with a named reference, or counts exactly, and knows its goal.

mod allocations;
mod audio;
mod copy;
mod engine;
mod handover;
mod input;
mod present;
mod reader;
mod ready;
pub mod ring_size;
mod wait;

use crate::contest::Effort;
use crate::report::CaseReport;

pub use allocations::count as count_allocations;

/// A case: what `rx-bench list` shows, and how it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub what: &'static str,
    /// Its goal, in words.
    pub goal: &'static str,
    /// Measures it.
    pub run: fn(&Task<'_>) -> anyhow::Result<CaseReport>,
    /// Whether any of it is the same on every machine.
    pub has_exact: bool,
}

/// What a case is asked to do.
#[derive(Debug)]
pub struct Task<'a> {
    /// How much, and whom to tell.
    pub effort: &'a Effort,
    /// What `ring-size` sweeps.
    pub sweep: &'a ring_size::sweep::Sweep,
    /// Less, and rougher.
    pub is_quick: bool,
    /// Only what is the same on every machine.
    pub is_exact: bool,
}

/// Every case, in the order in which they are run.
pub const ALL: [Case; 11] = [
    Case {
        name: "ring-size",
        what: "region, slots and readers for every picture: stalls, torn frames, hand-over; and advice",
        goal: "no torn frame is ever taken for a whole one",
        run: ring_size::run,
        has_exact: true,
    },
    Case {
        name: "copy",
        what: "a picture or a chunk out of shared memory, by each engine, against libc memcpy and reading alone",
        goal: "a 4K frame to be handed off: at most 0.85 of memcpy",
        run: |task| copy::run(task.effort),
        has_exact: false,
    },
    Case {
        name: "reader",
        what: "the Scream reader, per chunk, against a reader that checks nothing",
        goal: "a chunk of 3840 bytes: at most 1.10 of the unchecked reader",
        run: |task| reader::run(task.effort),
        has_exact: false,
    },
    Case {
        name: "ready",
        what: "from the guest's last row to a complete picture here, against copying all of it from then on",
        goal: "at most 0.05 of the whole copy",
        run: |task| ready::run(task.effort),
        has_exact: false,
    },
    Case {
        name: "handover",
        what: "a publication through our ring from one thread to another, against a bare atomic",
        goal: "8 bytes: at most 2 times the bare atomic",
        run: |task| handover::run(task.effort),
        has_exact: false,
    },
    Case {
        name: "wait",
        what: "how soon a publication is seen, and the price: our prediction against polls of 1 and 6.25 ms",
        goal: "pictures at 144 Hz: a median of at most 0.05 of a 1 ms poll's, for at most 3 % of a core",
        run: wait::run,
        has_exact: true,
    },
    Case {
        name: "audio",
        what: "delay, drift, gaps and distortion of the sound: in virtual time, and into a private PulseAudio",
        goal: "every scenario keeps its limits",
        run: audio::run,
        has_exact: true,
    },
    Case {
        name: "present",
        what: "a picture through the GPU without a window, stage by stage, beside a copy in memory",
        goal: "none",
        run: present::run,
        has_exact: false,
    },
    Case {
        name: "input",
        what: "a mouse of 1 and 8 kHz through router and pacer: delay, counts, time and instructions of a report",
        goal: "a mouse of 8 kHz: at most 1 % of a core",
        run: input::run,
        has_exact: true,
    },
    Case {
        name: "engine",
        what: "instructions for a second of sound, a chunk, a look; counted by callgrind where it is installed",
        goal: "none",
        run: engine::run,
        has_exact: false,
    },
    Case {
        name: "alloc",
        what: "allocations per publication, chunk and frame once a reader runs, counted exactly",
        goal: "none",
        run: |_| allocations::run(),
        has_exact: true,
    },
];

/// The case of this name.
pub fn find(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}
