//! Writes frames without a header to a file or to stdout: little-endian, 32-bit float or 16-bit. A reader that goes away
//! is a clean end.

use super::paced::{self, Going, Pacer};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, to_i16};
use core::time::Duration;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How late the thread may be without harm; nobody listens to a file.
const AHEAD: Duration = Duration::from_millis(100);

/// The raw sink.
pub struct RawSink {
    format: SinkFormat,
    float: bool,
    pacer: Box<dyn Pacer + Send>,
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
    bytes: Vec<u8>,
}

impl RawSink {
    /// Opens `path`, or stdout if there is none. `float`: 32-bit float instead of 16-bit integers.
    ///
    /// # Errors
    /// [`SinkError::File`].
    pub fn open(
        path: Option<&Path>,
        format: SinkFormat,
        float: bool,
        pacer: Box<dyn Pacer + Send>,
    ) -> Result<RawSink, SinkError> {
        let out: Box<dyn Write + Send> = match path {
            Some(path) => {
                Box::new(File::create(path).map_err(|source| SinkError::File { path: path.to_owned(), source })?)
            }
            None => Box::new(io::stdout()),
        };
        Ok(RawSink { format, float, pacer, path: path.map(Path::to_owned), out, bytes: Vec::new() })
    }

    fn name(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| "stdout".into())
    }
}

impl Sink for RawSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let width = if self.float { "32-bit float" } else { "16-bit" };
        let name = format!("{} ({width}, little-endian, no header)", self.name().display());
        control.tell(Notice::Open { name, format: self.format });
        let path = self.name();
        let RawSink { format, float, pacer, out, bytes, .. } = self;
        let mut write = |frames: &[f32], _, _| {
            bytes.clear();
            if *float {
                bytes.extend(frames.iter().flat_map(|x| x.to_le_bytes()));
            } else {
                bytes.extend(frames.iter().flat_map(|x| to_i16(*x).to_le_bytes()));
            }
            match out.write_all(bytes).and_then(|()| out.flush()) {
                Ok(()) => Ok(Going::On),
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Going::Done),
                Err(source) => Err(SinkError::File { path: path.clone(), source }),
            }
        };
        paced::run(&mut *source, *format, AHEAD, &mut **pacer, control, &mut write)
    }
}

impl core::fmt::Debug for RawSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RawSink").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}
