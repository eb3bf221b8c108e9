//! The driver's side: what it stores and in which order, for simulated guests, real test guests and measurements.
//!
//! Every store of the driver is a step of its own, so a test can stop between any two of them. Source: the wire
//! reference of Scream 4.0, sections 2.3 and 2.4.

use super::format::Format;
use super::wire::{HEADER_BYTES, MAGIC, WireHeader};
use crate::raw::map::Region;
use crate::span::AccessError;
use core::ops::ControlFlow;

/// Which build of the driver stores, and so in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreOrder {
    /// 64-bit x86: the magic last.
    #[default]
    X64,
    /// 32-bit x86: the magic last.
    X86,
    /// 64-bit ARM: the magic before three of the format's fields, and no barrier anywhere.
    Arm64,
}

impl StoreOrder {
    /// All three.
    pub const ALL: [StoreOrder; 3] = [StoreOrder::X64, StoreOrder::X86, StoreOrder::Arm64];

    /// What a guest on this processor does.
    pub const HERE: StoreOrder = if cfg!(target_arch = "aarch64") { StoreOrder::Arm64 } else { StoreOrder::X64 };

    /// The stores of a start, after the header was zeroed.
    pub const fn stores(self) -> [Field; 8] {
        use Field::*;
        match self {
            StoreOrder::X64 => [Offset, ChunkSize, MaxChunks, ChannelMap, SampleRate, SampleSize, Channels, Magic],
            StoreOrder::X86 => [Offset, ChunkSize, MaxChunks, SampleRate, SampleSize, Channels, ChannelMap, Magic],
            StoreOrder::Arm64 => [Offset, ChunkSize, MaxChunks, SampleRate, Magic, SampleSize, Channels, ChannelMap],
        }
    }
}

/// A field that a start stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `WireHeader`, by name")]
pub enum Field {
    Magic,
    Offset,
    MaxChunks,
    ChunkSize,
    SampleRate,
    SampleSize,
    Channels,
    ChannelMap,
}

/// Why the writer could not write. Not retried: the region or the call is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The region is read-only, too short, or its file shrank.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Fewer than two chunks of this format fit, or a number of them that 16 bits hold as less than two.
    #[error("a region of {region_bytes} bytes has no ring of chunks of {chunk_bytes} bytes")]
    NoRing {
        /// Length of the region.
        region_bytes: u64,
        /// Length of a chunk.
        chunk_bytes: u32,
    },
    /// There is no stream: it was not opened, or it was closed or abandoned.
    #[error("no stream is open")]
    NotOpen,
    /// A chunk must have the length that the header announces.
    #[error("a chunk has {chunk_bytes} bytes, not {got_bytes}")]
    ChunkLength {
        /// What the header announces.
        chunk_bytes: u32,
        /// What was given.
        got_bytes: usize,
    },
}

/// Writes a stream as the driver does. Dropping it is what a crash does: nothing is wiped.
#[derive(Debug)]
pub struct Writer {
    region: Region,
    order: StoreOrder,
    open: Option<Open>,
}

/// What the driver remembers of its stream; it never reads the header back.
#[derive(Clone, Copy, Debug)]
struct Open {
    header: WireHeader,
    /// The driver's private index.
    index: u16,
}

impl Writer {
    /// A writer into `region`. Nothing is stored yet.
    ///
    /// # Errors
    /// [`AccessError::ReadOnly`], or [`AccessError::OutOfBounds`] if the header does not fit.
    pub fn new(region: Region, order: StoreOrder) -> Result<Writer, WriteError> {
        region.span(0, HEADER_BYTES)?;
        region.whole().word::<u16>(4)?;
        Ok(Writer { region, order, open: None })
    }

    /// The header that the driver makes for `format` in a region of `region_bytes` bytes. It does not subtract the
    /// header from the region, and keeps only 16 bits of the number of slots.
    ///
    /// # Errors
    /// [`WriteError::NoRing`]. (The driver itself would divide by zero there.)
    pub fn header_for(format: Format, region_bytes: u64) -> Result<WireHeader, WriteError> {
        let chunk_bytes = format.chunk_bytes();
        let max_chunks = ((region_bytes / u64::from(chunk_bytes)) & 0xFFFF) as u16;
        if max_chunks < 2 {
            return Err(WriteError::NoRing { region_bytes, chunk_bytes });
        }
        Ok(WireHeader {
            magic: MAGIC,
            offset: HEADER_BYTES as u8,
            max_chunks,
            chunk_size: chunk_bytes,
            sample_rate: format.rate_code(),
            sample_size: format.bits().bits(),
            channels: format.channels(),
            channel_map: format.mask(),
            ..WireHeader::default()
        })
    }

    /// Starts a stream: zeroes the header and stores the fields in the order of the build. Sound of an earlier stream
    /// stays in the slots. The first chunk goes to slot 1.
    ///
    /// # Errors
    /// [`WriteError::NoRing`], [`WriteError::Access`].
    pub fn open(&mut self, format: Format) -> Result<(), WriteError> {
        let header = Writer::header_for(format, self.region.len())?;
        self.open_as(header)
    }

    /// Starts a stream with a header of the caller's: another offset, fewer slots, or nonsense.
    ///
    /// # Errors
    /// [`WriteError::Access`].
    pub fn open_as(&mut self, header: WireHeader) -> Result<(), WriteError> {
        self.open_until(header, |_| ControlFlow::Continue(()))
    }

