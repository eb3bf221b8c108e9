//! "This one moved": says which device is used, while it is. That something happened is told, never what.

use crate::input::evdev::event::{EV_SYN, events};
use crate::input::evdev::facts::Facts;
use crate::input::evdev::node::{BUFFER, Node};
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, poll};
use rx_host::clock;
use rx_host::exit::{self, Exit, Failure};
use rx_host::signals::Signals;
use rx_host::term;
use shm_proto::HostTime;
use std::os::fd::AsFd;

/// The same device is told again after so long without anything.
const QUIET: Duration = Duration::from_secs(1);
/// Devices that are watched, at most.
const MOST: usize = 64;

/// Which device is told next. Pure.
#[derive(Debug, Default)]
struct Teller {
    last: Option<(usize, HostTime)>,
}

impl Teller {
    /// Device `n` did something. Whether to tell it.
    fn did(&mut self, now: HostTime, n: usize) -> bool {
        let is_news = self.last.is_none_or(|(last, at)| last != n || now.since(at) >= QUIET);
        self.last = Some((n, now));
        is_news
    }
}

/// Watches `devices` until Ctrl-C or until all are gone.
///
/// Blocks.
///
/// # Errors
/// [`Failure`] if none of them may be read; when stdout does not take it.
pub fn run(devices: &[Facts]) -> anyhow::Result<Exit> {
    let signals = Signals::install_without_reload()?;
    let opened = devices.iter().filter_map(|f| Some((f, Node::open(f).ok()?)));
    let mut open: Vec<(&Facts, Node)> = opened.take(MOST).collect();
    if open.is_empty() {
        let hint = "see why, and what to do: frame-rx doctor --evdev auto";
        let what = format!("none of {} keyboards and mice may be read", devices.len());
        return Err(Failure::environment(what, hint).into());
    }
    term::write_lines(&format!(
        "frame-rx: watches {} of {} devices: press a key, or move a mouse (Ctrl-C ends it)\n",
        open.len(),
        devices.len()
    ));
    let (mut buffer, mut teller) = (BUFFER, Teller::default());
    while !signals.stop().is_requested() && !open.is_empty() {
        let stop = signals.stop().as_fd();
        let fds = open.iter().map(|(_, node)| node.as_fd()).chain([stop]);
        let mut polled: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // Interrupted or not: all are looked at anyway.
        let _ = poll(&mut polled, None);
        let mut gone = Vec::new();
        for (n, (facts, node)) in open.iter().enumerate() {
            match node.read(&mut buffer) {
                Ok(bytes) if events(bytes).any(|event| event.kind != EV_SYN) => {
                    if teller.did(clock::now(), n) {
                        exit::print(format!("{facts}\n"))?;
                    }
                }
                Ok(_) => {}
                Err(_) => gone.push(n),
            }
        }
        for n in gone.into_iter().rev() {
            let (facts, _) = open.swap_remove(n);
            term::write_lines(&format!("frame-rx: {facts} is gone\n"));
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_in_use_is_told_once_and_again_after_a_pause() {
        let mut teller = Teller::default();
        let at = |ms| HostTime::from_ns(1_000_000_000) + Duration::from_millis(ms);
        for (ms, n, told) in [
            (0, 0, true),
            (10, 0, false),
            (900, 0, false),
            (910, 1, true),
            (920, 0, true),
            (1919, 0, false),
            (2919, 0, true),
        ] {
            assert_eq!(teller.did(at(ms), n), told, "{ms}");
        }
    }
}
