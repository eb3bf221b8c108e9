//! Which monitors an X server has, asked of itself: the toolkit asks once, and is told of none that comes or goes, since the
//! library between the two drops events of an extension that it did not ask for. A connection of its own.
//!
//! Source: the RandR extension, version 1.3: RRSelectInput, RRGetScreenResourcesCurrent, RRGetCrtcInfo, RRGetOutputInfo.

use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use winit::window::Window;
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::randr::{ConnectionExt, NotifyMask};
use x11rb::rust_connection::RustConnection;

/// Events that are passed over at once; the rest comes with the next look.
const MOST_AT_ONCE: u32 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Randr {
    connection: RustConnection,
    root: u32,
    names: Vec<String>,
}

impl Randr {
    /// For this window; nothing if the window system is another one, or the server does not have the extension.
    ///
    /// Blocks for the server's answers.
    pub(super) fn open(window: &Window) -> Option<Randr> {
        let handle = window.window_handle().ok()?.as_raw();
        if !matches!(handle, RawWindowHandle::Xlib(_) | RawWindowHandle::Xcb(_)) {
            return None;
        }
        match connect() {
            Ok(randr) => Some(randr),
            Err(error) => {
                tracing::debug!("which monitors come and go is not known: {error}");
                None
            }
        }
    }

    /// The names of those that show something now, as the toolkit calls them.
    ///
    /// Blocks for the server's answers if anything changed since the last call, else never.
    pub(super) fn names(&mut self) -> &[String] {
        let heard = (0..MOST_AT_ONCE).map_while(|_| self.connection.poll_for_event().ok()?).count();
        if heard > 0
            && let Ok(names) = list(&self.connection, self.root)
        {
            self.names = names;
        }
        &self.names
    }
}

fn connect() -> Result<Randr, Box<dyn std::error::Error>> {
    let (connection, screen) = x11rb::connect(None)?;
    let root = connection.setup().roots.get(screen).ok_or("the display has no such screen")?.root;
    connection.randr_query_version(1, 3)?.reply()?;
    let all = NotifyMask::SCREEN_CHANGE | NotifyMask::CRTC_CHANGE | NotifyMask::OUTPUT_CHANGE;
    connection.randr_select_input(root, all)?.check()?;
    let names = list(&connection, root)?;
    Ok(Randr { connection, root, names })
}

/// A part of the screen that shows something is called as the first of its outputs.
fn list(connection: &RustConnection, root: u32) -> Result<Vec<String>, ReplyError> {
    let resources = connection.randr_get_screen_resources_current(root)?.reply()?;
    let mut names = Vec::new();
    for crtc in resources.crtcs {
        let part = connection.randr_get_crtc_info(crtc, resources.config_timestamp)?.reply()?;
        let shows = part.width > 0 && part.height > 0;
        if let Some(output) = part.outputs.first().filter(|_| shows) {
            let output = connection.randr_get_output_info(*output, resources.config_timestamp)?.reply()?;
            names.push(String::from_utf8_lossy(&output.name).into_owned());
        }
    }
    Ok(names)
}
