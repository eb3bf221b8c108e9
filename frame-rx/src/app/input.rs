//! The window as a source of keys and motion, and what the guest's having them means for the window: the pointer is kept
//! and hidden. Who has the input is decided by the input's thread; here it is only told and looked up.

use super::{App, Loop, size_of};
use crate::feed::Told;
use crate::input::capture::Handle;
use crate::input::frame::POSITION_MAX;
use crate::input::sink::Leds;
use crate::input::stats::InputStats;
use crate::input::{Code, InputFrame, Motion, Position, Wheel};
use crate::keys::Action;
use crate::picture::Size;
use crate::turn::Turned;
use crate::view::{self, Scale};
use rx_host::clock;
use shm_proto::HostTime;
use std::sync::Arc;
use winit::event::{DeviceEvent, ElementState, MouseButton, MouseScrollDelta, WindowEvent};
use winit::platform::scancode::PhysicalKeyExtScancode;
use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use winit::window::{CursorGrabMode, Window};

/// 1/120 detents to a pixel of scrolling, for devices that scroll by pixels: 15 pixels are what a detent moves.
const SCROLL_PER_PIXEL: f64 = 8.0;

impl Loop {
    /// How the input's thread wakes this loop.
    pub fn waker(&self) -> Box<dyn Fn() + Send> {
        let proxy = self.0.create_proxy();
        // What is new is looked at whatever woke the loop.
        Box::new(move || {
            let _ = proxy.send_event(Told::Condition);
        })
    }
}

impl App {
    /// The input's part of an event of the window.
    pub(super) fn input_event(&mut self, event: &WindowEvent) {
        use WindowEvent::{KeyboardInput, MouseInput, MouseWheel};
        if matches!(event, KeyboardInput { .. } | MouseInput { .. } | MouseWheel { .. }) {
            self.link.wishes.stir();
        }
        let (Some(window), Some(painter)) = (&self.window, &self.painter) else { return };
        let picture = painter.picture_size().filter(|_| self.state.is_live());
        let (told, window, scale, turned) = (size_of(window), painter.screen.size(), painter.scale, painter.turned());
        let seen = picture.map(|picture| Seen { picture, told, window, scale, turned });
        self.input.window_event(event, clock::now(), seen);
    }

    /// The input's part of what a device did.
    pub(super) fn input_motion(&mut self, event: &DeviceEvent) {
        let turned = self.painter.as_ref().map(|painter| painter.turned()).unwrap_or_default();
        self.input.device_event(event, clock::now(), turned);
    }
}

/// The picture as it stands in the window.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its size as it is shown, turned.
    pub picture: Size,
    /// The window's size as the toolkit tells it, and with it the pointer's place.
    pub told: Size,
    /// The window's size in pixels as they are drawn.
    pub window: Size,
    /// How it fills the window.
    pub scale: Scale,
    /// How it is turned.
    pub turned: Turned,
}

/// See the module.
#[derive(Debug)]
pub struct WindowInput {
    handle: Option<Handle>,
    is_grabbed: bool,
    is_locked: bool,
    /// Motion and scrolling that was not worth a count yet.
    rest: [f64; 4],
    /// Where the pointer is in the guest's picture.
    place: Option<Position>,
    /// The guest's lamps when they were looked at last.
    leds: Leds,
}

impl WindowInput {
    /// A source of `handle`'s thread, or of none.
    pub fn new(handle: Option<Handle>) -> WindowInput {
        WindowInput { handle, is_grabbed: false, is_locked: false, rest: [0.0; 4], place: None, leds: Leds::default() }
    }

    /// Whether the guest has the input: the window's own keys are heard by the input's thread then.
    pub fn is_grabbed(&self) -> bool {
        self.is_grabbed
    }

    /// What its thread counts.
    pub fn stats(&self) -> Option<Arc<InputStats>> {
        self.handle.as_ref().map(|handle| handle.stats().clone())
    }

    /// By a key of the window: the guest gets the input, or gives it back. Whether there is anything that could be given.
    pub fn toggle(&self) -> bool {
        let Some(handle) = &self.handle else { return false };
        if handle.is_grabbed() {
            handle.give_back();
        } else {
            handle.take();
        }
        true
    }

    /// What the window's own keys asked for while the guest had the input.
    pub fn asked(&self) -> impl Iterator<Item = Action> + use<> {
        self.handle.iter().flat_map(Handle::take_asked).filter_map(Action::numbered).collect::<Vec<_>>().into_iter()
    }

