//! The way to the X server, with a limit: a server that is stopped, or that another client keeps for itself, must not
//! stop the input. A wait that takes too long is an error, and the connection is over.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use x11rb::errors::ConnectError;
use x11rb::reexports::x11rb_protocol::{parse_display, xauth};
use x11rb::rust_connection::{DefaultStream, PollMode, RustConnection, Stream};
use x11rb::utils::RawFdContainer;

use crate::input::wire::timespec;

/// How long the server may take for one step: it is a program of this machine.
const STEP: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub(super) struct Bounded(DefaultStream);

impl AsFd for Bounded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Stream for Bounded {
    fn poll(&self, mode: PollMode) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, mode.readable());
        flags.set(PollFlags::OUT, mode.writable());
        match poll(&mut [PollFd::new(&self.0, flags)], Some(&timespec(STEP))) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn read(&self, bytes: &mut [u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.read(bytes, fds)
    }

    fn write(&self, bytes: &[u8], fds: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.write(bytes, fds)
    }
}

/// A connection to the server that `DISPLAY` names, and the number of its screen.
///
/// Blocks, but not for long.
pub(super) fn connect() -> Result<(RustConnection<Bounded>, usize), ConnectError> {
    let display = parse_display::parse_display(None)?;
    let screen = usize::from(display.screen);
    let mut last = ConnectError::UnknownError;
    for place in display.connect_instruction() {
        let (stream, (family, address)) = match DefaultStream::connect(&place) {
            Ok(found) => found,
            Err(error) => {
                last = error.into();
                continue;
            }
        };
        // Without a cookie it is tried without one.
        let cookie = xauth::get_auth(family, &address, display.display).ok().flatten();
        let (name, data) = cookie.unwrap_or_default();
        let connection = RustConnection::connect_to_stream_with_auth_info(Bounded(stream), screen, name, data)?;
        return Ok((connection, screen));
    }
    Err(last)
}
