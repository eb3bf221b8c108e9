//! Whether Scream's datagrams reach programs on this machine: nobody sends, two send, or something in between drops
//! them. A firewall cannot be asked by a user; but packets of Scream's size that a network card counts and no socket gets
//! were dropped by somebody.

use crate::intake::socket::{Listen, ListenError, Socket};
use core::time::Duration;
use rx_host::doctor::Finding;
use rx_host::{clock, wait};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

/// How long is listened. The rarest stream has 83 datagrams a second.
const LISTENED: Duration = Duration::from_secs(2);
/// Senders that are told apart; more are a flood.
const MAX_SENDERS: usize = 16;
/// Datagrams that are looked at, so that a flood ends.
const MAX_DATAGRAMS: u32 = 20_000;
/// Bytes of a packet with a datagram of the Windows driver: 1157, UDP 8, IP 20, Ethernet 14. Source: the wire reference, 3.1.
/// Other traffic moves the mean, within these limits.
const PACKET_BYTES: core::ops::RangeInclusive<u64> = 1_050..=1_300;
/// Packets in the time listened that are no accident: half of the rarest stream's.
const MIN_PACKETS: u64 = 80;

/// What was heard.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// How many of Scream's datagrams came from whom.
    senders: BTreeMap<IpAddr, u32>,
    /// Datagrams that are not Scream's.
    others: u32,
    /// What came in meanwhile at each card: packets, bytes.
    cards: Vec<(String, u64, u64)>,
}

/// Listens as a receiver with these settings would.
///
/// Blocks for two seconds.
pub fn check(listen: &Listen) -> Finding {
    let address = listen.address();
    match hear(listen) {
        Ok(heard) => judge(address, &heard),
        Err(ListenError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            Finding::ok("network", format!("a receiver listens on port {} already", address.port()))
        }
        Err(e) => {
            let hint = e.hint();
            let because = e.source().map_or(String::new(), |cause| format!(" ({cause})"));
            Finding::bad("network", format!("{e}{because}"), hint)
        }
    }
}

fn hear(listen: &Listen) -> Result<Heard, ListenError> {
    // The last of several sockets that share a port gets what is sent to this host alone: a receiver that listens there would
    // go without for as long as we look. A group's own address is no such place.
    if listen.group.is_some() && !listen.local.ip().is_multicast() {
        UdpSocket::bind(listen.local).map_err(|source| ListenError::Bind { local: listen.local, source })?;
    }
    let mut socket = Socket::open(listen)?;
    let mut heard = Heard::default();
    let before = cards();
    let until = clock::now() + LISTENED;
    let mut bytes = [0; 2048];
    for _ in 0..MAX_DATAGRAMS {
        if clock::now() >= until {
            break;
        }
        let Some(received) = socket.receive(&mut bytes) else {
            wait::until([socket.as_fd()], until);
            continue;
        };
        let from = IpAddr::V4(*received.sender.ip());
        let known = heard.senders.len() < MAX_SENDERS || heard.senders.contains_key(&from);
        if is_scream(bytes.get(..received.bytes).unwrap_or_default()) && known {
            *heard.senders.entry(from).or_default() += 1;
        } else {
            heard.others += 1;
        }
    }
    let after = cards();
    heard.cards = after
        .into_iter()
        .map(|(name, (packets, all_bytes))| {
            let (p, b) = before.get(&name).copied().unwrap_or_default();
            (name, packets.saturating_sub(p), all_bytes.saturating_sub(b))
        })
        .collect();
    Ok(heard)
}

/// Whether a datagram has a header that makes sense, and something behind it. Source: the wire reference, 3.1 and 4.1.
fn is_scream(datagram: &[u8]) -> bool {
    match datagram {
        [rate, bits, channels, _, _, _, ..] => {
            rate & 0x7F != 0 && matches!(bits, 16 | 24 | 32) && (1..=8).contains(channels)
        }
        _ => false,
    }
}

/// What each network card received so far: packets and bytes.
fn cards() -> BTreeMap<String, (u64, u64)> {
    parse_cards(&std::fs::read_to_string("/proc/net/dev").unwrap_or_default())
}

fn parse_cards(text: &str) -> BTreeMap<String, (u64, u64)> {
    let card = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let mut counts = counts.split_ascii_whitespace();
        let bytes = counts.next()?.parse().ok()?;
        Some((name.trim().to_owned(), (counts.next()?.parse().ok()?, bytes)))
    };
    text.lines().filter_map(card).collect()
}

