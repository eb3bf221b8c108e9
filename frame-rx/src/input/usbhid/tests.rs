//! Tests of the sink against servers that misbehave. The honest server is a real QEMU, in the tests of whole programs.

use super::packet::kind;
use super::*;
use crate::input::Code;
use crate::input::frame::{Edge, Motion};
use crate::input::sink::Move;
use rx_host::signals::Stop;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// A server that serves one client. The folder goes with the value.
struct Server {
    _folder: tempfile::TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(serve: impl FnOnce(UnixStream) + Send + 'static) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let thread = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        Server { _folder: folder, path, thread }
    }

    /// One that says HELLO and lets the guest listen to everything; then `serve` has it.
    fn honest(serve: impl FnOnce(UnixStream) + Send + 'static) -> Server {
        Server::start(|mut client| {
            client.write_all(&hello(0xff)).unwrap();
            client.read_exact(&mut [0; 80]).unwrap();
            for endpoint in 0x81..=0x84 {
                client.write_all(&packet(kind::START_INTERRUPT, 1, &[endpoint])).unwrap();
            }
            serve(client);
        })
    }

    fn connect(&self, time: Duration) -> Result<UsbHidSink, SinkError> {
        UsbHidSink::connect(&Endpoint::Unix(self.path.clone()), &Patience::new(time, &Stop::new().unwrap()))
    }
}

const SOON: Duration = Duration::from_secs(20);
const KEY: Step = Step::Edge(Edge { code: Code::LEFT_CTRL, is_down: true });

fn hello(caps: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet::put_hello(&mut bytes, "a test", caps);
    bytes
}

fn packet(kind: u32, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet::put(&mut bytes, kind, id, &[body]);
    bytes
}

fn read_packet(client: &mut UnixStream) -> (u32, Vec<u8>) {
    let mut head = [0; 16];
    client.read_exact(&mut head).unwrap();
    let word = |at| packet::u32_at(&head, at).unwrap();
    let mut body = vec![0; word(4) as usize];
    client.read_exact(&mut body).unwrap();
    (word(0), body)
}

/// Pumps until the guest listens.
fn go_live(sink: &mut UsbHidSink) -> Vec<News> {
    let mut news = Vec::new();
    while sink.plug.device.lanes() != (Lanes { keyboard: true, pointer: true }) {
        sink.pump(HostTime::ZERO, &mut |n| news.push(n)).unwrap();
    }
    sink.pump(HostTime::ZERO, &mut |n| news.push(n)).unwrap();
    news
}

#[test]
fn a_key_becomes_a_report_as_soon_as_the_guest_listens() {
    let server = Server::honest(|mut client| {
        let is_report = |(kind, body): &(u32, Vec<u8>)| {
            *kind == kind::INTERRUPT && body[0] == 0x83 && body.len() == 20 && body[4] == 1
        };
        while !is_report(&read_packet(&mut client)) {}
    });
    let mut sink = server.connect(SOON).unwrap();
    let mut news = Vec::new();
    sink.pump(HostTime::ZERO, &mut |n| news.push(n)).unwrap();
    news.extend(go_live(&mut sink));
    assert_eq!(news, [News::Running]);
    assert_eq!(sink.send(&KEY, HostTime::ZERO).unwrap(), Sent::Taken);
    server.thread.join().unwrap();
}

