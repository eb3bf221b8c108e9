//! How soon a publication is seen, and what looking for it costs: our waiting against fixed polls of 1 ms (Looking Glass)
//! and 6.25 ms (Scream), on one trace. In virtual time looks and wake-ups are counted, which is exact; by the host's clock
//! the delay is measured in paired blocks, with the processor time that each policy took.
//!
//! Pictures wait for nobody's ring, so `frame-rx` looks closely around the beat they come on. Sound lies in a ring of
//! seconds and is played a constant time after the guest played it, however soon it was found: there `scream-rx` saves
//! wake-ups instead.

use super::Task;
use crate::contest::{Candidate, Effort, hold};
use crate::figure::{Better, Figure, Plot, Series, Table};
use crate::place::{Pinned, processors};
use crate::random::Random;
use crate::report::CaseReport;
use crate::stats::median;
use rustix::time::{ClockId, clock_gettime};
use rx_host::{clock, realtime};
use scream_rx::intake::Rhythm;
use shm_proto::HostTime;
use shm_proto::cadence::{Cadence, Look};
use shm_proto::raw::pause::pause;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a sleep costs a receiver: the system call and the switch. Source: performance measurements of the project, 13 to
/// 17 µs with the look. Unit: seconds.
const SLEEP_S: f64 = 12e-6;
/// What a look costs. Unit: ns.
const LOOK_NS: u64 = 3_000;
/// A wake-up is up to so much late. As in `ring-size`. Unit: ns.
const WAKE_LATE_NS: usize = 40_000;
/// Publications of a virtual trace: ten minutes of sound.
const VIRTUAL_EVENTS: usize = 30_000;
/// Nothing counts before: estimates settle.
const WARM_UP: Duration = Duration::from_secs(10);
/// One measured block of one policy, and its beginning, which does not count: the others had their turn before, and an
/// estimate that saw nothing for so long finds its place again.
const BLOCK: Duration = Duration::from_millis(850);
const SETTLES: Duration = Duration::from_millis(250);
/// Blocks that are measured at most; each takes the time of three policies.
const MAX_BLOCKS: u32 = 15;
/// The median delay of pictures is at most this much of a 1 ms poll's.
const GOAL_MAX_RATIO: f64 = 0.05;
/// Waiting for pictures takes at most this share of a core. Unit: percent.
const GOAL_MAX_PERCENT: f64 = 3.0;
/// Frames of a chunk of sound.
const CHUNK_FRAMES: u32 = 960;

/// When publications come.
#[derive(Clone, Copy, Debug)]
struct Trace {
    name: &'static str,
    period: Duration,
    /// Each is up to so much late, evenly spread. Unit: ns.
    jitter_ns: usize,
    /// Sound, and not pictures.
    is_sound: bool,
}

const SOUND: Trace = Trace { name: "sound", period: Duration::from_millis(20), jitter_ns: 600_000, is_sound: true };
const HZ_60: Trace =
    Trace { name: "60 Hz", period: Duration::from_nanos(16_666_667), jitter_ns: 600_000, is_sound: false };
const HZ_144: Trace =
    Trace { name: "144 Hz", period: Duration::from_nanos(6_944_444), jitter_ns: 300_000, is_sound: false };
const TRACES: [Trace; 3] = [SOUND, HZ_60, HZ_144];
/// Those that are measured by the host's clock too.
const MEASURED: [Trace; 2] = [HZ_144, SOUND];

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Ours,
    Poll1,
    Poll6,
}

impl Policy {
    const ALL: [Policy; 3] = [Policy::Poll1, Policy::Ours, Policy::Poll6];

    const fn name(self) -> &'static str {
        match self {
            Policy::Ours => "prediction",
            Policy::Poll1 => "poll of 1 ms",
            Policy::Poll6 => "poll of 6.25 ms",
        }
    }
}

/// A policy at work.
enum Waiter {
    Pictures(Box<Cadence>),
    Sound(Box<Rhythm>),
    Every(Duration),
}

