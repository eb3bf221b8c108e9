//! Telling the service manager how it goes (`sd_notify`): ready, status, stopping, still alive. Outside a service, where
//! `NOTIFY_SOCKET` is not set, every call does nothing.
//!
//! Messages that cannot be sent are dropped: a receiver does not end because its supervisor does not listen. Sockets in
//! the abstract namespace (a name that starts with `@`) are not supported; systemd's are in the file system.

use crate::term;
use sd_notify::NotifyState;
use shm_proto::HostTime;
use std::time::Duration;

/// The line to the service manager. For the main thread.
#[derive(Debug)]
pub struct Service {
    supervised: bool,
    beat_every: Option<Duration>,
    last_beat: Option<HostTime>,
    last_status: String,
}

impl Service {
    /// What the environment says about a service manager.
    pub fn from_env() -> Service {
        let supervised = std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty());
        // Half the time, as the manual advises, so that one late beat is not the end.
        let beat_every = sd_notify::watchdog_enabled().filter(|_| supervised).map(|limit| limit / 2);
        Service { supervised, beat_every, last_beat: None, last_status: String::new() }
    }

    /// Whether a service manager listens.
    pub fn is_supervised(&self) -> bool {
        self.supervised
    }

    /// The start is complete: the unit counts as running.
    pub fn ready(&mut self) {
        self.send(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`. Saying the same again sends nothing.
    pub fn status(&mut self, text: &str) {
        if self.supervised && text != self.last_status {
            // One line: what follows a line end would be taken for a message of its own.
            let line = term::printable(text).replace('\n', " ");
            self.send(&[NotifyState::Status(&line)]);
            self.last_status = text.into();
        }
    }

    /// The settings are read again. Say [`Service::ready`] when that is done.
    pub fn reloading(&mut self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// The clean end has begun.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// How often [`Service::beat`] must be called at least; nothing without a watchdog.
    pub fn beat_every(&self) -> Option<Duration> {
        self.beat_every
    }

    /// Still alive. Sends something only when a watchdog waits for it and it is time.
    pub fn beat(&mut self, now: HostTime) {
        let Some(every) = self.beat_every else { return };
        // A little early rather than one call of the main loop too late.
        if self.last_beat.is_none_or(|last| now.since(last) >= every / 2) {
            self.last_beat = Some(now);
            self.send(&[NotifyState::Watchdog]);
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if self.supervised
            && let Err(e) = sd_notify::notify(states)
        {
            tracing::debug!("the service manager does not listen: {e}");
        }
    }
}
