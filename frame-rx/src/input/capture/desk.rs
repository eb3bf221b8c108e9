//! What the input's thread has of the host's own devices: they are read while it runs and grabbed while the guest has
//! the input; given back when the session is switched away; and, until the release chord was used once, after ten
//! seconds.

use super::watchdog::Beat;
use crate::input::evdev::devices::{Devices, Reader};
use crate::input::evdev::rule::Rule;
use crate::input::router::{Act, Router};
use crate::input::session::Session;
use crate::input::sink::Leds;
use crate::input::stats::InputStats;
use core::time::Duration;
use rx_host::atomic_file;
use shm_proto::HostTime;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// How long the guest has grabbed devices before the release chord was ever used.
pub const TRIAL: Duration = Duration::from_secs(10);
/// Between two looks whether the session is the one that is shown.
const SESSION_LOOK: Duration = Duration::from_millis(250);
/// Every device may have something.
const ALL: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    devices: Option<Devices>,
    /// Which devices have something, by their place.
    ready: u64,
    session: Session,
    session_at: HostTime,
    /// Where it is remembered that the chord was used.
    trial_mark: Option<PathBuf>,
    /// Whether it has to be remembered.
    is_on_trial: bool,
    pub(super) beat: Arc<Beat>,
}

impl Desk {
    /// With the devices that `rules` mean; with none of them it does nothing.
    pub(super) fn new(rules: &[Rule], trial_mark: Option<PathBuf>, router: &mut Router) -> Desk {
        let devices = (!rules.is_empty()).then(|| Devices::new(rules.to_vec()));
        let is_on_trial = devices.is_some() && !trial_mark.as_ref().is_some_and(|mark| mark.exists());
        router.set_trial(is_on_trial.then_some(TRIAL));
        Desk {
            devices,
            ready: ALL,
            session: Session::of_this_process(),
            session_at: HostTime::ZERO,
            trial_mark,
            is_on_trial,
            beat: Arc::default(),
        }
    }

    /// Whether devices are read at all.
    pub(super) fn has_devices(&self) -> bool {
        self.devices.is_some()
    }

    /// Reads what has come.
    pub(super) fn serve(&mut self, now: HostTime, router: &mut Router, acts: &mut Vec<Act>, stats: &InputStats) {
        let Some(devices) = &mut self.devices else { return };
        let ready = core::mem::take(&mut self.ready);
        devices.serve(now, ready, &mut Reader { router, acts, stats });
        self.beat.set_held(devices.held());
        if router.is_grabbed() && now >= self.session_at {
            self.session_at = now + SESSION_LOOK;
            if !self.session.is_shown() {
                tracing::info!("input: this session is not shown any more: the host has its devices");
                router.give_back_at_once(now, acts);
            }
        }
        if self.is_on_trial && !router.is_on_trial() {
            self.is_on_trial = false;
            self.remember();
        }
    }

    /// The chord is known to whoever sits here.
    fn remember(&mut self) {
        let Some(mark) = &self.trial_mark else { return };
        let made = mark.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.map_err(|e| e.to_string()).and_then(|()| {
            let text = |out: &mut dyn Write| writeln!(out, "The release chord of frame-rx was used once.");
            atomic_file::write(mark, text).map_err(|e| e.to_string())
        });
        if let Err(error) = written {
            tracing::debug!("that the release chord was used will not be remembered: {error}");
        }
    }

    /// The guest has the input.
    pub(super) fn grab(&mut self, now: HostTime) {
        if let Some(devices) = &mut self.devices {
            devices.grab(now);
            self.session_at = now;
        }
    }

    /// The host has the input.
    pub(super) fn ungrab(&mut self, router: &mut Router) {
        if let Some(devices) = &mut self.devices {
            devices.ungrab(router);
            self.beat.set_held(0);
        }
    }

    /// The guest's lamps.
    pub(super) fn set_leds(&mut self, leds: Leds) {
        if let Some(devices) = &mut self.devices {
            devices.set_leds(leds);
        }
    }

    /// Whether the guest's keys do not come from the window.
    pub(super) fn has_keyboard(&self) -> bool {
        self.devices.as_ref().is_some_and(Devices::has_keyboard)
    }

    /// When [`Desk::serve`] is due.
    pub(super) fn due(&self, now: HostTime) -> Option<HostTime> {
        self.devices.as_ref().map(|devices| devices.due(now))
    }

    /// What to wait for, in the order of the bits of [`Desk::note`].
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.devices.iter().flat_map(Devices::descriptors)
    }

    /// Counts up when [`Desk::descriptors`] has others.
    pub(super) fn changes(&self) -> u64 {
        self.devices.as_ref().map_or(0, Devices::changes)
    }

    /// Remembers what the wait told of the devices.
    pub(super) fn note(&mut self, ready: u64) {
        self.ready |= ready;
    }
}
