//! What the kernel tells about an input device to everybody, in sysfs: name, numbers and what it can report. So devices
//! are listed and chosen by users who may not open them. Names come from devices, and are printed only after
//! [`rx_host::term::printable`].

use super::event::{ABS_X, ABS_Y, EV_KEY, EV_LED, REL_HWHEEL_HI_RES, REL_WHEEL_HI_RES, REL_X, REL_Y};
use core::fmt;
use rx_host::term;
use std::fs;
use std::path::{Path, PathBuf};

/// Where sysfs has the devices.
pub const SYS: &str = "/sys/class/input";
/// Where the nodes are.
pub const NODES: &str = "/dev/input";
/// How the names of our own virtual devices begin: they are never read.
pub const OURS: &str = "frame-rx virtual ";
/// `BUS_VIRTUAL` of Linux's `input.h`.
const BUS_VIRTUAL: u16 = 6;
/// Longest name that is kept. Unit: characters.
const NAME_MAX: usize = 128;

/// What a device is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Letters, space and Enter.
    Keyboard,
    /// Relative motion and a left button.
    Mouse,
    /// Both in one node.
    Combined,
    /// Places and a left button, as the tablets of virtual machines.
    Tablet,
    /// Some keys: media keys, a power button.
    Keys,
    /// Fingers: only a desktop makes motion of them.
    Touchpad,
    /// Anything else: game pads, lids, sensors.
    Other,
}

impl Class {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Keyboard => "keyboard",
            Class::Mouse => "mouse",
            Class::Combined => "keyboard+mouse",
            Class::Tablet => "tablet",
            Class::Keys => "keys",
            Class::Touchpad => "touchpad",
            Class::Other => "other",
        }
    }

    /// Whether it can be read here at all.
    pub const fn is_readable(self) -> bool {
        !matches!(self, Class::Touchpad | Class::Other)
    }

    /// Whether it has keys that somebody types on.
    pub const fn has_keyboard(self) -> bool {
        matches!(self, Class::Keyboard | Class::Combined)
    }

    /// Whether it moves the pointer.
    pub const fn has_pointer(self) -> bool {
        matches!(self, Class::Mouse | Class::Combined | Class::Tablet)
    }
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The node's name, such as `event3`.
    pub node: String,
    /// Its own name.
    pub name: String,
    /// Bus, as in Linux's `input.h`.
    pub bus: u16,
    /// Vendor.
    pub vendor: u16,
    /// Product.
    pub product: u16,
    /// What it is.
    pub class: Class,
    /// Whether it tells its wheel in 1/120 of a detent, and its horizontal wheel.
    pub fine_wheels: (bool, bool),
    /// Whether it has lamps.
    pub has_leds: bool,
}

impl Facts {
    /// The device behind `node`. Nothing if there is none, or it tells nothing.
    pub fn read(sys: &Path, node: &str) -> Option<Facts> {
        let device = sys.join(node).join("device");
        let text = |name: &str| fs::read_to_string(device.join(name)).unwrap_or_default().trim_end().to_owned();
        let number = |name: &str| u16::from_str_radix(&text(name), 16).unwrap_or(0);
        let bits = |name: &str| Bits::parse(&text(&format!("capabilities/{name}")));
        let types = bits("ev");
        if types.is_empty() {
            return None;
        }
        let (keys, rel, abs) = (bits("key"), bits("rel"), bits("abs"));
        Some(Facts {
            node: node.to_owned(),
            name: text("name").chars().take(NAME_MAX).collect(),
            bus: number("id/bustype"),
            vendor: number("id/vendor"),
            product: number("id/product"),
            class: if types.has(EV_KEY) { class(&keys, &rel, &abs) } else { Class::Other },
            fine_wheels: (rel.has(REL_WHEEL_HI_RES), rel.has(REL_HWHEEL_HI_RES)),
            has_leds: types.has(EV_LED),
        })
    }

    /// All devices that have a node, in the order of their numbers.
    pub fn all(sys: &Path) -> Vec<Facts> {
        let mut numbers: Vec<u32> = fs::read_dir(sys)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| number_of(&entry.file_name().to_string_lossy()))
            .collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|n| Facts::read(sys, &format!("event{n}"))).collect()
    }

    /// Its node's path.
    pub fn path(&self) -> PathBuf {
        Path::new(NODES).join(&self.node)
    }

    /// Whether it is one of our own virtual devices.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }

    /// Whether no hardware is behind it.
    pub fn is_virtual(&self) -> bool {
        self.bus == BUS_VIRTUAL
    }
}

/// `Logitech G502 (mouse, /dev/input/event3)`.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "without a name" } else { self.name.as_str() };
        write!(f, "{} ({}, {})", term::printable(name), self.class.name(), self.path().display())
    }
}

/// The number of a node called `event3`.
pub fn number_of(node: &str) -> Option<u32> {
    node.strip_prefix("event").filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok())
}

/// A set of codes as sysfs prints it: words in hex, the last with the lowest codes.
#[derive(Debug, Default)]
struct Bits(Vec<usize>);

impl Bits {
    fn parse(text: &str) -> Bits {
        Bits(text.split_whitespace().rev().map(|word| usize::from_str_radix(word, 16).unwrap_or(0)).collect())
    }

