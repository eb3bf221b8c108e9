//! Which part of a picture changed: nothing, everything, or up to 64 rectangles. Never grows, never allocates; when
//! rectangles run out they are joined, so the answer may be too large but never too small. Pure.

use crate::picture::{Rect, Size};

/// The most rectangles that are told apart. Source: a KVMFR frame carries up to 64.
pub const MAX_RECTS: usize = 64;

/// The changed part of a picture.
#[derive(Clone, Debug)]
pub struct Damage {
    everything: bool,
    count: usize,
    rects: [Rect; MAX_RECTS],
}

impl Default for Damage {
    fn default() -> Self {
        Damage::none()
    }
}

impl Damage {
    /// Nothing changed.
    pub const fn none() -> Damage {
        Damage { everything: false, count: 0, rects: [Rect { x: 0, y: 0, width: 0, height: 0 }; MAX_RECTS] }
    }

    /// Everything changed, whatever the size.
    pub const fn everything() -> Damage {
        Damage { everything: true, ..Damage::none() }
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.everything = false;
        self.count = 0;
    }

    /// From now on everything counts as changed.
    pub fn set_everything(&mut self) {
        self.everything = true;
        self.count = 0;
    }

    /// Whether everything changed.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether nothing changed.
    pub fn is_nothing(&self) -> bool {
        !self.everything && self.count == 0
    }

    /// Adds one rectangle. Cannot fail: when there is no place left, all of them become the one around them.
    pub fn add(&mut self, rect: Rect) {
        if self.everything || rect.pixels() == 0 {
            return;
        }
        let mut kept = 0;
        for i in 0..self.count {
            if self.rects[i].contains(&rect) {
                return;
            }
        }
        for i in 0..self.count {
            if !rect.contains(&self.rects[i]) {
                self.rects[kept] = self.rects[i];
                kept += 1;
            }
        }
        self.count = kept;
        if self.count == MAX_RECTS {
            let around = self.rects.iter().fold(rect, |all, r| all.around(r));
            self.rects[0] = around;
            self.count = 1;
        } else {
            self.rects[self.count] = rect;
            self.count += 1;
        }
    }

    /// Adds what changed in `other`.
    pub fn merge(&mut self, other: &Damage) {
        if other.everything {
            self.set_everything();
        }
        for rect in &other.rects[..other.count] {
            self.add(*rect);
        }
    }

    /// The rectangles in a picture of `size`, cut to it. They may overlap.
    pub fn rects(&self, size: Size) -> impl Iterator<Item = Rect> + '_ {
        let whole = self.everything.then(|| Rect::whole(size)).filter(|r| r.pixels() > 0);
        let parts =
            self.rects[..self.count].iter().filter_map(move |r| Rect::clipped(r.x, r.y, r.width, r.height, size));
        whole.into_iter().chain(parts)
    }

    /// Sorts the rectangles from top to bottom, the order in which a guest writes its rows.
    pub fn sort_by_row(&mut self) {
        self.rects[..self.count].sort_unstable_by_key(|r| (r.y, r.x));
    }

    /// Pixels to copy, overlaps counted twice.
    pub fn pixels(&self, size: Size) -> u64 {
        self.rects(size).map(|r| r.pixels()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size::new(40, 30);

    fn covered(damage: &Damage) -> Vec<bool> {
        let mut map = vec![false; (SIZE.width * SIZE.height) as usize];
        for r in damage.rects(SIZE) {
            for y in r.y..r.bottom() {
                for x in r.x..r.right() {
                    map[(y * SIZE.width + x) as usize] = true;
                }
            }
        }
        map
    }

    fn any_rect() -> impl Strategy<Value = Rect> {
        (0u32..45, 0u32..35, 0u32..20, 0u32..20).prop_map(|(x, y, width, height)| Rect { x, y, width, height })
    }

    #[test]
    fn a_full_damage_covers_a_picture_of_any_size_once() {
        let mut d = Damage::none();
        d.add(Rect::whole(SIZE));
        d.merge(&Damage::everything());
        assert!(d.is_everything());
        assert_eq!(d.rects(SIZE).collect::<Vec<_>>(), [Rect::whole(SIZE)]);
        assert_eq!(d.rects(Size::new(0, 5)).count(), 0);
        d.clear();
        assert!(d.is_nothing());
    }

    #[test]
    fn a_rectangle_inside_another_costs_no_place() {
        let mut d = Damage::none();
        let small = Rect { x: 4, y: 4, width: 2, height: 2 };
        let large = Rect { x: 3, y: 3, width: 9, height: 9 };
        d.add(small);
        d.add(large);
        d.add(small);
        assert_eq!(d.rects(SIZE).collect::<Vec<_>>(), [large]);
    }

    #[test]
    fn rows_come_from_top_to_bottom() {
        let mut d = Damage::none();
        for y in [20, 3, 11] {
            d.add(Rect { x: 1, y, width: 2, height: 2 });
        }
        d.sort_by_row();
        assert_eq!(d.rects(SIZE).map(|r| r.y).collect::<Vec<_>>(), [3, 11, 20]);
    }

    proptest! {
        #[test]
        fn no_changed_pixel_is_ever_forgotten(rects in prop::collection::vec(any_rect(), 0..200)) {
            let mut d = Damage::none();
            for r in &rects {
                d.add(*r);
            }
            d.sort_by_row();
            let map = covered(&d);
            for r in rects.iter().filter_map(|r| Rect::clipped(r.x, r.y, r.width, r.height, SIZE)) {
                for y in r.y..r.bottom() {
                    for x in r.x..r.right() {
                        prop_assert!(map[(y * SIZE.width + x) as usize]);
                    }
                }
            }
        }

        #[test]
        fn a_merge_covers_both(a in prop::collection::vec(any_rect(), 0..70), b in prop::collection::vec(any_rect(), 0..70)) {
            let gather = |rects: &[Rect]| {
                let mut d = Damage::none();
                rects.iter().for_each(|r| d.add(*r));
                d
            };
            let (a, b) = (gather(&a), gather(&b));
            let mut both = a.clone();
            both.merge(&b);
            let (ca, cb, cboth) = (covered(&a), covered(&b), covered(&both));
            for i in 0..cboth.len() {
                prop_assert!(cboth[i] || !(ca[i] || cb[i]));
            }
        }
    }
}
