//! What the user's keys changed in how the picture is shown, kept from one run to the next: one small file for each guest,
//! `frame-rx/NAME.toml` under `XDG_STATE_HOME` (`~/.local/state`), NAME being that of the shared memory's file.
//!
//! The settings file stays the user's own. What is kept goes before it, and after a flag; and it is forgotten when the
//! setting that the key changed is changed in the settings file, for then the user has said something newer.

use crate::gpu::scene::Filter;
use crate::overlay::Shown;
use crate::picture::Rotation;
use crate::settings::Show;
use crate::view::Scale;
use clap::ValueEnum;
use core::time::Duration;
use rx_host::atomic_file;
use rx_host::exit::Failure;
use serde::Deserialize;
use shm_proto::HostTime;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How long after the last change it is written: somebody who goes through the filters writes once.
const SETTLES: Duration = Duration::from_secs(2);
/// The longest name of a file.
const MAX_NAME_CHARS: usize = 100;
/// The most of a file that is read.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// What stands above.
const HEAD: &str = "# Kept by frame-rx: what its keys changed in how this guest is shown. Delete it to forget that.\n";

/// How the picture is shown, as far as keys change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// How it fills the window.
    pub scale: Scale,
    /// How pixels in between are made.
    pub filter: Filter,
    /// How far it is turned, beyond what the settings say.
    pub more: Rotation,
    /// What stands over it.
    pub figures: Shown,
}

/// A value that a key chose, and the one of the settings that it took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instead<T> {
    value: T,
    of: T,
}

/// Everything that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    scale: Option<Instead<Scale>>,
    filter: Option<Instead<Filter>>,
    /// The turn by key, and `rotate` of the settings.
    turn: Option<(Rotation, Option<Rotation>)>,
    figures: Option<Shown>,
}

/// The file as it may be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Low {
    scale: Option<String>,
    scale_instead_of: Option<String>,
    filter: Option<String>,
    filter_instead_of: Option<String>,
    turn: Option<u32>,
    turn_instead_of: Option<String>,
    figures: Option<String>,
}

/// Keeps what keys change.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// What the settings file says, without flags.
    configured: Manner,
    rotate: Option<Rotation>,
    kept: Kept,
    begun: Manner,
    now: Manner,
    write_at: Option<HostTime>,
}

/// Where the file of the guest behind `region` is: nothing without a home.
pub fn path_for(region: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let name = region.file_name().map(OsString::from).unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.to_string_lossy().chars().map(allowed).take(MAX_NAME_CHARS).collect();
    Some(state.join("frame-rx").join(format!("{name}.toml")))
}

impl Memory {
    /// Reads the file at `path`, if it is there, and changes `show` as it says; `typed` tells what flags said and is left
    /// alone. `configured` is what would be shown without flags. A file that makes no sense is told and passed over.
    ///
    /// Blocks for the disk.
    pub fn open(path: PathBuf, configured: &Show, typed: Typed, show: &mut Show) -> Memory {
        let text = File::open(&path).and_then(|file| {
            let mut text = String::new();
            file.take(MAX_FILE_BYTES).read_to_string(&mut text).map(|_| text)
        });
        let kept = match text {
            Ok(text) => Kept::read(&path, &text).unwrap_or_else(|error| {
                tracing::warn!("{} is passed over: {error}", path.display());
                Kept::default()
            }),
            Err(_) => Kept::default(),
        };
        let (scale, filter) = (configured.scale, configured.filter);
        let plain = Manner { scale, filter, ..Manner::default() };
        let mut memory = Memory {
            path,
            configured: plain,
            rotate: configured.rotate,
            kept,
            begun: plain,
            now: plain,
            write_at: None,
        };
        memory.apply(typed, show);
        memory.begun = Manner { scale: show.scale, filter: show.filter, more: show.more, figures: show.figures };
        memory.now = memory.begun;
        memory
    }

