//! Writes frames without a header to a file, a pipe or stdout: little-endian, 32-bit float or 16-bit. A reader that goes
//! away is a clean end. What the reader of a pipe has not taken yet counts as delay.

use super::paced::{self, Going, Manner, Pacer, Taker};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, to_i16};
use core::time::Duration;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The raw sink.
pub struct RawSink {
    format: SinkFormat,
    float: bool,
    pacer: Box<dyn Pacer + Send>,
    name: PathBuf,
    out: File,
    manner: Manner,
    is_pipe: bool,
}

/// Whether what is written to `path`, or to stdout, is kept for later: a file, there or not yet.
///
/// Blocks for a look at the file system.
pub fn is_kept(path: Option<&Path>) -> bool {
    match path {
        Some(path) => std::fs::metadata(path).map_or(true, |about| about.is_file()),
        None => stdout().and_then(|out| out.metadata()).is_ok_and(|about| about.is_file()),
    }
}

/// Standard output, unbuffered: samples are no lines.
fn stdout() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
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
        let name = path.map_or_else(|| "stdout".into(), Path::to_owned);
        let opened = path.map_or_else(stdout, File::create);
        let (out, about): (File, Metadata) = opened
            .and_then(|out| out.metadata().map(|about| (out, about)))
            .map_err(|source| SinkError::File { path: name.clone(), source })?;
        let manner = if about.is_file() { Manner::FILE } else { Manner::READ };
        Ok(RawSink { format, float, pacer, name, out, manner, is_pipe: about.file_type().is_fifo() })
    }
}

/// What takes the frames: the way out, with what it needs for it.
struct Out<'a> {
    sink: &'a File,
    name: &'a Path,
    float: bool,
    is_pipe: bool,
    bytes_per_s: f64,
    bytes: Vec<u8>,
}

impl Taker for Out<'_> {
    fn left(&mut self) -> Duration {
        let left = if self.is_pipe { rustix::io::ioctl_fionread(self.sink).unwrap_or(0) } else { 0 };
        Duration::from_secs_f64(left as f64 / self.bytes_per_s)
    }

    fn write(&mut self, frames: &[f32], _: bool, _: Option<u8>) -> Result<Going, SinkError> {
        self.bytes.clear();
        if self.float {
            self.bytes.extend(frames.iter().flat_map(|x| x.to_le_bytes()));
        } else {
            self.bytes.extend(frames.iter().flat_map(|x| to_i16(*x).to_le_bytes()));
        }
        match self.sink.write_all(&self.bytes) {
            Ok(()) => Ok(Going::On),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Going::Done),
            Err(source) => Err(SinkError::File { path: self.name.to_owned(), source }),
        }
    }
}

impl Sink for RawSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        let width = if self.float { "32-bit float" } else { "16-bit" };
        let name = format!("{} ({width}, little-endian, no header)", self.name.display());
        control.tell(Notice::Open { name, format: self.format });
        let bytes_per_frame = self.format.layout.channels() * if self.float { 4 } else { 2 };
        let mut out = Out {
            sink: &self.out,
            name: &self.name,
            float: self.float,
            is_pipe: self.is_pipe,
            bytes_per_s: f64::from(self.format.rate_hz) * bytes_per_frame as f64,
            bytes: Vec::new(),
        };
        paced::run(&mut *source, self.format, self.manner, &mut *self.pacer, control, &mut out)
    }
}

impl core::fmt::Debug for RawSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RawSink").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}
