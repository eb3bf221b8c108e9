//! The two ends of one receiver: the feed's, which goes into a thread, and the screen's, which stays with the window or
//! the headless loop. Whoever spawns the thread is `main.rs` or the demo.

use crate::asks::Asks;
use crate::feed::{self, Conditions, Feed, FeedParts, Tell};
use crate::gpu::upload::{Staging, StagingRows};
use crate::pointer::{self, PointerOutlet};
use crate::slots::{self, Outlet, Supply};
use crate::stats::FeedStats;
use crate::wishes::Wishes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use rx_host::signals::{Stop, StopOnDrop};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks whether the program ends before it has a GPU.
const STAGING_LOOK: Duration = Duration::from_millis(100);

/// The screen's end.
#[derive(Debug)]
pub struct ScreenEnd {
    /// Pictures.
    pub pictures: Outlet<StagingRows>,
    /// The pointer.
    pub pointer: PointerOutlet,
    /// How it stands with the guest.
    pub conditions: Conditions,
    /// What is wanted of the feed and of the guest.
    pub wishes: Arc<Wishes>,
    /// What the guest wants of the desktop.
    pub asks: Arc<Asks>,
    /// What the feed counts.
    pub feed: Arc<FeedStats>,
    /// Where the GPU's staging memory is handed to the feed: once, and again with every GPU that takes a lost one's place.
    pub staging: Sender<Staging>,
}

/// The feed's end.
#[derive(Debug)]
pub struct FeedEnd {
    path: PathBuf,
    parts: FeedParts<StagingRows>,
    staging: Receiver<Staging>,
    stop: Stop,
}

/// Both ends for the region at `path`, with so many slots between them.
pub fn connect(path: &Path, supply: Supply, tell: Tell, stop: &Stop) -> (FeedEnd, ScreenEnd) {
    let (intake, pictures) = slots::pair(supply);
    let (pointer_in, pointer) = pointer::pair();
    let (conditions_in, conditions) = feed::conditions();
    let (hand_over, staging) = unbounded();
    let stats = FeedStats::new();
    let (wishes, asks) = (Arc::<Wishes>::default(), Arc::<Asks>::default());
    let parts = FeedParts {
        intake,
        pointer: pointer_in,
        conditions: conditions_in,
        wishes: wishes.clone(),
        asks: asks.clone(),
        stats: stats.clone(),
        tell,
    };
    let feed_end = FeedEnd { path: path.to_owned(), parts, staging, stop: stop.clone() };
    (feed_end, ScreenEnd { pictures, pointer, conditions, wishes, asks, feed: stats, staging: hand_over })
}

impl FeedEnd {
    /// Waits for the GPU, then follows the guest until a stop is asked for. The whole life of the feed's thread; when it
    /// ends, for whatever reason, the program does.
    ///
    /// Blocks.
    pub fn run(self) {
        let _end_together = StopOnDrop(self.stop.clone());
        let mut staging = loop {
            match self.staging.recv_timeout(STAGING_LOOK) {
                Ok(staging) => break staging,
                Err(RecvTimeoutError::Timeout) if !self.stop.is_requested() => {}
                Err(_) => return,
            }
        };
        let newer = self.staging;
        let make_rows = Box::new(move |bytes| {
            while let Ok(newest) = newer.try_recv() {
                staging = newest;
            }
            staging.make(bytes).map_err(|e| e.to_string())
        });
        Feed::new(&self.path, self.parts, make_rows, self.stop).run();
    }
}
