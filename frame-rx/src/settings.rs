//! From flags and the settings file to settings that cannot be wrong. After this nobody parses again.

use crate::cli::{EndArgs, ForwardArgs, InputArgs, KeepArgs, RunArgs, ShowArgs, Turn};
use crate::gpu::GpuChoice;
use crate::gpu::present::PresentChoice;
use crate::gpu::scene::Filter;
use crate::input::address::InputChoice;
use crate::input::capture::InputSettings;
use crate::input::chord::Chord;
use crate::input::evdev::rule::Rule;
use crate::input::frame::MouseMode;
use crate::input::keylist::KeyList;
use crate::input::own::OwnKeys;
use crate::input::spice::Password;
use crate::keys::Keys;
use crate::overlay::Shown;
use crate::pace::Draw;
use crate::picture::{Rotation, Size};
use crate::view::Scale;
use clap::ValueEnum;
use rx_host::atomic_file;
use rx_host::exit::Failure;
use rx_host::settings::units::DisplayMode;
use rx_host::settings::{self, About, ConfigFile, Layers, SettingsError, Value};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
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
    /// How the picture is turned, whatever the guest says.
    pub rotate: Option<Rotation>,
    /// Whether the guest is told the window's size.
    pub follow_window: bool,
    /// How frames reach the screen.
    pub present: PresentChoice,
    /// When frames are drawn that are shown in order.
    pub draw: Draw,
    /// Which GPU.
    pub gpu: GpuChoice,
    /// No frame around the window.
    pub borderless: bool,
    /// Which key means what.
    pub keys: Keys,
    /// Where screenshots by key go.
    pub screenshots: Option<PathBuf>,
    /// How far a key turned it, beyond `rotate`.
    pub more: Rotation,
    /// What a key laid over it.
    pub figures: Shown,
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
    /// Keyboard and mouse.
    pub input: Input,
    /// How it ends.
    pub end: End,
    /// What is kept of each picture.
    pub keep: KeepArgs,
}

/// How the guest gets keyboard and mouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The way to the guest.
    pub choice: InputChoice,
    /// What takes it back.
    pub chord: Chord,
    /// How the guest's pointer follows the window's.
    pub mouse: MouseMode,
    /// Where the SPICE server's password is.
    pub password_file: Option<PathBuf>,
    /// Whether figures are told at the end.
    pub stats: bool,
    /// Devices of the host that are read.
    pub evdev: Vec<Rule>,
    /// What never goes to the guest.
    pub keep: KeyList,
    /// Whether the guest gets the input without being given it.
    pub take_at_start: bool,
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
    rotate: Option<Turn>,
    follow_window: Option<bool>,
    #[serde(deserialize_with = "word")]
    present: Option<PresentChoice>,
    #[serde(deserialize_with = "word")]
    draw: Option<Draw>,
    gpu: Option<String>,
    #[serde(deserialize_with = "parsed")]
    input: Option<InputChoice>,
    #[serde(deserialize_with = "parsed")]
    release_chord: Option<Chord>,
    spice_password_file: Option<PathBuf>,
    #[serde(deserialize_with = "word")]
    mouse: Option<MouseMode>,
    #[serde(deserialize_with = "all_parsed")]
    evdev: Option<Vec<Rule>>,
    #[serde(deserialize_with = "parsed")]
    keep_on_host: Option<KeyList>,
    take_at_start: Option<bool>,
    borderless: Option<bool>,
    screenshots: Option<PathBuf>,
    keys: Option<BTreeMap<String, String>>,
    no_remember: Option<bool>,
}

const FILE: About = About { name: "file", why: "where Looking Glass's manual puts it" };
const FULLSCREEN: About = About { name: "fullscreen", why: "a window first" };
const OUTPUT: About = About { name: "output", why: "the monitor that the window opens on" };
const WINDOW: About = About { name: "window", why: "the size of the guest's picture" };
const SCALE: About = About { name: "scale", why: "keeps the picture's shape" };
const FILTER: About = About { name: "filter", why: "soft where scaled, exact where not" };
const ROTATE: About = About { name: "rotate", why: "the guest knows which way is up" };
const FOLLOW_WINDOW: About = About { name: "follow-window", why: "the guest's mode is the guest's" };
const PRESENT: About = About { name: "present", why: "the fastest way that does not tear" };
const DRAW: About = About { name: "draw", why: "the newest picture, where each refresh gets a new one" };
const BORDERLESS: About = About { name: "borderless", why: "a window as the desktop makes them" };
const SCREENSHOTS: About =
    About { name: "screenshots", why: "~/Pictures if it is there, else where the program was started" };
