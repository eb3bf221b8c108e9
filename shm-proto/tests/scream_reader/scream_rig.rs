//! A writer, a reader and a clock that moves only when told, for the tests of the Scream reader.
//!
//! Every chunk published here holds its own number in each 32-bit word, counted over all streams, so a test can tell
//! which chunk it got, and whether it got it whole.

use core::time::Duration;
use shm_proto::scream::wire::WireHeader;
use shm_proto::scream::{Chunk, Format, Layout, MAX_CHUNK_BYTES, Poll, Reader, StoreOrder, Waiting, Writer};
use shm_proto::{HostTime, Region};

pub struct Rig {
    pub writer: Writer,
    pub reader: Reader,
    pub now: HostTime,
    pub pcm: Vec<u8>,
    /// The number that the next chunk gets.
    pub number: u32,
}

pub fn stereo() -> Format {
    Format::new(48_000, 16, 2, 3).unwrap()
}

/// The header that the driver makes.
pub fn driver_header(format: Format, region_bytes: u64) -> WireHeader {
    Writer::header_for(format, region_bytes).unwrap()
}

impl Rig {
    /// A region of `bytes` bytes that nobody has looked at or written to.
    pub fn new(bytes: u64) -> Rig {
        let region = Region::memfd("scream-rig", bytes).unwrap();
        Rig {
            writer: Writer::new(region.clone(), StoreOrder::X64).unwrap(),
            reader: Reader::new(region),
            now: HostTime::from_ns(7_000_000_000),
            pcm: vec![0; MAX_CHUNK_BYTES],
            number: 1,
        }
    }

    /// A reader that watched the region before `header` was opened, and was told that the stream started.
    pub fn started_as(bytes: u64, header: WireHeader) -> (Rig, Layout) {
        let mut rig = Rig::new(bytes);
        assert_eq!(rig.poll(), Poll::Nothing(Waiting::NoStream));
        rig.writer.open_as(header).unwrap();
        let layout = rig.settle();
        (rig, layout)
    }

    /// The same for the driver's header of 48 kHz, 16 bit, stereo in 2 MiB.
    pub fn started() -> Rig {
        Rig::started_as(2 << 20, Writer::header_for(stereo(), 2 << 20).unwrap()).0
    }

    /// Looks twice, far enough apart, and expects a start.
    pub fn settle(&mut self) -> Layout {
        assert_eq!(self.poll(), Poll::Nothing(Waiting::Settling));
        match self.poll() {
            Poll::Started(layout) => layout,
            other => panic!("no start but {other:?}"),
        }
    }

    /// Publishes the next chunk and gives its number.
    pub fn publish(&mut self) -> u32 {
        let number = self.number;
        let bytes = self.writer.header().unwrap().chunk_size as usize;
        self.writer.publish(&numbered(number, bytes)).unwrap();
        self.number += 1;
        number
    }

    pub fn publish_many(&mut self, chunks: u32) {
        for _ in 0..chunks {
            self.publish();
        }
    }

    pub fn sleep_ms(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// A look, one millisecond after the one before.
    pub fn poll(&mut self) -> Poll {
        self.sleep_ms(1);
        self.pcm.fill(0xEE);
        self.reader.poll(self.now, &mut self.pcm).unwrap()
    }

    /// A look that must give a chunk; which one is in it.
    pub fn chunk(&mut self) -> (Chunk, u32) {
        match self.poll() {
            Poll::Chunk(chunk) => (chunk, self.number_in(chunk)),
            other => panic!("no chunk but {other:?}"),
        }
    }

    /// The number that fills the chunk; panics if it is not the same everywhere, or if more was written than told.
    pub fn number_in(&self, chunk: Chunk) -> u32 {
        let number = u32::from_le_bytes(*self.pcm.first_chunk().unwrap());
        let mut words = self.pcm[..chunk.bytes].chunks(4);
        let number_bytes = number.to_le_bytes();
        assert!(words.all(|word| word == &number_bytes[..word.len()]), "chunk {number} is torn");
        assert!(
            self.pcm[chunk.bytes..].iter().take(64).all(|byte| *byte == 0xEE),
            "bytes behind the chunk were touched"
        );
        number
    }

    /// Takes all chunks that wait, and gives their numbers.
    pub fn drain(&mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        loop {
            match self.poll() {
                Poll::Chunk(chunk) => numbers.push(self.number_in(chunk)),
                Poll::Nothing(_) => return numbers,
                Poll::Torn | Poll::Started(_) => {}
            }
        }
    }
}

pub fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(bytes).collect()
}
