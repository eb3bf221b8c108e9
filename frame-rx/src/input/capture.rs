//! The input's thread: hears sources, decides with the router, sends with the pacer, and keeps a sink connected.
//!
//! Nothing it does depends on the window's thread: the release chord is looked for here.

mod connector;
mod desk;
mod farewell;
mod handle;
mod tell;
mod waits;
mod watchdog;
mod ways;
mod window;

use self::connector::{Opened, Seeker};
use self::desk::Desk;
use self::handle::{Bell, Event, Shared};
use self::waits::{Place, Ready, Waits};
use self::window::WindowKeys;
use super::CodeSet;
use super::address::InputChoice;
use super::chord::Chord;
use super::evdev::rule::Rule;
use super::frame::MouseMode;
use super::heir::Heir;
use super::own::OwnKeys;
use super::pacer::{Overflow, Pacer};
use super::router::{Act, Router, SourceId};
use super::sink::{Leds, News, Sink, SinkError, Step};
use super::spice::Password;
use super::stats::{InputStats, SinkState};
use core::sync::atomic::Ordering;
use core::time::Duration;
use crossbeam_channel::{Receiver, bounded};
use rx_host::clock;
use rx_host::signals::{Stop, StopOnDrop};
use shm_proto::HostTime;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(test)]
pub(super) use self::connector::CONNECT_AT_END;
pub use self::connector::Connector;
pub use self::desk::TRIAL;
pub use self::handle::Handle;
pub use self::watchdog::{SILENCE, Watchdog};
pub use self::ways::{hint, look, open, place};

/// Events of the window that may wait for the thread.
const EVENTS: usize = 1024;
/// Longest sleep, and so the longest delay of the end.
const SLEEP: Duration = Duration::from_millis(100);
/// The same while motion waits for the guest to take it, and more of it wakes nobody up.
const DOZE: Duration = Duration::from_millis(4);

/// How input is to be taken and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputSettings {
    /// The way to the guest.
    pub choice: InputChoice,
    /// What releases it.
    pub chord: Chord,
    /// What never goes to the guest.
    pub keep: CodeSet,
    /// What stays the window's.
    pub own: OwnKeys,
    /// How the guest's pointer follows the window's.
    pub mouse: MouseMode,
    /// The SPICE server's password.
    pub password: Password,
    /// The host's devices that are read; none if all comes from the window.
    pub devices: Vec<Rule>,
    /// Whether the guest gets the input as soon as there is a way to it.
    pub takes_at_start: bool,
    /// The file that remembers that the release chord was used once.
    pub trial_mark: Option<PathBuf>,
}

/// The thread's end. [`Capture::run`] is its whole life.
pub struct Capture {
    settings: InputSettings,
    events: Receiver<Event>,
    heard: UnixStream,
    shared: Arc<Shared>,
    stats: Arc<InputStats>,
    stop: Stop,
    tell: Box<dyn Fn() + Send>,
    router: Router,
    pacer: Pacer,
    acts: Vec<Act>,
    sink: Option<Box<dyn Sink>>,
    /// Whether the machine runs, as far as the sink knows.
    is_running: bool,
    seeker: Seeker,
    /// The user asked for the guest before there was a way to it.
    wants_guest: bool,
    told_leds: Leds,
    said: String,
    /// The window may have told something.
    is_rung: bool,
    /// The sink may have.
    is_told: bool,
    /// When the sink was asked last.
    asked: HostTime,
    /// Sinks that came and went.
    sinks: u64,
    waits: Waits,
    desk: Desk,
    window: WindowKeys,
    heir: Option<Heir>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("choice", &self.settings.choice).finish_non_exhaustive()
    }
}

