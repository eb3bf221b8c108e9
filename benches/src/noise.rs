//! Whether the machine was ours during a block: a fixed loop is timed at both ends of it, the time that the hypervisor
//! gave to others is read from `/proc/stat`, and what other programs took is asked of the scheduler: how long the measuring
//! thread was ready to run and did not; or, where it has helpers in this process that keep it waiting themselves (a GPU in
//! software), how long processors worked for other processes.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A block whose loop took longer than this many times the best one of the run is void.
const MAX_SLOWDOWN: f64 = 1.5;
/// A block during which more than this share of the processors' time was stolen is void.
const MAX_STOLEN_SHARE: f64 = 0.05;
/// A block of which other programs took more than this share is void: the measuring thread stood in the queue for a
/// processor for so long, or so much of all processors' time was theirs.
const MAX_TAKEN_SHARE: f64 = 0.05;
/// Steps of the loop: some hundred microseconds.
const CALIBRATION_STEPS: u64 = 200_000;
/// Length of a tick of `/proc/stat`. Source: `proc_stat(5)`, USER_HZ is 100 wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

/// What the machine was like around one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// The slower one of the two calibrations, in nanoseconds.
    pub calibration_ns: f64,
    /// Share of all processors' time that was stolen.
    pub stolen_share: f64,
    /// Share of the time in which the measuring thread wanted to run and others did; or that processors worked for other
    /// processes.
    pub taken_share: f64,
}

/// Who works while something is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crew {
    /// The measuring thread, so that it waits for nobody but other programs.
    #[default]
    Alone,
    /// Other threads of this process too, which keep the measuring one waiting. Blocks must last a third of a second then,
    /// since the system counts others' time in hundredths.
    WithHelpers,
}

/// Why a block does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// The hypervisor gave the processors to others.
    Stolen,
    /// Other programs of this machine had them.
    Taken,
    /// They were slower than at other times.
    Slow,
}

impl Void {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Void::Stolen => "the hypervisor took the processors away",
            Void::Taken => "other programs had the processors",
            Void::Slow => "the processors were slower than before",
        }
    }
}

/// Stands at the beginning of a block.
#[derive(Debug)]
pub struct Gauge {
    crew: Crew,
    began: Instant,
    ticks: Ticks,
    taken_ns: u64,
    calibration_ns: f64,
    processors: f64,
}

impl Gauge {
    /// A block begins.
    pub fn begin(crew: Crew) -> Gauge {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let calibration_ns = calibrate();
        let ticks = Ticks::now();
        Gauge { crew, began: Instant::now(), ticks, taken_ns: taken_ns(crew, ticks), calibration_ns, processors }
    }

    /// It ends.
    pub fn end(self) -> Weather {
        let ticks = Ticks::now();
        let stolen_s = ticks.stolen.saturating_sub(self.ticks.stolen) as f64 * TICK.as_secs_f64();
        let taken_s = taken_ns(self.crew, ticks).saturating_sub(self.taken_ns) as f64 * 1e-9;
        let elapsed_s = self.began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let available_s = elapsed_s * self.processors;
        Weather {
            taken_share: taken_s / if self.crew == Crew::Alone { elapsed_s } else { available_s },
            calibration_ns: calibrate().max(self.calibration_ns),
            stolen_share: stolen_s / available_s,
        }
    }
}

/// Which blocks do not count, and why, judged by the best calibration of the whole run.
pub fn judge(weather: &[Weather]) -> Vec<Option<Void>> {
    let best = weather.iter().map(|w| w.calibration_ns).fold(f64::INFINITY, f64::min);
    let judge_one = |w: &Weather| match w {
        w if w.stolen_share > MAX_STOLEN_SHARE => Some(Void::Stolen),
        w if w.taken_share > MAX_TAKEN_SHARE => Some(Void::Taken),
        w if w.calibration_ns > MAX_SLOWDOWN * best => Some(Void::Slow),
        _ => None,
    };
    weather.iter().map(judge_one).collect()
}