fn judge(address: SocketAddrV4, heard: &Heard) -> Finding {
    let name = "network";
    let port = address.port();
    let senders: Vec<String> = heard.senders.iter().map(|(ip, n)| format!("{ip} ({n} datagrams)")).collect();
    if let [sender] = &senders[..] {
        return Finding::ok(name, format!("Scream comes from {sender} in {} s", LISTENED.as_secs()));
    }
    if senders.len() > 1 {
        return Finding::warn(
            name,
            format!("{} senders at once: {}", senders.len(), senders.join(", ")),
            "only one is played; give the others another port (UnicastPort in the guest's registry), and each its receiver",
        );
    }
    let suspect = heard.cards.iter().find(|(name, packets, bytes)| {
        name != "lo" && *packets >= MIN_PACKETS && PACKET_BYTES.contains(&(bytes / packets))
    });
    if let Some((card, packets, _)) = suspect {
        return Finding::bad(
            name,
            format!("filtered: {packets} packets of Scream's size came in at {card}, and none reached port {port}"),
            format!(
                "let them in: sudo ufw allow {port}/udp, or sudo firewall-cmd --add-port={port}/udp; or the sender's \
                 address has no route back: sudo sysctl net.ipv4.conf.{card}.rp_filter=2"
            ),
        );
    }
    let fix = "play something in the guest (UseIVSHMEM must be 0 there); QEMU's user network carries no multicast: set \
               UnicastIPv4 to this machine's address";
    if heard.others > 0 {
        return Finding::warn(
            name,
            format!("{} datagrams that are not Scream's reached port {port}", heard.others),
            fix,
        );
    }
    Finding::warn(name, format!("nothing came to {address} in {} s", LISTENED.as_secs()), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::doctor::Health;
    use std::net::Ipv4Addr;

    const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, 77), 4010);

    #[test]
    fn each_cause_has_its_own_words() {
        let ip = |n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let card = |name: &str, packets, bytes| (name.to_owned(), packets, bytes);
        let quiet = Heard::default();
        let one = Heard { senders: [(ip(2), 300)].into(), ..quiet.clone() };
        let two = Heard { senders: [(ip(2), 300), (ip(3), 7)].into(), ..quiet.clone() };
        let junk = Heard { others: 9, ..quiet.clone() };
        let dropped = Heard { cards: vec![card("lo", 900, 1_079_100), card("br0", 333, 399_267)], ..quiet.clone() };
        let web = Heard { cards: vec![card("eth0", 9_000, 13_000_000), card("lo", 333, 399_267)], ..quiet.clone() };
        let few = Heard { cards: vec![card("eth0", 20, 23_980)], ..quiet.clone() };
        for (heard, health, words) in [
            (&quiet, Health::Warn, "nothing came to 239.255.77.77:4010"),
            (&one, Health::Ok, "from 10.0.0.2 (300 datagrams)"),
            (&two, Health::Warn, "2 senders at once: 10.0.0.2 (300 datagrams), 10.0.0.3 (7 datagrams)"),
            (&junk, Health::Warn, "9 datagrams that are not Scream's"),
            (&dropped, Health::Bad, "filtered: 333 packets of Scream's size came in at br0"),
            (&web, Health::Warn, "nothing came"),
            (&few, Health::Warn, "nothing came"),
        ] {
            let finding = judge(GROUP, heard);
            assert_eq!(finding.health, health, "{finding:?}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn a_datagram_is_screams_by_its_header_and_something_behind_it() {
        for (bytes, expected) in [
            (&[1, 16, 2, 3, 0, 0][..], true),
            (&[0x81, 32, 8, 63, 6, 1, 2], true),
            (&[1, 16, 2, 3, 0], false),
            (&[0, 16, 2, 3, 0, 0], false),
            (&[1, 17, 2, 3, 0, 0], false),
            (&[1, 16, 9, 3, 0, 0], false),
            (&[], false),
        ] {
            assert_eq!(is_scream(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_kernels_table_of_cards_is_read_and_nonsense_is_not() {
        let text =
            "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo:  100   2 0 0\n  br0: 5000 4 0 0\n x: a b\n";
        assert_eq!(parse_cards(text), [("br0".into(), (4, 5000)), ("lo".into(), (2, 100))].into());
        assert!(!cards().is_empty(), "this machine has one");
    }
}
