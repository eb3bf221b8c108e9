//! Records into a WAV file, from the first sound on: 16-bit if the guest's samples are, else 32-bit float. However it
//! ends, the header says how much there is.

use super::paced::{self, Going, Manner, Pacer};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, to_i16};
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
        let file = File::create(path).map_err(|source| SinkError::File { path: path.to_owned(), source })?;
        Ok(WavSink { format, bits, pacer, path: path.to_owned(), state: State::Empty(file) })
    }
}

impl Recording {
    fn begin(file: File, format: SinkFormat, bits: u8) -> Result<Recording, hound::Error> {
        let float = bits > 16;
        let spec = WavSpec {
            // Eight at most.
            channels: format.layout.channels() as u16,
            sample_rate: format.rate_hz,
            bits_per_sample: if float { 32 } else { 16 },
            sample_format: if float { SampleFormat::Float } else { SampleFormat::Int },
        };
        Ok(Recording { wav: WavWriter::new(BufWriter::new(file), spec)?, float, periods: 0, bytes: 0 })
    }

    fn write(&mut self, frames: &[f32]) -> Result<Going, hound::Error> {
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
        Ok(if self.bytes < MAX_BYTES { Going::On } else { Going::Done })
    }
}

impl State {
    fn write(
        &mut self,
        frames: &[f32],
        sounding: bool,
        format: SinkFormat,
        bits: Option<u8>,
    ) -> Result<Going, hound::Error> {
        if let State::Empty(_) = self {
            if !sounding {
                return Ok(Going::On);
            }
            let State::Empty(file) = core::mem::replace(self, State::Closed) else { return Ok(Going::Done) };
            *self = State::Recording(Recording::begin(file, format, bits.unwrap_or(32))?);
        }
        match self {
            State::Recording(recording) => recording.write(frames),
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
        let WavSink { format, bits, pacer, path, state } = self;
        let failed = |e: hound::Error| SinkError::File { path: path.clone(), source: into_io(e) };
        let mut write = |frames: &[f32], sounding, guest_bits: Option<u8>| {
            state.write(frames, sounding, *format, bits.or(guest_bits)).map_err(&failed)
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
