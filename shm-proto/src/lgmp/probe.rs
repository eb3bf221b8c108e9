//! Which protocol version is in a region, and where. The place of the magic moved with the versions, and stale bytes of
//! an earlier producer survive at the other places, so a heartbeat that moves decides.
//!
//! Source: the wire reference, section 1.3. What cannot be spoken is named by its numbers, never guessed at.

use super::heartbeat::Heartbeat;
use super::wire::{self, Layout, MAGIC};
use crate::raw::map::Region;
use crate::span::AccessError;
use crate::time::HostTime;
use core::ops::RangeInclusive;

/// A place where some versions keep their magic; the version is the u32 behind it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Offset of the magic.
    pub magic_at: u64,
    /// Versions that keep it there, first and last.
    pub versions: (u32, u32),
    /// Offset of the u64 heartbeat of those versions.
    pub timestamp_at: u64,
}

/// Every place known.
pub const PLACES: [Place; 4] = [
    Place { magic_at: 0, versions: (1, 8), timestamp_at: 16 },
    Place { magic_at: 8, versions: (9, 10), timestamp_at: 0 },
    Place { magic_at: 8064, versions: (10, 11), timestamp_at: 0 },
    Place { magic_at: 9664, versions: (12, 12), timestamp_at: 0 },
];

/// Where the user data of each version starts: its first bytes name the KVMFR version, for the report.
pub const USER_DATA: [(u32, u64); 9] =
    [(4, 5116), (5, 5756), (6, 5756), (7, 5748), (8, 7788), (9, 8068), (10, 8084), (11, 8084), (12, 9684)];

/// What a KVMFR user data starts with; its version is the u32 behind it, in every version there was.
const KVMFR_MAGIC: [u8; 8] = *b"KVMFR---";

/// The release of Looking Glass that speaks this pair of versions, for people. Source: section 1.1.
pub const fn release(lgmp: u32, kvmfr: u32) -> Option<&'static str> {
    Some(match (lgmp, kvmfr) {
        (4, 14) => "B5",
        (4, 19) => "B6-rc1",
        (5, 19) => "B6",
        (6, 20) => "B7",
        (7, 20) => "a development build of 2025",
        (10, 20) => "a development build of 2025 or 2026",
        (10..=12, 21..=34) => "a development build of 2026",
        _ => return None,
    })
}

/// The version-stable block that newer producers keep before the end of the region.
pub mod recovery {
    /// Its distance from the end, bytes.
    pub const FROM_END: u64 = 65536;
    /// Its first eight bytes.
    pub const MAGIC: [u8; 8] = *b"KVMFRRCV";
    /// u16, must be 1.
    pub const ABI: u64 = 8;
    /// u16, [`STRUCT_BYTES`].
    pub const STRUCT_SIZE: u64 = 10;
    /// Bytes of the whole structure.
    pub const STRUCT_BYTES: u16 = 1280;
    /// u64, differs between sessions.
    pub const SESSION: u64 = 24;
    /// 16 bytes, the machine's UUID.
    pub const UUID: u64 = 32;
    /// The producer's version, as text.
    pub const VERSION_TEXT: u64 = 64;
    /// Length of that text.
    pub const VERSION_TEXT_BYTES: u64 = 48;
    /// Milliseconds between two moves of its heartbeat.
    pub const HEARTBEAT_EVERY_MS: u64 = 250;
    /// u32, the LGMP version.
    pub const LGMP_VERSION: u64 = 16;
    /// u32, the KVMFR version.
    pub const KVMFR_VERSION: u64 = 20;
    /// u32, its own heartbeat.
    pub const HEARTBEAT: u64 = 48;
    /// u32, 1 when the numbers are valid.
    pub const READY: u64 = 60;
}

/// Version numbers that are believed at all; larger ones are garbage.
const KVMFR_VERSIONS: RangeInclusive<u32> = 1..=9999;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No magic of any kind.
    Nothing,
    /// A version that is spoken.
    Spoken {
        /// Its number.
        lgmp: u32,
    },
    /// A version that is not spoken.
    Other {
        /// The LGMP version.
        lgmp: u32,
        /// The KVMFR version, if it could be found.
        kvmfr: Option<u32>,
        /// Where the magic was, bytes from the start of the region.
        place: u64,
    },
    /// The region belongs to something else.
    Foreign(Foreign),
}

impl Finding {
    /// The table for what was found, if there is one.
    pub fn layout(&self) -> Option<&'static Layout> {
        match self {
            Finding::Spoken { lgmp } => wire::layout(*lgmp),
            _ => None,
        }
    }
}

/// Another protocol's region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Scream writes sound here.
    Scream,
    /// Our own ring is here.
    Ring,
}

impl core::fmt::Display for Foreign {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Foreign::Scream => f.write_str("Scream sound"),
            Foreign::Ring => f.write_str("a ring of ours"),
        }
    }
}

/// Scream's magic, to name a region that was mixed up. Source: the Scream wire reference, section 2.
const SCREAM_MAGIC: [u8; 4] = 0x1111_2014u32.to_le_bytes();
/// Our own ring's magic.
const RING_MAGIC: [u8; 8] = *b"RX-RING\0";

#[derive(Clone, Copy, Debug)]
struct Candidate {
    finding: Finding,
    heartbeat: Heartbeat,
    moved: bool,
}

/// Looks at a region again and again and remembers which heartbeats moved.
#[derive(Debug, Default)]
pub struct Prober {
    // One for each place and, at the end, one for the recovery block.
    seen: [Option<Candidate>; PLACES.len() + 1],
}

impl Prober {
    /// A prober that has not looked yet.
    pub fn new() -> Prober {
        Prober::default()
    }

