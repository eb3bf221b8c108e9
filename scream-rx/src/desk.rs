//! What the main thread knows and tells: states become sentences, each once; counters become a status line, a summary and
//! figures. The caller passes the time.

use crate::cli::Output;
use crate::counters::Counters;
use crate::intake::socket::ListenError;
use crate::intake::{News, State};
use crate::origin::Origin;
use crate::receiver::Lines;
use crate::settings::End;
use crate::sink::{Notice, SinkError};
use crate::stats::Now;
use crate::{outputs, say, stats};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use core::time::Duration;
use rx_host::exit::{Exit, Failure};
use rx_host::notify::Service;
use rx_host::report::{Allowance, Figures, StatusLine};
use rx_host::watch::RegionState;
use shm_proto::HostTime;
use shm_proto::scream::{Format, Waiting};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// Between two lines of status where stderr is no terminal.
const STATUS_EVERY: Duration = Duration::from_secs(60);
/// Between two rounds: where somebody watches or something happened just now, while there is sound, and while there is none.
const WATCHED_EVERY: Duration = Duration::from_millis(250);
const SOUND_EVERY: Duration = Duration::from_secs(1);
const NOTHING_EVERY: Duration = Duration::from_secs(2);
/// What a guest can make us say: so many lines at once, and one in each of these times.
const LINES: (u32, Duration) = (16, Duration::from_secs(5));
/// Sentences that come once and wait to be said: more than there are kinds and names of strangers.
const MOST_UNSAID: usize = 32;
/// An intake that did not wake up for so long hangs: it looks once in ten seconds whatever the guest does. Shorter than a
/// watchdog's usual patience by what lies between two beats.
const INTAKE_HANGS: Duration = Duration::from_secs(15);
/// What happened so lately happened just now.
const JUST_NOW: Duration = Duration::from_secs(4);

/// What the main thread knows and tells while the others work.
#[derive(Debug)]
pub struct Desk {
    lines: Lines,
    file: PathBuf,
    status: StatusLine,
    state: State,
    told_region: Option<String>,
    region_bytes: u64,
    /// Since when there is a region without any stream, until that was told.
    nothing_since: Option<HostTime>,
    format: Option<Format>,
    /// Where datagrams are awaited, if they are; and what is missing before any can come, if something is.
    listens: Option<Origin>,
    missing: Option<String>,
    begun: HostTime,
    /// When something was last told.
    stirred: HostTime,
    /// How often the intake had woken up, and when that was more than before.
    woken: (u64, HostTime),
    instance: String,
    /// The last sentence about the guest, and where the sound goes while that is open.
    situation: String,
    sink: String,
    /// Of which kind that is.
    output: Output,
    allowance: Allowance,
    /// What is to be said as soon as that is allowed: what comes only once, and the last of everything else.
    unsaid_once: VecDeque<String>,
    unsaid: Option<String>,
}

impl Desk {
    /// Nothing known yet. `file` is what the user calls the memory.
    pub fn new(lines: Lines, file: PathBuf, wants_status: bool, begun: HostTime) -> Desk {
        let status =
            if wants_status { StatusLine::new("scream-rx", STATUS_EVERY) } else { StatusLine::silent("scream-rx") };
        Desk {
            lines,
            file,
            status,
            state: State::Detached,
            told_region: None,
            region_bytes: 0,
            nothing_since: None,
            format: None,
            listens: None,
            missing: None,
            begun,
            stirred: begun,
            woken: (0, begun),
            instance: String::new(),
            situation: "waiting for the guest".into(),
            sink: String::new(),
            output: Output::default(),
            allowance: Allowance::new(LINES.0, LINES.1),
            unsaid_once: VecDeque::new(),
            unsaid: None,
        }
    }

    /// Says what a guest caused, or keeps the last of it for later: a guest that changes a hundred times a second fills no
    /// log.
    fn say(&mut self, sentence: String, now: HostTime) {
        self.unsaid = Some(sentence);
        self.say_unsaid(now);
    }

    /// Says what happened. What is told of each stranger once must not give way to what comes after it.
    fn say_news(&mut self, news: &News, now: HostTime) {
        let sentence = say::news(news, &self.file);
        match news {
            News::OtherSender(_) | News::Junk(..) if self.unsaid_once.len() < MOST_UNSAID => {
                self.unsaid_once.push_back(sentence);
                self.say_unsaid(now);
            }
            News::OtherSender(_) | News::Junk(..) => {}
            _ => self.say(sentence, now),
        }
    }

    fn say_unsaid(&mut self, now: HostTime) {
        while (self.unsaid.is_some() || !self.unsaid_once.is_empty()) && self.allowance.take(now) {
            self.unsaid_once.pop_front().or_else(|| self.unsaid.take()).map(tell);
        }
    }

    /// Datagrams are awaited, too or alone, on the interfaces that are named.
    pub fn listens(&mut self, origin: &Origin, interfaces: &[Ipv4Addr], now: HostTime) {
        tell(say::listening(origin, interfaces));
        self.listens = Some(origin.clone());
        self.nothing_since = Some(now);
    }

