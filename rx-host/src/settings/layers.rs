//! One value out of three layers, and the memory of where it came from.

use super::SettingsError;
use super::file::{ConfigFile, Place};
use super::units::{Auto, ByteSize, DisplayMode, Hertz, Milliseconds, Seconds};
use core::fmt;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is said about a setting in `config --explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name in the file, and behind `--` on the command line.
    pub name: &'static str,
    /// Why the default is what it is.
    pub why: &'static str,
}

/// A value that can be shown to people and written into a settings file.
pub trait Value {
    /// As people read it, with its unit.
    fn show(&self) -> String;

    /// As the settings file has it.
    fn to_toml(&self) -> String {
        toml_string(&self.show())
    }
}

macro_rules! value_by_display {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
value_by_display!(String, Milliseconds, Seconds, ByteSize, Hertz, DisplayMode);

macro_rules! value_as_it_is {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn show(&self) -> String {
                self.to_string()
            }
            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
value_as_it_is!(bool, u8, u16, u32, u64, i32, i64);

impl Value for f64 {
    fn show(&self) -> String {
        self.to_string()
    }
    fn to_toml(&self) -> String {
        // With a point always, so that it is read back as the kind it is.
        format!("{self:?}")
    }
}

impl Value for PathBuf {
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl<T: fmt::Display> Value for Auto<T> {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl<T: Value> Value for Vec<T> {
    fn show(&self) -> String {
        self.iter().map(Value::show).collect::<Vec<_>>().join(", ")
    }
    fn to_toml(&self) -> String {
        format!("[{}]", self.iter().map(Value::to_toml).collect::<Vec<_>>().join(", "))
    }
}

/// A TOML basic string: quoted, with what cannot stand in it escaped.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Who chose a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it is built in.
    Default,
    /// The settings file.
    File(Place),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place) => write!(f, "{}:{}", place.path.display(), place.line),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One line of `config --explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What it is.
    pub about: About,
    /// The value as people read it; nothing if it is not set and has no default.
    pub value: Option<String>,
    /// The value as a settings file has it.
    pub toml: Option<String>,
    /// Who chose it.
    pub origin: Origin,
}

/// Takes values out of the layers, one after the other, and remembers them for `config --explain`.
#[derive(Clone, Debug)]
pub struct Layers {
    path: Option<PathBuf>,
    places: BTreeMap<String, Place>,
    taken: Vec<Explained>,
}

impl Layers {
    /// The layers above the built-in defaults: what stands in `file`, and what was typed.
    pub fn new<T>(file: &ConfigFile<T>) -> Layers {
        Layers { path: file.path.clone(), places: file.places.clone(), taken: Vec::new() }
    }

    /// The value of the highest layer that has one, else `default`.
    pub fn pick<T: Value>(&mut self, about: &About, typed: Option<T>, file: Option<T>, default: T) -> T {
        let (origin, value) = self.highest(about, typed, file);
        let value = value.unwrap_or(default);
        self.remember(about, origin, Some(&value));
        value
    }

    /// As [`Layers::pick`] for a setting without a default.
    pub fn pick_optional<T: Value>(&mut self, about: &About, typed: Option<T>, file: Option<T>) -> Option<T> {
        let (origin, value) = self.highest(about, typed, file);
        self.remember(about, origin, value.as_ref());
        value
    }

    /// As [`Layers::pick`] for a switch, which on the command line can only be given, not taken back.
    pub fn pick_switch(&mut self, about: &About, typed: bool, file: Option<bool>) -> bool {
        self.pick(about, typed.then_some(true), file, false)
    }

    fn highest<T>(&self, about: &About, typed: Option<T>, file: Option<T>) -> (Origin, Option<T>) {
        match (typed, file) {
            (Some(value), _) => (Origin::Flag(about.name), Some(value)),
            (None, Some(value)) => (self.file_origin(about.name), Some(value)),
            (None, None) => (Origin::Default, None),
        }
    }

    fn file_origin(&self, name: &str) -> Origin {
        let unplaced = || Place { path: self.path.clone().unwrap_or_default(), line: 1, column: 1 };
        Origin::File(self.places.get(name).cloned().unwrap_or_else(unplaced))
    }

    fn remember<T: Value>(&mut self, about: &About, origin: Origin, value: Option<&T>) {
        self.taken.retain(|e| e.about.name != about.name);
        let (value, toml) = (value.map(Value::show), value.map(Value::to_toml));
        self.taken.push(Explained { about: *about, value, toml, origin });
    }

    /// Compares a value with its limits.
    ///
    /// # Errors
    /// [`SettingsError::NotAllowed`] with the value's origin and both limits.
    pub fn check_range<T>(&self, about: &About, value: &T, allowed: RangeInclusive<T>) -> Result<(), SettingsError>
    where
        T: Value + PartialOrd,
    {
        let words = || format!("{} to {}", allowed.start().show(), allowed.end().show());
        self.check(about, value, allowed.contains(value), words)
    }

    /// Refuses a value unless `holds`; `allowed` says what would be right.
    ///
    /// # Errors
    /// [`SettingsError::NotAllowed`] with the value's origin.
    pub fn check<T: Value, S: fmt::Display>(
        &self,
        about: &About,
        value: &T,
        holds: bool,
        allowed: impl FnOnce() -> S,
    ) -> Result<(), SettingsError> {
        if holds {
            return Ok(());
        }
        let origin = self.origin(about.name);
        Err(SettingsError::NotAllowed { origin, name: about.name, value: value.show(), allowed: allowed().to_string() })
    }

