//! The monitors of a KWin without a screen, which can be unplugged, plugged in and enlarged: what its system settings do, by
//! the protocol that they use.

use std::os::unix::net::UnixStream;
use std::path::Path;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, event_created_child};
use wayland_protocols_plasma::output_device::v2::client::kde_output_device_mode_v2::{self, KdeOutputDeviceModeV2};
use wayland_protocols_plasma::output_device::v2::client::kde_output_device_v2::{self, KdeOutputDeviceV2};
use wayland_protocols_plasma::output_management::v2::client::kde_output_configuration_v2::{
    self, KdeOutputConfigurationV2,
};
use wayland_protocols_plasma::output_management::v2::client::kde_output_management_v2::{self, KdeOutputManagementV2};

/// What is done to a monitor.
#[derive(Clone, Copy)]
pub enum Change {
    PluggedIn(bool),
    Scale(f64),
}

#[derive(Default)]
struct State {
    management: Option<KdeOutputManagementV2>,
    devices: Vec<(KdeOutputDeviceV2, String)>,
    answer: Option<bool>,
}

pub struct Outputs {
    queue: EventQueue<State>,
    state: State,
}

impl Outputs {
    pub fn new(socket: &Path) -> Outputs {
        let connection = Connection::from_socket(UnixStream::connect(socket).unwrap()).unwrap();
        let mut queue = connection.new_event_queue();
        let _registry = connection.display().get_registry(&queue.handle(), ());
        let mut state = State::default();
        // The globals, then what the monitors tell of themselves.
        queue.roundtrip(&mut state).unwrap();
        queue.roundtrip(&mut state).unwrap();
        Outputs { queue, state }
    }

    /// The monitors' names, those included that are unplugged.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.state.devices.iter().map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Does something to a monitor; it must succeed.
    pub fn change(&mut self, name: &str, change: Change) {
        let management = self.state.management.as_ref().expect("KWin has it");
        let (device, _) = self.state.devices.iter().find(|(_, n)| n == name).expect(name);
        let configuration = management.create_configuration(&self.queue.handle(), ());
        match change {
            Change::PluggedIn(is_in) => configuration.enable(device, i32::from(is_in)),
            Change::Scale(factor) => configuration.scale(device, factor),
        }
        configuration.apply();
        self.state.answer = None;
        while self.state.answer.is_none() {
            self.queue.blocking_dispatch(&mut self.state).unwrap();
        }
        assert_eq!(self.state.answer, Some(true), "KWin does not do it");
        configuration.destroy();
    }
}

impl Dispatch<WlRegistry, ()> for State {
    fn event(
        state: &mut State,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _connection: &Connection,
        queue: &QueueHandle<State>,
    ) {
        let wl_registry::Event::Global { name, interface, version } = event else { return };
        if interface == KdeOutputManagementV2::interface().name {
            state.management = Some(registry.bind(name, 1, queue, ()));
        } else if interface == KdeOutputDeviceV2::interface().name && version >= 2 {
            state.devices.push((registry.bind(name, 2, queue, ()), String::new()));
        }
    }
}

impl Dispatch<KdeOutputDeviceV2, ()> for State {
    fn event(
        state: &mut State,
        device: &KdeOutputDeviceV2,
        event: kde_output_device_v2::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<State>,
    ) {
        let kde_output_device_v2::Event::Name { name } = event else { return };
        if let Some((_, known)) = state.devices.iter_mut().find(|(d, _)| d == device) {
            *known = name;
        }
    }

    event_created_child!(State, KdeOutputDeviceV2, [
        kde_output_device_v2::EVT_MODE_OPCODE => (KdeOutputDeviceModeV2, ()),
    ]);
}

impl Dispatch<KdeOutputConfigurationV2, ()> for State {
    fn event(
        state: &mut State,
        _configuration: &KdeOutputConfigurationV2,
        event: kde_output_configuration_v2::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<State>,
    ) {
        state.answer = Some(matches!(event, kde_output_configuration_v2::Event::Applied));
    }
}

impl Dispatch<KdeOutputDeviceModeV2, ()> for State {
    fn event(
        _state: &mut State,
        _mode: &KdeOutputDeviceModeV2,
        _event: kde_output_device_mode_v2::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<State>,
    ) {
    }
}

impl Dispatch<KdeOutputManagementV2, ()> for State {
    fn event(
        _state: &mut State,
        _management: &KdeOutputManagementV2,
        _event: kde_output_management_v2::Event,
        (): &(),
        _connection: &Connection,
        _queue: &QueueHandle<State>,
    ) {
    }
}
