//! A tour through everything a guest can show: pointers, pixel types, high dynamic range, sizes, turns, restarts, versions.
//! Pure: it is told the time and changes the guest when a stop is due.

use super::pattern::Motion;
use super::picture::{PictureConfig, PictureGuest};
use super::pointer::PointerMode;
use crate::kvmfr::{FrameFlags, PictureSpec, PixelType, Rotation, Version};
use crate::lgmp::host::HostError;
use crate::time::HostTime;
use core::time::Duration;

/// How long each stop lasts.
pub const STOP_FOR: Duration = Duration::from_millis(2500);

/// A stop of the tour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What is seen.
    pub name: &'static str,
    /// What changes.
    pub change: Change,
}

/// What a stop changes. Everything else is as at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The pointer.
    Pointer(PointerMode),
    /// Pixel type and flags.
    Pixels(PixelType, u32),
    /// The mode: so many parts of three of the start's, each way.
    ThirdsOf(u32),
    /// The picture lies turned in memory.
    Turn(Rotation),
    /// The guest scales its picture down to half of the desktop.
    Downsample,
    /// What moves.
    Motion(Motion),
    /// A new session with this version.
    Restart(Version),
}

const fn stop(name: &'static str, change: Change) -> Stop {
    Stop { name, change }
}

/// The stops, in order; after the last comes the first.
pub const STOPS: &[Stop] = &[
    stop("a pointer in colour, with soft edges", Change::Pointer(PointerMode::Color)),
    stop("a pointer of one bit that inverts what is below", Change::Pointer(PointerMode::Monochrome)),
    stop("a pointer that replaces and inverts", Change::Pointer(PointerMode::Masked)),
    stop("everything moves", Change::Motion(Motion::Scroll)),
    stop("pixels in the order red, green, blue", Change::Pixels(PixelType::Rgba, 0)),
    stop("ten bits a colour", Change::Pixels(PixelType::Rgba10, 0)),
    stop("HDR as PQ", Change::Pixels(PixelType::Rgba10, FrameFlags::HDR | FrameFlags::HDR_PQ)),
    stop("HDR as half floats", Change::Pixels(PixelType::Rgba16F, FrameFlags::HDR)),
    stop("24 bits packed in words", Change::Pixels(PixelType::Bgr32, 0)),
    stop("24 bits", Change::Pixels(PixelType::Rgb24, 0)),
    stop("a smaller mode", Change::ThirdsOf(2)),
    stop("a picture that lies on its side in memory", Change::Turn(Rotation::Quarter)),
    stop("a picture that the guest scaled down", Change::Downsample),
    stop("the guest's program starts again", Change::Restart(Version::B7)),
    stop("release B6", Change::Restart(Version::B6)),
    stop("LGMP 7", Change::Restart(Version::Lgmp7)),
    stop("LGMP 10", Change::Restart(Version::Lgmp10)),
    stop("LGMP 12 with KVMFR 34", Change::Restart(Version::Lgmp12)),
];

/// Where the tour is.
#[derive(Clone, Debug)]
pub struct Tour {
    start: PictureConfig,
    next: usize,
    due: HostTime,
}

impl Tour {
    /// A tour that begins at once with the guest of `start`.
    pub fn new(start: PictureConfig, now: HostTime) -> Tour {
        Tour { start, next: 0, due: now }
    }

    /// Bytes of shared memory that every stop of a tour of `start` fits into.
    pub fn region_bytes(start: &PictureConfig) -> u64 {
        let needs = |version, pixel_type| {
            let mut config = start.clone().speaking(version);
            config.spec = PictureSpec::new(pixel_type, start.spec.width, start.spec.height);
            config.region_bytes()
        };
        let sizes = Version::ALL.map(|version| needs(version, PixelType::Rgba16F));
        sizes.into_iter().max().unwrap_or(0)
    }

    /// When the next stop is due.
    pub fn next_due(&self) -> HostTime {
        self.due
    }

    /// Changes the guest if a stop is due, which it tells.
    ///
    /// # Errors
    /// As [`PictureGuest::restart`].
    pub fn advance(&mut self, guest: &mut PictureGuest, now: HostTime) -> Result<Option<&'static Stop>, HostError> {
        if now < self.due {
            return Ok(None);
        }
        let Some(stop) = STOPS.get(self.next) else { return Ok(None) };
        self.next = (self.next + 1) % STOPS.len();
        self.due = now + STOP_FOR;
        let (spec, motion, pointer) = self.at(stop.change);
        if let Change::Restart(version) = stop.change {
            guest.restart_as(version, now)?;
        }
        guest.set_picture(spec, motion);
        guest.set_pointer(pointer, now)?;
        Ok(Some(stop))
    }

    fn at(&self, change: Change) -> (PictureSpec, Motion, PointerMode) {
        let PictureConfig { mut spec, mut motion, mut pointer, .. } = self.start;
        let (width, height) = (spec.width, spec.height);
        match change {
            Change::Pointer(mode) => pointer = mode,
            Change::Pixels(pixel_type, flags) => {
                spec = PictureSpec { flags, ..PictureSpec::new(pixel_type, width, height) };
            }
            Change::ThirdsOf(parts) => {
                let part = |side: u32| (u64::from(side) * u64::from(parts) / 3).max(1);
                // At most the side itself, which fits.
                spec = PictureSpec::new(spec.pixel_type, part(width) as u32, part(height) as u32);
            }
            Change::Turn(rotation) => {
                spec = PictureSpec::new(spec.pixel_type, height, width);
                spec.rotation = rotation;
                spec.screen = (width, height);
            }
            Change::Downsample => {
                spec = PictureSpec::new(spec.pixel_type, (width / 2).max(1), (height / 2).max(1));
                spec.screen = (width, height);
            }
            Change::Motion(wanted) => motion = wanted,
            Change::Restart(_) => {}
        }
        (spec, motion, pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::map::Region;

    #[test]
    fn every_stop_fits_and_all_come_in_turn() {
        let start = PictureConfig::new(320, 200);
        let region = Region::memfd("tour", Tour::region_bytes(&start)).unwrap();
        let mut now = HostTime::from_ns(1);
        let mut guest = PictureGuest::start(&region, start.clone(), now).unwrap();
        let mut tour = Tour::new(start, now);
        let mut seen = Vec::new();
        while seen.len() < 2 * STOPS.len() {
            if let Some(stop) = tour.advance(&mut guest, now).unwrap() {
                seen.push(stop.name);
                let spec = guest.config().spec;
                assert_eq!(guest.producer().rows_that_fit(&spec), spec.height, "{}", stop.name);
            }
            assert!(tour.advance(&mut guest, now).unwrap().is_none(), "once");
            guest.advance(now).unwrap();
            now = tour.next_due();
        }
        let names: Vec<_> = STOPS.iter().map(|s| s.name).collect();
        assert_eq!(seen, [names.clone(), names].concat());
    }
}
