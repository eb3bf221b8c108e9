//! `rx-bench`: what the receivers cost, as ratios to a named reference within one run, and as exact counters.
//!
//! Absolute times of a shared machine are weather: the same copy took 1.5 ms and 3.5 ms on one afternoon. So every time
//! in here is measured beside a reference, in blocks whose order is shuffled, and what is claimed is the median of the
//! paired ratios with the interval that a bootstrap gives. A block during which the machine was busy with something
//! else is void; too many void blocks, and the answer is "inconclusive", never "pass".
//!
//! | module | subject |
//! |---|---|
//! | [`contest`] | candidates beside a reference, block by block |
//! | [`noise`] | whether the machine was ours during a block |
//! | [`stats`] | medians, paired ratios, bootstrap, verdicts. Pure |
//! | [`random`] | the seeded numbers behind shuffles and bootstrap. Pure |
//! | [`cases`] | what is measured |
//! | [`work`] | pieces of the receivers' work, the same every time |
//! | [`callgrind`] | counts the instructions of such a piece |
//! | [`elsewhere`] | a thread on another processor that writes what is then read |
//! | [`replay`] | what a timing file of `scream-rx` says |
//! | [`recording`] | what pictures recorded by `frame-rx` say |
//! | [`report`] | the results, as a table for people and as JSON |
//! | [`timeline`] | virtual and real time for actors: the same code, repeatable in the one and measured in the other |
//! | [`protocol`] | what hands pictures over: one row for each version |
//! | [`mode`] | display modes. Pure |
//! | [`figure`] | what a case may say: figures, tables, maps, plots |
//! | [`chart`] | draws maps and plots as SVG. Pure |
//! | [`progress`] | how far a long run is, and whether it shall go on |
//! | [`compare`] | two runs side by side, and budgets |
//! | [`page`] | the results as a page of HTML and as Markdown. Pure |
//! | [`summary`] | the results in short, for a README. Pure |
//! | [`place`] | scratch files, processors, the machine's name |
//! | [`baseline`] | what we are measured against, and the counting allocator: the only `unsafe` here |
//! | [`cli`] | the command line |
#![deny(unsafe_code)]

pub mod baseline;
pub mod callgrind;
pub mod cases;
pub mod chart;
pub mod cli;
pub mod compare;
pub mod contest;
pub mod elsewhere;
pub mod figure;
pub mod mode;
pub mod noise;
pub mod page;
pub mod place;
pub mod progress;
pub mod protocol;
pub mod random;
pub mod recording;
pub mod replay;
pub mod report;
pub mod stats;
pub mod summary;
pub mod timeline;
pub mod work;
