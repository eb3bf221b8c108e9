//! PulseAudio (and PipeWire's stand-in for it), by its asynchronous API, all on the playout thread. The stream has the
//! rate and the channels of the server's own sink, so nothing is converted twice; the server hands out its requests early
//! enough for the delay that was asked for. A server that goes away is waited for.

use super::{Control, Notice, Sink, SinkError, SinkFormat, Source};
use crate::channels::{Layout, MAX_CHANNELS, Speaker};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use libpulse_binding as pa;
use pa::callbacks::ListResult;
use pa::channelmap::{Map, Position};
use pa::context::introspect::SinkInfo;
use pa::context::{self, Context};
use pa::def::BufferAttr;
use pa::mainloop::standard::Mainloop;
use pa::proplist::{Proplist, properties};
use pa::sample::{Format, Spec};
use pa::stream::{self, FlagSet, SeekMode, Stream};
use pa::time::MicroSeconds;
use rx_host::clock;
use shm_proto::HostTime;
use std::rc::Rc;

/// How long the server may take to answer. Unit: seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to reach the server.
const RETRY: Duration = Duration::from_millis(250);
/// The longest wait for the server, within which a stop is heeded and the source kept up.
const TURN: Duration = Duration::from_millis(50);
/// How often the server is asked for its place, beside what it tells by itself.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A guest that is silent for so long lets the server's device sleep.
const CORK_AFTER: Duration = Duration::from_secs(10);
/// Bytes of a sample.
const WIDTH: usize = 4;

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
}

/// Why a session with the server ended.
struct Lost(String);

/// What the callbacks saw.
#[derive(Debug, Default)]
struct Seen {
    timing: Cell<bool>,
    underflows: Cell<u64>,
    disturbed: Cell<u64>,
    moved: Cell<bool>,
}

/// The server's sink.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    description: String,
    format: SinkFormat,
    map: Map,
}

