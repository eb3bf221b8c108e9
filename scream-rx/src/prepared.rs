//! What of a start can fail, done before anything that plays is touched: a sink that is open, a socket that listens. A
//! service is patient: what may come later (an interface, an address, a sound server, a device) is waited for.

use crate::intake::socket::{ListenError, Socket};
use crate::origin::{Origin, Ways};
use crate::outputs;
use crate::settings::{Play, Settings};
use crate::sink::Sink;
use crate::sink::paced::RealTime;
use rx_host::exit::Failure;
use std::io;
use std::net::SocketAddr;

/// Everything that a session needs of the host.
pub struct Prepared {
    /// Where and how it plays; the output is settled.
    pub play: Play,
    /// What it plays on.
    pub sink: Box<dyn Sink + Send>,
    /// Where datagrams come, if they are awaited.
    pub socket: Option<Socket>,
    /// What is missing before any can come: see [`Prepared::seek`].
    pub missing: Option<ListenError>,
    /// Where the sound comes from.
    pub origin: Origin,
}

/// What the session that is to be replaced holds.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// Its socket: kept if it is the right one, since an address that is not a group's can be had only once.
    pub socket: Option<&'a Socket>,
    /// How it plays: its device need not be asked again, and would be busy.
    pub play: &'a Play,
}

impl Prepared {
    /// Opens what `settings` need. `before`: the session that goes on until this is done.
    ///
    /// Blocks while servers and devices are asked, some seconds at most.
    ///
    /// # Errors
    /// [`Failure`] with what to do; nothing of `before` was touched.
    pub fn new(settings: &Settings, patient: bool, before: Option<Before<'_>>) -> Result<Prepared, Failure> {
        let origin = settings.origin.clone();
        let kept = before.and_then(|b| b.socket).filter(|s| *s.listen() == origin.listen);
        let kept = kept.and_then(|socket| socket.try_clone().ok());
        let (socket, missing) = match kept {
            _ if origin.ways == Ways::Memory => (None, None),
            Some(mut kept) => {
                // It may have been waiting for its address so far.
                let missing = kept.seek().err();
                (Some(kept), missing)
            }
            None => listen(&origin, patient, before.and_then(|b| b.socket))?,
        };
        let mut play = settings.play.clone();
        let held = before.map(|b| b.play);
        play.output = outputs::settle(play.output, patient, held)?;
        // What plays there now is given back before it is opened again.
        let is_held = held.is_some_and(|held| (held.output, &held.device) == (play.output, &play.device));
        let sink = outputs::open(&play, Box::new(RealTime), patient || is_held)?;
        Ok(Prepared { play, sink, socket, missing, origin })
    }

    /// Looks once more for what is missing, now that the session before has ended: what that held is free.
    pub fn seek(&mut self) {
        if let (Some(socket), Some(_)) = (&mut self.socket, &self.missing) {
            self.missing = socket.seek().err();
        }
    }
}

/// `before`: the socket of the session that goes on meanwhile.
fn listen(
    origin: &Origin,
    patient: bool,
    before: Option<&Socket>,
) -> Result<(Option<Socket>, Option<ListenError>), Failure> {
    let opened = Socket::open_patiently(&origin.listen).and_then(|(socket, missing)| match missing {
        Some(missing) if !patient && !is_ours(&missing, before) => Err(missing),
        missing => Ok((socket, missing)),
    });
    match opened {
        Ok((socket, missing)) => Ok((Some(socket), missing)),
        // Whichever speaks: without the network that is the memory.
        Err(e) if patient && origin.ways == Ways::Auto => Ok((None, Some(e))),
        Err(e) => {
            let hint = e.hint();
            let what = e.to_string();
            Err(match e {
                ListenError::Bind { source, .. } | ListenError::Socket { source } => {
                    Failure::environment(what, hint).because(source)
                }
                ListenError::NoInterface { .. } | ListenError::Join { .. } => Failure::environment(what, hint),
            })
        }
    }
}

