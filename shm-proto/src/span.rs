//! Checked sub-ranges of a region: the only way to name its bytes. A [`Span`] has an offset and a length, and never
//! turns into a slice; bytes leave it by copy alone.

use crate::raw::copy;
use crate::raw::map::Region;
use crate::raw::word::{ReadWord, Word, WordInt};

/// A range of a [`Region`] that was checked against the mapped length.
#[derive(Clone, Copy, Debug)]
pub struct Span<'r> {
    region: &'r Region,
    offset: usize,
    len: usize,
}

/// Why bytes of a region could not be reached. Not a guest's doing by itself: callers check guest numbers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The range reaches past its limits. The caller forgot a check, or the guest lied and the range is the check.
    #[error("{len} bytes at offset {offset} reach past the end at {limit}")]
    OutOfBounds {
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        len: u64,
        /// Bytes there are.
        limit: u64,
    },
    /// A control word must lie at a multiple of its own width.
    #[error("offset {offset} is not a multiple of {align}")]
    Misaligned {
        /// The offset asked for, from the start of the region.
        offset: u64,
        /// The width of the word in bytes.
        align: u64,
    },
    /// The region was mapped read-only, or the buffer's length is not the span's.
    #[error("the region is mapped read-only")]
    ReadOnly,
    /// Source and destination of a copy differ in length.
    #[error("a span of {span} bytes cannot be copied to or from {buffer} bytes")]
    LengthMismatch {
        /// Length of the span.
        span: u64,
        /// Length of the other side.
        buffer: u64,
    },
    /// The file behind the region shrank; the bytes read are zeros, and the region must be opened anew.
    #[error("the file behind the region shrank while it was mapped")]
    Gone,
}

/// What will happen to the bytes after the copy; decides the way they are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// This processor reads them soon (sound, headers, shapes): keep them in its cache.
    Read,
    /// A device reads them (a frame bound for the GPU): large copies bypass the cache.
    HandOff,
}

impl<'r> Span<'r> {
    pub(crate) fn new(region: &'r Region, offset: u64, len: u64) -> Result<Self, AccessError> {
        let limit = region.len();
        let error = AccessError::OutOfBounds { offset, len, limit };
        let end = offset.checked_add(len).ok_or(error)?;
        if end > limit {
            return Err(error);
        }
        // The mapped length fits in usize, and both numbers are no larger.
        Ok(Span { region, offset: offset as usize, len: len as usize })
    }

    /// Where the span starts, in bytes from the start of the region.
    pub const fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Length in bytes.
    pub const fn len(&self) -> u64 {
        self.len as u64
    }

