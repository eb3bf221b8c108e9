//! Recordings: the pictures as they were shown, with their times, in one file. A writer of its own does the writing; a
//! disk that is slow loses pictures of the recording and never delays the screen, and a limit bounds what is written.
//!
//! `frames.rxr` is the 16 bytes `RXFRAMES`, version 1 and zero, then for each picture a header of 64 bytes and its rows
//! without gaps. All numbers are little-endian.
//!
//! | offset | width | meaning |
//! |---|---|---|
//! | 0 | 4 | `RXF1` |
//! | 4, 8 | 4 each | columns, rows as stored |
//! | 12 | 4 | pixels, see below |
//! | 16 | 4 | quarter turns clockwise until it stands upright |
//! | 20 | 4 | what the numbers of pixels mean, see below |
//! | 24, 32 | 8 each | number of the picture, session |
//! | 40, 48 | 8 each | nanoseconds by the host's clock: found, copied |
//! | 56 | 8 | bytes of rows that follow |
//!
//! Pixels: 0 blue, green, red, ignored; 1 red, green, blue, ignored; 2 ten bits each of red, green and blue; 3 half floats of them;
//! 4 and 5 as 0 and 1, of a guest that sends three bytes. What their numbers mean: in the lowest two bits 0 for what a screen
//! shows as it is, 1 for light itself, 2 for PQ; with PQ also how bright the white of SDR windows is (bits 2 to 15) and the
//! brightest light (bits 16 to 29), both in cd/m2. Older recordings have zero there, and half floats are light all the same.

use crate::gpu::grab::Grabber;
use crate::gpu::upload::Uploader;
use crate::gpu::{Gpu, GpuError};
use crate::offscreen::Taken;
use crate::picture::{PQ_MOST_NITS, PictureFormat, PixelFormat, Rotation, Size, Transfer};
use crossbeam_channel::{Receiver, Sender, bounded};
use rx_host::exit::Failure;
use rx_host::report::Counter;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first bytes of a recording.
pub const MAGIC: &[u8; 8] = b"RXFRAMES";
const VERSION: u32 = 1;
const FRAME_MAGIC: &[u8; 4] = b"RXF1";
const HEADER_BYTES: usize = 64;
/// Before the first picture.
const START_BYTES: u64 = 16;
/// The largest side that is read back. Source: the largest texture of today's GPUs.
const MAX_SIDE: u32 = 16384;
/// The most that is recorded unless something else is said: about eight seconds of 1080p at 60 Hz.
pub const DEFAULT_LIMIT_BYTES: u64 = 4 << 30;
/// Pictures on their way to the disk.
const IN_FLIGHT: usize = 3;
/// The file's name in its folder.
pub const FILE_NAME: &str = "frames.rxr";

/// What became of the pictures of a recording.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Written.
    pub written: Counter,
    /// Not written: the disk was slow, the limit was reached, or writing failed.
    pub lost: Counter,
}

/// The screen's end of a recording.
#[derive(Debug)]
pub struct Recorder {
    grabber: Grabber,
    full: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    unused: Sender<Vec<u8>>,
    is_over: Arc<AtomicBool>,
    recorded: Arc<Recorded>,
}

/// The disk's end, for a thread of its own.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
    is_over: Arc<AtomicBool>,
    recorded: Arc<Recorded>,
    room_bytes: u64,
    /// Up to the end of the last picture that is whole.
    whole_bytes: u64,
}

/// Begins a recording of at most `limit_bytes` in `folder`, which is made if it is not there. A recording that is there
/// is not overwritten.
///
/// # Errors
/// [`Failure`] with what to do.
pub fn begin(folder: &Path, limit_bytes: u64) -> Result<(Recorder, Writer), Failure> {
    let path = folder.join(FILE_NAME);
    let made = fs::create_dir_all(folder).and_then(|()| File::create_new(&path)).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&[0; 4])?;
        Ok(file)
    });
    let file = made.map_err(|e| {
        let hint = "name a folder that you may write to and that holds no recording yet";
        Failure::environment(format!("cannot record to {}", path.display()), hint).because(e)
    })?;
    let (full, to_write) = bounded(IN_FLIGHT);
    let (give_back, empty) = bounded(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        // There is room for each.
        let _ = give_back.try_send(Vec::new());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let recorded = Arc::<Recorded>::default();
    let (grabber, unused) = (Grabber::default(), give_back.clone());
    let recorder = Recorder { grabber, full, empty, unused, is_over: is_over.clone(), recorded: recorded.clone() };
    let (room_bytes, whole_bytes) = (limit_bytes.saturating_sub(START_BYTES), START_BYTES);
    let writer = Writer { file, path, full: to_write, empty: give_back, is_over, recorded, room_bytes, whole_bytes };
    Ok((recorder, writer))
}

