//! ALSA, and JACK and PipeWire where they are built in, through cpal: the device's thread asks for frames. A device or a
//! server that goes away (a headset that is pulled out, a jackd that ends) is waited for. Only this folder names cpal.
//!
//! `api.rs` is which devices there are, `feeder.rs` what runs on a device's own thread, `hunger.rs` when its
//! pieces are too short for it.

mod api;
mod feeder;
mod hunger;

use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, to_i16};
pub use api::{Api, DEFAULT, Listed, check, devices};
use api::{Found, find, format_of, hush};
use core::time::Duration;
use cpal::traits::StreamTrait;
use cpal::{BufferSize, SampleFormat, StreamConfig};
use feeder::{Feeder, build};
use hunger::Hunger;
use rx_host::{clock, wait};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

/// Between two attempts to open a device that has gone.
const RETRY: Duration = Duration::from_millis(500);
/// The same for one that never stays longer than this.
const LAST_RETRY: Duration = Duration::from_secs(8);
const BRIEF: Duration = Duration::from_secs(5);
/// How often the thread that waits for the device heeds a stop.
const TURN: Duration = Duration::from_millis(50);
/// How often old sound is dropped while there is no device.
const ABSENT_TURN: Duration = Duration::from_millis(250);
/// How often one that rests looks by itself, if nobody wakes it.
const REST_TURN: Duration = Duration::from_secs(10);
/// How long a device may take to ask for the end of the sound.
const FAREWELL: Duration = Duration::from_millis(300);
/// A device that asks for nothing for so long has gone, whatever its library makes of that.
const STALLED: Duration = Duration::from_millis(1500);
/// Pieces are not made longer than this for a device that runs empty.
const LONGEST_PIECE: Duration = Duration::from_millis(30);
/// The largest piece a device may ask for at once. Unit: frames.
const MAX_FRAMES: usize = 16_384;

/// A device, by way of cpal.
#[derive(Clone, Debug)]
pub struct DeviceSink {
    /// How it is reached.
    pub api: Api,
    /// Its name there: `default`, `hw:0`, a node of PipeWire.
    pub name: String,
    /// In which pieces it asks for frames, if it can be asked to; it holds two.
    pub piece: Duration,
    /// A device that is not there yet is waited for, as one is that goes away.
    pub patient: bool,
    /// After so much time in which nothing sounds the device is closed, so that it can sleep and others can have it, and
    /// opened when something does. [`Duration::MAX`]: never.
    pub rest_after: Duration,
}

/// What the device's thread tells.
enum Told {
    /// The device has gone.
    Lost(String),
    /// The sound is over.
    Ended,
    /// Nothing has sounded for as long as a device is kept for.
    Quiet,
}

/// What was before a device is opened.
#[derive(Clone, Copy)]
enum Before {
    /// There was none.
    Absence,
    /// Nothing sounded for long.
    Rest,
    /// It failed or starved while it played: alsa-lib's plug-ins fail where a server or this machine was held up.
    Stumble,
}

/// Why a device is not played on any more.
enum Why {
    /// It has gone, or cannot be had.
    Gone(String),
    /// The sound is over.
    Over,
    /// It may sleep.
    Quiet,
    /// It has gone, for a moment perhaps.
    Stumbled,
    /// It runs empty again and again, and is to get pieces of this length.
    Starved(Duration),
}

