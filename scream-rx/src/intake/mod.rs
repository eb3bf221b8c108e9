//! The intake thread: looks whether the guest has published, hands sound and arrival times to the engine, and sleeps
//! until just before the next publication is due. A transport only knows how to look; when to look is decided here.

mod rhythm;
pub mod shm;

pub use rhythm::Rhythm;

use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use shm_proto::scream::{Format, Waiting};

/// A way that sound comes in.
pub trait Transport: Send {
    /// Looks once and passes on what there is. Returns when to look again.
    ///
    /// Real-time safe but for the moments when a stream begins or a region changes.
    fn step(&mut self, now: HostTime) -> HostTime;
}

/// How it stands with the guest's sound, for the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// There is no region yet.
    Detached,
    /// There is a region, but nothing to take from it.
    Waiting(Waiting),
    /// A stream is there. `guessed`: its speaker mask made no sense.
    Live {
        /// What the guest writes.
        format: Format,
        /// Its speaker mask does not fit its channels.
        guessed: bool,
    },
    /// The stream is there, but its index stands still.
    Silent {
        /// What the guest would write.
        format: Format,
    },
}

/// The least time from one wake-up to the next, so that no lie of a guest keeps a processor busy.
const SHORTEST_SLEEP: core::time::Duration = core::time::Duration::from_micros(100);
/// The longest sleep, within which a stop is heeded.
const LONGEST_SLEEP: core::time::Duration = core::time::Duration::from_millis(100);

/// Runs a transport until a stop is asked for. The body of the intake thread.
///
/// Blocks.
pub fn run(transport: &mut dyn Transport, stop: &Stop) {
    while !stop.is_requested() {
        let now = clock::now();
        let next = transport.step(now).max(now + SHORTEST_SLEEP).min(now + LONGEST_SLEEP);
        let _ = clock::sleep_until(next);
    }
}
