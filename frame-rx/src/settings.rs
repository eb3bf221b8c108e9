//! From flags and the settings file to settings that cannot be wrong. After this nobody parses again.

use crate::cli::{EndArgs, KeepArgs, RunArgs, ShowArgs};
use crate::gpu::GpuChoice;
use crate::gpu::present::PresentChoice;
use crate::gpu::scene::Filter;
use crate::keys::Keys;
use crate::picture::{Rotation, Size};
use crate::view::Scale;
use clap::ValueEnum;
use rx_host::atomic_file;
use rx_host::exit::Failure;
use rx_host::settings::units::DisplayMode;
use rx_host::settings::{self, About, ConfigFile, Layers, SettingsError, Value};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Looking Glass's manual puts the shared memory.
pub const DEFAULT_FILE: &str = "/dev/shm/looking-glass";

/// How the picture is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Fill a monitor.
    pub fullscreen: bool,
    /// Which monitor, by name or number.
    pub output: Option<String>,
    /// The window's size; nothing for the picture's.
    pub window: Option<Size>,
    /// How the picture fills the window.
    pub scale: Scale,
    /// How pixels in between are made.
    pub filter: Filter,
    /// How frames reach the screen.
    pub present: PresentChoice,
    /// Which GPU.
    pub gpu: GpuChoice,
    /// The user's own turn of the picture.
    pub rotate: Rotation,
    /// No frame around the window.
    pub borderless: bool,
    /// Which key means what.
    pub keys: Keys,
    /// Where screenshots by key go.
    pub screenshots: Option<PathBuf>,
}

/// How it ends and what it leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// After so many pictures.
    pub frames: Option<u64>,
    /// After this time.
    pub after: Option<Duration>,
    /// Where the last picture goes.
    pub screenshot: Option<PathBuf>,
    /// Whether the pointer is drawn into it.
    pub screenshot_pointer: bool,
    /// Where the figures go.
    pub stats: Option<PathBuf>,
}

/// All settings of `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The shared memory's file.
    pub file: PathBuf,
    /// No window.
    pub headless: bool,
    /// How it is shown.
    pub show: Show,
    /// How it ends.
    pub end: End,
    /// What is kept of each picture.
    pub keep: KeepArgs,
}

/// What the settings file may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Low {
    file: Option<PathBuf>,
    fullscreen: Option<bool>,
    output: Option<String>,
    window: Option<DisplayMode>,
    #[serde(deserialize_with = "word")]
    scale: Option<Scale>,
    #[serde(deserialize_with = "word")]
    filter: Option<Filter>,
    #[serde(deserialize_with = "word")]
    present: Option<PresentChoice>,
    gpu: Option<String>,
    rotate: Option<u16>,
    borderless: Option<bool>,
    screenshots: Option<PathBuf>,
    keys: Option<BTreeMap<String, String>>,
}

const FILE: About = About { name: "file", why: "where Looking Glass's manual puts it" };
const FULLSCREEN: About = About { name: "fullscreen", why: "a window first" };
const OUTPUT: About = About { name: "output", why: "the monitor that the window opens on" };
const WINDOW: About = About { name: "window", why: "the size of the guest's picture" };
const SCALE: About = About { name: "scale", why: "keeps the picture's shape" };
const FILTER: About = About { name: "filter", why: "soft where scaled, exact where not" };
const PRESENT: About = About { name: "present", why: "the fastest way that does not tear" };
const ROTATE: About = About { name: "rotate", why: "as the guest says" };
const BORDERLESS: About = About { name: "borderless", why: "a window as the desktop makes them" };
const SCREENSHOTS: About =
    About { name: "screenshots", why: "~/Pictures if it is there, else where the program was started" };
const KEYS: About = About { name: "keys", why: "those of Looking Glass, where it has them" };
const GPU: About = About { name: "gpu", why: "hardware before software" };

/// One of the words of `E`.
fn word<'de, D: Deserializer<'de>, E: ValueEnum>(d: D) -> Result<Option<E>, D::Error> {
    let text = String::deserialize(d)?;
    E::from_str(&text, false).map(Some).map_err(|_| {
        let words = E::value_variants().iter().filter_map(E::to_possible_value).map(|v| v.get_name().to_owned());
        serde::de::Error::custom(format!("`{text}` is none of {}", words.collect::<Vec<_>>().join(", ")))
    })
}

/// A choice among words, as reports show it.
struct Word<E>(E);

