//! The system around a program: another user, limits, a full disk, a service manager, a terminal.

use crate::process::{Ended, command, run, wrapped};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

crate::tests!(
    a_user_without_permission_is_told_the_way_in,
    a_user_without_rights_is_told_what_that_means,
    memory_is_locked_only_where_no_limit_counts,
    a_full_disk_keeps_the_old_file,
    a_limit_on_file_sizes_keeps_the_old_file_and_the_process,
    the_service_manager_hears_each_step_once,
    without_a_service_manager_nothing_is_sent,
    flags_and_environment_choose_what_is_logged,
    the_status_is_a_line_now_and_then_in_a_pipe,
    the_status_stays_in_place_on_a_terminal,
);

/// A user that owns nothing. Source: the kernel's overflow user.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets `command` run as a user that owns nothing, without limits of root. Nothing if that cannot be done here.
fn as_nobody(mut command: Command) -> Option<Command> {
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    // This program, by whatever way: a shell that could be started would not say that it cannot start it.
    let mut reach = Command::new("test");
    reach.arg("-x").arg(std::env::current_exe().unwrap()).uid(NOBODY).gid(NOBODY).current_dir("/");
    let possible = is_root() && reach.status().is_ok_and(|s| s.success());
    if !possible {
        println!("skipped: needs root, and a place that other users can read");
        return None;
    }
    Some(command)
}

fn a_user_without_permission_is_told_the_way_in() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("region");
    fs::write(&path, [0; 64]).unwrap();
    let open = || command("open", &[path.to_str().unwrap()]);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let Some(as_other) = as_nobody(open()) else { return };
    let said = run(as_other).stdout;
    let at = path.display();
    let start =
        format!("no permission to open {at} for reading and writing (it belongs to root:root with mode 0640, and");
    assert!(said.starts_with(&start), "{said}");
    assert!(
        said.contains(&format!("&& sudo chmod 0660 {at}; to keep it so, put this line into /etc/tmpfiles.d/")),
        "{said}"
    );
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let said = run(as_nobody(open()).unwrap()).stdout;
    let ending = format!(": run: sudo chmod o+x {}\n", dir.path().display());
    assert!(said.contains("(the directory ") && said.ends_with(&ending), "{said}");
    assert_eq!(run(open()).stdout, "the shared memory is open, 64 bytes\n", "root may");
}

fn a_user_without_rights_is_told_what_that_means() {
    let limited = |limit: &str| {
        let script = format!("ulimit -r 0; ulimit -l {limit}; exec \"$@\"");
        wrapped(&["sh", "-c", &script, "sh"], "rights", &[])
    };
    // Not every shell's ulimit knows these limits.
    let known = limited("64").status().is_ok_and(|s| s.success());
    let Some(as_other) = as_nobody(if known { limited("64") } else { command("rights", &[]) }) else { return };
    let said = run(as_other).stdout;
    let [thread, memory] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(thread.starts_with("playout thread: "), "{thread}");
    assert!(thread.ends_with("; timer slack 1 ns"), "timers need no rights: {thread}");
    if known {
        assert!(thread.contains("no real-time priority (Operation not permitted"), "{thread}");
        assert_eq!(
            memory,
            "no locked memory (the limit is 64 KiB): may stutter when memory is short; allow it with the line `@audio - \
             memlock unlimited` in /etc/security/limits.d/60-rx.conf and join the group audio"
        );
    }
}

fn memory_is_locked_only_where_no_limit_counts() {
    let said = run(command("locked", &[])).stdout;
    let locked_kib: u64 = said.split_whitespace().filter_map(|word| word.parse().ok()).next_back().unwrap();
    match said.split_once(' ').unwrap().0 {
        "true" => assert!(locked_kib > 0, "{said}"),
        _ => assert_eq!(locked_kib, 0, "{said}"),
    }
}

fn a_full_disk_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let script = "mount -t tmpfs -o size=64k rx-host-test \"$0\" && exec \"$@\"";
    let namespace = if is_root() { "-m" } else { "-rm" };
    let mut probe = Command::new("unshare");
    probe.args([namespace, "sh", "-c", "mount -t tmpfs rx-host-test \"$0\"", at]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("skipped: needs mounts in a namespace of their own (unshare {namespace})");
        return;
    }
    expect_no_space(&run(wrapped(&["unshare", namespace, "sh", "-c", script, at], "full", &[at])), at);
}

fn a_limit_on_file_sizes_keeps_the_old_file_and_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    expect_no_space(&run(wrapped(&["sh", "-c", "ulimit -f 64; exec \"$@\"", "sh"], "full", &[at])), at);
}

