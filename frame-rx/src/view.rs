//! Geometry between the guest's picture and the window: where the picture lies, and which pixel of it is under a point
//! of the window. Whole pixels only, so that nothing is blurred by half a pixel. Pure.

use crate::picture::Size;

/// How the picture fills the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Scale {
    /// As large as fits, shape kept, bars where it does not reach.
    #[default]
    Fit,
    /// The largest whole factor that fits; where not even 1 fits, as fit.
    Integer,
    /// One pixel is one pixel, centred, cut where the window is smaller.
    #[value(name = "1:1")]
    OneToOne,
    /// The whole window, shape lost.
    Stretch,
}

/// Where the picture lies in the window, in window pixels. May reach past the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Size on the window.
    pub size: Size,
}

/// Where a `picture` lies in a `window`. Both in pixels; an empty one of them gives an empty place.
pub fn place(picture: Size, window: Size, scale: Scale) -> Place {
    if picture.is_empty() || window.is_empty() {
        return Place::default();
    }
    let size = match scale {
        Scale::Stretch => window,
        Scale::OneToOne => picture,
        Scale::Fit => fit(picture, window),
        Scale::Integer => match (window.width / picture.width).min(window.height / picture.height) {
            0 => fit(picture, window),
            factor => Size::new(picture.width * factor, picture.height * factor),
        },
    };
    Place { x: centred(size.width, window.width), y: centred(size.height, window.height), size }
}

/// The largest size of the picture's shape inside the window, at least one pixel each way.
fn fit(picture: Size, window: Size) -> Size {
    let (pw, ph) = (u64::from(picture.width), u64::from(picture.height));
    let (ww, wh) = (u64::from(window.width), u64::from(window.height));
    // Rounded to the nearest pixel; the side that decides is exact. Both results are at most the window's side.
    let shrink = |side: u64, by: u64, of: u64, most: u64| {
        let rounded = (side * by + of / 2) / of;
        u32::try_from(rounded.clamp(1, most)).unwrap_or(u32::MAX)
    };
    if pw * wh >= ph * ww {
        Size::new(window.width, shrink(ph, ww, pw, wh))
    } else {
        Size::new(shrink(pw, wh, ph, ww), window.height)
    }
}

/// The near edge of `inner` centred in `outer`; negative where it is larger.
fn centred(inner: u32, outer: u32) -> i32 {
    let gap = i64::from(outer) - i64::from(inner);
    i32::try_from(gap.div_euclid(2)).unwrap_or(0)
}

impl Place {
    /// The point of the picture (in picture pixels, fractions count) under a point of the window; nothing if the
    /// picture is not there. `picture` is the size that this place was made for.
    pub fn window_to_picture(&self, picture: Size, x: f64, y: f64) -> Option<(f64, f64)> {
        if self.size.is_empty() {
            return None;
        }
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let (x, y) = (x - f64::from(self.x), y - f64::from(self.y));
        let inside = x >= 0.0 && y >= 0.0 && x < width && y < height;
        inside.then(|| (x * f64::from(picture.width) / width, y * f64::from(picture.height) / height))
    }

    /// The point of the window at a point of the picture, the way back of [`Place::window_to_picture`].
    pub fn picture_to_window(&self, picture: Size, x: f64, y: f64) -> Option<(f64, f64)> {
        if picture.is_empty() {
            return None;
        }
        let scale_x = f64::from(self.size.width) / f64::from(picture.width);
        let scale_y = f64::from(self.size.height) / f64::from(picture.height);
        Some((x * scale_x + f64::from(self.x), y * scale_y + f64::from(self.y)))
    }

