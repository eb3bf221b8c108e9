//! The connection to the server: reaching it, finding a sink, opening a stream.

use super::playing::{Playing, Seen};
use super::{Idle, Lost, PulseSink, TURN};
use crate::channels::{Layout, MAX_CHANNELS, Speaker};
use crate::sink::names::{self, Called};
use crate::sink::{Notice, SinkFormat};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use libpulse_binding as pa;
use pa::callbacks::ListResult;
use pa::channelmap::{Map, Position};
use pa::context::introspect::SinkInfo;
use pa::context::subscribe::{Facility, InterestMaskSet, Operation as Event};
use pa::context::{self, Context};
use pa::def::BufferAttr;
use pa::mainloop::api::Mainloop as Api;
use pa::mainloop::events::io::{FlagSet as IoEvents, IoEvent};
use pa::mainloop::standard::Mainloop;
use pa::proplist::{Proplist, properties};
use pa::sample::{Format, Spec};
use pa::stream::{self, FlagSet, Stream};
use pa::time::MicroSeconds;
use rx_host::clock;
use std::borrow::Cow;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a server calls the sink that it plays on if nothing else is said.
pub(super) const DEFAULT_SINK: &str = "@DEFAULT_SINK@";
/// While a sink is awaited the source is kept up so often.
const AWAIT_TURN: Duration = Duration::from_millis(400);
/// Bytes of a sample.
pub(super) const WIDTH: usize = 4;

/// Something that ends a turn of the main loop, while it is kept.
pub(super) type Wakes = IoEvent<<Mainloop as Api>::MI>;

/// A sink of the server.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name, for `-d`.
    pub name: String,
    /// Its name for people.
    pub description: String,
    /// Its own format, as far as we can serve it.
    pub format: SinkFormat,
    /// The server plays there if nothing else was said.
    pub is_default: bool,
    /// Its number. One that goes and comes back under the same name has another.
    pub(super) index: u32,
    map: Map,
}

/// The connection.
pub(super) struct Server {
    // Dropped in this order: the context uses the main loop.
    context: Context,
    mainloop: Mainloop,
    /// A sink came, or another one is the default: since this was last taken, or maybe before there was a connection.
    pub(super) news: Rc<Cell<bool>>,
}

impl Server {
    /// Nothing if a stop was asked for.
    pub(super) fn connect(name: Option<&str>, idle: Idle<'_>) -> Result<Option<Server>, Lost> {
        let none = || Lost::Gone("libpulse cannot be used: out of memory".into());
        let mainloop = Mainloop::new().ok_or_else(none)?;
        let mut about = Proplist::new().ok_or_else(none)?;
        // Cannot fail: keys and values are plain text.
        let _ = about.set_str(properties::APPLICATION_NAME, "scream-rx");
        let _ = about.set_str(properties::APPLICATION_ID, "scream-rx");
        let _ = about.set_str(properties::APPLICATION_VERSION, env!("CARGO_PKG_VERSION"));
        let _ = about.set_str(properties::APPLICATION_ICON_NAME, "audio-card");
        let mut context = Context::new_with_proplist(&mainloop, "scream-rx", &about).ok_or_else(none)?;
        let failed = |e: pa::error::PAErr| Lost::Gone(format!("no sound server answers ({e})"));
        context.connect(name, context::FlagSet::NOAUTOSPAWN, None).map_err(failed)?;
        let mut server = Server { context, mainloop, news: Rc::new(Cell::new(true)) };
        let ready = server.wait(idle, |s| match s.context.get_state() {
            context::State::Ready => Some(Ok(())),
            state if state.is_good() => None,
            _ => Some(Err(Lost::Gone(format!("no sound server answers ({})", s.context.errno())))),
        })?;
        Ok(ready.map(|()| server))
    }

    /// One turn of the main loop: waits for the server, at most `longest`.
    pub(super) fn turn(&mut self, longest: Duration) -> Result<(), Lost> {
        let gone = |_| Lost::gone();
        let longest = MicroSeconds(u64::try_from(longest.as_micros()).unwrap_or(0));
        self.mainloop.prepare(Some(longest)).map_err(gone)?;
        self.mainloop.poll().map_err(gone)?;
        self.mainloop.dispatch().map_err(gone)?;
        Ok(())
    }

