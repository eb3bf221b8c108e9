//! The pointer's shape as a texture that grows when a larger one comes.

use super::Gpu;
use crate::cursor::{CursorKind, Shape};
use crate::picture::Size;

/// The shape of now.
#[derive(Debug)]
pub(super) struct PointerTexture {
    pub texture: wgpu::Texture,
    /// What fits into the texture.
    pub room: Size,
    /// What the shape has of it.
    pub size: Size,
    /// How it meets the picture.
    pub kind: CursorKind,
}

impl PointerTexture {
    /// An empty shape in a texture of `room` pixels.
    pub fn new(gpu: &Gpu, room: Size) -> Self {
        let texture = super::scene::texture(gpu, "pointer", room, wgpu::TextureFormat::Rgba8Uint);
        PointerTexture { texture, room, size: Size::default(), kind: CursorKind::Blend }
    }

    /// The bytes are stored as they are; the shader knows that blue comes first.
    pub fn set(&mut self, gpu: &Gpu, shape: &Shape) {
        if shape.size.width > self.room.width || shape.size.height > self.room.height {
            let side = |a: u32, b: u32| a.max(b).next_power_of_two();
            let room = Size::new(side(shape.size.width, self.room.width), side(shape.size.height, self.room.height));
            *self = PointerTexture::new(gpu, room);
        }
        if !shape.size.is_empty() {
            super::scene::write(gpu, &self.texture, shape.size, &shape.bgra);
        }
        self.size = shape.size;
        self.kind = shape.kind;
    }
}
