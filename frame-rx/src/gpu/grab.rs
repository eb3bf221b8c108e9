//! The picture's rows as the guest sent them, read back from the GPU without a calculation: for recordings.

use super::upload::Uploader;
use super::{Gpu, GpuError};
use crate::picture::PictureFormat;
use std::time::Duration;

/// How long the GPU may take. A software GPU on a busy machine is slow.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads pictures back. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Grabber {
    buffer: Option<wgpu::Buffer>,
}

impl Grabber {
    /// Hands out the stored rows from top to bottom, without gaps between them. The picture's format, or nothing if
    /// there is no picture.
    ///
    /// Blocks for the GPU.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn rows(
        &mut self,
        gpu: &Gpu,
        uploader: &Uploader,
        mut row: impl FnMut(&[u8]),
    ) -> Result<Option<PictureFormat>, GpuError> {
        let Some(picture) = uploader.picture() else { return Ok(None) };
        let format = *picture.format();
        let bytes = format.slot_bytes();
        if self.buffer.as_ref().is_none_or(|b| b.size() != bytes) {
            self.buffer = Some(gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("grabbed"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }));
        }
        let Some(buffer) = &self.buffer else { return Ok(None) };
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_texture_to_buffer(
            picture.texture().as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(format.slot_pitch_bytes()),
                    rows_per_image: None,
                },
            },
            wgpu::Extent3d { width: format.stored.width, height: format.stored.height, depth_or_array_layers: 1 },
        );
        let submission = gpu.queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(TIMEOUT) };
        gpu.device.poll(wait).map_err(|e| gpu.failed(e))?;
        gpu.check()?;
        let view = buffer.get_mapped_range(..).map_err(|e| gpu.failed(e))?;
        for line in view.chunks_exact(format.slot_pitch_bytes() as usize) {
            row(line.get(..format.row_bytes() as usize).unwrap_or_default());
        }
        drop(view);
        buffer.unmap();
        Ok(Some(format))
    }
}
