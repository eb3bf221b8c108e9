//! What the virtual device says about itself: USB descriptors and the report descriptors of its four HID interfaces. All
//! are our own; guests use the drivers they have. Source of the numbers: USB 2.0 chapter 9, HID 1.11, HID usage tables.

/// Vendor, with [`PRODUCT`]: the numbers that pid.codes keeps for tests, not ours alone.
pub const VENDOR: u16 = 0x1209;
/// Product.
pub const PRODUCT: u16 = 0x0001;
/// Version of the device. Unit: binary-coded decimals, 1.00.
pub const DEVICE_VERSION: u16 = 0x0100;

/// Types of descriptors.
const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const QUALIFIER: u8 = 6;
const HID: u8 = 0x21;
const REPORT: u8 = 0x22;

/// The four interfaces. Each has one endpoint, of interrupts to the guest, whose number is the interface's and one.
///
/// Their order is that in which a guest lets go of what an unplugged device held: Linux takes one interface apart after the
/// other, and needs 84 ms for a keyboard, which has lamps and a console, and 24 ms for each of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interface {
    /// Motion, 16 buttons, two wheels.
    Mouse = 0,
    /// Consumer keys (sound, browser, ...) and those of the system (power, sleep, wake).
    Controls = 1,
    /// Every key of the keyboard page at once, lamps, and the boot protocol for firmware.
    Keyboard = 2,
    /// A place on the screen. It holds nothing.
    Pointer = 3,
}

impl Interface {
    /// All of them, in order.
    pub const ALL: [Interface; 4] = [Interface::Mouse, Interface::Controls, Interface::Keyboard, Interface::Pointer];

    /// The one with this number.
    pub fn numbered(number: u16) -> Option<Interface> {
        Interface::ALL.get(usize::from(number)).copied()
    }

    /// The one that the endpoint with this address belongs to.
    pub fn of_endpoint(address: u8) -> Option<Interface> {
        let number = (address & 0x7f).checked_sub(1)?;
        Interface::numbered(number.into()).filter(|_| address & 0x80 != 0)
    }

    /// Its place in a table of all.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The address of its endpoint.
    pub const fn endpoint(self) -> u8 {
        0x81 + self as u8
    }

    /// Subclass and protocol: only the keyboard has a boot protocol.
    pub const fn subclass(self) -> [u8; 2] {
        match self {
            Interface::Keyboard => [1, 1],
            _ => [0, 0],
        }
    }

    /// Longest packet. Unit: bytes. SeaBIOS takes a keyboard of 8 to 16 only; longer reports come in two packets.
    pub const fn packet_bytes(self) -> u16 {
        16
    }

    /// Its report descriptor.
    pub fn report_descriptor(self) -> Vec<u8> {
        match self {
            Interface::Keyboard => KEYBOARD.to_vec(),
            Interface::Mouse => MOUSE.to_vec(),
            Interface::Controls => controls(),
            Interface::Pointer => POINTER.to_vec(),
        }
    }
}

/// First usage of the keyboard page in the bitmap; modifiers (E0 to E7) have their own byte.
pub const KEY_FIRST: u8 = 0x04;
/// Last usage in the bitmap.
pub const KEY_LAST: u8 = 0xdb;

/// Report: modifiers, then one bit for each key. Out: five lamps.
const KEYBOARD: &[u8] = &[
    0x05,
    0x01,
    0x09,
    0x06,
    0xa1,
    0x01, // generic desktop, keyboard, application
    0x05,
    0x07,
    0x19,
    0xe0,
    0x29,
    0xe7,
    0x15,
    0x00,
    0x25,
    0x01,
    0x75,
    0x01,
    0x95,
    0x08,
    0x81,
    0x02, // modifiers
    0x19,
    KEY_FIRST,
    0x29,
    KEY_LAST,
    0x95,
    KEY_LAST - KEY_FIRST + 1,
    0x81,
    0x02, // keys
    0x05,
    0x08,
    0x19,
    0x01,
    0x29,
    0x05,
    0x95,
    0x05,
    0x91,
    0x02, // lamps: Num, Caps, Scroll, Compose, Kana
    0x75,
    0x03,
    0x95,
    0x01,
    0x91,
    0x01, // and three bits of nothing
    0xc0,
];

/// Report: 16 buttons, dx, dy, wheel, tilt, 16 bits each. Each wheel has a multiplier in its own collection: a guest that
/// switches it on gets 1/120 of a detent, one that does not gets detents.
const MOUSE: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1,
    0x00, // generic desktop, mouse, application; pointer, physical
    0x05, 0x09, 0x19, 0x01, 0x29, 0x10, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x10, 0x81, 0x02, // buttons
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81,
    0x06, // x, y
    0xa1, 0x02, // logical
    0x09, 0x48, 0x15, 0x00, 0x25, 0x01, 0x35, 0x01, 0x45, 0x78, 0x75, 0x02, 0x95, 0x01, 0xb1, 0x02, // 1 or 120
    0x09, 0x38, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x10, 0x81, 0x06, // wheel
    0xc0, 0xa1, 0x02, // logical
    0x09, 0x48, 0x15, 0x00, 0x25, 0x01, 0x35, 0x01, 0x45, 0x78, 0x75, 0x02, 0x95, 0x01, 0xb1, 0x02, // 1 or 120
    0x05, 0x0c, 0x0a, 0x38, 0x02, // consumer page, AC pan
    0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x10, 0x81, 0x06, // tilt
    0xc0, 0x75, 0x04, 0xb1, 0x01, // four bits of nothing behind the multipliers
    0xc0, 0xc0,
];

