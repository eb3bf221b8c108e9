//! The watch against a real directory. Time is virtual: with notices, 25 ms pass between a change and the poll that must
//! tell it, so that looking again by itself cannot be what found it; without them, half a second.

use super::*;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use tempfile::TempDir;

const NEEDED: u64 = 4096;

struct Rig {
    dir: TempDir,
    watch: RegionWatch,
    now: HostTime,
    step: Duration,
}

impl Rig {
    fn new(below: &str, notices: bool) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = RegionWatch::new(&dir.path().join(below), Access::ReadOnly, NEEDED);
        if !notices {
            watch.notices = None;
        }
        let step = if notices { Duration::from_millis(25) } else { LOOK_EVERY };
        let mut rig = Rig { dir, watch, now: HostTime::from_ns(1_000_000_000), step };
        rig.next();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What is told one step later.
    fn next(&mut self) -> Option<RegionEvent> {
        self.now = self.now + self.step;
        self.watch.poll(self.now)
    }

    /// Expects one event, a state, and then silence.
    #[track_caller]
    fn expect(&mut self, event: RegionEvent, state: &str) {
        assert_eq!((self.next(), self.watch.state().name()), (Some(event), state), "{:?}", self.watch.state());
        assert_eq!(self.next(), None, "told once");
        assert_eq!(self.watch.state().name(), state);
    }
}

fn resize(path: &Path, len: u64) {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap().set_len(len).unwrap();
}

fn both(test: impl Fn(bool)) {
    test(true);
    test(false);
}

#[test]
fn a_file_is_followed_through_its_whole_life() {
    both(|notices| {
        let mut rig = Rig::new("region", notices);
        let path = rig.path("region");
        assert_eq!(rig.watch.state().name(), "absent");
        assert_eq!(rig.next(), None);
        resize(&path, 0);
        rig.expect(RegionEvent::OtherReason, "empty");
        resize(&path, 100);
        rig.expect(RegionEvent::OtherReason, "too-small");
        resize(&path, 1 << 20);
        rig.expect(RegionEvent::Appeared, "ready");
        assert_eq!(rig.watch.state().region().unwrap().len(), 1 << 20);
        resize(&path, 2 << 20);
        rig.expect(RegionEvent::Grown, "ready");
        resize(&path, 1 << 16);
        rig.expect(RegionEvent::Shrunk, "ready");
        assert_eq!(rig.watch.state().region().unwrap().len(), 1 << 16);
        resize(&path, 16);
        rig.expect(RegionEvent::Lost, "too-small");
        resize(&path, 1 << 16);
        rig.expect(RegionEvent::Appeared, "ready");
        fs::remove_file(&path).unwrap();
        rig.expect(RegionEvent::Lost, "gone");
        resize(&path, 1 << 16);
        rig.expect(RegionEvent::Appeared, "ready");
    });
}

#[test]
fn a_file_that_is_replaced_is_mapped_anew() {
    both(|notices| {
        let mut rig = Rig::new("region", notices);
        let (path, other) = (rig.path("region"), rig.path("other"));
        resize(&path, 8192);
        rig.expect(RegionEvent::Appeared, "ready");
        let first = rig.watch.state().region().unwrap().clone();
        resize(&other, 8192);
        fs::rename(&other, &path).unwrap();
        rig.expect(RegionEvent::Replaced, "ready");
        assert_ne!(rig.watch.state().region().unwrap().identity(), first.identity());
        assert!(!first.is_gone(), "whoever holds the old mapping may go on reading it");
        resize(&other, 16384);
        fs::rename(&other, &path).unwrap();
        rig.expect(RegionEvent::Replaced, "ready");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        rig.expect(RegionEvent::Lost, "wrong-kind");
    });
}

#[test]
fn a_mapping_that_broke_is_made_anew_even_if_the_file_looks_the_same() {
    both(|notices| {
        let mut rig = Rig::new("region", notices);
        let path = rig.path("region");
        resize(&path, 8192);
        rig.expect(RegionEvent::Appeared, "ready");
        let region = rig.watch.state().region().unwrap().clone();
        resize(&path, 0);
        assert!(region.whole().read_array::<4>(0).is_err(), "the mapping breaks where it is touched");
        resize(&path, 8192);
        // A broken mapping is a reason to look by itself, so less than a step is enough.
        rig.now = rig.now + LOOK_GAP;
        assert_eq!(rig.watch.poll(rig.now), Some(RegionEvent::Replaced));
        assert!(!rig.watch.state().region().unwrap().is_gone());
    });
}

