//! `scream-rx`: the whole thread map. The main thread follows the region's file, tells the user how it stands and waits
//! for the end; `intake` is paced by the guest, `playout` by the sink; a demo has a `guest` besides.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use core::time::Duration;
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::notify::Service;
use rx_host::report::StatusLine;
use rx_host::signals::{Signals, Stop, StopOnDrop};
use rx_host::watch::{RegionEvent, RegionState, RegionWatch};
use rx_host::{cli as host_cli, clock, log, realtime};
use scream_rx::cli::{Cli, Command, ConfigArgs, DemoArgs, DoctorArgs, RunArgs};
use scream_rx::demo::{self, Demo, Simulated};
use scream_rx::intake::{self, State};
use scream_rx::receiver::{self, Desk};
use scream_rx::settings::{self, End, Settings};
use scream_rx::sink::paced::RealTime;
use scream_rx::sink::{Control, Sink, SinkError, Source};
use scream_rx::{doctor, outputs, say, stats};
use shm_proto::scream::{Format, Waiting, wire};
use shm_proto::{Access, HostTime};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::{Builder, JoinHandle};

/// Priorities of the two threads. The device's comes first: an empty device is heard, a late look is not.
const PLAYOUT_PRIORITY: u8 = 20;
const INTAKE_PRIORITY: u8 = 15;
/// The main thread looks around this often.
const ROUND: Duration = Duration::from_millis(250);
/// Between two lines of status where stderr is no terminal.
const STATUS_EVERY: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    exit::run("scream-rx", || {
        let cli = Cli::try_parse()?;
        log::start("scream-rx", cli.verbosity);
        let wants_status = cli.verbosity.wants_status();
        match cli.command.unwrap_or(Command::Run(cli.run)) {
            Command::Run(args) => run(&args, wants_status),
            Command::Demo(args) => run_demo(&args, wants_status),
            Command::Doctor(args) => run_doctor(&args),
            Command::Devices => Ok(exit::print(outputs::list()).map(|()| Exit::Done)?),
            Command::Config(args) => print_config(&args),
            Command::Completions { shell } => {
                Ok(host_cli::print_completions(shell, Cli::command()).map(|()| Exit::Done)?)
            }
            Command::Man => Ok(host_cli::print_man(Cli::command()).map(|()| Exit::Done)?),
        }
    })
}

fn print_config(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let (_, layers) = Settings::from_args(&args.run).map_err(settings::explain)?;
    exit::print(if args.explain { layers.explain() } else { layers.to_toml() })?;
    Ok(Exit::Done)
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let run = RunArgs { config: args.config.clone(), file: args.file.clone(), ..RunArgs::default() };
    let (settings, _) = Settings::from_args(&run).map_err(settings::explain)?;
    let doctor = doctor::examine(&settings, &settings.file);
    exit::print(if args.json { format!("{:#}\n", doctor.to_json()) } else { doctor.table() })?;
    Ok(doctor.exit())
}

fn run(args: &RunArgs, wants_status: bool) -> anyhow::Result<Exit> {
    let (mut settings, _) = Settings::from_args(args).map_err(settings::explain)?;
    settings.end.check_files()?;
    let signals = Signals::install().or_environment("cannot listen for signals", "close some programs")?;
    let stop = signals.stop();
    let mut service = Service::from_env();
    let mut watch = RegionWatch::new(&settings.file, Access::ReadOnly, wire::HEADER_BYTES + 1);
    let event = watch.poll(clock::now());
    refuse_hopeless(watch.state())?;
    settings.play.output = outputs::settle(settings.play.output)?;
    let sink = outputs::open(&settings.play, Box::new(RealTime), service.is_supervised())?;

    let parts = receiver::build(&settings.play, settings.end.after, false, stop, clock::now());
    let started = clock::now();
    let playout = spawn_playout(sink, Box::new(parts.engine), parts.control)?;
    let intake = spawn_intake(parts.intake, stop)?;
    service.ready();
    let mut main = Main::new(parts.desk, settings.file, wants_status);
    main.follow(event, &watch);
    if !matches!(watch.state(), RegionState::Ready(_)) {
        main.told_region = Some(tell(watch.state().sentence()));
    }
    while !stop.is_requested() {
        let event = watch.wait(ROUND, stop);
        main.follow(event, &watch);
        main.round(&mut service);
    }
    service.stopping();
    exit::join(intake);
    let played = exit::join(playout);
    main.round(&mut service);
    main.finish(played, &settings.end, started, Time::Real)
}