impl Sink for PulseSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let mut told = None;
        let mut sessions = 0u64;
        loop {
            let before = sessions;
            match self.session(&mut *source, control, &mut sessions) {
                Ok(()) => return Ok(()),
                Err(Lost(reason)) => {
                    // Each reason once, until it was open again.
                    if sessions > before || told.as_ref() != Some(&reason) {
                        control.tell(Notice::Absent { reason: reason.clone() });
                        told = Some(reason);
                    }
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
    fn session(&self, source: &mut dyn Source, control: &Control, sessions: &mut u64) -> Result<(), Lost> {
        let Some(mut server) = Server::connect(self, source, control)? else { return Ok(()) };
        let Some(target) = server.find_sink(self.device.as_deref(), source, control)? else { return Ok(()) };
        let Some(mut playing) = server.open_stream(self, &target, source, control)? else { return Ok(()) };
        control.tell(Notice::Open { name: target.description.clone(), format: target.format });
        if *sessions > 0 {
            control.counters.sink.reopened.inc();
        }
        *sessions += 1;
        source.open(target.format);
        playing.run(&mut server, source, control)
    }
}

/// The connection.
struct Server {
    // Dropped in this order: the context uses the main loop.
    context: Context,
    mainloop: Mainloop,
}

impl Server {
    /// Nothing if a stop was asked for.
    fn connect(wish: &PulseSink, source: &mut dyn Source, control: &Control) -> Result<Option<Server>, Lost> {
        let none = || Lost("libpulse cannot be used: out of memory".into());
        let mainloop = Mainloop::new().ok_or_else(none)?;
        let mut about = Proplist::new().ok_or_else(none)?;
        // Cannot fail: keys and values are plain text.
        let _ = about.set_str(properties::APPLICATION_NAME, "scream-rx");
        let _ = about.set_str(properties::APPLICATION_ICON_NAME, "audio-card");
        let mut context = Context::new_with_proplist(&mainloop, "scream-rx", &about).ok_or_else(none)?;
        let failed = |e: pa::error::PAErr| Lost(format!("no sound server answers ({e})"));
        context.connect(wish.server.as_deref(), context::FlagSet::NOAUTOSPAWN, None).map_err(failed)?;
        let mut server = Server { context, mainloop };
        let ready = server.wait(source, control, |s| match s.context.get_state() {
            context::State::Ready => Some(Ok(())),
            state if state.is_good() => None,
            _ => Some(Err(Lost(format!("no sound server answers ({})", s.context.errno())))),
        })?;
        Ok(ready.map(|()| server))
    }

    /// One turn of the main loop: waits for the server, at most `longest`.
    fn turn(&mut self, longest: Duration) -> Result<(), Lost> {
        let gone = |_| Lost("the sound server has gone".into());
        let longest = MicroSeconds(u64::try_from(longest.as_micros()).unwrap_or(0));
        self.mainloop.prepare(Some(longest)).map_err(gone)?;
        self.mainloop.poll().map_err(gone)?;
        self.mainloop.dispatch().map_err(gone)?;
        Ok(())
    }

    /// Turns until `done` says something. Nothing if a stop was asked for.
    fn wait<T>(
        &mut self,
        source: &mut dyn Source,
        control: &Control,
        mut done: impl FnMut(&mut Server) -> Option<Result<T, Lost>>,
    ) -> Result<Option<T>, Lost> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(result) = done(self) {
                return result.map(Some);
            }
            if control.stop.is_requested() {
                return Ok(None);
            }
            if clock::now() >= deadline {
                return Err(Lost("the sound server does not answer".into()));
            }
            source.keep_up(clock::now());
            self.turn(TURN)?;
        }
    }

    fn find_sink(
        &mut self,
        device: Option<&str>,
        source: &mut dyn Source,
        control: &Control,
    ) -> Result<Option<Target>, Lost> {
        let answer: Rc<RefCell<Option<Option<Target>>>> = Rc::default();
        let found = Rc::clone(&answer);
        let name = device.unwrap_or("@DEFAULT_SINK@");
        let _asking = self.context.introspect().get_sink_info_by_name(name, move |result| {
            let mut found = found.borrow_mut();
            match result {
                ListResult::Item(info) => *found = Some(Some(Target::new(info))),
                ListResult::End | ListResult::Error => *found = Some(found.take().flatten()),
            }
        });
        let what = device.map_or("no sound device".to_owned(), |d| format!("no sink named {d}"));
        self.wait(source, control, |s| {
            if !s.context.get_state().is_good() {
                return Some(Err(Lost("the sound server has gone".into())));
            }
            let found = answer.borrow().clone()?;
            Some(found.ok_or_else(|| Lost(format!("the sound server has {what}"))))
        })
    }

    fn open_stream(
        &mut self,
        wish: &PulseSink,
        target: &Target,
        source: &mut dyn Source,
        control: &Control,
    ) -> Result<Option<Playing>, Lost> {
        let format = target.format;
        let refused = |e: pa::error::PAErr| Lost(format!("the sound server refuses a stream ({e})"));
        let spec = Spec { format: Format::F32le, channels: format.layout.channels() as u8, rate: format.rate_hz };
        let mut about = Proplist::new().ok_or_else(|| Lost("libpulse cannot be used: out of memory".into()))?;
        let _ = about.set_str(properties::MEDIA_ROLE, "game");
        let _ = about.set_str(properties::MEDIA_NAME, &wish.name);
        let stream = Stream::new_with_proplist(&mut self.context, &wish.name, &spec, Some(&target.map), &mut about);
        let mut stream = stream.ok_or_else(|| Lost(format!("the sound server refuses {format}")))?;
        let bytes_per_s = format.rate_hz as usize * format.layout.channels() * WIDTH;
        let bytes = |d: Duration| (d.as_secs_f64() * bytes_per_s as f64) as u32;
        let piece = bytes(wish.piece);
        let buffer = BufferAttr { maxlength: u32::MAX, tlength: bytes(wish.buffer), prebuf: piece, minreq: piece, fragsize: u32::MAX };
        let flags = FlagSet::ADJUST_LATENCY | FlagSet::AUTO_TIMING_UPDATE;
        stream.connect_playback(wish.device.as_deref(), Some(&buffer), flags, None, None).map_err(refused)?;
        let seen = Rc::<Seen>::default();
        watch(&mut stream, &seen);
        let ready = self.wait(source, control, |s| match stream.get_state() {
            stream::State::Ready => Some(Ok(())),
            state if state.is_good() && s.context.get_state().is_good() => None,
            _ => Some(Err(Lost(format!("the sound server refuses a stream ({})", s.context.errno())))),
        })?;
        let frame_bytes = format.layout.channels() * WIDTH;
        Ok(ready.map(|()| Playing {
            stream,
            seen,
            bytes_per_s: bytes_per_s as f64,
            frame_bytes,
            piece: (piece as usize / frame_bytes).max(1) * frame_bytes,
            block: Vec::new(),
            place: None,
            asked: HostTime::ZERO,
            format,
        }))
    }
}

