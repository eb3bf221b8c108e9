//! `scream-rx status`: how running instances do. `socket.rs` is both ends of the line, `show.rs` the words, `plot.rs` and
//! `watch.rs` the live view, `neighbours.rs` what one instance asks the others. An instance answers from its main thread,
//! off the sound path.

mod neighbours;
mod plot;
mod show;
mod socket;
mod watch;

pub use neighbours::Neighbours;
pub use socket::{OpenError, Socket, folder};

use crate::cli::StatusArgs;
use crate::service;
use rx_host::exit::{self, Exit, Failure};
use rx_host::signals::Stop;
pub use show::Report;
use std::path::Path;

/// The name of an instance that nobody named.
pub const MAIN: &str = "main";

/// Opens the socket of this instance. It plays without one, too, if the system refuses.
///
/// # Errors
/// [`Failure`] if the name that was asked for is taken, or is none.
pub fn open(instance: Option<&str>, usual: &str) -> Result<Option<Socket>, Failure> {
    if let Some(name) = instance {
        service::check_name(name)?;
    }
    let Some(folder) = folder() else {
        tracing::debug!("no status: XDG_RUNTIME_DIR is not set");
        return Ok(None);
    };
    match Socket::open(&folder, instance.unwrap_or(usual), instance.is_some()) {
        Ok(socket) => Ok(Some(socket)),
        Err(e @ OpenError::Taken(_)) if instance.is_some() => {
            let hint = "see it: scream-rx status; or choose another name: --instance NAME";
            Err(Failure::environment(e, hint))
        }
        Err(e) => {
            tracing::debug!("no status: {e:?}");
            Ok(None)
        }
    }
}

/// Shows what `args` ask for.
///
/// Blocks until instances answer; with `--watch`, until a stop is asked for.
///
/// # Errors
/// [`Failure`] with what to do; a stdout that takes nothing.
pub fn run(args: &StatusArgs, stop: &Stop) -> anyhow::Result<Exit> {
    if let Some(name) = &args.name {
        service::check_name(name)?;
    }
    let none = || Failure::environment("the environment names no folder for sockets", "set XDG_RUNTIME_DIR");
    let folder = folder().ok_or_else(none)?;
    let running = socket::instances(&folder);
    if args.watch {
        let name = match (&args.name, &running[..]) {
            (Some(name), _) | (None, [name]) => name.as_str(),
            (None, []) => MAIN,
            (None, several) => {
                let what = "there are several: which one?";
                return Err(Failure::usage(what, format!("name one: {}", several.join(", "))).into());
            }
        };
        watch::run(&folder, name, stop)?;
        return Ok(Exit::Done);
    }
    let reports = match &args.name {
        Some(name) => vec![ask(&folder, name)?],
        None => ask_all(&folder, &running)?,
    };
    exit::print(if args.prometheus {
        show::prometheus(&reports)
    } else if args.json {
        json(&reports, args.name.is_some())
    } else {
        reports.iter().map(show::people).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

/// What each of this user's instances tells of itself; none where none answers.
///
/// Blocks until they do, three seconds each at most.
pub fn reports() -> Vec<Report> {
    let Some(folder) = folder() else { return Vec::new() };
    socket::instances(&folder).iter().filter_map(|name| ask(&folder, name).ok()).collect()
}

/// One that was named: its report. Else a list of them.
fn json(reports: &[Report], named: bool) -> String {
    let text = match reports {
        [one] if named => serde_json::to_string_pretty(one),
        all => serde_json::to_string_pretty(all),
    };
    // Maps of strings to numbers and texts always have a JSON form.
    format!("{}\n", text.unwrap_or_default())
}

/// The reports of those that answer; of those that are there and do not, a warning.
fn ask_all(folder: &Path, names: &[String]) -> Result<Vec<Report>, Failure> {
    let (mut reports, mut silent) = (Vec::new(), Vec::new());
    for name in names {
        match socket::ask(folder, name) {
            // One that ended just now is no news, nor is one of another kind.
            Ok(told) => reports.extend(show::parse(&told)),
            Err(e) if socket::is_late(&e) => silent.push(does_not_answer(name)),
            Err(_) => {}
        }
    }
    match silent.pop() {
        Some(one) if reports.is_empty() => return Err(one),
        last => silent.into_iter().chain(last).for_each(|one| tracing::warn!("{one}")),
    }
    if reports.is_empty() {
        return Err(Failure::environment("no scream-rx runs", "start one: scream-rx; or: scream-rx service install"));
    }
    Ok(reports)
}

fn does_not_answer(name: &str) -> Failure {
    Failure::environment(
        format!("{name} runs and does not answer"),
        "ask again, it may be busy for some seconds; if it stays silent, it is stopped or hangs: start it again",
    )
}

fn ask(folder: &Path, name: &str) -> Result<Report, Failure> {
    let told = socket::ask(folder, name).map_err(|e| {
        if socket::is_late(&e) {
            return does_not_answer(name);
        }
        let others = socket::instances(folder);
        let hint = if others.is_empty() { "start it first".into() } else { format!("these do: {}", others.join(", ")) };
        Failure::environment(format!("no scream-rx runs as {name}"), hint).because(e)
    })?;
    show::parse(&told)
        .map_err(|why| Failure::environment(format!("{name}: {why}"), "is it another version? restart it"))
}