/// Report: three buttons that stay up (systems take a pointer without buttons for a touch screen or nothing), x, y.
const POINTER: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1,
    0x00, // generic desktop, mouse, application; pointer, physical
    0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02, // buttons
    0x75, 0x05, 0x95, 0x01, 0x81, 0x01, // five bits of nothing
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02, // x, y
    0xc0, 0xc0,
];

/// Keys of the consumer page that the table of keys has, one bit each, in this order.
pub const CONSUMER: [u16; 20] = [
    0x6f, 0x70, 0xb5, 0xb6, 0xb7, 0xb8, 0xcd, 0xe2, 0xe9, 0xea, 0x183, 0x18a, 0x192, 0x194, 0x221, 0x223, 0x224, 0x225,
    0x227, 0x22a,
];
/// The first of the three keys of the system: power, sleep, wake.
pub const SYSTEM_FIRST: u8 = 0x81;
/// The number of the report of the consumer keys.
pub const CONSUMER_REPORT: u8 = 1;
/// The number of the report of the system's keys.
pub const SYSTEM_REPORT: u8 = 2;

fn controls() -> Vec<u8> {
    let mut bytes = vec![0x05, 0x0c, 0x09, 0x01, 0xa1, 0x01, 0x85, CONSUMER_REPORT];
    for usage in CONSUMER {
        let [low, high] = usage.to_le_bytes();
        bytes.extend_from_slice(&[0x0a, low, high]);
    }
    bytes.extend_from_slice(&[0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 20, 0x81, 0x02]);
    bytes.extend_from_slice(&[0x75, 0x04, 0x95, 0x01, 0x81, 0x01, 0xc0]);
    bytes.extend_from_slice(&[0x05, 0x01, 0x09, 0x80, 0xa1, 0x01, 0x85, SYSTEM_REPORT]);
    bytes.extend_from_slice(&[0x19, SYSTEM_FIRST, 0x29, SYSTEM_FIRST + 2, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02]);
    bytes.extend_from_slice(&[0x75, 0x05, 0x95, 0x01, 0x81, 0x01, 0xc0]);
    bytes
}

/// The descriptor that a guest asks the device for (`GET_DESCRIPTOR`); nothing if there is none.
pub fn device_descriptor(kind: u8, index: u8) -> Option<Vec<u8>> {
    match (kind, index) {
        (DEVICE, _) => Some(device()),
        (CONFIGURATION, 0) => Some(configuration()),
        (STRING, 0) => Some(vec![4, STRING, 0x09, 0x04]),
        (STRING, 1) => Some(string("frame-rx")),
        (STRING, 2) => Some(string("virtual keyboard and mouse")),
        (QUALIFIER, _) => Some(vec![10, QUALIFIER, 0x00, 0x02, 0, 0, 0, 64, 1, 0]),
        _ => None,
    }
}

/// The descriptor that a guest asks an interface for.
pub fn interface_descriptor(interface: Interface, kind: u8) -> Option<Vec<u8>> {
    match kind {
        HID => Some(hid(interface)),
        REPORT => Some(interface.report_descriptor()),
        _ => None,
    }
}

fn device() -> Vec<u8> {
    let mut bytes = vec![18, DEVICE, 0x00, 0x02, 0, 0, 0, 64];
    for word in [VENDOR, PRODUCT, DEVICE_VERSION] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[1, 2, 0, 1]);
    bytes
}

fn configuration() -> Vec<u8> {
    // One configuration, powered by the bus, at most 100 mA.
    let mut bytes = vec![9, CONFIGURATION, 0, 0, Interface::ALL.len() as u8, 1, 0, 0x80, 50];
    for interface in Interface::ALL {
        let [subclass, protocol] = interface.subclass();
        bytes.extend_from_slice(&[9, INTERFACE, interface as u8, 0, 1, 3, subclass, protocol, 0]);
        bytes.extend(hid(interface));
        let [low, high] = interface.packet_bytes().to_le_bytes();
        // Polled every microframe, 125 us.
        bytes.extend_from_slice(&[7, ENDPOINT, interface.endpoint(), 3, low, high, 1]);
    }
    let [low, high] = (bytes.len() as u16).to_le_bytes();
    (bytes[2], bytes[3]) = (low, high);
    bytes
}

fn hid(interface: Interface) -> Vec<u8> {
    let [low, high] = (interface.report_descriptor().len() as u16).to_le_bytes();
    vec![9, HID, 0x11, 0x01, 0, 1, REPORT, low, high]
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, STRING];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes[0] = bytes.len() as u8;
    bytes
}
