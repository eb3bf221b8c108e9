//! The doctor names the cause: each trouble is made for real, and its own words are looked for.

use crate::rig::{FileGuest, Running, SOON, alone, has, has_own_network, scream_rx};
use shm_proto::Region;
use shm_proto::guest_sim::sound::SoundGuest;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the doctor found of one thing: how well it is, what was found, what to do. Nothing: it did not speak of it.
fn finding(command: &mut Command, name: &str) -> Option<(String, String, String)> {
    let done = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&done.stderr)));
    let found = report["findings"].as_array().unwrap().iter().find(|f| f["name"] == name)?.clone();
    let bad = report["findings"].as_array().unwrap().iter().any(|f| f["health"] == "bad");
    assert_eq!(done.status.code(), Some(if bad { 2 } else { 0 }), "the exit code tells it too");
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("health"), text("found"), text("fix")))
}

fn doctor(home: &Path, file: &Path) -> Command {
    let mut command = scream_rx(home);
    command.args(["doctor", "--json"]).arg(file);
    command
}

fn told(command: &mut Command, name: &str, health: &str, found: &str, fix: &str) {
    let (h, f, x) = finding(command, name).unwrap_or_else(|| panic!("nothing about {name}"));
    println!("{name}: {h}: {f} -> {x}");
    assert!(h == health && f.contains(found) && x.contains(fix), "{name}: {h}: {f} -> {x}");
}

/// Whether the tests run as root, who sees every process and may open everything.
fn is_root(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).unwrap().uid() == 0
}

#[test]
fn a_file_that_is_not_there_or_is_looking_glasss() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("region");
    told(&mut doctor(home.path(), &file), "region", "warn", "is not there yet", "start the VM");
    std::fs::write(&file, [b"LGMP".as_slice(), &6u32.to_le_bytes(), &[0; 1 << 16]].concat()).unwrap();
    told(&mut doctor(home.path(), &file), "content", "bad", "Looking Glass (LGMP 6) instead of sound", "frame-rx");
    assert_eq!(finding(&mut doctor(home.path(), &file), "guest"), None, "nothing is said of a stream there");
}

#[test]
fn a_guest_that_plays_one_that_never_wrote_and_a_file_that_was_deleted() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("region");
    // A VM has it mapped, and its driver never gets at it.
    let region = Region::create(&file, 2 << 20).unwrap();
    told(&mut doctor(home.path(), &file), "guest", "warn", "no stream was ever opened", "try 0.1-161");
    told(&mut doctor(home.path(), &file), "guest", "warn", "has the file mapped", "UseIVSHMEM = 2");
    drop(region);
    std::fs::remove_file(&file).unwrap();
    let guest = FileGuest::start(&file, SoundGuest::builder());
    let deadline = Instant::now() + SOON;
    while finding(&mut doctor(home.path(), &file), "guest").is_none_or(|f| !f.1.contains("sound is being written")) {
        assert!(Instant::now() < deadline, "in vain: a guest that plays");
    }
    // Deleted and made anew while the VM runs: it writes into the old one.
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    told(&mut doctor(home.path(), &file), "guest", "bad", "dead file", "restart the VM");
    drop(guest);
    // The VM has ended; what it wrote is still there. A QEMU of another user's, if there is one, might have it.
    let (_, found, _) = finding(&mut doctor(home.path(), &file), "guest").unwrap();
    assert!(found.contains("dead file: a stream was left behind") || !is_root(home.path()), "{found}");
}

#[test]
fn no_sound_server_and_nothing_else_to_play_on() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("asound.conf");
    std::fs::write(&empty, "").unwrap();
    let mut command = doctor(home.path(), &home.path().join("region"));
    command.env("PULSE_SERVER", format!("unix:{}/none", home.path().display())).env("ALSA_CONFIG_PATH", &empty);
    told(&mut command, "sound server", "warn", "no sound server answers", "systemctl --user start pipewire-pulse");
    told(&mut command, "sound", "bad", "nothing to play on", "start a sound server");
}

#[test]
fn no_permission() {
    let home = tempfile::Builder::new().prefix("rx-doctor").tempdir_in("/dev/shm").unwrap();
    let file = home.path().join("region");
    std::fs::write(&file, [0; 1 << 16]).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = doctor(home.path(), &file);
    if is_root(home.path()) {
        if !has("setpriv") {
            return;
        }
        // As somebody else, who needs a program that everybody may run.
        let program = home.path().join("scream-rx");
        // In a process of its own: whatever this one has open for writing goes to the children of other tests, too, and a
        // program that somebody may write into cannot be started.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_scream-rx")).arg(&program).status().unwrap();
        assert!(copied.success());
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command = Command::new("setpriv");
        crate::rig::clean(&mut command, home.path());
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
        command.args(["doctor", "--json"]).arg(&file);
    }
    told(&mut command, "region", "bad", "permission", "");
}

