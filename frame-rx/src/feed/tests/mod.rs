//! The feed against the simulated guest, in memory: a rig of guest, feed and a screen in one thread, and the tests by subject.
//!
//! | file | what is tested |
//! |---|---|
//! | `pictures` | what reaches the slots is what the guest drew |
//! | `traces` | what a desktop does costs little more than what changes on it |
//! | `words` | what the guest says of itself, and is told |
//! | `sessions` | each thing that can be wrong with a region or a session is told, and followed |

mod pictures;
mod sessions;
mod traces;
mod words;

use super::*;
use crate::slots::{self, Outlet};
use shm_proto::guest_sim::lies::LIES;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::pointer::{PointerMode, position_at, shape};
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use shm_proto::kvmfr::{GuestTiming, HdrMetadata, PictureSpec, PixelType, ShapeKind, Version};
use std::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

struct Memory(Vec<u8>);

impl Rows for Memory {
    fn capacity_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&mut self, at_bytes: u64, bytes: &[u8]) -> bool {
        let at = at_bytes as usize;
        self.0.get_mut(at..at + bytes.len()).map(|place| place.copy_from_slice(bytes)).is_some()
    }
}

/// A feed, a guest of its own region, and a screen that keeps a texture, all in one thread.
struct Rig {
    dir: tempfile::TempDir,
    region: Region,
    guest: PictureGuest,
    feed: Feed<Memory>,
    outlet: Outlet<Memory>,
    pointer: crate::pointer::PointerOutlet,
    conditions: Conditions,
    told: mpsc::Receiver<Told>,
    stats: Arc<FeedStats>,
    screen: Vec<u8>,
    shown: Option<crate::picture::PictureFormat>,
    session: u64,
    state: Option<GuestState>,
    states: Vec<&'static str>,
}

fn feed_of(
    path: &Path,
) -> (Feed<Memory>, Outlet<Memory>, crate::pointer::PointerOutlet, Conditions, mpsc::Receiver<Told>) {
    let (intake, outlet) = slots::pair(slots::Supply::Three);
    let (pointer_in, pointer) = crate::pointer::pair();
    let (conditions_in, conditions) = conditions();
    let (tell, told) = mpsc::channel();
    let parts = FeedParts {
        intake,
        pointer: pointer_in,
        conditions: conditions_in,
        wishes: Arc::default(),
        asks: Arc::default(),
        stats: FeedStats::new(),
        tell: Box::new(move |what| tell.send(what).unwrap_or_default()),
    };
    let make_rows: MakeRows<Memory> = Box::new(|bytes| Ok(Memory(vec![0xAB; bytes as usize])));
    let feed = Feed::new(path, parts, make_rows, Stop::new().unwrap());
    (feed, outlet, pointer, conditions, told)
}

impl Rig {
    fn new(config: PictureConfig) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let region = Region::create(&path, config.region_bytes()).unwrap();
        let guest = PictureGuest::start(&region, config, clock::now()).unwrap();
        let (feed, outlet, pointer, conditions, told) = feed_of(&path);
        let stats = feed.parts.stats.clone();
        Rig {
            dir,
            region,
            guest,
            feed,
            outlet,
            pointer,
            conditions,
            told,
            stats,
            screen: Vec::new(),
            shown: None,
            session: 0,
            state: None,
            states: Vec::new(),
        }
    }

    /// Lets guest, feed and screen go on until `done`.
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Rig) -> bool) {
        let end = clock::now() + LONG;
        while !done(self) {
            assert!(clock::now() < end, "{what} did not happen; states: {:?}", self.states);
            self.guest.advance(clock::now()).unwrap();
            self.step();
        }
    }

    fn step(&mut self) {
        let next = self.feed.step(clock::now());
        while let Some(condition) = self.conditions.take() {
            self.states.push(condition.state.name());
            self.session = condition.session;
            if !condition.state.keeps_picture() {
                self.shown = None;
            }
            self.state = Some(condition.state);
        }
        self.fetch();
        if next.is_none() {
            clock::sleep_until(clock::now() + Duration::from_millis(1));
        }
    }

    fn fetch(&mut self) {
        let Some(slot) = self.outlet.take() else { return };
        assert!(slot.session >= self.session, "a picture of session {} in session {}", slot.session, self.session);
        let format = slot.format;
        if self.shown != Some(format) {
            self.shown = Some(format);
            self.screen = vec![0xCD; (format.row_bytes() * format.stored.height) as usize];
        }
        let bytes = format.pixel.slot_bytes();
        for rect in slot.damage.rects(format.stored) {
            for y in rect.y..rect.bottom() {
                let from = (y * format.slot_pitch_bytes() + rect.x * bytes) as usize;
                let to = (y * format.row_bytes() + rect.x * bytes) as usize;
                let len = (rect.width * bytes) as usize;
                self.screen[to..to + len].copy_from_slice(&slot.rows.0[from..from + len]);
            }
        }
        self.outlet.give_back(slot);
    }

    /// The stamp on the screen, after comparing every pixel with the guest's definition of that frame.
    fn checked_stamp(&self) -> Stamp {
        let format = self.shown.expect("a picture");
        let spec = *self.guest.pattern().spec();
        let (w, h) = (format.stored.width, format.stored.height);
        // Pixels of three bytes arrive as four.
        let (narrow, wide) = (format.pixel.source_bytes() as usize, format.pixel.slot_bytes() as usize);
        assert!(self.screen.chunks_exact(wide).all(|p| narrow == wide || p[3] == 255));
        let screen: Vec<u8> = self.screen.chunks_exact(wide).flat_map(|p| &p[..narrow]).copied().collect();
        let row = w as usize * narrow;
        let stamp = read_stamp(&screen, row, spec.pixel_type, (w, h), Edge::Top).expect("a stamp");
        let reference = self.guest.pattern().reference(stamp);
        for y in 0..h as usize {
            let theirs = &reference[y * spec.pitch_bytes as usize..][..row];
            assert!(screen[y * row..][..row] == *theirs, "row {y} of frame {}", stamp.frame);
        }
        stamp
    }

    fn run_frames(&mut self, count: u64) {
        let until = self.stats.copied.get() + count;
        self.run_until("enough frames", |r| r.stats.copied.get() >= until);
        self.fetch();
    }
}

fn config(width: u32, height: u32) -> PictureConfig {
    PictureConfig { rate_hz: 0, ..PictureConfig::new(width, height) }
}
