//! One stream on the server: writes what the server asks for, and knows where the server is in it.

use super::room::{MOST, Room};
use super::server::{DEFAULT_SINK, Device, Server, WIDTH, attributes, choose};
use super::standing::Standing;
use super::{Aim, Lost, PulseSink, REST_TURN, TURN};
use crate::sink::{Control, Notice, SinkFormat, Source};
use core::cell::Cell;
use core::time::Duration;
use libpulse_binding as pa;
use pa::operation::{Operation, State};
use pa::stream::{SeekMode, Stream};
use rx_host::clock;
use shm_proto::HostTime;
use std::os::fd::AsFd;
use std::rc::Rc;

/// How often the server is asked for its place, at first so many times and then.
const FIRST_ASKS: (u32, Duration) = (25, Duration::from_millis(20));
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A server that asked for nothing for so long has stood still: where it was is no place to count on from.
const STALLED: Duration = Duration::from_millis(500);
/// After so long the user is told.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// The longest wait for the end of what was written.
const DRAIN: Duration = Duration::from_millis(500);

/// What the callbacks saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) timing: Cell<bool>,
    pub(super) underflows: Cell<u64>,
    pub(super) moved: Cell<bool>,
}

/// Where the server was in our stream, and when.
#[derive(Clone, Copy)]
struct Place {
    at: HostTime,
    /// Byte that was being heard.
    heard: f64,
}

pub(super) struct Playing {
    stream: Stream,
    /// The stream's name.
    called: String,
    seen: Rc<Seen>,
    bytes_per_s: f64,
    frame_bytes: usize,
    room: Room,
    /// What is written at least, in bytes: as much as the server asks for at least.
    least: usize,
    block: Vec<f32>,
    /// The server ran empty, and where it is was not told since.
    ran_empty: bool,
    /// A wish that was sent to the server.
    wishing: Option<Operation<dyn FnMut(bool)>>,
    place: Option<Place>,
    asked: HostTime,
    /// How often it was asked since its place was last forgotten.
    asks: u32,
    asking: Option<Operation<dyn FnMut(bool)>>,
    format: SinkFormat,
    /// The user was told that nothing is taken.
    told_paused: bool,
    /// The sink that the user named.
    named: Option<String>,
    /// It is away, the stream is elsewhere meanwhile, and goes back when it returns.
    pub(super) away: bool,
}

impl Playing {
    /// A stream that is ready, as it was wished for.
    pub(super) fn new(stream: Stream, seen: Rc<Seen>, format: SinkFormat, wish: &PulseSink) -> Playing {
        let whole = wish.buffer;
        let frame_bytes = format.layout.channels() * WIDTH;
        let most = attributes(format, MOST.max(whole)).tlength as usize;
        Playing {
            stream,
            called: wish.name.clone(),
            seen,
            bytes_per_s: f64::from(format.rate_hz) * frame_bytes as f64,
            frame_bytes,
            room: Room::new(whole),
            least: attributes(format, whole).minreq as usize,
            block: vec![0.0; most / WIDTH],
            ran_empty: false,
            wishing: None,
            place: None,
            asked: HostTime::ZERO,
            asks: 0,
            asking: None,
            format,
            told_paused: false,
            named: wish.named().map(str::to_owned),
            away: false,
        }
    }

    /// Plays on `device` until the end, or until the server or the device goes.
    pub(super) fn run(
        &mut self,
        server: &mut Server,
        source: &mut dyn Source,
        control: &Control,
        mut device: Device,
        rest_after: Duration,
    ) -> Result<(), Lost> {
        let mut sounded = clock::now();
        let mut filled = sounded;
        let mut stopped = None;
        // How long what was written last plays.
        let mut last = Duration::ZERO;
        loop {
            server.turn(TURN)?;
            let now = clock::now();
            if control.stop.is_requested() {
                source.finish();
                if now.since(*stopped.get_or_insert(now)) > DRAIN {
                    // It does not even ask for the end.
                    return Ok(());
                }
            }
            self.check_alive(server)?;
            self.look_around(server, source, control, &mut device)?;
            let underflows = self.seen.underflows.take();
            control.counters.sink.underflows.add(underflows);
            if underflows > 0 {
                self.ran_empty = true;
                if let Some(whole) = self.room.ran_empty(now) {
                    self.hold(whole);
                }
            } else if let Some(whole) = self.room.went_well(now) {
                self.hold(whole);
            }
            if self.note_place(now) && core::mem::take(&mut self.ran_empty) {
                source.stumbled(now);
            }
            self.ask_for_place(now, underflows > 0);
            // Asked once: each of libpulse's calls asks the system for the number of this process.
            let mut room = self.stream.writable_size().unwrap_or(0);
            if room >= self.least && now.since(filled) > STALLED {
                self.go_on(source, control, &device);
            }
            if room >= self.least {
                last = Duration::from_secs_f64(room as f64 / self.bytes_per_s);
            }
            // All at once: each write is a system call here, and one more on the server's side.
            while room >= self.least {
                let bytes = room.min(self.block.len() * WIDTH) / self.frame_bytes * self.frame_bytes;
                room -= bytes;
                let Some(going) = self.write(bytes, source, control)? else { return self.drain(server) };
                filled = now;
                if going {
                    sounded = now;
                }
            }
            if now.since(filled) > WORTH_TELLING && !core::mem::replace(&mut self.told_paused, true) {
                control.tell(Notice::Paused { reason: self.hindrance(&device) });
            }
            // A device with long periods asks no more often.
            if now.since(filled) > TURN.max(2 * last) {
                source.keep_up(now);
            }
            if now.since(sounded) > rest_after && !self.told_paused {
                if !self.sleep(server, source, control, &mut device)? {
                    return Ok(());
                }
                source.open(self.format);
                (sounded, filled) = (clock::now(), clock::now());
            }
        }
    }