#[test]
fn directories_are_awaited_too() {
    both(|notices| {
        let mut rig = Rig::new("a/b/region", notices);
        let path = rig.path("a/b/region");
        assert!(rig.watch.state().sentence().contains("there is no directory"), "{}", rig.watch.state().sentence());
        fs::create_dir(rig.path("a")).unwrap();
        rig.expect(RegionEvent::OtherReason, "absent");
        fs::create_dir(rig.path("a/b")).unwrap();
        rig.expect(RegionEvent::OtherReason, "absent");
        resize(&path, 8192);
        rig.expect(RegionEvent::Appeared, "ready");
        fs::remove_dir_all(rig.path("a")).unwrap();
        rig.expect(RegionEvent::Lost, "gone");
        fs::create_dir_all(rig.path("a/b")).unwrap();
        resize(&path, 8192);
        rig.expect(RegionEvent::Appeared, "ready");
        fs::rename(rig.path("a"), rig.path("elsewhere")).unwrap();
        rig.now = rig.now + SURE_EVERY;
        assert_eq!(rig.watch.poll(rig.now), Some(RegionEvent::Lost), "a directory further up is not watched");
    });
}

#[test]
fn what_lies_behind_a_link_is_followed() {
    let mut rig = Rig::new("link", false);
    symlink(rig.path("real"), rig.path("link")).unwrap();
    assert_eq!(rig.next(), None);
    resize(&rig.path("real"), 8192);
    rig.expect(RegionEvent::Appeared, "ready");
    resize(&rig.path("real"), 16384);
    rig.expect(RegionEvent::Grown, "ready");
}

#[test]
fn a_file_is_looked_at_no_more_often_than_fifty_times_a_second() {
    let mut rig = Rig::new("region", true);
    let path = rig.path("region");
    let start = rig.now;
    let mut told = 0;
    // Within one virtual second, a change each millisecond.
    for ms in 1..=1000u64 {
        resize(&path, 8192 + ms * 4096);
        told += usize::from(rig.watch.poll(start + Duration::from_millis(ms)).is_some());
    }
    assert!((40..=50).contains(&told), "{told}");
}

#[test]
fn a_wait_ends_with_an_event_a_stop_or_its_time() {
    const LONG: Duration = Duration::from_secs(3600);
    both(|notices| {
        let mut rig = Rig::new("region", notices);
        let stop = Stop::new().unwrap();
        let path = rig.path("region");
        assert_eq!(rig.watch.wait(Duration::from_millis(1), &stop), None);
        std::thread::scope(|s| {
            s.spawn(|| resize(&path, 8192));
            let mut event = rig.watch.wait(LONG, &stop);
            while event == Some(RegionEvent::OtherReason) {
                event = rig.watch.wait(LONG, &stop);
            }
            assert_eq!(event, Some(RegionEvent::Appeared));
        });
        std::thread::scope(|s| {
            s.spawn(|| stop.request());
            assert_eq!(rig.watch.wait(LONG, &stop), None);
        });
        assert!(stop.is_requested());
    });
}

/// How often this thread went to sleep so far. Source: proc(5).
fn sleeps() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_wait_without_news_sleeps_through() {
    both(|notices| {
        let mut rig = Rig::new("region", notices);
        let stop = Stop::new().unwrap();
        rig.watch.wait(Duration::from_millis(30), &stop);
        let before = sleeps();
        assert_eq!(rig.watch.wait(Duration::from_millis(400), &stop), None);
        // Once or twice; a look every 20 ms would be twenty times.
        assert!(sleeps() - before <= 8, "{}", sleeps() - before);
    });
}

#[test]
fn every_state_has_one_sentence_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    resize(&at("empty"), 0);
    resize(&at("small"), 100);
    resize(&at("large"), 1 << 33);
    resize(&at("good"), 8192);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let cases = [
        (at("none"), "absent", "waiting for ", "start the VM (it creates the file), or pass the right path"),
        (at("no/dir"), "absent", "(there is no directory ", "start the VM"),
        (at("good/below"), "absent", "(there is no directory ", "start the VM"),
        ("/dev/kvmfr999".into(), "absent", "waiting for ", "(sudo modprobe kvmfr static_size_mb=64)"),
        (at("empty"), "empty", "is still empty", "start the VM"),
        (at("small"), "too-small", "has only 100 bytes, at least 4 KiB are needed", "give the VM's ivshmem device"),
        (at("large"), "too-large", "has 8 GiB, more than the 4 GiB", "pass the file of the VM's ivshmem device"),
        (dir.path().into(), "wrong-kind", "is a directory, not shared memory", "pass the file"),
        (at("fifo"), "wrong-kind", "is a named pipe, not shared memory", "pass the file"),
        ("/dev/null".into(), "wrong-kind", "is a device other than kvmfr", "pass the file"),
        (at(&"n".repeat(300)), "failed", "cannot map", "trying again"),
        (at("good"), "ready", "the shared memory is open, 8 KiB", ""),
    ];
    for (path, name, what, to_do) in cases {
        let state = RegionState::open(&path, Access::ReadOnly, NEEDED);
        let sentence = state.sentence();
        assert_eq!(state.name(), name, "{sentence}");
        assert!(sentence.contains(what) && sentence.contains(to_do), "{sentence}");
        assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
    }
    let gone = RegionState::Gone { path: at("gone") }.sentence();
    assert!(gone.contains("was deleted: start the VM again"), "{gone}");
}
