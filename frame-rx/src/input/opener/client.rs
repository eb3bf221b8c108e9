//! Asks the helper for a device. A socket that anybody may write to, or that is neither root's nor this user's, is not
//! asked: what it gave might not be what it says.

use super::{ANSWER_MAX, REQUEST, YES};
use core::mem::MaybeUninit;
use core::time::Duration;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{self, IoSliceMut, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How long the helper may take: it is started, and looks who has the screen.
const WAIT: Duration = Duration::from_millis(500);

/// Whether the socket can be trusted, by its file.
///
/// # Errors
/// The system's, or what is wrong with it.
pub fn check(socket: &Path) -> io::Result<()> {
    let meta = std::fs::metadata(socket)?;
    if meta.mode() & 0o002 != 0 {
        return Err(denied(format!("{} can be written by everybody", socket.display())));
    }
    check_owner(meta.uid())
}

fn check_owner(uid: u32) -> io::Result<()> {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(denied(format!("the opener is user {uid}'s, neither root's nor yours")))
}

fn denied(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The open device of this node, for reading without waiting.
///
/// Blocks for the helper, half a second at most for each step.
///
/// # Errors
/// `NotFound` if there is no helper; else why there is no device.
pub fn ask(socket: &Path, node: &str) -> io::Result<OwnedFd> {
    check(socket)?;
    let mut stream = UnixStream::connect(socket)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    check_owner(peer.uid.as_raw())?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(format!("{REQUEST}{node}\n").as_bytes())?;
    let (mut answer, mut space) = ([0; ANSWER_MAX], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(&stream, &mut [IoSliceMut::new(&mut answer)], &mut ancillary, flags).map_err(|error| {
        let is_late = error == Errno::AGAIN;
        if is_late {
            io::Error::new(io::ErrorKind::TimedOut, "the opener did not answer in time")
        } else {
            error.into()
        }
    })?;
    let passed = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let said = answer.get(..got.bytes).unwrap_or_default();
    match (said.first(), passed) {
        (Some(&YES), Some(fd)) => {
            let flags = rustix::fs::fcntl_getfl(&fd)?;
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
            Ok(fd)
        }
        (Some(_), None) => {
            let why = String::from_utf8_lossy(said.get(1..).unwrap_or_default()).into_owned();
            Err(denied(rx_host::term::printable(&why).to_string()))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the opener does not answer as one")),
    }
}
