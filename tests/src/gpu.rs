//! The software GPU (Mesa's lavapipe): the same pixels on every machine, whatever card is in it.

use crate::require;
use std::path::PathBuf;
use std::process::Command;

/// Lets `command` draw with the software GPU and no other. False, after printing the skip, where it is not installed.
///
/// # Panics
/// If it is not installed and `CI=true`.
pub fn software(command: &mut Command) -> bool {
    let Some(manifest) = manifest() else {
        return require::skip("Mesa's software Vulkan driver is not installed (`make test` installs it)");
    };
    // The second name is what loaders before 1.3.207 know.
    command.env("VK_DRIVER_FILES", &manifest).env("VK_ICD_FILENAMES", &manifest);
    true
}

/// Lets `command` find no GPU at all, not even a software one.
pub fn none(command: &mut Command) {
    command.env("VK_DRIVER_FILES", "/dev/null").env("VK_ICD_FILENAMES", "/dev/null");
}

fn manifest() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    entries
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")))
}
