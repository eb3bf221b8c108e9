//! The shared memory between a virtual machine and its host: what lies in it, and how to read it without trusting it.
//!
//! A guest writes sound (Scream) and pictures (LGMP + KVMFR) into IVSHMEM, a piece of memory that the host sees as a
//! file. This crate maps that file, takes snapshots of what the guest wrote, checks them, and hands out values that
//! are safe to act on. It has no threads, no log and no clock: every function that needs the time takes it as a
//! [`HostTime`].
//!
//! # The trust rule
//!
//! The guest can write any byte at any instant. So each step makes a stronger type, and no step can be skipped:
//!
//! ```text
//! region bytes --copy--> snapshot --decode--> Guest<T> --check--> Format, Frame, Cursor
//!                                                                     |
//!              samples, rows in memory we own <--copy, counter re-read-+
//! ```
//!
//! 1. A field is fetched once; every decision uses the snapshot.
//! 2. A number the guest chose is a [`Guest<T>`](Guest) until it was compared with limits that are ours.
//! 3. Bytes of the region can only be named through a [`Span`], which was checked against the mapped length.
//! 4. After a payload was copied the producer's counter is looked at again; if it passed the slot, the copy is dropped.
//! 5. Every wait has a bound and every lock attempt a budget.
//!
//! All `unsafe` of the crate (and of the workspace, but for what ARCHITECTURE.md names) is in [`mod@raw`].
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("shm-proto needs a 64-bit host: control words of 64 bits are read with one load");

pub mod cadence;
pub mod cycle;
pub mod guest;
#[cfg(feature = "guest-sim")]
pub mod guest_sim;
pub mod kvmfr;
pub mod lgmp;
pub mod raw;
pub mod ring;
pub mod scream;
pub mod span;
pub mod time;

pub use guest::{Corrupt, Guest};
pub use raw::map::{Access, FileIdentity, MapError, Region};
pub use span::{AccessError, Purpose, Span};
pub use time::HostTime;
