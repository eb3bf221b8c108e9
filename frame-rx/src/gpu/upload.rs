//! Rows on their way to the GPU. The feed writes them straight into mapped staging memory; the GPU copies what changed
//! into the picture's texture; the memory is mapped again and goes back to the feed. No other copy is made.

use super::{Gpu, GpuError, Mark};
use crate::picture::{PictureFormat, PixelFormat};
use crate::slots::{Rows, Slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How long the GPU may take for one upload before it counts as failed. A software GPU on a busy machine is slow.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes staging memory. Cheap to clone; works in any thread.
#[derive(Clone, Debug)]
pub struct Staging {
    device: wgpu::Device,
    gpu: Mark,
}

/// Staging memory for the rows of one picture, mapped as long as the feed has it.
#[derive(Debug)]
pub struct StagingRows {
    // Declared before the buffer: a view ends before what it views.
    view: Option<wgpu::BufferViewMut>,
    buffer: wgpu::Buffer,
    /// Whose memory it is. Devices themselves compare as equal if they belong to different instances of wgpu.
    gpu: Mark,
}

impl Staging {
    pub(super) fn new(device: wgpu::Device, gpu: Mark) -> Self {
        Staging { device, gpu }
    }

    /// Mapped memory of at least `bytes` bytes.
    ///
    /// Blocks for the driver; allocates.
    ///
    /// # Errors
    /// [`GpuError::Failed`] when there is no such memory left.
    pub fn make(&self, bytes: u64) -> Result<StagingRows, GpuError> {
        let out_of_memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let invalid = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("rows"),
            size: bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT).max(wgpu::COPY_BUFFER_ALIGNMENT),
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let problem = pollster::block_on(invalid.pop()).or(pollster::block_on(out_of_memory.pop()));
        if let Some(error) = problem {
            return Err(GpuError::Failed(super::one_line(&error.to_string())));
        }
        let view = buffer.get_mapped_range_mut(..).map_err(|e| GpuError::Failed(e.to_string()))?;
        Ok(StagingRows { view: Some(view), buffer, gpu: self.gpu.clone() })
    }
}

impl StagingRows {
    /// Whether it is memory of this GPU, and not of one that was lost meanwhile.
    pub fn is_of(&self, gpu: &Gpu) -> bool {
        Arc::ptr_eq(&self.gpu, &gpu.fault)
    }
}

impl Rows for StagingRows {
    fn capacity_bytes(&self) -> u64 {
        self.buffer.size()
    }

