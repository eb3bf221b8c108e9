//! The checks that both receivers share: the region's file and content, `/dev/shm`, limits, groups, the kvmfr device.
//! Each looks at the system and gives its findings; none changes anything or waits.

use super::content::Content;
use super::{Finding, Health};
use crate::people::{Membership, User};
use crate::realtime;
use crate::settings::units::ByteSize;
use crate::watch::RegionState;
use rustix::fs::statvfs;
use shm_proto::{Access, Region};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where shared memory is by custom.
const SHM_DIR: &str = "/dev/shm";

/// The first kvmfr device.
const KVMFR_DEVICE: &str = "/dev/kvmfr0";

/// The priority that real-time threads of the receivers ask for at most.
const WANTED_PRIORITY: u8 = 20;

/// The unit of `st_blocks`, whatever the file system. Source: stat(2).
const STAT_BLOCK_BYTES: u64 = 512;

/// What a receiver expects in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Sound.
    Scream,
    /// Pictures.
    LookingGlass,
}

/// Checks a region: whether the file can be mapped, has room in its file system, and holds what is expected.
pub fn region(path: &Path, access: Access, needed: u64, expected: Expected) -> Vec<Finding> {
    let state = RegionState::open(path, access, needed);
    let RegionState::Ready(region) = &state else {
        return vec![region_trouble(path, &state)];
    };
    let found = format!("{}, {}, can be opened", path.display(), ByteSize(region.len()));
    let mut findings = vec![Finding::ok("region", found)];
    findings.extend(room(path));
    findings.push(content(path, region, expected));
    findings
}

fn region_trouble(path: &Path, state: &RegionState) -> Finding {
    let fix = state.remedy().unwrap_or_else(|| "try again".into());
    match state {
        // A VM that is not up yet is what receivers wait for.
        RegionState::Absent { .. } | RegionState::Gone { .. } | RegionState::Empty { .. } => {
            Finding::warn("region", format!("{} is not there yet", path.display()), fix)
        }
        _ => Finding::bad("region", state.situation(), fix),
    }
}

/// A file may have its length but no memory behind it: the VM is killed when it writes and none is left.
fn room(path: &Path) -> Option<Finding> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let fs_stat = statvfs(path).ok()?;
    let unbacked = meta.len().saturating_sub(meta.blocks().saturating_mul(STAT_BLOCK_BYTES));
    let free = fs_stat.f_bavail.saturating_mul(fs_stat.f_frsize);
    (unbacked > free).then(|| {
        let dir = path.parent().unwrap_or(path).display();
        Finding::bad(
            "region room",
            format!("{} of the region have no memory yet, but only {} are free", ByteSize(unbacked), ByteSize(free)),
            format!("make room in {dir}, or a larger one: sudo mount -o remount,size=50% {dir}"),
        )
    })
}

fn content(path: &Path, region: &Region, expected: Expected) -> Finding {
    let name = "content";
    let content = match Content::of(region) {
        Ok(content) => content,
        Err(e) => return Finding::bad(name, e.to_string(), "give the VM's ivshmem device a larger size"),
    };
    let other = |what: &str, command: &str| {
        let fix = format!("pass the other file; this one is for: {command} {}", path.display());
        Finding::bad(name, format!("{content} instead of {what}"), fix)
    };
    match (expected, content) {
        (Expected::Scream, Content::Scream) | (Expected::LookingGlass, Content::LookingGlass { .. }) => {
            Finding::ok(name, content.to_string())
        }
        (Expected::Scream, Content::Blank) => {
            Finding::ok(name, format!("{content}: no stream is open (it opens when the guest plays a sound)"))
        }
        // What was played last stays there.
        (Expected::Scream, Content::WithoutHeader) => {
            Finding::ok(name, "no stream is open (it opens when the guest plays a sound)")
        }
        (Expected::LookingGlass, Content::Blank) => {
            let fix = "start the Looking Glass host in the guest; see that its ivshmem device is this one";
            Finding::warn(name, content.to_string(), fix)
        }
        (Expected::Scream, Content::LookingGlass { .. }) => other("sound", "frame-rx -f"),
        (Expected::LookingGlass, Content::Scream) => other("pictures", "scream-rx -m"),
        (Expected::LookingGlass, Content::WithoutHeader) | (_, Content::Unknown(_)) => {
            Finding::warn(name, content.to_string(), "see that this file belongs to the right ivshmem device of the VM")
        }
    }
}