    /// What the input's thread has to say in the window.
    pub fn told(&self) -> Option<String> {
        self.handle.as_ref()?.take_told()
    }

    /// Something happened to the window, in which the picture is seen like this (or is not).
    pub fn window_event(&mut self, event: &WindowEvent, now: HostTime, seen: Option<Seen>) {
        let Some(handle) = &self.handle else { return };
        match event {
            WindowEvent::Focused(false) => handle.focus_lost(),
            // Repeats are the guest's own doing; synthetic ones were pressed for somebody else.
            WindowEvent::KeyboardInput { event, is_synthetic: false, .. } if !event.repeat => {
                let number = event.physical_key.to_scancode().and_then(|n| u16::try_from(n).ok());
                if let Some(code) = number.and_then(Code::new) {
                    handle.frame(InputFrame::edge(now, code, event.state == ElementState::Pressed));
                }
            }
            WindowEvent::MouseInput { state, button, .. } => {
                let is_down = *state == ElementState::Pressed;
                if let Some(code) = code_of(*button) {
                    handle.frame(InputFrame::edge(now, code, is_down));
                }
                // The first click gives the guest the input and is not sent: told after its press, so that the guest
                // gets the input when the button is up. What the thread says counts: the window may not have looked
                // yet since the chord.
                if is_down && !handle.is_grabbed() && *button == MouseButton::Left && self.place.is_some() {
                    handle.take();
                }
            }
            WindowEvent::CursorMoved { position, .. } => {
                self.place = seen.and_then(|seen| seen.place_of(position.x, position.y));
                let place = self.place.filter(|_| self.is_grabbed && handle.wants_position());
                if let Some(place) = place {
                    handle.frame(InputFrame::new(now).with_position(place));
                }
            }
            WindowEvent::CursorLeft { .. } => self.place = None,
            WindowEvent::MouseWheel { delta, .. } => self.wheel(*delta, now),
            _ => {}
        }
    }

    /// Something happened to a device: motion as the mouse made it, without the desktop's acceleration. The guest's pointer
    /// goes the same way on the screen, however the picture is turned.
    pub fn device_event(&mut self, event: &DeviceEvent, now: HostTime, turned: Turned) {
        let DeviceEvent::MouseMotion { delta: (dx, dy) } = *event else { return };
        let is_heard = self.handle.as_ref().is_some_and(Handle::is_heard_elsewhere);
        if !self.is_grabbed || !self.is_locked || is_heard {
            return;
        }
        let (dx, dy) = turned.desktop_motion(dx, dy);
        let motion = Motion { dx: self.whole(0, dx), dy: self.whole(1, dy) };
        if motion != Motion::default()
            && let Some(handle) = &self.handle
        {
            handle.frame(InputFrame::new(now).with_motion(motion));
        }
    }

    fn wheel(&mut self, delta: MouseScrollDelta, now: HostTime) {
        // The window system tells which way the contents move.
        let (x, y) = match delta {
            MouseScrollDelta::LineDelta(x, y) => (f64::from(x) * 120.0, f64::from(y) * 120.0),
            MouseScrollDelta::PixelDelta(p) => (p.x * SCROLL_PER_PIXEL, p.y * SCROLL_PER_PIXEL),
        };
        let wheel = Wheel { vertical: self.whole(2, y), horizontal: self.whole(3, -x) };
        if wheel != Wheel::default()
            && let Some(handle) = &self.handle
        {
            handle.frame(InputFrame::new(now).with_wheel(wheel));
        }
    }

    /// The whole counts in `more` and what was left over before.
    fn whole(&mut self, axis: usize, more: f64) -> i32 {
        let sum = self.rest[axis] + if more.is_finite() { more } else { 0.0 };
        let whole = sum.trunc().clamp(-1e6, 1e6);
        self.rest[axis] = sum.fract();
        // In bounds: clamped to a million.
        whole as i32
    }

