//! The command line: `list`, `run`. Tables go to stdout, progress to stderr, figures to the file named by `--json`.

use crate::cases::{self, Case};
use crate::contest::Effort;
use crate::place::Machine;
use crate::report::{Report, SCHEMA, words};
use crate::stats::Verdict;
use anyhow::Context;
use clap::{Parser, Subcommand};
use rx_host::atomic_file;
use rx_host::exit::{Exit, Explain, Failure, print};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

/// Blocks of a contest: the 95 % interval of a ratio is then about a fifth of the scatter between blocks.
const BLOCKS: u32 = 61;
/// Blocks of a short run: enough to see that everything works, and rough ratios.
const QUICK_BLOCKS: u32 = 15;

/// Measures the receivers beside named references, within one run: ratios, exact counters, verdicts.
#[derive(Debug, Parser)]
#[command(name = "rx-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows what can be measured, and the goals.
    List,
    /// Measures, and says of each goal: pass, FAIL, or inconclusive (the machine was too busy to tell).
    Run(Run),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// What to measure, by its name in `list` [default: everything].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Writes all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures a quarter of the blocks: wider intervals, some seconds in all.
    #[arg(long)]
    quick: bool,
    /// Decides the order of what is measured [default: another one each time; it is printed].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Ends with code 3 if a goal is missed, with code 2 if a busy machine left one open [default: 0 once measured].
    #[arg(long)]
    check: bool,
}

/// The whole program but for its exit code.
///
/// # Errors
/// Whatever `rx_host::exit::run` turns into a line and a code.
pub fn main() -> anyhow::Result<Exit> {
    match Cli::try_parse()?.command {
        Command::List => list(),
        Command::Run(run) => measure(&run),
    }
}

fn list() -> anyhow::Result<Exit> {
    let lines: String = cases::ALL
        .iter()
        .map(|case| format!("{:<10}{}\n{:<10}goal: {}\n", case.name, case.what, "", case.goal))
        .collect();
    print(lines)?;
    Ok(Exit::Done)
}

fn measure(run: &Run) -> anyhow::Result<Exit> {
    let chosen = choose(&run.names)?;
    // A wrong name is better told now than after a minute of measuring.
    run.json.as_deref().map_or(Ok(()), atomic_file::check)?;
    // Only drawing is needed, not secrecy: the standard library's hash keys are random enough.
    let seed = run.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    let effort = Effort { blocks: if run.quick { QUICK_BLOCKS } else { BLOCKS }, seed };
    let machine = Machine::here();
    let Machine { processor, processors, kernel } = &machine;
    eprintln!("{processor}, {processors} processors, Linux {kernel}; seed {seed}, {} blocks", effort.blocks);
    let mut report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        quick: run.quick,
        machine,
        cases: Vec::new(),
    };
    for case in chosen {
        eprintln!("measuring {}: {}", case.name, case.what);
        let found = (case.run)(effort).with_context(|| format!("cannot measure {}", case.name))?;
        print(found.table())?;
        report.cases.push(found);
    }
    if let Some(path) = &run.json {
        write_json(path, &report)?;
    }
    let worst = report.cases.iter().filter_map(|case| case.verdict).max().unwrap_or(Verdict::None);
    eprintln!("all in all: {}", words(worst));
    Ok(match worst {
        Verdict::Fail if run.check => Exit::Internal,
        Verdict::Inconclusive if run.check => Exit::Environment,
        _ => Exit::Done,
    })
}

fn choose(names: &[String]) -> Result<Vec<&'static Case>, Failure> {
    if names.is_empty() {
        return Ok(cases::ALL.iter().collect());
    }
    let find = |name: &String| {
        let known = || cases::ALL.map(|case| case.name).join(", ");
        cases::find(name)
            .ok_or_else(|| Failure::usage(format!("there is no case {name}"), format!("known are {}", known())))
    };
    names.iter().map(find).collect()
}

fn write_json(path: &Path, report: &Report) -> anyhow::Result<()> {
    let mut text =
        serde_json::to_string_pretty(report).or_usage("cannot write the figures as JSON", "leave out --json")?;
    text.push('\n');
    atomic_file::write(path, |file| file.write_all(text.as_bytes()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_case_is_a_usage_error_that_names_the_known_ones() {
        let e = choose(&["copy".into(), "speed".into()]).unwrap_err();
        assert_eq!((e.exit(), e.to_string()), (Exit::Usage, "there is no case speed".into()));
        assert!(e.hint().is_some_and(|hint| hint.contains("copy, reader, handover, alloc")));
        assert_eq!(choose(&[]).unwrap().len(), cases::ALL.len());
    }
}
