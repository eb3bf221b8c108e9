//! Where every KVMFR field lies, and the numbers it may hold. One [`Layout`] per version, as data, compared with the
//! machine-readable reference by the tests. Source: the wire reference, section 3.
//!
//! The number alone does not name a layout: version 20 means several, told apart by the version of LGMP.

pub mod layouts;

use crate::guest::{Allowed, Corrupt, Guest};
use crate::lgmp::wire as lgmp;
pub use layouts::{LAYOUTS, V19, V20, V20_LGMP7, V20_LGMP10, V34};

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
/// How many times a side of the guest's desktop may be that of its picture, or the other way round. Ours.
pub const MAX_DESKTOP_RATIO: u32 = 64;
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
    /// The producer changes its mode to the viewer's window when asked to.
    pub const WINDOW_SIZE: u32 = 2;
}

/// The header of a frame; every field is a u32 unless said otherwise. What a version does not have is nothing.
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
    pub data_width: Option<usize>,
    /// The stored image, rows.
    pub data_height: Option<usize>,
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
    /// How bright white is in the guest's SDR windows, cd/m2; 0 is [`SDR_WHITE_NITS`].
    pub sdr_white_level: Option<usize>,
    /// What display the picture was made for, with [`HDR_METADATA`](super::FrameFlags::HDR_METADATA).
    pub hdr: Option<usize>,
    /// How long the guest's stages took.
    pub timing: Option<TimingLayout>,
    /// Size of the header.
    pub size: usize,
}

/// The guest's own measurement of a frame.
#[derive(Clone, Copy, Debug)]
pub struct TimingLayout {
    /// Six u64 durations in nanoseconds: capture, post-processing, copy, ready, hold, lead.
    pub durations: usize,
    /// u32, the frame they belong to.
    pub serial: usize,
    /// u32, not 0 once they are valid; written last.
    pub valid: usize,
}

/// Durations of [`TimingLayout`].
pub const TIMING_DURATIONS: usize = 6;
/// What SDR white is, where the guest does not say. Unit: cd/m2. Source: the wire reference, section 3.7.
pub const SDR_WHITE_NITS: u32 = 203;

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
    /// When a message says whether the cursor is visible.
    pub visible: VisibleRule,
}

/// When a cursor message says whether the cursor is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisibleRule {
    /// Always (up to KVMFR 22).
    Always,
    /// Only with [`cursor_flags::VISIBLE_VALID`] (from 23 on).
    WhenSaid,
}

/// What a cursor message's word says about it.
pub mod cursor_flags {
    /// x and y are valid.
    pub const POSITION: u32 = 1;
    /// The cursor is visible; whether that is said depends on the version.
    pub const VISIBLE: u32 = 2;
    /// Kind, hotspot, size and the shape's bytes are valid.
    pub const SHAPE: u32 = 4;
    /// [`VISIBLE`] carries a new state.
    pub const VISIBLE_VALID: u32 = 16;
}

/// A message of a viewer: its number and two more words.
#[derive(Clone, Copy, Debug)]
pub struct MessageLayout {
    /// u32, [`MESSAGE_SET_CURSOR`] or [`MESSAGE_WINDOW_SIZE`].
    pub kind: usize,
    /// i32 column, or u32 width.
    pub x: usize,
    /// i32 row, or u32 height.
    pub y: usize,
    /// Size of the message.
    pub size: usize,
}

/// Number of the message that moves the guest's pointer.
pub const MESSAGE_SET_CURSOR: u32 = 0;
/// Number of the message that tells the size of the viewer's window.
pub const MESSAGE_WINDOW_SIZE: u32 = 1;

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
    /// What a viewer may say.
    pub message: MessageLayout,
    /// What a stock producer does.
    pub habits: Habits,
}

/// What a stock producer of a version does with its memory. For guests of ours; a viewer reads it from the queues.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// What it hands its memory out for, in this order; the frames' buffers get the rest.
    pub memory: &'static [Piece],
    /// Frames that are announced at once.
    pub frames_at_once: u32,
    /// Buffers that frames go to in turn.
    pub frame_buffers: usize,
    /// Whether it keeps a block with both versions before the end of the region.
    pub recovery_block: bool,
}

/// Something that a producer hands memory out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A queue.
    Queue {
        /// Its number.
        id: u32,
        /// Messages it holds.
        length: u32,
    },
    /// The cursor's positions, as many as its queue is long, and three shapes.
    Cursor,
    /// What carries neither frames nor cursor.
    Other {
        /// How many.
        count: u32,
        /// Bytes of each.
        bytes: u64,
        /// Alignment of each.
        align: u64,
    },
}

impl Layout {
    /// The queues of a stock producer, in the order in which it makes them: number and length.
    pub fn queues(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        self.habits.memory.iter().filter_map(|piece| match piece {
            Piece::Queue { id, length } => Some((*id, *length)),
            Piece::Cursor | Piece::Other { .. } => None,
        })
    }

    /// Messages that a queue of a stock producer holds; 0 if there is no such queue.
    pub fn queue_length(&self, id: u32) -> u32 {
        self.queues().find(|(queue, _)| *queue == id).map_or(0, |(_, length)| length)
    }
}

/// A pair of versions that is spoken, by the release that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// Release B6: LGMP 5 with KVMFR 19.
    B6,
    /// Release B7: LGMP 6 with KVMFR 20.
    #[default]
    B7,
    /// Development builds of 2025: LGMP 7 with KVMFR 20.
    Lgmp7,
    /// Development builds of 2025 and 2026: LGMP 10 with KVMFR 20.
    Lgmp10,
    /// Development builds from August 2026: LGMP 12 with KVMFR 34.
    Lgmp12,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; 5] = [Version::B6, Version::B7, Version::Lgmp7, Version::Lgmp10, Version::Lgmp12];

    /// Its table.
    pub const fn layout(self) -> &'static Layout {
        match self {
            Version::B6 => &V19,
            Version::B7 => &V20,
            Version::Lgmp7 => &V20_LGMP7,
            Version::Lgmp10 => &V20_LGMP10,
            Version::Lgmp12 => &V34,
        }
    }

    /// The table of LGMP that carries it.
    pub const fn lgmp(self) -> &'static lgmp::Layout {
        match self {
            Version::B6 => &lgmp::V5,
            Version::B7 => &lgmp::V6,
            Version::Lgmp7 => &lgmp::V7,
            Version::Lgmp10 => &lgmp::V10,
            Version::Lgmp12 => &lgmp::V12,
        }
    }

    /// As command lines and reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Version::B6 => "b6",
            Version::B7 => "b7",
            Version::Lgmp7 => "lgmp7",
            Version::Lgmp10 => "lgmp10",
            Version::Lgmp12 => "lgmp12",
        }
    }
}

/// The layout of a pair of versions, if it is spoken.
pub fn layout(lgmp: u32, kvmfr: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().copied().find(|l| (l.lgmp, l.version) == (lgmp, kvmfr))
}

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
