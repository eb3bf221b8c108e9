//! The command line: `list`, `run`. Tables go to stdout, progress to stderr, figures to the file named by `--json`.

use crate::cases::ring_size::sweep::Sweep;
use crate::cases::{self, Case, Task};
use crate::chart;
use crate::compare::{self, Change};
use crate::contest::Effort;
use crate::noise::Crew;
use crate::page;
use crate::place::Machine;
use crate::progress::Progress;
use crate::replay;
use crate::report::{Report, words};
use crate::stats::Verdict;
use crate::summary;
use crate::work;
use anyhow::Context;
use clap::{Parser, Subcommand};
use rx_host::atomic_file;
use rx_host::environment;
use rx_host::exit::{Exit, Explain, Failure, print};
use rx_host::signals::Signals;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

/// Above this load for each processor, timings are hardly ever worth anything.
const BUSY_LOAD: f64 = 0.75;
/// Blocks of a contest: the 95 % interval of a ratio is then about a fifth of the scatter between blocks.
const BLOCKS: u32 = 61;
/// Blocks of a short run: enough to see that everything works, and rough ratios.
const QUICK_BLOCKS: u32 = 15;

/// A line on stderr. Whoever closed it does not want to know, so that is no failure.
macro_rules! tell {
    ($($words:tt)*) => { rx_host::term::write_lines(&format!("{}\n", format_args!($($words)*))) };
}

/// What stands below the help of `run`.
const EXAMPLES: &str = "\
Examples:
  rx-bench run                                  everything, in about 7 minutes
  rx-bench run ring-size --mode 3440x1440@144   which region and how many slots for this picture
  rx-bench run audio                            delay, drift, gaps and distortion of the sound
  rx-bench run --exact --quick                  what is the same on every machine, in half a minute
Tables go to stdout, progress to stderr. Ctrl-C ends a run with the results so far.";

/// Measures sound and picture on their way from a guest: which region and how many slots a picture needs, how late sound and
/// picture are, what that costs. Ratios to named references within one run, exact counts, verdicts.
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
    #[command(after_help = EXAMPLES)]
    Run(Box<Run>),
    /// Compares two reports: each figure is faster, slower, the same, or inconclusive.
    ///
    /// Ends with code 0 if nothing is slower and no budget is exceeded, with 3 if something is, with 2 if a busy machine
    /// left something open (or a file is not a report of this schema). Exact figures are compared to the last digit,
    /// ratios by their intervals; bare times of two runs are never compared.
    Compare(Compare),
    /// Shows a report in short, as Markdown for a README.
    Summary {
        /// The report.
        #[arg(value_name = "FILE.json")]
        report: PathBuf,
    },
    /// Shows what a recording says: of sound (`scream-rx --dump-timing`) delay, gaps, steps and how regularly it came; of
    /// pictures (`frame-rx --record`) rates, how much of each was new, sizes and lateness.
    ///
    /// Ends with code 2 if there is none, if it is empty, or if it breaks off in the middle of a picture.
    Replay(Replay),
    /// Does a piece of work so many times, to be counted from outside.
    #[command(hide = true)]
    Work {
        /// Its name.
        name: String,
        /// How often.
        times: u32,
    },
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// A timing file, recorded pictures, or a folder of them.
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Writes all figures to this file as JSON, for `compare`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Compare {
    /// The report before.
    #[arg(value_name = "A.json")]
    before: PathBuf,
    /// The report after.
    #[arg(value_name = "B.json")]
    after: PathBuf,
    /// Checks the second report against the budgets in this file.
    #[arg(long, value_name = "FILE.toml")]
    budget: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// What to measure, by its name in `list` [default: everything].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Writes all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes everything as one page of HTML, drawings inside.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes everything as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draws maps and plots into this folder as SVG; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Measures a quarter of the blocks, of fewer pictures: wider intervals, about two minutes in all.
    #[arg(long)]
    quick: bool,
    /// Measures only what is the same on every machine: counts, and virtual time.
    #[arg(long)]
    exact: bool,
    /// Decides the order of what is measured [default: another one each time; it is printed].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Ends with code 3 if a goal is missed, with code 2 if a busy machine left one open [default: 0 once measured].
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    sweep: Sweep,
}

