//! Where the sound comes from, by flags and settings file: shared memory, the network, or whichever speaks. Flags that the
//! reference receiver has keep their meaning; a source that is typed is above one that stands in the file.

use crate::intake::socket::Listen;
use crate::settings::DEFAULT_FILE;
use clap::Args;
use rx_host::settings::{About, Layers, SettingsError, Value};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

/// The group and port that the driver sends to if nobody says. Source: the wire reference of Scream 4.0, section 3.2.
pub const DEFAULT_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 77);
/// See [`DEFAULT_GROUP`].
pub const DEFAULT_PORT: u16 = 4010;

/// Where the sound comes from, as it is typed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sound from the network")]
pub struct NetworkArgs {
    /// Play datagrams: those sent to a group, or to an address of this host [default: 239.255.77.77:4010, the driver's]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["file", "memory"])]
    pub udp: Option<UdpAddress>,
    /// Play whichever speaks: shared memory, or datagrams if the guest cannot reach it
    #[arg(long, conflicts_with = "udp")]
    pub auto: bool,
    /// Play datagrams sent to this host alone, not to a group
    #[arg(short, long, hide_short_help = true)]
    pub unicast: bool,
    /// The port of the datagrams; with a FILE it has no meaning, as with the reference receiver [default: 4010, the driver's]
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true)]
    pub port: Option<u16>,
    /// The interface of the datagrams, by name or address [default: for a group all of them; the reference receiver takes
    /// one, which need not be the guest's]
    #[arg(short, long, value_name = "INTERFACE", hide_short_help = true)]
    pub interface: Option<String>,
    /// The group of the datagrams [default: 239.255.77.77, the driver's]
    #[arg(short, long, value_name = "GROUP", hide_short_help = true)]
    pub group: Option<Ipv4Addr>,
}

impl NetworkArgs {
    /// Whether any of them asks for datagrams.
    fn asks(&self) -> bool {
        self.udp.is_some() || self.unicast || self.port.is_some() || self.interface.is_some() || self.group.is_some()
    }
}

/// What the settings file says of it.
#[derive(Clone, Debug, Default)]
pub struct OriginLow {
    /// `file` or `memory`.
    pub file: Option<PathBuf>,
    /// `udp`.
    pub udp: Option<UdpAddress>,
    /// `auto`.
    pub auto: Option<bool>,
    /// `unicast`.
    pub unicast: Option<bool>,
    /// `port`.
    pub port: Option<u16>,
    /// `interface`.
    pub interface: Option<String>,
    /// `group`.
    pub group: Option<String>,
}

/// An address of datagrams; what was not said is left open. `true` in a settings file is one that says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpAddress {
    ip: Option<Ipv4Addr>,
    port: Option<u16>,
}

impl FromStr for UdpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<UdpAddress, String> {
        let (ip, port) = match text.rsplit_once(':') {
            Some((ip, port)) => (ip, Some(port)),
            None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => ("", Some(text)),
            None => (text, None),
        };
        let wrong = || format!("`{text}` is no address such as 239.255.77.77:4010");
        let port = port.map(|p| p.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)).transpose()?;
        let ip = (!ip.is_empty()).then(|| ip.parse().map_err(|_| wrong())).transpose()?;
        Ok(UdpAddress { ip, port })
    }
}

impl fmt::Display for UdpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ip.unwrap_or(DEFAULT_GROUP), self.port.unwrap_or(DEFAULT_PORT))
    }
}

impl<'de> Deserialize<'de> for UdpAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<UdpAddress, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = UdpAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or an address such as \"239.255.77.77:4010\"")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<UdpAddress, E> {
                if on { Ok(UdpAddress::default()) } else { Err(E::custom("udp is true, an address, or left out")) }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UdpAddress, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Read)
    }
}

/// Which ways are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Shared memory alone: no socket is opened.
    Memory,
    /// The network alone.
    Network,
    /// Both: whichever speaks.
    Auto,
}

/// Where the sound comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which ways are open.
    pub ways: Ways,
    /// The shared memory's file.
    pub file: PathBuf,
    /// The datagrams.
    pub listen: Listen,
}

impl Origin {
    /// What the user calls it, in a word or two.
    pub fn label(&self) -> PathBuf {
        match self.ways {
            Ways::Memory | Ways::Auto => self.file.clone(),
            Ways::Network => PathBuf::from(self.address().to_string()),
        }
    }

    /// Where datagrams are sent to.
    pub fn address(&self) -> SocketAddrV4 {
        self.listen.address()
    }
}