    fn apply(&self, typed: Typed, show: &mut Show) {
        let Manner { scale, filter, .. } = self.configured;
        if let Some(kept) = self.kept.scale.filter(|k| !typed.scale && k.of == scale) {
            show.scale = kept.value;
        }
        if let Some(kept) = self.kept.filter.filter(|k| !typed.filter && k.of == filter) {
            show.filter = kept.value;
        }
        if let Some((more, _)) = self.kept.turn.filter(|(_, of)| !typed.rotate && *of == self.rotate) {
            show.more = more;
        }
        if let Some(figures) = self.kept.figures {
            show.figures = figures;
        }
    }

    /// A key changed something: this is how it is shown now.
    pub fn changed(&mut self, manner: Manner, now: HostTime) {
        if manner != self.now {
            self.now = manner;
            self.write_at = Some(now + SETTLES);
        }
    }

    /// When it shall be written; nothing if it is.
    pub fn next(&self) -> Option<HostTime> {
        self.write_at
    }

    /// Writes it if it is time to, or if `at_once`. Blocks for the disk; what cannot be written is told once.
    pub fn write(&mut self, now: HostTime, at_once: bool) {
        if !self.write_at.is_some_and(|at| at_once || now >= at) {
            return;
        }
        self.write_at = None;
        self.keep();
        if let Err(failure) = write(&self.path, &self.kept.to_toml()) {
            tracing::warn!("what the keys changed is not kept: {failure}");
        }
    }

    /// What was changed in this run, and only that.
    fn keep(&mut self) {
        let Memory { configured, begun, now, kept, rotate, .. } = self;
        if now.scale != begun.scale {
            let row = Instead { value: now.scale, of: configured.scale };
            kept.scale = (row.value != row.of).then_some(row);
        }
        if now.filter != begun.filter {
            let row = Instead { value: now.filter, of: configured.filter };
            kept.filter = (row.value != row.of).then_some(row);
        }
        if now.more != begun.more {
            kept.turn = (now.more != Rotation::None).then_some((now.more, *rotate));
        }
        if now.figures != begun.figures {
            kept.figures = (now.figures != Shown::Nothing).then_some(now.figures);
        }
        *begun = *now;
    }
}

/// What flags said, so that nothing that is kept goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// `--scale`.
    pub scale: bool,
    /// `--filter`.
    pub filter: bool,
    /// `--rotate`.
    pub rotate: bool,
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| {
            let hint = "see who may write there, or use --no-remember";
            Failure::environment(format!("cannot make {}", folder.display()), hint).because(e)
        })?;
    }
    atomic_file::write(path, |out| out.write_all(text.as_bytes())).map_err(|e| {
        let hint = e.hint();
        Failure::environment(e, hint)
    })
}

fn name<E: ValueEnum>(value: E) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// A word and the one it took the place of.
fn instead<E: ValueEnum>(value: Option<&str>, of: Option<&str>) -> Option<Instead<E>> {
    let read = |text: Option<&str>| E::from_str(text?, false).ok();
    Some(Instead { value: read(value)?, of: read(of)? })
}

const DEGREES: [(u32, Rotation); 3] = [(90, Rotation::Quarter), (180, Rotation::Half), (270, Rotation::ThreeQuarters)];

/// `rotate` of the settings as one word.
fn rotate_name(rotate: Option<Rotation>) -> String {
    rotate.map_or_else(|| "auto".into(), |r| (90 * r.quarters()).to_string())
}

impl Kept {
    fn read(path: &Path, text: &str) -> Result<Kept, rx_host::settings::SettingsError> {
        let low = rx_host::settings::parse::<Low>(path, text)?.values;
        let turn = || {
            let (_, more) = *DEGREES.iter().find(|(degrees, _)| Some(*degrees) == low.turn)?;
            let all = [None, Some(Rotation::None), Some(Rotation::Quarter), Some(Rotation::Half)];
            let mut all = all.into_iter().chain([Some(Rotation::ThreeQuarters)]);
            Some((more, all.find(|r| Some(rotate_name(*r)) == low.turn_instead_of)?))
        };
        Ok(Kept {
            scale: instead(low.scale.as_deref(), low.scale_instead_of.as_deref()),
            filter: instead(low.filter.as_deref(), low.filter_instead_of.as_deref()),
            turn: turn(),
            figures: low.figures.and_then(|name| Shown::named(&name)),
        })
    }