    fn write(&mut self, at_bytes: u64, bytes: &[u8]) -> bool {
        let (Some(view), Ok(from)) = (&mut self.view, usize::try_from(at_bytes)) else { return false };
        match from.checked_add(bytes.len()) {
            Some(to) if to <= view.len() => {
                view.slice(from..to).copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }
}

/// The guest's picture as a texture.
#[derive(Debug)]
pub struct PictureTexture {
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    format: PictureFormat,
}

impl PictureTexture {
    fn new(gpu: &Gpu, format: PictureFormat) -> Result<Self, GpuError> {
        let (width, height, limit) = (format.stored.width, format.stored.height, gpu.max_side());
        if width > limit || height > limit {
            return Err(GpuError::TooLarge { width, height, limit });
        }
        let out_of_memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: match format.pixel {
                PixelFormat::Bgra8 | PixelFormat::Bgr24 => wgpu::TextureFormat::Bgra8Unorm,
                PixelFormat::Rgba8 | PixelFormat::Rgb24 => wgpu::TextureFormat::Rgba8Unorm,
                PixelFormat::Rgb10 => wgpu::TextureFormat::Rgb10a2Unorm,
                PixelFormat::Rgba16F => wgpu::TextureFormat::Rgba16Float,
            },
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        if pollster::block_on(out_of_memory.pop()).is_some() {
            return Err(GpuError::NoMemory { width, height });
        }
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(PictureTexture { texture, view, format })
    }

    /// Size, pixel format and turn.
    pub fn format(&self) -> &PictureFormat {
        &self.format
    }

    pub(super) fn texture(&self) -> &wgpu::Texture {
        &self.texture
    }

    pub(super) fn view(&self) -> &wgpu::TextureView {
        &self.view
    }
}

/// Brings slots into the picture's texture and the memory back. One slot at a time.
#[derive(Debug, Default)]
pub struct Uploader {
    picture: Option<PictureTexture>,
    /// Grows with every new texture; who drew from the old one must look again.
    generation: u64,
    in_flight: Option<InFlight>,
    /// A slot that was refused, still mapped.
    unused: Option<Slot<StagingRows>>,
    /// For pictures like this there was no memory. Only what changed comes of the next: they stay refused.
    refused: Option<PictureFormat>,
}

#[derive(Debug)]
struct InFlight {
    slot: Slot<StagingRows>,
    mapping: Arc<AtomicU8>,
    submission: wgpu::SubmissionIndex,
}

const MAPPING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl Uploader {
    /// Nothing shown, nothing on its way.
    pub fn new() -> Self {
        Uploader::default()
    }

    /// The picture as of the last upload.
    pub fn picture(&self) -> Option<&PictureTexture> {
        self.picture.as_ref()
    }

    /// Tells one texture from the next.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Forgets the picture: its session ended.
    pub fn forget_picture(&mut self) {
        (self.picture, self.refused) = (None, None);
        self.generation += 1;
    }

    /// Whether a slot is still on its way.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some() || self.unused.is_some()
    }

    /// Has the GPU copy what changed in `slot` into the texture. The slot stays here until [`Uploader::collect`] gives
    /// it out; call that first until [`Uploader::is_busy`] is false.
    ///
    /// Does not wait for the GPU. The slot's memory must be of this GPU: see [`StagingRows::is_of`].
    ///
    /// # Errors
    /// A [`GpuError::is_refusal`]; the picture before is kept, and the slot is collected like any other.
    pub fn begin(&mut self, gpu: &Gpu, mut slot: Slot<StagingRows>) -> Result<(), GpuError> {
        debug_assert!(!self.is_busy(), "one slot at a time");
        if self.picture.as_ref().is_none_or(|p| p.format != slot.format) {
            let (width, height) = (slot.format.stored.width, slot.format.stored.height);
            let made = match self.refused {
                Some(format) if format == slot.format => Err(GpuError::NoMemory { width, height }),
                _ => PictureTexture::new(gpu, slot.format),
            };
            self.refused = matches!(made, Err(GpuError::NoMemory { .. })).then_some(slot.format);
            match made {
                Ok(picture) => {
                    self.picture = Some(picture);
                    self.generation += 1;
                }
                Err(error) => {
                    self.unused = Some(slot);
                    return Err(error);
                }
            }
        }
        slot.rows.view = None;
        slot.rows.buffer.unmap();
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(picture) = &self.picture {
            copy_damage(&mut encoder, &slot, &picture.texture);
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        let mapping = Arc::new(AtomicU8::new(MAPPING));
        let told = mapping.clone();
        slot.rows.buffer.map_async(wgpu::MapMode::Write, .., move |result| {
            told.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        self.in_flight = Some(InFlight { slot, mapping, submission });
        Ok(())
    }

    /// The slot that was on its way, once the GPU is done with it. With `wait`, waits for that.
    ///
    /// # Errors
    /// [`GpuError::Failed`].
    pub fn collect(&mut self, gpu: &Gpu, wait: bool) -> Result<Option<Slot<StagingRows>>, GpuError> {
        if let Some(unused) = self.unused.take() {
            return Ok(Some(unused));
        }
        let Some(in_flight) = &self.in_flight else { return Ok(None) };
        let poll = if wait {
            wgpu::PollType::Wait { submission_index: Some(in_flight.submission.clone()), timeout: Some(UPLOAD_TIMEOUT) }
        } else {
            wgpu::PollType::Poll
        };
        gpu.device.poll(poll).map_err(|e| gpu.failed(e))?;
        gpu.check()?;
        match in_flight.mapping.load(Ordering::Acquire) {
            MAPPED => {}
            FAILED => return Err(GpuError::Failed("staging memory cannot be mapped again".into())),
            _ => return Ok(None),
        }
        let Some(InFlight { mut slot, .. }) = self.in_flight.take() else { return Ok(None) };
        let view = slot.rows.buffer.get_mapped_range_mut(..);
        slot.rows.view = Some(view.map_err(|e| gpu.failed(e))?);
        Ok(Some(slot))
    }
}

fn copy_damage(encoder: &mut wgpu::CommandEncoder, slot: &Slot<StagingRows>, texture: &wgpu::Texture) {
    let (pitch, pixel_bytes) = (slot.format.slot_pitch_bytes(), u64::from(slot.format.pixel.slot_bytes()));
    for rect in slot.damage.rects(slot.format.stored) {
        let offset = u64::from(rect.y) * u64::from(pitch) + u64::from(rect.x) * pixel_bytes;
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo {
                buffer: &slot.rows.buffer,
                layout: wgpu::TexelCopyBufferLayout { offset, bytes_per_row: Some(pitch), rows_per_image: None },
            },
            wgpu::TexelCopyTextureInfo {
                texture,
                mip_level: 0,
                origin: wgpu::Origin3d { x: rect.x, y: rect.y, z: 0 },
                aspect: wgpu::TextureAspect::All,
            },
            wgpu::Extent3d { width: rect.width, height: rect.height, depth_or_array_layers: 1 },
        );
    }
}