#[test]
fn each_kind_of_bad_server_is_told_apart() {
    fn check(what: &str, says: Vec<u8>, is: fn(&SinkError) -> bool) {
        let server = Server::start(move |mut client| {
            let _ = client.write_all(&says);
            let _ = client.shutdown(std::net::Shutdown::Write);
            // Until the client has had enough.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let result = server.connect(SOON).and_then(|mut sink| {
            loop {
                sink.pump(HostTime::ZERO, &mut |_| {})?;
            }
        });
        let Err(error): Result<(), _> = result else { unreachable!() };
        assert!(is(&error), "{what}: {error}");
        server.thread.join().unwrap();
    }
    let then = |bytes: &[u8]| [&hello(0xff), bytes].concat();
    check("silence and a close", vec![], |e| matches!(e, SinkError::Closed));
    check("garbage", vec![0x55; 4000], |e| matches!(e, SinkError::TooLarge { .. }));
    check("a SPICE server", b"REDQ\x02\0\0\0\x02\0\0\0\0\0\0\0".to_vec(), |e| matches!(e, SinkError::Garbage(_)));
    check("half a HELLO", hello(0xff)[..40].to_vec(), |e| matches!(e, SinkError::Closed));
    check("an old version", hello(0), |e| matches!(e, SinkError::Garbage(_)));
    check("half a packet", then(&packet(kind::CONTROL, 1, &[0; 10])[..20]), |e| matches!(e, SinkError::Closed));
    check("a huge packet", then(&[100, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]), |e| {
        matches!(e, SinkError::TooLarge { got: 0xffff_ffff, .. })
    });
    check("a refusal", then(&packet(kind::FILTER_REJECT, 0, &[])), |e| matches!(e, SinkError::Missing(_)));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_longer_than_asked() {
    let server = Server::start(|mut client| drop(client.read_to_end(&mut Vec::new())));
    assert!(matches!(server.connect(Duration::from_millis(60)), Err(SinkError::Silent)));
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_stops_reading_is_given_up_and_not_waited_for() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::honest(move |_client| {
        let _ = wait.recv();
    });
    let mut sink = server.connect(SOON).unwrap();
    go_live(&mut sink);
    let step = Step::Move(Move { motion: Motion { dx: 1, dy: 0 }, ..Move::default() });
    crate::input::sink::tests::check_given_up(&mut sink, &step);
    drop(done);
    server.thread.join().unwrap();
}

#[test]
fn a_flood_of_questions_is_answered_only_as_far_as_the_answers_are_read() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::honest(move |mut client| {
        client.set_nonblocking(true).unwrap();
        let question = packet(kind::CONTROL, 1, &[0x80, 6, 0x80, 0, 0, 2, 0, 0, 255, 0]);
        let flood: Vec<u8> = question.iter().copied().cycle().take(question.len() * 1000).collect();
        let mut at = 0;
        while wait.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            match client.write(&flood[at..]) {
                Ok(n) => at = (at + n) % flood.len(),
                Err(_) => std::thread::yield_now(),
            }
        }
    });
    let mut sink = server.connect(SOON).unwrap();
    go_live(&mut sink);
    let end = clock::now() + SOON;
    while sink.wire.room() >= 2 * ANSWER_MAX {
        assert!(clock::now() < end, "{} bytes of room", sink.wire.room());
        sink.pump(HostTime::ZERO, &mut |_| {}).unwrap();
    }
    assert!(sink.plug.out.is_empty());
    assert!(matches!(sink.pump(HostTime::ZERO + Duration::from_secs(3), &mut |_| {}), Err(SinkError::Silent)));
    drop(done);
    drop(sink);
    server.thread.join().unwrap();
}

#[test]
fn a_guest_that_stops_listening_is_told_and_so_are_its_lamps() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::honest(move |mut client| {
        wait.recv().unwrap();
        let lamps = [0, 9, 0x21, 0, 0, 2, 2, 0, 1, 0, 0b10];
        client.write_all(&packet(kind::CONTROL, 3, &lamps)).unwrap();
        client.write_all(&packet(kind::RESET, 4, &[])).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    });
    let mut sink = server.connect(SOON).unwrap();
    go_live(&mut sink);
    go.send(()).unwrap();
    let mut news = Vec::new();
    while !news.contains(&News::Stopped) {
        sink.pump(HostTime::ZERO, &mut |n| news.push(n)).unwrap();
    }
    // A reset darkens the lamps, and may be heard together with them.
    assert!(news.iter().all(|n| matches!(n, News::Leds(_) | News::Stopped)), "{news:?}");
    drop(sink);
    server.thread.join().unwrap();
}
