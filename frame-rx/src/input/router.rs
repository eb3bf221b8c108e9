//! Who has keyboard and mouse, and what the guest holds. Pure: time comes as an argument, and what is to be done goes
//! into a list of [`Act`]s.
//!
//! The one truth about what the guest was sent and not yet released is here: for each source the codes of which it was
//! sent the press. A code goes down in the guest with the first source that sends it, up with the last.

use super::chord::{Chord, Watch};
use super::frame::{Edge, InputFrame};
use super::own::{Meaning, OwnKeys, OwnWatch};
use super::sink::{Move, Step};
use super::{Code, CodeSet};
use core::time::Duration;
use shm_proto::HostTime;

/// Sources there can be at once: the window and so many devices.
pub const SOURCES: usize = 17;
/// Longest wait for all keys to be up before the input changes hands.
pub const NEUTRAL_WAIT: Duration = Duration::from_millis(2500);
/// How long a lost sink may take to come back before the user gets the input.
pub const LOST_WAIT: Duration = Duration::from_secs(1);

/// Number of a source, below [`SOURCES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(pub u8);

impl SourceId {
    /// The window.
    pub const WINDOW: SourceId = SourceId(0);
}

/// Who has the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The host.
    Host,
    /// The guest is to have it, as soon as no key is down.
    Arming {
        /// When it goes on in any case.
        until: HostTime,
    },
    /// The guest.
    Guest,
    /// The guest has released everything; the host gets the input as soon as no key is down.
    Draining {
        /// When it goes on in any case.
        until: HostTime,
    },
    /// The guest, but there is no way to it.
    Lost {
        /// When the host gets the input.
        until: HostTime,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// For the guest; stamped when it happened.
    Send(HostTime, Step),
    /// Sources shall keep their events from the rest of the host.
    Grab,
    /// Sources shall let the host have its events.
    Ungrab,
    /// The user wants the guest to have the input, and there is no way to it: one is to be found.
    Want,
    /// The window shall do its action of this number.
    Own(u8),
}

#[derive(Clone, Copy, Debug, Default)]
struct Source {
    /// Down as the device says.
    down: CodeSet,
    /// Sent to the guest and not released.
    sent: CodeSet,
    /// The host hears it, too: nothing of it is sent.
    is_silent: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Router {
    phase: Phase,
    watch: Watch,
    own: OwnWatch,
    keep: CodeSet,
    sources: [Source; SOURCES],
    has_sink: bool,
    /// How long the guest may have the input before the release chord was used once.
    trial: Option<Duration>,
    trial_ends: Option<HostTime>,
}

/// Keys that stay on the host unless said otherwise: power, sleep, wake-up, brightness, micro-mute, Fn.
pub fn usual_keep() -> CodeSet {
    [116, 142, 143, 224, 225, 248, 0x1d0].into_iter().filter_map(Code::new).collect()
}

impl Router {
    /// The host has the input, and there is no sink.
    pub fn new(chord: Chord, keep: CodeSet) -> Router {
        Router {
            phase: Phase::Host,
            watch: Watch::new(chord),
            own: OwnWatch::default(),
            keep,
            sources: [Source::default(); SOURCES],
            has_sink: false,
            trial: None,
            trial_ends: None,
        }
    }

    /// Until the release chord has been used, the guest has the input for `trial` at most.
    pub fn set_trial(&mut self, trial: Option<Duration>) {
        self.trial = trial;
    }

    /// These keys stay the window's while the guest has the input.
    pub fn set_own(&mut self, keys: OwnKeys) {
        self.own = OwnWatch::new(keys);
    }

    /// Whether the release chord has still to be used for the first time.
    pub fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Who has the input.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether sources are grabbed.
    pub fn is_grabbed(&self) -> bool {
        matches!(self.phase, Phase::Guest | Phase::Draining { .. } | Phase::Lost { .. })
    }

    /// Whether the guest was sent presses that were not released.
    pub fn holds_anything(&self) -> bool {
        self.sources.iter().any(|s| !s.sent.is_empty())
    }