impl Recorder {
    /// Records the picture that is on the GPU. Waits for the GPU to read it back, never for the disk.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn take(&mut self, gpu: &Gpu, uploader: &Uploader, taken: &Taken) -> Result<(), GpuError> {
        if self.is_over.load(Ordering::Relaxed) {
            self.recorded.lost.inc();
            return Ok(());
        }
        let Ok(mut record) = self.empty.try_recv() else {
            self.recorded.lost.inc();
            return Ok(());
        };
        record.clear();
        record.extend_from_slice(&header(taken));
        if let Err(error) = self.grabber.rows(gpu, uploader, |row| record.extend_from_slice(row)) {
            // There is room for each.
            let _ = self.unused.try_send(record);
            self.recorded.lost.inc();
            return Err(error);
        }
        if self.full.try_send(record).is_err() {
            self.recorded.lost.inc();
        }
        Ok(())
    }

    /// The GPU is another one from now on.
    pub fn forget_gpu(&mut self) {
        self.grabber = Grabber::default();
    }

    /// What became of the pictures so far.
    pub fn recorded(&self) -> &Arc<Recorded> {
        &self.recorded
    }
}

/// A transfer as a recording keeps it. Light that PQ cannot say is kept as the brightest that it can.
fn word_of(transfer: Transfer) -> u32 {
    match transfer {
        Transfer::Sdr => 0,
        Transfer::Linear => 1,
        Transfer::Pq { white_nits, peak_nits } => {
            2 | white_nits.clamp(10, PQ_MOST_NITS) << 2 | peak_nits.clamp(1, PQ_MOST_NITS) << 16
        }
    }
}

/// The transfer that a recording kept, if there is such a one for these pixels.
fn transfer_of(word: u32, pixel: PixelFormat) -> Option<Transfer> {
    let is_deep = matches!(pixel, PixelFormat::Rgb10 | PixelFormat::Rgba16F);
    let (white_nits, peak_nits) = (word >> 2 & 0x3FFF, word >> 16);
    match word {
        0 if pixel == PixelFormat::Rgba16F => Some(Transfer::Linear),
        0 => Some(Transfer::Sdr),
        1 if is_deep => Some(Transfer::Linear),
        _ => {
            // As the feed takes them from a guest.
            let is_pq = word & 3 == 2 && (10..=PQ_MOST_NITS).contains(&white_nits);
            let fits = is_pq && is_deep && (1..=PQ_MOST_NITS).contains(&peak_nits);
            fits.then_some(Transfer::Pq { white_nits, peak_nits })
        }
    }
}

fn header(taken: &Taken) -> [u8; HEADER_BYTES] {
    let PictureFormat { stored, pixel, rotation, transfer, .. } = taken.format;
    let bytes = u64::from(taken.format.row_bytes()) * u64::from(stored.height);
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(FRAME_MAGIC);
    for word in [stored.width, stored.height, pixel as u32, rotation.quarters(), word_of(transfer)] {
        put(&word.to_le_bytes());
    }
    for long in [taken.number, taken.session, taken.times.found.as_ns(), taken.times.copied.as_ns(), bytes] {
        put(&long.to_le_bytes());
    }
    header
}

impl Writer {
    /// Writes until the recorder is gone. The whole life of the writer's thread.
    ///
    /// Blocks for the disk.
    pub fn run(mut self) {
        while let Ok(record) = self.full.recv() {
            let len = record.len() as u64;
            let fits = len <= self.room_bytes;
            let written = if fits { self.file.write_all(&record) } else { Ok(()) };
            match written {
                Ok(()) if fits => {
                    self.room_bytes -= len;
                    self.whole_bytes += len;
                    self.recorded.written.inc();
                }
                Ok(()) => self.end("the recording is as large as its limit allows"),
                Err(e) => {
                    // Half a picture is none; where even that cannot be taken away, players say so.
                    let _ = self.file.set_len(self.whole_bytes);
                    let (path, written) = (self.path.display(), self.recorded.written.get());
                    self.end(&format!("the recording ends: {path}: {e}; the first {written} pictures are kept"));
                }
            }
            // There is room for each.
            let _ = self.empty.try_send(record);
        }
    }

