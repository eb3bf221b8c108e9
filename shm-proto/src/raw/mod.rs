//! The only `unsafe` code: map a region, read or write one control word, copy bytes, wait one CPU pause.
//!
//! Mapped memory is *foreign memory*: the guest, another process and we write it at the same time, so no reference,
//! slice or box ever points into it. Every block in here relies on one or more of these invariants and names them:
//!
//! * **Foreign.** The mapping is not a Rust allocation. It is reached through raw pointers by volatile accesses and by
//!   assembly alone, which may race with any writer; torn bytes are just bytes. (The one exception, on processors other
//!   than x86-64, is named in `word.rs`.)
//! * **In bounds.** A pointer is made only by `Region::at`, which compares offset and length with the mapped
//!   length. That length is ours: it was fixed when the region was mapped.
//! * **Alive.** The mapping is taken down only when the last `Region` is dropped; words and spans borrow one.
//! * **Writable.** A store goes only to a region opened with [`map::Access::ReadWrite`].
//! * **Aligned.** A word of N bytes lies at a multiple of N; the mapping starts at a page.
//! * **Faults.** A file that shrinks under the mapping raises SIGBUS; `fault.rs` puts zero pages in place of the
//!   whole mapping and marks the region as gone, so every access completes.
#![allow(unsafe_code)]

pub(crate) mod copy;
mod fault;
pub mod map;
pub mod pause;
pub mod word;

pub use copy::{Engine, Engines, out_with as copy_out_with};
