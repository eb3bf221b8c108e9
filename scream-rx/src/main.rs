//! `scream-rx`: the whole thread map. The main thread follows the region's file, tells the user how it stands and waits
//! for the end; `intake` is paced by the guest, `playout` by the sink; a demo has a `guest` besides.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use core::time::Duration;
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::notify::Service;
use rx_host::signals::{Signals, Stop, StopOnDrop};
use rx_host::watch::{RegionState, RegionWatch};
use rx_host::{cli as host_cli, clock, log, realtime};
use scream_rx::cli::{Cli, Command, ConfigArgs, DemoArgs, DoctorArgs, RunArgs, StatusArgs};
use scream_rx::demo::{self, Demo, Simulated};
use scream_rx::desk::{Desk, Time};
use scream_rx::intake;
use scream_rx::receiver;
use scream_rx::settings::{self, Settings};
use scream_rx::sink::metered::Metered;
use scream_rx::sink::paced::RealTime;
use scream_rx::sink::{Control, Sink, SinkError, Source};
use scream_rx::{doctor, outputs, service, status};
use shm_proto::Access;
use shm_proto::scream::wire;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Priorities of the two threads. The device's comes first: an empty device is heard, a late look is not.
const PLAYOUT_PRIORITY: u8 = 20;
const INTAKE_PRIORITY: u8 = 15;
/// The main thread looks around this often.
const ROUND: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    exit::run("scream-rx", || {
        let cli = Cli::try_parse()?;
        log::start("scream-rx", cli.verbosity);
        let wants_status = cli.verbosity.wants_status();
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

fn print_config(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let (_, layers) = Settings::from_args(&args.run).map_err(settings::explain)?;
    exit::print(if args.explain { layers.explain() } else { layers.to_toml() })?;
    Ok(Exit::Done)
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let run = RunArgs { config: args.config.clone(), file: args.file.clone(), ..RunArgs::default() };
    let (settings, _) = Settings::from_args(&run).map_err(settings::explain)?;
    let doctor = doctor::examine(&settings, &settings.file, args.udp);
    exit::print(if args.json { format!("{:#}\n", doctor.to_json()) } else { doctor.table() })?;
    Ok(doctor.exit())
}

fn run_status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let signals = Signals::install().or_environment("cannot listen for signals", "close some programs")?;
    status::run(args, signals.stop())
}

fn run(args: &RunArgs, wants_status: bool) -> anyhow::Result<Exit> {
    let (mut settings, _) = Settings::from_args(args).map_err(settings::explain)?;
    settings.end.check_files()?;
    let signals = Signals::install().or_environment("cannot listen for signals", "close some programs")?;
    let stop = signals.stop();
    let mut service = Service::from_env();
    let socket = status::open(args.instance.as_deref(), status::MAIN)?;
    let mut watch = RegionWatch::new(&settings.file, Access::ReadOnly, wire::HEADER_BYTES + 1);
    watch.poll(clock::now());
    refuse_hopeless(watch.state())?;
    // A service that is started with the session comes before its sound server.
    let patient = service.is_supervised();
    settings.play.output = outputs::settle(settings.play.output, patient)?;
    let sink = outputs::open(&settings.play, Box::new(RealTime), patient)?;
    let locked = realtime::ask_for_locked_memory();
    tracing::debug!("{locked}");

    let parts = receiver::build(&settings.play, settings.end.after, false, stop, clock::now());
    let started = clock::now();
    let playout = spawn_playout(sink, Box::new(parts.engine), parts.control)?;
    let intake = spawn_intake(parts.intake, stop)?;
    service.ready();
    let mut desk = Desk::new(parts.lines, settings.file, wants_status, started);
    if let Some(socket) = &socket {
        desk.call(socket.name());
    }
    desk.follow(watch.state(), clock::now());
    while !stop.is_requested() {
        if watch.wait(ROUND, stop).is_some() {
            desk.follow(watch.state(), clock::now());
        }
        desk.round(clock::now(), &mut service);
        if let Some(socket) = &socket {
            socket.answer(|| desk.figures(clock::now(), Time::Real));
        }
    }
    service.stopping();
    exit::join(intake);
    let played = exit::join(playout);
    desk.round(clock::now(), &mut service);
    Ok(desk.finish(played, &settings.end, clock::now(), Time::Real)?)
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
    let _ = parts.lines.regions.push(guest.region().clone());
    let file = PathBuf::from("the simulated guest");
    if demo.simulated {
        let clock = Simulated::new(guest, parts.intake, started, stop.clone());
        let mut sink = outputs::open(&demo.play, Box::new(clock), false)?;
        let played = sink.run(Box::new(parts.engine), &parts.control);
        let mut desk = Desk::new(parts.lines, file, false, started);
        desk.round(clock::now(), &mut Service::from_env());
        return Ok(desk.finish(played, &demo.end, clock::now(), Time::Simulated)?);
    }
    let sink = outputs::open(&demo.play, Box::new(RealTime), false)?;
    let playout = spawn_playout(sink, Box::new(parts.engine), parts.control)?;
    let intake = spawn_intake(parts.intake, stop)?;
    let guest_stop = stop.clone();
    let guest_thread = spawn("guest", stop, move || {
        realtime::ask_for_thread("guest", INTAKE_PRIORITY);
        demo::run_guest(&mut guest, &guest_stop);
    })?;
    let socket = status::open(None, "demo")?;
    let mut desk = Desk::new(parts.lines, file, wants_status, started);
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
    let engine = Metered::new(engine, Arc::clone(&control.counters));
    spawn("playout", &stop, move || {
        // Not inside the message: that is not made when nobody wants it.
        let rights = realtime::ask_for_thread("playout", PLAYOUT_PRIORITY);
        tracing::debug!("{rights}");
        sink.run(Box::new(engine), &control)
    })
}
