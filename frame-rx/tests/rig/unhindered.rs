//! Whether a guest could go on as it liked while a window showed it, slowly or not at all.

use super::guest::GuestThread;

/// Fails if the receiver held up the guest. One frame of ten may wait: on a busy machine every thread stands still for a few
/// frames now and then. A receiver that waits for its window holds up nearly all of them.
pub fn was_not_held_up(guest: &GuestThread) {
    let (stalls, begun) = guest.with(|guest| (guest.counters().stalls, guest.frames_begun()));
    assert!(stalls * 10 <= u64::from(begun), "the guest had to wait: {stalls} of {begun}");
}
