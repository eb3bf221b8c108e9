//! The settings file: where it is, what it says, and on which line each value stands.

use super::SettingsError;
use crate::nearest::nearest;
use core::fmt;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// More than any settings file has, and less than hurts if somebody names a device.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of byte `at` of `text`.
    fn of(path: &Path, text: &str, at: usize) -> Place {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// What a settings file says.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile<T> {
    /// The low values, as they stand.
    pub values: T,
    /// The file they came from; nothing if there is none.
    pub path: Option<PathBuf>,
    pub(super) places: BTreeMap<String, Place>,
}

/// Where the settings of `app` are by custom: `$XDG_CONFIG_HOME/APP/config.toml`, else `~/.config/APP/config.toml`.
/// Nothing if the environment names no home.
pub fn default_path(app: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    config.map(|dir| dir.join(app).join("config.toml"))
}

/// Reads the settings of `app` from `flag` (the value of `--config`), else from the usual place, where a file may be
/// missing.
///
/// # Errors
/// See [`SettingsError`].
pub fn load<T: DeserializeOwned + Default>(app: &str, flag: Option<&Path>) -> Result<ConfigFile<T>, SettingsError> {
    let Some(path) = flag.map(Path::to_owned).or_else(|| default_path(app)) else {
        return Ok(ConfigFile::default());
    };
    match read(&path) {
        Ok(text) => parse(&path, &text),
        Err(e) if is_absent(&e) && flag.is_none() => Ok(ConfigFile::default()),
        Err(e) if is_absent(&e) => Err(SettingsError::Missing { path }),
        Err(source) => Err(SettingsError::Unreadable { path, source }),
    }
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// The settings that `text` holds; `path` is only for messages.
///
/// # Errors
/// [`SettingsError::Syntax`] and [`SettingsError::UnknownKey`], with their place.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<ConfigFile<T>, SettingsError> {
    let told = |e: toml::de::Error| {
        let at = e.span().map_or(0, |span| span.start);
        let message = e.message().lines().collect::<Vec<_>>().join(", ");
        SettingsError::Syntax { place: Place::of(path, text, at), message }
    };
    let table = DeTable::parse(text).map_err(told)?;
    let known = field_names::<T>();
    let mut places = BTreeMap::new();
    for key in table.get_ref().keys() {
        let name: &str = key.get_ref();
        let place = Place::of(path, text, key.span().start);
        if !known.is_empty() && !known.contains(&name) {
            return Err(SettingsError::UnknownKey { place, key: name.into(), nearest: nearest(name, known), known });
        }
        places.insert(name.to_owned(), place);
    }
    let values = toml::from_str(text).map_err(told)?;
    Ok(ConfigFile { values, path: Some(path.to_owned()), places })
}

/// The names that a struct's `Deserialize` knows. Empty for what is not a plain struct.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The answer is an error by design: nothing is deserialized, only asked for.
    let _ = T::deserialize(AskNames(&mut names));
    names
}

/// A deserializer that learns which fields a struct asks for.
struct AskNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for AskNames<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only structs have names"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("the names are known"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::Milliseconds;
    use super::*;
    use crate::nearest::edit_distance;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "kebab-case")]
    struct Low {
        latency: Option<Milliseconds>,
        release_chord: Option<String>,
        seconds: Option<u64>,
    }

    fn error(text: &str) -> SettingsError {
        parse::<Low>(Path::new("c.toml"), text).unwrap_err()
    }

    #[test]
    fn values_keep_their_lines() {
        let text = "# sound\nlatency = \"1.5 s\"\n\n  release-chord = \"Ctrl+Alt\"\n";
        let file = parse::<Low>(Path::new("c.toml"), text).unwrap();
        assert_eq!(file.values.latency, Some(Milliseconds::new(1500)));
        assert_eq!(file.places["latency"].to_string(), "c.toml:2:1");
        assert_eq!(file.places["release-chord"].to_string(), "c.toml:4:3");
        assert_eq!(file.values.seconds, None);
    }

    #[test]
    fn each_mistake_in_the_text_is_told_with_its_place_and_what_to_do() {
        let cases = [
            ("latncy = 5", "c.toml:1:1: there is no setting `latncy`", "did you mean `latency`?"),
            ("\nrelease_chord = 5", "c.toml:2:1: there is no setting `release_chord`", "did you mean `release-chord`?"),
            ("x = 5", "c.toml:1:1: there is no setting `x`", "settings are: latency, release-chord, seconds"),
            ("latency = \"soon\"", "c.toml:1:11: `soon` is not a time; allowed is", "a line has the form"),
            ("ü = 1\nlatency = -4", "c.toml:1:1: ", "a line has the form"),
            ("latency = [1]", "c.toml:1:11: invalid type: sequence", "a line has the form"),
            ("seconds = 1\nseconds = 2", "c.toml:2:1: duplicate key", "a line has the form"),
            ("latency 5", "c.toml:1:", "a line has the form"),
        ];
        for (text, message, hint) in cases {
            let e = error(text);
            assert!(e.to_string().starts_with(message), "{text:?}: {e}");
            assert!(e.hint().starts_with(hint), "{text:?}: {}", e.hint());
            assert!(e.is_usage() && !e.to_string().contains('\n'), "{e}");
        }
    }

    #[test]
    fn a_column_counts_characters() {
        let place = Place::of(Path::new("c"), "a\nüö = x", 7);
        assert_eq!((place.line, place.column), (2, 4));
        assert_eq!(Place::of(Path::new("c"), "a", 99).line, 1);
    }

    #[test]
    fn distances_are_those_of_the_alphabet() {
        let cases = [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("Latency", "latency", 0), ("a_b", "a-b", 0)];
        for (a, b, distance) in cases {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }

    #[test]
    fn a_named_file_must_be_there_and_readable() {
        let dir = tempfile::tempdir().unwrap();
        let load = |path: &Path| load::<Low>("some-rx", Some(path));
        let e = load(&dir.path().join("none")).unwrap_err();
        assert!(matches!(e, SettingsError::Missing { .. }) && !e.is_usage(), "{e:?}");
        assert!(e.hint().contains("--config"), "{}", e.hint());
        let e = load(dir.path()).unwrap_err();
        assert!(matches!(e, SettingsError::Unreadable { .. }) && !e.is_usage(), "{e:?}");
        let e = load(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(e, SettingsError::Unreadable { .. }), "{e:?}");
        let path = dir.path().join("c.toml");
        std::fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert!(matches!(load(&path), Err(SettingsError::Unreadable { .. })));
        std::fs::write(&path, "seconds = 7").unwrap();
        assert_eq!(load(&path).unwrap().values.seconds, Some(7));
    }

    #[test]
    fn only_structs_have_known_names() {
        assert_eq!(field_names::<Low>(), ["latency", "release-chord", "seconds"]);
        assert!(field_names::<BTreeMap<String, u32>>().is_empty());
    }
}
