//! Where every KVMFR field lies, and the numbers it may hold. One [`Layout`] per version, as data, compared with the
//! machine-readable reference by the tests. Source: the wire reference, section 3.
//!
//! The number alone does not name a layout: version 20 means this table only together with LGMP 6.

use crate::guest::{Allowed, Corrupt, Guest};

/// The first eight bytes of the user data; no terminator.
pub const MAGIC: [u8; 8] = *b"KVMFR---";
/// Number of the queue that carries the cursor and takes messages.
pub const POINTER_QUEUE: u32 = 1;
/// Number of the queue that carries frames.
pub const FRAME_QUEUE: u32 = 2;
/// How long a viewer may keep a message, milliseconds.
pub const MAX_TIME_MS: u32 = 1000;
/// The most rectangles a frame header holds.
pub const MAX_DAMAGE_RECTS: u32 = 64;
/// The most bytes a cursor shape has.
pub const MAX_SHAPE_BYTES: u32 = 1 << 20;
/// The largest side of a picture that is believed, pixels. Ours.
pub const MAX_PICTURE_SIDE: u32 = 16384;
/// The largest side of a cursor that is believed, pixels. Ours; stock shapes have at most 512.
pub const MAX_CURSOR_SIDE: u32 = 1024;

/// The start of the user data.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLayout {
    /// u32.
    pub version: usize,
    /// Text, zero padded.
    pub producer: usize,
    /// Length of that text.
    pub producer_bytes: usize,
    /// u32 of feature bits.
    pub features: usize,
    /// Size of the header.
    pub size: usize,
}

/// A record behind the header. They are packed without alignment.
#[derive(Clone, Copy, Debug)]
pub struct RecordLayout {
    /// u8.
    pub kind: usize,
    /// u32, bytes behind the record's header.
    pub length: usize,
    /// Size of the record's header.
    pub size: usize,
    /// VMINFO: 16 bytes.
    pub vm_uuid: usize,
    /// VMINFO: text, zero padded.
    pub vm_capture: usize,
    /// VMINFO: length of that text.
    pub vm_capture_bytes: usize,
    /// VMINFO: u8.
    pub vm_cpus: usize,
    /// VMINFO: u8.
    pub vm_cores: usize,
    /// VMINFO: u8.
    pub vm_sockets: usize,
    /// VMINFO: text to the end.
    pub vm_model: usize,
    /// OSINFO: u8.
    pub os_kind: usize,
    /// OSINFO: text to the end.
    pub os_name: usize,
}

/// Number of the VMINFO record.
pub const RECORD_VM: u8 = 1;
/// Number of the OSINFO record.
pub const RECORD_OS: u8 = 2;

/// Feature bits.
pub mod features {
    /// The producer moves the guest's pointer when asked to.
    pub const SET_CURSOR_POSITION: u32 = 1;
}

/// The header of a frame; every field is a u32.
#[derive(Clone, Copy, Debug)]
pub struct FrameLayout {
    /// Changes whenever a format field may have changed. A hint.
    pub format_ver: usize,
    /// One more per new frame; repeated when an old frame is posted again.
    pub serial: usize,
    /// See [`PixelType`](super::PixelType).
    pub pixel_type: usize,
    /// The guest's desktop: where the cursor's coordinates live.
    pub screen_width: usize,
    /// As above.
    pub screen_height: usize,
    /// The stored image, stored pixels.
    pub data_width: usize,
    /// The stored image, rows.
    pub data_height: usize,
    /// The picture.
    pub frame_width: usize,
    /// The picture.
    pub frame_height: usize,
    /// Quarter turns clockwise that show it upright.
    pub rotation: usize,
    /// Row length in stored pixels. Not used: the pitch says it in bytes.
    pub stride: usize,
    /// Row length in bytes.
    pub pitch: usize,
    /// From the start of this header to the write pointer; the pixels follow 4 bytes later.
    pub offset: usize,
    /// Rectangles that changed; 0 is everything.
    pub damage_count: usize,
    /// The rectangles: x, y, width, height.
    pub damage: usize,
    /// See [`FrameFlags`](super::FrameFlags).
    pub flags: usize,
    /// Size of the header.
    pub size: usize,
}

/// Bytes of a damage rectangle.
pub const RECT_BYTES: usize = 16;
/// Bytes of the write pointer, which lies right before the pixels.
pub const WRITE_POINTER_BYTES: u32 = 4;

/// The header of a cursor message.
#[derive(Clone, Copy, Debug)]
pub struct CursorLayout {
    /// i16.
    pub x: usize,
    /// i16.
    pub y: usize,
    /// u32.
    pub kind: usize,
    /// i8.
    pub hotspot_x: usize,
    /// i8.
    pub hotspot_y: usize,
    /// u32.
    pub width: usize,
    /// u32.
    pub height: usize,
    /// u32.
    pub pitch: usize,
    /// Size of the header; the shape follows.
    pub size: usize,
}

/// What a cursor message's word says about it.
pub mod cursor_flags {
    /// x and y are valid.
    pub const POSITION: u32 = 1;
    /// The cursor is visible; present in every message.
    pub const VISIBLE: u32 = 2;
    /// Kind, hotspot, size and the shape's bytes are valid.
    pub const SHAPE: u32 = 4;
}

