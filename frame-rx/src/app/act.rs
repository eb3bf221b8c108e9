//! What the window does when the user presses one of its keys.

use super::{App, monitors};
use crate::keys::Action;
use crate::pace::Cause;
use crate::settings;
use winit::event_loop::ActiveEventLoop;
use winit::window::Fullscreen;

impl App {
    /// Does what `action` names.
    pub(super) fn act(&mut self, event_loop: &ActiveEventLoop, action: Action) {
        self.pace.note(Cause::Window);
        match action {
            Action::FullScreen => return self.toggle_fullscreen(event_loop),
            Action::Quit => return event_loop.exit(),
            Action::Borderless => return self.toggle_frame(),
            Action::Screenshot => return self.take_screenshot(),
            Action::Input if self.input.toggle() => return,
            Action::Input => return self.say("this window has no keyboard and mouse to give".into()),
            _ => {}
        }
        let Some(painter) = &mut self.painter else { return };
        let notice = match action {
            Action::Pause => painter.pause(),
            Action::Rotate => painter.rotate(),
            Action::Scale => painter.next_scale(),
            Action::Filter => painter.next_filter(),
            Action::Figures => painter.show_figures(),
            Action::Timings => painter.show_timings(),
            Action::Help => painter.show_help(&self.hotkeys.keys().help()),
            Action::FullScreen | Action::Quit | Action::Borderless | Action::Screenshot | Action::Input => return,
        };
        if let Some(memory) = &mut self.memory {
            memory.changed(painter.manner(), rx_host::clock::now());
        }
        self.say(notice);
        self.set_title();
    }

    /// Does and says what other threads have for the window.
    pub(super) fn hear_of_input(&mut self, event_loop: &ActiveEventLoop) {
        if self.input.is_grabbed() {
            // What is released now is heard elsewhere.
            self.hotkeys.forget();
        }
        for action in self.input.asked() {
            self.act(event_loop, action);
        }
        let remark = self.remarks.as_ref().and_then(|remarks| remarks.try_iter().last());
        for words in [self.input.told(), remark].into_iter().flatten() {
            self.say(words);
        }
    }

    /// Words are as large as the desktop makes everything.
    pub(super) fn set_dots(&mut self) {
        let (Some(window), Some(painter)) = (&self.window, &mut self.painter) else { return };
        // In bounds: clamped.
        let dots = window.scale_factor().round().clamp(1.0, 6.0) as u32;
        if painter.dots != dots {
            painter.dots = dots;
            painter.overlay.refresh();
            self.pace.note(Cause::Window);
        }
    }

    /// A few words in the window, for a moment.
    pub(super) fn say(&mut self, notice: String) {
        if let Some(painter) = self.painter.as_mut().filter(|_| !notice.is_empty()) {
            tracing::debug!("{notice}");
            painter.say(notice, rx_host::clock::now());
            self.pace.note(Cause::Window);
        }
    }

    fn toggle_fullscreen(&mut self, event_loop: &ActiveEventLoop) {
        let Some(window) = &self.window else { return };
        self.sized = true;
        let wanted = match window.fullscreen() {
            Some(_) => None,
            // What winit does not know of it cannot end.
            None if monitors::fills_its_monitor(window) => {
                window.set_fullscreen(Some(Fullscreen::Borderless(None)));
                None
            }
            None => {
                let monitor = monitors::find(event_loop, self.show.output.as_deref()).unwrap_or_else(|e| {
                    tracing::warn!("{e}");
                    None
                });
                Some(Fullscreen::Borderless(monitor))
            }
        };
        match &wanted {
            Some(Fullscreen::Borderless(monitor)) => self.home.enter(monitor.as_ref().and_then(|m| m.name())),
            _ => self.home.leave(),
        }
        window.set_fullscreen(wanted);
    }

    fn toggle_frame(&mut self) {
        if let Some(window) = &self.window {
            window.set_decorations(!window.is_decorated());
        }
    }

    /// The picture with its pointer into the next free file. Blocks for the GPU and the disk; the guest is not slowed.
    fn take_screenshot(&mut self) {
        let Some(painter) = &self.painter else { return };
        let told = match settings::next_screenshot(self.show.screenshots.as_deref()) {
            None => "no screenshot: there are 9999 already".to_owned(),
            Some(path) => match painter.write_screenshot(&self.link, &path, true, &self.state) {
                Ok(()) => {
                    tracing::info!("wrote {}", path.display());
                    format!("wrote {}", path.display())
                }
                Err(failure) => {
                    tracing::warn!("{failure}");
                    format!("no screenshot: {failure}")
                }
            },
        };
        self.say(told);
    }
}
