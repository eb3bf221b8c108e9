//! The intake's end of a stream: PCM of the guest in, float frames in the sink's order of channels out, and with each piece
//! the news of it. Frames are numbered here.

use super::{Content, QUIET};
use crate::channels::Matrix;
use crate::convert;
use crate::sink::SinkFormat;
use rtrb::Producer;
use shm_proto::HostTime;
use shm_proto::scream::Format;

/// One chunk or datagram, as the engine hears of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) start: u64,
    pub(super) frames: u32,
    /// Its frames are in the ring.
    pub(super) stored: bool,
    /// All of it is digital silence.
    pub(super) quiet: bool,
    pub(super) at: HostTime,
}

/// The intake's end: takes PCM, passes frames on.
#[derive(Debug)]
pub struct Feed {
    data: Producer<f32>,
    arrivals: Producer<Arrived>,
    format: Format,
    matrix: Matrix,
    sink: SinkFormat,
    decoded: Vec<f32>,
    mapped: Vec<f32>,
    next: u64,
    content: Content,
}

impl Feed {
    /// The end of a stream of `format` that goes into these two rings, spread over the channels of `sink` by `matrix`.
    pub(super) fn new(
        (data, arrivals): (Producer<f32>, Producer<Arrived>),
        format: Format,
        matrix: Matrix,
        sink: SinkFormat,
        content: Content,
    ) -> Feed {
        // A tenth of a second in one piece is more than any transport publishes at once.
        let most_frames = format.rate_hz() as usize / 10;
        Feed {
            data,
            arrivals,
            format,
            matrix,
            sink,
            decoded: vec![0.0; most_frames * usize::from(format.channels())],
            mapped: vec![0.0; most_frames * sink.layout.channels()],
            next: 0,
            content,
        }
    }

    /// Passes on the PCM that became visible at `at`. Whether the ring took it; if not, the engine learns that it was
    /// there and is gone.
    ///
    /// Real-time safe.
    pub fn push(&mut self, pcm: &[u8], at: HostTime) -> bool {
        let channels = usize::from(self.format.channels());
        let samples = convert::to_f32(self.format.bits(), pcm, &mut self.decoded);
        let frames = samples / channels;
        let decoded = self.decoded.get(..frames * channels).unwrap_or_default();
        let frames = self.matrix.apply(decoded, &mut self.mapped);
        let mapped = self.mapped.get(..frames * self.sink.layout.channels()).unwrap_or_default();
        let quiet = mapped.iter().all(|x| x.abs() < QUIET);
        // The arrival goes last: whoever sees it finds the frames.
        let stored = self.arrivals.slots() > 0 && self.data.push_entire_slice(mapped).is_ok();
        self.announce(frames as u32, stored, quiet, at);
        stored
    }

    /// As [`Feed::push`] for `frames` of a stream of times alone, whether `quiet` or not.
    pub fn push_times(&mut self, frames: u32, quiet: bool, at: HostTime) -> bool {
        let stored = self.content == Content::Times && self.arrivals.slots() > 0;
        self.announce(frames, stored, quiet, at);
        stored
    }

    fn announce(&mut self, frames: u32, stored: bool, quiet: bool, at: HostTime) {
        let arrived = Arrived { start: self.next, frames, stored, quiet, at };
        self.next = self.next.saturating_add(u64::from(frames));
        let _ = self.arrivals.push(arrived);
    }

    /// What comes next is the guest's frame `frame`, counted from the start of its stream; what lies between is lost.
    /// Never goes back.
    pub fn go_on_at(&mut self, frame: u64) {
        self.next = self.next.max(frame);
    }

    /// What the guest writes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it was opened for.
    pub fn sink(&self) -> SinkFormat {
        self.sink
    }
}
