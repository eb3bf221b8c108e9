//! How it stands with the guest: what the feed tells and what the GPU refuses, made into the one state that is shown in the
//! window and its title and told on stderr.

use super::App;
use super::paint::Painter;
use crate::pace::Cause;
use crate::state::GuestState;
use shm_proto::HostTime;

impl App {
    /// Takes up what the feed told since, and says it once it has lasted.
    pub(super) fn look_at_guest(&mut self, now: HostTime) {
        while let Some(condition) = self.link.conditions.take() {
            if let Some(painter) = &mut self.painter {
                painter.enter_session(condition.session, condition.state.keeps_picture());
            }
            if condition.session > self.session
                && let Some(guest) = self.link.feed.guest()
            {
                if self.announcer.allows(now) {
                    tracing::info!("{guest}");
                }
                self.guest_name.clone_from(&guest.os);
            }
            self.session = self.session.max(condition.session);
            self.guest = condition.state;
        }
        self.settle_state(now);
        if let Some(sentence) = self.announcer.due(now) {
            tracing::info!("{sentence}");
        }
    }

    /// How it stands is what the feed says, unless the GPU has no room for what the guest sends.
    pub(super) fn settle_state(&mut self, now: HostTime) {
        let refused = self.painter.as_ref().and_then(Painter::refused).filter(|_| self.guest.is_live());
        let changed = match refused {
            Some(detail) => !matches!(&self.state, GuestState::NoRoom { detail: d } if d == detail),
            None => self.state != self.guest,
        };
        if changed {
            self.state = match refused {
                Some(detail) => GuestState::NoRoom { detail: detail.to_owned() },
                None => self.guest.clone(),
            };
            if let Some(sentence) = self.announcer.changed(now, &self.state) {
                tracing::info!("{sentence}");
            }
            self.pace.note(Cause::Window);
            if matches!(self.state, GuestState::Truncated { .. }) {
                // Its words do not stand over what there is of the picture.
                self.say(self.state.sentence());
            }
        }
        self.set_title();
    }
}
