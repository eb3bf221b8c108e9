//! How it stands with the guest while no session is joined.

use crate::state::GuestState;
use rx_host::doctor::content::Content;
use shm_proto::Region;
use shm_proto::kvmfr;

/// What the viewer says, and of a region without any guest's words in it whether it holds something else.
pub(super) fn while_waiting(region: &Region, state: &kvmfr::State, was_live: bool) -> GuestState {
    match GuestState::of_viewer(state, was_live) {
        GuestState::Untouched => match Content::of(region) {
            Ok(Content::Unknown(_)) => GuestState::OtherContent { carries: "something unknown".into() },
            Ok(content @ Content::WithoutHeader) => GuestState::OtherContent { carries: content.to_string() },
            _ => GuestState::Untouched,
        },
        state => state,
    }
}
