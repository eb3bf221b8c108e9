//! The short way to the screen: a picture that is shown upright, one pixel to one pixel and as bright as the guest sent
//! it, is copied into the target, and no pixel is calculated. A software GPU needs a tenth of the time for that.

use super::scene::{Look, Target};
use super::upload::PictureTexture;
use crate::picture::{PictureFormat, Rotation, Size, Transfer};
use crate::view::Place;

/// A copy from the picture to the target, ready to be recorded.
pub(super) struct Copy<'a> {
    picture: &'a wgpu::Texture,
    target: &'a wgpu::Texture,
    from: wgpu::Origin3d,
    to: wgpu::Origin3d,
    part: Size,
    covers_target: bool,
}

impl<'a> Copy<'a> {
    /// The copy that shows `picture` in `format` at `place` of the target, if a copy shows it exactly as `look` wants it.
    pub(super) fn of(
        target: &Target<'a>,
        picture: &'a PictureTexture,
        format: &PictureFormat,
        look: &Look,
        place: Place,
    ) -> Option<Copy<'a>> {
        let texture = target.copy_to?;
        let is_plain = format.rotation == Rotation::None && format.transfer == Transfer::Sdr;
        let as_it_is = look.brightness == u8::MAX && is_plain && place.size == format.shown();
        let same_pixels = texture.format().remove_srgb_suffix() == picture.texture().format();
        let (x, y, part) = place.visible(target.size);
        if !as_it_is || !same_pixels || part.is_empty() {
            return None;
        }
        // Not negative: the visible part begins inside the place.
        let inside = |at: u32, place: i32| u32::try_from(i64::from(at) - i64::from(place)).unwrap_or(0);
        Some(Copy {
            picture: picture.texture(),
            target: texture,
            from: wgpu::Origin3d { x: inside(x, place.x), y: inside(y, place.y), z: 0 },
            to: wgpu::Origin3d { x, y, z: 0 },
            part,
            covers_target: part == target.size,
        })
    }

    /// Whether the target must be made black first: the picture leaves some of it free.
    pub(super) fn leaves_bars(&self) -> bool {
        !self.covers_target
    }

    /// Records the copy.
    pub(super) fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let side = |texture, origin| wgpu::TexelCopyTextureInfo {
            texture,
            mip_level: 0,
            origin,
            aspect: wgpu::TextureAspect::All,
        };
        encoder.copy_texture_to_texture(
            side(self.picture, self.from),
            side(self.target, self.to),
            wgpu::Extent3d { width: self.part.width, height: self.part.height, depth_or_array_layers: 1 },
        );
    }
}
