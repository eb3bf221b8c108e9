//! A publication from one thread to another and back, through our ring, against a bare atomic going the same way. Two
//! threads that do nothing else, each on a processor of its own.

use crate::contest::{Candidate, Effort, hold};
use crate::place::{Pinned, processors, scratch};
use crate::report::CaseReport;
use crate::stats::median;
use anyhow::bail;
use crossbeam_utils::CachePadded;
use shm_proto::HostTime;
use shm_proto::raw::pause::pause;
use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Miss, Producer};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// Eight bytes through the ring take at most this many times the bare atomic.
const GOAL_MAX_RATIO: f64 = 2.0;
/// Payloads that are handed over: a number, a line, a chunk of sound. The goal is about the first.
const PAYLOADS: [usize; 3] = [8, 64, 3840];
/// Slots of both rings.
const SLOTS: u32 = 8;
/// Round trips that share one look at the clock, so that the look does not count.
const TRIPS_PER_SAMPLE: u32 = 16;
/// Samples of one measurement, of which the median counts.
const SAMPLES: u32 = 200;

/// What the other thread shall echo, so many times.
#[derive(Clone, Copy)]
enum Task {
    Bare,
    Ring { payload_bytes: usize },
}

/// The two numbers that go there and back.
#[derive(Default)]
struct Bare {
    there: CachePadded<AtomicU64>,
    back: CachePadded<AtomicU64>,
    stop: AtomicBool,
}

/// One thread's ends of the two rings.
struct Ends {
    out: Producer,
    inward: Consumer,
    buffer: Vec<u8>,
}

pub(super) fn run(effort: &Effort) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("handover");
    let [here, other, ..] = processors()[..] else {
        report.give_up("two threads that wait for each other need two processors");
        return Ok(report);
    };
    let geometry = Geometry::new(SLOTS, 3840)?;
    let (there, _) = scratch(geometry.region_bytes())?;
    let (back, _) = scratch(geometry.region_bytes())?;
    let ends = |out: &shm_proto::Region, inward: &shm_proto::Region| {
        Ok::<_, anyhow::Error>(Ends {
            out: Producer::create(out, geometry)?,
            inward: Consumer::attach(inward)?,
            buffer: vec![0; 3840],
        })
    };
    let (mut mine, mut others) = (ends(&there, &back)?, ends(&back, &there)?);
    mine.inward.poll(HostTime::ZERO);
    others.inward.poll(HostTime::ZERO);
    let bare = Bare::default();
    let outcome = std::thread::scope(|scope| {
        let (tasks, todo) = sync_channel(1);
        scope.spawn(|| {
            let _pinned = Pinned::to(other);
            echo(&bare, others, todo);
        });
        let _pinned = Pinned::to(here);
        // Whatever ends the contest, the other thread must not wait for ever.
        let _stop = StopOnDrop(&bare.stop);
        contest(effort, &bare, mine, tasks)
    })?;
    for (standing, payload_bytes) in outcome.standings.iter().zip(PAYLOADS) {
        let goal = (payload_bytes == PAYLOADS[0]).then_some(GOAL_MAX_RATIO);
        report.add(&format!("{payload_bytes} bytes"), "a bare atomic", payload_bytes as u64, &outcome, standing, goal);
    }
    Ok(report)
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn contest(
    effort: &Effort,
    bare: &Bare,
    mine: Ends,
    tasks: SyncSender<Task>,
) -> anyhow::Result<crate::contest::Outcome> {
    let mut number = 0;
    let bare_trip = Candidate::new("bare atomic", || {
        tasks.send(Task::Bare)?;
        sample(|| {
            number += 1;
            bare.there.store(number, Ordering::Release);
            wait(&bare.stop, || (bare.back.load(Ordering::Acquire) == number).then_some(()))
        })
    });
    let mine = RefCell::new(mine);
    let ring_trip = |payload_bytes: usize| {
        let (mine, tasks) = (&mine, &tasks);
        let payload = vec![7; payload_bytes];
        Candidate::new("ring", move || {
            tasks.send(Task::Ring { payload_bytes })?;
            let mine = &mut *mine.borrow_mut();
            sample(|| {
                mine.out.publish_bytes(Kind::Audio, Durations::default(), &payload)?;
                mine.take(&bare.stop)
            })
        })
    };
    let rings = PAYLOADS.map(ring_trip);
    hold(effort, std::iter::once(bare_trip).chain(rings).collect())
}

/// The other thread: sends back whatever comes, as often as a task says.
fn echo(bare: &Bare, mut ends: Ends, todo: Receiver<Task>) {
    let mut number = 0;
    while let Ok(task) = todo.recv() {
        for _ in 0..SAMPLES * TRIPS_PER_SAMPLE {
            let done = match task {
                Task::Bare => {
                    number += 1;
                    let came = wait(&bare.stop, || (bare.there.load(Ordering::Acquire) == number).then_some(()));
                    bare.back.store(number, Ordering::Release);
                    came
                }
                Task::Ring { payload_bytes } => ends.take(&bare.stop).and_then(|()| {
                    let payload = &ends.buffer[..payload_bytes];
                    ends.out.publish_bytes(Kind::Audio, Durations::default(), payload)?;
                    Ok(())
                }),
            };
            if done.is_err() {
                // The other side sees that nothing comes back.
                bare.stop.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}

impl Ends {
    fn take(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        wait(stop, || match self.inward.next(&mut self.buffer) {
            Ok(_) => Some(Ok(())),
            Err(Miss::Nothing) => None,
            Err(miss) => Some(Err(miss)),
        })??;
        Ok(())
    }
}

/// Spins until `look` finds something or the case ends.
#[inline]
fn wait<T>(stop: &AtomicBool, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    loop {
        for _ in 0..10_000 {
            if let Some(found) = look() {
                return Ok(found);
            }
            pause();
        }
        if stop.load(Ordering::Relaxed) {
            bail!("the other thread has ended");
        }
    }
}

/// The median time of one way, in nanoseconds: half a round trip.
fn sample(mut trip: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(SAMPLES as usize);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        for _ in 0..TRIPS_PER_SAMPLE {
            trip()?;
        }
        times.push(start.elapsed().as_nanos() as f64 / f64::from(2 * TRIPS_PER_SAMPLE));
    }
    Ok(median(&times))
}
