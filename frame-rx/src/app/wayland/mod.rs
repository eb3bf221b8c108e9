//! What a Wayland compositor is asked for besides a window, since the toolkit does not: that the keys it would keep for
//! itself (Alt+Tab, Super) go to the guest while that has the input, that the screen stays on while the guest wants
//! it to, and when each frame was shown. A compositor may say no, and may let its user end it by a key of its own: then it is not asked again before
//! the guest gets the input anew.
//!
//! Source: the protocols `keyboard-shortcuts-inhibit-unstable-v1`, `idle-inhibit-unstable-v1` and `presentation-time`.

mod foreign;
mod presentation;

use super::shown::Told;
use foreign::Foreign;
use presentation::{Ask, Presentation};
use shortcuts::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1 as ShortcutsManager;
use shortcuts::zwp_keyboard_shortcuts_inhibitor_v1::{self, ZwpKeyboardShortcutsInhibitorV1 as ShortcutsInhibitor};
use std::sync::Arc;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1 as IdleManager;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibitor_v1::ZwpIdleInhibitorV1 as IdleInhibitor;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client as shortcuts;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// Seats whose keys are asked for. There is one, but for people with two keyboards for two pointers.
const SEATS: usize = 4;

/// What the compositor offers, and what it said.
#[derive(Debug, Default)]
struct Globals {
    seats: Vec<WlSeat>,
    shortcuts: Option<ShortcutsManager>,
    idle: Option<IdleManager>,
    presentation: Presentation,
    /// Whether the keys are the guest's, as the compositor says.
    is_active: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wayland {
    globals: Globals,
    inhibitors: Vec<ShortcutsInhibitor>,
    awake: Option<IdleInhibitor>,
    queue: EventQueue<Globals>,
    foreign: Foreign,
}

impl Wayland {
    /// For this window; nothing if the window system is another one.
    ///
    /// Blocks for the compositor's answer.
    pub(super) fn open(window: Arc<Window>, display: OwnedDisplayHandle) -> Option<Wayland> {
        let foreign = Foreign::new(window, display)?;
        let mut queue = foreign.connection.new_event_queue();
        let _registry = foreign.connection.display().get_registry(&queue.handle(), ());
        let mut globals = Globals::default();
        if let Err(error) = queue.roundtrip(&mut globals) {
            tracing::debug!("what the compositor offers is not known: {error}");
            return None;
        }
        if globals.shortcuts.is_none() {
            tracing::debug!("this compositor keeps its own keys (it has no keyboard-shortcuts-inhibit)");
        }
        Some(Wayland { globals, inhibitors: Vec::new(), awake: None, queue, foreign })
    }

    /// The guest has the input, or not any more.
    pub(super) fn keep_shortcuts(&mut self, is_wanted: bool) {
        if is_wanted != self.inhibitors.is_empty() {
            return;
        }
        if let Some(manager) = self.globals.shortcuts.as_ref().filter(|_| is_wanted) {
            let inhibit = |seat| self.foreign.inhibit_shortcuts(manager, seat, &self.queue.handle());
            self.inhibitors = self.globals.seats.iter().map(inhibit).collect();
        }
        if !is_wanted {
            self.inhibitors.drain(..).for_each(|inhibitor| inhibitor.destroy());
            self.globals.is_active = false;
        }
        self.flush();
    }

    /// The guest wants the screen kept on, or not any more. Whether the compositor does so.
    pub(super) fn keep_awake(&mut self, is_wanted: bool) -> bool {
        if let Some(inhibitor) = self.awake.take_if(|_| !is_wanted) {
            inhibitor.destroy();
        }
        if is_wanted && self.awake.is_none() {
            let manager = self.globals.idle.as_ref();
            self.awake = manager.map(|manager| self.foreign.inhibit_idle(manager, &self.queue.handle()));
        }
        self.flush();
        self.awake.is_some()
    }

    /// Hears what the toolkit has read for us; it wakes nobody for that alone, so this may be long after. Never blocks.
    pub(super) fn hear(&mut self) {
        let was_active = self.globals.is_active;
        // An error of the connection is the toolkit's to tell.
        let _ = self.queue.dispatch_pending(&mut self.globals);
        match (was_active, self.globals.is_active) {
            (false, true) => tracing::debug!("input: the compositor's keys are the guest's"),
            (true, false) if !self.inhibitors.is_empty() => tracing::info!("input: the compositor has its keys back"),
            _ => {}
        }
    }

    /// Asks when the surface's next content, `frame`, is shown. Whether that was of use. The request goes with the content.
    /// `or_taken_up`: when it is taken up will do, where nothing else is told.
    pub(super) fn ask_when_shown(&mut self, frame: u64, or_taken_up: bool) -> bool {
        let queue = self.queue.handle();
        match self.globals.presentation.next_question(or_taken_up) {
            Some(Ask::Presentation(presentation)) => self.foreign.feedback(&presentation, frame, &queue),
            Some(Ask::Callback) => self.foreign.frame(frame, &queue),
            None => return false,
        }
        true
    }

    /// The next frame that the compositor told of, if there are more.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.globals.presentation.take_told()
    }

    fn flush(&self) {
        let _ = self.foreign.connection.flush();
    }
}

impl Drop for Wayland {
    fn drop(&mut self) {
        self.keep_shortcuts(false);
        self.keep_awake(false);
    }
}

impl Dispatch<WlRegistry, ()> for Globals {
    fn event(
        globals: &mut Globals,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _connection: &Connection,
        queue: &QueueHandle<Globals>,
    ) {
        let wl_registry::Event::Global { name, interface, .. } = event else { return };
        match interface.as_str() {
            "wl_seat" if globals.seats.len() < SEATS => globals.seats.push(registry.bind(name, 1, queue, ())),
            "zwp_keyboard_shortcuts_inhibit_manager_v1" => globals.shortcuts = Some(registry.bind(name, 1, queue, ())),
            "zwp_idle_inhibit_manager_v1" => globals.idle = Some(registry.bind(name, 1, queue, ())),
            "wp_presentation" => globals.presentation.offered(registry.bind(name, 1, queue, ())),
            _ => {}
        }
    }
}

impl Dispatch<ShortcutsInhibitor, ()> for Globals {
    fn event(
        globals: &mut Globals,
        _inhibitor: &ShortcutsInhibitor,
        event: zwp_keyboard_shortcuts_inhibitor_v1::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<Globals>,
    ) {
        match event {
            zwp_keyboard_shortcuts_inhibitor_v1::Event::Active => globals.is_active = true,
            zwp_keyboard_shortcuts_inhibitor_v1::Event::Inactive => globals.is_active = false,
            _ => {}
        }
    }
}

delegate_noop!(Globals: ignore WlSeat);
delegate_noop!(Globals: ShortcutsManager);
delegate_noop!(Globals: IdleManager);
delegate_noop!(Globals: IdleInhibitor);
