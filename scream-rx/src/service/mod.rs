//! `scream-rx service`: the systemd user units, and the settings file of a guest. The text of the units is that of
//! `packaging/systemd`, with this program's own path in it. What is written carries a mark by which it is known again:
//! a file that somebody edited is neither replaced nor removed, unless that is asked for.

mod marked;

use crate::cli::{ServiceAction, ServiceArgs, UnitArgs};
use marked::State;
use rx_host::atomic_file;
use rx_host::exit::{Explain, Failure};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const PLAIN: &str = include_str!("../../../packaging/systemd/scream-rx.service");
const TEMPLATE: &str = include_str!("../../../packaging/systemd/scream-rx@.service");
/// The program as the units in `packaging` name it.
const PACKAGED_PROGRAM: &str = "/usr/bin/scream-rx";
/// What `--network` puts beside a unit. Instances share one unit file, and each has its own of these: what one needs is
/// neither given to the others nor taken away by them.
const NETWORK: &str = "\
# Lets it use the network: for Scream over UDP, or a sound server on another machine.

[Service]
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
";

/// What a settings file says before anybody wrote into it.
const SETTINGS: &str = "\
# Settings of scream-rx for one guest; names and values are those of the long flags (see: scream-rx config --explain).
# file = \"/dev/shm/scream-ivshmem\"
# output = \"auto\"
# device = \"name or description, see: scream-rx devices\"
# profile = \"balanced\"
";

/// The longest name of a guest that is taken: part of file and socket names.
const MAX_NAME: usize = 48;

/// Where a user's units and settings are.
#[derive(Clone, Debug)]
struct Places {
    units: PathBuf,
    settings: PathBuf,
}

impl Places {
    /// Where a unit's own leave to use the network is.
    fn network(&self, enabled: &str) -> PathBuf {
        self.units.join(format!("{enabled}.d/network.conf"))
    }

    fn of_user() -> Result<Places, Failure> {
        let none = || Failure::environment("the environment names no home for settings", "set HOME");
        let settings = rx_host::settings::default_path("scream-rx").ok_or_else(none)?;
        let settings = settings.parent().map(Path::to_owned).ok_or_else(none)?;
        let units = settings.parent().map(|config| config.join("systemd/user")).ok_or_else(none)?;
        Ok(Places { units, settings })
    }
}

/// Does what `args` say; gives what to print on stdout.
///
/// Blocks for the disk, and for `systemctl` if that is to be run.
///
/// # Errors
/// [`Failure`] with what to do. Nothing was changed then, but for a `systemctl` that failed after the files were written.
pub fn run(args: &ServiceArgs) -> Result<String, Failure> {
    match &args.action {
        ServiceAction::Print(unit) => print(unit),
        ServiceAction::Install { unit, force, now } => install(unit, *force, *now),
        ServiceAction::Uninstall { name, force, now } => uninstall(name.as_deref(), *force, *now),
    }
}

/// Whether a guest may be called this: its name becomes part of a file's, a socket's and a unit's.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{name:?} cannot be the name of a guest"),
        format!("use letters, digits, `-`, `_` and `.`, at most {MAX_NAME}: scream-rx service install win10"),
    ))
}

/// Whether a unit may have this name: settings of its own go with it.
fn check_guest(name: &str) -> Result<(), Failure> {
    check_name(name)?;
    if name == "config" {
        return Err(Failure::usage(
            "config cannot be the name of a guest: config.toml holds the settings of the unit without a name",
            "choose another name: scream-rx service install win10; or leave it out",
        ));
    }
    Ok(())
}

/// All that would be installed, without marks, and as `systemctl cat` shows it.
fn print(unit: &UnitArgs) -> Result<String, Failure> {
    let (_, enabled) = unit_names(unit.name.as_deref());
    let text = text(unit)?;
    Ok(if unit.network { format!("{text}\n# {enabled}.d/network.conf\n{NETWORK}") } else { text })
}

