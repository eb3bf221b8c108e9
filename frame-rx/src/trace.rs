//! How long each stage of the last pictures took, and, for those that came late, which stage is to blame. Fixed memory;
//! pure: times are passed in.

use crate::slots::Times;
use core::time::Duration;
use shm_proto::HostTime;

/// Pictures that are remembered: four seconds at 60 Hz.
pub const KEPT: usize = 240;
/// Pictures before anything counts as late: less say nothing about what is usual.
const FEWEST: u64 = 16;
/// How many of the last eight pictures must have come in rhythm before one out of rhythm counts as the guest's lateness.
const STEADY: u32 = 6;

/// The stages, in the order in which a picture passes them. Each is also who is to blame for a late one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From when it may have been announced to finding it.
    Transport,
    /// Copying, but for waiting for the guest's write pointer.
    Copy,
    /// To the GPU.
    Gpu,
    /// Waiting for the screen's turn, drawing, presenting.
    Compositor,
    /// The guest: it was still writing, or announced the picture later than its rhythm.
    Guest,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Stage; 5] = [Stage::Transport, Stage::Copy, Stage::Gpu, Stage::Compositor, Stage::Guest];

    /// One word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Transport => "transport",
            Stage::Copy => "copy",
            Stage::Gpu => "gpu",
            Stage::Compositor => "compositor",
            Stage::Guest => "guest",
        }
    }
}

/// How long the guest's own stages took, as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestTook {
    /// By [`GuestTook::NAMES`].
    pub stages: [Duration; 4],
}

impl GuestTook {
    /// One word for each of its stages, in order.
    pub const NAMES: [&'static str; 4] = ["capture", "process", "copy", "hold"];
}

/// How long one picture took in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// By [`Stage::ALL`]; the guest's is how long it was waited for while it wrote.
    pub stages: [Duration; 5],
    /// What the guest says it did before.
    pub guest: Option<GuestTook>,
}

impl Took {
    /// The time from stage to stage. `fetched`: when the screen's thread took it; `drawing`: when its upload was on the
    /// way and drawing began; `shown`: when it was handed to the screen.
    pub fn new(times: &Times, fetched: HostTime, drawing: HostTime, shown: HostTime) -> Took {
        let pickup = times.found.since(times.looked);
        let copy = times.copied.since(times.found).saturating_sub(times.waited);
        let screen = fetched.since(times.copied) + shown.since(drawing);
        let stages = [pickup, copy, drawing.since(fetched), screen, times.waited];
        Took { stages, guest: times.guest }
    }

    /// All stages together.
    pub fn total(&self) -> Duration {
        self.stages.iter().sum()
    }
}

/// The last pictures.
#[derive(Debug)]
pub struct Trace {
    kept: [Took; KEPT],
    count: u64,
    /// What is usual in each stage, then the guest's distance: moves a sixteenth towards each picture.
    usual: [Duration; 6],
    last_found: Option<HostTime>,
    /// One bit for each of the last pictures: it came in rhythm.
    rhythm: u8,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { kept: [Took::default(); KEPT], count: 0, usual: [Duration::ZERO; 6], last_found: None, rhythm: 0 }
    }
}

impl Trace {
    /// Remembers a picture, found at `found`. `budget`: how long it may take altogether. Who is to blame if it was late.
    pub fn add(&mut self, took: Took, found: HostTime, budget: Duration) -> Option<Stage> {
        let gap = self.last_found.map_or(Duration::ZERO, |last| found.since(last));
        self.last_found = Some(found);
        let late = if self.count >= FEWEST { self.judge(&took, gap, budget) } else { None };
        let place = self.count % KEPT as u64;
        if let Some(kept) = self.kept.get_mut(usize::try_from(place).unwrap_or(0)) {
            *kept = took;
        }
        let usual_gap = self.usual[5];
        let in_rhythm = gap.abs_diff(usual_gap) < usual_gap / 4;
        self.rhythm = self.rhythm << 1 | u8::from(in_rhythm);
        for (usual, value) in self.usual.iter_mut().zip(took.stages.iter().chain([&gap])) {
            *usual = if self.count < 2 { *value } else { *usual * 15 / 16 + *value / 16 };
        }
        self.count += 1;
        late
    }

    fn judge(&self, took: &Took, gap: Duration, budget: Duration) -> Option<Stage> {
        if took.total() > budget {
            let excess = |i: usize| took.stages[i].saturating_sub(self.usual[i]);
            let worst = (0..5).max_by_key(|i| (excess(*i), took.stages[*i]))?;
            return Stage::ALL.get(worst).copied();
        }
        let steady = self.rhythm.count_ones() >= STEADY;
        (steady && gap > self.usual[5] * 3 / 2).then_some(Stage::Guest)
    }

