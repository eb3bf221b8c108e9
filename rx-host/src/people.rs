//! Who may open a file: owner, group and mode of the file, name and groups of the user, in words, and the command that
//! would let the user in.
//!
//! Names come from `/etc/passwd` and `/etc/group`; a user from a directory service is told by number, or by `$USER`.

use shm_proto::Access;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The group that QEMU's files and devices get by custom, and that a VM's user is in.
const USUAL_GROUP: &str = "kvm";

/// The bits of a mode that let somebody read, and read and write.
const READ: u32 = 0o4;
const READ_WRITE: u32 = 0o6;

/// The name of a user of this machine. Nothing for a user from a directory service.
pub fn user_name(uid: u32) -> Option<String> {
    name_in(&read("/etc/passwd"), uid).map(str::to_owned)
}

/// The number of a group of this machine, by its name.
pub fn group_number(name: &str) -> Option<u32> {
    number_of(&read("/etc/group"), name)
}

/// A user or group: number and, if known, name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The number.
    pub id: u32,
    /// The name, or the number in digits.
    pub name: String,
}

/// The user of this process, and the groups it has now. A group that was given since the login is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The effective user.
    pub user: Named,
    /// All groups, the effective one first.
    pub groups: Vec<Named>,
}

impl User {
    /// Asks the system. Cannot fail: what is unknown is told by number.
    pub fn current() -> User {
        let passwd = read("/etc/passwd");
        let group = read("/etc/group");
        let uid = rustix::process::geteuid().as_raw();
        let mut gids = vec![rustix::process::getegid().as_raw()];
        gids.extend(rustix::process::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()));
        let mut seen = Vec::new();
        gids.retain(|gid| !seen.contains(gid) && (seen.push(*gid), true).1);
        let mut user = named(&passwd, uid);
        if let (None, Ok(name)) = (name_in(&passwd, uid), std::env::var("USER")) {
            user.name = name;
        }
        User { user, groups: gids.into_iter().map(|gid| named(&group, gid)).collect() }
    }

    /// Whether a group is among those of this process.
    pub fn is_in(&self, gid: u32) -> bool {
        self.groups.iter().any(|g| g.id == gid)
    }

    /// How the user stands to the group of this name. Nothing if there is no such group.
    pub fn membership(&self, group: &str) -> Option<Membership> {
        let groups = read("/etc/group");
        let gid = number_of(&groups, group)?;
        Some(if self.is_in(gid) {
            Membership::Now
        } else if is_member(&groups, gid, &self.user.name) {
            Membership::AtNextLogin
        } else {
            Membership::None
        })
    }

    /// `alice (groups alice, wheel)`.
    pub fn describe(&self) -> String {
        let groups: Vec<_> = self.groups.iter().map(|g| g.name.as_str()).collect();
        format!("{} (groups {})", self.user.name, groups.join(", "))
    }
}

/// How a user stands to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// This process has the group.
    Now,
    /// The user has it, but got it after the login.
    AtNextLogin,
    /// Neither.
    None,
}

/// The file or directory that keeps the user out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The file itself, or a directory above it that may not be entered.
    pub at: PathBuf,
    /// Its owner.
    pub owner: Named,
    /// Its group.
    pub group: Named,
    /// Its permission bits.
    pub mode: u32,
    /// Whether it is a directory above the file.
    pub is_directory: bool,
    /// Whether it is a device, whose rights come from udev.
    pub is_device: bool,
    /// Whether the user is a member of `group` in `/etc/group`, but got that after the login.
    pub joined_since_login: bool,
}

impl Barrier {
    /// What stands in the way of opening `path`. Nothing if it vanished meanwhile.
    pub fn on_the_way_to(path: &Path, user: &User) -> Option<Barrier> {
        // From the top: the first directory whose content cannot be looked at hides what is below it.
        let mut ways: Vec<&Path> = path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
        ways.reverse();
        let mut last = None;
        for at in ways {
            match fs::metadata(at) {
                Ok(meta) => last = Some((at, meta)),
                Err(_) => break,
            }
        }
        last.map(|(at, meta)| Barrier::new(at, &meta, at != path, user))
    }

