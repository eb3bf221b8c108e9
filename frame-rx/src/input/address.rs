//! Where a sink is, as typed after `--input`, and whether a socket there can be trusted: what goes through it are
//! passwords as they are typed, and what listens there could hand them on.

use super::sink::SinkError;
use core::fmt;
use core::str::FromStr;
use rx_host::people::User;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where QEMU's and libvirt's SPICE server listens if nothing else is said.
pub const USUAL_SPICE: Endpoint = Endpoint::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5900));
/// Users as whom distributions run the machines of a system's libvirt.
const MACHINE_USERS: [&str; 3] = ["libvirt-qemu", "qemu", "libvirt"];

/// A server on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port of the loopback interface.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The way to the guest, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InputChoice {
    /// SPICE where QEMU usually listens, tried when the user first wants the guest to have the input: a virtual USB
    /// device if the machine has a place for one, else the inputs channel.
    #[default]
    Auto,
    /// None: the picture only.
    None,
    /// The inputs channel of a SPICE server.
    Spice(Endpoint),
    /// A virtual USB device through a SPICE server; its inputs channel while the guest has no driver for that.
    SpiceUsb(Endpoint),
    /// A virtual USB device through the socket of a `usb-redir` device.
    UsbHid(Endpoint),
    /// A QMP monitor's Unix socket.
    Qmp(PathBuf),
    /// A virtual keyboard and mouse of the host, for QEMU's `input-linux` to take.
    Uinput,
}

impl InputChoice {
    /// The path of the socket, where it has one.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            InputChoice::Spice(Endpoint::Unix(path))
            | InputChoice::SpiceUsb(Endpoint::Unix(path))
            | InputChoice::UsbHid(Endpoint::Unix(path))
            | InputChoice::Qmp(path) => Some(path),
            _ => None,
        }
    }

    /// The word that it begins with.
    pub fn name(&self) -> &'static str {
        match self {
            InputChoice::Auto => "auto",
            InputChoice::None => "none",
            InputChoice::Uinput => "uinput",
            InputChoice::Spice(_) => "spice",
            InputChoice::SpiceUsb(_) => "spice-usb",
            InputChoice::UsbHid(_) => "usbhid",
            InputChoice::Qmp(_) => "qmp",
        }
    }
}

/// Why an address was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No way to a guest has this name.
    #[error("`{0}` is none of auto, none, spice:ADDR, spice-usb:ADDR, usbhid:ADDR, qmp:PATH, uinput")]
    Kind(String),
    /// Neither a path nor a port of this machine.
    #[error("`{0}` is neither a socket's path (with a /) nor HOST:PORT with 127.0.0.1, [::1] or localhost")]
    Address(String),
    /// No path, where only one will do.
    #[error("`{0}` is no socket's path: write one with a /, as in qmp:/run/vm/qmp.sock")]
    Path(String),
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Endpoint, AddressError> {
        let text = text.strip_prefix("unix:").unwrap_or(text);
        if text.contains('/') {
            return Ok(Endpoint::Unix(PathBuf::from(text)));
        }
        let numbers = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let address: Option<SocketAddr> = numbers.parse().ok();
        // What is typed would go over the network in the clear.
        let address = address.filter(|a| a.ip().is_loopback() && a.port() != 0);
        address.map(Endpoint::Tcp).ok_or_else(|| AddressError::Address(text.to_owned()))
    }
}

impl FromStr for InputChoice {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<InputChoice, AddressError> {
        match text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest))) {
            ("auto", None) => Ok(InputChoice::Auto),
            ("none", None) => Ok(InputChoice::None),
            ("uinput", None) => Ok(InputChoice::Uinput),
            ("spice", Some(address)) => address.parse().map(InputChoice::Spice),
            ("spice-usb", Some(address)) => address.parse().map(InputChoice::SpiceUsb),
            ("usbhid", Some(address)) => address.parse().map(InputChoice::UsbHid),
            ("qmp", Some(path)) if path.contains('/') => Ok(InputChoice::Qmp(PathBuf::from(path))),
            ("qmp", Some(path)) => Err(AddressError::Path(path.to_owned())),
            _ => Err(AddressError::Kind(text.to_owned())),
        }
    }
}