/// The thread's end, the connector's and the window's. `tell` is called by the thread when [`Handle::is_grabbed`], the
/// guest's lamps or what the sink takes has changed.
///
/// # Errors
/// When the process has no descriptor left.
pub fn connect(
    settings: InputSettings,
    stop: &Stop,
    tell: Box<dyn Fn() + Send>,
) -> io::Result<(Capture, Connector, Handle)> {
    let (sender, events) = bounded(EVENTS);
    let (heard, rung) = UnixStream::pair()?;
    heard.set_nonblocking(true)?;
    rung.set_nonblocking(true)?;
    let bell = Bell(Arc::new(rung));
    let (shared, stats) = (Arc::<Shared>::default(), InputStats::new());
    stats.set_way(settings.choice.name());
    let now = clock::now();
    // What is not asked for by name is not disturbed before the user wants it: a server has one client at a time.
    let connects_at = (settings.choice != InputChoice::Auto || settings.takes_at_start).then_some(now);
    let (seeker, connector) = connector::pair(settings.clone(), bell.clone(), stop, connects_at)?;
    let mut router = Router::new(settings.chord.clone(), settings.keep);
    router.set_own(settings.own.clone());
    let desk = Desk::new(&settings.devices, settings.trial_mark.clone(), &mut router);
    let capture = Capture {
        events,
        heard,
        window: WindowKeys::new(shared.clone(), desk.beat.clone()),
        shared: shared.clone(),
        stats: stats.clone(),
        stop: stop.clone(),
        tell,
        router,
        pacer: Pacer::new(stats.clone()),
        acts: Vec::with_capacity(2048),
        sink: None,
        is_running: true,
        seeker,
        wants_guest: settings.takes_at_start,
        told_leds: Leds::default(),
        said: String::new(),
        is_rung: true,
        is_told: false,
        asked: HostTime::ZERO,
        sinks: 0,
        waits: Waits::new(),
        desk,
        heir: None,
        settings,
    };
    Ok((capture, connector, Handle { events: sender, bell, shared, stats }))
}

impl Capture {
    /// What ends the process should the thread hang with devices or an X server's keyboard in its hands.
    pub fn watchdog(&self) -> Watchdog {
        Watchdog::new(&self.desk.beat)
    }

    /// Who releases what the guest holds if this process is killed.
    pub fn set_heir(&mut self, heir: Option<Heir>) {
        self.heir = heir;
    }

    /// Works until a stop is asked for; then the guest is told to release everything. So it is after a panic.
    ///
    /// Blocks.
    pub fn run(mut self) {
        let _end_together = StopOnDrop(self.stop.clone());
        // What the guest holds is known to the pacer, wherever the panic came from.
        let turned = panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
        self.farewell();
        if let Err(payload) = turned {
            panic::resume_unwind(payload);
        }
    }

    /// Works until a stop is asked for.
    fn turn(&mut self) {
        while !self.stop.is_requested() {
            let now = clock::now();
            self.desk.beat.turn();
            self.hear(now);
            self.desk.serve(now, &mut self.router, &mut self.acts, &self.stats);
            if self.window.serve(now, &mut self.router, &mut self.acts, &self.stats) {
                self.focus_lost(now);
            }
            self.router.tick(now, &mut self.acts);
            let wake = self.serve(now);
            self.publish();
            let doze = self.doze_until(now);
            if doze.is_some() {
                self.shared.doze();
            }
            self.wait(wake.min(doze.unwrap_or(now + SLEEP)));
        }
    }

    /// Until when motion need not wake anybody: it could not be sent before.
    fn doze_until(&self, now: HostTime) -> Option<HostTime> {
        let sink = self.sink.as_ref().filter(|_| self.is_running && !self.is_rung)?;
        if self.pacer.holds_motion() {
            return Some(now + DOZE);
        }
        self.pacer.next_motion(sink.caps().motion_gap).filter(|due| *due > now)
    }

    fn hear(&mut self, now: HostTime) {
        let (dozed, is_rung) = (self.shared.wake(), core::mem::take(&mut self.is_rung));
        if !(dozed || is_rung) {
            return;
        }
        let mut rings = [0; 64];
        while is_rung && matches!((&self.heard).read(&mut rings), Ok(n) if n == rings.len()) {}
        for _ in 0..EVENTS {
            let Ok(event) = self.events.try_recv() else { break };
            match event {
                Event::Frame(frame) => {
                    self.stats.reports.inc();
                    self.router.frame(now, SourceId::WINDOW, &frame, &mut self.acts);
                }
                Event::Take => self.router.take(now, &mut self.acts),
                Event::GiveBack => self.router.give_back(now, &mut self.acts),
                Event::FocusLost => self.focus_lost(now),
                Event::Window(number) => self.window.open(number),
            }
        }
        self.is_rung = !self.events.is_empty();
        // After all that came: whichever was lost, nothing stays down.
        if self.shared.overflow.swap(false, Ordering::Relaxed) {
            self.stats.overflows.inc();
            self.router.source_gone(now, SourceId::WINDOW, &mut self.acts);
        }
    }

