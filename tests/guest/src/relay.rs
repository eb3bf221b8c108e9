//! A Unix socket in the test VM that stands for a TCP port of the host, which QEMU's network shows at an address of its
//! own: for programs that talk to sockets of their own machine only.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// The host, as a machine with QEMU's user network sees it. Source: QEMU's documentation, "Network emulation".
const HOST: &str = "10.0.2.2";

/// Passes on what comes to `path`, and back, a connection for each. An end on one side is one on the other.
///
/// Blocks for ever.
pub fn run(path: &Path, port: u16) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    println!("RIG-RELAY {}", path.display());
    loop {
        let (here, _) = listener.accept()?;
        let there = TcpStream::connect((HOST, port))?;
        there.set_nodelay(true)?;
        let (from_here, to_there) = (here.try_clone()?, there.try_clone()?);
        std::thread::spawn(move || pass(from_here, to_there, |there| there.shutdown(Shutdown::Both)));
        std::thread::spawn(move || pass(there, here, |here: &UnixStream| here.shutdown(Shutdown::Both)));
    }
}

fn pass<W: io::Write>(mut from: impl io::Read, mut to: W, end: impl FnOnce(&W) -> io::Result<()>) {
    let _ = io::copy(&mut from, &mut to);
    let _ = end(&to);
}