    fn check_alive(&self, server: &Server) -> Result<(), Lost> {
        match (self.stream.get_state().is_good(), server.is_there()) {
            (true, true) => Ok(()),
            // The server ended our stream, because its device has gone.
            (false, true) => Err(Lost::Reopen(Aim::Wish)),
            _ => Err(Lost::gone()),
        }
    }

    /// Follows the stream where it was moved, or goes back to the sink that the user named when that is there again.
    fn look_around(
        &mut self,
        server: &mut Server,
        source: &mut dyn Source,
        control: &Control,
        device: &mut Device,
    ) -> Result<(), Lost> {
        let moved = self.seen.moved.take();
        let may_be_back = self.away && server.news.get();
        if !(moved || may_be_back) {
            return Ok(());
        }
        server.news.set(false);
        let idle: super::Idle = &mut || control.stop.is_requested();
        let Some(sinks) = server.sinks(idle)? else { return Ok(()) };
        if moved {
            return self.follow(server, source, control, device, sinks);
        }
        let is_back = self.named.as_deref().is_some_and(|named| choose(&sinks, named).is_ok());
        if is_back { Err(Lost::Reopen(Aim::Wish)) } else { Ok(()) }
    }

    /// The stream is on another device now. If that has the same format, the stream goes on, with the volume it has.
    fn follow(
        &mut self,
        server: &mut Server,
        source: &mut dyn Source,
        control: &Control,
        device: &mut Device,
        sinks: Vec<Device>,
    ) -> Result<(), Lost> {
        control.counters.sink.disturbances.inc();
        let name = self.stream.get_device_name().ok_or_else(Lost::gone)?.into_owned();
        let standing = Standing::after_move(self.named.as_deref(), &sinks, device.index, &name, self.away);
        let found = sinks.into_iter().find(|s| s.name == name);
        // One that has gone again leaves nothing to follow.
        let (false, Some(found)) = (standing == Standing::Returned, found) else {
            return Err(Lost::Reopen(Aim::Wish));
        };
        if found.format != self.format {
            return Err(Lost::Reopen(match standing {
                Standing::Home | Standing::Returned => Aim::Wish,
                Standing::Away => Aim::Put(name),
                Standing::Chosen => Aim::Chosen(name),
                Standing::Free => {
                    let idle: super::Idle = &mut || control.stop.is_requested();
                    let Some(default) = server.sink_named(DEFAULT_SINK, idle)? else { return Ok(()) };
                    if default.is_some_and(|default| default.name == name) { Aim::Put(name) } else { Aim::Chosen(name) }
                }
            }));
        }
        self.away = standing == Standing::Away;
        self.forget_place();
        source.open(self.format);
        control.tell(found.notice(&self.called));
        *device = found;
        Ok(())
    }

    /// The device takes sound again after it stood still; the delay is known anew.
    fn go_on(&mut self, source: &mut dyn Source, control: &Control, device: &Device) {
        control.counters.sink.disturbances.inc();
        self.forget_place();
        source.open(self.format);
        if core::mem::take(&mut self.told_paused) {
            control.tell(device.notice(&self.called));
        }
    }

    /// Why nothing is taken.
    fn hindrance(&self, device: &Device) -> String {
        match self.stream.is_suspended() {
            Ok(true) => format!("the sound server has suspended {}", device.description),
            _ => "the sound server does not answer".into(),
        }
    }

    fn forget_place(&mut self) {
        (self.place, self.asks) = (None, 0);
        self.seen.timing.set(false);
        self.ask_for_place(clock::now(), true);
    }

