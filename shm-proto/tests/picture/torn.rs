//! Two real processes on one file: a guest that draws as fast as it can, and a viewer. Whatever was accepted is one frame
//! from the first row to the last.

use crate::screen::Screen;
use shm_proto::guest_sim::lies::Lie;
use shm_proto::guest_sim::pattern::{Motion, Pattern};
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::stamp::Edge;
use shm_proto::{Access, HostTime, Region};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the process that plays the guest: the file and the lie's name, or none.
const CHILD: &str = "RX_TORN_GUEST";
/// No test waits longer than this for the other process.
const BOUND: Duration = Duration::from_secs(120);

fn config() -> PictureConfig {
    let mut config = PictureConfig::new(640, 360);
    config.motion = Motion::Scroll;
    config.rate_hz = 0;
    config.publish = Publish::AtEnd;
    config
}

fn clock() -> impl Fn() -> HostTime {
    let start = Instant::now();
    move || HostTime::from_ns(1_000_000 + start.elapsed().as_nanos() as u64)
}

/// Not a test of its own: the other process. It ends when its standard input does.
#[test]
fn picture_guest_in_a_process_of_its_own() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let (path, lie) = what.split_once('|').expect("file and lie");
    let region = Region::open(Path::new(path), Access::ReadWrite).expect("the file");
    let now = clock();
    let mut guest = PictureGuest::start(&region, config(), now()).expect("room");
    guest.lie(Lie::by_name(lie), now()).expect("a good file");
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        std::process::exit(0);
    });
    let started = Instant::now();
    while started.elapsed() < 2 * BOUND {
        guest.advance(now()).expect("a good file");
        // Without a viewer that takes frames there is nothing to do for a while.
        if guest.next_due(now()) > now() {
            std::thread::yield_now();
        }
    }
}

struct Guest(Child);

impl Guest {
    fn spawn(path: &Path, lie: &str) -> Guest {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "torn::picture_guest_in_a_process_of_its_own", "--nocapture"])
            .env(CHILD, format!("{}|{lie}", path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a second process");
        Guest(child)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Watches until `enough`, checking every accepted frame. Frames accepted and torn.
fn watch(lie: &str, enough: impl Fn(usize, u64) -> bool) -> (usize, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("region");
    let region = Region::create(&path, config().region_bytes()).unwrap();
    let mut screen = Screen::new(&region);
    let pattern = Pattern::new(config().spec, config().motion);
    let _guest = Guest::spawn(&path, lie);
    let now = clock();
    let started = Instant::now();
    let (mut seen, mut last) = (0, 0);
    while !enough(seen, screen.torn) {
        assert!(started.elapsed() < BOUND, "{seen} frames, {} torn, {}", screen.torn, screen.viewer.state());
        screen.frames.clear();
        screen.round(now(), |_| std::thread::yield_now());
        if screen.frames.is_empty() {
            // The guest announces a frame before it draws it. A viewer that came back at once would find every frame
            // unfinished, for ever, where both have a processor of their own; whole ones lie there after a while.
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        seen += 1;
        let (top, bottom) = (screen.stamp(Edge::Top), screen.stamp(Edge::Bottom));
        let stamp = top.expect("a stamp in the first rows");
        assert_eq!(bottom, top, "frame {seen} is of two frames");
        assert!(stamp.frame > last, "frame {} after {last}", stamp.frame);
        last = stamp.frame;
        if seen % 16 == 1 {
            assert!(screen.pixels == pattern.reference(stamp), "a pixel of frame {seen} is of another frame");
        }
    }
    (seen, screen.torn)
}

#[test]
fn picture_of_an_honest_guest_at_full_speed_is_never_torn() {
    let (frames, torn) = watch("none", |frames, _| frames >= 200);
    assert_eq!((frames, torn), (200, 0));
}

#[test]
fn picture_of_a_guest_that_does_not_wait_is_accepted_whole_or_said_to_be_torn() {
    let (frames, torn) = watch("ignores-viewers", |frames, torn| frames >= 100 && torn >= 2);
    assert!(frames >= 100 && torn >= 2, "{frames} {torn}");
}