    fn end(&mut self, why: &str) {
        self.recorded.lost.inc();
        self.room_bytes = 0;
        if !self.is_over.swap(true, Ordering::Relaxed) {
            tracing::warn!("{why}");
        }
    }
}

/// One recorded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Size as stored, pixels, what their numbers mean, and which way is up.
    pub format: PictureFormat,
    /// Its number.
    pub number: u64,
    /// When it was found, by the clock of the machine that recorded it. Unit: ns.
    pub found_ns: u64,
    /// Its rows, without gaps.
    pub rows: Vec<u8>,
}

/// Reads a recording, picture by picture.
#[derive(Debug)]
pub struct Player<R> {
    source: R,
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The file cannot be read, or ends in the middle of a picture.
    #[error("the recording ends early or cannot be read")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("this is no recording of frame-rx, or one of another version")]
    Foreign,
    /// A picture's header makes no sense.
    #[error("a picture's {field} is {value}, which makes no sense")]
    Corrupt {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

impl<R: Read> Player<R> {
    /// A recording from its beginning.
    ///
    /// # Errors
    /// [`PlayError`].
    pub fn open(mut source: R) -> Result<Player<R>, PlayError> {
        let mut start = [0; 16];
        source.read_exact(&mut start)?;
        if &start[..8] != MAGIC || start[8..12] != VERSION.to_le_bytes() {
            return Err(PlayError::Foreign);
        }
        Ok(Player { source })
    }

    /// The next picture, or nothing at the end. Holds one picture of at most 16384 pixels a side, and no more bytes than
    /// the file has.
    ///
    /// # Errors
    /// [`PlayError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, PlayError> {
        let mut header = [0; HEADER_BYTES];
        match self.source.read(&mut header[..1])? {
            0 => return Ok(None),
            _ => self.source.read_exact(&mut header[1..])?,
        }
        let word = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let long = |at: usize| header.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let corrupt = |field, value| Err(PlayError::Corrupt { field, value });
        if &header[..4] != FRAME_MAGIC {
            return corrupt("magic", u64::from(word(0)));
        }
        let (width, height) = (word(4), word(8));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return corrupt("size", u64::from(width) << 32 | u64::from(height));
        }
        let Some(pixel) = PixelFormat::ALL.into_iter().find(|p| *p as u32 == word(12)) else {
            return corrupt("pixels", u64::from(word(12)));
        };
        let Some(rotation) = Rotation::ALL.into_iter().find(|r| r.quarters() == word(16)) else {
            return corrupt("turn", u64::from(word(16)));
        };
        let Some(transfer) = transfer_of(word(20), pixel) else { return corrupt("meaning", u64::from(word(20))) };
        let mut format = PictureFormat::upright(Size::new(width, height), pixel);
        (format.rotation, format.transfer) = (rotation, transfer);
        // The pointer is not kept, so nobody asks for the guest's own pixels.
        format.desktop = format.shown();
        let bytes = u64::from(format.row_bytes()) * u64::from(height);
        if long(56) != bytes {
            return corrupt("length", long(56));
        }
        // Grows with what is really there, not with what the header claims.
        let mut rows = Vec::new();
        (&mut self.source).take(bytes).read_to_end(&mut rows)?;
        if rows.len() as u64 != bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Some(Frame { format, number: long(24), found_ns: long(40), rows }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Times;
    use proptest::prelude::*;

    fn taken(width: u32, height: u32, number: u64) -> Taken {
        let format = PictureFormat::upright(Size::new(width, height), PixelFormat::Rgba8);
        Taken { session: 1, number, format, times: Times::default() }
    }

    fn file() -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &[0; 4]].concat();
        for number in 1..=3 {
            bytes.extend(header(&taken(2, 1, number)));
            bytes.extend([number as u8; 8]);
        }
        bytes
    }

