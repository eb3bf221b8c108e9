//! A file that shrinks while it is mapped must not end the process.
//!
//! Touching a page behind the new end raises SIGBUS. The handler in here looks whether the address belongs to a mapping
//! of ours; if so it marks the mapping as gone, puts zero pages in its place and returns, and the access completes. Any
//! other SIGBUS goes to whoever handled it before. The handler uses atomics and one `mmap` call, both of which may be
//! used in a signal handler.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Mappings that can be guarded at once. A receiver has one or two; a test or a bench some dozens.
pub(super) const MAX_REGIONS: usize = 256;

/// A place is free while `start` is `FREE`, being filled while it is `CLAIMED`, else the address of the mapping.
struct Place {
    start: AtomicUsize,
    len: AtomicUsize,
    gone: AtomicBool,
}

const FREE: usize = 0;
const CLAIMED: usize = 1;

static PLACES: [Place; MAX_REGIONS] =
    [const { Place { start: AtomicUsize::new(FREE), len: AtomicUsize::new(0), gone: AtomicBool::new(false) } };
        MAX_REGIONS];

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Watches one mapping until it is dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    place: usize,
}

impl Guarded {
    /// Watches `len` bytes from address `start` on. Nothing if all places are taken.
    pub(super) fn new(start: usize, len: usize) -> Option<Guarded> {
        install();
        let place = PLACES.iter().position(|p| {
            // Acquire: what the former owner wrote happened before we fill the place.
            p.start.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })?;
        PLACES[place].len.store(len, Ordering::Relaxed);
        PLACES[place].gone.store(false, Ordering::Relaxed);
        // Releases len and gone to the handler, which loads start with acquire.
        PLACES[place].start.store(start, Ordering::Release);
        Some(Guarded { place })
    }

    pub(super) fn is_gone(&self) -> bool {
        // Acquire pairs with the handler's release: who sees the mark does not see older bytes afterwards. The handler
        // usually ran on this very thread, inside the access that faulted.
        PLACES[self.place].gone.load(Ordering::Acquire)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Releases the place to the next `new`. No access to this mapping can be under way: words and spans borrow it.
        PLACES[self.place].start.store(FREE, Ordering::Release);
    }
}

/// Puts the handler in place, once for the process.
fn install() {
    PREVIOUS.get_or_init(|| {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
        // SAFETY: zero is a valid value for every field of `sigaction`.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = handler as usize;
        // On the alternate stack, because the handler that was there before (Rust's own guard-page check) expects it.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: as above.
        let mut previous: libc::sigaction = unsafe { core::mem::zeroed() };
        // SAFETY: both structures are initialised and live for the call; the handler does only what a handler may.
        unsafe { libc::sigaction(libc::SIGBUS, &action, &mut previous) };
        previous
    });
}

/// The place whose mapping holds `address`.
fn place_of(address: usize) -> Option<&'static Place> {
    PLACES.iter().find(|p| {
        // Acquire pairs with the release in `Guarded::new`.
        let start = p.start.load(Ordering::Acquire);
        start > CLAIMED && address.wrapping_sub(start) < p.len.load(Ordering::Relaxed)
    })
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls us with SA_SIGINFO, so `info` points to a filled structure for as long as we run.
    let info_ref = unsafe { &*info };
    // SAFETY: a SIGBUS has a fault address.
    let address = unsafe { info_ref.si_addr() }.addr();
    if let Some(place) = place_of(address) {
        place.gone.store(true, Ordering::Release);
        if replace_by_zeros(place.start.load(Ordering::Relaxed), place.len.load(Ordering::Relaxed)) {
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Puts private zero pages where the mapping was. Whether it worked.
fn replace_by_zeros(start: usize, len: usize) -> bool {
    // SAFETY: errno belongs to this thread; it is put back below, as a handler must.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    // SAFETY: Alive: the faulting access borrows the mapping, so these pages are ours to replace; Foreign: nothing in
    // Rust's own memory lies there.
    let done = unsafe {
        libc::mmap(
            core::ptr::with_exposed_provenance_mut(start),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { *errno = saved };
    done != libc::MAP_FAILED
}

/// Hands a fault that is not ours to the handler that was there before; without one the process ends, as it should.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    match PREVIOUS.get() {
        Some(previous) if previous.sa_sigaction > libc::SIG_IGN => {
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the system gave us this address as a handler with SA_SIGINFO, which has this signature.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { core::mem::transmute(previous.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: as above, without SA_SIGINFO.
                let handler: extern "C" fn(libc::c_int) = unsafe { core::mem::transmute(previous.sa_sigaction) };
                handler(signal);
            }
        }
        // Back to the default and return: the access faults again and ends the process with SIGBUS.
        // SAFETY: `signal` may be called in a handler.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}
