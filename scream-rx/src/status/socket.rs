//! Where a running instance is asked how it goes: a Unix socket in `$XDG_RUNTIME_DIR/scream-rx/NAME.sock`, for this user
//! alone. Whoever connects gets one line of JSON and is sent away; nothing of what a client writes is ever read and nothing
//! is kept of it, so there is nothing that a hostile one could fill, hold up or confuse.

use rx_host::report::Figures;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clients that are answered in one round. More wait in the kernel's queue, which is bounded.
const MAX_A_ROUND: usize = 32;
/// The longest answer that a client reads.
const MAX_ANSWER: u64 = 1 << 16;
/// The longest wait of a client. Whoever answers does so within a quarter of a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many instances of one name there may be, if nobody named them.
const MAX_NUMBER: u32 = 32;

/// The folder of the sockets, if the environment names one for this login.
pub fn folder() -> Option<PathBuf> {
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?;
    run.is_absolute().then(|| run.join("scream-rx"))
}

/// Why no socket could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another instance has this name. Another name helps.
    #[error("another scream-rx runs as {0}")]
    Taken(String),
    /// The system refused. The sound does not depend on it.
    #[error("cannot open a socket for status")]
    Io(#[from] io::Error),
}

/// The socket of a running instance. Dropping it removes it.
#[derive(Debug)]
pub struct Socket {
    name: String,
    listener: UnixListener,
    path: PathBuf,
    lock: PathBuf,
    // Held for as long as the instance runs; a crash gives it back too.
    _locked: File,
}

impl Socket {
    /// Opens the socket of the instance `name` in `folder`. `exactly`: no other name will do; else a number is added to a
    /// name that is taken (`main-2`).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, name: &str, exactly: bool) -> Result<Socket, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for number in 1..=if exactly { 1 } else { MAX_NUMBER } {
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            if let Some(socket) = Socket::try_open(folder, name)? {
                return Ok(socket);
            }
        }
        Err(OpenError::Taken(name.into()))
    }

    fn try_open(folder: &Path, name: String) -> io::Result<Option<Socket>> {
        let lock = folder.join(format!("{name}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        // One that ended just now may have removed the file that was opened here; then this is a lock on nothing.
        if std::fs::metadata(&lock).ok().map(|m| m.ino()) != Some(file.metadata()?.ino()) {
            return Ok(None);
        }
        let path = folder.join(format!("{name}.sock"));
        // The lock is ours, so whoever made a socket of this name has ended.
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Some(Socket { name, listener, path, lock, _locked: file }))
    }

    /// Under which name it can be asked.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers those who have connected since the last call; `report` is made only if there are any. Never waits.
    pub fn answer(&self, report: impl FnOnce() -> Figures) {
        let mut clients = Vec::new();
        while clients.len() < MAX_A_ROUND {
            let Ok((client, _)) = self.listener.accept() else { break };
            clients.push(client);
        }
        if clients.is_empty() {
            return;
        }
        let text = report().to_json();
        for mut client in clients {
            // It fits into the buffer of a new socket, or the client is not answered.
            let _ = client.set_nonblocking(true).and_then(|()| client.write_all(text.as_bytes()));
        }
    }
}

/// Readable while somebody waits to be answered.
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// The names of the instances that run, sorted. What a crash left does not answer, and is left out.
pub fn instances(folder: &Path) -> Vec<String> {
    let runs = |name: &String| UnixStream::connect(folder.join(format!("{name}.sock"))).is_ok();
    names(folder).into_iter().filter(runs).collect()
}

/// The names of the instances that run, and of those that a crash left, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".sock")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Asks an instance how it goes; its JSON.
///
/// Blocks until it answers, three seconds at most.
///
/// # Errors
/// What the system said; [`ErrorKind::NotFound`] or [`ErrorKind::ConnectionRefused`] if no such instance runs. One that
/// runs and does not answer [`is_late`].
pub fn ask(folder: &Path, name: &str) -> io::Result<String> {
    let stream = UnixStream::connect(folder.join(format!("{name}.sock")))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether it is only that no answer came in time.
pub fn is_late(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn report() -> Figures {
        let mut figures = Figures::new("scream-rx", "0", 1);
        figures.count("gaps", 7);
        figures
    }

    #[test]
    fn a_socket_is_for_its_user_alone_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("scream-rx");
        let socket = Socket::open(&folder, "main", true).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("main.sock"))), (0o700, 0o600));
        assert_eq!(instances(&folder), ["main"]);
        drop(socket);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_second_instance_is_numbered_unless_its_name_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let first = Socket::open(dir.path(), "main", false).unwrap();
        let second = Socket::open(dir.path(), "main", false).unwrap();
        assert_eq!((first.name(), second.name()), ("main", "main-2"));
        assert!(matches!(Socket::open(dir.path(), "main", true), Err(OpenError::Taken(name)) if name == "main"));
        drop(first);
        assert_eq!(Socket::open(dir.path(), "main", true).unwrap().name(), "main");
    }

    #[test]
    fn a_socket_that_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join("main.sock")).unwrap());
        std::fs::write(dir.path().join("main.lock"), "").unwrap();
        assert!(ask(dir.path(), "main").is_err(), "nobody answers there");
        assert!(instances(dir.path()).is_empty(), "so nobody runs");
        assert_eq!(Socket::open(dir.path(), "main", true).unwrap().name(), "main");
    }

    #[test]
    fn who_asks_is_answered_and_who_does_not_read_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = Socket::open(dir.path(), "main", true).unwrap();
        socket.answer(|| unreachable!("nobody asked"));
        let folder = dir.path().to_owned();
        // Silent ones, one that talks and does not listen, and one that goes at once.
        let path = dir.path().join("main.sock");
        let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let mut talker = UnixStream::connect(&path).unwrap();
        talker.set_nonblocking(true).unwrap();
        while talker.write(&[0x55; 4096]).is_ok() {}
        drop(UnixStream::connect(&path).unwrap());
        let client = thread::spawn(move || ask(&folder, "main").unwrap());
        while !client.is_finished() {
            socket.answer(report);
        }
        let told: serde_json::Value = serde_json::from_str(&client.join().unwrap()).unwrap();
        assert_eq!((told["gaps"].as_u64(), told["app"].as_str()), (Some(7), Some("scream-rx")));
        drop(silent);
    }
}
