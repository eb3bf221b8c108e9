//! When an X server showed the window's frames: the Present extension tells every client that asks of every frame of a
//! window, whoever made it, with the time of the refresh. A driver that brings frames to the window in another way, as
//! software ones do, leaves it silent. A connection of its own; nothing is ever waited for after the start.
//!
//! Source: the Present extension, version 1.0: PresentSelectInput, PresentCompleteNotify; its times are microseconds of the
//! monotonic clock.

use super::shown::{Told, Which};
use shm_proto::HostTime;
use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use winit::window::Window;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::present::{CompleteKind, CompleteMode, ConnectionExt, EventMask};
use x11rb::rust_connection::RustConnection;

/// Events of other kinds that are passed over at once.
const MOST_AT_ONCE: u32 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Present {
    connection: RustConnection,
}

impl Present {
    /// For this window; nothing if the window system is another one, or the server does not have the extension.
    ///
    /// Blocks for the server's answer.
    pub(super) fn open(window: &Window) -> Option<Present> {
        let id = match window.window_handle().ok()?.as_raw() {
            RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok()?,
            RawWindowHandle::Xcb(handle) => handle.window.get(),
            _ => return None,
        };
        match select(id) {
            Ok(connection) => Some(Present { connection }),
            Err(error) => {
                tracing::debug!("when frames are shown is not known: {error}");
                None
            }
        }
    }

    /// The next that the server told, if it told more. Never blocks.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        for _ in 0..MOST_AT_ONCE {
            let Event::PresentCompleteNotify(event) = self.connection.poll_for_event().ok()?? else { continue };
            if event.kind == CompleteKind::PIXMAP {
                let at = Some(HostTime::from_ns(event.ust.saturating_mul(1000)));
                let at = at.filter(|_| event.mode != CompleteMode::SKIP);
                return Some(Told { which: Which::Next, at, period: None });
            }
        }
        None
    }
}

/// A connection that is told of each frame of `window`.
fn select(window: u32) -> Result<RustConnection, Box<dyn std::error::Error>> {
    let (connection, _) = x11rb::connect(None)?;
    connection.present_query_version(1, 0)?.reply()?;
    let id = connection.generate_id()?;
    connection.present_select_input(id, window, EventMask::COMPLETE_NOTIFY)?.check()?;
    Ok(connection)
}
