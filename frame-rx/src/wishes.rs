//! What the screen's side wants of the feed: how to turn the picture, and what to tell the guest. Single words, so that the
//! feed looks at them without a lock; the newest wish wins.

use crate::picture::{Rotation, Size};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// No wish of this kind.
const NONE: u64 = u64::MAX;

/// The wishes. Shared by the feed, the window and whoever sends input.
#[derive(Debug)]
pub struct Wishes {
    rotation: AtomicU32,
    window: AtomicU64,
    pointer: AtomicU64,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes { rotation: AtomicU32::new(u32::MAX), window: AtomicU64::new(NONE), pointer: AtomicU64::new(NONE) }
    }
}

impl Wishes {
    /// From now on pictures are turned like this, whatever the guest says; nothing: as it says.
    pub fn turn(&self, rotation: Option<Rotation>) {
        self.rotation.store(rotation.map_or(u32::MAX, Rotation::quarters), Ordering::Relaxed);
    }

    /// How pictures are turned.
    pub fn turned(&self) -> Option<Rotation> {
        match self.rotation.load(Ordering::Relaxed) {
            0 => Some(Rotation::None),
            1 => Some(Rotation::Quarter),
            2 => Some(Rotation::Half),
            3 => Some(Rotation::ThreeQuarters),
            _ => None,
        }
    }

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
    fn the_newest_wish_wins_and_a_point_is_asked_for_once() {
        let wishes = Wishes::default();
        assert_eq!((wishes.turned(), wishes.window(), wishes.take_pointer()), (None, None, None));
        for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
            wishes.turn(Some(rotation));
            assert_eq!(wishes.turned(), Some(rotation));
        }
        wishes.turn(None);
        assert_eq!(wishes.turned(), None);
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
