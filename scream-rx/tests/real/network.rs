//! Datagrams at a real socket, in ways that the loopback alone does not have: a host on one network by two interfaces, and
//! settings that change how the same port is listened to.

use crate::doctor::datagram;
use crate::rig::{Running, alone, has_own_network, scream_rx, until};
use rustix::net::sockopt::set_ip_multicast_if;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

const GROUP: &str = "239.255.77.77";
/// The pace of a guest: 48 kHz, 16 bit, stereo.
const DATAGRAM: Duration = Duration::from_millis(6);

/// Set in the process that sends within a network of its own.
const SENDER: &str = "SCREAM_RX_TEST_TWICE";

#[test]
fn a_sender_that_is_heard_by_two_interfaces() {
    if std::env::var_os(SENDER).is_none() {
        return;
    }
    let socket = UdpSocket::bind("10.9.8.1:0").unwrap();
    let mut due = Instant::now();
    loop {
        // What is sent to a group comes back by the interface that it was sent by: one datagram, by both.
        for interface in [Ipv4Addr::new(10, 9, 8, 1), Ipv4Addr::LOCALHOST] {
            set_ip_multicast_if(&socket, &interface).unwrap();
            let _ = socket.send_to(&datagram(), (GROUP, 4010));
        }
        due += DATAGRAM;
        // The pace of a guest; the test ends this process.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn a_datagram_that_comes_by_two_interfaces_is_played_once() {
    let _alone = alone();
    if !has_own_network() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let stats = home.path().join("stats.json");
    let script = "set -e
        ip link set lo up; ip link add near type veth peer name far
        ip addr add 10.9.8.1/24 dev near; ip link set near up; ip link set far up
        \"$TEST\" --exact network::a_sender_that_is_heard_by_two_interfaces >/dev/null 2>&1 &
        \"$PROGRAM\" --udp -o null --seconds 4 --stats \"$HOME/stats.json\" && code=0 || code=$?
        kill $!
        exit $code";
    let mut command = Command::new("unshare");
    crate::rig::clean(&mut command, home.path());
    command.args(["--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.args(["sh", "-c", script]).env(SENDER, "1");
    command.env("TEST", std::env::current_exe().unwrap()).env("PROGRAM", env!("CARGO_BIN_EXE_scream-rx"));
    let mut player = Running::start(&mut command, &home.path().join("player.log"));
    assert_eq!(player.end().code(), Some(0), "{}", player.err());
    assert!(player.err().contains("on 127.0.0.1, 10.9.8.1"), "joined on both: {}", player.err());
    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&stats).unwrap()).unwrap();
    let (received, run_ms) =
        (figures["datagrams_received"].as_f64().unwrap(), figures["run_time_ms"].as_f64().unwrap());
    println!("{received} datagrams in {run_ms} ms");
    // Half of them at least, on a busy machine; all of them twice would be more than one every 6 ms.
    let sent = run_ms / 6.0;
    assert!(received > sent / 2.0 && received < sent * 1.05 + 5.0, "{received} of {sent}: {figures}");
    for none in ["datagrams_of_others", "junk_corrupt"] {
        assert_eq!(figures[none], 0, "{none}: {figures}");
    }
    assert_eq!(figures["streams"], 1, "{figures}");
}

/// Ways of listening on one port that shut each other out, one after the other.
#[test]
fn settings_that_change_how_the_same_port_is_listened_to_are_applied_at_once() {
    let _alone = alone();
    for supervised in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let write = |text: &str| {
            std::fs::write(path("c.toml"), format!("output = \"null\"\nport = {port}\n{text}\n")).unwrap();
        };
        write("unicast = true");
        let mut command = scream_rx(home.path());
        command.arg("--config").arg(path("c.toml"));
        let _service = supervised.then(|| UnixDatagram::bind(path("notify")).unwrap());
        if supervised {
            command.env("NOTIFY_SOCKET", path("notify"));
        }
        let mut player = Running::start(&mut command, &path("player.log"));
        hear(&player, "127.0.0.1", port, 1);
        for (n, (settings, to)) in [
            ("udp = true\ninterface = \"lo\"", GROUP),
            ("unicast = true", "127.0.0.1"),
            ("unicast = true\ninterface = \"lo\"", "127.0.0.1"),
            ("auto = true\nfile = \"/dev/shm/nosuch\"\ninterface = \"lo\"", GROUP),
        ]
        .into_iter()
        .take(if supervised { 2 } else { 4 })
        .enumerate()
        {
            write(settings);
            until(settings, || (said(&player, "the settings changed: applied") > n).then_some(()));
            hear(&player, to, port, n + 2);
        }
        player.signal("TERM");
        assert_eq!(player.end().code(), Some(0), "{}", player.err());
        for words in ["cannot be used", "cannot listen"] {
            assert_eq!(said(&player, words), 0, "{supervised}: {}", player.err());
        }
    }
}

fn said(player: &Running, words: &str) -> usize {
    player.err().matches(words).count()
}

/// Sends to `to` until the receiver has said `times` times that somebody plays.
fn hear(player: &Running, to: &str, port: u16, times: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    set_ip_multicast_if(&socket, &Ipv4Addr::LOCALHOST).unwrap();
    until("sound from the network", || {
        let _ = socket.send_to(&datagram(), (to, port));
        (said(player, "the guest plays") >= times).then_some(())
    });
}
