//! The command, and the first process of the test VM: see the library.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use rx_guest::simulate::Clock;
use rx_guest::{cli, init, simulate};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::main();
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
