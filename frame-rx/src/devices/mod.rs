//! `frame-rx devices`: GPUs, monitors, keyboards and mice; which of the latter is used just now; udev rules for them.
//! Never which key.

mod access;
mod live;

pub use access::findings;

use crate::app::monitors;
use crate::cli::DevicesArgs;
use crate::gpu::{self, GpuError};
use crate::input::evdev::facts::{Class, Facts, NODES, SYS};
use crate::input::evdev::rule::{Rule, node_of};
use access::Access;
use rx_host::exit::{self, Exit};
use rx_host::people::User;
use rx_host::term;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Prints what was asked for.
///
/// Blocks for drivers, the display and, with `--live`, until Ctrl-C.
///
/// # Errors
/// When stdout does not take it, or no device may be read.
pub fn run(args: &DevicesArgs) -> anyhow::Result<Exit> {
    if args.live {
        return live::run(&chosen(&args.evdev));
    }
    if args.udev_rules {
        let auto = [Rule::Auto];
        let rules = if args.evdev.is_empty() { &auto[..] } else { &args.evdev };
        exit::print(udev_rules(&chosen(rules)))?;
    } else if args.json {
        exit::print(format!("{:#}\n", as_json(&chosen(&args.evdev))))?;
    } else {
        exit::print(as_table(&chosen(&args.evdev)))?;
    }
    Ok(Exit::Done)
}

/// The devices that `rules` mean; all that can be read, if there are none.
fn chosen(rules: &[Rule]) -> Vec<Facts> {
    let mut all = Facts::all(Path::new(SYS));
    all.retain(|f| match rules {
        [] => f.class.is_readable(),
        rules => rules.iter().any(|rule| rule.means(f, &node_of)),
    });
    all
}

/// The stable name of each node, as udev links it: the first in the order of names.
fn names_by_id() -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for folder in ["by-id", "by-path"] {
        let mut links: Vec<_> = fs::read_dir(Path::new(NODES).join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        links.sort();
        for link in links {
            if let Some(node) = node_of(&link) {
                names.entry(node).or_insert_with(|| link.display().to_string());
            }
        }
    }
    names
}

fn as_table(devices: &[Facts]) -> String {
    let numbered =
        |lines: Vec<String>| lines.into_iter().enumerate().map(|(i, l)| format!("  {} {l}\n", i + 1)).collect();
    let gpus: String = match gpu::list() {
        gpus if gpus.is_empty() => format!("  none: {}\n", GpuError::NoDriver.hint()),
        gpus => numbered(gpus.iter().map(ToString::to_string).collect()),
    };
    let monitors: String = match monitors::list() {
        Ok(lines) => numbered(lines),
        Err(why) => format!("  none: {why}\n"),
    };
    let input = input_table(devices, &User::current(), &names_by_id());
    format!(
        "GPUs (--gpu NAME)\n{gpus}monitors (--output NAME or number)\n{monitors}keyboards and mice (--evdev)\n{input}"
    )
}

fn input_table(devices: &[Facts], user: &User, by_id: &BTreeMap<String, String>) -> String {
    if devices.is_empty() {
        return "  none that can be read\n".to_owned();
    }
    let row = |facts: &Facts| {
        let path = by_id.get(&facts.node).cloned().unwrap_or_else(|| facts.path().display().to_string());
        let access = match Access::of(&facts.path(), user) {
            Access::Yes => "",
            Access::No(_) => " (not allowed: frame-rx doctor)",
        };
        format!(
            "  {:14} {:04x}:{:04x} {} {}{access}\n",
            facts.class.name(),
            facts.vendor,
            facts.product,
            term::printable(&facts.name),
            term::printable(&path)
        )
    };
    devices.iter().map(row).collect()
}

