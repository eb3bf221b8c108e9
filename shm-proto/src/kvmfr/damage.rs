//! Which part of a picture changed: everything, or up to 64 rectangles, clipped to the picture. Pure.

use super::wire::MAX_DAMAGE_RECTS;
use core::ops::Range;

const MAX: usize = MAX_DAMAGE_RECTS as usize;

/// A rectangle in picture pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// The part of it that lies in a picture of `width` by `height`; nothing if that is empty.
    pub fn clipped(self, width: u32, height: u32) -> Option<Rect> {
        let right = self.x.saturating_add(self.width).min(width);
        let bottom = self.y.saturating_add(self.height).min(height);
        let rect =
            Rect { x: self.x, y: self.y, width: right.saturating_sub(self.x), height: bottom.saturating_sub(self.y) };
        (rect.width > 0 && rect.height > 0).then_some(rect)
    }

    /// Its rows.
    pub const fn rows(self) -> Range<u32> {
        self.y..self.y.saturating_add(self.height)
    }

    /// Whether the pixel lies in it.
    pub fn contains(self, x: u32, y: u32) -> bool {
        (self.x..self.x.saturating_add(self.width)).contains(&x) && self.rows().contains(&y)
    }
}

/// What changed since the frame before: everything, or one to 64 rectangles inside the picture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    list: [Rect; MAX],
    // 0 is everything, as in the header.
    count: u8,
}

impl core::fmt::Debug for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.rects() {
            None => f.write_str("Full"),
            Some(rects) => f.debug_list().entries(rects).finish(),
        }
    }
}

impl Damage {
    /// Everything.
    pub const FULL: Damage = Damage { list: [Rect { x: 0, y: 0, width: 0, height: 0 }; MAX], count: 0 };

    /// Clips `rects` to a picture of `width` by `height`. More than 64, or nothing left, is everything.
    pub fn clip(rects: impl IntoIterator<Item = Rect>, width: u32, height: u32) -> Damage {
        let mut kept = Damage::FULL;
        for (seen, rect) in rects.into_iter().enumerate() {
            if seen >= MAX {
                return Damage::FULL;
            }
            let Some(rect) = rect.clipped(width, height) else { continue };
            if let Some(place) = kept.list.get_mut(usize::from(kept.count)) {
                *place = rect;
                kept.count += 1;
            }
        }
        kept
    }

    /// Whether everything changed.
    pub const fn is_full(&self) -> bool {
        self.count == 0
    }

    /// The rectangles; nothing if everything changed.
    pub fn rects(&self) -> Option<&[Rect]> {
        self.list.get(..usize::from(self.count)).filter(|_| !self.is_full())
    }

    /// Ranges of rows that cover the damage of a picture of `rows`, from top to bottom, not touching one another.
    /// Allocates nothing.
    pub fn bands(&self, rows: u32) -> Bands {
        let mut bands = Bands { list: [(0, 0); MAX], count: 0, next: 0 };
        let mut sorted = self.list;
        let list = sorted.get_mut(..usize::from(self.count)).unwrap_or_default();
        if list.is_empty() {
            bands.join(0, rows);
        }
        list.sort_unstable_by_key(|r| r.y);
        for rect in list.iter() {
            bands.join(rect.y.min(rows), rect.rows().end.min(rows));
        }
        bands
    }
}

/// See [`Damage::bands`].
#[derive(Clone, Debug)]
pub struct Bands {
    list: [(u32, u32); MAX],
    count: usize,
    next: usize,
}

impl Bands {
    fn join(&mut self, start: u32, end: u32) {
        if start >= end {
            return;
        }
        if let Some(last) = self.count.checked_sub(1).and_then(|i| self.list.get_mut(i))
            && last.1 >= start
        {
            last.1 = last.1.max(end);
        } else if let Some(place) = self.list.get_mut(self.count) {
            *place = (start, end);
            self.count += 1;
        }
    }
}

impl Iterator for Bands {
    type Item = Range<u32>;

    fn next(&mut self) -> Option<Range<u32>> {
        let band = self.list.get(..self.count)?.get(self.next)?;
        self.next += 1;
        Some(band.0..band.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect { x, y, width, height }
    }

    #[test]
    fn rectangles_are_clipped_and_empty_ones_dropped() {
        let d = Damage::clip([rect(90, 40, 20, 20), rect(100, 0, 1, 1), rect(5, 5, 0, 9)], 100, 50);
        assert_eq!(d.rects(), Some(&[rect(90, 40, 10, 10)][..]));
        let d = Damage::clip([rect(u32::MAX, u32::MAX, u32::MAX, u32::MAX)], 100, 50);
        assert_eq!(d, Damage::FULL, "nothing left says nothing");
        let d = Damage::clip([rect(0, 0, u32::MAX, u32::MAX)], 100, 50);
        assert_eq!(d.rects(), Some(&[rect(0, 0, 100, 50)][..]));
        assert_eq!(Damage::clip([rect(0, 0, 1, 1); 65], 100, 50), Damage::FULL);
        assert_eq!(Damage::clip([rect(0, 0, 1, 1); 64], 100, 50).rects().map(<[Rect]>::len), Some(64));
    }

    #[test]
    fn bands_are_joined_where_they_touch() {
        let d = Damage::clip([rect(0, 30, 1, 5), rect(9, 0, 1, 10), rect(3, 10, 1, 2), rect(0, 34, 1, 9)], 10, 40);
        assert_eq!(d.bands(40).collect::<Vec<_>>(), [0..12, 30..40]);
        assert_eq!(d.bands(11).collect::<Vec<_>>(), vec![0..11]);
        assert_eq!(Damage::FULL.bands(7).collect::<Vec<_>>(), vec![0..7]);
        assert_eq!(Damage::FULL.bands(0).count(), 0);
    }

    proptest! {
        #[test]
        fn every_damaged_row_is_in_one_band_and_no_band_leaves_the_picture(
            rects in prop::collection::vec((0u32..60, 0u32..60, 0u32..60, 0u32..60), 0..70), rows in 0u32..50,
        ) {
            let rects: Vec<Rect> = rects.into_iter().map(|(x, y, w, h)| rect(x, y, w, h)).collect();
            let d = Damage::clip(rects.iter().copied(), 50, 50);
            let bands: Vec<_> = d.bands(rows).collect();
            for pair in bands.windows(2) { prop_assert!(pair[0].end < pair[1].start); }
            for row in 0..rows {
                let hit = d.rects().is_none_or(|r| r.iter().any(|r| r.rows().contains(&row)));
                prop_assert_eq!(hit, bands.iter().any(|b| b.contains(&row)), "row {}", row);
            }
            prop_assert!(bands.iter().all(|b| b.end <= rows && b.start < b.end));
        }
    }
}
