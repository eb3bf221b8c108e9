//! When an X server showed the window's frames: the Present extension tells every client that asks of every frame of a
//! window, whoever made it, with the time of the refresh. A driver that brings frames to the window in another way, as
//! software ones do, leaves it silent. A connection of its own; nothing is ever waited for after the start.
//!
//! Source: the Present extension, version 1.0: PresentSelectInput, PresentCompleteNotify; its times are microseconds of the
//! monotonic clock.

use super::shown::{Told, Which};
use shm_proto::HostTime;
use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use winit::window::Window;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::present::{CompleteKind, CompleteMode, ConnectionExt, EventMask};
use x11rb::rust_connection::RustConnection;

/// Events of other kinds that are passed over at once.
const MOST_AT_ONCE: u32 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Present {
    connection: RustConnection,
}

impl Present {
    /// For this window; nothing if the window system is another one, or the server does not have the extension.
    ///
    /// Blocks for the server's answer.
    pub(super) fn open(window: &Window) -> Option<Present> {
        let id = match window.window_handle().ok()?.as_raw() {
            RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok()?,
            RawWindowHandle::Xcb(handle) => handle.window.get(),
            _ => return None,
        };
        match select(id, None) {
            Ok(connection) => Some(Present { connection }),
            Err(error) => {
                tracing::debug!("when frames are shown is not known: {error}");
                None
            }
        }
    }

    /// The next that the server told, if it told more. Never blocks.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        for _ in 0..MOST_AT_ONCE {
            let Event::PresentCompleteNotify(event) = self.connection.poll_for_event().ok()?? else { continue };
            if event.kind == CompleteKind::PIXMAP {
                let at = Some(HostTime::from_ns(event.ust.saturating_mul(1000)));
                let at = at.filter(|_| event.mode != CompleteMode::SKIP);
                return Some(Told { which: Which::Next, at, period: None });
            }
        }
        None
    }
}

/// A connection that is told of each frame of `window`; to the usual display if none is named.
fn select(window: u32, display: Option<&str>) -> Result<RustConnection, Box<dyn std::error::Error>> {
    let (connection, _) = x11rb::connect(display)?;
    connection.present_query_version(1, 0)?.reply()?;
    let id = connection.generate_id()?;
    connection.present_select_input(id, window, EventMask::COMPLETE_NOTIFY)?.check()?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::clock;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;
    use x11rb::COPY_DEPTH_FROM_PARENT;
    use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, WindowClass};

    /// A private X server. Ends when dropped.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn server() -> Option<(Server, String)> {
        let mut command = Command::new("Xvfb");
        command.args("-displayfd 1 -screen 0 64x64x24 -nolisten tcp -noreset".split(' '));
        let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Xvfb is missing, and CI=true forbids to skip");
            eprintln!("skipped: Xvfb is missing");
            return None;
        };
        let mut server = Server(child);
        let mut number = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Some((server, format!(":{}", number.trim())))
    }

    #[test]
    fn a_server_tells_of_the_frames_that_another_connection_presents() {
        let Some((_server, display)) = server() else { return };
        // The GPU's driver, as it were.
        let (driver, screen) = x11rb::connect(Some(&display)).unwrap();
        let root = driver.setup().roots[screen].root;
        let [window, pixmap] = [(); 2].map(|()| driver.generate_id().unwrap());
        let (class, none) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        driver.create_window(COPY_DEPTH_FROM_PARENT, window, root, 0, 0, 8, 8, 0, class, 0, &none).unwrap();
        driver.create_pixmap(24, pixmap, window, 8, 8).unwrap();
        driver.map_window(window).unwrap().check().unwrap();
        driver.present_query_version(1, 0).unwrap().reply().unwrap();
        let mut present = Present { connection: select(window, Some(&display)).unwrap() };
        assert_eq!(present.take_told(), None, "nothing was shown yet");
        let begun = clock::now();
        for serial in 1..=5 {
            let shown = driver.present_pixmap(window, pixmap, serial, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, &[]);
            shown.unwrap().check().unwrap();
            let told = (0..2000).find_map(|_| {
                present.take_told().or_else(|| {
                    clock::sleep_until(clock::now() + Duration::from_millis(5));
                    None
                })
            });
            let told = told.expect("a word of the frame");
            assert_eq!((told.which, told.period), (Which::Next, None));
            let (at, near) = (told.at.unwrap(), Duration::from_millis(100));
            assert!(at + near >= begun && at <= clock::now() + near, "{at:?}, begun at {begun:?}");
        }
    }
}
