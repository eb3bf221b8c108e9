//! What a receiver tells about itself: [`count`] collects without ever blocking, [`figures`] makes JSON with units in
//! the names, [`status`] shows one line, [`allowance`] keeps a guest from filling the log.
//!
//! Counting happens on the real-time paths, reading in the reporting thread. Nothing is locked between the two: a report
//! is a set of single values, each right by itself, not all of the same instant.

pub mod allowance;
pub mod count;
pub mod figures;
pub mod status;

pub use allowance::Allowance;
pub use count::{Counter, Gauge, Histogram, Summary};
pub use figures::Figures;
pub use status::StatusLine;
