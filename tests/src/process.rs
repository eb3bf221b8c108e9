//! A child process under watch: its output is collected line by line, every wait for it has a bound, and dropping the
//! value kills it. Where `setpriv` is there, the kernel also kills it when the test's own thread ends, however that ends.

use crate::require;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for something that normally takes no time: a busy machine can be a hundred times slower than a free one.
pub const SOON: Duration = Duration::from_secs(30);

/// A command whose process dies with the calling thread.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    match require::find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Which of the two outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: data.
    Out,
    /// Standard error: words for people.
    Err,
}

#[derive(Default)]
struct Output {
    lines: Vec<(Stream, String)>,
    open_streams: u32,
}

#[derive(Default)]
struct Log {
    output: Mutex<Output>,
    changed: Condvar,
}

impl Log {
    // A test that fails while it holds the lock leaves it poisoned; its lines are what the message needs then.
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running child. Lines are kept until it is dropped.
pub struct Running {
    name: String,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
    /// A line with one of these words means that waiting any longer is useless.
    fatal: &'static [&'static str],
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("name", &self.name).field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

impl Running {
    /// Starts `command` without standard input. What it writes is collected, unless the command already says where its
    /// standard output goes (`keep_stdout`).
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Running {
        command.stdout(Stdio::piped());
        Running::start_keeping_stdout(name, command)
    }

    /// As [`Running::start`], but standard output goes where the command sends it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_keeping_stdout(name: &str, command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started: {e} ({command:?})"));
        let log = Arc::new(Log::default());
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(collect(out, Stream::Out, &log));
        }
        if let Some(err) = child.stderr.take() {
            readers.push(collect(err, Stream::Err, &log));
        }
        Running { name: name.to_owned(), child, log, readers, fatal: &[] }
    }

    /// From now on a wait fails at once when a line holds one of `words`.
    pub fn fail_on(&mut self, words: &'static [&'static str]) {
        self.fatal = words;
    }

    /// How many lines there are now: the place from which [`Running::line_after`] can look.
    pub fn mark(&self) -> usize {
        self.log.lock().lines.len()
    }

    /// Waits for a line that holds `text`, and gives it.
    ///
    /// # Panics
    /// If it does not come within `within`, the process closes its output first, or a fatal line comes. The message
    /// holds the last lines.
    pub fn line(&self, text: &str, within: Duration) -> String {
        self.line_after(0, text, within)
    }

    /// As [`Running::line`], looking only at lines from `mark` on.
    ///
    /// # Panics
    /// As [`Running::line`].
    pub fn line_after(&self, mark: usize, text: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        let mut output = self.log.lock();
        let mut looked = mark;
        loop {
            for (_, line) in output.lines.get(looked..).unwrap_or_default() {
                if line.contains(text) {
                    return line.clone();
                }
                if let Some(word) = self.fatal.iter().find(|word| line.contains(**word)) {
                    panic!("{}: waited for {text:?}, but came {word:?}\n{}", self.name, tail(&output));
                }
            }
            looked = looked.max(output.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if output.open_streams == 0 {
                panic!("{}: ended before it wrote {text:?}\n{}", self.name, tail(&output));
            }
            if left.is_zero() {
                panic!("{}: no {text:?} within {within:?}\n{}", self.name, tail(&output));
            }
            output = self.log.changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything written to `stream` so far, line by line.
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        let output = self.log.lock();
        output.lines.iter().filter(|(s, _)| *s == stream).map(|(_, line)| line.clone()).collect()
    }

    /// What was written to `stream` since [`Running::mark`] gave `mark`, which counts the lines of both.
    pub fn lines_after(&self, mark: usize, stream: Stream) -> Vec<String> {
        let output = self.log.lock();
        output.lines.iter().skip(mark).filter(|(s, _)| *s == stream).map(|(_, line)| line.clone()).collect()
    }

    /// The last lines of both streams, for the message of a failing test.
    pub fn tail(&self) -> String {
        tail(&self.log.lock())
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it ends within `within` without being told to.
    pub fn ends_by_itself(&mut self, within: Duration) -> bool {
        until_or_late(within, || (!self.is_alive()).then_some(())).is_some()
    }

    /// Sends a signal. Nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        // `child` has not been waited for if it is alive, so the number is still its own.
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for the end, and gives how it ended.
    ///
    /// # Panics
    /// If it does not end within `within`.
    pub fn end(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        let log = Arc::clone(&self.log);
        until(&what, within, || self.child.try_wait().expect("wait"), || tail(&log.lock()))
    }

    /// As [`Running::end`], with everything it wrote.
    ///
    /// # Panics
    /// As [`Running::end`]; also if something that it started still holds its output `within` after that.
    pub fn finish(mut self, within: Duration) -> Finished {
        let status = self.end(within);
        let is_over = self.output_ends(within);
        assert!(is_over, "{} ended, but another process holds its output\n{}", self.name, self.tail());
        for reader in self.readers.drain(..) {
            reader.join().expect("reader");
        }
        Finished { status, out: self.lines(Stream::Out), err: self.lines(Stream::Err) }
    }

    /// Whether nobody can write to its output any more, `within` from now at the latest.
    fn output_ends(&self, within: Duration) -> bool {
        let is_open = |output: &mut Output| output.open_streams > 0;
        let waited = self.log.changed.wait_timeout_while(self.log.lock(), within, is_open);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Captured by the harness, and shown since the test fails.
            eprintln!("--- {}, last lines\n{}", self.name, self.tail());
        }
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, line by line.
    pub out: Vec<String>,
    /// Standard error, line by line.
    pub err: Vec<String>,
}

/// Runs `command` to its end.
///
/// # Panics
/// If it cannot be started or does not end within `within`.
pub fn run(name: &str, command: &mut Command, within: Duration) -> Finished {
    Running::start(name, command).finish(within)
}

/// Looks again and again until `look` finds something, and gives it.
///
/// # Panics
/// If nothing is found within `within`; `describe` is called for the message then.
pub fn until<T>(what: &str, within: Duration, look: impl FnMut() -> Option<T>, describe: impl FnOnce() -> String) -> T {
    until_or_late(within, look).unwrap_or_else(|| panic!("waited {within:?} for {what}\n{}", describe()))
}

/// As [`until`], but nothing instead of a panic. Between two looks the thread yields for some milliseconds: long enough
/// not to take the processor from what is waited for.
pub fn until_or_late<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn collect(from: impl Read + Send + 'static, stream: Stream, log: &Arc<Log>) -> JoinHandle<()> {
    log.lock().open_streams += 1;
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while matches!(from.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            log.lock().lines.push((stream, line));
            log.changed.notify_all();
        }
        log.lock().open_streams -= 1;
        log.changed.notify_all();
    })
}