    /// Whether nothing that a source reports is sent, since the host hears it as well: it is watched for the chord only.
    pub fn set_silent(&mut self, source: SourceId, is_silent: bool) {
        if let Some(index) = self.index(source) {
            self.sources[index].is_silent = is_silent;
        }
    }

    /// When [`Router::tick`] is due.
    pub fn due(&self) -> Option<HostTime> {
        let phase = match self.phase {
            Phase::Host => None,
            Phase::Guest => self.trial_ends,
            Phase::Arming { until } | Phase::Draining { until } | Phase::Lost { until } => Some(until),
        };
        [phase, self.watch.due()].into_iter().flatten().min()
    }

    /// A source reports.
    pub fn frame(&mut self, now: HostTime, source: SourceId, frame: &InputFrame, acts: &mut Vec<Act>) {
        let Some(index) = self.index(source) else { return };
        let moved = Move { motion: frame.motion, position: frame.position, wheel: frame.wheel };
        if self.phase == Phase::Guest && moved != Move::default() && !self.sources[index].is_silent {
            acts.push(Act::Send(frame.at, Step::Move(moved)));
        }
        for edge in frame.edges() {
            self.edge(now, frame.at, index, edge, acts);
        }
        self.settle(acts);
        self.tick(now, acts);
    }

    fn edge(&mut self, now: HostTime, at: HostTime, index: usize, edge: Edge, acts: &mut Vec<Act>) {
        let Edge { code, is_down } = edge;
        let was_down = self.is_down(code);
        let source = &mut self.sources[index];
        let is_new = if is_down { source.down.insert(code) } else { source.down.remove(code) };
        // One key may be told by two sources, a device and the window: the chord counts it once.
        let is_change = self.is_down(code) != was_down;
        if is_change && self.watch.edge(now, code, is_down, &self.down()) {
            return self.toggle(now, acts);
        }
        if is_change && self.phase == Phase::Guest && !self.watch.is_alone(code) {
            match self.own.edge(code, is_down) {
                Meaning::Guests => {}
                Meaning::Own => return,
                Meaning::Action(number) => return acts.push(Act::Own(number)),
                Meaning::Tap if self.keep.contains(code) => return,
                Meaning::Tap => {
                    let edge = |is_down| Act::Send(at, Step::Edge(Edge { code, is_down }));
                    return acts.extend([edge(true), edge(false)]);
                }
            }
        }
        if is_down {
            let stays = self.keep.contains(code) || self.watch.is_alone(code) || self.sources[index].is_silent;
            if is_new && self.phase == Phase::Guest && !stays {
                let is_first = !self.sources.iter().any(|s| s.sent.contains(code));
                self.sources[index].sent.insert(code);
                if is_first {
                    acts.push(Act::Send(at, Step::Edge(edge)));
                }
            }
        } else {
            self.release(at, index, code, acts);
        }
    }

    fn release(&mut self, at: HostTime, index: usize, code: Code, acts: &mut Vec<Act>) {
        let was_sent = self.sources[index].sent.remove(code);
        if was_sent && !self.sources.iter().any(|s| s.sent.contains(code)) {
            acts.push(Act::Send(at, Step::Edge(Edge { code, is_down: false })));
        }
    }

    /// A source says anew what is down, after it lost events: releases come before presses.
    pub fn resync(&mut self, now: HostTime, source: SourceId, down: &CodeSet, acts: &mut Vec<Act>) {
        let Some(index) = self.index(source) else { return };
        let before = self.sources[index].down;
        for code in before.in_release_order().filter(|code| !down.contains(*code)) {
            self.edge(now, now, index, Edge { code, is_down: false }, acts);
        }
        for code in down.iter().filter(|code| !before.contains(*code)) {
            self.edge(now, now, index, Edge { code, is_down: true }, acts);
        }
        self.settle(acts);
    }

    /// A source is gone (unplugged, or its window lost the keyboard): what it held is up.
    pub fn source_gone(&mut self, now: HostTime, source: SourceId, acts: &mut Vec<Act>) {
        self.resync(now, source, &CodeSet::EMPTY, acts);
    }

