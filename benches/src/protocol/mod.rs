//! The protocols that pictures are handed over by, each as a guest and a reader of the real code. A new version of one is
//! a row in [`ALL`].
//!
//! Slots are the application's: a stock producer of B7 has two. More of them are what its transport could do, which is
//! how the question "would a third slot help?" is answered.

mod lgmp;
pub mod ring;

use crate::timeline::Clock;
use shm_proto::kvmfr::PictureSpec;
use shm_proto::{AccessError, Region, Span};
use std::fmt::Debug;
use std::time::Duration;

/// Bytes of the stamps in the first and in the last row: the frame's number.
const STAMP_BYTES: usize = 8;

/// How fast bytes move in virtual time. Unit: bytes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speeds {
    /// The guest writes a picture, out of its graphics card.
    pub guest: f64,
    /// The host copies it.
    pub host: f64,
}

impl Speeds {
    /// The guest: a card's read-back over a PCIe 4.0 x8 link. The host: one core's streaming copy out of tmpfs on the
    /// reference machine at half its pace, for a machine that does other things too. Source: performance measurements of
    /// the project, 27 GB/s for a 4K frame.
    pub const DEFAULT: Speeds = Speeds { guest: 10e9, host: 13e9 };

    fn time(bytes: u64, per_second: f64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / per_second)
    }

    /// How long the guest writes so many bytes.
    pub fn guest_time(&self, bytes: u64) -> Duration {
        Speeds::time(bytes, self.guest)
    }

    /// How long the host copies so many bytes.
    pub fn host_time(&self, bytes: u64) -> Duration {
        Speeds::time(bytes, self.host)
    }
}

/// What became of a frame that the guest wanted to hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is written: the guest can go on.
    Written,
    /// Readers hold every slot: the guest must wait.
    Full,
    /// Nobody reads yet.
    NobodyReads,
}

/// A frame that a reader has copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number, from the stamp in its first row.
    pub number: u64,
    /// The protocol says that it is whole.
    pub accepted: bool,
    /// First and last row are of the same frame.
    pub is_whole: bool,
}

/// The writing side.
pub trait Guest: Debug + Send {
    /// What is due besides frames: heartbeats, clearing up. At least every 10 ms.
    ///
    /// # Errors
    /// What the protocol says.
    fn tick(&mut self, clock: &dyn Clock) -> anyhow::Result<()>;

    /// Hands over frame `number`, or keeps it to be handed over by [`Guest::tick`]. Takes the time that writing takes.
    ///
    /// # Errors
    /// What the protocol says.
    fn offer(&mut self, clock: &dyn Clock, number: u64) -> anyhow::Result<Offered>;

    /// Whether a frame was written and waits to be handed over, so that [`Guest::tick`] is wanted soon.
    fn keeps_one(&self) -> bool {
        false
    }
}

/// The reading side. It takes the newest frame, as the receivers do.
pub trait Reader: Debug + Send {
    /// Copies the newest frame if there is one. Takes the time that copying takes.
    ///
    /// # Errors
    /// What the protocol says.
    fn take(&mut self, clock: &dyn Clock) -> anyhow::Result<Option<Taken>>;

    /// Copies that the protocol threw away, by its own counters.
    fn torn(&self) -> u64;
}

/// What is handed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The picture.
    pub spec: PictureSpec,
    /// Slots for it.
    pub slots: u32,
    /// The pace of bytes in virtual time.
    pub speeds: Speeds,
}

/// One protocol.
pub trait Protocol: Debug + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// What it is.
    fn what(&self) -> &'static str;
    /// Slots that a stock writer has, if that is fixed.
    fn stock_slots(&self) -> Option<u32>;
    /// Bytes of a region that holds so many slots for this picture; nothing where the protocol cannot have them.
    fn needed_bytes(&self, spec: &PictureSpec, slots: u32) -> Option<u64>;
    /// What the manual tells users to give the VM, if there is a manual. Unit: MiB.
    fn documented_mib(&self, spec: &PictureSpec) -> Option<u64>;
    /// A guest in `region`, which is as large as [`Protocol::needed_bytes`] says.
    ///
    /// # Errors
    /// What the protocol says.
    fn guest(&'static self, region: &Region, load: &Load, clock: &dyn Clock) -> anyhow::Result<Box<dyn Guest>>;
    /// A reader of `region`.
    ///
    /// # Errors
    /// What the protocol says.
    fn reader(&self, region: &Region, load: &Load, seed: u64) -> anyhow::Result<Box<dyn Reader>>;
}

/// Every protocol.
pub static ALL: [&dyn Protocol; 3] = [&lgmp::LGMP_6, &lgmp::LGMP_12, &ring::RING];

/// The protocol of this name.
pub fn find(name: &str) -> Option<&'static dyn Protocol> {
    ALL.into_iter().find(|protocol| protocol.name() == name)
}

/// Writes the number into the first bytes of a row.
fn stamp(row: Span<'_>, number: u64) -> Result<(), AccessError> {
    row.sub(0, STAMP_BYTES as u64)?.copy_from(&number.to_le_bytes())
}

/// The number in the first bytes of a row that was copied.
fn stamp_of(row: &[u8]) -> u64 {
    row.first_chunk::<STAMP_BYTES>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
