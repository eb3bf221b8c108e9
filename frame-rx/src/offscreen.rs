//! Without a window: pictures go to the GPU as they come, and are drawn into memory only when somebody wants to see
//! one: a screenshot, or a hash of what it would show.

use crate::cursor::{Pointer, Shape};
use crate::gpu::grab::Grabber;
use crate::gpu::readback::Canvas;
use crate::gpu::scene::{Filter, Look};
use crate::gpu::upload::{Staging, StagingRows, Uploader};
use crate::gpu::{Gpu, GpuChoice, GpuError, GpuInfo};
use crate::picture::{PictureFormat, Size};
use crate::record::Recorder;
use crate::slots::{Outlet, Times};
use crate::text::TextBox;
use crate::turn::{self, Turning};
use crate::view::{self, Scale};
use rx_host::atomic_file::{self, WriteError};
use std::io::{self, Write};
use std::path::Path;

/// Why there is no screenshot.
#[derive(Debug, thiserror::Error)]
pub enum ScreenshotError {
    /// No picture has arrived, so there is nothing to write.
    #[error("no picture has arrived yet")]
    NoPicture,
    /// The picture could not be drawn.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A picture that went to the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its session.
    pub session: u64,
    /// Its number.
    pub number: u64,
    /// Its size, format and turn.
    pub format: PictureFormat,
    /// When it was found and copied.
    pub times: Times,
}

/// A GPU without a window.
#[derive(Debug)]
pub struct Offscreen {
    choice: GpuChoice,
    gpu: Gpu,
    uploader: Uploader,
    canvas: Canvas,
    grabber: Grabber,
    turning: Turning,
}

