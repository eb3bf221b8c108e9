//! A changed settings file, taken over by a receiver that runs: what cannot be used yet, and a device that is in use already.
//! The devices are alsa-lib's, out of a configuration that the tests change.

use crate::rig::{Running, alone, scream_rx, until};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A receiver with a settings file and alsa-lib's configuration.
struct Scene {
    player: Running,
    settings: PathBuf,
    devices: PathBuf,
    _folder: TempDir,
}

impl Scene {
    fn start(settings: &str, devices: &[&str]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (file, config) = (path("settings.toml"), path("asound.conf"));
        std::fs::write(&file, settings).unwrap();
        write_devices(&config, devices);
        let mut command = scream_rx(folder.path());
        command.env("ALSA_CONFIG_PATH", &config).arg(path("region")).arg("--config").arg(&file);
        let player = Running::start(&mut command, &path("player.log"));
        player.wait_for_line("sound goes to");
        Scene { player, settings: file, devices: config, _folder: folder }
    }

    fn said(&self, words: &str) -> usize {
        self.player.err().matches(words).count()
    }

    /// Waits until `words` were said `times` times in all.
    fn wait_for(&self, words: &str, times: usize) {
        until(words, || (self.said(words) >= times).then_some(()));
    }
}

/// Devices that take everything and play nothing.
fn write_devices(config: &Path, names: &[&str]) {
    let device = |name: &&str| {
        let slave = "slave { pcm { type null } format S16_LE rate 48000 channels 2 }";
        format!("pcm.{name} {{ type plug {slave} hint {{ show on description \"x\" }} }}\n")
    };
    let text: String = names.iter().map(device).collect();
    // Anew, so that alsa-lib sees that it changed.
    let other = config.with_extension("new");
    std::fs::write(&other, text + "ctl.!default { type null }\n").unwrap();
    std::fs::rename(other, config).unwrap();
}

#[test]
fn a_device_that_was_not_there_is_taken_when_it_is_and_that_is_asked_for() {
    let _alone = alone();
    let mut scene = Scene::start("output = \"null\"\n", &["usual"]);
    std::fs::write(&scene.settings, "output = \"alsa\"\ndevice = \"later\"\n").unwrap();
    scene.player.wait_for_line("cannot be used; the old ones stay");
    write_devices(&scene.devices, &["usual", "later"]);
    scene.player.signal("HUP");
    scene.player.wait_for_line("the settings changed: applied");
    scene.player.wait_for_line("sound goes to ALSA device later");
    scene.player.signal("TERM");
    assert_eq!(scene.player.end().code(), Some(0), "{}", scene.player.err());
}

#[test]
fn a_device_that_is_in_use_here_is_not_asked_whether_it_is_free() {
    let _alone = alone();
    let mut scene = Scene::start("output = \"alsa\"\ndevice = \"mine\"\n", &["mine"]);
    // It opens no more, as a card that this very program plays on.
    write_devices(&scene.devices, &["other"]);
    std::fs::write(&scene.settings, "output = \"alsa\"\ndevice = \"mine\"\ntarget = 60\n").unwrap();
    scene.player.wait_for_line("the settings changed: applied");
    write_devices(&scene.devices, &["mine"]);
    scene.wait_for("sound goes to ALSA device mine", 2);
    assert_eq!(scene.said("cannot be used"), 0, "{}", scene.player.err());
    scene.player.signal("TERM");
    assert_eq!(scene.player.end().code(), Some(0), "{}", scene.player.err());
}
