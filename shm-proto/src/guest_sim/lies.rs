//! Lies: what a hostile or broken guest can write, each under a name that tests and the command line use. The rows are
//! those of the wire reference's table 4.1 and its traps.

use super::dice::roll;
use super::words::{Field, Queue, Word};
use crate::kvmfr::Version;
use crate::kvmfr::producer::Tampering;
use crate::kvmfr::producer::{CursorField, FrameField};
use crate::lgmp::host::Block;
use crate::lgmp::wire::MAGIC;
use crate::raw::map::Region;
use crate::span::AccessError;
use crate::time::HostTime;

/// One lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie {
    /// Its name.
    pub name: &'static str,
    /// How it is told.
    pub how: How,
}

/// How a lie is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// This word of the region is stored again after every step.
    Word {
        /// Which.
        field: Field,
        /// What is stored.
        value: u32,
    },
    /// These words replace honest ones in every frame header.
    FrameHeader(&'static [(FrameField, u32)]),
    /// These words replace honest ones in every cursor header; a shape comes with every move.
    CursorHeader(&'static [(CursorField, u32)]),
    /// Every frame message names this payload.
    FrameBlock(Block),
    /// Every cursor message names this payload.
    PointerBlock(Block),
    /// The heartbeat stands; all else goes on.
    FrozenHeartbeat,
    /// The write pointer stays at 0.
    FrozenWritePointer,
    /// The write pointer is this, from the start.
    WritePointer(u32),
    /// A new session begins in the middle of a frame, once.
    RestartInFrame,
    /// A new session whose magic is there long before its content.
    MagicFirst,
    /// The producer writes the next frame without waiting for viewers.
    IgnoresViewers,
    /// Random words at random places, some at every step.
    Garbage {
        /// Where.
        within: Within,
        /// How many words per step.
        words: u32,
    },
}

/// Where garbage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Header and rings.
    ControlWords,
    /// The whole region.
    Everything,
}

impl How {
    /// What the producer itself must do for it.
    pub fn tampering(self) -> Tampering {
        let mut t = Tampering::default();
        match self {
            How::FrameHeader(words) => t.frame_header = words,
            How::CursorHeader(words) => t.cursor_header = words,
            How::FrameBlock(block) => t.frame_block = Some(block),
            How::PointerBlock(block) => t.pointer_block = Some(block),
            How::IgnoresViewers => t.ignores_viewers = true,
            _ => {}
        }
        t
    }

    pub(super) fn is_about_shapes(self) -> bool {
        matches!(self, How::CursorHeader(_))
    }
}

const fn word(name: &'static str, field: Field, value: u32) -> Lie {
    Lie { name, how: How::Word { field, value } }
}

const fn frame(name: &'static str, words: &'static [(FrameField, u32)]) -> Lie {
    Lie { name, how: How::FrameHeader(words) }
}

const fn cursor(name: &'static str, words: &'static [(CursorField, u32)]) -> Lie {
    Lie { name, how: How::CursorHeader(words) }
}

const fn frame_block(name: &'static str, offset: u32, size: u32) -> Lie {
    Lie { name, how: How::FrameBlock(Block { offset, size }) }
}

/// A place in the third shape buffer of every version, where nothing is written but by shapes of more than half a MiB.
const UNUSED: u32 = 3_000_000;

