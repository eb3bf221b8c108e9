//! What a user gets who did something wrong, or whose machine lacks something: one line that says what was tried and
//! what happened, one hint that says what to do, and exit code 2; or a receiver that waits and says for what.

use rustix::process::Signal;
use rx_tests::process::{Finished, Running, SOON, Stream, run, tied, until};
use rx_tests::{gpu, guest, place, programs, require};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a receiver does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It waits: the guest may still come and put it right.
    Waits,
    /// It may do either: end with code 2, or wait until the user has put it right.
    WaitsOrEnds,
}

/// A file that is no region of the right kind.
struct Case {
    name: &'static str,
    make: fn(&Path),
    then: Then,
    /// One of these stands in what it says, in any case of letters.
    says: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { name: "missing", make: |_| {}, then: Then::Waits, says: &["waiting for", "start the vm"] },
    Case {
        name: "forbidden",
        make: |path| {
            fs::write(path, vec![0; 1 << 20]).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        },
        then: Then::WaitsOrEnds,
        says: &["no permission"],
    },
    Case {
        name: "directory",
        make: |path| fs::create_dir(path).unwrap(),
        then: Then::WaitsOrEnds,
        says: &["is a directory"],
    },
    Case {
        name: "empty",
        make: |path| {
            File::create(path).unwrap();
        },
        then: Then::Waits,
        says: &["is still empty"],
    },
    Case { name: "tiny", make: |path| fs::write(path, [0; 10]).unwrap(), then: Then::Waits, says: &["only 10 bytes"] },
    Case {
        name: "unwritten",
        make: |path| fs::write(path, vec![0; 4 << 20]).unwrap(),
        then: Then::Waits,
        says: &["nothing is written", "nothing was written"],
    },
    Case {
        name: "foreign",
        make: |path| {
            let mut bytes = vec![0; 4 << 20];
            rx_guest::pattern::fill(3, 0, &mut bytes);
            fs::write(path, bytes).unwrap();
        },
        then: Then::Waits,
        says: &["is not scream's", "something unknown, not a picture"],
    },
    Case {
        name: "foreign-behind-zeros",
        make: |path| {
            let mut bytes = vec![0; 4 << 20];
            rx_guest::pattern::fill(3, 0, &mut bytes[64..]);
            fs::write(path, bytes).unwrap();
        },
        then: Then::Waits,
        says: &["nothing is written", "something without a header (sound that is not playing, perhaps), not a picture"],
    },
];

/// What a receiver is called, and how it is told its file.
#[derive(Clone, Copy, Debug)]
enum Receiver {
    Sound,
    Picture,
}

impl Receiver {
    fn name(self) -> &'static str {
        match self {
            Receiver::Sound => "scream-rx",
            Receiver::Picture => "frame-rx",
        }
    }

    /// A command for `file` that needs no server and no display. `None` where there is no software GPU.
    fn command(self, file: &Path, home: &Path) -> Option<Command> {
        let mut command = unprivileged(&programs::release(self.name()));
        programs::clean(&mut command, home);
        match self {
            Receiver::Sound => command.arg(file).args(["-o", "null"]),
            Receiver::Picture => command.arg("-f").arg(file).arg("--headless"),
        };
        (matches!(self, Receiver::Sound) || gpu::software(&mut command)).then_some(command)
    }
}

/// Runs `program` without root's right to open every file.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() || require::find("setpriv").is_none() {
        return tied(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--bounding-set=-dac_override,-dac_read_search", "--"]).arg(program);
    command
}

/// Whether what a receiver said holds one of `words`, and speaks of nothing that only its authors understand.
fn check_words(said: &str, words: &[&str], case: &str) {
    let lower = said.to_lowercase();
    assert!(words.iter().any(|w| lower.contains(w)), "{case}: says none of {words:?}\n{said}");
    assert!(!lower.contains("panicked") && !lower.contains("rust_backtrace"), "{case}\n{said}");
}

