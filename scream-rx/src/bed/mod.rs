//! The virtual bed: the real engine between a virtual guest and a virtual sink, in virtual time. An hour takes a fraction of a
//! second where only times matter, and the same seed gives the same run. For tests and measurements; not in the program.
//!
//! | file | holds |
//! |---|---|
//! | `dice` | random numbers |
//! | `guest` | clock, ticks, mishaps and transport of the guest |
//! | `sink` | when a sink asks, what it says of its delay, and what is true |
//! | `run` | one run, and what was seen of it |
//! | `scenario` | the table of scenarios with what each must reach |
//! | `card` | the table of results, for people |
//! | `meter` | glitches, distortion, flatness and delay of a recording |
//! | `replay` | the engine on the arrivals of a timing file |

pub mod card;
pub mod dice;
pub mod guest;
pub mod meter;
pub mod replay;
pub mod run;
pub mod scenario;
pub mod sink;

pub use card::card;
pub use replay::{Replay, replay};
pub use run::{Outcome, Sound, run};
pub use scenario::{Limits, Scenario, scenarios};
