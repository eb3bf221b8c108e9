//! How coarse a guest's timer is, from the first few arrivals: with ticks that do not divide the length of a piece, pieces
//! come late by up to a tick, again and again. Statistics tell that after half a minute; a sound that begins cannot wait so
//! long. Pure.
//!
//! Source of the ticks: the wire reference of Scream 4.0, section 5.

/// Distances of ticks that guests have and that matter here. Unit: seconds.
const TICKS_S: [f64; 2] = [0.010, 0.015_625];
/// How far from a whole number of ticks an arrival may be, beside the dawdling of both sides. Unit: seconds.
const OFF_S: f64 = 0.000_8;
/// Ticks between two arrivals that are still a distance and not a stall.
const MOST_TICKS: u32 = 3;
/// Pieces that are seen this close to each other came with one tick. Unit: seconds.
const AT_ONCE_S: f64 = 0.001;
/// Distances that are looked at: after that statistics know better.
const LOOKS: u32 = 32;

/// What is known of the guest's ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grain {
    /// When something came last, and the last distance between two arrivals that were not one. Unit: seconds.
    came_s: Option<f64>,
    distance_s: f64,
    looks: u32,
    tick_s: f64,
    /// How many distances were a tick's, and how many a piece's own, which speaks against ticks that do not divide it: a piece
    /// that a busy machine sees late may make one distance look like a tick's.
    fitting: u32,
    against: u32,
}

impl Grain {
    /// A piece of `piece_s` was seen at `at_s`. Units: seconds.
    ///
    /// Real-time safe.
    pub fn came(&mut self, at_s: f64, piece_s: f64) {
        let Some(before_s) = self.came_s.replace(at_s) else { return };
        let distance_s = at_s - before_s;
        if distance_s.is_nan() || self.looks >= LOOKS {
            return;
        }
        self.looks += 1;
        // Several at once: the tick is longer than a piece, and what came first in it is late by most of it.
        let at_once = distance_s.abs() < AT_ONCE_S;
        if !at_once {
            self.distance_s = distance_s;
        }
        let distance_s = self.distance_s;
        if !at_once && (distance_s - piece_s).abs() < OFF_S {
            self.against += 1;
        }
        let fits = |tick_s: f64| {
            let ticks = (distance_s / tick_s).round();
            let divides = ((piece_s / tick_s).round() * tick_s - piece_s).abs() < OFF_S && piece_s >= tick_s;
            let near = (distance_s - ticks * tick_s).abs() < OFF_S;
            let is_distance = ticks >= 1.0 && ticks <= f64::from(MOST_TICKS);
            !divides && near && is_distance && (at_once || piece_s + AT_ONCE_S >= tick_s)
        };
        if let Some(tick_s) = TICKS_S.into_iter().find(|tick_s| fits(*tick_s)) {
            self.tick_s = self.tick_s.max(tick_s);
            self.fitting += 1;
        }
    }

    /// By how much pieces may be late for no other reason than the guest's ticks, as far as is known. Unit: seconds.
    pub fn late_s(&self) -> f64 {
        if self.fitting > self.against { self.tick_s } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after `pieces` of `piece_s` from a guest with these ticks.
    fn known(tick_s: f64, piece_s: f64, pieces: u32, late_s: impl Fn(u32) -> f64) -> f64 {
        let mut grain = Grain::default();
        for k in 1..=pieces {
            let at_s = (f64::from(k) * piece_s / tick_s - 1e-9).ceil() * tick_s;
            grain.came(5.0 + at_s + late_s(k), piece_s);
        }
        (grain.late_s() * 1e6).round() / 1e6
    }

    #[test]
    fn ticks_that_make_pieces_late_are_known_from_the_first_few() {
        for (tick_s, piece_s, expected_s) in [
            // Memory: ticks of 10 ms divide a chunk.
            (0.010, 0.020, 0.0),
            (0.001, 0.020, 0.0),
            (0.015_625, 0.020, 0.015_625),
            // Datagrams of 6, 4, 3 and 12 ms.
            (0.010, 0.006, 0.010),
            (0.015_625, 0.006, 0.015_625),
            (0.010, 0.004, 0.010),
            (0.010, 0.003, 0.010),
            (0.015_625, 0.003, 0.015_625),
            (0.010, 0.012, 0.010),
            (0.001, 0.006, 0.0),
        ] {
            assert_eq!(known(tick_s, piece_s, 10, |_| 0.0), expected_s, "ticks of {tick_s}, pieces of {piece_s}");
        }
        assert_eq!(known(0.015_625, 0.020, 3, |k| f64::from(k) * 1e-4), 0.015_625, "three are enough");
        assert_eq!(known(0.010, 0.006, 4, |_| 0.0), 0.010);
    }

    #[test]
    fn one_late_look_makes_no_ticks_for_long() {
        // The first piece is seen 4 ms late by a thread that has just begun: 16 ms to the next.
        let late = |k: u32| if k == 1 { 0.004 } else { 0.000_2 };
        assert_eq!(known(0.010, 0.020, 2, late), 0.015_625, "it looks like it");
        assert_eq!(known(0.010, 0.020, 4, late), 0.0, "but two pieces in their own distance do not come of such ticks");
        assert_eq!(known(0.001, 0.006, 6, |k| if k == 2 { 0.004 } else { 0.0 }), 0.0);
        // And slow ticks stay known, whatever is late now and then.
        assert_eq!(known(0.015_625, 0.020, 30, |k| if k % 7 == 3 { 0.004_4 } else { 0.000_3 }), 0.015_625);
    }

    #[test]
    fn a_stall_is_no_tick_and_nonsense_does_no_harm() {
        let stalled = known(0.010, 0.020, 10, |k| if k == 5 { 0.070 } else { 0.0 });
        assert_eq!(stalled, 0.0);
        let mut grain = Grain::default();
        for at_s in [0.0, f64::NAN, f64::INFINITY, -1e9, 0.0, 1e300] {
            grain.came(at_s, f64::NAN);
            assert!(grain.late_s() < 0.02);
        }
    }
}