impl Offscreen {
    /// Opens a GPU.
    ///
    /// Blocks for the driver.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn open(choice: &GpuChoice) -> Result<Offscreen, GpuError> {
        let gpu = Gpu::headless(choice)?;
        let canvas = Canvas::new(&gpu);
        let (uploader, grabber) = (Uploader::new(), Grabber::default());
        Ok(Offscreen { choice: choice.clone(), gpu, uploader, canvas, grabber, turning: Turning::default() })
    }

    /// Opens a GPU again after this one was lost. Nothing of the old one is left but the pointer's shape and the turn.
    ///
    /// Blocks for the driver.
    ///
    /// # Errors
    /// [`GpuError`]; nothing works then, and it may be tried again.
    pub fn reopen(&mut self) -> Result<(), GpuError> {
        let gpu = Gpu::headless(&self.choice)?;
        let mut canvas = Canvas::new(&gpu);
        canvas.scene().set_shape(self.canvas.scene().shape());
        (self.uploader, self.grabber) = (Uploader::new(), Grabber::default());
        (self.gpu, self.canvas) = (gpu, canvas);
        Ok(())
    }

    /// From now on pictures are turned like this wherever one is shown as the guest sent it.
    pub fn set_turning(&mut self, turning: Turning) {
        self.turning = turning;
    }

    /// Which GPU it is.
    pub fn info(&self) -> &GpuInfo {
        self.gpu.info()
    }

    /// Staging memory for the feed.
    pub fn staging(&self) -> Staging {
        self.gpu.staging()
    }

    /// Brings the newest picture of `outlet` to the GPU, if there is one of `session` or later, and waits until it is
    /// there.
    ///
    /// # Errors
    /// [`GpuError`]. After a [`GpuError::is_refusal`] the next picture may be taken.
    pub fn take(&mut self, outlet: &Outlet<StagingRows>, session: u64) -> Result<Option<Taken>, GpuError> {
        let Some(slot) = outlet.take() else { return Ok(None) };
        if !slot.rows.is_of(&self.gpu) {
            // Of a GPU that was lost: the feed did not know yet.
            return Ok(None);
        }
        if slot.session < session {
            outlet.give_back(slot);
            return Ok(None);
        }
        let taken = Taken { session: slot.session, number: slot.number, format: slot.format, times: slot.times };
        let begun = self.uploader.begin(&self.gpu, slot);
        if let Some(slot) = self.uploader.collect(&self.gpu, true)? {
            outlet.give_back(slot);
        }
        begun.map(|()| Some(taken))
    }

    /// The picture's session ended; it is not shown any more.
    pub fn forget_picture(&mut self) {
        self.uploader.forget_picture();
    }

    /// The shown picture's format, if there is one.
    pub fn picture(&self) -> Option<&PictureFormat> {
        self.uploader.picture().map(|p| p.format())
    }

    /// A picture's size as it is shown, turned.
    pub fn shown_size(&self, format: &PictureFormat) -> Size {
        turn::format(format, self.turning.on(format.rotation)).shown()
    }

    /// From now on the pointer looks like this.
    pub fn set_shape(&mut self, shape: &Shape) {
        self.canvas.scene().set_shape(shape);
    }

    /// Whether pictures that need no calculation are copied, as into a window, instead of drawn: see
    /// [`Canvas::take_copies`]. Off at first.
    pub fn take_copies(&mut self, takes_copies: bool) {
        self.canvas.take_copies(takes_copies);
    }

    /// From now on these words are shown, or none.
    pub fn set_words(&mut self, words: Option<&TextBox>) {
        self.canvas.scene().set_words(&self.gpu, words);
    }

    /// What a window of `size` would show: rows from top to bottom, each pixel red, green, blue, opacity.
    ///
    /// Blocks for the GPU. Holds the whole image; [`Offscreen::screenshot`] does not.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn render(&mut self, size: Size, look: &Look) -> Result<Vec<u8>, GpuError> {
        let mut image = Vec::with_capacity(size.width as usize * size.height as usize * 4);
        self.canvas.rows::<GpuError>(&self.gpu, &self.uploader, size, look, |row| {
            image.extend_from_slice(row);
            Ok(())
        })?;
        Ok(image)
    }

    /// A number that tells one picture from another: FNV-1a over the rows as they are shown, without a pointer. The same
    /// on every GPU. Nothing if there is no picture.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn hash(&mut self) -> Result<Option<u64>, GpuError> {
        let Some((size, look)) = one_to_one(&self.uploader, self.turning, None) else { return Ok(None) };
        let mut hash = Fnv::new();
        self.canvas.rows::<GpuError>(&self.gpu, &self.uploader, size, &look, |row| {
            hash.add(row);
            Ok(())
        })?;
        Ok(Some(hash.0))
    }

    /// The stored rows of the picture, without gaps, as they are on the GPU. Empty if there is no picture.
    ///
    /// Blocks for the GPU.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn grab(&mut self) -> Result<Vec<u8>, GpuError> {
        let mut rows = Vec::new();
        self.grabber.rows(&self.gpu, &self.uploader, |row| rows.extend_from_slice(row))?;
        Ok(rows)
    }

    /// Records the picture: see [`Recorder::take`].
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn record(&self, recorder: &mut Recorder, taken: &Taken) -> Result<(), GpuError> {
        recorder.take(&self.gpu, &self.uploader, taken)
    }

    /// Writes the picture to a PNG file: see [`write_screenshot`].
    ///
    /// # Errors
    /// [`ScreenshotError`].
    pub fn screenshot(&mut self, path: &Path, pointer: Option<Pointer>) -> Result<(), ScreenshotError> {
        write_screenshot(&self.gpu, &self.uploader, &mut self.canvas, path, (self.turning, pointer))
    }
}

