//! The work of the input's thread for what a mouse and a keyboard report: router, pacer, and a sink that takes
//! everything and does nothing.

use anyhow::ensure;
use frame_rx::input::chord::Chord;
use frame_rx::input::pacer::Pacer;
use frame_rx::input::router::{Act, Phase, Router, SourceId, usual_keep};
use frame_rx::input::sink::{Caps, DESCRIPTORS, News, Sent, Sink, SinkError, Step};
use frame_rx::input::stats::InputStats;
use frame_rx::input::{Code, InputFrame, Motion};
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

const START: HostTime = HostTime::from_ns(1 << 40);
/// Every so many reports of a mouse a button goes down or up.
const CLICK_EVERY: u32 = 400;

/// A way to a guest that is never busy, with the limits of SPICE and QMP.
#[derive(Debug, Default)]
struct Willing {
    moves: u64,
    edges: u64,
    moved: (i64, i64),
}

impl Sink for Willing {
    fn way(&self) -> &'static str {
        "usbhid"
    }

    fn caps(&self) -> Caps {
        let gap = Duration::from_millis(1);
        Caps { motion: true, position: true, wheel_units: 1, horizontal: true, key_gap: gap, motion_gap: gap }
    }

    fn send(&mut self, step: &Step, _now: HostTime) -> Result<Sent, SinkError> {
        match step {
            Step::Edge(_) => self.edges += 1,
            Step::Move(step) => {
                self.moves += 1;
                self.moved.0 += i64::from(step.motion.dx);
                self.moved.1 += i64::from(step.motion.dy);
            }
        }
        Ok(Sent::Taken)
    }

    fn pump(&mut self, _now: HostTime, _tell: &mut dyn FnMut(News)) -> Result<(), SinkError> {
        Ok(())
    }

    fn descriptors(&self) -> [Option<(BorrowedFd<'_>, bool)>; DESCRIPTORS] {
        [None; DESCRIPTORS]
    }
}

/// What came of some reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Reports of the mouse.
    pub reports: u64,
    /// Motions that the guest was told.
    pub moves: u64,
    /// Buttons that it was told.
    pub edges: u64,
    /// From a report to its way to the guest: median, and the longest. Simulated time. Unit: ns.
    pub added_ns: (u64, u64),
}

/// Router and pacer with the guest having the input, and a mouse that reports at its rate, in simulated time.
#[derive(Debug)]
pub struct Mouse {
    router: Router,
    pacer: Pacer,
    sink: Willing,
    stats: Arc<InputStats>,
    acts: Vec<Act>,
    period: Duration,
    reports: u32,
    due: Option<HostTime>,
}

impl Mouse {
    /// A mouse that reports so many times a second.
    ///
    /// # Errors
    /// That the guest did not get the input.
    pub fn new(rate_hz: u32) -> anyhow::Result<Mouse> {
        let stats = InputStats::new();
        let mut router = Router::new(Chord::default(), usual_keep());
        let mut acts = Vec::with_capacity(64);
        router.sink_up();
        router.take(START, &mut acts);
        ensure!(router.phase() == Phase::Guest, "the guest does not get the input: {:?}", router.phase());
        acts.clear();
        let period = Duration::from_nanos(1_000_000_000 / u64::from(rate_hz.max(1)));
        let (pacer, sink) = (Pacer::new(Arc::clone(&stats)), Willing::default());
        Ok(Mouse { router, pacer, sink, stats, acts, period, reports: 0, due: None })
    }

    /// One more report, and all that is due until then.
    ///
    /// # Errors
    /// That the pacer has no room: it should have sent something long ago.
    pub fn report(&mut self) -> anyhow::Result<()> {
        self.reports += 1;
        let now = START + self.period * self.reports;
        if let Some(due) = self.due.filter(|due| *due < now) {
            self.due = self.pacer.run(due, &mut self.sink)?;
            self.pacer.calls_ended(due);
        }
        let motion = Motion { dx: 3, dy: -2 };
        let frame = match self.reports % CLICK_EVERY {
            0 => {
                let is_down = (self.reports / CLICK_EVERY) % 2 == 1;
                InputFrame::edge(now, Code::LEFT, is_down).with_motion(motion)
            }
            _ => InputFrame::new(now).with_motion(motion),
        };
        self.router.frame(now, SourceId::WINDOW, &frame, &mut self.acts);
        for act in self.acts.drain(..) {
            if let Act::Send(at, step) = act {
                let pushed = self.pacer.push(at, step);
                ensure!(pushed.is_ok(), "the queue is full");
            }
        }
        self.due = self.pacer.run(now, &mut self.sink)?;
        self.pacer.calls_ended(now);
        Ok(())
    }

    /// What came of it so far.
    ///
    /// # Errors
    /// That motion was lost.
    pub fn told(&self) -> anyhow::Result<Told> {
        let added = self.stats.added.summary();
        let reports = u64::from(self.reports);
        // What waits has not been told yet; a millisecond of it at the most.
        let (told, made) = (self.sink.moved.0.unsigned_abs(), 3 * reports);
        ensure!(told <= made && made - told <= 3 * 16, "{made} counts to the right became {told}");
        let added_ns = (added.p50, added.max);
        Ok(Told { reports, moves: self.sink.moves, edges: self.sink.edges, added_ns })
    }
}

/// Passes on so many reports of a mouse of this rate.
///
/// # Errors
/// As [`Mouse`].
pub fn motion(rate_hz: u32, times: u32) -> anyhow::Result<()> {
    let mut mouse = Mouse::new(rate_hz)?;
    (0..times).try_for_each(|_| mouse.report())?;
    mouse.told().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mouse_of_8_khz_reaches_the_guest_a_thousand_times_a_second_and_no_count_is_lost() {
        for (rate_hz, moves_per_s) in [(125, 125), (1_000, 1_000), (8_000, 1_000)] {
            let mut mouse = Mouse::new(rate_hz).unwrap();
            (0..rate_hz * 4).for_each(|_| mouse.report().unwrap());
            let told = mouse.told().unwrap();
            assert!(told.moves.abs_diff(4 * moves_per_s) <= 4 * moves_per_s / 20, "{rate_hz} Hz: {told:?}");
            // What was released is released once more.
            assert!(told.edges >= u64::from(rate_hz * 4 / CLICK_EVERY), "{rate_hz} Hz: {told:?}");
            assert!(told.added_ns.1 <= 1_100_000, "{rate_hz} Hz: {told:?}");
        }
    }
}
