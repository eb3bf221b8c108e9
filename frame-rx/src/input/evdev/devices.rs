//! All devices that the rules mean: opened as they come, read, grabbed while the guest has the input, let go when they
//! leave. Who has the input is the router's to say; what is opened and grabbed is done here, as it says.
//!
//! A device that is not grabbed tells its keys to the host as well: the router watches them for the release chord and
//! sends nothing of them. A device is grabbed only when none of its keys is down, since the host would never see their
//! release; one whose key hangs stays the host's, and after [`NEUTRAL_WAIT`] the user is told.

use super::event::events;
use super::facts::{Facts, SYS};
use super::folder::Folder;
use super::node::{BUFFER, Buffer, Node};
use super::report::Reports;
use super::retry::Retry;
use super::rule::{Rule, node_of};
use crate::input::router::{Act, NEUTRAL_WAIT, Router, SOURCES, SourceId};
use crate::input::sink::Leds;
use crate::input::stats::InputStats;
use core::time::Duration;
use rustix::io::Errno;
use rx_host::clock;
use rx_host::report::Allowance;
use shm_proto::HostTime;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Devices that are read at once: one source each, besides the window.
pub const DEVICES: usize = SOURCES - 1;
/// Descriptors that are waited for, at most.
pub const DESCRIPTORS: usize = DEVICES + 1;
/// Reads of one device before the next has its turn. Unit: reads of 64 events.
const READS: usize = 8;
/// Between two looks whether a device's keys are up.
const NEUTRAL_LOOK: Duration = Duration::from_millis(5);
/// Between two attempts to grab what another program has.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// Lines about devices: so many at once, and one more each time so much has passed.
const LINES: (u32, Duration) = (16, Duration::from_secs(5));

/// What devices are read for.
#[derive(Debug)]
pub struct Reader<'r> {
    /// Who has the input.
    pub router: &'r mut Router,
    /// What the router decides.
    pub acts: &'r mut Vec<Act>,
    /// What is counted.
    pub stats: &'r InputStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grab {
    /// The host has its events.
    Free,
    /// It is to be grabbed as soon as none of its keys is down.
    Wanted,
    /// Another program has it.
    Busy { again: HostTime },
    /// It is ours.
    Held,
}

#[derive(Debug)]
struct Slot {
    facts: Facts,
    node: Node,
    reports: Reports,
    source: SourceId,
    grab: Grab,
    /// The lamps as the host had them.
    host_leds: Option<Leds>,
}

#[derive(Debug)]
struct Waiting {
    node: String,
    retry: Retry,
}

/// See the module.
#[derive(Debug)]
pub struct Devices {
    rules: Vec<Rule>,
    folder: Folder,
    slots: Vec<Slot>,
    waiting: Vec<Waiting>,
    /// The guest has the input; when keys that are down are told.
    grabs: Option<HostTime>,
    guest_leds: Option<Leds>,
    buffer: Box<Buffer>,
    lines: Allowance,
    has_looked: bool,
    /// Devices that came and went.
    changes: u64,
}

impl Devices {
    /// Devices that `rules` mean; none is open yet.
    pub fn new(rules: Vec<Rule>) -> Devices {
        Devices {
            rules,
            folder: Folder::new(),
            slots: Vec::with_capacity(DEVICES),
            waiting: Vec::new(),
            grabs: None,
            guest_leds: None,
            buffer: Box::new(BUFFER),
            lines: Allowance::new(LINES.0, LINES.1),
            has_looked: false,
            changes: 0,
        }
    }

    /// Reads the devices of which `ready` has the bit of their place in [`Devices::descriptors`] (all others are left
    /// alone), looks for new ones, and grabs what is to be grabbed.
    ///
    /// Never blocks.
    pub fn serve(&mut self, now: HostTime, ready: u64, to: &mut Reader<'_>) {
        // The folder is behind the devices.
        let is_told = ready >> self.slots.len() & 1 == 1;
        self.read(now, |n| ready >> n & 1 == 1, to);
        let is_changed = self.folder.take_due(now, is_told);
        if is_changed || self.waiting.iter().any(|w| now >= w.retry.due()) {
            // A device may have gone and another come under its name.
            self.read(now, |_| true, to);
            self.look(now, is_changed, to);
        }
        self.settle(now, to);
    }

    /// The guest is to have the input alone.
    pub fn grab(&mut self, now: HostTime) {
        self.grabs = Some(now + NEUTRAL_WAIT);
        for slot in self.slots.iter_mut().filter(|s| s.grab == Grab::Free) {
            slot.grab = Grab::Wanted;
        }
    }