/// Counts what the server reports of the stream.
fn watch(stream: &mut Stream, seen: &Rc<Seen>) {
    let on = |f: fn(&Seen)| {
        let seen = Rc::clone(seen);
        Some(Box::new(move || f(&seen)) as Box<dyn FnMut()>)
    };
    stream.set_latency_update_callback(on(|s| s.timing.set(true)));
    stream.set_underflow_callback(on(|s| s.underflows.set(s.underflows.get() + 1)));
    stream.set_suspended_callback(on(|s| s.disturbed.set(s.disturbed.get() + 1)));
    stream.set_moved_callback(on(|s| s.moved.set(true)));
}

/// Where the server was in our stream, and when.
#[derive(Clone, Copy)]
struct Place {
    at: HostTime,
    /// Byte that was being heard.
    heard: f64,
    playing: bool,
}

struct Playing {
    stream: Stream,
    seen: Rc<Seen>,
    bytes_per_s: f64,
    frame_bytes: usize,
    piece: usize,
    block: Vec<f32>,
    place: Option<Place>,
    asked: HostTime,
    format: SinkFormat,
}

impl Playing {
    fn run(&mut self, server: &mut Server, source: &mut dyn Source, control: &Control) -> Result<(), Lost> {
        let counters = &control.counters.sink;
        let mut sounded = clock::now();
        let mut filled = sounded;
        loop {
            server.turn(TURN)?;
            let now = clock::now();
            if control.stop.is_requested() {
                return Ok(());
            }
            if !self.stream.get_state().is_good() {
                return Err(Lost("the sound server has gone".into()));
            }
            counters.underflows.add(self.seen.underflows.take());
            let disturbed = self.seen.disturbed.take();
            counters.disturbances.add(disturbed);
            if self.seen.moved.take() {
                counters.disturbances.inc();
                // Another device may have another rate; a new stream finds out.
                return Err(Lost("the stream was moved to another device".into()));
            }
            self.note_place(now);
            self.ask_for_place(now, disturbed > 0);
            while self.stream.writable_size().is_some_and(|n| n >= self.piece) {
                let Some(going) = self.write_piece(source, control)? else { return Ok(()) };
                filled = now;
                if going {
                    sounded = now;
                }
            }
            if now.since(filled) > TURN && !source.keep_up(now) {
                sounded = sounded.min(now);
            }
            if now.since(sounded) > CORK_AFTER {
                if !self.sleep(server, source, control)? {
                    return Ok(());
                }
                source.open(self.format);
                (sounded, filled) = (clock::now(), clock::now());
            }
        }
    }

    /// Takes what the server told of its place.
    fn note_place(&mut self, now: HostTime) {
        if !self.seen.timing.take() {
            return;
        }
        let Some(t) = self.stream.get_timing_info() else { return };
        if t.read_index_corrupt != 0 {
            return;
        }
        // The age is told by the wall clock; a step of that would show once, and is kept small.
        let age = Duration::from_micros(t.timestamp.age().0).min(ASK_EVERY);
        let heard = t.read_index as f64 - t.sink_usec.0 as f64 * 1e-6 * self.bytes_per_s;
        self.place = Some(Place { at: now - age, heard, playing: t.playing != 0 });
    }

    fn ask_for_place(&mut self, now: HostTime, at_once: bool) {
        if at_once || now.since(self.asked) >= ASK_EVERY {
            self.asked = now;
            let _asking = self.stream.update_timing_info(None);
        }
    }