/// Every lie.
pub const LIES: &[Lie] = &[
    word("queues-1000", Field::QueueCount, 1000),
    word("queues-none", Field::QueueCount, 0),
    word("ring-of-0", Field::Of(Queue::Frames, Word::Entries), 0),
    word("ring-of-1", Field::Of(Queue::Pointer, Word::Entries), 1),
    word("ring-of-4-billion", Field::Of(Queue::Frames, Word::Entries), u32::MAX),
    word("ring-in-header", Field::Of(Queue::Frames, Word::RingAt), 64),
    word("ring-outside", Field::Of(Queue::Pointer, Word::RingAt), 0xFFFF_FFF0),
    word("ring-unaligned", Field::Of(Queue::Frames, Word::RingAt), 8193),
    word("position-3", Field::Of(Queue::Frames, Word::Position), 3),
    word("position-garbage", Field::Of(Queue::Pointer, Word::Position), 0x8000_0000),
    word("start-garbage", Field::Of(Queue::Frames, Word::Start), u32::MAX),
    word("count-65", Field::Of(Queue::Frames, Word::Count), 65),
    word("count-garbage", Field::Of(Queue::Pointer, Word::Count), 0x8000_0000),
    word("count-0", Field::Of(Queue::Frames, Word::Count), 0),
    word("nobody-subscribed", Field::Of(Queue::Frames, Word::On), 0),
    word("everybody-subscribed", Field::Of(Queue::Frames, Word::On), u32::MAX),
    word("everybody-bad", Field::Of(Queue::Frames, Word::Bad), u32::MAX),
    word("pointer-bad", Field::Of(Queue::Pointer, Word::Bad), u32::MAX),
    word("place-renamed", Field::Of(Queue::Frames, Word::FirstName), 0x5A5A_5A5A),
    word("max-time-0", Field::Of(Queue::Frames, Word::MaxTime), 0),
    word("lock-held", Field::Of(Queue::Frames, Word::Lock), 1),
    word("pointer-lock-held", Field::Of(Queue::Pointer, Word::Lock), 1),
    word("mail-lock-held", Field::Of(Queue::Pointer, Word::MailLock), 1),
    word("mail-position-1000", Field::Of(Queue::Pointer, Word::MailWritePos), 1000),
    word("mail-free-1000", Field::Of(Queue::Pointer, Word::MailAvail), 1000),
    word("mail-full", Field::Of(Queue::Pointer, Word::MailAvail), 0),
    word("magic-gone", Field::Magic, 0),
    word("version-0", Field::Version, 0),
    word("session-changes", Field::Session, 0x7777_7777),
    word("udata-4-gib", Field::UserDataSize, u32::MAX),
    word("udata-none", Field::UserDataSize, 0),
    word("udata-47", Field::UserDataSize, 47),
    word("kvmfr-magic", Field::UserData(0), 0x4242_4242),
    word("kvmfr-version", Field::UserData(8), 99),
    word("version-text", Field::UserData(12), 0x5B1B_5B1B),
    word("record-size", Field::UserData(52), u32::MAX),
    word("record-size-10", Field::UserData(52), 10),
    Lie { name: "heartbeat-stands", how: How::FrozenHeartbeat },
    frame("type-0", &[(FrameField::PixelType, 0)]),
    frame("type-7", &[(FrameField::PixelType, 7)]),
    frame("type-garbage", &[(FrameField::PixelType, u32::MAX)]),
    frame("offset-0", &[(FrameField::Offset, 0)]),
    frame("offset-unaligned", &[(FrameField::Offset, 4093)]),
    frame("offset-outside", &[(FrameField::Offset, 0xFFFF_FFFC)]),
    frame("height-0", &[(FrameField::FrameHeight, 0)]),
    frame("height-garbage", &[(FrameField::FrameHeight, u32::MAX)]),
    frame("data-height-16384", &[(FrameField::DataHeight, 16384)]),
    frame("both-heights-16384", &[(FrameField::DataHeight, 16384), (FrameField::FrameHeight, 16384)]),
    frame("width-0", &[(FrameField::FrameWidth, 0)]),
    frame("width-garbage", &[(FrameField::FrameWidth, u32::MAX), (FrameField::DataWidth, u32::MAX)]),
    frame("screen-garbage", &[(FrameField::ScreenWidth, u32::MAX)]),
    frame("pitch-0", &[(FrameField::Pitch, 0)]),
    frame("pitch-short", &[(FrameField::Pitch, 3)]),
    frame("pitch-garbage", &[(FrameField::Pitch, 0xFFFF_FFFC)]),
    frame("stride-garbage", &[(FrameField::Stride, u32::MAX)]),
    frame("damage-65", &[(FrameField::DamageCount, 65)]),
    frame("damage-0x80000000", &[(FrameField::DamageCount, 0x8000_0000)]),
    frame(
        "damage-outside",
        &[
            (FrameField::DamageCount, 1),
            (FrameField::Damage(0), 0xFFFF_FFF0),
            (FrameField::Damage(1), 0xFFFF_FFF0),
            (FrameField::Damage(2), 0xFFFF_FFF0),
        ],
    ),
    frame("rotation-garbage", &[(FrameField::Rotation, 99)]),
    frame("flags-garbage", &[(FrameField::Flags, 0xFFFF_FFC0)]),
    frame("format-ver-0", &[(FrameField::FormatVer, 0)]),
    frame("serial-stands", &[(FrameField::Serial, 5)]),
    frame_block("frame-outside", 0xFFFF_F000, 1 << 20),
    frame_block("frame-unaligned", 4097, 1 << 20),
    frame_block("frame-tiny", UNUSED, 1075),
    frame_block("frame-header-only", UNUSED, 1216),
    frame_block("frame-whole-memory", 0, u32::MAX),
    Lie { name: "write-pointer-stands", how: How::FrozenWritePointer },
    Lie { name: "write-pointer-large", how: How::WritePointer(u32::MAX) },
    Lie { name: "write-pointer-odd", how: How::WritePointer(4001) },
    Lie { name: "ignores-viewers", how: How::IgnoresViewers },
    Lie { name: "restart-in-frame", how: How::RestartInFrame },
    Lie { name: "magic-first", how: How::MagicFirst },
    cursor("cursor-type-3", &[(CursorField::Kind, 3)]),
    cursor("cursor-width-0", &[(CursorField::Width, 0)]),
    cursor("cursor-width-garbage", &[(CursorField::Width, u32::MAX)]),
    cursor("cursor-height-garbage", &[(CursorField::Height, 0x4000_0000)]),
    cursor("cursor-height-odd", &[(CursorField::Kind, 1), (CursorField::Height, 33)]),
    cursor("cursor-pitch-0", &[(CursorField::Pitch, 0)]),
    cursor("cursor-pitch-garbage", &[(CursorField::Pitch, u32::MAX)]),
    cursor("cursor-too-many-bytes", &[(CursorField::Height, 1024), (CursorField::Pitch, 4096)]),
    cursor("cursor-hotspot", &[(CursorField::Hotspot, 0x8080)]),
    Lie { name: "pointer-outside", how: How::PointerBlock(Block { offset: 0xFFFF_FFF0, size: 1 << 20 }) },
    Lie { name: "pointer-tiny", how: How::PointerBlock(Block { offset: UNUSED, size: 23 }) },
    Lie { name: "garbage-header", how: How::Garbage { within: Within::ControlWords, words: 4 } },
    Lie { name: "garbage-everywhere", how: How::Garbage { within: Within::Everything, words: 64 } },
];

