//! The terminal that the program was started on: what becomes of it when that is closed.

use crate::rig::{Running, alone, clean, has, scream_rx, until};
use std::path::Path;
use std::process::{Command, Stdio};

/// Waits until the instance `name` answers. Who answered twice has looked at what came before.
fn answers(home: &Path, name: &str) {
    for _ in 0..2 {
        until("an answer", || scream_rx(home).args(["status", name]).output().unwrap().status.success().then_some(()));
    }
}

#[test]
fn a_terminal_that_is_closed_takes_its_program_with_it_and_a_hangup_before_does_not() {
    let _alone = alone();
    if !has("script") {
        return;
    }
    let cases = [
        ("main", "run -o null region", ""),
        ("main", "run -o null region", "nohup"),
        ("demo", "demo -o null --seconds 3600", ""),
    ];
    for (name, arguments, wrapper) in cases {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let program = env!("CARGO_BIN_EXE_scream-rx");
        let mut script = Command::new("script");
        clean(&mut script, home);
        let line = format!("echo $$ >pid; exec {wrapper} {program} {arguments} >out 2>log");
        script.current_dir(home).args(["--quiet", "--command", &line, "/dev/null"]).stdout(Stdio::null());
        let terminal = Running::start(&mut script, &home.join("script.log"));
        answers(home, name);
        let signal = |signal: &str| {
            let sent =
                Command::new("sh").args(["-c", &format!("kill -s {signal} $(cat pid)")]).current_dir(home).status();
            assert!(sent.unwrap().success());
        };
        if name == "main" {
            signal("HUP");
            answers(home, name);
        }
        // As a window that is closed: nobody is told but by the kernel.
        drop(terminal);
        if !wrapper.is_empty() {
            answers(home, name);
            signal("TERM");
        }
        let log = || std::fs::read_to_string(home.join("log")).unwrap();
        until("a clean end", || (log().contains("chunks ") && log().contains("gaps ")).then_some(()));
        until("the end", || (!home.join(format!("scream-rx/{name}.sock")).exists()).then_some(()));
    }
}
