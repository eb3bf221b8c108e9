//! From the protocol's checked types to those of the picture path: the only place that knows both.

use crate::cursor::{CursorKind, Shape, ShapeError};
use crate::damage::Damage;
use crate::picture::{PQ_MOST_NITS, PictureFormat, PixelFormat, Rect, Rotation, Size, Transfer};
use crate::size::{Depth, advised_mib};
use crate::state::GuestState;
use crate::trace::GuestTook;
use shm_proto::kvmfr::{self, CursorState, Frame, FrameFlags, GuestTiming, HdrMetadata, PixelType, ShapeKind};

/// The picture of a frame, as far as its rows have arrived.
pub fn picture_format(frame: &Frame) -> PictureFormat {
    let pixel = match frame.pixel_type() {
        PixelType::Bgra => PixelFormat::Bgra8,
        PixelType::Rgba => PixelFormat::Rgba8,
        PixelType::Rgba10 => PixelFormat::Rgb10,
        PixelType::Rgba16F => PixelFormat::Rgba16F,
        PixelType::Bgr32 => PixelFormat::Bgr24,
        PixelType::Rgb24 => PixelFormat::Rgb24,
    };
    let rotation = match frame.rotation() {
        kvmfr::Rotation::None => Rotation::None,
        kvmfr::Rotation::Quarter => Rotation::Quarter,
        kvmfr::Rotation::Half => Rotation::Half,
        kvmfr::Rotation::ThreeQuarters => Rotation::ThreeQuarters,
    };
    let stored = Size::new(frame.width(), frame.rows());
    let desktop = desktop(frame, rotation);
    PictureFormat { stored, pixel, transfer: transfer(frame), rotation, desktop }
}

/// What the numbers of its pixels mean. Half floats are light in every version, whatever the flags say; bytes never are.
fn transfer(frame: &Frame) -> Transfer {
    let has = |bits| frame.flags().has(bits);
    match frame.pixel_type() {
        PixelType::Rgba10 | PixelType::Rgba16F if has(FrameFlags::HDR | FrameFlags::HDR_PQ) => {
            Transfer::Pq { white_nits: frame.format().sdr_white_nits, peak_nits: peak_nits(frame.hdr()) }
        }
        PixelType::Rgba10 if has(FrameFlags::HDR) => Transfer::Linear,
        PixelType::Rgba16F => Transfer::Linear,
        _ => Transfer::Sdr,
    }
}

/// The brightest light of the content if the guest says so, else of the display that it was made for.
fn peak_nits(hdr: Option<&HdrMetadata>) -> u32 {
    hdr.map_or(PQ_MOST_NITS, |hdr| if hdr.content_max_nits > 0 { hdr.content_max_nits } else { hdr.max_nits })
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
        let (width, height) = (frame.width(), frame.height());
        let depth = if frame.pixel_type() == PixelType::Rgba16F { Depth::Hdr } else { Depth::Sdr };
        let needed_mib = advised_mib(Size::new(width, height), depth);
        GuestState::Truncated { width, height, rows: frame.rows(), needed_mib }
    } else {
        GuestState::Live
    }
}

/// What the guest says of its own stages, in the order in which a picture passes them.
pub fn guest_took(timing: &GuestTiming) -> GuestTook {
    let GuestTiming { capture, post_process, copy, hold, .. } = *timing;
    GuestTook { stages: [capture, post_process, copy, hold] }
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
