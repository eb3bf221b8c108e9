//! The files under `packaging/` are true: the system's own tools take them, and they agree with what the programs print.
//! A tool that is not there is a printed skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

fn read(name: &str) -> String {
    let path = packaged(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a tool, or says that it is not there.
fn tool(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(e) => {
            eprintln!("skipped: {:?}: {e}", command.get_program());
            None
        }
    }
}

/// What systemd says of a unit of this manager, `--user` or `--system`.
fn verify_unit(dir: &Path, manager: &str, name: &str, text: &str) -> Option<String> {
    let unit = dir.join(name);
    fs::write(&unit, text).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args([manager, "--man=no", "verify"]).arg(&unit).env("XDG_RUNTIME_DIR", dir);
    let output = tool(&mut command)?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        said.push_str(&output.status.to_string());
    }
    Some(said)
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["scream-rx.service", "scream-rx@.service"] {
        let unit = read(&format!("systemd/{name}"));
        let program = "ExecStart=/usr/bin/scream-rx ";
        assert!(unit.contains(program), "`make install` and `service install` look for this path");
        // Not installed where tests run: any program that is there will do.
        let unit = unit.replace(program, "ExecStart=/bin/true ");
        let Some(said) = verify_unit(dir.path(), "--user", name, &unit) else { return };
        assert_eq!(said, "");
        let misspelt = verify_unit(dir.path(), "--user", name, &unit.replace("RestartSec=", "RestrtSec=")).unwrap();
        assert!(misspelt.contains("RestrtSec"), "the tool would tell: {misspelt:?}");
        fs::remove_file(dir.path().join(name)).unwrap();
    }
}

#[test]
fn systemd_takes_the_openers_units_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let units = ["frame-rx-opener@.service", "frame-rx-opener.socket"];
    let [service, socket] = units.map(|name| read(&format!("systemd/system/{name}")));
    let program = "ExecStart=/usr/bin/frame-rx ";
    assert!(service.contains(program), "`make install` looks for this path");
    let service = service.replace(program, "ExecStart=/bin/true ");
    for (name, text) in units.into_iter().zip([service, socket]) {
        let Some(said) = verify_unit(dir.path(), "--system", name, &text) else { return };
        // Units of the machine that it looks at as well are not ours to judge.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("frame-rx")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        let misspelt = text.replace("SocketMode=", "SoketMode=").replace("RuntimeMaxSec=", "RuntimMaxSec=");
        let told = verify_unit(dir.path(), "--system", name, &misspelt).unwrap();
        assert!(told.contains("SoketMode") || told.contains("RuntimMaxSec"), "the tool would tell: {told:?}");
        fs::write(dir.path().join(name), &text).unwrap();
    }
}

#[test]
fn tmpfiles_takes_the_lines_once_they_are_edited() {
    let text = read("tmpfiles.d/vm-shared-memory.conf");
    let active = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    assert_eq!(active.count(), 0, "nothing happens until a user edits");
    let edited: Vec<_> = text.lines().filter(|line| line.starts_with("#f ")).map(|line| &line[1..]).collect();
    let fields: Vec<Vec<_>> = edited.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        fields,
        [
            ["f", "/dev/shm/looking-glass", "0660", "YOU", "kvm", "-"],
            ["f", "/dev/shm/scream-ivshmem", "0660", "YOU", "kvm", "-"],
        ],
        "the lines that the receivers advise have this form"
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may give files away");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for dir in ["dev/shm", "etc"] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nYOU:x:1000:1000::/:/bin/sh\n").unwrap();
    fs::write(root.path().join("etc/group"), "root:x:0:\nkvm:x:108:YOU\n").unwrap();
    let conf = root.path().join("edited.conf");
    fs::write(&conf, edited.join("\n")).unwrap();
    let mut command = Command::new("systemd-tmpfiles");
    command.arg(format!("--root={}", root.path().display())).arg("--create").arg(&conf);
    let Some(output) = tool(&mut command) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["looking-glass", "scream-ivshmem"] {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(root.path().join("dev/shm").join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (1000, 108, 0o660), "{name}");
    }
}

#[test]
fn the_udev_rule_is_one_line_for_kvmfr() {
    let text = read("udev/70-kvmfr.rules");
    let rules: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let rule = r#"SUBSYSTEM=="kvmfr", KERNEL=="kvmfr[0-9]*", GROUP="kvm", MODE="0660", TAG+="uaccess""#;
    assert_eq!(rules, [rule]);
    let mut command = Command::new("udevadm");
    command.arg("verify").arg(packaged("udev/70-kvmfr.rules"));
    let Some(output) = tool(&mut command) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Before version 254 there is no such verb.
    assert!(output.status.success() || said.contains("Unknown command"), "{said}");
}

#[test]
fn the_desktop_file_has_what_menus_need() {
    let text = read("applications/frame-rx.desktop");
    assert!(text.starts_with("[Desktop Entry]\n"));
    for line in text.lines().skip(1) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
        assert!(!key.is_empty() && !value.is_empty() && key == key.trim() && value == value.trim(), "{line:?}");
    }
    for line in ["Type=Application", "Name=frame-rx", "Exec=frame-rx", "Terminal=false"] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
    let mut command = Command::new("desktop-file-validate");
    command.arg(packaged("applications/frame-rx.desktop"));
    let Some(output) = tool(&mut command) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// All files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    inside.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_package_notes_name_every_file_and_only_files_that_are_there() {
    let notes = read("deb/README.md");
    let words: Vec<_> = notes.split('`').collect();
    for name in words.iter().filter_map(|word| word.strip_prefix("packaging/")) {
        assert!(packaged(name).is_file(), "{name}");
    }
    for file in files(&packaged("")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_named = words.iter().any(|word| word.rsplit('/').next() == Some(name));
        assert!(is_named || name == "README.md", "{name} is in no row");
    }
}
