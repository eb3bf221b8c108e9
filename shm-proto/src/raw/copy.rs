//! Moving bytes between the region and memory that we own.
//!
//! Several engines do the same thing at different speed; which ones this processor has is found out once. All of them
//! are volatile accesses or assembly, so a writer on the other side makes torn bytes and never undefined behaviour.
//! Which engine serves which size is decided in [`Engines::choose`]; `rx-bench run copy` shows why.

use super::map::Region;
use crate::span::{AccessError, Purpose};
use std::sync::OnceLock;

/// A way of moving bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Volatile accesses of 8 bytes. Every processor.
    Volatile,
    /// 32-byte loads and stores (AVX2).
    Wide,
    /// The processor's own string move, where it is marked as fast (ERMS).
    StringMove,
    /// 32-byte loads and stores that bypass the cache (AVX2): the destination's lines are not read first.
    Streaming,
}

impl Engine {
    /// Every engine, for tests and measurements.
    pub const ALL: [Engine; 4] = [Engine::Volatile, Engine::Wide, Engine::StringMove, Engine::Streaming];
}

/// The engines that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engines {
    wide: bool,
    string_move: bool,
    /// The string move is fast for short copies too (FSRM).
    short_string_move: bool,
}

/// From this size on a copy for a device bypasses the cache: a row of a picture 3072 pixels wide, or a MiB behind the
/// guest's write pointer. A 4K frame then takes 0.3 to 0.75 of memcpy's time, by rows 0.75 to 0.85; rows of 7680 bytes
/// gave 0.8 one time and 1.6 another, for the fence behind each. A picture that would have stayed in the cache takes
/// 1.5 to 2: at most some tens of microseconds a frame, against milliseconds won.
const STREAM_FROM_BYTES: usize = 12 << 10;
/// Between these sizes the string move is at memcpy's level, where 8-byte accesses take 1.8 to 2.3 of it. Above, it
/// takes anything from 0.9 to 2.1 and 8-byte accesses 0.9 to 1.1; 32-byte ones are as good or better everywhere.
const STRING_MOVE_BYTES: core::ops::Range<usize> = 1 << 10..512 << 10;

/// What processors move between each other at once. Unit: bytes.
#[cfg(all(target_arch = "x86_64", not(rx_portable)))]
const LINE_BYTES: usize = 64;

/// Between these sizes a processor with a fast *short* string move (FSRM) moves bytes that stay here by it, wherever they
/// start: chunks of sound begin 24 bytes into a line, where half of the 32-byte loads take two lines. 3840 bytes in the
/// cache: 45 ns less than by 32-byte accesses. Up to what a chunk of sound has; frames are another matter.
const SHORT_STRING_MOVE_BYTES: core::ops::Range<usize> = 1 << 10..64 << 10;

impl Engines {
    /// What this processor has; found out once.
    pub fn here() -> Engines {
        static HERE: OnceLock<Engines> = OnceLock::new();
        *HERE.get_or_init(Engines::detect)
    }

    #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
    fn detect() -> Engines {
        let has_leaf = core::arch::x86_64::__cpuid(0).eax >= 7;
        let (ebx, edx) = if has_leaf {
            let leaf = core::arch::x86_64::__cpuid_count(7, 0);
            (leaf.ebx, leaf.edx)
        } else {
            (0, 0)
        };
        let string_move = ebx & (1 << 9) != 0;
        Engines {
            wide: std::arch::is_x86_feature_detected!("avx2"),
            string_move,
            short_string_move: string_move && edx & (1 << 4) != 0,
        }
    }

    #[cfg(not(all(target_arch = "x86_64", not(rx_portable))))]
    fn detect() -> Engines {
        Engines { wide: false, string_move: false, short_string_move: false }
    }

    /// Whether this processor has `engine`.
    pub fn has(self, engine: Engine) -> bool {
        match engine {
            Engine::Volatile => true,
            Engine::Wide | Engine::Streaming => self.wide,
            Engine::StringMove => self.string_move,
        }
    }

    /// The engine for a copy of `len` bytes.
    pub fn choose(self, len: usize, purpose: Purpose) -> Engine {
        if self.short_string_move && purpose == Purpose::Read && SHORT_STRING_MOVE_BYTES.contains(&len) {
            Engine::StringMove
        } else if self.wide {
            let bypasses = purpose == Purpose::HandOff && len >= STREAM_FROM_BYTES;
            if bypasses { Engine::Streaming } else { Engine::Wide }
        } else if self.string_move && STRING_MOVE_BYTES.contains(&len) {
            Engine::StringMove
        } else {
            Engine::Volatile
        }
    }
}

