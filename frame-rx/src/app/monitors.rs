//! The monitors of this desktop: listed for `frame-rx devices`, found by name or number for `--output`.

use rx_host::exit::Failure;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::monitor::MonitorHandle;
use winit::window::WindowId;

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
