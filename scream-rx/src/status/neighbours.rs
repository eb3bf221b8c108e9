//! Another instance that plays the same guest: what is heard twice sounds hollow, and nobody would guess why.

use super::show::{self, Report};
use super::{MAIN, socket};
use crate::cli::Output;
use crate::origin::{Origin, Ways};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Whom an instance asks at its start, and about what.
#[derive(Clone, Debug)]
pub struct Neighbours {
    folder: PathBuf,
    /// The instance that asks.
    own: String,
    file: Option<PathBuf>,
    address: Option<String>,
}

impl Neighbours {
    /// Those of the instance `own`, which plays `origin` on `output`. None if nobody hears that.
    pub fn of(own: &str, origin: &Origin, output: Output) -> Option<Neighbours> {
        let folder = socket::folder().filter(|_| is_heard(output))?;
        Some(Neighbours::in_folder(folder, own, origin))
    }

    fn in_folder(folder: PathBuf, own: &str, origin: &Origin) -> Neighbours {
        let file = (origin.ways != Ways::Network).then(|| origin.file.clone());
        // On an interface of its own it may well be another guest that sends to the same group.
        let everywhere = origin.ways != Ways::Memory && origin.listen.interface.is_none();
        let address = everywhere.then(|| origin.address().to_string());
        Neighbours { folder, own: own.into(), file, address }
    }

    /// Asks them one after the other; what to tell the user if one plays the same.
    ///
    /// Blocks until they have answered, some seconds for each that does not.
    pub fn look(&self) -> Option<String> {
        let others = socket::names(&self.folder).into_iter().filter(|name| *name != self.own);
        others
            .filter_map(|name| Some((show::parse(&socket::ask(&self.folder, &name).ok()?).ok()?, name)))
            .find_map(|(report, name)| Some(warning(&name, self.shared(&report)?)))
    }

    /// The source that the other instance plays, too.
    fn shared<'a>(&self, report: &'a Report) -> Option<&'a str> {
        let text = |name: &str| report.get(name).and_then(serde_json::Value::as_str);
        // One that does not tell is older, and most are heard.
        let heard = text("output").and_then(|word| Output::from_str(word, false).ok()).is_none_or(is_heard);
        let same = |source: &&str| {
            self.address.as_deref() == Some(source) || self.file.as_ref().is_some_and(|file| is_same(file, source))
        };
        text("source").filter(|_| heard).filter(same)
    }
}

/// Whether somebody hears at once what is played there.
fn is_heard(output: Output) -> bool {
    !matches!(output, Output::Wav | Output::Raw | Output::Null)
}

/// Whether both name one file. What stands there need not be a file of ours, nor one that is there.
fn is_same(file: &Path, source: &str) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // Where a relative one lies only the other instance knows.
    let source = Path::new(source);
    file == source || (source.is_absolute() && real(file) == real(source))
}

fn warning(name: &str, source: &str) -> String {
    let unit = match name.strip_prefix(MAIN) {
        Some("") => Some("scream-rx".to_owned()),
        // A number is only for those that somebody started by hand.
        Some(number) if number.starts_with('-') => None,
        _ => Some(format!("scream-rx@{name}")),
    };
    let stop = unit.map_or(String::new(), |unit| format!("systemctl --user stop {unit}, or "));
    format!(
        "{name} plays {source} already, so the guest is heard twice: stop one of the two ({stop}close its window); how the \
         other does: scream-rx status {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::settings::Settings;
    use clap::Parser;

    fn shared(line: &str, output: Option<&str>, source: &str) -> bool {
        let settings = Settings::without_file(&Cli::try_parse_from(line.split(' ')).unwrap().run).unwrap();
        let report = Report::from_iter(
            [("source", Some(source)), ("output", output)]
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?.into()))),
        );
        let shared = Neighbours::in_folder(PathBuf::new(), MAIN, &settings.origin).shared(&report).map(str::to_owned);
        assert!(shared.is_none() || shared.as_deref() == Some(source));
        shared.is_some()
    }

    #[test]
    fn who_plays_the_same_source_where_it_is_heard_is_found() {
        for (line, output, source, same) in [
            ("scream-rx /dev/shm/x", Some("pulse"), "/dev/shm/x", true),
            ("scream-rx /dev/shm/../shm/x", Some("alsa"), "/dev/shm/x", false),
            ("scream-rx /dev/shm/x", None, "/dev/shm/x", true),
            ("scream-rx /dev/shm/x", Some("wav"), "/dev/shm/x", false),
            ("scream-rx /dev/shm/x", Some("raw"), "/dev/shm/x", false),
            ("scream-rx /dev/shm/x", Some("null"), "/dev/shm/x", false),
            ("scream-rx /dev/shm/x", Some("of the future"), "/dev/shm/x", true),
            ("scream-rx /dev/shm/x", Some("pulse"), "/dev/shm/y", false),
            ("scream-rx --udp", Some("pulse"), "239.255.77.77:4010", true),
            ("scream-rx --udp", Some("pulse"), "/dev/shm/scream-ivshmem", false),
            ("scream-rx --udp 5000", Some("pulse"), "239.255.77.77:4010", false),
            ("scream-rx --udp -i virbr1", Some("pulse"), "239.255.77.77:4010", false),
            ("scream-rx --auto", Some("pulse"), "/dev/shm/scream-ivshmem", true),
            ("scream-rx --auto", Some("pulse"), "239.255.77.77:4010", true),
        ] {
            assert_eq!(shared(line, output, source), same, "{line}: {output:?} {source}");
        }
    }

    #[test]
    fn a_file_by_another_name_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("x"), folder.path().join("y"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let line = format!("scream-rx {}", link.display());
        assert!(shared(&line, Some("pulse"), file.to_str().unwrap()));
        assert!(!shared(&line, Some("pulse"), "x"), "somewhere else, for all we know");
    }

    #[test]
    fn the_warning_says_how_to_stop_the_other() {
        for (name, words) in [
            ("main", "(systemctl --user stop scream-rx, or close its window)"),
            ("win10", "(systemctl --user stop scream-rx@win10, or close its window)"),
            ("mainframe", "(systemctl --user stop scream-rx@mainframe, "),
            ("main-2", "(close its window)"),
        ] {
            let text = warning(name, "/dev/shm/x");
            assert!(text.starts_with(&format!("{name} plays /dev/shm/x already")) && text.contains(words), "{text}");
        }
    }
}