/// Whether it is our own socket that has the port, which another way of listening on it needs.
fn is_ours(missing: &ListenError, before: Option<&Socket>) -> bool {
    let (ListenError::Bind { local, source }, Some(before)) = (missing, before) else { return false };
    let Ok(SocketAddr::V4(held)) = before.local() else { return false };
    let either_is_any = held.ip().is_unspecified() || local.ip().is_unspecified();
    source.kind() == io::ErrorKind::AddrInUse
        && held.port() == local.port()
        && (either_is_any || held.ip() == local.ip())
}

impl core::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prepared").field("play", &self.play).field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;
    use std::net::{SocketAddrV4, UdpSocket};

    fn settings(flags: &str) -> Settings {
        let line = format!("scream-rx -o null {flags}");
        Settings::without_file(&Cli::try_parse_from(line.split_whitespace()).unwrap().run).unwrap()
    }

    /// A port that nobody has.
    fn free_port() -> u16 {
        UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn another_way_of_listening_on_our_own_port_is_open_when_the_old_one_is_closed() {
        for (old, new) in [
            ("-u -p PORT", "--udp PORT -i lo"),
            ("--auto -p PORT -i lo", "-u -p PORT"),
            ("-u -p PORT", "-u -p PORT -i lo"),
            ("-u -p PORT -i lo", "-u -p PORT"),
            ("-u -p PORT", "--auto -p PORT -i lo"),
        ] {
            let port = free_port().to_string();
            for patient in [false, true] {
                let (old, new) = (settings(&old.replace("PORT", &port)), settings(&new.replace("PORT", &port)));
                let before = Prepared::new(&old, patient, None).unwrap();
                assert!(before.missing.is_none(), "{:?}", before.missing);
                let holds = Before { socket: before.socket.as_ref(), play: &before.play };
                let mut prepared = Prepared::new(&new, patient, Some(holds)).unwrap();
                drop(before);
                prepared.seek();
                assert!(prepared.missing.is_none() && prepared.socket.unwrap().hears(), "{:?}", prepared.missing);
            }
        }
    }

    #[test]
    fn what_another_program_has_is_refused_while_the_old_session_goes_on() {
        let (port, other) = (free_port(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let taken = other.local_addr().unwrap().port();
        let before = Prepared::new(&settings(&format!("--udp 127.0.0.1:{port}")), false, None).unwrap();
        let holds = Before { socket: before.socket.as_ref(), play: &before.play };
        let new = settings(&format!("--udp 127.0.0.1:{taken}"));
        let refused = Prepared::new(&new, false, Some(holds)).unwrap_err();
        assert!(refused.to_string().contains(&taken.to_string()), "{refused}");
        assert!(before.socket.as_ref().unwrap().hears());
        // As a service it waits for that.
        let mut waits = Prepared::new(&new, true, Some(holds)).unwrap();
        assert!(matches!(waits.missing, Some(ListenError::Bind { .. })), "{:?}", waits.missing);
        drop(other);
        waits.seek();
        assert!(waits.missing.is_none(), "{:?}", waits.missing);
    }

    #[test]
    fn our_own_port_is_told_from_anothers() {
        let socket = |flags: &str| Prepared::new(&settings(flags), false, None).unwrap().socket.unwrap();
        let port = free_port();
        let (one, any) = (socket(&format!("--udp 127.0.0.1:{port}")), socket(&format!("-u -p {}", free_port())));
        let Ok(SocketAddr::V4(held)) = any.local() else { panic!() };
        let missing = |address: &str, port: u16, kind: io::ErrorKind| ListenError::Bind {
            local: SocketAddrV4::new(address.parse().unwrap(), port),
            source: kind.into(),
        };
        let in_use = io::ErrorKind::AddrInUse;
        for (missing, before, ours) in [
            (missing("127.0.0.1", port, in_use), Some(&one), true),
            (missing("0.0.0.0", port, in_use), Some(&one), true),
            (missing("127.0.0.2", port, in_use), Some(&one), false),
            (missing("127.0.0.1", held.port(), in_use), Some(&any), true),
            (missing("127.0.0.1", held.port(), in_use), Some(&one), false),
            (missing("127.0.0.1", port, io::ErrorKind::AddrNotAvailable), Some(&one), false),
            (missing("127.0.0.1", port, in_use), None, false),
            (ListenError::NoInterface { name: "x".into() }, Some(&one), false),
        ] {
            assert_eq!(is_ours(&missing, before), ours, "{missing:?}");
        }
    }
}