/// The unit as it would be installed, without a mark.
fn text(unit: &UnitArgs) -> Result<String, Failure> {
    if let Some(name) = &unit.name {
        check_guest(name)?;
    }
    let program = match &unit.program {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .or_environment("cannot tell where this program is", "name it: --program /usr/bin/scream-rx")?,
    };
    let program = program.to_str().filter(|p| p.starts_with('/') && !p.contains(['"', '\\', '\n', '$']));
    let program = program.ok_or_else(|| {
        Failure::usage("the path of the program cannot stand in a unit", "name an absolute, plain one: --program FILE")
    })?;
    // As systemd reads it: a percent sign begins a specifier, a blank ends a word.
    let mut program = program.replace('%', "%%");
    if program.contains(char::is_whitespace) {
        program = format!("\"{program}\"");
    }
    let packaged = if unit.name.is_some() { TEMPLATE } else { PLAIN };
    Ok(packaged.replace(&format!("ExecStart={PACKAGED_PROGRAM} "), &format!("ExecStart={program} ")))
}

/// The name of the unit's file, and of the unit that is enabled.
fn unit_names(name: Option<&str>) -> (&'static str, String) {
    match name {
        None => ("scream-rx.service", "scream-rx.service".into()),
        Some(name) => ("scream-rx@.service", format!("scream-rx@{name}.service")),
    }
}

fn install(unit: &UnitArgs, force: bool, now: bool) -> Result<String, Failure> {
    let text = text(unit)?;
    let places = Places::of_user()?;
    let (file, enabled) = unit_names(unit.name.as_deref());
    let path = places.units.join(file);
    let state = State::of(&path).map_err(|e| unreadable(&path, e))?;
    if state == State::Edited && !force {
        return Err(Failure::environment(
            format!("{} was edited, and stays as it is", path.display()),
            format!(
                "compare: scream-rx service print {}| diff {} -; or replace it: --force",
                unit.name.as_ref().map(|n| format!("{n} ")).unwrap_or_default(),
                path.display()
            ),
        ));
    }
    let mut said = String::new();
    let marked = marked::mark(&text);
    if state == State::Ours && std::fs::read_to_string(&path).is_ok_and(|there| there == marked) {
        let _ = writeln!(said, "{} is up to date", path.display());
    } else {
        write(&path, &marked)?;
        let _ = writeln!(said, "wrote {}", path.display());
    }
    open_network(&places.network(&enabled), unit, force, &mut said)?;
    if let Some(name) = &unit.name {
        let settings = places.settings.join(format!("{name}.toml"));
        // Whatever is there already is the user's.
        if State::of(&settings).map_err(|e| unreadable(&settings, e))? == State::Absent {
            write(&settings, &marked::mark(SETTINGS))?;
            let _ = writeln!(said, "wrote {} (edit it: which region is this guest's?)", settings.display());
        }
    }
    if now {
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", "--now", &enabled])?;
        let _ = writeln!(said, "{enabled} is enabled and started");
    } else {
        let _ = writeln!(said, "next: systemctl --user daemon-reload && systemctl --user enable --now {enabled}");
    }
    Ok(said)
}

/// Gives the unit the network, if that is wanted. What was given stays: its settings may need it.
fn open_network(path: &Path, unit: &UnitArgs, force: bool, said: &mut String) -> Result<(), Failure> {
    let shown = path.display();
    let name = unit.name.as_deref().unwrap_or_default();
    match (State::of(path).map_err(|e| unreadable(path, e))?, unit.network) {
        (State::Absent, false) => {}
        (State::Edited, true) if !force => {
            let _ = writeln!(said, "{shown} stays: it was edited (--force replaces it)");
        }
        (_, true) => {
            write(path, &marked::mark(NETWORK))?;
            let _ = writeln!(said, "wrote {shown}: this one may use the network");
        }
        (_, false) => {
            let _ = writeln!(
                said,
                "{shown} stays: this one may use the network (scream-rx service uninstall {name} ends that)"
            );
        }
    }
    Ok(())
}

fn uninstall(name: Option<&str>, force: bool, now: bool) -> Result<String, Failure> {
    if let Some(name) = name {
        check_guest(name)?;
    }
    let places = Places::of_user()?;
    let (file, enabled) = unit_names(name);
    let mut said = String::new();
    if now {
        systemctl(&["disable", "--now", &enabled])?;
        let _ = writeln!(said, "{enabled} is stopped and disabled");
    }
    if let Some(name) = name {
        remove(&places.settings.join(format!("{name}.toml")), force, &mut said)?;
    }
    let network = places.network(&enabled);
    if State::of(&network).map_err(|e| unreadable(&network, e))? != State::Absent {
        remove(&network, force, &mut said)?;
        // If nobody put anything else there.
        let _ = network.parent().map(std::fs::remove_dir);
    }
    match name.and_then(|name| other_instance(&places, name)) {
        Some(other) => {
            let _ = writeln!(said, "{file} stays: {other} uses it");
        }
        None => remove(&places.units.join(file), force, &mut said)?,
    }
    if now {
        systemctl(&["daemon-reload"])?;
    } else {
        let _ = writeln!(said, "if it runs: systemctl --user disable --now {enabled}");
    }
    Ok(said)
}

