//! The end of the input's thread, after a stop as after a panic: the guest is told to release everything, and the way to it
//! stays until it has heard that, for a second at most; then, where releases may be lost on the way, until it has heard them
//! once more, for another second at most.

use super::Capture;
use crate::input::CodeSet;
use crate::input::pacer::Pacer;
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;

/// How long the last releases may take at the end. A busy machine may answer late.
const FAREWELL: Duration = Duration::from_millis(1000);
/// With the 30 ms of quiet before the first round: who heard of the last releases later than this was held up.
const LATE: Duration = Duration::from_millis(100);

impl Capture {
    /// The guest releases everything before the connection ends.
    pub(super) fn farewell(&mut self) {
        // A machine that goes on now gets releases, and nothing else.
        self.wants_guest = false;
        self.router.give_back_at_once(clock::now(), &mut self.acts);
        self.act();
        if !self.release_to_the_end() && (self.pacer.is_busy() || !self.has_delivered()) && self.is_running {
            // The way went just now, and perhaps nothing but us lifts what was held by it.
            self.set_sink(None);
            self.pacer.disconnected();
            if let Some(sink) = self.seeker.at_the_end() {
                self.is_running = sink.is_heard();
                self.set_sink(Some(sink));
                self.pacer.connected(clock::now());
                self.release_to_the_end();
            }
        }
        if self.waits_for_machine() {
            tracing::warn!(
                "input: the machine stands still with keys or buttons down: they stay so until frame-rx connects to it again"
            );
        }
        self.tell_heir();
        self.publish();
    }

    /// Whether the guest has to be told something that it hears only when its machine runs again.
    fn waits_for_machine(&self) -> bool {
        let keeps_held = self.sink.as_ref().is_some_and(|sink| sink.keeps_held());
        keeps_held && !self.is_running && !self.pacer.has_settled()
    }

    /// What may be held, before it is. A way that lifts everything by itself leaves nothing to the heir; one that is lost leaves it
    /// what it was told last.
    pub(super) fn tell_heir(&mut self) {
        let (Some(heir), Some(sink)) = (&mut self.heir, &self.sink) else { return };
        let held = if sink.keeps_held() { self.pacer.may_hold() } else { CodeSet::EMPTY };
        if !heir.note(held) {
            tracing::debug!("input: whoever would release what is held after a kill is gone");
            self.heir = None;
        }
    }

    fn has_delivered(&self) -> bool {
        self.sink.as_ref().is_none_or(|sink| sink.has_delivered())
    }

    /// Sends the last releases, and those that may be lost once more. Whether there was a way to the guest up to the end.
    fn release_to_the_end(&mut self) -> bool {
        let begun = clock::now();
        if !self.release_until_heard(Pacer::has_settled) {
            return false;
        }
        // A server that read it all at once filled its keyboard's and its mouse's queue, and what found no room there is lost.
        let keeps_held = self.sink.as_ref().is_some_and(|sink| sink.keeps_held());
        if !keeps_held || !self.has_delivered() || !self.pacer.release_once_more() {
            return true;
        }
        // Its guest may be as late as itself.
        let was_late = clock::now().since(begun) > LATE;
        self.release_until_heard(if was_late { Pacer::is_through } else { Pacer::has_settled })
    }

    /// Sends what is to be released until `is_enough`, and waits until the other side has that; all for [`FAREWELL`] at most.
    /// Whether there was a way to the guest up to the end.
    fn release_until_heard(&mut self, is_enough: fn(&Pacer) -> bool) -> bool {
        let end = clock::now() + FAREWELL;
        let mut is_asked = false;
        loop {
            let Ok(due) = self.run_pacer(clock::now()) else { return false };
            if self.pump(clock::now()).is_err() || self.sink.is_none() {
                return false;
            }
            if !self.is_running && !self.waits_for_machine() {
                return false;
            }
            if is_enough(&self.pacer) && !core::mem::replace(&mut is_asked, true) {
                let asked = self.sink.as_mut().map_or(Ok(()), |sink| sink.ask_delivery(clock::now()));
                if asked.is_err() {
                    return false;
                }
            }
            if clock::now() >= end || (is_asked && self.has_delivered()) {
                return true;
            }
            let dues = [due, self.sink_due()].into_iter().flatten();
            self.wait(dues.fold(end, HostTime::min));
        }
    }
}