impl Waiter {
    fn new(policy: Policy, trace: &Trace, seed: u64, now: HostTime) -> Waiter {
        match policy {
            Policy::Ours if trace.is_sound => Waiter::Sound(Box::new(Rhythm::new(48_000, CHUNK_FRAMES, now))),
            Policy::Ours => Waiter::Pictures(Box::new(Cadence::new(seed))),
            Policy::Poll1 => Waiter::Every(Duration::from_millis(1)),
            Policy::Poll6 => Waiter::Every(Duration::from_micros(6250)),
        }
    }

    /// A look at `now` found that `number` is the newest; it had seen `seen`. When to look next.
    fn look(&mut self, now: HostTime, number: u64, seen: u64) -> Look {
        match self {
            Waiter::Pictures(cadence) => {
                if number > seen {
                    cadence.published(now, number);
                } else {
                    cadence.nothing(now);
                }
                cadence.next_look(now)
            }
            Waiter::Sound(rhythm) => {
                if number > seen {
                    rhythm.arrived(now, number * u64::from(CHUNK_FRAMES));
                }
                Look::At(rhythm.next_look(now))
            }
            Waiter::Every(period) => Look::At(now + *period),
        }
    }
}

/// What a policy did with a virtual trace.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Result {
    delay_us_p50: f64,
    delay_us_p99: f64,
    wake_ups_per_s: f64,
    processor_percent: f64,
}

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("wait");
    let mut table = Table::new(
        "virtual time, ten minutes of sound and as many pictures: from a publication to the look that finds it",
        &["trace and policy", "p50 µs", "p99 µs", "wake-ups/s", "processor %"],
    );
    for trace in &TRACES {
        for policy in Policy::ALL {
            let result = play(trace, policy, 1);
            let Result { delay_us_p50, delay_us_p99, wake_ups_per_s, processor_percent } = result;
            let name = format!("{}, {}", trace.name, policy.name());
            table.rows.push(vec![
                name.clone(),
                if delay_us_p50 < 10.0 { format!("{delay_us_p50:.1}") } else { format!("{delay_us_p50:.0}") },
                format!("{delay_us_p99:.0}"),
                format!("{wake_ups_per_s:.0}"),
                format!("{processor_percent:.2}"),
            ]);
            if policy == Policy::Ours {
                for (what, value, unit) in [
                    ("delay p50", delay_us_p50, "µs"),
                    ("delay p99", delay_us_p99, "µs"),
                    ("wake-ups", wake_ups_per_s, "1/s"),
                    ("processor", processor_percent, "%"),
                ] {
                    report.figures.push(Figure::exact(format!("{name}: {what}"), value, unit, Better::Lower).tabled());
                }
            }
        }
    }
    report.tables.push(table.headline());
    report.plots.push(plot());
    if !task.is_exact {
        for trace in &MEASURED {
            measure(&mut report, trace, task.effort)?;
        }
    }
    Ok(report)
}

/// Delay over the guest's rate, a line for each policy.
fn plot() -> Plot {
    let rates: [u32; 8] = [24, 30, 60, 75, 120, 144, 165, 240];
    let point = |policy: Policy, hz: u32| {
        let period = Duration::from_nanos(1_000_000_000 / u64::from(hz));
        let trace = Trace { name: "", period, jitter_ns: 300_000, is_sound: false };
        (f64::from(hz), play(&trace, policy, 1).delay_us_p50)
    };
    let line = |policy: Policy| Series {
        name: policy.name().into(),
        points: rates.iter().map(|hz| point(policy, *hz)).collect(),
    };
    Plot {
        id: "wait-delay".into(),
        title: "Median delay until a new frame is seen, virtual time".into(),
        x_title: "frames of the guest in a second".into(),
        y_title: "µs".into(),
        y_is_log: true,
        series: Policy::ALL.into_iter().map(line).collect(),
    }
}