    /// Whether it covers no byte.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes from `offset` on, both relative to this span.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if they are not all inside this span.
    pub fn sub(&self, offset: u64, len: u64) -> Result<Span<'r>, AccessError> {
        let error = AccessError::OutOfBounds { offset, len, limit: self.len() };
        let end = offset.checked_add(len).ok_or(error)?;
        if end > self.len() {
            return Err(error);
        }
        Ok(Span { region: self.region, offset: self.offset + offset as usize, len: len as usize })
    }

    /// Asks for the span's cache lines without waiting for them. Worth it where something else is waited for meanwhile,
    /// and for a few KiB only: a processor has some tens of such requests under way at most.
    ///
    /// Cannot fail, reads nothing, real-time safe.
    #[inline]
    pub fn prefetch(&self) {
        copy::ask_for(self.region, self.offset, self.len);
    }

    /// Copies the whole span into `dst`, once. Torn bytes are possible (the guest may write meanwhile) and are just
    /// bytes; whoever needs a whole payload looks at the producer's counter afterwards.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    ///
    /// # Errors
    /// [`AccessError::LengthMismatch`] if the lengths differ, [`AccessError::Gone`] if the file shrank.
    pub fn copy_to(&self, dst: &mut [u8], purpose: Purpose) -> Result<(), AccessError> {
        self.same_length(dst.len())?;
        copy::out(self.region, self.offset, dst, purpose)?;
        self.region.check_alive()
    }

    /// Copies `src` into the span. For producers and simulated guests.
    ///
    /// # Errors
    /// [`AccessError::LengthMismatch`], [`AccessError::ReadOnly`], [`AccessError::Gone`].
    pub fn copy_from(&self, src: &[u8]) -> Result<(), AccessError> {
        self.same_length(src.len())?;
        copy::into(self.region, self.offset, src)?;
        self.region.check_alive()
    }

    /// Sets every byte to `value`. For producers and simulated guests.
    ///
    /// # Errors
    /// [`AccessError::ReadOnly`], [`AccessError::Gone`].
    pub fn fill(&self, value: u8) -> Result<(), AccessError> {
        let block = [value; 4096];
        let mut at = 0;
        while at < self.len {
            let n = block.len().min(self.len - at);
            copy::into(self.region, self.offset + at, &block[..n])?;
            at += n;
        }
        self.region.check_alive()
    }

    /// A snapshot of `N` bytes from `offset` on.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`], [`AccessError::Gone`].
    pub fn read_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], AccessError> {
        let mut bytes = [0; N];
        self.sub(offset, N as u64)?.copy_to(&mut bytes, Purpose::Read)?;
        Ok(bytes)
    }

    /// A control word that is only read.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`], [`AccessError::Misaligned`].
    pub fn read_word<T: WordInt>(&self, offset: u64) -> Result<ReadWord<'r, T>, AccessError> {
        let part = self.sub(offset, size_of::<T>() as u64)?;
        ReadWord::new(self.region, part.offset)
    }

    /// A control word that is read and written.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`], [`AccessError::Misaligned`], [`AccessError::ReadOnly`].
    pub fn word<T: WordInt>(&self, offset: u64) -> Result<Word<'r, T>, AccessError> {
        let part = self.sub(offset, size_of::<T>() as u64)?;
        Word::new(self.region, part.offset)
    }

    fn same_length(&self, buffer: usize) -> Result<(), AccessError> {
        if buffer == self.len {
            Ok(())
        } else {
            Err(AccessError::LengthMismatch { span: self.len(), buffer: buffer as u64 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Region {
        Region::memfd("span-test", 8192).expect("memfd")
    }

    #[test]
    fn a_span_past_the_end_cannot_be_made() {
        let r = region();
        for (offset, len) in [(8192, 1), (0, 8193), (u64::MAX, 1), (1, u64::MAX), (8000, 193)] {
            assert!(matches!(r.span(offset, len), Err(AccessError::OutOfBounds { .. })), "{offset}+{len}");
        }
        assert!(r.span(8192, 0).is_ok());
        let s = r.span(4096, 96).unwrap();
        assert!(s.sub(95, 1).is_ok());
        assert!(matches!(s.sub(96, 1), Err(AccessError::OutOfBounds { .. })));
        assert!(matches!(s.sub(u64::MAX, 2), Err(AccessError::OutOfBounds { .. })));
    }

    #[test]
    fn bytes_come_back_as_written() {
        let r = region();
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        r.span(13, 1000).unwrap().copy_from(&data).unwrap();
        let mut back = vec![0; 1000];
        r.span(13, 1000).unwrap().copy_to(&mut back, Purpose::Read).unwrap();
        assert_eq!(back, data);
        assert_eq!(r.span(0, 8192).unwrap().read_array::<4>(14).unwrap(), data[1..5]);
    }

    #[test]
    fn lengths_must_agree() {
        let r = region();
        let e = r.span(0, 10).unwrap().copy_to(&mut [0; 9], Purpose::Read).unwrap_err();
        assert_eq!(e, AccessError::LengthMismatch { span: 10, buffer: 9 });
    }

    #[test]
    fn words_must_be_aligned_and_inside() {
        let r = region();
        let s = r.span(2, 100).unwrap();
        assert!(matches!(s.read_word::<u32>(0), Err(AccessError::Misaligned { offset: 2, align: 4 })));
        assert!(s.read_word::<u32>(2).is_ok());
        assert!(matches!(s.read_word::<u16>(99), Err(AccessError::OutOfBounds { .. })));
    }

    #[test]
    fn filling_reaches_every_byte() {
        let r = region();
        r.span(1, 8190).unwrap().fill(0xA5).unwrap();
        let all = r.span(0, 8192).unwrap().read_array::<8192>(0).unwrap();
        assert!(all[1..8191].iter().all(|b| *b == 0xA5));
        assert_eq!((all[0], all[8191]), (0, 0));
    }
}
