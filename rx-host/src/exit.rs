//! How a program ends: one place that turns a result into what the user reads and the exit code.
//!
//! 0 done, 1 usage, 2 environment (no file, no permission, no server), 3 internal. A failure is one line that says what
//! was tried and what happened, and one `hint:` line that says what to do. A reader of stdout that has gone (`| head`)
//! is no failure. Errors of other crates get their class and hint by [`Explain`]; an error that nobody explained is
//! internal, unless it came from the system.

use crate::atomic_file::WriteError;
use crate::settings::SettingsError;
use crate::term;
use shm_proto::MapError;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::thread::JoinHandle;

/// With what a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Code 0: done, or stopped by the user.
    Done,
    /// Code 1: the command line or the settings file makes no sense.
    Usage,
    /// Code 2: something is missing around the program: a file, a permission, a server, space.
    Environment,
    /// Code 3: a bug in the program.
    Internal,
}

impl Exit {
    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Usage => 1,
            Exit::Environment => 2,
            Exit::Internal => 3,
        }
    }
}

type Source = Box<dyn Error + Send + Sync>;

/// A failure that the user can do something about: what was tried, why it went wrong, and a hint.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    hint: Option<String>,
    source: Option<Source>,
}

impl Failure {
    /// Something is missing around the program.
    pub fn environment(what: impl fmt::Display, hint: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Environment, what: what.to_string(), hint: Some(hint.to_string()), source: None }
    }

    /// The user asked for something that makes no sense.
    pub fn usage(what: impl fmt::Display, hint: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::environment(what, hint) }
    }

    /// With what happened.
    pub fn because(self, source: impl Into<Source>) -> Failure {
        Failure { source: Some(source.into()), ..self }
    }

    /// With what the program ends.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

/// Says of a failed call what was tried and what to do.
pub trait Explain<T> {
    /// The call failed for want of something around the program.
    ///
    /// # Errors
    /// What failed, as [`Failure`] with exit code 2.
    fn or_environment(self, tried: impl fmt::Display, hint: impl fmt::Display) -> Result<T, Failure>;

    /// The call failed because of what the user asked for.
    ///
    /// # Errors
    /// What failed, as [`Failure`] with exit code 1.
    fn or_usage(self, tried: impl fmt::Display, hint: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: Into<Source>> Explain<T> for Result<T, E> {
    fn or_environment(self, tried: impl fmt::Display, hint: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::environment(tried, hint).because(e))
    }

    fn or_usage(self, tried: impl fmt::Display, hint: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::usage(tried, hint).because(e))
    }
}

/// Stdout does not take what is printed. A reader that has gone is quiet; a full disk is told.
#[derive(Debug, thiserror::Error)]
#[error("writing to stdout")]
pub struct StdoutError(#[source] io::Error);

/// Prints data to stdout, all of it. For everything longer than a line in place of `print!`, which panics.
///
/// # Errors
/// [`StdoutError`]; [`run`] knows what to do with it.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(StdoutError)
}

/// Waits for a thread; its panic becomes ours, so that the program ends with code 3.
pub fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Runs the program `app` and says with what it ends, after telling the user on stderr if that is not well.
///
/// Panics of any thread are told in one line (with a backtrace if `RUST_BACKTRACE` is set); one that reaches this
/// thread ends the program with code 3.
pub fn run(app: &'static str, program: impl FnOnce() -> anyhow::Result<Exit>) -> ExitCode {
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0");
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_stdout_failure(info.payload()) {
            tell(app, &panic_line(info), Some("this is a bug; please report it with this line"));
            if backtrace {
                default_hook(info);
            }
        }
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(program));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => report(app, &error),
        Err(payload) if is_stdout_failure(&*payload) => stdout_failure(app, panic_text(&*payload)),
        Err(_) => Exit::Internal,
    };
    ExitCode::from(exit.code())
}

/// Tells the user about `error` and gives the exit that belongs to it.
fn report(app: &str, error: &anyhow::Error) -> Exit {
    let mut causes = error.chain();
    if let Some(e) = causes.find_map(|e| e.downcast_ref::<clap::Error>()) {
        let _ = e.print();
        return if e.use_stderr() { Exit::Usage } else { Exit::Done };
    }
    if error.downcast_ref::<StdoutError>().is_some_and(|e| e.0.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Done;
    }
    let Verdict { exit, hint } = classify(error);
    tell(app, &chain_line(error), hint.as_deref());
    exit
}

