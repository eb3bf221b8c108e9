//! Settings in layers: built-in defaults, below a TOML file, below the command line; and where each value came from.
//!
//! A receiver has two low forms of its settings, in which everything is optional and nothing is checked: a clap struct
//! (what was typed) and a serde struct of the same names in kebab case (what the file says). It brings them together in
//! one function, through [`Layers`], which gives plain values within their limits; after that nobody parses again.
//!
//! ```
//! use rx_host::settings::{self, About, Layers, units::Milliseconds};
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, rename_all = "kebab-case")]
//! struct Low {
//!     latency: Option<Milliseconds>,
//! }
//! const LATENCY: About = About { name: "latency", why: "two blocks of a usual guest" };
//!
//! # fn main() -> Result<(), settings::SettingsError> {
//! let typed = Low { latency: None };
//! let file = settings::parse::<Low>("config.toml".as_ref(), "latency = 30\n")?;
//! let mut layers = Layers::new(&file);
//! let latency = layers.pick(&LATENCY, typed.latency, file.values.latency, Milliseconds::new(40));
//! layers.check_range(&LATENCY, &latency, Milliseconds::new(5)..=Milliseconds::new(2000))?;
//! assert_eq!(latency, Milliseconds::new(30));
//! assert!(layers.explain().contains("config.toml:1"));
//! # Ok(()) }
//! ```

mod file;
mod layers;
pub mod units;

pub use file::{ConfigFile, Place, default_path, load, parse};
pub use layers::{About, Explained, Layers, Origin, Value};

use std::io;
use std::path::PathBuf;

/// Why there are no settings. All but the first two are for the user to correct in the text.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file named by `--config` is not there. A file that nobody named may be missing.
    #[error("cannot read the settings: {path} does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("cannot read the settings from {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML, or a value is of the wrong kind.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong, in one line.
        message: String,
    },
    /// The file sets something that does not exist.
    #[error("{place}: there is no setting `{key}`")]
    UnknownKey {
        /// Where.
        place: Place,
        /// What was written.
        key: String,
        /// The setting that is spelt most like it.
        nearest: Option<&'static str>,
        /// All settings.
        known: &'static [&'static str],
    },
    /// A value is outside its limits, or contradicts another.
    #[error("{origin}: {name} is {value}, allowed is {allowed}")]
    NotAllowed {
        /// Who set it.
        origin: Origin,
        /// The setting.
        name: &'static str,
        /// Its value with its unit.
        value: String,
        /// What is allowed, in words.
        allowed: String,
    },
}

impl SettingsError {
    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            SettingsError::Missing { path } => format!("make {}, or leave --config out", path.display()),
            SettingsError::Unreadable { path, .. } => {
                format!("make it readable: ls -l {}; or name another file with --config", path.display())
            }
            SettingsError::Syntax { .. } => "a line has the form: name = \"value\"; see: config --explain".into(),
            SettingsError::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            SettingsError::UnknownKey { known, .. } => format!("settings are: {}", known.join(", ")),
            SettingsError::NotAllowed { name, .. } => format!("choose a {name} within the limits, or leave it out"),
        }
    }

    /// Whether the text is wrong (exit code 1), rather than the file out of reach (2).
    pub fn is_usage(&self) -> bool {
        !matches!(self, SettingsError::Missing { .. } | SettingsError::Unreadable { .. })
    }
}
