//! Numbers that the guest chose. A [`Guest<T>`] can be looked at for a report, but not calculated with: the way out is
//! a check against limits that are ours, which either gives the plain number or a [`Corrupt`] that is counted.

use core::fmt;
use core::ops::RangeInclusive;

/// A value from memory that the guest writes, taken from a snapshot and not yet checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guest<T>(T);

impl<T: Copy> Guest<T> {
    /// Wraps a value that was decoded from a snapshot of guest memory.
    pub const fn new(value: T) -> Self {
        Guest(value)
    }

    /// The value as it stands, for reports, for comparing two snapshots and for searching. Never for arithmetic, an
    /// index, a length or a loop.
    pub const fn distrusted(self) -> T {
        self.0
    }
}

impl<T: Copy + PartialOrd + Into<u64>> Guest<T> {
    /// The plain value if it lies in `allowed`.
    ///
    /// # Errors
    /// [`Corrupt`] with the field's name, the value and the limits.
    pub fn check(self, field: &'static str, allowed: RangeInclusive<T>) -> Result<T, Corrupt> {
        if allowed.contains(&self.0) {
            Ok(self.0)
        } else {
            let (low, high) = (*allowed.start(), *allowed.end());
            Err(Corrupt { field, value: self.0.into(), allowed: Allowed::Range(low.into(), high.into()) })
        }
    }

    /// The plain value if `rule` holds; `what` says in words what is allowed.
    ///
    /// # Errors
    /// [`Corrupt`] with the field's name, the value and the words.
    pub fn check_that(
        self,
        field: &'static str,
        what: &'static str,
        rule: impl FnOnce(T) -> bool,
    ) -> Result<T, Corrupt> {
        if rule(self.0) {
            Ok(self.0)
        } else {
            Err(Corrupt { field, value: self.0.into(), allowed: Allowed::Words(what) })
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Guest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({:?})", self.0)
    }
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// From the first to the second, both included.
    Range(u64, u64),
    /// A rule in words.
    Words(&'static str),
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Range(low, high) => write!(f, "{low} to {high}"),
            Allowed::Words(words) => f.write_str(words),
        }
    }
}

/// The guest wrote something that makes no sense.
///
/// When: a field of a snapshot is outside the limits. What still works: everything; the snapshot is dropped, counted,
/// and the reader goes on with the next one. Retrying helps when the guest was in the middle of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed is {allowed}")]
pub struct Corrupt {
    /// The field's name, as the protocol reference spells it.
    pub field: &'static str,
    /// What it held.
    pub value: u64,
    /// What it may hold.
    pub allowed: Allowed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_inside_the_limits_comes_out() {
        assert_eq!(Guest::new(8u32).check("channels", 1..=8), Ok(8));
    }

    #[test]
    fn a_value_outside_is_reported_with_its_limits() {
        let e = Guest::new(9u32).check("channels", 1..=8).unwrap_err();
        assert_eq!(e.to_string(), "channels is 9, allowed is 1 to 8");
        let e = Guest::new(17u8).check_that("sample_size", "16, 24 or 32", |v| v % 8 == 0).unwrap_err();
        assert_eq!(e.to_string(), "sample_size is 17, allowed is 16, 24 or 32");
    }
}