    /// Datagrams will be awaited as soon as what is missing has come.
    pub fn misses(&mut self, origin: &Origin, missing: &ListenError) {
        let sentence = say::not_listening(missing);
        tracing::warn!("{sentence}");
        self.situation.clone_from(&sentence);
        (self.listens, self.missing) = (Some(origin.clone()), Some(sentence));
    }

    /// What was counted.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.lines.counters)
    }

    /// Another receiver was put together; what was counted and told goes on.
    pub fn reconnect(&mut self, lines: Lines, file: PathBuf) {
        (self.lines, self.file, self.listens, self.missing) = (lines, file, None, None);
        self.stirred = HostTime::from_ns(u64::MAX);
        (self.told_region, self.region_bytes) = (None, 0);
    }

    /// The name by which this instance can be asked.
    pub fn call(&mut self, instance: &str) {
        self.instance = instance.into();
    }

    /// The kind of output that it plays on from now on.
    pub fn plays_on(&mut self, output: Output) {
        self.output = output;
    }

    /// Everything that is known now.
    pub fn figures(&self, now: HostTime, time: Time) -> Figures {
        let output = self.output.to_possible_value();
        let known = Now {
            instance: &self.instance,
            state: &self.situation,
            source: &self.file.display().to_string(),
            sink: &self.sink,
            output: output.as_ref().map_or("", PossibleValue::get_name),
            format: self.format,
            run_time: now.since(self.begun),
            clock: if time == Time::Simulated { "simulated" } else { "real" },
        };
        stats::figures(&self.lines.counters, &known)
    }

    /// Hands a new region over, or says what is awaited.
    pub fn follow(&mut self, state: &RegionState, now: HostTime) {
        self.stirred = now;
        if let RegionState::Ready(region) = state {
            self.region_bytes = region.len();
            self.nothing_since = Some(now);
            if self.lines.regions.push(region.clone()).is_err() {
                tracing::warn!("the memory changes faster than it can be followed");
            }
            if let Some(bell) = &self.lines.bell {
                bell.ring();
            }
        }
        let sentence = match state {
            RegionState::Ready(region) => say::region(&self.file, region.len()),
            state => state.sentence(),
        };
        if self.told_region.as_ref() != Some(&sentence) {
            self.situation.clone_from(&sentence);
            self.told_region = Some(tell(sentence));
        }
    }

    /// How long the next round may wait.
    pub fn rests(&self, now: HostTime) -> Duration {
        let playing = matches!(self.state, State::Live { .. });
        match () {
            () if now.since(self.stirred) < JUST_NOW || (playing && self.status.is_in_place()) => WATCHED_EVERY,
            () if playing || self.nothing_since.is_some() => SOUND_EVERY,
            () => NOTHING_EVERY,
        }
    }

    /// Tells what changed, and how it goes.
    pub fn round(&mut self, now: HostTime, service: &mut Service) {
        self.stirred = self.stirred.min(now);
        while let Ok(notice) = self.lines.notices.try_recv() {
            self.stirred = now;
            match &notice {
                Notice::Open { name, format } => self.sink = format!("{name}: {format}"),
                Notice::Coarse { .. } | Notice::Starved { .. } => {}
                Notice::Full { reason } | Notice::Paused { reason } | Notice::Absent { reason } => {
                    self.sink = format!("{}{reason}", say::NO_SINK);
                }
            }
            tell(say::sink(&notice));
        }
        while let Ok(state) = self.lines.states.pop() {
            self.stirred = now;
            if let State::Live { format, .. } | State::Silent { format } = state {
                self.format = Some(format);
                self.nothing_since = None;
            }
            let before = core::mem::replace(&mut self.state, state);
            // A pause and its end are for the status line; everything else is worth a sentence.
            let pause = matches!(
                (before, state),
                (State::Live { .. }, State::Silent { .. }) | (State::Silent { .. }, State::Live { .. })
            );
            // A simulated guest that has not begun is nothing to wait for.
            let awaited = self.region_bytes > 0 || !matches!(state, State::Waiting(_));
            if let (State::Listening, Some(missing)) = (state, &self.missing) {
                self.situation.clone_from(missing);
            } else if let Some(sentence) = say::guest(state, &self.file).filter(|_| awaited) {
                self.situation.clone_from(&sentence);
                if !pause || self.format_of(before) != self.format_of(state) {
                    self.say(sentence, now);
                }
            }
        }
        while let Ok(news) = self.lines.news.pop() {
            if let News::Listening(_) = news {
                (self.missing, self.nothing_since) = (None, Some(now));
                self.situation = say::news(&news, &self.file);
            }
            self.say_news(&news, now);
        }
        self.say_unsaid(now);
        // Guest and sink in one line: either may be why nothing is heard.
        match self.sink.starts_with(say::NO_SINK) {
            true => service.status(&format!("{}; sink: {}", self.situation, self.sink)),
            false => service.status(&self.situation),
        }
        let waiting = matches!(self.state, State::Waiting(Waiting::NoStream | Waiting::Stale));
        let hears = self.listens.is_some() && self.missing.is_none();
        let listening = hears && (waiting || matches!(self.state, State::Listening | State::Detached));
        if (waiting || listening) && self.nothing_since.is_some_and(|since| now.since(since) >= say::STILL_NOTHING) {
            self.nothing_since = None;
            if waiting {
                tell(say::still_nothing(&self.file, self.region_bytes));
            }
            if let Some(origin) = self.listens.as_ref().filter(|_| listening) {
                tell(say::still_nothing_sent(origin));
            }
        }
        let playing = matches!(self.state, State::Live { .. } | State::Silent { .. });
        // The first word of sound that has just begun would be that it is silent, and the next one comes after a minute.
        let has_begun = self.lines.counters.playout.delay_us.get() > 0 || now.since(self.stirred) >= JUST_NOW;
        if playing && has_begun {
            self.status.update(now, || say::status(&self.lines.counters, true));
        }
        if self.intake_lives(now) {
            service.beat(now);
        }
    }

    /// Whether the intake wakes up: that the main thread lives says nothing of it.
    fn intake_lives(&mut self, now: HostTime) -> bool {
        let wake_ups = self.lines.counters.intake.wake_ups.get();
        if wake_ups != self.woken.0 {
            self.woken = (wake_ups, now);
        }
        now.since(self.woken.1) < INTAKE_HANGS
    }

    fn format_of(&self, state: State) -> Option<Format> {
        match state {
            State::Live { format, .. } | State::Silent { format } => Some(format),
            _ => None,
        }
    }

    /// The end: figures, and a summary unless it failed.
    ///
    /// # Errors
    /// [`Failure`] with what to do: what ended the sound, or what kept the figures from being written.
    pub fn finish(
        mut self,
        played: Result<(), SinkError>,
        end: &End,
        now: HostTime,
        time: Time,
    ) -> Result<Exit, Failure> {
        self.status = StatusLine::silent("scream-rx");
        let counters = &self.lines.counters;
        if played.is_ok() {
            let how = if time == Time::Simulated { " (in simulated time)" } else { "" };
            say::summary(counters, self.format, how).lines().for_each(|line| tracing::info!("{line}"));
        }
        if let Some(path) = &end.stats {
            let figures = self.figures(now, time);
            figures.write(path).map_err(|e| {
                let hint = e.hint();
                Failure::environment(e, hint)
            })?;
        }
        played.map_err(outputs::explain)?;
        Ok(Exit::Done)
    }
}

