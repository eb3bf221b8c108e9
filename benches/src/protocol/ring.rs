//! Our own ring: as many slots as one likes, a writer that never waits, and readers that find out when they were lapped.

use super::{Guest, Load, Offered, Protocol, Reader, STAMP_BYTES, Taken, stamp, stamp_of};
use crate::timeline::Clock;
use shm_proto::kvmfr::PictureSpec;
use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Miss, Producer};
use shm_proto::{Purpose, Region};

/// Our own ring.
pub(super) static RING: Ring = Ring;

/// Pieces that a picture is really moved in, so that both protocols pay the same for calls. Unit: bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// What a ring needs for pictures of this many bytes; nothing where none has so many slots, or so large ones.
pub fn needed_bytes(picture_bytes: u64, slots: u32) -> Option<u64> {
    let payload_bytes = u32::try_from(picture_bytes).ok()?;
    Geometry::new(slots, payload_bytes).ok().map(|geometry| geometry.region_bytes())
}

#[derive(Debug)]
pub(super) struct Ring;

impl Protocol for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn what(&self) -> &'static str {
        "our own ring"
    }

    fn stock_slots(&self) -> Option<u32> {
        None
    }

    fn needed_bytes(&self, spec: &PictureSpec, slots: u32) -> Option<u64> {
        needed_bytes(spec.bytes(), slots)
    }

    fn documented_mib(&self, _spec: &PictureSpec) -> Option<u64> {
        None
    }

    fn guest(&'static self, region: &Region, load: &Load, _clock: &dyn Clock) -> anyhow::Result<Box<dyn Guest>> {
        let geometry = Geometry::new(load.slots, u32::try_from(load.spec.bytes())?)?;
        let source = vec![0x3C; PIECE_BYTES as usize];
        Ok(Box::new(RingGuest { producer: Producer::create(region, geometry)?, load: *load, source }))
    }

    fn reader(&self, region: &Region, load: &Load, _seed: u64) -> anyhow::Result<Box<dyn Reader>> {
        Ok(Box::new(RingReader { consumer: Consumer::attach(region)?, load: *load, buffer: Vec::new() }))
    }
}

#[derive(Debug)]
struct RingGuest {
    producer: Producer,
    load: Load,
    source: Vec<u8>,
}

impl Guest for RingGuest {
    fn tick(&mut self, clock: &dyn Clock) -> anyhow::Result<()> {
        Ok(self.producer.heartbeat(clock.now())?)
    }

    fn offer(&mut self, clock: &dyn Clock, number: u64) -> anyhow::Result<Offered> {
        let RingGuest { producer, load, source } = self;
        let bytes = load.spec.bytes();
        let last_row = bytes - u64::from(load.spec.pitch_bytes);
        producer.publish(Kind::VideoFrame, Durations::default(), |room| {
            stamp(room, number)?;
            if clock.is_real() {
                let mut at = STAMP_BYTES as u64;
                while at < bytes {
                    let len = PIECE_BYTES.min(bytes - at);
                    let piece = source.get(..len as usize).unwrap_or_default();
                    room.sub(at, len)?.copy_from(piece)?;
                    at += len;
                }
            } else {
                clock.sleep(load.speeds.guest_time(bytes));
            }
            stamp(room.sub(last_row, STAMP_BYTES as u64)?, number)?;
            Ok(bytes)
        })?;
        Ok(Offered::Written)
    }
}

#[derive(Debug)]
struct RingReader {
    consumer: Consumer,
    load: Load,
    buffer: Vec<u8>,
}

impl Reader for RingReader {
    fn take(&mut self, clock: &dyn Clock) -> anyhow::Result<Option<Taken>> {
        let RingReader { consumer, load, buffer } = self;
        let bytes = load.spec.bytes();
        let last_row = bytes - u64::from(load.spec.pitch_bytes);
        if clock.is_real() {
            buffer.resize(usize::try_from(bytes)?, 0);
        }
        consumer.poll(clock.now());
        let (mut first, mut last) = (0, 0);
        let taken = consumer.newest_with(|_, payload| {
            let mut ends = [[0; STAMP_BYTES]; 2];
            if clock.is_real() {
                payload.copy_to(buffer, Purpose::HandOff)?;
                ends = [0, last_row as usize].map(|at| stamp_of(&buffer[at..]).to_le_bytes());
            } else {
                payload.sub(0, STAMP_BYTES as u64)?.copy_to(&mut ends[0], Purpose::Read)?;
                clock.sleep(load.speeds.host_time(bytes));
                payload.sub(last_row, STAMP_BYTES as u64)?.copy_to(&mut ends[1], Purpose::Read)?;
            }
            [first, last] = ends.map(u64::from_le_bytes);
            Ok(())
        });
        match taken {
            Ok(_) => Ok(Some(Taken { number: first, accepted: true, is_whole: first == last })),
            Err(Miss::Overrun) => Ok(Some(Taken { number: first, accepted: false, is_whole: false })),
            Err(Miss::Nothing | Miss::NoRing) => Ok(None),
            Err(miss) => Err(miss.into()),
        }
    }

    fn torn(&self) -> u64 {
        self.consumer.counters().torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_needs_its_slots_and_one_line_for_each() {
        assert_eq!(needed_bytes(3840 * 4 * 2160, 3), Some(192 + 3 * (64 + 3840 * 4 * 2160)));
        assert!(needed_bytes(1 << 40, 2).is_none() && needed_bytes(64, 1).is_none());
    }
}
