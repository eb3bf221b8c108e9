//! The other side of the whole-process tests: small programs built on the crate, chosen by the first argument. Each uses
//! the public interface as a receiver does.

use rx_host::exit::{self, Exit, Explain, Failure};
use rx_host::log::{self, Verbosity};
use rx_host::report::StatusLine;
use rx_host::signals::{Signals, StopOnDrop, Woken};
use rx_host::watch::RegionState;
use rx_host::{atomic_file, notify, realtime, settings};
use shm_proto::{Access, HostTime};
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

pub fn main(program: &str, args: &[String]) -> ExitCode {
    let arg = |i: usize| args.get(i).map_or("", String::as_str);
    exit::run("some-rx", || match program {
        "threads" => threads(),
        "loop" => main_loop(),
        "hangup" => hangup(),
        "stuck" => stuck(),
        "unseen" => unseen(),
        "fail" => fail(arg(0)),
        "print" => print(arg(0)),
        "notify" => notify(),
        "log" => log_everything(args),
        "status" => status(),
        "open" => open(Path::new(arg(0))),
        "rights" => rights(),
        "locked" => locked(),
        "full" => full(Path::new(arg(0))),
        other => Err(Failure::usage(format!("no program {other}"), "see child.rs").into()),
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(exit::print(format!("{text}\n"))?)
}

/// Threads that wait for ever, until a signal comes.
fn threads() -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let stop = signals.stop().clone();
            thread::spawn(move || stop.wait(LONG))
        })
        .collect();
    say("ready")?;
    for thread in waiting {
        assert!(exit::join(thread));
    }
    say("clean")?;
    Ok(Exit::Done)
}

/// A main loop that tells why it woke.
fn main_loop() -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let waker = signals.waker();
    say("ready")?;
    thread::spawn(move || {
        // A line on stdin is something to look at.
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        waker.wake();
    });
    loop {
        let woken = signals.wait(LONG);
        say(&format!("{woken:?}"))?;
        if woken == Woken::Stop {
            return Ok(Exit::Done);
        }
    }
}

/// Nothing to read again: ends with its terminal. Says that it is there when asked.
fn hangup() -> anyhow::Result<Exit> {
    let signals = Signals::install_without_reload()?;
    say("ready")?;
    let mut line = String::new();
    thread::spawn(move || matches!(io::stdin().read_line(&mut line), Ok(1..)).then(|| say("still here")));
    assert!(signals.stop().wait(LONG));
    say("clean")?;
    Ok(Exit::Done)
}

/// A clean end that hangs.
fn stuck() -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    say("ready")?;
    assert!(signals.stop().wait(LONG));
    say("seen")?;
    loop {
        thread::park();
    }
}

/// Looks at the stop only when stdin ends.
fn unseen() -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    say("ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    assert!(signals.stop().is_requested());
    say("clean")?;
    Ok(Exit::Done)
}

