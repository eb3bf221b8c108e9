//! What an instance told, for people and for Prometheus. Pure: from JSON to text. Nothing that is missing is made up, and
//! nothing of what stands there reaches a terminal unchecked.

use rx_host::term;
use serde_json::{Map, Value};
use std::fmt::Write;

/// What an instance told.
pub type Report = Map<String, Value>;

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<Report, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(report)) if report.get("app").and_then(Value::as_str) == Some("scream-rx") => Ok(report),
        Ok(_) => Err("it is not scream-rx that answers".into()),
        Err(e) => Err(format!("its answer makes no sense ({e})")),
    }
}

/// A number of the report.
pub fn number(report: &Report, name: &str) -> Option<f64> {
    report.get(name)?.as_f64()
}

fn words<'a>(report: &'a Report, name: &str) -> &'a str {
    report.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// How it goes, in a few lines.
pub fn people(report: &Report) -> String {
    let n = |name: &str| number(report, name);
    let ms = |name: &str| n(name).map_or("-".to_owned(), |x| format!("{x:.1}"));
    let count = |name: &str| n(name).map_or("-".to_owned(), |x| format!("{x:.0}"));
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", words(report, "instance"), words(report, "state"));
    let _ = writeln!(text, "source    {} ({})", words(report, "source"), words(report, "format"));
    let _ = writeln!(text, "sink      {}", words(report, "sink"));
    let now = n("delay_now_ms").filter(|x| *x > 0.0).map_or("nothing plays".into(), |x| format!("{x:.1} ms now"));
    let _ = write!(text, "delay     {now}, {} ms wanted", ms("target_ms"));
    if n("delay_ms_p50").is_some() {
        let (p1, p50, p99) = (ms("delay_ms_p1"), ms("delay_ms_p50"), ms("delay_ms_p99"));
        let _ = write!(text, "; so far {p50}, from {p1} to {p99} (p1 to p99)");
    }
    text.push('\n');
    if n("part_chunk_ms").is_some() {
        let parts = [
            ("part_chunk_ms", "a chunk"),
            ("part_lateness_ms", "reserve for lateness"),
            ("part_sink_ms", "the sink"),
            ("part_resampler_ms", "the resampler"),
            ("part_margin_ms", "margin"),
        ];
        let parts: Vec<String> = parts.iter().map(|(name, what)| format!("{} {what}", ms(name))).collect();
        let _ = writeln!(text, "  of it   {}", parts.join(" + "));
    }
    if n("lateness_ms_p50").is_some() {
        let (p50, p99) = (ms("lateness_ms_p50"), ms("lateness_ms_p99"));
        let (p999, max) = (ms("lateness_ms_p999"), ms("lateness_ms_max"));
        let _ = writeln!(text, "lateness  {p50} ms in the middle, {p99} (p99), {p999} (p99.9), {max} at most");
    }
    let drift = n("drift_ppm").map_or("-".into(), |x| format!("{x:+.1}"));
    let _ = writeln!(text, "clocks    {drift} ppm between guest and sink");
    let _ = writeln!(
        text,
        "gaps      {} hidden, {} chunks lost, the device ran empty {} times",
        count("gaps"),
        count("chunks_lost"),
        count("sink_underflows")
    );
    let (moves, trims) = (count("moves"), count("trims"));
    let _ = writeln!(text, "moved     {moves} times, since the delay was far off, and {trims} times in silence");
    let _ = writeln!(text, "up        {}", up(n("run_time_ms").unwrap_or(0.0)));
    term::printable(&text).into_owned()
}

/// How it goes, in one line.
pub fn line(report: &Report) -> String {
    let n = |name: &str| number(report, name).unwrap_or(0.0);
    let text = format!(
        "{}: {}; delay {:.1} ms, wanted {:.1}, clocks {:+.1} ppm, {:.0} gaps, {:.0} chunks lost, device empty {:.0} times",
        words(report, "instance"),
        words(report, "state"),
        n("delay_now_ms"),
        n("target_ms"),
        n("drift_ppm"),
        n("gaps"),
        n("chunks_lost"),
        n("sink_underflows")
    );
    term::printable(&text).replace('\n', " ")
}