impl Sink for DeviceSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        // PipeWire's and JACK's pieces are theirs to choose, and one of theirs that ends has gone.
        let is_alsa = self.api == Api::Alsa;
        let (mut opened, mut told, mut before) = (None, false, Before::Absence);
        let mut told_coarse = false;
        let mut pause = RETRY;
        loop {
            let begun = clock::now();
            let why = match self.open(source, control) {
                Ok(Opened { stream, told: told_in, back, format, frames, piece }) => {
                    let last = opened.replace(format);
                    let is_new = matches!(before, Before::Absence) || last != Some(format);
                    if last.is_some() && !matches!(before, Before::Rest) {
                        control.counters.sink.reopened.inc();
                    }
                    let is_coarse = is_alsa && piece > 2 * self.piece;
                    // Not without end, and only where what is asked for is taken.
                    let longer = is_alsa && 2 * piece <= LONGEST_PIECE && 2 * piece > self.piece;
                    let longer = longer.then_some(2 * piece);
                    let why = wait_for_end(&told_in, control, frames, longer, || {
                        if core::mem::take(&mut told) || is_new {
                            control.tell(Notice::Open { name: self.called(), format });
                            if is_coarse && !core::mem::replace(&mut told_coarse, true) {
                                control.tell(Notice::Coarse { name: self.called(), piece });
                            }
                        }
                    });
                    // What the device holds is still to be heard.
                    if matches!(why, Why::Over) {
                        let _ = clock::sleep_until(clock::now() + 2 * self.piece.max(piece));
                    }
                    if matches!(why, Why::Gone(_)) {
                        let _ = clock::sleep_until(clock::now() + self.api.leaves_in());
                    }
                    // Dropping the stream ends its thread, which gives the source back.
                    drop(stream);
                    source = back.recv().map_err(|_| self.error("its thread ended".into()))?;
                    // One that comes and goes is not worth a line twice a second.
                    let is_brief = clock::now().since(begun) < BRIEF;
                    pause = if is_brief { (2 * pause).min(LAST_RETRY) } else { RETRY };
                    // Only one that cannot be had again at once, or not for long, has gone.
                    let has_played = is_alsa && control.counters.sink.frames.get() != frames;
                    let again = is_brief && matches!(before, Before::Stumble);
                    match why {
                        Why::Gone(_) if has_played && !again && !control.stop.is_requested() => Why::Stumbled,
                        why => why,
                    }
                }
                Err((Some(back), reason)) if opened.is_some() || self.patient => {
                    source = back;
                    pause = RETRY;
                    Why::Gone(reason)
                }
                // A device that could never be opened will not be there by itself.
                Err((_, reason)) => return Err(self.error(reason)),
            };
            let on = match why {
                Why::Over => false,
                Why::Stumbled => {
                    before = Before::Stumble;
                    true
                }
                Why::Starved(longer) => {
                    self.piece = longer;
                    control.tell(Notice::Starved { name: self.called(), piece: longer });
                    before = Before::Stumble;
                    true
                }
                Why::Quiet => {
                    before = Before::Rest;
                    rest(&mut *source, control)
                }
                Why::Gone(reason) => {
                    before = Before::Absence;
                    if !core::mem::replace(&mut told, true) {
                        control.tell(Notice::Absent { reason: format!("cannot play on {}: {reason}", self.called()) });
                    }
                    keep_up(&mut *source, control, pause)
                }
            };
            if !on {
                return Ok(());
            }
        }
    }
}

/// Passes the time until a device is tried again. Whether to go on.
fn keep_up(source: &mut dyn Source, control: &Control, pause: Duration) -> bool {
    let again = clock::now() + pause;
    while clock::now() < again {
        if control.stop.wait(ABSENT_TURN) {
            return false;
        }
        source.keep_up(clock::now());
    }
    true
}

/// Waits, without a device, until there is something to play. Whether to go on.
fn rest(source: &mut dyn Source, control: &Control) -> bool {
    let alarm = source.alarm();
    loop {
        alarm.iter().for_each(|alarm| alarm.set());
        if source.keep_up(clock::now()) {
            alarm.iter().for_each(|alarm| alarm.end());
            return true;
        }
        if control.stop.is_requested() {
            return false;
        }
        match &alarm {
            Some(alarm) => _ = wait::until([control.stop.as_fd(), alarm.as_fd()], clock::now() + REST_TURN),
            None => _ = control.stop.wait(TURN),
        }
    }
}

/// An open device: its thread, what that tells, and the way the source comes back.
struct Opened {
    stream: cpal::Stream,
    told: Receiver<Told>,
    back: Receiver<Box<dyn Source>>,
    format: SinkFormat,
    /// Frames that were asked for before this device was there.
    frames: u64,
    /// In which pieces it takes sound; zero if it does not say.
    piece: Duration,
}

impl DeviceSink {
    /// Its name for people.
    fn called(&self) -> String {
        format!("{} {}", self.api, self.name)
    }

    fn error(&self, reason: String) -> SinkError {
        SinkError::Device { device: self.called(), reason }
    }

