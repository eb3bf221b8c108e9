//! The helper's side: one request, looked at as what anybody may have sent; the kernel says who asks.

use super::list::{Asker, LIST_MAX, List};
use super::{ANSWER_MAX, NO, REQUEST, REQUEST_MAX, YES, is_node};
use crate::input::evdev::facts::{Facts, NODES, SYS};
use crate::input::evdev::rule::node_of;
use core::mem::MaybeUninit;
use core::time::Duration;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rx_host::{clock, people};
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// How long a client may take with its request, and the system with the question who has the screen.
const WAIT: Duration = Duration::from_secs(1);
/// Character devices of the kernel's input layer. Source: Linux, `devices.txt`.
const INPUT_MAJOR: u32 = 13;

/// Serves one client.
///
/// Blocks, for a few seconds at most.
///
/// # Errors
/// When the client cannot be heard or answered. A refusal is an answer.
pub fn serve(client: &UnixStream, list: &Path) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(WAIT))?;
    client.set_write_timeout(Some(WAIT))?;
    let uid = rustix::net::sockopt::socket_peercred(client)?.uid.as_raw();
    let asked = request(client)?;
    let device = asked.ok_or_else(|| "this is no request".to_owned()).and_then(|node| find(&node, uid, list));
    match device {
        Ok((device, name)) => {
            tracing::info!("user {uid} gets {name}");
            answer(client, YES, "", Some(&device))
        }
        Err(why) => {
            tracing::info!("user {uid} gets no device: {why}");
            answer(client, NO, &why, None)
        }
    }
}

/// The node that is asked for; nothing if it is no request.
fn request(mut client: &UnixStream) -> io::Result<Option<String>> {
    let (mut bytes, mut len) = ([0; REQUEST_MAX], 0);
    let end = clock::now() + WAIT;
    while len < bytes.len() && !bytes[..len].ends_with(b"\n") && clock::now() < end {
        match client.read(&mut bytes[len..])? {
            0 => break,
            n => len += n,
        }
    }
    let text = str::from_utf8(&bytes[..len]).ok().and_then(|text| text.strip_suffix('\n'));
    let node = text.and_then(|text| text.strip_prefix(REQUEST)).filter(|node| is_node(node));
    Ok(node.map(str::to_owned))
}

/// Opens the device if the list gives it to this user. Its own words come with it.
fn find(node: &str, uid: u32, list: &Path) -> Result<(OwnedFd, String), String> {
    let list = read_list(list)?;
    let facts = Facts::read(Path::new(SYS), node).ok_or("there is no such device")?;
    let name = people::user_name(uid);
    let asker = Asker { uid, name: name.as_deref() };
    list.check(asker, &facts, &node_of, || is_active(uid)).map_err(|refusal| refusal.to_string())?;
    let device = open_node(&Path::new(NODES).join(node)).map_err(|e| format!("it cannot be opened: {e}"))?;
    Ok((device, facts.to_string()))
}

/// The list, if nobody but root (or whoever runs this) can have written it.
fn read_list(path: &Path) -> Result<List, String> {
    let told = |e: io::Error| format!("{} cannot be read: {e}", path.display());
    let file = File::open(path).map_err(told)?;
    let meta = file.metadata().map_err(told)?;
    let is_ours = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || meta.mode() & 0o022 != 0 {
        return Err(format!("{} could have been written by others", path.display()));
    }
    let mut text = String::new();
    file.take(LIST_MAX).read_to_string(&mut text).map_err(told)?;
    let list = List::parse(&text);
    if !list.bad.is_empty() {
        tracing::warn!("{}: lines {:?} are not understood", path.display(), list.bad);
    }
    Ok(list)
}

fn open_node(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let device = open(path, flags, Mode::empty())?;
    let stat = fstat(&device)?;
    let is_input = rustix::fs::major(stat.st_rdev) == INPUT_MAJOR;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || !is_input {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no input device"));
    }
    Ok(device)
}

