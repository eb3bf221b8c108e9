//! Which device a user means: by its name, by its name for people, or by a part of either that only one has. Pure.

use rx_host::nearest;

/// What a device is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called<'a> {
    /// By machines; what `-d` shows.
    pub name: &'a str,
    /// By people.
    pub description: &'a str,
}

/// How many names a hint shows.
const SHOWN: usize = 5;

/// The place of the device that `wanted` means among `known`.
///
/// # Errors
/// The names that come nearest, in one line, if none is meant or several could be.
pub fn choose(wanted: &str, known: &[Called<'_>]) -> Result<usize, String> {
    let folded = wanted.to_lowercase();
    let rules: [&dyn Fn(&Called<'_>) -> bool; 3] =
        [&|c| c.name == wanted, &|c| c.description.to_lowercase() == folded, &|c| {
            c.name.to_lowercase().contains(&folded) || c.description.to_lowercase().contains(&folded)
        }];
    for rule in rules {
        let mut fitting = known.iter().enumerate().filter(|(_, c)| rule(c)).map(|(i, _)| i);
        if let (Some(one), None) = (fitting.next(), fitting.next()) {
            return Ok(one);
        }
    }
    // Like either of its two names; the name is what can be typed.
    let both: Vec<&str> = known.iter().flat_map(|c| [c.name, c.description]).collect();
    let mut names = Vec::new();
    for like in nearest::by_likeness(wanted, &both) {
        let name = known.iter().find(|c| c.name == like || c.description == like).map_or(like, |c| c.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(SHOWN);
    Err(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Called<'static>; 3] = [
        Called { name: "alsa_output.pci-0000_0b.analog-stereo", description: "Starship HD Audio Analog Stereo" },
        Called { name: "alsa_output.usb-Focusrite_Scarlett.analog-stereo", description: "Scarlett 2i2 USB" },
        Called { name: "alsa_output.pci-0000_0b.hdmi-stereo", description: "Navi HDMI" },
    ];

    #[test]
    fn a_device_is_found_by_name_description_or_a_part_that_only_it_has() {
        for (wanted, found) in [
            ("alsa_output.pci-0000_0b.hdmi-stereo", Some(2)),
            ("scarlett 2i2 usb", Some(1)),
            ("Scarlett", Some(1)),
            ("hdmi", Some(2)),
            ("analog-stereo", None),
            ("trumpet", None),
            ("", None),
        ] {
            assert_eq!(choose(wanted, &KNOWN).ok(), found, "{wanted}");
        }
    }

    #[test]
    fn a_miss_names_the_nearest_first_and_never_a_hundred() {
        let hint = choose("alsa_output.usb-Focusrite_Scarlet.analog-stereo", &KNOWN).unwrap_err();
        assert!(hint.starts_with("alsa_output.usb-Focusrite_Scarlett"), "{hint}");
        assert!(choose("Navy HDMI", &KNOWN).unwrap_err().starts_with(KNOWN[2].name), "by its description too");
        let names: Vec<String> = (0..300).map(|n| format!("sink{n}")).collect();
        let many: Vec<Called<'_>> = names.iter().map(|n| Called { name: n, description: n }).collect();
        assert_eq!(choose("sonk7", &many).unwrap_err().split(", ").count(), SHOWN);
        assert_eq!(choose("x", &[]), Err(String::new()));
    }
}