impl<E: ValueEnum> Value for Word<E> {
    fn show(&self) -> String {
        self.0.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

fn pick_word<E: ValueEnum>(l: &mut Layers, about: &About, typed: Option<E>, file: Option<E>, default: E) -> E {
    l.pick(about, typed.map(Word), file.map(Word), Word(default)).0
}

impl Settings {
    /// The settings that `args` and the file give, and where each came from.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_args(args: &RunArgs) -> Result<(Settings, Layers), SettingsError> {
        let file = settings::load::<Low>("frame-rx", args.config.as_deref())?;
        Settings::from_layers(args, &file)
    }

    fn from_layers(args: &RunArgs, file: &ConfigFile<Low>) -> Result<(Settings, Layers), SettingsError> {
        let mut layers = Layers::new(file);
        let path = layers.pick(&FILE, args.file.clone(), file.values.file.clone(), PathBuf::from(DEFAULT_FILE));
        let show = show(&mut layers, &args.show, &file.values)?;
        let settings = Settings {
            file: path,
            headless: args.show.headless,
            show,
            end: end(&args.end, args.show.headless),
            keep: args.keep.clone(),
        };
        Ok((settings, layers))
    }
}

/// How it is shown, by flags alone: a demo reads no file.
///
/// # Errors
/// [`SettingsError::NotAllowed`].
pub fn show_from_flags(args: &ShowArgs) -> Result<Show, SettingsError> {
    show(&mut Layers::new(&ConfigFile::<Low>::default()), args, &Low::default())
}

fn show(l: &mut Layers, args: &ShowArgs, low: &Low) -> Result<Show, SettingsError> {
    let fullscreen = l.pick_switch(&FULLSCREEN, args.fullscreen, low.fullscreen);
    let output = l.pick_optional(&OUTPUT, args.output.clone(), low.output.clone());
    let window = l.pick_optional(&WINDOW, args.window, low.window);
    if let Some(mode) = &window {
        l.check(&WINDOW, mode, mode.rate_millihertz.is_none(), || "a size without a rate")?;
    }
    let scale = pick_word(l, &SCALE, args.scale, low.scale, Scale::default());
    let filter = pick_word(l, &FILTER, args.filter, low.filter, Filter::default());
    let present = pick_word(l, &PRESENT, args.present, low.present, PresentChoice::default());
    let typed = args.gpu.as_ref().map(|g| g.name().to_owned());
    let gpu = l.pick(&GPU, typed, low.gpu.clone(), GpuChoice::default().name().to_owned());
    let Ok(gpu) = gpu.parse();
    let window = window.map(|m| Size::new(m.width_px, m.height_px));
    let rotate = rotation(l, args.rotate, low.rotate)?;
    let borderless = l.pick_switch(&BORDERLESS, args.borderless, low.borderless);
    let screenshots = l.pick_optional(&SCREENSHOTS, args.screenshots.clone(), low.screenshots.clone());
    let keys = keys(l, low.keys.as_ref())?;
    Ok(Show { fullscreen, output, window, scale, filter, present, gpu, rotate, borderless, keys, screenshots })
}

fn rotation(l: &mut Layers, typed: Option<u16>, file: Option<u16>) -> Result<Rotation, SettingsError> {
    let degrees = l.pick(&ROTATE, typed, file, 0);
    let turn = match degrees {
        90 => Rotation::Quarter,
        180 => Rotation::Half,
        270 => Rotation::ThreeQuarters,
        _ => Rotation::None,
    };
    l.check(&ROTATE, &degrees, degrees == 90 * turn.quarters() as u16, || "0, 90, 180 or 270 degrees")?;
    Ok(turn)
}

impl Value for Keys {
    fn show(&self) -> String {
        self.to_toml()
    }

    fn to_toml(&self) -> String {
        Keys::to_toml(self)
    }
}

/// As the file has them, for a message.
struct Table(String);

impl Value for Table {
    fn show(&self) -> String {
        self.0.clone()
    }
}

fn keys(l: &mut Layers, file: Option<&BTreeMap<String, String>>) -> Result<Keys, SettingsError> {
    let read = file.map(Keys::from_table).transpose();
    if let Err(error) = &read {
        let rows = file.into_iter().flatten().map(|(name, key)| format!("{name} = {key}"));
        let table = Table(rows.collect::<Vec<_>>().join(", "));
        l.pick_optional(&KEYS, None, Some(Table(table.0.clone())));
        l.check(&KEYS, &table, false, || error.to_string())?;
    }
    Ok(l.pick(&KEYS, None, read.ok().flatten(), Keys::default()))
}

/// The first free file for a screenshot by key in `folder`; nothing if there are too many. Looks at the disk.
pub fn next_screenshot(folder: Option<&Path>) -> Option<PathBuf> {
    let pictures = || std::env::var_os("HOME").map(|home| Path::new(&home).join("Pictures")).filter(|p| p.is_dir());
    let folder = folder.map(Path::to_owned).or_else(pictures).unwrap_or_else(|| PathBuf::from("."));
    (1..=9999).map(|n| folder.join(format!("frame-rx-{n}.png"))).find(|path| !path.exists())
}

/// How it ends, by flags alone.
pub fn end(args: &EndArgs, headless: bool) -> End {
    // A screenshot without a window and without an end would never be written: it is that of the first picture.
    let only_a_screenshot = headless && args.screenshot.is_some() && args.frames.is_none() && args.seconds.is_none();
    End {
        frames: args.frames.or(only_a_screenshot.then_some(1)),
        after: args.seconds.map(|s| s.0),
        screenshot: args.screenshot.clone(),
        screenshot_pointer: args.screenshot_pointer,
        stats: args.stats.clone(),
    }
}

impl End {
    /// Looks at the start whether the files of the end can be written.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub fn check_files(&self) -> Result<(), Failure> {
        let check = |path: &Path| {
            atomic_file::check(path).map_err(|e| {
                let hint = e.hint();
                Failure::environment(e, hint)
            })
        };
        self.screenshot.iter().chain(&self.stats).try_for_each(|path| check(path))
    }
}