    /// Lets the server play what it has, if it does so soon.
    fn drain(&mut self, server: &mut Server) -> Result<(), Lost> {
        let drained = Rc::new(Cell::new(false));
        let seen = Rc::clone(&drained);
        let _draining = self.stream.drain(Some(Box::new(move |_| seen.set(true))));
        let deadline = clock::now() + DRAIN;
        while !drained.get() && clock::now() < deadline && self.stream.get_state().is_good() {
            server.turn(TURN)?;
        }
        Ok(())
    }

    /// Asks the server to hold `whole` from now on.
    fn hold(&mut self, whole: Duration) {
        let wanted = attributes(self.format, whole);
        self.least = wanted.minreq as usize;
        self.wishing = Some(self.stream.set_buffer_attr(&wanted, |_| ()));
    }

    /// Takes what the server told of its place, if it told anything.
    fn note_place(&mut self, now: HostTime) -> bool {
        if !self.seen.timing.take() {
            return false;
        }
        let Some(t) = self.stream.get_timing_info() else { return false };
        // While it does not play, what it tells is no place to count on from.
        if t.read_index_corrupt != 0 || t.playing == 0 {
            return false;
        }
        // The age is told by the wall clock; a step of that shows once, and is no more than the time since it was asked for.
        let age = Duration::from_micros(t.timestamp.age().0).min(now.since(self.asked));
        let heard = t.read_index as f64 - t.sink_usec.0 as f64 * 1e-6 * self.bytes_per_s;
        self.place = Some(Place { at: now - age, heard });
        true
    }

    fn ask_for_place(&mut self, now: HostTime, at_once: bool) {
        // One question at a time: a server that stands still would find a pile of them.
        let open = self.asking.as_ref().is_some_and(|asking| asking.get_state() == State::Running);
        let every = if self.asks < FIRST_ASKS.0 { FIRST_ASKS.1 } else { ASK_EVERY };
        if !open && (at_once || now.since(self.asked) >= every) {
            self.asked = now;
            self.asks = self.asks.saturating_add(1);
            self.asking = Some(self.stream.update_timing_info(None));
        }
    }

    /// How long until the next byte that is written will be heard.
    fn delay(&mut self, now: HostTime) -> Option<Duration> {
        let place = self.place?;
        let written = self.stream.get_timing_info().filter(|t| t.write_index_corrupt == 0)?.write_index;
        let elapsed_s = now.since(place.at).as_secs_f64();
        let delay_s = (written as f64 - place.heard) / self.bytes_per_s - elapsed_s;
        Some(Duration::from_secs_f64(delay_s.clamp(0.0, 10.0)))
    }

    /// Writes so many bytes, no more than a block has; whether they sounded. Nothing: they were the last ones.
    fn write(&mut self, bytes: usize, source: &mut dyn Source, control: &Control) -> Result<Option<bool>, Lost> {
        let gone = |_| Lost::gone();
        let now = clock::now();
        let delay = self.delay(now);
        let Some(block) = self.block.get_mut(..bytes / WIDTH) else { return Ok(None) };
        let (frames, sounding, last) = match delay {
            Some(delay) => {
                let filled = source.fill(block, now, delay);
                control.counters.sink.frames.add(filled.frames as u64);
                (filled.frames, filled.sounding, filled.frames * self.frame_bytes < bytes)
            }
            // The server has not yet told where it is: silence until it does.
            None => {
                block.fill(0.0);
                (bytes / self.frame_bytes, false, false)
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
        Ok((!last).then_some(sounding))
    }

    /// Lets the device sleep until there is something to play. Whether to go on.
    fn sleep(
        &mut self,
        server: &mut Server,
        source: &mut dyn Source,
        control: &Control,
        device: &mut Device,
    ) -> Result<bool, Lost> {
        let _corking = self.stream.cork(None);
        let alarm = source.alarm();
        let woken =
            alarm.as_ref().and_then(|alarm| server.wake_on(alarm.as_fd()).zip(server.wake_on(control.stop.as_fd())));
        let turn = if woken.is_some() { REST_TURN } else { TURN };
        loop {
            alarm.iter().for_each(|alarm| alarm.set());
            if source.keep_up(clock::now()) {
                break;
            }
            server.turn(turn)?;
            if control.stop.is_requested() {
                return Ok(false);
            }
            self.check_alive(server)?;
            self.look_around(server, source, control, device)?;
        }
        alarm.iter().for_each(|alarm| alarm.end());
        if let Some(usual) = self.room.settle() {
            self.hold(usual);
        }
        let _uncorking = self.stream.uncork(None);
        self.forget_place();
        Ok(true)
    }
}