/// Whose time it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The host's.
    Real,
    /// As fast as it could be calculated.
    Simulated,
}

/// Says a sentence to the user; gives it back.
fn tell(sentence: String) -> String {
    tracing::info!("{sentence}");
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::receiver;
    use clap::Parser;
    use rx_host::signals::Stop;
    use std::net::SocketAddrV4;

    fn at(s: u64) -> HostTime {
        HostTime::from_ns(s * 1_000_000_000)
    }

    fn built() -> receiver::Receiver {
        let Some(Command::Demo(args)) = Cli::parse_from(["scream-rx", "demo", "-o", "null"]).command else { panic!() };
        let play = crate::settings::play_from_flags(&args.play).unwrap();
        receiver::build(&play, None, false, &Stop::new().unwrap(), at(100))
    }

    #[test]
    fn what_is_told_of_a_stranger_once_waits_for_its_turn() {
        let parts = built();
        let mut desk = Desk::new(parts.lines, "x".into(), false, at(100));
        let stranger = |n: u8| News::OtherSender(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, n), 4010));
        (0..100).for_each(|n| desk.say(format!("state {n}"), at(100)));
        (0..40).for_each(|n| desk.say_news(&stranger(n), at(100)));
        desk.say("the last state".into(), at(100));
        let waits: Vec<&String> = desk.unsaid_once.iter().collect();
        assert_eq!(waits.len(), MOST_UNSAID, "and no more");
        assert!(waits[0].contains("10.0.0.0") && waits[31].contains("10.0.0.31"), "{waits:?}");
        // All of them are said before the state, as time allows.
        for s in 1..=32 {
            assert!(desk.unsaid.is_some(), "{s}");
            desk.say_unsaid(at(100 + 5 * s));
            assert_eq!(desk.unsaid_once.len() as u64, 32 - s);
        }
        desk.say_unsaid(at(300));
        assert_eq!(desk.unsaid, None);
    }

    #[test]
    fn an_intake_that_hangs_is_no_sign_of_life() {
        let parts = built();
        let counters = Arc::clone(&parts.lines.counters);
        let mut desk = Desk::new(parts.lines, "x".into(), false, at(100));
        assert!(desk.intake_lives(at(110)), "it has just begun");
        assert!(!desk.intake_lives(at(116)));
        counters.intake.wake_ups.inc();
        assert!(desk.intake_lives(at(117)) && desk.intake_lives(at(127)), "once in ten seconds is enough");
        assert!(!desk.intake_lives(at(140)));
    }
}