/// Times a loop whose every step waits for the one before; nothing but the processor's pace changes it.
fn calibrate() -> f64 {
    let start = Instant::now();
    let mut value = black_box(1u64);
    for _ in 0..CALIBRATION_STEPS {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(value);
    start.elapsed().as_nanos() as f64
}

/// What all processors did since the machine started; nothing where nobody says. Unit: [`TICK`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    busy: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> Ticks {
        std::fs::read_to_string("/proc/stat").map_or(Ticks::default(), |text| Ticks::parse(&text))
    }

    fn parse(stat: &str) -> Ticks {
        // "cpu", then user, nice, system, idle, iowait, irq, softirq, steal.
        let first = stat.lines().next().unwrap_or_default();
        let figure = |place| first.split_whitespace().nth(place).and_then(|ticks| ticks.parse().ok()).unwrap_or(0u64);
        let busy = [1, 2, 3, 6, 7].map(figure).iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
        Ticks { busy, stolen: figure(8) }
    }
}

/// What others took so far of the measuring thread's time, or of all processors'. Unit: ns.
fn taken_ns(crew: Crew, ticks: Ticks) -> u64 {
    match crew {
        Crew::Alone => waited_ns(),
        Crew::WithHelpers => {
            let own = clock_gettime(ClockId::ProcessCPUTime);
            let own_ns = u64::try_from(own.tv_sec * 1_000_000_000 + own.tv_nsec).unwrap_or(0);
            (ticks.busy.saturating_mul(TICK.as_nanos() as u64)).saturating_sub(own_ns)
        }
    }
}

/// How long the calling thread has stood in a queue for a processor since it began; 0 where nobody says. Unit: ns.
pub fn waited_ns() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").map_or(0, |text| parse_waited(&text))
}

fn parse_waited(schedstat: &str) -> u64 {
    // Time on a processor, time waiting for one, how often. Source: the kernel's documentation of scheduler statistics.
    schedstat.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_figure_and_busy_time_has_no_idling_in_it() {
        let ticks = Ticks::parse("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 1 1 1 1 1 1 1");
        assert_eq!((ticks.busy, ticks.stolen), (1 + 2 + 3 + 6 + 7, 88));
        assert_eq!(Ticks::parse("cpu  1 2 3").stolen, 0);
        assert_eq!(Ticks::parse(""), Ticks::default());
        assert_eq!((parse_waited("5 77 3\n"), parse_waited("")), (77, 0));
    }

    #[test]
    fn slow_blocks_and_stolen_blocks_are_void() {
        let calm = Weather { calibration_ns: 100.0, stolen_share: 0.0, taken_share: 0.0 };
        let weather = [
            calm,
            Weather { calibration_ns: 149.0, ..calm },
            Weather { calibration_ns: 151.0, ..calm },
            Weather { stolen_share: 0.2, ..calm },
            Weather { taken_share: 0.06, ..calm },
        ];
        let (slow, stolen, taken) = (Some(Void::Slow), Some(Void::Stolen), Some(Void::Taken));
        assert_eq!(judge(&weather), [None, None, slow, stolen, taken]);
    }

    #[test]
    fn a_gauge_measures_something() {
        for crew in [Crew::Alone, Crew::WithHelpers] {
            let weather = Gauge::begin(crew).end();
            assert!(weather.calibration_ns > 0.0 && weather.stolen_share >= 0.0, "{weather:?}");
        }
    }

    /// Helpers that take every processor are no weather; the same work in another process is.
    #[test]
    fn helpers_of_our_own_take_nothing_and_other_processes_do() {
        use std::process::{Command, Stdio};
        let processors = crate::place::processors().len();
        let block = || {
            let gauge = Gauge::begin(Crew::WithHelpers);
            let end = Instant::now() + Duration::from_millis(600);
            std::thread::scope(|scope| {
                for _ in 0..2 * processors {
                    scope.spawn(|| {
                        while Instant::now() < end {
                            std::hint::spin_loop()
                        }
                    });
                }
            });
            gauge.end()
        };
        let ours = (0..3).map(|_| block().taken_share).fold(f64::INFINITY, f64::min);
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let mut others: Vec<_> = (0..2 * processors).map(|_| spin()).collect();
        // A processor that was taken away in a block did less for them in it than they asked for.
        let theirs = (0..3).map(|_| block().taken_share).fold(0.0, f64::max);
        for other in &mut others {
            other.kill().unwrap();
            other.wait().unwrap();
        }
        // On a machine that is busy anyway the two are alike.
        assert!(theirs > 0.2 && (theirs > ours || ours > 0.2), "{theirs} with others, {ours} without");
        assert!(theirs <= 1.1, "{theirs}");
    }
}
