//! `scream-rx`: the whole thread map. The main thread follows the region's file, tells the user how it stands and waits
//! for the end; `intake` is paced by the guest, `playout` by the sink; a demo has a `guest` besides.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use core::time::Duration;
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::notify::Service;
use rx_host::signals::{Signals, Stop};
use rx_host::watch::{RegionState, RegionWatch};
use rx_host::{cli as host_cli, clock, log, realtime, wait};
use scream_rx::cli::{Cli, Command, ConfigArgs, DemoArgs, DoctorArgs, RunArgs, StatusArgs};
use scream_rx::counters::Counters;
use scream_rx::demo::{self, Demo, Simulated};
use scream_rx::desk::{Desk, Time};
use scream_rx::intake::socket::{ListenError, Socket};
use scream_rx::intake::udp::Network;
use scream_rx::intake::{self, Intake};
use scream_rx::origin::{Origin, Ways};
use scream_rx::prepared::{Before, Prepared};
use scream_rx::receiver::{self, Lines};
use scream_rx::record::Record;
use scream_rx::reload::{Reload, Reloaded};
use scream_rx::settings::{self, Play, Settings};
use scream_rx::sink::paced::RealTime;
use scream_rx::sink::{Control, Sink, SinkError, Source};
use scream_rx::status::Neighbours;
use scream_rx::{doctor, outputs, service, status};
use shm_proto::scream::wire;
use shm_proto::{Access, HostTime};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Priorities of the two threads. The device's comes first: an empty device is heard, a late look is not.
const PLAYOUT_PRIORITY: u8 = 20;
const INTAKE_PRIORITY: u8 = 15;
/// The main thread of a demo looks around this often, and any main thread after a settings file that is being written.
const ROUND: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    exit::run("scream-rx", || {
        let mut cli = Cli::try_parse()?;
        log::start("scream-rx", cli.verbosity);
        let wants_status = cli.verbosity.wants_status();
        cli.run.as_reference = is_reference();
        match cli.command.unwrap_or(Command::Run(cli.run)) {
            Command::Run(args) => run(&args, wants_status),
            Command::Demo(args) => run_demo(&args, wants_status),
            Command::Doctor(args) => run_doctor(&args),
            Command::Status(args) => run_status(&args),
            Command::Service(args) => Ok(exit::print(service::run(&args)?).map(|()| Exit::Done)?),
            Command::Devices => Ok(exit::print(outputs::list()).map(|()| Exit::Done)?),
            Command::Config(args) => print_config(&args),
            Command::Completions { shell } => {
                Ok(host_cli::print_completions(shell, Cli::command()).map(|()| Exit::Done)?)
            }
            Command::Man => Ok(host_cli::print_man(Cli::command()).map(|()| Exit::Done)?),
        }
    })
}

/// Whether the program was called by the reference receiver's name: a link that lets old lines work unchanged.
fn is_reference() -> bool {
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name() == Some("scream".as_ref()))
}

fn print_config(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let (_, layers) = Settings::from_args(&args.run).map_err(settings::explain)?;
    exit::print(if args.explain { layers.explain() } else { layers.to_toml() })?;
    Ok(Exit::Done)
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let run = RunArgs { config: args.config.clone(), file: args.file.clone(), ..RunArgs::default() };
    let doctor = doctor::examine_as_told(&run, args.udp).map_err(settings::explain)?;
    exit::print(if args.json { format!("{:#}\n", doctor.to_json()) } else { doctor.table() })?;
    Ok(doctor.exit())
}

fn run_status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let signals =
        Signals::install_without_reload().or_environment("cannot listen for signals", "close some programs")?;
    status::run(args, signals.stop())
}

