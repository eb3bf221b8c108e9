//! What is released once more when it is quiet: a release may have been lost in the queue of a keyboard, with a machine that
//! stood still, or with the program that pressed. A release of what is up does nothing. Pure.
//!
//! Rounds of releases begin anew with each press and release. The first two are of what was touched since the last quiet;
//! the others of what may have been lost for longer.

use crate::input::stats::InputStats;
use crate::input::{Code, CodeSet};
use core::time::Duration;
use shm_proto::HostTime;

/// How long it has been quiet when a round begins, and how far its releases are apart.
struct Round {
    quiet: Duration,
    gap: Duration,
}

impl Round {
    /// Unit of both: milliseconds.
    const fn of(quiet: u64, gap: u64) -> Round {
        Round { quiet: Duration::from_millis(quiet), gap: Duration::from_millis(gap) }
    }
}

/// The first round is soon and fast, for a PS/2 keyboard that lost a break code. The second is slow: a USB keyboard of QEMU
/// gives the guest one of its 16 events every 8 to 10 ms, and drops what does not fit. The others are for what a sink
/// cannot say: that the machine stood still, and all of that was lost.
const ROUNDS: [Round; 5] =
    [Round::of(30, 1), Round::of(300, 12), Round::of(2_000, 12), Round::of(10_000, 12), Round::of(60_000, 12)];
/// Rounds of what was touched since the last quiet.
const SOON: usize = 2;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is to be released now.
    Release(Code),
    /// Nothing before then.
    At(HostTime),
    /// Nothing, unless something is pressed or released.
    Nothing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// Pressed or released since the last quiet.
    touched: CodeSet,
    /// Pressed or released before, if the sink does not tell when the machine stands still.
    earlier: CodeSet,
    /// Left pressed by a client before this program, perhaps.
    strange: CodeSet,
    /// Whether there may be something of the two before. Asked with each report of motion.
    has_more: bool,
    /// Still to be released in this round.
    left: CodeSet,
    /// Rounds begun since the last press or release.
    rounds: usize,
    /// When the last press or release was sent.
    last: HostTime,
}

impl Again {
    /// Somebody pressed or released this. What is pressed is released by itself, and ends a later round.
    pub fn edge(&mut self, code: Code) {
        self.left.remove(code);
        if self.rounds > SOON {
            self.left = CodeSet::EMPTY;
        }
        self.rounds = 0;
    }

    /// A press or release was sent.
    pub fn sent(&mut self, now: HostTime) {
        self.last = now;
    }

    /// The guest heard of this.
    pub fn touch(&mut self, code: Code) {
        self.touched.insert(code);
        self.rounds = 0;
    }

    /// A client before this program may have left these pressed: they are released after a longer quiet.
    pub fn suspect(&mut self, codes: CodeSet) {
        (self.strange, self.has_more) = (codes, true);
    }

    /// All that may have to be released although nothing is known to be held.
    pub fn known(&self) -> CodeSet {
        self.touched.union(&self.earlier)
    }

    /// Whether what was touched last was released once more.
    pub fn has_settled(&self) -> bool {
        self.left.is_empty() && (self.touched.is_empty() || self.rounds > 0)
    }

    /// Whether both rounds of it are over.
    pub fn is_through(&self) -> bool {
        self.left.is_empty() && self.touched.is_empty()
    }

    /// Begins anew with all that may have to be released, after another quiet. Whether there is any.
    pub fn once_more(&mut self) -> bool {
        self.touched = self.known();
        (self.left, self.rounds) = (CodeSet::EMPTY, 0);
        !self.touched.is_empty()
    }

    /// With nothing pressed and nothing to send: what is to be released now, or when.
    pub fn next(&mut self, now: HostTime, tells_stops: bool, stats: &InputStats) -> Next {
        if self.left.is_empty() {
            if self.touched.is_empty() && !self.has_more {
                return Next::Nothing;
            }
            let enough = if tells_stops { SOON + 1 } else { ROUNDS.len() };
            if self.rounds >= enough {
                self.strange = CodeSet::EMPTY;
            } else if self.touched.is_empty() {
                self.rounds = self.rounds.max(SOON);
            }
            let codes = if self.rounds < SOON { self.touched } else { self.earlier.union(&self.strange) };
            self.has_more = self.has_more && !(self.rounds >= SOON && codes.is_empty());
            let Some(round) = ROUNDS.get(self.rounds).filter(|_| !codes.is_empty()) else { return Next::Nothing };
            let due = self.last + round.quiet;
            if now < due {
                return Next::At(due);
            }
            self.begin(codes, tells_stops);
            stats.released_again.inc();
        }
        let gap = self.rounds.checked_sub(1).and_then(|n| ROUNDS.get(n)).map_or(ROUNDS[0].gap, |round| round.gap);
        let due = self.last + gap;
        if now < due {
            return Next::At(due);
        }
        let first = self.left.in_release_order().next();
        first.map_or(Next::Nothing, |code| {
            self.left.remove(code);
            Next::Release(code)
        })
    }

    fn begin(&mut self, codes: CodeSet, tells_stops: bool) {
        self.left = codes;
        self.rounds += 1;
        if self.rounds == SOON {
            if !tells_stops {
                (self.earlier, self.has_more) = (self.earlier.union(&self.touched), true);
            }
            self.touched = CodeSet::EMPTY;
        } else if self.rounds == ROUNDS.len() {
            self.earlier = CodeSet::EMPTY;
        }
    }
}