/// The message that moves the guest's pointer.
#[derive(Clone, Copy, Debug)]
pub struct SetCursorLayout {
    /// u32, 0.
    pub kind: usize,
    /// i32.
    pub x: usize,
    /// i32.
    pub y: usize,
    /// Size of the message.
    pub size: usize,
}

/// Number of the message that moves the guest's pointer.
pub const MESSAGE_SET_CURSOR: u32 = 0;

/// Everything that differs between versions.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The KVMFR version.
    pub version: u32,
    /// The LGMP version this table belongs to.
    pub lgmp: u32,
    /// The start of the user data.
    pub header: HeaderLayout,
    /// The records behind it.
    pub record: RecordLayout,
    /// A frame.
    pub frame: FrameLayout,
    /// A cursor message.
    pub cursor: CursorLayout,
    /// The message that moves the guest's pointer.
    pub set_cursor: SetCursorLayout,
    /// Messages that the cursor's queue holds at a stock producer.
    pub pointer_length: u32,
    /// Messages that the frames' queue holds at a stock producer.
    pub frame_length: u32,
}

/// KVMFR 20 over LGMP 6: B7.
pub const V20: Layout = Layout {
    version: 20,
    lgmp: 6,
    header: HeaderLayout { version: 8, producer: 12, producer_bytes: 32, features: 44, size: 48 },
    record: RecordLayout {
        kind: 0,
        length: 4,
        size: 8,
        vm_uuid: 0,
        vm_capture: 16,
        vm_capture_bytes: 32,
        vm_cpus: 48,
        vm_cores: 49,
        vm_sockets: 50,
        vm_model: 51,
        os_kind: 0,
        os_name: 1,
    },
    frame: FrameLayout {
        format_ver: 0,
        serial: 4,
        pixel_type: 8,
        screen_width: 12,
        screen_height: 16,
        data_width: 20,
        data_height: 24,
        frame_width: 28,
        frame_height: 32,
        rotation: 36,
        stride: 40,
        pitch: 44,
        offset: 48,
        damage_count: 52,
        damage: 56,
        flags: 1080,
        size: FRAME_HEADER_BYTES,
    },
    cursor: CursorLayout {
        x: 0,
        y: 2,
        kind: 4,
        hotspot_x: 8,
        hotspot_y: 9,
        width: 12,
        height: 16,
        pitch: 20,
        size: CURSOR_HEADER_BYTES,
    },
    set_cursor: SetCursorLayout { kind: 0, x: 4, y: 8, size: 12 },
    pointer_length: 20,
    frame_length: 2,
};

/// Bytes of a frame header in [`V20`].
pub const FRAME_HEADER_BYTES: usize = 1084;
/// Bytes of a cursor header in [`V20`].
pub const CURSOR_HEADER_BYTES: usize = 24;

/// Every version this crate speaks.
pub const LAYOUTS: &[&Layout] = &[&V20];

/// The layout of a pair of versions, if it is spoken.
pub fn layout(lgmp: u32, kvmfr: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().copied().find(|l| (l.lgmp, l.version) == (lgmp, kvmfr))
}

const _: () = {
    let f = &V20.frame;
    assert!(f.damage + RECT_BYTES * MAX_DAMAGE_RECTS as usize <= f.flags && f.flags + 4 <= f.size);
    assert!(V20.cursor.pitch + 4 == V20.cursor.size);
    assert!(V20.header.producer + V20.header.producer_bytes == V20.header.features);
};

/// Bytes of ours, decoded by offset. Looking past the end is a [`Corrupt`], not a panic.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a>(pub &'a [u8]);

impl<'a> Snapshot<'a> {
    fn array<const N: usize>(self, field: &'static str, at: usize) -> Result<[u8; N], Corrupt> {
        let found = self.0.get(at..).and_then(|rest| rest.first_chunk::<N>());
        let length = self.0.len() as u64;
        found.copied().ok_or(Corrupt { field, value: length, allowed: Allowed::Words("long enough for the field") })
    }

    /// The u8 at `at`.
    ///
    /// # Errors
    /// [`Corrupt`] past the end.
    pub fn u8(self, field: &'static str, at: usize) -> Result<Guest<u8>, Corrupt> {
        self.array::<1>(field, at).map(|[b]| Guest::new(b))
    }

    /// The i16 at `at`.
    ///
    /// # Errors
    /// [`Corrupt`] past the end.
    pub fn i16(self, field: &'static str, at: usize) -> Result<i16, Corrupt> {
        self.array(field, at).map(i16::from_le_bytes)
    }

    /// The u32 at `at`.
    ///
    /// # Errors
    /// [`Corrupt`] past the end.
    pub fn u32(self, field: &'static str, at: usize) -> Result<Guest<u32>, Corrupt> {
        self.array(field, at).map(|b| Guest::new(u32::from_le_bytes(b)))
    }

    /// The bytes from `at` on, `len` of them.
    ///
    /// # Errors
    /// [`Corrupt`] past the end.
    pub fn bytes(self, field: &'static str, at: usize, len: usize) -> Result<&'a [u8], Corrupt> {
        let found = at.checked_add(len).and_then(|end| self.0.get(at..end));
        let length = self.0.len() as u64;
        found.ok_or(Corrupt { field, value: length, allowed: Allowed::Words("long enough for the field") })
    }
}
