//! Scream: the sound an unmodified Scream driver writes into IVSHMEM.
//!
//! The guest's driver puts 20 ms of interleaved PCM into the next of N slots and then stores that slot's index into a
//! 24-byte header at the start of the region. There is no sequence number, no time and no checksum; a restart shows
//! only as an index that goes backwards, and a stale header of a dead guest looks perfectly valid. [`Reader`] knows
//! these rules, [`Writer`] is the driver's side of them.
//!
//! | file | subject |
//! |---|---|
//! | [`wire`] | the 24 bytes, a snapshot of them, regions that belong to others |
//! | [`format`](mod@format) | rate, width, channels, mask, and their encoding |
//! | [`layout`] | the checked header: where slot *i* lies |
//! | [`reader`] | the next chunk, once, whole and in order |
//! | [`writer`] | what the driver stores, in the driver's order |
//! | [`datagram`] | the other transport: the header of a UDP datagram, and frames that straddle two |

pub mod datagram;
pub mod format;
pub mod layout;
pub mod reader;
mod stream;
pub mod wire;
pub mod writer;

pub use datagram::{Datagram, Junk};
pub use format::{Format, MAX_CHUNK_BYTES, SampleBits};
pub use layout::{CHUNK_TIME, Layout};
pub use reader::{Chunk, Counters, Poll, Reader, Waiting};
pub use wire::Foreign;
pub use writer::{StoreOrder, WriteError, Writer};