    fn to_toml(self) -> String {
        let mut text = HEAD.to_owned();
        let mut words = |key: &str, value: String, of: String| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{key} = \"{value}\"\n{key}-instead-of = \"{of}\"\n");
        };
        if let Some(Instead { value, of }) = self.scale {
            words("scale", name(value), name(of));
        }
        if let Some(Instead { value, of }) = self.filter {
            words("filter", name(value), name(of));
        }
        if let Some((more, of)) = self.turn {
            let _ = write!(text, "turn = {}\nturn-instead-of = \"{}\"\n", 90 * more.quarters(), rotate_name(of));
        }
        if let Some(figures) = self.figures {
            let _ = writeln!(text, "figures = \"{}\"", figures.name());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(1_000_000_000 + ms * 1_000_000)
    }

    fn open(path: &Path, configured: &Show, typed: Typed) -> (Memory, Show) {
        let mut show = configured.clone();
        if typed.scale {
            show.scale = Scale::Stretch;
        }
        let memory = Memory::open(path.to_owned(), configured, typed, &mut show);
        (memory, show)
    }

    fn manner(show: &Show) -> Manner {
        Manner { scale: show.scale, filter: show.filter, more: show.more, figures: show.figures }
    }

    #[test]
    fn what_keys_changed_is_there_in_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/looking-glass.toml");
        let configured = Show { rotate: Some(Rotation::Half), ..Show::default() };
        let (mut memory, show) = open(&path, &configured, Typed::default());
        assert_eq!(show, configured);
        let changed =
            Manner { scale: Scale::OneToOne, filter: Filter::Sharp, more: Rotation::Quarter, figures: Shown::Timings };
        memory.changed(changed, at(0));
        memory.write(at(1999), false);
        assert!(!path.exists(), "not before it has settled");
        memory.write(at(2000), false);
        assert_eq!((memory.next(), manner(&open(&path, &configured, Typed::default()).1)), (None, changed));
        // Changed back: nothing is left of it.
        memory.changed(manner(&configured), at(3000));
        memory.write(at(3000), true);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), HEAD);
    }

    #[test]
    fn a_flag_and_a_newer_setting_go_before_what_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        let configured = Show::default();
        let (mut memory, show) = open(&path, &configured, Typed::default());
        memory.changed(Manner { scale: Scale::Integer, filter: Filter::Nearest, ..manner(&show) }, at(0));
        memory.write(at(0), true);
        let typed = Typed { scale: true, ..Typed::default() };
        let (mut memory, show) = open(&path, &configured, typed);
        assert_eq!((show.scale, show.filter), (Scale::Stretch, Filter::Nearest));
        // What a flag said is not kept, whatever else is.
        memory.changed(Manner { figures: Shown::Figures, ..manner(&show) }, at(0));
        memory.write(at(0), true);
        let (_, show) = open(&path, &configured, Typed::default());
        assert_eq!((show.scale, show.figures), (Scale::Integer, Shown::Figures));
        let newer = Show { scale: Scale::OneToOne, ..configured };
        let (_, show) = open(&path, &newer, Typed::default());
        assert_eq!((show.scale, show.filter), (Scale::OneToOne, Filter::Nearest));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        for text in ["scale = ", "scale = 3", "scale = \"wide\"\nscale-instead-of = \"fit\"", "turn = 91", "\0"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(open(&path, &Show::default(), Typed::default()).1, Show::default(), "{text}");
        }
    }

    #[test]
    fn each_guest_has_a_file_of_its_own_whose_name_is_harmless() {
        let name = |path: &str| {
            let path = path_for(Path::new(path)).expect("a home");
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        for (region, expected) in [
            ("/dev/shm/looking-glass", "looking-glass.toml"),
            ("/dev/kvmfr0", "kvmfr0.toml"),
            ("a b/../c d\u{e9}", "c_d_.toml"),
            ("/", ".toml"),
        ] {
            assert_eq!(name(region), expected);
        }
    }
}
