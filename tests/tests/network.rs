//! Sound over real sockets: release binaries in processes of their own, datagrams on the loopback, by group and by
//! address, with all that comes between: other formats, other senders, rubbish, a guest that changes its way.

use rustix::process::Signal;
use rx_tests::attempt::{judge, on_time};
use rx_tests::guest;
use rx_tests::place::{self, ShmName};
use rx_tests::process::{Running, SOON, run, tied, until};
use rx_tests::programs::{self, receiver};
use rx_tests::tone::Recording;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Longest run of a receiver in these tests, its own length included.
const RUN: Duration = Duration::from_secs(90);
const GROUP: &str = "239.255.77.77";

/// A port that nobody has, another one each time. The kernel gives any port of its range to a socket that names none, also
/// to a sender of this test; these are below what that range usually is.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process of these tests begins elsewhere.
    let of_process = (std::process::id() % 100) as u16 * 100;
    let next = || 20_000 + of_process + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
    let mut ports = std::iter::repeat_with(next).take(100);
    ports.find(|port| UdpSocket::bind(("0.0.0.0", *port)).is_ok()).expect("a free port")
}

/// A guest that sends to `to` until it is dropped.
fn sender(to: &str, options: &[&str]) -> Running {
    sender_at("127.0.0.1", to, options)
}

/// As [`sender`], from another host, as far as that can be told.
fn sender_at(own: &str, to: &str, options: &[&str]) -> Running {
    let options = [&["--udp", "--from", own], options].concat();
    guest::start("sound", Path::new(to), &options)
}

/// A receiver that records what comes to `options` into `wav`.
fn recorder(home: &Path, wav: &Path, options: &[&str]) -> Command {
    let mut command = receiver("scream-rx", home);
    command.args(options).args(["-o", "wav", "-d"]).arg(wav);
    command
}

fn figures(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).expect("figures")).expect("JSON")
}

#[test]
fn datagrams_become_a_clean_tone_by_group_and_by_address() {
    let port = free_port();
    let (group, host) = (format!("{GROUP}:{port}"), format!("127.0.0.1:{port}"));
    let (port, pair) = (port.to_string(), |a: &str| vec!["--udp".to_owned(), a.to_owned()]);
    let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let cases: [(&str, Vec<String>, &[&str]); 4] = [
        (&group, [pair(&group), words(&["-i", "lo"])].concat(), &[]),
        (&host, pair(&host), &["--rate", "44100", "--bits", "24", "--ppm", "80"]),
        (&group, words(&["-i", "127.0.0.1", "-p", &port]), &["--bits", "32", "--channels", "8"]),
        (&host, words(&["-u", "-p", &port]), &["--channels", "5", "--tick", "15.625"]),
    ];
    for (to, listen, options) in cases {
        let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
        on_time(|| is_clean(to, &listen, options));
    }
}

/// A guest with `options` sends to `to`, and a receiver that hears `listen` records it: whether it came in one piece, and
/// everything else that must be true of it.
fn is_clean(to: &str, listen: &[&str], options: &[&str]) -> Result<(), String> {
    let home = place::folder();
    let (wav, stats, times) = (home.path().join("a.wav"), home.path().join("a.json"), home.path().join("a.csv"));
    let _guest = sender(to, options);
    let mut command = recorder(home.path(), &wav, listen);
    command.args(["--seconds", "3", "--stats"]).arg(&stats).arg("--dump-timing").arg(&times);
    let done = run("scream-rx", &mut command, RUN);
    assert_eq!(done.status.code(), Some(0), "{listen:?}: {}", done.err.join("\n"));
    let figures = figures(&stats);
    // A guest that is kept from its processor for a second looks as if something was lost.
    let lost = figures["datagrams_lost"].as_u64().expect("a count");
    let tone = Recording::read(&wav).tone();
    let is_clean = lost <= 2 && tone.is_pure(440.0, 2.0, 2 * lost as usize);
    judge(is_clean, &tone, 1, |name| figures[name].as_u64())?;
    assert!(figures["datagrams_received"].as_u64() > Some(300), "{figures}");
    for none in ["datagrams_of_others", "junk_corrupt", "chunks_received"] {
        assert_eq!(figures[none], 0, "{none}: {figures}");
    }
    let times = fs::read_to_string(&times).expect("times");
    let last = times.lines().last().unwrap_or_default();
    assert!(times.starts_with("scream-rx timing, schema 1\n") && last.starts_with("end,"), "{last}");
    assert!(times.lines().filter(|l| l.starts_with("came,")).count() > 300, "{}", times.lines().count());
    Ok(())
}

#[test]
fn rubbish_and_new_formats_between_do_not_disturb() {
    on_time(rubbish_and_new_formats);
}

