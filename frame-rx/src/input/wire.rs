//! A stream socket that never blocks the input: bounded buffers both ways, connecting and handshakes under a deadline,
//! and a server that stops reading is given up.

use super::address::{Endpoint, check_file, check_peer};
use super::sink::SinkError;
use core::time::Duration;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes kept of what has come and was not understood yet.
const IN_MAX: usize = 128 << 10;
/// Bytes kept of what the other side did not take yet.
const OUT_MAX: usize = 64 << 10;
/// How long a server may leave bytes unread before it counts as gone.
const STUCK: Duration = Duration::from_secs(2);
/// Between two looks whether the program ends.
const LOOK: Duration = Duration::from_millis(50);

/// How long something may take, and what ends it early.
#[derive(Clone, Debug)]
pub struct Patience {
    /// The end.
    pub until: HostTime,
    /// The end of the program.
    pub stop: Stop,
}

impl Patience {
    /// So long from now.
    pub fn new(time: Duration, stop: &Stop) -> Patience {
        Patience { until: clock::now() + time, stop: stop.clone() }
    }

    /// Waits until `fd` is ready for `flags`.
    fn wait(&self, fd: BorrowedFd<'_>, flags: PollFlags) -> Result<(), SinkError> {
        loop {
            if self.stop.is_requested() {
                return Err(SinkError::Stopped);
            }
            let left = self.until.since(clock::now());
            if left.is_zero() {
                return Err(SinkError::Silent);
            }
            let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
            match poll(&mut fds, Some(&timespec(left.min(LOOK)))) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
    }
}

/// The kernel's form of a duration.
pub fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: d.subsec_nanos().into() }
}

/// A connected stream.
#[derive(Debug)]
pub struct Wire {
    fd: OwnedFd,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    stuck_since: Option<HostTime>,
}

impl Wire {
    /// Connects. A Unix socket must be one that can be trusted.
    ///
    /// Blocks, but not longer than `patience`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn connect(to: &Endpoint, patience: &Patience) -> Result<Wire, SinkError> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let open = |family| rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from);
        let (fd, begun) = match to {
            Endpoint::Tcp(address) => {
                let family =
                    if matches!(address, SocketAddr::V4(_)) { AddressFamily::INET } else { AddressFamily::INET6 };
                let fd = open(family)?;
                sockopt::set_tcp_nodelay(&fd, true).map_err(io::Error::from)?;
                let begun = rustix::net::connect(&fd, address);
                (fd, begun)
            }
            Endpoint::Unix(path) => {
                check_file(path)?;
                let fd = open(AddressFamily::UNIX)?;
                let address = SocketAddrUnix::new(path.as_path()).map_err(io::Error::from)?;
                let begun = rustix::net::connect(&fd, &address);
                (fd, begun)
            }
        };
        match begun {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                patience.wait(fd.as_fd(), PollFlags::OUT)?;
                sockopt::socket_error(&fd).map_err(io::Error::from)?.map_err(io::Error::from)?;
            }
            // A Unix socket whose queue of waiting clients is full.
            Err(Errno::AGAIN) => return Err(SinkError::Silent),
            Err(e) => return Err(io::Error::from(e).into()),
        }
        if matches!(to, Endpoint::Unix(_)) {
            check_peer(&fd)?;
        }
        Ok(Wire { fd, incoming: Vec::with_capacity(IN_MAX), outgoing: Vec::with_capacity(OUT_MAX), stuck_since: None })
    }

    /// What has come and was not consumed.
    pub fn incoming(&self) -> &[u8] {
        &self.incoming
    }

    /// Forgets the first `n` bytes of [`Wire::incoming`].
    pub fn consume(&mut self, n: usize) {
        self.incoming.drain(..n.min(self.incoming.len()));
    }

    /// Whether the buffer of what has come is full without being understood.
    pub fn is_full(&self) -> bool {
        self.incoming.len() >= IN_MAX
    }

    /// Takes in what has come. Whether it was anything.
    ///
    /// # Errors
    /// [`SinkError::Closed`] at the end of the stream.
    pub fn receive(&mut self) -> Result<bool, SinkError> {
        if self.is_full() {
            return Ok(false);
        }
        match rustix::io::read(&self.fd, spare_capacity(&mut self.incoming)) {
            Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => Err(SinkError::Closed),
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    /// Waits until `n` bytes have come.
    ///
    /// Blocks, but not longer than `patience`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn need(&mut self, n: usize, patience: &Patience) -> Result<(), SinkError> {
        while self.incoming.len() < n.min(IN_MAX) {
            patience.wait(self.fd.as_fd(), PollFlags::IN)?;
            self.receive()?;
        }
        Ok(())
    }

    /// How many bytes can be sent now.
    pub fn room(&self) -> usize {
        OUT_MAX.saturating_sub(self.outgoing.len())
    }

    /// Whether so many bytes can be sent now.
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.room()
    }

    /// Sends whole messages, or keeps what does not fit.
    ///
    /// # Errors
    /// [`SinkError::Silent`] if too much is kept, or for too long.
    pub fn send(&mut self, bytes: &[u8], now: HostTime) -> Result<(), SinkError> {
        if !self.has_room(bytes.len()) {
            return Err(SinkError::Silent);
        }
        self.outgoing.extend_from_slice(bytes);
        self.flush(now)
    }

    /// Sends what was kept.
    ///
    /// # Errors
    /// [`SinkError::Silent`] if nothing of it was taken for too long.
    pub fn flush(&mut self, now: HostTime) -> Result<(), SinkError> {
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.fd, &self.outgoing, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.outgoing.drain(..sent);
                    self.stuck_since = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let since = *self.stuck_since.get_or_insert(now);
                    return if now.since(since) > STUCK { Err(SinkError::Silent) } else { Ok(()) };
                }
                Err(Errno::CONNRESET | Errno::PIPE) => return Err(SinkError::Closed),
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        Ok(())
    }

    /// When a server that reads nothing counts as gone.
    pub fn due(&self) -> Option<HostTime> {
        self.stuck_since.map(|since| since + STUCK + Duration::from_millis(1))
    }

    /// The descriptor, and whether something waits to be written.
    pub fn descriptor(&self) -> (BorrowedFd<'_>, bool) {
        (self.fd.as_fd(), !self.outgoing.is_empty())
    }
}