/// The whole program but for its exit code.
///
/// # Errors
/// Whatever `rx_host::exit::run` turns into a line and a code.
pub fn main() -> anyhow::Result<Exit> {
    match Cli::try_parse()?.command {
        Command::List => list(),
        Command::Run(run) => measure(&run),
        Command::Compare(files) => compare_reports(&files),
        Command::Summary { report } => {
            print(summary::summary(&compare::read(&report)?))?;
            Ok(Exit::Done)
        }
        Command::Replay(what) => show_recordings(&what),
        Command::Work { name, times } => do_work(&name, times),
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
    let chosen = choose(&run.names, run.exact)?;
    environment::settle_runtime_dir();
    // What is wrong with the command line is better told now than after a minute of measuring.
    run.sweep.plan(run.quick)?;
    for path in [&run.json, &run.html, &run.markdown].into_iter().flatten() {
        atomic_file::check(path)?;
    }
    if let Some(folder) = &run.svg {
        make_folder(folder)?;
    }
    // Only drawing is needed, not secrecy: the standard library's hash keys are random enough.
    let seed = run.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    let signals = Signals::install().or_environment("cannot hear signals", "close some files")?;
    let progress = Progress::new(signals.stop().clone());
    let effort = Effort { blocks: if run.quick { QUICK_BLOCKS } else { BLOCKS }, seed, progress, crew: Crew::Alone };
    let mut report = Report::begin(seed, run.quick, command());
    let Machine { processor, processors, kernel } = &report.machine;
    tell!("{processor}, {processors} processors, Linux {kernel}; load {}, seed {seed}", report.load);
    if !run.exact && report.load > BUSY_LOAD * *processors as f64 {
        tell!("this machine is busy: what is timed now may well be inconclusive; --exact leaves it out");
    }
    let task = Task { effort: &effort, sweep: &run.sweep, is_quick: run.quick, is_exact: run.exact };
    for case in chosen {
        if effort.progress.is_stopped() {
            break;
        }
        tell!("measuring {}: {}", case.name, case.what);
        effort.progress.begin(case.name);
        let found = (case.run)(&task).with_context(|| format!("cannot measure {}", case.name));
        effort.progress.end();
        let found = found?;
        print(found.table())?;
        report.cases.push(found);
    }
    report.overhead_percent = effort.progress.overhead_percent();
    report.is_partial = effort.progress.is_stopped();
    if let Some(path) = &run.json {
        write_json(path, &report)?;
    }
    if let Some(folder) = &run.svg {
        write_drawings(folder, &report)?;
    }
    if let Some(path) = &run.html {
        atomic_file::write(path, |file| file.write_all(page::html(&report).as_bytes()))?;
    }
    if let Some(path) = &run.markdown {
        atomic_file::write(path, |file| file.write_all(page::markdown(&report).as_bytes()))?;
    }
    if report.is_partial {
        tell!("ended early: these are the results so far");
    }
    if let Some(percent) = report.overhead_percent {
        tell!("the tool itself took {percent:.2} % of the time that went into timings");
    }
    let worst = report.cases.iter().filter_map(|case| case.verdict).max().unwrap_or(Verdict::None);
    let blamed = report.cases.iter().filter(|case| worst > Verdict::Pass && case.verdict == Some(worst));
    let blamed = blamed.map(|case| case.name.as_str()).collect::<Vec<_>>().join(", ");
    tell!("all in all: {}{}{blamed}", words(worst), if blamed.is_empty() { "" } else { ": " });
    Ok(match worst {
        Verdict::Fail if run.check => Exit::Internal,
        Verdict::Inconclusive if run.check => Exit::Environment,
        _ => Exit::Done,
    })
}

fn compare_reports(files: &Compare) -> anyhow::Result<Exit> {
    let (before, after) = (compare::read(&files.before)?, compare::read(&files.after)?);
    let (text, mut worst) = compare::compare(&before, &after);
    print(text)?;
    if let Some(path) = &files.budget {
        let (text, change) = compare::check_budgets(&compare::read_budgets(path)?, &after);
        print(text)?;
        worst = worst.max(change);
    }
    Ok(match worst {
        Change::Faster | Change::Same => Exit::Done,
        Change::Inconclusive => Exit::Environment,
        Change::Slower => Exit::Internal,
    })
}

fn show_recordings(what: &Replay) -> anyhow::Result<Exit> {
    what.json.as_deref().map_or(Ok(()), atomic_file::check)?;
    let mut report = Report::begin(0, false, command());
    let replayed = replay::replay(&what.path)?;
    report.cases = replayed.cases;
    report.cases.iter().try_for_each(|case| print(case.table()))?;
    if let Some(path) = &what.json {
        write_json(path, &report)?;
    }
    replayed.torn.map_or(Ok(Exit::Done), |torn| Err(torn.into()))
}

fn do_work(name: &str, times: u32) -> anyhow::Result<Exit> {
    let known = || work::ALL.each_ref().map(|work| work.name).join(", ");
    let work = work::find(name)
        .ok_or_else(|| Failure::usage(format!("there is no work {name}"), format!("known are {}", known())))?;
    (work.run)(times)?;
    Ok(Exit::Done)
}

/// The command line, for whoever wants to repeat it.
fn command() -> String {
    let arguments = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    std::iter::once("rx-bench".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn choose(names: &[String], exact: bool) -> Result<Vec<&'static Case>, Failure> {
    if names.is_empty() {
        return Ok(cases::ALL.iter().filter(|case| case.has_exact || !exact).collect());
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

fn make_folder(folder: &Path) -> Result<(), Failure> {
    let tried = format!("cannot make the folder {}", folder.display());
    std::fs::create_dir_all(folder).or_environment(tried, "name a folder that may be written to")
}

/// A file for each map and plot, named after it.
fn write_drawings(folder: &Path, report: &Report) -> anyhow::Result<()> {
    make_folder(folder)?;
    for case in &report.cases {
        let maps = case.maps.iter().map(|map| (&map.id, chart::heat_map(map)));
        let plots = case.plots.iter().map(|plot| (&plot.id, chart::plot(plot)));
        for (id, svg) in maps.chain(plots) {
            atomic_file::write(&folder.join(format!("{id}.svg")), |file| file.write_all(svg.as_bytes()))?;
        }
    }
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
        let e = choose(&["copy".into(), "speed".into()], false).unwrap_err();
        assert_eq!((e.exit(), e.to_string()), (Exit::Usage, "there is no case speed".into()));
        assert!(e.hint().is_some_and(|hint| hint.contains("ring-size, copy, reader, ready, handover, wait, audio")));
        assert_eq!(choose(&[], false).unwrap().len(), cases::ALL.len());
    }
}
