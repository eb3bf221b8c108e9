//! The moving test picture. [`Pattern::pixel`] says what every pixel of every frame is; [`Pattern::render_rows`] draws the
//! same fast, so that tests can compare a received picture pixel by pixel with the plain definition.

use super::stamp::{
    Edge, GLYPH_COLUMNS, GLYPH_ROWS, STRIP_COLUMNS, STRIP_ROWS, Stamp, TEXT_COLUMNS, TEXT_LINES, cell, glyph_dot,
    strip_y, text,
};
use crate::kvmfr::{PictureSpec, PixelType, Rect};
use core::ops::Range;

/// What moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Motion {
    /// Nothing: one picture, posted again only for newcomers.
    Still,
    /// A bar, the stamps and the digits: about a third of the rows.
    #[default]
    Bar,
    /// Everything, sideways.
    Scroll,
}

/// Pixels that the scrolling picture moves per frame.
const SCROLL_STEP: u32 = 4;
/// What fills the gap between a row's pixels and its pitch, so that a reader of padding is noticed.
pub const PADDING: u8 = 0xEE;

/// A test picture of one size and format, with the part that never changes already drawn.
#[derive(Clone, Debug)]
pub struct Pattern {
    spec: PictureSpec,
    motion: Motion,
    cell: Option<u32>,
    base: Vec<u8>,
}

impl Pattern {
    /// Draws the fixed part. Allocates one picture.
    pub fn new(spec: PictureSpec, motion: Motion) -> Pattern {
        let bytes = usize::try_from(spec.bytes()).unwrap_or(0);
        let mut base = vec![PADDING; bytes];
        let bpp = spec.pixel_type.bytes_per_pixel() as usize;
        for (y, line) in (0..).zip(base.chunks_exact_mut((spec.pitch_bytes as usize).max(1))) {
            for (x, pixel) in (0..spec.width).zip(line.chunks_exact_mut(bpp)) {
                put(pixel, spec.pixel_type, ramp(&spec, x, y));
            }
        }
        Pattern { cell: cell(spec.width, spec.height), spec, motion, base }
    }

    /// Size and format.
    pub fn spec(&self) -> &PictureSpec {
        &self.spec
    }

    /// What moves.
    pub fn motion(&self) -> Motion {
        self.motion
    }