    fn play(bytes: &[u8]) -> Result<Vec<Frame>, PlayError> {
        let mut player = Player::open(bytes)?;
        let mut frames = Vec::new();
        while let Some(frame) = player.next_frame()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn what_was_written_is_read() {
        let frames = play(&file()).unwrap();
        assert_eq!(frames.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(frames.iter().all(|f| f.rows == [f.number as u8; 8] && f.format.stored == Size::new(2, 1)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let spoil = |at: usize, value: u8| {
            let mut bytes = file();
            bytes[at] = value;
            play(&bytes).unwrap_err().to_string()
        };
        for (at, value, words) in [
            (0, b'x', "this is no recording"),
            (8, 9, "this is no recording"),
            (16, 0, "a picture's magic is"),
            (20, 0, "a picture's size is"),
            (27, 255, "a picture's size is"),
            (28, 7, "a picture's pixels is 7"),
            (32, 4, "a picture's turn is 4"),
            (36, 1, "a picture's meaning is 1"),
            (36, 3, "a picture's meaning is 3"),
            (72, 1, "a picture's length is 1"),
        ] {
            let told = spoil(at, value);
            assert!(told.starts_with(words), "{at}: {told}");
        }
        assert!(matches!(play(&file()[..100]), Err(PlayError::Read(_))));
    }

    #[test]
    fn which_way_is_up_and_what_pixels_mean_are_kept() {
        let pq = Transfer::Pq { white_nits: 203, peak_nits: 1000 };
        for (pixel, transfer) in [
            (PixelFormat::Bgra8, Transfer::Sdr),
            (PixelFormat::Rgb10, Transfer::Sdr),
            (PixelFormat::Rgb10, pq),
            (PixelFormat::Rgb10, Transfer::Linear),
            (PixelFormat::Rgba16F, Transfer::Linear),
            (PixelFormat::Rgba16F, Transfer::Pq { white_nits: PQ_MOST_NITS, peak_nits: PQ_MOST_NITS }),
        ] {
            for rotation in Rotation::ALL {
                let mut taken = taken(3, 2, 1);
                taken.format = PictureFormat { pixel, transfer, rotation, ..taken.format };
                let rows = vec![7; taken.format.row_bytes() as usize * 2];
                let bytes = [&file()[..16], &header(&taken), &rows].concat();
                let format = play(&bytes).unwrap()[0].format;
                taken.format.desktop = taken.format.shown();
                assert_eq!(format, taken.format);
            }
        }
    }

    #[test]
    fn older_recordings_say_nothing_of_light_and_half_floats_are_light() {
        for (pixel, expected) in [
            (PixelFormat::Rgb10, Some(Transfer::Sdr)),
            (PixelFormat::Bgra8, Some(Transfer::Sdr)),
            (PixelFormat::Rgba16F, Some(Transfer::Linear)),
        ] {
            assert_eq!(transfer_of(0, pixel), expected);
        }
        let pq = |white: u32, peak: u32| transfer_of(2 | white << 2 | peak << 16, PixelFormat::Rgb10);
        for (white, peak, is_one) in [
            (9, 1, false),
            (10, 1, true),
            (10_000, 10_000, true),
            (10_001, 1, false),
            (10, 0, false),
            (10, 10_001, false),
        ] {
            assert_eq!(pq(white, peak).is_some(), is_one, "{white} {peak}");
        }
    }

    #[test]
    fn a_recording_stops_at_its_limit_and_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, writer) = begin(dir.path(), 16 + 200).unwrap();
        for number in 1..=3 {
            let mut record = recorder.empty.try_recv().unwrap();
            record.extend(header(&taken(2, 1, number)));
            record.extend([0; 8]);
            recorder.full.try_send(record).unwrap();
        }
        assert!(recorder.empty.try_recv().is_err(), "no more than so many are on their way");
        let recorded = recorder.recorded().clone();
        drop(recorder);
        writer.run();
        assert_eq!((recorded.written.get(), recorded.lost.get()), (2, 1));
        let bytes = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!((bytes.len(), play(&bytes).unwrap().len()), (16 + 2 * 72, 2));
        assert!(begin(dir.path(), 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_player_panic_or_grow(change in prop::collection::vec((0usize..232, any::<u8>()), 0..20)) {
            let mut bytes = file();
            for (at, value) in change {
                bytes[at] = value;
            }
            let frames = play(&bytes).unwrap_or_default();
            prop_assert!(frames.iter().map(|f| f.rows.len()).sum::<usize>() <= bytes.len());
        }
    }
}