    /// What to say of the guest's lamps, if they changed while it has the input.
    pub fn lamps(&mut self) -> Option<String> {
        let leds = self.handle.as_ref()?.stats().leds();
        let was = core::mem::replace(&mut self.leds, leds);
        if !self.is_grabbed || was == leds {
            return None;
        }
        let lamps = [("Caps Lock", was.caps, leds.caps), ("Num Lock", was.num, leds.num)];
        let lamps = lamps.into_iter().chain([("Scroll Lock", was.scroll, leds.scroll)]);
        let changed = lamps.filter(|(_, was, is)| was != is);
        let words = changed.map(|(name, _, is)| format!("{name} {}", if is { "on" } else { "off" }));
        Some(format!("guest: {}", words.collect::<Vec<_>>().join(", ")))
    }

    /// The window is open: its X server is told to the input's thread, if it has one.
    pub fn opened(&self, window: &Window) {
        let Some(handle) = &self.handle else { return };
        let number = match window.window_handle().map(|handle| handle.as_raw()) {
            Ok(RawWindowHandle::Xlib(handle)) => u32::try_from(handle.window).ok(),
            Ok(RawWindowHandle::Xcb(handle)) => Some(handle.window.get()),
            _ => None,
        };
        if let Some(number) = number {
            handle.window_is(number);
        }
    }

    /// How the picture is turned now.
    pub fn set_turned(&self, turned: Turned) {
        if let Some(handle) = &self.handle {
            handle.set_turned(turned);
        }
    }

    /// Brings the pointer in line with who has the input.
    pub fn apply(&mut self, window: &Window) {
        let Some(handle) = &self.handle else { return };
        let is_grabbed = handle.is_grabbed();
        let wants_lock = is_grabbed && !handle.wants_position();
        if wants_lock != self.is_locked {
            // X11 has no lock: there the pointer is kept inside, and motion comes from the devices anyway.
            let kept = if wants_lock {
                window
                    .set_cursor_grab(CursorGrabMode::Locked)
                    .or_else(|_| window.set_cursor_grab(CursorGrabMode::Confined))
            } else {
                window.set_cursor_grab(CursorGrabMode::None)
            };
            if let Err(e) = kept {
                tracing::debug!("the pointer cannot be kept: {e}");
            }
            self.is_locked = wants_lock;
            self.rest = [0.0; 4];
        }
        if is_grabbed != self.is_grabbed {
            window.set_cursor_visible(!is_grabbed);
            self.is_grabbed = is_grabbed;
        }
    }
}

fn code_of(button: MouseButton) -> Option<Code> {
    Some(match button {
        MouseButton::Left => Code::LEFT,
        MouseButton::Right => Code::RIGHT,
        MouseButton::Middle => Code::MIDDLE,
        MouseButton::Back => Code::SIDE,
        MouseButton::Forward => Code::EXTRA,
        // Wayland gives Linux's own number, X11 that of the button behind the first nine.
        MouseButton::Other(number @ 0x110..=0x11f) => return Code::new(number),
        MouseButton::Other(number @ 10..=20) => return Code::new(Code::FORWARD.number() + number - 10),
        MouseButton::Other(_) => return None,
    })
}