const KEYS: About = About { name: "keys", why: "those of Looking Glass, where it has them" };
const NO_REMEMBER: About = About { name: "no-remember", why: "a picture is shown as it was left" };
const GPU: About = About { name: "gpu", why: "hardware before software" };

const INPUT: About = About { name: "input", why: "SPICE where QEMU usually listens, at the first click" };
const CHORD: About = About { name: "release-chord", why: "on every keyboard, and used together by no program" };
const MOUSE: About = About { name: "mouse", why: "games want differences, and every VM takes them" };
const EVDEV: About = About { name: "evdev", why: "what the window hears is enough for most" };
const KEEP: About = About { name: "keep-on-host", why: "power, sleep and brightness are the host's" };
const TAKE: About = About { name: "take-at-start", why: "nobody is locked out unasked" };
const PASSWORD: About = About { name: "spice-password-file", why: "no password" };

/// Something that says itself what it can be read from.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(d: D) -> Result<Option<T>, D::Error> {
    rx_host::settings::units::from_text(d).map(Some)
}

/// A list of such things.
fn all_parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(d: D) -> Result<Option<Vec<T>>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    let all: Result<Vec<T>, _> = texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect();
    all.map(Some)
}

/// A value that writes itself, as reports show it.
struct Text<T>(T);

impl<T: Display> Value for Text<T> {
    fn show(&self) -> String {
        self.0.to_string()
    }
}

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
        let input = input(&mut layers, &args.input, &file.values);
        let no_remember = layers.pick_switch(&NO_REMEMBER, args.keep.no_remember, file.values.no_remember);
        let settings = Settings {
            file: path,
            headless: args.show.headless,
            show,
            input,
            end: end(&args.end, args.show.headless),
            keep: KeepArgs { no_remember, ..args.keep.clone() },
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
    let rotate = match pick_word(l, &ROTATE, args.rotate, low.rotate, Turn::default()) {
        Turn::Auto => None,
        Turn::None => Some(Rotation::None),
        Turn::Quarter => Some(Rotation::Quarter),
        Turn::Half => Some(Rotation::Half),
        Turn::ThreeQuarters => Some(Rotation::ThreeQuarters),
    };
    let follow_window = l.pick_switch(&FOLLOW_WINDOW, args.follow_window, low.follow_window);
    let present = pick_word(l, &PRESENT, args.present, low.present, PresentChoice::default());
    let draw = pick_word(l, &DRAW, args.draw, low.draw, Draw::default());
    let typed = args.gpu.as_ref().map(|g| g.name().to_owned());
    let gpu = l.pick(&GPU, typed, low.gpu.clone(), GpuChoice::default().name().to_owned());
    let Ok(gpu) = gpu.parse();
    let window = window.map(|m| Size::new(m.width_px, m.height_px));
    let borderless = l.pick_switch(&BORDERLESS, args.borderless, low.borderless);
    let screenshots = l.pick_optional(&SCREENSHOTS, args.screenshots.clone(), low.screenshots.clone());
    let keys = keys(l, low.keys.as_ref())?;
    Ok(Show {
        fullscreen,
        output,
        window,
        scale,
        filter,
        rotate,
        follow_window,
        present,
        draw,
        gpu,
        borderless,
        keys,
        screenshots,
        more: Rotation::None,
        figures: Shown::Nothing,
    })
}

fn input(l: &mut Layers, args: &InputArgs, low: &Low) -> Input {
    let choice = l.pick(&INPUT, args.input.clone().map(Text), low.input.clone().map(Text), Text(InputChoice::Auto)).0;
    let (typed, file) = (args.release_chord.clone(), low.release_chord.clone());
    let chord = l.pick(&CHORD, typed.map(Text), file.map(Text), Text(Chord::default())).0;
    let password_file = l.pick_optional(&PASSWORD, args.spice_password_file.clone(), low.spice_password_file.clone());
    let mouse = pick_word(l, &MOUSE, args.mouse, low.mouse, MouseMode::default());
    let texts = |rules: &[Rule]| rules.iter().cloned().map(Text).collect::<Vec<_>>();
    let typed = (!args.evdev.is_empty()).then(|| texts(&args.evdev));
    let evdev = l.pick(&EVDEV, typed, low.evdev.as_deref().map(texts), Vec::new()).into_iter().map(|t| t.0).collect();
    let (typed, file) = (args.keep_on_host.clone(), low.keep_on_host.clone());
    let keep = l.pick(&KEEP, typed.map(Text), file.map(Text), Text(KeyList::default())).0;
    let take_at_start = l.pick_switch(&TAKE, args.take_at_start, low.take_at_start);
    Input { choice, chord, mouse, password_file, stats: args.input_stats, evdev, keep, take_at_start }
}

