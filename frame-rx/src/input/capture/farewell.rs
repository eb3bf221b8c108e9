//! The end of the input's thread, after a stop as after a panic: the guest is told to release everything, and the way to it
//! stays until it has heard that, for a second at most.

use super::Capture;
use core::time::Duration;
use rx_host::clock;
use shm_proto::HostTime;

/// How long the last releases may take at the end. A busy machine may answer late.
const FAREWELL: Duration = Duration::from_millis(1000);

impl Capture {
    /// The guest releases everything before the connection ends.
    pub(super) fn farewell(&mut self) {
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
        self.publish();
    }

    fn has_delivered(&self) -> bool {
        self.sink.as_ref().is_none_or(|sink| sink.has_delivered())
    }

    /// Sends the last releases, for [`FAREWELL`] at most. Whether there was a way to the guest up to the end.
    fn release_to_the_end(&mut self) -> bool {
        let end = clock::now() + FAREWELL;
        let mut is_asked = false;
        loop {
            let Ok(due) = self.run_pacer(clock::now()) else { return false };
            if self.pump(clock::now()).is_err() || self.sink.is_none() || !self.is_running {
                return false;
            }
            if self.pacer.has_settled() && !core::mem::replace(&mut is_asked, true) {
                let asked = self.sink.as_mut().map_or(Ok(()), |sink| sink.ask_delivery(clock::now()));
                if asked.is_err() {
                    return false;
                }
            }
            if (is_asked && self.has_delivered()) || clock::now() >= end {
                return true;
            }
            let dues = [due, self.sink_due()].into_iter().flatten();
            self.wait(dues.fold(end, HostTime::min));
        }
    }
}
