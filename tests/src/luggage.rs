//! What a virtual machine has besides its first program: programs of this machine, with the libraries that they need at
//! the places where they look for them, and files that a test writes.

use crate::cpio::Archive;
use crate::programs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Luggage {
    /// Bytes and whether they can be run, by their place without the slash before it.
    files: BTreeMap<String, (Vec<u8>, bool)>,
}

impl Luggage {
    /// Nothing.
    pub fn new() -> Luggage {
        Luggage::default()
    }

    /// Adds a program of this machine at `place`, without what only a debugger needs, and its libraries.
    ///
    /// # Panics
    /// If it cannot be read, or `ldd` does not tell what it needs.
    #[must_use]
    pub fn program(mut self, place: &str, program: &Path) -> Luggage {
        self.files.insert(inside(place), (programs::stripped(program), true));
        for library in programs::libraries(program) {
            let bytes = || std::fs::read(&library).unwrap_or_else(|e| panic!("{}: {e}", library.display()));
            self.files.entry(inside(&library.to_string_lossy())).or_insert_with(|| (bytes(), true));
        }
        self
    }

    /// Adds a file with this text.
    #[must_use]
    pub fn text(mut self, place: &str, text: &str) -> Luggage {
        self.files.insert(inside(place), (text.into(), false));
        self
    }

    /// Adds a file of this machine at its own place.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn copy(self, place: &str) -> Luggage {
        let text = std::fs::read_to_string(place).unwrap_or_else(|e| panic!("{place}: {e}"));
        self.text(place, &text)
    }

    /// Adds the files of a folder of this machine at their own places.
    ///
    /// # Panics
    /// If one cannot be read.
    #[must_use]
    pub fn copies(self, folder: &str) -> Luggage {
        let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let files = files.flatten().map(|e| e.path()).filter(|path| path.is_file());
        files.fold(self, |luggage, path| luggage.copy(&path.to_string_lossy()))
    }

    /// Adds a module that the first program of the machine loads.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn module(mut self, module: &Path) -> Luggage {
        let bytes = std::fs::read(module).unwrap_or_else(|e| panic!("{}: {e}", module.display()));
        let name = module.file_name().expect("a file").to_string_lossy();
        self.files.insert(format!("modules/{name}"), (bytes, false));
        self
    }

    /// Packs all of it, behind what is packed already.
    #[must_use]
    pub fn packed(&self, mut archive: Archive) -> Archive {
        let mut folders = BTreeSet::new();
        for place in self.files.keys() {
            folders.extend(Path::new(place).ancestors().skip(1).filter(|folder| *folder != Path::new("")));
        }
        // A set of paths has parents before their children.
        for folder in folders {
            archive = archive.folder(&folder.to_string_lossy());
        }
        for (place, (bytes, can_be_run)) in &self.files {
            archive = if *can_be_run { archive.program(place, bytes) } else { archive.file(place, bytes) };
        }
        archive
    }
}

fn inside(place: &str) -> String {
    place.trim_start_matches('/').to_owned()
}
