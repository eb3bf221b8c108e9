//! What we are measured against: readers that trust what they read, straight from the mapping; and the allocator that
//! counts. The only file of the workspace outside `shm-proto/src/raw` that holds `unsafe`, because nothing safe can
//! show what safety costs.
//!
//! Nothing in here is part of a receiver. Invariants its blocks rely on:
//!
//! * **Ours.** The mapped file is a scratch file of this process; while a baseline reads, nobody writes.
//! * **In bounds.** Lengths are compared with the mapped length, or the mapping is so large that no number the reader
//!   can come by leads out of it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A read-only mapping of a scratch file, followed by unbacked pages.
#[derive(Debug)]
pub struct RawMapping {
    at: *const u8,
    len: usize,
}

impl RawMapping {
    /// Maps `file_len` bytes of `file` and reserves address space up to `len` bytes behind its start. What is behind the
    /// file's last page reads as zeros.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(file: &File, file_len: usize, len: usize) -> io::Result<RawMapping> {
        let len = len.max(file_len).next_multiple_of(4096);
        let none = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at a place that the system chooses disturbs nobody.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, none, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let shared = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
        // SAFETY: replaces the start of the mapping just made, which nobody has seen yet; `file_len` is no more than it.
        let file_at = unsafe { libc::mmap(at, file_len, libc::PROT_READ, shared, file.as_raw_fd(), 0) };
        if file_at == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            // SAFETY: the reservation made above, which nobody has seen.
            unsafe { libc::munmap(at, len) };
            return Err(error);
        }
        Ok(RawMapping { at: at.cast_const().cast(), len })
    }

    /// Copies `dst.len()` bytes from `offset` on by the C library's `memcpy`.
    ///
    /// # Panics
    /// If they are not all in the mapping.
    #[inline]
    pub fn memcpy_to(&self, offset: usize, dst: &mut [u8]) {
        assert!(offset <= self.len && dst.len() <= self.len - offset, "{offset} + {} in {}", dst.len(), self.len);
        let src = self.at.wrapping_add(offset);
        // SAFETY: In bounds by the assertion, and `dst` is as long; Ours: nobody writes meanwhile; they cannot overlap,
        // since the mapping is no Rust memory.
        unsafe { libc::memcpy(dst.as_mut_ptr().cast(), src.cast(), dst.len()) };
    }

    /// Whether `byte` is among the `len` bytes from `offset` on. Where it is not, the C library's `memchr` has read them all
    /// and written nothing: what is left of a copy without its target.
    ///
    /// # Panics
    /// If they are not all in the mapping.
    #[inline]
    pub fn holds(&self, byte: u8, offset: usize, len: usize) -> bool {
        assert!(offset <= self.len && len <= self.len - offset, "{offset} + {len} in {}", self.len);
        let src = self.at.wrapping_add(offset);
        // SAFETY: In bounds by the assertion; Ours: nobody writes meanwhile.
        let found = unsafe { libc::memchr(src.cast(), i32::from(byte), len) };
        !found.is_null()
    }
}

impl Drop for RawMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, of that length; no borrow of it exists.
        unsafe { libc::munmap(self.at.cast_mut().cast(), self.len) };
    }
}

/// A Scream reader as one writes it in an afternoon: it compares the index with the last one, looks whether the format
/// is still the same, and copies the chunk, trusting every number.
///
/// It stays inside its mapping all the same: an index has 16 bits, and the mapping reaches as far as any of them.
#[derive(Debug)]
pub struct UncheckedScreamReader {
    mapping: RawMapping,
    format: [u64; 2],
    offset: usize,
    chunk_bytes: usize,
    last_index: u16,
}