/// Another instance of the template: one that is enabled, or a guest with settings of its own.
fn other_instance(places: &Places, name: &str) -> Option<String> {
    let own = unit_names(Some(name)).1;
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let wants = names(&places.units).into_iter().filter(|folder| folder.ends_with(".wants"));
    let enabled = wants.flat_map(|folder| names(&places.units.join(folder)));
    let guests = names(&places.settings).into_iter().filter(|file| file != "config.toml");
    let guests = guests.filter_map(|file| Some(unit_names(Some(file.strip_suffix(".toml")?)).1));
    enabled.chain(guests).find(|unit| unit.starts_with("scream-rx@") && *unit != own)
}

fn remove(path: &Path, force: bool, said: &mut String) -> Result<(), Failure> {
    let shown = path.display();
    let gone = match State::of(path).map_err(|e| unreadable(path, e))? {
        State::Absent => format!("{shown} is not there"),
        State::Edited if !force => format!("{shown} stays: it was edited (--force removes it)"),
        State::Ours | State::Edited => {
            std::fs::remove_file(path)
                .or_environment(format!("cannot remove {shown}"), format!("see who may: ls -l {shown}"))?;
            format!("removed {shown}")
        }
    };
    let _ = writeln!(said, "{gone}");
    Ok(())
}

fn unreadable(path: &Path, e: std::io::Error) -> Failure {
    Failure::environment(format!("cannot read {}", path.display()), format!("see: ls -l {}", path.display())).because(e)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .or_environment(format!("cannot make {}", folder.display()), "see who may write in your home folder")?;
    atomic_file::write(path, |out| out.write_all(text.as_bytes())).map_err(|e| {
        let hint = e.hint();
        Failure::environment(e, hint)
    })
}

fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let tried = format!("systemctl --user {}", words.join(" "));
    let done = Command::new("systemctl").arg("--user").args(words).output();
    let done = done.or_environment(format!("cannot run {tried}"), "is systemd there? leave --now out")?;
    if done.status.success() {
        return Ok(());
    }
    let said = rx_host::term::printable(String::from_utf8_lossy(&done.stderr).trim()).replace('\n', "; ");
    Err(Failure::environment(format!("{tried}: {said}"), "see: systemctl --user status; the files are written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: Option<&str>, program: &str) -> Result<String, Failure> {
        text(&UnitArgs { name: name.map(Into::into), program: Some(program.into()), network: false })
    }

    #[test]
    fn the_unit_is_the_packaged_one_but_for_the_programs_path() {
        assert_eq!(unit(None, "/usr/bin/scream-rx").unwrap(), PLAIN);
        assert_eq!(unit(Some("win10"), "/usr/bin/scream-rx").unwrap(), TEMPLATE);
        let elsewhere = unit(Some("a"), "/home/x y/100%/scream-rx").unwrap();
        assert!(elsewhere.contains("\nExecStart=\"/home/x y/100%%/scream-rx\" run --instance %i "), "{elsewhere}");
        for bad in ["scream-rx", "/a\"b", "/a\nb", "/$HOME/x"] {
            assert!(unit(None, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn there_is_no_network_unless_it_is_asked_for() {
        for (name, unit_name) in [(None, "scream-rx"), (Some("x"), "scream-rx@x")] {
            let printed =
                |network| print(&UnitArgs { name: name.map(Into::into), program: Some("/p".into()), network });
            let closed = printed(false).unwrap();
            let families = |text: &str| text.lines().filter(|l| l.starts_with("RestrictAddressFamilies=")).count();
            assert!(closed.contains("\nRestrictAddressFamilies=AF_UNIX\n") && families(&closed) == 1);
            let open = printed(true).unwrap();
            assert_eq!(open, format!("{closed}\n# {unit_name}.service.d/network.conf\n{NETWORK}"));
            assert_eq!(families(&open), 2, "systemd adds up what several lines allow");
        }
    }

    #[test]
    fn names_of_guests_cannot_lead_elsewhere() {
        for good in ["win10", "a", "Windows_11.test-2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "../x", "a/b", "-x", "a b", "ü", "a@b", "a%i", &"x".repeat(49)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
