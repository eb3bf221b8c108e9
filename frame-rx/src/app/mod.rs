//! The window: one event enum ([`Told`], from the feed), one state enum ([`GuestState`]), and a loop that draws only when
//! there is something new to see.

mod act;
mod condition;
mod desktop;
mod display;
mod extent;
mod input;
pub mod monitors;
mod paint;
mod present;
mod randr;
mod recovery;
mod session_bus;
mod shown;
mod title;
mod wayland;
mod wishes;

use crate::announcer::Announcer;
use crate::feed::{Tell, Told};
use crate::gpu::present::Screen;
use crate::gpu::{GpuError, GpuKind};
use crate::headless::explain_gpu;
use crate::home::Home;
use crate::input::capture::Handle;
use crate::keys::{Hotkeys, Key};
use crate::link::ScreenEnd;
use crate::pace::{Cause, Pace, Plan, Queue};
use crate::picture::Size;
use crate::record::Recorder;
use crate::recovery::Recovery;
use crate::remember::Memory;
use crate::settings::{End, Show};
use crate::state::GuestState;
use core::time::Duration;
use crossbeam_channel::Receiver;
use desktop::Desktop;
use display::toolkit;
use input::WindowInput;
use paint::{Drawn, Painter};
use rx_host::clock;
use rx_host::exit::Failure;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use shown::Shown;
use std::sync::Arc;
use wayland::Wayland;
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::error::EventLoopError;
use winit::event::{DeviceEvent, DeviceId, ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::PhysicalKey;
use winit::window::{Fullscreen, Window, WindowId};

pub use display::has_display;
pub use paint::Outcome;

/// The window's size before the first picture, in pixels.
const FIRST_SIZE: Size = Size::new(1280, 720);
/// Refresh assumed for a screen that does not tell: 60 Hz.
const USUAL_REFRESH: Duration = Duration::from_nanos(16_666_667);
/// After another size, a picture that a software GPU hands over in memory is drawn again: KWin 5.27 takes the first one of
/// each size for one whose rows have no bytes between them. By then it has shown that one.
const ONCE_MORE: Duration = Duration::from_millis(250);
/// When to try again to draw into a window that was not ready.
const NOT_READY: Duration = Duration::from_millis(10);

/// The event loop, made before anything else on the main thread.
#[derive(Debug)]
pub struct Loop(EventLoop<Told>);

/// What a window may have besides the picture.
#[derive(Debug, Default)]
pub struct Beside {
    /// Where keyboard and mouse go.
    pub input: Option<Handle>,
    /// Where pictures are kept.
    pub recorder: Option<Recorder>,
    /// Where it is kept how they are shown.
    pub memory: Option<Memory>,
    /// What somebody else has to say in the window. Whoever sends wakes the loop, too.
    pub remarks: Option<Receiver<String>>,
}

impl Loop {
    /// Connects to the display.
    ///
    /// # Errors
    /// [`Failure`] with what to do if there is none.
    pub fn new() -> Result<Loop, Failure> {
        let hint = "start it in a desktop session, set DISPLAY or WAYLAND_DISPLAY, or use --headless";
        if !has_display() {
            return Err(Failure::environment("no window: neither WAYLAND_DISPLAY nor DISPLAY is set", hint));
        }
        let built = EventLoop::<Told>::with_user_event().build();
        let failure = |e| Failure::environment("no window: cannot connect to the display", hint).because(toolkit(e));
        built.map(Loop).map_err(failure)
    }

    /// How the feed wakes this loop.
    pub fn teller(&self) -> Tell {
        let proxy = self.0.create_proxy();
        // Fails only when the loop has ended.
        Box::new(move |told| {
            let _ = proxy.send_event(told);
        })
    }

    /// Shows until the window is closed, the end that `end` names, or a stop.
    ///
    /// Blocks.
    ///
    /// # Errors
    /// [`Failure`] if no window can be opened or drawn.
    pub fn run(self, link: ScreenEnd, show: Show, end: End, beside: Beside, stop: &Stop) -> Result<Outcome, Failure> {
        let mut app = App::new(link, show, end, WindowInput::new(beside.input), stop.clone());
        (app.recorder, app.memory, app.remarks) = (beside.recorder, beside.memory, beside.remarks);
        let ran = self.0.run_app(&mut app);
        stop.request();
        if let Some(failure) = app.failure.take() {
            return Err(failure);
        }
        ran.map_err(|error| {
            let gone = Failure::environment("the display went away", "start frame-rx again when the desktop is back");
            // A number of the toolkit's own says nothing; what else it has to say may.
            if matches!(error, EventLoopError::ExitFailure(_)) { gone } else { gone.because(toolkit(error)) }
        })?;
        app.finish()
    }
}

/// The window with everything that belongs to it.
struct App {
    link: ScreenEnd,
    show: Show,
    end: End,
    stop: Stop,
    ends_at: Option<HostTime>,
    window: Option<Arc<Window>>,
    painter: Option<Painter>,
    pace: Pace,
    hotkeys: Hotkeys,
    input: WindowInput,
    announcer: Announcer,
    /// What the feed says.
    guest: GuestState,
    /// What is shown: also what the GPU says.
    state: GuestState,
    sized: bool,
    /// The newest session that was told of.
    session: u64,
    title: String,
    /// What the guest of the newest session calls its system.
    guest_name: String,
    not_before: HostTime,
    /// When to draw once more for a compositor that may have shown the last one awry.
    once_more: Option<HostTime>,
    /// Where the window belongs while it is full screen.
    home: Home,
    monitors: monitors::Looks,
    desktop: Desktop,
    /// What a Wayland compositor is asked for; nothing with another window system.
    wayland: Option<Wayland>,
    /// When frames were shown.
    shown: Shown,
    recovery: Recovery,
    /// The GPU was lost; when to open one again.
    reopen_at: Option<HostTime>,
    failure: Option<Failure>,
    /// Until the window is there.
    recorder: Option<Recorder>,
    memory: Option<Memory>,
    remarks: Option<Receiver<String>>,
}

impl App {
    fn new(link: ScreenEnd, show: Show, end: End, input: WindowInput, stop: Stop) -> App {
        App {
            ends_at: end.after.map(|after| clock::now() + after),
            sized: show.window.is_some() || show.fullscreen,
            link,
            end,
            stop,
            window: None,
            painter: None,
            pace: Pace::new(Some(USUAL_REFRESH)),
            hotkeys: Hotkeys::new(show.keys.clone()),
            show,
            input,
            announcer: Announcer::new(),
            guest: GuestState::looking(),
            state: GuestState::looking(),
            session: 0,
            title: String::new(),
            guest_name: String::new(),
            not_before: HostTime::ZERO,
            once_more: None,
            home: Home::default(),
            monitors: monitors::Looks::default(),
            desktop: Desktop::default(),
            wayland: None,
            shown: Shown::default(),
            recovery: Recovery::default(),
            reopen_at: None,
            failure: None,
            recorder: None,
            memory: None,
            remarks: None,
        }
    }

    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<(), Failure> {
        let size = self.show.window.unwrap_or(FIRST_SIZE);
        let mut attributes = Window::default_attributes()
            .with_title("frame-rx")
            .with_inner_size(PhysicalSize::new(size.width, size.height))
            .with_min_inner_size(PhysicalSize::new(64, 36));
        attributes = named(attributes).with_decorations(!self.show.borderless);
        if self.show.fullscreen {
            let monitor = monitors::find(event_loop, self.show.output.as_deref())?;
            self.home.enter(monitor.as_ref().and_then(|m| m.name()));
            attributes = attributes.with_fullscreen(Some(Fullscreen::Borderless(monitor)));
        }
        let window = event_loop.create_window(attributes).map_err(|e| {
            Failure::environment("no window can be opened", "see that the display server works, or use --headless")
                .because(toolkit(e))
        })?;
        let window = Arc::new(window);
        let size = size_of(&window);
        let screen = Screen::open(window.clone(), size, &self.show.gpu, self.show.present).map_err(explain_gpu)?;
        tracing::debug!("{}, {}", screen.gpu().info(), screen.present_mode());
        // The feed is there as long as the window is.
        let _ = self.link.staging.send(screen.gpu().staging());
        self.input.opened(&window);
        self.wayland = Wayland::open(window.clone(), event_loop.owned_display_handle());
        self.shown = Shown::open(&window);
        self.monitors.open(&window);
        self.pace.set_draw(self.show.draw);
        self.window = Some(window);
        let mut painter = Painter::new(screen, &self.show, self.recorder.take());
        painter.input = self.input.stats();
        self.painter = Some(painter);
        self.set_interval();
        self.set_dots();
        self.pace.note(Cause::Window);
        Ok(())
    }

    /// The guest is drawn at most as often as the monitor refreshes, if frames wait for it anyway.
    fn set_interval(&mut self) {
        let (Some(window), Some(painter)) = (&self.window, &self.painter) else { return };
        let refresh = || {
            let millihertz = window.current_monitor()?.refresh_rate_millihertz().filter(|r| *r > 0)?;
            Some(Duration::from_nanos(1_000_000_000_000 / u64::from(millihertz)))
        };
        let waits = painter.waits_for_screen();
        let queue = if painter.shows_newest() { Queue::Newest } else { Queue::InOrder };
        self.pace.set_interval(waits.then(|| refresh().unwrap_or(USUAL_REFRESH)), queue);
    }

    /// Draws if it is time to, and says how long the loop may sleep.
    fn turn(&mut self) -> Result<Option<HostTime>, Failure> {
        let now = clock::now();
        self.look_at_guest(now);
        let attend = self.attend(now);
        let memory = self.memory.as_mut().and_then(|memory| {
            memory.write(now, false);
            memory.next()
        });
        if let Some(at) = self.reopen(now)? {
            return Ok([Some(at), self.ends_at].into_iter().flatten().min());
        }
        self.hear_of_frames(now);
        if self.once_more.take_if(|at| now >= *at).is_some() {
            self.pace.note(Cause::Window);
        }
        let Some(painter) = &mut self.painter else { return Ok(self.ends_at) };
        let overlay = painter.overlay.next().filter(|_| !self.pace.is_hidden());
        if overlay.is_some_and(|at| now >= at) {
            self.pace.note(Cause::Window);
        }
        let mut wake =
            [self.ends_at, self.announcer.next(), overlay, attend, memory, self.once_more].into_iter().flatten().min();
        let mut until = |at: HostTime| wake = Some(wake.map_or(at, |w| w.min(at)));
        match self.pace.plan(now) {
            Plan::Idle => {}
            Plan::At(at) => until(at),
            Plan::Now if now < self.not_before => until(self.not_before),
            Plan::Now => {
                let drawn = match self.draw() {
                    Ok(drawn) => drawn,
                    Err(error) => return self.lost(error).map(Some),
                };
                let (start, now) = (now, clock::now());
                if drawn.is_needless {
                    self.pace.withdraw_picture();
                } else if drawn.is_shown {
                    self.handed_over(start, now.since(start), drawn.found);
                    if let Some(at) = self.painter.as_ref().and_then(|painter| painter.overlay.next()) {
                        until(at);
                    }
                } else {
                    self.not_before = now + NOT_READY;
                    until(self.not_before);
                }
                if let Some(size) = drawn.new_size {
                    self.fit_window(size);
                }
                self.settle_state(now);
                if self.pace.plan(now) == Plan::Now {
                    until(self.not_before.max(now));
                }
            }
        }
        Ok(wake)
    }

    fn draw(&mut self) -> Result<Drawn, GpuError> {
        self.ask_when_shown();
        match &mut self.painter {
            Some(painter) => painter.draw(&self.link, &self.state, self.pace.awaits_picture_alone()),
            None => Ok(Drawn::default()),
        }
    }

    /// The first picture decides the window's size, unless the user did.
    fn fit_window(&mut self, picture: Size) {
        self.set_title();
        let Some(window) = self.window.as_ref().filter(|_| !self.sized) else { return };
        self.sized = true;
        let room = window.current_monitor().map_or(picture, |m| {
            let size = m.size();
            // Room for the window's frame and the desktop's panels.
            Size::new(size.width * 9 / 10, size.height * 9 / 10)
        });
        let fits = picture.width <= room.width && picture.height <= room.height;
        let size = if fits { picture } else { crate::view::place(picture, room, crate::view::Scale::Fit).size };
        if let Some(granted) = window.request_inner_size(PhysicalSize::new(size.width, size.height)) {
            self.resized(Size::new(granted.width, granted.height));
        }
    }

    fn resized(&mut self, size: Size) {
        let size = self.window.as_ref().map_or(size, |window| self.pixels(window, size));
        if let Some(painter) = &mut self.painter {
            painter.resize(size);
            let is_software = painter.screen.gpu().info().kind == GpuKind::Software;
            self.once_more = (is_software && self.wayland.is_some()).then(|| clock::now() + ONCE_MORE);
        }
        if self.show.follow_window {
            self.link.wishes.follow_window(size);
        }
        self.pace.note(Cause::Window);
    }

    /// Whether new pictures are shown: not while the user keeps one.
    fn is_wanted(&self) -> bool {
        !self.painter.as_ref().is_some_and(Painter::is_paused)
    }

    fn has_enough(&self) -> bool {
        let shown = self.painter.as_ref().map_or(0, |p| p.stats().shown.get());
        self.end.frames.is_some_and(|frames| shown >= frames) || self.ends_at.is_some_and(|at| clock::now() >= at)
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, failure: Failure) {
        self.failure.get_or_insert(failure);
        event_loop.exit();
    }

    fn finish(mut self) -> Result<Outcome, Failure> {
        if let Some(memory) = &mut self.memory {
            memory.write(clock::now(), true);
        }
        let Some(painter) = self.painter else { return Ok(Outcome::default()) };
        painter.finish(&self.link, &self.end, &self.state)
    }
}

impl ApplicationHandler<Told> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.window.is_none()
            && let Err(failure) = self.open(event_loop)
        {
            self.fail(event_loop, failure);
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, told: Told) {
        match told {
            Told::Picture if self.is_wanted() && self.link.pictures.is_waiting() => self.pace.note(Cause::Picture),
            Told::Picture | Told::Condition => {}
            Told::Pointer => self.pace.note(Cause::Pointer),
            Told::Ended => event_loop.exit(),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _window: WindowId, event: WindowEvent) {
        self.input_event(&event);
        match event {
            WindowEvent::CloseRequested => event_loop.exit(),
            WindowEvent::Resized(size) => self.resized(Size::new(size.width, size.height)),
            WindowEvent::RedrawRequested => self.pace.note(Cause::Window),
            WindowEvent::Occluded(hidden) => self.pace.set_hidden(hidden),
            WindowEvent::Moved(_) | WindowEvent::ScaleFactorChanged { .. } => {
                self.set_interval();
                self.set_dots();
            }
            WindowEvent::Focused(false) => self.hotkeys.forget(),
            WindowEvent::KeyboardInput {
                event: KeyEvent { physical_key: PhysicalKey::Code(code), state, repeat: false, .. },
                ..
            } if !self.input.is_grabbed() => {
                // The names are those of the W3C's list.
                let key = Key::named(&format!("{code:?}"));
                if let Some(action) = key.and_then(|key| self.hotkeys.key(key, state == ElementState::Pressed)) {
                    self.act(event_loop, action);
                }
            }
            _ => {}
        }
    }

    fn device_event(&mut self, _event_loop: &ActiveEventLoop, _device: DeviceId, event: DeviceEvent) {
        self.input_motion(&event);
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        if self.stop.is_requested() {
            return event_loop.exit();
        }
        if let Some(window) = &self.window {
            self.input.apply(window);
            if let Some(painter) = &self.painter {
                self.input.set_turned(painter.turned());
            }
            if let Some(wayland) = &mut self.wayland {
                wayland.keep_shortcuts(self.input.is_grabbed());
                wayland.hear();
            }
            if let Some(lamps) = self.input.lamps() {
                self.say(lamps);
            }
        }
        self.hear_of_input(event_loop);
        let look = self.look_at_monitors(event_loop);
        match self.turn() {
            Ok(wake) => {
                let wake = wake.map_or(look, |at| at.min(look));
                event_loop.set_control_flow(ControlFlow::wait_duration(wake.since(clock::now())));
            }
            Err(failure) => self.fail(event_loop, failure),
        }
        if self.has_enough() {
            event_loop.exit();
        }
    }
}

fn size_of(window: &Window) -> Size {
    let size = window.inner_size();
    Size::new(size.width, size.height)
}

/// The name by which desktops find icon and rules.
fn named(attributes: winit::window::WindowAttributes) -> winit::window::WindowAttributes {
    use winit::platform::{wayland, x11};
    let attributes = wayland::WindowAttributesExtWayland::with_name(attributes, "frame-rx", "frame-rx");
    x11::WindowAttributesExtX11::with_name(attributes, "frame-rx", "frame-rx")
}
