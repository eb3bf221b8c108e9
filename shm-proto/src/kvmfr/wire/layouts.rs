//! The rows of [`wire`](super): where every field of KVMFR 19, 20 and 34 lies, and what the producers of each do.
//!
//! Source: the wire reference, sections 3.2, 3.3 and 3.9; the tests compare every number with its machine-readable form.

use super::{
    CursorLayout, FRAME_QUEUE, FrameLayout, Habits, HeaderLayout, Layout, MAX_DAMAGE_RECTS, MessageLayout,
    POINTER_QUEUE, Piece, RECT_BYTES, RecordLayout, TimingLayout, VisibleRule,
};

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
        data_width: Some(20),
        data_height: Some(24),
        frame_width: 28,
        frame_height: 32,
        rotation: 36,
        stride: 40,
        pitch: 44,
        offset: 48,
        damage_count: 52,
        damage: 56,
        flags: 1080,
        sdr_white_level: None,
        hdr: None,
        timing: None,
        size: 1084,
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
        size: 24,
        visible: VisibleRule::Always,
    },
    message: MessageLayout { kind: 0, x: 4, y: 8, size: 12 },
    habits: Habits {
        memory: &[queue(FRAME_QUEUE, 2), queue(POINTER_QUEUE, 20), Piece::Cursor],
        frames_at_once: 2,
        frame_buffers: 2,
        recovery_block: false,
    },
};

/// KVMFR 19 over LGMP 5: B6. A frame says its stored size nowhere.
pub const V19: Layout = Layout {
    version: 19,
    lgmp: 5,
    frame: FrameLayout {
        data_width: None,
        data_height: None,
        frame_width: 20,
        frame_height: 24,
        rotation: 28,
        stride: 32,
        pitch: 36,
        offset: 40,
        damage_count: 44,
        damage: 48,
        flags: 1072,
        size: 1076,
        ..V20.frame
    },
    ..V20
};

/// KVMFR 20 over LGMP 7: development builds of 2025.
pub const V20_LGMP7: Layout = Layout { lgmp: 7, ..V20 };

/// KVMFR 20 over LGMP 10: development builds from September 2025 to July 2026. For a week frames had 32 more bytes behind
/// these.
pub const V20_LGMP10: Layout = Layout {
    lgmp: 10,
    habits: Habits { memory: &[queue(FRAME_QUEUE, 2), queue(POINTER_QUEUE, 32), Piece::Cursor], ..V20.habits },
    ..V20
};

/// KVMFR 34 over LGMP 12: development builds from August 2026, whose producer is a display driver.
pub const V34: Layout = Layout {
    version: 34,
    lgmp: 12,
    frame: FrameLayout {
        flags: 52,
        damage_count: 56,
        sdr_white_level: Some(60),
        hdr: Some(128),
        timing: Some(TimingLayout { durations: 64, serial: 112, valid: 116 }),
        damage: 192,
        size: 1216,
        ..V20.frame
    },
    cursor: CursorLayout { size: 28, visible: VisibleRule::WhenSaid, ..V20.cursor },
    habits: Habits {
        memory: &[
            queue(FRAME_QUEUE, 2),
            queue(FRAME_OWNER_QUEUES[0], 2),
            queue(FRAME_OWNER_QUEUES[1], 2),
            queue(POINTER_QUEUE, 32),
            Piece::Cursor,
            // Colour transforms.
            Piece::Other { count: 3, bytes: 65_620, align: 4 },
            queue(INPUT_QUEUE, 4),
            // Input streams, then their states.
            Piece::Other { count: 8, bytes: 16_640, align: 64 },
            Piece::Other { count: 4, bytes: 448, align: 4 },
            queue(CLIPBOARD_QUEUE, 32),
            // Clipboard states, then its streams.
            Piece::Other { count: 6, bytes: 128, align: 4 },
            Piece::Other { count: 2, bytes: 1_049_344, align: 64 },
        ],
        frames_at_once: 1,
        frame_buffers: 3,
        recovery_block: true,
    },
    ..V20
};

/// Numbers of the queues for a viewer that tells the guest when to draw. Not read here.
pub const FRAME_OWNER_QUEUES: [u32; 2] = [3, 4];
/// Number of the queue that carries the state of the input streams. Not read here.
pub const INPUT_QUEUE: u32 = 5;
/// Number of the queue that carries the clipboard. Not read here.
pub const CLIPBOARD_QUEUE: u32 = 6;

/// Every pair of versions this crate speaks.
pub const LAYOUTS: &[&Layout] = &[&V19, &V20, &V20_LGMP7, &V20_LGMP10, &V34];

/// Bytes of the longest frame header.
pub const MAX_FRAME_HEADER_BYTES: usize = V34.frame.size;
/// Bytes of the longest cursor header.
pub const MAX_CURSOR_HEADER_BYTES: usize = V34.cursor.size;

const fn queue(id: u32, length: u32) -> Piece {
    Piece::Queue { id, length }
}

const fn fits_together(l: &Layout) -> bool {
    let (f, c) = (&l.frame, &l.cursor);
    let rects_end = f.damage + RECT_BYTES * MAX_DAMAGE_RECTS as usize;
    (rects_end <= f.flags || f.flags + 4 <= f.damage_count)
        && rects_end <= f.size
        && f.flags + 4 <= f.size
        && f.size <= MAX_FRAME_HEADER_BYTES
        && c.pitch + 4 <= c.size
        && c.size <= MAX_CURSOR_HEADER_BYTES
        && l.header.producer + l.header.producer_bytes == l.header.features
}

const _: () = {
    let mut row = 0;
    while row < LAYOUTS.len() {
        assert!(fits_together(LAYOUTS[row]));
        row += 1;
    }
};
