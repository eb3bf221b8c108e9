//! `--stats FILE.json`: figures whose names carry their unit, behind a `schema` number, written whole or not at all.

use super::count::Summary;
use crate::atomic_file::{self, WriteError};
use core::time::Duration;
use serde_json::{Map, Number, Value};
use std::path::Path;

/// The figures of one report. Each is set through a function that knows its unit and puts it into the name.
///
/// ```
/// use rx_host::report::Figures;
/// let mut f = Figures::new("some-rx", "0.1.0", 1);
/// f.count("frames_dropped", 3).duration_ms("run_time", std::time::Duration::from_secs(2));
/// assert_eq!(f.get("run_time_ms").unwrap(), 2000.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Figures(Map<String, Value>);

impl Figures {
    /// No figures yet, but who reports. `schema` grows whenever a figure changes its name or meaning.
    pub fn new(app: &str, version: &str, schema: u32) -> Figures {
        let mut map = Map::new();
        map.insert("schema".into(), schema.into());
        map.insert("app".into(), app.into());
        map.insert("version".into(), version.into());
        Figures(map)
    }

    /// A number of things; the name is what is counted (`frames_dropped`).
    pub fn count(&mut self, things: &str, n: u64) -> &mut Self {
        self.put(things.into(), n.into())
    }

    /// A measured value: `value("drift", "ppm", -12.5)` is `drift_ppm`. What is not a number is null.
    pub fn value(&mut self, name: &str, unit: &str, value: f64) -> &mut Self {
        self.put(format!("{name}_{unit}"), number(value))
    }

    /// A duration: `name_ms`.
    pub fn duration_ms(&mut self, name: &str, d: Duration) -> &mut Self {
        self.value(name, "ms", d.as_secs_f64() * 1e3)
    }

    /// A histogram of nanoseconds: `name_ms_p50`, `_p90`, `_p99`, `_p999`, `_max`, `_mean`, and `name_count`.
    pub fn spread_ms(&mut self, name: &str, s: &Summary) -> &mut Self {
        self.spread(name, "ms", 1e6, s)
    }

    /// As [`Figures::spread_ms`] for short times: `name_us_p50` and so on.
    pub fn spread_us(&mut self, name: &str, s: &Summary) -> &mut Self {
        self.spread(name, "us", 1e3, s)
    }

    fn spread(&mut self, name: &str, unit: &str, divisor: f64, s: &Summary) -> &mut Self {
        self.count(&format!("{name}_count"), s.count);
        let parts =
            [("p50", s.p50), ("p90", s.p90), ("p99", s.p99), ("p999", s.p999), ("max", s.max), ("mean", s.mean)];
        for (part, ns) in parts {
            // With nothing recorded there is no time to tell; zero would look like a very good one.
            let value = if s.count == 0 { Value::Null } else { number(ns as f64 / divisor) };
            self.put(format!("{name}_{unit}_{part}"), value);
        }
        self
    }

    /// A word or a sentence, such as a state or the name of a device.
    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.put(name.into(), text.into())
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.put(name.into(), value.into())
    }

    /// A figure by its full name, unit included.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The report as JSON, one figure to a line, with a line end.
    pub fn to_json(&self) -> String {
        // A map of strings to numbers, texts and flags always has a JSON form.
        let mut text = serde_json::to_string_pretty(&self.0).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the report to `path`, whole or not at all. Blocks for the disk.
    ///
    /// # Errors
    /// See [`WriteError`]; an older report is kept.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        atomic_file::write(path, |out| out.write_all(self.to_json().as_bytes()))
    }

    fn put(&mut self, name: String, value: Value) -> &mut Self {
        self.0.insert(name, value);
        self
    }
}

/// A number with the digits that mean something: three behind the point for values of everyday size.
fn number(value: f64) -> Value {
    let rounded = if value.abs() < 1e12 { (value * 1e6).round() / 1e6 } else { value };
    Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Histogram;
    use serde_json::json;

    #[test]
    fn a_report_has_its_units_in_the_names() {
        let h = Histogram::new();
        h.record(20_000_000);
        let mut f = Figures::new("some-rx", "0.1.0", 3);
        f.count("frames_dropped", 7)
            .value("drift", "ppm", -12.5)
            .duration_ms("run_time", Duration::from_micros(1500))
            .spread_ms("delay", &h.summary())
            .spread_us("wake", &Summary::default())
            .text("state", "playing")
            .flag("hardware", false)
            .value("odd", "ms", f64::NAN);
        let expected = json!({
            "schema": 3, "app": "some-rx", "version": "0.1.0",
            "frames_dropped": 7, "drift_ppm": -12.5, "run_time_ms": 1.5,
            "delay_count": 1, "delay_ms_p50": 20.0, "delay_ms_p90": 20.0, "delay_ms_p99": 20.0,
            "delay_ms_p999": 20.0, "delay_ms_max": 20.0, "delay_ms_mean": 20.0,
            "wake_count": 0, "wake_us_p50": null, "wake_us_p90": null, "wake_us_p99": null,
            "wake_us_p999": null, "wake_us_max": null, "wake_us_mean": null,
            "state": "playing", "hardware": false, "odd_ms": null,
        });
        assert_eq!(serde_json::from_str::<Value>(&f.to_json()).unwrap(), expected);
    }

    #[test]
    fn a_report_is_written_whole_and_an_older_one_kept_on_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let f = Figures::new("some-rx", "0.1.0", 1);
        f.write(&path).unwrap();
        let read: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["schema"], 1);
        assert!(matches!(f.write(&path.join("below")), Err(WriteError::NoDirectory { .. })));
        assert!(matches!(f.write(Path::new("/dev/full")), Err(WriteError::NoSpace { .. })));
    }
}