impl Lie {
    /// The lie of this name.
    pub fn by_name(name: &str) -> Option<&'static Lie> {
        LIES.iter().find(|l| l.name == name)
    }
}

/// Bytes from the start of the region that hold header, user data and rings, in a version.
fn control_bytes(version: Version) -> u64 {
    let (lgmp, rings) = (version.lgmp(), version.layout().queues());
    let entries: u64 = rings.map(|(_, length)| u64::from(length) + 1).sum();
    lgmp.header.size + 256 + entries * lgmp.entry.size
}

/// Writes the lies that are told by storing into the region.
#[derive(Debug)]
pub struct Scribbler {
    version: Version,
    seed: u64,
    index: u64,
}

impl Scribbler {
    /// What it writes at random is decided by `seed`.
    pub fn new(version: Version, seed: u32) -> Scribbler {
        Scribbler { version, seed: u64::from(seed), index: 0 }
    }

    /// Tells `lie` once more.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn apply(&mut self, lie: &Lie, region: &Region) -> Result<(), AccessError> {
        match lie.how {
            How::Word { field, value } => field.store(region, self.version, value)?,
            How::Garbage { within, words } => {
                let span = match within {
                    Within::ControlWords => control_bytes(self.version),
                    Within::Everything => region.len(),
                };
                let places = span.min(region.len()) / 4;
                for _ in 0..words {
                    let at = self.draw() % places.max(1) * 4;
                    // Small numbers are the better lies: many of them pass the first checks.
                    let value = match self.draw() % 4 {
                        0 => (self.draw() % 64) as u32,
                        1 => (self.draw() % 65536) as u32,
                        2 => 1u32.rotate_left((self.draw() % 32) as u32),
                        _ => self.draw() as u32,
                    };
                    region.whole().word::<u32>(at)?.store_release(value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first words of a session whose rest is still the old one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn half_make(&mut self, region: &Region) -> Result<(), AccessError> {
        let new_session = self.draw() as u32;
        let header = &self.version.lgmp().header;
        for (at, value) in [(header.magic, MAGIC), (header.session_id, new_session), (header.num_queues, 0)] {
            region.whole().word::<u32>(at)?.store_release(value);
        }
        Ok(())
    }

    /// The heartbeat of a half-made session.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn half_beat(&mut self, region: &Region, now: HostTime) -> Result<(), AccessError> {
        let ms = crate::kvmfr::producer::producer_ms(now);
        region.whole().word::<u64>(self.version.lgmp().header.timestamp)?.store_release(ms);
        Ok(())
    }

    fn draw(&mut self) -> u64 {
        self.index += 1;
        roll(self.seed, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_has_a_name_of_its_own() {
        for (i, lie) in LIES.iter().enumerate() {
            assert_eq!(Lie::by_name(lie.name), Some(lie));
            assert!(LIES.iter().take(i).all(|other| other.name != lie.name), "{}", lie.name);
        }
        assert!(Lie::by_name("nonsense").is_none());
    }
}
