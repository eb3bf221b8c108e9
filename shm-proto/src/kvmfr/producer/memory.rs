//! How a producer hands out its memory: queues, cursor buffers, frame slots, in the order and size of a stock one of its
//! version. Source: the wire reference, sections 2.5 and 3.12.

use super::super::wire::{
    FRAME_QUEUE, Layout, MAX_SHAPE_BYTES, MAX_TIME_MS, POINTER_QUEUE, Piece, WRITE_POINTER_BYTES,
};
use crate::lgmp::host::{Block, Host, HostError, QueueHandle};

/// Shape buffers of a stock producer, used in turn without asking viewers.
pub(super) const SHAPE_BUFFERS: usize = 3;
/// The most frame slots of any version.
pub const MAX_FRAME_SLOTS: usize = 3;

/// Where the payload memory lies.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Small buffers for positions.
    pub positions: Vec<Block>,
    /// Buffers for shapes.
    pub shapes: Vec<Block>,
    /// What carries neither frames nor cursor.
    pub other: Vec<Block>,
    /// The frame slots, two or three.
    pub slots: Vec<Block>,
    /// From a slot's start to its write pointer.
    pub write_pointer: u32,
    /// Bytes of pixels that a stock producer believes to fit: up to an alignment more than there are.
    pub claimed_bytes: u32,
    /// Bytes of pixels that fit.
    pub capacity_bytes: u32,
}

/// The queues that carry something here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    pub(super) frames: QueueHandle,
    pub(super) pointer: QueueHandle,
}

/// Hands out everything.
pub(super) fn plan(host: &mut Host, wire: &Layout, align_bytes: u32) -> Result<(Queues, MemoryPlan), HostError> {
    let align = u64::from(align_bytes);
    if !align.is_power_of_two() || align_bytes < 2048 {
        return Err(HostError::Alignment { align });
    }
    let no_queue = HostError::NoSuchQueue { length: 0, count: 0, max: 0 };
    let (mut frames, mut pointer) = (Err(no_queue), Err(no_queue));
    let (mut positions, mut shapes, mut other) = (Vec::new(), Vec::new(), Vec::new());
    let header = wire.cursor.size as u64;
    for piece in wire.habits.memory {
        match *piece {
            Piece::Queue { id, length } => {
                let made = host.add_queue(id, length, MAX_TIME_MS)?;
                match id {
                    FRAME_QUEUE => frames = Ok(made),
                    POINTER_QUEUE => pointer = Ok(made),
                    _ => {}
                }
            }
            Piece::Cursor => {
                positions = several(host, wire.queue_length(POINTER_QUEUE), header, 4)?;
                shapes = several(host, SHAPE_BUFFERS as u32, header + u64::from(MAX_SHAPE_BYTES), 4)?;
            }
            Piece::Other { count, bytes, align } => other.extend(several(host, count, bytes, align)?),
        }
    }
    let queues = Queues { frames: frames?, pointer: pointer? };
    let free = host.free();
    let count = wire.habits.frame_buffers.clamp(1, MAX_FRAME_SLOTS) as u64;
    let part = free.saturating_sub(align - 1) / align * align / count;
    // Thirds of whole pages need not be whole pages.
    let part = if count == 2 { part } else { part / align * align };
    if part < align {
        return Err(HostError::NoRoom { need: 2 * count * align, free });
    }
    let slots = several(host, count as u32, part, align)?;
    let slot_bytes = slots.first().map_or(0, |slot| slot.size);
    let plan = MemoryPlan {
        positions,
        shapes,
        other,
        slots,
        write_pointer: align_bytes - WRITE_POINTER_BYTES,
        claimed_bytes: u32::try_from(part).unwrap_or(u32::MAX),
        capacity_bytes: slot_bytes.saturating_sub(align_bytes),
    };
    Ok((queues, plan))
}

fn several(host: &mut Host, count: u32, bytes: u64, align: u64) -> Result<Vec<Block>, HostError> {
    (0..count).map(|_| host.allocate(bytes, align)).collect()
}