fn as_json(devices: &[Facts]) -> serde_json::Value {
    let (user, by_id) = (User::current(), names_by_id());
    let gpus: Vec<_> = gpu::list().iter().map(ToString::to_string).collect();
    let input = devices.iter().map(|f| {
        json!({
            "path": f.path().display().to_string(),
            "link": by_id.get(&f.node),
            "name": f.name,
            "class": f.class.name(),
            "bus": f.bus,
            "vendor": f.vendor,
            "product": f.product,
            "has_lamps": f.has_leds,
            "is_virtual": f.is_virtual(),
            "is_allowed": matches!(Access::of(&f.path(), &user), Access::Yes),
        })
    });
    json!({
        "schema": 1,
        "gpus": gpus,
        "monitors": monitors::list().unwrap_or_default(),
        "input": input.collect::<Vec<_>>(),
    })
}

/// Rules for udev that give these devices to whoever sits at the machine. Numbers and classes only: a name comes from the
/// device.
fn udev_rules(devices: &[Facts]) -> String {
    let mut text = "# Written by `frame-rx devices --udev-rules`. Whoever sits at the machine may read these devices, and so may every\n\
         # program of that user: what is typed on them can be listened to. The number of the file must be below 73.\n"
        .to_owned();
    let mut ids: Vec<_> = devices.iter().map(|f| (f.vendor, f.product, class_rule(f.class))).collect();
    ids.sort_unstable();
    ids.dedup();
    for (vendor, product, class) in ids {
        text.push_str(&format!(
            "SUBSYSTEM==\"input\", KERNEL==\"event*\", ATTRS{{id/vendor}}==\"{vendor:04x}\", \
             ATTRS{{id/product}}==\"{product:04x}\", {class}TAG+=\"uaccess\"\n"
        ));
    }
    text
}

/// What keeps the rule for a mouse from giving away a keyboard with the same numbers, as one receiver's for both are.
/// Source: udev's builtin `input_id`, which calls a keyboard what has all of the first keys.
fn class_rule(class: Class) -> &'static str {
    match class {
        Class::Keyboard => "ENV{ID_INPUT_KEY}==\"1\", ENV{ID_INPUT_MOUSE}!=\"1\", ",
        Class::Mouse => "ENV{ID_INPUT_MOUSE}==\"1\", ENV{ID_INPUT_KEYBOARD}!=\"1\", ",
        Class::Tablet | Class::Keys => "ENV{ID_INPUT_KEYBOARD}!=\"1\", ",
        Class::Combined | Class::Touchpad | Class::Other => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn mouse(name: &str) -> Facts {
        Facts {
            node: "event99999".into(),
            name: name.into(),
            bus: 3,
            vendor: 0x046d,
            product: 0xc08b,
            class: Class::Mouse,
            fine_wheels: (true, true),
            has_leds: false,
        }
    }

    #[test]
    fn a_row_names_the_device_and_cannot_write_to_the_terminal() {
        let by_id = BTreeMap::from([("event99999".to_owned(), "/dev/input/by-id/usb-a-event-mouse".to_owned())]);
        let text = input_table(&[mouse("G502\u{1b}[2J")], &User::current(), &by_id);
        assert!(text.starts_with("  mouse          046d:c08b G502"), "{text}");
        assert!(text.contains("by-id/usb-a-event-mouse (not allowed") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(input_table(&[], &User::current(), &by_id), "  none that can be read\n");
    }

    #[test]
    fn rules_for_udev_hold_numbers_only_and_each_device_once() {
        let text = udev_rules(&[mouse("\"; RUN+=\"evil"), mouse("b")]);
        assert!(!text.contains("evil"), "{text}");
        let rules: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of = |class: &str| {
            format!(
                "SUBSYSTEM==\"input\", KERNEL==\"event*\", ATTRS{{id/vendor}}==\"046d\", \
                 ATTRS{{id/product}}==\"c08b\", {class}TAG+=\"uaccess\""
            )
        };
        assert_eq!(rules, [of("ENV{ID_INPUT_MOUSE}==\"1\", ENV{ID_INPUT_KEYBOARD}!=\"1\", ")]);
        // A receiver's two nodes have the same numbers: each is given by a rule of its own, or not at all.
        let keyboard = Facts { class: Class::Keyboard, ..mouse("c") };
        assert_eq!(udev_rules(&[mouse("b"), keyboard]).lines().filter(|line| !line.starts_with('#')).count(), 2);
    }
}
