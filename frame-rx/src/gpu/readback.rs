//! A target in memory: what a window would show, read back row by row. Drawn in bands, so that a picture of any size
//! costs a few megabytes.

use super::scene::{Look, Scene, Target};
use super::upload::Uploader;
use super::{Gpu, GpuError};
use crate::picture::Size;
use std::time::Duration;

/// Rows of a band.
const BAND_ROWS: u32 = 128;
/// Rows in a buffer that a texture is copied to lie at multiples of this. Source: the WebGPU specification.
const ROW_ALIGN_BYTES: u32 = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT;
/// How long the GPU may take for one band. A software GPU on a busy machine is slow.
const BAND_TIMEOUT: Duration = Duration::from_secs(20);

/// A GPU with a scene that is drawn into memory.
#[derive(Debug)]
pub struct Canvas {
    scene: Scene,
    band: Option<Band>,
    /// Where a window would get a copy of the picture, so do the rows; their opacity is then the guest's.
    takes_copies: bool,
}

#[derive(Debug)]
struct Band {
    width: u32,
    pitch_bytes: u32,
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    buffer: wgpu::Buffer,
}

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

impl Canvas {
    /// Compiles the shaders.
    pub fn new(gpu: &Gpu) -> Canvas {
        Canvas { scene: Scene::new(gpu, FORMAT), band: None, takes_copies: false }
    }

    /// From now on pictures that need no calculation are copied, as into a window. Otherwise each pixel is drawn.
    pub fn take_copies(&mut self, takes_copies: bool) {
        self.takes_copies = takes_copies;
    }

    /// The scene, to set shape and words.
    pub fn scene(&mut self) -> &mut Scene {
        &mut self.scene
    }

    /// Draws what a window of `size` pixels would show and hands out its rows from top to bottom: red, green, blue,
    /// opacity for each pixel.
    ///
    /// Blocks for the GPU.
    ///
    /// # Errors
    /// [`GpuError`], or what `row` says, which ends the drawing.
    pub fn rows<E: From<GpuError>>(
        &mut self,
        gpu: &Gpu,
        uploader: &Uploader,
        size: Size,
        look: &Look,
        mut row: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let limit = gpu.max_side();
        if size.width > limit || size.height > limit {
            return Err(GpuError::TooLarge { width: size.width, height: size.height, limit }.into());
        }
        let mut top = 0;
        while top < size.height && size.width > 0 {
            let count = BAND_ROWS.min(size.height - top);
            self.draw_band(gpu, uploader, size, look, top);
            gpu.check()?;
            let Some(band) = &self.band else { break };
            let bytes = band.read(gpu, count)?;
            for line in bytes.chunks_exact(band.pitch_bytes as usize) {
                row(line.get(..size.width as usize * 4).unwrap_or_default())?;
            }
            drop(bytes);
            band.buffer.unmap();
            top += count;
        }
        Ok(())
    }

    fn draw_band(&mut self, gpu: &Gpu, uploader: &Uploader, size: Size, look: &Look, top: u32) {
        if self.band.as_ref().is_none_or(|b| b.width != size.width) {
            self.band = Some(Band::new(gpu, size.width));
        }
        let Some(band) = &self.band else { return };
        let copy_to = self.takes_copies.then_some(&band.texture);
        let target = Target { view: &band.view, size: Size::new(size.width, BAND_ROWS), window: size, top, copy_to };
        let picture = uploader.picture().map(|p| (p, uploader.generation()));
        self.scene.draw(gpu, &target, picture, look);
    }
}

impl Band {
    fn new(gpu: &Gpu, width: u32) -> Band {
        let pitch_bytes = (width * 4).next_multiple_of(ROW_ALIGN_BYTES);
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("band"),
            size: wgpu::Extent3d { width, height: BAND_ROWS, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("band"),
            size: u64::from(pitch_bytes) * u64::from(BAND_ROWS),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Band { width, pitch_bytes, texture, view, buffer }
    }

    /// The first `count` rows. The buffer must be unmapped when the view is dropped.
    fn read(&self, gpu: &Gpu, count: u32) -> Result<wgpu::BufferView, GpuError> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &self.buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(self.pitch_bytes),
                    rows_per_image: None,
                },
            },
            wgpu::Extent3d { width: self.width, height: count, depth_or_array_layers: 1 },
        );
        let submission = gpu.queue.submit([encoder.finish()]);
        let range = 0..u64::from(self.pitch_bytes) * u64::from(count);
        self.buffer.map_async(wgpu::MapMode::Read, range.clone(), |_| {});
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(BAND_TIMEOUT) };
        gpu.device.poll(wait).map_err(|e| gpu.failed(e))?;
        gpu.check()?;
        self.buffer.get_mapped_range(range).map_err(|e| gpu.failed(e))
    }
}
