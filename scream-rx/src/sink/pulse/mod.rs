//! PulseAudio (and PipeWire's stand-in for it), by its asynchronous API, all on the playout thread. The stream has the
//! rate and the channels of the server's own sink, so nothing is converted twice; the server asks for more early enough
//! for the delay that was asked for. A server that goes away is waited for.
//!
//! `server.rs` is the connection, `playing.rs` one stream on it.

mod playing;
mod server;

use super::{Control, Notice, Sink, SinkError, Source};
use core::time::Duration;
use rx_host::clock;
use server::Server;
pub use server::{Device, devices};

/// Between two attempts to reach the server.
const RETRY: Duration = Duration::from_millis(250);
/// The longest wait for the server, within which a stop is heeded and the source kept up.
const TURN: Duration = Duration::from_millis(50);

/// What the user wants of the server.
#[derive(Clone, Debug)]
pub struct PulseSink {
    /// The server, if it is not the default one.
    pub server: Option<String>,
    /// The sink on it, if it is not the default one.
    pub device: Option<String>,
    /// The name of the stream, as mixers show it.
    pub name: String,
    /// How much the server and its device hold in all.
    pub buffer: Duration,
    /// In which pieces it asks for more.
    pub piece: Duration,
    /// A guest that is silent for so long lets the server's device sleep.
    pub rest_after: Duration,
}

/// How long a guest is silent before the device may sleep. Pauses within a film or between two songs are shorter.
pub const REST_AFTER: Duration = Duration::from_secs(10);

/// Why a session with the server ended.
enum Lost {
    /// The server cannot be reached, refuses, or has gone; why.
    Gone(String),
    /// The stream was moved to this sink, which may have another rate.
    Moved(String),
}

impl Lost {
    fn gone() -> Lost {
        Lost::Gone("the sound server has gone".into())
    }
}

/// Called while the server is waited for; whether to give up.
type Idle<'a> = &'a mut dyn FnMut() -> bool;

impl Sink for PulseSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let mut told = false;
        let mut sessions = 0u64;
        let mut device = self.device.clone();
        loop {
            let before = sessions;
            match self.session(device.as_deref(), &mut *source, control, &mut sessions) {
                Ok(()) => return Ok(()),
                Err(Lost::Moved(to)) => {
                    device = Some(to);
                    continue;
                }
                Err(Lost::Gone(reason)) => {
                    // One line for each absence, whatever the reasons are later.
                    if sessions > before || !told {
                        control.tell(Notice::Absent { reason });
                        told = true;
                    }
                    device = self.device.clone();
                }
            }
            let again = clock::now() + RETRY;
            while clock::now() < again {
                if control.stop.is_requested() {
                    return Ok(());
                }
                source.keep_up(clock::now());
                let _ = clock::sleep_until(again.min(clock::now() + TURN));
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
        let Some(target) = server.find_sink(device, idle)? else { return Ok(()) };
        let Some(mut playing) = server.open_stream(self, device, &target, idle)? else { return Ok(()) };
        control.tell(Notice::Open { name: target.description.clone(), format: target.format });
        if *sessions > 0 {
            control.counters.sink.reopened.inc();
        }
        *sessions += 1;
        source.open(target.format);
        playing.run(&mut server, source, control, self.rest_after)
    }
}