fn tail(output: &Output) -> String {
    let from = output.lines.len().saturating_sub(40);
    output.lines[from..].iter().map(|(_, line)| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = tied("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_arrive() {
        let done = run("shell", &mut shell("echo data; echo words >&2; exit 3"), SOON);
        assert_eq!((done.status.code(), done.out, done.err), (Some(3), vec!["data".into()], vec!["words".into()]));
    }

    #[test]
    fn a_line_is_found_whenever_it_came() {
        let running = Running::start("shell", &mut shell("echo first; echo second; sleep 600"));
        assert_eq!(running.line("second", SOON), "second");
        assert_eq!(running.line("first", SOON), "first");
        let mark = running.mark();
        assert_eq!((mark, running.lines(Stream::Out).len()), (2, 2));
    }

    #[test]
    fn a_mark_counts_the_lines_of_both_streams() {
        let running = Running::start("shell", &mut shell("echo words >&2; echo data; sleep 600"));
        running.line("words", SOON);
        running.line("data", SOON);
        let lines = |mark| [Stream::Out, Stream::Err].map(|stream| running.lines_after(mark, stream));
        assert_eq!(lines(0), [["data"], ["words"]]);
        assert_eq!(lines(1).concat().len(), 1);
        assert_eq!(lines(running.mark()).concat(), [""; 0]);
    }

    #[test]
    #[should_panic(expected = "ended before it wrote \"never\"")]
    fn an_early_end_is_not_waited_out() {
        Running::start("shell", &mut shell("echo something")).line("never", Duration::from_secs(3600));
    }

    #[test]
    #[should_panic(expected = "but came \"panic\"")]
    fn a_fatal_line_is_not_waited_out() {
        let mut running = Running::start("shell", &mut shell("echo a panic; sleep 600"));
        running.fail_on(&["panic"]);
        running.line("never", Duration::from_secs(3600));
    }

    #[test]
    fn dropping_kills() {
        let running = Running::start("shell", &mut shell("echo up; exec sleep 600"));
        running.line("up", SOON);
        let proc = std::path::PathBuf::from(format!("/proc/{}", running.pid()));
        assert!(proc.exists());
        drop(running);
        assert!(!proc.exists());
    }

    #[test]
    fn output_that_another_process_holds_is_not_waited_for_without_end() {
        let mut running = Running::start("shell", &mut shell("sleep 600 & echo $!"));
        let other = running.line("", SOON);
        assert_eq!(running.end(SOON).code(), Some(0));
        assert!(!running.output_ends(Duration::from_millis(100)));
        assert!(run("kill", &mut shell(&format!("kill {other}")), SOON).status.success());
        assert!(running.output_ends(SOON));
    }

    #[test]
    fn a_signal_reaches_the_program_itself() {
        let mut running =
            Running::start("shell", &mut shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"));
        running.line("up", SOON);
        running.signal(Signal::TERM);
        assert_eq!(running.end(SOON).code(), Some(7));
    }
}
