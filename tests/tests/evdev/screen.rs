//! What a machine needs to show a picture: a software GPU, and an X server without a screen. All of it is this host's.

use super::*;
use rx_tests::require;
use std::path::PathBuf;

const LOADER: &str = "/lib/x86_64-linux-gnu/libvulkan.so.1";
const DRIVERS: &str = "/usr/share/vulkan/icd.d";
const KEYMAPS: &str = "/usr/share/X11/xkb";
/// What the window's toolkit loads by name.
const OF_WINDOWS: [&str; 8] = [
    "libX11.so.6",
    "libX11-xcb.so.1",
    "libXi.so.6",
    "libXcursor.so.1",
    "libXrandr.so.2",
    "libxcb.so.1",
    "libxkbcommon.so.0",
    "libxkbcommon-x11.so.0",
];
/// The memory that all of it needs.
pub const MEMORY: &str = "-m 1400";

/// Adds it; nothing, after the skip was printed, where this host has not got it.
pub fn add_to(luggage: Luggage) -> Option<Luggage> {
    if !require::programs(&["Xvfb", "xkbcomp", "sh", "env"]) {
        return None;
    }
    let manifest = files(Path::new(DRIVERS)).into_iter().find(|path| path.to_string_lossy().contains("lvp_icd"));
    let Some(manifest) = manifest.filter(|_| Path::new(LOADER).exists()) else {
        require::skip("Mesa's software Vulkan driver is not installed where Debian has it");
        return None;
    };
    let text = std::fs::read_to_string(&manifest).expect("the driver's manifest");
    let driver = text.split('"').find(|word| word.ends_with(".so")).expect("the driver's place").to_owned();
    let mut luggage = luggage.copy(&manifest.to_string_lossy());
    luggage = luggage.program(&driver, Path::new(&driver)).program(LOADER, Path::new(LOADER));
    let folder = Path::new(LOADER).parent().expect("a folder");
    for place in OF_WINDOWS.map(|name| folder.join(name)) {
        if place.exists() {
            luggage = luggage.program(&place.to_string_lossy(), &place);
        }
    }
    for (place, name) in
        [("usr/bin/Xvfb", "Xvfb"), ("usr/bin/xkbcomp", "xkbcomp"), ("bin/sh", "sh"), ("bin/env", "env")]
    {
        luggage = luggage.program(place, &require::find(name).expect("a program"));
    }
    Some(files(Path::new(KEYMAPS)).iter().fold(luggage, |luggage, path| luggage.copy(&path.to_string_lossy())))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flatten().map(|entry| entry.path()).flat_map(below).collect()
}
