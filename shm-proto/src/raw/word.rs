//! One control word of the region: an index, a lock, a mask of subscribers.
//!
//! Plain loads and stores are volatile accesses of the word's own width with a fence beside them: on x86-64 that is one
//! move each. Read-modify-write operations are single locked instructions, written as assembly on x86-64 so that no
//! reference into the region ever exists. Other processors go through `AtomicU32::from_ptr`: there a short-lived
//! `&AtomicU32` points at the word, which is the only reference into mapped memory in this crate.

use super::map::Region;
use crate::span::AccessError;
use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// The widths a control word can have: `u8`, `u16`, `u32`, `u64`.
pub trait WordInt: Copy + sealed::Sealed {}
impl WordInt for u8 {}
impl WordInt for u16 {}
impl WordInt for u32 {}
impl WordInt for u64 {}

/// A control word that is only read.
#[derive(Clone, Copy, Debug)]
pub struct ReadWord<'r, T> {
    at: *const T,
    region: PhantomData<&'r Region>,
}

/// A control word that is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Word<'r, T> {
    at: *mut T,
    region: PhantomData<&'r Region>,
}

fn check_aligned<T>(offset: usize) -> Result<(), AccessError> {
    let align = size_of::<T>();
    if offset.is_multiple_of(align) {
        Ok(())
    } else {
        Err(AccessError::Misaligned { offset: offset as u64, align: align as u64 })
    }
}

impl<'r, T: WordInt> ReadWord<'r, T> {
    pub(crate) fn new(region: &'r Region, offset: usize) -> Result<Self, AccessError> {
        check_aligned::<T>(offset)?;
        let at = region.at(offset, size_of::<T>())?.cast_const().cast();
        Ok(ReadWord { at, region: PhantomData })
    }

    /// The word now. What the writer stored before it published this value is visible afterwards, if the writer
    /// ordered its stores (x86 guests do by nature).
    #[inline]
    pub fn load_acquire(self) -> T {
        // SAFETY: In bounds and Aligned since `new`; Alive by the lifetime; Foreign: volatile, any bits are a valid T.
        let value = unsafe { self.at.read_volatile() };
        fence(Ordering::Acquire);
        value
    }
}

impl<'r, T: WordInt> Word<'r, T> {
    pub(crate) fn new(region: &'r Region, offset: usize) -> Result<Self, AccessError> {
        check_aligned::<T>(offset)?;
        let at = region.at_writable(offset, size_of::<T>())?.cast();
        Ok(Word { at, region: PhantomData })
    }

    /// As [`ReadWord::load_acquire`].
    #[inline]
    pub fn load_acquire(self) -> T {
        ReadWord { at: self.at.cast_const(), region: self.region }.load_acquire()
    }

    /// Publishes `value`: everything we stored before is visible to whoever reads it.
    #[inline]
    pub fn store_release(self, value: T) {
        fence(Ordering::Release);
        // SAFETY: In bounds, Aligned and Writable since `new`; Alive by the lifetime; Foreign: volatile.
        unsafe { self.at.write_volatile(value) };
    }
}

impl Word<'_, u8> {
    /// Stores `value` and gives what was there, in one step. Orders both ways.
    #[inline]
    pub fn swap(self, value: u8) -> u8 {
        rmw::swap_byte(self.at, value)
    }
}

impl Word<'_, u32> {
    /// Stores `value` and gives what was there, in one step. Orders both ways.
    #[inline]
    pub fn swap(self, value: u32) -> u32 {
        rmw::swap(self.at, value)
    }

    /// Stores `new` if the word is `current`. Gives what was there; it worked if that is `current`. Orders both ways.
    #[inline]
    pub fn compare_exchange(self, current: u32, new: u32) -> Result<u32, u32> {
        let was = rmw::compare_exchange(self.at, current, new);
        if was == current { Ok(was) } else { Err(was) }
    }

    /// Adds `n` (wrapping) and gives what was there. Orders both ways.
    #[inline]
    pub fn fetch_add(self, n: u32) -> u32 {
        rmw::fetch_add(self.at, n)
    }

    /// Keeps only the bits of `mask`, in one step. Whether no bit is left. Orders both ways.
    #[inline]
    pub fn and_leaves_none(self, mask: u32) -> bool {
        rmw::and_leaves_none(self.at, mask)
    }
}

// Each function takes a pointer made by `Word::new`, so the invariants In bounds, Aligned, Writable and Alive hold.
#[cfg(all(target_arch = "x86_64", not(rx_portable)))]
mod rmw {
    use core::arch::asm;

    pub(super) fn swap(at: *mut u32, mut value: u32) -> u32 {
        // SAFETY: see the module; Foreign: one locked instruction of assembly (xchg with memory always locks).
        unsafe { asm!("xchg [{at}], {value:e}", at = in(reg) at, value = inout(reg) value, options(nostack)) };
        value
    }

