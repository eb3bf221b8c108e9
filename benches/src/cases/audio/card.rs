//! The card in virtual time: every scenario of the engine's bed for an hour, what profiles and sinks make of the delay,
//! and what the engine does to a tone. Source of the card: the project's notes on testing sound, section 5.

use super::Task;
use crate::figure::{Better, Figure, Plot, Series, Table};
use crate::report::CaseReport;
use anyhow::Context;
use scream_rx::bed::guest::{Drift, GuestModel, Transport};
use scream_rx::bed::sink::{Asks, SinkModel};
use scream_rx::bed::{self, Limits, Outcome, Scenario, Sound, meter};
use scream_rx::target::{Profile, Wishes};
use shm_proto::guest_sim::tone::Tone;

/// Virtual time of each scenario. Unit: hours. Half of one is enough for the longest of them to come back to rest.
const HOURS: f64 = 1.0;
const QUICK_HOURS: f64 = 0.5;
/// Virtual time of a cell of the table of sinks. Unit: seconds.
const SINK_S: f64 = 300.0;
/// Decides lateness and mishaps.
const SEED: u64 = 1;
/// Tones whose distortion is measured. Unit: Hz. Source: as above, section 4.4.
const TONES_HZ: [f64; 3] = [997.0, 10_000.0, 19_000.0];
/// Level of those tones. Unit: dB of full scale.
const TONE_DBFS: f64 = -1.0;
/// What a guest's clock is off by meanwhile. Unit: parts per million.
const TONE_PPM: f64 = 200.0;
/// When the delay has settled, and what is measured then. Unit: seconds.
const TONE_FROM_S: f64 = 130.0;
const TONE_FOR_S: f64 = 5.0;
/// Distortion that far down depends on how a processor rounds. Unit: dB.
const DISTORTION_VARIES_DB: f64 = 1.0;

pub(super) fn play(report: &mut CaseReport, task: &Task<'_>) -> anyhow::Result<()> {
    let hours = if task.is_quick { QUICK_HOURS } else { HOURS };
    let scenarios = bed::scenarios();
    let steps = (scenarios.len() + SINKS.len() * WAYS.len() + TONES_HZ.len()) as u64;
    let mut done = 0;
    let mut step = || {
        done += 1;
        task.effort.progress.step(done, steps)
    };
    let mut table = Table::new(
        format!("Virtual time, {hours} h of each: the real engine between a virtual guest and a virtual sink"),
        &["scenario", "p1 ms", "p50", "p99", "off ms", "settles s", "sigma ppm", "wobble", "gaps", "steps", ""],
    );
    let mut missed = 0;
    for scenario in &scenarios {
        if !step() {
            report.give_up("ended by the user");
            return Ok(());
        }
        let outcome = bed::run(scenario, hours * 3600.0, SEED, None);
        let wrong = scenario.limits.missed_by(&outcome);
        missed += u64::from(!wrong.is_empty());
        let verdict = if wrong.is_empty() { "met".to_owned() } else { wrong.join("; ") };
        table.rows.push(row(scenario.name, &outcome, verdict));
        figures(report, scenario.name, &outcome);
    }
    report.tables.push(table);
    report.add_wrong("scenarios that miss a limit", scenarios.len() as u64, missed);
    if sinks(report, &mut step) {
        tones(report, &mut step)?;
    }
    Ok(())
}

fn row(name: &str, o: &Outcome, verdict: String) -> Vec<String> {
    let [p1, p50, p99] = o.delay_ms;
    let mut cells = vec![name.to_owned()];
    cells.extend([p1, p50, p99, o.off60_ms, o.settle_s, o.sigma_ppm, o.wobble_ppm].map(two_digits));
    cells.extend([o.gaps.to_string(), o.moves.to_string(), verdict]);
    cells
}

/// As it is shown, so that the last bit of a sine, which differs between machines, makes no difference.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn two_digits(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".into() }
}

/// What two runs are compared by.
fn figures(report: &mut CaseReport, name: &str, o: &Outcome) {
    let [p1, p50, p99] = o.delay_ms;
    for (what, value, unit) in [
        ("delay p50", p50, "ms"),
        ("delay spread, p99 - p1", p99 - p1, "ms"),
        ("ratio wobble", o.wobble_ppm, "ppm"),
        ("gaps", o.gaps as f64, "in all"),
    ] {
        // What is no number has nothing to be compared by: a sink that is bit-perfect has no ratio.
        if value.is_finite() {
            let figure = Figure::exact(format!("{name}: {what}"), rounded(value), unit, Better::Lower);
            report.figures.push(figure.tabled());
        }
    }
}

/// Sinks by what they ask for at a time.
const SINKS: [(&str, Asks); 7] = [
    ("64 frames", Asks::Periods(64)),
    ("128 frames", Asks::Periods(128)),
    ("256 frames", Asks::Periods(256)),
    ("512 frames", Asks::Periods(512)),
    ("1024 frames", Asks::Periods(1024)),
    ("PulseAudio, 10 ms", Asks::Server(10)),
    ("PulseAudio, 20 ms", Asks::Server(20)),
];

/// Chunks of 20 ms in shared memory, and datagrams of 6 ms, by profile.
const WAYS: [(&str, Option<f64>, Profile); 4] = [
    ("chunks of 20 ms, low", None, Profile::Low),
    ("chunks of 20 ms, balanced", None, Profile::Balanced),
    ("chunks of 20 ms, safe", None, Profile::Safe),
    ("datagrams of 6 ms, balanced", Some(0.000_2), Profile::Balanced),
];