    /// The frame with this stamp.
    pub fn frame(&self, stamp: Stamp) -> PatternFrame<'_> {
        PatternFrame { pattern: self, bits: stamp.rows(), text: text(stamp), bar: self.bar(stamp.frame), stamp }
    }

    /// Red, green and blue of a pixel of the frame with this stamp. For many pixels take [`Pattern::frame`] once.
    pub fn pixel(&self, stamp: Stamp, x: u32, y: u32) -> [u8; 3] {
        self.frame(stamp).pixel(x, y)
    }

    /// A whole frame by [`PatternFrame::pixel`], rows a pitch apart. Slow; for comparing.
    pub fn reference(&self, stamp: Stamp) -> Vec<u8> {
        let frame = self.frame(stamp);
        let mut picture = vec![PADDING; self.base.len()];
        let bpp = self.spec.pixel_type.bytes_per_pixel() as usize;
        for (y, line) in (0..).zip(picture.chunks_exact_mut((self.spec.pitch_bytes as usize).max(1))) {
            for (x, pixel) in (0..self.spec.width).zip(line.chunks_exact_mut(bpp)) {
                put(pixel, self.spec.pixel_type, frame.pixel(x, y));
            }
        }
        picture
    }

    /// Draws `rows` of a frame into `into`, whose rows are a pitch apart and whose first row is the first of `rows`.
    pub fn render_rows(&self, stamp: Stamp, rows: Range<u32>, into: &mut [u8]) {
        let frame = self.frame(stamp);
        let pitch = (self.spec.pitch_bytes as usize).max(1);
        let lines = self.base.chunks_exact(pitch).skip(rows.start as usize);
        for ((y, base), line) in rows.zip(lines).zip(into.chunks_exact_mut(pitch)) {
            frame.render_base(base, line);
            frame.render_overlays(y, line);
        }
    }

    /// The rows that differ between any two frames, from top to bottom. Everything else never changes.
    pub fn moving_rows(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        let all = 0..self.spec.height;
        let list = match (self.motion, self.cell) {
            (Motion::Scroll, _) => [all, 0..0, 0..0],
            (Motion::Bar, None) => [self.bar(0).rows(), 0..0, 0..0],
            (Motion::Still, None) => [0..0, 0..0, 0..0],
            (motion, Some(cell)) => {
                let bar = if motion == Motion::Bar { self.bar(0).rows() } else { 0..0 };
                let top = 0..self.text_area(cell).rows().end;
                let bottom = self.strip(Edge::Bottom, cell).rows();
                // In a tiny picture they overlap; one range is right then.
                if top.end > bar.start && !bar.is_empty() || bar.end > bottom.start {
                    [all, 0..0, 0..0]
                } else {
                    [top, bar, bottom]
                }
            }
        };
        list.into_iter().filter(|r| !r.is_empty())
    }

    /// What changed from frame `before` to frame `stamp.frame`, honestly. Empty means everything. Allocates a short list.
    pub fn damage(&self, before: u32, stamp: Stamp) -> Vec<Rect> {
        let mut rects = Vec::with_capacity(5);
        if self.motion == Motion::Scroll {
            return rects;
        }
        if let Some(cell) = self.cell {
            rects.extend([self.strip(Edge::Top, cell), self.text_area(cell), self.strip(Edge::Bottom, cell)]);
        }
        if self.motion == Motion::Bar {
            rects.extend([self.bar(before), self.bar(stamp.frame)]);
        }
        rects.retain(|r| r.width > 0 && r.height > 0);
        rects
    }

    fn strip(&self, edge: Edge, cell: u32) -> Rect {
        let y = strip_y(edge, self.spec.height, cell);
        Rect { x: 0, y, width: STRIP_COLUMNS * cell, height: STRIP_ROWS * cell }
    }

    fn text_area(&self, cell: u32) -> Rect {
        let y = (STRIP_ROWS + 1) * cell;
        let bottom = strip_y(Edge::Bottom, self.spec.height, cell);
        Rect {
            x: 0,
            y,
            width: (TEXT_COLUMNS * GLYPH_COLUMNS * cell).min(self.spec.width),
            height: (TEXT_LINES * GLYPH_ROWS * cell).min(bottom.saturating_sub(y)),
        }
    }

    /// The bar of a frame: always wholly inside the picture.
    fn bar(&self, frame: u32) -> Rect {
        let width = (self.spec.width / 48).max(1);
        let step = u64::from((self.spec.width / 120).max(1));
        let room = u64::from(self.spec.width.saturating_sub(width)) + 1;
        // The remainder is below `room`, which fits.
        let x = (u64::from(frame) * step % room) as u32;
        Rect { x, y: self.spec.height / 2, width, height: self.spec.height / 4 }
    }
}

/// One frame of a [`Pattern`].
#[derive(Clone, Copy, Debug)]
pub struct PatternFrame<'p> {
    pattern: &'p Pattern,
    stamp: Stamp,
    bits: [u32; STRIP_ROWS as usize],
    text: [[u8; TEXT_COLUMNS as usize]; TEXT_LINES as usize],
    bar: Rect,
}

