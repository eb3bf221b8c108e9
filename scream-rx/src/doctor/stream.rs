//! Whether anything is written into the memory, and by whom: a guest that plays, one that is silent, a file that a VM left
//! behind, and a guest whose driver never gets at the memory.

use crate::say;
use core::time::Duration;
use rx_host::clock;
use rx_host::doctor::Finding;
use rx_host::doctor::users::{self, Process, Writers};
use rx_host::watch::RegionState;
use shm_proto::Access;
use shm_proto::scream::wire::{self, MAGIC, Snapshot};
use std::path::Path;

/// How long the index is watched. A guest that plays moves it fifty times a second.
const WATCHED: Duration = Duration::from_millis(400);

/// What the memory showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No stream was ever opened there, or it was closed.
    NoStream,
    /// A stream whose index moved.
    Moving,
    /// A stream whose index stands still.
    Standing,
}

/// Watches the memory for a moment. Nothing if it is not there or holds something else, which other checks tell.
///
/// Blocks for less than half a second.
pub fn check(file: &Path) -> Option<Finding> {
    let RegionState::Ready(region) = RegionState::open(file, Access::ReadOnly, wire::HEADER_BYTES + 1) else {
        return None;
    };
    let look = || Snapshot::take(&region).ok().map(|s| (s.decode().magic.distrusted(), s.write_idx().distrusted()));
    let (_, first) = look()?;
    let until = clock::now() + WATCHED;
    let mut last = look()?;
    while clock::now() < until && (last.0 != MAGIC || last.1 == first) {
        let _ = clock::sleep_until(until.min(clock::now() + Duration::from_millis(20)));
        last = look()?;
    }
    let seen = match last {
        (MAGIC, index) if index != first => Seen::Moving,
        (MAGIC, _) => Seen::Standing,
        (0, _) => Seen::NoStream,
        _ => return None,
    };
    Some(judge(file, region.len(), seen, &users::writers(file)))
}

fn judge(file: &Path, bytes: u64, seen: Seen, writers: &Writers) -> Finding {
    let name = "guest";
    let shown = file.display();
    match (seen, writers) {
        (Seen::Moving, _) => Finding::ok(name, "plays: sound is being written"),
        (_, Writers::Older(older)) => Finding::bad(
            name,
            format!("dead file: {} still has an older {shown}, which was deleted", list(older)),
            "restart the VM, and do not delete the file while it runs",
        ),
        (Seen::Standing, Writers::Nobody { all: true }) => Finding::warn(
            name,
            "dead file: a stream was left behind, and no process has the file mapped",
            format!("start the VM; if it runs, its ivshmem device has another mem-path than {shown}"),
        ),
        (Seen::NoStream, Writers::Nobody { all: true }) => Finding::warn(
            name,
            "no process has the file mapped, so no VM uses it",
            format!("start the VM; if it runs, its ivshmem device has another mem-path than {shown}"),
        ),
        (Seen::Standing, _) => Finding::ok(name, "the stream is open and silent"),
        (Seen::NoStream, Writers::Mapped(by)) => Finding::warn(
            name,
            format!("{} has the file mapped, and no stream was ever opened", list(by)),
            format!("play something in the guest; {}", say::never_seen(bytes)),
        ),
        (Seen::NoStream, Writers::Nobody { all: false }) => Finding::warn(
            name,
            "no stream was ever opened (whether a VM has the file mapped cannot be seen by this user)",
            format!("play something in the guest; {}", say::never_seen(bytes)),
        ),
    }
}

fn list(processes: &[Process]) -> String {
    processes.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::doctor::Health;

    #[test]
    fn each_cause_has_its_own_words() {
        let vm = vec![Process { pid: 7, name: "qemu".into() }];
        let (mapped, older) = (Writers::Mapped(vm.clone()), Writers::Older(vm));
        let (nobody, unknown) = (Writers::Nobody { all: true }, Writers::Nobody { all: false });
        let cases = [
            (Seen::Moving, &unknown, Health::Ok, "sound is being written"),
            (Seen::Standing, &mapped, Health::Ok, "silent"),
            (Seen::Standing, &unknown, Health::Ok, "silent"),
            (Seen::Standing, &nobody, Health::Warn, "dead file"),
            (Seen::Standing, &older, Health::Bad, "dead file: qemu (7)"),
            (Seen::NoStream, &older, Health::Bad, "dead file: qemu (7)"),
            (Seen::NoStream, &nobody, Health::Warn, "no VM uses it"),
            (Seen::NoStream, &mapped, Health::Warn, "qemu (7) has the file mapped"),
            (Seen::NoStream, &unknown, Health::Warn, "cannot be seen"),
        ];
        for (seen, writers, health, words) in cases {
            let finding = judge(Path::new("/dev/shm/x"), 2 << 20, seen, writers);
            assert_eq!(finding.health, health, "{finding:?}");
            assert!(finding.found.contains(words), "{finding:?}");
            assert_eq!(finding.fix.is_some(), health != Health::Ok);
        }
        let trap = judge(Path::new("/x"), 2 << 20, Seen::NoStream, &mapped).fix.unwrap();
        assert!(trap.contains("UseIVSHMEM = 2") && trap.contains("0.1-161"), "{trap}");
    }
}
