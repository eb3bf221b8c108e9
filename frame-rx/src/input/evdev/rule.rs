//! Which devices are meant, as typed after `--evdev`: all that there are (`auto`), one path, or what matches. Pure, but
//! for paths, which the caller resolves.

use super::facts::{Class, Facts};
use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

/// One rule. A device is read if any rule means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every keyboard, mouse and tablet that is hardware.
    Auto,
    /// The device at this path; a link (`/dev/input/by-id/...`) is followed anew each time.
    Path(PathBuf),
    /// Every device for which all of these hold.
    Match(Match),
}

/// What must hold; what is nothing holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// What it is.
    pub class: Option<Class>,
    /// Vendor and product.
    pub id: Option<(u16, u16)>,
    /// A part of its name, case ignored.
    pub name: Option<String>,
}

/// Why a rule was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// None of the forms.
    #[error("`{0}` is none of auto, a path, class=CLASS, id=VENDOR:PRODUCT, name=PART (joined by commas, name last)")]
    Form(String),
    /// No such class.
    #[error("there is no class `{0}`; there are keyboard, mouse, keyboard+mouse, tablet, keys")]
    Class(String),
    /// Not two numbers in hex.
    #[error("`{0}` is no VENDOR:PRODUCT in hex, as lsusb prints them (046d:c08b)")]
    Id(String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        if text == "auto" {
            return Ok(Rule::Auto);
        }
        if text.starts_with(['/', '.']) {
            return Ok(Rule::Path(PathBuf::from(text)));
        }
        let form = || RuleError::Form(text.to_owned());
        let (mut found, mut rest) = (Match::default(), text);
        while !rest.is_empty() {
            if let Some(name) = rest.strip_prefix("name=").filter(|name| !name.is_empty()) {
                found.name = Some(name.to_owned());
                break;
            }
            let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
            match part.split_once('=') {
                Some(("class", class)) => found.class = Some(class_named(class)?),
                Some(("id", id)) => found.id = Some(id_of(id).ok_or_else(|| RuleError::Id(id.to_owned()))?),
                _ => return Err(form()),
            }
            rest = after;
        }
        if found == Match::default() { Err(form()) } else { Ok(Rule::Match(found)) }
    }
}

fn class_named(name: &str) -> Result<Class, RuleError> {
    let classes = [Class::Keyboard, Class::Mouse, Class::Combined, Class::Tablet, Class::Keys];
    classes.into_iter().find(|class| class.name() == name).ok_or_else(|| RuleError::Class(name.to_owned()))
}

fn id_of(text: &str) -> Option<(u16, u16)> {
    let (vendor, product) = text.split_once(':')?;
    let number = |text: &str| u16::from_str_radix(text, 16).ok().filter(|_| text.len() <= 4);
    Some((number(vendor)?, number(product)?))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Auto => f.write_str("auto"),
            Rule::Path(path) => write!(f, "{}", path.display()),
            Rule::Match(Match { class, id, name }) => {
                let class = class.map(|class| format!("class={}", class.name()));
                let id = id.map(|(vendor, product)| format!("id={vendor:04x}:{product:04x}"));
                let name = name.as_ref().map(|name| format!("name={name}"));
                f.write_str(&[class, id, name].into_iter().flatten().collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Rule {
    /// Whether the rule means the device. `node_of` gives the name of the node that a path leads to.
    pub fn means(&self, device: &Facts, node_of: &dyn Fn(&Path) -> Option<String>) -> bool {
        // What is written to our own devices would come in again.
        if device.is_ours() || !device.class.is_readable() {
            return false;
        }
        match self {
            Rule::Auto => device.class != Class::Keys && !device.is_virtual(),
            Rule::Path(path) => node_of(path).is_some_and(|node| node == device.node),
            Rule::Match(Match { class, id, name }) => {
                class.is_none_or(|class| class == device.class)
                    && id.is_none_or(|id| id == (device.vendor, device.product))
                    && name.as_ref().is_none_or(|name| device.name.to_lowercase().contains(&name.to_lowercase()))
            }
        }
    }
}

/// The name of the node that `path` leads to, through links. Looks at the disk.
pub fn node_of(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    Some(real.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::desk;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_are_read_and_written_alike() {
        for text in [
            "auto",
            "/dev/input/by-id/usb-a-event-kbd",
            "name=Logitech, of course",
            "id=046d:c08b",
            "class=mouse",
            "class=keyboard+mouse,id=0001:00ff,name=a=b",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!("id=46d:C08B".parse::<Rule>().unwrap().to_string(), "id=046d:c08b");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in
            ["", "event3", "name=", "class=lid", "class=touchpad", "id=046d", "id=x:1", "id=12345:1", "class=mouse,x"]
        {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_means_the_devices_that_it_says() {
        let sys = tempfile::tempdir().unwrap();
        desk(sys.path());
        let all = Facts::all(sys.path());
        for (text, nodes) in [
            ("auto", &["event3", "event4", "event6", "event10"][..]),
            ("id=046d:c08b", &["event4", "event10"]),
            ("id=046d:c08b,class=mouse", &["event10"]),
            ("name=g502", &["event4", "event10"]),
            ("class=keys", &["event0"]),
            ("name=touch", &[]),
            ("name=frame-rx", &[]),
            ("/dev/input/by-id/x", &["event3"]),
            ("./y", &[]),
        ] {
            let rule: Rule = text.parse().unwrap();
            let node_of = |path: &Path| path.ends_with("by-id/x").then(|| "event3".to_owned());
            let meant: Vec<_> = all.iter().filter(|f| rule.means(f, &node_of)).map(|f| f.node.as_str()).collect();
            assert_eq!(meant, nodes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_that_is_written_as_it_was_read_or_none(text in "(class=|id=|name=|[a-f0-9:,=/.+ ]){0,6}") {
            if let Ok(rule) = text.parse::<Rule>() {
                prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
            }
        }
    }
}
