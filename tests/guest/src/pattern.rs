//! Fills a region with numbers that depend on their place, and checks that they stay: proof that guest and host see the
//! same bytes in the same order, all of them.

use crate::simulate::Simulator;
use anyhow::{Context, ensure};
use shm_proto::{HostTime, Purpose, Region};

/// The bytes of pattern `seed` from `offset` (a multiple of 8) on. Each eight of them depend on their place alone.
pub fn fill(seed: u32, offset: u64, bytes: &mut [u8]) {
    for (word, n) in bytes.chunks_mut(8).zip(offset / 8..) {
        // The constants are odd and irregular, so neighbours, rows and seeds differ in about half of their bits.
        let mixed = (n ^ u64::from(seed) << 40).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word.copy_from_slice(&(mixed ^ mixed >> 32).to_le_bytes()[..word.len()]);
    }
}

/// Bytes filled or checked in one step.
const BLOCK: usize = 1 << 16;

/// Fills the region from its first byte to its last.
#[derive(Debug)]
pub struct Pattern {
    region: Region,
    name: String,
    seed: u32,
    filled: u64,
}

impl Pattern {
    /// A pattern that starts with `seed`.
    pub fn new(name: String, region: Region, seed: u32) -> Pattern {
        Pattern { region, name, seed, filled: 0 }
    }
}

impl Simulator for Pattern {
    fn describe(&self) -> String {
        format!("pattern {} in {}, {} bytes", self.seed, self.name, self.region.len())
    }

    fn due(&self, now: HostTime) -> Option<HostTime> {
        (self.filled < self.region.len()).then_some(now)
    }

    fn act(&mut self, _now: HostTime) -> anyhow::Result<()> {
        let length = (self.region.len() - self.filled).min(BLOCK as u64);
        let mut block = vec![0; usize::try_from(length)?];
        fill(self.seed, self.filled, &mut block);
        let span = self.region.span(self.filled, length).context("cannot reach the region")?;
        span.copy_from(&block)?;
        let mut back = vec![0; block.len()];
        span.copy_to(&mut back, Purpose::Read)?;
        ensure!(back == block, "{}: the bytes from {} on do not stay", self.name, self.filled);
        self.filled += length;
        Ok(())
    }

    fn finish(&mut self, _now: HostTime) -> anyhow::Result<()> {
        Ok(())
    }

    fn summary(&self) -> String {
        format!("pattern {}: {} bytes", self.seed, self.filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 4096];
        fill(7, 0, &mut whole);
        let mut part = [0; 100];
        fill(7, 1024, &mut part);
        assert_eq!(whole[1024..1124], part);
        fill(8, 1024, &mut part);
        assert_ne!(whole[1024..1124], part);
    }

    #[test]
    fn it_ends_with_the_region() {
        let region = Region::memfd("pattern", 200_000).unwrap();
        let mut pattern = Pattern::new("x".into(), region.clone(), 1);
        while pattern.due(HostTime::ZERO).is_some() {
            pattern.act(HostTime::ZERO).unwrap();
        }
        let (mut bytes, mut sent) = (vec![0; 200_000], vec![0; 200_000]);
        region.whole().copy_to(&mut bytes, Purpose::Read).unwrap();
        fill(1, 0, &mut sent);
        assert_eq!(bytes, sent);
    }
}
