//! Where the sound goes. A sink is dumb: it opens its device in the device's own format, says so, and then asks a
//! [`Source`] for frames whenever the device wants some, telling how much sound lies before them. All decisions are the
//! source's. Each sink is one file; names of sound libraries stay inside it.

#[cfg(feature = "cpal")]
pub mod device;
mod follow;
pub mod names;
pub mod null;
pub mod paced;
#[cfg(feature = "pulse")]
pub mod pulse;
pub mod raw;
pub mod wav;

use crate::channels::Layout;
use crate::counters::Counters;
use crate::handover::Alarm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use rustix::fs::OFlags;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// How long a guest is silent before the device may sleep. Pauses within a film or between two songs are shorter.
pub const REST_AFTER: Duration = Duration::from_secs(10);

/// What a sink plays: float frames at its own rate, in its own order of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkFormat {
    /// Frames per second.
    pub rate_hz: u32,
    /// Its channels.
    pub layout: Layout,
}

impl fmt::Display for SinkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz, {}", self.rate_hz, self.layout)
    }
}

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Frames that count, from the start of the buffer. Fewer than the buffer holds: this is the end of the sound, and
    /// the sink plays these and stops.
    pub frames: usize,
    /// Whether anything can be heard in them.
    pub sounding: bool,
}

/// Where a sink gets its frames from. Called on the playout thread, or the thread of the device.
pub trait Source: Send {
    /// The sink is open and plays this from now on. Called before the first fill, and again whenever the device changes.
    fn open(&mut self, format: SinkFormat);

    /// Fills `out` with interleaved frames, all of it, with silence where there is nothing. `now` is when the sink asks;
    /// the first of the frames will be heard `sink_delay` later.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    fn fill(&mut self, out: &mut [f32], now: HostTime, sink_delay: Duration) -> Filled;

    /// The sink plays nothing. To be called a few times a second meanwhile, so that no backlog grows. Whether there is
    /// something to play.
    fn keep_up(&mut self, now: HostTime) -> bool;

    /// The sink ran empty, so that silence was heard, and by now tells how long its delay is since. What is off by then can
    /// be put right at once.
    fn stumbled(&mut self, _now: HostTime) {}

    /// The end is near: from now on the sound fades, and soon a fill gives fewer frames than it was asked for. Any number of
    /// times.
    fn finish(&mut self);

    /// What wakes a sink that rests, as soon as [`Source::keep_up`] has something to play. Without one it must look.
    fn alarm(&self) -> Option<Arc<Alarm>> {
        None
    }

    /// Bits of the guest's samples, if it plays. For files, which keep what the guest has.
    fn guest_bits(&self) -> Option<u8>;
}

/// Something that plays frames. Made by `open` functions of the sinks' own; run on the playout thread.
pub trait Sink {
    /// Plays what `source` gives until the sound ends. When a stop is asked for it tells the source to finish, and plays
    /// what that still gives.
    ///
    /// Blocks. A device that goes away is waited for and opened again.
    ///
    /// # Errors
    /// [`SinkError`] when there is no use in waiting.
    fn run(&mut self, source: Box<dyn Source>, control: &Control) -> Result<(), SinkError>;
}

/// What a sink needs besides its source.
#[derive(Clone, Debug)]
pub struct Control {
    /// When to end.
    pub stop: Stop,
    /// Where to count.
    pub counters: Arc<Counters>,
    /// Where to tell how it stands; at changes only.
    pub notices: Sender<Notice>,
}

impl Control {
    /// Tells how it stands. Nobody may listen any more.
    pub fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
}

/// How it stands with a sink, for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is open.
    Open {
        /// What was opened, by the name it has for people.
        name: String,
        /// What it plays.
        format: SinkFormat,
    },
    /// It is open and takes sound in far longer pieces than were wanted, which makes the delay longer.
    Coarse {
        /// What was opened, as in [`Notice::Open`].
        name: String,
        /// How long its pieces are.
        piece: Duration,
    },
    /// It runs empty again and again, and is opened with longer pieces.
    Starved {
        /// What is opened, as in [`Notice::Open`].
        name: String,
        /// How long they are wanted now.
        piece: Duration,
    },
    /// It is open but takes nothing: suspended, or it does not answer. [`Notice::Open`] when it goes on.
    Paused {
        /// What holds it up.
        reason: String,
    },
    /// It can take no more, which is the end.
    Full {
        /// What is full, and why.
        reason: String,
    },
    /// There is no device or server; it is looked for again and again.
    Absent {
        /// What was tried and what happened.
        reason: String,
    },
}

