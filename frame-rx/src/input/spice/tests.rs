//! Tests against servers that misbehave. The honest server is a real QEMU, in the tests of whole programs.

use super::*;
use crate::input::frame::{Motion, Position};
use rsa::pkcs8::EncodePublicKey;
use rsa::rand_core::OsRng;
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};
use rx_host::signals::Stop;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// What each side does when a client comes. The folder goes with the value.
struct Server {
    _folder: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

impl Server {
    /// Runs `serve` on the first so many clients.
    fn start(clients: usize, mut serve: impl FnMut(usize, UnixStream) + Send + 'static) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let thread = std::thread::spawn(move || {
            for n in 0..clients {
                let Ok((client, _)) = listener.accept() else { return };
                serve(n, client);
            }
        });
        Server { _folder: folder, path, thread }
    }

    fn connect(&self) -> Result<SpiceSink, SinkError> {
        self.connect_within(Duration::from_secs(20))
    }

    fn connect_within(&self, time: Duration) -> Result<SpiceSink, SinkError> {
        let patience = Patience::new(time, &Stop::new().unwrap());
        self.open(MouseMode::Relative, &patience)
    }

    fn open(&self, mouse: MouseMode, patience: &Patience) -> Result<SpiceSink, SinkError> {
        SpiceSink::connect(&Endpoint::Unix(self.path.clone()), &Password::new("secret").unwrap(), mouse, patience)
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn key() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut OsRng, 1024).unwrap()
}

/// A reply as spice-server makes it, with these common capabilities.
fn reply(key: &RsaPrivateKey, caps: u32) -> Vec<u8> {
    let der = RsaPublicKey::from(key).to_public_key_der().unwrap();
    assert_eq!(der.as_bytes().len(), 162);
    let mut bytes = b"REDQ".to_vec();
    bytes.extend(words(&[2, 2, 186, 0]));
    bytes.extend(der.as_bytes());
    bytes.extend(words(&[1, 1, 178, caps, 0]));
    bytes
}

fn read_hello(client: &mut UnixStream) -> Vec<u8> {
    let mut hello = vec![0; 16 + 26];
    client.read_exact(&mut hello).unwrap();
    hello
}

/// The link stage of an honest server. What the client sent for a password.
fn link(client: &mut UnixStream, key: &RsaPrivateKey) -> Vec<u8> {
    read_hello(client);
    client.write_all(&reply(key, 0b1011)).unwrap();
    let mut proof = [0; 4 + 128];
    client.read_exact(&mut proof).unwrap();
    assert_eq!(&proof[..4], &words(&[1])[..]);
    client.write_all(&words(&[0])).unwrap();
    key.decrypt(Oaep::new::<sha1::Sha1>(), &proof[4..]).unwrap()
}

fn read_message(client: &mut UnixStream) -> (u16, Vec<u8>) {
    let mut header = [0; 6];
    client.read_exact(&mut header).unwrap();
    let size = u32::from_le_bytes(header[2..].try_into().unwrap());
    let mut body = vec![0; size as usize];
    client.read_exact(&mut body).unwrap();
    (u16::from_le_bytes([header[0], header[1]]), body)
}

/// An honest server up to the point where the inputs channel is linked; then `serve` has it, with the main channel.
fn honest(mut serve: impl FnMut(UnixStream, UnixStream) + Send + 'static) -> Server {
    let key = key();
    let mut main = None;
    Server::start(2, move |n, mut client| {
        assert_eq!(link(&mut client, &key), b"secret\0");
        if n == 0 {
            client.write_all(&message(103, &words(&[77, 0, 3, 2, 0, 0, 0, 0]))).unwrap();
            // The start-up pings, as over TCP.
            client.write_all(&message(4, &vec![7; 256_012])).unwrap();
            assert_eq!(read_message(&mut client).0, 104);
            assert_eq!(read_message(&mut client), (3, vec![7; 12]));
            client.write_all(&message(104, &[2, 0, 0, 0, 1, 0, 3, 0])).unwrap();
            main = Some(client);
        } else {
            client.write_all(&message(101, &[0b110, 0])).unwrap();
            serve(main.take().unwrap(), client);
        }
    })
}