/// Checks that `/dev/shm` is memory, and how much is left.
pub fn shared_memory() -> Finding {
    shared_memory_at(Path::new(SHM_DIR), &fs::read_to_string("/proc/mounts").unwrap_or_default())
}

fn shared_memory_at(dir: &Path, mounts: &str) -> Finding {
    let name = "shared memory";
    let shown = dir.display();
    let stat = match statvfs(dir) {
        Ok(stat) => stat,
        Err(e) => return Finding::bad(name, format!("{shown}: {e}"), format!("sudo mount -t tmpfs tmpfs {shown}")),
    };
    let (free, all) = (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
    let space = format!("{} of {} free", mebibytes(free), mebibytes(all));
    // The last mount on a directory is the one that is seen: `device directory type options …`.
    let kind = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        (fields.next()? == dir.to_str()?).then(|| fields.next())?
    });
    match kind {
        Some("tmpfs") => Finding::ok(name, format!("{shown} is memory, {space}")),
        other => {
            let found = format!("{shown} is {} rather than memory, {space}", other.unwrap_or("a plain directory"));
            Finding::warn(name, found, format!("sudo mount -t tmpfs tmpfs {shown}"))
        }
    }
}

/// Whole mebibytes: sizes of file systems are rarely round.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Checks whether real-time priority and locked memory would be granted.
pub fn limits() -> Vec<Finding> {
    let priority = match realtime::priority_is_allowed(WANTED_PRIORITY) {
        Ok(()) => Finding::ok("real time", format!("priority {WANTED_PRIORITY} is allowed")),
        Err(limit) => Finding::warn(
            "real time",
            format!(
                "the priority limit is {limit}, {WANTED_PRIORITY} are wanted: may stutter when the machine is busy"
            ),
            limits_fix("rtprio 60"),
        ),
    };
    let memory = match realtime::locking_is_allowed() {
        Ok(()) => Finding::ok("locked memory", "allowed without limit"),
        Err(limit) => Finding::warn(
            "locked memory",
            format!("the limit is {}: may stutter when memory is short", ByteSize(limit)),
            limits_fix("memlock unlimited"),
        ),
    };
    vec![priority, memory]
}

fn limits_fix(limit: &str) -> String {
    format!("put `@audio - {limit}` into /etc/security/limits.d/60-rx.conf, join the group audio, log out and in again")
}

/// Checks that the user is in the group that QEMU's files have by custom.
pub fn groups() -> Finding {
    let user = User::current();
    group_finding(&user, user.membership("kvm"))
}

fn group_finding(user: &User, kvm: Option<Membership>) -> Finding {
    let found = format!("you are {}", user.describe());
    match kvm {
        _ if user.user.id == 0 => Finding::ok("groups", format!("{found}, who may open everything")),
        Some(Membership::Now) | None => Finding::ok("groups", found),
        Some(Membership::AtNextLogin) => {
            Finding::warn("groups", format!("{found}; kvm was added since the login"), "log out and in again")
        }
        Some(Membership::None) => {
            let fix = format!("if the VM's files belong to the group kvm: sudo usermod -aG kvm {}", user.user.name);
            Finding::warn("groups", format!("{found}, not kvm"), fix)
        }
    }
}

/// Checks the kvmfr device, which lets pictures reach the GPU without a copy. It may be missing.
pub fn kvmfr() -> Finding {
    kvmfr_at(Path::new(KVMFR_DEVICE))
}

