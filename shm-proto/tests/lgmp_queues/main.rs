//! The viewer's side of LGMP against the producer's, in virtual time, in every version.
//!
//! | file | asks |
//! |---|---|
//! | `messages` | does each message arrive once, in order, and only where it is meant to? |
//! | `places` | are places and locks taken, given back and lost as they should be? |
//! | `sessions` | is a session joined only while it lives, and left alone afterwards? |
//! | `mail` | does the mailbox keep its limits on both sides? |
//! | `hosts` | does the producer's side survive its viewers? |
//! | `rig` | what they share |

/// Runs each test for every version of the protocol.
macro_rules! in_every_version {
    ($names:tt) => {
        in_every_version!(lgmp5 V5 $names);
        in_every_version!(lgmp6 V6 $names);
        in_every_version!(lgmp7 V7 $names);
        in_every_version!(lgmp10 V10 $names);
        in_every_version!(lgmp12 V12 $names);
    };
    ($version:ident $layout:ident [$($name:ident)*]) => {
        mod $version {
            $(#[test] fn $name() { super::$name(&shm_proto::lgmp::wire::$layout) })*
        }
    };
}

mod hosts;
mod mail;
mod messages;
mod places;
mod rig;
mod sessions;

#[test]
fn lgmp_every_version_that_is_spoken_is_tested() {
    assert_eq!(shm_proto::lgmp::wire::LAYOUTS.iter().map(|l| l.version).collect::<Vec<_>>(), [5, 6, 7, 10, 12]);
}
