//! The figures of `--stats`: everything that was counted, with its unit in its name.

use crate::counters::Counters;
use crate::say;
use core::time::Duration;
use rx_host::report::Figures;
use shm_proto::scream::Format;

/// Grows whenever a figure changes its name or meaning.
const SCHEMA: u32 = 1;

/// The figures of a run of `run_time`.
pub fn figures(counters: &Counters, format: Option<Format>, run_time: Duration, clock: &str) -> Figures {
    let (i, p, s) = (&counters.intake, &counters.playout, &counters.sink);
    let mut f = Figures::new("scream-rx", env!("CARGO_PKG_VERSION"), SCHEMA);
    f.duration_ms("run_time", run_time).text("clock", clock);
    if let Some(format) = format {
        f.text("format", &say::sound(format));
    }
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
        .count("starts", p.starts.get())
        .count("sink_frames", s.frames.get())
        .count("sink_underflows", s.underflows.get())
        .count("sink_disturbances", s.disturbances.get())
        .count("sink_reopened", s.reopened.get())
        .count("sink_late", s.late.get());
    f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units_in_their_names() {
        let counters = Counters::default();
        counters.playout.delay.record(0.0471);
        let format = Format::new(48_000, 16, 2, 3).unwrap();
        let f = figures(&counters, Some(format), Duration::from_secs(5), "real");
        assert_eq!(f.get("schema").unwrap(), SCHEMA);
        assert_eq!(f.get("run_time_ms").unwrap(), 5000.0);
        assert!((f.get("delay_ms_p50").unwrap().as_f64().unwrap() - 47.1).abs() < 0.06);
        assert_eq!(f.get("format").unwrap(), "48000 Hz, 16 bit, stereo");
    }
}
