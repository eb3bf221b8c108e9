//! How long the guest's own stages of a frame took, by its own clock: durations only, so they may cross. Source: the wire
//! reference, section 3.3; what each stage is called is all that it says.

use super::wire::{Snapshot, TIMING_DURATIONS};
use crate::guest::{Corrupt, Guest};
use core::time::Duration;

/// Bytes of the durations in a frame's header.
pub const TIMING_BYTES: usize = 8 * TIMING_DURATIONS;
/// A stage that took longer is not believed. Ours; a viewer is given up after a second.
const LONGEST_NS: u64 = 10_000_000_000;

/// The guest's stages of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestTiming {
    /// Taking the picture from the guest's screen.
    pub capture: Duration,
    /// Work on it: scaling, colours.
    pub post_process: Duration,
    /// Copying it into the shared memory.
    pub copy: Duration,
    /// Until it was ready.
    pub ready: Duration,
    /// How long it was held back then.
    pub hold: Duration,
    /// By how much it was ready before its time.
    pub lead: Duration,
}

impl GuestTiming {
    /// Reads [`TIMING_BYTES`] of a header.
    ///
    /// # Errors
    /// [`Corrupt`] for fewer bytes, or for a stage of more than ten seconds.
    pub fn check(bytes: &[u8]) -> Result<GuestTiming, Corrupt> {
        let stage = |field, index: usize| {
            let low = Snapshot(bytes).u32(field, 8 * index)?.distrusted();
            let high = Snapshot(bytes).u32(field, 8 * index + 4)?.distrusted();
            let ns = Guest::new(u64::from(high) << 32 | u64::from(low));
            ns.check(field, 0..=LONGEST_NS).map(Duration::from_nanos)
        };
        Ok(GuestTiming {
            capture: stage("captureTime", 0)?,
            post_process: stage("postProcessTime", 1)?,
            copy: stage("copyTime", 2)?,
            ready: stage("readyTime", 3)?,
            hold: stage("holdTime", 4)?,
            lead: stage("readyLeadTime", 5)?,
        })
    }

    /// As a producer writes it. For guests of ours.
    pub fn encode(&self) -> [u8; TIMING_BYTES] {
        let mut bytes = [0; TIMING_BYTES];
        let stages = [self.capture, self.post_process, self.copy, self.ready, self.hold, self.lead];
        for (place, stage) in bytes.chunks_exact_mut(8).zip(stages) {
            place.copy_from_slice(&u64::try_from(stage.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_back_and_one_that_cannot_be_is_named() {
        let ms = Duration::from_millis;
        let timing = GuestTiming {
            capture: ms(1),
            post_process: ms(2),
            copy: ms(3),
            ready: ms(4),
            hold: ms(5),
            lead: ms(10_000),
        };
        let bytes = timing.encode();
        assert_eq!(GuestTiming::check(&bytes), Ok(timing));
        for (index, name) in
            ["captureTime", "postProcessTime", "copyTime", "readyTime", "holdTime", "readyLeadTime"].iter().enumerate()
        {
            for value in [u64::MAX, LONGEST_NS + 1] {
                let mut bytes = bytes;
                bytes[8 * index..8 * index + 8].copy_from_slice(&value.to_le_bytes());
                assert_eq!(GuestTiming::check(&bytes).map_err(|c| (c.field, c.value)), Err((*name, value)));
            }
        }
        assert!(GuestTiming::check(&bytes[..47]).is_err());
    }
}
