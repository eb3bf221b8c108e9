//! `scream-rx doctor`: the shared checks of the host, and those that only sound needs.

use crate::settings::Settings;
use rx_host::doctor::{Doctor, Finding, checks};
use shm_proto::{Access, scream};
use std::path::Path;

/// Looks at everything that `settings` need. Changes nothing.
///
/// Blocks while servers and devices are asked, some seconds at most.
pub fn examine(settings: &Settings, file: &Path) -> Doctor {
    let mut doctor = Doctor::new();
    doctor.extend(checks::region(file, Access::ReadOnly, scream::wire::HEADER_BYTES + 1, checks::Expected::Scream));
    doctor.add(checks::shared_memory());
    let sound = sound();
    doctor.extend(sound);
    if let Some(device) = &settings.play.device {
        doctor.add(Finding::ok("device", format!("{device} is to be used")));
    }
    doctor.extend(checks::limits());
    doctor.add(checks::groups());
    doctor
}

/// A sound server and ALSA; one of the two is enough.
fn sound() -> Vec<Finding> {
    let mut findings = Vec::new();
    #[cfg(feature = "pulse")]
    findings.push(match crate::sink::pulse::devices(None) {
        Ok(devices) => match devices.iter().find(|d| d.is_default).or(devices.first()) {
            Some(d) => Finding::ok("sound server", format!("answers; plays on {} ({})", d.description, d.format)),
            None => Finding::bad(
                "sound server",
                "answers, but has nothing to play on",
                "see why: pactl list cards; then plug in or switch on a device",
            ),
        },
        Err(reason) => Finding::warn(
            "sound server",
            reason,
            "systemctl --user start pipewire-pulse, or pulseaudio --start; or play without one: -o alsa",
        ),
    });
    #[cfg(feature = "alsa")]
    findings.push(match crate::sink::device::check(crate::sink::device::Api::Alsa, crate::sink::device::DEFAULT) {
        Ok(format) => Finding::ok("ALSA", format!("the default device plays {format}")),
        Err(reason) => Finding::warn("ALSA", reason, "needed only without a sound server: aplay -L lists devices"),
    });
    let nothing = |f: &Finding| f.health != rx_host::doctor::Health::Ok;
    if !findings.is_empty() && findings.iter().all(nothing) {
        findings.push(Finding::bad("sound", "there is nothing to play on", "start a sound server, or record: -o wav"));
    }
    findings
}