    /// Who chose a setting that was taken; `Default` for one that was not.
    pub fn origin(&self, name: &str) -> Origin {
        self.taken.iter().find(|e| e.about.name == name).map_or(Origin::Default, |e| e.origin.clone())
    }

    /// All settings taken so far, in the order they were taken.
    pub fn explained(&self) -> &[Explained] {
        &self.taken
    }

    /// The text of `config --explain`: name, value, origin, and for a default its reason.
    pub fn explain(&self) -> String {
        let shown = |e: &Explained| e.value.clone().unwrap_or_else(|| "-".into());
        let width = |f: &dyn Fn(&Explained) -> usize| self.taken.iter().map(f).max().unwrap_or(0);
        let name_width = width(&|e| e.about.name.len());
        let value_width = width(&|e| shown(e).chars().count());
        let mut text = match &self.path {
            Some(path) => format!("# settings file: {}\n", path.display()),
            None => "# no settings file\n".to_owned(),
        };
        for e in &self.taken {
            let reason = if e.origin == Origin::Default { format!(": {}", e.about.why) } else { String::new() };
            text.push_str(&format!("{:name_width$}  {:value_width$}  {}{reason}\n", e.about.name, shown(e), e.origin));
        }
        text
    }

    /// The text of `config`: the settings as a file that would set them.
    pub fn to_toml(&self) -> String {
        let line = |e: &Explained| match &e.toml {
            Some(value) => format!("{} = {value}\n", e.about.name),
            None => format!("# {} is not set\n", e.about.name),
        };
        self.taken.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;
    use serde::Deserialize;
    use std::path::Path;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "kebab-case")]
    struct Low {
        latency: Option<Milliseconds>,
        gain: Option<f64>,
        file: Option<PathBuf>,
        mute: Option<bool>,
        names: Option<Vec<String>>,
        rate: Option<Auto<Hertz>>,
    }

    const LATENCY: About = About { name: "latency", why: "two blocks" };
    const GAIN: About = About { name: "gain", why: "as loud as the guest" };
    const FILE: About = About { name: "file", why: "" };
    const MUTE: About = About { name: "mute", why: "sound is wanted" };
    const NAMES: About = About { name: "names", why: "none" };
    const RATE: About = About { name: "rate", why: "the sink knows best" };

    fn settle(typed: &Low, file: &ConfigFile<Low>) -> Layers {
        let mut layers = Layers::new(file);
        let low = &file.values;
        layers.pick(&LATENCY, typed.latency, low.latency, Milliseconds::new(40));
        layers.pick(&GAIN, typed.gain, low.gain, 1.0);
        layers.pick_optional(&FILE, typed.file.clone(), low.file.clone());
        layers.pick_switch(&MUTE, typed.mute.unwrap_or(false), low.mute);
        layers.pick(&NAMES, typed.names.clone(), low.names.clone(), vec![]);
        layers.pick(&RATE, typed.rate, low.rate, Auto::Auto);
        layers
    }

    #[test]
    fn the_command_line_is_above_the_file_and_the_file_above_the_default() {
        let file = parse::<Low>(Path::new("/c.toml"), "gain = 2.0\nlatency = 30\n").unwrap();
        let typed = Low { latency: Some(Milliseconds::new(20)), ..Low::default() };
        let text = settle(&typed, &file).explain();
        let expected = "\
# settings file: /c.toml
latency  20 ms  --latency
gain     2      /c.toml:1
file     -      default: 
mute     false  default: sound is wanted
names           default: none
rate     auto   default: the sink knows best
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let odd = "a \"quoted\" \\ back\tslash ü\u{1}";
        let typed = Low {
            latency: Some("12.5".parse().unwrap()),
            gain: Some(3.0),
            file: Some(odd.into()),
            mute: Some(true),
            names: Some(vec![odd.into(), "5".into(), "true".into()]),
            rate: Some(Auto::Fixed(Hertz(44_100))),
        };
        let text = settle(&typed, &ConfigFile::default()).to_toml();
        let read = parse::<Low>(Path::new("c"), &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(read.values, typed);
    }

    #[test]
    fn a_value_outside_its_limits_is_told_with_its_origin() {
        let file = parse::<Low>(Path::new("/c.toml"), "\nlatency = 9000\n").unwrap();
        let layers = settle(&Low::default(), &file);
        let value = Milliseconds::new(9000);
        let e = layers.check_range(&LATENCY, &value, Milliseconds::new(5)..=Milliseconds::new(2000)).unwrap_err();
        assert_eq!(e.to_string(), "/c.toml:2: latency is 9000 ms, allowed is 5 ms to 2000 ms");
        assert!(e.is_usage() && e.hint().contains("latency"), "{}", e.hint());
        layers.check_range(&LATENCY, &Milliseconds::new(5), Milliseconds::new(5)..=value).unwrap();
        let e = layers.check(&GAIN, &0.0, false, || "anything but 0").unwrap_err();
        assert_eq!(e.to_string(), "default: gain is 0, allowed is anything but 0");
    }
}
