//! The toolkit's connection to the Wayland compositor and the window's surface, for requests that the toolkit does not
//! know: a compositor takes them only from whoever made the surface. The only unsafe code of this crate.
//!
//! What each block relies on:
//! - **Display**: the pointer is winit's `wl_display`. It is closed when the last handle of it is dropped, and one is never
//!   dropped, so it is valid until the process ends.
//! - **Surface**: the pointer is the `wl_surface` of a window that this value keeps. No copy of it leaves this file, so
//!   none outlives the window.
#![allow(unsafe_code)]

use super::Globals;
use std::sync::Arc;
use wayland_backend::client::{Backend, ObjectId};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Proxy, QueueHandle};
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibitor_v1::ZwpIdleInhibitorV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client as shortcuts;
use wayland_protocols::wp::presentation_time::client::wp_presentation::WpPresentation;
use winit::event_loop::OwnedDisplayHandle;
use winit::raw_window_handle::{HasDisplayHandle, HasWindowHandle, RawDisplayHandle, RawWindowHandle};
use winit::window::Window;

/// See the module.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) connection: Connection,
    surface: WlSurface,
    _window: Arc<Window>,
}

impl Foreign {
    /// Nothing if the window system is another one.
    pub(super) fn new(window: Arc<Window>, display: OwnedDisplayHandle) -> Option<Foreign> {
        let RawDisplayHandle::Wayland(raw_display) = display.display_handle().ok()?.as_raw() else { return None };
        let RawWindowHandle::Wayland(raw_surface) = window.window_handle().ok()?.as_raw() else { return None };
        core::mem::forget(display);
        // SAFETY: Display, see above.
        let backend = unsafe { Backend::from_foreign_display(raw_display.display.as_ptr().cast()) };
        let connection = Connection::from_backend(backend);
        // SAFETY: Surface, see above.
        let id = unsafe { ObjectId::from_ptr(WlSurface::interface(), raw_surface.surface.as_ptr().cast()) };
        let surface = WlSurface::from_id(&connection, id.ok()?).ok()?;
        Some(Foreign { connection, surface, _window: window })
    }

    /// Keys that the compositor would take go to the surface.
    pub(super) fn inhibit_shortcuts(
        &self,
        manager: &shortcuts::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1,
        seat: &WlSeat,
        queue: &QueueHandle<Globals>,
    ) -> shortcuts::zwp_keyboard_shortcuts_inhibitor_v1::ZwpKeyboardShortcutsInhibitorV1 {
        manager.inhibit_shortcuts(&self.surface, seat, queue, ())
    }

    /// The screen stays on while the surface is seen.
    pub(super) fn inhibit_idle(
        &self,
        manager: &ZwpIdleInhibitManagerV1,
        queue: &QueueHandle<Globals>,
    ) -> ZwpIdleInhibitorV1 {
        manager.create_inhibitor(&self.surface, queue, ())
    }

    /// When the surface's next content is shown, by this number.
    pub(super) fn feedback(&self, presentation: &WpPresentation, frame: u64, queue: &QueueHandle<Globals>) {
        // It is answered once, and then gone.
        let _ = presentation.feedback(&self.surface, queue, frame);
    }

    /// When the compositor has taken the surface's next content up, by this number.
    pub(super) fn frame(&self, frame: u64, queue: &QueueHandle<Globals>) {
        let _ = self.surface.frame(queue, frame);
    }
}