impl UncheckedScreamReader {
    /// A reader of the stream in `file`, whose header says where the chunks are.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(file: &File, file_len: usize, offset: u8, chunk_bytes: usize) -> io::Result<UncheckedScreamReader> {
        let offset = usize::from(offset);
        let mapping = RawMapping::new(file, file_len, offset + (usize::from(u16::MAX) + 1) * chunk_bytes)?;
        let mut reader = UncheckedScreamReader { mapping, format: [0; 2], offset, chunk_bytes, last_index: 0 };
        reader.format = reader.format_now();
        Ok(reader)
    }

    fn format_now(&self) -> [u64; 2] {
        [8, 16].map(|offset| {
            let word = self.mapping.at.wrapping_add(offset).cast::<u64>();
            // SAFETY: In bounds: the header is at the start, aligned to a page. Volatile, because the guest changes it.
            unsafe { word.read_volatile() }
        })
    }

    /// Copies the next chunk into `pcm` if there is one. Whether there was.
    ///
    /// # Panics
    /// If `pcm` is shorter than a chunk.
    #[inline]
    pub fn poll(&mut self, pcm: &mut [u8]) -> bool {
        let index = self.mapping.at.wrapping_add(4).cast::<u16>();
        // SAFETY: In bounds: the header is at the start, aligned to a page. Volatile, because the guest changes it.
        let index = unsafe { index.read_volatile() };
        if index == self.last_index || self.format_now() != self.format {
            return false;
        }
        self.last_index = index;
        let pcm = &mut pcm[..self.chunk_bytes];
        let chunk = self.mapping.at.wrapping_add(self.offset + self.chunk_bytes * usize::from(index));
        // SAFETY: In bounds: the mapping has room for 65536 chunks, and `pcm` for one; Ours: nobody writes meanwhile.
        unsafe { libc::memcpy(pcm.as_mut_ptr().cast(), chunk.cast(), self.chunk_bytes) };
        true
    }
}

/// The system's allocator, with a count for each thread.
#[derive(Debug)]
pub struct CountingAllocator;

/// In the library, so that the program and every test of it count.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

thread_local! {
    // Without a destructor and with a constant start: using it allocates nothing, at any point of a thread's life.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has asked for memory: new, zeroed or moved to another size.
pub fn allocations_of_this_thread() -> u64 {
    ALLOCATIONS.try_with(Cell::get).unwrap_or(0)
}

fn count() {
    // A thread at its very end may have lost its counter; nobody asks for it then.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get().wrapping_add(1)));
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: what the caller promised us is what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::scratch;
    use std::hint::black_box;

    #[test]
    fn the_mapping_shows_the_file_and_zeros_behind_it() {
        let (region, file) = scratch(8192).unwrap();
        region.span(4096, 3).unwrap().copy_from(b"abc").unwrap();
        let mapping = RawMapping::new(&file, 8192, 1 << 20).unwrap();
        let mut bytes = [0xFF; 3];
        mapping.memcpy_to(4096, &mut bytes);
        assert_eq!(&bytes, b"abc");
        mapping.memcpy_to((1 << 20) - 3, &mut bytes);
        assert_eq!(bytes, [0; 3]);
        assert!(std::panic::catch_unwind(|| mapping.memcpy_to((1 << 20) - 2, &mut [0; 3])).is_err());
        assert!(std::panic::catch_unwind(|| mapping.memcpy_to(usize::MAX, &mut [0; 3])).is_err());
    }

    #[test]
    fn every_way_of_asking_for_memory_is_counted() {
        let before = allocations_of_this_thread();
        let mut list = black_box(Vec::<u8>::with_capacity(100));
        assert_eq!(allocations_of_this_thread() - before, 1);
        list.resize(100, 0);
        assert_eq!(allocations_of_this_thread() - before, 1);
        list.reserve_exact(1000);
        assert_eq!(allocations_of_this_thread() - before, 2);
        let zeroed = black_box(vec![0u8; 100]);
        assert_eq!(allocations_of_this_thread() - before, 3);
        drop((list, zeroed));
        assert_eq!(allocations_of_this_thread() - before, 3);
        std::thread::spawn(|| black_box(vec![1])).join().unwrap();
    }
}