    pub(super) fn swap_byte(at: *mut u8, mut value: u8) -> u8 {
        // SAFETY: see the module; Foreign: one locked instruction of assembly (xchg with memory always locks).
        unsafe { asm!("xchg [{at}], {value}", at = in(reg) at, value = inout(reg_byte) value, options(nostack)) };
        value
    }

    pub(super) fn compare_exchange(at: *mut u32, current: u32, new: u32) -> u32 {
        let was;
        // SAFETY: see the module; Foreign: one locked instruction of assembly.
        unsafe {
            asm!("lock cmpxchg [{at}], {new:e}", at = in(reg) at, new = in(reg) new,
                 inout("eax") current => was, options(nostack));
        }
        was
    }

    pub(super) fn fetch_add(at: *mut u32, mut n: u32) -> u32 {
        // SAFETY: see the module; Foreign: one locked instruction of assembly.
        unsafe { asm!("lock xadd [{at}], {n:e}", at = in(reg) at, n = inout(reg) n, options(nostack)) };
        n
    }

    pub(super) fn and_leaves_none(at: *mut u32, mask: u32) -> bool {
        let none: u8;
        // SAFETY: see the module; Foreign: one locked instruction of assembly; the second reads its zero flag.
        unsafe {
            asm!("lock and dword ptr [{at}], {mask:e}", "setz {none}", at = in(reg) at, mask = in(reg) mask,
                 none = out(reg_byte) none, options(nostack));
        }
        none != 0
    }
}

#[cfg(not(all(target_arch = "x86_64", not(rx_portable))))]
mod rmw {
    use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    fn word<'a>(at: *mut u32) -> &'a AtomicU32 {
        // SAFETY: see the module. The reference lives for one operation; all Rust code reaches this word atomically or
        // volatile, and what the guest does to it is as good as atomic.
        unsafe { AtomicU32::from_ptr(at) }
    }

    pub(super) fn swap(at: *mut u32, value: u32) -> u32 {
        word(at).swap(value, Ordering::AcqRel)
    }

    pub(super) fn swap_byte(at: *mut u8, value: u8) -> u8 {
        // SAFETY: as in `word`.
        unsafe { AtomicU8::from_ptr(at) }.swap(value, Ordering::AcqRel)
    }

    pub(super) fn compare_exchange(at: *mut u32, current: u32, new: u32) -> u32 {
        match word(at).compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(was) | Err(was) => was,
        }
    }

    pub(super) fn fetch_add(at: *mut u32, n: u32) -> u32 {
        word(at).fetch_add(n, Ordering::AcqRel)
    }

    pub(super) fn and_leaves_none(at: *mut u32, mask: u32) -> bool {
        word(at).fetch_and(mask, Ordering::AcqRel) & mask == 0
    }
}

#[cfg(test)]
mod tests {
    use crate::raw::map::Region;

    #[test]
    fn read_modify_write_does_what_it_says() {
        let region = Region::memfd("word", 4096).unwrap();
        let w = region.whole().word::<u32>(64).unwrap();
        assert_eq!(w.swap(5), 0);
        assert_eq!(w.compare_exchange(4, 9), Err(5));
        assert_eq!(w.compare_exchange(5, 9), Ok(5));
        assert_eq!(w.fetch_add(3), 9);
        assert_eq!(w.load_acquire(), 12);
        assert!(!w.and_leaves_none(!4));
        assert_eq!(w.load_acquire(), 8);
        assert!(w.and_leaves_none(!8));
        assert_eq!(w.load_acquire(), 0);
        assert_eq!(w.fetch_add(u32::MAX), 0);
        assert_eq!(w.fetch_add(2), u32::MAX);
        assert_eq!(w.load_acquire(), 1);
    }

    #[test]
    fn neighbours_are_left_alone() {
        let region = Region::memfd("word", 4096).unwrap();
        region.whole().fill(0xFF).unwrap();
        region.whole().word::<u16>(10).unwrap().store_release(0);
        region.whole().word::<u32>(20).unwrap().swap(0);
        region.whole().word::<u64>(40).unwrap().store_release(0);
        assert_eq!(region.whole().word::<u8>(51).unwrap().swap(0), 0xFF);
        let bytes = region.whole().read_array::<64>(0).unwrap();
        for (i, b) in bytes.iter().enumerate() {
            let zeroed = (10..12).contains(&i) || (20..24).contains(&i) || (40..48).contains(&i) || i == 51;
            assert_eq!(*b, if zeroed { 0 } else { 0xFF }, "byte {i}");
        }
    }

    #[test]
    fn two_threads_lose_no_increment() {
        let region = Region::memfd("word", 4096).unwrap();
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let w = region.whole().word::<u32>(0).unwrap();
                    for _ in 0..100_000 {
                        w.fetch_add(1);
                    }
                });
            }
        });
        assert_eq!(region.whole().word::<u32>(0).unwrap().load_acquire(), 200_000);
    }
}
