//! What the user wants of the delay, and what each profile makes of it.

/// How much safety is bought with delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The least delay; a gap now and then on a busy host.
    Low,
    /// The default.
    #[default]
    Balanced,
    /// For hosts that stall.
    Safe,
}

impl Profile {
    /// Which share of the chunks may be late without a gap.
    pub(super) const fn quantile(self) -> f64 {
        match self {
            Profile::Low => 0.99,
            Profile::Balanced => 0.999,
            Profile::Safe => 0.9999,
        }
    }

    /// In so many minutes of an hour there may be a gap that a longer delay would have spared.
    pub(super) const fn bad_minutes(self) -> usize {
        match self {
            Profile::Low => 6,
            Profile::Balanced => 2,
            Profile::Safe => 0,
        }
    }

    /// An outlier is hidden, not paid for, if none was for so long. Unit: seconds.
    pub(super) const fn rare_s(self) -> f64 {
        match self {
            Profile::Low | Profile::Balanced => 20.0,
            Profile::Safe => 300.0,
        }
    }

    /// The least reserve for lateness, with which every sound begins until more is known to be needed. Unit: seconds.
    pub(super) const fn least_s(self) -> f64 {
        match self {
            Profile::Low => 0.001,
            Profile::Balanced => 0.003,
            Profile::Safe => 0.010,
        }
    }
}

/// What the user wants of the delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wishes {
    /// How to find it.
    pub profile: Profile,
    /// The whole delay, if the user fixed it. Unit: seconds.
    pub fixed_s: Option<f64>,
    /// More is never held. Unit: seconds.
    pub longest_s: f64,
    /// The least reserve for lateness; large where nobody listens, as for a file. Unit: seconds.
    pub least_reserve_s: f64,
    /// A guest whose clock is up to 5000 ppm off is followed, not only up to 1500.
    pub wide: bool,
    /// The guest's samples reach the sink as they are: no correction of drift but in silence, or by a step.
    pub bit_perfect: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes {
            profile: Profile::default(),
            fixed_s: None,
            longest_s: 0.200,
            least_reserve_s: 0.0,
            wide: false,
            bit_perfect: false,
        }
    }
}