    /// The host gets its devices back, lamps as they were.
    pub fn ungrab(&mut self, router: &mut Router) {
        self.grabs = None;
        for slot in &mut self.slots {
            slot.release(router);
        }
    }

    /// The guest switched its lamps.
    pub fn set_leds(&mut self, leds: Leds) {
        self.guest_leds = Some(leds);
        for slot in self.slots.iter().filter(|s| s.grab == Grab::Held) {
            slot.node.set_leds(leds);
        }
    }

    /// Whether a keyboard is grabbed: the window hears no keys then, and need not have the keyboard.
    pub fn has_keyboard(&self) -> bool {
        self.slots.iter().any(|s| s.grab == Grab::Held && s.facts.class.has_keyboard())
    }

    /// How many devices are grabbed.
    pub fn held(&self) -> usize {
        self.slots.iter().filter(|s| s.grab == Grab::Held).count()
    }

    /// What to wait for: at most [`DESCRIPTORS`]. The devices come first, in the order of the bits of `ready`.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.slots.iter().map(|slot| slot.node.as_fd()).chain(self.folder.descriptor())
    }

    /// Counts up when [`Devices::descriptors`] has others.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// When [`Devices::serve`] is due without any descriptor being ready.
    pub fn due(&self, now: HostTime) -> HostTime {
        let mut due = self.folder.due();
        for at in self.waiting.iter().map(|w| w.retry.due()) {
            due = due.min(at);
        }
        for slot in &self.slots {
            match slot.grab {
                Grab::Wanted => due = due.min(now + NEUTRAL_LOOK),
                Grab::Busy { again } => due = due.min(again),
                Grab::Free | Grab::Held => {}
            }
        }
        due
    }

    fn read(&mut self, now: HostTime, is_ready: impl Fn(usize) -> bool, to: &mut Reader<'_>) {
        for n in (0..self.slots.len()).rev().filter(|n| is_ready(*n)) {
            let Some(slot) = self.slots.get_mut(n) else { continue };
            if slot.read(now, &mut self.buffer, to).is_err() {
                self.lose(n, now, to);
            }
        }
    }

    /// What it held is up.
    fn lose(&mut self, n: usize, now: HostTime, to: &mut Reader<'_>) {
        let slot = self.slots.swap_remove(n);
        self.changes += 1;
        to.router.source_gone(now, slot.source, to.acts);
        to.stats.unplugs.inc();
        self.say(now, || format!("input: {} is gone", slot.facts));
    }

    fn look(&mut self, now: HostTime, is_changed: bool, to: &mut Reader<'_>) {
        let rules = &self.rules;
        let meant = |facts: &Facts| rules.iter().any(|rule| rule.means(facts, &node_of));
        let found: Vec<Facts> = Facts::all(Path::new(SYS)).into_iter().filter(meant).collect();
        self.waiting.retain(|w| found.iter().any(|f| f.node == w.node));
        if is_changed {
            self.waiting.iter_mut().for_each(|w| w.retry.hurry(now));
        }
        if !core::mem::replace(&mut self.has_looked, true) {
            self.tell_missing(now, &found);
        }
        for facts in found {
            let is_open = self.slots.iter().any(|s| s.facts.node == facts.node);
            let waiting = self.waiting.iter().position(|w| w.node == facts.node);
            let waits = waiting.and_then(|n| self.waiting.get(n)).is_some_and(|w| now < w.retry.due());
            if !is_open && !waits {
                self.open(now, facts, waiting, to);
            }
        }
    }

    fn tell_missing(&mut self, now: HostTime, found: &[Facts]) {
        for rule in self.rules.clone() {
            if !found.iter().any(|facts| rule.means(facts, &node_of)) {
                let word = match &rule {
                    Rule::Path(path) if path.exists() => "it is no keyboard or mouse that can be read",
                    _ => "it is waited for",
                };
                self.say(now, || format!("input: no device for {rule} yet: {word} (see: frame-rx devices)"));
            }
        }
    }

    fn open(&mut self, now: HostTime, facts: Facts, waiting: Option<usize>, to: &mut Reader<'_>) {
        let Some(source) = self.free_source() else {
            return self.say(now, || format!("input: {facts} is left out: {DEVICES} devices are read already"));
        };
        let opened = Node::open(&facts).and_then(|node| Ok((node.keys_down()?, node)));
        let error = match opened {
            Ok((down, node)) => {
                if let Some(n) = waiting {
                    self.waiting.swap_remove(n);
                }
                to.router.set_silent(source, true);
                to.router.resync(now, source, &down, to.acts);
                to.stats.plugs.inc();
                self.say(now, || format!("input: reads {facts}"));
                let grab = if self.grabs.is_some() { Grab::Wanted } else { Grab::Free };
                let reports = Reports::new(node.shape());
                self.changes += 1;
                return self.slots.push(Slot { facts, node, reports, source, grab, host_leds: None });
            }
            Err(error) => error,
        };
        match waiting.and_then(|n| self.waiting.get_mut(n)) {
            None => self.waiting.push(Waiting { node: facts.node, retry: Retry::new(now) }),
            Some(waiting) => {
                let why = error.to_string();
                if waiting.retry.failed(now, &why) {
                    self.say(now, || format!("input: {facts} cannot be read: {why} (see: frame-rx doctor)"));
                }
            }
        }
    }

    fn free_source(&self) -> Option<SourceId> {
        let numbers = 1..=u8::try_from(DEVICES).unwrap_or(u8::MAX);
        numbers.map(SourceId).find(|id| !self.slots.iter().any(|s| s.source == *id))
    }

    /// Grabs what is wanted and ready.
    fn settle(&mut self, now: HostTime, to: &mut Reader<'_>) {
        let Some(tells_at) = self.grabs else { return };
        for n in (0..self.slots.len()).rev() {
            let Some(slot) = self.slots.get_mut(n) else { continue };
            let before = slot.grab;
            if slot.settle(now, self.guest_leds, to).is_err() {
                self.lose(n, now, to);
            } else if matches!(slot.grab, Grab::Busy { .. }) && before == Grab::Wanted {
                let shown = slot.facts.to_string();
                self.say(now, || format!("input: {shown} is grabbed by another program; the guest does not get it"));
            }
        }
        let hangs = |s: &Slot| s.grab == Grab::Wanted;
        if now >= tells_at && self.slots.iter().any(hangs) {
            self.grabs = Some(HostTime::from_ns(u64::MAX));
            let names: Vec<_> = self.slots.iter().filter(|s| hangs(s)).map(|s| s.facts.to_string()).collect();
            self.say(now, || format!("input: the guest gets {} when no key of it is down", names.join(", ")));
        }
    }

    /// Tells about devices, but not more than anybody wants to read: a broken plug comes and goes ten times a second.
    fn say(&mut self, now: HostTime, sentence: impl FnOnce() -> String) {
        if self.lines.take(now) {
            tracing::info!("{}", sentence());
        }
    }
}

