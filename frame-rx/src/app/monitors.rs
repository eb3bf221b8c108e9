//! The monitors of this desktop: listed for `frame-rx devices`, found by name or number for `--output`, and looked at while
//! a window is open, for they come and go.

use super::App;
use super::randr::Randr;
use crate::home::{Seen, Step};
use core::time::Duration;
use rx_host::clock;
use rx_host::exit::Failure;
use shm_proto::HostTime;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::monitor::MonitorHandle;
use winit::window::{Fullscreen, Window, WindowId};

/// Between two looks at the monitors, however much happens.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two looks whether a monitor is back, where the toolkit is not told of any.
const AWAY_LOOK: Duration = Duration::from_secs(1);
/// The window system wakes a loop that waits for some time when a monitor comes or goes, and not one that waits for ever.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// When the monitors were looked at, and on which the window was.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: HostTime,
    on: Option<String>,
    /// Who knows better than the toolkit.
    randr: Option<Randr>,
}

impl Looks {
    /// The window is there.
    pub(super) fn open(&mut self, window: &Window) {
        self.randr = Randr::open(window);
    }
}

impl App {
    /// Looks at the monitors, if it is time to: a window at another refresh rate is drawn at that, and one that is full
    /// screen goes back to its monitor. When to look again, if something happens.
    pub(super) fn look_at_monitors(&mut self, event_loop: &ActiveEventLoop) -> HostTime {
        let now = clock::now();
        let Some(window) = self.window.clone() else { return now + FOR_EVER };
        let due = self.monitors.last + LOOK_EVERY;
        if now < due {
            return due;
        }
        self.monitors.last = now;
        let names: Vec<String> = match &mut self.monitors.randr {
            Some(randr) => randr.names().to_vec(),
            None => event_loop.available_monitors().filter_map(|m| m.name()).collect(),
        };
        let on = window.current_monitor().and_then(|m| m.name());
        let is_full = window.fullscreen().is_some() || fills_its_monitor(&window);
        let step = self.home.look(Seen { monitors: &names, on: on.as_deref(), is_full }, now);
        if on != self.monitors.on {
            self.monitors.on = on;
            self.set_interval();
        }
        self.fit_pixels();
        match step {
            Step::Stay => {}
            Step::Lost { monitor, on } => {
                let on = on.map(|on| format!(", the picture is on {on}")).unwrap_or_default();
                tracing::info!("the monitor {monitor} is gone{on}");
                self.say(format!("the monitor {monitor} is gone"));
            }
            Step::Return { monitor } => self.return_to(event_loop, &window, &monitor),
        }
        let away = self.monitors.randr.as_ref().filter(|_| self.home.is_away()).map(|_| now + AWAY_LOOK);
        [self.home.next(), away].into_iter().flatten().min().unwrap_or(now + FOR_EVER)
    }

    fn return_to(&mut self, event_loop: &ActiveEventLoop, window: &Window, monitor: &str) {
        let found = event_loop.available_monitors().find(|m| m.name().as_deref() == Some(monitor));
        let Some(found) = found else { return };
        tracing::info!("the monitor {monitor} is back, and the picture on it");
        // X11's toolkit does nothing for a monitor that it knows as the window's, though that was away meanwhile.
        window.set_fullscreen(None);
        window.set_fullscreen(Some(Fullscreen::Borderless(Some(found))));
    }
}

/// Whether the window is as large as its monitor: made so by the window manager, perhaps, which winit does not notice.
pub(super) fn fills_its_monitor(window: &Window) -> bool {
    window.current_monitor().is_some_and(|m| m.size() == window.inner_size())
}

/// The monitor named `wanted`; nothing for the one the window opens on.
///
/// # Errors
/// [`Failure`] that lists the monitors, if there is no such one.
pub fn find(event_loop: &ActiveEventLoop, wanted: Option<&str>) -> Result<Option<MonitorHandle>, Failure> {
    let Some(wanted) = wanted else { return Ok(None) };
    let monitors: Vec<MonitorHandle> = event_loop.available_monitors().collect();
    let names: Vec<String> = monitors.iter().map(|m| m.name().unwrap_or_default()).collect();
    match pick(&names, wanted) {
        Some(index) => Ok(monitors.into_iter().nth(index)),
        None => Err(Failure::environment(
            format!("there is no monitor {wanted}"),
            format!("choose one of: {}", names.join(", ")),
        )),
    }
}

/// The monitor with this name, in capitals or not, or else with this number, counted from 1.
fn pick(names: &[String], wanted: &str) -> Option<usize> {
    let by_name = names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let by_number = || wanted.parse::<usize>().ok()?.checked_sub(1).filter(|i| *i < names.len());
    by_name.or_else(by_number)
}

/// The monitors, each in one line.
///
/// Blocks for the display.
///
/// # Errors
/// What the display said, in one line.
pub fn list() -> Result<Vec<String>, String> {
    if !super::has_display() {
        return Err("no display: neither WAYLAND_DISPLAY nor DISPLAY is set".into());
    }
    let event_loop = EventLoop::new().map_err(|e| e.to_string())?;
    let mut lister = Lister::default();
    event_loop.run_app(&mut lister).map_err(|e| e.to_string())?;
    Ok(lister.lines)
}

#[derive(Default)]
struct Lister {
    lines: Vec<String>,
}

impl ApplicationHandler for Lister {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        self.lines = event_loop.available_monitors().map(|m| describe(&m)).collect();
        event_loop.exit();
    }

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, _: WindowEvent) {}
}

fn describe(monitor: &MonitorHandle) -> String {
    let size = monitor.size();
    let rate = monitor.refresh_rate_millihertz().filter(|r| *r > 0);
    let rate = rate.map(|r| format!(" at {:.2} Hz", f64::from(r) / 1000.0)).unwrap_or_default();
    format!("{}: {}x{}{rate}", monitor.name().unwrap_or_else(|| "unnamed".into()), size.width, size.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_is_found_by_name_or_number() {
        let names = ["DP-1".to_owned(), "HDMI-1".to_owned()];
        for (wanted, index) in [
            ("DP-1", Some(0)),
            ("hdmi-1", Some(1)),
            ("1", Some(0)),
            ("2", Some(1)),
            ("0", None),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(pick(&names, wanted), index, "{wanted}");
        }
    }
}