/// The delay by sink, profile and size of the pieces. Whether to go on.
fn sinks(report: &mut CaseReport, step: &mut dyn FnMut() -> bool) -> bool {
    let head: Vec<&str> = std::iter::once("sink").chain(WAYS.iter().map(|way| way.0)).collect();
    let mut table =
        Table::new("Virtual time: median delay in ms from the guest's sample to the listener, by sink", &head);
    let mut series: Vec<Series> = WAYS.iter().map(|way| Series { name: way.0.into(), points: Vec::new() }).collect();
    for (sink_name, asks) in SINKS {
        let mut cells = vec![sink_name.to_owned()];
        for ((way, network_s, profile), series) in WAYS.iter().zip(&mut series) {
            if !step() {
                return false;
            }
            let transport = match network_s {
                Some(median_s) => Transport::Network { jitter: (*median_s, 0.5), loss: 0.0 },
                None => Transport::SharedMemory,
            };
            let scenario = Scenario {
                name: "sink",
                guest: GuestModel { transport, drift: Drift::of(50.0), ..GuestModel::CALM },
                sink: SinkModel { asks, ..SinkModel::CALLBACK },
                wishes: Wishes { profile: *profile, ..Wishes::default() },
                limits: Limits::GAPS,
                calm: false,
            };
            let outcome = bed::run(&scenario, SINK_S, SEED, None);
            let [_, p50, _] = outcome.delay_ms;
            cells.push(two_digits(p50) + if outcome.gaps > 0 { " (gaps)" } else { "" });
            let id = format!("{sink_name}, {way}: delay p50");
            report.figures.push(Figure::exact(id, rounded(p50), "ms", Better::Lower).tabled());
            if let Asks::Periods(frames) = asks {
                series.points.push((f64::from(frames) / 48.0, p50));
            }
        }
        table.rows.push(cells);
    }
    report.tables.push(table);
    report.plots.push(Plot {
        id: "audio-delay".into(),
        title: "Delay from the guest's sample to the listener, virtual time".into(),
        x_title: "period of the sink, ms".into(),
        y_title: "ms".into(),
        y_is_log: false,
        series,
    });
    true
}

/// Distortion and level of tones through the whole engine while it follows a clock that is off.
fn tones(report: &mut CaseReport, step: &mut dyn FnMut() -> bool) -> anyhow::Result<()> {
    let mut table = Table::new(
        format!("Virtual time: a tone at {TONE_DBFS} dBFS, guest's clock {TONE_PPM:+} ppm, through the whole engine"),
        &["tone", "THD+N dB", "level dB"],
    );
    for hz in TONES_HZ {
        if !step() {
            return Ok(());
        }
        let (distortion_db, level_db) = tone(hz).with_context(|| format!("no sound at {hz} Hz"))?;
        table.rows.push(vec![format!("{hz} Hz"), format!("{distortion_db:.1}"), format!("{level_db:+.3}")]);
        let id = format!("{hz} Hz: THD+N");
        let figure = Figure::about(id, distortion_db, DISTORTION_VARIES_DB, "dB", Better::Lower);
        report.figures.push(figure.tabled());
    }
    report.tables.push(table);
    Ok(())
}

/// Distortion, and how far the level is off. Units: dB.
fn tone(hz: f64) -> Option<(f64, f64)> {
    let scenario = Scenario {
        name: "tone",
        guest: GuestModel { drift: Drift::of(TONE_PPM), ..GuestModel::CALM },
        sink: SinkModel::CALLBACK,
        wishes: Wishes::default(),
        limits: Limits::CALM,
        calm: false,
    };
    let rate_hz = f64::from(scenario.sink.rate_hz);
    let (from, length) = ((TONE_FROM_S * rate_hz) as usize, (TONE_FOR_S * rate_hz) as usize);
    let (mut seen, mut left) = (0, Vec::with_capacity(length));
    let mut take = |out: &[f32], _heard_s: f64| {
        for x in out.iter().step_by(2) {
            if seen >= from && left.len() < length {
                left.push(*x);
            }
            seen += 1;
        }
    };
    let tone = Tone::Sine { frequency_hz: hz, level_dbfs: TONE_DBFS };
    bed::run(&scenario, TONE_FROM_S + TONE_FOR_S + 1.0, SEED, Some(Sound { tone, take: &mut take }));
    let heard_hz = hz * (1.0 + TONE_PPM * 1e-6);
    let piece = left.get(..(rate_hz / 10.0) as usize)?;
    let level_db = meter::level_db(piece, heard_hz, rate_hz) - TONE_DBFS;
    Some((meter::distortion_db(&left, heard_hz, rate_hz), level_db))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_comes_out_of_the_engine_cleaner_than_anybody_hears_and_at_its_level() {
        let (distortion_db, level_db) = tone(997.0).unwrap();
        assert!(distortion_db < -120.0 && level_db.abs() < 0.01, "{distortion_db} dB, {level_db} dB");
    }

    #[test]
    fn what_is_compared_is_what_is_shown_and_what_is_no_number_is_not_compared() {
        let mut report = CaseReport::new("audio");
        let outcome =
            Outcome { delay_ms: [35.001, 35.124_9, 35.301], wobble_ppm: f64::NAN, gaps: 2, ..Outcome::default() };
        figures(&mut report, "calm", &outcome);
        let got: Vec<_> = report.figures.iter().map(|f| (f.id.as_str(), f.value)).collect();
        assert_eq!(got, [("calm: delay p50", 35.12), ("calm: delay spread, p99 - p1", 0.3), ("calm: gaps", 2.0)]);
        assert_eq!(row("calm", &outcome, "met".into())[7], "–");
    }
}