    /// The last pictures, the oldest first.
    pub fn last(&self) -> impl Iterator<Item = &Took> {
        let start = usize::try_from(self.count % KEPT as u64).unwrap_or(0);
        let (newer, older) = self.kept.split_at(start);
        let full = self.count >= KEPT as u64;
        older.iter().filter(move |_| full).chain(newer)
    }

    /// Of the last pictures, half and 99 % took at most this long in a stage.
    pub fn percentiles(&self, stage: Stage) -> Option<(Duration, Duration)> {
        let index = Stage::ALL.iter().position(|s| *s == stage)?;
        percentiles(self.last().map(|took| took.stages[index]).collect())
    }

    /// The same of a stage of the guest's own, by [`GuestTook::NAMES`]; of those pictures of which it said so.
    pub fn guest_percentiles(&self, index: usize) -> Option<(Duration, Duration)> {
        percentiles(self.last().filter_map(|took| took.guest?.stages.get(index).copied()).collect())
    }
}

fn percentiles(mut values: Vec<Duration>) -> Option<(Duration, Duration)> {
    values.sort_unstable();
    let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied();
    Some((at(50)?, at(99)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(25);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn took(stages: [Duration; 5]) -> Took {
        Took { stages, guest: None }
    }

    /// A guest at 60 Hz whose every stage takes two milliseconds, and at the end one picture of another kind.
    fn after_usual_ones(odd: [u64; 5], gap_ms: u64) -> Option<Stage> {
        let mut trace = Trace::default();
        let mut now = HostTime::from_ns(1_000_000_000);
        for _ in 0..100 {
            now = now + ms(17);
            assert_eq!(trace.add(took([ms(2); 5]), now, BUDGET), None);
        }
        trace.add(took(odd.map(ms)), now + ms(gap_ms), BUDGET)
    }

    #[test]
    fn the_stage_that_took_longer_than_usual_is_to_blame() {
        for (odd, gap, expected) in [
            ([2, 2, 2, 2, 2], 17, None),
            ([5, 5, 5, 5, 5], 17, None),
            ([30, 2, 2, 2, 2], 17, Some(Stage::Transport)),
            ([2, 40, 2, 3, 2], 17, Some(Stage::Copy)),
            ([2, 2, 24, 2, 2], 17, Some(Stage::Gpu)),
            ([7, 7, 7, 90, 2], 17, Some(Stage::Compositor)),
            // It wrote for a long time, or began late.
            ([2, 2, 2, 2, 30], 17, Some(Stage::Guest)),
            ([2, 2, 2, 2, 2], 40, Some(Stage::Guest)),
            // Both: what we can do something about.
            ([2, 30, 2, 2, 2], 40, Some(Stage::Copy)),
        ] {
            assert_eq!(after_usual_ones(odd, gap), expected, "{odd:?} after {gap} ms");
        }
    }

    #[test]
    fn a_desktop_without_rhythm_is_never_called_late() {
        let mut trace = Trace::default();
        let mut now = HostTime::from_ns(1_000_000_000);
        for i in 0..500u64 {
            now = now + ms(10 + (i * 7919) % 400);
            assert_eq!(trace.add(took([ms(1); 5]), now, BUDGET), None, "picture {i}");
        }
    }

    #[test]
    fn the_first_pictures_are_not_judged() {
        let mut trace = Trace::default();
        for i in 0..FEWEST {
            let took = took([ms(200); 5]);
            assert_eq!(trace.add(took, HostTime::from_ns(i * 1000), BUDGET), None);
        }
    }

    #[test]
    fn the_last_pictures_come_out_in_order_and_no_more_than_are_kept() {
        let mut trace = Trace::default();
        assert_eq!((trace.last().count(), trace.percentiles(Stage::Copy)), (0, None));
        for i in 0..300 {
            trace.add(took([ms(0), ms(i), ms(0), ms(0), ms(0)]), HostTime::from_ns(i), BUDGET);
        }
        let copies: Vec<u64> = trace.last().map(|t| t.stages[1].as_millis() as u64).collect();
        assert_eq!(copies, (60..300).collect::<Vec<_>>());
        assert_eq!(trace.percentiles(Stage::Copy), Some((ms(179), ms(297))));
        assert_eq!(trace.guest_percentiles(0), None, "the guest said nothing");
    }

    #[test]
    fn waiting_for_the_guest_is_not_copying() {
        let at = |ms: u64| HostTime::from_ns(ms * 1_000_000);
        let guest = Some(GuestTook { stages: [ms(1), ms(2), ms(3), ms(4)] });
        let times = Times { looked: at(10), found: at(11), copied: at(31), waited: ms(18), guest };
        let took = Took::new(&times, at(34), at(35), at(40));
        assert_eq!(took.stages, [ms(1), ms(2), ms(1), ms(8), ms(18)]);
        assert_eq!(took.total(), ms(30), "from the last look to the screen");
        let mut trace = Trace::default();
        trace.add(took, at(11), BUDGET);
        assert_eq!(trace.guest_percentiles(2), Some((ms(3), ms(3))));
    }
}
