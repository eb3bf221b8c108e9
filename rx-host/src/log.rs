//! Messages for people, on stderr: `app: the shared memory is open, 64 MiB`. No timestamps, no levels, no targets, until
//! `-v` asks for them. `RX_LOG` overrides the flags: a level, or `target=level,…`.
//!
//! What a guest does wrong is never a line for each time: [`Sparingly`] lets one through now and then, with the number
//! that were held back.

use crate::clock;
use crate::term;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use shm_proto::HostTime;
use std::io;
use std::time::Duration;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that overrides the flags.
pub const LOG_VARIABLE: &str = "RX_LOG";

/// The crates that speak for themselves; others only warn, until `-vv`.
const OUR_CRATES: [&str; 5] = ["shm_proto", "rx_host", "scream_rx", "frame_rx", "rx_bench"];

/// How much is told. Both receivers take these flags: `#[command(flatten)]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Verbosity {
    /// Tell more: with the time and the place in the program; twice, everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Tell less: warnings and errors only; twice, errors only.
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "verbose")]
    pub quiet: u8,
}

impl Verbosity {
    /// The least important level that is told.
    pub fn level(self) -> LevelFilter {
        match (self.quiet, self.verbose) {
            (0, 0) => LevelFilter::INFO,
            (0, 1) => LevelFilter::DEBUG,
            (0, _) => LevelFilter::TRACE,
            (1, _) => LevelFilter::WARN,
            (2, _) => LevelFilter::ERROR,
            (_, _) => LevelFilter::OFF,
        }
    }

    /// Whether the status line is wanted.
    pub fn wants_status(self) -> bool {
        self.quiet == 0
    }

    fn targets(self) -> Targets {
        let level = self.level();
        let others = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
        let targets = Targets::new().with_default(others).with_targets(OUR_CRATES.map(|name| (name, level)));
        // What it warns of at every start, the user of a plain X server need not know.
        let quieter = if level > LevelFilter::INFO { others } else { others.min(LevelFilter::ERROR) };
        targets.with_target("winit", quieter)
    }
}

/// Sends the messages of all crates to stderr from now on. To be called once, at the start of `main`; later calls change
/// nothing.
pub fn start(app: &'static str, verbosity: Verbosity) {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let parsed = wanted.as_deref().map(str::parse::<Targets>);
    let misread = matches!(parsed, Some(Err(_)));
    let overridden = matches!(parsed, Some(Ok(_)));
    let targets = parsed.and_then(Result::ok).unwrap_or_else(|| verbosity.targets());
    let format = ForPeople { app, detailed: verbosity.verbose > 0 || overridden, start: clock::now() };
    let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(Stderr).with_ansi(false);
    let started = tracing_subscriber::registry().with(layer).with(targets).try_init();
    if misread && started.is_ok() {
        tracing::warn!("{LOG_VARIABLE} is no level: use error, warn, info, debug, trace, or target=level");
    }
}

/// `app: message key=value`, warnings and errors by name; in detail with seconds since the start and the module.
struct ForPeople {
    app: &'static str,
    detailed: bool,
    start: HostTime,
}

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        write!(w, "{}: ", self.app)?;
        if self.detailed {
            let since = clock::now().since(self.start).as_secs_f64();
            write!(w, "[{since:10.4} {}] ", meta.target())?;
        }
        let name = match *meta.level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::DEBUG | Level::TRACE | Level::INFO => "",
        };
        w.write_str(name)?;
        ctx.format_fields(w.by_ref(), event)?;
        writeln!(w)
    }
}

/// Writes whole messages past the status line; what a message holds cannot look like another message.
struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;
    fn make_writer(&'a self) -> Stderr {
        Stderr
    }
}

impl io::Write for Stderr {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        let text = term::printable(text.trim_end_matches('\n')).replace('\n', "\n    ");
        term::write_lines(&format!("{text}\n"));
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets one of many equal messages through: the first, then at most one in each interval.
///
/// ```
/// use rx_host::log::Sparingly;
/// static TORN: Sparingly = Sparingly::new(std::time::Duration::from_secs(10));
/// # let now = rx_host::clock::now();
/// if let Some(unsaid) = TORN.pass(now) {
///     tracing::warn!("the guest overtook us ({unsaid} times since this was last said)");
/// }
/// ```
#[derive(Debug)]
pub struct Sparingly {
    every_ns: u64,
    next_ns: AtomicU64,
    unsaid: AtomicU64,
}

impl Sparingly {
    /// One message in `every` at most. For a `static`.
    pub const fn new(every: Duration) -> Sparingly {
        // An interval longer than 584 years may be cut.
        Sparingly { every_ns: every.as_nanos() as u64, next_ns: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether this message may be said, and how many were not since the last one that was.
    ///
    /// Real-time safe as long as nothing is said.
    pub fn pass(&self, now: HostTime) -> Option<u64> {
        // Relaxed: only the counts themselves matter.
        let next = self.next_ns.load(Ordering::Relaxed);
        let after = now.as_ns().saturating_add(self.every_ns).max(1);
        let is_due = now.as_ns() >= next
            && self.next_ns.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due {
            Some(self.unsaid.swap(0, Ordering::Relaxed))
        } else {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_the_level() {
        let level = |verbose, quiet| Verbosity { verbose, quiet }.level();
        let cases = [
            (level(0, 0), LevelFilter::INFO),
            (level(1, 0), LevelFilter::DEBUG),
            (level(9, 0), LevelFilter::TRACE),
            (level(0, 1), LevelFilter::WARN),
            (level(0, 2), LevelFilter::ERROR),
            (level(0, 9), LevelFilter::OFF),
        ];
        for (got, expected) in cases {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn foreign_crates_only_warn_until_everything_is_asked_for() {
        let would =
            |verbose, quiet, target: &str, level| Verbosity { verbose, quiet }.targets().would_enable(target, &level);
        assert!(would(0, 0, "scream_rx::clock", Level::INFO));
        assert!(!would(1, 0, "winit::window", Level::INFO));
        assert!(would(1, 0, "winit::window", Level::WARN));
        assert!(!would(0, 0, "winit::window", Level::WARN) && would(0, 0, "winit::window", Level::ERROR));
        assert!(would(0, 0, "wgpu_core", Level::WARN));
        assert!(would(2, 0, "winit::window", Level::TRACE));
        assert!(!would(0, 2, "winit::window", Level::WARN));
    }

    #[test]
    fn a_flood_of_equal_messages_becomes_a_few_with_a_number() {
        let torn = Sparingly::new(Duration::from_secs(10));
        let said: Vec<_> = (0..25_000u64).filter_map(|ms| torn.pass(HostTime::from_ns(ms * 1_000_000))).collect();
        assert_eq!(said, [0, 9_999, 9_999]);
    }

    #[test]
    fn of_many_threads_one_says_it() {
        let torn = Sparingly::new(Duration::from_secs(10));
        let now = clock::now();
        let said: usize = std::thread::scope(|s| {
            let threads: Vec<_> =
                (0..4).map(|_| s.spawn(|| (0..1000).filter_map(|_| torn.pass(now)).count())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(said, 1);
        assert_eq!(torn.pass(now + Duration::from_secs(11)), Some(3999));
    }
}
