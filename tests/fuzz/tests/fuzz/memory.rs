//! Readers of shared memory against whatever is stored there between their looks.

use crate::script::{Step, steps, store};
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
use shm_proto::kvmfr::{CursorState, Version, Viewer};
use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Producer};
use shm_proto::scream::{Format, MAX_CHUNK_BYTES, Poll, Reader, StoreOrder, Writer};
use shm_proto::{HostTime, Purpose, Region};
use std::time::Duration;

/// What a bystander's memory holds; nothing may be written behind the end of what was asked for.
const UNTOUCHED: u8 = 0xEE;

const FORMATS: [(u32, u8, u8, u16); 4] =
    [(48_000, 16, 2, 3), (44_100, 24, 1, 4), (192_000, 32, 8, 0x63F), (96_000, 16, 7, 0x13F)];

#[test]
fn no_bytes_upset_the_reader_of_sound() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((first, input)) = input.split_first() else { return };
        let (rate_hz, bits, channels, mask) = FORMATS[usize::from(first % 4)];
        let format = Format::new(rate_hz, bits, channels, mask).expect("a format of the driver");
        let region = Region::memfd("fuzz-sound", 128 << 10).expect("memory");
        let mut writer = Writer::new(region.clone(), StoreOrder::X64).expect("room");
        let mut reader = Reader::new(region.clone());
        let (mut now, mut pcm) = (HostTime::from_ns(1), vec![UNTOUCHED; MAX_CHUNK_BYTES + 64]);
        let mut open = false;
        for step in steps(input) {
            store(&region, step);
            match step {
                Step::Restart => open = writer.open(format).is_ok(),
                Step::Honest(_) if open => {
                    let bytes = writer.header().map_or(0, |h| h.chunk_size as usize);
                    writer.publish(&vec![0; bytes]).expect("a guest writes as it likes");
                }
                Step::Look(pause) => {
                    now = now + pause;
                    let look = reader.poll(now, &mut pcm[..MAX_CHUNK_BYTES]).expect("the region is there");
                    if let Poll::Chunk(chunk) = look {
                        let layout = reader.layout().expect("a chunk is of a stream");
                        assert_eq!(chunk.bytes, layout.chunk_bytes() as usize);
                        assert!(chunk.bytes <= MAX_CHUNK_BYTES && chunk.waiting < u32::from(layout.slots()));
                        assert!(layout.slot_offset(layout.whole_slots()) <= region.len());
                    }
                }
                _ => {}
            }
            assert!(pcm[MAX_CHUNK_BYTES..].iter().all(|b| *b == UNTOUCHED));
        }
    });
}

/// A receiver that copies what it is given, and forgets it.
struct Screen {
    viewer: Viewer,
    cursor: CursorState,
    pixels: Vec<u8>,
    region_bytes: u64,
}

impl Screen {
    fn new(region: &Region) -> Screen {
        let viewer = Viewer::new(region.clone(), 42).expect("a region for a viewer");
        Screen { viewer, cursor: CursorState::new(), pixels: vec![0; 1 << 20], region_bytes: region.len() }
    }

    fn round(&mut self, now: HostTime) {
        self.viewer.poll(now);
        self.viewer.take_cursor(now, &mut self.cursor);
        let Some(pending) = self.viewer.take_frame(now) else { return };
        let frame = *pending.frame();
        let pitch = frame.pitch_bytes() as usize;
        let end = frame.pixels_at() + u64::from(frame.rows()) * pitch as u64;
        assert!(end <= self.region_bytes, "a frame ends outside the region");
        for rows in frame.damage().bands(frame.rows()) {
            assert!(rows.start <= rows.end && rows.end <= frame.rows(), "damage outside the frame");
            // A picture may be larger than ours; then as much of it as fits.
            let room = self.pixels.len() / pitch;
            let rows = rows.start..rows.end.min(rows.start.saturating_add(room as u32));
            pending.copy_rows(rows, &mut self.pixels, pitch, Purpose::Read).expect("rows inside the frame");
        }
        pending.finish();
    }
}

#[test]
fn no_bytes_upset_the_viewer_of_pictures() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((first, input)) = input.split_first() else { return };
        let version = Version::ALL[usize::from(*first) % Version::ALL.len()];
        let region = Region::memfd("fuzz-picture", 8 << 20).expect("memory");
        let mut now = HostTime::from_ns(1);
        let config = PictureConfig::new(32, 20).speaking(version);
        let mut guest = PictureGuest::start(&region, config, now).expect("room");
        let mut screen = Screen::new(&region);
        for step in steps(input) {
            store(&region, step);
            match step {
                Step::Restart => guest.restart(now).expect("a guest writes as it likes"),
                Step::Honest(time) => {
                    let end = now + time;
                    while now < end {
                        guest.advance(now).expect("a guest writes as it likes");
                        screen.round(now);
                        now = now + Duration::from_millis(5);
                    }
                }
                Step::Look(pause) => {
                    now = now + pause;
                    screen.round(now);
                }
                _ => {}
            }
        }
    });
}

#[test]
fn no_bytes_upset_the_consumer_of_a_ring() {
    bolero::check!().for_each(|input: &[u8]| {
        let region = Region::memfd("fuzz-ring", 64 << 10).expect("memory");
        let geometry = Geometry::new(4, 4_096).expect("a ring");
        let mut producer = Producer::create(&region, geometry).expect("room");
        let mut consumer = Consumer::attach(&region).expect("a region for a ring");
        let (mut now, mut buffer) = (HostTime::from_ns(1), vec![UNTOUCHED; 8_192]);
        for step in steps(input) {
            store(&region, step);
            match step {
                Step::Restart => producer = Producer::create(&region, geometry).expect("room"),
                Step::Honest(_) => drop(producer.publish_bytes(Kind::VideoFrame, Durations::default(), &[7; 1_000])),
                Step::Look(pause) => {
                    now = now + pause;
                    consumer.poll(now);
                    let taken = if pause > Duration::from_millis(5) {
                        consumer.newest(&mut buffer[..4_096])
                    } else {
                        consumer.next(&mut buffer[..4_096])
                    };
                    assert!(taken.is_err() || taken.is_ok_and(|t| t.len <= 4_096));
                    assert!(buffer[4_096..].iter().all(|b| *b == UNTOUCHED));
                }
                _ => {}
            }
        }
    });
}
