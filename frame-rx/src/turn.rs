//! The user's own turn of the picture, on top of the guest's: what it makes of a picture's format, of the pointer's place
//! and of its shape. Always clockwise. Pure.

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
}

const fn swapped(size: Size, turn: Rotation) -> Size {
    if turn.swaps_sides() { Size::new(size.height, size.width) } else { size }
}

/// The same rows, shown turned.
pub const fn format(format: &PictureFormat, turn: Rotation) -> PictureFormat {
    PictureFormat { rotation: format.rotation.plus(turn), desktop: swapped(format.desktop, turn), ..*format }
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
            }
            let f = format(&PictureFormat::upright(Size::new(4, 3), PixelFormat::Bgra8), a);
            assert_eq!((f.shown(), f.desktop), (swapped(Size::new(4, 3), a), swapped(Size::new(4, 3), a)));
        }
    }
}
