//! Values with units as people write them: `50`, `50 ms`, `32M`, `2 MiB`, `3840x2160@144`, `44.1 kHz`, `auto`. Each type
//! has one text form, used alike by the command line, the settings file and reports, and says what is allowed.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A text is not a value of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; allowed is {allowed}")]
pub struct UnitError {
    /// What was written.
    pub text: String,
    /// What it should be, with its article.
    pub what: &'static str,
    /// What may be written.
    pub allowed: &'static str,
}

/// Splits `12.5 ms` into the number and what follows it.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    number.is_finite().then(|| (number, unit.trim()))
}

/// `number` × `factor` as a whole number, rounded; nothing if it does not fit in 63 bits.
fn scaled(number: f64, factor: f64) -> Option<u64> {
    let value = (number * factor).round();
    // In range, so the cast loses nothing but the fraction that was rounded away.
    (0.0..9.2e18).contains(&value).then_some(value as u64)
}

/// A number without needless digits: `50`, `12.5`.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Nanoseconds of one of a unit of time.
fn ns_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

fn duration(text: &str, bare_unit: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let unit = if unit.is_empty() { bare_unit } else { unit };
    scaled(number, ns_of(unit)?).map(Duration::from_nanos)
}

/// A short time; a number without a unit is in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milliseconds(pub Duration);

impl Milliseconds {
    /// So many milliseconds.
    pub const fn new(ms: u64) -> Self {
        Milliseconds(Duration::from_millis(ms))
    }
}

impl FromStr for Milliseconds {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        duration(text, "ms").map(Milliseconds).ok_or_else(|| UnitError {
            text: text.into(),
            what: "a time",
            allowed: "a number of milliseconds, or one with us, ms or s behind it",
        })
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", short(self.0.as_secs_f64() * 1e3))
    }
}

/// A long time; a number without a unit is in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        duration(text, "s").map(Seconds).ok_or_else(|| UnitError {
            text: text.into(),
            what: "a time",
            allowed: "a number of seconds, or one with ms, s, min or h behind it",
        })
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", short(self.0.as_secs_f64()))
    }
}

/// A number of bytes. Suffixes as QEMU and libvirt have them: `K`, `M`, `G` and `KiB`, `MiB`, `GiB` are powers of 1024,
/// `KB`, `MB`, `GB` are powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const BINARY_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parsed = number_and_unit(text).and_then(|(number, unit)| {
            let factor = match unit.to_ascii_lowercase().as_str() {
                "" | "b" | "bytes" => 1.0,
                "k" | "kib" => 1024.0,
                "m" | "mib" => 1_048_576.0,
                "g" | "gib" => 1_073_741_824.0,
                "kb" => 1e3,
                "mb" => 1e6,
                "gb" => 1e9,
                _ => return None,
            };
            scaled(number, factor).map(ByteSize)
        });
        parsed.ok_or_else(|| UnitError {
            text: text.into(),
            what: "a size",
            allowed: "a number of bytes, or one with K, M, G, KiB, MiB or GiB behind it",
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY_UNITS.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// A frequency in whole hertz: `48000`, `48k`, `44.1 kHz`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hertz(pub u32);

impl FromStr for Hertz {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parsed = number_and_unit(text).and_then(|(number, unit)| {
            let factor = match unit.to_ascii_lowercase().as_str() {
                "" | "hz" => 1.0,
                "k" | "khz" => 1e3,
                "m" | "mhz" => 1e6,
                _ => return None,
            };
            scaled(number, factor).and_then(|hz| u32::try_from(hz).ok()).map(Hertz)
        });
        parsed.ok_or_else(|| UnitError {
            text: text.into(),
            what: "a frequency",
            allowed: "a number of hertz, or one with k, Hz or kHz behind it",
        })
    }
}

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// A picture's size and, if told, how often it comes: `1920x1080`, `3840x2160@144`, `1280x720@59.94`, `1080p`, `4K@60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayMode {
    /// Columns.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Pictures in 1000 seconds: 59.94 Hz is 59940.
    pub rate_millihertz: Option<u32>,
}

/// The largest side that textures of usual GPUs have.
const MAX_SIDE_PX: u32 = 32_768;
const MAX_RATE_MILLIHERTZ: u64 = 2_000_000;

const NAMED_SIZES: [(&str, u32, u32); 7] = [
    ("720p", 1280, 720),
    ("1080p", 1920, 1080),
    ("1440p", 2560, 1440),
    ("2160p", 3840, 2160),
    ("4k", 3840, 2160),
    ("5k", 5120, 2880),
    ("8k", 7680, 4320),
];

impl DisplayMode {
    fn parse(text: &str) -> Option<DisplayMode> {
        let (size, rate) = match text.trim().split_once('@') {
            Some((size, rate)) => (size.trim(), Some(rate)),
            None => (text.trim(), None),
        };
        let size = size.to_ascii_lowercase();
        let (width_px, height_px) = match NAMED_SIZES.iter().find(|(name, ..)| *name == size) {
            Some((_, width, height)) => (*width, *height),
            None => {
                let (width, height) = size.split_once(['x', '×'])?;
                (width.trim().parse().ok()?, height.trim().parse().ok()?)
            }
        };
        let side = 1..=MAX_SIDE_PX;
        let rate_millihertz = match rate {
            None => None,
            Some(rate) => {
                let (number, unit) = number_and_unit(rate)?;
                let rate = scaled(number, 1000.0).filter(|r| (1..=MAX_RATE_MILLIHERTZ).contains(r))?;
                (unit.is_empty() || unit.eq_ignore_ascii_case("hz")).then_some(())?;
                Some(u32::try_from(rate).ok()?)
            }
        };
        (side.contains(&width_px) && side.contains(&height_px)).then_some(DisplayMode {
            width_px,
            height_px,
            rate_millihertz,
        })
    }
}

