//! One compositor at a time: each uses the only GPU of the test machine, and every core.

use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whoever has it runs its compositor. A test that failed has given it back.
pub type Turn = MutexGuard<'static, ()>;

/// Waits until no other test has a compositor.
pub fn take() -> Turn {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}