fn edge(number: u16, is_down: bool) -> Step {
    Step::Edge(Edge { code: Code::new(number).unwrap(), is_down })
}

#[test]
fn bytes_on_the_wire_are_those_of_the_protocol() {
    let server = honest(|mut main, mut inputs| {
        assert_eq!(read_message(&mut main), (105, vec![1, 0]), "relative motion is asked for");
        main.write_all(&message(105, &[3, 0, 1, 0])).unwrap();
        let down = (101, vec![0xe0, 0x1d, 0, 0]);
        let expected = [
            down,
            (113, vec![1, 1, 0]),
            (111, [&words(&[5, u32::MAX])[..], &[1, 0]].concat()),
            (113, vec![5, 1, 0]),
            (114, vec![5, 1, 0]),
            (114, vec![1, 0, 0]),
            (102, vec![0xe0, 0x9d, 0, 0]),
        ];
        for message in expected {
            assert_eq!(read_message(&mut inputs), message);
        }
    });
    let mut sink = server.connect().unwrap();
    assert_eq!(sink.leds(), Leds { scroll: false, num: true, caps: true });
    assert!(!sink.caps().motion, "not before the server said so");
    let now = HostTime::ZERO;
    while !sink.caps().motion {
        sink.pump(now, &mut |_| {}).unwrap();
    }
    let mut wheel = Move { motion: Motion { dx: 5, dy: -1 }, ..Move::default() };
    wheel.wheel.vertical = -1;
    for step in [edge(97, true), edge(0x110, true), Step::Move(wheel), edge(0x110, false), edge(97, false)] {
        assert_eq!(sink.send(&step, now).unwrap(), Sent::Taken);
    }
    assert_eq!(sink.send(&edge(248, true), now).unwrap(), Sent::Unknown);
    server.thread.join().unwrap();
}

/// One with a screen, until the display channel is linked; then `serve` has main, inputs and display channels.
fn with_display(mut serve: impl FnMut([UnixStream; 3]) + Send + 'static) -> Server {
    let (key, mut linked) = (key(), Vec::new());
    Server::start(3, move |n, mut client| {
        link(&mut client, &key);
        match n {
            0 => {
                client.write_all(&message(103, &words(&[77, 1, 3, 1, 0, 0, 0, 0]))).unwrap();
                assert_eq!(read_message(&mut client).0, 104);
                client.write_all(&message(104, &[2, 0, 0, 0, 2, 0, 3, 0])).unwrap();
            }
            1 => client.write_all(&message(101, &[0, 0])).unwrap(),
            _ => {}
        }
        linked.push(client);
        if n == 2 {
            serve(core::mem::take(&mut linked).try_into().unwrap());
        }
    })
}

#[test]
fn places_are_pixels_of_the_screen_and_only_where_the_server_takes_them() {
    let server = with_display(|[mut main, mut inputs, mut display]| {
        assert_eq!(read_message(&mut main), (105, vec![2, 0]), "places are asked for");
        assert_eq!(read_message(&mut display).0, 101);
        // A picture that nobody looks at, another surface, and the one that is seen.
        display.write_all(&message(304, &vec![7; 3 << 20])).unwrap();
        display.write_all(&message(314, &words(&[1, 5, 5, 32, 0]))).unwrap();
        display.write_all(&message(314, &words(&[0, 1001, 501, 32, 1]))).unwrap();
        main.write_all(&message(105, &[3, 0, 2, 0])).unwrap();
        for (x, y) in [(0, 500), (500, 250), (1000, 0)] {
            assert_eq!(read_message(&mut inputs), (112, [&words(&[x, y])[..], &[0, 0, 0]].concat()));
        }
        // The tablet goes, and comes back.
        main.write_all(&message(105, &[1, 0, 1, 0])).unwrap();
        assert_eq!(read_message(&mut inputs).0, 111);
        main.write_all(&message(105, &[3, 0, 1, 0])).unwrap();
        assert_eq!(read_message(&mut main), (105, vec![2, 0]), "places are asked for again");
    });
    let mut sink =
        server.open(MouseMode::Absolute, &Patience::new(Duration::from_secs(20), &Stop::new().unwrap())).unwrap();
    let now = HostTime::ZERO;
    let mut news = Vec::new();
    while !sink.caps().position {
        assert!(sink.caps().motion || sink.mode == MODE_ABSOLUTE);
        sink.pump(now, &mut |n| news.push(n)).unwrap();
    }
    assert!(!sink.caps().motion && news.contains(&News::Caps));
    for (x, y) in [(0, 32_767), (16_384, 16_384), (32_767, 0)] {
        let step = Step::Move(Move { position: Some(Position { x, y }), ..Move::default() });
        assert_eq!(sink.send(&step, now).unwrap(), Sent::Taken);
    }
    while !sink.caps().motion {
        sink.pump(now, &mut |_| {}).unwrap();
    }
    assert!(!sink.caps().position);
    sink.send(&Step::Move(Move { motion: Motion { dx: 1, dy: 0 }, ..Move::default() }), now).unwrap();
    // The server ends when it was asked for places again.
    while sink.pump(now, &mut |_| {}).is_ok() {}
    server.thread.join().unwrap();
}