    fn new(at: &Path, meta: &Metadata, is_directory: bool, user: &User) -> Barrier {
        let groups = read("/etc/group");
        let group = named(&groups, meta.gid());
        let joined_since_login = !user.is_in(group.id) && is_member(&groups, group.id, &user.user.name);
        Barrier {
            at: at.to_owned(),
            owner: named(&read("/etc/passwd"), meta.uid()),
            group,
            mode: meta.mode() & 0o7777,
            is_directory,
            is_device: meta.file_type().is_char_device(),
            joined_since_login,
        }
    }

    /// `it belongs to qemu:kvm with mode 0660`.
    pub fn describe(&self) -> String {
        let what = if self.is_directory { format!("the directory {}", self.at.display()) } else { "it".into() };
        format!("{what} belongs to {}:{} with mode {:04o}", self.owner.name, self.group.name, self.mode)
    }

    /// What would let `user` open the file for `access`: one clause with an exact command.
    pub fn fix(&self, user: &User, access: Access) -> String {
        let (at, name) = (self.at.display(), &user.user.name);
        let wanted = match (self.is_directory, access) {
            (true, _) => 0o1,
            (false, Access::ReadOnly) => READ,
            (false, Access::ReadWrite) => READ_WRITE,
        };
        let letters = match wanted {
            READ => "r",
            READ_WRITE => "rw",
            _ => "x",
        };
        let class_allows = |shift: u32| (self.mode >> shift) & wanted == wanted;
        if user.user.id == self.owner.id {
            return if class_allows(6) { self.other_reason() } else { format!("run: chmod u+{letters} {at}") };
        }
        if class_allows(3) && self.group.id != 0 {
            if user.is_in(self.group.id) {
                return self.other_reason();
            }
            if self.joined_since_login {
                return format!("log out and in again, so that your membership of {} counts", self.group.name);
            }
            return format!("run: sudo usermod -aG {} {name}, then log out and in again", self.group.name);
        }
        if !user.is_in(self.group.id) && class_allows(0) {
            return self.other_reason();
        }
        if self.is_directory {
            return format!("run: sudo chmod o+x {at}");
        }
        self.give(name)
    }

    /// Gives the file to the user: now, and for all times to come.
    fn give(&self, user: &str) -> String {
        let at = self.at.display();
        let file_name = self.at.file_name().unwrap_or_default().to_string_lossy();
        let now = format!("run: sudo chown {user}:{USUAL_GROUP} {at} && sudo chmod 0660 {at}");
        if self.is_device {
            let rule = format!(
                "SUBSYSTEM==\"kvmfr\", KERNEL==\"{file_name}\", OWNER=\"{user}\", GROUP=\"{USUAL_GROUP}\", MODE=\"0660\""
            );
            format!("{now}; to keep it so, put this line into /etc/udev/rules.d/70-kvmfr.rules: {rule}")
        } else {
            let line = format!("f {at} 0660 {user} {USUAL_GROUP} -");
            format!("{now}; to keep it so, put this line into /etc/tmpfiles.d/{file_name}.conf: {line}")
        }
    }

    fn other_reason(&self) -> String {
        let at = self.at.display();
        format!("its mode allows it, so a mount option, a sandbox or a security module forbids it; see: namei -l {at}")
    }
}

fn read(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn named(table: &str, id: u32) -> Named {
    Named { id, name: name_in(table, id).map_or_else(|| id.to_string(), str::to_owned) }
}

/// The name of a number in the text of `/etc/passwd` or `/etc/group`: `name:secret:number:…`.
fn name_in(table: &str, id: u32) -> Option<&str> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(id) && !name.is_empty()).then_some(name)
    })
}