/// Copies `dst.len()` bytes out of the region.
pub(crate) fn out(region: &Region, offset: usize, dst: &mut [u8], purpose: Purpose) -> Result<(), AccessError> {
    out_with(region, offset, dst, Engines::here().choose(dst.len(), purpose))
}

/// Copies the `dst.len()` bytes from `offset` on by a named engine, and by volatile accesses where the processor lacks
/// it. For measurements; receivers use [`Span::copy_to`](crate::Span::copy_to), which chooses.
///
/// # Errors
/// [`AccessError::OutOfBounds`]. A file that shrank gives zeros: look at [`Region::check_alive`].
pub fn out_with(region: &Region, offset: usize, dst: &mut [u8], engine: Engine) -> Result<(), AccessError> {
    let src = region.at(offset, dst.len())?;
    // In bounds: `at` checked the source, the slice is the destination. They cannot overlap: Foreign.
    if Engines::here().has(engine) {
        match engine {
            #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
            Engine::Wide => return x86::wide(dst.as_mut_ptr(), src, dst.len()),
            #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
            Engine::StringMove => return x86::string_move(dst.as_mut_ptr(), src, dst.len()),
            #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
            Engine::Streaming => return x86::streaming(dst.as_mut_ptr(), src, dst.len()),
            _ => {}
        }
    }
    volatile_out(dst, src);
    Ok(())
}

/// Copies `src` into the region.
pub(crate) fn into(region: &Region, offset: usize, src: &[u8]) -> Result<(), AccessError> {
    let dst = region.at_writable(offset, src.len())?;
    match Engines::here().choose(src.len(), Purpose::Read) {
        #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
        Engine::Wide => x86::wide(dst, src.as_ptr(), src.len()),
        #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
        Engine::StringMove => x86::string_move(dst, src.as_ptr(), src.len()),
        _ => {
            volatile_into(dst, src);
            Ok(())
        }
    }
}

/// Asks for the cache lines of `len` bytes from `offset` on, without waiting for them: what is copied out soon afterwards
/// is on its way already. Nothing is read by it, and an address past the end or without a page behind it is ignored, so
/// there is nothing to check and nothing to fail.
#[inline]
pub(crate) fn ask_for(region: &Region, offset: usize, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(rx_portable)))]
    if let Ok(start) = region.at(offset, len) {
        let end = start.wrapping_add(len);
        let mut line = start;
        while line < end {
            x86::ask_for_four_lines(line);
            line = line.wrapping_add(4 * LINE_BYTES);
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(rx_portable))))]
    let _ = (region, offset, len);
}

/// Volatile loads of 8 bytes where the source is aligned, of 1 byte at both ends. `src` holds `dst.len()` bytes.
fn volatile_out(dst: &mut [u8], src: *const u8) {
    let head = src.align_offset(8).min(dst.len());
    let (first, rest) = dst.split_at_mut(head);
    let mut at = src;
    for byte in first {
        // SAFETY: In bounds: `src` holds as many bytes as `dst`, and `at` walks along with it. Foreign: volatile.
        *byte = unsafe { at.read_volatile() };
        at = at.wrapping_add(1);
    }
    let mut words = rest.chunks_exact_mut(8);
    for word in &mut words {
        // SAFETY: In bounds as above; Aligned by the head. Foreign: volatile.
        let value = unsafe { at.cast::<u64>().read_volatile() };
        word.copy_from_slice(&value.to_ne_bytes());
        at = at.wrapping_add(8);
    }
    for byte in words.into_remainder() {
        // SAFETY: In bounds as above. Foreign: volatile.
        *byte = unsafe { at.read_volatile() };
        at = at.wrapping_add(1);
    }
}

