//! How pictures are turned: as the guest says, or as the user says, and what that makes of a picture's format, of the
//! pointer's place and shape, and of a point that the user shows. Always clockwise. Pure.

use crate::cursor::{Pointer, Shape};
use crate::picture::{PictureFormat, Rotation, Size};

impl Rotation {
    /// One after the other.
    pub const fn plus(self, other: Rotation) -> Rotation {
        match (self.quarters() + other.quarters()) % 4 {
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            3 => Rotation::ThreeQuarters,
            _ => Rotation::None,
        }
    }

    /// What is left of this one when `other` is taken away.
    pub const fn minus(self, other: Rotation) -> Rotation {
        match (4 + self.quarters() - other.quarters()) % 4 {
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            3 => Rotation::ThreeQuarters,
            _ => Rotation::None,
        }
    }
}

/// What the user wants: pictures as the guest turns them, or all of them in one way, and from there on by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turning {
    fixed: Option<Rotation>,
    more: Rotation,
}

/// How one picture is turned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Its stored rows, to what is shown.
    pub rows: Rotation,
    /// The guest's desktop with its pointer, to what is shown.
    pub desktop: Rotation,
}

impl Turning {
    /// As the guest says, or as `fixed` says whatever the guest does.
    pub const fn new(fixed: Option<Rotation>) -> Turning {
        Turning { fixed, more: Rotation::None }
    }

    /// A quarter more.
    pub fn turn_on(&mut self) {
        self.more = self.more.plus(Rotation::Quarter);
    }

    /// What was turned by [`Turning::turn_on`].
    pub const fn more(&self) -> Rotation {
        self.more
    }

    /// The same, turned on to `more`.
    pub const fn with_more(self, more: Rotation) -> Turning {
        Turning { more, ..self }
    }

    /// What becomes of a picture that the guest wants turned by `guest`.
    ///
    /// Stock guests that stand on their side may say the opposite side (the wire reference, section 3.6). A user who
    /// fixes the other one corrects the guest: then the guest's desktop stands upright in what is shown. Any other
    /// difference turns the desktop along.
    pub const fn on(&self, guest: Rotation) -> Turned {
        let (rows, upright) = match self.fixed {
            None => (guest, guest),
            Some(fixed) if fixed.swaps_sides() && guest.swaps_sides() => (fixed, fixed),
            Some(fixed) => (fixed, guest),
        };
        let rows = rows.plus(self.more);
        Turned { rows, desktop: rows.minus(upright) }
    }
}

impl Turned {
    /// An upright picture, turned by the user alone.
    pub const fn by_user(turn: Rotation) -> Turned {
        Turned { rows: turn, desktop: turn }
    }

    /// The point of the guest's desktop under a point of what is shown. Both in parts of the whole, 0 to 1.
    pub const fn desktop_point(self, x: f64, y: f64) -> (f64, f64) {
        match self.desktop {
            Rotation::None => (x, y),
            Rotation::Quarter => (y, 1.0 - x),
            Rotation::Half => (1.0 - x, 1.0 - y),
            Rotation::ThreeQuarters => (1.0 - y, x),
        }
    }

    /// The motion on the guest's desktop that looks like this one.
    pub const fn desktop_motion(self, dx: f64, dy: f64) -> (f64, f64) {
        match self.desktop {
            Rotation::None => (dx, dy),
            Rotation::Quarter => (dy, -dx),
            Rotation::Half => (-dx, -dy),
            Rotation::ThreeQuarters => (-dy, dx),
        }
    }
}

const fn swapped(size: Size, turn: Rotation) -> Size {
    if turn.swaps_sides() { Size::new(size.height, size.width) } else { size }
}

/// The same rows, shown turned.
pub const fn format(format: &PictureFormat, turned: Turned) -> PictureFormat {
    PictureFormat { rotation: turned.rows, desktop: swapped(format.desktop, turned.desktop), ..*format }
}

/// Where the upper left corner of the turned shape lies on the turned desktop. `shape` and `desktop` are the sizes before
/// the turn.
pub fn pointer(pointer: Pointer, shape: Size, desktop: Size, turn: Rotation) -> Pointer {
    let (x, y) = (i64::from(pointer.x), i64::from(pointer.y));
    let right = i64::from(desktop.width) - x - i64::from(shape.width);
    let below = i64::from(desktop.height) - y - i64::from(shape.height);
    let (x, y) = match turn {
        Rotation::None => (x, y),
        Rotation::Quarter => (below, x),
        Rotation::Half => (right, below),
        Rotation::ThreeQuarters => (y, right),
    };
    let short = |v: i64| i16::try_from(v).unwrap_or(if v < 0 { i16::MIN } else { i16::MAX });
    Pointer { x: short(x), y: short(y), visible: pointer.visible }
}

