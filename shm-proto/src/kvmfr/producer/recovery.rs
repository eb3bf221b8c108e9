//! The block before the end of the region in which newer producers tell both versions, at a place that stays. Source: the
//! wire reference, section 3.13.

use super::super::wire::Layout;
use super::Identity;
use crate::lgmp::host::{Host, HostError};
use crate::lgmp::probe::recovery as at;
use crate::raw::map::Region;
use crate::span::AccessError;

/// The block of one session.
#[derive(Debug)]
pub(super) struct Recovery {
    start: u64,
    stored_ms: u64,
    beats: u32,
}

impl Recovery {
    /// Takes the block away from the end of what the session may hand out; nothing in a region that has no room for it.
    pub(super) fn place(host: &mut Host) -> Option<Recovery> {
        let start = host.region().len().checked_sub(at::FROM_END).filter(|start| start.is_multiple_of(8))?;
        host.reserve_tail(at::FROM_END);
        Some(Recovery { start, stored_ms: 0, beats: 1 })
    }

    /// Writes all of it; that it is ready comes last.
    pub(super) fn write(&self, host: &Host, wire: &Layout, identity: &Identity) -> Result<(), HostError> {
        let block = host.region().span(self.start, u64::from(at::STRUCT_BYTES))?;
        let ready = block.word::<u32>(at::READY)?;
        ready.store_release(0);
        block.sub(0, at::READY)?.fill(0)?;
        block.sub(0, 8)?.copy_from(&at::MAGIC)?;
        block.word::<u16>(at::ABI)?.store_release(1);
        block.word::<u16>(at::STRUCT_SIZE)?.store_release(at::STRUCT_BYTES);
        block.word::<u32>(at::LGMP_VERSION)?.store_release(wire.lgmp);
        block.word::<u32>(at::KVMFR_VERSION)?.store_release(wire.version);
        block.word::<u64>(at::SESSION)?.store_release(u64::from(host.session_id()));
        block.sub(at::UUID, 16)?.copy_from(&identity.uuid)?;
        let text = block.sub(at::VERSION_TEXT, at::VERSION_TEXT_BYTES)?;
        text.fill(0)?;
        let name = identity.producer.as_bytes();
        // The last byte stays 0: readers may look for an end.
        let name = name.get(..name.len().min(at::VERSION_TEXT_BYTES as usize - 1)).unwrap_or_default();
        text.sub(0, name.len() as u64)?.copy_from(name)?;
        block.word::<u32>(at::HEARTBEAT)?.store_release(self.beats);
        ready.store_release(1);
        Ok(())
    }

    /// Moves its heartbeat, when that is due.
    pub(super) fn beat(&mut self, region: &Region, now_ms: u64) -> Result<(), AccessError> {
        if now_ms.saturating_sub(self.stored_ms) >= at::HEARTBEAT_EVERY_MS {
            self.stored_ms = now_ms;
            self.beats = self.beats.wrapping_add(1);
            region.whole().word::<u32>(self.start + at::HEARTBEAT)?.store_release(self.beats);
        }
        Ok(())
    }
}
