//! Plays the sound that a guest's Scream driver writes into shared memory or sends, with a delay that does not drift.
//!
//! ```text
//! intake thread (paced by the guest)                      playout thread (paced by the sink)
//! region -> chunk -> convert -> channels -> Feed =ring=> Stream -> conceal -> resample -> Playout::fill -> sink
//!                                             \=arrivals=> clock -> drift, target -> ratio
//! ```
//!
//! Whoever reads this first reads [`stream`] (what crosses between the two threads), then [`playout`] (the engine), then
//! the pure policies. Sinks and intake are at the edges and know nothing of each other.
#![forbid(unsafe_code)]

#[cfg(feature = "bed")]
pub mod bed;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod conceal;
pub mod convert;
pub mod counters;
pub mod demo;
pub mod desk;
pub mod doctor;
pub mod drift;
pub mod ending;
pub mod grain;
pub mod handover;
pub mod intake;
pub mod origin;
pub mod outputs;
pub mod playout;
pub mod prepared;
pub mod receiver;
pub mod record;
pub mod reload;
pub mod resample;
pub mod say;
pub mod service;
pub mod settings;
pub mod sink;
pub mod stats;
pub mod status;
pub mod steer;
pub mod stream;
pub mod target;
pub mod timing;
