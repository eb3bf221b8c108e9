//! `scream-rx status`: how running instances do. `socket.rs` is both ends of the line, `show.rs` the words, `plot.rs` and
//! `watch.rs` the live view. An instance answers from its main thread, off the sound path.

mod plot;
mod show;
mod socket;
mod watch;

pub use socket::{OpenError, Socket, folder};

use crate::cli::StatusArgs;
use crate::service;
use rx_host::exit::{self, Exit, Failure};
use rx_host::signals::Stop;
use show::Report;
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
    let names = args.name.clone().map_or(running, |name| vec![name]);
    let reports: Vec<Report> = match &args.name {
        Some(name) => vec![ask(&folder, name)?],
        // One that ended just now is no news.
        None => names.iter().filter_map(|name| ask(&folder, name).ok()).collect(),
    };
    if reports.is_empty() {
        return Err(
            Failure::environment("no scream-rx runs", "start one: scream-rx; or: scream-rx service install").into()
        );
    }
    exit::print(if args.prometheus {
        show::prometheus(&reports)
    } else if args.json {
        json(&reports, args.name.is_some())
    } else {
        reports.iter().map(show::people).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
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

fn ask(folder: &Path, name: &str) -> Result<Report, Failure> {
    let told = socket::ask(folder, name).map_err(|e| {
        let others = socket::instances(folder);
        let hint = if others.is_empty() { "start it first".into() } else { format!("these do: {}", others.join(", ")) };
        Failure::environment(format!("no scream-rx runs as {name}"), hint).because(e)
    })?;
    show::parse(&told)
        .map_err(|why| Failure::environment(format!("{name}: {why}"), "is it another version? restart it"))
}