    fn has(&self, code: u16) -> bool {
        let (word, bit) = (usize::from(code) / usize::BITS as usize, u32::from(code) % usize::BITS);
        self.0.get(word).is_some_and(|w| w >> bit & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// Source of the numbers: Linux, `input-event-codes.h`.
fn class(keys: &Bits, rel: &Bits, abs: &Bits) -> Class {
    let all = |mut codes: core::ops::RangeInclusive<u16>| codes.all(|code| keys.has(code));
    let any = |mut codes: core::ops::Range<u16>| codes.any(|code| keys.has(code));
    // Q to P, A to L, Enter and space.
    let types = all(16..=25) && all(30..=38) && keys.has(28) && keys.has(57);
    let left = keys.has(0x110);
    let points = left && rel.has(REL_X) && rel.has(REL_Y);
    let has_place = abs.has(ABS_X) && abs.has(ABS_Y);
    // BTN_TOOL_PEN up to BTN_TOOL_QUADTAP, and BTN_JOYSTICK up to BTN_THUMBR.
    let (has_tools, plays) = (any(0x140..0x150), any(0x120..0x140));
    match (types, points) {
        (true, true) => Class::Combined,
        (true, false) => Class::Keyboard,
        (false, true) => Class::Mouse,
        // BTN_TOOL_FINGER.
        (false, false) if has_place && keys.has(0x145) => Class::Touchpad,
        (false, false) if has_place && left && !has_tools && !plays => Class::Tablet,
        (false, false) if !has_place && !plays && any(1..0x100) => Class::Keys,
        (false, false) => Class::Other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sysfs with one device, whose capabilities are as real ones print them.
    fn device(sys: &Path, node: &str, name: &str, ids: (u16, u16, u16), bits: [&str; 4]) {
        let folder = sys.join(node).join("device");
        fs::create_dir_all(folder.join("capabilities")).unwrap();
        fs::create_dir_all(folder.join("id")).unwrap();
        let (bus, vendor, product) = ids;
        let [ev, key, rel, abs] = bits;
        for (file, text) in [
            ("name", name.to_owned()),
            ("id/bustype", format!("{bus:04x}")),
            ("id/vendor", format!("{vendor:04x}")),
            ("id/product", format!("{product:04x}")),
            ("capabilities/ev", ev.to_owned()),
            ("capabilities/key", key.to_owned()),
            ("capabilities/rel", rel.to_owned()),
            ("capabilities/abs", abs.to_owned()),
        ] {
            fs::write(folder.join(file), format!("{text}\n")).unwrap();
        }
    }

    /// The capabilities are those of devices of a desktop machine, 64 bits.
    pub fn desk(sys: &Path) {
        let keys = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe";
        device(sys, "event0", "Power Button", (0x19, 0, 1), ["3", "10000000000000 0", "0", "0"]);
        device(sys, "event3", "Corsair K70", (3, 0x1b1c, 0x1b13), ["120013", keys, "0", "0"]);
        let buttons = "ffff0000 0 0 0 0";
        device(sys, "event10", "Logitech G502", (3, 0x046d, 0xc08b), ["17", buttons, "1943", "0"]);
        device(sys, "event4", "Logitech G502 Keyboard", (3, 0x046d, 0xc08b), ["100013", keys, "0", "0"]);
        let finger = "e520 10000 0 0 0 0";
        device(sys, "event5", "Touchpad", (0x18, 0x6cb, 0xce44), ["b", finger, "0", "2e0800000000003"]);
        device(sys, "event6", "QEMU Tablet", (3, 0x627, 1), ["1f", "1f0000 0 0 0 0", "100", "3"]);
        let joystick = "fcff00000000 0 0 0 0";
        device(sys, "event7", "A Pad", (3, 1, 2), ["b", joystick, "0", "3003f"]);
        device(sys, "event8", "frame-rx virtual keyboard", (6, 0, 0), ["120013", keys, "0", "0"]);
        fs::create_dir_all(sys.join("mouse0")).unwrap();
    }

    #[test]
    fn devices_are_what_they_can_report() {
        let sys = tempfile::tempdir().unwrap();
        desk(sys.path());
        let all = Facts::all(sys.path());
        let told: Vec<_> = all.iter().map(|f| (f.node.as_str(), f.class)).collect();
        let expected = [
            ("event0", Class::Keys),
            ("event3", Class::Keyboard),
            ("event4", Class::Keyboard),
            ("event5", Class::Touchpad),
            ("event6", Class::Tablet),
            ("event7", Class::Other),
            ("event8", Class::Keyboard),
            ("event10", Class::Mouse),
        ];
        assert_eq!(told, expected);
        let mouse = &all[7];
        assert_eq!((mouse.vendor, mouse.product, mouse.fine_wheels), (0x046d, 0xc08b, (true, true)));
        assert_eq!(mouse.to_string(), "Logitech G502 (mouse, /dev/input/event10)");
        assert!(all[1].has_leds && !mouse.has_leds && all[6].is_ours() && all[6].is_virtual());
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        let sys = tempfile::tempdir().unwrap();
        device(sys.path(), "event1", "a\u{1b}[31mb", (3, 0, 0), ["3", "2", "0", "0"]);
        let text = Facts::all(sys.path())[0].to_string();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn what_is_no_device_is_none() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!((Facts::all(sys.path()), Facts::read(sys.path(), "event9")), (vec![], None));
        assert_eq!(
            (number_of("event12"), number_of("event"), number_of("eventx"), number_of("mouse0")),
            (Some(12), None, None, None)
        );
    }
}
