//! The bytes of a fuzzer, taken as a list of what a guest writes and of when the reader looks. Every input is a valid
//! script, and a changed byte changes one step: that is what lets a fuzzer find its way.

use shm_proto::Region;
use std::time::Duration;

/// Times after which a reader looks: at once, within a chunk, and beyond each limit of the protocols.
const PAUSES_MS: [u64; 8] = [0, 1, 5, 20, 120, 600, 1_100, 40_000];
/// Most steps of one script, so that a long input cannot take for ever.
const MAX_STEPS: usize = 400;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The guest stores a word anywhere in the first 256 KiB.
    Word { at: u64, value: u32 },
    /// The guest stores one byte among the first 256: headers are there.
    Byte { at: u64, value: u8 },
    /// The guest adds to a word, as a counter or a length that is slightly wrong.
    Add { at: u64, change: i8 },
    /// The guest does for so long what an honest one does.
    Honest(Duration),
    /// The reader looks, so long after the last time.
    Look(Duration),
    /// The guest starts anew.
    Restart,
}

/// The steps of an input.
pub fn steps(mut input: &[u8]) -> impl Iterator<Item = Step> {
    let next = move || {
        let (op, rest) = input.split_first()?;
        let take = |n: usize| rest.get(..n).map(|taken| (taken, rest.get(n..).unwrap_or_default()));
        let pause = Duration::from_millis(PAUSES_MS[usize::from(*op >> 3) % PAUSES_MS.len()]);
        let (step, left) = match op % 8 {
            0 | 1 => (Step::Look(pause), rest),
            2 => (Step::Honest(pause.min(Duration::from_millis(120))), rest),
            3 if *op < 32 => (Step::Restart, rest),
            3 | 4 => {
                let (args, left) = take(6)?;
                let at = u64::from(u16::from_le_bytes([args[0], args[1]])) * 4;
                (Step::Word { at, value: u32::from_le_bytes([args[2], args[3], args[4], args[5]]) }, left)
            }
            5 => {
                let (args, left) = take(3)?;
                let at = u64::from(u16::from_le_bytes([args[0], args[1]])) * 4;
                (Step::Add { at, change: i8::from_le_bytes([args[2]]) }, left)
            }
            _ => {
                let (args, left) = take(2)?;
                (Step::Byte { at: u64::from(args[0]), value: args[1] }, left)
            }
        };
        input = left;
        Some(step)
    };
    std::iter::from_fn(next).take(MAX_STEPS)
}

/// Stores what `step` says, if it says to and the region reaches so far.
pub fn store(region: &Region, step: Step) {
    let put = |at: u64, bytes: &[u8]| {
        if let Ok(span) = region.span(at, bytes.len() as u64) {
            span.copy_from(bytes).expect("the region stays as long as it is");
        }
    };
    match step {
        Step::Word { at, value } => put(at, &value.to_le_bytes()),
        Step::Byte { at, value } => put(at, &[value]),
        Step::Add { at, change } => {
            if let Ok(bytes) = region.whole().read_array::<4>(at) {
                put(at, &u32::from_le_bytes(bytes).wrapping_add_signed(i32::from(change)).to_le_bytes());
            }
        }
        Step::Honest(_) | Step::Look(_) | Step::Restart => {}
    }
}

#[test]
fn every_input_is_a_script() {
    assert_eq!(steps(&[]).count(), 0);
    assert_eq!(steps(&[0]).collect::<Vec<_>>(), [Step::Look(Duration::ZERO)]);
    assert_eq!(steps(&[4, 2, 0, 9, 0, 0]).count(), 0, "a step that is cut off is none");
    let word = [4, 2, 0, 9, 0, 0, 0, 6, 20, 7];
    assert_eq!(steps(&word).collect::<Vec<_>>(), [Step::Word { at: 8, value: 9 }, Step::Byte { at: 20, value: 7 }]);
    assert_eq!(steps(&[0; 10_000]).count(), MAX_STEPS);
}