fn rubbish_and_new_formats() -> Result<(), String> {
    let home = place::folder();
    let (wav, stats) = (home.path().join("a.wav"), home.path().join("a.json"));
    let address = format!("{GROUP}:{}", free_port());
    let _guest = sender(&address, &["--switch-every", "1", "--junk", "12"]);
    let mut command = recorder(home.path(), &wav, &["--udp", &address, "-i", "lo", "--seconds", "5"]);
    let done = run("scream-rx", command.arg("--stats").arg(&stats), RUN);
    assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
    let figures = figures(&stats);
    for kind in ["junk_too_short", "junk_too_long", "junk_named", "junk_corrupt"] {
        assert!(figures[kind].as_u64() > Some(100), "{kind}: {figures}");
    }
    assert!(figures["streams"].as_u64() >= Some(4), "{figures}");
    assert_eq!(figures["datagrams_of_others"], 0, "rubbish makes nobody a sender: {figures}");
    assert!(done.err.len() < 40, "rubbish makes few words:\n{}", done.err.join("\n"));
    // Each of the five changes of format is a fade out and in: some hundredths of a second.
    let (tone, streams) = (Recording::read(&wav).tone(), figures["streams"].as_u64().expect("a count"));
    judge(tone.is_pure(440.0, 4.0, 4 * 5), &tone, streams, |name| figures[name].as_u64())
}

#[test]
fn a_second_sender_is_named_once_and_played_when_the_first_is_gone() {
    on_time(first_and_second_sender);
}

fn first_and_second_sender() -> Result<(), String> {
    let home = place::folder();
    let (wav, stats) = (home.path().join("a.wav"), home.path().join("a.json"));
    let address = format!("{GROUP}:{}", free_port());
    let first = sender(&address, &["--tone", "440"]);
    let mut command = recorder(home.path(), &wav, &["--udp", &address, "-i", "lo"]);
    let mut player = Running::start("scream-rx", command.arg("--stats").arg(&stats));
    player.line("the sound comes from", SOON);
    let grown = |bytes: u64| fs::metadata(&wav).is_ok_and(|m| m.len() > bytes).then_some(());
    until("a second of sound", SOON, || grown(200_000), || player.tail());
    // Another host: one with another port might be the same guest, and is waited for less long.
    let second = sender_at("127.0.0.2", &address, &["--tone", "1000"]);
    player.line("sends too and is left out", SOON);
    let before = fs::metadata(&wav).map_or(0, |m| m.len());
    until("two more seconds", SOON, || grown(before + 400_000), || player.tail());
    let told = run("scream-rx", receiver("scream-rx", home.path()).args(["status", "main", "--json"]), SOON);
    let told: serde_json::Value = serde_json::from_str(&told.out.concat()).expect("JSON");
    let mark = player.mark();
    drop(first);
    player.line_after(mark, "the sound comes from", SOON);
    let before = fs::metadata(&wav).map_or(0, |m| m.len());
    until("two seconds of the second", SOON, || grown(before + 400_000), || player.tail());
    drop(second);
    player.signal(Signal::TERM);
    let done = player.finish(SOON);
    assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
    let named = done.err.iter().filter(|l| l.contains("sends too")).count();
    assert_eq!(named, 1, "{}", done.err.join("\n"));
    assert!(figures(&stats)["datagrams_of_others"].as_u64() > Some(100));
    let recording = Recording::read(&wav);
    let head = recording.first(2);
    assert!((head.frequency_hz - 440.0).abs() < 0.5, "{head:?}");
    let tail = recording.last(1);
    // The engine may still be at the end of a correction, 1500 ppm at most.
    assert!((tail.frequency_hz - 1000.0).abs() < 2.0, "{tail:?}");
    judge(head.breaks == 0, &head, 1, |name| told[name].as_u64())
}

#[test]
fn whichever_way_a_guest_speaks_is_played_and_the_change_is_explained() {
    let (home, file) = (place::folder(), ShmName::new("auto"));
    let name = file.path().display().to_string();
    fs::write(file.path(), vec![0; 2 << 20]).unwrap();
    let wav = home.path().join("a.wav");
    let address = format!("{GROUP}:{}", free_port());
    let port = address.rsplit(':').next().unwrap_or_default();
    let mut command = recorder(home.path(), &wav, &["--auto", "-p", port, "-i", "lo", &name]);
    let mut player = Running::start("scream-rx", &mut command);
    player.line("nothing is written yet", SOON);
    let mut heard = 0;
    let mut hear = |player: &Running| {
        let grown = |bytes: u64| fs::metadata(&wav).is_ok_and(|m| m.len() > bytes).then_some(());
        until("sound in the file", SOON, || grown(heard + 300_000), || player.tail());
        heard = fs::metadata(&wav).map_or(0, |m| m.len());
    };
    // The guest whose IVSHMEM driver refuses Scream: only the network speaks.
    let sends = sender(&address, &[]);
    let why = player.line("the guest sends: playing that", SOON);
    assert!(why.contains(&name) && why.contains("UseIVSHMEM") && why.contains("0.1-161"), "{why}");
    hear(&player);
    drop(sends);
    // Its user puts that right, and later takes it back.
    let writes = guest::start("sound", file.path(), &[]);
    player.line("writes into", SOON);
    hear(&player);
    let mark = player.mark();
    drop(writes);
    let _sends = sender(&address, &[]);
    player.line_after(mark, "sends now and writes nothing", SOON);
    hear(&player);
    player.signal(Signal::TERM);
    assert_eq!(player.end(SOON).code(), Some(0), "{}", player.tail());
    let tone = Recording::read(&wav).tone();
    assert!((tone.frequency_hz - 440.0).abs() < 0.5 && tone.impurity < 1e-3, "{tone:?}");
}

