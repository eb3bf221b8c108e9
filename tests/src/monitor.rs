//! QEMU's monitor: what is plugged in and out, and which keys a person presses. Source of the lines: QEMU's QMP.

use crate::process::SOON;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection, ready for commands.
#[derive(Debug)]
pub struct Monitor(BufReader<UnixStream>);

impl Monitor {
    /// Connects to the socket at `path`.
    ///
    /// # Panics
    /// If nobody answers there in time.
    pub fn connect(path: &Path) -> Monitor {
        let stream = UnixStream::connect(path).expect("the monitor");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut monitor = Monitor(BufReader::new(stream));
        monitor.wait("QMP");
        monitor.execute("qmp_capabilities", "{}");
        monitor
    }

    /// Carries out `command`; `arguments` is an object of JSON.
    ///
    /// # Panics
    /// If QEMU refuses it or has gone.
    pub fn execute(&mut self, command: &str, arguments: &str) {
        writeln!(self.0.get_mut(), "{{\"execute\":\"{command}\",\"arguments\":{arguments}}}").expect("the monitor");
        self.wait("return");
    }

    /// Sends one event of a keyboard or a mouse, an object of JSON.
    ///
    /// # Panics
    /// As [`Monitor::execute`].
    pub fn event(&mut self, event: &str) {
        self.execute("input-send-event", &format!("{{\"events\":[{event}]}}"));
    }

    fn wait(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(&format!("\"{word}\"")) {
            assert!(!line.contains("\"error\""), "the monitor: {line}");
            line.clear();
            assert!(self.0.read_line(&mut line).expect("the monitor") > 0, "the monitor closed");
        }
    }
}
