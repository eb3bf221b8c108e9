//! The command: parse, open, spawn the feed, show, end. The window's loop (or the headless one) is the main thread.
#![forbid(unsafe_code)]

use clap::CommandFactory;
use frame_rx::app::{Beside, Loop};
use frame_rx::cli::{Cli, Command, ConfigArgs, ForwardArgs, KeepArgs, OpenerArgs, RunArgs, ShowArgs, SizeArgs};
use frame_rx::headless::{Headless, Keeping, explain_gpu};
use frame_rx::input::capture::{self, Handle, InputSettings};
use frame_rx::input::heir::{self, Heir};
use frame_rx::input::own::OwnKeys;
use frame_rx::input::stats::InputStats;
use frame_rx::input::{opener, uinput};
use frame_rx::link::{self, FeedEnd};
use frame_rx::offscreen::Offscreen;
use frame_rx::picture::Size;
use frame_rx::record::{self, Recorded, Recorder};
use frame_rx::remember::{self, Memory, Typed};
use frame_rx::settings::{self, Settings};
use frame_rx::slots::Supply;
use frame_rx::stats::{self, FeedStats, ScreenStats};
use frame_rx::turn::Turning;
use frame_rx::wishes::Wishes;
use frame_rx::{demo, devices, doctor, selftest, size};
use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::signals::{Signals, Woken};
use rx_host::{cli, clock, environment, log, people, term};
use std::fs::File;
use std::io::{self, LineWriter};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

