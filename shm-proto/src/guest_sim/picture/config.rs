//! What a simulated guest shows, how fast, and how it publishes it.

use super::super::pattern::Motion;
use super::super::pointer::PointerMode;
use crate::kvmfr::{GuestTiming, PictureSpec, PixelType, ProducerConfig, Version};
use core::time::Duration;

/// In which steps the write pointer follows the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// Every MiB and at the end, as full copies do.
    #[default]
    Steps,
    /// At the ends of the bands of rows that changed, as damage copies do.
    Bands,
    /// Once, at the end.
    AtEnd,
}

/// What the guest shows and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureConfig {
    /// Size, pixel type and pitch.
    pub spec: PictureSpec,
    /// What moves.
    pub motion: Motion,
    /// Pictures per second; 0 is as fast as viewers take them.
    pub rate_hz: u32,
    /// When viewers learn about rows.
    pub publish: Publish,
    /// How long it takes to write one picture.
    pub write_time: Duration,
    /// What it says its stages took, where the version can; nothing: the truth.
    pub timing: Option<GuestTiming>,
    /// The cursor's shape.
    pub pointer: PointerMode,
    /// Cursor moves per second; 0 is a cursor that stands.
    pub pointer_rate_hz: u32,
    /// Memory layout, identity, session.
    pub producer: ProducerConfig,
}

impl PictureConfig {
    /// A moving bar in BGRA, 60 pictures per second, with a colour cursor.
    pub fn new(width: u32, height: u32) -> PictureConfig {
        PictureConfig {
            spec: PictureSpec::new(PixelType::Bgra, width, height),
            motion: Motion::Bar,
            rate_hz: 60,
            publish: Publish::Steps,
            write_time: Duration::ZERO,
            timing: None,
            pointer: PointerMode::Color,
            pointer_rate_hz: 125,
            producer: ProducerConfig::default(),
        }
    }

    /// The same by a producer of another version.
    pub fn speaking(mut self, version: Version) -> PictureConfig {
        self.producer.version = version;
        self
    }

    /// Bytes of shared memory that as many of these pictures as the version has slots need, a power of two.
    pub fn region_bytes(&self) -> u64 {
        let align = u64::from(self.producer.align_bytes);
        let count = self.producer.version.layout().habits.frame_buffers as u64;
        let slots = count * (self.spec.bytes().next_multiple_of(align) + 2 * align);
        // What stands beside the slots: 3.1 MiB of cursor and queues, 2.3 more in newer versions.
        let fixed = if self.producer.version.layout().habits.recovery_block { 6 << 20 } else { 4 << 20 };
        (slots + fixed).next_power_of_two()
    }
}
