//! What both receivers need of the host: settings, the watch over a region's file, counters and reports, signals,
//! real-time rights, the service manager, logs, the doctor, and the way a program ends.
//!
//! Nothing here knows a sound server or a window, and of the protocols only what tells them apart. No thread is spawned here: whoever wants one spawns it in
//! its own `main.rs` and hands it a [`signals::Stop`]. All calls that block take a bound and end at once when a stop is
//! asked for. The clock is read in [`clock`] and by the calls that block; policies take the time as an argument.
//!
//! A receiver's `main.rs` has this shape:
//!
//! ```
//! use rx_host::exit::{self, Exit};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     exit::run("some-rx", || {
//!         let signals = rx_host::signals::Signals::install()?;
//!         // spawn threads with signals.stop().clone(), then wait for the end:
//!         signals.stop().request();
//!         while !signals.stop().wait(std::time::Duration::from_millis(500)) {}
//!         Ok(Exit::Done)
//!     })
//! }
//! ```
#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod cli;
pub mod clock;
pub mod doctor;
pub mod environment;
pub mod exit;
pub mod log;
pub mod nearest;
pub mod notify;
pub mod people;
pub mod realtime;
pub mod report;
pub mod settings;
pub mod signals;
pub mod term;
pub mod wait;
pub mod watch;
