//! When to move the place in the sound instead of changing its pitch, and by how much. A move is heard as a splice, unless it
//! falls into silence; a change of pitch is not heard but slow. Pure.

/// Errors of the delay that are too long to be worked off by pitch. Unit: seconds.
const FAR_S: f64 = 0.040;
/// They must last so long, and then silence is waited for, but no longer than this. Units: seconds.
const FAR_FOR_S: f64 = 0.2;
const WAIT_FOR_SILENCE_S: f64 = 1.0;
/// Errors that are repaired while the sound is broken anyway, and how soon again. Units: seconds.
const IN_GAP_S: f64 = 0.002;
const IN_GAP_EVERY_S: f64 = 0.1;
/// Errors that are repaired while the first moments are played: the guest's clock is known only roughly when sound begins.
/// Units: seconds.
const AT_START_S: f64 = 0.001;
const START_S: f64 = 0.6;
const START_EVERY_S: f64 = 0.2;
/// Errors that are repaired in silence. Unit: seconds.
const IN_SILENCE_S: f64 = 0.001;
/// The least silence in which the place is moved. Unit: seconds.
pub const SILENCE_S: f64 = 0.010;
/// Errors that are repaired where pitch must not change. Unit: seconds.
const BIT_PERFECT_S: f64 = 0.005;
/// The least time between two moves. Unit: seconds.
const EVERY_S: f64 = 0.5;

/// What is known when the sink asks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Situation {
    /// The delay is so much too long; negative: too short. Unit: seconds.
    pub error_s: f64,
    /// Something is being made up.
    pub in_gap: bool,
    /// It will never come.
    pub lost: bool,
    /// So much of what comes next is digital silence, after as much of it as counts; 0 if not. Unit: seconds.
    pub silence_s: f64,
    /// The pitch must not be changed.
    pub bit_perfect: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Go on.
    None,
    /// Move on by so much (negative: back) with a splice. Unit: seconds.
    Splice(f64),
    /// Leave out (negative: put in) so much silence. Unit: seconds.
    Trim(f64),
}

/// What was decided lately.
#[derive(Clone, Copy, Debug)]
pub struct Steer {
    started_s: f64,
    moved_s: f64,
    far_since_s: Option<f64>,
}

impl Default for Steer {
    fn default() -> Self {
        Steer::new()
    }
}

impl Steer {
    /// Nothing plays yet.
    pub const fn new() -> Steer {
        Steer { started_s: f64::MIN, moved_s: f64::MIN, far_since_s: None }
    }

    /// Sound begins at `now_s`, at the right place as far as that is known.
    pub fn start(&mut self, now_s: f64) {
        *self = Steer { started_s: now_s, moved_s: now_s - START_EVERY_S, far_since_s: None };
    }

    /// What to do at `now_s`.
    ///
    /// Real-time safe.
    pub fn step(&mut self, now_s: f64, s: Situation) -> Step {
        let far = if s.bit_perfect { BIT_PERFECT_S } else { FAR_S };
        let size_s = s.error_s.abs();
        self.far_since_s = if size_s > far { self.far_since_s.or(Some(now_s)) } else { None };
        if s.silence_s > 0.0 && !s.in_gap && size_s > IN_SILENCE_S {
            // All that is missing can be put in, but only what is there can be left out.
            let trim_s = s.error_s.min(s.silence_s);
            if trim_s.abs() > IN_SILENCE_S {
                return self.moved(now_s, Step::Trim(trim_s));
            }
        }
        if s.lost && s.error_s > IN_GAP_S {
            // What is lost may as well be left out.
            return self.moved(now_s, Step::Splice(s.error_s));
        }
        let starting = now_s - self.started_s < START_S;
        let every_s = if starting { START_EVERY_S } else { EVERY_S };
        if now_s - self.moved_s < if s.in_gap { every_s.min(IN_GAP_EVERY_S) } else { every_s } {
            return Step::None;
        }
        let far_for_s = self.far_since_s.map_or(0.0, |since_s| now_s - since_s);
        let due = (s.in_gap && s.error_s < -IN_GAP_S)
            || (starting && size_s > AT_START_S)
            // Whoever is too early is about to starve; whoever is too late can wait for silence.
            || (s.error_s < -far && far_for_s > FAR_FOR_S)
            || (s.error_s > far && far_for_s > FAR_FOR_S + WAIT_FOR_SILENCE_S);
        if due { self.moved(now_s, Step::Splice(s.error_s)) } else { Step::None }
    }

    fn moved(&mut self, now_s: f64, step: Step) -> Step {
        (self.moved_s, self.far_since_s) = (now_s, None);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Situation = Situation { error_s: 0.0, in_gap: false, lost: false, silence_s: 0.0, bit_perfect: false };

    /// When the first step comes and what it is, if `situation` lasts from second 10 on; asked each 5 ms, started at 0.
    fn first(situation: Situation) -> Option<(f64, Step)> {
        let mut steer = Steer::new();
        steer.start(0.0);
        (0..1000).map(|k| 10.0 + f64::from(k) * 0.005).find_map(|now_s| match steer.step(now_s, situation) {
            Step::None => None,
            step => Some((now_s, step)),
        })
    }

    #[test]
    fn each_error_is_repaired_where_it_is_heard_least() {
        let off = |error_s| Situation { error_s, ..OFF };
        for (situation, expected) in [
            (off(0.039), None),
            (off(-0.039), None),
            (off(0.050), Some((11.205, Step::Splice(0.050)))),
            (off(-0.050), Some((10.205, Step::Splice(-0.050)))),
            (Situation { in_gap: true, ..off(-0.003) }, Some((10.0, Step::Splice(-0.003)))),
            (Situation { in_gap: true, ..off(0.003) }, None),
            (Situation { in_gap: true, lost: true, ..off(0.003) }, Some((10.0, Step::Splice(0.003)))),
            (Situation { in_gap: true, lost: true, ..off(0.001) }, None),
            (Situation { silence_s: 0.015, ..off(0.050) }, Some((10.0, Step::Trim(0.015)))),
            (Situation { silence_s: 0.015, ..off(0.003) }, Some((10.0, Step::Trim(0.003)))),
            (Situation { silence_s: 0.015, ..off(-0.050) }, Some((10.0, Step::Trim(-0.050)))),
            (Situation { silence_s: 0.015, ..off(0.000_9) }, None),
            (Situation { silence_s: 0.015, in_gap: true, ..off(0.003) }, None),
            (Situation { bit_perfect: true, ..off(-0.006) }, Some((10.205, Step::Splice(-0.006)))),
            (Situation { bit_perfect: true, ..off(0.004) }, None),
        ] {
            let got = first(situation);
            let close = match (got, expected) {
                (Some((a, x)), Some((b, y))) => (a - b).abs() < 0.006 && x == y,
                (None, None) => true,
                _ => false,
            };
            assert!(close, "{situation:?}: {got:?}, not {expected:?}");
        }
    }

    #[test]
    fn the_first_moments_are_put_right_at_once_and_not_again_and_again() {
        let mut steer = Steer::new();
        steer.start(5.0);
        let off = Situation { error_s: 0.004, ..OFF };
        let steps = (0..400).filter(|k| steer.step(5.0 + f64::from(*k) * 0.005, off) != Step::None).count();
        assert!((2..=4).contains(&steps), "{steps}");
        let nothing = Situation { error_s: f64::NAN, silence_s: 1.0, ..OFF };
        assert_eq!(steer.step(9.0, nothing), Step::None);
    }
}
