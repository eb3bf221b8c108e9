//! PulseAudio (and PipeWire's stand-in for it), by its asynchronous API, all on the playout thread. The stream has the
//! rate and the channels of the server's own sink, so nothing is converted twice; the server asks for more early enough
//! for the delay that was asked for. A server that goes away is waited for, and so is the sink that the user named; what a
//! mixer says goes before that name.
//!
//! `server.rs` is the connection, `playing.rs` one stream on it, `room.rs` how much the server shall hold, `standing.rs`
//! whether a stream that was moved is where it belongs, `retry.rs` when to try again.

mod playing;
mod retry;
mod room;
mod server;
mod standing;

use super::{Control, Notice, Sink, SinkError, Source};
use core::time::Duration;
use retry::Retry;
use rx_host::clock;
use server::{DEFAULT_SINK, Server};
pub use server::{Device, choose, devices};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A sink that is awaited is looked for so often, whatever the server tells.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The longest wait for the server, within which a stop is heeded and the source kept up.
const TURN: Duration = Duration::from_millis(50);
/// The same while the device rests and whoever has something to play wakes us.
const REST_TURN: Duration = Duration::from_secs(10);

/// Whether there is a sign of a server, which may not answer yet: the environment names one, or there is a socket where it
/// would be.
///
/// Blocks for one look at a file's entry.
pub fn is_expected() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("PULSE_RUNTIME_PATH").or_else(|| Some(set("XDG_RUNTIME_DIR")?.join("pulse")));
    set("PULSE_SERVER").is_some() || folder.is_some_and(|folder| folder.join("native").exists())
}

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

/// Where the next stream goes.
enum Aim {
    /// Where the user wishes it.
    Wish,
    /// Where the server put the last one, in the format of that sink. The server may put it elsewhere now.
    Put(String),
    /// Where the user moved the last one by hand, in the format of that sink. A server that remembers that needs no name, and
    /// keeps the stream there as what was moved by hand.
    Chosen(String),
    /// The same on a server that does not remember.
    Named(String),
}

/// Why a session with the server ended.
enum Lost {
    /// The server cannot be reached, refuses, or has gone; why.
    Gone(String),
    /// The server has no such sink; in words.
    Missing(String),
    /// The server lives, and another stream is to be opened.
    Reopen(Aim),
}

impl Lost {
    fn gone() -> Lost {
        Lost::Gone("the sound server has gone".into())
    }

    /// In words.
    fn reason(self) -> String {
        match self {
            Lost::Gone(reason) | Lost::Missing(reason) => reason,
            Lost::Reopen(_) => "the sound server took the device away".into(),
        }
    }
}

/// What happened so far.
#[derive(Default)]
struct Story {
    /// How many streams were opened.
    opened: u64,
    /// The absence was told, and nothing was played since.
    told: bool,
}

impl Story {
    /// One line for each absence, whatever the reasons are later.
    fn is_absent(&mut self, control: &Control, reason: String) {
        if !core::mem::replace(&mut self.told, true) {
            control.tell(Notice::Absent { reason });
        }
    }
}

/// Called while the server is waited for; whether to give up.
type Idle<'a> = &'a mut dyn FnMut() -> bool;

impl Sink for PulseSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let mut story = Story::default();
        let mut aim = Aim::Wish;
        let mut retry = Retry::new();
        loop {
            let Err(lost) = self.session(&aim, &mut *source, control, &mut story) else { return Ok(()) };
            let pause = retry.after(clock::now(), matches!(lost, Lost::Reopen(_)));
            aim = match lost {
                Lost::Reopen(aim) => aim,
                Lost::Gone(reason) | Lost::Missing(reason) => {
                    story.is_absent(control, reason);
                    Aim::Wish
                }
            };
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
    /// The sink that the user named.
    fn named(&self) -> Option<&str> {
        self.device.as_deref().filter(|device| *device != DEFAULT_SINK)
    }

    /// Connects and plays until the end (`Ok`), until the server goes, or until another stream is needed.
    fn session(&self, aim: &Aim, source: &mut dyn Source, control: &Control, story: &mut Story) -> Result<(), Lost> {
        let idle: Idle = &mut || {
            source.keep_up(clock::now());
            control.stop.is_requested()
        };
        let Some(mut server) = Server::connect(self.server.as_deref(), idle)? else { return Ok(()) };
        server.subscribe();
        let (name, by_name) = match aim {
            Aim::Wish => (self.named(), self.named().is_some()),
            Aim::Put(sink) | Aim::Chosen(sink) => (Some(sink.as_str()), false),
            Aim::Named(sink) => (Some(sink.as_str()), true),
        };
        let found = loop {
            if matches!(aim, Aim::Wish) {
                server.news.set(false);
            }
            match (server.find_sink(name, idle), aim) {
                (Err(Lost::Missing(reason)), Aim::Wish) => story.is_absent(control, reason),
                // It has gone again.
                (Err(Lost::Missing(_)), _) => return Err(Lost::Reopen(Aim::Wish)),
                (found, _) => break found?,
            }
            if !server.await_news(LOOK_EVERY, control.stop.as_fd(), idle)? {
                return Ok(());
            }
        };
        let Some(mut target) = found else { return Ok(()) };
        let Some((mut playing, place)) = server.open_stream(self, &target, by_name, idle)? else { return Ok(()) };
        if place != target.name {
            if let Aim::Chosen(sink) = aim {
                return Err(Lost::Reopen(Aim::Named(sink.clone())));
            }
            // Where the user last moved it, for one.
            let Some(found) = server.find_sink(Some(&place), idle)? else { return Ok(()) };
            if found.format != target.format && !by_name {
                return Err(Lost::Reopen(Aim::Put(place)));
            }
            let format = target.format;
            target = found;
            target.format = format;
        }
        playing.away = matches!(aim, Aim::Put(_)) && self.named().is_some();
        control.tell(target.notice(&self.name));
        if story.opened > 0 {
            control.counters.sink.reopened.inc();
        }
        *story = Story { opened: story.opened + 1, told: false };
        source.open(target.format);
        playing.run(&mut server, source, control, target, self.rest_after)
    }
}
