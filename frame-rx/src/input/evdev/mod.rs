//! Keyboards and mice of the host, read where the kernel offers them: `/dev/input/event*`.
//!
//! ```text
//! sysfs -> Facts --Rule--> Node -bytes-> Event --Reports--> InputFrame -> router
//! ```
//!
//! [`facts`], [`rule`], [`event`], [`report`] and [`retry`] are pure (facts read text files); [`node`] and [`folder`]
//! are devices, [`devices`] keeps them together. Stamps are those of the kernel, by `CLOCK_MONOTONIC`. How many events
//! the kernel dropped is not told by it: losses are counted, not events.

pub mod devices;
pub mod event;
pub mod facts;
pub mod folder;
pub mod node;
pub mod report;
pub mod retry;
pub mod rule;
