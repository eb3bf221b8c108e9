//! Records into a WAV file, from the first sound on: 16-bit if the guest's samples are, else 32-bit float. However it
//! ends, the header says how much there is.

use super::paced::{self, Going, Manner, Pacer};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, create, to_i16};
use hound::{SampleFormat, WavSpec, WavWriter};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// Periods after which the header is made true, should nobody get the chance to do so at the end.
const PERIODS_PER_HEADER: u32 = 100;
/// A WAV file cannot be longer. Unit: bytes.
const MAX_BYTES: u64 = u32::MAX as u64 - (1 << 16);

/// The WAV sink.
pub struct WavSink {
    format: SinkFormat,
    /// Bits of a sample, if the user chose: 16, or 32 for float.
    bits: Option<u8>,
    pacer: Box<dyn Pacer + Send>,
    path: PathBuf,
    state: State,
    most_bytes: u64,
}

enum State {
    /// The file is there, the sound is not.
    Empty(File),
    Recording(Recording),
    Closed,
}

struct Recording {
    wav: WavWriter<BufWriter<File>>,
    float: bool,
    periods: u32,
    bytes: u64,
}

/// The header of a file of which nobody knows how long it will be: both lengths are the longest there are, as programs that
/// write into pipes have it.
pub fn endless_header(format: SinkFormat, float: bool) -> Vec<u8> {
    let mut bytes = io::Cursor::new(Vec::new());
    let made = WavWriter::new(&mut bytes, spec(format, float)).and_then(WavWriter::finalize);
    debug_assert!(made.is_ok(), "{made:?}");
    let mut bytes = bytes.into_inner();
    let end = bytes.len();
    for length in [4, end.saturating_sub(4)] {
        if let Some(field) = bytes.get_mut(length..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *field = u32::MAX.to_le_bytes();
        }
    }
    bytes
}

fn spec(format: SinkFormat, float: bool) -> WavSpec {
    WavSpec {
        // Eight at most.
        channels: format.layout.channels() as u16,
        sample_rate: format.rate_hz,
        bits_per_sample: if float { 32 } else { 16 },
        sample_format: if float { SampleFormat::Float } else { SampleFormat::Int },
    }
}

impl WavSink {
    /// Makes (or empties) `path`.
    ///
    /// # Errors
    /// [`SinkError::File`].
    pub fn open(
        path: &Path,
        format: SinkFormat,
        bits: Option<u8>,
        pacer: Box<dyn Pacer + Send>,
    ) -> Result<WavSink, SinkError> {
        let file = create(path).map_err(|source| SinkError::File { path: path.to_owned(), source })?;
        Ok(WavSink { format, bits, pacer, path: path.to_owned(), state: State::Empty(file), most_bytes: MAX_BYTES })
    }
}

impl Recording {
    fn begin(file: File, format: SinkFormat, bits: u8) -> Result<Recording, hound::Error> {
        let float = bits > 16;
        let wav = WavWriter::new(BufWriter::new(file), spec(format, float))?;
        Ok(Recording { wav, float, periods: 0, bytes: 0 })
    }

    fn write(&mut self, frames: &[f32], most_bytes: u64) -> Result<Going, hound::Error> {
        for x in frames {
            if self.float {
                self.wav.write_sample(*x)?;
            } else {
                self.wav.write_sample(to_i16(*x))?;
            }
        }
        self.bytes += frames.len() as u64 * if self.float { 4 } else { 2 };
        self.periods += 1;
        if self.periods.is_multiple_of(PERIODS_PER_HEADER) {
            self.wav.flush()?;
        }
        Ok(if self.bytes < most_bytes { Going::On } else { Going::Done })
    }
}

impl State {
    fn write(
        &mut self,
        frames: &[f32],
        sounding: bool,
        format: SinkFormat,
        bits: Option<u8>,
        most_bytes: u64,
    ) -> Result<Going, hound::Error> {
        if let State::Empty(_) = self {
            if !sounding {
                return Ok(Going::On);
            }
            let State::Empty(file) = core::mem::replace(self, State::Closed) else { return Ok(Going::Done) };
            *self = State::Recording(Recording::begin(file, format, bits.unwrap_or(32))?);
        }
        match self {
            State::Recording(recording) => recording.write(frames, most_bytes),
            _ => Ok(Going::Done),
        }
    }

    fn finish(&mut self, format: SinkFormat) -> Result<(), hound::Error> {
        match core::mem::replace(self, State::Closed) {
            State::Empty(file) => Recording::begin(file, format, 16)?.wav.finalize(),
            State::Recording(recording) => recording.wav.finalize(),
            State::Closed => Ok(()),
        }
    }
}

impl Sink for WavSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        control.tell(Notice::Open { name: self.path.display().to_string(), format: self.format });
        let WavSink { format, bits, pacer, path, state, most_bytes } = self;
        let failed = |e: hound::Error| SinkError::File { path: path.clone(), source: into_io(e) };
        let mut write = |frames: &[f32], sounding, guest_bits: Option<u8>| {
            let going = state.write(frames, sounding, *format, bits.or(guest_bits), *most_bytes).map_err(&failed)?;
            if going == Going::Done {
                let reason = format!("{} is full: a WAV file ends at 4 GiB", path.display());
                control.tell(Notice::Full { reason });
            }
            Ok(going)
        };
        let ran = paced::run(&mut *source, *format, Manner::FILE, &mut **pacer, control, &mut write);
        // Also after an error: what was written before it can be heard then.
        let finished = state.finish(*format).map_err(&failed);
        ran.and(finished)
    }
}

fn into_io(e: hound::Error) -> io::Error {
    match e {
        hound::Error::IoError(e) => e,
        e => io::Error::other(e.to_string()),
    }
}

impl core::fmt::Debug for WavSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WavSink").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::Layout;
    use crate::sink::Filled;
    use crate::sink::paced::RealTime;
    use core::time::Duration;
    use rx_host::signals::Stop;
    use shm_proto::HostTime;
    use std::sync::{Arc, mpsc};

    /// Sounds without end.
    struct Endless;

    impl Source for Endless {
        fn open(&mut self, _: SinkFormat) {}

        fn fill(&mut self, out: &mut [f32], _: HostTime, _: Duration) -> Filled {
            out.fill(0.5);
            Filled { frames: out.len() / 2, sounding: true }
        }

        fn keep_up(&mut self, _: HostTime) -> bool {
            false
        }

        fn finish(&mut self) {}

        fn guest_bits(&self) -> Option<u8> {
            Some(16)
        }
    }

    #[test]
    fn a_file_that_can_grow_no_more_is_the_end_and_that_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.wav");
        let format = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };
        let mut sink = WavSink::open(&path, format, None, Box::new(RealTime)).unwrap();
        sink.most_bytes = 5_000;
        let (notices, told) = mpsc::channel();
        let control = Control { stop: Stop::new().unwrap(), counters: Arc::default(), notices };
        sink.run(Box::new(Endless), &control).unwrap();
        drop(control);
        let told: Vec<Notice> = told.iter().collect();
        assert!(matches!(&told[1], Notice::Full { reason } if reason.contains("4 GiB")), "{told:?}");
        let wav = hound::WavReader::open(&path).unwrap();
        assert_eq!(wav.duration(), 3 * 480, "what was written can be heard");
    }
}
