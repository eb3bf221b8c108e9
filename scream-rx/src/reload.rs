//! A settings file that changes while the receiver runs: read again, and applied if it makes sense. A broken one is told
//! once and changes nothing. What was typed stays above the file.

use crate::cli::{Output, RunArgs};
use crate::settings::Settings;
use core::time::Duration;
use rx_host::settings::default_path;
use shm_proto::HostTime;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The file is looked at no more often than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An editor may write a file in pieces: it is read when it has been the same for one look.
const SETTLED_LOOKS: u32 = 1;

/// What a look at the file gave.
#[derive(Debug)]
pub enum Reloaded {
    /// These settings are to hold from now on; say [`Reload::applied`] once they do.
    Changed(Box<Settings>),
    /// The file makes no sense, in one line with a hint; the old settings stay.
    Broken(String),
    /// It changed, but only in what a running receiver does not take over; in words.
    Later(&'static str),
}

/// The watch over the file.
#[derive(Debug)]
pub struct Reload {
    args: RunArgs,
    path: Option<PathBuf>,
    present: Settings,
    read: Option<Stamp>,
    seen: Option<Stamp>,
    same: u32,
    looked: HostTime,
}

/// What tells one state of a file from another: device, inode, length, times of change in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i128; 5]);

impl Reload {
    /// Watches the file that `args` name, or the usual one; `present` is what it gave at the start.
    pub fn new(args: &RunArgs, present: &Settings, now: HostTime) -> Reload {
        let path = args.config.clone().or_else(|| default_path("scream-rx"));
        let mut reload =
            Reload { args: args.clone(), path, present: present.clone(), read: None, seen: None, same: 0, looked: now };
        reload.read = reload.stamp();
        reload.seen = reload.read;
        reload
    }

    fn stamp(&self) -> Option<Stamp> {
        let meta = fs::metadata(self.path.as_ref()?).ok()?;
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Some(Stamp([
            meta.dev().into(),
            meta.ino().into(),
            meta.len().into(),
            ns(meta.mtime(), meta.mtime_nsec()),
            ns(meta.ctime(), meta.ctime_nsec()),
        ]))
    }

    /// Whether the file changed and is looked at once more before it is read. A good time to call again soon.
    pub fn is_pending(&self) -> bool {
        self.seen != self.read
    }

    /// Looks if it is time to, or at once if it was `asked` for. Call it about once a second.
    pub fn look(&mut self, now: HostTime, asked: bool) -> Option<Reloaded> {
        if !asked && now.since(self.looked) < LOOK_EVERY {
            return None;
        }
        self.looked = now;
        let stamp = self.stamp();
        self.same = if stamp == self.seen { self.same.saturating_add(1) } else { 0 };
        self.seen = stamp;
        if !asked && (stamp == self.read || self.same < SETTLED_LOOKS) {
            return None;
        }
        self.read = stamp;
        match Settings::from_args(&self.args) {
            Ok((new, _)) => self.compare(new),
            Err(e) => Some(Reloaded::Broken(format!("{e} ({}); the old settings stay", e.hint()))),
        }
    }

    fn compare(&mut self, new: Settings) -> Option<Reloaded> {
        let old = &self.present;
        if (&new.origin, &new.play) == (&old.origin, &old.play) {
            return (new.end != old.end).then_some(Reloaded::Later("the end of a run is settled at its start"));
        }
        if matches!(old.play.output, Output::Wav | Output::Raw) {
            return Some(Reloaded::Later("a recording keeps its settings to its end"));
        }
        if old.end.dump_timing.is_some() {
            return Some(Reloaded::Later("a record of times is of one run"));
        }
        Some(Reloaded::Changed(Box::new(new)))
    }