fn run(args: &RunArgs, wants_status: bool) -> anyhow::Result<Exit> {
    let (settings, _) = Settings::from_args(args).map_err(settings::explain)?;
    settings.end.check_files()?;
    let signals = Signals::install().or_environment("cannot listen for signals", "close some programs")?;
    let stop = signals.stop();
    let mut service = Service::from_env();
    let socket = status::open(args.instance.as_deref(), status::MAIN)?;
    let mut watch = Watch::new(&settings.origin);
    // A service that is started with the session comes before its sound server, the VM's network, and rights that a login
    // gives.
    let patient = service.is_supervised();
    if !patient {
        watch.refuse_hopeless()?;
    }
    let locked = realtime::ask_for_locked_memory();
    tracing::debug!("{locked}");

    let started = clock::now();
    let prepared = Prepared::new(&settings, patient, None)?;
    let mut record = settings.end.dump_timing.as_deref().map(Record::create).transpose()?;
    let (session, lines) = Session::start(prepared, settings.end.after, stop, Arc::default(), &mut record)?;
    service.ready();
    let mut desk = Desk::new(lines, settings.origin.label(), wants_status, started);
    if let Some(socket) = &socket {
        desk.call(socket.name());
        spawn_asking(Neighbours::of(socket.name(), &session.origin, session.play.output));
    }
    session.tell_ways(&mut desk);
    let (mut session, mut ended) = (Some(session), Ok(()));
    watch.follow(&mut desk);
    let mut reload = Reload::new(args, &settings, clock::now());
    while !stop.is_requested() {
        let now = clock::now();
        let left = session.as_ref().map_or(Duration::MAX, |session| session.heed_end(now, stop));
        let rests = if reload.is_pending() { ROUND } else { desk.rests(now) }.min(left);
        let asks = socket.as_ref().map_or(signals.as_fd(), AsFd::as_fd);
        if watch.wait(rests, stop, [signals.as_fd(), asks]) {
            watch.follow(&mut desk);
        }
        signals.clear();
        desk.round(clock::now(), &mut service);
        if let Some(socket) = &socket {
            socket.answer(|| desk.figures(clock::now(), Time::Real));
        }
        record.iter_mut().for_each(Record::round);
        let reloaded = reload.look(clock::now(), signals.take_reload());
        if let Some((new, mut prepared)) = reloaded.and_then(|found| take_over(found, patient, session.as_ref())) {
            ended = session.take().map_or(Ok(()), Session::end);
            if ended.is_err() {
                break;
            }
            prepared.seek();
            let left = settings.end.after.map(|after| after.saturating_sub(clock::now().since(started)));
            let (next, lines) = Session::start(prepared, left, stop, desk.counters(), &mut record)?;
            desk.reconnect(lines, new.origin.label());
            next.tell_ways(&mut desk);
            session = Some(next);
            watch = Watch::new(&new.origin);
            watch.follow(&mut desk);
            reload.applied(new);
        }
    }
    service.stopping();
    let played = ended.and_then(|()| session.map_or(Ok(()), Session::end));
    desk.round(clock::now(), &mut service);
    record.into_iter().for_each(Record::finish);
    Ok(desk.finish(played, &settings.end, clock::now(), Time::Real)?)
}

/// What a changed settings file gave, if it is to be applied, and what is open for it. Anything else is told.
fn take_over(reloaded: Reloaded, patient: bool, session: Option<&Session>) -> Option<(Settings, Prepared)> {
    match reloaded {
        Reloaded::Broken(words) => tracing::warn!("{words}"),
        Reloaded::Later(why) => tracing::info!("the settings changed, which counts from the next start: {why}"),
        Reloaded::Changed(new) => match Prepared::new(&new, patient, session.map(Session::holds)) {
            Ok(prepared) => {
                tracing::info!("the settings changed: applied");
                return Some((*new, prepared));
            }
            Err(e) => {
                let hint = e.hint().unwrap_or_default().to_owned();
                let why = exit::chain_line(&e.into());
                tracing::warn!(
                    "the settings changed and cannot be used; the old ones stay: {why} ({hint}; then: kill -HUP)"
                );
            }
        },
    }
    None
}

/// The watch over the memory's file, if there is one.
struct Watch(Option<RegionWatch>);

