//! How it stands with the guest: one state, one plain sentence for each with the way to mend it. The same sentence stands
//! in the window and on stderr. Pure.

use shm_proto::kvmfr;

/// How it stands with the guest.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestState {
    /// The shared memory's file cannot be used, or not yet. The sentence is the watch's.
    NoRegion {
        /// One word for reports.
        name: &'static str,
        /// How it stands and what to do.
        sentence: String,
    },
    /// Nobody wrote into the shared memory yet.
    Untouched,
    /// The shared memory carries something else.
    OtherContent {
        /// What, in words.
        carries: String,
    },
    /// A version that is not spoken.
    OtherVersion {
        /// LGMP's number.
        lgmp: u32,
        /// KVMFR's number, if it is known.
        kvmfr: Option<u32>,
    },
    /// The guest's program was here once, but not since we look.
    NotRunning,
    /// The guest's program is starting.
    Starting,
    /// Every place for a viewer is taken.
    Full {
        /// How many there are.
        places: u32,
    },
    /// Somebody stopped while holding a lock.
    LockHeld,
    /// What the guest wrote makes no sense.
    Corrupt {
        /// Which field, and what it holds.
        detail: String,
    },
    /// Connected; no picture yet.
    FirstPicture,
    /// Pictures are shown.
    Live,
    /// Pictures are shown, but the shared memory is too small for them.
    Truncated {
        /// Columns of the guest's mode.
        width: u32,
        /// Its rows.
        height: u32,
        /// Rows that are there.
        rows: u32,
        /// The size to give the VM's device, MiB.
        needed_mib: u64,
    },
    /// The GPU has no room for the pictures.
    NoRoom {
        /// Why not.
        detail: String,
    },
    /// It was live; its heartbeat stands.
    Paused,
    /// It was live; another session is starting.
    Reconnecting,
}

/// A state and the session it belongs to. A new session has a larger number.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// How it stands.
    pub state: GuestState,
    /// In which session; 0 before the first.
    pub session: u64,
}

impl GuestState {
    /// Before anything is known.
    pub fn looking() -> GuestState {
        GuestState::NoRegion { name: "looking", sentence: "looking for the shared memory".into() }
    }

    /// From what the protocol's viewer says. `was_live`: whether this region had a session before.
    pub fn of_viewer(state: &kvmfr::State, was_live: bool) -> GuestState {
        match state {
            kvmfr::State::NoProducer if was_live => GuestState::Reconnecting,
            kvmfr::State::NoProducer => GuestState::Untouched,
            kvmfr::State::Foreign(other) => GuestState::OtherContent { carries: other.to_string() },
            kvmfr::State::NotKvmfr => GuestState::OtherContent { carries: "LGMP queues of another program".into() },
            kvmfr::State::OtherVersion { lgmp, kvmfr, .. } => GuestState::OtherVersion { lgmp: *lgmp, kvmfr: *kvmfr },
            kvmfr::State::Frozen if was_live => GuestState::Paused,
            kvmfr::State::Frozen => GuestState::NotRunning,
            kvmfr::State::Gone => GuestState::Reconnecting,
            kvmfr::State::Starting(_) if was_live => GuestState::Reconnecting,
            kvmfr::State::Starting(_) => GuestState::Starting,
            kvmfr::State::Full { places } => GuestState::Full { places: *places },
            kvmfr::State::LockHeld => GuestState::LockHeld,
            kvmfr::State::Corrupt(corrupt) => GuestState::Corrupt { detail: corrupt.to_string() },
            kvmfr::State::Live => GuestState::FirstPicture,
        }
    }

    /// Whether pictures are shown as they come, without words over them.
    pub fn is_live(&self) -> bool {
        matches!(self, GuestState::Live | GuestState::Truncated { .. })
    }

    /// Whether the last picture of the session stays in sight, dimmed, behind the words. Otherwise it is gone.
    pub fn keeps_picture(&self) -> bool {
        match self {
            GuestState::Live
            | GuestState::Truncated { .. }
            | GuestState::FirstPicture
            | GuestState::Paused
            | GuestState::Reconnecting
            | GuestState::LockHeld
            | GuestState::Corrupt { .. } => true,
            GuestState::NoRegion { .. }
            | GuestState::Untouched
            | GuestState::OtherContent { .. }
            | GuestState::OtherVersion { .. }
            | GuestState::NotRunning
            | GuestState::Starting
            | GuestState::Full { .. }
            | GuestState::NoRoom { .. } => false,
        }
    }