#[test]
fn two_guests_have_a_receiver_each_and_lines_of_the_reference_receiver_work() {
    on_time(two_guests);
}

fn two_guests() -> Result<(), String> {
    let home = place::folder();
    // Called by the old name, through a link, as old units do.
    let link = home.path().join("scream");
    std::os::unix::fs::symlink(programs::release("scream-rx"), &link).unwrap();
    let guests = [(free_port().to_string(), 440.0), (free_port().to_string(), 600.0)];
    let mut running = Vec::new();
    for (port, hz) in &guests {
        let guest = sender(&format!("{GROUP}:{port}"), &["--tone", &hz.to_string()]);
        let (wav, stats) = (home.path().join(format!("{port}.wav")), home.path().join(format!("{port}.json")));
        let mut command = tied(&link);
        programs::clean(&mut command, home.path());
        command
            .args(["-i", "lo", "-p", port, "-n", "Guest", "-v", "-o", "wav", "-d"])
            .arg(&wav)
            .args(["--seconds", "3", "--stats"])
            .arg(&stats);
        running.push((Running::start("scream", &mut command), guest, wav, stats, *hz));
    }
    for (player, _guest, wav, stats, hz) in running {
        let done = player.finish(RUN);
        assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
        let (figures, tone) = (figures(&stats), Recording::read(&wav).tone());
        judge(tone.is_pure(hz, 2.0, 0), &tone, 1, |name| figures[name].as_u64())?;
    }
    Ok(())
}

#[test]
fn a_changed_settings_file_is_taken_over_by_a_running_receiver() {
    let home = place::folder();
    let (config, address) = (home.path().join("c.toml"), format!("127.0.0.1:{}", free_port()));
    let write = |text: &str| fs::write(&config, format!("udp = \"{address}\"\noutput = \"null\"\n{text}")).unwrap();
    write("");
    let _guest = sender(&address, &[]);
    let mut command = receiver("scream-rx", home.path());
    let stats = home.path().join("a.json");
    let mut player = Running::start("scream-rx", command.arg("--config").arg(&config).arg("--stats").arg(&stats));
    player.line("the guest plays", SOON);
    write("tagret = 90\n");
    let word = player.line("did you mean `target`?", SOON);
    assert!(word.contains("c.toml:3:1") && word.contains("the old settings stay"), "{word}");
    let mark = player.mark();
    write("target = 90\n");
    player.line_after(mark, "applied", SOON);
    // The same address is listened to again, though it can be had only once.
    player.line_after(mark, "the guest plays", SOON);
    player.ends_by_itself(Duration::from_secs(2));
    player.signal(Signal::TERM);
    let done = player.finish(SOON);
    assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
    assert_eq!(done.err.iter().filter(|l| l.contains("did you mean")).count(), 1, "told once: {}", done.err.join("\n"));
    let figures = figures(&stats);
    assert_eq!(figures["target_ms"], 90.0, "{figures}");
    assert!(figures["streams"].as_u64() >= Some(2), "counting went on: {figures}");
}

#[test]
fn what_cannot_be_listened_to_is_told_in_plain_words() {
    let home = place::folder();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (options, words) in [
        (&["--udp", &address][..], &address[..]),
        (&["-i", "no-such0"], "no-such0"),
        (&["--udp", "192.0.2.250"], "192.0.2.250:4010"),
    ] {
        let done = run("scream-rx", receiver("scream-rx", home.path()).args(options).args(["-o", "null"]), SOON);
        assert_eq!(done.status.code(), Some(2), "{options:?}: {}", done.err.join("\n"));
        let [.., what, hint] = done.err.as_slice() else { panic!("{options:?}: {:?}", done.err) };
        assert!(what.contains(words) && hint.starts_with("hint: "), "{options:?}: {what}\n{hint}");
    }
    let done = run("scream-rx", receiver("scream-rx", home.path()).args(["--udp", "nowhere"]), SOON);
    assert_eq!(done.status.code(), Some(1), "{:?}", done.err);
    assert_eq!(done.out, Vec::<String>::new());
}

/// What the receiver costs while nobody plays: wake-ups of the intake, counted by itself.
#[test]
fn a_receiver_without_a_guest_hardly_wakes_up() {
    let (home, file) = (place::folder(), ShmName::new("none"));
    let stats = home.path().join("a.json");
    let mut command = receiver("scream-rx", home.path());
    command.arg(file.path()).args(["-o", "null", "--seconds", "8", "--stats"]).arg(&stats);
    let done = run("scream-rx", &mut command, RUN);
    assert_eq!(done.status.code(), Some(0), "{}", done.err.join("\n"));
    let wake_ups = figures(&stats)["intake_wake_ups"].as_u64().expect("a figure");
    assert!(wake_ups <= 8, "{wake_ups} in 8 s");
}
