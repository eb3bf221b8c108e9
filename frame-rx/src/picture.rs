//! What a picture is, to everything behind the feed: its size, its pixel format, which way is up, and which part of it
//! changed. Plain checked numbers; no protocol and no GPU is named here. Pure.

/// How one pixel lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Bytes blue, green, red, ignored.
    Bgra8,
    /// Bytes red, green, blue, ignored.
    Rgba8,
    /// A word with red in its lowest ten bits, then green, then blue; two bits ignored.
    Rgb10,
    /// Half floats red, green, blue, ignored.
    Rgba16F,
    /// Bytes blue, green, red, without a gap. Slots have four bytes, the fourth ignored.
    Bgr24,
    /// Bytes red, green, blue, without a gap. Slots as above.
    Rgb24,
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [PixelFormat; 6] = [
        PixelFormat::Bgra8,
        PixelFormat::Rgba8,
        PixelFormat::Rgb10,
        PixelFormat::Rgba16F,
        PixelFormat::Bgr24,
        PixelFormat::Rgb24,
    ];

    /// Bytes of a pixel as the guest sends it.
    pub const fn source_bytes(self) -> u32 {
        match self {
            PixelFormat::Bgr24 | PixelFormat::Rgb24 => 3,
            PixelFormat::Bgra8 | PixelFormat::Rgba8 | PixelFormat::Rgb10 => 4,
            PixelFormat::Rgba16F => 8,
        }
    }

    /// Bytes of a pixel in a slot: GPUs know no pixels of three.
    pub const fn slot_bytes(self) -> u32 {
        match self {
            PixelFormat::Bgr24 | PixelFormat::Rgb24 => 4,
            other => other.source_bytes(),
        }
    }
}

/// The brightest light that PQ can say. Unit: cd/m2. Source: SMPTE ST 2084.
pub const PQ_MOST_NITS: u32 = 10_000;

/// What the numbers of a pixel mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// What a screen shows as it is.
    #[default]
    Sdr,
    /// Light itself, 1 being the white of SDR windows; more is brighter.
    Linear,
    /// SMPTE ST 2084 (PQ) with BT.2020 primaries.
    Pq {
        /// How bright the white of SDR windows is. Unit: cd/m2.
        white_nits: u32,
        /// How bright the brightest pixel is that the content has, or that the display shows it was made for;
        /// [`PQ_MOST_NITS`] if nothing is known. Unit: cd/m2.
        peak_nits: u32,
    },
}

/// How far the stored picture must be turned clockwise to stand upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It stands upright as it is.
    #[default]
    None,
    /// By 90 degrees.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    ThreeQuarters,
}

impl Rotation {
    /// All, by quarters.
    pub const ALL: [Rotation; 4] = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];

    /// Quarter turns, 0 to 3.
    pub const fn quarters(self) -> u32 {
        match self {
            Rotation::None => 0,
            Rotation::Quarter => 1,
            Rotation::Half => 2,
            Rotation::ThreeQuarters => 3,
        }
    }

    /// Whether width and height change places.
    pub const fn swaps_sides(self) -> bool {
        self.quarters() % 2 == 1
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// A size of `width` by `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Size { width, height }
    }

    /// Whether there is no pixel in it.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

impl core::fmt::Display for Size {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Everything that must be known to store and show the rows of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureFormat {
    /// Size as stored, before any turn.
    pub stored: Size,
    /// How a pixel lies in memory.
    pub pixel: PixelFormat,
    /// What its numbers mean.
    pub transfer: Transfer,
    /// Which way is up.
    pub rotation: Rotation,
    /// Size of the guest's desktop, in which the pointer's place is given. Equal to the upright size unless the guest
    /// scales its picture down before it sends it.
    pub desktop: Size,
}

/// Copies from a buffer to a texture need rows at multiples of this many bytes. Source: the WebGPU specification.
const SLOT_ROW_ALIGN_BYTES: u32 = 256;

impl PictureFormat {
    /// An upright picture whose pointer coordinates are its own pixels.
    pub const fn upright(stored: Size, pixel: PixelFormat) -> Self {
        PictureFormat { stored, pixel, transfer: Transfer::Sdr, rotation: Rotation::None, desktop: stored }
    }

    /// Size as it is shown, after the turn.
    pub const fn shown(&self) -> Size {
        if self.rotation.swaps_sides() { Size::new(self.stored.height, self.stored.width) } else { self.stored }
    }

    /// Bytes of pixels in one row of a slot.
    pub const fn row_bytes(&self) -> u32 {
        self.stored.width.saturating_mul(self.pixel.slot_bytes())
    }

    /// Distance between rows in a slot, in bytes: the row rounded up to what the GPU copies.
    pub const fn slot_pitch_bytes(&self) -> u32 {
        self.row_bytes().div_ceil(SLOT_ROW_ALIGN_BYTES).saturating_mul(SLOT_ROW_ALIGN_BYTES)
    }

