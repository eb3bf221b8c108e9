//! Pieces of the receivers' work, each of which can be done any number of times and does the same every time: what
//! instructions are counted of, and what contests time. No clock, no chance, no thread.

pub mod input;
pub mod sound;

/// A piece of work that can be counted.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name on the command line of the hidden `work`.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// What one time of it is.
    pub unit: &'static str,
    /// How often it is done at the least to be counted: so that what happens once does not matter.
    pub times: u32,
    /// Does it so many times.
    pub run: fn(u32) -> anyhow::Result<()>,
}

/// Every piece.
pub static ALL: [Work; 8] = [
    Work {
        name: "sound-48-16-2",
        what: "engine, 48 kHz, 16 bits, stereo",
        unit: "second of sound",
        times: 2,
        run: |n| sound::seconds((48_000, 16, 2), 48_000, n),
    },
    Work {
        name: "sound-44-16-2",
        what: "engine, 44.1 to 48 kHz, 16 bits, stereo",
        unit: "second of sound",
        times: 2,
        run: |n| sound::seconds((44_100, 16, 2), 48_000, n),
    },
    Work {
        name: "sound-48-24-6",
        what: "engine, 48 kHz, 24 bits, 5.1 to stereo",
        unit: "second of sound",
        times: 2,
        run: |n| sound::seconds((48_000, 24, 6), 48_000, n),
    },
    Work {
        name: "sound-192-32-8",
        what: "engine, 192 to 48 kHz, 32 bits, 7.1 to stereo",
        unit: "second of sound",
        times: 1,
        run: |n| sound::seconds((192_000, 32, 8), 48_000, n),
    },
    Work { name: "chunk", what: "reader, a chunk of 3840 bytes", unit: "chunk", times: 500, run: sound::chunks },
    Work { name: "look", what: "reader, a look that finds nothing", unit: "look", times: 5_000, run: sound::looks },
    Work {
        name: "mouse",
        what: "router and pacer, a report of motion at 1 kHz",
        unit: "report",
        times: 5_000,
        run: |n| input::motion(1_000, n),
    },
    Work {
        name: "mouse-8k",
        what: "router and pacer, a report of motion at 8 kHz",
        unit: "report",
        times: 5_000,
        run: |n| input::motion(8_000, n),
    },
];

/// The piece of this name.
pub fn find(name: &str) -> Option<&'static Work> {
    ALL.iter().find(|work| work.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_work_can_be_done_once_and_more_often() {
        for work in &ALL {
            for times in [1, 3] {
                (work.run)(times).unwrap_or_else(|e| panic!("{}: {e:#}", work.name));
            }
            assert!(std::ptr::eq(find(work.name).unwrap(), work));
        }
    }
}
