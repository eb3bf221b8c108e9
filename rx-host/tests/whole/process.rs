//! Starting the other side, talking to it and seeing how it ends. Every wait has a bound: a process that hangs is killed
//! and fails the test.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The environment variable that makes this program a child.
pub const CHILD: &str = "RX_HOST_CHILD";

/// Far longer than anything here takes, on any machine.
const BOUND: Duration = Duration::from_secs(60);

/// A command that runs `program` of `child.rs` in a clean environment.
pub fn command(program: &str, args: &[&str]) -> Command {
    wrapped(&[], program, args)
}

/// As [`command`], run by another program (`unshare …`).
pub fn wrapped(wrapper: &[&str], program: &str, args: &[&str]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(exe),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(exe);
            command
        }
    };
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "RX_LOG", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.args(args).env(CHILD, program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// All it wrote to stdout that was not read before.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

/// A running process. Killed when dropped.
pub struct Running {
    child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        Running { child, stdin, stdout, stderr }
    }

    /// Waits for a line on stdout.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.bounded(|this| drop(this.stdout.read_line(&mut line)));
        line.trim_end().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let mut ended = Ended { code: None, stdout: String::new(), stderr: String::new() };
        self.bounded(|this| {
            let mut stderr = this.stderr.take().unwrap();
            let errors = thread::spawn(move || {
                let mut bytes = Vec::new();
                stderr.read_to_end(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes).into_owned()
            });
            this.stdout.read_to_string(&mut ended.stdout).unwrap();
            ended.stderr = errors.join().unwrap();
            let status = this.child.wait().unwrap();
            ended.code = status.code();
            assert!(status.core_dumped() || status.signal() != Some(6), "it aborted: {}", ended.stderr);
        });
        ended
    }

    /// Runs `f`; kills the process if that takes longer than the bound, which ends all reads from it.
    fn bounded(&mut self, f: impl FnOnce(&mut Self)) {
        let pid = Pid::from_child(&self.child);
        let (done, ended) = mpsc::channel::<()>();
        let guard = thread::spawn(move || {
            let late = ended.recv_timeout(BOUND) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = kill_process(pid, Signal::KILL);
            }
            late
        });
        f(self);
        drop(done);
        assert!(!guard.join().unwrap(), "it hung and was killed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub fn run(command: Command) -> Ended {
    Running::start(command).end()
}
