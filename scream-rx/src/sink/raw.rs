//! Writes frames, without a header or behind one that never changes, to a file, a pipe or stdout: little-endian, 32-bit
//! float or 16-bit. A reader that goes away is a clean end, but for a pipe that has a name, where the next one is waited for;
//! one that has not come yet, or takes nothing any more, is waited for too, and a stop ends that wait. What the reader of a
//! pipe has not taken yet counts as delay.

use super::paced::{self, Going, Manner, Pacer, Taker};
use super::{Control, Notice, Sink, SinkError, SinkFormat, Source, create, to_i16};
use core::time::Duration;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rx_host::signals::Stop;
use rx_host::{clock, wait};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The raw sink.
pub struct RawSink {
    format: SinkFormat,
    float: bool,
    pacer: Box<dyn Pacer + Send>,
    name: PathBuf,
    /// It is a pipe, and another reader can come.
    has_name: bool,
    way: Way,
    /// What comes before the first frame.
    header: Vec<u8>,
}

/// Where the frames go.
enum Way {
    /// There.
    Open(Open),
    /// A pipe with a name that nobody reads yet: to open it for writing would wait without end.
    Unread,
}

struct Open {
    out: File,
    manner: Manner,
    /// What was not read yet can be asked for.
    is_pipe: bool,
    /// Whoever takes it may let us wait.
    waits: bool,
}

/// A pipe with a name is looked at this often until somebody reads it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest wait for a reader at a time; a stop ends it at once.
const LONGEST: Duration = Duration::from_secs(10);
/// As much as a pipe that can be written to takes without waiting. Unit: bytes. Source: pipe(7), PIPE_BUF.
const AT_ONCE: usize = 4096;

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
        let way = match path.map_or_else(stdout, create).and_then(Open::new) {
            Ok(open) => Way::Open(open),
            Err(e) if is_unread(&e) => Way::Unread,
            Err(source) => return Err(SinkError::File { path: name, source }),
        };
        let has_name = path.is_some_and(has_name);
        Ok(RawSink { format, float, pacer, name, has_name, way, header: Vec::new() })
    }

    /// The same with `header` before the first frame: of a WAV file without end, for a reader that wants one.
    #[must_use]
    pub fn with_header(self, header: Vec<u8>) -> RawSink {
        RawSink { header, ..self }
    }

    /// Waits until somebody reads the pipe. Nothing if a stop was asked for. While the name is gone no file takes its place.
    fn wait_for_reader(&self, source: &mut dyn Source, control: &Control) -> Result<Option<Open>, SinkError> {
        control.tell(Notice::Absent { reason: format!("nobody reads {}", self.name.display()) });
        while !control.stop.wait(LOOK_EVERY) {
            source.keep_up(self.pacer.now());
            match open_pipe(&self.name).and_then(Open::new) {
                Ok(open) if open.is_pipe => return Ok(Some(open)),
                Ok(_) => {}
                Err(e) if is_unread(&e) || e.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(SinkError::File { path: self.name.clone(), source }),
            }
        }
        Ok(None)
    }

    /// Writes what `source` gives; whether it ended since nobody reads it any more.
    fn play(&mut self, source: &mut dyn Source, control: &Control) -> Result<bool, SinkError> {
        let Way::Open(open) = &self.way else { return Ok(false) };
        let width = if self.float { "32-bit float" } else { "16-bit" };
        let header = if self.header.is_empty() { "no header" } else { "behind a WAV header without a length" };
        let name = format!("{} ({width}, little-endian, {header})", self.name.display());
        control.tell(Notice::Open { name, format: self.format });
        let bytes_per_frame = self.format.layout.channels() * if self.float { 4 } else { 2 };
        let mut out = Out {
            open,
            name: &self.name,
            stop: &control.stop,
            float: self.float,
            bytes_per_s: f64::from(self.format.rate_hz) * bytes_per_frame as f64,
            header: self.header.clone(),
            bytes: Vec::new(),
            is_left: false,
        };
        paced::run(source, self.format, open.manner, &mut *self.pacer, control, &mut out)?;
        Ok(out.is_left)
    }
}