/// Whether an end is one that a user can act on: the last two lines are what went wrong and what to do about it.
fn check_end(done: &Finished, words: &[&str], case: &str) {
    let said = done.err.join("\n");
    assert_eq!(done.status.code(), Some(2), "{case}\n{said}");
    let [.., what, hint] = done.err.as_slice() else { panic!("{case}: too few words\n{said}") };
    assert!(what.contains("-rx: ") && hint.starts_with("hint: "), "{case}: does not say what to do\n{said}");
    check_words(what, words, case);
    assert_eq!(done.out, Vec::<String>::new(), "{case}: words for people on stdout");
    assert!(done.err.len() <= 6, "{case}: more than it takes\n{said}");
}

#[test]
fn every_wrong_file_is_told_in_plain_words() {
    for receiver in [Receiver::Sound, Receiver::Picture] {
        for case in CASES {
            let home = place::folder();
            let path = home.path().join(case.name);
            (case.make)(&path);
            let Some(mut command) = receiver.command(&path, home.path()) else { return };
            let name = format!("{} {}", receiver.name(), case.name);
            check_case(Running::start(&name, &mut command), case, &name);
        }
    }
}

/// Waits until the receiver has said it, then tells it to end if it has not.
fn check_case(mut running: Running, case: &Case, name: &str) {
    let said = |running: &Running| running.lines(Stream::Err).join("\n").to_lowercase();
    let told = || case.says.iter().any(|words| said(&running).contains(words)).then_some(());
    until(&format!("{name}: one of {:?}", case.says), SOON, told, || running.tail());
    if case.then == Then::WaitsOrEnds {
        running.ends_by_itself(Duration::from_millis(500));
    }
    running.signal(Signal::TERM);
    let done = running.finish(SOON);
    if case.then == Then::WaitsOrEnds && done.status.code() == Some(2) {
        return check_end(&done, case.says, name);
    }
    assert_eq!(done.status.code(), Some(0), "{name}\n{}", done.err.join("\n"));
    check_words(&done.err.join("\n"), case.says, name);
}

/// The two files of a VM, mixed up.
#[test]
fn a_region_of_the_other_kind_is_named() {
    for (receiver, task, options, words) in [
        (Receiver::Sound, "picture", &["--mode", "320x240"][..], &["looking glass", "lgmp", "kvmfr", "frame-rx"]),
        (Receiver::Picture, "sound", &["--crash"], &["scream", "scream", "scream", "scream-rx"]),
    ] {
        let home = place::folder();
        let path = home.path().join("region");
        let _guest = guest::start(task, &path, options);
        let Some(mut command) = receiver.command(&path, home.path()) else { return };
        let mut running = Running::start(receiver.name(), &mut command);
        let found = until(
            "the other kind's name",
            SOON,
            || {
                let said = running.lines(Stream::Err).join("\n").to_lowercase();
                // Its own name stands in every line.
                let said = said.replace(receiver.name(), "");
                (words.iter().any(|w| said.contains(w))).then_some(said)
            },
            || running.tail(),
        );
        assert!(!found.contains("panicked"));
        running.signal(Signal::TERM);
        assert!(matches!(running.end(SOON).code(), Some(0 | 2)), "{}", running.tail());
    }
}

#[test]
fn a_version_that_is_not_spoken_is_named_by_its_number() {
    let home = place::folder();
    let path = home.path().join("region");
    drop(guest::start("picture", &path, &["--mode", "320x240"]));
    // The version stands behind the magic. Source: the wire reference of LGMP.
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..8].copy_from_slice(&4u32.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let Some(mut command) = Receiver::Picture.command(&path, home.path()) else { return };
    let mut running = Running::start("frame-rx", &mut command);
    running.line("LGMP 4", SOON);
    running.signal(Signal::TERM);
    assert!(matches!(running.end(SOON).code(), Some(0 | 2)), "{}", running.tail());
}

