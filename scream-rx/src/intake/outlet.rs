//! The way from a transport to the engine: opens a stream whenever guest or sink begin something new, passes sound on,
//! and tells the main thread how it stands. Whatever the transport, there is one outlet.

use super::State;
use crate::channels::MaskVerdict;
use crate::counters::Counters;
use crate::handover::Streams;
use crate::stream::{self, Feed};
use core::time::Duration;
use rtrb::Producer;
use shm_proto::HostTime;
use shm_proto::scream::Format;
use std::sync::Arc;

/// The least time between two streams that are opened: opening computes, and a guest could restart all the time.
const OPEN_EVERY: Duration = Duration::from_millis(50);
/// The least time between two states that are told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// The outlet.
#[derive(Debug)]
pub struct Outlet {
    streams: Streams,
    live: Option<Live>,
    feed: Option<Feed>,
    opened: Option<HostTime>,
    counters: Arc<Counters>,
    states: Producer<State>,
    state: State,
    told: Option<(HostTime, State)>,
}

/// The stream that the guest has open.
#[derive(Clone, Copy, Debug)]
struct Live {
    format: Format,
    guessed: bool,
    /// The two formats cannot be joined: nothing of this stream is played.
    refused: bool,
}

impl Outlet {
    /// An outlet through which nothing has gone yet.
    pub fn new(streams: Streams, counters: Arc<Counters>, states: Producer<State>) -> Outlet {
        Outlet { streams, live: None, feed: None, opened: None, counters, states, state: State::Detached, told: None }
    }

    /// No more than this is held of a stream. Unit: seconds.
    pub fn longest_s(&self) -> f64 {
        self.streams.longest_s
    }

    /// The guest begins a stream of `format`. The engine plays out what it has of the last one.
    pub fn begin(&mut self, format: Format, now: HostTime) {
        self.feed = None;
        self.live = Some(Live { format, guessed: false, refused: false });
        self.state = State::Live { format, guessed: false };
        self.counters.intake.streams.inc();
        self.open_feed(now);
    }

    /// The guest has no stream any more, and it stands as `state` says.
    pub fn end(&mut self, state: State) {
        (self.live, self.feed) = (None, None);
        self.state = state;
    }

    /// The guest has a stream, and writes nothing.
    pub fn rest(&mut self) {
        if let Some(Live { format, .. }) = self.live {
            self.state = State::Silent { format };
        }
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Passes on sound whose first frame has the number `start`, and which came at `at`.
    ///
    /// Real-time safe, but for the first sound that a sink can take: then a stream is opened.
    pub fn pass_on(&mut self, start: u64, pcm: &[u8], at: HostTime, now: HostTime) {
        let Some(Live { format, guessed, .. }) = self.live else { return };
        self.state = State::Live { format, guessed };
        self.open_feed(now);
        let Some(feed) = &mut self.feed else { return };
        feed.go_on_at(start);
        if !feed.push(pcm, at) {
            self.counters.intake.chunks_refused.inc();
        }
        self.streams.wake();
    }

    /// Opens a stream to the engine if guest and sink are there and none is open that fits both.
    fn open_feed(&mut self, now: HostTime) {
        let (Some(live), Some(sink)) = (&mut self.live, self.streams.sink.get()) else { return };
        if self.feed.as_ref().is_some_and(|f| f.sink() == sink) || live.refused {
            return;
        }
        self.feed = None;
        let too_soon = self.opened.is_some_and(|at| now.since(at) < OPEN_EVERY);
        if too_soon || !self.streams.has_room() {
            return;
        }
        self.opened = Some(now);
        match stream::open(live.format, sink, self.streams.longest_s) {
            Ok((feed, stream, verdict)) => {
                self.streams.send(stream);
                self.feed = Some(feed);
                live.guessed = verdict == MaskVerdict::Assumed;
                self.state = State::Live { format: live.format, guessed: live.guessed };
            }
            Err(_) => live.refused = true,
        }
    }

    /// To be called with every step: frees what was played out, and follows a sink that changed.
    pub fn round(&mut self, now: HostTime) {
        self.streams.collect();
        if self.feed.as_ref().is_some_and(|f| Some(f.sink()) != self.streams.sink.get()) {
            self.open_feed(now);
        }
    }

    /// Tells the state if it is another one; not more often than a person can read, and the last one always. When to come
    /// back, if one is still to be told.
    pub fn tell(&mut self, now: HostTime) -> Option<HostTime> {
        let due = match self.told {
            None => now,
            Some((_, state)) if state == self.state => return None,
            Some((at, _)) => at + TELL_EVERY,
        };
        if now >= due && self.states.push(self.state).is_ok() {
            self.told = Some((now, self.state));
            return None;
        }
        Some(due.max(now + TELL_EVERY / 2))
    }
}