#[test]
fn motion_has_a_window_and_the_lamps_are_told_but_not_after_pause() {
    let server = honest(|_main, mut inputs| {
        for _ in 0..8 {
            assert_eq!(read_message(&mut inputs).0, 111);
        }
        inputs.write_all(&message(111, &[])).unwrap();
        inputs.write_all(&message(102, &[1, 0])).unwrap();
        assert_eq!(read_message(&mut inputs), (101, vec![0xe0, 0x46, 0, 0]));
        inputs.write_all(&message(102, &[0, 0])).unwrap();
        inputs.write_all(&message(111, &[])).unwrap();
        // Stay until the client goes.
        let _ = inputs.read(&mut [0]);
    });
    let mut sink = server.connect().unwrap();
    let now = HostTime::ZERO + Duration::from_secs(5);
    let step = Step::Move(Move { motion: Motion { dx: 1, dy: 0 }, ..Move::default() });
    for _ in 0..8 {
        assert!(sink.takes_motion());
        sink.send(&step, now).unwrap();
    }
    assert!(!sink.takes_motion());
    let mut lamps = Vec::new();
    while lamps.len() < 2 {
        sink.pump(now, &mut |news| lamps.push(news)).unwrap();
    }
    let at_first = News::Leds(Leds { scroll: false, num: true, caps: true });
    assert_eq!(lamps, [at_first, News::Leds(Leds { scroll: true, num: false, caps: false })]);
    assert!(sink.takes_motion());
    sink.send(&edge(119, true), now).unwrap();
    while sink.outstanding > 0 {
        sink.pump(now, &mut |news| lamps.push(news)).unwrap();
    }
    assert_eq!(lamps.len(), 2, "what it says after Pause is not believed");
    drop(sink);
    server.thread.join().unwrap();
}

/// A server forgets what it has not read when its client goes; only its acknowledgement says that it has read.
#[test]
fn what_was_sent_last_has_arrived_when_motion_by_nothing_is_acknowledged() {
    for moves_before in 0..6 {
        let server = honest(move |_main, mut inputs| {
            let mut reports = 0;
            loop {
                let (kind, body) = read_message(&mut inputs);
                if kind == 111 {
                    reports += 1;
                    assert!(reports <= moves_before || body == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "{body:?}");
                    if reports % 4 == 0 {
                        inputs.write_all(&message(111, &[])).unwrap();
                    }
                }
                if reports > moves_before && reports % 4 == 0 {
                    let _ = inputs.read(&mut [0]);
                    return;
                }
            }
        });
        let mut sink = server.connect().unwrap();
        let now = HostTime::ZERO;
        for _ in 0..moves_before {
            let step = Step::Move(Move { motion: Motion { dx: 1, dy: 0 }, ..Move::default() });
            sink.send(&step, now).unwrap();
        }
        sink.send(&edge(0x110, false), now).unwrap();
        assert!(sink.has_delivered(), "nobody asked");
        sink.ask_delivery(now).unwrap();
        assert!(!sink.has_delivered(), "{moves_before}");
        while !sink.has_delivered() {
            sink.pump(now, &mut |_| {}).unwrap();
        }
        drop(sink);
        server.thread.join().unwrap();
    }
}