    /// The part of this place that is inside a window: left, top, size. Empty if none is.
    pub fn visible(&self, window: Size) -> (u32, u32, Size) {
        let side = |at: i32, len: u32, limit: u32| {
            let (from, to) = (i64::from(at).max(0), (i64::from(at) + i64::from(len)).min(i64::from(limit)));
            (u32::try_from(from).unwrap_or(0), u32::try_from(to - from).unwrap_or(0))
        };
        let (x, width) = side(self.x, self.size.width, window.width);
        let (y, height) = side(self.y, self.size.height, window.height);
        (x, y, Size::new(width, height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(x: i32, y: i32, width: u32, height: u32) -> Place {
        Place { x, y, size: Size::new(width, height) }
    }

    #[test]
    fn each_way_of_scaling_puts_the_picture_where_the_table_says() {
        let cases = [
            // picture, window, scale, expected
            ((1920, 1080), (1920, 1080), Scale::Fit, at(0, 0, 1920, 1080)),
            ((1920, 1080), (1280, 720), Scale::Fit, at(0, 0, 1280, 720)),
            ((1920, 1080), (1000, 1000), Scale::Fit, at(0, 218, 1000, 563)),
            ((1080, 1920), (1000, 1000), Scale::Fit, at(218, 0, 563, 1000)),
            ((640, 360), (2000, 800), Scale::Fit, at(289, 0, 1422, 800)),
            ((5000, 1), (100, 100), Scale::Fit, at(0, 49, 100, 1)),
            ((640, 360), (2000, 800), Scale::Integer, at(360, 40, 1280, 720)),
            ((640, 360), (1279, 2000), Scale::Integer, at(319, 820, 640, 360)),
            ((640, 360), (320, 200), Scale::Integer, at(0, 10, 320, 180)),
            ((640, 360), (800, 600), Scale::OneToOne, at(80, 120, 640, 360)),
            ((640, 360), (641, 361), Scale::OneToOne, at(0, 0, 640, 360)),
            ((640, 360), (320, 101), Scale::OneToOne, at(-160, -130, 640, 360)),
            ((640, 360), (300, 900), Scale::Stretch, at(0, 0, 300, 900)),
            ((0, 360), (300, 900), Scale::Stretch, Place::default()),
            ((640, 360), (300, 0), Scale::Fit, Place::default()),
        ];
        for ((pw, ph), (ww, wh), scale, expected) in cases {
            let got = place(Size::new(pw, ph), Size::new(ww, wh), scale);
            assert_eq!(got, expected, "{pw}x{ph} in {ww}x{wh} by {scale:?}");
        }
    }

    #[test]
    fn the_bars_beside_the_picture_are_not_the_picture() {
        let picture = Size::new(640, 360);
        let place = place(picture, Size::new(800, 360), Scale::OneToOne);
        assert_eq!(place.window_to_picture(picture, 79.9, 10.0), None);
        assert_eq!(place.window_to_picture(picture, 80.0, 10.0), Some((0.0, 10.0)));
        assert_eq!(place.window_to_picture(picture, 720.0, 10.0), None);
        assert_eq!(place.window_to_picture(picture, 100.0, -0.1), None);
    }

    #[test]
    fn only_the_part_inside_the_window_is_visible() {
        assert_eq!(at(-160, -130, 640, 360).visible(Size::new(320, 100)), (0, 0, Size::new(320, 100)));
        assert_eq!(at(10, 20, 30, 40).visible(Size::new(320, 50)), (10, 20, Size::new(30, 30)));
        assert!(at(400, 0, 30, 40).visible(Size::new(320, 50)).2.is_empty());
    }

    proptest! {
        #[test]
        fn a_fitted_picture_touches_two_sides_and_leaves_none(
            pw in 1u32..9000, ph in 1u32..9000, ww in 1u32..9000, wh in 1u32..9000,
        ) {
            let p = place(Size::new(pw, ph), Size::new(ww, wh), Scale::Fit);
            prop_assert!(p.size.width == ww || p.size.height == wh);
            prop_assert!(p.size.width <= ww && p.size.height <= wh && !p.size.is_empty());
            prop_assert!(p.x >= 0 && p.y >= 0);
        }

        #[test]
        fn there_and_back_is_the_same_point(
            pw in 1u32..5000, ph in 1u32..5000, ww in 1u32..5000, wh in 1u32..5000,
            fx in 0.0f64..1.0, fy in 0.0f64..1.0, which in 0usize..4,
        ) {
            let scale = [Scale::Fit, Scale::Integer, Scale::OneToOne, Scale::Stretch][which];
            let picture = Size::new(pw, ph);
            let p = place(picture, Size::new(ww, wh), scale);
            let (x, y) = (fx * f64::from(pw), fy * f64::from(ph));
            let (wx, wy) = p.picture_to_window(picture, x, y).unwrap();
            if let Some((bx, by)) = p.window_to_picture(picture, wx, wy) {
                prop_assert!((bx - x).abs() < 1e-6 && (by - y).abs() < 1e-6);
            }
        }
    }
}
