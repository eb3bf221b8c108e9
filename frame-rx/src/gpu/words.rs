//! Boxes of ready pixels laid over the picture: sentences in the middle, figures in the corner.

use super::Gpu;
use super::pipelines::pipeline;
use crate::picture::Size;
use crate::text::TextBox;
use crate::view::Place;

/// Where a box stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// In the middle of the window.
    Middle,
    /// In the upper left corner, a little inside.
    Corner,
}

/// Pixels between the corner and a box in it.
const INSET: i32 = 8;

/// Draws boxes into targets of one format.
#[derive(Debug)]
pub(super) struct WordsPipeline(wgpu::RenderPipeline);

/// A box on the GPU.
#[derive(Debug)]
pub(super) struct Words {
    at: wgpu::Buffer,
    bind: wgpu::BindGroup,
    size: Size,
    anchor: Anchor,
}

impl WordsPipeline {
    /// Compiles the shader.
    pub(super) fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> WordsPipeline {
        let shader = gpu.device.create_shader_module(wgpu::include_wgsl!("shaders/words.wgsl"));
        let over = Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING);
        WordsPipeline(pipeline(gpu, &shader, None, &[], format, over))
    }

    /// Brings a box to the GPU.
    pub(super) fn make(&self, gpu: &Gpu, words: &TextBox, anchor: Anchor) -> Words {
        let texture = super::scene::texture(gpu, "words", words.size, wgpu::TextureFormat::Rgba8Unorm);
        super::scene::write(gpu, &texture, words.size, &words.rgba);
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let at = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("words at"),
            size: 8,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("words"),
            layout: &self.0.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: at.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&view) },
            ],
        });
        Words { at, bind, size: words.size, anchor }
    }

    /// Draws a box where [`Words::place`] said.
    pub(super) fn paint(&self, pass: &mut wgpu::RenderPass<'_>, words: &Words, at: Place, target: Size) {
        super::scene::paint(pass, &self.0, &words.bind, at, target);
    }
}

impl Words {
    /// Where the box lies in a band of `window` that begins `top` rows down. Call before the pass that paints it.
    pub(super) fn place(&self, gpu: &Gpu, window: Size, top: u32) -> Place {
        let at = match self.anchor {
            Anchor::Middle => crate::view::place(self.size, window, crate::view::Scale::OneToOne),
            Anchor::Corner => Place { x: INSET, y: INSET, size: self.size },
        };
        let at = super::scene::above(Place { size: self.size, ..at }, top);
        gpu.queue.write_buffer(&self.at, 0, bytemuck::bytes_of(&[at.x, at.y]));
        at
    }
}
