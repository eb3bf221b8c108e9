//! The intake thread: takes what the guest has written or sent, hands sound and arrival times to the engine, and sleeps
//! until just before the next publication is due, or until a datagram comes.
//!
//! | file | subject |
//! |---|---|
//! | [`auto`] | the intake itself: one way or both, of which the one that speaks is played |
//! | [`shm`] | chunks out of shared memory; when to look is in `rhythm` |
//! | [`udp`] | datagrams out of a socket, which is [`socket`]; what becomes of one is in [`datagrams`] |
//! | [`choice`], [`sender`], [`numbering`], [`stamp`] | pure: which way, whose datagrams, what was lost, when it came |
//! | [`outlet`] | the way to the engine, for both |

pub mod auto;
pub mod choice;
pub mod datagrams;
pub mod numbering;
pub mod outlet;
mod rhythm;
pub mod sender;
pub mod shm;
pub mod socket;
pub mod stamp;
pub mod udp;

pub use auto::Intake;
pub use rhythm::Rhythm;

use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use shm_proto::scream::{Format, Junk, Waiting};
use std::net::SocketAddrV4;

/// A way that sound comes in.
pub trait Transport: Send {
    /// Looks once and passes on what there is. Returns when to look again.
    ///
    /// Real-time safe but for the moments when a stream begins or a region changes.
    fn step(&mut self, now: HostTime) -> HostTime;

    /// Waits until `until`, until there is something to look at, or until a stop is asked for, if it is long.
    ///
    /// Blocks.
    fn wait(&mut self, until: HostTime, stop: &Stop);
}

/// What a look gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When to look again.
    pub next: HostTime,
    /// There was sound, taken or not.
    pub spoke: bool,
}

/// How it stands with the guest's sound, for the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// There is no region yet.
    Detached,
    /// There is a socket, and nothing has come.
    Listening,
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

/// What happened once and is worth a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// What was missing to listen there has come.
    Listening(SocketAddrV4),
    /// The datagrams of this sender are played.
    Sender(SocketAddrV4),
    /// This one sends too, and is not played.
    OtherSender(SocketAddrV4),
    /// The first junk of its kind, and who sent it.
    Junk(Junk, SocketAddrV4),
    /// Of two ways that are open, the guest uses the network. `memory_unused`: there is a region, and never was sound in it.
    ThroughNetwork {
        /// See above.
        memory_unused: bool,
    },
    /// The guest went back to shared memory.
    ThroughMemory,
}

/// The least time from one wake-up to the next, so that no lie of a guest keeps a processor busy.
const SHORTEST_SLEEP: core::time::Duration = core::time::Duration::from_micros(100);

/// Runs a transport until a stop is asked for. The body of the intake thread.
///
/// Blocks.
pub fn run(transport: &mut dyn Transport, stop: &Stop) {
    while !stop.is_requested() {
        let now = clock::now();
        let next = transport.step(now).max(now + SHORTEST_SLEEP);
        transport.wait(next, stop);
    }
}