/// A datagram as the Windows driver sends it: 48 kHz, 16 bit, stereo.
pub fn datagram() -> Vec<u8> {
    let mut bytes = vec![0; 1157];
    bytes[..5].copy_from_slice(&[1, 16, 2, 3, 0]);
    bytes
}

/// What `look` gives while each of these sends as a guest does.
fn while_all_send<T>(senders: &[UdpSocket], look: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                senders.iter().for_each(|s| drop(s.send(&datagram())));
                // The pace of a guest, not a wait for anything.
                std::thread::sleep(Duration::from_millis(6));
            }
        });
        let found = look();
        done.store(true, Ordering::Relaxed);
        found
    })
}

#[test]
fn two_senders_and_one_and_a_port_that_is_taken() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    // Before the port is free: they could get that one.
    let senders = ["127.0.0.1", "127.0.0.2"].map(|own| {
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.connect(address).unwrap();
        socket
    });
    drop(port);
    let listen = |senders: &[UdpSocket]| {
        let mut command = doctor(home.path(), Path::new("/none"));
        while_all_send(senders, || finding(command.args(["--udp", &address.to_string()]), "network").unwrap())
    };
    let (health, found, _) = listen(&senders[..1]);
    assert!(health == "ok" && found.contains("comes from 127.0.0.1"), "{found}");
    let (health, found, fix) = listen(&senders);
    assert!(health == "warn" && found.contains("2 senders at once: 127.0.0.1"), "{found}");
    assert!(found.contains("127.0.0.2") && fix.contains("UnicastPort"), "{found} {fix}");
    let (health, found, _) = listen(&[]);
    assert!(health == "warn" && found.contains("nothing came"), "{found}");
    let _taken = UdpSocket::bind(("0.0.0.0", address.port())).unwrap();
    let (health, found, _) = listen(&[]);
    assert!(health == "ok" && found.contains("listens on port"), "{found}");
}

#[test]
fn what_the_settings_name_is_what_is_examined() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = home.path().join("c.toml");
    let examine = |toml: &str| {
        std::fs::write(&settings, toml).unwrap();
        let mut command = scream_rx(home.path());
        command.args(["doctor", "--json", "--config"]).arg(&settings);
        let names = ["region", "network"].map(|name| finding(&mut command, name));
        println!("{toml}: {names:?}");
        names
    };
    let [region, network] = examine(&format!("udp = \"127.0.0.1:{port}\"\n"));
    assert_eq!(region, None, "nobody asked for the memory");
    assert!(network.unwrap().1.contains(&format!("nothing came to 127.0.0.1:{port}")));
    let [region, network] = examine(&format!("auto = true\nport = {port}\nfile = \"/dev/shm/nosuch\"\n"));
    assert!(region.unwrap().1.contains("nosuch"));
    assert!(network.unwrap().1.contains(&format!("nothing came to 239.255.77.77:{port}")));
    // A receiver that takes whichever speaks: what is sent to this host alone stays its own.
    let mut command = scream_rx(home.path());
    command.args(["--auto", "-o", "null", "-p", &port.to_string(), "/dev/shm/nosuch"]);
    let mut receiver = Running::start(&mut command, &home.path().join("receiver.log"));
    receiver.wait_for_line("listening to");
    let settings = format!("auto = true\nport = {port}\nfile = \"/dev/shm/nosuch\"\n");
    let [_, network] = examine(&settings);
    let (health, found, _) = network.unwrap();
    let listens = format!("a receiver listens on port {port} already (scream-rx status main)");
    assert!(health == "warn" && found == format!("{listens}, and nothing came so far"), "{found}");
    // It is asked what it hears while two guests send to it.
    let senders = ["127.0.0.1", "127.0.0.2"].map(|own| {
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket
    });
    let (health, found, fix) = while_all_send(&senders, || {
        receiver.wait_for_line("the guest plays");
        let [_, network] = examine(&settings);
        network.unwrap()
    });
    assert!(health == "warn" && found.contains(&format!("{listens}: it plays one sender")), "{found}");
    assert!(found.contains("leaves others out") && fix.contains("UnicastPort"), "{found} {fix}");
    let (health, found, _) = while_all_send(&senders[..1], || {
        let [_, network] = examine(&settings);
        network.unwrap()
    });
    assert!(health == "ok" && found.contains(&listens) && found.contains("datagrams came in 2 s"), "{found}");
    receiver.signal("TERM");
    assert_eq!(receiver.end().code(), Some(0), "{}", receiver.err());
    let [_, network] = examine("udp = true\ninterface = \"nosuch0\"\n");
    let (health, found, fix) = network.unwrap();
    assert!(health == "bad" && found.contains("no interface nosuch0") && fix.contains("lo"), "{found} {fix}");
    let [region, network] = examine("profile = \"low\"\n");
    assert!(region.is_some() && network.is_none(), "the memory alone: no port is opened");
}

