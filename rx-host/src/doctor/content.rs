//! What lies in a region, told by its first bytes: enough to say "this is the other one". Readers check much more.

use core::fmt;
use shm_proto::lgmp::{probe, wire as lgmp};
use shm_proto::scream::wire as scream;
use shm_proto::{AccessError, Purpose, Region};

/// Bytes at the start that tell anything when no magic is known.
const SHOWN_BYTES: usize = 8;
/// Bytes at the start that are looked at behind those: the pages in which headers stand. Those behind them may have no memory
/// yet, which a look would give them.
const LOOKED_BYTES: usize = 12288;

/// What the first bytes of a region say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A Scream stream is there.
    Scream,
    /// A Looking Glass host was there, with this version of LGMP. It may have ended since.
    LookingGlass {
        /// The version of LGMP, within those known to stand at this place.
        lgmp_version: u32,
    },
    /// Nothing was written.
    Blank,
    /// Zeros where a header would stand, and something behind them: sound of Scream whose stream is not open, or a file of
    /// another program.
    WithoutHeader,
    /// Something else.
    Unknown([u8; SHOWN_BYTES]),
}

impl Content {
    /// Looks at the region. Only as true as the guest is honest, and only for this moment.
    ///
    /// # Errors
    /// [`AccessError::OutOfBounds`] if the region has less than eight bytes, [`AccessError::Gone`] if it shrank.
    pub fn of(region: &Region) -> Result<Content, AccessError> {
        let start = region.whole().read_array::<SHOWN_BYTES>(0)?;
        if word(&start, 0) == Some(scream::MAGIC) {
            return Ok(Content::Scream);
        }
        for place in probe::PLACES {
            // Places behind the end of a small region hold nothing.
            let Ok(bytes) = region.whole().read_array::<8>(place.magic_at) else { continue };
            if let (Some(lgmp::MAGIC), Some(version)) = (word(&bytes, 0), word(&bytes, 4))
                && (place.versions.0..=place.versions.1).contains(&version)
            {
                return Ok(Content::LookingGlass { lgmp_version: version });
            }
        }
        match start {
            [0, 0, 0, 0, 0, 0, 0, 0] if is_blank(region)? => Ok(Content::Blank),
            [0, 0, 0, 0, 0, 0, 0, 0] => Ok(Content::WithoutHeader),
            start => Ok(Content::Unknown(start)),
        }
    }
}

/// Whether there is nothing in the pages of headers.
fn is_blank(region: &Region) -> Result<bool, AccessError> {
    let mut bytes = [0; LOOKED_BYTES];
    let there = usize::try_from(region.len()).map_or(LOOKED_BYTES, |len| len.min(LOOKED_BYTES));
    let bytes = bytes.get_mut(..there).unwrap_or_default();
    region.span(0, bytes.len() as u64)?.copy_to(bytes, Purpose::Read)?;
    Ok(bytes.iter().all(|b| *b == 0))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Scream => f.write_str("a Scream stream"),
            Content::LookingGlass { lgmp_version } => write!(f, "Looking Glass (LGMP {lgmp_version})"),
            Content::Blank => f.write_str("nothing written yet"),
            Content::WithoutHeader => f.write_str("something without a header (sound that is not playing, perhaps)"),
            Content::Unknown(bytes) => {
                f.write_str("neither Scream nor Looking Glass, it starts with")?;
                bytes.iter().try_for_each(|b| write!(f, " {b:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_who_wrote() {
        let written = |version: u32| [lgmp::MAGIC.to_le_bytes(), version.to_le_bytes()].concat();
        let unknown = Content::Unknown(*b"abcdefgh");
        let looking_glass = |lgmp_version| Content::LookingGlass { lgmp_version };
        let headless = "something without a header (sound that is not playing, perhaps)";
        let cases: [(u64, Vec<u8>, Content, &str); 12] = [
            (0, vec![0x14, 0x20, 0x11, 0x11], Content::Scream, "a Scream stream"),
            (0, written(6), looking_glass(6), "Looking Glass (LGMP 6)"),
            (8, written(9), looking_glass(9), "Looking Glass (LGMP 9)"),
            (8064, written(11), looking_glass(11), "Looking Glass (LGMP 11)"),
            (9664, written(12), looking_glass(12), "Looking Glass (LGMP 12)"),
            (9664, written(6), Content::WithoutHeader, headless),
            (16, vec![1], Content::WithoutHeader, headless),
            (12287, vec![1], Content::WithoutHeader, headless),
            (12288, vec![1], Content::Blank, "nothing written yet"),
            (0, vec![0], Content::Blank, "nothing written yet"),
            (
                0,
                b"abcdefgh".to_vec(),
                unknown,
                "neither Scream nor Looking Glass, it starts with 61 62 63 64 65 66 67 68",
            ),
            (
                0,
                written(99),
                Content::Unknown(*b"LGMP\x63\0\0\0"),
                "neither Scream nor Looking Glass, it starts with 4c 47 4d 50 63 00 00 00",
            ),
        ];
        for (at, bytes, content, words) in cases {
            let region = Region::memfd("content", 16384).unwrap();
            region.span(at, bytes.len() as u64).unwrap().copy_from(&bytes).unwrap();
            assert_eq!(Content::of(&region).unwrap(), content, "{words}");
            assert_eq!(content.to_string(), words);
        }
    }

    #[test]
    fn a_tiny_region_is_looked_at_as_far_as_it_goes() {
        assert_eq!(Content::of(&Region::memfd("tiny", 9).unwrap()), Ok(Content::Blank));
        assert!(matches!(Content::of(&Region::memfd("tiny", 7).unwrap()), Err(AccessError::OutOfBounds { .. })));
    }
}
