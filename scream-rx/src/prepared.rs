//! What of a start can fail, done before anything that plays is touched: a sink that is open, a socket that listens. A
//! service is patient: what may come later (an interface, an address, a sound server, a device) is waited for.

use crate::intake::socket::{ListenError, Socket};
use crate::origin::{Origin, Ways};
use crate::outputs;
use crate::settings::{Play, Settings};
use crate::sink::Sink;
use crate::sink::paced::RealTime;
use rx_host::exit::Failure;

/// Everything that a session needs of the host.
pub struct Prepared {
    /// Where and how it plays; the output is settled.
    pub play: Play,
    /// What it plays on.
    pub sink: Box<dyn Sink + Send>,
    /// Where datagrams come, if they are awaited.
    pub socket: Option<Socket>,
    /// What is missing before any can come.
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
            None => listen(&origin, patient)?,
        };
        let mut play = settings.play.clone();
        let held = before.map(|b| b.play);
        play.output = outputs::settle(play.output, patient, held)?;
        // What plays there now is given back before it is opened again.
        let is_held = held.is_some_and(|held| (held.output, &held.device) == (play.output, &play.device));
        let sink = outputs::open(&play, Box::new(RealTime), patient || is_held)?;
        Ok(Prepared { play, sink, socket, missing, origin })
    }
}

fn listen(origin: &Origin, patient: bool) -> Result<(Option<Socket>, Option<ListenError>), Failure> {
    let opened = if patient {
        Socket::open_patiently(&origin.listen)
    } else {
        Socket::open(&origin.listen).map(|socket| (socket, None))
    };
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

impl core::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prepared").field("play", &self.play).field("origin", &self.origin).finish_non_exhaustive()
    }
}