/// The shape turned.
pub fn shape(shape: &Shape, turn: Rotation) -> Shape {
    let (from, to) = (shape.size, swapped(shape.size, turn));
    let mut bgra = Vec::with_capacity(shape.bgra.len());
    for y in 0..to.height {
        for x in 0..to.width {
            let (sx, sy) = match turn {
                Rotation::None => (x, y),
                Rotation::Quarter => (y, from.height - 1 - x),
                Rotation::Half => (from.width - 1 - x, from.height - 1 - y),
                Rotation::ThreeQuarters => (from.width - 1 - y, x),
            };
            let at = (sy as usize * from.width as usize + sx as usize) * 4;
            bgra.extend_from_slice(shape.bgra.get(at..at + 4).unwrap_or(&[0; 4]));
        }
    }
    Shape { kind: shape.kind, size: to, bgra }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::CursorKind;
    use crate::picture::PixelFormat;

    const TURNS: [Rotation; 4] = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];

    #[test]
    fn four_quarters_are_no_turn() {
        let mut turned = Shape::with_room();
        let bytes: Vec<u8> = (0..24).collect();
        turned.set_colour(CursorKind::Blend, Size::new(3, 2), 12, &bytes).unwrap();
        let first = turned.clone();
        let desktop = Size::new(100, 60);
        let at = Pointer { x: -2, y: 50, visible: true };
        let (mut p, mut d) = (at, desktop);
        for _ in 0..4 {
            p = pointer(p, turned.size, d, Rotation::Quarter);
            d = swapped(d, Rotation::Quarter);
            turned = shape(&turned, Rotation::Quarter);
        }
        assert_eq!((turned, p, d), (first, at, desktop));
    }

    #[test]
    fn a_quarter_turn_brings_the_upper_left_to_the_upper_right() {
        let mut arrow = Shape::with_room();
        arrow.set_colour(CursorKind::Mask, Size::new(2, 1), 8, &[1, 1, 1, 1, 2, 2, 2, 2]).unwrap();
        let turned = shape(&arrow, Rotation::Quarter);
        assert_eq!((turned.size, turned.bgra[0], turned.bgra[4]), (Size::new(1, 2), 1, 2));
        let at = pointer(Pointer { x: 0, y: 0, visible: true }, arrow.size, Size::new(100, 60), Rotation::Quarter);
        assert_eq!((at.x, at.y), (59, 0));
    }

    #[test]
    fn turns_add_up() {
        for a in TURNS {
            for b in TURNS {
                assert_eq!(a.plus(b).quarters(), (a.quarters() + b.quarters()) % 4);
                assert_eq!(a.plus(b).minus(b), a);
            }
            let f = format(&PictureFormat::upright(Size::new(4, 3), PixelFormat::Bgra8), Turned::by_user(a));
            assert_eq!((f.shown(), f.desktop), (swapped(Size::new(4, 3), a), swapped(Size::new(4, 3), a)));
        }
    }

    #[test]
    fn a_key_goes_on_from_where_the_picture_stands() {
        use Rotation::{Half, None as Upright, Quarter, ThreeQuarters};
        // fixed, guest, quarters by key, rows, desktop
        for (fixed, guest, keys, rows, desktop) in [
            (None, Upright, 0, Upright, Upright),
            (None, Quarter, 0, Quarter, Upright),
            (None, Quarter, 1, Half, Quarter),
            (Some(Quarter), Upright, 0, Quarter, Quarter),
            (Some(Quarter), Upright, 1, Half, Half),
            (Some(Quarter), Upright, 3, Upright, Upright),
            (Some(Upright), Quarter, 0, Upright, ThreeQuarters),
            (Some(Half), Quarter, 0, Half, Quarter),
            // The guest was wrong about its side.
            (Some(ThreeQuarters), Quarter, 0, ThreeQuarters, Upright),
            (Some(ThreeQuarters), Quarter, 1, Upright, Quarter),
        ] {
            let mut turning = Turning::new(fixed);
            (0..keys).for_each(|_| turning.turn_on());
            assert_eq!(turning.on(guest), Turned { rows, desktop }, "{fixed:?} {guest:?} {keys}");
            assert_eq!(Turning::new(fixed).with_more(turning.more()), turning);
        }
    }

    #[test]
    fn a_point_shown_is_the_point_of_the_desktop_that_was_turned_there() {
        let (desktop, one) = (Size::new(100, 60), Size::new(1, 1));
        for turn in TURNS {
            let turned = Turned::by_user(turn);
            let shown = swapped(desktop, turn);
            for (x, y) in [(0, 0), (99, 0), (30, 50), (99, 59)] {
                // Where a pointer of one pixel is drawn is where the user would show it.
                let drawn = pointer(Pointer { x, y, visible: true }, one, desktop, turn);
                let part = |at: i16, of: u32| (f64::from(at) + 0.5) / f64::from(of);
                let (u, v) = turned.desktop_point(part(drawn.x, shown.width), part(drawn.y, shown.height));
                let at = ((u * 100.0).floor() as i16, (v * 60.0).floor() as i16);
                assert_eq!(at, (x, y), "{turn:?}");
                let right = pointer(Pointer { x: x + 1, y, visible: true }, one, desktop, turn);
                let moved = (f64::from(right.x - drawn.x), f64::from(right.y - drawn.y));
                assert_eq!(turned.desktop_motion(moved.0, moved.1), (1.0, 0.0), "{turn:?}");
            }
        }
    }
}
