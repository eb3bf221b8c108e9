//! The receiver put together: which parts there are, and the lines between them. Threads are spawned in `main.rs`; each
//! part here is what one of them runs.

use crate::cli::Output;
use crate::counters::Counters;
use crate::ending::Length;
use crate::intake::{Intake, News, State};
use crate::playout::{self, Playout};
use crate::settings::Play;
use crate::sink::{Control, Notice};
use core::time::Duration;
use rtrb::{Consumer, Producer, RingBuffer};
use rx_host::signals::Stop;
use rx_host::wait::Bell;
use shm_proto::{HostTime, Region};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver as Notices};

/// Regions and states that wait for the other side.
const MAX_WAITING: usize = 64;

/// All parts. `intake` and `engine` go to their threads, the rest stays with the main thread.
#[derive(Debug)]
pub struct Receiver {
    /// The intake thread runs this.
    pub intake: Intake,
    /// The playout thread runs a sink on this.
    pub engine: Playout,
    /// What the sink needs besides.
    pub control: Control,
    /// The main thread's lines.
    pub lines: Lines,
}

/// The main thread's ends of all lines.
#[derive(Debug)]
pub struct Lines {
    /// Takes new regions to the intake.
    pub regions: Producer<Region>,
    /// How it stands with the guest.
    pub states: Consumer<State>,
    /// What happened once.
    pub news: Consumer<News>,
    /// Wakes the intake when a region was sent; without one it looks ten times a second.
    pub bell: Option<Arc<Bell>>,
    /// How it stands with the sink.
    pub notices: Notices<Notice>,
    /// What was counted.
    pub counters: Arc<Counters>,
}

/// A device's clock may be as much slower than ours. Unit: one part of so many.
const SLOWEST: u32 = 1000;
/// How much later than by the frames it ends by the clock.
const GRACE: Duration = Duration::from_secs(1);

/// Whether what is to be played `after` begins with the first sound: it is kept, and nobody keeps a wait.
fn counts_from_sound(play: &Play) -> bool {
    matches!(play.output, Output::Wav | Output::Raw)
}

/// When a receiver that started at `now` and plays for `after` ends at the latest, whether its sink asks for frames or not:
/// one that rests or has gone does not. Nothing for one that is endless or waits for the first sound.
pub fn ends(play: &Play, after: Option<Duration>, now: HostTime) -> Option<HostTime> {
    let after = after.filter(|_| !counts_from_sound(play))?;
    Some(now + after + after / SLOWEST + GRACE)
}

/// Puts a receiver together that plays as `play` says, until `stop`, for `after` at most.
pub fn build(play: &Play, after: Option<Duration>, from_sound: bool, stop: &Stop, now: HostTime) -> Receiver {
    build_counting(play, after, from_sound, stop, now, Arc::default())
}

/// As [`build`], going on with what was counted before.
pub fn build_counting(
    play: &Play,
    after: Option<Duration>,
    from_sound: bool,
    stop: &Stop,
    now: HostTime,
    counters: Arc<Counters>,
) -> Receiver {
    let length = match after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)) {
        None => Length::Endless,
        Some(ms) if from_sound || counts_from_sound(play) => Length::FromSound(ms),
        Some(ms) => Length::FromStart(ms),
    };
    let (engine, streams) = playout::engine(now, play.wishes(), length, Arc::clone(&counters));
    let (regions, regions_out) = RingBuffer::new(MAX_WAITING);
    let (states_in, states) = RingBuffer::new(MAX_WAITING);
    let (notices_in, notices) = mpsc::channel();
    let intake = Intake::new(regions_out, streams, Arc::clone(&counters), states_in, now);
    let (mut intake, news) = intake.with_news();
    let bell = Bell::new().ok().map(Arc::new);
    if let Some(bell) = &bell {
        intake = intake.with_bell(Arc::clone(bell));
    }
    let control = Control { stop: stop.clone(), counters: Arc::clone(&counters), notices: notices_in };
    Receiver { intake, engine, control, lines: Lines { regions, states, news, bell, notices, counters } }
}