    /// One word for reports and titles.
    pub fn name(&self) -> &'static str {
        match self {
            GuestState::NoRegion { name, .. } => name,
            GuestState::Untouched => "untouched",
            GuestState::OtherContent { .. } => "other-content",
            GuestState::OtherVersion { .. } => "other-version",
            GuestState::NotRunning => "not-running",
            GuestState::Starting => "starting",
            GuestState::Full { .. } => "full",
            GuestState::LockHeld => "lock-held",
            GuestState::Corrupt { .. } => "corrupt",
            GuestState::FirstPicture => "first-picture",
            GuestState::Live => "live",
            GuestState::Truncated { .. } => "truncated",
            GuestState::NoRoom { .. } => "no-room",
            GuestState::Paused => "paused",
            GuestState::Reconnecting => "reconnecting",
        }
    }

    /// One plain sentence: how it stands and what to do.
    pub fn sentence(&self) -> String {
        match self {
            GuestState::NoRegion { sentence, .. } => sentence.clone(),
            GuestState::Untouched => {
                "nothing was written into the shared memory yet: start the Looking Glass host in the guest".into()
            }
            GuestState::OtherContent { carries } => format!(
                "this shared memory carries {carries}, not a picture: pass the file of the Looking Glass device with -f"
            ),
            GuestState::OtherVersion { lgmp, kvmfr } => {
                let carried = kvmfr.map(|k| format!(" with KVMFR {k}")).unwrap_or_default();
                format!(
                    "the guest speaks LGMP {lgmp}{carried}, which is not supported: install the Looking Glass host of \
                     release B6 or B7 in the guest, or a build with LGMP 7 or 10 (KVMFR 20) or 12 (KVMFR 34)"
                )
            }
            GuestState::NotRunning => {
                "the Looking Glass host in the guest is not running: start the VM, or the host in it".into()
            }
            GuestState::Starting => "the Looking Glass host in the guest is starting: wait a moment".into(),
            GuestState::Full { places } => {
                format!("all {places} places for viewers are taken: close another viewer of this guest")
            }
            GuestState::LockHeld => "a program stopped while it held a lock of the shared memory: restart the Looking \
                                     Glass host in the guest"
                .into(),
            GuestState::Corrupt { detail } => {
                format!("the guest writes what makes no sense ({detail}): restart the Looking Glass host in the guest")
            }
            GuestState::FirstPicture => "connected, waiting for the first picture: if it takes longer than two \
                                         seconds, move something on the guest's screen"
                .into(),
            GuestState::Live => "showing the guest".into(),
            GuestState::Truncated { width, height, rows, needed_mib } => format!(
                "the shared memory is too small for {width}x{height}, only {rows} rows arrive: give the VM's device \
                 {needed_mib} MiB"
            ),
            GuestState::NoRoom { detail } => {
                format!("{detail}: choose a smaller mode in the guest, or another GPU with --gpu")
            }
            GuestState::Paused => "the guest is paused or its Looking Glass host stopped: resume the VM, or start the \
                                   host in it again"
                .into(),
            GuestState::Reconnecting => "the guest's session ended: waiting for the next one to start".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_proto::guest::{Corrupt, Guest};
    use shm_proto::kvmfr::state::Step;
    use shm_proto::lgmp::probe::Foreign;

    fn corrupt() -> Corrupt {
        Guest::new(9u32).check("numQueues", 0..=5).unwrap_err()
    }

    #[test]
    fn what_the_viewer_says_depends_on_whether_there_was_a_session() {
        use kvmfr::State as V;
        let other = V::OtherVersion { lgmp: 12, kvmfr: Some(34), place: 9664 };
        for (viewer, before, after) in [
            (V::NoProducer, "untouched", "reconnecting"),
            (V::Foreign(Foreign::Scream), "other-content", "other-content"),
            (V::NotKvmfr, "other-content", "other-content"),
            (other, "other-version", "other-version"),
            (V::Frozen, "not-running", "paused"),
            (V::Gone, "reconnecting", "reconnecting"),
            (V::Starting(Step::Queues), "starting", "reconnecting"),
            (V::Full { places: 32 }, "full", "full"),
            (V::LockHeld, "lock-held", "lock-held"),
            (V::Corrupt(corrupt()), "corrupt", "corrupt"),
            (V::Live, "first-picture", "first-picture"),
        ] {
            assert_eq!(GuestState::of_viewer(&viewer, false).name(), before, "{viewer:?}");
            assert_eq!(GuestState::of_viewer(&viewer, true).name(), after, "{viewer:?}");
        }
    }

    fn every_state() -> Vec<GuestState> {
        vec![
            GuestState::NoRegion { name: "absent", sentence: "waiting for /dev/shm/a: start the VM".into() },
            GuestState::Untouched,
            GuestState::OtherContent { carries: Foreign::Scream.to_string() },
            GuestState::OtherVersion { lgmp: 4, kvmfr: Some(14) },
            GuestState::NotRunning,
            GuestState::Starting,
            GuestState::Full { places: 32 },
            GuestState::LockHeld,
            GuestState::Corrupt { detail: corrupt().to_string() },
            GuestState::FirstPicture,
            GuestState::Live,
            GuestState::Truncated { width: 2560, height: 1440, rows: 1200, needed_mib: 64 },
            GuestState::NoRoom { detail: "a picture of 40000x1 is larger than this GPU can hold".into() },
            GuestState::Paused,
            GuestState::Reconnecting,
        ]
    }

    #[test]
    fn every_state_has_one_line_of_its_own_that_says_what_to_do() {
        let mut seen = std::collections::HashSet::new();
        for state in every_state() {
            let s = state.sentence();
            assert!(!s.contains('\n') && !s.ends_with('.') && s.is_ascii(), "{s}");
            assert!(state.is_live() || s.contains(':'), "{s} names no way out");
            assert!(seen.insert(s) && seen.insert(state.name().into()));
        }
    }

    #[test]
    fn numbers_of_an_unknown_version_are_named() {
        let s = GuestState::OtherVersion { lgmp: 12, kvmfr: Some(35) }.sentence();
        assert!(s.starts_with("the guest speaks LGMP 12 with KVMFR 35, which is not supported: install"), "{s}");
        let s = GuestState::OtherVersion { lgmp: 9, kvmfr: None }.sentence();
        assert!(s.starts_with("the guest speaks LGMP 9, which"), "{s}");
    }
}