fn up(ms: f64) -> String {
    // `as` saturates.
    let s = (ms / 1e3) as u64;
    match (s / 86_400, s / 3600 % 24, s / 60 % 60) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, min) => format!("{min} min {} s", s % 60),
        (0, h, min) => format!("{h} h {min} min"),
        (days, h, _) => format!("{days} d {h} h"),
    }
}

/// The text format of Prometheus, for all `reports` at once, as a text file of its node exporter. Whole numbers are
/// counters, the others gauges; what is said in words is in `scream_rx_info`.
pub fn prometheus(reports: &[Report]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# TYPE scream_rx_info gauge");
    for report in reports {
        let labels: Vec<String> = report
            .iter()
            .filter_map(|(name, value)| Some(format!("{}=\"{}\"", key(name), escaped(value.as_str()?))))
            .collect();
        let _ = writeln!(text, "scream_rx_info{{{}}} 1", labels.join(","));
    }
    let mut names: Vec<&String> = reports.iter().flat_map(Map::keys).collect();
    names.sort();
    names.dedup();
    for name in names {
        let values: Vec<(&str, &Value)> = reports
            .iter()
            .filter_map(|r| Some((words(r, "instance"), r.get(name).filter(|v| v.is_number())?)))
            .collect();
        let Some((_, first)) = values.first() else { continue };
        let counts = first.is_u64() && name != "schema";
        let _ = writeln!(text, "# TYPE scream_rx_{} {}", key(name), if counts { "counter" } else { "gauge" });
        for (instance, value) in values {
            let _ = writeln!(text, "scream_rx_{}{{instance=\"{}\"}} {value}", key(name), escaped(instance));
        }
    }
    text
}

fn key(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn escaped(text: &str) -> String {
    let text = term::printable(text);
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        parse(
            r#"{"app":"scream-rx","schema":1,"instance":"win\"10","state":"the guest plays \u001b[31m","source":"/dev/shm/x",
            "sink":"Null","format":"48000 Hz","delay_now_ms":40.12,"target_ms":40.2,"delay_ms_p1":39.9,"delay_ms_p50":40.1,
            "delay_ms_p99":40.4,"part_chunk_ms":20.0,"part_lateness_ms":6.0,"part_sink_ms":12.5,"part_resampler_ms":0.7,
            "part_margin_ms":1.0,"drift_ppm":-12.34,"gaps":3,"moves":2,"trims":5,"chunks_lost":0,"sink_underflows":1,"run_time_ms":3723000.0}"#,
        )
        .unwrap()
    }

    #[test]
    fn people_read_the_delay_and_what_it_is_made_of() {
        let text = people(&report());
        for words in ["40.1 ms now, 40.2 ms wanted", "from 39.9 to 40.4", "20.0 a chunk + 6.0 reserve", "-12.3 ppm"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("2 times, since the delay was far off, and 5 times in silence"), "{text}");
        assert!(text.contains("3 hidden, 0 chunks lost") && text.contains("1 h 2 min") && !text.contains('\u{1b}'));
        let line = line(&report());
        assert!(line.contains("delay 40.1 ms") && !line.contains(['\n', '\u{1b}']), "{line}");
        assert!(people(&Report::new()).contains("nothing plays"), "nothing is made up");
    }

    #[test]
    fn prometheus_gets_each_name_once_with_its_type() {
        let mut other = report();
        other.insert("instance".into(), "b".into());
        let text = prometheus(&[report(), other]);
        assert_eq!(text.matches("# TYPE scream_rx_gaps counter\n").count(), 1, "{text}");
        assert_eq!(text.matches("# TYPE scream_rx_delay_now_ms gauge\n").count(), 1, "{text}");
        assert!(
            text.contains("scream_rx_gaps{instance=\"win\\\"10\"} 3\nscream_rx_gaps{instance=\"b\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("scream_rx_info{app=\"scream-rx\"") && !text.contains('\u{1b}'), "{text}");
        let names = |l: &str| l.split(['{', ' ']).next().unwrap().to_owned();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            assert!(names(line).chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn an_answer_of_somebody_else_is_refused() {
        for bad in ["", "x", "[]", "{}", r#"{"app":"other"}"#, r#"{"app":7}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
