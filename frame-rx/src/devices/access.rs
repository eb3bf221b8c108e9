//! Whether this user may read keyboards and mice and make virtual ones, and what to do if not: findings for the doctor.

use crate::input::address::InputChoice;
use crate::input::evdev::facts::{Facts, SYS};
use crate::input::evdev::rule::{Rule, node_of};
use crate::input::opener;
use crate::input::uinput::UINPUT;
use rx_host::doctor::Finding;
use rx_host::people::{Barrier, Membership, User};
use std::path::Path;

/// Installs rules for the devices that stand behind it.
const INSTALL: &str = "sudo tee /etc/udev/rules.d/71-frame-rx-devices.rules && sudo udevadm control --reload && \
                       sudo udevadm trigger -s input -c change";
/// The group that may read every device, by custom.
const GROUP: &str = "input";

/// Whether somebody may open a device for reading and writing.
pub(super) enum Access {
    Yes,
    /// What is in the way, if it is known.
    No(Option<Barrier>),
}

impl Access {
    pub(super) fn of(path: &Path, user: &User) -> Access {
        use rustix::fs::{Access, access};
        match access(path, Access::READ_OK | Access::WRITE_OK) {
            Ok(()) => self::Access::Yes,
            Err(_) => self::Access::No(Barrier::on_the_way_to(path, user)),
        }
    }
}

/// Looks at the devices that `rules` mean (`auto` if there are none), the group, and virtual devices.
pub fn findings(rules: &[Rule], choice: Option<&InputChoice>) -> Vec<Finding> {
    let user = User::current();
    let auto = [Rule::Auto];
    let meant = if rules.is_empty() { &auto[..] } else { rules };
    let mut all = Facts::all(Path::new(SYS));
    all.retain(|f| meant.iter().any(|rule| rule.means(f, &node_of)));
    let rows: Vec<_> = all.iter().map(|f| (f, Access::of(&f.path(), &user))).collect();
    let group = group_finding(&user.user.name, user.membership(GROUP));
    let uinput = uinput_finding(Access::of(Path::new(UINPUT), &user), choice == Some(&InputChoice::Uinput));
    let is_shut = rows.iter().any(|(_, access)| matches!(access, Access::No(_)));
    let opener = opener_finding(Path::new(opener::SOCKET), &user, is_shut && !rules.is_empty());
    [Some(devices_finding(&rows, rules)), opener, group, Some(uinput)].into_iter().flatten().collect()
}

fn devices_finding(rows: &[(&Facts, Access)], asked: &[Rule]) -> Finding {
    const NAME: &str = "keyboards, mice";
    let is_asked = !asked.is_empty();
    if rows.is_empty() {
        let fix = "see what there is: frame-rx devices";
        return if is_asked {
            Finding::warn(NAME, "no device here is one that --evdev names", fix)
        } else {
            Finding::ok(NAME, "none of this machine's own is seen: the window's are used")
        };
    }
    let shut: Vec<_> = rows
        .iter()
        .filter_map(|(facts, access)| match access {
            Access::Yes => None,
            Access::No(None) => Some(format!("{facts}: its node is gone")),
            Access::No(Some(barrier)) => Some(format!("{facts}: {}", barrier.describe())),
        })
        .collect();
    if shut.is_empty() {
        return Finding::ok(NAME, format!("{} may be read (--evdev)", rows.len()));
    }
    let rules: String = asked.iter().map(|rule| format!(" --evdev '{rule}'")).collect();
    let fix = format!("frame-rx devices --udev-rules{rules} | {INSTALL}");
    if is_asked {
        return Finding::warn(NAME, format!("not allowed: {}", shut.join("; ")), fix);
    }
    // Nobody asked for them: what the window hears is enough for most.
    let found =
        format!("the window's; for --evdev {} of {} are not allowed: {}", shut.len(), rows.len(), shut.join("; "));
    Finding { fix: Some(fix), ..Finding::ok(NAME, found) }
}