/// Ends with what to do if no waiting will help.
fn refuse_hopeless(state: &RegionState) -> Result<(), Failure> {
    let hopeless = matches!(
        state,
        RegionState::NoPermission { .. } | RegionState::WrongKind { .. } | RegionState::TooLarge { .. }
    );
    if hopeless {
        let hint = state.remedy().unwrap_or_else(|| "pass another file".into());
        return Err(Failure::environment(state.situation(), hint));
    }
    Ok(())
}

fn run_demo(args: &DemoArgs, wants_status: bool) -> anyhow::Result<Exit> {
    let demo = Demo::from_args(args)?;
    demo.end.check_files()?;
    let signals = Signals::install().or_environment("cannot listen for signals", "close some programs")?;
    let stop = signals.stop();
    let mut guest = demo.guest().or_environment("cannot simulate a guest", "free some memory")?;
    let started = clock::now();
    let mut parts = receiver::build(&demo.play, demo.end.after, true, stop, started);
    // The line is empty and has room.
    let _ = parts.desk.regions.push(guest.region().clone());
    let file = PathBuf::from("the simulated guest");
    if demo.simulated {
        let clock = Simulated::new(guest, parts.intake, started, stop.clone());
        let mut sink = outputs::open(&demo.play, Box::new(clock), false)?;
        let played = sink.run(Box::new(parts.engine), &parts.control);
        let mut main = Main::new(parts.desk, file, false);
        main.round(&mut Service::from_env());
        return main.finish(played, &demo.end, started, Time::Simulated);
    }
    let sink = outputs::open(&demo.play, Box::new(RealTime), false)?;
    let playout = spawn_playout(sink, Box::new(parts.engine), parts.control)?;
    let intake = spawn_intake(parts.intake, stop)?;
    let guest_stop = stop.clone();
    let guest_thread = spawn("guest", stop, move || {
        realtime::ask_for_thread("guest", INTAKE_PRIORITY);
        demo::run_guest(&mut guest, &guest_stop);
    })?;
    let mut main = Main::new(parts.desk, file, wants_status);
    while !stop.wait(ROUND) {
        main.round(&mut Service::from_env());
    }
    exit::join(guest_thread);
    exit::join(intake);
    let played = exit::join(playout);
    main.round(&mut Service::from_env());
    main.finish(played, &demo.end, started, Time::Real)
}

fn spawn<T: Send + 'static>(
    name: &str,
    stop: &Stop,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    // Whichever thread ends, and however, ends the program.
    let guard = StopOnDrop(stop.clone());
    let thread = Builder::new().name(name.into()).spawn(move || {
        let _guard = guard;
        body()
    });
    thread.or_environment(format!("cannot start the {name} thread"), "close some programs")
}

fn spawn_intake(mut intake: intake::shm::ShmIntake, stop: &Stop) -> Result<JoinHandle<()>, Failure> {
    let until = stop.clone();
    spawn("intake", stop, move || {
        let rights = realtime::ask_for_thread("intake", INTAKE_PRIORITY);
        tracing::debug!("{rights}");
        intake::run(&mut intake, &until);
    })
}

