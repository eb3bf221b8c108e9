//! PulseAudio (and PipeWire's stand-in for it), by its asynchronous API, all on the playout thread. The stream has the
//! rate and the channels of the server's own sink, so nothing is converted twice; the server asks for more early enough
//! for the delay that was asked for. A server that goes away is waited for.
//!
//! `server.rs` is the connection, `playing.rs` one stream on it, `room.rs` how much the server shall hold.

mod playing;
mod room;
mod server;

use super::{Control, Notice, Sink, SinkError, Source};
use core::time::Duration;
use rx_host::clock;
use server::Server;
pub use server::{Device, choose, devices};

/// Between two attempts to reach the server: at first, and at most. An attempt costs less than a millisecond, and sound
/// has to be back within a second.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_millis(400);
/// The longest wait for the server, within which a stop is heeded and the source kept up.
const TURN: Duration = Duration::from_millis(50);
/// The same while the device rests and whoever has something to play wakes us.
const REST_TURN: Duration = Duration::from_secs(10);

/// What the user wants of the server.
#[derive(Clone, Debug)]
pub struct PulseSink {
    /// The server, if it is not the default one.
    pub server: Option<String>,
    /// The sink on it, if it is not the default one: its name, its description, or a part of either that no other has.
    pub device: Option<String>,
    /// The name of the stream, as mixers show it.
    pub name: String,
    /// How much the server and its device hold in all. Grows if the server runs empty again and again.
    pub buffer: Duration,
    /// A guest that is silent for so long lets the server's device sleep.
    pub rest_after: Duration,
}

/// Why a session with the server ended.
enum Lost {
    /// The server cannot be reached, refuses, or has gone; why.
    Gone(String),
    /// The stream was moved to this sink, which has another format.
    Moved(String),
    /// The server ended our stream, because its device has gone.
    Taken,
}

impl Lost {
    fn gone() -> Lost {
        Lost::Gone("the sound server has gone".into())
    }

    /// In words.
    fn reason(self) -> String {
        match self {
            Lost::Gone(reason) | Lost::Moved(reason) => reason,
            Lost::Taken => "the sound server took the device away".into(),
        }
    }
}

/// Called while the server is waited for; whether to give up.
type Idle<'a> = &'a mut dyn FnMut() -> bool;

impl Sink for PulseSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        // The absence was told, and nothing was played since.
        let mut told = false;
        let mut sessions = 0u64;
        let mut device = self.device.clone();
        let mut pause = FIRST_RETRY;
        loop {
            let before = sessions;
            let ended = self.session(device.as_deref(), &mut *source, control, &mut sessions);
            told &= sessions == before;
            match ended {
                Ok(()) => return Ok(()),
                Err(Lost::Moved(to)) => {
                    device = Some(to);
                    continue;
                }
                // The server lives and may have another device at once.
                Err(Lost::Taken) if sessions > before => {
                    device = self.device.clone();
                    continue;
                }
                Err(lost) => {
                    // One line for each absence, whatever the reasons are later.
                    if !core::mem::replace(&mut told, true) {
                        control.tell(Notice::Absent { reason: lost.reason() });
                    }
                    device = self.device.clone();
                }
            }
            pause = if sessions > before { FIRST_RETRY } else { (2 * pause).min(LAST_RETRY) };
            let again = clock::now() + pause;
            while clock::now() < again {
                if control.stop.is_requested() {
                    return Ok(());
                }
                source.keep_up(clock::now());
                control.stop.wait_until(again);
            }
        }
    }
}

impl PulseSink {
    /// Connects and plays until the end (`Ok`) or until the server goes.
    fn session(
        &self,
        device: Option<&str>,
        source: &mut dyn Source,
        control: &Control,
        sessions: &mut u64,
    ) -> Result<(), Lost> {
        let idle: Idle = &mut || {
            source.keep_up(clock::now());
            control.stop.is_requested()
        };
        let Some(mut server) = Server::connect(self.server.as_deref(), idle)? else { return Ok(()) };
        let Some(mut target) = server.find_sink(device, idle)? else { return Ok(()) };
        let opened = server.open_stream(self, &target, device.is_some(), idle)?;
        let Some((mut playing, place)) = opened else { return Ok(()) };
        if place != target.name {
            // Where the user last moved it, for one.
            let Some(found) = server.find_sink(Some(&place), idle)? else { return Ok(()) };
            if found.format != target.format && device.is_none() {
                return Err(Lost::Moved(place));
            }
            let format = target.format;
            target = found;
            target.format = format;
        }
        control.tell(target.notice(&self.name));
        if *sessions > 0 {
            control.counters.sink.reopened.inc();
        }
        *sessions += 1;
        source.open(target.format);
        playing.run(&mut server, source, control, target, self.rest_after)
    }
}
