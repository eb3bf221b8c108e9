//! One pause of the processor, for waits that are too short to sleep.

/// Tells the processor that this is a busy wait: some tens of cycles, no system call.
///
/// Real-time safe. Never loop on it without a bound: the other side may have stopped for ever.
#[inline]
pub fn pause() {
    core::hint::spin_loop();
}
