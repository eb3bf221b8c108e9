//! Whether Scream's datagrams reach programs on this machine: nobody sends, two send, or something in between drops
//! them. A firewall cannot be asked by a user; but packets of Scream's size that a network card counts and no socket gets
//! were dropped by somebody. Where a receiver has the port already, it is asked what it counts.

use crate::intake::socket::{Listen, ListenError, Socket};
use crate::status::{self, Report};
use core::time::Duration;
use rx_host::doctor::Finding;
use rx_host::{clock, wait};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;

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

/// What helps where nothing comes.
const PLAY_SOMETHING: &str = "play something in the guest (UseIVSHMEM must be 0 there); QEMU's user network carries no \
                              multicast: set UnicastIPv4 to this machine's address";
/// What helps where two send.
const ONE_PORT_EACH: &str =
    "only one is played; give the others another port (UnicastPort in the guest's registry), and each its receiver";

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

/// What the receiver that has the port counted.
#[derive(Clone, Debug, Default)]
struct Told {
    /// The name by which it can be asked.
    instance: String,
    /// Datagrams that it played, since it was started.
    so_far: u64,
    /// Datagrams that it played, while it was watched.
    played: u64,
    /// Those of other senders, which it left out meanwhile.
    left_out: u64,
    /// Those that are not Scream's, meanwhile.
    others: u64,
    /// See [`Heard`].
    cards: Vec<(String, u64, u64)>,
}

/// Listens as a receiver with these settings would. `label`: what such a receiver says that its sound comes from.
///
/// Blocks for two seconds; for as long again as receivers that run take to answer.
pub fn check(listen: &Listen, label: &Path) -> Finding {
    let address = listen.address();
    match hear(listen) {
        Ok(heard) => judge(address, &heard),
        Err(ListenError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            match watch(address.port(), label) {
                Some(told) => judge_told(address, &told),
                None => Finding::ok("network", format!("a receiver listens on port {} already", address.port())),
            }
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
    heard.cards = cards_since(&before);
    Ok(heard)
}

/// Watches the receiver that has the port count; nothing if none of this user's is known to have it.
fn watch(port: u16, label: &Path) -> Option<Told> {
    let label = label.display().to_string();
    let text = |report: &Report, name: &str| report.get(name).and_then(|x| x.as_str()).unwrap_or_default().to_owned();
    let has_it = |report: &Report| {
        let source = text(report, "source");
        source == label || source.parse::<SocketAddrV4>().is_ok_and(|address| address.port() == port)
    };
    let before = cards();
    let first = status::reports().into_iter().find(has_it)?;
    let _ = clock::sleep_until(clock::now() + LISTENED);
    let instance = text(&first, "instance");
    let last = status::reports().into_iter().find(|report| text(report, "instance") == instance)?;
    let count = |report: &Report, name: &str| report.get(name).and_then(|x| x.as_u64()).unwrap_or(0);
    let grown = |name: &str| count(&last, name).saturating_sub(count(&first, name));
    Some(Told {
        instance,
        so_far: count(&last, "datagrams_received"),
        played: grown("datagrams_received"),
        left_out: grown("datagrams_of_others"),
        others: ["junk_too_short", "junk_too_long", "junk_named", "junk_corrupt"].map(grown).iter().sum(),
        cards: cards_since(&before),
    })
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

/// What each card received since `before`.
fn cards_since(before: &BTreeMap<String, (u64, u64)>) -> Vec<(String, u64, u64)> {
    let grown = |(name, (packets, bytes)): (String, (u64, u64))| {
        let (p, b) = before.get(&name).copied().unwrap_or_default();
        (name, packets.saturating_sub(p), bytes.saturating_sub(b))
    };
    cards().into_iter().map(grown).collect()
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
            ONE_PORT_EACH,
        );
    }
    if let Some(filtered) = filtered(&heard.cards, port) {
        return filtered;
    }
    if heard.others > 0 {
        return Finding::warn(
            name,
            format!("{} datagrams that are not Scream's reached port {port}", heard.others),
            PLAY_SOMETHING,
        );
    }
    Finding::warn(name, format!("nothing came to {address} in {} s", LISTENED.as_secs()), PLAY_SOMETHING)
}

fn judge_told(address: SocketAddrV4, told: &Told) -> Finding {
    let (name, port, s) = ("network", address.port(), LISTENED.as_secs());
    let Told { instance, so_far, played, left_out, others, cards } = told;
    let listens = format!("a receiver listens on port {port} already (scream-rx status {instance})");
    // A guest that opens its next stream leaves out a few of its own.
    if *left_out >= MIN_PACKETS {
        let found =
            format!("{listens}: it plays one sender ({played} datagrams in {s} s) and leaves others out ({left_out})");
        return Finding::warn(name, found, ONE_PORT_EACH);
    }
    if *played > 0 {
        return Finding::ok(name, format!("{listens}, and {played} datagrams came in {s} s"));
    }
    if let Some(filtered) = filtered(cards, port) {
        return filtered;
    }
    match (others, so_far) {
        (1.., _) => Finding::warn(name, format!("{listens}: {others} datagrams are not Scream's"), PLAY_SOMETHING),
        (0, 0) => Finding::warn(name, format!("{listens}, and nothing came so far"), PLAY_SOMETHING),
        _ => Finding::ok(name, format!("{listens}; nothing came in {s} s, {so_far} datagrams before")),
    }
}

/// Packets of Scream's size that came in, where nothing reached the port.
fn filtered(cards: &[(String, u64, u64)], port: u16) -> Option<Finding> {
    let suspect = cards.iter().find(|(name, packets, bytes)| {
        name != "lo" && *packets >= MIN_PACKETS && PACKET_BYTES.contains(&(bytes / packets))
    });
    let (card, packets, _) = suspect?;
    Some(Finding::bad(
        "network",
        format!("filtered: {packets} packets of Scream's size came in at {card}, and none reached port {port}"),
        format!(
            "let them in: sudo ufw allow {port}/udp, or sudo firewall-cmd --add-port={port}/udp; or the sender's address \
             has no route back: sudo sysctl net.ipv4.conf.{card}.rp_filter=2"
        ),
    ))
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
    fn what_a_receiver_counts_tells_the_same() {
        let quiet = Told { instance: "main".into(), ..Told::default() };
        let dropped = vec![("br0".to_owned(), 333, 399_267)];
        for (told, health, words) in [
            (quiet.clone(), Health::Warn, "already (scream-rx status main), and nothing came so far"),
            (Told { so_far: 9, ..quiet.clone() }, Health::Ok, "nothing came in 2 s, 9 datagrams before"),
            (Told { so_far: 500, played: 333, left_out: 20, ..quiet.clone() }, Health::Ok, "333 datagrams came in 2 s"),
            (Told { played: 333, left_out: 300, ..quiet.clone() }, Health::Warn, "leaves others out (300)"),
            (Told { others: 4, ..quiet.clone() }, Health::Warn, "4 datagrams are not Scream's"),
            (Told { cards: dropped.clone(), ..quiet.clone() }, Health::Bad, "filtered: 333 packets"),
            (Told { cards: dropped, played: 333, ..quiet }, Health::Ok, "333 datagrams came"),
        ] {
            let finding = judge_told(GROUP, &told);
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