impl fmt::Display for InputChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputChoice::Auto | InputChoice::None | InputChoice::Uinput => f.write_str(self.name()),
            InputChoice::Spice(endpoint) | InputChoice::SpiceUsb(endpoint) | InputChoice::UsbHid(endpoint) => {
                write!(f, "{}:{endpoint}", self.name())
            }
            InputChoice::Qmp(path) => write!(f, "{}:{}", self.name(), path.display()),
        }
    }
}

/// Looks at a Unix socket's file before it is connected to.
///
/// # Errors
/// [`SinkError::Untrusted`] if everybody may write to it or it belongs to somebody who has no business with it;
/// [`SinkError::Io`] if it is not there.
pub fn check_file(path: &Path) -> Result<(), SinkError> {
    let meta = std::fs::metadata(path)?;
    let shown = path.display();
    if meta.mode() & 0o002 != 0 {
        return Err(SinkError::Untrusted(format!(
            "{shown} can be written by everybody (mode {:o})",
            meta.mode() & 0o777
        )));
    }
    check_owner(meta.uid(), &format!("{shown} belongs to"))
}

/// Looks at who listens on a connected Unix socket.
///
/// # Errors
/// [`SinkError::Untrusted`].
pub fn check_peer(socket: impl AsFd) -> Result<(), SinkError> {
    let peer = rustix::net::sockopt::socket_peercred(socket).map_err(std::io::Error::from)?;
    check_owner(peer.uid.as_raw(), "the server runs as")
}

fn check_owner(uid: u32, what: &str) -> Result<(), SinkError> {
    let ours = User::current().user;
    if uid == 0 || uid == ours.id {
        return Ok(());
    }
    let name = rx_host::people::user_name(uid);
    match name {
        Some(name) if MACHINE_USERS.contains(&name.as_str()) => Ok(()),
        name => {
            let name = name.unwrap_or_else(|| uid.to_string());
            let ours = if ours.id == 0 { "root".to_owned() } else { format!("{} nor root", ours.name) };
            Err(SinkError::Untrusted(format!("{what} {name}, neither {ours} nor a machine's user")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "auto",
            "none",
            "uinput",
            "spice:127.0.0.1:5900",
            "spice:[::1]:5901",
            "spice:/run/a/spice.sock",
            "spice-usb:/s",
            "usbhid:127.0.0.1:1",
            "usbhid:./u",
            "qmp:./q",
        ] {
            assert_eq!(text.parse::<InputChoice>().unwrap().to_string(), text);
        }
        let unix = Endpoint::Unix(PathBuf::from("/run/u"));
        assert_eq!("usbhid:unix:/run/u".parse(), Ok(InputChoice::UsbHid(unix)));
        assert_eq!("spice:localhost:5900".parse(), Ok(InputChoice::Spice(USUAL_SPICE)));
    }

    #[test]
    fn what_is_not_on_this_machine_or_makes_no_sense_is_refused() {
        for text in [
            "",
            "spice",
            "vnc:1",
            "spice:192.168.1.2:5900",
            "spice:example.org:1",
            "spice:127.0.0.1:0",
            "qmp:x",
            "usbhid",
            "usbhid:10.0.0.1:1",
        ] {
            assert!(text.parse::<InputChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_that_everybody_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        for (mode, is_fine) in [(0o700, true), (0o775, true), (0o777, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = check_file(&path);
            assert_eq!(checked.is_ok(), is_fine, "{mode:o}: {checked:?}");
        }
        assert!(matches!(check_file(&folder.path().join("none")), Err(SinkError::Io(_))));
    }

    #[test]
    fn a_socket_of_another_user_is_refused() {
        // 4294967294 is nobody's in particular.
        assert!(matches!(check_owner(4_294_967_294, "it belongs to"), Err(SinkError::Untrusted(_))));
        assert!(check_owner(User::current().user.id, "it belongs to").is_ok());
    }
}
