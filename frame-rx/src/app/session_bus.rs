//! As much of D-Bus as one call needs: a session's screensaver is asked to stay away, and comes back by itself when this
//! connection ends, however it ends. Every step is bounded.
//!
//! Source: the D-Bus specification ("Authentication Protocol", "Message Protocol") and the `org.freedesktop.ScreenSaver`
//! interface, which GNOME, KDE, Xfce, Cinnamon and MATE serve under X11 and Wayland.

use core::time::Duration;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// How long the bus may take for one step: it is a program of this machine.
const STEP: Duration = Duration::from_millis(200);
/// The longest line of the handshake that is read, in bytes.
const MAX_LINE_BYTES: usize = 512;
const SERVICE: &str = "org.freedesktop.ScreenSaver";
const OBJECT: &str = "/org/freedesktop/ScreenSaver";

/// The wish that the screensaver stays away; over when dropped.
#[derive(Debug)]
pub struct Inhibitor {
    _bus: UnixStream,
}

impl Inhibitor {
    /// Asks the session at `address` (as in `DBUS_SESSION_BUS_ADDRESS`). What the screensaver answers is not waited for.
    ///
    /// Blocks for the bus, for a second at most.
    ///
    /// # Errors
    /// What the system or the bus said.
    pub fn new(address: &OsStr, program: &str, reason: &str) -> io::Result<Inhibitor> {
        let mut bus = connect(address)?;
        bus.set_read_timeout(Some(STEP))?;
        bus.set_write_timeout(Some(STEP))?;
        let user = rustix::process::getuid().as_raw().to_string();
        let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
        bus.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let answer = line(&mut bus)?;
        if !answer.starts_with(b"OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the session bus lets nobody in"));
        }
        bus.write_all(b"BEGIN\r\n")?;
        let bus_name = "org.freedesktop.DBus";
        bus.write_all(&call(1, bus_name, "/org/freedesktop/DBus", (bus_name, "Hello"), &[]))?;
        bus.write_all(&call(2, SERVICE, OBJECT, (SERVICE, "Inhibit"), &[program, reason]))?;
        Ok(Inhibitor { _bus: bus })
    }
}

/// The first of the addresses that takes connections.
fn connect(addresses: &OsStr) -> io::Result<UnixStream> {
    let mut last = io::Error::new(io::ErrorKind::Unsupported, "the session bus has no address that is understood");
    for address in addresses.as_bytes().split(|b| *b == b';') {
        let Some(rest) = address.strip_prefix(b"unix:") else { continue };
        for pair in rest.split(|b| *b == b',') {
            let place = match pair.strip_prefix(b"path=") {
                Some(path) => SocketAddr::from_pathname(OsStr::from_bytes(&unescaped(path))),
                None => match pair.strip_prefix(b"abstract=") {
                    Some(name) => SocketAddr::from_abstract_name(unescaped(name)),
                    None => continue,
                },
            };
            match place.and_then(|place| UnixStream::connect_addr(&place)) {
                Ok(bus) => return Ok(bus),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// Bytes with `%41` for some of them.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).filter(|_| *first == b'%').and_then(|hex| str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

fn line(bus: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        if line.len() >= MAX_LINE_BYTES || bus.read(&mut byte)? == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the session bus does not answer as one"));
        }
        line.extend_from_slice(&byte);
    }
    Ok(line)
}

/// A method call with texts as arguments, whole.
fn call(serial: u32, to: &str, object: &str, (interface, member): (&str, &str), arguments: &[&str]) -> Vec<u8> {
    let mut body = Bytes::default();
    arguments.iter().for_each(|text| body.text(text));
    let mut fields = Bytes::default();
    for (code, kind, text) in [(1, b'o', object), (2, b's', interface), (3, b's', member), (6, b's', to)] {
        fields.field(code, kind);
        fields.text(text);
    }
    if !arguments.is_empty() {
        fields.field(8, b'g');
        let signature = "s".repeat(arguments.len());
        fields.0.push(u8::try_from(signature.len()).unwrap_or(0));
        fields.0.extend_from_slice(signature.as_bytes());
        fields.0.push(0);
    }
    let mut message = Bytes::default();
    // Little-endian; a call; no flags; version 1.
    message.0.extend_from_slice(&[b'l', 1, 0, 1]);
    message.number(body.0.len());
    message.0.extend_from_slice(&serial.to_le_bytes());
    message.number(fields.0.len());
    // Sixteen bytes so far, so places of the fields are aligned as they were.
    message.0.extend_from_slice(&fields.0);
    message.align(8);
    message.0.extend_from_slice(&body.0);
    message.0
}

/// Bytes in the making.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, n: usize) {
        self.0.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.align(4);
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// The start of a header field: its code, and the signature of its value.
    fn field(&mut self, code: u8, kind: u8) {
        self.align(8);
        self.0.extend_from_slice(&[code, 1, kind, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let hello = call(1, "a.b", "/c", ("d.e", "F"), &[]);
        let expected: &[u8] = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x3d\0\0\0\
            \x01\x01o\0\x02\0\0\0/c\0\0\0\0\0\0\
            \x02\x01s\0\x03\0\0\0d.e\0\0\0\0\0\
            \x03\x01s\0\x01\0\0\0F\0\0\0\0\0\0\0\
            \x06\x01s\0\x03\0\0\0a.b\0\0\0\0\0";
        // The last field is padded for the body, which its length does not count.
        let length = expected.len() - 16 - 4;
        assert_eq!(hello[12..16], u32::to_le_bytes(length as u32));
        assert_eq!(hello[16..], expected[16..]);
        let with_texts = call(2, "a.b", "/c", ("d.e", "F"), &["xy", ""]);
        assert_eq!(with_texts[4..8], [13, 0, 0, 0]);
        assert!(with_texts.ends_with(b"\x08\x01g\0\x02ss\0\x02\0\0\0xy\0\0\0\0\0\0\0"));
    }

    #[test]
    fn addresses_are_tried_in_turn_and_unescaped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a bus");
        let _listener = UnixListener::bind(&path).unwrap();
        let escaped = path.display().to_string().replace(' ', "%20");
        for (address, works) in [
            (format!("unix:path={escaped},guid=12"), true),
            (format!("tcp:host=x;unix:path=/nowhere;unix:path={escaped}"), true),
            ("unix:path=/nowhere".to_owned(), false),
            ("autolaunch:".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(connect(OsStr::new(&address)).is_ok(), works, "{address}");
        }
        assert_eq!(unescaped(b"%4a%zz%"), b"J%zz%");
    }

    #[test]
    fn a_bus_that_says_nothing_or_too_much_is_left() {
        let dir = tempfile::tempdir().unwrap();
        for (name, answer) in
            [("silent", &b""[..]), ("talks", &[b'x'; 4096][..]), ("refuses", b"REJECTED KERBEROS\r\n")]
        {
            let path = dir.path().join(name);
            let listener = UnixListener::bind(&path).unwrap();
            let address = format!("unix:path={}", path.display());
            let asking = std::thread::spawn(move || Inhibitor::new(OsStr::new(&address), "a", "b").is_ok());
            let (mut bus, _) = listener.accept().unwrap();
            let _ = bus.write_all(answer);
            assert!(!asking.join().unwrap(), "{name}");
        }
    }
}
