//! Whether the machine was ours during a block: a fixed loop is timed at both ends of it, the time that the hypervisor
//! gave to others is read from `/proc/stat`, and how long the measuring thread was ready to run and did not is asked of
//! the scheduler.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A block whose loop took longer than this many times the best one of the run is void.
const MAX_SLOWDOWN: f64 = 1.5;
/// A block during which more than this share of the processors' time was stolen is void.
const MAX_STOLEN_SHARE: f64 = 0.05;
/// A block during which the measuring thread stood in the queue for a processor for more than this share is void.
const MAX_WAITED_SHARE: f64 = 0.05;
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
    /// Share of the time in which the measuring thread wanted to run and others did.
    pub waited_share: f64,
}

/// Stands at the beginning of a block.
#[derive(Debug)]
pub struct Gauge {
    began: Instant,
    stolen_ticks: u64,
    waited_ns: u64,
    calibration_ns: f64,
    processors: f64,
}

impl Gauge {
    /// A block begins.
    pub fn begin() -> Gauge {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let calibration_ns = calibrate();
        let (stolen_ticks, waited_ns) = (stolen_ticks(), waited_ns());
        Gauge { began: Instant::now(), stolen_ticks, waited_ns, calibration_ns, processors }
    }

    /// It ends.
    pub fn end(self) -> Weather {
        let stolen = TICK * u32::try_from(stolen_ticks().saturating_sub(self.stolen_ticks)).unwrap_or(u32::MAX);
        let elapsed_s = self.began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let available_s = elapsed_s * self.processors;
        let waited_s = waited_ns().saturating_sub(self.waited_ns) as f64 * 1e-9;
        Weather {
            waited_share: waited_s / elapsed_s,
            calibration_ns: calibrate().max(self.calibration_ns),
            stolen_share: stolen.as_secs_f64() / available_s.max(f64::MIN_POSITIVE),
        }
    }
}

/// Which blocks count, judged by the best calibration of the whole run.
pub fn valid(weather: &[Weather]) -> Vec<bool> {
    let best = weather.iter().map(|w| w.calibration_ns).fold(f64::INFINITY, f64::min);
    let is_valid = |w: &Weather| {
        let ours = w.stolen_share <= MAX_STOLEN_SHARE && w.waited_share <= MAX_WAITED_SHARE;
        ours && w.calibration_ns <= MAX_SLOWDOWN * best
    };
    weather.iter().map(is_valid).collect()
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

/// Ticks stolen from all processors since the machine started; 0 where nobody says.
fn stolen_ticks() -> u64 {
    std::fs::read_to_string("/proc/stat").map_or(0, |text| parse_stolen(&text))
}

/// How long the calling thread has stood in a queue for a processor since it began; 0 where nobody says. Unit: ns.
pub fn waited_ns() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").map_or(0, |text| parse_waited(&text))
}

fn parse_waited(schedstat: &str) -> u64 {
    // Time on a processor, time waiting for one, how often. Source: the kernel's documentation of scheduler statistics.
    schedstat.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn parse_stolen(stat: &str) -> u64 {
    // "cpu", then user, nice, system, idle, iowait, irq, softirq, steal.
    let first = stat.lines().next().unwrap_or_default();
    first.split_whitespace().nth(8).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_figure() {
        assert_eq!(parse_stolen("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 1 1 1 1 1 1 1"), 88);
        assert_eq!(parse_stolen("cpu  1 2 3"), 0);
        assert_eq!(parse_stolen(""), 0);
        assert_eq!((parse_waited("5 77 3\n"), parse_waited("")), (77, 0));
    }

    #[test]
    fn slow_blocks_and_stolen_blocks_are_void() {
        let calm = Weather { calibration_ns: 100.0, stolen_share: 0.0, waited_share: 0.0 };
        let weather = [
            calm,
            Weather { calibration_ns: 149.0, ..calm },
            Weather { calibration_ns: 151.0, ..calm },
            Weather { stolen_share: 0.2, ..calm },
            Weather { waited_share: 0.06, ..calm },
        ];
        assert_eq!(valid(&weather), [true, true, false, false, false]);
    }

    #[test]
    fn a_gauge_measures_something() {
        let weather = Gauge::begin().end();
        assert!(weather.calibration_ns > 0.0 && weather.stolen_share >= 0.0, "{weather:?}");
    }
}