    /// Opens the device and starts it with `source`; if it cannot, gives that back with the reason.
    fn open(&self, source: Box<dyn Source>, control: &Control) -> Result<Opened, (Option<Box<dyn Source>>, String)> {
        let hushed = hush();
        let found = match find(self.api, &self.name) {
            Ok(found) => found,
            Err(reason) => return Err((Some(source), hushed.with_words(reason))),
        };
        let frames = (self.piece.as_secs_f64() * f64::from(found.config.sample_rate)) as u32;
        let wanted = self.api.period(frames, found.periods);
        // The range holds for any rate, and what is played at in the end may leave less of it.
        match self.open_with(&found, wanted, source, control) {
            Err((Some(source), _)) if wanted != BufferSize::Default => {
                self.open_with(&found, BufferSize::Default, source, control)
            }
            done => done,
        }
        .map_err(|(source, reason)| (source, hushed.with_words(reason)))
    }

    /// As [`DeviceSink::open`], in pieces of that size.
    fn open_with(
        &self,
        found: &Found,
        period: BufferSize,
        source: Box<dyn Source>,
        control: &Control,
    ) -> Result<Opened, (Option<Box<dyn Source>>, String)> {
        let format = format_of(&found.config);
        let config = StreamConfig { buffer_size: period, ..found.config };
        let (tell, told) = mpsc::sync_channel(8);
        let (give_back, back) = mpsc::sync_channel(1);
        let feeder = Feeder::new(source, give_back, format, control.clone(), tell, self.rest_after);
        let before = control.counters.sink.frames.get();
        let built = match found.sample {
            SampleFormat::I16 => build(&found.device, config, feeder, to_i16),
            SampleFormat::I24 => build(&found.device, config, feeder, to_i24),
            SampleFormat::I32 => build(&found.device, config, feeder, to_i32),
            _ => build(&found.device, config, feeder, |x: f32| x),
        };
        // A feeder that was not used gives the source back when it is dropped.
        match built.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => {
                let piece = stream.buffer_size().map(|frames| f64::from(frames) / f64::from(format.rate_hz));
                let piece = piece.map_or(Duration::ZERO, Duration::from_secs_f64);
                Ok(Opened { stream, told, back, format, frames: before, piece })
            }
            Err(e) => Err((back.recv().ok(), e.to_string())),
        }
    }
}

/// Waits until the device goes, the sound is over, or nothing has sounded for long. `open` is called once, when it has asked for
/// sound: one that was opened and asks for nothing does not count as open. After a stop the sound is over soon; a device that
/// does not even ask for that is not waited for. `frames`: what was asked for before it was opened.
/// `longer`: what its pieces become when it runs empty too often, if they may.
fn wait_for_end(
    told: &Receiver<Told>,
    control: &Control,
    mut frames: u64,
    longer: Option<Duration>,
    open: impl FnOnce(),
) -> Why {
    let mut hunger = Hunger::new(clock::now(), control.counters.sink.underflows.get());
    let mut patience = FAREWELL;
    let mut open = Some(open);
    let asked = || control.counters.sink.frames.get();
    let mut moved = clock::now();
    loop {
        let news = told.recv_timeout(TURN);
        let now = clock::now();
        if asked() != frames {
            (frames, moved) = (asked(), now);
            if let Some(open) = open.take() {
                open();
            }
        }
        let is_hungry = hunger.is_too_much(now, control.counters.sink.underflows.get());
        if let Some(longer) = longer.filter(|_| is_hungry && !control.stop.is_requested()) {
            return Why::Starved(longer);
        }
        match news {
            Ok(Told::Lost(reason)) => return Why::Gone(reason),
            Ok(Told::Ended) => return Why::Over,
            Ok(Told::Quiet) => return Why::Quiet,
            Err(RecvTimeoutError::Timeout) if !control.stop.is_requested() => {
                if now.since(moved) > STALLED {
                    return Why::Gone("it asks for no more sound".into());
                }
            }
            Err(RecvTimeoutError::Timeout) if patience > Duration::ZERO => patience = patience.saturating_sub(TURN),
            Err(_) => return Why::Over,
        }
    }
}

/// A float sample as an integer of 24 bits.
fn to_i24(x: f32) -> cpal::I24 {
    const FULL: f32 = 8_388_608.0;
    // Halves of a step round as those of other sizes do; a NaN becomes 0.
    cpal::I24::new_unchecked((x * FULL).round().clamp(-FULL, FULL - 1.0) as i32)
}

/// A float sample as a 32-bit integer.
fn to_i32(x: f32) -> i32 {
    // `as` saturates, and a NaN becomes 0.
    (f64::from(x) * 2_147_483_648.0).round() as i32
}