/// The number of a name in the text of `/etc/group`.
fn number_of(groups: &str, wanted: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Whether the text of `/etc/group` lists `user` as a member of group `gid`: `name:secret:number:member,member`.
fn is_member(groups: &str, gid: u32, user: &str) -> bool {
    groups.lines().any(|line| {
        let fields: Vec<_> = line.split(':').collect();
        matches!(fields[..], [_, _, number, members]
            if number.parse() == Ok(gid) && !user.is_empty() && members.split(',').any(|m| m == user))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "root:x:0:\nbroken line\nkvm:x:108:qemu,alice\n:x:5:\nalice:x:1000:\n";

    #[test]
    fn names_are_found_and_numbers_serve_where_there_are_none() {
        assert_eq!(named(GROUP, 108).name, "kvm");
        assert_eq!(named(GROUP, 5).name, "5", "an empty name is none");
        assert_eq!(named("", 7).name, "7");
        assert_eq!((number_of(GROUP, "kvm"), number_of(GROUP, "broken line")), (Some(108), None));
        assert!(is_member(GROUP, 108, "alice") && is_member(GROUP, 108, "qemu"));
        assert!(!is_member(GROUP, 108, "ali") && !is_member(GROUP, 0, "alice") && !is_member(GROUP, 1000, ""));
    }

    fn alice(extra: &[(u32, &str)]) -> User {
        let named = |&(id, name): &(u32, &str)| Named { id, name: name.into() };
        let mut groups = vec![named(&(1000, "alice"))];
        groups.extend(extra.iter().map(named));
        User { user: named(&(1000, "alice")), groups }
    }

    fn barrier(at: &str, owner: (u32, &str), group: (u32, &str), mode: u32) -> Barrier {
        Barrier {
            at: at.into(),
            owner: Named { id: owner.0, name: owner.1.into() },
            group: Named { id: group.0, name: group.1.into() },
            mode,
            is_directory: false,
            is_device: false,
            joined_since_login: false,
        }
    }

    #[test]
    fn each_way_of_being_kept_out_has_its_own_way_in() {
        let (root, qemu, me) = ((0, "root"), (107, "qemu"), (1000, "alice"));
        let (kvm, mine) = ((108, "kvm"), (1000, "alice"));
        let shm = "/dev/shm/looking-glass";
        let plain = |owner, group, mode| barrier(shm, owner, group, mode);
        let device = Barrier { is_device: true, ..barrier("/dev/kvmfr0", root, (0, "root"), 0o600) };
        let since_login = Barrier { joined_since_login: true, ..plain(qemu, kvm, 0o660) };
        let directory = Barrier { is_directory: true, ..barrier("/srv/vm", root, (0, "root"), 0o700) };
        let write = Access::ReadWrite;
        let cases = [
            (plain(qemu, kvm, 0o660), write, "run: sudo usermod -aG kvm alice, then log out and in again"),
            (plain(qemu, kvm, 0o640), Access::ReadOnly, "run: sudo usermod -aG kvm alice, then log out and in again"),
            (since_login, write, "log out and in again, so that your membership of kvm counts"),
            (plain(me, mine, 0o400), write, "run: chmod u+rw /dev/shm/looking-glass"),
            (
                plain(qemu, kvm, 0o640),
                write,
                "run: sudo chown alice:kvm /dev/shm/looking-glass && sudo chmod 0660 /dev/shm/looking-glass; to keep it \
                 so, put this line into /etc/tmpfiles.d/looking-glass.conf: f /dev/shm/looking-glass 0660 alice kvm -",
            ),
            (
                device,
                write,
                "run: sudo chown alice:kvm /dev/kvmfr0 && sudo chmod 0660 /dev/kvmfr0; to keep it so, put this line into \
                 /etc/udev/rules.d/70-kvmfr.rules: SUBSYSTEM==\"kvmfr\", KERNEL==\"kvmfr0\", OWNER=\"alice\", \
                 GROUP=\"kvm\", MODE=\"0660\"",
            ),
            (directory, write, "run: sudo chmod o+x /srv/vm"),
            (
                plain(qemu, mine, 0o660),
                write,
                "its mode allows it, so a mount option, a sandbox or a security module forbids it; see: namei -l \
                 /dev/shm/looking-glass",
            ),
        ];
        for (barrier, access, expected) in cases {
            assert_eq!(barrier.fix(&alice(&[]), access), expected, "{barrier:?}");
        }
    }

    #[test]
    fn the_way_to_a_file_is_looked_at_from_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("region");
        fs::write(&file, b"x").unwrap();
        let user = User::current();
        let at = |path: &Path| Barrier::on_the_way_to(path, &user).map(|b| (b.at, b.is_directory));
        assert_eq!(at(&file), Some((file.clone(), false)));
        assert_eq!(at(&dir.path().join("none/region")), Some((dir.path().to_owned(), true)));
        assert_eq!(at(Path::new("")), None);
    }

    #[test]
    fn the_current_user_is_in_its_own_group() {
        let user = User::current();
        assert!(user.is_in(rustix::process::getegid().as_raw()));
        assert!(user.describe().contains("(groups "), "{}", user.describe());
        assert_eq!(user.membership("no such group"), None);
        if let Some(group) = user.groups.first().filter(|g| g.name != g.id.to_string()) {
            assert_eq!(user.membership(&group.name), Some(Membership::Now));
        }
    }
}