/// Opens a pipe that is there for writing. Never waits, as [`create`].
fn open_pipe(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Whether another reader can come: of a pipe with a name in the file system. `/dev/stdout` leads to one that has none.
fn has_name(path: &Path) -> bool {
    let about = std::fs::canonicalize(path).and_then(std::fs::symlink_metadata);
    about.is_ok_and(|about| about.file_type().is_fifo())
}

/// Whether a pipe could not be opened for want of a reader.
fn is_unread(e: &io::Error) -> bool {
    e.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}

impl Open {
    fn new(out: File) -> io::Result<Open> {
        let about = out.metadata()?;
        let manner = if about.is_file() { Manner::FILE } else { Manner::READ };
        Ok(Open { out, manner, is_pipe: about.file_type().is_fifo(), waits: !about.is_file() })
    }
}

/// What takes the frames: the way out, with what it needs for it.
struct Out<'a> {
    open: &'a Open,
    name: &'a Path,
    stop: &'a Stop,
    float: bool,
    bytes_per_s: f64,
    /// Not written yet.
    header: Vec<u8>,
    bytes: Vec<u8>,
    /// Nobody reads it any more.
    is_left: bool,
}

impl Taker for Out<'_> {
    fn left(&mut self) -> Duration {
        let left = if self.open.is_pipe { rustix::io::ioctl_fionread(&self.open.out).unwrap_or(0) } else { 0 };
        Duration::from_secs_f64(left as f64 / self.bytes_per_s)
    }

    fn write(&mut self, frames: &[f32], _: bool, _: Option<u8>) -> Result<Going, SinkError> {
        self.bytes.clear();
        self.bytes.append(&mut self.header);
        if self.float {
            self.bytes.extend(frames.iter().flat_map(|x| x.to_le_bytes()));
        } else {
            self.bytes.extend(frames.iter().flat_map(|x| to_i16(*x).to_le_bytes()));
        }
        match self.write_all() {
            Ok(going) => Ok(going),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.is_left = true;
                Ok(Going::Done)
            }
            Err(source) => Err(SinkError::File { path: self.name.to_owned(), source }),
        }
    }
}

impl Out<'_> {
    /// Writes all bytes, as the reader takes them. A stop ends it where the reader takes nothing.
    fn write_all(&self) -> io::Result<Going> {
        let mut out = &self.open.out;
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            while self.open.waits && !wait::for_room(out.as_fd(), self.stop.as_fd(), clock::now() + LONGEST) {
                if self.stop.is_requested() {
                    return Ok(Going::Done);
                }
            }
            match out.write(&rest[..rest.len().min(AT_ONCE)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Going::On)
    }
}

impl Sink for RawSink {
    fn run(&mut self, mut source: Box<dyn Source>, control: &Control) -> Result<(), SinkError> {
        loop {
            if let Way::Unread = self.way {
                let Some(open) = self.wait_for_reader(&mut *source, control)? else { return Ok(()) };
                self.way = Way::Open(open);
            }
            let is_left = self.play(&mut *source, control)?;
            if !is_left || !self.has_name {
                return Ok(());
            }
            self.way = Way::Unread;
            control.counters.sink.reopened.inc();
        }
    }
}

impl core::fmt::Debug for RawSink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RawSink").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::process::Command;

    #[test]
    fn another_reader_can_come_to_a_pipe_with_a_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        assert!(has_name(&path("pipe")) && has_name(&path("link")));
        assert!(!has_name(&path("file")) && !has_name(&path("none")) && !has_name(Path::new("/dev/null")));
        let (_reader, writer) = io::pipe().unwrap();
        assert!(!has_name(Path::new(&format!("/proc/self/fd/{}", writer.as_raw_fd()))));
    }
}
