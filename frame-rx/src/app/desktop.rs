//! What the guest asks of the desktop, done: the screensaver stays away, the window asks for attention.
//!
//! Three ways at once keep the screensaver away, as each is heard by some desktops only: the X server's own, the Wayland
//! compositor's, and the session bus. All end with this program, however it ends.

use super::App;
use super::session_bus::Inhibitor;
use super::wayland::Wayland;
use crate::asks::{Awake, Patience};
use shm_proto::HostTime;
use std::path::Path;
use winit::window::UserAttentionType;
use x11rb::connection::Connection;
use x11rb::protocol::screensaver::ConnectionExt;
use x11rb::rust_connection::RustConnection;

/// What is done for the guest.
#[derive(Debug, Default)]
pub(super) struct Desktop {
    patience: Patience,
    held: Option<Held>,
    /// The user knows that there is no way to keep the screen on.
    is_told: bool,
}

/// The screen is kept on as long as this lives.
#[derive(Debug)]
struct Held {
    _x11: Option<RustConnection>,
    _bus: Option<Inhibitor>,
}

impl App {
    /// Does what the guest asks for. When to look again, if nothing happens before.
    pub(super) fn attend(&mut self, now: HostTime) -> Option<HostTime> {
        let window = self.window.as_ref()?;
        let asks = &self.link.asks;
        let has_user = window.has_focus() || self.input.is_grabbed();
        if asks.take_attention() && !has_user && self.desktop.patience.attention(now) {
            tracing::debug!("the guest asks for attention");
            window.request_user_attention(Some(UserAttentionType::Informational));
        }
        let wanted = asks.wants_awake() && self.guest.is_live();
        match self.desktop.patience.awake(wanted, now) {
            Awake::Keep => None,
            Awake::KeepUntil(at) => Some(at),
            Awake::Hold => {
                self.desktop.held = Some(Held::new(self.wayland.as_mut(), &mut self.desktop.is_told));
                None
            }
            Awake::Release => {
                tracing::debug!("the screensaver may come");
                self.desktop.held = None;
                if let Some(wayland) = &mut self.wayland {
                    wayland.keep_awake(false);
                }
                None
            }
        }
    }
}

impl Held {
    /// `is_told`: whether the user knows that there is no way; a guest that asks again and again is no news.
    fn new(wayland: Option<&mut Wayland>, is_told: &mut bool) -> Held {
        let wayland = wayland.is_some_and(|wayland| wayland.keep_awake(true));
        let x11 = std::env::var_os("DISPLAY").filter(|d| !d.is_empty()).and_then(|_| match suspend() {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::debug!("the X server's screensaver: {error}");
                None
            }
        });
        let bus = bus_address().and_then(|address| {
            match Inhibitor::new(&address, "frame-rx", "the guest keeps its screen on") {
                Ok(inhibitor) => Some(inhibitor),
                Err(error) => {
                    tracing::debug!("the desktop's screensaver: {error}");
                    None
                }
            }
        });
        let ways = [("the X server", x11.is_some()), ("the compositor", wayland), ("the session bus", bus.is_some())];
        let ways: Vec<&str> = ways.into_iter().filter(|(_, works)| *works).map(|(name, _)| name).collect();
        match ways.as_slice() {
            [] if core::mem::replace(is_told, true) => {}
            [] => tracing::warn!("the guest keeps its screen on, but this desktop offers no way to do so"),
            ways => tracing::debug!("the screensaver stays away, by {}", ways.join(" and ")),
        }
        Held { _x11: x11, _bus: bus }
    }
}

/// The X server lets no screensaver come, nor switches the screen off, until this connection ends.
fn suspend() -> Result<RustConnection, Box<dyn std::error::Error>> {
    let (connection, _) = x11rb::connect(None)?;
    connection.screensaver_query_version(1, 1)?.reply()?;
    connection.screensaver_suspend(1)?;
    connection.flush()?;
    Ok(connection)
}

/// Where the session bus is: as told, or where systemd puts it.
fn bus_address() -> Option<std::ffi::OsString> {
    let told = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").filter(|a| !a.is_empty());
    told.or_else(|| {
        let path = Path::new(&std::env::var_os("XDG_RUNTIME_DIR")?).join("bus");
        path.exists().then(|| {
            let mut address = std::ffi::OsString::from("unix:path=");
            address.push(path);
            address
        })
    })
}
