//! What the screen's side wants of the feed, and wants the guest to be told. Single words, so that the feed looks at them
//! without a lock; the newest wish wins.

use crate::input::stats::InputStats;
use crate::picture::Size;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// No wish of this kind.
const NONE: u64 = u64::MAX;

/// The wishes. Shared by the feed, the window and whoever sends input.
#[derive(Debug)]
pub struct Wishes {
    window: AtomicU64,
    pointer: AtomicU64,
    renewal: AtomicBool,
    stir: AtomicBool,
    /// What counts the keys and buttons that the guest gets, wherever they come from.
    input: OnceLock<Arc<InputStats>>,
    edges_seen: AtomicU64,
}

impl Default for Wishes {
    fn default() -> Self {
        let (renewal, stir) = (AtomicBool::new(false), AtomicBool::new(false));
        let (window, pointer) = (AtomicU64::new(NONE), AtomicU64::new(NONE));
        let (input, edges_seen) = (OnceLock::new(), AtomicU64::new(0));
        Wishes { window, pointer, renewal, stir, input, edges_seen }
    }
}

impl Wishes {
    /// The window has this size now: the guest shall follow it, if it can.
    pub fn follow_window(&self, size: Size) {
        if !size.is_empty() {
            self.window.store(u64::from(size.width) << 32 | u64::from(size.height), Ordering::Relaxed);
        }
    }

    /// The size that the guest shall follow.
    pub fn window(&self) -> Option<Size> {
        let word = self.window.load(Ordering::Relaxed);
        // Both halves fit.
        (word != NONE).then(|| Size::new((word >> 32) as u32, word as u32))
    }

    /// The screen lost its memory: the feed shall use new slots, and ask the guest for its picture again. Releases what was
    /// done before to the feed.
    pub fn renew(&self) {
        self.renewal.store(true, Ordering::Release);
    }

    /// Whether that was wanted since the last call.
    pub fn take_renewal(&self) -> bool {
        self.renewal.load(Ordering::Relaxed) && self.renewal.swap(false, Ordering::Acquire)
    }

    /// The user did something: a picture may follow, and the feed shall not miss it while the guest rests.
    pub fn stir(&self) {
        self.stir.store(true, Ordering::Relaxed);
    }

    /// From now on a key or button that the guest gets counts as something that the user did, also where no window hears
    /// it. The first `input` counts.
    pub fn watch_input(&self, input: Arc<InputStats>) {
        let _ = self.input.set(input);
    }

    /// Whether the user did something since the last call. For one caller, the feed.
    pub fn take_stir(&self) -> bool {
        let edges = self.input.get().map_or(0, |input| input.edges.get());
        let is_new = self.edges_seen.swap(edges, Ordering::Relaxed) != edges;
        self.stir.load(Ordering::Relaxed) && self.stir.swap(false, Ordering::Relaxed) || is_new
    }

    /// The guest shall move its pointer to this point of its desktop, if it can. Negative numbers become 0.
    pub fn move_pointer(&self, x: i32, y: i32) {
        let half = |v: i32| u64::from(v.max(0).unsigned_abs());
        self.pointer.store(half(x) << 32 | half(y), Ordering::Relaxed);
    }

    /// Takes the point, which is asked for once.
    pub fn take_pointer(&self) -> Option<(i32, i32)> {
        if self.pointer.load(Ordering::Relaxed) == NONE {
            return None;
        }
        let word = self.pointer.swap(NONE, Ordering::Relaxed);
        let half = |v: u64| i32::try_from(v & 0xFFFF_FFFF).unwrap_or(i32::MAX);
        (word != NONE).then(|| (half(word >> 32), half(word)))
    }

    /// Gives a point back that could not be told, unless there is a newer one.
    pub fn give_back_pointer(&self, x: i32, y: i32) {
        let half = |v: i32| u64::from(v.max(0).unsigned_abs());
        let word = half(x) << 32 | half(y);
        let _newer = self.pointer.compare_exchange(NONE, word, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_guest_got_is_something_that_the_user_did_whoever_heard_it() {
        let (wishes, input) = (Wishes::default(), InputStats::new());
        assert!(!wishes.take_stir());
        input.edges.add(2);
        wishes.watch_input(input.clone());
        assert_eq!([wishes.take_stir(), wishes.take_stir()], [true, false]);
        input.edges.inc();
        wishes.stir();
        assert_eq!([wishes.take_stir(), wishes.take_stir()], [true, false], "both at once are one");
        input.moves.inc();
        assert!(!wishes.take_stir(), "the guest's pointer tells of motion");
    }

    #[test]
    fn the_newest_wish_wins_and_a_point_is_asked_for_once() {
        let wishes = Wishes::default();
        assert_eq!((wishes.window(), wishes.take_pointer()), (None, None));
        wishes.follow_window(Size::new(640, 480));
        wishes.follow_window(Size::new(0, 480));
        assert_eq!(wishes.window(), Some(Size::new(640, 480)), "a minimised window is not followed");
        wishes.move_pointer(3, 4);
        wishes.move_pointer(-3, i32::MAX);
        assert_eq!((wishes.take_pointer(), wishes.take_pointer()), (Some((0, i32::MAX)), None));
        wishes.give_back_pointer(1, 2);
        wishes.give_back_pointer(3, 4);
        assert_eq!(wishes.take_pointer(), Some((1, 2)), "the one that was there is the newer one");
    }
}