impl PatternFrame<'_> {
    /// Red, green and blue of a pixel. The definition everything else is compared with.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        if let Some(cell) = self.pattern.cell {
            for edge in [Edge::Top, Edge::Bottom] {
                let strip = self.pattern.strip(edge, cell);
                if strip.contains(x, y) {
                    return black_or_white(self.bit((x - strip.x) / cell, (y - strip.y) / cell));
                }
            }
            let area = self.pattern.text_area(cell);
            if area.contains(x, y) {
                return black_or_white(self.dot((x - area.x) / cell, (y - area.y) / cell));
            }
        }
        if self.pattern.motion == Motion::Bar && self.bar.contains(x, y) {
            return [255; 3];
        }
        ramp(&self.pattern.spec, self.scrolled(x), y)
    }

    fn bit(&self, column: u32, row: u32) -> bool {
        let bits = self.bits.get(row as usize).copied().unwrap_or(0);
        bits >> (STRIP_COLUMNS - 1 - column.min(STRIP_COLUMNS - 1)) & 1 != 0
    }

    fn dot(&self, column: u32, row: u32) -> bool {
        let line = self.text.get((row / GLYPH_ROWS) as usize);
        let glyph = line.and_then(|l| l.get((column / GLYPH_COLUMNS) as usize)).copied().unwrap_or(b' ');
        glyph_dot(glyph, column % GLYPH_COLUMNS, row % GLYPH_ROWS)
    }

    /// The column of the fixed picture that is shown at column `x`.
    fn scrolled(&self, x: u32) -> u32 {
        let width = u64::from(self.pattern.spec.width);
        if self.pattern.motion != Motion::Scroll || width == 0 {
            return x;
        }
        // The remainder is below the width, which fits.
        ((u64::from(x) + u64::from(self.stamp.frame) * u64::from(SCROLL_STEP)) % width) as u32
    }

    fn render_base(&self, base: &[u8], line: &mut [u8]) {
        let spec = &self.pattern.spec;
        let row_bytes = spec.row_bytes() as usize;
        let shift = self.scrolled(0) as usize * spec.pixel_type.bytes_per_pixel() as usize;
        let (Some(row), Some(padding)) = (base.get(..row_bytes), base.get(row_bytes..)) else { return };
        let (Some(right), Some(left)) = (row.get(shift..), row.get(..shift)) else { return };
        for (at, part) in [(0, right), (right.len(), left), (row_bytes, padding)] {
            if let Some(place) = line.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
    }

    /// The bar first, for strips and digits lie on top of it.
    fn render_overlays(&self, y: u32, line: &mut [u8]) {
        let pattern = self.pattern;
        if pattern.motion == Motion::Bar && self.bar.rows().contains(&y) {
            self.fill(line, self.bar.x, self.bar.width, [255; 3]);
        }
        let Some(cell) = pattern.cell else { return };
        let area = pattern.text_area(cell);
        if area.rows().contains(&y) {
            for column in 0..area.width.div_ceil(cell) {
                let width = cell.min(area.width - column * cell);
                self.fill(line, column * cell, width, black_or_white(self.dot(column, (y - area.y) / cell)));
            }
        }
        // The top strip wins where a tiny picture makes them overlap.
        for edge in [Edge::Bottom, Edge::Top] {
            let strip = pattern.strip(edge, cell);
            if strip.rows().contains(&y) {
                for column in 0..STRIP_COLUMNS {
                    let bit = self.bit(column, (y - strip.y) / cell);
                    self.fill(line, column * cell, cell, black_or_white(bit));
                }
            }
        }
    }

    /// Fills a part of a line with one colour.
    fn fill(&self, line: &mut [u8], x: u32, width: u32, rgb: [u8; 3]) {
        let pixel_type = self.pattern.spec.pixel_type;
        let bpp = pixel_type.bytes_per_pixel() as usize;
        let mut one = [0; 8];
        let Some(one) = one.get_mut(..bpp) else { return };
        put(one, pixel_type, rgb);
        let part = line.get_mut(x as usize * bpp..(x + width) as usize * bpp).unwrap_or_default();
        part.chunks_exact_mut(bpp).for_each(|pixel| pixel.copy_from_slice(one));
    }
}

fn black_or_white(on: bool) -> [u8; 3] {
    if on { [255; 3] } else { [0; 3] }
}

/// The fixed part: red grows to the right, green downwards, and every pixel differs from its neighbours.
fn ramp(spec: &PictureSpec, x: u32, y: u32) -> [u8; 3] {
    let level = |at: u32, side: u32| (u64::from(at) * 255 / u64::from(side.max(2) - 1)).min(255) as u8;
    let fine = (x.wrapping_mul(29) ^ y.wrapping_mul(71)) & 0x3F;
    let square = if (x / 32 + y / 32).is_multiple_of(2) { 0 } else { 0x80 };
    [level(x, spec.width), level(y, spec.height), fine as u8 | square]
}

/// Writes one pixel.
pub fn put(into: &mut [u8], pixel_type: PixelType, [r, g, b]: [u8; 3]) {
    let wide = |v: u8| u32::from(v) << 2 | u32::from(v) >> 6;
    match (pixel_type, into) {
        (PixelType::Bgra, [p0, p1, p2, p3]) => (*p0, *p1, *p2, *p3) = (b, g, r, 255),
        (PixelType::Rgba, [p0, p1, p2, p3]) => (*p0, *p1, *p2, *p3) = (r, g, b, 255),
        (PixelType::Rgba10, into @ [_, _, _, _]) => {
            into.copy_from_slice(&(wide(r) | wide(g) << 10 | wide(b) << 20 | 3 << 30).to_le_bytes());
        }
        (PixelType::Rgba16F, into) => {
            for (place, value) in into.chunks_exact_mut(2).zip([r, g, b, 255]) {
                place.copy_from_slice(&half(value).to_le_bytes());
            }
        }
        (PixelType::Bgr32, [p0, p1, p2]) => (*p0, *p1, *p2) = (b, g, r),
        (PixelType::Rgb24, [p0, p1, p2]) => (*p0, *p1, *p2) = (r, g, b),
        _ => {}
    }
}