/// The same towards the region. `dst` has room for `src.len()` bytes and is writable.
fn volatile_into(dst: *mut u8, src: &[u8]) {
    let head = dst.align_offset(8).min(src.len());
    let (first, rest) = src.split_at(head);
    let mut at = dst;
    for byte in first {
        // SAFETY: In bounds: `dst` has room for as many bytes as `src`; Writable since `at_writable`. Foreign: volatile.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
    let mut words = rest.chunks_exact(8);
    for word in &mut words {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        // SAFETY: as above; Aligned by the head.
        unsafe { at.cast::<u64>().write_volatile(u64::from_ne_bytes(value)) };
        at = at.wrapping_add(8);
    }
    for byte in words.remainder() {
        // SAFETY: as above.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
}

// Each function is called with `len` readable bytes at `src` and `len` writable bytes at `dst` that do not overlap, one
// side in the region (In bounds, Alive, Writable where it is the destination), the other in memory we own; and only on
// a processor that has the instructions (`Engines::has`). Foreign: all accesses are assembly.
#[cfg(all(target_arch = "x86_64", not(rx_portable)))]
mod x86 {
    use crate::span::AccessError;
    use core::arch::asm;

    #[inline]
    pub(super) fn ask_for_four_lines(at: *const u8) {
        // SAFETY: a prefetch is a hint: it loads nothing that the program could see, and never faults.
        unsafe {
            asm!(
                "prefetcht0 [{at}]",
                "prefetcht0 [{at} + 64]",
                "prefetcht0 [{at} + 128]",
                "prefetcht0 [{at} + 192]",
                at = in(reg) at, options(nostack, preserves_flags, readonly)
            );
        }
    }

    pub(super) fn string_move(dst: *mut u8, src: *const u8, len: usize) -> Result<(), AccessError> {
        // SAFETY: see the module. The direction flag is clear by the calling convention.
        unsafe {
            asm!("rep movsb", inout("rcx") len => _, inout("rdi") dst => _, inout("rsi") src => _,
                 options(nostack, preserves_flags));
        }
        Ok(())
    }

    pub(super) fn wide(dst: *mut u8, src: *const u8, len: usize) -> Result<(), AccessError> {
        let blocks = len / 128;
        if blocks > 0 {
            // SAFETY: see the module; `blocks` times 128 bytes are no more than `len`.
            unsafe {
                asm!(
                    "2:",
                    "vmovdqu ymm0, [{src}]",
                    "vmovdqu ymm1, [{src} + 32]",
                    "vmovdqu ymm2, [{src} + 64]",
                    "vmovdqu ymm3, [{src} + 96]",
                    "vmovdqu [{dst}], ymm0",
                    "vmovdqu [{dst} + 32], ymm1",
                    "vmovdqu [{dst} + 64], ymm2",
                    "vmovdqu [{dst} + 96], ymm3",
                    "add {src}, 128",
                    "add {dst}, 128",
                    "dec {blocks}",
                    "jnz 2b",
                    "vzeroupper",
                    src = inout(reg) src => _, dst = inout(reg) dst => _, blocks = inout(reg) blocks => _,
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                    options(nostack),
                );
            }
        }
        let done = blocks * 128;
        tail(dst.wrapping_add(done), src.wrapping_add(done), len - done)
    }

    pub(super) fn streaming(dst: *mut u8, src: *const u8, len: usize) -> Result<(), AccessError> {
        // Streaming stores need an aligned destination.
        let head = dst.align_offset(32).min(len);
        tail(dst, src, head)?;
        let (dst, src, len) = (dst.wrapping_add(head), src.wrapping_add(head), len - head);
        let blocks = len / 128;
        if blocks > 0 {
            // SAFETY: see the module; `blocks` times 128 bytes are no more than `len`, and `dst` is aligned to 32. The
            // fence at the end orders the streaming stores before everything that follows.
            unsafe {
                asm!(
                    "2:",
                    "prefetchnta [{src} + 512]",
                    "prefetchnta [{src} + 576]",
                    "vmovdqu ymm0, [{src}]",
                    "vmovdqu ymm1, [{src} + 32]",
                    "vmovdqu ymm2, [{src} + 64]",
                    "vmovdqu ymm3, [{src} + 96]",
                    "vmovntdq [{dst}], ymm0",
                    "vmovntdq [{dst} + 32], ymm1",
                    "vmovntdq [{dst} + 64], ymm2",
                    "vmovntdq [{dst} + 96], ymm3",
                    "add {src}, 128",
                    "add {dst}, 128",
                    "dec {blocks}",
                    "jnz 2b",
                    "sfence",
                    "vzeroupper",
                    src = inout(reg) src => _, dst = inout(reg) dst => _, blocks = inout(reg) blocks => _,
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                    options(nostack),
                );
            }
        }
        let done = blocks * 128;
        tail(dst.wrapping_add(done), src.wrapping_add(done), len - done)
    }

    /// Up to 127 bytes: 8 at a time, then single ones.
    fn tail(dst: *mut u8, src: *const u8, len: usize) -> Result<(), AccessError> {
        let (words, bytes) = (len / 8, len % 8);
        if len > 0 {
            // SAFETY: see the module; 8 times `words` plus `bytes` is `len`.
            unsafe {
                asm!(
                    "test {words}, {words}",
                    "jz 3f",
                    "2:",
                    "mov {v}, [{src}]",
                    "mov [{dst}], {v}",
                    "add {src}, 8",
                    "add {dst}, 8",
                    "dec {words}",
                    "jnz 2b",
                    "3:",
                    "test {bytes}, {bytes}",
                    "jz 5f",
                    "4:",
                    "mov {v:l}, [{src}]",
                    "mov [{dst}], {v:l}",
                    "inc {src}",
                    "inc {dst}",
                    "dec {bytes}",
                    "jnz 4b",
                    "5:",
                    src = inout(reg) src => _, dst = inout(reg) dst => _, words = inout(reg) words => _,
                    bytes = inout(reg) bytes => _, v = out(reg) _,
                    options(nostack),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn every_engine_moves_every_byte_and_no_other() {
        let region = Region::memfd("copy", 1 << 20).unwrap();
        let all = pattern(1 << 20);
        into(&region, 0, &all).unwrap();
        for engine in Engine::ALL {
            for offset in [0, 1, 7, 31, 33, 4096] {
                for len in [0, 1, 7, 8, 31, 32, 127, 128, 129, 255, 1000, 3840, 4097, 700_001] {
                    for shift in [0, 1, 5, 32] {
                        let mut dst = vec![0x5A; shift + len + 40];
                        out_with(&region, offset, &mut dst[shift..shift + len], engine).unwrap();
                        let case = format!("{engine:?} offset {offset} len {len} shift {shift}");
                        assert!(dst[shift..shift + len] == all[offset..offset + len], "{case}");
                        assert!(dst[..shift].iter().chain(&dst[shift + len..]).all(|b| *b == 0x5A), "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn copies_into_the_region_leave_the_rest_alone() {
        for len in [0usize, 1, 7, 63, 64, 1000, 3841, 300_000] {
            for offset in [0usize, 1, 4, 9] {
                let region = Region::memfd("copy", 400_000).unwrap();
                let src = pattern(len);
                into(&region, offset, &src).unwrap();
                let mut back = vec![0xEE; 400_000];
                out_with(&region, 0, &mut back, Engine::Volatile).unwrap();
                assert!(back[offset..offset + len] == src[..]);
                assert!(back[..offset].iter().chain(&back[offset + len..]).all(|b| *b == 0));
                let region = Region::memfd("copy", 400_000).unwrap();
                volatile_into(region.at_writable(offset, len).unwrap(), &src);
                out_with(&region, 0, &mut back, Engine::Volatile).unwrap();
                assert!(back[offset..offset + len] == src[..]);
                assert!(back[..offset].iter().chain(&back[offset + len..]).all(|b| *b == 0));
            }
        }
    }

    #[test]
    fn every_processor_gets_the_best_of_what_it_has() {
        let all = Engines { wide: true, string_move: true, short_string_move: false };
        let new = Engines { short_string_move: true, ..all };
        let old = Engines { wide: false, string_move: true, short_string_move: false };
        let cases = [
            (all, 3_840, Purpose::Read, Engine::Wide),
            (all, 3_840, Purpose::HandOff, Engine::Wide),
            (all, 7_680, Purpose::HandOff, Engine::Wide),
            (all, 15_360, Purpose::HandOff, Engine::Streaming),
            (all, 1 << 25, Purpose::HandOff, Engine::Streaming),
            (all, 1 << 25, Purpose::Read, Engine::Wide),
            (new, 1_000, Purpose::Read, Engine::Wide),
            (new, 3_840, Purpose::Read, Engine::StringMove),
            (new, 3_840, Purpose::HandOff, Engine::Wide),
            (new, 1 << 25, Purpose::Read, Engine::Wide),
            (new, 1 << 25, Purpose::HandOff, Engine::Streaming),
            (old, 100, Purpose::Read, Engine::Volatile),
            (old, 3_840, Purpose::Read, Engine::StringMove),
            (old, 1 << 25, Purpose::HandOff, Engine::Volatile),
        ];
        for (engines, len, purpose, engine) in cases {
            assert_eq!(engines.choose(len, purpose), engine, "{engines:?} {len} {purpose:?}");
            assert!(engines.has(engine));
        }
    }

    #[test]
    fn a_processor_without_anything_still_copies() {
        let none = Engines { wide: false, string_move: false, short_string_move: false };
        for purpose in [Purpose::Read, Purpose::HandOff] {
            for len in [0, 100, 1 << 20, 1 << 25] {
                assert_eq!(none.choose(len, purpose), Engine::Volatile);
            }
        }
    }

    #[test]
    fn nothing_is_copied_past_the_end() {
        let region = Region::memfd("copy", 4096).unwrap();
        assert!(out(&region, 4000, &mut [0; 97], Purpose::Read).is_err());
        assert!(into(&region, usize::MAX, &[0; 2]).is_err());
    }
}