    fn focus_lost(&mut self, now: HostTime) {
        // The window had the keys, unless a keyboard is grabbed.
        if !self.desk.has_keyboard() {
            self.wants_guest = false;
            self.router.give_back_at_once(now, &mut self.acts);
        }
        self.router.source_gone(now, SourceId::WINDOW, &mut self.acts);
    }

    /// Does what the router decided and looks after the sink. When to come back.
    fn serve(&mut self, now: HostTime) -> HostTime {
        if let Some(opened) = self.seeker.take() {
            // A click that came before counts for the way that is there now.
            self.act();
            self.opened(opened);
        }
        if self.sink.is_none() && self.seeker.try_now(now) {
            self.stats.set_state(SinkState::Connecting);
        }
        let sink = self.send_and_hear().unwrap_or_else(|error| {
            self.lose(clock::now(), &error);
            None
        });
        let connects = self.seeker.due().filter(|_| self.sink.is_none());
        let dues = [sink, connects, self.router.due(), self.desk.due(now), self.window.due()];
        dues.into_iter().flatten().fold(now + SLEEP, HostTime::min)
    }

    /// What is for the guest goes out before anything else is looked at. When to come back for the sink's sake.
    fn send_and_hear(&mut self) -> Result<Option<HostTime>, SinkError> {
        self.act();
        let mut due = self.run_pacer(clock::now())?;
        if core::mem::take(&mut self.is_told) || self.sink_due().is_some_and(|due| clock::now() >= due) {
            self.pump(clock::now())?;
            // What came may have changed who has the input, and made room for more.
            self.act();
            due = self.run_pacer(clock::now())?;
        }
        Ok([due, self.sink_due()].into_iter().flatten().min())
    }

    /// When the sink wants to be asked, whether it was told something or not.
    fn sink_due(&self) -> Option<HostTime> {
        let sink = self.sink.as_ref()?;
        Some(sink.due().map_or(self.asked + SLEEP, |due| due.min(self.asked + SLEEP)))
    }

    fn act(&mut self) {
        for n in 0..self.acts.len() {
            match self.acts.get(n).copied() {
                Some(Act::Send(at, step)) => self.send(at, step),
                Some(Act::Grab) => {
                    self.stats.captures.inc();
                    self.tell_chord();
                    self.desk.grab(clock::now());
                    self.window.grab(clock::now());
                }
                Some(Act::Ungrab) => {
                    // Giving devices back takes the kernel milliseconds each: what the guest holds is released before.
                    // Should the sink be gone, the next step tells so.
                    let _ = self.run_pacer(clock::now());
                    self.desk.ungrab(&mut self.router);
                    self.window.release();
                    self.tell_trial();
                }
                Some(Act::Want) => {
                    self.wants_guest = true;
                    self.seeker.want(clock::now());
                }
                Some(Act::Own(number)) => {
                    self.shared.ask(number);
                    (self.tell)();
                }
                None => {}
            }
        }
        self.acts.clear();
    }

    fn send(&mut self, at: HostTime, step: Step) {
        if self.pacer.push(at, step) == Err(Overflow) {
            self.router.forget_sent();
        }
    }

    fn run_pacer(&mut self, now: HostTime) -> Result<Option<HostTime>, SinkError> {
        self.tell_heir();
        match &mut self.sink {
            Some(sink) if self.is_running => {
                let due = self.pacer.run(now, sink.as_mut());
                if self.pacer.has_sent() {
                    self.pacer.calls_ended(clock::now());
                }
                due
            }
            _ => Ok(None),
        }
    }

    fn pump(&mut self, now: HostTime) -> Result<(), SinkError> {
        self.asked = now;
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let (mut is_running, mut lamps) = (self.is_running, None);
        sink.pump(now, &mut |news| match news {
            News::Stopped => is_running = false,
            News::Running => is_running = true,
            News::Leds(leds) => lamps = Some(leds),
            News::Caps => {}
        })?;
        if let Some(leds) = lamps {
            self.stats.set_leds(leds);
            self.desk.set_leds(leds);
        }
        match (self.is_running, is_running) {
            (true, false) => self.router.sink_down(now),
            // Releases that were sent while the machine stood still are lost.
            (false, true) => self.begin(now),
            _ => {}
        }
        self.set_running(is_running);
        Ok(())
    }