/// Who may not open devices may be given them. Nothing to tell where there is no opener and none is missed.
fn opener_finding(socket: &Path, user: &User, is_missed: bool) -> Option<Finding> {
    const NAME: &str = "device opener";
    const FIX: &str =
        "sudo systemctl enable --now frame-rx-opener.socket, and a line for you in /etc/frame-rx/devices.conf";
    match opener::client::check(socket) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let found = "there is none, which could give you devices that you may not open";
            return is_missed.then(|| Finding { fix: Some(FIX.to_owned()), ..Finding::ok(NAME, found) });
        }
        Err(e) => {
            return Some(Finding::warn(NAME, format!("not asked: {e}"), "give it its unit's owner and mode again"));
        }
    }
    Some(match Access::of(socket, user) {
        Access::Yes => Finding::ok(NAME, format!("{} may be asked for devices of its list", socket.display())),
        Access::No(barrier) => {
            let why = barrier.map(|b| b.describe()).unwrap_or_default();
            Finding::warn(NAME, format!("may not be asked: {why}"), "sudo gpasswd -a $USER frame-rx, and log in again")
        }
    })
}

/// Whoever is in the group needs no rule, and pays for it.
fn group_finding(user: &str, membership: Option<Membership>) -> Option<Finding> {
    let is_in = matches!(membership, Some(Membership::Now | Membership::AtNextLogin));
    is_in.then(|| {
        let found = format!("{user} is in the group {GROUP}: every program of {user} can read every key of every user");
        let fix =
            format!("allow chosen devices only (frame-rx devices --udev-rules), then: sudo gpasswd -d {user} {GROUP}");
        Finding::warn("group input", found, fix)
    })
}

fn uinput_finding(access: Access, is_asked: bool) -> Finding {
    const NAME: &str = "virtual devices";
    let (found, fix) = match access {
        Access::Yes => return Finding::ok(NAME, "can be made (frame-rx input-proxy)"),
        Access::No(Some(barrier)) if barrier.at == Path::new(UINPUT) => (
            format!("{UINPUT} is not allowed: {}", barrier.describe()),
            "as packaging/udev/71-frame-rx-input.rules says, let this user make virtual devices",
        ),
        Access::No(_) => (format!("there is no {UINPUT}"), "sudo modprobe uinput"),
    };
    if is_asked {
        return Finding::warn(NAME, found, fix);
    }
    Finding { fix: Some(fix.to_owned()), ..Finding::ok(NAME, format!("{found}; only input-proxy needs it")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mouse;
    use super::*;
    use rx_host::doctor::Health;

    #[test]
    fn what_is_not_allowed_is_told_with_the_command_that_allows_it() {
        let mouse = mouse("G502");
        let rules = ["name=G5".parse::<Rule>().unwrap()];
        let shut = || vec![(&mouse, Access::No(Barrier::on_the_way_to(Path::new("/"), &User::current())))];
        let asked = devices_finding(&shut(), &rules);
        assert_eq!(asked.health, Health::Warn);
        assert!(asked.found.contains("G502 (mouse, /dev/input/event99999): "), "{}", asked.found);
        assert!(asked.fix.unwrap().starts_with("frame-rx devices --udev-rules --evdev 'name=G5' | sudo tee "));
        let unasked = devices_finding(&shut(), &[]);
        assert_eq!((unasked.health, unasked.fix.is_some()), (Health::Ok, true));
        assert_eq!(devices_finding(&[(&mouse, Access::Yes)], &rules).health, Health::Ok);
        assert_eq!(devices_finding(&[], &rules).health, Health::Warn);
        assert_eq!(devices_finding(&[], &[]).health, Health::Ok);
    }

    #[test]
    fn an_opener_is_told_if_it_is_there_or_missed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (socket, user) = (folder.path().join("s"), User::current());
        assert_eq!(opener_finding(&socket, &user, false), None);
        assert!(opener_finding(&socket, &user, true).unwrap().fix.unwrap().contains("frame-rx-opener.socket"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (mode, health) in [(0o660, Health::Ok), (0o666, Health::Warn)] {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(opener_finding(&socket, &user, false).unwrap().health, health, "{mode:o}");
        }
    }

    #[test]
    fn the_group_of_all_keys_is_warned_about() {
        for (membership, is_told) in [
            (None, false),
            (Some(Membership::None), false),
            (Some(Membership::Now), true),
            (Some(Membership::AtNextLogin), true),
        ] {
            let finding = group_finding("eve", membership);
            assert_eq!(finding.is_some(), is_told);
            assert!(
                finding.is_none_or(|f| f.health == Health::Warn && f.fix.unwrap().ends_with("gpasswd -d eve input"))
            );
        }
    }

    #[test]
    fn virtual_devices_are_missed_only_by_who_wants_them() {
        assert_eq!(uinput_finding(Access::No(None), true).health, Health::Warn);
        assert_eq!(uinput_finding(Access::No(None), false).health, Health::Ok);
        assert_eq!(uinput_finding(Access::Yes, true).fix, None);
    }
}