fn main() -> ExitCode {
    exit::run("frame-rx", || {
        let Cli { command, run, verbosity } = Cli::read(std::env::args_os())?;
        log::start("frame-rx", verbosity);
        let command = command.unwrap_or(Command::Run(run));
        if matches!(
            command,
            Command::Run(_) | Command::Demo(_) | Command::Doctor(_) | Command::Selftest(_) | Command::Devices(_)
        ) {
            environment::settle_runtime_dir();
        }
        match command {
            Command::Run(args) => show(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Selftest(args) => selftest::run(&args),
            Command::Input(args) => forward(&args, false),
            Command::InputProxy(args) => forward(&args, true),
            Command::Opener(args) => serve_opener(&args),
            Command::Heir => {
                let hint = "frame-rx starts it by itself";
                heir::inherit(io::stdin().lock()).or_environment("there is nothing to inherit", hint)?;
                Ok(Exit::Done)
            }
            Command::Devices(args) => devices::run(&args),
            Command::Size(args) => print_sizes(&args),
            Command::Config(args) => print_config(&args),
            Command::Keys { config } => print_keys(config),
            Command::Completions { shell } => {
                cli::print_completions(shell, Cli::command())?;
                Ok(Exit::Done)
            }
            Command::Man => {
                cli::print_man(Cli::command())?;
                Ok(Exit::Done)
            }
        }
    })
}

/// Shows the guest until the end.
fn show(args: &RunArgs) -> anyhow::Result<Exit> {
    let (mut settings, _) = Settings::from_args(args).map_err(settings::explain)?;
    settings.end.check_files()?;
    let memory = recall(args, &mut settings)?;
    let signals = Signals::install_without_reload()?;
    if settings.headless {
        without_window(&settings, &signals)?
    } else {
        with_window(&settings, memory, &signals)?
    };
    Ok(Exit::Done)
}

/// Gives the guest keyboard and mouse until the end, without a picture.
fn forward(args: &ForwardArgs, is_proxy: bool) -> anyhow::Result<Exit> {
    let settings = settings::forward(args, is_proxy).map_err(settings::explain)?;
    settings.end.check_files()?;
    if is_proxy && let Err(error) = uinput::look() {
        let hint = error.hint();
        return Err(Failure::environment("there can be no virtual keyboard", hint).because(error).into());
    }
    let signals = Signals::install_without_reload()?;
    let Some(input) = spawn_input(&settings, (&Wishes::default(), OwnKeys::default()), Box::new(|| {}), &signals)?
    else {
        return Err(Failure::usage("there is no input to forward", "leave out --input none").into());
    };
    let after = settings.end.after.unwrap_or(Duration::MAX);
    let begun = clock::now();
    while !matches!(signals.wait(after.saturating_sub(clock::now().since(begun)).min(DAY)), Woken::Stop) {
        if clock::now().since(begun) >= after {
            break;
        }
    }
    signals.stop().request();
    let stats = input.join();
    tell_input(&settings, &stats);
    if let Some(path) = &settings.end.stats {
        let mut figures = stats::empty();
        stats.figures(&mut figures);
        stats::write(&figures, path)?;
    }
    Ok(Exit::Done)
}

/// Opens devices for others: for the client at the standard input, or for all that come to a socket.
fn serve_opener(args: &OpenerArgs) -> anyhow::Result<Exit> {
    let list = args.list.as_deref().unwrap_or(Path::new(opener::LIST));
    let Some(path) = &args.listen else {
        let client = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        let hint = "let frame-rx-opener.socket start it, or use --listen";
        client.and_then(|client| opener::serve::serve(&client, list)).or_environment("no client is served", hint)?;
        return Ok(Exit::Done);
    };
    let hint = "name a socket that is not there yet, in a folder of root";
    let group = args.group.parse().ok().or_else(|| people::group_number(&args.group));
    let Some(group) = group else {
        return Err(
            Failure::environment(format!("there is no group {}", args.group), "make it, or name another").into()
        );
    };
    // What everybody may write to is asked by nobody.
    let open = |bound: UnixListener| {
        std::os::unix::fs::chown(path, None, Some(group))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(bound)
    };
    let bound = UnixListener::bind(path).and_then(open);
    let listener = bound.or_environment(format!("cannot listen at {}", path.display()), hint)?;
    let signals = Signals::install_without_reload()?;
    listener.set_nonblocking(true)?;
    let ended = loop {
        match listener.accept() {
            Ok((client, _)) => {
                if let Err(error) = opener::serve::serve(&client, list) {
                    tracing::debug!("a client went: {error}");
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if matches!(signals.wait(Duration::from_millis(100)), Woken::Stop) {
                    break Ok(Exit::Done);
                }
            }
            Err(e) => break Err(e.into()),
        }
    };
    let _ = std::fs::remove_file(path);
    ended
}

/// What keys changed in the last run, done again, if that is wanted.
fn recall(args: &RunArgs, settings: &mut Settings) -> anyhow::Result<Option<Memory>> {
    if settings.headless || settings.keep.no_remember {
        return Ok(None);
    }
    let Some(path) = remember::path_for(&settings.file) else { return Ok(None) };
    let without_flags = RunArgs { config: args.config.clone(), ..RunArgs::default() };
    let (configured, _) = Settings::from_args(&without_flags).map_err(settings::explain)?;
    let ShowArgs { scale, filter, rotate, .. } = &args.show;
    let typed = Typed { scale: scale.is_some(), filter: filter.is_some(), rotate: rotate.is_some() };
    Ok(Some(Memory::open(path, &configured.show, typed, &mut settings.show)))
}

fn without_window(settings: &Settings, signals: &Signals) -> anyhow::Result<()> {
    let mut screen = Offscreen::open(&settings.show.gpu).map_err(explain_gpu)?;
    screen.set_turning(Turning::new(settings.show.rotate));
    let gpu = screen.info().to_string();
    let waker = signals.waker();
    let (feed_end, link) = link::connect(&settings.file, Supply::Two, Box::new(move |_| waker.wake()), signals.stop());
    let (feed, wishes) = (link.feed.clone(), link.wishes.clone());
    let (recorder, recording) = begin_recording(&settings.keep)?;
    let hashes = settings.keep.hashes.as_ref().map(|path| {
        let told = format!("cannot write {}", path.display());
        File::create(path).map(LineWriter::new).or_environment(told, "name a file in a folder that you may write to")
    });
    let keeping = Keeping { recorder, hashes: hashes.transpose()? };
    let mut headless = Headless::new(screen, link, settings.end.clone(), keeping);
    // Without a window there is input from devices only.
    let wants_input = !settings.input.evdev.is_empty();
    let input = if wants_input {
        spawn_input(settings, (&wishes, OwnKeys::default()), Box::new(|| {}), signals)?
    } else {
        None
    };
    let thread = spawn_feed(feed_end)?;
    let ran = headless.run(signals);
    signals.stop().request();
    exit::join(thread);
    let input = input.map(Forwarding::join);
    ran.map_err(explain_gpu)?;
    let done = headless.finish()?;
    let hash = done.hash.map(|hash| format!("{hash:016x}"));
    let recorded = recording.map(Recording::finish);
    report(settings, &feed, &done.stats, (input.as_deref(), recorded), [("gpu", Some(gpu)), ("picture_hash", hash)])
}

fn with_window(settings: &Settings, memory: Option<Memory>, signals: &Signals) -> anyhow::Result<()> {
    let event_loop = Loop::new()?;
    let (feed_end, link) = link::connect(&settings.file, Supply::Three, event_loop.teller(), signals.stop());
    let feed = link.feed.clone();
    let input = spawn_input(settings, (&link.wishes, settings.show.keys.own()), event_loop.waker(), signals)?;
    let thread = spawn_feed(feed_end)?;
    let (recorder, recording) = begin_recording(&settings.keep)?;
    let beside = Beside { input: input.as_ref().map(|input| input.handle.clone()), recorder, memory, remarks: None };
    let done = event_loop.run(link, settings.show.clone(), settings.end.clone(), beside, signals.stop());
    signals.stop().request();
    exit::join(thread);
    let input = input.map(Forwarding::join);
    let recorded = recording.map(Recording::finish);
    report(settings, &feed, &done?.stats, (input.as_deref(), recorded), [("gpu", None), ("picture_hash", None)])
}

/// Longest wait of a forwarding without an end.
const DAY: Duration = Duration::from_secs(86_400);

/// The threads that send keyboard and mouse to the guest.
struct Forwarding {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
}

impl Forwarding {
    /// Waits until the guest has released everything; a stop was asked for.
    fn join(self) -> Arc<InputStats> {
        self.threads.into_iter().for_each(exit::join);
        self.handle.stats().clone()
    }
}

/// Starts what sends keyboard and mouse to the guest, if that is wanted.
fn spawn_input(
    settings: &Settings,
    (wishes, own): (&Wishes, OwnKeys),
    tell: Box<dyn Fn() + Send>,
    signals: &Signals,
) -> Result<Option<Forwarding>, Failure> {
    let Some(input) = settings.input.open()? else { return Ok(None) };
    let input = InputSettings { own, ..input };
    let (tried, hint) = ("cannot start the input", "end other programs: the system allows no more of them");
    // Before any device is opened. It is for a death that may never come: the input works without it.
    let heir = Heir::start(Path::new("/proc/self/exe"), &input).unwrap_or_else(|error| {
        tracing::debug!("input: nobody would release what is held after a kill: {error}");
        None
    });
    let (mut capture, connector, handle) = capture::connect(input, signals.stop(), tell).or_environment(tried, hint)?;
    capture.set_heir(heir);
    wishes.watch_input(handle.stats().clone());
    let mut threads = Vec::new();
    let (watchdog, stop) = (capture.watchdog(), signals.stop().clone());
    let thread = thread::Builder::new().name("watchdog".into()).spawn(move || watchdog.run(&stop));
    threads.push(thread.or_environment(tried, hint)?);
    let thread = thread::Builder::new().name("connector".into()).spawn(move || connector.run());
    threads.push(thread.or_environment(tried, hint)?);
    let thread = thread::Builder::new().name("input".into()).spawn(move || capture.run());
    threads.push(thread.or_environment(tried, hint)?);
    Ok(Some(Forwarding { handle, threads }))
}

fn spawn_feed(feed: FeedEnd) -> Result<JoinHandle<()>, Failure> {
    let thread = thread::Builder::new().name("feed".into()).spawn(move || feed.run());
    thread.or_environment("cannot start the feed", "end other programs: the system allows no more threads")
}

/// A recording under way.
struct Recording {
    thread: JoinHandle<()>,
    recorded: Arc<Recorded>,
}

impl Recording {
    /// Waits until all is on the disk; the recorder is gone by now.
    fn finish(self) -> Arc<Recorded> {
        exit::join(self.thread);
        self.recorded
    }
}

fn begin_recording(keep: &KeepArgs) -> Result<(Option<Recorder>, Option<Recording>), Failure> {
    let Some(folder) = &keep.record else { return Ok((None, None)) };
    let limit = keep.record_limit.map_or(record::DEFAULT_LIMIT_BYTES, |limit| limit.0);
    let (recorder, writer) = record::begin(folder, limit)?;
    let recorded = recorder.recorded().clone();
    let thread = thread::Builder::new().name("record".into()).spawn(move || writer.run());
    let hint = "end other programs: the system allows no more threads";
    let thread = thread.or_environment("cannot start the recording", hint)?;
    Ok((Some(recorder), Some(Recording { thread, recorded })))
}

fn tell_input(settings: &Settings, input: &InputStats) {
    if settings.input.stats {
        term::write_lines(&input.lines().into_iter().map(|line| line + "\n").collect::<String>());
    }
}

fn report(
    settings: &Settings,
    feed: &FeedStats,
    screen: &ScreenStats,
    (input, recorded): (Option<&InputStats>, Option<Arc<Recorded>>),
    texts: [(&str, Option<String>); 2],
) -> anyhow::Result<()> {
    for line in stats::lines(feed, screen) {
        tracing::debug!("{line}");
    }
    if let Some(input) = input {
        tell_input(settings, input);
    }
    if let Some(path) = &settings.end.stats {
        let mut figures = stats::figures(feed, screen);
        if let Some(input) = input {
            input.figures(&mut figures);
        }
        if let Some(recorded) = &recorded {
            figures.count("frames_recorded", recorded.written.get()).count("frames_unrecorded", recorded.lost.get());
        }
        for (name, text) in texts {
            if let Some(text) = text {
                figures.text(name, &text);
            }
        }
        stats::write(&figures, path)?;
    }
    Ok(())
}

fn print_sizes(args: &SizeArgs) -> anyhow::Result<Exit> {
    let modes: Vec<Size> = args.modes.iter().map(|m| Size::new(m.width_px, m.height_px)).collect();
    exit::print(size::table(&modes))?;
    Ok(Exit::Done)
}

fn print_keys(config: Option<PathBuf>) -> anyhow::Result<Exit> {
    let args = RunArgs { config, ..RunArgs::default() };
    let (settings, _) = Settings::from_args(&args).map_err(settings::explain)?;
    exit::print(format!("{}\n", settings.show.keys.help()))?;
    Ok(Exit::Done)
}

fn print_config(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let (_, layers) = Settings::from_args(&args.run).map_err(settings::explain)?;
    exit::print(if args.explain { layers.explain() } else { layers.to_toml() })?;
    Ok(Exit::Done)
}
