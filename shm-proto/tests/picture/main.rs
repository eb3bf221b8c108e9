//! The simulated guest and the viewer together.
//!
//! | file | asks |
//! |---|---|
//! | `viewer` | does what was drawn arrive, whatever its kind and place? |
//! | `life` | is whatever happens to machine, program, session and file said, and followed? |
//! | `receivers` | what do late, slow, stopped and two receivers get, and what does the guest pay? |
//! | `pointer` | does the pointer arrive as it is, and go where it is asked to? |
//! | `lies` | does each lie do what the table says, and nothing worse? |
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
//! | magic before content; restart in mid-frame | `lies`: magic-first, restart-in-frame |
//! | message before pixels, the write pointer says "at least" | `viewer`: rows are ready only when they are there |
//! | inherited bit; bad until reaped; a second for the oldest message | `lgmp_queues` |
//! | version 20 names three layouts | `kvmfr::session` (the pair of versions decides) |
//! | records are unaligned; texts have no end | `kvmfr_session` |
//! | 24-bit rows; truncated frames claim too much; offset 4092 or 65532 | `kvmfr_frame`, `viewer` |
//! | monochrome height counts both masks; masked alpha is a mode; signed hotspots | `kvmfr_cursor` |
//! | session numbers repeat, names collide | `lgmp_queues`: a place with another name on it |
//! | locks have no owner | `lgmp_queues`, `lies`: lock-held |
//! | a static screen is posted again only for newcomers | `receivers`: a picture that stands still |
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
mod lies;
mod life;
mod pointer;
mod receivers;
mod rig;
mod screen;
mod steady;
mod switch;
mod torn;
mod viewer;

#[test]
fn picture_every_version_that_is_spoken_is_tested() {
    let names: Vec<_> = shm_proto::kvmfr::Version::ALL.iter().map(|v| v.name()).collect();
    assert_eq!(names, ["b6", "b7", "lgmp7", "lgmp10", "lgmp12"]);
}
