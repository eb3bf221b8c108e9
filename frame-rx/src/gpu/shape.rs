//! The pointer's shape as a texture that grows when a larger one comes. It is turned as the desktop is.

use super::Gpu;
use crate::cursor::{CursorKind, Shape};
use crate::picture::{Rotation, Size};
use crate::turn;

/// The shape of now.
#[derive(Debug)]
pub(super) struct PointerTexture {
    pub texture: wgpu::Texture,
    /// What fits into the texture.
    pub room: Size,
    /// What the turned shape has of it.
    pub size: Size,
    /// How it meets the picture.
    pub kind: CursorKind,
    /// The shape as the guest sent it.
    shape: Shape,
    /// The turn of what is in the texture; nothing if that is an older shape.
    turned: Option<Rotation>,
}

impl PointerTexture {
    /// An empty shape in a texture of `room` pixels.
    pub fn new(gpu: &Gpu, room: Size) -> Self {
        let shape = Shape { kind: CursorKind::Blend, size: Size::default(), bgra: Vec::new() };
        let (size, kind, turned) = (shape.size, shape.kind, None);
        PointerTexture { texture: texture(gpu, room), room, size, kind, shape, turned }
    }

    /// The shape as the guest sent it.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// From now on this is the shape; [`PointerTexture::turn_to`] brings it to the GPU.
    pub fn set(&mut self, shape: &Shape) {
        self.shape.clone_from(shape);
        self.turned = None;
    }

    /// Brings the shape into the texture, turned like this, unless it is there.
    pub fn turn_to(&mut self, gpu: &Gpu, turn: Rotation) {
        if self.turned == Some(turn) {
            return;
        }
        self.turned = Some(turn);
        let shape = match turn {
            Rotation::None => self.shape.clone(),
            turn => turn::shape(&self.shape, turn),
        };
        self.store(gpu, &shape);
    }

    /// The bytes are stored as they are; the shader knows that blue comes first.
    fn store(&mut self, gpu: &Gpu, shape: &Shape) {
        if shape.size.width > self.room.width || shape.size.height > self.room.height {
            let side = |a: u32, b: u32| a.max(b).next_power_of_two();
            self.room = Size::new(side(shape.size.width, self.room.width), side(shape.size.height, self.room.height));
            self.texture = texture(gpu, self.room);
        }
        if !shape.size.is_empty() {
            super::scene::write(gpu, &self.texture, shape.size, &shape.bgra);
        }
        self.size = shape.size;
        self.kind = shape.kind;
    }
}

fn texture(gpu: &Gpu, room: Size) -> wgpu::Texture {
    super::scene::texture(gpu, "pointer", room, wgpu::TextureFormat::Rgba8Uint)
}