    /// What [`Reloaded::Changed`] gave holds now. Until that is said, another look that is asked for gives it again: a device
    /// that was not there may be by then.
    pub fn applied(&mut self, new: Settings) {
        self.present = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    const fn at(s: u64) -> HostTime {
        HostTime::from_ns(s * 1_000_000_000)
    }

    struct Rig {
        _dir: tempfile::TempDir,
        path: PathBuf,
        reload: Reload,
        second: u64,
    }

    impl Rig {
        fn new(flags: &str, text: &str) -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("c.toml");
            fs::write(&path, text).unwrap();
            let line = format!("scream-rx {flags} --config {}", path.display());
            let args = Cli::try_parse_from(line.split_whitespace()).unwrap().run;
            let settings = Settings::from_args(&args).unwrap().0;
            let reload = Reload::new(&args, &settings, at(0));
            Rig { _dir: dir, path, reload, second: 0 }
        }

        /// Looks for three seconds; gives all that came of it.
        fn look(&mut self) -> Vec<Reloaded> {
            let look = |second| self.reload.look(at(second), false);
            let found: Vec<Reloaded> = (self.second + 1..=self.second + 3).filter_map(look).collect();
            self.second += 3;
            for reloaded in &found {
                if let Reloaded::Changed(new) = reloaded {
                    self.reload.applied(new.as_ref().clone());
                }
            }
            found
        }

        fn write(&mut self, text: &str) -> Vec<Reloaded> {
            fs::write(&self.path, text).unwrap();
            self.look()
        }
    }

    #[test]
    fn a_changed_file_is_applied_once_and_flags_stay_above_it() {
        let mut rig = Rig::new("-t 60 -o null", "profile = \"safe\"\n");
        assert!(rig.look().is_empty());
        let changed = rig.write("profile = \"low\"\ntarget = 90\n");
        let [Reloaded::Changed(new)] = &changed[..] else { panic!("{changed:?}") };
        assert_eq!(new.play.target, Some(Duration::from_millis(60)));
        assert!(rig.look().is_empty());
        assert!(rig.write("profile = \"low\"\ntarget = 95 # typed is above\n").is_empty(), "nothing changed by it");
    }

    #[test]
    fn a_broken_file_is_told_once_and_a_mended_one_is_taken() {
        let mut rig = Rig::new("-o null", "");
        let broken = rig.write("tagret = 50\n");
        let [Reloaded::Broken(words)] = &broken[..] else { panic!("{broken:?}") };
        assert!(words.contains("c.toml:1:1") && words.contains("did you mean `target`?"), "{words}");
        assert!(rig.look().is_empty());
        assert!(matches!(rig.write("target = 50\n")[..], [Reloaded::Changed(_)]));
        // The file that was named is gone: that is broken too. A new one is taken.
        fs::remove_file(&rig.path).unwrap();
        assert!(matches!(rig.look()[..], [Reloaded::Broken(_)]));
        assert!(matches!(rig.write("target = 70\n")[..], [Reloaded::Changed(_)]));
    }

    #[test]
    fn a_recording_and_an_end_are_left_alone() {
        let mut rig = Rig::new("-o wav", "");
        assert!(matches!(rig.write("target = 50\n")[..], [Reloaded::Later(_)]));
        let mut rig = Rig::new("-o null", "");
        assert!(matches!(rig.write("seconds = 5\n")[..], [Reloaded::Later(_)]));
    }

    #[test]
    fn a_reload_that_is_asked_for_does_not_wait() {
        let mut rig = Rig::new("-o null", "");
        fs::write(&rig.path, "name = \"Other\"\n").unwrap();
        assert!(matches!(rig.reload.look(at(0), true), Some(Reloaded::Changed(_))));
    }

    #[test]
    fn settings_that_could_not_be_used_are_tried_again_when_that_is_asked_for() {
        let mut rig = Rig::new("-o null", "");
        fs::write(&rig.path, "name = \"Other\"\n").unwrap();
        for _ in 0..2 {
            assert!(matches!(rig.reload.look(at(0), true), Some(Reloaded::Changed(_))), "nobody said that they hold");
        }
        let Some(Reloaded::Changed(new)) = rig.reload.look(at(0), true) else { panic!("the same again") };
        rig.reload.applied(*new);
        assert!(rig.reload.look(at(0), true).is_none(), "they hold");
    }
}
