//! What the simulated guest can be asked to do.

use crate::pattern::Pattern;
use crate::picture::PictureTask;
use crate::place::Place;
use crate::simulate::Simulator;
use crate::sound::SoundTask;
use clap::{Args, Parser, Subcommand};
use shm_proto::HostTime;
use std::time::Duration;

/// Writes what a guest writes into a file of shared memory, in real time, without a virtual machine.
#[derive(Debug, Parser)]
#[command(name = "rx-guest", version, max_term_width = 100)]
pub struct Cli {
    /// What to write.
    #[command(subcommand)]
    pub task: Task,
}

/// What to write.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Sound, as the Scream driver of a Windows guest
    Sound(SoundTask),
    /// A picture, as the Looking Glass host of a Windows guest
    Picture(PictureTask),
    /// Numbers that depend on their place, once over the whole file
    Pattern(PatternTask),
}

/// Options of the pattern.
#[derive(Debug, Args)]
pub struct PatternTask {
    #[command(flatten)]
    place: Place,
    /// Where the sequence of numbers starts
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

impl Task {
    /// Opens the file and gets ready to write, the first time at `now`.
    pub fn open(&self, now: HostTime) -> anyhow::Result<Box<dyn Simulator>> {
        Ok(match self {
            Task::Sound(task) if task.network.udp => Box::new(task.open_network(now)?),
            Task::Sound(task) => Box::new(task.open(now)?),
            Task::Picture(task) => Box::new(task.open(now)?),
            Task::Pattern(task) => Box::new(Pattern::new(task.place.name(), task.place.open(1 << 20)?, task.seed)),
        })
    }

    /// How long to write.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Task::Sound(task) => task.place.length(),
            Task::Picture(task) => task.place.length(),
            Task::Pattern(task) => task.place.length(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