    /// Bytes that a slot needs for the whole picture.
    pub const fn slot_bytes(&self) -> u64 {
        self.slot_pitch_bytes() as u64 * self.stored.height as u64
    }
}

/// A rectangle of pixels of the stored picture. Built only inside a picture, see [`Rect::clipped`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Leftmost column.
    pub x: u32,
    /// Topmost row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// The whole of a picture.
    pub const fn whole(size: Size) -> Rect {
        Rect { x: 0, y: 0, width: size.width, height: size.height }
    }

    /// The part of a claimed rectangle that lies in a picture of `size`, or nothing. Any numbers may be passed.
    pub fn clipped(x: u32, y: u32, width: u32, height: u32, size: Size) -> Option<Rect> {
        let right = x.saturating_add(width).min(size.width);
        let bottom = y.saturating_add(height).min(size.height);
        (right > x && bottom > y).then(|| Rect { x, y, width: right - x, height: bottom - y })
    }

    /// Whether `other` lies inside.
    pub fn contains(&self, other: &Rect) -> bool {
        self.x <= other.x && self.y <= other.y && self.right() >= other.right() && self.bottom() >= other.bottom()
    }

    /// The smallest rectangle around both.
    pub fn around(&self, other: &Rect) -> Rect {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Rect { x, y, width: right - x, height: bottom - y }
    }

    /// Whether they have a pixel in common.
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Whether the rectangle around both has no more pixels than they have together, or more by at most one in `slack`, if
    /// that is not 0.
    pub fn is_one_with(&self, other: &Rect, slack: u64) -> bool {
        let common = |a: u32, a_end: u32, b: u32, b_end: u32| u64::from(a_end.min(b_end).saturating_sub(a.max(b)));
        let both = common(self.x, self.right(), other.x, other.right())
            * common(self.y, self.bottom(), other.y, other.bottom());
        let together = self.pixels().saturating_add(other.pixels()) - both;
        self.around(other).pixels() <= together.saturating_add(together.checked_div(slack).unwrap_or(0))
    }

    /// The parts of it that are not in `hole`, with which it has pixels in common: above, below, left, right. Some may be
    /// empty; none of them overlap.
    pub fn without(&self, hole: &Rect) -> [Rect; 4] {
        let (top, bottom) = (hole.y.max(self.y), hole.bottom().min(self.bottom()));
        let (left, right) = (hole.x.max(self.x), hole.right().min(self.right()));
        let (beside, above) = (bottom.saturating_sub(top), top - self.y);
        [
            Rect { height: above, ..*self },
            Rect { y: bottom, height: self.bottom().saturating_sub(bottom), ..*self },
            Rect { y: top, height: beside, width: left - self.x, ..*self },
            Rect { x: right, y: top, height: beside, width: self.right().saturating_sub(right) },
        ]
    }

    /// Pixels in it.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The column right of it.
    pub const fn right(&self) -> u32 {
        self.x.saturating_add(self.width)
    }

    /// The row below it.
    pub const fn bottom(&self) -> u32 {
        self.y.saturating_add(self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_slot_lie_at_multiples_of_256_bytes() {
        for (width, row, pitch) in [(1, 4, 256), (64, 256, 256), (65, 260, 512), (1366, 5464, 5632), (1920, 7680, 7680)]
        {
            let f = PictureFormat::upright(Size::new(width, 3), PixelFormat::Bgra8);
            assert_eq!((f.row_bytes(), f.slot_pitch_bytes(), f.slot_bytes()), (row, pitch, u64::from(pitch) * 3));
        }
    }

    #[test]
    fn a_quarter_turn_swaps_the_sides() {
        let mut f = PictureFormat::upright(Size::new(640, 360), PixelFormat::Rgba8);
        for (rotation, shown) in [
            (Rotation::None, Size::new(640, 360)),
            (Rotation::Quarter, Size::new(360, 640)),
            (Rotation::Half, Size::new(640, 360)),
            (Rotation::ThreeQuarters, Size::new(360, 640)),
        ] {
            f.rotation = rotation;
            assert_eq!(f.shown(), shown);
        }
    }

    #[test]
    fn a_claimed_rectangle_is_cut_at_the_picture() {
        let size = Size::new(100, 50);
        let cut = |x, y, w, h| Rect::clipped(x, y, w, h, size);
        assert_eq!(cut(90, 40, 20, 20), Some(Rect { x: 90, y: 40, width: 10, height: 10 }));
        assert_eq!(cut(0, 0, u32::MAX, u32::MAX), Some(Rect::whole(size)));
        assert_eq!(cut(u32::MAX, 0, u32::MAX, 5), None);
        assert_eq!(cut(100, 0, 5, 5), None);
        assert_eq!(cut(3, 3, 0, 5), None);
    }
}