/// What kind of failure an error is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// With what the program ends.
    pub exit: Exit,
    /// What the user can do, if anybody knows.
    pub hint: Option<String>,
}

/// Looks through an error and its causes, from the outermost, for the first that has a class.
pub fn classify(error: &anyhow::Error) -> Verdict {
    for cause in error.chain() {
        if let Some(f) = cause.downcast_ref::<Failure>() {
            return Verdict { exit: f.exit, hint: f.hint.clone() };
        }
        if let Some(e) = cause.downcast_ref::<SettingsError>() {
            let exit = if e.is_usage() { Exit::Usage } else { Exit::Environment };
            return Verdict { exit, hint: Some(e.hint()) };
        }
        if let Some(e) = cause.downcast_ref::<WriteError>() {
            return Verdict { exit: Exit::Environment, hint: Some(e.hint()) };
        }
        if cause.is::<MapError>() {
            return Verdict { exit: Exit::Environment, hint: Some("see: doctor".into()) };
        }
        if let Some(StdoutError(_)) = cause.downcast_ref() {
            return Verdict { exit: Exit::Environment, hint: Some("make room, or send the output elsewhere".into()) };
        }
    }
    let from_system = error.chain().any(|e| e.is::<io::Error>());
    if from_system {
        Verdict { exit: Exit::Environment, hint: None }
    } else {
        Verdict { exit: Exit::Internal, hint: Some("this is a bug; please report it with this line".into()) }
    }
}

/// The error and its causes in one line; a cause that its parent already spells out is not repeated.
pub fn chain_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

fn tell(app: &str, line: &str, hint: Option<&str>) {
    let mut text = format!("{app}: {}\n", term::printable(line));
    if let Some(hint) = hint {
        text.push_str(&format!("hint: {}\n", term::printable(hint)));
    }
    term::write_lines(&text);
}

fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let text = panic_text(info.payload());
    match info.location() {
        Some(at) => format!("internal error at {}:{}: {text}", at.file(), at.line()),
        None => format!("internal error: {text}"),
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Whether this is the panic of `print!` and `println!`. Source: the text of the standard library.
fn is_stdout_failure(payload: &(dyn Any + Send)) -> bool {
    panic_text(payload).starts_with("failed printing to stdout")
}

fn stdout_failure(app: &str, text: &str) -> Exit {
    if text.contains("Broken pipe") {
        return Exit::Done;
    }
    tell(app, text, Some("make room, or send the output elsewhere"));
    Exit::Environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn the_outermost_explanation_decides() {
        let inner = || Failure::environment("connecting", "start the server").because(anyhow!("refused"));
        let outer = || anyhow::Error::from(inner()).context("opening the sink");
        let verdict = |exit, hint: Option<&str>| Verdict { exit, hint: hint.map(str::to_owned) };
        let bug = Some("this is a bug; please report it with this line");
        let cases = [
            (inner().into(), "connecting: refused", verdict(Exit::Environment, Some("start the server"))),
            (outer(), "opening the sink: connecting: refused", verdict(Exit::Environment, Some("start the server"))),
            (
                Failure::usage("both", "choose").because(outer()).into(),
                "both: opening the sink: connecting: refused",
                verdict(Exit::Usage, Some("choose")),
            ),
            (
                anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound)).context("reading"),
                "reading: entity not found",
                verdict(Exit::Environment, None),
            ),
            (anyhow!("odd"), "odd", verdict(Exit::Internal, bug)),
            (
                MapError::Missing { path: "/x".into() }.into(),
                "/x does not exist",
                verdict(Exit::Environment, Some("see: doctor")),
            ),
        ];
        for (error, line, expected) in cases {
            assert_eq!((chain_line(&error), classify(&error)), (line.to_owned(), expected));
        }
    }

    #[test]
    fn a_cause_that_is_spelt_out_already_is_not_repeated() {
        let error = Err::<(), _>(anyhow!("refused")).context("connecting: refused").unwrap_err();
        assert_eq!(chain_line(&error), "connecting: refused");
    }

    #[test]
    fn a_failed_call_can_be_explained_whatever_its_error() {
        let failed = || Err::<(), _>(anyhow!("refused"));
        let e = failed().or_usage("connecting", "choose another").unwrap_err();
        assert_eq!((e.exit(), e.hint(), e.to_string().as_str()), (Exit::Usage, Some("choose another"), "connecting"));
        let e = failed().or_environment("connecting", "start it").unwrap_err();
        assert_eq!((e.exit().code(), e.source().unwrap().to_string().as_str()), (2, "refused"));
    }
}