    fn set_running(&mut self, is_running: bool) {
        self.is_running = is_running;
        self.stats.set_state(if is_running { SinkState::Ready } else { SinkState::Waiting });
    }

    /// The guest hears from now on: first that nothing is held.
    fn begin(&mut self, now: HostTime) {
        self.pacer.connected(now);
        self.router.sink_up();
        if core::mem::take(&mut self.wants_guest) {
            self.router.take(now, &mut self.acts);
            self.act();
        }
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Ok(sink) => {
                self.set_running(sink.is_heard());
                self.set_sink(Some(sink));
                self.stats.connections.inc();
                self.suspect();
                let way = self.sink.as_ref().map_or("", |sink| sink.way());
                self.stats.set_way(way);
                let place = ways::place(&self.settings.choice, way);
                self.say(format!("input: connected to {place} (release with {})", self.settings.chord));
                if self.is_running {
                    self.begin(clock::now());
                }
            }
            Err(SinkError::Stopped) => {}
            Err(error) => self.lose(clock::now(), &error),
        }
    }

    /// Who was there before this program may have been killed with keys down.
    fn suspect(&mut self) {
        let keeps_held = self.sink.as_ref().is_some_and(|sink| sink.keeps_held());
        if keeps_held && self.stats.connections.get() == 1 {
            let usual = CodeSet::usual_keys();
            self.pacer.suspect(usual.iter().filter(|code| !self.settings.keep.contains(*code)).collect());
        }
    }

    fn set_sink(&mut self, sink: Option<Box<dyn Sink>>) {
        self.sink = sink;
        (self.sinks, self.is_told) = (self.sinks + 1, true);
    }

    fn lose(&mut self, now: HostTime, error: &SinkError) {
        if self.sink.is_some() {
            self.set_sink(None);
            self.pacer.disconnected();
        }
        self.stats.losses.inc();
        let is_missed = self.wants_guest || self.router.is_grabbed();
        self.router.sink_down(now);
        let on_demand = self.settings.choice == InputChoice::Auto;
        self.stats.set_state(if error.is_final() { SinkState::Refused } else { SinkState::Connecting });
        let (place, hint) = (ways::place(&self.settings.choice, "spice"), ways::hint(&self.settings.choice, error));
        let sentence = format!("no way to the guest by {place}: {error}");
        self.say(format!("input: {sentence}; hint: {hint}"));
        if is_missed {
            self.tell_window(format!("keyboard and mouse: {sentence}"));
        }
        if on_demand {
            // Once is enough; the next click tries again.
            self.wants_guest = false;
            self.seeker.give_up();
        } else {
            self.seeker.again(now, error.is_final(), self.pacer.is_busy());
        }
    }

    fn wait(&mut self, until: HostTime) {
        let changes = self.sinks + self.window.changes() + self.desk.changes() + self.seeker.changes();
        let sink = self.sink.as_ref().map(|sink| sink.descriptors()).unwrap_or_default();
        let sink =
            sink.into_iter().enumerate().filter_map(|(n, fd)| fd.map(|(fd, writes)| (waits::SINK + n, fd, writes)));
        let window = self.window.descriptor().map(|fd| (waits::WINDOW, fd, false));
        let folder = self.seeker.descriptor().map(|fd| (waits::FOLDER, fd, false));
        let bell: Place<'_> = (waits::BELL, self.heard.as_fd(), false);
        let devices = self.desk.descriptors().enumerate().map(|(n, fd)| (waits::DEVICES + n, fd, false));
        self.waits.set(changes, [bell].into_iter().chain(window).chain(folder).chain(sink).chain(devices));
        let ready: Ready = self.waits.wait(until);
        self.is_rung |= ready.has(waits::BELL);
        self.window.is_told |= ready.has(waits::WINDOW);
        self.seeker.is_told |= ready.has(waits::FOLDER);
        self.is_told |= ready.has_sink();
        self.desk.note(ready.rest(waits::DEVICES));
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
