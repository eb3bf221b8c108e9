//! Where to join two pieces of sound: of all places near the wanted one the place at which what goes on from the past and what
//! comes next are most alike, so that a cross-fade between them loses little and is hardly heard.

use super::held::Held;
use crate::conceal::Concealer;

/// How much of the two is compared, and the furthest place that is looked at, to both sides. Unit: milliseconds.
const COMPARED_MS: usize = 5;
const REACH_MS: usize = 1;
/// Places are looked at this densely, and samples compared. Unit: hertz.
const LOOKS_HZ: u32 = 48_000;
/// A nearer place that is less alike by this little is as good.
const AS_GOOD: f32 = 0.01;
/// So much more alike than at the wanted place itself they must be.
const WORTH: f32 = 0.02;

/// The two pieces that are compared: what would be made up, and what is there.
#[derive(Debug)]
pub(super) struct Seam {
    step: usize,
    reach: usize,
    compared: usize,
    made: Vec<f32>,
    real: Vec<f32>,
}

impl Seam {
    pub(super) fn new(rate_hz: u32) -> Seam {
        let frames = |ms: usize| rate_hz as usize * ms / 1000;
        let (reach, compared) = (frames(REACH_MS), frames(COMPARED_MS));
        let piece = || vec![0.0; compared + 2 * reach + 1];
        Seam { step: (rate_hz / LOOKS_HZ).max(1) as usize, reach, compared, made: piece(), real: piece() }
    }

    /// How many frames more (or less) than `by` the place is to move, `slack` at most, when `next` was to come next and
    /// `concealer` goes on from the past.
    ///
    /// Real-time safe.
    pub(super) fn fit(&mut self, concealer: &Concealer, held: &mut Held, next: i64, by: i64, slack: usize) -> i64 {
        let reach = slack.min(self.reach).min(by.unsigned_abs() as usize / 2) as i64;
        let place = next.saturating_add(by);
        let Some(first) = held.first().and_then(|first| i64::try_from(first).ok()) else { return 0 };
        // The real sound comes back at once, or, where what is there begins later, after so many frames made up.
        let wait = |more: i64| first.saturating_sub(place.saturating_add(more)).max(0);
        let back = |more: i64| place.saturating_add(more).max(first);
        let (shortest, earliest) = (wait(reach), back(-reach));
        let lengths = ((wait(-reach) - shortest) as usize, (back(reach) - earliest) as usize);
        let (Some(made), Some(real)) =
            (self.made.get_mut(..self.compared + lengths.0), self.real.get_mut(..self.compared + lengths.1))
        else {
            return 0;
        };
        let from = u64::try_from(earliest).unwrap_or(u64::MAX);
        if !(concealer.preview(shortest as usize, made) && held.peek_mono(from, real)) {
            return 0;
        }
        let likeness = |more: i64| {
            let (made, real) = (&made[(wait(more) - shortest) as usize..], &real[(back(more) - earliest) as usize..]);
            likeness(&made[..self.compared], &real[..self.compared], self.step)
        };
        let places = || (-reach..=reach).step_by(self.step);
        let best = places().map(likeness).fold(likeness(0) + WORTH, f32::max);
        places().filter(|more| likeness(*more) > best - AS_GOOD).min_by_key(|more| more.abs()).unwrap_or(0)
    }
}

/// The correlation of two pieces, normalised: 1 if they are alike but for their level.
fn likeness(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut product, mut a_energy, mut b_energy) = (0.0f32, 0.0f32, 0.0f32);
    for (a, b) in a.iter().zip(b).step_by(step) {
        product += a * b;
        a_energy += a * a;
        b_energy += b * b;
    }
    product / (a_energy * b_energy).sqrt().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;
    use core::f32::consts::TAU;
    use rtrb::RingBuffer;

    fn tone(hz: f32, frame: i64) -> f32 {
        (TAU * hz * frame as f32 / 48_000.0).sin() * 0.5
    }

    /// How a move by `by` is fitted where a tone of `hz` was played up to frame 4800 and what is there begins at `first`.
    fn fitted(hz: f32, first: u64, by: i64) -> i64 {
        let mut concealer = Concealer::new(1, 48_000);
        let mut past: Vec<f32> = (0..4800).map(|k| tone(hz, k)).collect();
        concealer.real(&mut past);
        concealer.splice();
        let (mut data_in, data) = RingBuffer::new(4800);
        let there = (first as i64..first as i64 + 4800).map(|k| tone(hz, k));
        there.for_each(|x| data_in.push(x).unwrap());
        let mut held = Held::new(data, 1, Content::Sound);
        held.note(first..first + 4800, false);
        Seam::new(48_000).fit(&concealer, &mut held, 4800, by, 48)
    }

    #[test]
    fn a_move_ends_where_the_tone_is_in_phase() {
        // The period of 1 kHz is 48 frames: a move is by whole periods, as far as it can be told.
        for by in [480, 490, 504, 530, -300, -310, -330, -347] {
            let moved = by + fitted(1000.0, 4800, by);
            let off = moved - (moved as f32 / 48.0).round() as i64 * 48;
            assert!(off.abs() <= 3 && (moved - by).abs() <= 24 + 3, "{by}: {moved}");
        }
        // What is there begins in the past already: the move goes back into it.
        let moved = -200 + fitted(1000.0, 4500, -200);
        assert!((moved - -192).abs() <= 3, "{moved}");
    }

    #[test]
    fn where_nothing_is_better_the_wanted_place_is_kept() {
        assert_eq!(fitted(1000.0, 4800, 480), 0);
        assert_eq!(fitted(0.0, 4800, 490), 0, "silence");
        assert_eq!(fitted(1000.0, 4800, 1), 0, "a move that is none");
        assert_eq!(fitted(1000.0, 4800, 1_000_000), 0, "beyond what is there");
        assert_eq!(fitted(1000.0, 4800, -1_000_000), 0);
        assert_eq!(fitted(f32::NAN, 4800, 500), 0);
    }
}