    /// Turns end when `fd` can be read, too, for as long as what is given back is kept, and `fd` open.
    pub(super) fn wake_on(&mut self, fd: BorrowedFd<'_>) -> Option<Wakes> {
        self.mainloop.new_io_event(fd.as_raw_fd(), IoEvents::INPUT, Box::new(|_, _, _| ()))
    }

    /// Turns until `done` says something. Nothing if a stop was asked for.
    pub(super) fn wait<T>(
        &mut self,
        idle: Idle<'_>,
        mut done: impl FnMut(&mut Server) -> Option<Result<T, Lost>>,
    ) -> Result<Option<T>, Lost> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(result) = done(self) {
                return result.map(Some);
            }
            if idle() {
                return Ok(None);
            }
            if clock::now() >= deadline {
                return Err(Lost::Gone("the sound server does not answer".into()));
            }
            self.turn(TURN)?;
        }
    }

    /// Has the server tell of sinks that come, for `news`.
    pub(super) fn subscribe(&mut self) {
        let news = Rc::clone(&self.news);
        self.context.set_subscribe_callback(Some(Box::new(move |what, how, _| {
            let came = what == Some(Facility::Sink) && how == Some(Event::New);
            news.set(news.get() || came || what == Some(Facility::Server));
        })));
        let _subscribing = self.context.subscribe(InterestMaskSet::SINK | InterestMaskSet::SERVER, |_| ());
    }

    /// Waits for news, at most so `long`. Whether to go on: nobody asked for a stop, which `stop` tells.
    pub(super) fn await_news(&mut self, long: Duration, stop: BorrowedFd<'_>, idle: Idle<'_>) -> Result<bool, Lost> {
        let _wakes = self.wake_on(stop);
        let deadline = clock::now() + long;
        while !self.news.get() && clock::now() < deadline {
            if idle() {
                return Ok(false);
            }
            self.turn(AWAIT_TURN)?;
            if !self.is_there() {
                return Err(Lost::gone());
            }
        }
        Ok(true)
    }

    /// The sink that `device` means, or the default one. Nothing if a stop was asked for.
    pub(super) fn find_sink(&mut self, device: Option<&str>, idle: Idle<'_>) -> Result<Option<Device>, Lost> {
        let name = device.unwrap_or(DEFAULT_SINK);
        match self.sink_named(name, idle)? {
            None => Ok(None),
            Some(Some(found)) => Ok(Some(found)),
            Some(None) if name.starts_with('@') => Err(Lost::Missing("the sound server has no sound device".into())),
            Some(None) => {
                let Some(mut devices) = self.sinks(idle)? else { return Ok(None) };
                match choose(&devices, name) {
                    Ok(place) => Ok(Some(devices.swap_remove(place))),
                    Err(_) => Err(Lost::Missing(format!("the sound server has no sink named {name}"))),
                }
            }
        }
    }

    /// The sink of exactly this name, if there is one.
    pub(super) fn sink_named(&mut self, name: &str, idle: Idle<'_>) -> Result<Option<Option<Device>>, Lost> {
        let answer: Rc<RefCell<Option<Option<Device>>>> = Rc::default();
        let found = Rc::clone(&answer);
        let _asking = self.context.introspect().get_sink_info_by_name(name, move |result| {
            let mut found = found.borrow_mut();
            match result {
                ListResult::Item(info) => *found = Some(Some(Device::new(info))),
                ListResult::End | ListResult::Error => *found = Some(found.take().flatten()),
            }
        });
        self.wait(idle, |s| s.alive(answer.borrow().clone()))
    }

    /// All sinks.
    pub(super) fn sinks(&mut self, idle: Idle<'_>) -> Result<Option<Vec<Device>>, Lost> {
        let found: Rc<RefCell<(Vec<Device>, bool)>> = Rc::default();
        let list = Rc::clone(&found);
        let _asking = self.context.introspect().get_sink_info_list(move |result| match result {
            ListResult::Item(info) => list.borrow_mut().0.push(Device::new(info)),
            ListResult::End | ListResult::Error => list.borrow_mut().1 = true,
        });
        let done = self.wait(idle, |s| s.alive(found.borrow().1.then_some(())))?;
        Ok(done.map(|()| core::mem::take(&mut found.borrow_mut().0)))
    }

    /// `answer`, unless the server has gone meanwhile.
    fn alive<T>(&self, answer: Option<T>) -> Option<Result<T, Lost>> {
        if self.context.get_state().is_good() { answer.map(Ok) } else { Some(Err(Lost::gone())) }
    }

    /// Whether the server is still there.
    pub(super) fn is_there(&self) -> bool {
        self.context.get_state().is_good()
    }

    /// Opens a stream for `target`. The server may have put it elsewhere: where it is, by name, is given beside it.
    pub(super) fn open_stream(
        &mut self,
        wish: &PulseSink,
        target: &Device,
        by_name: bool,
        idle: Idle<'_>,
    ) -> Result<Option<(Playing, String)>, Lost> {
        let format = target.format;
        let refused = |e: pa::error::PAErr| Lost::Gone(format!("the sound server refuses a stream ({e})"));
        let spec = Spec { format: Format::F32le, channels: format.layout.channels() as u8, rate: format.rate_hz };
        let mut about = Proplist::new().ok_or_else(|| Lost::Gone("libpulse cannot be used: out of memory".into()))?;
        let _ = about.set_str(properties::MEDIA_ROLE, "game");
        let _ = about.set_str(properties::MEDIA_NAME, &wish.name);
        let stream = Stream::new_with_proplist(&mut self.context, &wish.name, &spec, Some(&target.map), &mut about);
        let mut stream = stream.ok_or_else(|| Lost::Gone(format!("the sound server refuses {format}")))?;
        let buffer = attributes(format, wish.buffer);
        // Where it is we ask ourselves, and not at all while it rests.
        let flags = FlagSet::ADJUST_LATENCY;
        // Without a name the server may put it where the user last moved it.
        let device = by_name.then_some(target.name.as_str());
        stream.connect_playback(device, Some(&buffer), flags, None, None).map_err(refused)?;
        let seen = Rc::<Seen>::default();
        watch(&mut stream, &seen);
        let ready = self.wait(idle, |s| match stream.get_state() {
            stream::State::Ready => Some(Ok(())),
            state if state.is_good() && s.context.get_state().is_good() => None,
            _ => Some(Err(Lost::Gone(format!("the sound server refuses a stream ({})", s.context.errno())))),
        })?;
        let place = stream.get_device_name().map_or_else(|| target.name.clone(), Cow::into_owned);
        Ok(ready.map(|()| (Playing::new(stream, seen, format, wish), place)))
    }
}

