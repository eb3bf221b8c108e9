//! A keyboard of a Wayland compositor that is pressed by the test.

use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use wayland_client::protocol::wl_keyboard::KeymapFormat;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;

/// The usual keys at their usual numbers; the compositor reads what is included.
const KEYMAP: &str = "xkb_keymap {\n xkb_keycodes { include \"evdev+aliases(qwerty)\" };\n xkb_types { include \"complete\" };\n \
                      xkb_compat { include \"complete\" };\n xkb_symbols { include \"pc+us+inet(evdev)\" };\n};\n\0";

#[derive(Default)]
struct Globals {
    seat: Option<WlSeat>,
    manager: Option<ZwpVirtualKeyboardManagerV1>,
}

pub struct Keyboard {
    queue: EventQueue<Globals>,
    globals: Globals,
    keyboard: ZwpVirtualKeyboardV1,
    time: u32,
}

impl Keyboard {
    /// Plugs one in.
    pub fn new(socket: &Path) -> Keyboard {
        let connection = Connection::from_socket(UnixStream::connect(socket).unwrap()).unwrap();
        let mut queue = connection.new_event_queue();
        let _registry = connection.display().get_registry(&queue.handle(), ());
        let mut globals = Globals::default();
        queue.roundtrip(&mut globals).unwrap();
        let (seat, manager) = (globals.seat.as_ref().unwrap(), globals.manager.as_ref().unwrap());
        let keyboard = manager.create_virtual_keyboard(seat, &queue.handle(), ());
        let mut file = File::from(memfd_create("keymap", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(KEYMAP.as_bytes()).unwrap();
        keyboard.keymap(KeymapFormat::XkbV1 as u32, file.as_fd(), KEYMAP.len() as u32);
        queue.roundtrip(&mut globals).unwrap();
        Keyboard { queue, globals, keyboard, time: 0 }
    }

    /// Presses or releases the key with this number of the kernel's.
    pub fn key(&mut self, number: u32, is_down: bool) {
        self.time += 1;
        self.keyboard.key(self.time, number, u32::from(is_down));
        self.queue.roundtrip(&mut self.globals).unwrap();
    }

    pub fn tap(&mut self, number: u32) {
        self.key(number, true);
        self.key(number, false);
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
            "wl_seat" => globals.seat = Some(registry.bind(name, 1, queue, ())),
            "zwp_virtual_keyboard_manager_v1" => globals.manager = Some(registry.bind(name, 1, queue, ())),
            _ => {}
        }
    }
}

delegate_noop!(Globals: ignore WlSeat);
delegate_noop!(Globals: ZwpVirtualKeyboardManagerV1);
delegate_noop!(Globals: ZwpVirtualKeyboardV1);