/// What to tell about settings that are wrong.
pub fn explain(error: SettingsError) -> Failure {
    let (hint, usage) = (error.hint(), error.is_usage());
    if usage { Failure::usage(error, hint) } else { Failure::environment(error, hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn from(line: &str, file: &str) -> Result<(Settings, Layers), SettingsError> {
        let args = Cli::try_parse_from(std::iter::once("frame-rx").chain(line.split_whitespace())).unwrap().run;
        let file = settings::parse("config.toml".as_ref(), file)?;
        Settings::from_layers(&args, &file)
    }

    #[test]
    fn flags_lie_over_the_file_and_the_file_over_defaults() {
        let file = "file = \"/dev/kvmfr0\"\nscale = \"integer\"\nfilter = \"nearest\"\nwindow = \"800x600\"\n";
        let (s, layers) = from("--scale 1:1 -F", file).unwrap();
        assert_eq!(s.file, Path::new("/dev/kvmfr0"));
        assert_eq!((s.show.scale, s.show.filter), (Scale::OneToOne, Filter::Nearest));
        assert_eq!((s.show.fullscreen, s.show.window), (true, Some(Size::new(800, 600))));
        assert_eq!(s.show.present, PresentChoice::Auto);
        let explained = layers.explain();
        for part in ["--scale", "config.toml:3", "default: the fastest way", "/dev/kvmfr0"] {
            assert!(explained.contains(part), "{part} in\n{explained}");
        }
    }

    #[test]
    fn the_printed_settings_are_a_file_that_gives_the_same_settings() {
        let (s, layers) = from("--scale 1:1 --gpu radeon --output DP-1 --window 640x480 --present fifo", "").unwrap();
        let (again, _) = from("", &layers.to_toml()).unwrap();
        assert_eq!(s, again);
    }

    #[test]
    fn keys_come_from_the_file_and_are_printed_so_that_they_can_be_read_again() {
        let (s, layers) = from("", "[keys]\nquit = \"W\"\nhold = \"ControlRight\"\n").unwrap();
        assert_ne!(s.show.keys, Keys::default());
        let (again, _) = from("", &layers.to_toml()).unwrap();
        assert_eq!(s.show, again.show);
        assert!(layers.explain().contains("quit = \"W\""), "{}", layers.explain());
        let error = from("", "[keys]\nquit = \"F\"\n").unwrap_err().to_string();
        assert!(error.contains("config.toml:1") && error.contains("F is both full-screen and quit"), "{error}");
    }

    #[test]
    fn screenshots_by_key_get_the_first_free_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(next_screenshot(Some(dir.path())), Some(dir.path().join("frame-rx-1.png")));
        std::fs::write(dir.path().join("frame-rx-1.png"), []).unwrap();
        assert_eq!(next_screenshot(Some(dir.path())), Some(dir.path().join("frame-rx-2.png")));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_told_with_its_line() {
        for (file, words) in [
            ("rotate = 45", "config.toml:1: rotate is 45"),
            ("\nscale = \"wide\"", "config.toml:2:9: `wide` is none of fit, integer, 1:1, stretch"),
            ("sclae = \"fit\"", "config.toml:1:1: there is no setting `sclae`"),
            ("window = \"640x480@60\"", "config.toml:1: window is 640x480@60"),
            ("fullscreen = 3", "config.toml:1:14: invalid type"),
        ] {
            let error = from("", file).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_headless_screenshot_without_an_end_is_that_of_the_first_picture() {
        for (line, frames) in [
            ("--headless --screenshot a.png", Some(1)),
            ("--headless --screenshot a.png --seconds 2", None),
            ("--headless --screenshot a.png --frames 9", Some(9)),
            ("--headless", None),
            ("--screenshot a.png", None),
        ] {
            assert_eq!(from(line, "").unwrap().0.end.frames, frames, "{line}");
        }
    }

    #[test]
    fn files_that_cannot_be_written_are_told_at_the_start() {
        let end = End { screenshot: Some("/no/such/dir/a.png".into()), ..End::default() };
        let failure = end.check_files().unwrap_err();
        assert_eq!(failure.to_string(), "cannot write /no/such/dir/a.png: /no/such/dir does not exist");
        assert_eq!(failure.exit(), rx_host::exit::Exit::Environment);
    }
}