const FILE: About = About { name: "file", why: "the name in most guides" };
const UDP: About = About { name: "udp", why: "shared memory is what most guests write" };
const AUTO: About = About { name: "auto", why: "no port is opened unless it is asked for" };
const UNICAST: About = About { name: "unicast", why: "the driver sends to a group" };
const PORT: About = About { name: "port", why: "the driver's own" };
const INTERFACE: About = About { name: "interface", why: "a group is joined on all of them" };
const GROUP: About = About { name: "group", why: "the driver's own" };

/// Brings flags and file together. `as_reference`: the program was called by the reference receiver's name, which plays
/// datagrams unless a file is named.
///
/// # Errors
/// [`SettingsError::NotAllowed`].
pub fn origin(
    l: &mut Layers,
    file: Option<PathBuf>,
    args: &NetworkArgs,
    low: &OriginLow,
    as_reference: bool,
) -> Result<Origin, SettingsError> {
    let typed_file = file.is_some();
    // Whoever types a source does not want the file's, even where they could go together.
    let typed = typed_file || args.auto || args.asks();
    let low_asks = low.udp.is_some()
        || low.unicast == Some(true)
        || [low.port.is_some(), low.interface.is_some(), low.group.is_some()].contains(&true);
    let ways = match () {
        () if args.auto => Ways::Auto,
        () if typed_file => Ways::Memory,
        () if args.asks() => Ways::Network,
        () if low.auto == Some(true) => Ways::Auto,
        () if low.file.is_some() => Ways::Memory,
        () if low_asks => Ways::Network,
        () if as_reference => Ways::Auto,
        () => Ways::Memory,
    };
    let path = l.pick(&FILE, file, low.file.clone(), PathBuf::from(DEFAULT_FILE));
    l.pick_switch(&AUTO, args.auto, low.auto.filter(|_| !typed));
    let udp = l.pick_optional(&UDP, args.udp.map(Shown), low.udp.filter(|_| !typed).map(Shown)).map(|s| s.0);
    let unicast = l.pick_switch(&UNICAST, args.unicast, low.unicast);
    let port = l.pick_optional(&PORT, args.port, low.port);
    if let Some(port) = port {
        l.check(&PORT, &port, port > 0, || "1 to 65535")?;
    }
    let interface = l.pick_optional(&INTERFACE, args.interface.clone(), low.interface.clone());
    if let Some(name) = &interface {
        l.check(&INTERFACE, name, !name.is_empty() && !name.chars().any(char::is_control), || "a name or an address")?;
    }
    let group = l.pick_optional(&GROUP, args.group.map(|g| g.to_string()), low.group.clone());
    let group = match group {
        Some(text) => {
            let parsed = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
            l.check(&GROUP, &text, parsed.is_some(), || "224.0.0.0 to 239.255.255.255")?;
            parsed
        }
        None => None,
    };
    let listen = listen(udp.unwrap_or_default(), unicast, port, interface, group, ways);
    Ok(Origin { ways, file: path, listen })
}

fn listen(
    udp: UdpAddress,
    unicast: bool,
    port: Option<u16>,
    interface: Option<String>,
    group: Option<Ipv4Addr>,
    ways: Ways,
) -> Listen {
    let port = udp.port.or(port).unwrap_or(DEFAULT_PORT);
    let wanted = udp.ip.or(group).unwrap_or(if unicast { Ipv4Addr::UNSPECIFIED } else { DEFAULT_GROUP });
    let group = wanted.is_multicast().then_some(wanted).filter(|_| !unicast);
    // Whichever speaks may also speak to this host alone, if nobody said to whom.
    let any = unicast && wanted.is_multicast() || (ways == Ways::Auto && udp.ip.is_none());
    let local = SocketAddrV4::new(if any { Ipv4Addr::UNSPECIFIED } else { wanted }, port);
    Listen { local, group, interface }
}

/// An address, as reports show it.
struct Shown(UdpAddress);

impl Value for Shown {
    fn show(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        for (text, shown) in [
            ("", "239.255.77.77:4010"),
            ("239.1.2.3:5000", "239.1.2.3:5000"),
            ("239.1.2.3", "239.1.2.3:4010"),
            (":5000", "239.255.77.77:5000"),
            ("5000", "239.255.77.77:5000"),
            ("192.168.122.1:4011", "192.168.122.1:4011"),
        ] {
            assert_eq!(text.parse::<UdpAddress>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["x", "239.1.2.3:0", "239.1.2.3:70000", "1.2.3", "::1", "239.1.2.3:"] {
            let e = text.parse::<UdpAddress>().unwrap_err();
            assert!(e.contains("no address"), "{text}: {e}");
        }
    }
}