/// The server asks for more as soon as this part of all that it holds is missing. What it gives its device is half of what is
/// left when that was taken off twice: a third of all, and so much it asks for at a time. With a quarter as its part the
/// device gets a quarter and asks a third more often; with an eighth it gets three, and an answer must be there in less
/// than half of the time. Source: PulseAudio's manual of buffer attributes, and counted (`scripts/sound-cost.sh`).
const PARTS: usize = 6;

/// What is asked of the server for a stream that shall hold `whole`. All parts are whole frames: a device that takes others
/// than are written gets them piecemeal.
pub(super) fn attributes(format: SinkFormat, whole: Duration) -> BufferAttr {
    let frame_bytes = format.layout.channels() * WIDTH;
    let frames = (whole.as_secs_f64() * f64::from(format.rate_hz)).round() as usize;
    let step = frames_of_whole_time(format.rate_hz);
    let least = frames.div_ceil(PARTS).max(1).next_multiple_of(step) * frame_bytes;
    let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (tlength, least) = (bytes(PARTS * least), bytes(least));
    BufferAttr { maxlength: u32::MAX, tlength, prebuf: least, minreq: least, fragsize: u32::MAX }
}

/// How many frames are 62.5 us, half of what a server that counts whole microseconds can give its device without losing
/// something each time: with pieces of 160 frames at 48 kHz the clock of PulseAudio's null sink is 100 ppm fast, which is
/// 6 ms in a minute. At rates that know no such pieces: 1.
fn frames_of_whole_time(rate_hz: u32) -> usize {
    const PARTS_OF_A_SECOND: u32 = 16_000;
    if rate_hz.is_multiple_of(PARTS_OF_A_SECOND) { (rate_hz / PARTS_OF_A_SECOND) as usize } else { 1 }
}

