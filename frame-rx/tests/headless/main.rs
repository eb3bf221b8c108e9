//! The program without a window, as a process: what it writes is what the guest drew, and each failure is one line, one
//! hint and the right exit code. By subject: `pictures`, `runs`, `words`, `recordings`, `quiet`, `gpu_loss`.

#[path = "../rig/faults.rs"]
mod faults;
mod gpu_loss;
#[path = "../rig/guest.rs"]
mod guest;
#[path = "../rig/hang.rs"]
mod hang;
mod pictures;
#[path = "../rig/png.rs"]
mod png_file;
#[path = "../rig/program.rs"]
mod program;
mod quiet;
mod recordings;
mod runs;
mod words;

use serde_json::Value;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes the only GPU of the test machine; nothing where there is none.
fn gpu() -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    program::has_software_gpu(dir.path()).then_some(guard)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
