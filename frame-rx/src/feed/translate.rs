//! From the protocol's checked types to those of the picture path: the only place that knows both.

use crate::cursor::{CursorKind, Shape, ShapeError};
use crate::damage::Damage;
use crate::picture::{PictureFormat, PixelFormat, Rect, Rotation, Size};
use crate::state::GuestState;
use shm_proto::kvmfr::{self, CursorState, Frame, PixelType, ShapeKind};

/// The picture of a frame, as far as its rows have arrived.
///
/// # Errors
/// The state in which such pixels leave us, if they cannot be shown.
pub fn picture_format(frame: &Frame) -> Result<PictureFormat, GuestState> {
    let pixel = match frame.pixel_type() {
        PixelType::Bgra => PixelFormat::Bgra8,
        PixelType::Rgba => PixelFormat::Rgba8,
        other => return Err(GuestState::UnknownPixels { pixels: other.to_string() }),
    };
    let rotation = match frame.rotation() {
        kvmfr::Rotation::None => Rotation::None,
        kvmfr::Rotation::Quarter => Rotation::Quarter,
        kvmfr::Rotation::Half => Rotation::Half,
        kvmfr::Rotation::ThreeQuarters => Rotation::ThreeQuarters,
    };
    let stored = Size::new(frame.width(), frame.rows());
    let desktop = desktop(frame, rotation);
    Ok(PictureFormat { stored, pixel, rotation, desktop })
}

/// The part of the guest's desktop that the rows cover, in its own pixels.
fn desktop(frame: &Frame, rotation: Rotation) -> Size {
    let (width, height) = frame.screen();
    // At most `side`: rows are at most the height.
    let cut = |side: u32| {
        let part = u64::from(side) * u64::from(frame.rows()) / u64::from(frame.height().max(1));
        u32::try_from(part).unwrap_or(side).max(1)
    };
    if rotation.swaps_sides() { Size::new(cut(width), height) } else { Size::new(width, cut(height)) }
}

/// How it stands once this frame is shown. Allocates nothing.
pub fn showing(frame: &Frame) -> GuestState {
    if frame.is_truncated() {
        GuestState::Truncated { width: frame.width(), height: frame.height(), rows: frame.rows() }
    } else {
        GuestState::Live
    }
}

/// What changed in a frame.
pub fn changed(frame: &Frame, into: &mut Damage) {
    into.clear();
    match frame.damage().rects() {
        None => into.set_everything(),
        Some(rects) => {
            for r in rects {
                into.add(Rect { x: r.x, y: r.y, width: r.width, height: r.height });
            }
        }
    }
}

/// The cursor's shape. Allocates nothing, given a shape with room.
///
/// # Errors
/// [`ShapeError`] for more pixels than are drawn; the shape is then empty.
pub fn fill_shape(shape: &mut Shape, cursor: &CursorState) -> Result<(), ShapeError> {
    let Some(header) = cursor.shape() else { return Err(ShapeError::Size(Size::default())) };
    let (size, pitch_bytes, bytes) =
        (Size::new(header.width(), header.height()), header.pitch_bytes(), cursor.pixels());
    match header.kind() {
        ShapeKind::Color => shape.set_colour(CursorKind::Blend, size, pitch_bytes, bytes),
        ShapeKind::MaskedColor => shape.set_colour(CursorKind::Mask, size, pitch_bytes, bytes),
        ShapeKind::Monochrome => shape.set_monochrome(size, pitch_bytes, bytes),
    }
}