    /// Looks once. A handful of loads; real-time safe.
    ///
    /// # Errors
    /// [`AccessError::Gone`] if the file shrank.
    pub fn look(&mut self, region: &Region, now: HostTime) -> Result<Finding, AccessError> {
        let mut chosen: Option<Candidate> = None;
        // A moving heartbeat beats all, then a version that is spoken, then the recovery block, then the table's order.
        for slot in [PLACES.len()].into_iter().chain(0..PLACES.len()) {
            let found = match PLACES.get(slot) {
                Some(place) => at_place(region, place)?,
                None => at_recovery_block(region)?,
            };
            let seen = &mut self.seen[slot];
            *seen = found.map(|(finding, timestamp)| follow(*seen, finding, timestamp, now));
            if let Some(candidate) = *seen {
                let rank = |c: &Candidate| (c.moved && c.heartbeat.is_alive(now), c.finding.layout().is_some());
                if chosen.is_none_or(|c| rank(&candidate) > rank(&c)) {
                    chosen = Some(candidate);
                }
            }
        }
        region.check_alive()?;
        Ok(match chosen {
            Some(candidate) => candidate.finding,
            None => foreign(region)?.map_or(Finding::Nothing, Finding::Foreign),
        })
    }
}

impl Prober {
    /// Whether the heartbeat of `finding` was seen to move and did so lately.
    pub fn is_alive(&self, finding: &Finding, now: HostTime) -> bool {
        self.seen.iter().flatten().any(|c| c.finding == *finding && c.moved && c.heartbeat.is_alive(now))
    }
}

fn follow(seen: Option<Candidate>, finding: Finding, timestamp: u64, now: HostTime) -> Candidate {
    match seen {
        Some(mut c) if c.finding == finding => {
            c.moved |= c.heartbeat.observe(timestamp, now);
            c
        }
        _ => Candidate { finding, heartbeat: Heartbeat::new(timestamp, now), moved: false },
    }
}

fn at_place(region: &Region, place: &Place) -> Result<Option<(Finding, u64)>, AccessError> {
    let all = region.whole();
    if region.len() < place.magic_at + 8 || region.len() < place.timestamp_at + 8 {
        return Ok(None);
    }
    if all.read_word::<u32>(place.magic_at)?.load_acquire() != MAGIC {
        return Ok(None);
    }
    if is_overwritten(region, place.magic_at, place.timestamp_at)? {
        return Ok(None);
    }
    let lgmp = all.read_word::<u32>(place.magic_at + 4)?.load_acquire();
    if lgmp < place.versions.0 || lgmp > place.versions.1 {
        return Ok(None);
    }
    let timestamp = all.read_word::<u64>(place.timestamp_at)?.load_acquire();
    let spoken = wire::layout(lgmp).is_some_and(|l| l.header.magic == place.magic_at);
    let other = Finding::Other { lgmp, kvmfr: kvmfr_version(region, lgmp)?, place: place.magic_at };
    Ok(Some((if spoken { Finding::Spoken { lgmp } } else { other }, timestamp)))
}

/// Whether the heartbeat's place holds the magic of an older version: a later session in the same memory, whatever else
/// of this one is left.
pub(super) fn is_overwritten(region: &Region, magic_at: u64, timestamp_at: u64) -> Result<bool, AccessError> {
    Ok(magic_at != timestamp_at && region.whole().read_word::<u32>(timestamp_at)?.load_acquire() == MAGIC)
}

fn kvmfr_version(region: &Region, lgmp: u32) -> Result<Option<u32>, AccessError> {
    let known = USER_DATA.iter().find(|(version, at)| *version == lgmp && at + 12 <= region.len());
    let Some((_, at)) = known else { return Ok(None) };
    let head = region.whole().read_array::<12>(*at)?;
    let magic = head.first_chunk::<8>() == Some(&KVMFR_MAGIC);
    let version = head.last_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
    Ok(Some(version).filter(|v| magic && KVMFR_VERSIONS.contains(v)))
}

fn at_recovery_block(region: &Region) -> Result<Option<(Finding, u64)>, AccessError> {
    let Some(at) = region.len().checked_sub(recovery::FROM_END).filter(|at| at.is_multiple_of(8)) else {
        return Ok(None);
    };
    let block = region.span(at, 64)?;
    if block.read_array::<8>(0)? != recovery::MAGIC || block.read_word::<u16>(recovery::ABI)?.load_acquire() != 1 {
        return Ok(None);
    }
    let load = |at| block.read_word::<u32>(at).map(|w| w.load_acquire());
    if load(recovery::READY)? != 1 {
        return Ok(None);
    }
    let (lgmp, kvmfr) = (load(recovery::LGMP_VERSION)?, load(recovery::KVMFR_VERSION)?);
    let Some(place) = PLACES.iter().rev().find(|p| (p.versions.0..=p.versions.1).contains(&lgmp)) else {
        return Ok(None);
    };
    if !KVMFR_VERSIONS.contains(&kvmfr) {
        return Ok(None);
    }
    // A version that is spoken is found at its own place; this block adds only the name of one that is not.
    if wire::layout(lgmp).is_some() {
        return Ok(None);
    }
    let finding = Finding::Other { lgmp, kvmfr: Some(kvmfr), place: place.magic_at };
    Ok(Some((finding, u64::from(load(recovery::HEARTBEAT)?))))
}

fn foreign(region: &Region) -> Result<Option<Foreign>, AccessError> {
    if region.len() < 8 {
        return Ok(None);
    }
    let head = region.whole().read_array::<8>(0)?;
    Ok(if head == RING_MAGIC {
        Some(Foreign::Ring)
    } else if head.starts_with(&SCREAM_MAGIC) {
        Some(Foreign::Scream)
    } else {
        None
    })
}