/// A policy on a trace in virtual time.
fn play(trace: &Trace, policy: Policy, seed: u64) -> Result {
    let mut random = Random::new(seed);
    let begin = HostTime::from_ns(1 << 40);
    let arrivals: Vec<HostTime> = (1..=VIRTUAL_EVENTS as u32)
        .map(|n| begin + trace.period * n + Duration::from_nanos(random.below(trace.jitter_ns) as u64))
        .collect();
    let (mut waiter, mut now, mut delays) = (Waiter::new(policy, trace, seed, begin), begin, Vec::new());
    let (mut seen, mut looks, mut sleeps) = (0, 0u64, 0u64);
    let counts_from = begin + WARM_UP;
    while seen < arrivals.len() {
        let newest = seen + arrivals[seen..].iter().take_while(|at| **at <= now).count();
        if now >= counts_from {
            looks += 1;
            delays.extend(arrivals[seen..newest].iter().map(|at| now.since(*at).as_nanos() as f64 / 1e3));
        }
        let look = waiter.look(now, newest as u64, seen as u64);
        seen = newest;
        now = now + Duration::from_nanos(LOOK_NS);
        if let Look::At(wake) = look {
            sleeps += u64::from(now >= counts_from);
            now = now.max(wake) + Duration::from_nanos(random.below(WAKE_LATE_NS) as u64);
        }
    }
    delays.sort_by(f64::total_cmp);
    let rank = |q: f64| delays.get((delays.len() as f64 * q) as usize).copied().unwrap_or(f64::NAN);
    let seconds = now.since(counts_from).as_secs_f64();
    let busy_s = looks as f64 * LOOK_NS as f64 * 1e-9 + sleeps as f64 * SLEEP_S;
    Result {
        delay_us_p50: rank(0.5),
        delay_us_p99: rank(0.99),
        wake_ups_per_s: sleeps as f64 / seconds,
        processor_percent: 100.0 * busy_s / seconds,
    }
}

/// All policies on a trace by the host's clock.
fn measure(report: &mut CaseReport, trace: &Trace, effort: &Effort) -> anyhow::Result<()> {
    let [here, other, ..] = processors()[..] else {
        report.give_up("somebody who publishes and somebody who waits need two processors");
        return Ok(());
    };
    let (newest, stop) = (AtomicU64::new(0), AtomicU64::new(0));
    let spent = [const { Cell::new(Duration::ZERO) }; 3];
    let runs = [const { Cell::new(0u32) }; 3];
    let effort = Effort { blocks: effort.blocks.min(MAX_BLOCKS), ..effort.clone() };
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _pinned = Pinned::to(other);
            publish(trace, &newest, &stop);
        });
        let _pinned = Pinned::to(here);
        let _stop = StoreOnDrop(&stop);
        realtime::ask_for_exact_timers();
        let candidate = |(place, policy): (usize, Policy)| {
            let (newest, spent, runs) = (&newest, &spent[place], &runs[place]);
            let waiter = Waiter::new(policy, trace, 5, clock::now());
            let mut follower = Follower { waiter, seen: 0, number: 0 };
            Candidate::new(policy.name(), move || {
                let before = thread_time();
                let delay_ns = follower.follow(trace, newest);
                spent.set(spent.get() + thread_time().saturating_sub(before));
                runs.set(runs.get() + 1);
                Ok(delay_ns)
            })
        };
        hold(&effort, Policy::ALL.into_iter().enumerate().map(candidate).collect())
    })?;
    for standing in &outcome.standings {
        let has_goal = !trace.is_sound && standing.name == Policy::Ours.name();
        let what = format!("{}: delay p50", trace.name);
        report.add(&what, Policy::Poll1.name(), 0, &outcome, standing, has_goal.then_some(GOAL_MAX_RATIO));
    }
    for ((policy, spent), runs) in Policy::ALL.into_iter().zip(&spent).zip(&runs) {
        let all = BLOCK * runs.get().max(1);
        let percent = 100.0 * spent.get().as_secs_f64() / all.as_secs_f64();
        let id = format!("{}, {}: processor, measured", trace.name, policy.name());
        report.figures.push(Figure::measured(id, percent, "%", Better::Lower));
        if !trace.is_sound && policy == Policy::Ours {
            report.add_goal(percent <= GOAL_MAX_PERCENT, outcome.is_too_noisy());
        }
    }
    Ok(())
}