#[test]
fn each_kind_of_bad_server_is_told_apart() {
    fn check(what: &str, says: impl Fn(&RsaPrivateKey) -> Vec<u8> + Send + 'static, is: fn(&SinkError) -> bool) {
        let key = key();
        let server = Server::start(1, move |_, mut client| {
            read_hello(&mut client);
            let _ = client.write_all(&says(&key));
            let _ = client.shutdown(std::net::Shutdown::Write);
            // Until the client has had enough.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let error = server.connect().unwrap_err();
        assert!(is(&error), "{what}: {error}");
        server.thread.join().unwrap();
    }
    let refusal = |code: u32| move |_: &RsaPrivateKey| [&b"REDQ"[..], &words(&[2, 2, 4, code])].concat();
    let answer = |code: u32| move |key: &RsaPrivateKey| [reply(key, 0b1011), words(&[code])].concat();
    check("silence and a close", |_| vec![], |e| matches!(e, SinkError::Closed));
    check("garbage", |_| vec![0x55; 4000], |e| matches!(e, SinkError::Garbage(_)));
    check("half a reply", |key| reply(key, 11)[..100].to_vec(), |e| matches!(e, SinkError::Closed));
    check(
        "a huge reply",
        |_| [&b"REDQ"[..], &words(&[2, 2, u32::MAX])].concat(),
        |e| matches!(e, SinkError::TooLarge { got: 4_294_967_295, .. }),
    );
    check("TLS only", refusal(5), |e| matches!(e, SinkError::TlsOnly) && e.is_final());
    check("no such channel", refusal(9), |e| matches!(e, SinkError::Missing(_)));
    check("another refusal", refusal(4), |e| matches!(e, SinkError::Refused(4)));
    check("SASL only", |key| reply(key, 0b1101), |e| matches!(e, SinkError::SaslOnly) && e.is_final());
    check("a wrong password", answer(7), |e| matches!(e, SinkError::WrongPassword) && e.is_final());
    check(
        "a key that is none",
        |key| {
            let mut bytes = reply(key, 0b1011);
            bytes[30..60].fill(0xff);
            bytes
        },
        |e| matches!(e, SinkError::Garbage("key")),
    );
    check(
        "a huge message",
        |key| [reply(key, 0b1011), words(&[0]), vec![103, 0], words(&[u32::MAX])].concat(),
        |e| matches!(e, SinkError::TooLarge { .. }),
    );
    check(
        "a short first message",
        |key| [reply(key, 0b1011), words(&[0]), message(103, &[1, 2])].concat(),
        |e| matches!(e, SinkError::Garbage(_)),
    );
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_longer_than_asked() {
    let server = Server::start(1, |_, mut client| drop(client.read_to_end(&mut Vec::new())));
    assert!(matches!(server.connect_within(Duration::from_millis(60)), Err(SinkError::Silent)));
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_stops_reading_is_given_up_and_not_waited_for() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = honest(move |_main, _inputs| {
        let _ = wait.recv();
    });
    crate::input::sink::tests::check_given_up(&mut server.connect().unwrap(), &edge(30, true));
    drop(done);
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_closes_is_heard_at_once() {
    let server = honest(|mut main, inputs| {
        read_message(&mut main);
        drop(inputs);
    });
    let mut sink = server.connect().unwrap();
    server.thread.join().unwrap();
    assert!(matches!(sink.pump(HostTime::ZERO, &mut |_| {}), Err(SinkError::Closed)));
}

#[test]
fn a_password_is_never_printed() {
    assert_eq!(format!("{:?}", Password::new("secret").unwrap()), "Password(..)");
    assert_eq!(Password::new(&"x".repeat(61)), None);
}
