//! Display modes: `2560x1440@144`, and those that are swept when nobody names any. Pure.

use shm_proto::kvmfr::PixelType;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The largest side, in pixels. Source: `shm_proto::kvmfr::wire::MAX_PICTURE_SIDE`, which no receiver accepts more of.
const MAX_SIDE: u32 = shm_proto::kvmfr::wire::MAX_PICTURE_SIDE;
/// The smallest side, in pixels: less is no desktop.
const MIN_SIDE: u32 = 16;
/// The highest rate, in hertz: the fastest screens sold refresh about so often.
const MAX_RATE_HZ: u32 = 1000;
/// The rate of a mode that names none.
const DEFAULT_RATE_HZ: u32 = 60;

/// A picture's size and how often there is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// New pictures in a second.
    pub rate_hz: u32,
}

/// Why a text is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// It is written in another way.
    #[error("{0:?} is not WIDTHxHEIGHT or WIDTHxHEIGHT@HERTZ, such as 2560x1440@144")]
    Form(String),
    /// A number that no mode has.
    #[error("{text} is impossible: {what} is {got}, possible are {least} to {most}")]
    Impossible {
        /// The mode.
        text: String,
        /// Which number.
        what: &'static str,
        /// What it is.
        got: u64,
        /// The least possible.
        least: u32,
        /// The most possible.
        most: u32,
    },
}

impl Mode {
    /// A mode that is possible.
    pub const fn new(width: u32, height: u32, rate_hz: u32) -> Mode {
        Mode { width, height, rate_hz }
    }

    /// From picture to picture.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.rate_hz.max(1)))
    }

    /// The size alone, as people write it.
    pub fn size(&self) -> String {
        format!("{}x{}", self.width, self.height)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, self.rate_hz)
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Mode, ModeError> {
        let form = || ModeError::Form(text.chars().take(40).collect());
        let (size, rate) = text.split_once('@').map_or((text, None), |(size, rate)| (size, Some(rate)));
        let (width, height) = size.split_once(['x', 'X']).ok_or_else(form)?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            // Digits that do not fit are a number that is too large.
            if plain { Ok(digits.parse().unwrap_or(u64::MAX)) } else { Err(form()) }
        };
        let check = |what, got: u64, least, most| {
            let possible = u32::try_from(got).ok().filter(|n| (least..=most).contains(n));
            possible.ok_or_else(|| ModeError::Impossible { text: text.to_owned(), what, got, least, most })
        };
        let rate = rate.map_or(Ok(u64::from(DEFAULT_RATE_HZ)), |r| number(r.trim_end_matches("Hz")))?;
        Ok(Mode {
            width: check("the width", number(width)?, MIN_SIDE, MAX_SIDE)?,
            height: check("the height", number(height)?, MIN_SIDE, MAX_SIDE)?,
            rate_hz: check("the rate", rate, 1, MAX_RATE_HZ)?,
        })
    }
}

/// Sizes that are swept: what monitors have, the wide ones included.
pub const SIZES: [(u32, u32); 9] = [
    (1280, 720),
    (1920, 1080),
    (2560, 1440),
    (3440, 1440),
    (3840, 1600),
    (3840, 2160),
    (5120, 1440),
    (5120, 2880),
    (7680, 4320),
];
/// Rates that are swept.
pub const RATES_HZ: [u32; 2] = [60, 144];

/// A pixel format by its name, whatever the case, `-` and `_`.
pub fn pixel_by_name(name: &str) -> Option<PixelType> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    PixelType::ALL.into_iter().find(|pixel| plain(&pixel.to_string()) == plain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        for (text, expected) in [
            ("1920x1080", Mode::new(1920, 1080, 60)),
            ("3440X1440@144", Mode::new(3440, 1440, 144)),
            ("16x16@1000Hz", Mode::new(16, 16, 1000)),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        assert_eq!(Mode::new(1280, 720, 60).to_string().parse(), Ok(Mode::new(1280, 720, 60)));
    }

    #[test]
    fn what_is_no_mode_says_why() {
        for (text, expected) in [
            ("4k", "not WIDTHxHEIGHT"),
            ("x", "not WIDTHxHEIGHT"),
            ("-1x5", "not WIDTHxHEIGHT"),
            ("1920x1080@", "not WIDTHxHEIGHT"),
            ("0x1080", "the width is 0, possible are 16 to 16384"),
            ("1920x99999", "the height is 99999"),
            ("1920x1080@0", "the rate is 0, possible are 1 to 1000"),
            ("99999999999999999999999x1080", "the width is 18446744073709551615"),
        ] {
            let e = text.parse::<Mode>().unwrap_err().to_string();
            assert!(e.contains(expected), "{text}: {e}");
        }
    }

    #[test]
    fn pixel_formats_have_names() {
        assert_eq!(pixel_by_name("bgra"), Some(PixelType::Bgra));
        assert_eq!(pixel_by_name("rgba-16f"), Some(PixelType::Rgba16F));
        assert_eq!(pixel_by_name("BGR_32"), Some(PixelType::Bgr32));
        assert_eq!(pixel_by_name("yuv"), None);
    }
}