impl FromStr for DisplayMode {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        DisplayMode::parse(text).ok_or_else(|| UnitError {
            text: text.into(),
            what: "a display mode",
            allowed: "WIDTHxHEIGHT or 1080p, 1440p, 4K, 5K, 8K, with @HZ behind it or not, such as 2560x1440@144",
        })
    }
}

impl fmt::Display for DisplayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width_px, self.height_px)?;
        match self.rate_millihertz {
            Some(rate) => write!(f, "@{}", short(f64::from(rate) / 1000.0)),
            None => Ok(()),
        }
    }
}

/// A value, or the word `auto`: the program finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auto<T> {
    /// The program finds it.
    #[default]
    Auto,
    /// The user chose it.
    Fixed(T),
}

impl<T: FromStr<Err = UnitError>> FromStr for Auto<T> {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.trim().eq_ignore_ascii_case("auto") { Ok(Auto::Auto) } else { text.parse().map(Auto::Fixed) }
    }
}

impl<T: fmt::Display> fmt::Display for Auto<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auto::Auto => f.write_str("auto"),
            Auto::Fixed(value) => value.fmt(f),
        }
    }
}

/// Reads any type that has a text form from a TOML string or number.
struct FromText<T>(core::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text with its unit")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// Reads a value by its text form: `#[serde(deserialize_with = "…")]` for types of the receivers.
///
/// # Errors
/// What the type's own parser says.
pub fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(d: D) -> Result<T, D::Error> {
    d.deserialize_any(FromText(core::marker::PhantomData))
}

macro_rules! deserialize_by_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                from_text(d)
            }
        }
    )*};
}
deserialize_by_text!(Milliseconds, Seconds, ByteSize, Hertz, DisplayMode);

impl<'de, T: FromStr<Err = UnitError>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        from_text(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: FromStr<Err = UnitError> + fmt::Display>(cases: &[(&str, &str)]) {
        for (text, shown) in cases {
            match text.parse::<T>() {
                Ok(value) => {
                    assert_eq!(value.to_string(), *shown, "{text:?}");
                    let again = value.to_string().parse::<T>().unwrap_or_else(|e| panic!("{e}"));
                    assert_eq!(again.to_string(), *shown, "the text form must be read back");
                }
                Err(e) => assert_eq!(*shown, "error", "{e}"),
            }
        }
    }

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        check::<Milliseconds>(&[
            ("50", "50 ms"),
            ("1.5", "1.5 ms"),
            (" 2 s ", "2000 ms"),
            ("500us", "0.5 ms"),
            ("0", "0 ms"),
            ("-1", "error"),
            ("50 parsecs", "error"),
            ("", "error"),
            ("ms", "error"),
            ("1e3", "error"),
            ("nan", "error"),
            ("inf", "error"),
            ("99999999999999999999", "error"),
            ("1..5", "error"),
        ]);
        check::<Seconds>(&[("5", "5 s"), ("250 ms", "0.25 s"), ("2min", "120 s"), ("1h", "3600 s"), ("x", "error")]);
    }

    #[test]
    fn sizes_follow_qemu_and_libvirt() {
        check::<ByteSize>(&[
            ("32M", "32 MiB"),
            ("2 MiB", "2 MiB"),
            ("2mib", "2 MiB"),
            ("4096", "4 KiB"),
            ("1000", "1000 bytes"),
            ("2MB", "2000000 bytes"),
            ("0.5G", "512 MiB"),
            ("1T", "error"),
            ("-1M", "error"),
            ("99999999999G", "error"),
        ]);
    }

    #[test]
    fn frequencies_are_whole_hertz() {
        check::<Hertz>(&[
            ("48000", "48000 Hz"),
            ("44.1 kHz", "44100 Hz"),
            ("48k", "48000 Hz"),
            ("5000 MHz", "error"),
            ("48 apples", "error"),
        ]);
    }

    #[test]
    fn display_modes_have_a_size_and_perhaps_a_rate() {
        check::<DisplayMode>(&[
            ("1920x1080", "1920x1080"),
            ("3840x2160@144", "3840x2160@144"),
            ("1280×720 @ 59.94 Hz", "1280x720@59.94"),
            ("1080p", "1920x1080"),
            ("4K@60", "3840x2160@60"),
            ("0x100", "error"),
            ("99999x100", "error"),
            ("1920", "error"),
            ("1920x1080@", "error"),
            ("1920x1080@0", "error"),
            ("1920x1080@9000", "error"),
            ("1920x1080@60 fps", "error"),
        ]);
    }

    #[test]
    fn auto_is_a_word_or_a_value() {
        check::<Auto<Milliseconds>>(&[("auto", "auto"), ("AUTO", "auto"), ("20", "20 ms"), ("often", "error")]);
    }

    #[test]
    fn an_error_says_what_is_allowed() {
        let e = "fast".parse::<Hertz>().unwrap_err();
        let text = "`fast` is not a frequency; allowed is a number of hertz, or one with k, Hz or kHz behind it";
        assert_eq!(e.to_string(), text);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<Auto<Milliseconds>>();
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Hertz>();
            let _ = text.parse::<DisplayMode>();
        }

        #[test]
        fn a_size_survives_its_text_form(n in 0u64..1 << 50) {
            prop_assert_eq!(ByteSize(n).to_string().parse(), Ok(ByteSize(n)));
        }
    }
}
