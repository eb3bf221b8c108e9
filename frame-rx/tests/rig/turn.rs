//! Who runs a compositor when: each uses the only GPU of the test machine, and a test of what is punctual needs all of it.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static MACHINE: RwLock<()> = RwLock::new(());

/// Whoever has it runs its compositor. A test that failed has given it back.
pub struct Turn {
    _one: Option<MutexGuard<'static, ()>>,
    _beside_others: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

fn one() -> Option<MutexGuard<'static, ()>> {
    Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits until no other test has a compositor of this kind.
pub fn take() -> Turn {
    Turn { _one: one(), ..share() }
}

/// Beside compositors of another kind.
pub fn share() -> Turn {
    let shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    Turn { _one: None, _beside_others: Some(shared), _alone: None }
}

/// Waits until no other test has any compositor.
pub fn take_alone() -> Turn {
    let one = one();
    let alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    Turn { _one: one, _beside_others: None, _alone: Some(alone) }
}