/// `value` / 255 as an IEEE half float, rounded down.
fn half(value: u8) -> u16 {
    if value == 0 {
        return 0;
    }
    // The f32 nearest to value / 255 lies between 2^-8 and 1, where halves are normal numbers.
    let bits = (f32::from(value) / 255.0).to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 15;
    let mantissa = bits >> 13 & 0x3FF;
    ((exponent as u32) << 10 | mantissa) as u16
}

#[cfg(test)]
mod tests {
    use super::super::stamp::read_stamp;
    use super::*;

    const SIZES: [(u32, u32); 6] = [(1, 1), (32, 12), (33, 13), (64, 48), (320, 200), (641, 361)];

    #[test]
    fn the_fast_drawing_is_the_defined_one() {
        for pixel_type in PixelType::ALL {
            for (width, height) in SIZES {
                for motion in [Motion::Still, Motion::Bar, Motion::Scroll] {
                    let pattern = Pattern::new(PictureSpec::new(pixel_type, width, height), motion);
                    for frame in [0, 1, 7, 1000, u32::MAX] {
                        let stamp = Stamp { frame, time_ns: u64::from(frame) * 16_666_667 };
                        let expected = pattern.reference(stamp);
                        let mut drawn = vec![0; expected.len()];
                        pattern.render_rows(stamp, 0..height, &mut drawn);
                        assert!(drawn == expected, "{pixel_type} {width}x{height} {motion:?} {frame}");
                    }
                }
            }
        }
    }

    #[test]
    fn damage_and_moving_rows_are_honest() {
        for (width, height) in SIZES {
            for motion in [Motion::Still, Motion::Bar, Motion::Scroll] {
                let pattern = Pattern::new(PictureSpec::new(PixelType::Bgra, width, height), motion);
                for frame in [1u32, 2, 119, 120, 5000] {
                    let stamp = |n: u32| Stamp { frame: n, time_ns: u64::from(n) * 1_000_003 };
                    let damage = pattern.damage(frame - 1, stamp(frame));
                    let rows: Vec<_> = pattern.moving_rows().collect();
                    let (before, after) = (pattern.frame(stamp(frame - 1)), pattern.frame(stamp(frame)));
                    for y in 0..height {
                        for x in 0..width {
                            if before.pixel(x, y) != after.pixel(x, y) {
                                let case = format!("{width}x{height} {motion:?} {frame} at {x},{y}");
                                assert!(damage.is_empty() || damage.iter().any(|r| r.contains(x, y)), "{case}");
                                assert!(rows.iter().any(|r| r.contains(&y)), "{case}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn both_stamps_are_read_back_in_every_format() {
        let stamp = Stamp { frame: 424_242, time_ns: 9_876_543_210 };
        for pixel_type in PixelType::ALL {
            for (width, height) in [(32, 12), (64, 48), (641, 361), (1280, 720)] {
                let spec = PictureSpec::new(pixel_type, width, height);
                let picture = Pattern::new(spec, Motion::Bar).reference(stamp);
                for edge in [Edge::Top, Edge::Bottom] {
                    let read = read_stamp(&picture, spec.pitch_bytes as usize, pixel_type, (width, height), edge);
                    assert_eq!(read, Some(stamp), "{pixel_type} {width}x{height} {edge:?}");
                }
            }
        }
        assert_eq!(read_stamp(&[7; 9000], 128, PixelType::Bgra, (32, 12), Edge::Top), None);
        assert_eq!(read_stamp(&[], 128, PixelType::Bgra, (32, 12), Edge::Top), None);
    }

    #[test]
    fn half_floats_are_right_at_the_ends() {
        assert_eq!((half(0), half(255)), (0, 0x3C00));
        assert!((1..=255).all(|v| half(v) > half(v - 1)));
    }
}