impl Watch {
    fn new(origin: &Origin) -> Watch {
        let wanted = origin.ways != Ways::Network;
        let mut watch = wanted.then(|| RegionWatch::new(&origin.file, Access::ReadOnly, wire::HEADER_BYTES + 1));
        if let Some(watch) = &mut watch {
            watch.poll(clock::now());
        }
        Watch(watch)
    }

    /// Waits for something to happen to the file, or for one of `others`; whether it happened to the file.
    fn wait(&mut self, timeout: Duration, stop: &Stop, others: [BorrowedFd<'_>; 2]) -> bool {
        match &mut self.0 {
            Some(watch) => watch.wait_beside(timeout, stop, others).is_some(),
            None => {
                let [first, second] = others;
                wait::until([stop.as_fd(), first, second], clock::now() + timeout);
                false
            }
        }
    }

    fn follow(&self, desk: &mut Desk) {
        if let Some(watch) = &self.0 {
            desk.follow(watch.state(), clock::now());
        }
    }

    fn refuse_hopeless(&self) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |watch| refuse_hopeless(watch.state()))
    }
}

/// The two threads that play, until the program ends or the settings change.
struct Session {
    stop: Stop,
    intake: JoinHandle<()>,
    playout: JoinHandle<Result<(), SinkError>>,
    origin: Origin,
    play: Play,
    /// The same socket that the intake has, for the next session.
    socket: Option<Socket>,
    /// What is missing before datagrams can come.
    missing: Option<ListenError>,
    /// When it ends at the latest, if that is settled.
    ends: Option<HostTime>,
}

impl Session {
    fn start(
        prepared: Prepared,
        after: Option<Duration>,
        program: &Stop,
        counters: Arc<Counters>,
        record: &mut Option<Record>,
    ) -> Result<(Session, Lines), Failure> {
        let Prepared { play, sink, socket, missing, origin } = prepared;
        let stop = Stop::new().or_environment("cannot start another session", "close some programs")?;
        let now = clock::now();
        let parts = receiver::build_counting(&play, after, false, &stop, now, counters);
        let ends = receiver::ends(&play, after, now);
        let (mut intake, mut engine, mut kept) = (parts.intake, parts.engine, None);
        if let Some(socket) = socket {
            kept = socket.try_clone().ok();
            intake = intake.with_network(Network::new(socket, clock::now()), origin.ways == Ways::Network);
        }
        if let Some(record) = record {
            engine.set_tap(record.tap());
        }
        let playout = spawn_playout(sink, Box::new(engine), parts.control, program)?;
        let intake = spawn_intake(intake, &stop, program)?;
        Ok((Session { stop, intake, playout, origin, play, socket: kept, missing, ends }, parts.lines))
    }

    /// Tells where the sound comes from, and on what kind of output it plays.
    fn tell_ways(&self, desk: &mut Desk) {
        desk.plays_on(self.play.output);
        let joined = self.socket.as_ref().map(Socket::joined).unwrap_or_default();
        match &self.missing {
            _ if self.origin.ways == Ways::Memory => {}
            Some(missing) => desk.misses(&self.origin, missing),
            None => desk.listens(&self.origin, joined, clock::now()),
        }
    }

    fn holds(&self) -> Before<'_> {
        Before { socket: self.socket.as_ref(), play: &self.play }
    }

    /// Asks for the end of the program when it is time, whether the sink asks for frames or not: where the device rests or
    /// has gone none are counted. How long that is still to come.
    fn heed_end(&self, now: HostTime, program: &Stop) -> Duration {
        let Some(ends) = self.ends else { return Duration::MAX };
        if now >= ends {
            program.request();
        }
        ends.since(now)
    }

    /// Ends both threads; how the sink ended.
    fn end(self) -> Result<(), SinkError> {
        self.stop.request();
        exit::join(self.intake);
        exit::join(self.playout)
    }
}

/// Ends the program if its thread ends without having been told to.
struct EndsProgram {
    session: Stop,
    program: Stop,
}