/// Writes the picture to a PNG file, pixel for pixel, turned as wanted, with the guest's pointer on it if one is given. The
/// file is there whole or not at all.
///
/// Blocks for the GPU and the disk.
///
/// # Errors
/// [`ScreenshotError`].
pub fn write_screenshot(
    gpu: &Gpu,
    uploader: &Uploader,
    canvas: &mut Canvas,
    path: &Path,
    (turning, pointer): (Turning, Option<Pointer>),
) -> Result<(), ScreenshotError> {
    let (size, look) = one_to_one(uploader, turning, pointer).ok_or(ScreenshotError::NoPicture)?;
    let mut gpu_failed = None;
    let written = atomic_file::write(path, |out| {
        let drawn = png(out, size, |row| canvas.rows::<Drawing>(gpu, uploader, size, &look, row));
        drawn.map_err(|failed| match failed {
            Drawing::File(error) => error,
            Drawing::Gpu(error) => {
                let told = io::Error::other(error.to_string());
                gpu_failed = Some(error);
                told
            }
        })
    });
    match gpu_failed {
        Some(error) => Err(error.into()),
        None => Ok(written?),
    }
}

fn one_to_one(uploader: &Uploader, turning: Turning, pointer: Option<Pointer>) -> Option<(Size, Look)> {
    let format = uploader.picture()?.format();
    let size = turn::format(format, turning.on(format.rotation)).shown();
    let place = view::place(size, size, Scale::OneToOne);
    Some((size, Look { place, filter: Filter::Nearest, pointer, brightness: 255, turning }))
}

/// What can go wrong between the GPU and the file.
enum Drawing {
    Gpu(GpuError),
    File(io::Error),
}

impl From<GpuError> for Drawing {
    fn from(error: GpuError) -> Self {
        Drawing::Gpu(error)
    }
}

impl From<png::EncodingError> for Drawing {
    fn from(error: png::EncodingError) -> Self {
        Drawing::File(match error {
            png::EncodingError::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        })
    }
}

/// Writes rows of red, green, blue, opacity as a PNG of red, green, blue.
fn png(
    out: &mut dyn Write,
    size: Size,
    rows: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), Drawing>) -> Result<(), Drawing>,
) -> Result<(), Drawing> {
    let mut told = None;
    let drawn = encode(Told { out, error: &mut told }, size, rows);
    // The encoder passes on the words of an error, but not its kind, and a full disk is told by its kind.
    told.map_or(drawn, |error| Err(Drawing::File(error)))
}

fn encode(
    out: impl Write,
    size: Size,
    rows: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), Drawing>) -> Result<(), Drawing>,
) -> Result<(), Drawing> {
    let mut encoder = png::Encoder::new(out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let mut line = Vec::with_capacity(size.width as usize * 3);
    rows(&mut |row| {
        line.clear();
        line.extend(row.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]));
        stream.write_all(&line).map_err(Drawing::File)
    })?;
    stream.finish()?;
    writer.finish()?;
    Ok(())
}

/// Passes bytes on and keeps the first error.
struct Told<'a> {
    out: &'a mut dyn Write,
    error: &'a mut Option<io::Error>,
}

impl Told<'_> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let again = io::Error::from(error.kind());
            if error.kind() != io::ErrorKind::Interrupted {
                self.error.get_or_insert(error);
            }
            again
        })
    }
}

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.keep(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.keep(flushed)
    }
}

/// FNV-1a, 64 bits. Source: the algorithm's public description by Fowler, Noll and Vo.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Fnv {
        Fnv(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_the_published_algorithm() {
        for (bytes, expected) in [("", 0xCBF2_9CE4_8422_2325), ("a", 0xAF63_DC4C_8601_EC8C)] {
            let mut hash = Fnv::new();
            hash.add(bytes.as_bytes());
            assert_eq!(hash.0, expected);
        }
    }

    #[test]
    fn a_png_holds_the_colours_and_no_opacity() {
        let mut file = Vec::new();
        let drawn = png(&mut file, Size::new(2, 2), |row| {
            row(&[1, 2, 3, 4, 5, 6, 7, 8])?;
            row(&[9, 10, 11, 12, 13, 14, 15, 16])
        });
        assert!(drawn.is_ok());
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15]);
    }
}
