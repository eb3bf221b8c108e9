//! Lies: what a hostile or broken guest can write, each under a name that tests and the command line use. The rows are
//! those of the wire reference's table 4.1 and its traps.

use super::dice::roll;
use crate::kvmfr::producer::Tampering;
use crate::kvmfr::wire::V20;
use crate::lgmp::host::Block;
use crate::lgmp::wire::{MAGIC, V6};
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
    /// This u32 of the region is stored again after every step.
    Word {
        /// Offset from the start of the region.
        at: u64,
        /// What is stored.
        value: u32,
    },
    /// These words replace honest ones in every frame header.
    FrameHeader(&'static [(usize, u32)]),
    /// These words replace honest ones in every cursor header; a shape comes with every move.
    CursorHeader(&'static [(usize, u32)]),
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
    /// Random words at random places of the first so many bytes, some at every step.
    Garbage {
        /// How far from the start.
        span: u64,
        /// How many words per step.
        words: u32,
    },
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

// The producer makes the queue of frames first.
const FRAMES: u64 = V6.header.queues;
const POINTER: u64 = V6.header.queues + V6.queue.size;

const fn word(name: &'static str, at: u64, value: u32) -> Lie {
    Lie { name, how: How::Word { at, value } }
}

const fn frame(name: &'static str, words: &'static [(usize, u32)]) -> Lie {
    Lie { name, how: How::FrameHeader(words) }
}

const fn cursor(name: &'static str, words: &'static [(usize, u32)]) -> Lie {
    Lie { name, how: How::CursorHeader(words) }
}

const fn frame_block(name: &'static str, offset: u32, size: u32) -> Lie {
    Lie { name, how: How::FrameBlock(Block { offset, size }) }
}

/// Every lie.
pub const LIES: &[Lie] = &[
    word("queues-1000", V6.header.num_queues, 1000),
    word("queues-none", V6.header.num_queues, 0),
    word("ring-of-0", FRAMES + V6.queue.num_messages, 0),
    word("ring-of-1", POINTER + V6.queue.num_messages, 1),
    word("ring-of-4-billion", FRAMES + V6.queue.num_messages, u32::MAX),
    word("ring-in-header", FRAMES + V6.queue.messages_offset, 64),
    word("ring-outside", POINTER + V6.queue.messages_offset, 0xFFFF_FFF0),
    word("ring-unaligned", FRAMES + V6.queue.messages_offset, 8193),
    word("position-3", FRAMES + V6.queue.position, 3),
    word("position-garbage", POINTER + V6.queue.position, 0x8000_0000),
    word("start-garbage", FRAMES + V6.queue.start, u32::MAX),
    word("count-65", FRAMES + V6.queue.count, 65),
    word("count-garbage", POINTER + V6.queue.count, 0x8000_0000),
    word("count-0", FRAMES + V6.queue.count, 0),
    word("nobody-subscribed", FRAMES + V6.queue.subs + 4, 0),
    word("everybody-subscribed", FRAMES + V6.queue.subs + 4, u32::MAX),
    word("everybody-bad", FRAMES + V6.queue.subs, u32::MAX),
    word("pointer-bad", POINTER + V6.queue.subs, u32::MAX),
    word("place-renamed", FRAMES + V6.queue.client_id, 0x5A5A_5A5A),
    word("max-time-0", FRAMES + V6.queue.max_time, 0),
    word("lock-held", FRAMES + V6.queue.lock, 1),
    word("pointer-lock-held", POINTER + V6.queue.lock, 1),
    word("mail-lock-held", POINTER + V6.queue.mail_lock, 1),
    word("mail-position-1000", POINTER + V6.queue.mail_write_pos, 1000),
    word("mail-free-1000", POINTER + V6.queue.mail_avail, 1000),
    word("mail-full", POINTER + V6.queue.mail_avail, 0),
    word("magic-gone", V6.header.magic, 0),
    word("version-0", V6.header.version, 0),
    word("session-changes", V6.header.session_id, 0x7777_7777),
    word("udata-4-gib", V6.header.udata_size, u32::MAX),
    word("udata-none", V6.header.udata_size, 0),
    word("udata-47", V6.header.udata_size, 47),
    word("kvmfr-magic", V6.header.udata, 0x4242_4242),
    word("kvmfr-version", V6.header.udata + 8, 99),
    word("version-text", V6.header.udata + 12, 0x5B1B_5B1B),
    word("record-size", V6.header.udata + 52, u32::MAX),
    word("record-size-10", V6.header.udata + 52, 10),
    Lie { name: "heartbeat-stands", how: How::FrozenHeartbeat },
    frame("type-0", &[(V20.frame.pixel_type, 0)]),
    frame("type-7", &[(V20.frame.pixel_type, 7)]),
    frame("type-garbage", &[(V20.frame.pixel_type, u32::MAX)]),
    frame("offset-0", &[(V20.frame.offset, 0)]),
    frame("offset-unaligned", &[(V20.frame.offset, 4093)]),
    frame("offset-outside", &[(V20.frame.offset, 0xFFFF_FFFC)]),
    frame("height-0", &[(V20.frame.frame_height, 0)]),
    frame("height-garbage", &[(V20.frame.frame_height, u32::MAX)]),
    frame("data-height-16384", &[(V20.frame.data_height, 16384)]),
    frame("both-heights-16384", &[(V20.frame.data_height, 16384), (V20.frame.frame_height, 16384)]),
    frame("width-0", &[(V20.frame.frame_width, 0)]),
    frame("width-garbage", &[(V20.frame.frame_width, u32::MAX), (V20.frame.data_width, u32::MAX)]),
    frame("screen-garbage", &[(V20.frame.screen_width, u32::MAX)]),
    frame("pitch-0", &[(V20.frame.pitch, 0)]),
    frame("pitch-short", &[(V20.frame.pitch, 3)]),
    frame("pitch-garbage", &[(V20.frame.pitch, 0xFFFF_FFFC)]),
    frame("stride-garbage", &[(V20.frame.stride, u32::MAX)]),
    frame("damage-65", &[(V20.frame.damage_count, 65)]),
    frame("damage-0x80000000", &[(V20.frame.damage_count, 0x8000_0000)]),
    frame(
        "damage-outside",
        &[
            (V20.frame.damage_count, 1),
            (V20.frame.damage, 0xFFFF_FFF0),
            (V20.frame.damage + 4, 0xFFFF_FFF0),
            (V20.frame.damage + 8, 0xFFFF_FFF0),
        ],
    ),
    frame("rotation-garbage", &[(V20.frame.rotation, 99)]),
    frame("flags-garbage", &[(V20.frame.flags, 0xFFFF_FFE0)]),
    frame("format-ver-0", &[(V20.frame.format_ver, 0)]),
    frame("serial-stands", &[(V20.frame.serial, 5)]),
    frame_block("frame-outside", 0xFFFF_F000, 1 << 20),
    frame_block("frame-unaligned", 4097, 1 << 20),
    frame_block("frame-tiny", 8192, 1083),
    frame_block("frame-header-only", 8192, 1084),
    frame_block("frame-whole-memory", 0, u32::MAX),
    Lie { name: "write-pointer-stands", how: How::FrozenWritePointer },
    Lie { name: "write-pointer-large", how: How::WritePointer(u32::MAX) },
    Lie { name: "write-pointer-odd", how: How::WritePointer(4001) },
    Lie { name: "ignores-viewers", how: How::IgnoresViewers },
    Lie { name: "restart-in-frame", how: How::RestartInFrame },
    Lie { name: "magic-first", how: How::MagicFirst },
    cursor("cursor-type-3", &[(V20.cursor.kind, 3)]),
    cursor("cursor-width-0", &[(V20.cursor.width, 0)]),
    cursor("cursor-width-garbage", &[(V20.cursor.width, u32::MAX)]),
    cursor("cursor-height-garbage", &[(V20.cursor.height, 0x4000_0000)]),
    cursor("cursor-height-odd", &[(V20.cursor.kind, 1), (V20.cursor.height, 33)]),
    cursor("cursor-pitch-0", &[(V20.cursor.pitch, 0)]),
    cursor("cursor-pitch-garbage", &[(V20.cursor.pitch, u32::MAX)]),
    cursor("cursor-too-many-bytes", &[(V20.cursor.height, 1024), (V20.cursor.pitch, 4096)]),
    cursor("cursor-hotspot", &[(V20.cursor.hotspot_x, 0x8080)]),
    Lie { name: "pointer-outside", how: How::PointerBlock(Block { offset: 0xFFFF_FFF0, size: 1 << 20 }) },
    Lie { name: "pointer-tiny", how: How::PointerBlock(Block { offset: 8192, size: 23 }) },
    Lie { name: "garbage-header", how: How::Garbage { span: 6284, words: 4 } },
    Lie { name: "garbage-everywhere", how: How::Garbage { span: u64::MAX, words: 64 } },
];

impl Lie {
    /// The lie of this name.
    pub fn by_name(name: &str) -> Option<&'static Lie> {
        LIES.iter().find(|l| l.name == name)
    }
}

/// Writes the lies that are told by storing into the region.
#[derive(Debug)]
pub struct Scribbler {
    seed: u64,
    index: u64,
}

impl Scribbler {
    /// What it writes at random is decided by `seed`.
    pub fn new(seed: u32) -> Scribbler {
        Scribbler { seed: u64::from(seed), index: 0 }
    }

    /// Tells `lie` once more.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn apply(&mut self, lie: &Lie, region: &Region) -> Result<(), AccessError> {
        match lie.how {
            How::Word { at, value } => region.whole().word::<u32>(at & !3)?.store_release(value),
            How::Garbage { span, words } => {
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
        for (at, value) in [(V6.header.magic, MAGIC), (V6.header.session_id, new_session), (V6.header.num_queues, 0)] {
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
        region.whole().word::<u64>(V6.header.timestamp)?.store_release(ms);
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
            if let How::Word { at, .. } = lie.how {
                assert!(at.is_multiple_of(4), "{}", lie.name);
            }
        }
        assert!(Lie::by_name("nonsense").is_none());
    }
}