/// Counts what the server reports of the stream.
fn watch(stream: &mut Stream, seen: &Rc<Seen>) {
    let on = |f: fn(&Seen)| {
        let seen = Rc::clone(seen);
        Some(Box::new(move || f(&seen)) as Box<dyn FnMut()>)
    };
    stream.set_latency_update_callback(on(|s| s.timing.set(true)));
    stream.set_underflow_callback(on(|s| s.underflows.set(s.underflows.get() + 1)));
    stream.set_moved_callback(on(|s| s.moved.set(true)));
}

/// The sinks of a server, the default one marked, if it answers.
///
/// Blocks until the server answers, some seconds at most. For the main thread.
///
/// # Errors
/// Why it does not answer, in words.
pub fn devices(server: Option<&str>) -> Result<Vec<Device>, String> {
    let ask = || -> Result<Vec<Device>, Lost> {
        let idle: Idle = &mut || false;
        let Some(mut server) = Server::connect(server, idle)? else { return Ok(Vec::new()) };
        let default = server.sink_named(DEFAULT_SINK, idle)?.flatten();
        let mut devices = server.sinks(idle)?.unwrap_or_default();
        devices.iter_mut().for_each(|d| d.is_default = default.as_ref().is_some_and(|x| x.name == d.name));
        Ok(devices)
    };
    ask().map_err(Lost::reason)
}

/// The place of the sink that `wanted` means.
///
/// # Errors
/// The names that come nearest.
pub fn choose(devices: &[Device], wanted: &str) -> Result<usize, String> {
    let called: Vec<Called<'_>> =
        devices.iter().map(|d| Called { name: &d.name, description: &d.description }).collect();
    names::choose(wanted, &called)
}

impl Device {
    /// That sound goes there, in a stream that mixers show as `called`.
    pub(super) fn notice(&self, called: &str) -> Notice {
        Notice::Open { name: format!("{} (in mixers: {called})", self.description), format: self.format }
    }

    fn new(info: &SinkInfo<'_>) -> Device {
        let text = |t: &Option<Cow<'_, str>>| t.as_deref().unwrap_or("?").to_owned();
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
        let (name, description) = (text(&info.name), text(&info.description));
        Device { is_default: false, index: info.index, name, description, format, map }
    }

    /// One for tests of what is decided about sinks.
    #[cfg(test)]
    pub(super) fn example(index: u32, name: &str, format: SinkFormat) -> Device {
        let (name, description) = (name.to_owned(), name.to_owned());
        Device { is_default: false, index, name, description, format, map: Map::default() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_whole_frames_in_six_parts_and_hardly_more_than_was_wished() {
        for (rate_hz, channels, ms) in
            [(48_000, 2, 15), (48_000, 2, 10), (44_100, 2, 10), (192_000, 8, 60), (8_000, 1, 5)]
        {
            let format = SinkFormat { rate_hz, layout: Layout::alsa(channels) };
            let a = attributes(format, Duration::from_millis(ms));
            let frame_bytes = (channels * WIDTH) as u32;
            assert_eq!((a.tlength, a.minreq % frame_bytes), (6 * a.minreq, 0), "{rate_hz} {channels} {ms}");
            let frames = a.tlength / frame_bytes;
            let wished = rate_hz * ms as u32 / 1000;
            let step = frames_of_whole_time(rate_hz) as u32;
            assert!((wished..wished + 6 * step).contains(&frames), "{rate_hz} {ms} ms: {frames}");
            // A third of it goes to the device at a time: whole microseconds, where the rate has any.
            let device_frames = u64::from(frames / 3);
            assert!(rate_hz == 44_100 || device_frames * 1_000_000 % u64::from(rate_hz) == 0, "{rate_hz} {ms} ms");
        }
    }
}