#[test]
fn a_missing_server_display_or_gpu_is_told_in_plain_words() {
    let home = place::folder();
    let (sound, picture) = (home.path().join("sound"), home.path().join("picture"));
    let _guests = [guest::start("sound", &sound, &[]), guest::start("picture", &picture, &["--mode", "320x240"])];
    let nowhere = home.path().join("nowhere");

    let mut no_server = programs::receiver("scream-rx", home.path());
    no_server.env("PULSE_SERVER", format!("unix:{}", nowhere.display()));
    let done = run("no sound server", no_server.arg(&sound).args(["-o", "pulse"]), SOON);
    check_end(&done, &["pulseaudio", "sound server"], "no sound server");

    let mut no_display = programs::receiver("frame-rx", home.path());
    let done = run("no display", no_display.arg("-f").arg(&picture), SOON);
    check_end(&done, &["display"], "no display");

    let mut no_gpu = programs::receiver("frame-rx", home.path());
    gpu::none(&mut no_gpu);
    let done = run("no GPU", no_gpu.arg("-f").arg(&picture).arg("--headless"), SOON);
    check_end(&done, &["gpu", "vulkan"], "no GPU");
}

/// A command that runs `program` with a file system of 16 KiB over `folder`. `None`, after printing the skip, where
/// mounting is not allowed.
fn on_a_full_disk(program: &Path, folder: &Path) -> Option<Command> {
    let script = format!("mount -t tmpfs -o size=16k none {} && exec \"$0\" \"$@\"", folder.display());
    let root = rustix::process::geteuid().is_root();
    let unshare = || {
        let mut command = tied("unshare");
        command.args(if root { &["-m"][..] } else { &["-r", "-m"] }).args(["--", "sh", "-c", &script]);
        command
    };
    if require::find("unshare").is_none() || !run("unshare", unshare().arg("true"), SOON).status.success() {
        require::skip("this user may not mount a small file system");
        return None;
    }
    let mut command = unshare();
    command.arg(program);
    Some(command)
}

#[test]
fn a_full_disk_is_told_in_plain_words() {
    let home = place::folder();
    let (region, full) = (home.path().join("region"), home.path().join("full"));
    fs::create_dir(&full).unwrap();
    let _guest = guest::start("picture", &region, &["--mode", "640x480"]);
    let png: PathBuf = full.join("out.png");
    let Some(mut command) = on_a_full_disk(&programs::release("frame-rx"), &full) else { return };
    programs::clean(&mut command, home.path());
    if !gpu::software(&mut command) {
        return;
    }
    command.arg("-f").arg(&region).args(["--headless", "--frames", "3", "--screenshot"]).arg(&png);
    let done = run("a full disk", &mut command, SOON);
    check_end(&done, &["no space", "disk is full"], "a full disk");
    assert!(done.err.concat().contains("out.png"), "{:?}", done.err);
}

/// What was recorded before the disk was full is whole, and said.
#[test]
fn a_recording_on_a_full_disk_keeps_what_it_has() {
    let home = place::folder();
    let (region, full) = (home.path().join("region"), home.path().join("full"));
    fs::create_dir(&full).unwrap();
    let _guest = guest::start("picture", &region, &["--mode", "64x48"]);
    // The folder is there for this one command only.
    let Some(mut command) = on_a_full_disk(Path::new("sh"), &full) else { return };
    programs::clean(&mut command, home.path());
    if !gpu::software(&mut command) {
        return;
    }
    let script =
        "\"$0\" --headless --frames 9 -f \"$1\" --record \"$2\" && \"$0\" selftest --gpu software --replay \"$2\"";
    command.args(["-c", script]).arg(programs::release("frame-rx")).arg(&region).arg(full.join("r"));
    let done = run("a recording on a full disk", &mut command, SOON);
    let said = done.err.join("\n");
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("No space left") && said.contains("the first 1 pictures are kept"), "{said}");
    assert!(done.out.iter().any(|line| line.ends_with("frames.rxr: 1 pictures exact")), "{:?}", done.out);
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for (program, arguments) in [
        ("scream-rx", &["--no-such-flag"][..]),
        ("scream-rx", &["-o", "trumpet", "/dev/shm/x"]),
        ("frame-rx", &["--no-such-flag"]),
        ("frame-rx", &["--scale", "sideways"]),
    ] {
        let done = run(program, tied(programs::release(program)).args(arguments), SOON);
        assert_eq!(done.status.code(), Some(1), "{program} {arguments:?}: {:?}", done.err);
        assert!(done.err.iter().any(|l| l.contains(arguments.last().unwrap()) || l.contains(arguments[0])), "{done:?}");
    }
}