struct StoreOnDrop<'a>(&'a AtomicU64);

impl Drop for StoreOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

/// The other side: stores the time of each publication in its rhythm. It spins before it is due, so as to be exact.
fn publish(trace: &Trace, newest: &AtomicU64, stop: &AtomicU64) {
    realtime::ask_for_exact_timers();
    let mut random = Random::new(9);
    let begin = clock::now();
    for number in 1u32.. {
        if stop.load(Ordering::Relaxed) != 0 {
            return;
        }
        let due = begin + trace.period * number + Duration::from_nanos(random.below(trace.jitter_ns) as u64);
        clock::sleep_until(due - Duration::from_micros(200));
        while clock::now() < due {
            std::hint::spin_loop();
        }
        // Release: nothing else is handed over; the time is the message.
        newest.store(clock::now().as_ns(), Ordering::Release);
    }
}

/// A policy that goes on from block to block, as in a receiver that runs for hours.
struct Follower {
    waiter: Waiter,
    seen: u64,
    number: u64,
}

impl Follower {
    /// Follows the publications for a block. The median delay, in nanoseconds.
    fn follow(&mut self, trace: &Trace, newest: &AtomicU64) -> f64 {
        let (begin, mut delays) = (clock::now(), Vec::with_capacity(256));
        loop {
            let (published, now) = (newest.load(Ordering::Acquire), clock::now());
            if now.since(begin) >= BLOCK {
                break;
            }
            let before = self.number;
            if published != self.seen {
                // Numbers grow by the time that went by, so that what was missed leaves a gap.
                let passed = published.saturating_sub(self.seen) as f64 / trace.period.as_nanos() as f64;
                self.number += if self.seen == 0 { 1 } else { passed.round().max(1.0) as u64 };
                self.seen = published;
                if now.since(begin) >= SETTLES {
                    delays.push(now.as_ns().saturating_sub(published) as f64);
                }
            }
            match self.waiter.look(now, self.number, before) {
                Look::Again => pause(),
                Look::At(wake) => drop(clock::sleep_until(wake)),
            }
        }
        median(&delays)
    }
}

/// Processor time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_find_a_publication_after_half_their_period_and_look_as_often_as_they_say() {
        for (policy, half_us, wake_ups) in [(Policy::Poll1, 510.0, 980.0), (Policy::Poll6, 3135.0, 159.5)] {
            let result = play(&SOUND, policy, 3);
            assert!((result.delay_us_p50 / half_us - 1.0).abs() < 0.05, "{policy:?} {result:?}");
            assert!((result.wake_ups_per_s / wake_ups - 1.0).abs() < 0.02, "{policy:?} {result:?}");
        }
    }

    #[test]
    fn pictures_are_seen_twenty_times_sooner_than_by_a_poll_for_three_percent_and_sound_with_fewer_wake_ups() {
        for trace in &TRACES {
            let (ours, poll) = (play(trace, Policy::Ours, 3), play(trace, Policy::Poll1, 3));
            if trace.is_sound {
                assert!(ours.delay_us_p50 < 0.5 * poll.delay_us_p50, "{ours:?} {poll:?}");
            } else {
                assert!(ours.delay_us_p50 < GOAL_MAX_RATIO * poll.delay_us_p50, "{}: {ours:?} {poll:?}", trace.name);
                assert!(ours.processor_percent < GOAL_MAX_PERCENT, "{}: {ours:?}", trace.name);
            }
            assert!(ours.wake_ups_per_s < 0.5 * poll.wake_ups_per_s, "{}: {ours:?} {poll:?}", trace.name);
            assert_eq!(ours, play(trace, Policy::Ours, 3), "the same in every run");
        }
    }
}
