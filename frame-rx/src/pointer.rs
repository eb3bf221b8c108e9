//! Handing the guest's pointer from the feed to the screen: its place in one shared word, its shape through a mailbox in
//! which the newest wins. Nothing is allocated after the start, nothing is locked.

use crate::cursor::{Pointer, Shape};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shapes in circulation: one filled, one waiting, one with the screen.
const SHAPES: usize = 3;

#[derive(Debug)]
struct Shared {
    word: AtomicU64,
    /// Something changed that the screen was told of and has not looked at.
    told: AtomicBool,
}

/// The feed's end.
#[derive(Debug)]
pub struct PointerIntake {
    shared: Arc<Shared>,
    free: Receiver<Box<Shape>>,
    newest: Sender<Box<Shape>>,
    withdraw: Receiver<Box<Shape>>,
    spare: Option<Box<Shape>>,
}

/// The screen's end.
#[derive(Debug)]
pub struct PointerOutlet {
    shared: Arc<Shared>,
    free: Sender<Box<Shape>>,
    newest: Receiver<Box<Shape>>,
}

/// Both ends. Allocates all that will be needed.
pub fn pair() -> (PointerIntake, PointerOutlet) {
    let shared = Arc::new(Shared { word: AtomicU64::new(Pointer::default().pack()), told: AtomicBool::new(false) });
    let (give_back, free) = bounded(SHAPES);
    let (newest, fetch) = bounded(1);
    for _ in 1..SHAPES {
        // There is room: the channel has a place for each shape.
        let _ = give_back.try_send(Box::new(Shape::with_room()));
    }
    let intake = PointerIntake {
        shared: shared.clone(),
        free,
        newest,
        withdraw: fetch.clone(),
        spare: Some(Box::new(Shape::with_room())),
    };
    (intake, PointerOutlet { shared, free: give_back, newest: fetch })
}

impl PointerIntake {
    /// The pointer is here now. Returns whether the screen must be told. Real-time safe.
    pub fn set(&self, pointer: Pointer) -> bool {
        let word = pointer.pack();
        self.shared.word.swap(word, Ordering::SeqCst) != word && self.tell()
    }

    /// Lets `fill` make a new shape and sends it. Returns whether the screen must be told. Real-time safe, if `fill` is.
    ///
    /// # Errors
    /// What `fill` says; the old shape stays.
    pub fn send<E>(&mut self, fill: impl FnOnce(&mut Shape) -> Result<(), E>) -> Result<bool, E> {
        let found = self.spare.take().or_else(|| self.free.try_recv().ok()).or_else(|| self.withdraw.try_recv().ok());
        // One of three is always at hand: the screen holds one, the mailbox one. Else the shape is skipped.
        let Some(mut shape) = found else { return Ok(false) };
        if let Err(error) = fill(&mut shape) {
            self.spare = Some(shape);
            return Err(error);
        }
        while let Err(TrySendError::Full(back)) = self.newest.try_send(shape) {
            shape = back;
            if let Ok(old) = self.withdraw.try_recv() {
                self.spare = Some(old);
            }
        }
        Ok(self.tell())
    }

    fn tell(&self) -> bool {
        !self.shared.told.swap(true, Ordering::SeqCst)
    }
}

impl PointerOutlet {
    /// Where the pointer is. From now on the next change is told.
    pub fn look(&self) -> Pointer {
        self.shared.told.store(false, Ordering::SeqCst);
        Pointer::unpack(self.shared.word.load(Ordering::SeqCst))
    }

    /// Passes the newest shape to `show`, if there is one that was not passed yet.
    pub fn take_shape(&self, show: impl FnOnce(&Shape)) {
        if let Ok(shape) = self.newest.try_recv() {
            show(&shape);
            // There is room: the channel has a place for each shape. A feed that ended needs none.
            let _ = self.free.try_send(shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::CursorKind;
    use crate::picture::Size;

    fn fill(level: u8) -> impl FnOnce(&mut Shape) -> Result<(), crate::cursor::ShapeError> {
        move |shape| shape.set_colour(CursorKind::Blend, Size::new(1, 1), 4, &[level; 4])
    }

    fn taken(outlet: &PointerOutlet) -> Option<u8> {
        let mut level = None;
        outlet.take_shape(|shape| level = Some(shape.bgra[0]));
        level
    }

    #[test]
    fn the_screen_is_told_once_until_it_looks() {
        let (mut intake, outlet) = pair();
        let at = |x| Pointer { x, y: 0, visible: true };
        assert!(intake.set(at(1)));
        assert!(!intake.set(at(2)));
        assert_eq!(intake.send(fill(1)), Ok(false));
        assert_eq!(outlet.look(), at(2));
        assert!(!intake.set(at(2)), "nothing changed");
        assert!(intake.set(at(3)));
    }

    #[test]
    fn the_newest_shape_wins_and_shapes_never_run_out() {
        let (mut intake, outlet) = pair();
        assert_eq!(taken(&outlet), None);
        for level in 0..100 {
            intake.send(fill(level)).unwrap();
        }
        assert_eq!(taken(&outlet), Some(99));
        assert_eq!(taken(&outlet), None);
        for level in 0..100 {
            intake.send(fill(level)).unwrap();
            assert_eq!(taken(&outlet), Some(level));
        }
    }

    #[test]
    fn a_shape_that_cannot_be_made_leaves_the_old_one() {
        let (mut intake, outlet) = pair();
        intake.send(fill(7)).unwrap();
        for _ in 0..10 {
            assert_eq!(intake.send(|_| Err("no")), Err("no"));
        }
        assert_eq!(taken(&outlet), Some(7));
    }

    #[test]
    fn a_feed_and_a_screen_in_two_threads_end_with_the_last_shape() {
        let (mut intake, outlet) = pair();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for n in 0..20_000u32 {
                    intake.send(fill((n % 251) as u8)).unwrap();
                    intake.set(Pointer { x: (n % 1000) as i16, y: 0, visible: n == 19_999 });
                }
            });
            let mut level = None;
            while !outlet.look().visible {
                level = taken(&outlet).or(level);
            }
            level = taken(&outlet).or(level);
            assert_eq!(level, Some((19_999 % 251) as u8));
        });
    }
}
