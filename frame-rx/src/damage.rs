//! Which part of a picture changed: nothing, everything, or up to 64 rectangles. Never grows, never allocates; when
//! rectangles run out they are joined, so the answer may be too large but never too small. Pure.

use crate::picture::{Rect, Size};

/// Two rectangles become one that is larger than both by at most one in so many.
const HARDLY_LARGER: u64 = 32;
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
    ///
    /// What is there already is not added again, so that no pixel is copied twice as long as there is place for the parts: a
    /// window that is moved changes where it was and where it is, and the two overlap.
    pub fn add(&mut self, rect: Rect) {
        if self.everything || rect.pixels() == 0 {
            return;
        }
        let Some(rect) = self.take_in(rect, HARDLY_LARGER) else { return };
        if self.put_parts(rect) {
            return;
        }
        if self.count < MAX_RECTS {
            self.rects[self.count] = rect;
            self.count += 1;
        } else {
            let around = self.rects.iter().fold(rect, |all, r| all.around(r));
            self.rects[0] = around;
            self.count = 1;
        }
    }

    /// Adds what changed in `other`, and not one pixel more. Whether there was place for it; if not, it is of no use any more.
    #[must_use]
    pub fn merge_exactly(&mut self, other: &Damage) -> bool {
        self.everything |= other.everything;
        self.everything
            || other.rects[..other.count].iter().filter(|r| r.pixels() > 0).all(|rect| {
                let left = self.take_in(*rect, 0);
                left.is_none_or(|rect| self.put_parts(rect))
            })
    }

    /// Takes those away that lie in `rect`, or make one rectangle with it that is larger than both by at most one in
    /// `slack`. What is to be added then; nothing if it is there already.
    fn take_in(&mut self, mut rect: Rect, slack: u64) -> Option<Rect> {
        // Each round takes one away.
        loop {
            let there = &self.rects[..self.count];
            if there.iter().any(|r| r.contains(&rect)) {
                return None;
            }
            let Some(i) = there.iter().position(|r| rect.is_one_with(r, slack)) else { return Some(rect) };
            rect = rect.around(&self.rects[i]);
            self.count -= 1;
            self.rects[i] = self.rects[self.count];
        }
    }

    /// Puts those parts of `rect` in that are not there. Whether there was place; if not, nothing was put in.
    fn put_parts(&mut self, rect: Rect) -> bool {
        let mut parts = Parts::of(rect);
        let is_cut = self.rects[..self.count].iter().all(|there| parts.cut(there, MAX_RECTS - self.count));
        for part in parts.rects().iter().filter(|_| is_cut) {
            self.rects[self.count] = *part;
            self.count += 1;
        }
        is_cut
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

    /// The rectangles in a picture of `size`, cut to it. They overlap only if there are too many to tell apart.
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

/// What is left of a rectangle while others are cut out of it.
struct Parts {
    rects: [Rect; MAX_RECTS],
    count: usize,
}

impl Parts {
    fn of(rect: Rect) -> Parts {
        let mut parts = Parts { rects: [Rect::default(); MAX_RECTS], count: 1 };
        parts.rects[0] = rect;
        parts
    }

    fn rects(&self) -> &[Rect] {
        &self.rects[..self.count]
    }

    /// Cuts `hole` out of each. Whether at most `room` are left; they are of no use if not.
    fn cut(&mut self, hole: &Rect, room: usize) -> bool {
        let mut i = 0;
        while i < self.count {
            let part = self.rects[i];
            if !part.overlaps(hole) {
                i += 1;
                continue;
            }
            self.count -= 1;
            self.rects[i] = self.rects[self.count];
            // Those at the end lie beside the hole, and are met again without effect.
            for left in part.without(hole).into_iter().filter(|r| r.pixels() > 0) {
                let Some(place) = self.rects.get_mut(self.count) else { return false };
                *place = left;
                self.count += 1;
            }
        }
        self.count <= room
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
    fn a_window_that_moves_is_copied_once_where_it_was_and_is() {
        let size = Size::new(1920, 1080);
        for (step_x, step_y, most) in [(3, 2, 1.04), (40, 10, 1.04), (0, 100, 1.0), (200, 150, 1.0), (500, 500, 1.0)] {
            let was = Rect { x: 100, y: 100, width: 400, height: 300 };
            let is = Rect { x: was.x + step_x, y: was.y + step_y, ..was };
            let mut d = Damage::none();
            d.add(was);
            d.add(is);
            let overlap = u64::from(400 - step_x.min(400)) * u64::from(300 - step_y.min(300));
            let touched = (2 * was.pixels() - overlap) as f64;
            let copied = d.pixels(size) as f64;
            assert!(copied >= touched && copied <= touched * most, "{step_x}, {step_y}: {copied} of {touched}");
        }
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
        fn few_rectangles_are_never_copied_twice(rects in prop::collection::vec(any_rect(), 0..7)) {
            // What is joined with something outside of the picture may be larger inside of it.
            let inside = |r: &Rect| Rect::clipped(r.x, r.y, r.width, r.height, SIZE);
            let rects: Vec<Rect> = rects.iter().filter_map(inside).collect();
            let mut d = Damage::none();
            rects.iter().for_each(|r| d.add(*r));
            let union = covered(&d).iter().filter(|c| **c).count() as u64;
            prop_assert_eq!(d.pixels(SIZE), union);
            let mut asked = vec![false; (SIZE.width * SIZE.height) as usize];
            for r in &rects {
                for y in r.y..r.bottom() {
                    (r.x..r.right()).for_each(|x| asked[(y * SIZE.width + x) as usize] = true);
                }
            }
            // Joining may add a little, each time.
            let asked = asked.iter().filter(|c| **c).count() as f64;
            prop_assert!(union as f64 <= asked * 1.35, "{} for {}", union, asked);
        }

        #[test]
        fn an_exact_merge_covers_both_and_nothing_else(
            a in prop::collection::vec(any_rect(), 0..20), b in prop::collection::vec(any_rect(), 0..6),
        ) {
            let mut both = Damage::none();
            a.iter().for_each(|r| both.add(*r));
            let mut other = Damage::none();
            b.iter().for_each(|r| other.add(*r));
            let (ca, cb) = (covered(&both), covered(&other));
            if both.merge_exactly(&other) {
                let union: Vec<bool> = ca.iter().zip(&cb).map(|(a, b)| *a || *b).collect();
                prop_assert_eq!(covered(&both), union);
            } else {
                prop_assert!(a.len() + b.len() > 4, "there was room for {} and {}", a.len(), b.len());
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