    /// The user wants the guest to have the input.
    pub fn take(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        match (self.phase, self.has_sink) {
            (Phase::Host, true) => {
                self.phase = Phase::Arming { until: now + NEUTRAL_WAIT };
                self.settle(acts);
            }
            (Phase::Host, false) => acts.push(Act::Want),
            _ => {}
        }
    }

    /// The user wants the input back.
    pub fn give_back(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Host | Phase::Draining { .. } => {}
            Phase::Arming { .. } => self.phase = Phase::Host,
            Phase::Guest | Phase::Lost { .. } => {
                self.release_all(now, acts);
                self.phase = Phase::Draining { until: now + NEUTRAL_WAIT };
                self.settle(acts);
            }
        }
    }

    /// The host must have the input now, whatever is down: the window lost the keyboard, the session was switched, the
    /// program ends.
    pub fn give_back_at_once(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        self.give_back(now, acts);
        if matches!(self.phase, Phase::Draining { .. }) {
            self.enter_host(acts);
        }
    }

    /// There is a way to the guest.
    pub fn sink_up(&mut self) {
        self.has_sink = true;
        if matches!(self.phase, Phase::Lost { .. }) {
            self.phase = Phase::Guest;
        }
    }

    /// There is no way to the guest any more. What it held is the pacer's to release when there is one again.
    pub fn sink_down(&mut self, now: HostTime) {
        self.has_sink = false;
        self.forget_sent();
        match self.phase {
            Phase::Guest => self.phase = Phase::Lost { until: now + LOST_WAIT },
            Phase::Arming { .. } => self.phase = Phase::Host,
            Phase::Host | Phase::Draining { .. } | Phase::Lost { .. } => {}
        }
    }

    /// The guest was made to release everything: what is down must be pressed again to count.
    pub fn forget_sent(&mut self) {
        self.sources.iter_mut().for_each(|s| s.sent = CodeSet::EMPTY);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        if self.watch.tick(now) {
            self.toggle(now, acts);
        }
        match self.phase {
            Phase::Arming { until } if now >= until => self.enter_guest(acts),
            Phase::Draining { until } | Phase::Lost { until } if now >= until => self.enter_host(acts),
            Phase::Guest => match (self.trial, self.trial_ends) {
                (Some(trial), None) => self.trial_ends = Some(now + trial),
                (Some(_), Some(ends)) if now >= ends => self.give_back(now, acts),
                _ => {}
            },
            _ => {}
        }
    }

    fn toggle(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Host => self.take(now, acts),
            Phase::Draining { .. } => {}
            Phase::Arming { .. } | Phase::Guest | Phase::Lost { .. } => {
                self.trial = None;
                self.give_back(now, acts);
            }
        }
    }

    /// Goes on where only keys that were down were waited for.
    fn settle(&mut self, acts: &mut Vec<Act>) {
        let is_neutral = || self.sources.iter().all(|s| s.down.is_empty());
        match self.phase {
            Phase::Arming { .. } if is_neutral() => self.enter_guest(acts),
            Phase::Draining { .. } if is_neutral() => self.enter_host(acts),
            _ => {}
        }
    }

    fn enter_guest(&mut self, acts: &mut Vec<Act>) {
        self.phase = Phase::Guest;
        self.own.forget();
        self.trial_ends = None;
        acts.push(Act::Grab);
    }

    fn enter_host(&mut self, acts: &mut Vec<Act>) {
        self.phase = Phase::Host;
        acts.push(Act::Ungrab);
    }

    fn release_all(&mut self, now: HostTime, acts: &mut Vec<Act>) {
        let sent = self.sources.iter().fold(CodeSet::EMPTY, |all, s| all.union(&s.sent));
        self.forget_sent();
        let ups = sent.in_release_order().map(|code| Step::Edge(Edge { code, is_down: false }));
        acts.extend(ups.map(|step| Act::Send(now, step)));
    }

    fn is_down(&self, code: Code) -> bool {
        self.sources.iter().any(|s| s.down.contains(code))
    }

    fn down(&self) -> CodeSet {
        self.sources.iter().fold(CodeSet::EMPTY, |all, s| all.union(&s.down))
    }

    fn index(&self, source: SourceId) -> Option<usize> {
        let index = usize::from(source.0);
        (index < SOURCES).then_some(index)
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
