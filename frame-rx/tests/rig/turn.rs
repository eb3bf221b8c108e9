//! Who runs a compositor when: each uses the only GPU of the test machine, and a test of what is punctual needs all of it.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static MACHINE: RwLock<()> = RwLock::new(());

/// Whoever has it runs its compositor. A test that failed has given it back.
pub struct Turn {
    _one: Option<MutexGuard<'static, ()>>,
    _machine: Machine,
}

/// Beside others, or not.
#[expect(dead_code, reason = "held until it is dropped")]
enum Machine {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

fn one() -> Option<MutexGuard<'static, ()>> {
    Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

fn shared() -> Machine {
    Machine::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
}

/// Waits until no other test has a compositor of this kind.
pub fn take() -> Turn {
    Turn { _one: one(), _machine: shared() }
}

/// Beside compositors of another kind.
pub fn share() -> Turn {
    Turn { _one: None, _machine: shared() }
}

/// Waits until no other test has any compositor.
pub fn take_alone() -> Turn {
    Turn { _one: one(), _machine: Machine::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)) }
}