/// Settings of `input`, or, if `is_proxy`, of `input-proxy`: all hardware is read if no device is named.
///
/// # Errors
/// [`SettingsError`].
pub fn forward(args: &ForwardArgs, is_proxy: bool) -> Result<Settings, SettingsError> {
    let end = EndArgs { seconds: args.seconds, stats: args.stats.clone(), ..EndArgs::default() };
    let run = RunArgs { config: args.config.clone(), input: args.input.clone(), end, ..RunArgs::default() };
    let (mut settings, _) = Settings::from_args(&run)?;
    if settings.input.evdev.is_empty() {
        settings.input.evdev.push(Rule::Auto);
    }
    if is_proxy {
        settings.input.choice = InputChoice::Uinput;
    }
    Ok(settings)
}

/// Where it is remembered that the release chord was used once; nothing without a home.
fn trial_mark() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/state")));
    state.map(|state| state.join("frame-rx/release-chord-used"))
}

impl Input {
    /// These settings with the password read. Nothing if no input is wanted.
    ///
    /// # Errors
    /// [`Failure`] if the password cannot be read or cannot be one.
    pub fn open(&self) -> Result<Option<InputSettings>, Failure> {
        if self.choice == InputChoice::None {
            return Ok(None);
        }
        let password = self.password_file.as_deref().map(read_password).transpose()?.unwrap_or_default();
        Ok(Some(InputSettings {
            choice: self.choice.clone(),
            chord: self.chord.clone(),
            keep: self.keep.keys(),
            own: OwnKeys::default(),
            mouse: self.mouse,
            password,
            devices: self.evdev.clone(),
            takes_at_start: self.take_at_start,
            trial_mark: trial_mark(),
        }))
    }
}

fn read_password(path: &Path) -> Result<Password, Failure> {
    let hint = "--spice-password-file names a file whose first line is the password";
    let what = |why: &str| format!("the password in {} {why}", path.display());
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| Failure::environment(what("cannot be read"), hint).because(e))?;
    let password = Password::new(text.lines().next().unwrap_or_default());
    password.ok_or_else(|| Failure::environment(what("is longer than SPICE allows, 60 bytes"), hint))
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
        let (s, layers) = from(
            "--scale 1:1 --gpu radeon --output DP-1 --window 640x480 --rotate 270 --follow-window --present fifo --draw at-once",
            "",
        )
        .unwrap();
        let (again, _) = from("", &layers.to_toml()).unwrap();
        assert_eq!(s, again);
        assert_eq!((s.show.rotate, s.show.follow_window), (Some(Rotation::ThreeQuarters), true));
        assert_eq!((s.show.present, s.show.draw), (PresentChoice::Fifo, Draw::AtOnce));
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
    fn the_way_to_the_guest_is_read_from_flags_and_file() {
        let file = "input = \"qmp:/run/q\"\nrelease-chord = \"scrolllock\"\n";
        let (s, layers) = from("--input spice:/run/s", file).unwrap();
        assert_eq!(
            (s.input.choice.to_string(), s.input.chord.to_string()),
            ("spice:/run/s".into(), "scrolllock".into())
        );
        let (again, _) = from("", &layers.to_toml()).unwrap();
        assert_eq!(again.input, s.input);
        assert!(from("", "release-chord = \"hyper\"").unwrap_err().to_string().contains("config.toml:1"));
        assert_eq!(from("--input none", "").unwrap().0.input.open().unwrap(), None);
    }

    #[test]
    fn devices_and_keys_of_the_host_are_read_from_flags_and_file() {
        let file = "evdev = [\"class=mouse\", \"/dev/input/by-id/k\"]\nkeep-on-host = \"usual,capslock\"\ntake-at-start = true\n";
        let (s, layers) = from("", file).unwrap();
        assert_eq!((s.input.evdev.len(), s.input.take_at_start), (2, true));
        assert_eq!(from("", &layers.to_toml()).unwrap().0.input, s.input);
        let (over, _) = from("--evdev auto", file).unwrap();
        assert_eq!(over.input.evdev, [Rule::Auto]);
        let error = from("", "evdev = [\"event3\"]").unwrap_err().to_string();
        assert!(error.contains("config.toml:1") && error.contains("`event3` is none of auto"), "{error}");
        assert!(from("", "keep-on-host = \"hyper\"").is_err());
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let open = || Input { password_file: Some(path.clone()), ..Input::default() }.open();
        assert!(open().unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, "secret\nnot this\n").unwrap();
        assert_eq!(Some(open().unwrap().unwrap().password), Password::new("secret"));
        std::fs::write(&path, "x".repeat(61)).unwrap();
        assert!(open().unwrap_err().to_string().contains("60 bytes"));
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