fn spawn_playout(
    mut sink: Box<dyn Sink + Send>,
    engine: Box<dyn Source>,
    control: Control,
) -> Result<JoinHandle<Result<(), SinkError>>, Failure> {
    let stop = control.stop.clone();
    spawn("playout", &stop, move || {
        // Not inside the message: that is not made when nobody wants it.
        let rights = realtime::ask_for_thread("playout", PLAYOUT_PRIORITY);
        tracing::debug!("{rights}");
        sink.run(engine, &control)
    })
}

/// Says a sentence to the user; gives it back.
fn tell(sentence: String) -> String {
    tracing::info!("{sentence}");
    sentence
}

/// What the main thread does while the others work.
struct Main {
    desk: Desk,
    file: PathBuf,
    status: StatusLine,
    state: State,
    told_region: Option<String>,
    region_bytes: u64,
    /// Since when there is a region without any stream, until that was told.
    nothing_since: Option<HostTime>,
    format: Option<Format>,
}

impl Main {
    fn new(desk: Desk, file: PathBuf, wants_status: bool) -> Main {
        let status =
            if wants_status { StatusLine::new("scream-rx", STATUS_EVERY) } else { StatusLine::silent("scream-rx") };
        Main {
            desk,
            file,
            status,
            state: State::Detached,
            told_region: None,
            region_bytes: 0,
            nothing_since: None,
            format: None,
        }
    }

    /// Hands a new region over, or says what is awaited.
    fn follow(&mut self, event: Option<RegionEvent>, watch: &RegionWatch) {
        if event.is_none() {
            return;
        }
        let state = watch.state();
        if let RegionState::Ready(region) = state {
            self.region_bytes = region.len();
            self.nothing_since = Some(clock::now());
            if self.desk.regions.push(region.clone()).is_err() {
                tracing::warn!("the memory changes faster than it can be followed");
            }
        }
        let sentence = match state {
            RegionState::Ready(region) => say::region(&self.file, region.len()),
            state => state.sentence(),
        };
        if self.told_region.as_ref() != Some(&sentence) {
            self.told_region = Some(tell(sentence));
        }
    }

    /// Tells what changed, and how it goes.
    fn round(&mut self, service: &mut Service) {
        let now = clock::now();
        while let Ok(notice) = self.desk.notices.try_recv() {
            tell(say::sink(&notice));
        }
        while let Ok(state) = self.desk.states.pop() {
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
            if let Some(sentence) = say::guest(state, &self.file).filter(|_| awaited) {
                service.status(&sentence);
                if !pause || self.format_of(before) != self.format_of(state) {
                    tell(sentence);
                }
            }
        }
        let waiting = matches!(self.state, State::Waiting(Waiting::NoStream | Waiting::Stale));
        if waiting && self.nothing_since.is_some_and(|since| now.since(since) >= say::STILL_NOTHING) {
            self.nothing_since = None;
            tell(say::still_nothing(&self.file, self.region_bytes));
        }
        let playing = matches!(self.state, State::Live { .. } | State::Silent { .. });
        if playing {
            self.status.update(now, || say::status(&self.desk.counters, true));
        }
        service.beat(now);
    }

    fn format_of(&self, state: State) -> Option<Format> {
        match state {
            State::Live { format, .. } | State::Silent { format } => Some(format),
            _ => None,
        }
    }

    /// The end: figures, and a summary unless it failed.
    fn finish(
        mut self,
        played: Result<(), SinkError>,
        end: &End,
        started: HostTime,
        time: Time,
    ) -> anyhow::Result<Exit> {
        self.status = StatusLine::silent("scream-rx");
        let counters = &self.desk.counters;
        if played.is_ok() {
            let how = if time == Time::Simulated { " (in simulated time)" } else { "" };
            say::summary(counters, self.format, how).lines().for_each(|line| tracing::info!("{line}"));
        }
        if let Some(path) = &end.stats {
            let clock_name = if time == Time::Simulated { "simulated" } else { "real" };
            let figures = stats::figures(counters, self.format, clock::now().since(started), clock_name);
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
enum Time {
    Real,
    Simulated,
}
