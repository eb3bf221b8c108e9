//! The simulated guest's cursor: a path and three shapes. Pure.

use crate::kvmfr::ShapeKind;
use crate::kvmfr::producer::ShapeSpec;

/// Which shape the guest shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PointerMode {
    /// None; the cursor is hidden.
    Hidden,
    /// A colour arrow with soft edges.
    #[default]
    Color,
    /// A cross that inverts what is below.
    Monochrome,
    /// A masked square.
    Masked,
    /// One after the other, a new one every 60 moves.
    Cycle,
}

/// Moves after which [`PointerMode::Cycle`] goes on.
pub const CYCLE_MOVES: u32 = 60;

impl PointerMode {
    /// The shape at the `n`th move; nothing while hidden.
    pub fn kind_at(self, n: u32) -> Option<ShapeKind> {
        match self {
            PointerMode::Hidden => None,
            PointerMode::Color => Some(ShapeKind::Color),
            PointerMode::Monochrome => Some(ShapeKind::Monochrome),
            PointerMode::Masked => Some(ShapeKind::MaskedColor),
            PointerMode::Cycle => Some(match n / CYCLE_MOVES % 3 {
                0 => ShapeKind::Color,
                1 => ShapeKind::Monochrome,
                _ => ShapeKind::MaskedColor,
            }),
        }
    }
}

/// Where the corner of the shape is at the `n`th move on a screen of this size. It bounces, and leaves the screen a
/// little on the left and on the top, where positions are negative.
pub fn position_at(n: u32, (width, height): (u32, u32)) -> (i16, i16) {
    let bounce = |step: u32, side: u32| {
        let room = u64::from(side.clamp(1, 30_000));
        let at = u64::from(n) * u64::from(step) % (2 * room);
        // At most 30000 less 8.
        let at = if at < room { at } else { 2 * room - at };
        i16::try_from(at).unwrap_or(i16::MAX) - 8
    };
    (bounce(7, width), bounce(3, height))
}

/// A shape of the given kind, 32 by 32 pixels as seen.
pub fn shape(kind: ShapeKind) -> ShapeSpec {
    const SIDE: u32 = 32;
    let mut pixels = Vec::new();
    let (stored_rows, pitch_bytes) = match kind {
        ShapeKind::Monochrome => (2 * SIDE, SIDE / 8),
        ShapeKind::Color | ShapeKind::MaskedColor => (SIDE, SIDE * 4),
    };
    match kind {
        ShapeKind::Color => {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    // An arrow: opaque inside, half covered along its slope, premultiplied.
                    let covers = match (x.cmp(&y), x + y < SIDE + 6) {
                        (core::cmp::Ordering::Less, true) => 255u8,
                        (core::cmp::Ordering::Equal, true) => 128,
                        _ => 0,
                    };
                    let inner = x > 2 && x + 3 < y;
                    let level = if inner { 255 } else { 40 };
                    let c = (u16::from(covers) * level / 255) as u8;
                    pixels.extend([c, c, c / 2, covers]);
                }
            }
        }
        ShapeKind::Monochrome => {
            let cross = |x: u32, y: u32| x.abs_diff(SIDE / 2) < 2 || y.abs_diff(SIDE / 2) < 2;
            // The AND mask keeps what is below everywhere; the XOR mask inverts it along the cross.
            pixels.resize((SIDE * SIDE / 8) as usize, 0xFF);
            for y in 0..SIDE {
                for byte in 0..SIDE / 8 {
                    pixels.push((0..8).fold(0, |bits, bit| bits << 1 | u8::from(cross(byte * 8 + bit, y))));
                }
            }
        }
        ShapeKind::MaskedColor => {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let border = x.min(y).min(SIDE - 1 - x).min(SIDE - 1 - y) < 4;
                    // The border replaces by orange, the middle inverts.
                    pixels.extend(if border { [0, 128, 255, 0] } else { [255, 255, 255, 255] });
                }
            }
        }
    }
    ShapeSpec { kind, width: SIDE, stored_rows, pitch_bytes, hotspot: (1, 1), pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_as_long_as_they_say() {
        for kind in [ShapeKind::Color, ShapeKind::Monochrome, ShapeKind::MaskedColor] {
            let s = shape(kind);
            assert_eq!(s.pixels.len() as u32, s.pitch_bytes * s.stored_rows, "{kind:?}");
        }
    }

    #[test]
    fn the_path_stays_near_the_screen() {
        for n in (0..100_000).step_by(7).chain([u32::MAX]) {
            let (x, y) = position_at(n, (640, 480));
            assert!((-8..=640).contains(&x) && (-8..=480).contains(&y), "{n}: {x},{y}");
        }
        assert!((0..2000).any(|n| position_at(n, (640, 480)).0 < 0));
    }
}
