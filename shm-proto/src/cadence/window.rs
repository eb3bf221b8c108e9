//! Where around a beat to look closely. Its edges follow the lateness of the pictures: so few come before it and so few
//! behind it, as far as the time that looking may take on average allows. If it does not allow to look at all of them, the
//! window is narrowed from its early side: what lies there already when it opens was not waited for. Pure.

/// What looking closely may take of the period, on average: one part of so many.
const BUDGET_PART: i64 = 50;
/// The widest window, in such budgets.
const WIDEST: i64 = 4;
/// The narrowest window. Unit: ns.
const NARROWEST_NS: i64 = 30_000;
/// The share of pictures that may come before the window, of [`WHOLE`]: at least, at most, and by how much it changes.
const BEFORE: core::ops::RangeInclusive<i64> = 50..=480;
const BEFORE_MORE: i64 = 12;
const BEFORE_LESS: i64 = 4;
/// The share of pictures that may come behind it.
const BEHIND: i64 = 60;
const WHOLE: i64 = 1000;
/// An edge moves by this part of the average lateness at a time, but not by less than this. Unit: ns.
const STEP_PART: i64 = 4;
const LEAST_STEP_NS: i64 = 4_000;

/// So many pictures in a row before the window mean that it lies behind all of them.
const LOST: u32 = 6;

/// Where a picture was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It lay there when the window opened.
    Before,
    /// While looking closely.
    Inside,
    /// The window had closed.
    Behind,
}

/// The window. Its edges are relative to the beat. Unit: ns.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    begin_ns: i64,
    end_ns: i64,
    /// What looking closely takes, on average. Unit: ns.
    spent_ns: i64,
    before: i64,
    /// Pictures in a row that lay there when it opened.
    before_in_row: u32,
}

impl Window {
    /// Where it begins and ends.
    pub(super) fn edges_ns(&self) -> (i64, i64) {
        (self.begin_ns, self.end_ns)
    }

    /// Halfway between.
    pub(super) fn middle_ns(&self) -> i64 {
        self.begin_ns.midpoint(self.end_ns)
    }

    /// A picture was found, `arrived_ns` off the beat, after `spent_ns` of looking closely. `off_ns`: how far they are off
    /// on average.
    pub(super) fn learn(&mut self, found: Found, arrived_ns: i64, spent_ns: i64, period_ns: i64, off_ns: i64) {
        if self.begin_ns == self.end_ns {
            (self.begin_ns, self.end_ns, self.before) = (-2 * off_ns, 2 * off_ns, *BEFORE.start());
        }
        let step = (off_ns / STEP_PART).max(LEAST_STEP_NS);
        let toward = |share: i64, is_out: bool| step * (share - if is_out { WHOLE } else { 0 }) / WHOLE;
        // An instant that was really seen also says that an edge is too far out.
        let is_before = found == Found::Before || (found == Found::Inside && arrived_ns < self.begin_ns);
        self.begin_ns += toward(self.before, is_before);
        self.end_ns -= toward(BEHIND, found == Found::Behind || arrived_ns > self.end_ns);
        self.before_in_row = if found == Found::Before { self.before_in_row + 1 } else { 0 };
        if self.before_in_row >= LOST {
            // When they come is not known at all: only by when.
            let width = self.end_ns - self.begin_ns;
            (self.begin_ns, self.end_ns) = (self.begin_ns - width, self.end_ns - width);
        }
        self.spend(spent_ns, period_ns);
    }

    /// A window closed after `spent_ns`, and nothing came.
    pub(super) fn missed(&mut self, spent_ns: i64, period_ns: i64) {
        self.spend(spent_ns, period_ns);
    }

    fn spend(&mut self, spent_ns: i64, period_ns: i64) {
        let budget = period_ns / BUDGET_PART;
        self.spent_ns += (spent_ns.clamp(0, WIDEST * budget) - self.spent_ns) / 8;
        let change = if self.spent_ns > budget { BEFORE_MORE } else { -BEFORE_LESS };
        self.before = (self.before + change).clamp(*BEFORE.start(), *BEFORE.end());
        let widest = (WIDEST * budget).max(NARROWEST_NS);
        self.end_ns = self.end_ns.clamp(-period_ns / 4, period_ns / 4);
        self.begin_ns = self.begin_ns.clamp(self.end_ns - widest, self.end_ns - NARROWEST_NS);
    }
}
