//! The intake: shared memory, the network, or both, of which the one that speaks is played. One of each at most.

use super::choice::{Choice, Way};
use super::outlet::Outlet;
use super::shm::Memory;
use super::udp::Network;
use super::{Look, News, State, Transport};
use crate::counters::{Counters, IntakeCounters};
use crate::handover::Streams;
use core::time::Duration;
use rtrb::{Consumer, Producer, RingBuffer};
use rx_host::clock;
use rx_host::signals::Stop;
use rx_host::wait::{self, Bell};
use shm_proto::{HostTime, Region};
use std::os::fd::AsFd;
use std::sync::Arc;

/// The longest time from one step to the next.
const LONGEST: Duration = Duration::from_secs(10);
/// Shorter sleeps than this are exact, and a stop is heeded after them.
const SHORT: Duration = Duration::from_millis(5);
/// From one burst of datagrams to the next: those of one burst are taken together.
const BURST: Duration = Duration::from_micros(250);
/// News that wait for the main thread.
const MAX_NEWS: usize = 64;

/// The intake. See the module.
#[derive(Debug)]
pub struct Intake {
    memory: Option<Memory>,
    network: Option<Network>,
    choice: Choice,
    outlet: Outlet,
    counters: Arc<Counters>,
    news: Producer<News>,
    bell: Option<Arc<Bell>>,
    stepped: Option<HostTime>,
}

impl Intake {
    /// An intake that reads the newest region that comes through `regions`, and tells how it stands through `states`.
    pub fn new(
        regions: Consumer<Region>,
        streams: Streams,
        counters: Arc<Counters>,
        states: Producer<State>,
        now: HostTime,
    ) -> Intake {
        Intake {
            memory: Some(Memory::new(regions, now)),
            network: None,
            choice: Choice::new(Some(Way::Memory)),
            outlet: Outlet::new(streams, Arc::clone(&counters), states),
            counters,
            news: RingBuffer::new(1).0,
            bell: None,
            stepped: None,
        }
    }

    /// Takes datagrams from `network` too, or nothing else.
    pub fn with_network(mut self, network: Network, alone: bool) -> Intake {
        self.network = Some(network);
        self.choice = Choice::new(alone.then_some(Way::Network));
        if alone {
            self.memory = None;
            self.outlet.end(State::Listening);
        }
        self
    }

    /// Is woken by `bell` when a region was sent, and need not look for one.
    pub fn with_bell(self, bell: Arc<Bell>) -> Intake {
        Intake { bell: Some(bell), ..self }
    }

    /// Tells news through the line whose end is given back.
    pub fn with_news(mut self) -> (Intake, Consumer<News>) {
        let (news, heard) = RingBuffer::new(MAX_NEWS);
        self.news = news;
        (self, heard)
    }

    /// Takes the way that speaks.
    fn choose(&mut self, now: HostTime) {
        let before = self.choice.present();
        let Some(to) = self.choice.decide(now) else { return };
        let unused = self.memory.as_ref().is_some_and(Memory::is_unused);
        match (to, &mut self.memory, &mut self.network) {
            (Way::Memory, Some(memory), _) => memory.chosen(now, &mut self.outlet),
            (Way::Network, _, Some(network)) => network.chosen(now, &mut self.outlet),
            _ => {}
        }
        let news = match (before, to) {
            (None, Way::Memory) => return,
            (_, Way::Network) => News::ThroughNetwork { memory_unused: unused },
            (_, Way::Memory) => News::ThroughMemory,
        };
        let _ = self.news.push(news);
    }

    /// Counts this wake-up, and the time since the last one, by how it stood meanwhile.
    fn count(&mut self, now: HostTime) {
        let counters = &self.counters.intake;
        counters.wake_ups.inc();
        let Some(before) = self.stepped.replace(now) else { return };
        let passed = now.since(before);
        let pace = match self.outlet.state() {
            State::Live { .. } => &counters.playing,
            State::Silent { .. } | State::Waiting(_) => &counters.idle,
            State::Detached | State::Listening => &counters.detached,
        };
        pace.wake_ups.inc();
        pace.time_us.add(u64::try_from(passed.as_micros()).unwrap_or(0));
    }
}

impl Transport for Intake {
    fn step(&mut self, now: HostTime) -> HostTime {
        self.count(now);
        self.outlet.round(now);
        let mut next = now + LONGEST;
        let present = self.choice.present();
        if let Some(memory) = &mut self.memory {
            let out = (present == Some(Way::Memory)).then_some(&mut self.outlet);
            let Look { next: again, spoke } = memory.look(now, out, present != Some(Way::Network));
            memory.count(&self.counters.intake);
            if spoke {
                self.choice.heard(Way::Memory, now);
            }
            next = next.min(again);
        }
        if let Some(network) = &mut self.network {
            let out = (present == Some(Way::Network)).then_some(&mut self.outlet);
            let news = &mut self.news;
            let counters: &IntakeCounters = &self.counters.intake;
            let Look { next: again, spoke } = network.look(now, out, counters, &mut |item| {
                // Whoever cannot be told has enough to read.
                let _ = news.push(item);
            });
            if spoke {
                self.choice.heard(Way::Network, now);
            }
            next = next.min(again);
        }
        self.choose(now);
        if self.choice.present().is_none() {
            // Nobody speaks yet: the memory has more to say about why.
            let state = self.memory.as_ref().map_or(State::Listening, Memory::state);
            self.outlet.end(state);
        }
        next.min(self.outlet.tell(now).unwrap_or(next))
    }

    fn wait(&mut self, until: HostTime, stop: &Stop) {
        let now = clock::now();
        let Some(bell) = &self.bell else {
            let _ = clock::sleep_until(until.min(now + Duration::from_millis(100)));
            return;
        };
        match self.network.as_ref().and_then(Network::wakes) {
            Some(socket) => {
                let _ = clock::sleep_until((now + BURST).min(until));
                if wait::until([stop.as_fd(), bell.as_fd(), socket], until)[1] {
                    bell.clear();
                }
            }
            None if until.since(now) > SHORT => {
                if wait::until([stop.as_fd(), bell.as_fd()], until)[1] {
                    bell.clear();
                }
            }
            None => {
                let _ = clock::sleep_until(until);
            }
        }
    }
}
