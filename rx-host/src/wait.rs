//! Waiting for descriptors until a deadline, and the two things that are waited for: a latch, which stays set, and a
//! bell, which is cleared by whoever heard it.

use crate::clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use shm_proto::HostTime;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Waits until one of `fds` can be read or `deadline` has passed. Gives for each whether it is ready.
///
/// Blocks. Real-time safe: one system call and a few readings of the clock, no allocation. Interrupted waits go on, unless the interruption made a descriptor ready.
pub fn until<const N: usize>(fds: [BorrowedFd<'_>; N], deadline: HostTime) -> [bool; N] {
    wait(fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), deadline)
}

/// Waits until `out` can be written to, `other` can be read, or `deadline` has passed. Whether `out` takes something, or tells
/// with the next write that it never will.
///
/// Blocks. Real-time safe, as [`until`].
pub fn for_room(out: BorrowedFd<'_>, other: BorrowedFd<'_>, deadline: HostTime) -> bool {
    let polled = [(out, PollFlags::OUT), (other, PollFlags::IN)];
    let [room, _] = wait(polled.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)), deadline);
    room
}

fn wait<const N: usize>(mut polled: [PollFd<'_>; N], deadline: HostTime) -> [bool; N] {
    loop {
        let left = clock::timespec(deadline.since(clock::now()));
        match poll(&mut polled, Some(&left)) {
            Ok(0) if clock::now() < deadline => {}
            Err(Errno::INTR) => {}
            Ok(_) => return core::array::from_fn(|i| !polled[i].revents().is_empty()),
            // Only a lack of kernel memory is left. Wait without the descriptors rather than spin.
            Err(_) => {
                while !clock::sleep_until(deadline) {}
                return [false; N];
            }
        }
    }
}

/// A pair of connected sockets of which one end is rung and the other heard: unlike an eventfd it takes the single byte
/// that a signal handler writes.
#[derive(Debug)]
pub struct Bell {
    heard: UnixStream,
    rung: UnixStream,
}

impl Bell {
    /// A bell that is not rung.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Bell> {
        let (heard, rung) = UnixStream::pair()?;
        heard.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        Ok(Bell { heard, rung })
    }

    /// The end for a signal handler.
    pub(crate) fn ringer(&self) -> io::Result<UnixStream> {
        self.rung.try_clone()
    }

    /// Rings. A bell that is full of rings is rung already.
    pub fn ring(&self) {
        let _ = (&self.rung).write(&[1]);
    }

    /// Forgets all rings so far.
    pub fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.heard).read(&mut bytes), Ok(n) if n == bytes.len()) {}
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bell_is_heard_until_it_is_cleared() {
        let bell = Bell::new().unwrap();
        assert_eq!(until([bell.as_fd()], clock::now()), [false]);
        for _ in 0..100_000 {
            bell.ring();
        }
        let far = clock::now() + Duration::from_secs(3600);
        assert_eq!(until([bell.as_fd()], far), [true]);
        assert_eq!(until([bell.as_fd()], far), [true]);
        bell.clear();
        assert_eq!(until([bell.as_fd()], clock::now()), [false]);
    }

    #[test]
    fn a_full_line_is_waited_for_until_somebody_reads_or_something_else_happens() {
        let (bell, line) = (Bell::new().unwrap(), Bell::new().unwrap());
        let far = clock::now() + Duration::from_secs(3600);
        let room = |until| for_room(line.rung.as_fd(), bell.as_fd(), until);
        assert!(room(far));
        while (&line.rung).write(&[0; 4096]).is_ok() {}
        assert!(!room(clock::now()));
        bell.ring();
        assert!(!room(far), "something else");
        while matches!((&line.heard).read(&mut [0; 4096]), Ok(n) if n > 0) {}
        assert!(room(far));
    }

    #[test]
    fn a_wait_lasts_until_its_deadline() {
        let bell = Bell::new().unwrap();
        let deadline = clock::now() + Duration::from_millis(3);
        assert_eq!(until([bell.as_fd()], deadline), [false]);
        assert!(clock::now() >= deadline);
    }
}
