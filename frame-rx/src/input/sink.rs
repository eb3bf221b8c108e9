//! What the router asks for and what a sink is: one way to the guest. A sink only does what it is told; how fast, and
//! what has to be released, is decided by the pacer.

use super::frame::{Edge, Motion, Position, Wheel};
use core::time::Duration;
use shm_proto::HostTime;
use std::io;
use std::os::fd::BorrowedFd;

/// One thing for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key or button.
    Edge(Edge),
    /// Motion, place and wheels of one report.
    Move(Move),
}

/// What a pointer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// Relative motion.
    pub motion: Motion,
    /// A place.
    pub position: Option<Position>,
    /// Wheels. Before the pacer in 1/120 of a detent; behind it in the sink's own unit.
    pub wheel: Wheel,
}

/// What a sink can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Whether it takes relative motion now.
    pub motion: bool,
    /// Whether it takes places now.
    pub position: bool,
    /// Units to one detent of a wheel: 120, or 1.
    pub wheel_units: i32,
    /// Whether there is a horizontal wheel.
    pub horizontal: bool,
    /// Least time between two edges of keys.
    pub key_gap: Duration,
    /// Least time between two reports of motion.
    pub motion_gap: Duration,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Taken,
    /// Not now; the same step again later.
    Busy,
    /// This sink has no such key, button or wheel.
    Unknown,
}

/// The lamps of a keyboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leds {
    /// Scroll Lock.
    pub scroll: bool,
    /// Num Lock.
    pub num: bool,
    /// Caps Lock.
    pub caps: bool,
}

/// What a sink hears from the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The guest switched lamps.
    Leds(Leds),
    /// [`Sink::caps`] changed.
    Caps,
    /// The machine does not run, or its guest does not listen yet: what is sent is lost.
    Stopped,
    /// The machine runs and its guest listens.
    Running,
}

/// Why there is no sink, or none any more. Nothing of it ends the program; all but the first four are tried again.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The server wants another password.
    #[error("the SPICE server refuses the password")]
    WrongPassword,
    /// The server offers no ticket, only SASL, which is not supported.
    #[error("the SPICE server wants SASL, which is not supported (start QEMU without sasl=on)")]
    SaslOnly,
    /// The server takes encrypted connections only.
    #[error("the SPICE server takes TLS connections only (give it a port or a Unix socket without TLS)")]
    TlsOnly,
    /// The socket could be anybody's.
    #[error("refused: {0}")]
    Untrusted(String),
    /// The machine has no such device.
    #[error("the virtual machine offers no {0}")]
    Missing(&'static str),
    /// The other side said no.
    #[error("the server refuses the connection (code {0})")]
    Refused(u32),
    /// The other side does not speak the protocol.
    #[error("what the server says makes no sense: {0}")]
    Garbage(&'static str),
    /// A message beyond all limits.
    #[error("the server announces a message of {got} bytes, more than {max}")]
    TooLarge {
        /// As announced.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// The other side closed.
    #[error("the server closed the connection")]
    Closed,
    /// It stopped reading or answering.
    #[error("the server does not answer")]
    Silent,
    /// The program ends.
    #[error("the program ends")]
    Stopped,
    /// There are no virtual devices without `/dev/uinput`.
    #[error("/dev/uinput cannot be opened: {0}")]
    Uinput(io::Error),
    /// The system's own words.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SinkError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            SinkError::WrongPassword => "name the file with the password: --spice-password-file FILE",
            SinkError::SaslOnly => "start QEMU's SPICE server without sasl=on",
            SinkError::TlsOnly => "give QEMU's SPICE server a port or Unix socket without TLS",
            SinkError::Untrusted(_) => "run QEMU as the same user, and chmod o-w the socket",
            SinkError::Missing(_) | SinkError::Refused(_) => "see that the address is that of QEMU's SPICE server",
            SinkError::Garbage(_) | SinkError::TooLarge { .. } => "see that the address and the kind of server match",
            SinkError::Closed | SinkError::Silent => "see that no other client uses it, and that the VM runs",
            SinkError::Stopped => "start it again",
            SinkError::Uinput(_) => {
                "load the module (sudo modprobe uinput) and see packaging/udev/71-frame-rx-input.rules"
            }
            SinkError::Io(_) => {
                "start the VM, with -spice unix=on,addr=PATH, -qmp unix:PATH,server=on,wait=off or -device usb-redir"
            }
        }
    }

    /// Whether trying again without the user's doing is useless.
    pub fn is_final(&self) -> bool {
        matches!(self, SinkError::WrongPassword | SinkError::SaslOnly | SinkError::TlsOnly | SinkError::Untrusted(_))
    }
}

/// Descriptors that a sink may have.
pub const DESCRIPTORS: usize = 3;

/// One way to the guest, connected. No call blocks.
pub trait Sink: Send {
    /// Which way it is: the word that its address begins with after `--input`.
    fn way(&self) -> &'static str;

    /// What it can carry now.
    fn caps(&self) -> Caps;

    /// Whether the guest hears what is sent, as far as is known; [`News::Running`] and [`News::Stopped`] tell when that
    /// changes.
    fn is_heard(&self) -> bool {
        true
    }

    /// Whether it says so when the machine stands still. Where it does not, a release may be lost without a word, and is
    /// sent again for longer.
    fn tells_stops(&self) -> bool {
        true
    }

    /// Whether what a client held when it was gone may stay pressed in the guest until the next one releases it.
    fn keeps_held(&self) -> bool {
        false
    }

    /// Whether the other side has taken in enough of the motion sent so far.
    fn takes_motion(&self) -> bool {
        true
    }

    /// Sends one step.
    ///
    /// # Errors
    /// [`SinkError`] when the connection is over.
    fn send(&mut self, step: &Step, now: HostTime) -> Result<Sent, SinkError>;

    /// Reads what has come and writes what was kept back.
    ///
    /// # Errors
    /// [`SinkError`] when the connection is over.
    fn pump(&mut self, now: HostTime, tell: &mut dyn FnMut(News)) -> Result<(), SinkError>;

    /// The descriptors to wait for, and whether each also has something to write.
    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS];

    /// Nothing more is to be sent: asks the other side, if it can be asked, to tell when it has taken in all of it.
    ///
    /// # Errors
    /// [`SinkError`] when the connection is over.
    fn ask_delivery(&mut self, _now: HostTime) -> Result<(), SinkError> {
        Ok(())
    }

    /// Whether closing the connection now loses nothing of what was sent.
    fn has_delivered(&self) -> bool {
        self.descriptors().iter().flatten().all(|(_, has_more)| !has_more)
    }

    /// When [`Sink::pump`] is due without any descriptor being ready.
    fn due(&self) -> Option<HostTime> {
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For every sink alike: a server that reads nothing makes it busy, never slow, and counts as gone after a while.
    pub fn check_given_up(sink: &mut dyn Sink, step: &Step) {
        let mut now = HostTime::ZERO;
        // The socket's buffer fills, then ours; then the pacer is told to wait.
        while sink.send(step, now).unwrap() == Sent::Taken {}
        assert!(sink.pump(now, &mut |_| {}).is_ok());
        now = now + Duration::from_secs(3);
        assert!(matches!(sink.pump(now, &mut |_| {}), Err(SinkError::Silent)));
    }
}
