//! The command, and the first process of the test VM: see the library.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use rx_guest::simulate::Clock;
use rx_guest::{cli, init, mouse, relay, simulate};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::main();
    }
    if std::env::args().nth(1).is_some_and(|task| task == "machine") {
        // Another program is the first process.
        init::main();
    }
    if let Some(told) = in_the_machine() {
        println!("{}", told.unwrap_or_else(|e| format!("RIG-PANIC {e:#}")));
        return ExitCode::SUCCESS;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()));
        }
    };
    match command(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("rx-guest: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// What is of use in a test VM alone: `bare COUNT NAME`, `relay SOCKET PORT`.
fn in_the_machine() -> Option<anyhow::Result<String>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare", count, name @ ..] => {
            Some(count.parse().map_err(anyhow::Error::from).and_then(|n| mouse::read_bare(&name.join(" "), n)))
        }
        ["relay", path, port] => Some(
            port.parse()
                .map_err(anyhow::Error::from)
                .and_then(|port| Ok(relay::run(Path::new(path), port)?))
                .map(|()| String::new()),
        ),
        _ => None,
    }
}

fn command(cli: &cli::Cli) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot watch for Ctrl-C")?;
    }
    let clock = Clock::start();
    let simulator = cli.task.open(clock.now())?;
    println!("READY {}", simulator.describe());
    let mut simulators = [simulator];
    simulate::run(&clock, &mut simulators, cli.task.length(), &stop)?;
    println!("DONE {}", simulators[0].summary());
    Ok(())
}