/// Set in the process that sends from behind a network of its own.
const SENDER: &str = "SCREAM_RX_TEST_SENDER";

#[test]
fn a_sender_for_another_network() {
    if std::env::var_os(SENDER).is_none() {
        return;
    }
    let socket = UdpSocket::bind("192.0.2.7:0").unwrap();
    loop {
        let _ = socket.send_to(&datagram(), "239.255.77.77:4010");
        // The pace of a guest; the test ends this process.
        std::thread::sleep(Duration::from_millis(6));
    }
}

/// Two networks joined by a cable. The sender's address has no way back, which the kernel's own filter (`rp_filter`) takes
/// for a forgery: the card counts the packets, no socket gets them. So looks any filter, seen from a program.
#[test]
fn datagrams_that_something_filters() {
    let _alone = alone();
    if !has_own_network() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    // What is waited for comes within half a minute. The sender's own wait ends with everything else.
    let script = "set -e
        soon() {
            for _ in $(seq 1500); do \"$@\" && return; sleep 0.02; done
            echo \"in vain: $*\" >&2; exit 3
        }
        ip link set lo up
        unshare --net --kill-child sh -c 'echo $$ >\"$HOME/pid\"; while ! ip link show far >/dev/null 2>&1; do sleep 0.02; done
            ip addr add 192.0.2.7/24 dev far; ip link set far up; ip route add 239.255.77.77 dev far
            exec \"$TEST\" --exact doctor::a_sender_for_another_network' >/dev/null 2>&1 &
        soon [ -s \"$HOME/pid\" ]
        ip link add near type veth peer name far
        echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
        echo $1 >/proc/sys/net/ipv4/conf/near/rp_filter
        echo $1 >/proc/sys/net/ipv4/conf/all/rp_filter
        ip addr add 10.9.8.1/24 dev near; ip link set near up; ip route add 239.255.77.77 dev near
        [ \"$1\" = 1 ] || ip route add 192.0.2.0/24 dev near
        ip link set far netns \"$(cat \"$HOME/pid\")\"
        soon grep -q 'near: *[1-9][0-9][0-9][0-9][0-9]' /proc/net/dev
        \"$PROGRAM\" doctor --json /none --udp && code=0 || code=$?
        kill $!
        exit $code";
    let listen = |strict: &str| {
        let _ = std::fs::remove_file(home.path().join("pid"));
        let mut command = Command::new("unshare");
        crate::rig::clean(&mut command, home.path());
        command.args(["--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.args(["sh", "-c", script, "sh", strict]).env(SENDER, "1");
        command.env("TEST", std::env::current_exe().unwrap()).env("PROGRAM", env!("CARGO_BIN_EXE_scream-rx"));
        finding(&mut command, "network").unwrap()
    };
    let (health, found, fix) = listen("1");
    assert!(health == "bad" && found.contains("filtered: ") && found.contains("at near"), "{found}");
    assert!(fix.contains("ufw allow 4010/udp") && fix.contains("near.rp_filter=2"), "{fix}");
    let (health, found, _) = listen("0");
    assert!(health == "ok" && found.contains("Scream comes from 192.0.2.7"), "the same without the filter: {found}");
}

#[test]
fn a_typo_in_the_settings_is_a_row_and_the_rest_is_examined() {
    let home = tempfile::tempdir().unwrap();
    let settings = home.path().join("c.toml");
    let cases = [
        ("# sound\n  profil = \"low\"\n", "c.toml:2:3: there is no setting `profil`", "did you mean `profile`?"),
        ("target = 60\nlimit = \"soon\"\n", "c.toml:2:9: `soon` is not a time", "a line has the form"),
        ("limit = 5000\n", "c.toml:1: limit is 5000 ms, allowed is 1 ms to 2000 ms", "choose a limit"),
        ("file = [\n", "c.toml:", ""),
    ];
    for (toml, found, fix) in cases {
        std::fs::write(&settings, toml).unwrap();
        let mut command = doctor(home.path(), &home.path().join("region"));
        command.arg("--config").arg(&settings);
        told(&mut command, "settings", "bad", found, fix);
        told(&mut command, "settings", "bad", found, "the rest was examined with default settings");
        // `finding` has looked at the exit code, which is that of a failed row.
        told(&mut command, "region", "warn", "is not there yet", "start the VM");
    }
    std::fs::write(&settings, "profile = \"low\"\n").unwrap();
    let mut command = doctor(home.path(), &home.path().join("region"));
    assert_eq!(finding(command.arg("--config").arg(&settings), "settings"), None, "nothing is wrong with it");
    let mut command = doctor(home.path(), &home.path().join("region"));
    told(command.arg("--config").arg(home.path().join("none")), "settings", "bad", "none", "--config");
}