#[derive(Debug, clap::Parser)]
#[command(name = "some-rx", version = "1.2.3")]
struct Cli {
    /// How much to hold
    #[arg(long, value_name = "MS")]
    latency: Option<settings::units::Milliseconds>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Low {
    latency: Option<settings::units::Milliseconds>,
}

fn fail(how: &str) -> anyhow::Result<Exit> {
    match how {
        "not" => {}
        "usage" => return Err(Failure::usage("cannot do both", "choose one").into()),
        "environment" => {
            Err(io::Error::from_raw_os_error(111)).or_environment("connecting to the sound server", "start it")?;
        }
        "escape" => return Err(Failure::environment("bad \x1b[31m name", "rename\x07 it").into()),
        "system" => drop(std::fs::File::open("/nonexistent")?),
        "bug" => anyhow::bail!("the impossible happened"),
        "panic" => panic!("index out of thin air"),
        "thread" => exit::join(thread::spawn(|| panic!("far away"))),
        "guarded" => {
            let signals = Signals::install()?;
            let guard = StopOnDrop(signals.stop().clone());
            let thread = thread::spawn(move || {
                let _guard = guard;
                panic!("far away");
            });
            assert!(signals.stop().wait(LONG));
            exit::join(thread);
        }
        "config" => drop(settings::load::<Low>("some-rx", None)?),
        "named-config" => drop(settings::load::<Low>("some-rx", Some(Path::new("/none.toml")))?),
        "write" => atomic_file::write(Path::new("/nonexistent/out.png"), |out| out.write_all(b"x"))?,
        "findings" => return Ok(Exit::Environment),
        flags => {
            let cli = <Cli as clap::Parser>::try_parse_from(["some-rx"].into_iter().chain(flags.split(' ')))?;
            say(&format!("{:?}", cli.latency))?;
        }
    }
    Ok(Exit::Done)
}

/// More than a pipe holds, to a reader that may have gone.
fn print(how: &str) -> anyhow::Result<Exit> {
    match how {
        "macro" => (0..100_000).for_each(|i| println!("line {i}")),
        _ => exit::print("x".repeat(1 << 20))?,
    }
    Ok(Exit::Done)
}

fn notify() -> anyhow::Result<Exit> {
    let mut service = notify::Service::from_env();
    let at = |ms: u64| HostTime::from_ns(ms * 1_000_000);
    service.status("opening\nREADY=1");
    service.ready();
    service.status("playing");
    service.status("playing");
    (0..=100).for_each(|ms| service.beat(at(1000 + ms)));
    service.reloading();
    service.ready();
    service.stopping();
    say(&format!("{} {:?}", service.is_supervised(), service.beat_every()))?;
    Ok(Exit::Done)
}

fn log_everything(flags: &[String]) -> anyhow::Result<Exit> {
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        verbosity: Verbosity,
    }
    let flags =
        <Flags as clap::Parser>::try_parse_from(std::iter::once("some-rx").chain(flags.iter().map(String::as_str)))?;
    log::start("some-rx", flags.verbosity);
    tracing::error!(target: "scream_rx::sink", "broken");
    tracing::warn!(target: "scream_rx::sink", late_ms = 3, "late");
    tracing::info!(target: "scream_rx::sink", "opened");
    tracing::debug!(target: "scream_rx::sink", "detail");
    tracing::trace!(target: "scream_rx::sink", "everything");
    tracing::info!(target: "winit", "foreign");
    tracing::info!(target: "scream_rx", "guest says \x1b[2Jtwo\nsome-rx: lines");
    Ok(Exit::Done)
}

fn status() -> anyhow::Result<Exit> {
    log::start("some-rx", Verbosity::default());
    let mut line = StatusLine::new("some-rx", Duration::from_secs(10));
    let at = |ms: u64| HostTime::from_ns(ms * 1_000_000);
    for ms in 0..20_000 {
        line.update(at(ms), || format!("delay {} ms{}", ms / 1000, " ".repeat(200)));
        if ms == 15_000 {
            tracing::info!(target: "scream_rx", "in between");
        }
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> anyhow::Result<Exit> {
    say(&RegionState::open(path, Access::ReadWrite, 1).sentence())?;
    Ok(Exit::Done)
}

fn rights() -> anyhow::Result<Exit> {
    say(&realtime::ask_for_thread("playout", 20).to_string())?;
    say(&realtime::ask_for_locked_memory().to_string())?;
    Ok(Exit::Done)
}

fn locked() -> anyhow::Result<Exit> {
    let granted = realtime::ask_for_locked_memory();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap_or_default();
    say(&format!("{} {locked}", granted.is_yes()))?;
    Ok(Exit::Done)
}

/// In a directory with little room: a file that fits, then one that does not.
fn full(dir: &Path) -> anyhow::Result<Exit> {
    let _signals = Signals::install()?;
    let path = dir.join("out.png");
    atomic_file::write(&path, |out| out.write_all(b"old"))?;
    let failed = atomic_file::write(&path, |out| out.write_all(&[0; 1 << 20]));
    assert_eq!(std::fs::read(&path)?, b"old");
    assert_eq!(std::fs::read_dir(dir)?.count(), 1, "nothing is left behind");
    failed?;
    Ok(Exit::Done)
}
