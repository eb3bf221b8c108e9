//! The commands that forward keyboard and mouse without a picture, as processes of their own. What they do with real
//! devices is tested in a machine that has some (`tests/tests/evdev.rs`); here is what they do without.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

fn frame_rx(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frame-rx"));
    command.env_clear().env("HOME", home).args(words).output().expect("frame-rx")
}

/// A monitor that serves one client and gives all it said.
fn monitor(path: &Path) -> std::thread::JoinHandle<String> {
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let (mut say, mut hear, mut all) = (client.try_clone().unwrap(), BufReader::new(client), String::new());
        say.write_all(b"{\"QMP\":{}}\n").unwrap();
        let mut line = String::new();
        while matches!(hear.read_line(&mut line), Ok(1..)) {
            let id = if line.contains("query-mice") { "mice" } else { "other" };
            let _ = say.write_all(format!("{{\"return\":[{{\"absolute\":false}}],\"id\":\"{id}\"}}\n").as_bytes());
            all.push_str(&line);
            line.clear();
        }
        all
    })
}

#[test]
fn input_without_a_device_connects_waits_and_leaves_the_guest_neutral() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, stats) = (folder.path().join("q"), folder.path().join("s.json"));
    let heard = monitor(&socket);
    let way = format!("qmp:{}", socket.display());
    let none = "class=keys,name=there is none of this name";
    let words = ["input", "--evdev", none, "--input", &way, "--take-at-start", "--seconds", "1", "--input-stats"];
    let done = frame_rx(folder.path(), &[&words[..], &["--stats", stats.to_str().unwrap()]].concat());
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{told}");
    for line in
        ["connected to qmp:", &format!("no device for {none} yet"), "input sink      ", "input devices   0 came"]
    {
        assert!(told.contains(line), "{line} in\n{told}");
    }
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    assert_eq!((&figures["input_captures"], &figures["input_connections"]), (&1.into(), &1.into()), "{figures}");
    assert!(figures["input_heard_us_p99"].is_null(), "{figures}");
    let heard = heard.join().unwrap();
    assert!(heard.contains("\"down\":false") && !heard.contains("\"down\":true"), "{heard}");
}

#[test]
fn a_proxy_without_virtual_devices_says_what_to_do() {
    if Path::new("/dev/uinput").exists() {
        // It would make some, for this machine's desktop to find.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let done = frame_rx(folder.path(), &["input-proxy"]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains("/dev/uinput cannot be opened") && told.contains("modprobe uinput"), "{told}");
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code, line) in [
        (&["input", "--input", "none"][..], 1, "there is no input to forward"),
        (&["input", "--evdev", "event3"], 1, "`event3` is none of auto, a path"),
        (&["input", "--keep-on-host", "hyper"], 1, "there is no key `hyper`"),
        (&["devices", "--live", "--evdev", "name=there is none of this name"], 2, "none of 0 keyboards and mice"),
    ] {
        let done = frame_rx(folder.path(), words);
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(line), "{line} in\n{told}");
    }
}
