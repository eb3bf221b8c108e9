//! The simulated guest and the viewer together.
//!
//! | file | asks |
//! |---|---|
//! | `viewer` | does what was drawn arrive, whatever its kind and place? |
//! | `life` | is whatever happens to machine, program, session and file said, and followed? |
//! | `receivers` | what do late, slow, stopped and two receivers get, and what does the guest pay? |
//! | `pointer` | does the pointer arrive as it is, and go where it is asked to? |
//! | `trust` | does each row of the trust table hold, up to its last good value, for every lie a guest can tell? |
//! | `hostile` | does any sequence of actions, garbage and time leave the viewer alive and the region's bounds kept? |
//! | `switch` | does a guest that comes back with another version just go on? |
//! | `extremes` | do pictures one pixel high, modes that change at every frame, and minutes of garbage end well? |
//! | `steady` | does anything allocate while frames flow? |
//! | `torn` | is a frame accepted by one process whole, while another one writes? |
//! | `screen`, `rig` | what they share: a receiver that copies damaged rows, as a real one does, and a guest for it |
//!
//! The traps of the wire reference (its section 7), and where each is set off:
//!
//! | trap | test |
//! |---|---|
//! | ring length is length + 1; magic moved; user data starts 4 bytes early | `lgmp_layout`, `lgmp_probe`, `kvmfr_layout` |
//! | magic before content; restart in mid-frame | `trust`: races |
//! | message before pixels, the write pointer says "at least" | `viewer`: rows are ready only when they are there |
//! | inherited bit; bad until reaped; a second for the oldest message | `lgmp_queues` |
//! | version 20 names three layouts | `kvmfr::session` (the pair of versions decides) |
//! | records are unaligned; texts have no end | `kvmfr_session` |
//! | 24-bit rows; truncated frames claim too much; offset 4092 or 65532 | `kvmfr_frame`, `viewer` |
//! | monochrome height counts both masks; masked alpha is a mode; signed hotspots | `kvmfr_cursor` |
//! | session numbers repeat, names collide | `lgmp_queues`: a place with another name on it |
//! | locks have no owner | `lgmp_queues`, `trust`: locks |
//! | a static screen is posted again only for newcomers | `receivers`: a picture that stands still |
//!
//! Places and locks (its sections 2.7 and 2.12), event by event:
//!
//! | event | test |
//! |---|---|
//! | a place is taken, reaped, full, given back | `lgmp_queues`: a viewer that keeps a message, a full queue; `receivers`: closing |
//! | a place inherits bits of its former holder | `lgmp_queues`: a new holder, unsubscribing leaves no bit |
//! | a viewer dies while it has a place | `receivers`: a stopped one costs the guest a second |
//! | a viewer is stopped for more than a second | `receivers`: a receiver that was itself stopped |
//! | somebody stops while holding a lock | `trust`: locks, a lock that was held for long; `lgmp_queues`: a held lock |
//! | the producer quits, its machine pauses | `life`: a machine through its life, a pause of the machine |
//! | the producer restarts | `viewer`: a restarted guest; `lgmp_queues`: the old place writes nothing |
//!
//! What a viewer does (its section 5.1), step by step:
//!
//! | steps | test |
//! |---|---|
//! | 1: sizes that are refused | `life`: regions that cannot work; rx-host's `watch` (4 GiB) |
//! | 2: magic and version, other places | `lgmp_probe`; `switch` |
//! | 3, 12: the timestamp changes, or has stood for a second | `lgmp_queues`: a moving heartbeat; `trust`: timestamp |
//! | 4: the session is the same before and after its user data | `lgmp_queues`: user data is of one session |
//! | 5: queues that do not exist yet | `trust`: races (magic-first), numQueues (queues-none) |
//! | 6: a name that is not 0, a place without inherited bits | `lgmp_queues`: names, a new holder |
//! | 7: place, mark and name are looked at before each message | `lgmp_queues`: a place with another name; `trust`: subs |
//! | 8, 9: the newest of several, and one posted again | `receivers`: frames missed, a picture that stands still |
//! | 10: rows as they come, and an end to waiting | `viewer`: rows are ready, pixels that never come |
//! | 11: acknowledged after the copy | `receivers`: a frame that is dropped is acknowledged |
//! | 13: a place that was lost | `trust`: subs (nobody-subscribed, everybody-bad) |
//! | 14, 15: places are given back, the pointer is sent | `receivers`: closing; `pointer`: where the viewer asks |
#![cfg(feature = "guest-sim")]

/// Runs each test for every version of the protocols.
macro_rules! in_every_version {
    ($names:tt) => {
        in_every_version!(b6 B6 $names);
        in_every_version!(b7 B7 $names);
        in_every_version!(lgmp7 Lgmp7 $names);
        in_every_version!(lgmp10 Lgmp10 $names);
        in_every_version!(lgmp12 Lgmp12 $names);
    };
    ($module:ident $version:ident [$($name:ident)*]) => {
        mod $module {
            $(#[test] fn $name() { super::$name(shm_proto::kvmfr::Version::$version) })*
        }
    };
}
mod extremes;
mod hostile;
mod life;
mod pointer;
mod receivers;
mod rig;
mod screen;
mod steady;
mod switch;
mod torn;
mod trust;
mod viewer;

#[test]
fn picture_every_version_that_is_spoken_is_tested() {
    let names: Vec<_> = shm_proto::kvmfr::Version::ALL.iter().map(|v| v.name()).collect();
    assert_eq!(names, ["b6", "b7", "lgmp7", "lgmp10", "lgmp12"]);
}