/// Why a sink cannot play, ever.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The device does not exist or cannot be used. Choosing another one helps.
    #[error("cannot play on {device}: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What the system said.
        reason: String,
    },
    /// The file cannot be made or written: no permission, no room.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes a file, or empties it. Never waits: a pipe that nobody reads is an error (`ENXIO`).
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)
}

/// A recording shorter than this is a header alone. Unit: bytes.
const LONGER_THAN_A_HEADER: u64 = 100;

/// Where a recording can go that shall replace none: `path`, or the next of `scream-1.wav`, `scream-2.wav` that is free if
/// there is one already. A recording of nothing is none.
///
/// Blocks for the disk.
pub(crate) fn unused(path: &Path) -> PathBuf {
    let is_empty = |at: &Path, bytes: u64| {
        bytes == 0 || (bytes < LONGER_THAN_A_HEADER && hound::WavReader::open(at).is_ok_and(|wav| wav.len() == 0))
    };
    let is_free = |at: &Path| match std::fs::metadata(at) {
        Ok(about) => about.is_file() && is_empty(at, about.len()),
        // Whatever else is wrong with it will be told when it is made.
        Err(_) => true,
    };
    if is_free(path) {
        return path.to_owned();
    }
    let mut numbered = (1u32..).map(|number| {
        let mut numbered = path.file_stem().unwrap_or_default().to_owned();
        numbered.push(format!("-{number}"));
        if let Some(extension) = path.extension() {
            numbered.push(".");
            numbered.push(extension);
        }
        path.with_file_name(numbered)
    });
    numbered.find(|at| is_free(at)).unwrap_or_else(|| path.to_owned())
}

/// A float sample as a 16-bit integer, as [`convert`](crate::convert) would read it.
pub(crate) fn to_i16(x: f32) -> i16 {
    // `as` saturates, and a NaN becomes 0.
    (x * 32_768.0).round() as i16
}

/// The format of the open sink, for the intake thread: one word, zero while no sink was open.
#[derive(Debug, Default)]
pub struct SinkCell(AtomicU64);

/// Bits of the rate below those of the layout.
const RATE_BITS: u32 = 20;

impl SinkCell {
    /// Tells the format.
    ///
    /// Real-time safe.
    pub fn set(&self, format: SinkFormat) {
        let rate = u64::from(format.rate_hz).min((1 << RATE_BITS) - 1);
        // Relaxed: the word is all there is to hand over.
        self.0.store(format.layout.pack() << RATE_BITS | rate, Ordering::Relaxed);
    }

    /// The format that was told last.
    pub fn get(&self) -> Option<SinkFormat> {
        let word = self.0.load(Ordering::Relaxed);
        let rate_hz = u32::try_from(word & ((1 << RATE_BITS) - 1)).ok()?;
        Some(SinkFormat { rate_hz, layout: Layout::unpack(word >> RATE_BITS)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_shall_replace_none_takes_the_next_free_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).unwrap();
        let taken = |name: &str| unused(&path(name)).strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        assert_eq!(taken("a.b.wav"), "a.b.wav");
        write("a.b.wav", b"");
        assert_eq!(taken("a.b.wav"), "a.b.wav");
        write("a.b.wav", b"no recording, and somebody's");
        assert_eq!(taken("a.b.wav"), "a.b-1.wav");
        std::fs::create_dir(path("a.b-1.wav")).unwrap();
        write("a.b-2.wav", &[1; 1000]);
        assert_eq!(taken("a.b.wav"), "a.b-3.wav");
        // A recording of nothing is a header alone.
        let header = wav::endless_header(SinkFormat { rate_hz: 48_000, layout: Layout::STEREO }, false);
        let lengths =
            |bytes: u32| [&header[..4], &(36 + bytes).to_le_bytes(), &header[8..40], &bytes.to_le_bytes()].concat();
        write("a.b-2.wav", &lengths(0));
        assert_eq!(taken("a.b.wav"), "a.b-2.wav");
        write("a.b-2.wav", &[lengths(4), vec![1; 4]].concat());
        assert_eq!(taken("a.b.wav"), "a.b-3.wav");
        write("raw", &[0; 8]);
        assert_eq!((taken("raw"), taken("none/raw")), ("raw-1".into(), "none/raw".into()));
    }

    #[test]
    fn a_format_crosses_in_one_word() {
        let cell = SinkCell::default();
        assert_eq!(cell.get(), None);
        for rate_hz in [8_000, 44_100, 768_000] {
            for channels in 1..=8 {
                let format = SinkFormat { rate_hz, layout: Layout::alsa(channels) };
                cell.set(format);
                assert_eq!(cell.get(), Some(format));
            }
        }
    }
}