#[track_caller]
fn expect_no_space(ended: &Ended, at: &str) {
    let hint = format!("hint: make room or choose another disk; see: df -h {at}\n");
    let expected = format!("some-rx: cannot write {at}/out.png: no space left\n{hint}");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), expected.as_str()));
}

fn the_service_manager_hears_each_step_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut service = command("notify", &[]);
    service.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let ended = run(service);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "true Some(50ms)\n"), "{}", ended.stderr);
    manager.set_nonblocking(true).unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(n) = manager.recv(&mut buffer) {
        heard.push(String::from_utf8(buffer[..n].to_vec()).unwrap());
    }
    // 100 ms of calls, each millisecond, with 50 ms between beats at most: one each 25 ms.
    let beats = heard.iter().filter(|m| *m == "WATCHDOG=1\n").count();
    assert_eq!(beats, 5, "{heard:?}");
    heard.retain(|m| m != "WATCHDOG=1\n");
    let reloading = heard.remove(3);
    let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
    assert!(stamp.parse::<u64>().unwrap() > 0);
    assert_eq!(heard, ["STATUS=opening READY=1\n", "READY=1\n", "STATUS=playing\n", "READY=1\n", "STOPPING=1\n"]);
}

fn without_a_service_manager_nothing_is_sent() {
    assert_eq!(run(command("notify", &[])).stdout, "false None\n");
    let mut lost = command("notify", &[]);
    lost.env("NOTIFY_SOCKET", "/nonexistent/notify");
    let ended = run(lost);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "a manager that is gone is no failure");
}

fn flags_and_environment_choose_what_is_logged() {
    let log = |flags: &[&str], variable: Option<&str>| {
        let mut c = command("log", flags);
        if let Some(value) = variable {
            c.env("RX_LOG", value);
        }
        let ended = run(c);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
        ended.stderr
    };
    let (error, warning) = ("some-rx: error: broken\n", "some-rx: warning: late late_ms=3\n");
    // Escaped by the subscriber already; what it lets through is replaced.
    let guest = "some-rx: guest says \\x1b[2Jtwo\n    some-rx: lines\n";
    assert_eq!(log(&[], None), format!("{error}{warning}some-rx: opened\n{guest}"));
    assert_eq!(log(&["-q"], None), format!("{error}{warning}"));
    assert_eq!(log(&["-qq"], None), error);
    assert_eq!(log(&["-qqq"], None), "");
    assert_eq!(log(&[], Some("off")), "");
    let detailed = log(&["-v"], None);
    assert!(detailed.contains(" scream_rx::sink] detail\n") && !detailed.contains("everything"), "{detailed}");
    assert!(log(&["-vv"], None).contains(" winit] foreign\n"));
    let one = log(&["-q"], Some("off,scream_rx::sink=trace"));
    assert!(one.contains("] everything\n") && !one.contains("guest says"), "{one}");
    let misread = log(&[], Some("loud=er"));
    assert!(misread.starts_with("some-rx: warning: RX_LOG is no level"), "{misread}");
    assert!(misread.contains("some-rx: opened\n"), "{misread}");
}

fn the_status_is_a_line_now_and_then_in_a_pipe() {
    let said = run(command("status", &[])).stderr;
    let lines: Vec<_> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["some-rx: delay 0 ms", "some-rx: delay 10 ms", "some-rx: in between"]);
    assert!(!said.contains(['\r', '\x1b']));
}

/// A terminal, and the side of it that a program has. It is closed when the first is dropped.
pub fn terminal() -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(&name);
    (terminal, side.unwrap())
}

fn the_status_stays_in_place_on_a_terminal() {
    let (terminal, side) = terminal();
    tcsetwinsize(&side, Winsize { ws_row: 24, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut c = command("status", &[]);
    c.stderr(Stdio::from(side)).stdin(Stdio::null());
    let mut child = c.spawn().unwrap();
    drop(c);
    let mut shown = Vec::new();
    // The terminal ends with an error when its last user has gone.
    let _ = File::from(terminal).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    let showings: Vec<_> = shown.split("\r\x1b[K").collect();
    // A line each second (it is the same text in between), a message that wipes it, and the last line stays.
    assert_eq!(showings.len(), 1 + 20 + 1, "{shown:?}");
    assert_eq!(showings[1].trim_end(), "some-rx: delay 0 ms");
    assert!(showings[1..].iter().all(|s| s.trim_end_matches(['\r', '\n']).chars().count() <= 39), "{shown:?}");
    assert_eq!(showings[17], "some-rx: in between\r\n");
    assert!(shown.ends_with("\r\n"), "{shown:?}");
}
