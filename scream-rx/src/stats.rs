//! The figures of `--stats`: everything that was counted, with its unit in its name.

use crate::counters::{Counters, PlayoutCounters};
use crate::say;
use core::time::Duration;
use rx_host::report::Figures;
use shm_proto::scream::Format;

/// Grows whenever a figure changes its name or meaning.
const SCHEMA: u32 = 1;

/// Who reports, and what is known besides the counters.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The name by which this instance can be asked; empty if it cannot.
    pub instance: &'a str,
    /// How it stands, in a sentence.
    pub state: &'a str,
    /// Where the sound comes from.
    pub source: &'a str,
    /// Where it goes; empty while that is not open.
    pub sink: &'a str,
    /// The word for it, as `-o` has it.
    pub output: &'a str,
    /// What the guest plays.
    pub format: Option<Format>,
    /// Since the start.
    pub run_time: Duration,
    /// Whose time it is: real or simulated.
    pub clock: &'a str,
}

/// The figures of a run, up to now.
pub fn figures(counters: &Counters, now: &Now<'_>) -> Figures {
    let (i, p, s) = (&counters.intake, &counters.playout, &counters.sink);
    let mut f = Figures::new("scream-rx", env!("CARGO_PKG_VERSION"), SCHEMA);
    f.text("instance", now.instance).text("state", now.state).text("source", now.source).text("sink", now.sink);
    f.text("output", now.output);
    f.duration_ms("run_time", now.run_time).text("clock", now.clock);
    if let Some(format) = now.format {
        f.text("format", &say::sound(format));
        parts(&mut f, &counters.playout);
    }
    if let Some(l) = p.lateness.spread() {
        f.count("lateness_count", l.count)
            .value("lateness", "ms_p50", l.p50_ms)
            .value("lateness", "ms_p99", l.p99_ms)
            .value("lateness", "ms_p999", l.p999_ms)
            .value("lateness", "ms_max", l.max_ms);
    }
    f.value("delay_now", "ms", p.delay_us.get() as f64 / 1e3);
    f.count("chunks_received", i.chunks.get())
        .count("chunks_lost", i.chunks_lost.get())
        .count("chunks_refused", i.chunks_refused.get())
        .count("streams", i.streams.get())
        .count("headers_corrupt", i.headers_corrupt.get())
        .count("intake_wake_ups", i.wake_ups.get())
        .count("datagrams_received", i.datagrams.get())
        .count("datagrams_lost", i.datagrams_lost.get())
        .count("datagrams_of_others", i.datagrams_foreign.get())
        .count("silences_not_sent", i.silences.get())
        .count("junk_too_short", i.junk_short.get())
        .count("junk_too_long", i.junk_long.get())
        .count("junk_named", i.junk_named.get())
        .count("junk_corrupt", i.junk_corrupt.get());
    for (when, pace) in [("playing", &i.playing), ("idle", &i.idle), ("detached", &i.detached)] {
        if let Some(per_s) = pace.per_s() {
            f.value(&format!("intake_wake_ups_{when}"), "per_s", per_s);
        }
    }
    if let Some(d) = p.delay.spread() {
        f.count("delay_count", d.count)
            .value("delay", "ms_p1", d.p1_ms)
            .value("delay", "ms_p50", d.p50_ms)
            .value("delay", "ms_p99", d.p99_ms)
            .value("delay", "ms_max", d.max_ms);
    }
    f.value("target", "ms", p.target_us.get() as f64 / 1e3)
        .value("drift", "ppm", p.drift_ppb.get() as f64 / 1e3)
        .count("gaps", p.gaps.get())
        .count("frames_made_up", p.frames_made_up.get())
        .count("frames_late", p.frames_late.get())
        .count("moves", p.moves.get())
        .count("trims", p.trims.get())
        .count("starts", p.starts.get())
        .count("sink_frames", s.frames.get())
        .count("sink_underflows", s.underflows.get())
        .count("sink_disturbances", s.disturbances.get())
        .count("sink_reopened", s.reopened.get())
        .count("sink_late", s.late.get());
    f
}

/// What the wanted delay is made of, as the engine told it; nothing before it wanted any.
fn parts(f: &mut Figures, p: &PlayoutCounters) {
    if p.target_us.get() <= 0 {
        return;
    }
    let p = &p.parts;
    for (name, us) in [
        ("part_chunk", &p.piece_us),
        ("part_lateness", &p.lateness_us),
        ("part_sink", &p.sink_us),
        ("part_resampler", &p.filter_us),
        ("part_margin", &p.margin_us),
    ] {
        f.value(name, "ms", us.get() as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Parts;

    #[test]
    fn figures_have_their_units_in_their_names() {
        let counters = Counters::default();
        counters.playout.delay.record(0.0471);
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        let told = |s: f64| Parts {
            piece_s: 0.006,
            lateness_s: s,
            sink_s: 0.0125,
            filter_s: 56.0 / 44_100.0,
            margin_s: 0.001,
        };
        counters.playout.aim(&told(0.0085));
        let now = Now {
            instance: "main",
            state: "the guest plays",
            source: "/dev/shm/x",
            sink: "Null",
            output: "null",
            format: Some(format),
            run_time: Duration::from_secs(5),
            clock: "real",
        };
        let f = figures(&counters, &now);
        let part = |name: &str| f.get(&format!("part_{name}_ms")).unwrap().as_f64().unwrap();
        let sum: f64 = ["chunk", "lateness", "sink", "resampler", "margin"].map(part).iter().sum();
        assert!((sum - f.get("target_ms").unwrap().as_f64().unwrap()).abs() < 3e-3, "parts make up the whole");
        assert_eq!(["chunk", "lateness", "sink", "resampler", "margin"].map(part), [6.0, 8.5, 12.5, 1.27, 1.0]);
        assert_eq!(f.get("schema").unwrap(), SCHEMA);
        assert_eq!(f.get("run_time_ms").unwrap(), 5000.0);
        assert!((f.get("delay_ms_p50").unwrap().as_f64().unwrap() - 47.1).abs() < 0.06);
        assert_eq!(f.get("format").unwrap(), "48000 Hz, 16 bit, stereo");
    }
}