fn kvmfr_at(path: &Path) -> Finding {
    let state = RegionState::open(path, Access::ReadWrite, 1);
    let shown = path.display();
    match &state {
        RegionState::Absent { .. } => {
            Finding::ok("kvmfr", format!("there is no {shown}: pictures take the usual way through {SHM_DIR}"))
        }
        RegionState::Ready(region) => Finding::ok("kvmfr", format!("{shown}, {}", ByteSize(region.len()))),
        _ => {
            let trouble = region_trouble(path, &state);
            Finding { name: "kvmfr".into(), health: Health::Warn, ..trouble }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::Named;

    fn file_with(bytes: &[u8], len: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file.as_file().set_len(len).unwrap();
        file
    }

    #[test]
    fn a_region_is_told_by_what_it_holds() {
        let scream = [0x14, 0x20, 0x11, 0x11];
        let lgmp = *b"LGMP\x06\0\0\0";
        let cases: [(&[u8], Expected, Health, &str); 7] = [
            (&scream, Expected::Scream, Health::Ok, "a Scream stream"),
            (&lgmp, Expected::LookingGlass, Health::Ok, "Looking Glass (LGMP 6)"),
            (&[], Expected::Scream, Health::Ok, "no stream is open"),
            (&[], Expected::LookingGlass, Health::Warn, "nothing written yet"),
            (&scream, Expected::LookingGlass, Health::Bad, "a Scream stream instead of pictures"),
            (&lgmp, Expected::Scream, Health::Bad, "Looking Glass (LGMP 6) instead of sound"),
            (b"QEMU", Expected::Scream, Health::Warn, "it starts with 51 45 4d 55"),
        ];
        for (bytes, expected, health, words) in cases {
            let file = file_with(bytes, 1 << 16);
            let findings = region(file.path(), Access::ReadOnly, 4096, expected);
            let [file, content] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!((file.health, content.health), (Health::Ok, health), "{content:?}");
            assert!(content.found.contains(words), "{content:?}");
            assert_eq!(content.fix.is_some(), health != Health::Ok);
        }
    }

    #[test]
    fn a_region_that_cannot_be_used_is_one_finding_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let small = file_with(&[1], 100);
        let cases = [
            (dir.path().join("none"), Health::Warn, "is not there yet", "start the VM"),
            (dir.path().to_owned(), Health::Bad, "is a directory, not shared memory", "pass the file"),
            (small.path().to_owned(), Health::Bad, "has only 100 bytes", "larger size"),
        ];
        for (path, health, found, fix) in cases {
            let findings = region(&path, Access::ReadOnly, 4096, Expected::Scream);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!(finding.health, health);
            assert!(finding.found.contains(found), "{finding:?}");
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
        }
    }

    #[test]
    fn a_region_without_memory_behind_it_is_found() {
        let path = Path::new(SHM_DIR).join(format!("rx-host-room-{}", std::process::id()));
        // More than any machine's /dev/shm, and nothing of it is used.
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 45).unwrap();
        let finding = room(&path);
        fs::remove_file(&path).unwrap();
        let finding = finding.unwrap();
        assert_eq!(finding.health, Health::Bad);
        assert!(finding.found.contains("32768 GiB of the region have no memory"), "{finding:?}");
        let backed = file_with(&[1; 8192], 8192);
        assert_eq!(room(backed.path()), None);
    }

    #[test]
    fn a_directory_that_is_no_memory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let cases = [
            (format!("tmpfs {at} tmpfs rw 0 0\n"), Health::Ok, "is memory"),
            (format!("tmpfs {at} tmpfs rw 0 0\n/dev/sda {at} ext4 rw 0 0\n"), Health::Warn, "is ext4 rather than"),
            (String::new(), Health::Warn, "is a plain directory rather than memory"),
        ];
        for (mounts, health, words) in cases {
            let finding = shared_memory_at(dir.path(), &mounts);
            assert_eq!(finding.health, health, "{finding:?}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
        assert_eq!(shared_memory_at(&dir.path().join("none"), "").health, Health::Bad);
    }

    #[test]
    fn group_membership_is_told_with_the_command() {
        let user = |id: u32| User { user: Named { id, name: "alice".into() }, groups: vec![] };
        let cases = [
            (user(0), Some(Membership::None), Health::Ok, "open everything"),
            (user(1), Some(Membership::Now), Health::Ok, "you are alice"),
            (user(1), None, Health::Ok, "you are alice"),
            (user(1), Some(Membership::AtNextLogin), Health::Warn, "since the login"),
            (user(1), Some(Membership::None), Health::Warn, "not kvm"),
        ];
        for (user, kvm, health, words) in cases {
            let finding = group_finding(&user, kvm);
            assert_eq!(finding.health, health);
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn a_missing_kvmfr_device_is_fine_and_a_false_one_is_not() {
        assert_eq!(kvmfr_at(Path::new("/dev/kvmfr999")).health, Health::Ok);
        let finding = kvmfr_at(Path::new("/dev/null"));
        assert_eq!(finding.health, Health::Warn);
        assert!(finding.found.contains("a device other than kvmfr"), "{finding:?}");
    }

    #[test]
    fn the_checks_of_this_machine_all_say_something() {
        let mut all = limits();
        all.extend([shared_memory(), groups(), kvmfr()]);
        for finding in all {
            assert!(!finding.found.is_empty(), "{finding:?}");
            assert_eq!(finding.fix.is_some(), finding.health != Health::Ok, "{finding:?}");
        }
    }
}
