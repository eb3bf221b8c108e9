//! The first process of the test VM. It tells the host how far it is by lines on the serial console:
//!
//! `RIG-UP` the machine runs · `RIG-READY` every device is being written · `RIG-DONE` the work is done, with a summary ·
//! `RIG-PANIC` it went wrong, with the reason. After the last two the machine powers itself off.
//!
//! The kernel's command line says what to do: `rig.N=TASK,NAME=VALUE,...` runs TASK with the options `--NAME VALUE` on
//! the N-th ivshmem device; `rig.input=keys` (or `devices`, `sums`) instead tells what arrives at the machine's keyboards
//! and mice; `rig.dead_man_s=N` powers off after N seconds, whatever happens.

use crate::cli::Cli;
use crate::input::{self, Tells};
use crate::machine;
use crate::simulate::{self, Clock, Simulator};
use anyhow::{Context, bail};
use clap::Parser;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Runs the machine from its first process to its power switch.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        println!("RIG-PANIC {panic}");
        machine::power_off();
    }));
    match work() {
        Ok(summary) => println!("RIG-DONE {summary}"),
        Err(e) => println!("RIG-PANIC {e:#}"),
    }
    machine::power_off();
    panic!("the power stays on");
}

fn work() -> anyhow::Result<String> {
    machine::mount_file_systems()?;
    println!("RIG-UP");
    let words = machine::rig_words()?;
    let dead_man = words.iter().find(|(name, _)| name == "dead_man_s");
    let dead_man = dead_man.map(|(_, seconds)| seconds.parse()).transpose().context("rig.dead_man_s")?;
    let length = dead_man.map(Duration::from_secs);
    let clock = Clock::start();
    if let Some((_, what)) = words.iter().find(|(name, _)| name == "input") {
        return input::report(&clock, Tells::named(what), length);
    }
    let mut simulators: Vec<Box<dyn Simulator>> = Vec::new();
    for (n, device) in machine::ivshmem_devices()?.iter().enumerate() {
        let Some((_, task)) = words.iter().find(|(name, _)| *name == n.to_string()) else { continue };
        let cli = Cli::try_parse_from(arguments(task, &device.display().to_string()))
            .with_context(|| format!("rig.{n}={task}"))?;
        let simulator = cli.task.open(clock.now()).with_context(|| format!("device {n}"))?;
        println!("RIG-{n} {}", simulator.describe());
        simulators.push(simulator);
    }
    if simulators.is_empty() {
        bail!("no ivshmem device has a task");
    }
    println!("RIG-READY");
    simulate::run(&clock, &mut simulators, length, &AtomicBool::new(false))?;
    Ok(simulators.iter().map(|s| s.summary()).collect::<Vec<_>>().join("; "))
}

/// `sound,tone=440,lie=torn` as the words of a command line.
fn arguments(task: &str, device: &str) -> Vec<String> {
    let mut parts = task.split(',');
    let mut words = vec!["rx-guest".to_owned(), parts.next().unwrap_or_default().to_owned(), device.to_owned()];
    for part in parts {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        words.push(format!("--{name}"));
        words.extend(value.map(str::to_owned));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_becomes_a_command_line() {
        let words = arguments("sound,tone=440,silent", "/dev/x");
        assert_eq!(words, ["rx-guest", "sound", "/dev/x", "--tone", "440", "--silent"]);
    }
}
