//! How many pixels the window has on its monitor. A Wayland compositor tells the factor that its desktop is enlarged by in
//! 1/120, and the toolkit makes of it how many pixels the window has; a factor in between is told rounded, and then a
//! full-screen window has a few pixels more or less than its monitor, which the compositor makes up for by blending all of
//! them. Such a window is drawn with the monitor's own pixels instead: the compositor shows them one to one.
//!
//! Source: the protocol `fractional-scale-v1` (preferred_scale).

use super::{App, size_of};
use crate::picture::Size;
use winit::window::Window;

/// The factor is told in 1/120, so rounded by at most half of that, and no factor that matters is below 1.
const ROUNDED_PART: u32 = 240;
/// What rounding to whole units and whole pixels may add.
const ROUNDED_PIXELS: u32 = 2;

impl App {
    /// The window's size in pixels of its monitor.
    pub(super) fn pixels(&self, window: &Window, told: Size) -> Size {
        let is_enlarged = self.wayland.is_some() && window.scale_factor().fract() != 0.0;
        let monitor = || window.fullscreen().and(window.current_monitor()).map(|monitor| monitor.size());
        let monitor = if is_enlarged { monitor() } else { None };
        monitor.map_or(told, |monitor| snapped(told, Size::new(monitor.width, monitor.height)))
    }

    /// Draws with another number of pixels, if the window has it since it came to its monitor.
    pub(super) fn fit_pixels(&mut self) {
        let (Some(window), Some(painter)) = (self.window.clone(), &self.painter) else { return };
        let told = size_of(&window);
        if self.pixels(&window, told) != painter.screen.size() {
            self.resized(told);
        }
    }
}

/// The monitor's size, upright or turned, if `told` is that but for the rounding of the factor; else `told`.
fn snapped(told: Size, monitor: Size) -> Size {
    let is_near = |told: u32, is: u32| told.abs_diff(is) <= told / ROUNDED_PART + ROUNDED_PIXELS;
    let sizes = [monitor, Size::new(monitor.height, monitor.width)];
    let found = sizes.into_iter().find(|size| is_near(told.width, size.width) && is_near(told.height, size.height));
    found.unwrap_or(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_screen_window_has_its_monitors_pixels_whatever_the_factor_was_rounded_to() {
        for (width, height) in [(1920u32, 1080u32), (2560, 1440), (3840, 2160), (1080, 1920)] {
            for percent in 101..300 {
                let factor = f64::from(percent) / 100.0;
                let told = (factor * 120.0).round() / 120.0;
                let side = |pixels: u32| ((f64::from(pixels) / factor).round() * told).round() as u32;
                let window = Size::new(side(width), side(height));
                for monitor in [Size::new(width, height), Size::new(height, width)] {
                    assert_eq!(snapped(window, monitor), Size::new(width, height), "{percent} %");
                }
            }
        }
    }

    #[test]
    fn a_window_beside_a_panel_keeps_its_own_size() {
        for (width, height) in [(1920, 1040), (1900, 1080), (960, 540), (1, 1)] {
            let window = Size::new(width, height);
            assert_eq!(snapped(window, Size::new(1920, 1080)), window);
        }
    }
}
