//! How large the guest's screen is that a SPICE server knows: places of the pointer are told in its pixels. The channel
//! is for that alone; of pictures nothing is kept. Source: SPICE protocol, display channel, `SURFACE_CREATE`.

use super::channel::Channel;
use super::{MESSAGES, Message};
use crate::input::frame::{POSITION_MAX, Position};
use crate::input::sink::SinkError;
use shm_proto::HostTime;
use std::os::fd::BorrowedFd;

/// To the server: the client is ready. It is followed by the sizes of caches, which are not used.
const INIT: u16 = 101;
/// Number of a cache, its size in pixels, number of a dictionary, its size in pixels.
const CACHES: [u8; 14] = [1, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 16, 0];
/// From the server: all surfaces are gone.
const RESET: u16 = 103;
/// There is a new surface.
const SURFACE_CREATE: u16 = 314;
/// It is the one that is seen.
const PRIMARY: u32 = 1;
/// Longest side that makes sense. Unit: pixels.
const SIDE_MAX: u32 = 32_768;

/// See the module.
#[derive(Debug)]
pub(super) struct Display {
    channel: Channel,
    /// Width and height of what is seen.
    size: Option<(u32, u32)>,
}

impl Display {
    /// On a channel that was just linked.
    pub fn new(channel: Channel, now: HostTime) -> Result<Display, SinkError> {
        let mut channel = channel.passing_over();
        channel.send(INIT, &CACHES, now)?;
        Ok(Display { channel, size: None })
    }

    /// Whether places can be told.
    pub fn has_size(&self) -> bool {
        self.size.is_some()
    }

    /// A place in pixels; nothing while there is no surface.
    pub fn pixel(&self, at: Position) -> Option<(u32, u32)> {
        let part = |at: u16, side: u32| {
            let (at, most) = (u64::from(at), u64::from(POSITION_MAX));
            u32::try_from((at * u64::from(side.saturating_sub(1)) + most / 2) / most).unwrap_or(0)
        };
        self.size.map(|(width, height)| (part(at.x, width), part(at.y, height)))
    }

    /// Hears what has come. Whether the size is another one.
    pub fn pump(&mut self, now: HostTime) -> Result<bool, SinkError> {
        let before = self.size;
        for _ in 0..MESSAGES {
            let Some(message) = self.channel.next(now)? else { break };
            self.hear(&message)?;
        }
        Ok(self.size != before)
    }

    fn hear(&mut self, message: &Message) -> Result<(), SinkError> {
        match message.kind {
            RESET => self.size = None,
            SURFACE_CREATE if message.u32_at(16)? & PRIMARY != 0 => {
                let (width, height) = (message.u32_at(4)?, message.u32_at(8)?);
                let makes_sense = |side| (1..=SIDE_MAX).contains(&side);
                self.size = (makes_sense(width) && makes_sense(height)).then_some((width, height));
            }
            _ => {}
        }
        Ok(())
    }

    pub fn descriptor(&self) -> (BorrowedFd<'_>, bool) {
        self.channel.descriptor()
    }

    pub fn due(&self) -> Option<HostTime> {
        self.channel.due()
    }
}
