//! How programs end: the exit code, the one line, the hint.

use crate::process::{Ended, Running, command, run};
use std::fs::File;
use std::process::Stdio;

crate::tests!(
    every_failure_has_its_code_its_line_and_its_hint,
    help_and_version_go_to_stdout_and_are_no_failure,
    a_panic_is_told_in_one_line_and_ends_with_three,
    a_backtrace_is_there_for_who_asks,
    a_settings_file_is_found_where_the_user_keeps_it,
    a_reader_that_has_gone_is_no_failure,
    a_full_disk_behind_stdout_is_told,
);

fn fail(how: &str) -> Ended {
    run(command("fail", &[how]))
}

fn every_failure_has_its_code_its_line_and_its_hint() {
    let bug = "hint: this is a bug; please report it with this line\n";
    let cases = [
        ("not", 0, String::new()),
        ("findings", 2, String::new()),
        ("usage", 1, "some-rx: cannot do both\nhint: choose one\n".into()),
        (
            "environment",
            2,
            "some-rx: connecting to the sound server: Connection refused (os error 111)\nhint: start it\n".into(),
        ),
        ("escape", 2, "some-rx: bad \u{fffd}[31m name\nhint: rename\u{fffd} it\n".into()),
        ("system", 2, "some-rx: No such file or directory (os error 2)\n".into()),
        ("bug", 3, format!("some-rx: the impossible happened\n{bug}")),
        (
            "named-config",
            2,
            "some-rx: cannot read the settings: /none.toml does not exist\nhint: make /none.toml, or leave --config out\n"
                .into(),
        ),
        (
            "write",
            2,
            "some-rx: cannot write /nonexistent/out.png: /nonexistent does not exist\n\
             hint: make the directory: mkdir -p /nonexistent\n"
                .into(),
        ),
    ];
    for (how, code, stderr) in cases {
        assert_eq!(fail(how), Ended { code: Some(code), stdout: String::new(), stderr }, "{how}");
    }
    let wrong = fail("--latency soon");
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains("`soon` is not a time; allowed is a number of milliseconds"), "{}", wrong.stderr);
    assert_eq!(fail("--latncy 5").code, Some(1));
}

fn help_and_version_go_to_stdout_and_are_no_failure() {
    let version = fail("--version");
    assert_eq!(version, Ended { code: Some(0), stdout: "some-rx 1.2.3\n".into(), stderr: String::new() });
    let help = fail("--help");
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("--latency <MS>"), "{}", help.stdout);
}

fn a_panic_is_told_in_one_line_and_ends_with_three() {
    for (how, words) in [("panic", "index out of thin air"), ("thread", "far away"), ("guarded", "far away")] {
        let ended = fail(how);
        assert_eq!(ended.code, Some(3), "{how}");
        let [line, hint] = ended.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{}", ended.stderr) };
        assert!(line.starts_with("some-rx: internal error at ") && line.ends_with(words), "{line}");
        assert_eq!(hint, "hint: this is a bug; please report it with this line");
    }
}

fn a_backtrace_is_there_for_who_asks() {
    let mut asked = command("fail", &["panic"]);
    asked.env("RUST_BACKTRACE", "1");
    let ended = run(asked);
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("stack backtrace:"), "{}", ended.stderr);
}

fn a_settings_file_is_found_where_the_user_keeps_it() {
    let home = tempfile::tempdir().unwrap();
    let with = |xdg: Option<&std::path::Path>| {
        let mut c = command("fail", &["config"]);
        c.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        if let Some(xdg) = xdg {
            c.env("XDG_CONFIG_HOME", xdg);
        }
        run(c)
    };
    assert_eq!(with(None).code, Some(0), "a file that nobody named may be missing");
    for (xdg, dir) in [(None, home.path().join(".config")), (Some(home.path().join("xdg")), home.path().join("xdg"))] {
        let file = dir.join("some-rx/config.toml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "latency = 5\n\nlatncy = 6\n").unwrap();
        let ended = with(xdg.as_deref());
        let line =
            format!("some-rx: {}:3:1: there is no setting `latncy`\nhint: did you mean `latency`?\n", file.display());
        assert_eq!((ended.code, ended.stderr), (Some(1), line));
        assert_eq!(with(Some(std::path::Path::new("relative"))).code, Some(1), "a relative path is passed over");
    }
}

fn a_reader_that_has_gone_is_no_failure() {
    for how in ["macro", "function"] {
        let mut c = command("print", &[how]);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        c.stdout(writer);
        drop(reader);
        let mut child = c.spawn().unwrap();
        drop(c);
        let mut stderr = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{how}");
    }
    // And a reader that is there gets it all.
    assert_eq!(Running::start(command("print", &["function"])).end().stdout.len(), 1 << 20);
}

fn a_full_disk_behind_stdout_is_told() {
    for how in ["macro", "function"] {
        let mut c = command("print", &[how]);
        c.stdout(Stdio::from(File::options().write(true).open("/dev/full").unwrap()));
        let output = c.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{how}: {stderr}");
        assert!(stderr.contains("No space left on device"), "{stderr}");
        assert!(stderr.ends_with("\nhint: make room, or send the output elsewhere\n"), "{stderr}");
    }
}