impl Seen {
    /// Where a point of the window is on the guest's desktop; nothing beside the picture.
    fn place_of(&self, x: f64, y: f64) -> Option<Position> {
        let Seen { picture, told, window, scale, turned } = *self;
        let drawn = |at: f64, told: u32, drawn: u32| at * f64::from(drawn) / f64::from(told.max(1));
        let (x, y) = (drawn(x, told.width, window.width), drawn(y, told.height, window.height));
        let (x, y) = view::place(picture, window, scale).window_to_picture(picture, x, y)?;
        let (x, y) = turned.desktop_point(x / f64::from(picture.width), y / f64::from(picture.height));
        let part = |at: f64| (at * f64::from(POSITION_MAX)).round().clamp(0.0, 32_767.0) as u16;
        Some(Position { x: part(x), y: part(y) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::address::InputChoice;
    use crate::input::capture::{self, InputSettings};
    use crate::keys::Key;
    use crate::picture::Rotation;
    use core::time::Duration;
    use rx_host::signals::Stop;
    use winit::event::DeviceId;
    use winit::keyboard::{KeyCode, PhysicalKey};

    #[test]
    fn a_click_counts_before_the_window_has_heard_that_the_host_has_the_input() {
        let (folder, stop) = (tempfile::tempdir().unwrap(), Stop::new().unwrap());
        let choice = InputChoice::Qmp(folder.path().join("nobody"));
        let settings = InputSettings { choice, ..InputSettings::default() };
        let (capture, connector, handle) = capture::connect(settings, &stop, Box::new(|| {})).unwrap();
        std::thread::spawn(move || connector.run());
        let thread = std::thread::spawn(move || capture.run());
        let mut input = WindowInput::new(Some(handle));
        (input.is_grabbed, input.place) = (true, Some(Position { x: 1, y: 1 }));
        let (state, button) = (ElementState::Pressed, MouseButton::Left);
        let click = WindowEvent::MouseInput { device_id: DeviceId::dummy(), state, button };
        input.window_event(&click, clock::now(), None);
        // There is no guest here: whoever wants one is told so in the window, and nobody else.
        let end = clock::now() + Duration::from_secs(30);
        while input.told().is_none() {
            assert!(clock::now() < end, "the click was lost");
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.request();
        thread.join().unwrap();
    }

    /// The toolkit knows both names and numbers.
    #[test]
    fn a_key_of_the_window_has_the_kernels_number() {
        let mut known = 0;
        for number in 1..=255u32 {
            let PhysicalKey::Code(code) = PhysicalKey::from_scancode(number) else { continue };
            // Two keys of the kernel may have one name; the table has the first.
            let is_first = PhysicalKey::Code(code).to_scancode() == Some(number);
            let Some(key) = Key::named(&format!("{code:?}")).filter(|_| is_first) else { continue };
            assert_eq!(key.code().map(|c| u32::from(c.number())), Some(number), "{code:?}");
            known += 1;
        }
        assert_eq!(PhysicalKey::Code(KeyCode::ScrollLock).to_scancode(), Some(70));
        assert!(known >= 85, "{known} of 90 keys");
    }

    #[test]
    fn motion_smaller_than_a_count_adds_up() {
        let mut input = WindowInput::new(None);
        let sum: i32 = (0..1000).map(|_| input.whole(0, -0.3)).sum();
        assert!((-300..=-299).contains(&sum), "{sum}");
        assert_eq!((input.whole(1, f64::NAN), input.whole(1, 1e300)), (0, 1_000_000));
    }

    #[test]
    fn a_point_of_the_window_is_a_place_in_the_picture() {
        let (picture, window, turned) = (Size::new(800, 600), Size::new(1600, 600), Turned::default());
        let seen = Seen { picture, told: window, window, scale: Scale::Fit, turned };
        let place = |x, y| seen.place_of(x, y).map(|p| (p.x, p.y));
        assert_eq!(place(399.0, 300.0), None, "beside the picture");
        assert_eq!(place(400.0, 0.0), Some((0, 0)));
        assert_eq!(place(800.0, 300.0), Some((16_384, 16_384)));
    }

    #[test]
    fn a_point_is_told_in_the_toolkits_pixels_where_others_are_drawn() {
        let (told, window, turned) = (Size::new(1067, 600), Size::new(1069, 601), Turned::default());
        let seen = Seen { picture: window, told, window, scale: Scale::OneToOne, turned };
        let place = |x, y| seen.place_of(x, y).map(|p| (p.x, p.y));
        assert_eq!(place(0.0, 0.0), Some((0, 0)));
        assert_eq!(place(1066.9999, 599.9999), Some((32_767, 32_767)));
        assert_eq!(place(1067.0, 0.0), None);
    }

    #[test]
    fn a_point_of_a_turned_picture_is_the_place_that_was_turned_there() {
        use Rotation::{Half, None as Upright, Quarter, ThreeQuarters};
        let window = Size::new(900, 900);
        // A desktop of 600 x 300 in the middle; its upper left corner and a point near it to the right.
        for (turn, picture, corner, right) in [
            (Upright, (600, 300), (150.0, 300.0), (250.0, 300.0)),
            (Quarter, (300, 600), (599.9999, 150.0), (599.9999, 250.0)),
            (Half, (600, 300), (749.9999, 599.9999), (650.0, 599.9999)),
            (ThreeQuarters, (300, 600), (300.0, 749.9999), (300.0, 650.0)),
        ] {
            let picture = Size::new(picture.0, picture.1);
            let seen = Seen { picture, told: window, window, scale: Scale::OneToOne, turned: Turned::by_user(turn) };
            let place = |(x, y)| seen.place_of(x, y).map(|p| (p.x, p.y));
            assert_eq!(place(corner), Some((0, 0)), "{turn:?}");
            assert_eq!(place(right), Some((5461, 0)), "{turn:?}");
        }
    }
}
