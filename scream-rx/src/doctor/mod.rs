//! `scream-rx doctor`: the shared checks of the host, and those that only sound needs.

mod network;
mod stream;

use crate::cli::RunArgs;
use crate::origin::{Origin, Ways};
use crate::settings::Settings;
use rx_host::doctor::{Doctor, Finding, checks};
use rx_host::settings::SettingsError;
use shm_proto::{Access, scream};
use std::net::SocketAddrV4;

/// [`examine`] with the settings that `args` and the file give. A file that cannot be used is a finding like others: the rest is
/// looked at as if there were none.
///
/// Blocks as [`examine`] does.
///
/// # Errors
/// [`SettingsError`], if it is the command line that is wrong.
pub fn examine_as_told(args: &RunArgs, udp: Option<SocketAddrV4>) -> Result<Doctor, SettingsError> {
    let (settings, wrong) = match Settings::from_args(args) {
        Ok((settings, _)) => (settings, None),
        Err(error) => (Settings::without_file(args)?, Some(error)),
    };
    let mut doctor = Doctor::new();
    doctor.extend(wrong.map(|error| {
        let fix = format!("{} (the rest was examined with default settings)", error.hint());
        Finding::bad("settings", error.to_string(), fix)
    }));
    doctor.extend(examine(&settings, udp).findings().iter().cloned());
    Ok(doctor)
}

/// Looks at everything that `settings` need: the memory unless they name the network alone, the network unless they name
/// the memory alone. With `udp` it listens there, whatever they name. Changes nothing.
///
/// Blocks while servers and devices are asked, some seconds at most.
pub fn examine(settings: &Settings, udp: Option<SocketAddrV4>) -> Doctor {
    let mut doctor = Doctor::new();
    let Origin { ways, file, listen } = &settings.origin;
    if *ways != Ways::Network {
        doctor.extend(checks::region(file, Access::ReadOnly, scream::wire::HEADER_BYTES + 1, checks::Expected::Scream));
        doctor.extend(stream::check(file));
    }
    let asked = udp.map(|address| listen.clone().at(address));
    if let Some(listen) = asked.or_else(|| (*ways != Ways::Memory).then(|| listen.clone())) {
        doctor.add(network::check(&listen, &settings.origin.label()));
    }
    if *ways != Ways::Network {
        doctor.add(checks::shared_memory());
    }
    let sound = sound();
    doctor.extend(sound);
    if let Some(device) = &settings.play.device {
        doctor.add(self::device(settings, device));
    }
    doctor.extend(checks::limits());
    doctor.add(checks::groups());
    doctor
}

/// Whether the device that the settings name is there.
fn device(settings: &Settings, device: &str) -> Finding {
    use crate::cli::Output;
    let name = "device";
    let missing = |near: String| {
        Finding::bad(name, format!("the settings name {device}, which is not there"), format!("choose one of: {near}"))
    };
    match settings.play.output {
        #[cfg(feature = "pulse")]
        Output::Auto | Output::Pulse if !device.starts_with('@') => match crate::sink::pulse::devices(None) {
            Ok(devices) => match crate::sink::pulse::choose(&devices, device).map(|place| devices.get(place)) {
                Ok(found) => {
                    Finding::ok(name, found.map_or(device.to_owned(), |d| format!("{} ({})", d.description, d.format)))
                }
                Err(near) => missing(near),
            },
            // Told already: no server answers.
            Err(_) => Finding::ok(name, format!("{device} is to be used")),
        },
        #[cfg(feature = "alsa")]
        Output::Alsa => match crate::sink::device::check(crate::sink::device::Api::Alsa, device) {
            Ok(format) => Finding::ok(name, format!("{device} plays {format}")),
            Err(reason) => Finding::bad(name, format!("{device}: {reason}"), "see what there is: scream-rx devices"),
        },
        _ => Finding::ok(name, format!("{device} is to be used")),
    }
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