impl Slot {
    fn read(&mut self, now: HostTime, buffer: &mut Buffer, to: &mut Reader<'_>) -> io::Result<()> {
        for _ in 0..READS {
            let bytes = self.node.read(buffer)?;
            let (is_last, source) = (bytes.len() < size_of::<Buffer>(), self.source);
            let heard = if bytes.is_empty() { now } else { clock::now() };
            for event in events(bytes) {
                self.reports.take(event, &mut |frame| {
                    to.stats.reports.inc();
                    to.stats.heard.record_duration(heard.since(frame.at));
                    to.router.frame(heard, source, &frame, to.acts);
                });
            }
            if self.reports.take_stale() {
                to.stats.resyncs.inc();
                self.ask(heard, to)?;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Tells the router what is down. Whether anything is.
    fn ask(&mut self, now: HostTime, to: &mut Reader<'_>) -> io::Result<bool> {
        let down = self.node.keys_down()?;
        to.router.resync(now, self.source, &down, to.acts);
        Ok(!down.is_empty())
    }

    /// One step towards being grabbed.
    fn settle(&mut self, now: HostTime, leds: Option<Leds>, to: &mut Reader<'_>) -> io::Result<()> {
        match self.grab {
            Grab::Wanted => {}
            Grab::Busy { again } if now >= again => {}
            _ => return Ok(()),
        }
        if self.ask(now, to)? {
            return Ok(());
        }
        match self.node.grab() {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                self.grab = Grab::Busy { again: now + BUSY_WAIT };
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        // A key that went down between the two calls was seen by the host, and its release would not be.
        if self.ask(now, to)? {
            self.node.ungrab();
            return Ok(());
        }
        self.grab = Grab::Held;
        to.router.set_silent(self.source, false);
        self.host_leds = self.node.leds();
        if let Some(leds) = leds {
            self.node.set_leds(leds);
        }
        Ok(())
    }

    fn release(&mut self, router: &mut Router) {
        if self.grab == Grab::Held {
            if let Some(leds) = self.host_leds.take() {
                self.node.set_leds(leds);
            }
            self.node.ungrab();
        }
        router.set_silent(self.source, true);
        self.grab = Grab::Free;
    }
}