    /// How long until the next byte that is written will be heard.
    fn delay(&mut self, now: HostTime) -> Option<Duration> {
        let place = self.place?;
        let written = self.stream.get_timing_info().filter(|t| t.write_index_corrupt == 0)?.write_index;
        let elapsed_s = if place.playing { now.since(place.at).as_secs_f64() } else { 0.0 };
        let delay_s = (written as f64 - place.heard) / self.bytes_per_s - elapsed_s;
        Some(Duration::from_secs_f64(delay_s.clamp(0.0, 10.0)))
    }

    /// Writes one piece; whether it sounded. Nothing: it was the last one.
    fn write_piece(&mut self, source: &mut dyn Source, control: &Control) -> Result<Option<bool>, Lost> {
        let gone = |_| Lost("the sound server has gone".into());
        let samples = self.piece / WIDTH;
        self.block.resize(samples, 0.0);
        let now = clock::now();
        let (frames, sounding, last) = match self.delay(now) {
            Some(delay) => {
                let filled = source.fill(&mut self.block, now, delay);
                (filled.frames, filled.sounding, filled.frames * self.frame_bytes < self.piece)
            }
            // The server has not yet told where it is: silence until it does.
            None => {
                self.block.fill(0.0);
                (self.piece / self.frame_bytes, false, false)
            }
        };
        let mut rest = self.block.get(..frames * self.frame_bytes / WIDTH).unwrap_or_default();
        while !rest.is_empty() {
            let Some(bytes) = self.stream.begin_write(Some(rest.len() * WIDTH)).map_err(gone)? else { break };
            let (now, later) = rest.split_at((bytes.len() / WIDTH).min(rest.len()));
            bytes.as_chunks_mut::<WIDTH>().0.iter_mut().zip(now).for_each(|(b, x)| *b = x.to_le_bytes());
            let used = bytes.get(..now.len() * WIDTH).unwrap_or_default();
            self.stream.write(used, None, 0, SeekMode::Relative).map_err(gone)?;
            rest = later;
        }
        control.counters.sink.frames.add(frames as u64);
        Ok((!last).then_some(sounding))
    }

    /// Lets the device sleep until there is something to play. Whether to go on.
    fn sleep(&mut self, server: &mut Server, source: &mut dyn Source, control: &Control) -> Result<bool, Lost> {
        let _corking = self.stream.cork(None);
        while !source.keep_up(clock::now()) {
            server.turn(TURN)?;
            if control.stop.is_requested() {
                return Ok(false);
            }
            if !self.stream.get_state().is_good() {
                return Err(Lost("the sound server has gone".into()));
            }
        }
        let _uncorking = self.stream.uncork(None);
        self.place = None;
        self.ask_for_place(clock::now(), true);
        Ok(true)
    }
}

impl Target {
    fn new(info: &SinkInfo<'_>) -> Target {
        let text = |t: &Option<std::borrow::Cow<'_, str>>| t.as_deref().unwrap_or("?").to_owned();
        let positions = info.channel_map.get();
        let known = (1..=MAX_CHANNELS).contains(&positions.len());
        let speakers: Vec<Speaker> = positions.iter().map(|p| speaker(*p)).collect();
        let layout = Layout::new(&speakers).filter(|_| known);
        let mut map = info.channel_map;
        if layout.is_none() {
            // More channels than we can serve: the server spreads two of ours over its own.
            map.init_stereo();
        }
        let format = SinkFormat { rate_hz: info.sample_spec.rate, layout: layout.unwrap_or(Layout::STEREO) };
        Target { name: text(&info.name), description: text(&info.description), format, map }
    }
}

fn speaker(position: Position) -> Speaker {
    match position {
        Position::Mono | Position::FrontCenter => Speaker::FrontCentre,
        Position::FrontLeft => Speaker::FrontLeft,
        Position::FrontRight => Speaker::FrontRight,
        Position::RearCenter => Speaker::BackCentre,
        Position::RearLeft => Speaker::BackLeft,
        Position::RearRight => Speaker::BackRight,
        Position::Lfe => Speaker::Lfe,
        Position::FrontLeftOfCenter => Speaker::FrontLeftOfCentre,
        Position::FrontRightOfCenter => Speaker::FrontRightOfCentre,
        Position::SideLeft => Speaker::SideLeft,
        Position::SideRight => Speaker::SideRight,
        _ => Speaker::Unknown,
    }
}