impl Drop for EndsProgram {
    fn drop(&mut self) {
        if !self.session.is_requested() {
            self.program.request();
        }
    }
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
    let signals =
        Signals::install_without_reload().or_environment("cannot listen for signals", "close some programs")?;
    let stop = signals.stop();
    let mut guest = demo.guest().or_environment("cannot simulate a guest", "free some memory")?;
    let started = clock::now();
    let mut parts = receiver::build(&demo.play, demo.end.after, true, stop, started);
    // The line is empty and has room.
    let _ = parts.lines.regions.push(guest.region().clone());
    let file = PathBuf::from("the simulated guest");
    if demo.simulated {
        let clock = Simulated::new(guest, parts.intake, started, stop.clone());
        let mut sink = outputs::open(&demo.play, Box::new(clock), false)?;
        let played = sink.run(Box::new(parts.engine), &parts.control);
        let mut desk = Desk::new(parts.lines, file, false, started);
        desk.plays_on(demo.play.output);
        desk.round(clock::now(), &mut Service::from_env());
        return Ok(desk.finish(played, &demo.end, clock::now(), Time::Simulated)?);
    }
    let sink = outputs::open(&demo.play, Box::new(RealTime), false)?;
    let playout = spawn_playout(sink, Box::new(parts.engine), parts.control, stop)?;
    let intake = spawn_intake(parts.intake, stop, stop)?;
    let guest_stop = stop.clone();
    let guest_thread = spawn("guest", stop, stop, move || {
        realtime::ask_for_thread("guest", INTAKE_PRIORITY);
        demo::run_guest(&mut guest, &guest_stop);
    })?;
    let socket = status::open(None, "demo")?;
    let mut desk = Desk::new(parts.lines, file, wants_status, started);
    desk.plays_on(demo.play.output);
    if let Some(socket) = &socket {
        desk.call(socket.name());
    }
    while !stop.wait(ROUND) {
        desk.round(clock::now(), &mut Service::from_env());
        if let Some(socket) = &socket {
            socket.answer(|| desk.figures(clock::now(), Time::Real));
        }
    }
    exit::join(guest_thread);
    exit::join(intake);
    let played = exit::join(playout);
    desk.round(clock::now(), &mut Service::from_env());
    Ok(desk.finish(played, &demo.end, clock::now(), Time::Real)?)
}

/// Spawns a thread of a session. Whichever ends by itself, and however, ends the program.
fn spawn<T: Send + 'static>(
    name: &str,
    session: &Stop,
    program: &Stop,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let guard = EndsProgram { session: session.clone(), program: program.clone() };
    let thread = Builder::new().name(name.into()).spawn(move || {
        let _guard = guard;
        body()
    });
    thread.or_environment(format!("cannot start the {name} thread"), "close some programs")
}

/// Asks the other instances whether one plays the same. Nobody waits for that: one that hangs never answers.
fn spawn_asking(neighbours: Option<Neighbours>) {
    let Some(neighbours) = neighbours else { return };
    let ask = move || neighbours.look().inspect(|found| tracing::warn!("{found}"));
    let _ = Builder::new().name("neighbours".into()).spawn(ask);
}

fn spawn_intake(mut intake: Intake, session: &Stop, program: &Stop) -> Result<JoinHandle<()>, Failure> {
    let until = session.clone();
    spawn("intake", session, program, move || {
        let rights = realtime::ask_for_thread("intake", INTAKE_PRIORITY);
        tracing::debug!("{rights}");
        intake::run(&mut intake, &until);
    })
}

fn spawn_playout(
    mut sink: Box<dyn Sink + Send>,
    engine: Box<dyn Source>,
    control: Control,
    program: &Stop,
) -> Result<JoinHandle<Result<(), SinkError>>, Failure> {
    let session = control.stop.clone();
    spawn("playout", &session, program, move || {
        // Not inside the message: that is not made when nobody wants it.
        let rights = realtime::ask_for_thread("playout", PLAYOUT_PRIORITY);
        tracing::debug!("{rights}");
        sink.run(engine, &control)
    })
}