/// Whether the user's session is the one that a screen shows, as logind says. Without it nobody's is.
fn is_active(uid: u32) -> bool {
    let mut command = Command::new("/usr/bin/loginctl");
    command.args(["show-user", "--property=State", "--value"]).arg(uid.to_string()).env_clear();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = started else { return false };
    let end = clock::now() + WAIT;
    while matches!(child.try_wait(), Ok(None)) {
        if clock::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        clock::sleep_until(clock::now() + Duration::from_millis(2));
    }
    let mut said = String::new();
    let heard = child.stdout.take().map(|out| out.take(64).read_to_string(&mut said));
    matches!(heard, Some(Ok(_))) && said.trim() == "active"
}

fn answer(client: &UnixStream, word: u8, why: &str, device: Option<&OwnedFd>) -> io::Result<()> {
    let mut bytes = vec![word];
    bytes.extend(why.bytes().take(ANSWER_MAX - 1));
    let fds: Vec<_> = device.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(client, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// A helper that serves so many clients by this list.
    fn helper(folder: &Path, list: &str, clients: usize) -> std::thread::JoinHandle<()> {
        let (socket, path) = (folder.join("s"), folder.join("list"));
        std::fs::write(&path, list).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).unwrap();
        std::thread::spawn(move || {
            for _ in 0..clients {
                let _ = serve(&listener.accept().unwrap().0, &path);
            }
        })
    }

    #[test]
    fn who_asks_for_what_is_not_there_or_asks_wrongly_is_told_why() {
        let folder = tempfile::tempdir().unwrap();
        let helper = helper(folder.path(), "* always auto\n", 3);
        let socket = folder.path().join("s");
        for (node, why) in [("event999999", "no such device"), ("../../sda", "no request")] {
            let error = client::ask(&socket, node).unwrap_err();
            assert!(error.to_string().contains(why), "{node}: {error}");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
        let mut rude = UnixStream::connect(&socket).unwrap();
        rude.write_all(&[b'x'; 4 * REQUEST_MAX]).unwrap();
        let mut said = Vec::new();
        let _ = rude.read_to_end(&mut said);
        assert_eq!(said.first(), Some(&NO));
        helper.join().unwrap();
    }

    #[test]
    fn a_descriptor_is_passed_and_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, secret) = (folder.path().join("s"), folder.path().join("secret"));
        std::fs::write(&secret, "what is in it").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).unwrap();
        let device = OwnedFd::from(File::open(&secret).unwrap());
        let helper = std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            assert_eq!(request(&client).unwrap().as_deref(), Some("event3"));
            answer(&client, YES, "", Some(&device)).unwrap();
            // Half an answer, and none.
            let (client, _) = listener.accept().unwrap();
            answer(&client, YES, "", None).unwrap();
            drop(listener.accept().unwrap());
        });
        let mut text = String::new();
        File::from(client::ask(&socket, "event3").unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "what is in it");
        for _ in 0..2 {
            assert!(client::ask(&socket, "event3").is_err());
        }
        helper.join().unwrap();
    }

    #[test]
    fn a_list_that_others_may_write_allows_nothing_and_so_does_a_node_that_is_no_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "* always auto\nnonsense\n").unwrap();
        for (mode, is_fine) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_list(&path).is_ok(), is_fine, "{mode:o}");
        }
        assert!(read_list(&folder.path().join("none")).unwrap_err().contains("cannot be read"));
        assert!(open_node(&path).is_err() && open_node(Path::new("/dev/null")).is_err());
        assert!(!is_active(4_294_967_294), "nobody's session is shown");
    }

    #[test]
    fn a_helper_that_could_be_anybody_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        assert_eq!(client::ask(&socket, "event0").unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = client::ask(&socket, "event0").unwrap_err();
        assert!(error.to_string().contains("written by everybody"), "{error}");
    }
}