    /// Starts a stream, and asks `go_on` before each store; a break leaves the header as it is then.
    ///
    /// # Errors
    /// [`WriteError::Access`].
    pub fn open_until(
        &mut self,
        header: WireHeader,
        mut go_on: impl FnMut(Field) -> ControlFlow<()>,
    ) -> Result<(), WriteError> {
        self.open = Some(Open { header, index: 0 });
        self.region.span(0, HEADER_BYTES)?.fill(0)?;
        for field in self.order.stores() {
            if go_on(field).is_break() {
                break;
            }
            self.store(field, &header)?;
        }
        Ok(())
    }

    fn store(&self, field: Field, header: &WireHeader) -> Result<(), WriteError> {
        let whole = self.region.whole();
        let byte = |at: u64, value: u8| whole.sub(at, 1).and_then(|span| span.copy_from(&[value]));
        match field {
            Field::Magic => whole.word::<u32>(0)?.store_release(header.magic.to_le()),
            Field::Offset => byte(6, header.offset)?,
            Field::MaxChunks => whole.word::<u16>(8)?.store_release(header.max_chunks.to_le()),
            Field::ChunkSize => whole.word::<u32>(12)?.store_release(header.chunk_size.to_le()),
            Field::SampleRate => byte(16, header.sample_rate)?,
            Field::SampleSize => byte(17, header.sample_size)?,
            Field::Channels => byte(18, header.channels)?,
            Field::ChannelMap => whole.word::<u16>(20)?.store_release(header.channel_map.to_le()),
        }
        Ok(self.region.check_alive()?)
    }

    /// Writes the next chunk and then its index.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    ///
    /// # Errors
    /// [`WriteError::NotOpen`], [`WriteError::ChunkLength`], [`WriteError::Access`].
    pub fn publish(&mut self, pcm: &[u8]) -> Result<u16, WriteError> {
        let chunk_bytes = self.opened()?.header.chunk_size;
        if u32::try_from(pcm.len()) != Ok(chunk_bytes) {
            return Err(WriteError::ChunkLength { chunk_bytes, got_bytes: pcm.len() });
        }
        self.write_ahead(pcm)?;
        self.store_index()
    }

    /// Writes the first bytes of the next chunk, and not its index: what a reader may find at any moment.
    ///
    /// Bytes past the end of the region are left out. (The driver would write them.)
    ///
    /// # Errors
    /// [`WriteError::NotOpen`], [`WriteError::ChunkLength`] if it is longer than a chunk, [`WriteError::Access`].
    pub fn write_ahead(&mut self, pcm: &[u8]) -> Result<(), WriteError> {
        let Open { header, index } = self.opened()?;
        let (chunk_bytes, got_bytes) = (header.chunk_size, pcm.len());
        if got_bytes as u64 > u64::from(chunk_bytes) {
            return Err(WriteError::ChunkLength { chunk_bytes, got_bytes });
        }
        let at = u64::from(header.offset) + u64::from(next_slot(index, header.max_chunks)) * u64::from(chunk_bytes);
        let room = self.region.len().saturating_sub(at).min(got_bytes as u64);
        let fitting = usize::try_from(room).ok().and_then(|room| pcm.get(..room)).unwrap_or(pcm);
        if !fitting.is_empty() {
            self.region.span(at, room)?.copy_from(fitting)?;
        }
        Ok(())
    }

    /// Publishes the next chunk, whatever its slot holds.
    ///
    /// # Errors
    /// [`WriteError::NotOpen`], [`WriteError::Access`].
    pub fn store_index(&mut self) -> Result<u16, WriteError> {
        let Open { header, index } = self.opened()?;
        let index = next_slot(index, header.max_chunks);
        self.jump_to(index)?;
        Ok(index)
    }

    /// Stores an index, and goes on from there: what a confused writer does.
    ///
    /// # Errors
    /// [`WriteError::NotOpen`], [`WriteError::Access`].
    pub fn jump_to(&mut self, index: u16) -> Result<(), WriteError> {
        self.opened()?;
        self.region.whole().word::<u16>(4)?.store_release(index.to_le());
        self.open = self.open.map(|open| Open { index, ..open });
        Ok(self.region.check_alive()?)
    }

    /// Ends the stream as the x64 driver does: zeroes the first 16 bytes of the header, then the last 8.
    ///
    /// # Errors
    /// [`WriteError::NotOpen`], [`WriteError::Access`].
    pub fn close(&mut self) -> Result<(), WriteError> {
        self.opened()?;
        self.wipe_first()?;
        self.wipe_second()?;
        self.open = None;
        Ok(())
    }

    /// The first store of [`Writer::close`]: magic, index, offset, number and length of slots.
    ///
    /// # Errors
    /// [`WriteError::Access`].
    pub fn wipe_first(&self) -> Result<(), WriteError> {
        Ok(self.region.span(0, 16)?.fill(0)?)
    }

    /// The second store of [`Writer::close`]: the format.
    ///
    /// # Errors
    /// [`WriteError::Access`].
    pub fn wipe_second(&self) -> Result<(), WriteError> {
        Ok(self.region.span(16, 8)?.fill(0)?)
    }

    /// Forgets the stream and leaves the header as it is: a crash, or a close that could not map the device.
    pub fn abandon(&mut self) {
        self.open = None;
    }

    /// Whether a stream is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The header of the open stream, as it was meant.
    pub fn header(&self) -> Option<WireHeader> {
        self.open.map(|open| open.header)
    }

    /// The index stored last; 0 before the first chunk.
    pub fn index(&self) -> u16 {
        self.open.map_or(0, |open| open.index)
    }

    /// Which build of the driver this is.
    pub fn order(&self) -> StoreOrder {
        self.order
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    fn opened(&self) -> Result<Open, WriteError> {
        self.open.ok_or(WriteError::NotOpen)
    }
}

fn next_slot(index: u16, slots: u16) -> u16 {
    // Below `slots`, so it fits.
    crate::cycle::next(index.into(), slots.into()) as u16
}
